//! What was found, in words.

use super::stimulus::Stimulus;
use super::{Mode, Options};
use crate::rig::RigError;
use crate::root_complex::Timing;
use std::fmt;
use toe_contract::event::Event;

/// What two engines did not do alike.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Seed of the episode.
    pub seed: u64,
    /// Step in which it showed.
    pub step: u32,
    /// How it was looked for.
    pub mode: Mode,
    /// How fast the bus was.
    pub timing: Timing,
    /// What it is.
    pub what: String,
    /// What the model did.
    pub reference: String,
    /// What the other engine did.
    pub other: String,
    /// The last stimuli.
    pub trace: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {:#x}, step {}: {}", self.seed, self.step, self.what)?;
        writeln!(f, "  model: {}\n  other: {}\nThe last stimuli:", self.reference, self.other)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        let mode = format!("{:?}", self.mode).to_lowercase();
        let bus = match self.timing {
            Timing::PCIE => " --bus pcie",
            Timing::HOSTILE => " --bus hostile",
            _ => "",
        };
        write!(f, "Again: differential --mode {mode}{bus} --seed {:#x} --steps {} --segments 1", self.seed, self.step)
    }
}

impl std::error::Error for Difference {}

/// Hexadecimal, and a TCP segment in words.
pub(super) fn frame_text(frame: &[u8]) -> String {
    let hex: String = frame.iter().take(90).map(|b| format!("{b:02x}")).collect();
    format!("{:?} {hex}", Stimulus::Frame(frame.to_vec(), true))
}

pub(super) fn event_text(event: &Event) -> String {
    toe_contract::event::LAYOUT.iter().map(|f| format!("{}={} ", f.name, event.get(*f))).collect()
}

pub(super) fn failure(seed: u64, options: &Options, error: &RigError) -> Box<Difference> {
    Box::new(Difference {
        seed,
        step: 0,
        mode: options.mode,
        timing: options.timing,
        what: "the run cannot go on".into(),
        reference: String::new(),
        other: error.to_string(),
        trace: Vec::new(),
    })
}
