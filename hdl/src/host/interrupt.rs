//! Decides when to interrupt the host.
//!
//! Armed, and something lies in memory that the host has not taken, and the hold-off has passed: sent once, then disarmed. A fault of the bus is sent to an armed
//! host at once.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::rings::Rings;
use crate::types::ChannelTx;
use rust_hdl::prelude::*;

/// The interrupt of a context.
#[derive(LogicBlock, Default)]
pub struct Interrupt {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Sends nothing more (a reset is under way).
    pub halt: Signal<In, Bit>,
    /// Time, in ticks.
    pub tick: Signal<In, Bits<32>>,
    /// HOLDOFF, in ticks.
    pub holdoff: Signal<In, Bits<32>>,
    /// Doorbell: arm.
    pub arm: Signal<In, Bit>,
    /// Rings.
    pub rings: Signal<In, Rings>,
    /// Events in memory.
    pub event_produced: Signal<In, Bits<32>>,
    /// Raw frames in memory.
    pub raw_produced: Signal<In, Bits<32>>,
    /// The bus has failed.
    pub fault: Signal<In, Bit>,
    /// An interrupt: its vector.
    pub irq: ChannelTx<Bits<8>>,
    /// Counter pulse: `interrupts`.
    pub sent: Signal<Out, Bit>,
    /// An interrupt is about to be sent.
    pub busy: Signal<Out, Bit>,
    /// Only the hold-off keeps it back, ...
    pub deadline_valid: Signal<Out, Bit>,
    /// ... until this tick.
    pub deadline: Signal<Out, Bits<32>>,
    armed: DFF<Bit>,
    pending: DFF<Bit>,
    due: DFF<Bit>,
    since: DFF<Bits<32>>,
    last: DFF<Bits<32>>,
    until: DFF<Bits<32>>,
    settle: DFF<Bits<2>>,
    valid: DFF<Bit>,
    sent_pulse: DFF<Bit>,
    send: Signal<Local, Bit>,
    passed: Signal<Local, Bit>,
}

impl Logic for Interrupt {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, armed, pending, due, since, last, until, settle, valid, sent_pulse);
        self.pending.d.next = (self.event_produced.val() != self.rings.val().event_consumed) | (self.raw_produced.val() != self.rings.val().raw_consumed);
        // `due` stays: a tick that has come round again does not take it back. It is not looked at before `since` is that of the new `last`.
        self.since.d.next = self.tick.val() - self.last.q.val();
        self.until.d.next = self.last.q.val() + self.holdoff.val();
        self.passed.next = !self.settle.q.val().any() & (self.since.q.val() >= self.holdoff.val());
        if self.settle.q.val().any() {
            self.settle.d.next = self.settle.q.val() - 1;
        } else {
            if self.passed.val() {
                self.due.d.next = true;
            }
        }
        self.send.next = self.armed.q.val() & !self.valid.q.val() & !self.halt.val() & ((self.pending.q.val() & self.due.q.val()) | self.fault.val());
        self.sent_pulse.d.next = self.send.val();
        if self.irq.ready.val() {
            self.valid.d.next = false;
        }
        if self.send.val() {
            self.valid.d.next = true;
            self.armed.d.next = false;
            self.due.d.next = false;
            self.last.d.next = self.tick.val();
            self.settle.d.next = bits::<2>(2);
        }
        if self.arm.val() {
            self.armed.d.next = true;
        }
        self.irq.data.next = 0.into();
        self.irq.valid.next = self.valid.q.val();
        self.sent.next = self.sent_pulse.q.val();
        self.busy.next = self.valid.q.val()
            | self.send.val()
            | self.sent_pulse.q.val()
            | self.settle.q.val().any()
            | (self.armed.q.val() & self.pending.q.val() & self.passed.val());
        self.deadline_valid.next = self.armed.q.val() & self.pending.q.val() & !self.due.q.val() & !self.settle.q.val().any();
        self.deadline.next = self.until.q.val();
        if self.reset.val() {
            self.armed.d.next = false;
            self.pending.d.next = false;
            self.due.d.next = true;
            self.settle.d.next = 0.into();
            self.valid.d.next = false;
            self.sent_pulse.d.next = false;
        }
    }
}
