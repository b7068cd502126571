//! Time as every part of the host and of the simulator counts it.

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A point in time or a distance, in nanoseconds since the bus was opened (or since simulated time began). Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanoseconds(pub u64);

impl Nanoseconds {
    /// The beginning of time.
    pub const ZERO: Nanoseconds = Nanoseconds(0);
    /// Longer than any run.
    pub const FOREVER: Nanoseconds = Nanoseconds(u64::MAX);

    /// So many microseconds.
    pub const fn from_micros(n: u64) -> Self {
        Nanoseconds(n.saturating_mul(1_000))
    }
    /// So many milliseconds.
    pub const fn from_millis(n: u64) -> Self {
        Nanoseconds(n.saturating_mul(1_000_000))
    }
    /// So many seconds.
    pub const fn from_secs(n: u64) -> Self {
        Nanoseconds(n.saturating_mul(1_000_000_000))
    }
}

impl From<Duration> for Nanoseconds {
    fn from(d: Duration) -> Self {
        Nanoseconds(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}
impl From<Nanoseconds> for Duration {
    fn from(span: Nanoseconds) -> Self {
        Duration::from_nanos(span.0)
    }
}
impl Add for Nanoseconds {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Nanoseconds(self.0.saturating_add(other.0))
    }
}
impl AddAssign for Nanoseconds {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl Sub for Nanoseconds {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Nanoseconds(self.0.saturating_sub(other.0))
    }
}
impl core::fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&Duration::from(*self), f)
    }
}
