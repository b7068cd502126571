//! One operation at a time: which is next, and what it does beside the flow's own state.

use super::flow::relative;
use super::frame::{build, Outgoing, SHORTEST};
use super::parse::{flag, sort, Segment, Sorted};
use super::plan::Planned;
use super::registers::half;
use super::segment::Ack;
use super::{Arrival, Fetched, Model};
use crate::root_complex::{Fault, RootComplex};
use std::ops::Range;
use toe_contract::event::{self, Event, Kind};
use toe_contract::raw::Reason;
use toe_contract::{counter, register, NO_FLOW, TIMESTAMP_SHIFT};

/// The classes of operations, and the interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Seal,
    Segment,
    Ack,
    Timer,
    Report,
    Plan,
    Command,
    Interrupt,
}

impl Model {
    /// What is to be done now.
    pub(super) fn next(&self) -> Option<Class> {
        let tick = self.tick();
        let command = self.context.has_command() && self.context.event_room();
        let classes = [
            (!self.fetched.is_empty(), Class::Seal),
            (!self.arrivals.is_empty(), Class::Segment),
            (!self.acks.is_empty(), Class::Ack),
            (self.delayed.front().is_some_and(|d| relative(tick, d.1) >= 0), Class::Timer),
            (!self.reports.is_empty() && self.context.event_room(), Class::Report),
            (command && self.planned, Class::Command),
            (!self.data.is_empty(), Class::Plan),
            (command, Class::Command),
            (self.context.interrupt_at(tick) == Some(tick), Class::Interrupt),
        ];
        classes.into_iter().find(|c| c.0 && !self.global.fault).map(|c| c.1)
    }

    /// Does one operation. False: there is nothing to do.
    pub(super) fn operate(&mut self, host: &mut RootComplex) -> bool {
        let Some(class) = self.next() else { return false };
        match class {
            Class::Seal => self.op_seal(),
            Class::Segment => self.op_arrival(host),
            Class::Ack => self.op_ack(),
            Class::Timer => self.op_timer(),
            Class::Report => self.op_report(host),
            Class::Plan => self.op_plan(host),
            Class::Command => self.op_command(host),
            Class::Interrupt => self.interrupt(host),
        }
        self.planned = class == Class::Plan || self.planned && class != Class::Command;
        true
    }

    /// The result of a DMA access; a fault stops everything.
    pub(super) fn without_fault<T>(&mut self, result: Result<T, Fault>, host: &mut RootComplex) -> Option<T> {
        if result.is_err() && !self.global.fault {
            self.global.fault = true;
            self.interrupt(host);
        }
        result.ok()
    }

    fn interrupt(&mut self, host: &mut RootComplex) {
        if self.context.interrupt(self.tick(), host) {
            self.global.count(counter::INTERRUPTS);
        }
    }

    /// Puts a flow that has something to tell into the report queue.
    pub(super) fn touch(&mut self, n: u16) {
        let flow = &mut self.flows[usize::from(n)];
        if flow.active && flow.dirty && flow.armed && !flow.in_report {
            flow.in_report = true;
            self.reports.push_back(n);
        }
    }

    /// Puts a flow that may have something to send into the data queue.
    pub(super) fn want_data(&mut self, n: u16) {
        let flow = &mut self.flows[usize::from(n)];
        if flow.pending() && !flow.in_data {
            flow.in_data = true;
            self.data.push_back(n);
        }
    }

    /// Sees to an ACK.
    pub(super) fn want_ack(&mut self, n: u16, ack: Ack) {
        let deadline = self.tick().wrapping_add(self.global.get(&register::DELAYED_ACK));
        let flow = &mut self.flows[usize::from(n)];
        match ack {
            Ack::None => {}
            Ack::Delayed => {
                if !flow.delack_armed {
                    flow.delack_armed = true;
                    flow.delack_deadline = deadline;
                    if !flow.in_delack {
                        flow.in_delack = true;
                        self.delayed.push_back((n, deadline));
                    }
                }
            }
            Ack::Muted => flow.ack_owed = true,
            Ack::Owed | Ack::Urgent => {
                flow.ack_owed = true;
                if !flow.in_ack && (ack == Ack::Urgent || !flow.in_data) {
                    flow.in_ack = true;
                    self.acks.push_back(n);
                }
            }
        }
    }

    pub(super) fn push_event(&mut self, event: Event, host: &mut RootComplex) {
        let pushed = self.context.push_event(event, host);
        if self.without_fault(pushed, host).is_some() {
            self.global.count(counter::EVENTS);
        }
    }

    fn send(&mut self, mut frame: Vec<u8>) {
        frame.resize(frame.len().max(SHORTEST), 0);
        self.out.push_back(frame);
    }

    /// Announces the window and sends a segment of a flow.
    fn send_segment(&mut self, n: u16, seq: u32, flags: u8, payload: &[u8]) {
        let clock = half(self.now.0 >> TIMESTAMP_SHIFT, false);
        let flow = &mut self.flows[usize::from(n)];
        let window = flow.announce();
        let tsval = clock.wrapping_add(flow.ts_offset);
        let frame = build(flow, self.global.mac(), &Outgoing { seq, flags, window, tsval, payload });
        self.send(frame);
    }

    fn op_seal(&mut self) {
        match self.fetched.pop_front() {
            Some(Fetched::Segment { flow, planned, payload }) => {
                let flags = if planned.psh { flag::PSH } else { 0 } | if planned.fin { flag::FIN } else { 0 };
                self.send_segment(flow, planned.seq, flags, &payload);
            }
            Some(Fetched::Raw(frame)) => {
                self.global.count(counter::TX_RAW);
                self.send(frame);
            }
            Some(Fetched::Inject(frame)) => {
                self.global.count(counter::INJECTED);
                self.arrivals.push_back(Arrival::Injected(frame));
            }
            None => {}
        }
    }

    fn op_ack(&mut self) {
        let Some(n) = self.acks.pop_front() else { return };
        let flow = &mut self.flows[usize::from(n)];
        flow.in_ack = false;
        if flow.active && flow.ack_owed {
            let seq = flow.snd_nxt;
            self.global.count(counter::TX_ACKS);
            self.send_segment(n, seq, 0, &[]);
        }
    }

    fn op_timer(&mut self) {
        let Some((n, _)) = self.delayed.pop_front() else { return };
        let tick = self.tick();
        let flow = &mut self.flows[usize::from(n)];
        let waits = flow.active && flow.delack_armed;
        let due = relative(tick, flow.delack_deadline) >= 0;
        flow.in_delack = waits && !due;
        if waits && !due {
            self.delayed.push_back((n, flow.delack_deadline));
        } else if waits {
            flow.delack_armed = false;
            self.want_ack(n, Ack::Owed);
        }
    }

    fn op_report(&mut self, host: &mut RootComplex) {
        let Some(n) = self.reports.pop_front() else { return };
        let tick = self.tick();
        let flow = &mut self.flows[usize::from(n)];
        flow.in_report = false;
        if flow.active && flow.dirty && flow.armed {
            flow.dirty = false;
            flow.armed = false;
            let told = flow.event().with(event::KIND, Kind::Flow as u32).with(event::FLOW, n.into()).with(event::COMMAND, tick);
            self.push_event(told, host);
        }
    }

    fn op_plan(&mut self, host: &mut RootComplex) {
        let Some(n) = self.data.pop_front() else { return };
        let tick = self.tick();
        let flow = &mut self.flows[usize::from(n)];
        flow.in_data = false;
        if !flow.active {
            return;
        }
        let one = flow.one_pending;
        if let Some(planned) = flow.plan(tick) {
            self.fetch(n, planned, host);
            self.want_data(n);
        } else if one && flow.pending() {
            self.want_data(n);
        } else if flow.ack_owed && !flow.in_ack {
            flow.in_ack = true;
            self.acks.push_back(n);
        }
    }

    /// Reads the payload of a planned segment out of the send ring.
    fn fetch(&mut self, n: u16, planned: Planned, host: &mut RootComplex) {
        self.global.count(counter::TX_SEGMENTS);
        if planned.resent {
            self.global.count(counter::TX_RESENT);
        }
        let flow = &self.flows[usize::from(n)];
        let mut payload = vec![0; planned.length as usize];
        let read = pieces(flow.send_base, flow.send_size(), planned.seq, payload.len()).try_for_each(|(iova, piece)| host.read(iova, &mut payload[piece]));
        if self.without_fault(read, host).is_some() {
            self.fetched.push_back(Fetched::Segment { flow: n, planned, payload });
        }
    }

    fn op_arrival(&mut self, host: &mut RootComplex) {
        match self.arrivals.pop_front() {
            Some(Arrival::Injected(frame)) => self.op_segment(&frame, host),
            Some(Arrival::Wire { frame, fcs_ok }) if self.mac_takes(&frame, fcs_ok) && self.global.receiving() => self.op_segment(&frame, host),
            _ => {}
        }
    }

    /// The receiving MAC: counts the first of its faults, and says whether the frame goes on.
    fn mac_takes(&mut self, frame: &[u8], fcs_ok: bool) -> bool {
        let longest = register::MAX_FRAME_BYTES.get(self.global.get(&register::MAX_FRAME)) as usize;
        if frame.len() > longest {
            self.global.count(counter::MAC_RX_OVERSIZE);
        } else if frame.len() < SHORTEST {
            self.global.count(counter::MAC_RX_RUNT);
        } else if !fcs_ok {
            self.global.count(counter::MAC_RX_BAD_FCS);
        } else if !self.global.takes(&frame[..6]) {
            self.global.count(counter::MAC_RX_FILTERED);
        } else {
            self.global.count(counter::MAC_RX_FRAMES);
            self.global.add(counter::MAC_RX_BYTES, frame.len() as u64);
            return true;
        }
        false
    }

    /// SEGMENT.
    fn op_segment(&mut self, frame: &[u8], host: &mut RootComplex) {
        let segment = match sort(frame) {
            Sorted::Dropped(why) => return self.global.count(why),
            Sorted::Other => return self.raw(frame, Reason::Other, None, host),
            Sorted::Tcp(segment) => segment,
        };
        self.global.count(counter::RX_CHECKSUM_GOOD);
        let Some(&n) = self.table.get(&segment.tuple) else { return self.raw(frame, Reason::NoFlow, None, host) };
        self.global.count(counter::RX_SEGMENTS);
        if segment.flags & (flag::SYN | flag::RST | flag::URG) != 0 {
            return self.raw(frame, Reason::Flagged, Some(n), host);
        }
        if segment.flags & flag::ACK == 0 {
            return self.global.count(counter::RX_NO_ACK);
        }
        self.segment_of_flow(n, &segment, frame, host);
    }

    fn segment_of_flow(&mut self, n: u16, segment: &Segment, frame: &[u8], host: &mut RootComplex) {
        let tick = self.tick();
        let outcome = self.flows[usize::from(n)].segment(segment, tick);
        outcome.counts.iter().for_each(|c| self.global.count(*c));
        if let Some((seq, bytes)) = outcome.place {
            self.place(n, seq, &frame[bytes], host);
        }
        self.want_ack(n, outcome.ack);
        if outcome.plan {
            self.want_data(n);
        }
        self.touch(n);
    }

    /// Writes payload into the receive ring.
    fn place(&mut self, n: u16, seq: u32, payload: &[u8], host: &mut RootComplex) {
        let flow = &self.flows[usize::from(n)];
        let written = pieces(flow.receive_base, flow.receive_size(), seq, payload.len()).try_for_each(|(iova, piece)| host.write(iova, &payload[piece]));
        self.without_fault(written, host);
    }

    /// Hands a frame up.
    fn raw(&mut self, frame: &[u8], reason: Reason, n: Option<u16>, host: &mut RootComplex) {
        if !self.context.raw_room(frame.len()) {
            return self.global.count(counter::RX_RAW_FULL);
        }
        self.global.count(counter::RX_RAW);
        let header = n
            .map_or_else(Event::default, |n| self.flows[usize::from(n)].snapshot())
            .with(event::KIND, reason as u32)
            .with(event::FLOW, n.unwrap_or(NO_FLOW).into())
            .with(event::COMMAND, u32::try_from(frame.len()).unwrap_or(u32::MAX));
        let pushed = self.context.push_raw(header, frame, host);
        self.without_fault(pushed, host);
    }
}

/// Where `length` bytes from sequence number `seq` lie in a ring: addresses, and which of the bytes; two if they run over its end.
fn pieces(base: u64, size: u32, seq: u32, length: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut done = 0_usize;
    std::iter::from_fn(move || {
        let at = (u64::from(seq) + done as u64) & u64::from(size - 1);
        let room = usize::try_from(u64::from(size) - at).unwrap_or(usize::MAX);
        let piece = done..length.min(done.saturating_add(room));
        done = piece.end;
        (!piece.is_empty()).then_some((base.wrapping_add(at), piece))
    })
}
