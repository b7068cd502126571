//! The RTL against the model, over buses of every mood, and behind the driver's bus. Long runs: `examples/differential.rs`.

#![cfg(feature = "rtl")]

use toe_contract::counter;
use toe_sim::differential::{run, Mode, Options};
use toe_sim::invariants::Watched;
use toe_sim::rig::{FlowSetup, Piece, Rig, Settings};
use toe_sim::root_complex::Timing;
use toe_sim::verilated::Verilated;

fn alike(options: Options) {
    let seed = options.seed.to_le_bytes();
    let engine = Verilated::new(u32::from_le_bytes([seed[0], seed[1], seed[2], seed[3]]));
    // Where everything is held back at random, it also shows whether an output depends on an input within the cycle.
    let engine = if options.timing == Timing::HOSTILE { engine.strict() } else { engine };
    let report = run(engine, &options, |_| {}).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(report.segments >= options.segments && report.frames > options.segments / 4, "{report:?}");
}

fn single(seed: u64, timing: Timing) -> Options {
    Options { seed, segments: 1500, steps: 300, mode: Mode::Single, timing }
}

fn crowded(seed: u64, timing: Timing) -> Options {
    Options { seed, segments: 500, steps: 3, mode: Mode::Crowded, timing }
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
