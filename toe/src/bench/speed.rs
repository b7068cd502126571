//! How fast the simulation is. Times of different machines, or of one at different hours, cannot be compared: ratios within a run can.

use super::figure::Figure;
#[cfg(feature = "rtl")]
use super::figure::Target;
use super::load::{Load, World};
use anyhow::{ensure, Result};
#[cfg(feature = "rtl")]
use std::time::Instant;
use toe_sim::model::Model;
use toe_sim::root_complex::Timing;
#[cfg(feature = "rtl")]
use toe_sim::verilated::{Bare, Verilated};

/// Traffic both ways over several flows.
fn load(segments: u32) -> Load {
    Load { flows: 16, payload: 1448, timestamps: true, receive: segments, send: segments, timing: Timing::PCIE }
}

/// The model's operations a second, without the time of peers and host.
///
/// # Errors
/// The model lost something.
pub(crate) fn model(segments: u32) -> Result<Figure> {
    let mut world = World::new(Model::default(), load(segments * 10))?;
    let before = toe_sim::engine::Engine::cycles(&world.rig.engine);
    ensure!(world.run()? && world.drops() == 0, "the model lost something");
    let operations = toe_sim::engine::Engine::cycles(&world.rig.engine) - before;
    Figure::timed("model_speed", operations as f64 / world.engine_time.as_secs_f64(), "operations/s", None)
}

/// Times of the two loops, taken in turn.
#[cfg(feature = "rtl")]
const ROUNDS: usize = 7;

/// The RTL with the whole simulated world round it, against the same inputs in a bare C++ loop round the same model.
///
/// # Errors
/// The two did not do the same, or the engine lost something.
#[cfg(feature = "rtl")]
pub(crate) fn simulation(segments: u32) -> Result<Vec<Figure>> {
    let load = load(segments);
    let mut world = World::new(Verilated::recorded(1), load)?;
    world.run()?;
    let expected = world.rig.engine.outputs();
    let recording = world.rig.engine.take_recording().ok_or_else(|| anyhow::anyhow!("nothing was recorded"))?;
    let cycles = recording.cycles();
    let (mut ratios, mut speeds) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut bare = Bare::new(1);
        let begin = Instant::now();
        bare.replay(&recording);
        let alone = begin.elapsed().as_secs_f64();
        ensure!(bare.outputs() == expected, "the bare loop came to another end");
        let begin = Instant::now();
        let mut world = World::new(Verilated::new(1), load)?;
        world.run()?;
        let whole = begin.elapsed().as_secs_f64();
        ensure!(world.rig.engine.outputs() == expected, "the simulation came to another end");
        ratios.push(alone / whole);
        speeds.push(cycles as f64 / whole);
    }
    let share = Figure::timed("simulation_of_bare_loop", median(&mut ratios), "share", Some(Target::AtLeast(0.8)))?;
    Ok(vec![share, Figure::timed("simulation_speed", median(&mut speeds), "cycles/s", None)?])
}

#[cfg(feature = "rtl")]
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
