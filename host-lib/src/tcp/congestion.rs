//! NewReno (RFC 5681, RFC 6582) on what the engine reports.
//!
//! The engine tells of a flow once and waits until it may tell again, so a report may stand for many ACKs. What was acknowledged
//! is therefore counted in bytes (RFC 3465), and duplicate ACKs by the difference to the report before.

use toe_wire::SeqNumber;

use super::Report;

/// Duplicate ACKs that say that a segment is lost (RFC 5681 section 3.2).
const DUP_THRESH: u8 = 3;
/// More than any flow can use; keeps sums from overflowing.
const MOST: u32 = 1 << 30;

/// Congestion window of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReno {
    mss: u32,
    cwnd: u32,
    ssthresh: u32,
    /// SND.MAX when the last loss was found (RFC 6582 section 3.2, "recover").
    recover: SeqNumber,
    /// It was found by a time-out.
    timed_out: bool,
    in_recovery: bool,
    /// Duplicate ACKs for the present SND.UNA that were acted on.
    dup_acks: u8,
    /// Bytes acknowledged in congestion avoidance and not yet turned into a larger window.
    acked: u32,
}

/// The initial window (RFC 6928 section 2).
pub fn initial_window(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14600))
}

impl NewReno {
    /// For segments of `mss` bytes; `lossy` if SYN or SYN+ACK had to be sent again (RFC 5681 section 3.1: then one segment).
    pub fn new(mss: u32, iss: SeqNumber, lossy: bool) -> NewReno {
        let cwnd = if lossy { mss } else { initial_window(mss) };
        NewReno { mss, cwnd, ssthresh: MOST, recover: iss, timed_out: false, in_recovery: false, dup_acks: 0, acked: 0 }
    }

    /// cwnd in bytes.
    pub fn window(&self) -> u32 {
        self.cwnd
    }

    /// ssthresh in bytes.
    pub fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    /// Between the third duplicate ACK and the ACK of all that was out then.
    pub fn in_recovery(&self) -> bool {
        self.in_recovery
    }

    /// Takes a report; `before` is SND.UNA of the report before. Says from where one segment is to be sent again, if from anywhere.
    pub fn on_report(&mut self, before: SeqNumber, report: &Report) -> Option<SeqNumber> {
        let acked = report.snd_una.offset_from(before);
        let resend = if acked > 0 { self.on_advance(before, acked, report) } else { None };
        self.on_duplicates(report).or(resend)
    }

    fn on_advance(&mut self, before: SeqNumber, acked: u32, report: &Report) -> Option<SeqNumber> {
        self.dup_acks = 0;
        if !self.in_recovery {
            self.grow(before, acked, report);
            return None;
        }
        if report.snd_una.ge(self.recover) {
            // RFC 6582 section 3.2 step 3, full acknowledgment: deflate, option (2)
            self.cwnd = self.ssthresh;
            self.in_recovery = false;
            self.acked = 0;
            return None;
        }
        // RFC 6582 section 3.2 step 3, partial acknowledgment: the next hole begins here
        self.cwnd = self.cwnd.saturating_sub(acked).max(self.mss);
        if acked >= self.mss {
            self.cwnd += self.mss;
        }
        Some(report.snd_una)
    }

    fn grow(&mut self, before: SeqNumber, acked: u32, report: &Report) {
        let after_timeout = self.timed_out && report.snd_una.le(self.recover);
        let flight = report.snd_max.offset_from(before);
        // RFC 7661 section 4.1: a window that is not made use of does not grow
        if !after_timeout && flight.saturating_mul(2) < self.cwnd {
            return;
        }
        if self.cwnd < self.ssthresh {
            // RFC 5681 section 3.1, slow start. After a time-out an ACK may jump over what was never lost: one segment at most (RFC 3465 section 2.3).
            let most = if after_timeout { self.mss } else { MOST };
            self.cwnd = self.cwnd.saturating_add(acked.min(most)).min(MOST);
            return;
        }
        // RFC 5681 section 3.1, congestion avoidance: one segment for every window of bytes acknowledged
        self.acked = self.acked.saturating_add(acked);
        if self.acked >= self.cwnd {
            self.acked -= self.cwnd;
            self.cwnd = self.cwnd.saturating_add(self.mss).min(MOST);
        }
    }

    fn on_duplicates(&mut self, report: &Report) -> Option<SeqNumber> {
        let more = report.dup_acks.saturating_sub(self.dup_acks);
        if more == 0 || report.snd_max.le(report.snd_una) || report.snd_wnd == 0 {
            return None;
        }
        if self.in_recovery {
            // RFC 5681 section 3.2 step 4: each one tells of a segment that has left the network
            self.dup_acks = report.dup_acks;
            self.cwnd = self.cwnd.saturating_add(u32::from(more) * self.mss).min(MOST);
            return None;
        }
        // RFC 6582 section 3.2 step 2: not again for what was out when the last loss was found. At SND.UNA = recover duplicate ACKs may be
        // echoes of what was sent again: of everything after a time-out, but of nothing but holes after fast recovery; then they tell of
        // the first segment beyond, and to ignore them would cost a time-out.
        let old = if self.timed_out { report.snd_una.le(self.recover) } else { report.snd_una.lt(self.recover) };
        if report.dup_acks < DUP_THRESH || old {
            return None;
        }
        self.dup_acks = report.dup_acks;
        self.halve(report.snd_una, report.snd_max);
        self.recover = report.snd_max;
        self.timed_out = false;
        self.in_recovery = true;
        // RFC 5681 section 3.2 steps 2 and 3
        self.cwnd = self.ssthresh.saturating_add(u32::from(report.dup_acks) * self.mss).min(MOST);
        Some(report.snd_una)
    }

    /// The retransmission timer has run out (RFC 5681 section 3.1); `first` unless it is for data that was resent by a time-out already.
    pub fn on_timeout(&mut self, snd_una: SeqNumber, snd_max: SeqNumber, first: bool) {
        if first {
            self.halve(snd_una, snd_max);
        }
        self.cwnd = self.mss;
        self.recover = snd_max;
        self.timed_out = true;
        self.in_recovery = false;
        self.acked = 0;
    }

    /// Nothing was sent for longer than the RTO (RFC 5681 section 4.1).
    pub fn on_idle(&mut self) {
        self.cwnd = self.cwnd.min(initial_window(self.mss));
    }

    /// RFC 5681 section 3.1, equation (4).
    fn halve(&mut self, snd_una: SeqNumber, snd_max: SeqNumber) {
        let flight = snd_max.offset_from(snd_una).min(self.cwnd);
        self.ssthresh = (flight / 2).max(2 * self.mss);
    }
}
