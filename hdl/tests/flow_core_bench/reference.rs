//! The flow core read from `docs/engine.md`, in plain Rust: a function an operation.

use super::flow::{moved, rel, Flow, Range};
use super::wire::{Fetch, LookedUp, Segment, Table, Write, WriteOf};
use std::collections::{BTreeMap, VecDeque};
use toe_contract::event::{self, Event};
use toe_contract::raw::Reason;
use toe_contract::{CHALLENGE_LOG2, FLOWS, NO_FLOW, RANGES};

/// Time and settings at an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) tick: u32,
    pub(crate) timestamp: u32,
    pub(crate) delayed_ack: u32,
    pub(crate) max_frame: u16,
}

/// What step 4 found.
#[derive(PartialEq)]
enum AckField {
    Taken,
    Stopped,
}

/// The core: flows, queues, and what is expected to come out.
pub(crate) struct Reference {
    pub(crate) flows: Vec<Flow>,
    pub(crate) ack_queue: VecDeque<u16>,
    pub(crate) data_queue: VecDeque<u16>,
    pub(crate) report_queue: VecDeque<u16>,
    pub(crate) delack_queue: VecDeque<(u16, u32)>,
    pub(crate) write: VecDeque<Write>,
    pub(crate) fetch: VecDeque<Fetch>,
    pub(crate) acks: VecDeque<Segment>,
    pub(crate) sealed: VecDeque<Segment>,
    pub(crate) table: VecDeque<(Table, bool)>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// Situations met, to see that the stimulus reaches them.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

impl Reference {
    pub(crate) fn new() -> Reference {
        Reference {
            flows: vec![Flow::default(); FLOWS],
            ack_queue: VecDeque::new(),
            data_queue: VecDeque::new(),
            report_queue: VecDeque::new(),
            delack_queue: VecDeque::new(),
            write: VecDeque::new(),
            fetch: VecDeque::new(),
            acks: VecDeque::new(),
            sealed: VecDeque::new(),
            table: VecDeque::new(),
            counts: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Reset clears every flow's life and its places in the queues; addresses and the like stay until they are loaded anew.
    pub(crate) fn reset(&mut self) {
        let (flows, seen) = (std::mem::take(&mut self.flows), std::mem::take(&mut self.seen));
        *self = Reference::new();
        self.seen = seen;
        self.flows = flows;
        for f in &mut self.flows {
            f.active = false;
            f.generation = 0;
            (f.in_ack, f.in_data, f.in_report, f.in_delack) = (false, false, false, false);
        }
    }

    pub(crate) fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(crate) fn flow(&mut self, number: u16) -> &mut Flow {
        &mut self.flows[usize::from(number)]
    }

    pub(crate) fn urgent(&mut self, number: u16) {
        let f = self.flow(number);
        f.ack_owed = true;
        if !std::mem::replace(&mut f.in_ack, true) {
            self.ack_queue.push_back(number);
        }
    }

    pub(crate) fn owed(&mut self, number: u16) {
        let f = self.flow(number);
        f.ack_owed = true;
        if !f.in_data {
            self.urgent(number);
        }
    }

    fn limited(&mut self, number: u16, now: &Moment) {
        let since = self.flow(number).challenge_at.map(|at| now.tick.wrapping_sub(at));
        if since.is_some_and(|since| since < 1 << CHALLENGE_LOG2) {
            return self.saw("limited ACK suppressed");
        }
        self.flow(number).challenge_at = Some(now.tick);
        self.saw("limited ACK sent");
        self.urgent(number);
    }

    pub(crate) fn want_data(&mut self, number: u16) {
        let f = self.flow(number);
        if f.pending() && !std::mem::replace(&mut f.in_data, true) {
            self.data_queue.push_back(number);
        }
    }

    pub(crate) fn want_report(&mut self, number: u16) {
        let f = self.flow(number);
        if f.active && f.dirty && f.armed && !std::mem::replace(&mut f.in_report, true) {
            self.report_queue.push_back(number);
        }
    }

    // SEGMENT.

    pub(crate) fn segment(&mut self, s: &LookedUp, now: &Moment) {
        let f = self.flow(s.flow);
        if !(s.fast && s.hit && f.active && f.generation == s.generation) {
            let reason = if s.fast { Reason::NoFlow } else { Reason::Other };
            let header = Event::default().with(event::KIND, reason as u32).with(event::FLOW, NO_FLOW.into());
            return self.raw(s, header);
        }
        self.count("rx_segments");
        if s.syn() || s.rst() || s.urg() {
            let header = self.flow(s.flow).snapshot(s.flow).with(event::KIND, Reason::Flagged as u32);
            return self.raw(s, header);
        }
        if s.ack_flag() {
            let place = self.steps(s, now);
            self.write.push_back(Write { start: s.start, frame_length: s.length, of: place });
        } else {
            self.count("rx_no_ack");
            self.write.push_back(Write { start: s.start, frame_length: s.length, of: WriteOf::Free });
        }
        self.want_report(s.flow);
    }

    fn raw(&mut self, s: &LookedUp, header: Event) {
        self.count("rx_raw");
        self.write.push_back(Write { start: s.start, frame_length: s.length, of: WriteOf::Raw(header) });
    }

    /// Steps 1 to 8.
    fn steps(&mut self, g: &LookedUp, now: &Moment) -> WriteOf {
        let n = g.flow;
        let f = self.flow(n).clone();
        let (len, fin) = (i64::from(g.payload_length), i64::from(g.fin()));
        let seglen = len + fin;
        let s = rel(g.seq, f.rcv_nxt);
        let (e, right) = (s + len, rel(f.rcv_adv, f.rcv_nxt));
        if f.timestamps && g.ts.is_some_and(|(val, _)| rel(val, f.ts_recent) < 0) {
            self.count("rx_paws");
            self.urgent(n);
            return WriteOf::Free;
        }
        let acceptable = if seglen == 0 { 0 <= s && s <= right } else { s < right && e + fin > 0 };
        if !acceptable {
            self.count("rx_unacceptable");
            let probe = right == 0 && s == 0;
            if probe {
                self.saw("window probe");
                self.ack_field(g, seglen, now);
            }
            if seglen == 0 {
                self.limited(n, now);
            } else {
                self.urgent(n);
            }
            if probe {
                self.want_data(n);
            }
            return WriteOf::Free;
        }
        if let Some((val, _)) = g.ts.filter(|_| f.timestamps) {
            if rel(val, f.ts_recent) >= 0 && rel(g.seq, f.last_ack_sent) <= 0 {
                self.flow(n).ts_recent = val;
            }
        }
        let mut place = WriteOf::Free;
        if self.ack_field(g, seglen, now) == AckField::Taken {
            place = self.data(g, now);
        }
        self.want_data(n);
        place
    }

    /// Step 4.
    fn ack_field(&mut self, g: &LookedUp, seglen: i64, now: &Moment) -> AckField {
        let f = self.flow(g.flow);
        let (a, m) = (rel(g.ack, f.snd_una), rel(f.snd_max, f.snd_una));
        if a > m {
            self.count("rx_ack_beyond");
            self.limited(g.flow, now);
            return AckField::Stopped;
        }
        if a < -i64::from(f.max_wnd) {
            self.count("rx_ack_old");
            self.limited(g.flow, now);
            return AckField::Stopped;
        }
        let window = u32::from(g.window) << f.snd_wscale;
        if a > 0 {
            f.snd_una = g.ack;
            if rel(f.snd_nxt, g.ack) < 0 {
                f.snd_nxt = g.ack;
            }
            f.dup_acks = 0;
            f.dirty = true;
            if f.one.is_some_and(|one| rel(one, g.ack) < 0) {
                f.one = None;
            }
            if let Some((seq, at)) = f.timed {
                if rel(seq, g.ack) <= 0 {
                    f.rtt = now.tick.wrapping_sub(at);
                    f.rtt_count = f.rtt_count.wrapping_add(1);
                    f.timed = None;
                }
            }
            if let Some((_, ecr)) = g.ts.filter(|_| f.timestamps) {
                f.ts_ecr = ecr;
            }
        } else if a == 0 && m > 0 && seglen == 0 && window == f.snd_wnd {
            f.dup_acks = f.dup_acks.saturating_add(1);
            if f.dup_acks >= 3 {
                f.dirty = true;
            }
        }
        let newer = rel(g.seq, f.snd_wl1);
        if a >= 0 && (newer > 0 || (newer == 0 && rel(g.ack, f.snd_wl2) >= 0)) {
            if f.snd_wnd != window {
                f.dirty = true;
            }
            f.snd_wnd = window;
            f.snd_wl1 = g.seq;
            f.snd_wl2 = g.ack;
            f.max_wnd = f.max_wnd.max(window);
        }
        AckField::Taken
    }

    /// Steps 5 to 7.
    fn data(&mut self, g: &LookedUp, now: &Moment) -> WriteOf {
        let n = g.flow;
        let mut f = self.flow(n).clone();
        let before = f.clone();
        let (len, fin) = (i64::from(g.payload_length), g.fin());
        let first = rel(g.seq, f.rcv_nxt);
        let (e, right) = (first + len, rel(f.rcv_adv, f.rcv_nxt));
        let s = first.max(0);
        let mut d = e.min(right);
        if f.fin_known {
            d = d.min(rel(f.fin_seq, f.rcv_nxt));
        }
        let mut place = WriteOf::Free;
        let mut urgent = fin || (!before.ranges.is_empty() && len > 0);
        let mut taken = true;
        if d > s {
            if self.insert(&mut f, s, d) {
                self.count(if s == 0 { "rx_in_order" } else { "rx_out_of_order" });
                urgent |= s > 0;
                place = WriteOf::Place {
                    offset: u16::from(g.payload_offset) + u16::try_from(s - first).expect("trimmed within the frame"),
                    length: u16::try_from(d - s).expect("within the frame"),
                    base: f.receive_base,
                    log2: f.receive_log2,
                    position: moved(before.rcv_nxt, s),
                };
            } else {
                self.count("rx_no_range");
                taken = false;
                urgent = true;
            }
        } else if len > 0 {
            self.count("rx_duplicate");
            urgent = true;
        }
        if taken {
            let beyond = f.ranges.iter().any(|(_, end)| rel(*end, before.rcv_nxt) > e);
            if fin && !f.fin_known && e >= 0 && e < right && !beyond && rel(f.rcv_nxt, before.rcv_nxt) <= e {
                f.fin_known = true;
                f.fin_seq = moved(before.rcv_nxt, e);
                self.saw("FIN learned");
            } else if fin && beyond {
                self.saw("FIN below what is held");
            }
            if f.fin_known && !f.fin_received && f.rcv_nxt == f.fin_seq {
                f.rcv_nxt = f.rcv_nxt.wrapping_add(1);
                f.fin_received = true;
                f.dirty = true;
                self.saw(if fin { "FIN received" } else { "FIN received by data" });
            }
        }
        let seglen = len + i64::from(fin);
        urgent |= seglen > 0 && rel(f.rcv_adv, f.rcv_nxt) < i64::from(f.rcv_mss);
        let moved_on = f.rcv_nxt != before.rcv_nxt;
        let unacked = rel(f.rcv_nxt, f.last_ack_sent);
        let many = unacked >= 2 * i64::from(f.rcv_mss);
        let arms = !urgent && moved_on && !many && !f.delack_armed;
        if arms {
            f.delack_armed = true;
            f.delack_deadline = now.tick.wrapping_add(now.delayed_ack);
            if !std::mem::replace(&mut f.in_delack, true) {
                self.delack_queue.push_back((n, f.delack_deadline));
            }
            self.saw("delayed ACK armed");
        }
        let muted = f.quiet && d > s && s > 0 && taken;
        f.ack_owed |= muted;
        *self.flow(n) = f;
        if muted {
            self.saw("ACK muted");
        } else if urgent {
            self.urgent(n);
        } else if moved_on && many {
            self.saw("ACK owed");
            self.owed(n);
        }
        place
    }

    /// Step 5's insertion of `[s, d)`, relative to RCV.NXT.
    fn insert(&mut self, f: &mut Flow, s: i64, d: i64) -> bool {
        let base = f.rcv_nxt;
        let (touching, mut rest): (Vec<Range>, Vec<Range>) = f.ranges.iter().partition(|(a, b)| rel(*a, base) <= d && rel(*b, base) >= s);
        let start = touching.iter().map(|(a, _)| rel(*a, base)).fold(s, i64::min);
        let stop = touching.iter().map(|(_, b)| rel(*b, base)).fold(d, i64::max);
        self.saw(match (s == 0, touching.len()) {
            (true, 0) => "in order, no range",
            (true, 1) => "in order, joins one",
            (true, _) => "in order, joins several",
            (false, 0) => "out of order, new range",
            (false, 1) => "out of order, joins one",
            (false, _) => "out of order, joins several",
        });
        if s == 0 {
            f.rcv_nxt = moved(base, stop);
            f.dirty = true;
        } else {
            if touching.is_empty() && rest.len() == RANGES {
                return false;
            }
            rest.push((moved(base, start), moved(base, stop)));
            rest.sort_by_key(|(a, _)| rel(*a, base));
        }
        f.ranges = rest;
        true
    }
}
