//! Which operation is next, and its cycles.
//!
//! ```text
//! cycle   0        1        2        3 .. 8      (10, 11)        9
//!         arbitrate take    load     compute     ask the table   commit
//! ```
//!
//! TIMER and REPORT go from cycle 4 to 9 at once.

use super::state::{Class, Classes};
use crate::types::FLOW_BITS;
use rust_hdl::prelude::*;

/// The arbiter and the cycle counter. After reset it first sweeps through every flow.
#[derive(LogicBlock, Default)]
pub struct Arbiter {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// SEAL waits and has room.
    pub seal: Signal<In, Bit>,
    /// SEGMENT waits and has room.
    pub segment: Signal<In, Bit>,
    /// ACK waits and has room.
    pub ack: Signal<In, Bit>,
    /// TIMER waits.
    pub timer: Signal<In, Bit>,
    /// REPORT waits and has room.
    pub report: Signal<In, Bit>,
    /// PLAN waits and has room.
    pub plan: Signal<In, Bit>,
    /// COMMAND waits and has room.
    pub command: Signal<In, Bit>,
    /// The command asks the flow table: known from cycle 6 on.
    pub asks: Signal<In, Bit>,
    /// The table takes the request.
    pub asked: Signal<In, Bit>,
    /// The table answers.
    pub answered: Signal<In, Bit>,
    /// The operation under way.
    pub operation: Signal<Out, Class>,
    /// The same, a bit each.
    pub classes: Signal<Out, Classes>,
    /// Cycle 1: its input is taken, its flow is read.
    pub take: Signal<Out, Bit>,
    /// Cycle 2: the flow's state is loaded.
    pub load: Signal<Out, Bit>,
    /// The request to the table stands.
    pub ask: Signal<Out, Bit>,
    /// Cycle 9: the results are written.
    pub commit: Signal<Out, Bit>,
    /// An operation is under way.
    pub busy: Signal<Out, Bit>,
    /// A flow is cleared.
    pub sweep: Signal<Out, Bit>,
    /// Which.
    pub sweep_flow: Signal<Out, Bits<FLOW_BITS>>,
    cycle: DFF<Bits<4>>,
    now: DFF<Class>,
    bits: DFF<Classes>,
    taking: DFF<Bit>,
    loading: DFF<Bit>,
    asking: DFF<Bit>,
    committing: DFF<Bit>,
    plan_went: DFF<Bit>,
    sweeping: DFF<Bit>,
    sweep_at: DFF<Bits<FLOW_BITS>>,
    short: Signal<Local, Bit>,
}

impl Logic for Arbiter {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, cycle, now, bits, taking, loading, asking, committing, plan_went, sweeping, sweep_at);
        self.operation.next = self.now.q.val();
        self.classes.next = self.bits.q.val();
        self.take.next = self.taking.q.val();
        self.load.next = self.loading.q.val();
        self.ask.next = self.asking.q.val();
        self.commit.next = self.committing.q.val();
        self.busy.next = self.cycle.q.val().any() | self.sweeping.q.val();
        self.sweep.next = self.sweeping.q.val();
        self.sweep_flow.next = self.sweep_at.q.val();

        self.taking.d.next = false;
        self.loading.d.next = self.taking.q.val();
        self.committing.d.next = false;
        self.short.next = self.bits.q.val().timer | self.bits.q.val().report;
        if self.cycle.q.val() == bits::<4>(0) {
            if !self.sweeping.q.val()
                & (self.seal.val() | self.segment.val() | self.ack.val() | self.timer.val() | self.report.val() | self.plan.val() | self.command.val())
            {
                self.cycle.d.next = bits::<4>(1);
                self.taking.d.next = true;
            }
            self.bits.d.next.seal = false;
            self.bits.d.next.segment = false;
            self.bits.d.next.ack = false;
            self.bits.d.next.timer = false;
            self.bits.d.next.report = false;
            self.bits.d.next.plan = false;
            self.bits.d.next.command = false;
            if self.seal.val() {
                self.now.d.next = Class::Seal;
                self.bits.d.next.seal = true;
            } else if self.segment.val() {
                self.now.d.next = Class::Segment;
                self.bits.d.next.segment = true;
            } else if self.ack.val() {
                self.now.d.next = Class::Ack;
                self.bits.d.next.ack = true;
            } else if self.timer.val() {
                self.now.d.next = Class::Timer;
                self.bits.d.next.timer = true;
            } else if self.report.val() {
                self.now.d.next = Class::Report;
                self.bits.d.next.report = true;
            } else if self.plan.val() & !(self.command.val() & self.plan_went.q.val()) {
                self.now.d.next = Class::Plan;
                self.bits.d.next.plan = true;
            } else {
                self.now.d.next = Class::Command;
                self.bits.d.next.command = true;
            }
        } else if self.committing.q.val() {
            self.cycle.d.next = bits::<4>(0);
            if self.bits.q.val().plan {
                self.plan_went.d.next = true;
            }
            if self.bits.q.val().command {
                self.plan_went.d.next = false;
            }
        } else if self.asking.q.val() {
            if self.asked.val() {
                self.asking.d.next = false;
            }
        } else if self.cycle.q.val() == bits::<4>(10) {
            if self.answered.val() {
                self.cycle.d.next = bits::<4>(9);
                self.committing.d.next = true;
            }
        } else {
            self.cycle.d.next = self.cycle.q.val() + 1;
            if (self.cycle.q.val() == bits::<4>(4)) & self.short.val() {
                self.cycle.d.next = bits::<4>(9);
                self.committing.d.next = true;
            }
            if self.cycle.q.val() == bits::<4>(8) {
                if self.bits.q.val().command & self.asks.val() {
                    self.cycle.d.next = bits::<4>(10);
                    self.asking.d.next = true;
                } else {
                    self.committing.d.next = true;
                }
            }
        }
        if self.sweeping.q.val() {
            self.sweep_at.d.next = self.sweep_at.q.val() + 1;
            if self.sweep_at.q.val().all() {
                self.sweeping.d.next = false;
            }
        }
        if self.reset.val() {
            self.cycle.d.next = bits::<4>(0);
            self.taking.d.next = false;
            self.loading.d.next = false;
            self.asking.d.next = false;
            self.committing.d.next = false;
            self.plan_went.d.next = false;
            self.sweeping.d.next = true;
            self.sweep_at.d.next = bits::<FLOW_BITS>(0);
        }
    }
}
