//! The NIC in one process with its driver: an engine, the host's memory as it sees it, and a wire.
//!
//! ```text
//!   driver ──Bus──► Threaded │ Nic of a World ──► Device ─┬─ engine ─ wire ─► outside
//!                   wall clock  virtual clock             └─ root complex ─► the driver's memory
//! ```
//!
//! [`Threaded`] runs the device in a thread of its own, in real time, for peers that live in real time. A [`World`] runs one or
//! several devices in the caller's thread, in virtual time that skips what nobody does: the same run every time.

mod doorbells;
mod lockstep;
mod process;
mod threaded;

pub use doorbells::Doorbells;
pub use lockstep::{LockstepNic, Stopped, World};
pub use process::{DeviceProcess, ProcessError};
pub use threaded::{Snapshot, Threaded, Upstream};

use crate::engine::Engine;
use crate::root_complex::{MapError, RootComplex, Timing};
use crate::time::Nanoseconds;
use crate::wire::{Wire, WireError, WireFrame};
use std::ops::RangeInclusive;
use toe_contract::register;
use toe_driver::{BusError, Iova, Memory};

/// Frames that wait in the engine's adapter before the wire is asked for more.
const MOST_BACKLOG: usize = 32;

/// Steps until a reset must be done.
const RESET_STEPS: u32 = 10_000;

/// The most steps until a device must have come to rest, and the cycles of one.
const SETTLE_STEPS: u32 = 100_000;
/// See [`SETTLE_STEPS`].
const SETTLE_CYCLES: u64 = 4096;

/// Why a device has stopped.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Its wire cannot go on.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An invariant does not hold.
    #[error("{0}")]
    Violated(String),
    /// It had stopped before, for that reason.
    #[error("{0}")]
    Stopped(String),
    /// It goes on and on.
    #[error("the device does not come to rest within {cycles} cycles")]
    Busy {
        /// Cycles waited.
        cycles: u64,
    },
    /// The reset bit stayed.
    #[error("the engine has not finished its reset within {steps} steps")]
    Reset {
        /// Steps waited.
        steps: u32,
    },
}

/// An engine with everything round it.
pub struct Device {
    engine: Box<dyn Engine>,
    host: RootComplex,
    wire: Box<dyn Wire>,
}

impl Device {
    /// A device whose moods of the bus come from `seed`.
    pub fn new(engine: Box<dyn Engine>, wire: Box<dyn Wire>, timing: Timing, seed: u64) -> Device {
        Device { engine, host: RootComplex::new(timing, seed), wire }
    }

    /// The engine.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The wire.
    pub fn wire(&self) -> &dyn Wire {
        &*self.wire
    }

    /// The host as the device sees it.
    pub fn host(&self) -> &RootComplex {
        &self.host
    }

    /// The same, to be changed.
    pub fn host_mut(&mut self) -> &mut RootComplex {
        &mut self.host
    }

    /// Reads a register.
    pub fn read(&mut self, offset: u32) -> u32 {
        self.engine.register_read(offset, &mut self.host)
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u32, value: u32) {
        self.engine.register_write(offset, value, &mut self.host);
    }

    /// A frame with a good FCS comes, whatever the wire has.
    pub fn receive(&mut self, frame: &[u8]) {
        self.engine.receive(frame, true);
    }

    /// Function level reset: the power-on state, bus mastering on, no interrupt under way.
    ///
    /// # Errors
    /// The engine does not finish it.
    pub fn reset(&mut self, now: Nanoseconds) -> Result<(), DeviceError> {
        self.write(register::CONTROL.offset, register::CONTROL_RESET.mask());
        for _ in 0..RESET_STEPS {
            self.engine.advance(now, 16, &mut self.host);
            if register::CONTROL_RESET.get(self.read(register::CONTROL.offset)) == 0 {
                self.host.take_interrupts();
                self.host.set_bus_master(true);
                return Ok(());
            }
        }
        Err(DeviceError::Reset { steps: RESET_STEPS })
    }

    /// Works for some cycles at that time: takes what the wire has, gives it what was sent. False: there was nothing to do.
    ///
    /// # Errors
    /// The wire cannot go on, or an invariant does not hold.
    pub fn step(&mut self, now: Nanoseconds, cycles: u64) -> Result<bool, DeviceError> {
        let mut moved = false;
        while self.engine.backlog() < MOST_BACKLOG {
            let Some(frame) = self.wire.receive(now)? else { break };
            self.engine.receive(&frame.bytes, frame.fcs_ok());
            moved = true;
        }
        self.engine.advance(now, cycles, &mut self.host);
        while let Some(frame) = self.engine.transmit() {
            self.wire.send(now, WireFrame::new(frame))?;
            moved = true;
        }
        let violations = self.engine.take_violations();
        if !violations.is_empty() {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            return Err(DeviceError::Violated(all.join("; ")));
        }
        Ok(moved || self.engine.busy())
    }

    /// Works, at this very moment, until there is nothing left to do. False: there was nothing to do.
    ///
    /// # Errors
    /// The wire cannot go on, an invariant does not hold, or the engine does not come to rest.
    pub fn settle(&mut self, now: Nanoseconds) -> Result<bool, DeviceError> {
        for step in 0..SETTLE_STEPS {
            if !self.step(now, SETTLE_CYCLES)? {
                return Ok(step > 0);
            }
        }
        Err(DeviceError::Busy { cycles: u64::from(SETTLE_STEPS) * SETTLE_CYCLES })
    }

    /// When there will be something to do though nothing happens outside.
    pub fn next_event(&self) -> Option<Nanoseconds> {
        [self.engine.next_deadline(), self.wire.next_event()].into_iter().flatten().min()
    }
}

/// Bus addresses as an IOMMU of a PC gives them: 48 bits, without the interrupt window.
fn iova_ranges() -> Vec<RangeInclusive<u64>> {
    vec![0..=0xfedf_ffff, 0xfef0_0000..=0xffff_ffff_ffff]
}

/// Refuses an access outside BAR 0.
fn check_offset(offset: u32) -> Result<(), BusError> {
    if offset < register::BAR_SIZE && offset.is_multiple_of(4) {
        Ok(())
    } else {
        Err(BusError::Offset { offset, size: register::BAR_SIZE })
    }
}

fn map(host: &mut RootComplex, memory: &Memory, iova: Iova) -> Result<(), BusError> {
    host.map(iova.0, memory, true).map_err(|why| mapping(iova, memory.len(), why))
}

fn unmap(host: &mut RootComplex, iova: Iova, bytes: usize) -> Result<(), BusError> {
    host.unmap(iova.0, bytes as u64).map_err(|why| mapping(iova, bytes, why))
}

fn mapping(iova: Iova, bytes: usize, why: MapError) -> BusError {
    BusError::Mapping { iova, bytes, why: why.to_string() }
}
