//! Queue bits, the host's events and the flow's life after an operation; what goes into the queues.

use super::decode::Opcodes;
use super::schedule::Plan;
use super::state::{Class, FlowControl};
use super::verdict::Verdict;
use rust_hdl::prelude::*;

/// Combinational; all inputs stand in cycle 9.
#[derive(LogicBlock, Default)]
pub struct ControlNext {
    /// The operation.
    pub operation: Signal<In, Class>,
    /// The flow before it.
    pub control: Signal<In, FlowControl>,
    /// An ACK is owed.
    pub ack_owed: Signal<In, Bit>,
    /// SEGMENT.
    pub verdict: Signal<In, Verdict>,
    /// REPORT: an event is written.
    pub reports: Signal<In, Bit>,
    /// PLAN.
    pub plan: Signal<In, Plan>,
    /// TIMER: the delayed ACK is due.
    pub due: Signal<In, Bit>,
    /// TIMER: it is armed, but due later.
    pub later: Signal<In, Bit>,
    /// COMMAND: what it is.
    pub opcodes: Signal<In, Opcodes>,
    /// COMMAND: it is not refused.
    pub accepted: Signal<In, Bit>,
    /// COMMAND: it may make the flow send.
    pub wants_data: Signal<In, Bit>,
    /// COMMAND: CONSUMED opens the window far enough.
    pub opens: Signal<In, Bit>,
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
    /// An ACK is owed from now on (TIMER, COMMAND).
    pub owes: Signal<Out, Bit>,
    ordered: Signal<Local, Bit>,
    rearms: Signal<Local, Bit>,
    urgent: Signal<Local, Bit>,
    owed: Signal<Local, Bit>,
    data: Signal<Local, Bit>,
    active: Signal<Local, Bit>,
    generation: Signal<Local, Bits<8>>,
    armed: Signal<Local, Bit>,
    dirty: Signal<Local, Bit>,
    in_ack: Signal<Local, Bit>,
    in_data: Signal<Local, Bit>,
    in_report: Signal<Local, Bit>,
    in_delack: Signal<Local, Bit>,
    delack: Signal<Local, Bit>,
}

impl Logic for ControlNext {
    #[hdl_gen]
    fn update(&mut self) {
        self.ordered.next = (self.operation.val() == Class::Command) & self.accepted.val();
        self.active.next = self.control.val().active;
        self.armed.next = self.control.val().armed;
        self.dirty.next = self.control.val().dirty;
        self.in_ack.next = self.control.val().in_ack;
        self.in_data.next = self.control.val().in_data;
        self.in_report.next = self.control.val().in_report;
        self.in_delack.next = self.control.val().in_delack;
        self.urgent.next = false;
        self.owed.next = false;
        self.owes.next = false;
        self.data.next = false;
        self.delack.next = false;
        self.generation.next = self.control.val().generation;
        if self.operation.val() == Class::Segment {
            self.urgent.next = self.verdict.val().urgent;
            self.owed.next = self.verdict.val().owed;
            self.data.next = self.verdict.val().wants_data;
            self.delack.next = self.verdict.val().arms;
            self.dirty.next = self.control.val().dirty | self.verdict.val().dirty;
        }
        if self.operation.val() == Class::Ack {
            self.in_ack.next = false;
        }
        if self.operation.val() == Class::Timer {
            self.in_delack.next = false;
            self.owed.next = self.control.val().active & self.due.val();
            self.owes.next = self.control.val().active & self.due.val();
            self.delack.next = self.control.val().active & self.later.val();
        }
        if self.operation.val() == Class::Report {
            self.in_report.next = false;
            if self.reports.val() {
                self.dirty.next = false;
                self.armed.next = false;
            }
        }
        if self.operation.val() == Class::Plan {
            self.in_data.next = false;
            if self.control.val().active {
                self.data.next = self.plan.val().send & self.plan.val().pending;
                self.urgent.next = !self.plan.val().send & self.ack_owed.val();
            }
        }
        self.rearms.next = self.opcodes.val().rearm_flag & !self.opcodes.val().raw & !self.opcodes.val().inject;
        if self.ordered.val() {
            self.armed.next = self.control.val().armed | self.rearms.val() | self.opcodes.val().install;
            self.data.next = self.wants_data.val();
            self.urgent.next = self.opcodes.val().ack_now;
            self.owed.next = self.opcodes.val().consumed & self.opens.val();
            self.owes.next = self.opcodes.val().ack_now | (self.opcodes.val().consumed & self.opens.val());
            if self.opcodes.val().install {
                self.active.next = true;
                self.dirty.next = false;
                self.generation.next = self.control.val().generation + 1;
            }
            if self.opcodes.val().remove {
                self.active.next = false;
            }
        }
        self.push_ack.next = !self.in_ack.val() & (self.urgent.val() | (self.owed.val() & !self.in_data.val()));
        self.push_data.next = self.data.val() & !self.in_data.val();
        self.push_report.next = self.active.val() & self.dirty.val() & self.armed.val() & !self.in_report.val();
        self.push_delack.next = self.delack.val() & !self.in_delack.val();
        self.next_control.next.active = self.active.val();
        self.next_control.next.generation = self.generation.val();
        self.next_control.next.armed = self.armed.val();
        self.next_control.next.dirty = self.dirty.val();
        self.next_control.next.in_ack = self.in_ack.val() | self.push_ack.val();
        self.next_control.next.in_data = self.in_data.val() | self.push_data.val();
        self.next_control.next.in_report = self.in_report.val() | self.push_report.val();
        self.next_control.next.in_delack = self.in_delack.val() | self.push_delack.val();
    }
}
