//! Two engines under the same stimulus. The long run is `examples/differential.rs`.

#[path = "support/liar.rs"]
mod liar;

use liar::Liar;
use toe_contract::counter::COUNTERS;
use toe_sim::differential::{run, Mode, Options};
use toe_sim::model::Model;
use toe_sim::root_complex::Timing;
use toe_wire::TcpFlags;

fn options(mode: Mode, segments: u64) -> Options {
    Options { seed: 0x5eed, segments, steps: 400, mode, timing: Timing::default() }
}

#[test]
fn the_model_is_like_itself_and_keeps_the_invariants() {
    let report = run(Model::default(), &options(Mode::Single, 20_000), |_| {}).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(report.segments >= 20_000 && report.frames > 10_000, "{report:?}");
    // The generator comes by everything that an engine can count on a sound link.
    let impossible = ["mac_rx_error", "mac_rx_bad_preamble", "mac_tx_underrun", "mac_tx_aborted", "mac_tx_link_down", "rx_buffer_full"];
    let never: Vec<_> = COUNTERS.iter().zip(&report.counters).filter(|(c, n)| **n == 0 && !impossible.contains(&c.name)).map(|c| c.0.name).collect();
    assert!(never.is_empty(), "never counted: {never:?}");
}

#[test]
fn the_model_is_like_itself_in_bursts_and_comes_by_everything() {
    let report = run(Model::default(), &Options { steps: 120, ..options(Mode::Burst, 100_000) }, |_| {}).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(report.segments >= 100_000 && report.frames > 30_000, "{report:?}");
    // The model sends in the order of its operations: nothing overtakes.
    assert!(report.ends.iter().chain(&report.held[..3]).all(|n| *n > 0), "{report:?}");
}

#[test]
fn a_difference_in_a_burst_is_found() {
    let found = run(forgetful(), &Options { steps: 120, ..options(Mode::Burst, 100_000) }, |_| {}).expect_err("it differs");
    assert!(found.what.starts_with("frame sent"), "{found}");
    let again = Options { seed: found.seed, steps: found.step, ..options(Mode::Burst, 1) };
    let shown = run(forgetful(), &again, |_| {}).expect_err("it differs again");
    assert_eq!((shown.what, shown.step), (found.what, found.step));
}

#[test]
fn the_model_is_like_itself_in_a_crowd() {
    let report = run(Model::default(), &Options { steps: 20, ..options(Mode::Crowded, 5_000) }, |_| {}).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(report.segments >= 5_000 && report.frames > 2_000, "{report:?}");
}

/// Now and then forgets PSH, which no invariant speaks of.
fn forgetful() -> Liar {
    Liar::new(|tcp| tcp.flags = if tcp.seq.0.is_multiple_of(8) { tcp.flags.without(TcpFlags::PSH) } else { tcp.flags })
}

#[test]
fn a_difference_is_found_and_shown_again_by_its_seed_and_step() {
    let found = run(forgetful(), &options(Mode::Single, 100_000), |_| {}).expect_err("it differs");
    assert!(found.what.starts_with("frame sent"), "{found}");
    assert!(found.to_string().contains(&format!("--mode single --seed {:#x} --steps {} --segments 1", found.seed, found.step)), "{found}");
    let again = Options { seed: found.seed, steps: found.step, ..options(Mode::Single, 1) };
    let shown = run(forgetful(), &again, |_| {}).expect_err("it differs again");
    assert_eq!((shown.what, shown.step), (found.what, found.step));
    run(forgetful(), &Options { steps: found.step - 1, ..again }, |_| {}).unwrap_or_else(|early| panic!("not before that step: {early}"));
}
