//! The RTL against the model, over buses of every mood, and behind the driver's bus. Long runs: `examples/differential.rs`.

#![cfg(feature = "rtl")]

use toe_sim::differential::{run, Mode, Options};
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
