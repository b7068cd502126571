//! Queue bits, the host's events and the flow's life after an operation; what goes into the queues.

use super::outcome::Outcome;
use super::state::{Classes, FlowControl};
use super::verdict::Verdict;
use rust_hdl::prelude::*;

/// Combinational; all inputs stand in cycle 9.
#[derive(LogicBlock, Default)]
pub struct ControlNext {
    /// The operation.
    pub classes: Signal<In, Classes>,
    /// The flow before it.
    pub control: Signal<In, FlowControl>,
    /// SEGMENT.
    pub verdict: Signal<In, Verdict>,
    /// The other classes.
    pub outcome: Signal<In, Outcome>,
    /// PLAN: more is left to be sent.
    pub pending: Signal<In, Bit>,
    /// PLAN: it was for one segment to be resent.
    pub one: Signal<In, Bit>,
    /// The flow after it.
    pub next_control: Signal<Out, FlowControl>,
    /// The flow goes into the ACK queue.
    pub push_ack: Signal<Out, Bit>,
    /// The flow goes into the data queue.
    pub push_data: Signal<Out, Bit>,
    /// The flow goes into the report queue.
    pub push_report: Signal<Out, Bit>,
    /// The flow goes into the delayed-ACK queue.
    pub push_delack: Signal<Out, Bit>,
    urgent: Signal<Local, Bit>,
    owed: Signal<Local, Bit>,
    data: Signal<Local, Bit>,
    active: Signal<Local, Bit>,
    armed: Signal<Local, Bit>,
    dirty: Signal<Local, Bit>,
    in_ack: Signal<Local, Bit>,
    in_data: Signal<Local, Bit>,
    in_report: Signal<Local, Bit>,
    in_delack: Signal<Local, Bit>,
}

impl Logic for ControlNext {
    #[hdl_gen]
    fn update(&mut self) {
        self.in_ack.next = self.control.val().in_ack & !self.classes.val().ack;
        self.in_data.next = self.control.val().in_data & !self.classes.val().plan;
        self.in_report.next = self.control.val().in_report & !self.classes.val().report;
        self.in_delack.next = self.control.val().in_delack & !self.classes.val().timer;
        self.active.next = (self.control.val().active | self.outcome.val().install) & !self.outcome.val().remove;
        self.armed.next = (self.control.val().armed & !self.outcome.val().reports) | self.outcome.val().rearms | self.outcome.val().install;
        self.dirty.next = (self.control.val().dirty & !self.outcome.val().reports & !self.outcome.val().install)
            | self.verdict.val().dirty
            | (self.outcome.val().install & self.outcome.val().quiet);
        self.urgent.next = self.verdict.val().urgent | self.outcome.val().hands_on | self.outcome.val().ack_now | self.outcome.val().wakes;
        self.owed.next = self.verdict.val().owed | self.outcome.val().due | self.outcome.val().updates;
        self.data.next = self.verdict.val().wants_data
            | self.outcome.val().wants_data
            | (self.outcome.val().plans & (self.outcome.val().carries | self.one.val()) & self.pending.val());

        self.push_ack.next = !self.in_ack.val() & (self.urgent.val() | (self.owed.val() & !self.in_data.val()));
        self.push_data.next = !self.in_data.val() & self.data.val();
        self.push_report.next = !self.in_report.val() & self.active.val() & self.dirty.val() & self.armed.val();
        self.push_delack.next = !self.in_delack.val() & (self.verdict.val().arms | self.outcome.val().later);
        self.next_control.next.active = self.active.val();
        self.next_control.next.generation = self.control.val().generation;
        if self.outcome.val().install {
            self.next_control.next.generation = self.control.val().generation + 1;
        }
        self.next_control.next.quiet = self.control.val().quiet;
        if self.outcome.val().install | self.outcome.val().rearms {
            self.next_control.next.quiet = self.outcome.val().quiet;
        }
        self.next_control.next.armed = self.armed.val();
        self.next_control.next.dirty = self.dirty.val();
        self.next_control.next.in_ack = self.in_ack.val() | self.push_ack.val();
        self.next_control.next.in_data = self.in_data.val() | self.push_data.val();
        self.next_control.next.in_report = self.in_report.val() | self.push_report.val();
        self.next_control.next.in_delack = self.in_delack.val() | self.push_delack.val();
    }
}
