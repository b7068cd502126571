//! Whether the device is there, works, is still set up as it was, and keeps up: what no event tells.
//!
//! A device that was pulled out reads as all ones; one that was reset behind our back has forgotten its rings; one that hangs leaves commands
//! untaken; one that writes an entry to the wrong place, or none, counts what we never see.

use super::{Nic, NicError};
use crate::{BusError, Nanoseconds};
use toe_contract::register::{self, Register};

/// How far the device's clock may leap ahead of the bus's between two looks. Clocks drift by millionths; a virtual machine that was paused finds
/// the device's clock ahead by the pause.
const LEAP: Nanoseconds = Nanoseconds::from_secs(60);
/// No device runs so long: 292 years.
const LATEST: Nanoseconds = Nanoseconds(u64::MAX / 2);
/// The most of a time between two looks that counts as waiting for the device: it may be our process that was stopped, and the device's as well.
const PAUSE: Nanoseconds = Nanoseconds::from_millis(250);

/// What the looks before found.
#[derive(Default)]
pub(super) struct Health {
    looked_at: Option<Nanoseconds>,
    device_time: Option<Nanoseconds>,
    /// Commands taken and frames fetched then, if some waited; and for how long there has been no progress since.
    waiting: Option<(u32, u32)>,
    stalled: Nanoseconds,
    /// Which of the rings is looked at next.
    turn: u8,
}

/// Which ring.
#[derive(Clone, Copy)]
enum Ring {
    Events,
    Raws,
}

impl Nic {
    /// Looks after the device: to be called now and then. Gives its time, from which it makes TCP timestamps.
    ///
    /// # Errors
    /// It is gone, has stopped by a DMA fault, was reset, takes no commands any more, or says what cannot be.
    pub fn check(&mut self) -> Result<Nanoseconds, NicError> {
        self.check_fault()?;
        self.check_setup(&[(register::CONTEXT_CONTROL, register::CONTEXT_ENABLE.mask())])?;
        let time = self.check_time()?;
        self.check_progress()?;
        match self.health.turn {
            0 => self.check_ring(Ring::Events)?,
            1 => self.check_ring(Ring::Raws)?,
            _ => self.check_setup(&self.rings())?,
        }
        self.health.turn = (self.health.turn + 1) % 3;
        self.health.looked_at = Some(self.bus.now());
        Ok(time)
    }

    /// Looks whether the device is there and has not stopped: when something is late.
    ///
    /// # Errors
    /// It is gone, or has stopped by a DMA fault.
    pub fn check_fault(&self) -> Result<(), NicError> {
        let status = self.bus.read32(register::STATUS.offset)?;
        if status == u32::MAX {
            return Err(BusError::Gone("its registers read as all ones".into()).into());
        }
        if register::STATUS_FAULT.get(status) == 1 {
            return Err(NicError::Fault);
        }
        Ok(())
    }

    /// The device's own time.
    ///
    /// # Errors
    /// The device is gone, or its time goes back.
    pub fn device_time(&mut self) -> Result<Nanoseconds, NicError> {
        let low = self.bus.read32(register::TIME_LO.offset)?;
        let high = self.bus.read32(register::TIME_HI.offset)?;
        let time = Nanoseconds(u64::from(high) << 32 | u64::from(low));
        let before = self.health.device_time.unwrap_or_default();
        if time < before || time > LATEST {
            let found = if high != (before.0 >> 32) as u32 { high } else { low };
            return Err(self.lie("device time", format!("{before} to {LATEST}"), found));
        }
        self.health.device_time = Some(time);
        Ok(time)
    }

    fn check_time(&mut self) -> Result<Nanoseconds, NicError> {
        let (before, looked_at) = (self.health.device_time, self.health.looked_at);
        let time = self.device_time()?;
        // Before the first look the two clocks have nothing in common.
        let most = before.zip(looked_at).map(|(before, looked_at)| before + (self.bus.now() - looked_at) + LEAP);
        match most {
            Some(most) if time > most => Err(self.lie("device time", format!("{most} at most, by the bus's clock"), (time.0 >> 32) as u32)),
            _ => Ok(time),
        }
    }

    /// Registers of the context that a reset would have changed.
    fn rings(&self) -> [(Register, u32); 3] {
        let low = |iova: crate::Iova| (iova.0 & 0xffff_ffff) as u32;
        [
            (register::SUBMISSION_BASE_LO, low(self.submission.place().0)),
            (register::EVENT_BASE_LO, low(self.events.place().0)),
            (register::RAW_BASE_LO, low(self.raws.place().0)),
        ]
    }

    fn check_setup(&self, expected: &[(Register, u32)]) -> Result<(), NicError> {
        for (register, expected) in expected {
            let found = self.bus.read32(register::CONTEXTS + register.offset)?;
            if found == u32::MAX {
                self.check_fault()?;
            }
            if found != *expected {
                return Err(NicError::Reset { what: register.name, expected: *expected, found });
            }
        }
        Ok(())
    }

    /// Commands that were told of, and frames of commands taken, must go on.
    fn check_progress(&mut self) -> Result<(), NicError> {
        self.read_consumed()?;
        if self.frames_sent != self.frames_fetched {
            self.read_fetched()?;
        }
        let idle = self.submission.is_taken() && self.frames_sent == self.frames_fetched;
        let waiting = (!idle).then(|| (self.submission.consumed(), self.frames_fetched));
        if idle || waiting != self.health.waiting {
            (self.health.waiting, self.health.stalled) = (waiting, Nanoseconds::ZERO);
            return Ok(());
        }
        let waited = self.health.looked_at.map_or(Nanoseconds::ZERO, |looked_at| self.bus.now() - looked_at);
        self.health.stalled += waited.min(PAUSE);
        if self.health.stalled < self.config.deadline {
            return Ok(());
        }
        let what = if self.submission.is_taken() { "the fetch of a frame to send" } else { "the taking of commands" };
        Err(NicError::Deadline { what, deadline: self.config.deadline })
    }

    /// What the device has counted must be there to see, and what was seen must have been counted. The counter may be early or late by what is
    /// on its way.
    fn check_ring(&self, ring: Ring) -> Result<(), NicError> {
        let end = self.bus.now() + self.config.deadline;
        let (register, what, size, consumed) = match ring {
            Ring::Events => (register::EVENT_PRODUCED, "EVENT_PRODUCED", self.events.size(), self.events.consumed()),
            Ring::Raws => (register::RAW_PRODUCED, "RAW_PRODUCED", self.raws.size(), self.raws.consumed()),
        };
        loop {
            let produced = self.bus.read32(register::CONTEXTS + register.offset)?;
            let ready = match ring {
                Ring::Events => self.events.ready(),
                Ring::Raws => self.raws.ready(),
            };
            let ahead = produced.wrapping_sub(consumed);
            if ahead == 0 || ahead <= size && ready {
                return Ok(());
            }
            if self.bus.now() >= end {
                let expected =
                    if ahead <= size { format!("{consumed}, as there is no entry") } else { format!("{consumed} to {}", consumed.wrapping_add(size)) };
                return Err(self.lie(what, expected, produced));
            }
            self.bus.relax();
        }
    }

    /// What a register says cannot be. All ones is what a device that was pulled out reads as, and one that was reset has forgotten its rings;
    /// anything else is a lie.
    pub(super) fn lie(&self, what: &'static str, expected: String, found: u32) -> NicError {
        let state = self.check_fault().and_then(|()| self.check_setup(&[(register::CONTEXT_CONTROL, register::CONTEXT_ENABLE.mask())]));
        state.err().unwrap_or(NicError::Device { what, expected, found })
    }
}
