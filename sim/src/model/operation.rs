//! One operation at a time: which is next, and what it does beside the flow's own state.

use super::flow::relative;
use super::frame::{build, Outgoing, SHORTEST};
use super::parse::{flag, sort, Segment, Sorted};
use super::plan::Planned;
use super::registers::half;
use super::segment::Ack;
use super::{Arrival, Fetched, Model};
use crate::engine::{Begun, Operation};
use crate::root_complex::{Fault, RootComplex};
use std::ops::Range;
use toe_contract::event::{self, Event, Kind};
use toe_contract::raw::Reason;
use toe_contract::{counter, register, NO_FLOW, TIMESTAMP_SHIFT};

/// The classes of operations, and what goes on beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A frame of the host has been fetched and goes on.
    Frame,
    Seal,
    Segment,
    Ack,
    Timer,
    Report,
    Plan,
    Command,
    Interrupt,
}

impl Class {
    /// What the flow core calls it.
    pub(super) fn operation(self) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| Class::from(*operation) == self)
    }
}

impl From<Operation> for Class {
    fn from(operation: Operation) -> Class {
        match operation {
            Operation::Seal => Class::Seal,
            Operation::Segment => Class::Segment,
            Operation::Ack => Class::Ack,
            Operation::Timer => Class::Timer,
            Operation::Report => Class::Report,
            Operation::Plan => Class::Plan,
            Operation::Command => Class::Command,
        }
    }
}

impl Model {
    /// Something waits for an operation of this class, and it has room.
    pub(super) fn waits(&self, class: Class) -> bool {
        let (tick, event_room) = (self.tick(), self.context.event_room() >= self.event_room_wanted());
        if self.global.fault {
            // The MAC alone goes on.
            return class == Class::Segment && !self.arrivals.is_empty();
        }
        match class {
            Class::Frame => self.fetched_frame().is_some(),
            Class::Seal => match self.fetched.front() {
                Some(Fetched::Segment { .. }) => true,
                Some(Fetched::Removed(_)) => event_room,
                _ => false,
            },
            Class::Segment => !self.arrivals.is_empty() || !self.sorted.is_empty(),
            Class::Ack => !self.acks.is_empty(),
            Class::Timer => self.delayed.front().is_some_and(|d| relative(tick, d.1) >= 0),
            Class::Report => !self.reports.is_empty() && event_room,
            Class::Plan => !self.data.is_empty(),
            Class::Command => self.context.has_command() && event_room,
            Class::Interrupt => self.context.interrupt_at(tick) == Some(tick),
        }
    }

    /// The flow that an operation of this class would be on; `None` if that is not known before, or there is none.
    pub(super) fn head(&self, class: Class) -> Option<u16> {
        match class {
            Class::Seal => match self.fetched.front()? {
                Fetched::Segment { flow, .. } | Fetched::Removed(flow) => Some(*flow),
                Fetched::Raw(_) | Fetched::Inject(_) => None,
            },
            Class::Segment => match &self.sorted.front()?.1 {
                Sorted::Tcp(segment) => self.table.get(&segment.tuple),
                _ => None,
            },
            Class::Ack => self.acks.front().copied(),
            Class::Timer => self.delayed.front().map(|d| d.0),
            Class::Report => self.reports.front().copied(),
            Class::Plan => self.data.front().copied(),
            Class::Command | Class::Frame | Class::Interrupt => None,
        }
    }

    /// What is to be done now.
    pub(super) fn next(&self) -> Option<Class> {
        let (first, second) = if self.planned { (Class::Command, Class::Plan) } else { (Class::Plan, Class::Command) };
        let order = [Class::Frame, Class::Seal, Class::Segment, Class::Ack, Class::Timer, Class::Report, first, second, Class::Interrupt];
        order.into_iter().find(|class| self.waits(*class))
    }

    /// Does one operation. False: there is nothing to do.
    pub(super) fn operate(&mut self, host: &mut RootComplex) -> bool {
        let Some(class) = self.next() else { return false };
        if class == Class::Segment && (self.sorted.is_empty() || self.global.fault) {
            if let Some(arrival) = self.arrivals.pop_front() {
                self.sift(arrival);
            }
            if self.sorted.is_empty() || self.global.fault {
                return true;
            }
        }
        self.perform(class, host);
        true
    }

    /// Does an operation that [waits](Model::waits).
    pub(super) fn perform(&mut self, class: Class, host: &mut RootComplex) {
        let flow = self.head(class).unwrap_or(NO_FLOW);
        if let (Some(done), Some(operation)) = (&mut self.done, class.operation()) {
            done.push(Begun { operation, flow });
        }
        match class {
            Class::Frame => self.pass_frame(),
            Class::Seal => self.op_seal(host),
            Class::Segment => self.op_segment(host),
            Class::Ack => self.op_ack(),
            Class::Timer => self.op_timer(),
            Class::Report => self.op_report(host),
            Class::Plan => self.op_plan(host),
            Class::Command => self.op_command(host),
            Class::Interrupt => self.interrupt(host),
        }
        self.planned = class == Class::Plan || self.planned && class != Class::Command;
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

    fn op_seal(&mut self, host: &mut RootComplex) {
        match self.fetched.pop_front() {
            Some(Fetched::Segment { flow, planned, payload }) => {
                let flags = if planned.psh { flag::PSH } else { 0 } | if planned.fin { flag::FIN } else { 0 };
                self.send_segment(flow, planned.seq, flags, &payload);
            }
            Some(Fetched::Removed(n)) => {
                let flow = &self.flows[usize::from(n)];
                let told = flow.event().with(event::KIND, Kind::Removed as u32).with(event::FLOW, n.into()).with(event::COMMAND, self.tick());
                self.push_event(told, host);
            }
            _ => {}
        }
    }

    /// Where the frame of the host is that has been fetched and is next: segments go before it, the ends of removals need not.
    fn fetched_frame(&self) -> Option<usize> {
        let first = self.fetched.iter().position(|f| !matches!(f, Fetched::Removed(_)))?;
        matches!(self.fetched[first], Fetched::Raw(_) | Fetched::Inject(_)).then_some(first)
    }

    /// A frame of the host that has been fetched goes out, or in.
    fn pass_frame(&mut self) {
        match self.fetched_frame().and_then(|k| self.fetched.remove(k)) {
            Some(Fetched::Raw(frame)) => {
                self.global.count(counter::TX_RAW);
                self.send(frame);
            }
            Some(Fetched::Inject(frame)) => {
                self.global.count(counter::INJECTED);
                self.arrivals.push_back(Arrival::Injected(frame));
            }
            _ => {}
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
        let planned = flow.plan(tick);
        if planned.is_none() && flow.ack_owed && !flow.in_ack {
            flow.in_ack = true;
            self.acks.push_back(n);
        }
        if one || planned.is_some() {
            self.want_data(n);
        }
        if let Some(planned) = planned {
            self.fetch(n, planned, host);
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

    /// A frame goes through MAC and parser, and on from there if it is to.
    pub(super) fn sift(&mut self, arrival: Arrival) {
        let frame = match arrival {
            Arrival::Injected(frame) => frame,
            Arrival::Wire { frame, fcs_ok } if self.mac_takes(&frame, fcs_ok) && self.global.receiving() => frame,
            Arrival::Wire { .. } => return,
        };
        if self.global.fault {
            return;
        }
        match sort(&frame) {
            Sorted::Dropped(why) => return self.global.count(why),
            Sorted::Tcp(_) => self.global.count(counter::RX_CHECKSUM_GOOD),
            Sorted::Other => {}
        }
        let sorted = sort(&frame);
        self.sorted.push_back((frame, sorted));
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
    fn op_segment(&mut self, host: &mut RootComplex) {
        let Some((frame, sorted)) = self.sorted.pop_front() else { return };
        let frame = frame.as_slice();
        let Sorted::Tcp(segment) = sorted else { return self.raw(frame, Reason::Other, None, host) };
        let Some(n) = self.table.get(&segment.tuple) else { return self.raw(frame, Reason::NoFlow, None, host) };
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
