//! Rings, interrupts, registers, reset.

use crate::bench::{bytes_at, Bench, ACK, IRS, ISS};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::{counter, event, register, FLOWS, ID, LONGEST_FRAME, RANGES, TICK_SHIFT, VERSION};
use toe_sim::engine::Engine;
use toe_sim::invariants::Watched;
use toe_sim::model::Model;
use toe_sim::rig::{FlowSetup, Piece, Rig, Settings};
use toe_sim::time::Nanoseconds;

#[test]
fn the_engine_says_what_it_is() {
    let mut rig = Rig::new(Watched::new(Model::default()), Settings::default()).expect("memory");
    assert_eq!((rig.read(&register::ID), rig.read(&register::VERSION)), (ID, VERSION));
    assert_eq!((rig.read(&register::FLOWS) as usize, rig.read(&register::LONGEST_FRAME)), (FLOWS, LONGEST_FRAME));
    let capabilities = rig.read(&register::CAPABILITIES);
    assert_eq!(register::CAPABILITY_RANGES.get(capabilities) as usize, RANGES);
    assert_eq!((register::CAPABILITY_CONTEXTS.get(capabilities), register::CAPABILITY_DATA_BYTES.get(capabilities)), (1, 8));
    assert_eq!(rig.read(&register::STATUS), 0);
}

#[test]
fn time_is_latched_by_its_low_half() {
    let mut rig = Rig::new(Watched::new(Model::default()), Settings::default()).expect("memory");
    rig.now = Nanoseconds(0x1_ffff_ffff);
    rig.settle().expect("at rest");
    assert_eq!(rig.read(&register::TIME_LO), 0xffff_ffff);
    rig.now = Nanoseconds(0x2_0000_0000);
    rig.settle().expect("at rest");
    assert_eq!(rig.read(&register::TIME_HI), 1);
}

#[test]
fn registers_keep_what_is_written_in_their_fields() {
    let mut rig = Rig::new(Watched::new(Model::default()), Settings::default()).expect("memory");
    for (register, written, read) in
        [(register::MAC_HI, 0xffff_1234, 0x1234), (register::FILTER, 0xff, 3), (register::DELAYED_ACK, 77, 77), (register::ID, 5, ID)]
    {
        rig.write(&register, written);
        assert_eq!(rig.read(&register), read, "{}", register.name);
    }
}

#[test]
fn the_event_ring_wraps_and_waits_when_it_is_full() {
    let settings = Settings { event_log2: 6, ..Settings::default() };
    let mut b = Bench::with_settings(settings, |_| {});
    for round in 0..200_u32 {
        b.post(Command::new(Opcode::Send, 1, 0)).expect("room");
        b.run();
        if round % 40 == 39 {
            assert_eq!(b.events().len(), 40, "round {round}");
        }
    }
    for _ in 0..70 {
        b.post(Command::new(Opcode::Send, 1, 0)).expect("room");
    }
    b.run();
    assert_eq!((b.read_context(&register::EVENT_PRODUCED), b.read_context(&register::SUBMISSION_CONSUMED)), (263, 267));
    assert_eq!(b.events().len(), 63, "more have no room: one entry stays free");
    b.run();
    assert_eq!(b.events().len(), 7);
}

#[test]
fn a_report_waits_for_room_and_tells_what_is_then() {
    let settings = Settings { event_log2: 6, ..Settings::default() };
    let mut b = Bench::with_settings(settings, |_| {});
    for _ in 0..63 {
        b.post(Command::new(Opcode::Send, 1, 0)).expect("room");
    }
    b.run();
    b.data(IRS, 10);
    b.data(IRS + 10, 10);
    assert_eq!(b.read_context(&register::EVENT_PRODUCED), 63);
    assert_eq!(b.events().len(), 63);
    b.run();
    assert_eq!(b.only_event().get(event::RCV_NXT), IRS + 20);
}

#[test]
fn the_submission_ring_wraps() {
    let mut b = Bench::new();
    for _ in 0..300 {
        b.command(Opcode::AckNow, 0, None);
    }
    assert_eq!((b.acked_all().len(), b.read_context(&register::SUBMISSION_CONSUMED)), (300, 304));
}

#[test]
fn nothing_is_taken_before_the_context_is_enabled() {
    let mut b = Bench::new();
    b.write_context(&register::CONTEXT_CONTROL, 0);
    b.post(Command::new(Opcode::AckNow, 0, 0)).expect("room");
    b.settle().expect("at rest");
    assert_eq!(b.sent(), []);
    b.write_context(&register::CONTEXT_CONTROL, register::CONTEXT_ENABLE.mask());
    b.settle().expect("at rest");
    assert_eq!(b.acked(), IRS);
}

#[test]
fn the_raw_ring_drops_when_it_is_full_and_goes_on_when_it_is_not() {
    let mut rig = Rig::new(Watched::new(Model::default()), Settings::default()).expect("memory");
    let frame = |k: u8| [[0xff; 14].to_vec(), vec![k; 50]].concat();
    for k in 0..9 {
        rig.push(&frame(k), true);
    }
    rig.check().expect("at rest");
    assert_eq!((rig.counter(counter::RX_RAW), rig.counter(counter::RX_RAW_FULL)), (8, 1));
    let raws = rig.raws();
    assert_eq!((raws.len(), &raws[7].1), (8, &frame(7)));
    for round in 0..5 {
        for k in 0..7 {
            rig.push(&frame(k), true);
        }
        rig.check().expect("at rest");
        let raws = rig.raws();
        assert_eq!((raws.len(), &raws[6].1), (7, &frame(6)), "round {round}");
    }
    assert_eq!((rig.counter(counter::RX_RAW_FULL), rig.read_context(&register::RAW_PRODUCED)), (1, 43));
}

#[test]
fn a_frame_longer_than_a_slot_is_dropped() {
    let settings = Settings { max_frame: 9000, ..Settings::default() };
    let mut rig = Rig::new(Watched::new(Model::default()), settings).expect("memory");
    rig.push(&[0xff; 2048 - 64], true);
    rig.push(&[0xff; 2048 - 63], true);
    rig.check().expect("at rest");
    assert_eq!((rig.raws().len(), rig.counter(counter::RX_RAW_FULL)), (1, 1));
}

#[test]
fn an_interrupt_comes_once_when_armed_and_something_is_there() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    assert!(b.host.take_interrupts().is_empty());
    b.ring(&register::INTERRUPT_ARM, 1);
    b.run();
    assert_eq!(b.host.take_interrupts(), [0], "what is there already counts");
    b.data(IRS + 10, 10);
    b.run();
    assert!(b.host.take_interrupts().is_empty(), "not armed again");
    b.events();
    b.ring(&register::INTERRUPT_ARM, 1);
    b.run();
    assert!(b.host.take_interrupts().is_empty(), "all was consumed");
    b.push(&[0xff; 60], true);
    b.run();
    assert_eq!((b.host.take_interrupts(), b.count(counter::INTERRUPTS)), (vec![0], 2));
}

#[test]
fn interrupts_keep_their_distance() {
    let settings = Settings { holdoff: 1000, ..Settings::default() };
    let mut b = Bench::with_settings(settings, |_| {});
    b.push(&[0xff; 60], true);
    b.ring(&register::INTERRUPT_ARM, 1);
    b.run();
    assert_eq!(b.host.take_interrupts(), [0]);
    b.ring(&register::INTERRUPT_ARM, 1);
    b.run();
    assert!(b.host.take_interrupts().is_empty());
    let deadline = b.engine.next_deadline().expect("hold-off");
    assert_eq!(deadline.0 >> TICK_SHIFT, (b.now.0 >> TICK_SHIFT) + 1000);
    let now = b.now;
    b.pass(deadline - now).expect("at rest");
    assert_eq!(b.host.take_interrupts(), [0]);
}

#[test]
fn reset_brings_back_the_power_on_state() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    b.write(&register::CONTROL, register::CONTROL_RESET.mask());
    assert_eq!(b.read(&register::CONTROL), 0);
    assert_eq!((b.read(&register::MAC_LO), b.read(&register::MAX_FRAME)), (0, 1518));
    assert_eq!((b.read_context(&register::EVENT_PRODUCED), b.count(counter::EVENTS)), (0, 0));
    assert_eq!(b.flow(), &toe_sim::model::Flow::default());
    b.push(&[0xff; 60], true);
    b.settle().expect("at rest");
    assert_eq!((b.count(counter::MAC_RX_FRAMES), b.count(counter::RX_RAW_FULL)), (1, 0), "the MAC counts it, and nobody takes it");
}

#[test]
fn nothing_is_sent_while_transmitting_is_off() {
    let mut b = Bench::new();
    b.write(&register::CONTROL, register::CONTROL_RECEIVE.mask());
    b.command(Opcode::AckNow, 0, None);
    assert_eq!(b.sent(), []);
    b.write(&register::CONTROL, register::CONTROL_RECEIVE.mask() | register::CONTROL_TRANSMIT.mask());
    b.run();
    assert_eq!(b.acked(), IRS);
}

#[test]
fn payload_is_in_memory_before_the_event_that_tells_of_it() {
    let mut rig = Rig::new(Model::default(), Settings::default()).expect("memory");
    let setup = FlowSetup::new(0, IRS, ISS);
    rig.ring_memory(setup.receive_base, 1 << setup.receive_log2).expect("memory");
    for command in setup.commands() {
        rig.post(command).expect("room");
    }
    rig.settle().expect("at rest");
    let piece = Piece { seq: IRS, ack: ISS, wnd: 1000, flags: ACK, timestamp: None };
    rig.push(&setup.frame(&piece, &bytes_at(IRS, 100)), true);
    rig.host.set_record(true);
    rig.settle().expect("at rest");
    let writes: Vec<u64> = rig.host.take_record().iter().filter(|a| a.write).map(|a| a.iova).collect();
    assert_eq!(writes, [setup.receive_base + u64::from(IRS % 65536), toe_sim::rig::EVENT_IOVA]);
}

#[test]
fn a_raw_command_reads_its_frame_before_it_says_so() {
    let mut b = Bench::new();
    let iova = b.buffer(&[3; 100]);
    let raw = Command::new(Opcode::Raw, 0, 0).with(command::RAW_IOVA, iova).with(command::RAW_LENGTH, 100);
    b.post(raw).expect("room");
    b.settle().expect("at rest");
    assert_eq!((b.read_context(&register::RAW_FETCHED), b.frames()), (1, vec![vec![3; 100]]));
}
