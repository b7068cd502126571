//! SEGMENT: what a segment of an installed flow does to its state.

use super::flow::{relative, Flow, Inserted};
use super::parse::{flag, Segment};
use std::ops::Range;
use toe_contract::{counter, CHALLENGE_LOG2, RANGES};

/// How urgently an ACK is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ack {
    /// Not at all.
    #[default]
    None,
    /// When its time comes: the delayed-ACK timer is to run.
    Delayed,
    /// When the flow is not quiet any more.
    Muted,
    /// Now, on a data segment if one is to be sent.
    Owed,
    /// Now, by itself.
    Urgent,
}

/// What is to be done for a segment beside the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Counters that go up.
    pub(super) counts: Vec<usize>,
    /// A sequence number, and the bytes of the payload that belong there.
    pub(super) place: Option<(u32, Range<usize>)>,
    /// The ACK.
    pub(super) ack: Ack,
    /// There may be something to send now.
    pub(super) plan: bool,
}

/// A segment as seen from RCV.NXT before it.
struct View {
    s: i64,
    e: i64,
    r: i64,
    len: i64,
    fin: bool,
}

impl View {
    fn seglen(&self) -> i64 {
        self.len + i64::from(self.fin)
    }

    /// RFC 9293 section 3.10.7.4, first.
    fn acceptable(&self) -> bool {
        if self.seglen() == 0 {
            0 <= self.s && self.s <= self.r
        } else {
            self.s < self.r && self.e + i64::from(self.fin) > 0
        }
    }
}

impl Flow {
    /// Takes a segment with ACK and without SYN, RST and URG, at that tick.
    pub(super) fn segment(&mut self, seg: &Segment, tick: u32) -> Outcome {
        let mut out = Outcome::default();
        // RFC 7323 section 5.3.
        if self.timestamps && seg.timestamp.is_some_and(|(val, _)| relative(val, self.ts_recent) < 0) {
            out.counts.push(counter::RX_PAWS);
            out.ack = Ack::Urgent;
            return out;
        }
        let len = i64::try_from(seg.payload.len()).unwrap_or(i64::MAX);
        let s = i64::from(relative(seg.seq, self.rcv_nxt));
        let view = View { s, e: s + len, r: relative(self.rcv_adv, self.rcv_nxt).into(), len, fin: seg.flags & flag::FIN != 0 };
        if !view.acceptable() {
            out.counts.push(counter::RX_UNACCEPTABLE);
            if view.r == 0 && view.s == 0 {
                out.plan = true;
                self.acknowledge(seg, view.seglen(), tick, &mut out);
            }
            out.ack = if view.seglen() == 0 { self.limited(tick) } else { Ack::Urgent };
            return out;
        }
        // RFC 7323 section 4.3.
        if let Some((val, _)) = seg.timestamp.filter(|_| self.timestamps) {
            if relative(val, self.ts_recent) >= 0 && relative(seg.seq, self.last_ack_sent) <= 0 {
                self.ts_recent = val;
            }
        }
        out.plan = true;
        if self.acknowledge(seg, view.seglen(), tick, &mut out) {
            self.receive(seg, &view, &mut out);
        }
        out
    }

    /// An ACK that two stacks cannot answer each other for ever with.
    fn limited(&mut self, tick: u32) -> Ack {
        if self.challenge_valid && tick.wrapping_sub(self.challenge_at) < 1 << CHALLENGE_LOG2 {
            return Ack::None;
        }
        self.challenge_valid = true;
        self.challenge_at = tick;
        Ack::Urgent
    }

    /// The ACK field (RFC 9293 section 3.10.7.4, fifth; RFC 5961 section 5). False: the rest of the segment is not looked at.
    fn acknowledge(&mut self, seg: &Segment, seglen: i64, tick: u32, out: &mut Outcome) -> bool {
        let a = i64::from(relative(seg.ack, self.snd_una));
        let m = i64::from(relative(self.snd_max, self.snd_una));
        let wnd = u32::from(seg.wnd) << self.snd_wscale;
        if a > m || a < -i64::from(self.max_wnd) {
            out.counts.push(if a > m { counter::RX_ACK_BEYOND } else { counter::RX_ACK_OLD });
            out.ack = self.limited(tick);
            return false;
        }
        if a > 0 {
            self.advance_una(seg, tick);
        } else if a == 0 && m > 0 && seglen == 0 && wnd == self.snd_wnd {
            // RFC 5681 section 2.
            self.dup_acks = self.dup_acks.saturating_add(1);
            self.dirty |= self.dup_acks >= 3;
        }
        let wl1 = relative(self.snd_wl1, seg.seq);
        if a >= 0 && (wl1 < 0 || wl1 == 0 && relative(self.snd_wl2, seg.ack) <= 0) {
            self.dirty |= self.snd_wnd != wnd;
            self.snd_wnd = wnd;
            self.snd_wl1 = seg.seq;
            self.snd_wl2 = seg.ack;
            self.max_wnd = self.max_wnd.max(wnd);
        }
        true
    }

    /// SEG.ACK acknowledges something new.
    fn advance_una(&mut self, seg: &Segment, tick: u32) {
        self.snd_una = seg.ack;
        if relative(self.snd_nxt, self.snd_una) < 0 {
            self.snd_nxt = self.snd_una;
        }
        self.dup_acks = 0;
        self.dirty = true;
        if relative(self.one_seq, self.snd_una) < 0 {
            self.one_pending = false;
        }
        // RFC 6298 section 3.
        if self.timed && relative(self.timed_seq, seg.ack) <= 0 {
            self.rtt = tick.wrapping_sub(self.timed_at);
            self.rtt_count = self.rtt_count.wrapping_add(1);
            self.timed = false;
        }
        if let Some((_, ecr)) = seg.timestamp.filter(|_| self.timestamps) {
            self.ts_ecr = ecr;
        }
    }

    /// Payload, FIN, and whether an ACK is to go out.
    fn receive(&mut self, seg: &Segment, view: &View, out: &mut Outcome) {
        let (before, held) = (self.rcv_nxt, !self.ranges.is_empty());
        let s = view.s.max(0);
        let mut d = view.e.min(view.r);
        if self.fin_known {
            d = d.min(relative(self.fin_seq, before).into());
        }
        let mut urgent = view.fin || view.len > 0 && (held || s > 0 || d <= s);
        let mut taken = true;
        if d > s {
            taken = self.take_payload(seg, view, s, d, out);
            urgent |= !taken;
        } else if view.len > 0 {
            out.counts.push(counter::RX_DUPLICATE);
        }
        if taken {
            self.take_fin(seg, view, before);
        }
        let left = relative(self.rcv_adv, self.rcv_nxt);
        if self.quiet && taken && d > s && s > 0 {
            out.ack = Ack::Muted;
        } else if urgent || view.seglen() > 0 && left < i32::from(self.rcv_mss) {
            out.ack = Ack::Urgent;
        } else if self.rcv_nxt != before {
            // RFC 9293 section 3.8.6.3, SHLD-19.
            let enough = relative(self.rcv_nxt, self.last_ack_sent) >= 2 * i32::from(self.rcv_mss);
            out.ack = if enough { Ack::Owed } else { Ack::Delayed };
        }
    }

    /// Takes the bytes from `s` to `d`, unless there is no range for them.
    fn take_payload(&mut self, seg: &Segment, view: &View, s: i64, d: i64, out: &mut Outcome) -> bool {
        let at = |offset: i64| seg.seq.wrapping_add(u32::try_from(offset - view.s).unwrap_or(0));
        let (start, end) = (at(s), at(d));
        out.counts.push(match self.insert(start, end, RANGES) {
            Inserted::NoRange => {
                out.counts.push(counter::RX_NO_RANGE);
                return false;
            }
            Inserted::InOrder => {
                self.dirty = true;
                counter::RX_IN_ORDER
            }
            Inserted::Held => counter::RX_OUT_OF_ORDER,
        });
        let byte = |offset: i64| seg.payload.start + usize::try_from(offset - view.s).unwrap_or(0);
        out.place = Some((start, byte(s)..byte(d)));
        true
    }

    /// The FIN of this segment, and a FIN that RCV.NXT has come to.
    fn take_fin(&mut self, seg: &Segment, view: &View, before: u32) {
        let furthest = self.ranges.iter().map(|r| r.1).chain([self.rcv_nxt]).map(|end| relative(end, before)).max().unwrap_or(0);
        if view.fin && !self.fin_known && view.e >= 0 && view.e < view.r && i64::from(furthest) <= view.e {
            self.fin_known = true;
            self.fin_seq = seg.seq.wrapping_add(u32::try_from(view.len).unwrap_or(0));
        }
        if self.fin_known && !self.fin_received && self.rcv_nxt == self.fin_seq {
            self.rcv_nxt = self.rcv_nxt.wrapping_add(1);
            self.fin_received = true;
            self.dirty = true;
        }
    }
}
