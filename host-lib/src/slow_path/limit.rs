//! A limit on what strangers can make us send.

use crate::time::Nanoseconds;

/// A token bucket: so many a second, and a second's worth at once.
#[derive(Clone, Debug)]
pub struct RateLimit {
    per_second: u64,
    /// Billionths of a token.
    tokens: u64,
    at: Nanoseconds,
}

const ONE: u64 = 1_000_000_000;

impl RateLimit {
    /// A full bucket.
    pub fn new(per_second: u32, now: Nanoseconds) -> RateLimit {
        let per_second = u64::from(per_second);
        RateLimit { per_second, tokens: per_second * ONE, at: now }
    }

    /// Whether one more may go out now.
    pub fn take(&mut self, now: Nanoseconds) -> bool {
        let gained = (now - self.at).0.saturating_mul(self.per_second);
        self.at = now;
        self.tokens = self.tokens.saturating_add(gained).min(self.per_second * ONE);
        let enough = self.tokens >= ONE;
        if enough {
            self.tokens -= ONE;
        }
        enough
    }
}
