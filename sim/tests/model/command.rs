//! COMMAND and REPORT: refusals, removal, raw frames, injection, events and their re-arming.

use crate::bench::{bytes_at, Bench, FIN, IRS, ISS};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Kind};
use toe_contract::raw::Reason;
use toe_contract::{counter, register};
use toe_sim::engine::Engine;
use toe_sim::invariants::Watched;
use toe_sim::model::Model;
use toe_sim::rig::{FlowSetup, Rig, Settings};

/// Posts a command and says whether it was refused; nothing else may have happened then.
fn refused(b: &mut Bench, command: Command) -> bool {
    let (before, count) = (b.flow().clone(), b.count(counter::BAD_COMMANDS));
    b.events();
    b.post(command).expect("room");
    b.run();
    let refused = b.count(counter::BAD_COMMANDS) > count;
    if refused {
        let told = b.only_event();
        assert_eq!(told.get(event::KIND), Kind::BadCommand as u32);
        assert_eq!((told.get(event::FLOW), told.get(event::COMMAND)), (command.flow().into(), command.0[0]));
        assert_eq!(b.flow(), &before, "nothing else happens");
    }
    refused
}

fn flow_command(opcode: Opcode, flags: u8, piece: command::Piece, value: u32) -> Command {
    Command::new(opcode, 0, flags).with(piece, value.into())
}

#[test]
fn unknown_opcodes_and_flow_numbers_are_refused() {
    let mut b = Bench::new();
    assert!(refused(&mut b, Command([0; 8])));
    assert!(refused(&mut b, Command([14, 0, 0, 0, 0, 0, 0, 0])));
    let flows = u16::try_from(b.read(&register::FLOWS)).expect("16 bits");
    assert!(refused(&mut b, Command::new(Opcode::AckNow, flows, 0)));
    assert_eq!(b.read(&register::BAD_COMMANDS), 3);
}

#[test]
fn commands_for_a_flow_that_is_not_active_are_refused() {
    let mut b = Bench::new();
    for opcode in [Opcode::Send, Opcode::Consumed, Opcode::Cwnd, Opcode::Resend, Opcode::AckNow, Opcode::Rearm, Opcode::Remove] {
        assert!(refused(&mut b, Command::new(opcode, 1, 0)), "{opcode:?}");
    }
}

#[test]
fn installation_of_an_active_flow_or_tuple_is_refused() {
    let mut b = Bench::new();
    for command in b.setup.commands() {
        assert!(refused(&mut b, command), "{:?}", command.opcode());
    }
    let twin = FlowSetup { number: 1, ..b.setup };
    let commands = twin.commands();
    for command in &commands[..3] {
        assert!(!refused(&mut b, *command));
    }
    assert!(refused(&mut b, commands[3]), "the tuple is there already");
}

#[test]
fn rings_are_refused_with_segments_of_16384_bytes() {
    let mut b = Bench::new();
    let rings = |snd_mss| FlowSetup { number: 1, snd_mss, ..b.setup }.commands()[1];
    let (longest, longer) = (rings(16383), rings(16384));
    assert!(!refused(&mut b, longest) && refused(&mut b, longer));
}

#[test]
fn send_is_refused_backwards_and_beyond_the_ring() {
    let mut b = Bench::with(|f| f.send_log2 = 12);
    b.send_to(ISS + 100, 0);
    assert!(refused(&mut b, flow_command(Opcode::Send, 0, command::SEND_LIMIT, ISS + 99)));
    assert!(refused(&mut b, flow_command(Opcode::Send, 0, command::SEND_LIMIT, ISS + 4097)));
    assert!(!refused(&mut b, flow_command(Opcode::Send, 0, command::SEND_LIMIT, ISS + 4096)));
}

#[test]
fn the_limit_stays_once_a_fin_is_queued() {
    let mut b = Bench::new();
    b.send_to(ISS + 100, command::FIN);
    assert!(!refused(&mut b, flow_command(Opcode::Send, 0, command::SEND_LIMIT, ISS + 200)));
    assert_eq!((b.flow().limit, b.flow().fin_queued), (ISS + 100, true));
}

#[test]
fn consumed_is_refused_backwards_and_beyond_rcv_nxt() {
    let mut b = Bench::new();
    b.data(IRS, 100);
    assert!(refused(&mut b, flow_command(Opcode::Consumed, 0, command::CONSUMED_RCV_CONSUMED, IRS + 101)));
    assert!(!refused(&mut b, flow_command(Opcode::Consumed, 0, command::CONSUMED_RCV_CONSUMED, IRS + 50)));
    assert!(refused(&mut b, flow_command(Opcode::Consumed, 0, command::CONSUMED_RCV_CONSUMED, IRS + 49)));
}

#[test]
fn resend_is_refused_outside_what_is_out() {
    let mut b = Bench::new();
    b.send_to(ISS + 100, 0);
    for flags in [0, command::RESEND_ONE] {
        assert!(refused(&mut b, flow_command(Opcode::Resend, flags, command::RESEND_FROM, ISS - 1)));
        assert!(refused(&mut b, flow_command(Opcode::Resend, flags, command::RESEND_FROM, ISS + 101)));
        assert!(!refused(&mut b, flow_command(Opcode::Resend, flags, command::RESEND_FROM, ISS + 100)));
    }
}

#[test]
fn a_refused_command_does_not_arm() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    b.data(IRS + 10, 10);
    assert!((b.flow().dirty, b.flow().armed) == (true, false));
    assert!(refused(&mut b, flow_command(Opcode::Send, command::REARM, command::SEND_LIMIT, ISS - 1)));
    assert!(b.flow().dirty, "and so nothing was told");
}

#[test]
fn raw_and_inject_are_refused_by_length_and_by_checksum_fields() {
    let mut b = Bench::with_settings(Settings::default(), |_| {});
    let raw = |opcode, flags, length: u64| Command::new(opcode, 0, flags).with(command::RAW_IOVA, 0x4000_0000).with(command::RAW_LENGTH, length);
    for opcode in [Opcode::Raw, Opcode::Inject] {
        assert!(refused(&mut b, raw(opcode, 0, 13)));
        assert!(refused(&mut b, raw(opcode, 0, 1519)));
        assert!(!refused(&mut b, raw(opcode, 0, 1518)));
    }
    let fields = |start: u64, offset: u64| {
        raw(Opcode::Raw, command::RAW_CHECKSUM, 60).with(command::RAW_CHECKSUM_START, start).with(command::RAW_CHECKSUM_OFFSET, offset)
    };
    assert!(refused(&mut b, fields(60, 20)) && refused(&mut b, fields(20, 59)));
    assert!(!refused(&mut b, fields(59, 58)));
    assert_eq!(b.read_context(&register::RAW_FETCHED), 3);
    let mut of_none = fields(59, 58);
    of_none.0[0] |= 0xffff_0000;
    assert!(!refused(&mut b, of_none), "their flow number is not looked at");
}

#[test]
fn removal_tells_the_whole_state_and_frees_tuple_and_number() {
    let mut b = Bench::new();
    b.data(IRS, 100);
    b.send_to(ISS + 50, command::FIN);
    b.events();
    b.command(Opcode::Remove, 0, None);
    let told = b.only_event();
    assert_eq!((told.get(event::KIND), told.get(event::FLOW)), (Kind::Removed as u32, 0));
    assert_eq!((told.get(event::RCV_NXT), told.get(event::SND_MAX), told.get(event::FLAGS)), (IRS + 100, ISS + 51, event::FIN_QUEUED.into()));
    assert!(!b.flow().active);
    // Its segments go up now.
    let frame = b.setup.frame(&b.segment(IRS + 100), &[1; 10]);
    b.push(&frame, true);
    b.run();
    let raws = b.raws();
    assert_eq!((raws[0].0.get(event::KIND), raws[0].1.clone()), (Reason::NoFlow as u32, frame));
    // And number and tuple can be used again; the delayed ACK of before meets nobody.
    for command in b.setup.commands() {
        b.post(command).expect("room");
    }
    b.run();
    assert_eq!((b.flow().active, b.flow().generation, b.flow().rcv_nxt), (true, 2, IRS));
    b.frames();
    b.pass(toe_sim::time::Nanoseconds::from_millis(100)).expect("at rest");
    assert_eq!(b.sent(), []);
}

#[test]
fn events_merge_until_the_flow_is_armed_again() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    assert_eq!(b.only_event().get(event::RCV_NXT), IRS + 10);
    b.data(IRS + 10, 10);
    b.data(IRS + 20, 10);
    assert!(b.kinds().is_empty());
    b.command(Opcode::Rearm, command::REARM, None);
    assert_eq!(b.only_event().get(event::RCV_NXT), IRS + 30);
    b.command(Opcode::Rearm, command::REARM, None);
    assert!(b.kinds().is_empty(), "nothing new");
    b.data(IRS + 30, 10);
    assert_eq!(b.only_event().get(event::RCV_NXT), IRS + 40);
}

#[test]
fn rearm_rides_on_any_command_and_alone_does_nothing_without_its_flag() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    b.events();
    b.data(IRS + 10, 10);
    b.command(Opcode::Rearm, 0, None);
    assert!(b.kinds().is_empty());
    b.command(Opcode::Consumed, command::REARM, Some((command::CONSUMED_RCV_CONSUMED, IRS + 10)));
    assert_eq!(b.only_event().get(event::RCV_NXT), IRS + 20);
}

#[test]
fn an_event_carries_how_many_commands_were_taken() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    assert_eq!(b.only_event().get(event::SUBMISSION_CONSUMED), 4);
    b.command(Opcode::Remove, 0, None);
    assert_eq!(b.only_event().get(event::SUBMISSION_CONSUMED), 5);
}

#[test]
fn ack_now_sends_an_ack_even_if_nothing_came() {
    let mut b = Bench::new();
    b.command(Opcode::AckNow, 0, None);
    b.command(Opcode::AckNow, 0, None);
    assert_eq!(b.acked_all(), [IRS, IRS]);
}

#[test]
fn installation_can_send_at_once() {
    let mut b = Bench::with(|f| {
        f.limit = ISS + 100;
        f.fin = true;
    });
    let sent = b.sent();
    assert_eq!((sent[0].seq, sent[0].payload.len(), sent[0].flags & FIN), (ISS, 100, FIN));
    assert!(!b.flow().pending());
}

#[test]
fn raw_frames_go_out_as_they_are_and_are_counted() {
    let mut rig = Rig::new(Watched::new(Model::default()), Settings::default()).expect("memory");
    let frame = bytes_at(1, 100);
    rig.send_raw(&frame).expect("room");
    rig.check().expect("at rest");
    assert_eq!(rig.frames(), [frame]);
    assert_eq!((rig.counter(counter::TX_RAW), rig.read_context(&register::RAW_FETCHED)), (1, 1));
}

#[test]
fn raw_checksum_is_put_in_at_even_and_odd_starts() {
    // A UDP datagram of RFC 768 at 34, worked by hand: 10.0.0.1 -> 10.0.0.2, ports 1 and 2, length 9, byte 0x41.
    // Pseudo header: 0a00 + 0001 + 0a00 + 0002 + 0011 + 0009 = 141d; with 0001 + 0002 + 0009 + 4100 = 5529 -> ~ = aad6.
    for shift in [0, 1] {
        let mut rig = Rig::new(Watched::new(Model::default()), Settings::default()).expect("memory");
        let mut frame = vec![0xaa; 34 + shift];
        frame.extend([0, 1, 0, 2, 0, 9, 0x14, 0x1d, 0x41]);
        let (start, iova) = (34 + shift as u64, rig.buffer(&frame));
        let command = Command::new(Opcode::Raw, 0, command::RAW_CHECKSUM)
            .with(command::RAW_IOVA, iova)
            .with(command::RAW_LENGTH, frame.len() as u64)
            .with(command::RAW_CHECKSUM_START, start)
            .with(command::RAW_CHECKSUM_OFFSET, start + 6);
        rig.post(command).expect("room");
        rig.settle().expect("at rest");
        let sent = rig.frames().remove(0);
        assert_eq!(sent[40 + shift..42 + shift], [0xaa, 0xd6]);
        frame[40 + shift..42 + shift].copy_from_slice(&[0xaa, 0xd6]);
        assert_eq!(sent[..frame.len()], frame);
    }
}

#[test]
fn an_injected_frame_is_received_whoever_it_is_addressed_to() {
    let mut b = Bench::new();
    let mut frame = b.setup.frame(&b.segment(IRS), &bytes_at(IRS, 100));
    frame[0] ^= 0xfe;
    b.push(&frame, true);
    b.run();
    assert_eq!((b.count(counter::MAC_RX_FILTERED), b.flow().rcv_nxt), (1, IRS));
    frame[0] ^= 0xfe;
    b.inject(&frame).expect("room");
    b.run();
    assert_eq!((b.flow().rcv_nxt, b.count(counter::INJECTED), b.count(counter::MAC_RX_FRAMES)), (IRS + 100, 1, 0));
    assert_eq!(b.received(IRS, 100), bytes_at(IRS, 100));
}

#[test]
fn a_dma_fault_stops_everything_and_sends_the_interrupt() {
    let mut b = Bench::new();
    let base = b.setup.receive_base;
    b.host.unmap(base, 1 << 16).expect("mapped");
    b.ring(&register::INTERRUPT_ARM, 1);
    let frame = b.setup.frame(&b.segment(IRS), &[1; 2000]);
    b.push(&frame, true);
    let frame = b.setup.frame(&b.segment(IRS), &[1; 100]);
    b.push(&frame, true);
    b.settle().expect("at rest");
    assert_eq!(b.read(&register::STATUS) & register::STATUS_FAULT.mask(), register::STATUS_FAULT.mask());
    assert_eq!(b.host.take_interrupts(), [0]);
    b.post(Command::new(Opcode::AckNow, 0, 0)).expect("room");
    b.settle().expect("at rest");
    assert_eq!((b.frames(), b.engine.next_deadline()), (Vec::<Vec<u8>>::new(), None));
    b.write(&register::CONTROL, register::CONTROL_RESET.mask());
    assert_eq!(b.read(&register::STATUS), 0);
}
