//! Two engines under the same stimulus: what they do must be the same.
//!
//! A run is made of episodes. Each begins with a reset, has rings, flows and moods of its own, and depends on nothing but its seed and its number of
//! steps: a difference is told with the command that shows it again. The reference is the [model](crate::model); the generator looks at its state to
//! find the corners.
//!
//! In each step something is done to both (a segment, a command, time...), both come to rest, and frames sent, events, raw frames, interrupts, and
//! receive rings are compared; counters now and then.
//!
//! - [`Mode::Single`]: one thing a step. Both choose the order of operations by themselves, and it must be the same. Both are watched for the
//!   [invariants](crate::invariants).
//! - [`Mode::Burst`]: up to 160 things a step, back to back at the pace of the wire. The model does the operations in the order in which the other engine did
//!   them; what they do is compared to the last bit. Episodes end by a removal of all flows, a reset under load, or a fault of the bus. Not watched: the
//!   observer would have to know which of two things that happened between two looks came first.
//! - [`Mode::Crowded`]: whole streams a step, on engines that choose by themselves. Only that is compared which cannot depend on their choice.

mod burst;
mod collide;
mod craft;
mod crowd;
mod difference;
mod end;
mod follow;
mod pair;
mod stimulus;

pub use difference::Difference;

use crate::engine::Engine;
use crate::root_complex::Timing;
use crate::time::Nanoseconds;
use pair::Episode;

/// What is compared, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// After a burst of them, everything; the model follows the order of operations of the other engine.
    Burst,
    /// After each stimulus, everything; the model chooses the order of operations by itself.
    Single,
    /// After some of them, what cannot depend on their order.
    Crowded,
}

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seed of the first episode; those that follow have seeds made from it.
    pub seed: u64,
    /// Segments to be given to both engines, at least.
    pub segments: u64,
    /// Steps of an episode.
    pub steps: u32,
    /// What is compared.
    pub mode: Mode,
    /// How fast the bus of the second engine is.
    pub timing: Timing,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Episodes.
    pub episodes: u64,
    /// Steps.
    pub steps: u64,
    /// Segments given to both engines.
    pub segments: u64,
    /// Frames that both sent.
    pub frames: u64,
    /// Clock cycles of the second engine.
    pub cycles: u64,
    /// Episodes by their end: all flows removed, a reset under load, a fault of the bus.
    pub ends: [u64; 3],
    /// Bursts with TRANSMIT off, bursts that the event ring had no room for, INSTALLs that the flow table had none for, and
    /// bursts in which a pure ACK overtook a segment whose header was made before.
    pub held: [u64; 4],
    /// The model's counters, by number: what the run has come by.
    pub counters: Vec<u64>,
}

/// The seed of the episode after one with this seed (the step of SplitMix64).
fn next_seed(seed: u64) -> u64 {
    seed.wrapping_add(0x9e37_79b9_7f4a_7c15)
}

/// Compares `engine` with the model; `progress` is told after every episode.
///
/// # Errors
/// The first difference, or what kept the run from going on.
pub fn run<E: Engine>(engine: E, options: &Options, mut progress: impl FnMut(&Report)) -> Result<Report, Box<Difference>> {
    let mut report = Report::default();
    let mut seed = options.seed;
    let (mut engine, mut now) = (engine, Nanoseconds::ZERO);
    while report.segments < options.segments || report.episodes == 0 {
        let mut episode = Episode::new(engine, seed, now, options)?;
        episode.run(&mut report)?;
        (engine, now) = episode.into_engine();
        report.episodes += 1;
        report.cycles = engine.cycles();
        seed = next_seed(seed);
        progress(&report);
    }
    Ok(report)
}
