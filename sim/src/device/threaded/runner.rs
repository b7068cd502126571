//! The device's thread.

use super::{Shared, Upstream};
use crate::device::{Device, DeviceError, Doorbells};
use crate::time::{Clock, Nanoseconds, WallClock};
use crate::wire::{wait, WireError};
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use std::os::fd::AsFd;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use toe_contract::register;
use toe_driver::BusError;

/// Cycles between two looks at requests and wire.
const BATCH: u64 = 256;
/// The longest sleep.
const LONGEST_SLEEP: Nanoseconds = Nanoseconds::from_secs(1);
/// The longest sleep with a wire that cannot wake us.
const DEAF_SLEEP: Nanoseconds = Nanoseconds::from_millis(1);
/// The longest sleep with doorbells, which cannot wake us either.
const DOORBELL_SLEEP: Nanoseconds = Nanoseconds::from_micros(50);
/// So long after the last work it goes on looking at the doorbells without a sleep.
const DOORBELL_SPIN: Nanoseconds = Nanoseconds::from_micros(20);

/// What a holder asks for.
pub(super) enum Request {
    Read(u32, Sender<u32>),
    Write(u32, u32),
    Work(Box<dyn FnOnce(&mut Device) + Send>),
    Reset(bool, Sender<Result<(), BusError>>),
    Doorbells(Option<Doorbells>, Sender<()>),
    Stop,
}

pub(super) struct Runner {
    device: Device,
    shared: Arc<Shared>,
    requests: Receiver<Request>,
    upstream: Box<dyn Upstream>,
    clock: WallClock,
    doorbells: Option<Doorbells>,
    /// Faults that have been told of.
    faults: u64,
    worked_at: Nanoseconds,
}

impl Runner {
    pub(super) fn new(device: Device, shared: Arc<Shared>, requests: Receiver<Request>, upstream: Box<dyn Upstream>, clock: WallClock) -> Runner {
        Runner { device, shared, requests, upstream, clock, doorbells: None, faults: 0, worked_at: Nanoseconds::ZERO }
    }

    /// Runs the device until it is stopped, or stops by itself. Whoever holds it is told of that, and of a panic.
    pub(super) fn run(&mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.run_on())) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.stopped(&error.to_string()),
            Err(panic) => {
                self.stopped("the simulated device has panicked");
                resume_unwind(panic);
            }
        }
    }

    fn stopped(&mut self, reason: &str) {
        tracing::error!(reason, "the simulated device has stopped");
        self.shared.set_gone(reason.to_owned());
        self.upstream.stopped(reason);
    }

    fn run_on(&mut self) -> Result<(), DeviceError> {
        loop {
            // Seen before the requests are served: what was written to registers before a doorbell was rung takes effect before it.
            self.doorbells.iter_mut().for_each(Doorbells::look);
            let Some(asked) = self.serve() else { return Ok(()) };
            let rung = self.doorbells.as_mut().is_some_and(|doorbells| doorbells.ring(&mut self.device));
            let now = self.clock.now();
            let worked = self.device.step(now, BATCH)?;
            self.tell();
            if asked || rung || worked {
                self.worked_at = now;
            } else if self.doorbells.is_some() && now - self.worked_at < DOORBELL_SPIN {
                std::thread::yield_now();
            } else {
                self.sleep()?;
            }
        }
    }

    /// Tells of interrupts and of the last fault.
    fn tell(&mut self) {
        let host = self.device.host_mut();
        let faults = host.statistics().faults;
        if let Some(fault) = host.last_fault().filter(|_| faults != self.faults) {
            self.faults = faults;
            self.upstream.fault(fault);
        }
        host.take_interrupts().into_iter().for_each(|vector| self.upstream.interrupt(vector));
    }

    /// Serves the requests that are there: whether there were some; `None` to stop.
    fn serve(&mut self) -> Option<bool> {
        let mut asked = false;
        loop {
            let request = match self.requests.try_recv() {
                Ok(request) => request,
                Err(TryRecvError::Empty) => return Some(asked),
                Err(TryRecvError::Disconnected) => return None,
            };
            asked = true;
            // Who asked may have given up; then nobody takes the answer.
            match request {
                Request::Write(offset, value) => self.write(offset, value),
                Request::Read(offset, answer) => drop(answer.send(self.device.read(offset))),
                Request::Work(work) => work(&mut self.device),
                Request::Reset(master, answer) => drop(answer.send(self.reset(master))),
                Request::Doorbells(doorbells, answer) => {
                    self.doorbells = doorbells;
                    let _ = answer.send(());
                }
                Request::Stop => return None,
            }
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.device.write(offset, value);
        if offset == register::CONTROL.offset && register::CONTROL_RESET.get(value) != 0 {
            self.doorbells.iter_mut().for_each(Doorbells::reset);
        }
    }

    fn reset(&mut self, master: bool) -> Result<(), BusError> {
        let done = self.device.reset(self.clock.now()).map_err(|error| BusError::Gone(error.to_string()));
        self.device.host_mut().set_bus_master(master);
        self.doorbells.iter_mut().for_each(Doorbells::reset);
        done
    }

    /// Until a request, a frame, or something that is due.
    fn sleep(&self) -> Result<(), DeviceError> {
        self.shared.asleep.store(true, Ordering::SeqCst);
        // Who sends after this sees `asleep`, and rings.
        if self.requests.is_empty() {
            let wire = if self.device.wire().poll_fd().is_some() { LONGEST_SLEEP } else { DEAF_SLEEP };
            let longest = if self.doorbells.is_some() { DOORBELL_SLEEP } else { wire };
            let left = self.device.next_event().map_or(longest, |due| due - self.clock.now());
            let fds: Vec<_> = [Some(self.shared.doorbell.as_fd()), self.device.wire().poll_fd()].into_iter().flatten().collect();
            wait(&fds, left.min(longest)).map_err(|source| WireError::Io { what: "poll".into(), source })?;
        }
        self.shared.asleep.store(false, Ordering::SeqCst);
        let mut rung = [0; 8];
        // Not rung: it would block.
        let _ = rustix::io::read(&self.shared.doorbell, &mut rung);
        Ok(())
    }
}
