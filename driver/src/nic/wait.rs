//! Waiting for the device: by its interrupt, by looking at the rings, or first the one and then the other.
//!
//! ```text
//!   Interrupt   look, arm ------------------------------- sleep until interrupt, waker, time
//!   Poll        look, pause, look, pause ...                          until entry, waker, time
//!   Adaptive    look, pause, look ... (a bounded time), then as Interrupt
//! ```
//!
//! Nothing is lost between the last look and the sleep: the device sends an armed interrupt at once if something is there that was not consumed. A look
//! reads memory only. A waker costs a system call only when it finds the driver asleep.

use super::{Nic, NicError};
use crate::{Bus, Nanoseconds, Waker};
use core::fmt;
use core::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use toe_contract::register;

/// How to wait for a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Arm the interrupt and sleep: costs nothing while nothing comes, and a wake-up for whatever comes.
    #[default]
    Interrupt,
    /// Look at the rings all the time: costs a core, and answers soonest.
    Poll,
    /// Look for a while that follows what arrives, then arm the interrupt and sleep.
    Adaptive {
        /// The longest such while.
        longest: Nanoseconds,
    },
}

impl Wait {
    /// What a wake-up from sleep costs, about: to look longer than that is dearer than to sleep.
    pub const LONGEST_SPIN: Nanoseconds = Nanoseconds::from_micros(50);
}

/// A policy that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected interrupt, poll, adaptive or adaptive:MICROSECONDS (1 to 1000000), found {0:?}")]
pub struct UnknownWait(String);

impl FromStr for Wait {
    type Err = UnknownWait;
    fn from_str(text: &str) -> Result<Wait, UnknownWait> {
        match text.split_once(':') {
            None => match text {
                "interrupt" => Some(Wait::Interrupt),
                "poll" => Some(Wait::Poll),
                "adaptive" => Some(Wait::Adaptive { longest: Wait::LONGEST_SPIN }),
                _ => None,
            },
            Some(("adaptive", micros)) => {
                let micros = micros.parse().ok().filter(|micros| (1..=1_000_000).contains(micros));
                micros.map(|micros| Wait::Adaptive { longest: Nanoseconds::from_micros(micros) })
            }
            Some(_) => None,
        }
        .ok_or_else(|| UnknownWait(text.to_owned()))
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Interrupt => f.write_str("interrupt"),
            Wait::Poll => f.write_str("poll"),
            Wait::Adaptive { longest } => write!(f, "adaptive:{}", longest.0 / 1000),
        }
    }
}

/// What waiting keeps in mind.
pub(super) struct Waiting {
    policy: Wait,
    spin: Spin,
    wake: Arc<Wake>,
    waker: Waker,
}

/// Between the thread that waits and those that wake it.
#[derive(Default)]
struct Wake {
    /// Somebody has woken it, and it has not seen it yet.
    woken: AtomicBool,
    /// It sleeps on the bus, or is about to: to wake it takes the bus's waker.
    asleep: AtomicBool,
}

impl Waiting {
    pub(super) fn new(bus: &dyn Bus, policy: Wait) -> Waiting {
        let wake = Arc::new(Wake::default());
        let (shared, bus_waker) = (wake.clone(), bus.waker());
        let waker: Waker = Arc::new(move || {
            shared.woken.store(true, Ordering::SeqCst);
            if shared.asleep.load(Ordering::SeqCst) {
                bus_waker();
            }
        });
        let spin = Spin { mean: Nanoseconds::ZERO, skipped: 0, trial_after: TRIAL, trial: false };
        Waiting { policy, spin, wake, waker }
    }
}

/// A wait counts as so many times the longest spin at most: after a long one a few short ones are enough to spin again.
const LONGEST_SAMPLE: u64 = 4;
/// Every so many waits without a spin one is tried: a sleep is never shorter than its wake-up takes, however soon something came.
const TRIAL: u32 = 16;
/// The same, at the most, on a machine that has no core to spare.
const RAREST_TRIAL: u32 = 4096;

/// How long it is worth to spin.
struct Spin {
    /// Mean of what was waited for: a sliding one, with a weight of an eighth.
    mean: Nanoseconds,
    /// Waits since the last spin, and after how many one is tried.
    skipped: u32,
    trial_after: u32,
    /// This spin is a trial.
    trial: bool,
}

/// How a spin has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spun {
    Found,
    Nothing,
    /// A pause took longer than the whole spin may: somebody else has the core, and needs it.
    Crowded,
}

impl Spin {
    /// How long to spin now: twice the mean if that is not too long, else nothing.
    fn budget(&mut self, longest: Nanoseconds) -> Nanoseconds {
        let twice = self.mean + self.mean;
        let worth = twice <= longest;
        self.skipped = if worth { 0 } else { self.skipped + 1 };
        self.trial = self.skipped >= self.trial_after;
        match (worth, self.trial) {
            (true, _) => twice.max(Nanoseconds(longest.0 / 8)),
            (_, true) => {
                self.skipped = 0;
                longest
            }
            _ => Nanoseconds::ZERO,
        }
    }
    /// A wait is over. A trial that found something is worth more than all sleeps before it; a spin on a core that others need is not tried again soon.
    fn waited(&mut self, time: Nanoseconds, spun: Spun, longest: Nanoseconds) {
        let most = longest.0.saturating_mul(LONGEST_SAMPLE);
        self.mean = match spun {
            Spun::Found if self.trial => time,
            Spun::Crowded => Nanoseconds(most),
            _ => Nanoseconds(self.mean.0.saturating_mul(7).saturating_add(time.0.min(most)) / 8),
        };
        self.trial_after = match spun {
            Spun::Found => TRIAL,
            Spun::Crowded => (self.trial_after * 2).min(RAREST_TRIAL),
            Spun::Nothing => self.trial_after,
        };
    }
}

impl Nic {
    /// Waits until the device has something, until a [`Waker`], or until `until`; how, [`NicConfig::wait`](super::NicConfig::wait) says. May return early
    /// for no reason.
    ///
    /// # Errors
    /// The device is gone.
    pub fn wait(&mut self, until: Nanoseconds) -> Result<(), NicError> {
        self.ring()?;
        self.consumed()?;
        match self.waiting.policy {
            Wait::Interrupt => {
                if !self.look() {
                    self.sleep(until)?;
                }
            }
            Wait::Poll => {
                self.spin(until, Nanoseconds::FOREVER);
            }
            Wait::Adaptive { longest } => {
                let begin = self.bus.now();
                let budget = self.waiting.spin.budget(longest);
                let spun = self.spin((begin + budget).min(until), longest);
                if spun != Spun::Found && !self.look() {
                    self.sleep(until)?;
                }
                let waited = self.bus.now() - begin;
                self.waiting.spin.waited(waited, spun, longest);
            }
        }
        Ok(())
    }

    /// Whether there is a reason not to wait: an entry in a ring, or a waker's word, which is taken.
    fn look(&self) -> bool {
        self.events.ready() || self.raws.ready() || self.waiting.wake.woken.swap(false, Ordering::SeqCst)
    }

    /// Looks until something is there, the time has come, or a pause takes longer than it may.
    fn spin(&self, until: Nanoseconds, longest_pause: Nanoseconds) -> Spun {
        let mut now = self.bus.now();
        loop {
            if self.look() {
                return Spun::Found;
            }
            if now >= until {
                return Spun::Nothing;
            }
            self.bus.relax();
            let before = std::mem::replace(&mut now, self.bus.now());
            if now - before > longest_pause {
                return Spun::Crowded;
            }
        }
    }

    /// Arms the interrupt and sleeps. A waker that comes after `asleep` is set wakes the bus; one that came before is seen by the look.
    fn sleep(&self, until: Nanoseconds) -> Result<(), NicError> {
        let wake = &self.waiting.wake;
        wake.asleep.store(true, Ordering::SeqCst);
        let result =
            if wake.woken.load(Ordering::SeqCst) { Ok(()) } else { self.doorbell(register::INTERRUPT_ARM, 1).and_then(|()| Ok(self.bus.wait(until)?)) };
        wake.asleep.store(false, Ordering::SeqCst);
        wake.woken.store(false, Ordering::SeqCst);
        result
    }

    /// Ends [`Nic::wait`] from another thread; if nobody waits, the next one.
    pub fn waker(&self) -> Waker {
        self.waiting.waker.clone()
    }

    /// A short pause while polling.
    pub fn relax(&self) {
        self.bus.relax();
    }
}
