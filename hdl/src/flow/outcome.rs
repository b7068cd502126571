//! What an operation that is not a SEGMENT does; what it hands out.
//!
//! Decided in the cycle before the last, so that the last has but to select.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::decode::Opcodes;
use super::state::{Classes, FlowControl, FlowReceive};
use crate::types::TableReply;
use rust_hdl::prelude::*;

/// Effects, a bit each.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Outcome {
    /// SEAL: a segment goes out.
    pub seals: Bit,
    /// SEAL: the event of a removal.
    pub removed: Bit,
    /// ACK: a pure ACK goes out.
    pub acks: Bit,
    /// A segment goes out that announces a window.
    pub announces: Bit,
    /// TIMER: the delayed ACK is owed.
    pub due: Bit,
    /// TIMER: it is armed, but due later.
    pub later: Bit,
    /// REPORT: an event is written.
    pub reports: Bit,
    /// PLAN of an active flow.
    pub plans: Bit,
    /// PLAN: a segment is planned, which carries the ACK.
    pub carries: Bit,
    /// PLAN: there is nothing to send, but an ACK is owed.
    pub hands_on: Bit,
    /// COMMAND: it is refused.
    pub refused: Bit,
    /// COMMAND: ADDRESS.
    pub address: Bit,
    /// COMMAND: RINGS.
    pub rings: Bit,
    /// COMMAND: RECEIVE.
    pub receive: Bit,
    /// COMMAND: INSTALL.
    pub install: Bit,
    /// COMMAND: SEND, before there was a FIN.
    pub send: Bit,
    /// COMMAND: CONSUMED.
    pub consumed: Bit,
    /// COMMAND: CONSUMED, and the window is to be announced.
    pub updates: Bit,
    /// COMMAND: CWND.
    pub cwnd: Bit,
    /// COMMAND: RESEND of one.
    pub resend_one: Bit,
    /// COMMAND: RESEND of all.
    pub resend_all: Bit,
    /// COMMAND: ACK_NOW.
    pub ack_now: Bit,
    /// COMMAND: REMOVE.
    pub remove: Bit,
    /// COMMAND: the host takes the next event.
    pub rearms: Bit,
    /// COMMAND: the flag QUIET.
    pub quiet: Bit,
    /// COMMAND: what was kept back while the flow was quiet goes out.
    pub wakes: Bit,
    /// COMMAND: something is to be sent.
    pub wants_data: Bit,
    /// An ACK is owed from now on.
    pub owes: Bit,
    /// There is a write job.
    pub writes: Bit,
    /// There is a fetch job.
    pub fetches: Bit,
}

/// Decides. Inputs are right from cycle 8 on at the latest (4 for TIMER and REPORT); the outcome is one cycle later.
#[derive(LogicBlock, Default)]
pub struct Settle {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// The operation.
    pub classes: Signal<In, Classes>,
    /// The flow before it.
    pub control: Signal<In, FlowControl>,
    /// The flow before it.
    pub receive: Signal<In, FlowReceive>,
    /// A FIN was queued before it.
    pub fin_queued: Signal<In, Bit>,
    /// SEAL: the request is the marker of a removal.
    pub marker: Signal<In, Bit>,
    /// TIMER: the deadline is still to come.
    pub early: Signal<In, Bit>,
    /// PLAN: there is a segment to send.
    pub sends: Signal<In, Bit>,
    /// COMMAND: what it is.
    pub opcodes: Signal<In, Opcodes>,
    /// COMMAND: the checks refuse it.
    pub refused: Signal<In, Bit>,
    /// COMMAND: it may make the flow send.
    pub wants_data: Signal<In, Bit>,
    /// COMMAND: CONSUMED opens the window far enough.
    pub opens: Signal<In, Bit>,
    /// COMMAND: INSTALL is decided in the cycle in which the table answers.
    pub table_reply: Signal<In, TableReply>,
    /// What is done.
    pub outcome: Signal<Out, Outcome>,
    accepted: Signal<Local, Bit>,
    update: Signal<Local, Bit>,
    work: Signal<Local, Bit>,
    due: Signal<Local, Bit>,
    report: Signal<Local, Bit>,
    ready: DFF<Outcome>,
}

impl Logic for Settle {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, ready);
        self.accepted.next =
            self.classes.val().command & !self.refused.val() & (!self.opcodes.val().install | (self.table_reply.val().valid & self.table_reply.val().ok));
        self.update.next = self.accepted.val() & self.opcodes.val().consumed & self.opens.val();
        self.work.next = !self.opcodes.val().raw & !self.opcodes.val().inject;
        self.due.next = self.classes.val().timer & self.control.val().active & self.receive.val().delack_armed & !self.early.val();
        self.report.next = self.classes.val().report & self.control.val().active & self.control.val().dirty & self.control.val().armed;

        self.ready.d.next.seals = self.classes.val().seal & !self.marker.val();
        self.ready.d.next.removed = self.classes.val().seal & self.marker.val();
        self.ready.d.next.acks = self.classes.val().ack & self.control.val().active & self.receive.val().ack_owed;
        self.ready.d.next.announces =
            (self.classes.val().seal & !self.marker.val()) | (self.classes.val().ack & self.control.val().active & self.receive.val().ack_owed);
        self.ready.d.next.due = self.due.val();
        self.ready.d.next.later = self.classes.val().timer & self.control.val().active & self.receive.val().delack_armed & self.early.val();
        self.ready.d.next.reports = self.report.val();
        self.ready.d.next.plans = self.classes.val().plan & self.control.val().active;
        self.ready.d.next.carries = self.classes.val().plan & self.control.val().active & self.sends.val();
        self.ready.d.next.hands_on = self.classes.val().plan & self.control.val().active & !self.sends.val() & self.receive.val().ack_owed;
        self.ready.d.next.refused = self.classes.val().command & !self.accepted.val();
        self.ready.d.next.address = self.accepted.val() & self.opcodes.val().address;
        self.ready.d.next.rings = self.accepted.val() & self.opcodes.val().rings;
        self.ready.d.next.receive = self.accepted.val() & self.opcodes.val().receive;
        self.ready.d.next.install = self.accepted.val() & self.opcodes.val().install;
        self.ready.d.next.send = self.accepted.val() & self.opcodes.val().send & !self.fin_queued.val();
        self.ready.d.next.consumed = self.accepted.val() & self.opcodes.val().consumed;
        self.ready.d.next.updates = self.update.val();
        self.ready.d.next.cwnd = self.accepted.val() & self.opcodes.val().cwnd;
        self.ready.d.next.resend_one = self.accepted.val() & self.opcodes.val().resend & self.opcodes.val().flag;
        self.ready.d.next.resend_all = self.accepted.val() & self.opcodes.val().resend & !self.opcodes.val().flag;
        self.ready.d.next.ack_now = self.accepted.val() & self.opcodes.val().ack_now;
        self.ready.d.next.remove = self.accepted.val() & self.opcodes.val().remove;
        self.ready.d.next.rearms = self.accepted.val() & self.opcodes.val().rearm_flag & self.work.val();
        self.ready.d.next.quiet = self.opcodes.val().quiet_flag;
        self.ready.d.next.wakes = self.accepted.val()
            & self.opcodes.val().rearm_flag
            & self.work.val()
            & !self.opcodes.val().remove
            & !self.opcodes.val().quiet_flag
            & self.control.val().quiet
            & self.receive.val().ack_owed;
        self.ready.d.next.wants_data = self.accepted.val() & self.wants_data.val();
        self.ready.d.next.owes = self.due.val() | self.update.val() | (self.accepted.val() & self.opcodes.val().ack_now);
        self.ready.d.next.writes = self.classes.val().segment
            | (self.classes.val().seal & self.marker.val())
            | self.report.val()
            | (self.classes.val().command & !self.accepted.val());
        self.ready.d.next.fetches = (self.classes.val().plan & self.control.val().active & self.sends.val())
            | (self.accepted.val() & (self.opcodes.val().raw | self.opcodes.val().inject | self.opcodes.val().remove));
        self.outcome.next = self.ready.q.val();
    }
}
