//! How long to wait for an acknowledgement (RFC 6298), and a connection's deadlines.

use super::Settings;
use crate::time::Nanoseconds;

/// Round-trip time and retransmission time-out of a connection (RFC 6298 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RttEstimator {
    srtt: Option<Nanoseconds>,
    rttvar: Nanoseconds,
    backoff: u32,
}

impl RttEstimator {
    /// Before the first sample.
    pub fn new() -> RttEstimator {
        RttEstimator { srtt: None, rttvar: Nanoseconds(0), backoff: 0 }
    }

    /// Takes a measurement of a segment that was sent once (RFC 6298 section 3), and ends the backing off (section 5, Karn).
    pub fn sample(&mut self, rtt: Nanoseconds) {
        match self.srtt {
            // RFC 6298 section 2.2
            None => {
                self.srtt = Some(rtt);
                self.rttvar = Nanoseconds(rtt.0 / 2);
            }
            // RFC 6298 section 2.3: alpha = 1/8, beta = 1/4
            Some(srtt) => {
                self.rttvar = Nanoseconds((self.rttvar.0 * 3 + srtt.0.abs_diff(rtt.0)) / 4);
                self.srtt = Some(Nanoseconds((srtt.0 * 7 + rtt.0) / 8));
            }
        }
        self.backoff = 0;
    }

    /// Doubles the time-out (RFC 6298 section 5.5).
    pub fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// Ends the backing off without a measurement: the peer has shown that it is there.
    pub fn restart(&mut self) {
        self.backoff = 0;
    }

    /// The smoothed round-trip time, once there is one.
    pub fn srtt(&self) -> Option<Nanoseconds> {
        self.srtt
    }

    /// How many times the time-out has doubled.
    pub fn backoff(&self) -> u32 {
        self.backoff
    }

    /// The present time-out. The floor is put under the variance and not under the sum, as Linux does: a peer that delays its
    /// ACK does so on top of the round trip. It is never below what RFC 6298 section 2.3 gives.
    pub fn rto(&self, settings: &Settings) -> Nanoseconds {
        let base = match self.srtt {
            None => settings.rto_initial,
            Some(srtt) => srtt + Nanoseconds(self.rttvar.0 * 4).max(settings.rto_min),
        };
        // RFC 6298 section 2.5: a maximum may be placed on RTO.
        let factor = 1u64.checked_shl(self.backoff).unwrap_or(u64::MAX);
        Nanoseconds(base.0.saturating_mul(factor)).min(settings.rto_max)
    }
}

impl Default for RttEstimator {
    fn default() -> RttEstimator {
        RttEstimator::new()
    }
}

/// Least patience with a hole that was sent again in fast recovery: more than a host takes to answer.
const LEAST_RESCUE: Nanoseconds = Nanoseconds::from_millis(10);

impl RttEstimator {
    /// How long the ACK of a hole sent again in fast recovery may take before it is sent once more. The window was halved for the loss
    /// already, and duplicate ACKs show that the path is open, so it need not take a whole time-out (as the tail loss probe of RFC 8985
    /// section 7, but with the first segment: there is no SACK to tell of it if it were the last).
    pub fn rescue(&self, settings: &Settings) -> Nanoseconds {
        let rto = self.rto(settings);
        self.srtt.map_or(rto, |srtt| (srtt + srtt + Nanoseconds(self.rttvar.0 * 4).max(LEAST_RESCUE)).min(rto))
    }
}

/// The deadlines of a connection. What they mean depends on its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Deadlines {
    /// SYN, SYN+ACK, data, FIN or a zero window's probe is sent again.
    pub retransmit: Option<Nanoseconds>,
    /// The state itself ends.
    pub state: Option<Nanoseconds>,
}

impl Deadlines {
    /// The earlier of the two.
    pub fn next(&self) -> Option<Nanoseconds> {
        match (self.retransmit, self.state) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// Retransmissions of the same data, for R1 and R2 (RFC 9293 section 3.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Retries {
    /// How many times it was sent again.
    pub count: u32,
    /// When the waiting began.
    pub since: Option<Nanoseconds>,
}

impl Retries {
    /// One more; says how long it has been going on. `waited` is the time-out that has just run out.
    pub fn another(&mut self, now: Nanoseconds, waited: Nanoseconds) -> Nanoseconds {
        self.count += 1;
        let since = *self.since.get_or_insert(now - waited);
        now - since
    }

    /// There was progress.
    pub fn clear(&mut self) {
        *self = Retries::default();
    }
}
