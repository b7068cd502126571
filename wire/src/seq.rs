//! TCP sequence numbers (RFC 9293 section 3.4).

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A TCP sequence number: arithmetic is modulo 2^32 and never panics (RFC 9293 section 3.4).
///
/// There is no `Ord`: "less than" among sequence numbers is not transitive. The comparisons hold for numbers less
/// than 2^31 apart, as all numbers of one window are; exactly 2^31 apart, each is less than the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNumber(
    /// The number as it stands on the wire.
    pub u32,
);

impl SeqNumber {
    /// `self < other`.
    pub fn lt(self, other: SeqNumber) -> bool {
        self - other < 0
    }

    /// `self =< other`.
    pub fn le(self, other: SeqNumber) -> bool {
        self == other || self.lt(other)
    }

    /// `self > other`.
    pub fn gt(self, other: SeqNumber) -> bool {
        other.lt(self)
    }

    /// `self >= other`.
    pub fn ge(self, other: SeqNumber) -> bool {
        other.le(self)
    }

    /// The later of the two.
    pub fn max(self, other: SeqNumber) -> SeqNumber {
        if self.lt(other) {
            other
        } else {
            self
        }
    }

    /// The earlier of the two.
    pub fn min(self, other: SeqNumber) -> SeqNumber {
        if other.lt(self) {
            other
        } else {
            self
        }
    }

    /// `left =< self < right`, exact for ranges of any length below 2^32; an empty range holds nothing.
    pub fn between(self, left: SeqNumber, right: SeqNumber) -> bool {
        self.offset_from(left) < right.offset_from(left)
    }

    /// How far `self` is after `base`, going forward only: 0 to 2^32 - 1.
    pub fn offset_from(self, base: SeqNumber) -> u32 {
        self.0.wrapping_sub(base.0)
    }
}

impl Add<u32> for SeqNumber {
    type Output = SeqNumber;
    fn add(self, octets: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for SeqNumber {
    fn add_assign(&mut self, octets: u32) {
        *self = *self + octets;
    }
}

impl Sub<u32> for SeqNumber {
    type Output = SeqNumber;
    fn sub(self, octets: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_sub(octets))
    }
}

/// The signed distance: negative when `self` comes before the other.
impl Sub for SeqNumber {
    type Output = i32;
    fn sub(self, other: SeqNumber) -> i32 {
        self.offset_from(other).cast_signed()
    }
}

impl From<u32> for SeqNumber {
    fn from(number: u32) -> SeqNumber {
        SeqNumber(number)
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeqNumber({})", self.0)
    }
}
