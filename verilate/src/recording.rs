//! What went into a model, cycle by cycle, to be played to another one without the world that made it.

use crate::dut::{Direction, Dut, Port};
use std::ffi::c_void;

/// A changed input; its twin is in `replay.cpp`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Change {
    value: u64,
    port: u32,
    unused: u32,
}

/// The function `toe_api_TOP_replay` of a library that [`build_static`](crate::build_static) made.
pub type Replay = unsafe extern "C" fn(model: *mut c_void, cycles: u64, counts: *const u32, changes: *const Change);

/// The inputs of a model from its first cycle on. Ports of more than 64 bits and the clock are not recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    inputs: Vec<(u32, Port)>,
    last: Vec<u64>,
    counts: Vec<u32>,
    changes: Vec<Change>,
}

impl Recording {
    /// An empty one, for a model that has not run yet.
    pub fn new(dut: &Dut) -> Recording {
        let inputs = dut.ports().iter().zip(0..).filter(|(p, _)| p.direction == Direction::Input && p.width <= 64 && p.name != "clock");
        let inputs: Vec<(u32, Port)> = inputs.map(|(p, k)| (k, dut.port(&p.name))).collect();
        // A model's inputs are zero at first.
        Recording { last: vec![0; inputs.len()], inputs, counts: Vec::new(), changes: Vec::new() }
    }

    /// Notes the inputs as they are set, for the cycle that comes.
    pub fn note(&mut self, dut: &Dut) {
        let before = self.changes.len();
        for ((number, port), last) in self.inputs.iter().zip(&mut self.last) {
            let value = dut.get(*port);
            if *last != value {
                *last = value;
                self.changes.push(Change { value, port: *number, unused: 0 });
            }
        }
        // There are not so many ports.
        self.counts.push(u32::try_from(self.changes.len() - before).unwrap_or(0));
    }

    /// Cycles recorded.
    pub fn cycles(&self) -> u64 {
        self.counts.len() as u64
    }

    /// What the C++ loop takes.
    pub(crate) fn parts(&self) -> (u64, *const u32, *const Change) {
        (self.cycles(), self.counts.as_ptr(), self.changes.as_ptr())
    }
}
