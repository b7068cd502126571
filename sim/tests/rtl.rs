//! The RTL against the model, over buses of every mood, and behind the driver's bus. Long runs: `examples/differential.rs`.

#![cfg(feature = "rtl")]

use toe_contract::command::{self, Command, Opcode};
use toe_contract::counter;
use toe_sim::differential::{run, Mode, Options, Report};
use toe_sim::engine::Engine;
use toe_sim::invariants::Watched;
use toe_sim::model::Model;
use toe_sim::rig::{FlowSetup, Piece, Rig, Settings};
use toe_sim::root_complex::Timing;
use toe_sim::verilated::Verilated;

fn alike(options: Options) -> Report {
    let seed = options.seed.to_le_bytes();
    let engine = Verilated::new(u32::from_le_bytes([seed[0], seed[1], seed[2], seed[3]]));
    // Where everything is held back at random, it also shows whether an output depends on an input within the cycle.
    let engine = if options.timing == Timing::HOSTILE { engine.strict() } else { engine };
    let report = run(engine, &options, |_| {}).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(report.segments >= options.segments && report.frames > options.segments / 4, "{report:?}");
    report
}

/// Every end of an episode comes about, and pure ACKs overtake segments that wait for the wire.
fn bursts(seed: u64, segments: u64, timing: Timing) {
    let report = alike(Options { seed, segments, steps: 40, mode: Mode::Burst, timing });
    let [.., overtaken] = report.held;
    assert!(report.ends.iter().all(|n| *n > 0) && overtaken > 0, "{report:?}");
}

fn single(seed: u64, timing: Timing) -> Options {
    Options { seed, segments: 1500, steps: 300, mode: Mode::Single, timing }
}

fn crowded(seed: u64, timing: Timing) -> Options {
    Options { seed, segments: 500, steps: 3, mode: Mode::Crowded, timing }
}

#[test]
fn bursts_over_an_instant_bus() {
    bursts(7, 30_000, Timing::default());
}

#[test]
fn bursts_over_pcie() {
    bursts(8, 20_000, Timing::PCIE);
}

#[test]
fn bursts_over_a_hostile_bus() {
    bursts(9, 20_000, Timing::HOSTILE);
}

#[test]
fn one_thing_at_a_time_over_an_instant_bus() {
    alike(single(1, Timing::default()));
}

#[test]
fn one_thing_at_a_time_over_pcie() {
    alike(single(2, Timing::PCIE));
}

#[test]
fn one_thing_at_a_time_over_a_hostile_bus() {
    alike(single(3, Timing::HOSTILE));
}

#[test]
fn a_crowd_over_an_instant_bus() {
    alike(crowded(4, Timing::default()));
}

#[test]
fn a_crowd_over_pcie() {
    alike(crowded(5, Timing::PCIE));
}

#[test]
fn a_crowd_over_a_hostile_bus() {
    alike(crowded(6, Timing::HOSTILE));
}

/// Segments that wait in front of the engine while their flow is installed are segments of good frames, too.
#[test]
fn segments_that_came_before_their_flow_was_installed() {
    let mut rig = Rig::new(Watched::new(Verilated::new(1)), Settings::default()).expect("memory");
    let setup = FlowSetup::new(0, 1000, 5000);
    rig.ring_memory(setup.receive_base, 1 << setup.receive_log2).expect("memory");
    for seq in (0..10).map(|n| setup.rcv_nxt + n * 1460) {
        rig.push(&setup.frame(&Piece { seq, ack: setup.snd_una, wnd: 1000, flags: 0x10, timestamp: None }, &[7; 1460]), true);
    }
    for command in setup.commands() {
        rig.post(command).expect("room");
    }
    rig.check().expect("all came in good frames");
    assert!(rig.counter(counter::RX_OUT_OF_ORDER) > 0, "some came before, some after");
}

/// A segment is sent again while its ACK is on its way: the host is told of the ACK, and then the segment comes out, or even its payload is read.
#[test]
fn segments_sent_again_that_are_acknowledged_meanwhile() {
    let mut engine = Verilated::new(1);
    let mut late = 0;
    for (frames_before, lag) in [0, 6].into_iter().flat_map(|frames| (0..800).step_by(20).map(move |lag| (frames, lag))) {
        let mut rig = Rig::new(Watched::new(engine), Settings { timing: Timing::PCIE, ..Settings::default() }).expect("memory");
        let setup = FlowSetup::new(0, 1000, 5000);
        rig.ring_memory(setup.receive_base, 1 << setup.receive_log2).expect("memory");
        rig.ring_memory(setup.send_base, 1 << setup.send_log2).expect("memory");
        for command in setup.commands() {
            rig.post(command).expect("room");
        }
        rig.post(Command::new(Opcode::Send, 0, 0).with(command::SEND_LIMIT, u64::from(setup.snd_una) + 100)).expect("room");
        rig.check().expect("nothing was sent twice");
        assert_eq!(rig.frames().len(), 1);
        for _ in 0..frames_before {
            rig.send_raw(&[0xaa; 1500]).expect("room");
        }
        rig.post(Command::new(Opcode::Resend, 0, command::RESEND_ONE).with(command::RESEND_FROM, setup.snd_una.into())).expect("room");
        rig.engine.advance(rig.now, lag, &mut rig.host);
        rig.push(&setup.frame(&Piece { seq: setup.rcv_nxt, ack: setup.snd_una + 100, wnd: 1000, flags: 0x10, timestamp: None }, &[]), true);
        let mut told = false;
        while rig.engine.busy() {
            rig.engine.advance(rig.now, 20, &mut rig.host);
            late += u32::from(told && std::iter::from_fn(|| rig.engine.transmit()).any(|frame| frame[12..14] == [8, 0]));
            told |= !rig.take_events().is_empty();
        }
        rig.check().unwrap_or_else(|error| panic!("{frames_before} frames before, the ACK after {lag} cycles: {error}"));
        engine = rig.into_engine().into_inner();
    }
    println!("{late} of 80 came out late");
    assert!(late >= 10, "{late} came out after the host was told");
}

/// A RESEND of one segment that finds nothing to send, while a RESEND of all is under way: the others are sent all the same.
#[test]
fn a_resend_of_one_with_nothing_to_send_does_not_stop_a_resend_of_all() {
    resends_all(Model::default());
    resends_all(Verilated::new(1));
}

fn resends_all<E: Engine>(engine: E) {
    let mut rig = Rig::new(Watched::new(engine), Settings::default()).expect("memory");
    let setup = FlowSetup::new(0, 1000, 5000);
    rig.ring_memory(setup.send_base, 1 << setup.send_log2).expect("memory");
    for command in setup.commands() {
        rig.post(command).expect("room");
    }
    let limit = setup.snd_una + 10 * u32::from(setup.snd_mss);
    rig.post(Command::new(Opcode::Send, 0, 0).with(command::SEND_LIMIT, limit.into())).expect("room");
    rig.check().expect("sent");
    let first = rig.frames();
    assert_eq!(first.len(), 10);
    rig.write_command(Command::new(Opcode::Resend, 0, 0).with(command::RESEND_FROM, setup.snd_una.into())).expect("room");
    rig.write_command(Command::new(Opcode::Resend, 0, command::RESEND_ONE).with(command::RESEND_FROM, limit.into())).expect("room");
    rig.doorbell();
    rig.check().expect("sent again");
    assert_eq!(rig.frames(), first);
}

/// Found by the long run: with the engine at a stand, an injected frame was passed by the frames of the next burst, whose order with it nobody determines.
#[test]
fn nothing_is_injected_while_the_engine_stands() {
    alike(Options { seed: 0x06ec_6147_1f44_9fa1, segments: 1, steps: 10, mode: Mode::Burst, timing: Timing::PCIE });
}
