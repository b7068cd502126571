//! The RTL alone: a recording of its inputs in a bare C++ loop, to compare speeds with.

use super::{model, outputs};
use std::ffi::c_void;
use toe_verilate::{Change, Dut, Recording};

extern "C" {
    fn toe_api_top_replay(model: *mut c_void, cycles: u64, counts: *const u32, changes: *const Change);
}

/// A model of the RTL that has not run, with nothing round it.
pub struct Bare(Dut);

impl Bare {
    /// `seed` as in [`Verilated::new`](super::Verilated::new).
    pub fn new(seed: u32) -> Bare {
        Bare(model(seed))
    }

    /// Plays a recording of a [`Verilated`](super::Verilated) engine to it.
    pub fn replay(&mut self, recording: &Recording) {
        // SAFETY: the function is of the same library as the model, and recordings are made of models of this design only.
        unsafe { self.0.replay(toe_api_top_replay, recording) }
    }

    /// Cycles so far.
    pub fn cycles(&self) -> u64 {
        self.0.cycles()
    }

    /// The values of all outputs, in the order of their declaration.
    pub fn outputs(&self) -> Vec<u64> {
        outputs(&self.0)
    }
}
