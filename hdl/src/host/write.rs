//! Writes host memory: [`WriteJob`]s, strictly in order.
//!
//! ```text
//!  jobs -+-> QueuedJob fifo -> plan -+-> Extent -> cutter -> AW          B -> kinds fifo -> produced, counters
//!        |                           +-> Move fifo -> data -> W
//!        +-> record fifo (eight beats each) --------^
//! ```
//!
//! What is planned for a job is done in order: AW in the order of W, and the bus keeps posted writes in order. W never runs ahead of an AW that has not been
//! offered. The receive buffer's beats are freed in the order of the jobs, when they have been read.
//!
//! First W beat 10 cycles after a PLACE was taken from `jobs`; 8 bytes a cycle but for one cycle a job.
//!
//! An event waits for a free entry of the event ring; a raw frame without a free slot is thrown away. While the context is disabled, both are.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::axi::WriteMaster;
use super::burst::{Cutter, Extent};
use super::rings::Rings;
use super::write_data::{Move, WriteData};
use super::write_intake::{QueuedJob, WriteIntake};
use super::write_plan::WritePlan;
use crate::ram::Fifo;
use crate::types::{ChannelRx, ChannelTx, WriteJob, BUFFER_BITS};
use rust_hdl::prelude::*;
use toe_contract::{event, raw};

const _: () = assert!(event::SIZE == 64 && raw::HEADER == 64);

/// The write engine.
#[derive(LogicBlock, Default)]
pub struct WriteEngine {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Starts no more bursts.
    pub halt: Signal<In, Bit>,
    /// What to do.
    pub jobs: ChannelRx<WriteJob>,
    /// Rings.
    pub rings: Signal<In, Rings>,
    /// SUBMISSION_CONSUMED, low 16 bits.
    pub submission_consumed: Signal<In, Bits<16>>,
    /// Beat of the receive buffer to read.
    pub buffer_address: Signal<Out, Bits<BUFFER_BITS>>,
    /// What it holds, one cycle later.
    pub buffer_data: Signal<In, Bits<64>>,
    /// So many beats of the receive buffer are free, from the oldest on; 0: none.
    pub freed: Signal<Out, Bits<12>>,
    /// The bus.
    pub bus: WriteMaster,
    /// The event ring has room for two more events than are ordered (or the context is off, and none is written).
    pub event_room: Signal<Out, Bit>,
    /// Events whose write has been answered, modulo 2^32.
    pub event_produced: Signal<Out, Bits<32>>,
    /// Raw frames whose write has been answered, modulo 2^32.
    pub raw_produced: Signal<Out, Bits<32>>,
    /// Counter pulse: `events`.
    pub event_written: Signal<Out, Bit>,
    /// Counter pulse: `rx_raw`.
    pub raw_written: Signal<Out, Bit>,
    /// Counter pulse: `rx_raw_full`.
    pub raw_full: Signal<Out, Bit>,
    /// An access has failed; stays until reset.
    pub fault: Signal<Out, Bit>,
    /// Bursts are on their way.
    pub outstanding: Signal<Out, Bit>,
    /// There is a job inside.
    pub busy: Signal<Out, Bit>,
    intake: WriteIntake,
    plan: WritePlan,
    queue: Fifo<QueuedJob, 4, 5>,
    records: Fifo<Bits<64>, 7, 8>,
    moves: Fifo<Move, 3, 4>,
    kinds: Fifo<Bits<2>, 4, 5>,
    cutter: Cutter,
    mover: WriteData,
    event_count: DFF<Bits<32>>,
    raw_count: DFF<Bits<32>>,
    count: DFF<Bits<5>>,
    failed: DFF<Bit>,
    event_pulse: DFF<Bit>,
    raw_pulse: DFF<Bit>,
    ordered: DFF<Bits<32>>,
    ordered_used: DFF<Bits<32>>,
    room: DFF<Bit>,
    stop: Signal<Local, Bit>,
    answered: Signal<Local, Bit>,
}

impl Logic for WriteEngine {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, event_count, raw_count, count, failed, event_pulse, raw_pulse, ordered, ordered_used, room);
        clock!(self, clock, intake, plan, queue, records, moves, kinds, cutter, mover);
        self.intake.reset.next = self.reset.val();
        self.plan.reset.next = self.reset.val();
        self.queue.reset.next = self.reset.val();
        self.records.reset.next = self.reset.val();
        self.moves.reset.next = self.reset.val();
        self.kinds.reset.next = self.reset.val();
        self.cutter.reset.next = self.reset.val();
        self.mover.reset.next = self.reset.val();
        self.stop.next = self.halt.val() | self.failed.q.val();
        self.plan.stop.next = self.stop.val();
        self.plan.rings.next = self.rings.val();
        ChannelRx::<WriteJob>::link(&mut self.jobs, &mut self.intake.jobs);
        ChannelTx::<QueuedJob>::join(&mut self.intake.queue, &mut self.queue.s);
        ChannelTx::<Bits<64>>::join(&mut self.intake.records, &mut self.records.s);
        ChannelTx::<QueuedJob>::join(&mut self.queue.m, &mut self.plan.jobs);
        ChannelTx::<Move>::join(&mut self.plan.moves, &mut self.moves.s);
        ChannelTx::<Extent>::join(&mut self.plan.extent, &mut self.cutter.extent);
        ChannelTx::<Move>::join(&mut self.moves.m, &mut self.mover.moves);
        ChannelTx::<Bits<64>>::join(&mut self.records.m, &mut self.mover.records);

        // Room for those that order events: those written and those ordered count.
        if self.intake.event_taken.val() & !self.plan.event_dropped.val() {
            self.ordered.d.next = self.ordered.q.val() + 1;
        }
        if self.plan.event_dropped.val() & !self.intake.event_taken.val() {
            self.ordered.d.next = self.ordered.q.val() - 1;
        }
        self.ordered_used.d.next = self.ordered.q.val() - self.rings.val().event_consumed + 1;
        self.room.d.next = !(self.ordered_used.q.val() & self.plan.event_pass.val()).any() | !self.rings.val().enable;
        self.event_room.next = self.room.q.val();

        // To the bus.
        self.cutter.allow.next = !self.count.q.val().get_bit(4) & !self.stop.val();
        self.mover.burst.next = self.cutter.offered.val();
        self.kinds.s.data.next = self.cutter.tag.val();
        self.kinds.s.valid.next = self.cutter.offered.val();
        self.bus.awaddr.next = self.cutter.address.val();
        self.bus.awlen.next = self.cutter.length.val();
        self.bus.awvalid.next = self.cutter.valid.val();
        self.cutter.ready.next = self.bus.awready.val();
        self.mover.submission_consumed.next = self.submission_consumed.val();
        self.buffer_address.next = self.mover.buffer_address.val();
        self.mover.buffer_data.next = self.buffer_data.val();
        self.freed.next = self.mover.freed.val();
        self.bus.wdata.next = self.mover.beat.data.val().data;
        self.bus.wstrb.next = self.mover.beat.data.val().strobe;
        self.bus.wlast.next = self.mover.beat.data.val().last;
        self.bus.wvalid.next = self.mover.beat.valid.val();
        self.mover.beat.ready.next = self.bus.wready.val();

        // Answered: what it was is in memory.
        self.answered.next = self.bus.bvalid.val();
        self.bus.bready.next = true;
        self.kinds.m.ready.next = self.answered.val();
        self.event_pulse.d.next = false;
        self.raw_pulse.d.next = false;
        if self.answered.val() {
            if self.bus.bresp.val().any() {
                self.failed.d.next = true;
            } else {
                self.event_pulse.d.next = self.kinds.m.data.val().get_bit(0);
                self.raw_pulse.d.next = self.kinds.m.data.val().get_bit(1);
            }
        }
        if self.event_pulse.q.val() {
            self.event_count.d.next = self.event_count.q.val() + 1;
        }
        if self.raw_pulse.q.val() {
            self.raw_count.d.next = self.raw_count.q.val() + 1;
        }
        if self.cutter.offered.val() & !self.answered.val() {
            self.count.d.next = self.count.q.val() + 1;
        }
        if self.answered.val() & !self.cutter.offered.val() {
            self.count.d.next = self.count.q.val() - 1;
        }
        self.event_produced.next = self.event_count.q.val();
        self.raw_produced.next = self.raw_count.q.val();
        self.event_written.next = self.event_pulse.q.val();
        self.raw_written.next = self.raw_pulse.q.val();
        self.raw_full.next = self.plan.raw_full.val();
        self.fault.next = self.failed.q.val();
        self.outstanding.next = self.count.q.val().any();
        self.busy.next = self.jobs.valid.val()
            | self.queue.m.valid.val()
            | !self.plan.idle.val()
            | self.cutter.busy.val()
            | self.mover.busy.val()
            | self.count.q.val().any()
            | self.event_pulse.q.val()
            | self.raw_pulse.q.val();

        if self.reset.val() {
            self.ordered.d.next = 0.into();
            self.room.d.next = false;
            self.event_count.d.next = 0.into();
            self.raw_count.d.next = 0.into();
            self.count.d.next = 0.into();
            self.failed.d.next = false;
            self.event_pulse.d.next = false;
            self.raw_pulse.d.next = false;
        }
    }
}
