//! A device in a thread of its own, in real time.
//!
//! Register writes are posted: they go through a channel, in order, and the caller does not wait. Reads wait for their answer. When there is nothing
//! to do, the thread sleeps in `poll` until the wire is readable, a request comes (an eventfd), or the next deadline.

use super::{check_offset, iova_ranges, map, unmap, Device, DeviceError};
use crate::root_complex::Statistics;
use crate::time::{Clock, Nanoseconds, WallClock};
use crate::wire::{wait, Count};
use crossbeam_channel::{bounded, unbounded, Receiver, RecvTimeoutError, Sender, TryRecvError};
use rustix::event::{eventfd, EventfdFlags};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use toe_driver::{Bus, BusError, Iova, Memory, Waker};

/// How long a caller waits for an answer of the thread.
const ANSWER: Duration = Duration::from_secs(10);
/// Cycles between two looks at requests and wire.
const BATCH: u64 = 256;
/// The longest sleep.
const LONGEST_SLEEP: Nanoseconds = Nanoseconds::from_secs(1);
/// The longest sleep with a wire that cannot wake us.
const DEAF_SLEEP: Nanoseconds = Nanoseconds::from_millis(1);

/// What a running device has done so far.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Clock cycles; operations, in the model.
    pub cycles: u64,
    /// What it did to memory.
    pub bus: Statistics,
    /// What the wire counted.
    pub wire: Vec<Count>,
}

enum Request {
    Read(u32, Sender<u32>),
    Write(u32, u32),
    Map(Memory, Iova, Sender<Result<(), BusError>>),
    Unmap(Iova, usize, Sender<Result<(), BusError>>),
    Reset(Sender<Result<(), BusError>>),
    Look(Sender<Snapshot>),
    Stop,
}

/// What both sides of the channel see.
struct Shared {
    /// The thread sleeps, or is about to.
    asleep: AtomicBool,
    doorbell: OwnedFd,
    gone: Mutex<Option<String>>,
}

impl Shared {
    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // It can fail only when the counter is full, and then the thread is awake.
            let _ = rustix::io::write(&self.doorbell, &1_u64.to_ne_bytes());
        }
    }

    fn gone(&self) -> BusError {
        let reason = self.gone.lock().unwrap_or_else(PoisonError::into_inner).clone();
        BusError::Gone(reason.unwrap_or_else(|| "the simulator's thread has ended".into()))
    }

    fn set_gone(&self, reason: String) {
        *self.gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

/// A running device, as a bus. Dropping it ends its thread.
pub struct Threaded {
    shared: Arc<Shared>,
    requests: Sender<Request>,
    signal: Sender<()>,
    signals: Receiver<()>,
    clock: WallClock,
    thread: Option<JoinHandle<()>>,
}

impl Threaded {
    /// Starts a thread that runs the device, with this clock.
    ///
    /// # Errors
    /// The system gives no thread or eventfd.
    pub fn start(clock: WallClock, device: Device) -> Result<Threaded, BusError> {
        let system = |what: &str| {
            let what = what.to_string();
            move |source: std::io::Error| BusError::System { what, source }
        };
        let doorbell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| system("eventfd")(e.into()))?;
        let shared = Arc::new(Shared { asleep: AtomicBool::new(false), doorbell, gone: Mutex::new(None) });
        let (requests, incoming) = unbounded();
        let (signal, signals) = bounded(1);
        let mut runner = Runner { device, shared: shared.clone(), requests: incoming, interrupt: signal.clone(), clock };
        let run = move || {
            if let Err(error) = runner.run() {
                tracing::error!(%error, "the simulated device has stopped");
                runner.shared.set_gone(error.to_string());
                let _ = runner.interrupt.try_send(());
            }
        };
        let thread = std::thread::Builder::new().name("toe-sim".into()).spawn(run).map_err(system("thread of the simulator"))?;
        Ok(Threaded { shared, requests, signal, signals, clock, thread: Some(thread) })
    }

    /// What it did so far.
    ///
    /// # Errors
    /// The device is gone.
    pub fn snapshot(&self) -> Result<Snapshot, BusError> {
        self.ask(Request::Look)
    }

    fn post(&self, request: Request) -> Result<(), BusError> {
        self.requests.send(request).map_err(|_| self.shared.gone())?;
        self.shared.wake();
        Ok(())
    }

    fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> Request) -> Result<T, BusError> {
        let (sender, answer) = bounded(1);
        self.post(request(sender))?;
        answer.recv_timeout(ANSWER).map_err(|error| match error {
            RecvTimeoutError::Timeout => BusError::Gone(format!("no answer within {ANSWER:?}")),
            RecvTimeoutError::Disconnected => self.shared.gone(),
        })
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        // If the thread has ended already, nobody takes it.
        let _ = self.post(Request::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Bus for Threaded {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        check_offset(offset)?;
        self.ask(|answer| Request::Read(offset, answer))
    }

    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        check_offset(offset)?;
        self.post(Request::Write(offset, value))
    }

    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        self.ask(|answer| Request::Map(memory.clone(), iova, answer))?
    }

    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.ask(|answer| Request::Unmap(iova, bytes, answer))?
    }

    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        iova_ranges()
    }

    fn reset(&self) -> Result<(), BusError> {
        self.ask(Request::Reset)?
    }

    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        let left = until - self.clock.now();
        // The sender lives in `self`: only the timeout can end this otherwise.
        let _ = self.signals.recv_timeout(Duration::from(left));
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            return Err(self.shared.gone());
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let signal = self.signal.clone();
        Arc::new(move || {
            // Full: somebody has woken it already.
            let _ = signal.try_send(());
        })
    }

    fn now(&self) -> Nanoseconds {
        self.clock.now()
    }

    fn relax(&self) {
        std::thread::yield_now();
    }
}

/// The thread's side.
struct Runner {
    device: Device,
    shared: Arc<Shared>,
    requests: Receiver<Request>,
    interrupt: Sender<()>,
    clock: WallClock,
}

impl Runner {
    fn run(&mut self) -> Result<(), DeviceError> {
        loop {
            let asked = match self.serve() {
                Some(asked) => asked,
                None => return Ok(()),
            };
            let worked = self.device.step(self.clock.now(), BATCH)?;
            if !self.device.host_mut().take_interrupts().is_empty() {
                // Full: one is waiting to be seen already.
                let _ = self.interrupt.try_send(());
            }
            if !asked && !worked {
                self.sleep()?;
            }
        }
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
                Request::Write(offset, value) => self.device.write(offset, value),
                Request::Read(offset, answer) => drop(answer.send(self.device.read(offset))),
                Request::Map(memory, iova, answer) => drop(answer.send(map(self.device.host_mut(), &memory, iova))),
                Request::Unmap(iova, bytes, answer) => drop(answer.send(unmap(self.device.host_mut(), iova, bytes))),
                Request::Reset(answer) => drop(answer.send(self.device.reset(self.clock.now()).map_err(|e| BusError::Gone(e.to_string())))),
                Request::Look(answer) => drop(answer.send(self.snapshot())),
                Request::Stop => return None,
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { cycles: self.device.engine().cycles(), bus: self.device.host().statistics(), wire: self.device.wire().counts() }
    }

    /// Until a request, a frame, or something that is due.
    fn sleep(&self) -> Result<(), DeviceError> {
        self.shared.asleep.store(true, Ordering::SeqCst);
        // Who sends after this sees `asleep`, and rings.
        if self.requests.is_empty() {
            let longest = if self.device.wire().poll_fd().is_some() { LONGEST_SLEEP } else { DEAF_SLEEP };
            let left = self.device.next_event().map_or(longest, |due| due - self.clock.now());
            let fds: Vec<_> = [Some(self.shared.doorbell.as_fd()), self.device.wire().poll_fd()].into_iter().flatten().collect();
            wait(&fds, left.min(longest)).map_err(|source| crate::wire::WireError::Io { what: "poll".into(), source })?;
        }
        self.shared.asleep.store(false, Ordering::SeqCst);
        let mut rung = [0; 8];
        // Not rung: it would block.
        let _ = rustix::io::read(&self.shared.doorbell, &mut rung);
        Ok(())
    }
}
