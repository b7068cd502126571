//! A device in a thread of its own, in real time.
//!
//! Register writes are posted: they go through a channel, in order, and the caller does not wait. Reads wait for their answer. When there is nothing
//! to do, the thread sleeps in `poll` until the wire is readable, a request comes (an eventfd), or the next deadline.

mod runner;

use super::{check_offset, iova_ranges, map, unmap, Device, Doorbells};
use crate::root_complex::{Fault, Statistics};
use crate::time::{Clock, Nanoseconds, WallClock};
use crate::wire::Count;
use crossbeam_channel::{bounded, unbounded, Receiver, RecvTimeoutError, Sender};
use runner::{Request, Runner};
use rustix::event::{eventfd, EventfdFlags};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use toe_driver::{Bus, BusError, Iova, Memory, Waker};

/// How long a caller waits for an answer of the thread.
const ANSWER: Duration = Duration::from_secs(10);
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

/// What a device in a thread tells, outside of memory, to whoever holds it. Called in the device's thread: it must not wait.
pub trait Upstream: Send {
    /// An interrupt, behind everything that the device wrote before it.
    fn interrupt(&mut self, vector: u16);

    /// An access to memory was answered with an error.
    fn fault(&mut self, fault: Fault) {
        let _ = fault;
    }

    /// The device has stopped for good.
    fn stopped(&mut self, reason: &str);
}

/// Wakes [`Bus::wait`]; the reason of an end is asked for there.
impl Upstream for Sender<()> {
    fn interrupt(&mut self, _: u16) {
        // Full: one is waiting to be seen already.
        let _ = self.try_send(());
    }

    fn stopped(&mut self, _: &str) {
        self.interrupt(0);
    }
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
    /// Starts a thread that runs the device, with this clock. Interrupts end [`Bus::wait`].
    ///
    /// # Errors
    /// The system gives no thread or eventfd.
    pub fn start(clock: WallClock, device: Device) -> Result<Threaded, BusError> {
        let (signal, signals) = bounded(1);
        Threaded::spawn(clock, device, Box::new(signal.clone()), signal, signals)
    }

    /// The same for a holder that is told of interrupts and faults itself.
    ///
    /// # Errors
    /// The system gives no thread or eventfd.
    pub fn with_upstream(clock: WallClock, device: Device, upstream: Box<dyn Upstream>) -> Result<Threaded, BusError> {
        let (signal, signals) = bounded(1);
        Threaded::spawn(clock, device, upstream, signal, signals)
    }

    fn spawn(clock: WallClock, device: Device, upstream: Box<dyn Upstream>, signal: Sender<()>, signals: Receiver<()>) -> Result<Threaded, BusError> {
        let system = |what: &str| {
            let what = what.to_string();
            move |source: std::io::Error| BusError::System { what, source }
        };
        let doorbell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| system("eventfd")(e.into()))?;
        let shared = Arc::new(Shared { asleep: AtomicBool::new(false), doorbell, gone: Mutex::new(None) });
        let (requests, incoming) = unbounded();
        let mut runner = Runner::new(device, shared.clone(), incoming, upstream, clock);
        let thread = std::thread::Builder::new().name("toe-sim".into()).spawn(move || runner.run()).map_err(system("thread of the simulator"))?;
        Ok(Threaded { shared, requests, signal, signals, clock, thread: Some(thread) })
    }

    /// Does something with the device in its thread, after everything asked before.
    ///
    /// # Errors
    /// The device is gone, or does not answer.
    pub fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Device) -> T + Send + 'static) -> Result<T, BusError> {
        // Who asked may have given up; then nobody takes the answer.
        self.ask(|answer| Request::Work(Box::new(move |device| drop(answer.send(work(device))))))
    }

    /// Resets the function; afterwards it is bus master, or not.
    ///
    /// # Errors
    /// The device is gone, or does not finish its reset.
    pub fn reset_function(&self, master: bool) -> Result<(), BusError> {
        self.ask(|answer| Request::Reset(master, answer))?
    }

    /// From now on looks at these doorbells as well, or at none. While it does, it sleeps for 50 us at most.
    ///
    /// # Errors
    /// The device is gone, or does not answer.
    pub fn set_doorbells(&self, doorbells: Option<Doorbells>) -> Result<(), BusError> {
        self.ask(|answer| Request::Doorbells(doorbells, answer))
    }

    /// Makes it look at its doorbells now.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// What it did so far.
    ///
    /// # Errors
    /// The device is gone.
    pub fn snapshot(&self) -> Result<Snapshot, BusError> {
        self.with(|device| Snapshot { cycles: device.engine().cycles(), bus: device.host().statistics(), wire: device.wire().counts() })
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
        let memory = memory.clone();
        self.with(move |device| map(device.host_mut(), &memory, iova))?
    }

    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.with(move |device| unmap(device.host_mut(), iova, bytes))?
    }

    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        iova_ranges()
    }

    fn reset(&self) -> Result<(), BusError> {
        self.reset_function(true)
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
