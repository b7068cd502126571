//! What SYN and SYN+ACK agree on (RFC 9293 section 3.7.1, RFC 7323).

use toe_wire::TcpOptions;

use super::{ControlBlock, Segment};
use crate::time::{timestamp, Nanoseconds};

/// MSS of a peer that does not say one (RFC 9293 section 3.7.1, MUST-15).
const DEFAULT_MSS: u16 = 536;
/// Segments smaller than this are not cut, whatever the peer says: a tiny MSS would make every byte cost a header.
const LEAST_MSS: u16 = 88;
/// Bytes that the timestamps option takes from every segment (RFC 7323 appendix A, RFC 6691).
const TIMESTAMPS_LEN: u16 = 12;

impl ControlBlock {
    /// Takes over what the peer's SYN or SYN+ACK says. Options are in effect only if both sides have sent them.
    pub(super) fn negotiate(&mut self, segment: &Segment) {
        let theirs = &segment.options;
        let mss = theirs.mss().unwrap_or(DEFAULT_MSS).max(LEAST_MSS).min(self.settings.mss);
        let agreed = theirs.timestamps().filter(|_| self.settings.timestamps);
        self.timestamps = agreed.is_some();
        self.ts_recent = agreed.map_or(0, |t| t.value);
        let room = if self.timestamps { TIMESTAMPS_LEN } else { 0 };
        self.snd_mss = mss - room;
        self.rcv_mss = self.settings.mss - room;
        // RFC 7323 section 2.2: both or neither
        let scale = theirs.window_scale().filter(|_| self.settings.window_scaling);
        self.snd_wscale = scale.unwrap_or(0);
        self.scaling_agreed = scale.is_some();
        self.rcv_wscale = if self.scaling_agreed { self.settings.rcv_wscale() } else { 0 };
    }

    /// Options of our SYN: all that we know. Of our SYN+ACK: those the peer's SYN had.
    pub(super) fn syn_options(&self, answer: bool, now: Nanoseconds) -> TcpOptions {
        let mut options = TcpOptions::new().with_mss(self.settings.mss);
        let (scaling, timestamps) = if answer { (self.scaling_agreed, self.timestamps) } else { (self.settings.window_scaling, self.settings.timestamps) };
        if scaling {
            options = options.with_window_scale(self.settings.rcv_wscale());
        }
        if timestamps {
            options = options.with_timestamps(self.tsval(now), if answer { self.ts_recent } else { 0 });
        }
        options
    }

    /// Options of any other segment made in software.
    pub(super) fn plain_options(&self, now: Nanoseconds) -> TcpOptions {
        if self.timestamps {
            TcpOptions::new().with_timestamps(self.tsval(now), self.ts_recent)
        } else {
            TcpOptions::new()
        }
    }

    /// TSval, as the engine makes it too (`docs/engine.md`, "Time").
    pub(super) fn tsval(&self, now: Nanoseconds) -> u32 {
        timestamp(now).wrapping_add(self.ts_offset)
    }
}
