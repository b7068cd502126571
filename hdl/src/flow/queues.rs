//! The queues of flow numbers. A flow is at most once in each, so they are as deep as there are flows and are never full.

use super::state::{Classes, DelayedAck};
use crate::ram::Fifo;
use crate::types::FLOW_BITS;
use rust_hdl::prelude::*;

/// Bits of the number of entries.
const LEVEL_BITS: usize = FLOW_BITS + 1;

/// ACK, data, report and delayed-ACK queue.
#[derive(LogicBlock, Default)]
pub struct Queues {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties them.
    pub reset: Signal<In, Bit>,
    /// Time in ticks.
    pub tick: Signal<In, Bits<32>>,
    /// The operation takes its input: the queue of its class gives up its head.
    pub take: Signal<In, Bit>,
    /// The operation.
    pub classes: Signal<In, Classes>,
    /// The flow that goes in.
    pub flow: Signal<In, Bits<FLOW_BITS>>,
    /// Its tick in the delayed-ACK queue.
    pub deadline: Signal<In, Bits<32>>,
    /// It goes into the ACK queue.
    pub push_ack: Signal<In, Bit>,
    /// It goes into the data queue.
    pub push_data: Signal<In, Bit>,
    /// It goes into the report queue.
    pub push_report: Signal<In, Bit>,
    /// It goes into the delayed-ACK queue.
    pub push_delack: Signal<In, Bit>,
    /// The ACK queue has a head.
    pub ack_valid: Signal<Out, Bit>,
    /// The head.
    pub ack: Signal<Out, Bits<FLOW_BITS>>,
    /// The data queue has a head.
    pub data_valid: Signal<Out, Bit>,
    /// The head.
    pub data: Signal<Out, Bits<FLOW_BITS>>,
    /// The report queue has a head.
    pub report_valid: Signal<Out, Bit>,
    /// The head.
    pub report: Signal<Out, Bits<FLOW_BITS>>,
    /// The delayed-ACK queue has a head.
    pub delack_valid: Signal<Out, Bit>,
    /// The head.
    pub delack: Signal<Out, DelayedAck>,
    /// The tick of the head has come.
    pub due: Signal<Out, Bit>,
    /// Nothing is queued but delayed ACKs that are not due.
    pub idle: Signal<Out, Bit>,
    ack_queue: Fifo<Bits<FLOW_BITS>, FLOW_BITS, LEVEL_BITS>,
    data_queue: Fifo<Bits<FLOW_BITS>, FLOW_BITS, LEVEL_BITS>,
    report_queue: Fifo<Bits<FLOW_BITS>, FLOW_BITS, LEVEL_BITS>,
    delack_queue: Fifo<DelayedAck, FLOW_BITS, LEVEL_BITS>,
    gap: Signal<Local, Bits<32>>,
    is_due: DFF<Bit>,
}

impl Logic for Queues {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, is_due);
        clock!(self, clock, ack_queue, data_queue, report_queue, delack_queue);
        self.ack_queue.reset.next = self.reset.val();
        self.data_queue.reset.next = self.reset.val();
        self.report_queue.reset.next = self.reset.val();
        self.delack_queue.reset.next = self.reset.val();

        self.ack_queue.s.valid.next = self.push_ack.val();
        self.data_queue.s.valid.next = self.push_data.val();
        self.report_queue.s.valid.next = self.push_report.val();
        self.delack_queue.s.valid.next = self.push_delack.val();
        self.ack_queue.s.data.next = self.flow.val();
        self.data_queue.s.data.next = self.flow.val();
        self.report_queue.s.data.next = self.flow.val();
        self.delack_queue.s.data.next.flow = self.flow.val();
        self.delack_queue.s.data.next.deadline = self.deadline.val();

        self.ack_queue.m.ready.next = self.take.val() & self.classes.val().ack;
        self.data_queue.m.ready.next = self.take.val() & self.classes.val().plan;
        self.report_queue.m.ready.next = self.take.val() & self.classes.val().report;
        self.delack_queue.m.ready.next = self.take.val() & self.classes.val().timer;

        self.ack_valid.next = self.ack_queue.m.valid.val();
        self.ack.next = self.ack_queue.m.data.val();
        self.data_valid.next = self.data_queue.m.valid.val();
        self.data.next = self.data_queue.m.data.val();
        self.report_valid.next = self.report_queue.m.valid.val();
        self.report.next = self.report_queue.m.data.val();
        self.delack_valid.next = self.delack_queue.m.valid.val();
        self.delack.next = self.delack_queue.m.data.val();

        self.gap.next = self.tick.val() - self.delack_queue.m.data.val().deadline;
        self.is_due.d.next = self.delack_queue.m.valid.val() & !self.gap.val().get_bit(31);
        self.due.next = self.is_due.q.val();
        self.idle.next = !(self.is_due.q.val() | self.ack_queue.level.val().any() | self.data_queue.level.val().any() | self.report_queue.level.val().any());
        if self.reset.val() {
            self.is_due.d.next = false;
        }
    }
}
