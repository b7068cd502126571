//! Devices in the caller's thread, in virtual time.

use super::{check_offset, iova_ranges, map, unmap, Device, DeviceError};
use crate::time::{Clock, Nanoseconds, VirtualClock};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use toe_driver::{Bus, BusError, Iova, Memory, Waker};

/// Cycles of a step, and the time they take at 156.25 MHz.
const STEP_CYCLES: u64 = 20;
/// See [`STEP_CYCLES`].
const STEP: Nanoseconds = Nanoseconds(128);
/// The time that passes in [`Bus::relax`].
const RELAX: Nanoseconds = Nanoseconds::from_micros(1);

/// Why [`World::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The time has come.
    Time,
    /// A device has sent an interrupt, or somebody was woken.
    Interrupt,
}

/// Devices that share a virtual clock. Clones are the same world.
///
/// Time moves only in [`run_until`](World::run_until), [`Bus::wait`] and [`Bus::relax`]; while a device is busy in steps of 20 clock
/// cycles, else at once to what happens next. Whoever moves the clock himself lets each device [settle](LockstepNic::settle) at the moments he chooses.
#[derive(Clone)]
pub struct World {
    clock: VirtualClock,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    places: Vec<Place>,
    /// Why everything has stopped.
    failed: Option<String>,
}

struct Place {
    device: Device,
    signal: Arc<AtomicBool>,
}

/// One device of a [`World`], as a bus.
pub struct LockstepNic {
    world: World,
    place: usize,
    signal: Arc<AtomicBool>,
}

impl World {
    /// An empty world at the time of the clock.
    pub fn new(clock: VirtualClock) -> World {
        World { clock, inside: Arc::default() }
    }

    /// Puts a device into it.
    pub fn add(&self, device: Device) -> LockstepNic {
        let signal = Arc::new(AtomicBool::new(false));
        let mut inside = self.inside();
        inside.places.push(Place { device, signal: signal.clone() });
        LockstepNic { world: self.clone(), place: inside.places.len() - 1, signal }
    }

    /// The time.
    pub fn now(&self) -> Nanoseconds {
        self.clock.now()
    }

    /// Lets time go on until then, or until a device sends an interrupt or is woken (which stays to be seen by its [`Bus::wait`]).
    ///
    /// # Errors
    /// A wire cannot go on, or an invariant does not hold.
    pub fn run_until(&self, until: Nanoseconds) -> Result<Stopped, DeviceError> {
        let mut inside = self.inside();
        loop {
            if inside.places.iter().any(|place| place.signal.load(Ordering::Acquire)) {
                return Ok(Stopped::Interrupt);
            }
            if self.step(&mut inside, until)? {
                return Ok(Stopped::Time);
            }
        }
    }

    /// Lets time go on until then, whatever happens.
    ///
    /// # Errors
    /// A wire cannot go on, or an invariant does not hold.
    pub fn pass_until(&self, until: Nanoseconds) -> Result<(), DeviceError> {
        let mut inside = self.inside();
        while !self.step(&mut inside, until)? {}
        Ok(())
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step of all devices. True: the time has come.
    fn step(&self, inside: &mut Inside, until: Nanoseconds) -> Result<bool, DeviceError> {
        if let Some(failed) = &inside.failed {
            return Err(DeviceError::Stopped(failed.clone()));
        }
        let now = self.clock.now();
        let mut worked = false;
        for place in &mut inside.places {
            worked |= place.device.step(now, STEP_CYCLES).inspect_err(|error| inside.failed = Some(error.to_string()))?;
            if !place.device.host_mut().take_interrupts().is_empty() {
                place.signal.store(true, Ordering::Release);
            }
        }
        if now >= until {
            return Ok(true);
        }
        let next = inside.places.iter().filter_map(|place| place.device.next_event()).min();
        let next = if worked { now + STEP } else { next.unwrap_or(until).max(now + Nanoseconds(1)) };
        self.clock.advance_to(next.min(until));
        Ok(false)
    }
}

impl LockstepNic {
    /// Looks at the device.
    pub fn with<T>(&self, look: impl FnOnce(&mut Device) -> T) -> T {
        look(&mut self.world.inside().places[self.place].device)
    }

    /// Lets the device work, at this very moment, until it rests and its wire has nothing more. False: there was nothing to do.
    ///
    /// # Errors
    /// The wire cannot go on, an invariant does not hold, or the device does not come to rest.
    pub fn settle(&self) -> Result<bool, DeviceError> {
        let mut inside = self.world.inside();
        if let Some(failed) = &inside.failed {
            return Err(DeviceError::Stopped(failed.clone()));
        }
        let now = self.world.now();
        let settled = inside.places[self.place].device.settle(now);
        settled.inspect_err(|error| inside.failed = Some(error.to_string()))
    }

    /// Does something with the device, unless its world has stopped.
    fn access<T>(&self, access: impl FnOnce(&mut Device) -> T) -> Result<T, BusError> {
        let mut inside = self.world.inside();
        match &inside.failed {
            Some(failed) => Err(BusError::Gone(failed.clone())),
            None => Ok(access(&mut inside.places[self.place].device)),
        }
    }
}

impl Bus for LockstepNic {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        check_offset(offset)?;
        self.access(|device| device.read(offset))
    }

    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        check_offset(offset)?;
        self.access(|device| device.write(offset, value))
    }

    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        self.with(|device| map(device.host_mut(), memory, iova))
    }

    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.with(|device| unmap(device.host_mut(), iova, bytes))
    }

    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        iova_ranges()
    }

    fn reset(&self) -> Result<(), BusError> {
        let now = self.world.now();
        self.access(|device| device.reset(now))?.map_err(|error| BusError::Gone(error.to_string()))
    }

    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        let mut inside = self.world.inside();
        let mut run = || {
            while !self.signal.swap(false, Ordering::AcqRel) && !self.world.step(&mut inside, until)? {}
            Ok(())
        };
        run().map_err(|error: DeviceError| BusError::Gone(error.to_string()))
    }

    fn waker(&self) -> Waker {
        let signal = self.signal.clone();
        Arc::new(move || signal.store(true, Ordering::Release))
    }

    fn now(&self) -> Nanoseconds {
        self.world.now()
    }

    fn relax(&self) {
        // What goes wrong stops the world, and the next access tells why.
        let _ = self.world.pass_until(self.world.now() + RELAX);
    }
}
