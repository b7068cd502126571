//! A wire on which frames come that nobody sent: noise, spoiled copies of what has just passed, and segments that are good to look at and
//! must change nothing. Seeded.

mod craft;
mod track;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Count, Wire, WireError, WireFrame};
use crate::time::Nanoseconds;
use track::Seen;

pub use craft::JunkKind;

/// How much junk comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JunkSettings {
    /// Where the random numbers begin.
    pub seed: u64,
    /// Chance, from 0 to 1, that a frame that passes, either way, is followed by junk.
    pub chance: f64,
    /// Mean time between junk that comes by itself; without, none does.
    pub pause: Option<Nanoseconds>,
    /// How old what is copied is at most: more than the MSL (RFC 9293 section 3.4.2) is no network's doing, and copies of a FIN make TIME_WAIT
    /// last as long as they come.
    pub lifetime: Nanoseconds,
}

struct Shared {
    on: AtomicBool,
    counts: [AtomicU64; JunkKind::ALL.len()],
}

/// Switches junk off and on, and knows how much there was. Clones work the same wire.
#[derive(Clone)]
pub struct JunkControl(Arc<Shared>);

impl JunkControl {
    /// From now on there is junk, or none.
    pub fn set(&self, on: bool) {
        self.0.on.store(on, Ordering::Release);
    }

    /// How much of each kind has come.
    pub fn counts(&self) -> Vec<(JunkKind, u64)> {
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Acquire));
        JunkKind::ALL.into_iter().zip(counts).collect()
    }
}

/// A wire with junk for the NIC. It is to be the nearest one to the NIC: what has passed it has reached the NIC, in order, which is how it
/// knows what cannot be taken.
pub struct Junk<W> {
    inner: W,
    settings: JunkSettings,
    control: JunkControl,
    random: ChaCha8Rng,
    seen: Seen,
    waiting: VecDeque<WireFrame>,
    now: Nanoseconds,
    due: Option<Nanoseconds>,
}

impl<W: Wire> Junk<W> {
    /// Puts junk before a wire; `mac` is the NIC's address.
    pub fn new(inner: W, mac: [u8; 6], settings: JunkSettings) -> (Junk<W>, JunkControl) {
        let shared = Shared { on: AtomicBool::new(true), counts: [const { AtomicU64::new(0) }; JunkKind::ALL.len()] };
        let control = JunkControl(Arc::new(shared));
        let random = ChaCha8Rng::seed_from_u64(settings.seed);
        let due = settings.pause.map(|_| Nanoseconds::ZERO);
        let junk = Junk {
            inner,
            settings,
            control: control.clone(),
            random,
            seen: Seen::new(mac, settings.lifetime),
            waiting: VecDeque::new(),
            now: Nanoseconds::ZERO,
            due,
        };
        (junk, control)
    }

    /// Lets one frame of junk come.
    fn add(&mut self) {
        if !self.control.0.on.load(Ordering::Acquire) {
            return;
        }
        self.seen.forget(self.now);
        let (kind, frames) = self.seen.craft(&mut self.random);
        self.control.0.counts[kind as usize].fetch_add(1, Ordering::AcqRel);
        self.waiting.extend(frames);
    }

    /// A frame has passed.
    fn passed(&mut self, sent: bool, frame: &WireFrame) {
        if frame.fcs_ok() {
            self.seen.passed(self.now, sent, &frame.bytes);
        }
        if self.random.random::<f64>() < self.settings.chance {
            self.add();
        }
    }
}

impl<W: Wire> Wire for Junk<W> {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        self.now = now;
        self.passed(true, &frame);
        self.inner.send(now, frame)
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        self.now = now;
        if let Some((_, pause)) = self.due.filter(|due| *due <= now).zip(self.settings.pause) {
            self.add();
            self.due = Some(now + Nanoseconds(self.random.random_range(0..=pause.0.saturating_mul(2))));
        }
        if let Some(frame) = self.waiting.pop_front() {
            return Ok(Some(frame));
        }
        let frame = self.inner.receive(now)?;
        if let Some(frame) = &frame {
            self.passed(false, frame);
        }
        Ok(frame)
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        let waiting = (!self.waiting.is_empty()).then_some(self.now);
        [waiting, self.due, self.inner.next_event()].into_iter().flatten().min()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }

    fn counts(&self) -> Vec<Count> {
        let mut counts: Vec<Count> = self.control.counts().into_iter().map(|(kind, count)| (kind.name(), count)).collect();
        counts.extend(self.inner.counts());
        counts
    }
}
