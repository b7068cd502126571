//! Simulated time, and the two clocks that make it.
//!
//! Everything in the simulated world is told the time as an argument; only the program at the top asks a clock. The
//! [`WallClock`] is for peers that live in real time (a Linux kernel at the other end of a TAP), the [`VirtualClock`]
//! for deterministic runs: it moves only when its owner moves it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use toe_driver::Nanoseconds;

/// Tells the time.
pub trait Clock {
    /// Now. Never less than what it said before.
    fn now(&self) -> Nanoseconds;
}

/// Real time: `CLOCK_MONOTONIC`, counted from when the clock was made. Copies agree with each other.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    start: Instant,
    start_since_epoch: Nanoseconds,
}

impl WallClock {
    /// Starts at zero.
    pub fn new() -> WallClock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallClock { start: Instant::now(), start_since_epoch: since_epoch.into() }
    }

    /// When this clock's zero was, after 1970-01-01 UTC: what a capture adds to its timestamps.
    pub fn epoch(&self) -> Nanoseconds {
        self.start_since_epoch
    }
}

impl Default for WallClock {
    fn default() -> WallClock {
        WallClock::new()
    }
}

impl Clock for WallClock {
    fn now(&self) -> Nanoseconds {
        self.start.elapsed().into()
    }
}

/// Time that its owner moves on. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct VirtualClock {
    now: Arc<AtomicU64>,
}

impl VirtualClock {
    /// Starts at zero.
    pub fn new() -> VirtualClock {
        VirtualClock::default()
    }

    /// Moves on by a span, and says what time it is then.
    pub fn advance(&self, span: Nanoseconds) -> Nanoseconds {
        let update = |now: u64| Some(now.saturating_add(span.0));
        let before = self.now.fetch_update(Ordering::AcqRel, Ordering::Acquire, update).unwrap_or_else(|now| now);
        Nanoseconds(before) + span
    }

    /// Moves on to a point in time; one in the past changes nothing.
    pub fn advance_to(&self, time: Nanoseconds) {
        self.now.fetch_max(time.0, Ordering::AcqRel);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Nanoseconds {
        Nanoseconds(self.now.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Nanoseconds(5) - Nanoseconds(7), Nanoseconds::ZERO);
        assert_eq!(Nanoseconds(u64::MAX) + Nanoseconds(7), Nanoseconds(u64::MAX));
        assert_eq!(Nanoseconds::from_secs(2) - Nanoseconds::from_millis(1) - Nanoseconds::from_micros(1), Nanoseconds(1_998_999_000));
        assert_eq!(Nanoseconds::from(Duration::MAX), Nanoseconds(u64::MAX));
        assert_eq!(Nanoseconds(1_500_000).to_string(), "1.5ms");
    }

    #[test]
    fn the_virtual_clock_moves_only_when_moved_and_only_forward() {
        let clock = VirtualClock::new();
        let same = clock.clone();
        assert_eq!(clock.advance(Nanoseconds(6)), Nanoseconds(6));
        clock.advance_to(Nanoseconds(100));
        clock.advance_to(Nanoseconds(50));
        assert_eq!(same.now(), Nanoseconds(100));
    }

    #[test]
    fn the_wall_clock_moves_by_itself() {
        let clock = WallClock::new();
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now() - before >= Nanoseconds::from_millis(2));
        assert!(clock.epoch() > Nanoseconds::from_secs(1_700_000_000), "after November 2023: {}", clock.epoch());
    }
}
