//! One flow, as seen from outside.

use super::intervals::Intervals;
use std::ops::Range;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event};
use toe_contract::RANGES;
use toe_wire::{TcpFrame, TcpSegment};

/// Violations found: the invariant, and what was expected and found.
type Found = Vec<(u8, String)>;

/// The signed distance from `b` to `a` in sequence space.
fn relative(a: u32, b: u32) -> i64 {
    a.wrapping_sub(b).cast_signed().into()
}

/// What is known of one direction: positions are distances from the sequence number the flow was installed with, never wrapping.
struct Receiving {
    base: u64,
    size: u64,
    wscale: u32,
    /// Sequence number of position 0.
    origin: u32,
    /// RCV.NXT is at least here.
    nxt: i64,
    /// RCV.NXT in the last event.
    nxt_told: i64,
    /// All bytes below are placed; the writes of every later operation are at or above it, since they come in order.
    low: i64,
    /// The last piece that joined bytes placed before: its end, and theirs. The rest of its operation begins between.
    joined: (i64, i64),
    /// Furthest right edge announced.
    edge: i64,
    /// ACK and right edge of the last segment with payload or FIN. A pure ACK may overtake such a segment, not the other way round.
    carried: (i64, i64),
    /// The host has consumed at most up to here.
    consumed: i64,
    /// Bytes that came in good frames.
    good: Intervals,
    /// Bytes written to the ring.
    placed: Intervals,
    /// Positions of FINs that came in good frames.
    fins: Vec<i64>,
}

struct Sending {
    base: u64,
    size: u64,
    wscale: u32,
    origin: u32,
    /// SND.UNA is at least, and at most, here.
    una: i64,
    una_most: i64,
    /// SND.WND is at most this: an acknowledgement can be newer than the window it goes with (RFC 9293 section 3.10.7.4), so the largest counts.
    wnd: i64,
    cwnd: i64,
    limit: i64,
    fin: bool,
    /// Resends of one segment that may still come.
    ones: u32,
    /// From here on something may still be sent again, though it may be acknowledged meanwhile: RESEND has been given since the engine last rested.
    again: Option<i64>,
}

/// See the [module](self).
pub(super) struct Watch {
    tuple: (u32, u32, u16, u16),
    refusals: u32,
    receiving: Receiving,
    sending: Sending,
}

impl Receiving {
    fn new(rings: &Command, receive: &Command) -> Receiving {
        let origin = word(receive, command::RECEIVE_RCV_NXT);
        let at = |piece| relative(word(receive, piece), origin);
        Receiving {
            base: rings.get(command::RINGS_RECEIVE_BASE),
            size: 1 << rings.get(command::RINGS_RECEIVE_LOG2),
            wscale: word(rings, command::RINGS_RCV_WSCALE),
            origin,
            nxt: 0,
            nxt_told: 0,
            low: 0,
            joined: (0, 0),
            edge: at(command::RECEIVE_RCV_ADV),
            carried: (0, at(command::RECEIVE_RCV_ADV)),
            consumed: at(command::RECEIVE_RCV_CONSUMED),
            good: Intervals::default(),
            placed: Intervals::default(),
            fins: Vec::new(),
        }
    }

    fn position(&self, seq: u32) -> i64 {
        let near = self.origin.wrapping_add(low(self.nxt));
        self.nxt + relative(seq, near)
    }

    /// The furthest that RCV.NXT can be, out of these bytes.
    fn reach(&self, bytes: &Intervals) -> i64 {
        let reach = bytes.reach(self.nxt);
        let fin = self.fins.iter().filter(|fin| self.nxt <= **fin && **fin <= reach).map(|fin| fin + 1).max();
        reach.max(fin.unwrap_or(reach))
    }

    fn frame_in(&mut self, tcp: &TcpSegment<'_>) {
        let start = self.position(tcp.seq.0);
        let end = start + i64::try_from(tcp.payload.len()).unwrap_or(i64::MAX);
        self.good.add(start.max(self.nxt), end);
        if tcp.flags.fin() && end >= self.nxt && self.fins.len() < 64 {
            self.fins.push(end);
        }
    }

    fn placed(&mut self, range: &Range<u64>, found: &mut Found) {
        let length = i64::try_from(range.end - range.start).unwrap_or(i64::MAX);
        let near = u64::from(self.origin.wrapping_add(low(self.low)));
        let offset = (range.start - self.base).wrapping_sub(near) & (self.size - 1);
        let mut start = self.low + i64::try_from(offset).unwrap_or(i64::MAX);
        let again = start - i64::try_from(self.size).unwrap_or(i64::MAX);
        let beyond = start + length > self.edge && self.low == self.joined.1;
        if beyond && self.joined.0 <= again && again <= self.joined.1 {
            start = again;
        }
        let end = start + length;
        if end > self.edge {
            found.push((1, format!("expected writes up to the edge at {} of the stream, found {start}..{end}", self.edge)));
        } else if !self.good.holds(start, end) {
            found.push((3, format!("expected bytes of good frames only, found {start}..{end} of the stream placed")));
        }
        self.placed.add(start, end);
        let reach = self.placed.reach(self.low);
        if reach > self.low.max(end) {
            self.joined = (end, reach);
        }
        self.low = reach;
    }

    fn acknowledged(&mut self, tcp: &TcpSegment<'_>, found: &mut Found) {
        let at = self.position(tcp.ack.0);
        let pure = tcp.payload.is_empty() && !tcp.flags.fin();
        let (least, least_edge) = if pure { (self.nxt, self.edge) } else { self.carried };
        if at < least {
            found.push((4, format!("expected an ACK of {least} or more, found {at}")));
        }
        let most = self.reach(&self.good);
        if at > most {
            found.push((4, format!("expected an ACK of at most {most}, found {at}")));
        }
        let edge = at + (i64::from(tcp.window) << self.wscale);
        let room = self.consumed + i64::try_from(self.size).unwrap_or(i64::MAX);
        if edge > room.max(self.edge) {
            found.push((1, format!("expected a window up to {room}, found one up to {edge}")));
        }
        if tcp.window != u16::MAX && edge + (1 << self.wscale) <= least_edge {
            found.push((2, format!("expected a right edge of {least_edge} at least, found {edge}")));
        }
        self.edge = self.edge.max(edge);
        if !pure {
            self.carried = (at, edge.max(self.carried.1));
        }
        self.raise(at);
    }

    /// RCV.NXT is at least here.
    fn raise(&mut self, at: i64) {
        self.nxt = self.nxt.max(at);
        self.fins.retain(|fin| *fin + 1 >= self.nxt);
    }

    fn event(&mut self, event: &Event, found: &mut Found) {
        let nxt = self.position(event.get(event::RCV_NXT));
        if nxt < self.nxt_told {
            found.push((2, format!("expected RCV.NXT of {} or more in an event, found {nxt}", self.nxt_told)));
        }
        let most = self.reach(&self.good).max(self.nxt);
        if nxt > most {
            found.push((2, format!("expected RCV.NXT of at most {most} in an event, found {nxt}")));
        }
        let adv = self.position(event.get(event::RCV_ADV));
        // It is raised when an announcement is made, which may not have come out yet.
        let room = self.consumed + i64::try_from(self.size).unwrap_or(i64::MAX);
        if adv > room.max(self.edge) {
            found.push((1, format!("expected an edge of at most {room} in an event, found {adv}")));
        }
        self.edge = self.edge.max(adv);
        self.nxt_told = nxt;
        self.raise(nxt);
        let ranges = event.get(event::RANGES);
        let held = event.get(event::FLAGS) & u32::from(event::OUT_OF_ORDER) != 0;
        if ranges as usize > RANGES || held != (ranges > 0) {
            found.push((7, format!("expected at most {RANGES} ranges, and OUT_OF_ORDER if there are some; found {ranges}, {held}")));
        }
    }

    fn at_rest(&mut self, found: &mut Found) {
        let whole = self.low >= self.nxt || self.fins.contains(&self.low) && self.low + 1 == self.nxt;
        if !whole {
            found.push((2, format!("expected RCV.NXT of at most {}, where the first byte not placed is; found {}", self.low, self.nxt)));
            self.low = self.nxt;
        }
        self.good.forget_below(self.low.min(self.nxt));
        self.placed.forget_below(self.low);
    }
}

impl Sending {
    fn new(rings: &Command, install: &Command) -> Sending {
        let origin = word(install, command::INSTALL_SND_UNA);
        let at = |piece| relative(word(install, piece), origin);
        Sending {
            base: rings.get(command::RINGS_SEND_BASE),
            size: 1 << rings.get(command::RINGS_SEND_LOG2),
            wscale: word(rings, command::RINGS_SND_WSCALE),
            origin,
            una: 0,
            una_most: 0,
            wnd: word(install, command::INSTALL_SND_WND).into(),
            cwnd: word(install, command::INSTALL_CWND).into(),
            limit: at(command::INSTALL_LIMIT),
            fin: install.flags() & command::FIN != 0,
            ones: 0,
            again: None,
        }
    }

    fn position(&self, seq: u32) -> i64 {
        let near = self.origin.wrapping_add(low(self.una));
        self.una + relative(seq, near)
    }

    /// Nothing below is sent again.
    fn least_again(&self) -> i64 {
        self.again.unwrap_or(self.una).min(self.una)
    }

    fn end(&self) -> i64 {
        self.limit + i64::from(self.fin)
    }

    fn command(&mut self, c: &Command, opcode: Opcode) {
        match opcode {
            Opcode::Send => {
                let limit = self.position(word(c, command::SEND_LIMIT));
                let size = i64::try_from(self.size).unwrap_or(i64::MAX);
                if limit >= self.limit && limit - self.una_most <= size && !self.fin {
                    self.limit = limit;
                    self.fin = c.flags() & command::FIN != 0;
                }
            }
            Opcode::Cwnd => self.cwnd = self.cwnd.max(word(c, command::CWND_CWND).into()),
            Opcode::Resend => {
                self.ones += u32::from(c.flags() & command::RESEND_ONE != 0);
                let from = self.position(word(c, command::RESEND_FROM));
                if self.una <= from {
                    self.again = Some(self.least_again().min(from));
                }
            }
            _ => {}
        }
    }

    fn frame_in(&mut self, tcp: &TcpSegment<'_>) {
        let ack = self.position(tcp.ack.0);
        if ack <= self.end() {
            self.una_most = self.una_most.max(ack);
        }
        self.wnd = self.wnd.max(i64::from(tcp.window) << self.wscale);
    }

    fn sent(&mut self, tcp: &TcpSegment<'_>, found: &mut Found) {
        let length = i64::try_from(tcp.payload.len()).unwrap_or(i64::MAX) + i64::from(tcp.flags.fin());
        let start = self.position(tcp.seq.0);
        let end = start + length;
        let least = self.least_again();
        if start < least || end > self.end() {
            found.push((6, format!("expected to send from {least} to {}, found {start}..{end}", self.end())));
        }
        let (una, wnd, cwnd) = (self.una_most, self.wnd, self.cwnd);
        if length > 0 && end > una + wnd.min(cwnd) {
            let probe = self.ones > 0 && (length == 1 || end <= una + wnd);
            self.ones = self.ones.saturating_sub(1);
            if !probe {
                found.push((5, format!("expected at most {una} + min({wnd}, {cwnd}) to be sent, found {start}..{end}")));
            }
        }
    }

    /// A read of the send ring; whole words are read, of which one byte at least must be the host's.
    fn fetched(&self, range: &Range<u64>, found: &mut Found) {
        let near = u64::from(self.origin.wrapping_add(low(self.una)));
        let last = range.end - 1 - (range.end - 1) % 8;
        for word in [range.start - range.start % 8, last] {
            let legal = (word.max(self.base)..word + 8).any(|iova| {
                let offset = (iova - self.base).wrapping_sub(near) & (self.size - 1);
                let at = self.una.saturating_add_unsigned(offset);
                at < self.limit || self.least_again() <= at.saturating_sub_unsigned(self.size)
            });
            if !legal {
                found.push((6, format!("expected reads from {} to {} of the stream, found one at {word:#x}", self.least_again(), self.limit)));
            }
        }
    }

    fn event(&mut self, event: &Event, found: &mut Found) {
        let [una, nxt, max] = [event::SND_UNA, event::SND_NXT, event::SND_MAX].map(|field| self.position(event.get(field)));
        if !(self.una <= una && una <= nxt && nxt <= max && max <= self.end()) {
            let (low, high) = (self.una, self.end());
            found.push((6, format!("expected {low} <= SND.UNA <= SND.NXT <= SND.MAX <= {high}, found {una}, {nxt}, {max}")));
        }
        if una > self.una_most {
            found.push((6, format!("expected SND.UNA of at most {}, which was acknowledged; found {una}", self.una_most)));
        }
        self.una = self.una.max(una);
        self.una_most = self.una_most.max(una);
    }
}

impl Watch {
    /// What the four commands install.
    pub(super) fn new([address, rings, receive, install]: &[Command; 4]) -> Watch {
        let half = |piece| u16::try_from(address.get(piece)).unwrap_or(u16::MAX);
        let (local, remote) = (word(address, command::ADDRESS_LOCAL_IP), word(address, command::ADDRESS_REMOTE_IP));
        Watch {
            tuple: (local, remote, half(command::ADDRESS_LOCAL_PORT), half(command::ADDRESS_REMOTE_PORT)),
            refusals: 0,
            receiving: Receiving::new(rings, receive),
            sending: Sending::new(rings, install),
        }
    }

    pub(super) fn same_tuple(&self, other: &Watch) -> bool {
        self.tuple == other.tuple
    }

    pub(super) fn is_peer(&self, frame: &TcpFrame<'_>) -> bool {
        tuple(frame, false) == self.tuple
    }

    pub(super) fn is_own(&self, frame: &TcpFrame<'_>) -> bool {
        tuple(frame, true) == self.tuple
    }

    /// The receive ring, or the send ring.
    pub(super) fn ring(&self, receive: bool) -> Range<u64> {
        let (base, size) = if receive { (self.receiving.base, self.receiving.size) } else { (self.sending.base, self.sending.size) };
        base..base + size
    }

    /// An INSTALL of a flow that is there is refused, and that says nothing of the flow.
    pub(super) fn expects_refusal(&mut self) -> bool {
        let expected = self.refusals > 0;
        self.refusals = self.refusals.saturating_sub(1);
        expected
    }

    pub(super) fn refuse_install(&mut self) {
        self.refusals += 1;
    }

    pub(super) fn command(&mut self, c: &Command, opcode: Opcode) {
        if opcode == Opcode::Consumed {
            let at = self.receiving.position(word(c, command::CONSUMED_RCV_CONSUMED));
            if at <= self.receiving.reach(&self.receiving.good) {
                self.receiving.consumed = self.receiving.consumed.max(at);
            }
        }
        self.sending.command(c, opcode);
    }

    pub(super) fn frame_in(&mut self, tcp: &TcpSegment<'_>) {
        self.receiving.frame_in(tcp);
        self.sending.frame_in(tcp);
    }

    pub(super) fn frame_out(&mut self, tcp: &TcpSegment<'_>, found: &mut Found) {
        self.receiving.acknowledged(tcp, found);
        self.sending.sent(tcp, found);
    }

    pub(super) fn placed(&mut self, range: &Range<u64>, found: &mut Found) {
        self.receiving.placed(range, found);
    }

    pub(super) fn fetched(&self, range: &Range<u64>, found: &mut Found) {
        self.sending.fetched(range, found);
    }

    pub(super) fn event(&mut self, event: &Event, found: &mut Found) {
        self.receiving.event(event, found);
        self.sending.event(event, found);
    }

    pub(super) fn at_rest(&mut self, found: &mut Found) {
        self.receiving.at_rest(found);
        self.sending.again = None;
    }
}

/// A position modulo 2^32.
fn low(position: i64) -> u32 {
    let [a, b, c, d, ..] = position.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A piece of a command that fits 32 bits.
fn word(c: &Command, piece: command::Piece) -> u32 {
    u32::try_from(c.get(piece)).unwrap_or(u32::MAX)
}

/// Local and remote address and port.
fn tuple(frame: &TcpFrame<'_>, own: bool) -> (u32, u32, u16, u16) {
    let (src, dst) = (u32::from(frame.ip.src), u32::from(frame.ip.dst));
    let (from, to) = (frame.tcp.src_port, frame.tcp.dst_port);
    if own {
        (src, dst, from, to)
    } else {
        (dst, src, to, from)
    }
}
