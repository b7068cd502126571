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
use super::burst::Cutter;
use super::rings::Rings;
use super::write_data::{Move, WriteData};
use crate::ram::Fifo;
use crate::types::{ChannelRx, ChannelTx, WriteJob, WriteKind, BUFFER_BITS, LENGTH_BITS};
use rust_hdl::prelude::*;
use toe_contract::{event, raw};

const _: () = assert!(event::SIZE == 64 && raw::HEADER == 64);

/// A [`WriteJob`] without its record.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct QueuedJob {
    /// What to do.
    pub kind: WriteKind,
    /// Beat of the receive buffer where the frame begins.
    pub start: Bits<BUFFER_BITS>,
    /// Bytes of the frame.
    pub frame_length: Bits<LENGTH_BITS>,
    /// Byte of the frame to begin with.
    pub offset: Bits<LENGTH_BITS>,
    /// Bytes.
    pub length: Bits<LENGTH_BITS>,
    /// Ring.
    pub base: Bits<64>,
    /// log2 of its bytes.
    pub log2: Bits<5>,
    /// Place in it.
    pub position: Bits<32>,
}

/// Where the planner is.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum PlanStep {
    /// Takes a job.
    Idle,
    /// Only frees.
    Free,
    /// Payload: orders its beats.
    Place,
    /// Event: waits for an entry, orders its beats.
    Event,
    /// Raw frame: looks for a slot, orders its beats.
    Raw,
    /// Its header: orders its beats, or has the record thrown away.
    Header,
    /// Finds the address of the entry or slot.
    Scale,
    /// Hands the address over.
    Address,
}

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
    queue: Fifo<QueuedJob, 4, 5>,
    records: Fifo<Bits<64>, 7, 8>,
    moves: Fifo<Move, 3, 4>,
    kinds: Fifo<Bits<2>, 4, 5>,
    cutter: Cutter,
    mover: WriteData,
    word: DFF<Bits<3>>,
    step: DFF<PlanStep>,
    job: DFF<QueuedJob>,
    length_less: DFF<Bits<LENGTH_BITS>>,
    release_beats: DFF<Bits<12>>,
    fits: DFF<Bit>,
    dropped: DFF<Bit>,
    header: DFF<Bit>,
    index: DFF<Bits<16>>,
    shift: DFF<Bits<4>>,
    base: DFF<Bits<64>>,
    offset: DFF<Bits<32>>,
    event_next: DFF<Bits<32>>,
    raw_next: DFF<Bits<32>>,
    event_used: DFF<Bits<32>>,
    raw_used: DFF<Bits<32>>,
    event_above: DFF<Bits<32>>,
    raw_above: DFF<Bits<32>>,
    event_full: DFF<Bit>,
    ordered: DFF<Bits<32>>,
    ordered_used: DFF<Bits<32>>,
    room: DFF<Bit>,
    raw_ring_full: DFF<Bit>,
    event_phase: DFF<Bit>,
    raw_phase: DFF<Bit>,
    event_count: DFF<Bits<32>>,
    raw_count: DFF<Bits<32>>,
    count: DFF<Bits<5>>,
    failed: DFF<Bit>,
    full_pulse: DFF<Bit>,
    event_pulse: DFF<Bit>,
    raw_pulse: DFF<Bit>,
    is_record: Signal<Local, Bit>,
    put: Signal<Local, Bit>,
    stop: Signal<Local, Bit>,
    slot_excess: Signal<Local, Bits<16>>,
    lane: Signal<Local, Bits<3>>,
    source: Signal<Local, Bits<LENGTH_BITS>>,
    span: Signal<Local, Bits<4>>,
    behind: Signal<Local, Bits<12>>,
    answered: Signal<Local, Bit>,
    event_taken: Signal<Local, Bit>,
    event_dropped: Signal<Local, Bit>,
}

impl Logic for WriteEngine {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            word,
            step,
            job,
            length_less,
            release_beats,
            fits,
            dropped,
            header,
            index,
            shift,
            base,
            offset,
            event_next,
            raw_next,
            event_used,
            raw_used,
            event_above,
            raw_above,
            event_full,
            ordered,
            ordered_used,
            room,
            raw_ring_full,
            event_phase,
            raw_phase,
            event_count,
            raw_count,
            count,
            failed,
            full_pulse,
            event_pulse,
            raw_pulse
        );
        clock!(self, clock, queue, records, moves, kinds, cutter, mover);
        self.queue.reset.next = self.reset.val();
        self.records.reset.next = self.reset.val();
        self.moves.reset.next = self.reset.val();
        self.kinds.reset.next = self.reset.val();
        self.cutter.reset.next = self.reset.val();
        self.mover.reset.next = self.reset.val();
        self.stop.next = self.halt.val() | self.failed.q.val();

        // In: a job's record goes into its queue word by word, the rest beside the first word.
        self.is_record.next = (self.jobs.data.val().kind == WriteKind::Event) | (self.jobs.data.val().kind == WriteKind::Raw);
        self.queue.s.data.next.kind = self.jobs.data.val().kind;
        self.queue.s.data.next.start = self.jobs.data.val().start;
        self.queue.s.data.next.frame_length = self.jobs.data.val().frame_length;
        self.queue.s.data.next.offset = self.jobs.data.val().offset;
        self.queue.s.data.next.length = self.jobs.data.val().length;
        self.queue.s.data.next.base = self.jobs.data.val().base;
        self.queue.s.data.next.log2 = self.jobs.data.val().log2;
        self.queue.s.data.next.position = self.jobs.data.val().position;
        self.queue.s.valid.next = self.jobs.valid.val() & !self.word.q.val().any() & (!self.is_record.val() | self.records.s.ready.val());
        self.records.s.data.next = 0.into();
        for k in 0..8 {
            if self.word.q.val().index() == k {
                self.records.s.data.next = self.jobs.data.val().record.get_bits::<64>(64 * k);
            }
        }
        self.put.next = self.jobs.valid.val() & self.is_record.val() & self.records.s.ready.val() & (self.word.q.val().any() | self.queue.s.ready.val());
        self.records.s.valid.next = self.jobs.valid.val() & self.is_record.val() & (self.word.q.val().any() | self.queue.s.ready.val());
        self.jobs.ready.next = !self.is_record.val() & self.queue.s.ready.val();
        if self.is_record.val() {
            self.jobs.ready.next = self.word.q.val().all() & self.records.s.ready.val();
        }
        if self.put.val() {
            self.word.d.next = self.word.q.val() + 1;
        }
        self.event_taken.next = self.put.val() & self.word.q.val().all() & (self.jobs.data.val().kind == WriteKind::Event);
        self.event_dropped.next = false;

        // What the planner decides on: rings' indices, one or two cycles old, which is sooner than it comes back.
        // Bits of an index above those of the ring's entries; the lowest of them is the pass.
        self.event_above.d.next = (!bits::<32>(0)) << self.rings.val().event_log2;
        self.raw_above.d.next = (!bits::<32>(0)) << self.rings.val().raw_log2;
        self.event_used.d.next = self.event_next.q.val() - self.rings.val().event_consumed;
        self.raw_used.d.next = self.raw_next.q.val() - self.rings.val().raw_consumed;
        self.event_full.d.next = (self.event_used.q.val() & self.event_above.q.val()).any();
        self.raw_ring_full.d.next = (self.raw_used.q.val() & self.raw_above.q.val()).any();
        self.event_phase.d.next = !(self.event_next.q.val() & self.event_above.q.val() & !(self.event_above.q.val() << 1)).any();
        self.raw_phase.d.next = !(self.raw_next.q.val() & self.raw_above.q.val() & !(self.raw_above.q.val() << 1)).any();

        // An order to the mover; the default is that of payload.
        self.lane.next = 0.into();
        self.source.next = 0.into();
        if self.job.q.val().kind == WriteKind::Place {
            self.lane.next = self.job.q.val().position.get_bits::<3>(0);
            self.source.next = self.job.q.val().offset;
        }
        self.span.next = bit_cast::<4, 3>(self.lane.val()) + bit_cast::<4, 3>(self.length_less.q.val().get_bits::<3>(0));
        self.behind.next = 0.into();
        if self.source.val().get_bits::<3>(0) < self.lane.val() {
            self.behind.next = 1.into();
        }
        self.moves.s.valid.next = false;
        self.moves.s.data.next.record = false;
        self.moves.s.data.next.write = true;
        self.moves.s.data.next.start = self.job.q.val().start + bit_cast::<12, 11>(self.source.val().get_bits::<11>(3)) - self.behind.val();
        self.moves.s.data.next.rotate = self.source.val().get_bits::<3>(0) - self.lane.val();
        self.moves.s.data.next.place = self.job.q.val().position.get_bits::<5>(3);
        self.moves.s.data.next.first = self.lane.val();
        self.moves.s.data.next.tail = self.span.val().get_bits::<3>(0);
        self.moves.s.data.next.steps = bit_cast::<12, 11>(self.length_less.q.val().get_bits::<11>(3)) + bit_cast::<12, 1>(self.span.val().get_bits::<1>(3)) + 1;
        self.moves.s.data.next.freed = self.release_beats.q.val();
        self.moves.s.data.next.length = 0.into();
        self.moves.s.data.next.phase = false;
        self.cutter.extent.valid.next = false;
        self.cutter.extent.data.next.base = (self.base.q.val() >> 12) << 12;
        self.cutter.extent.data.next.offset = self.offset.q.val();
        self.cutter.extent.data.next.log2 = 0.into();
        self.cutter.extent.data.next.length_less = self.length_less.q.val();
        self.cutter.extent.data.next.tag = 0.into();
        self.queue.m.ready.next = false;
        self.full_pulse.d.next = false;
        self.slot_excess.next = (bit_cast::<16, LENGTH_BITS>(self.queue.m.data.val().frame_length) + 63) >> self.rings.val().raw_slot_log2;
        match self.step.q.val() {
            PlanStep::Idle => {
                self.queue.m.ready.next = true;
                self.job.d.next = self.queue.m.data.val();
                self.length_less.d.next = self.queue.m.data.val().length - 1;
                self.release_beats.d.next = (bit_cast::<15, LENGTH_BITS>(self.queue.m.data.val().frame_length) + 7).get_bits::<12>(3);
                self.fits.d.next = !self.slot_excess.val().any();
                self.dropped.d.next = !self.rings.val().enable;
                self.header.d.next = false;
                self.base.d.next = self.queue.m.data.val().base;
                if self.queue.m.valid.val() {
                    match self.queue.m.data.val().kind {
                        WriteKind::Free => {
                            self.step.d.next = PlanStep::Free;
                        }
                        WriteKind::Place => {
                            self.step.d.next = PlanStep::Place;
                            if !self.queue.m.data.val().length.any() {
                                self.step.d.next = PlanStep::Free;
                            }
                        }
                        WriteKind::Raw => {
                            self.base.d.next = self.rings.val().raw_base;
                            self.length_less.d.next = self.queue.m.data.val().frame_length - 1;
                            self.step.d.next = PlanStep::Raw;
                        }
                        WriteKind::Event => {
                            self.base.d.next = self.rings.val().event_base;
                            self.step.d.next = PlanStep::Event;
                        }
                    }
                }
            }
            PlanStep::Free => {
                self.moves.s.data.next.write = false;
                self.moves.s.data.next.steps = 0.into();
                self.moves.s.valid.next = true;
                if self.moves.s.ready.val() {
                    self.step.d.next = PlanStep::Idle;
                }
            }
            PlanStep::Place => {
                self.offset.d.next = self.job.q.val().position;
                self.moves.s.valid.next = !self.stop.val();
                if self.moves.s.ready.val() & !self.stop.val() {
                    self.step.d.next = PlanStep::Address;
                }
            }
            PlanStep::Event => {
                self.index.d.next = (self.event_next.q.val() & !self.event_above.q.val()).get_bits::<16>(0);
                self.shift.d.next = bits::<4>(6);
                self.moves.s.data.next.record = true;
                self.moves.s.data.next.write = !self.dropped.q.val();
                self.moves.s.data.next.rotate = 0.into();
                self.moves.s.data.next.place = bit_cast::<5, 2>(self.event_next.q.val().get_bits::<2>(0)) << 3;
                self.moves.s.data.next.first = 0.into();
                self.moves.s.data.next.tail = bits::<3>(7);
                self.moves.s.data.next.steps = bits::<12>(8);
                if self.dropped.q.val() {
                    self.moves.s.data.next.steps = bits::<12>(7);
                }
                self.moves.s.data.next.freed = 0.into();
                self.moves.s.data.next.phase = self.event_phase.q.val();
                if !self.stop.val() & (self.dropped.q.val() | !self.event_full.q.val()) {
                    self.moves.s.valid.next = true;
                    if self.moves.s.ready.val() {
                        self.step.d.next = PlanStep::Scale;
                        self.event_next.d.next = self.event_next.q.val() + 1;
                        if self.dropped.q.val() {
                            self.step.d.next = PlanStep::Idle;
                            self.event_next.d.next = self.event_next.q.val();
                            self.event_dropped.next = true;
                        }
                    }
                }
            }
            PlanStep::Raw => {
                self.index.d.next = (self.raw_next.q.val() & !self.raw_above.q.val()).get_bits::<16>(0);
                self.shift.d.next = self.rings.val().raw_slot_log2;
                self.moves.s.data.next.place = bits::<5>(8);
                self.moves.s.data.next.write = self.fits.q.val() & !self.dropped.q.val() & !self.raw_ring_full.q.val();
                if !self.fits.q.val() | self.dropped.q.val() | self.raw_ring_full.q.val() {
                    self.moves.s.data.next.steps = 0.into();
                    self.dropped.d.next = true;
                }
                self.moves.s.valid.next = !self.stop.val();
                if self.moves.s.ready.val() & !self.stop.val() {
                    self.step.d.next = PlanStep::Header;
                    self.full_pulse.d.next = !self.fits.q.val() | self.dropped.q.val() | self.raw_ring_full.q.val();
                }
            }
            PlanStep::Header => {
                self.moves.s.data.next.record = true;
                self.moves.s.data.next.write = !self.dropped.q.val();
                self.moves.s.data.next.place = 0.into();
                self.moves.s.data.next.tail = bits::<3>(7);
                self.moves.s.data.next.steps = bits::<12>(8);
                if self.dropped.q.val() {
                    self.moves.s.data.next.steps = bits::<12>(7);
                }
                self.moves.s.data.next.freed = 0.into();
                self.moves.s.data.next.length = self.job.q.val().frame_length;
                self.moves.s.data.next.phase = self.raw_phase.q.val();
                self.moves.s.valid.next = true;
                if self.moves.s.ready.val() {
                    self.step.d.next = PlanStep::Scale;
                    self.raw_next.d.next = self.raw_next.q.val() + 1;
                    if self.dropped.q.val() {
                        self.step.d.next = PlanStep::Idle;
                        self.raw_next.d.next = self.raw_next.q.val();
                    }
                }
            }
            PlanStep::Scale => {
                self.offset.d.next = bit_cast::<32, 16>(self.index.q.val()) << self.shift.q.val();
                self.step.d.next = PlanStep::Address;
            }
            PlanStep::Address => {
                self.cutter.extent.valid.next = true;
                if self.cutter.extent.ready.val() {
                    self.step.d.next = PlanStep::Idle;
                }
                match self.job.q.val().kind {
                    WriteKind::Event => {
                        self.cutter.extent.data.next.length_less = bits::<LENGTH_BITS>(63);
                        self.cutter.extent.data.next.tag = bits::<2>(1);
                    }
                    WriteKind::Raw => {
                        if self.header.q.val() {
                            self.cutter.extent.data.next.length_less = bits::<LENGTH_BITS>(63);
                            self.cutter.extent.data.next.tag = bits::<2>(2);
                        } else {
                            self.cutter.extent.data.next.offset = self.offset.q.val() | bits::<32>(64);
                            self.step.d.next = PlanStep::Address;
                            self.header.d.next = self.cutter.extent.ready.val();
                        }
                    }
                    WriteKind::Place => {
                        self.cutter.extent.data.next.log2 = self.job.q.val().log2;
                    }
                    WriteKind::Free => {}
                }
            }
        }

        // Room for those that order events: those written and those ordered count.
        if self.event_taken.val() & !self.event_dropped.val() {
            self.ordered.d.next = self.ordered.q.val() + 1;
        }
        if self.event_dropped.val() & !self.event_taken.val() {
            self.ordered.d.next = self.ordered.q.val() - 1;
        }
        self.ordered_used.d.next = self.ordered.q.val() - self.rings.val().event_consumed + 1;
        self.room.d.next = !(self.ordered_used.q.val() & self.event_above.q.val()).any() | !self.rings.val().enable;
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
        ChannelTx::<Move>::join(&mut self.moves.m, &mut self.mover.moves);
        ChannelTx::<Bits<64>>::join(&mut self.records.m, &mut self.mover.records);
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
        self.raw_full.next = self.full_pulse.q.val();
        self.fault.next = self.failed.q.val();
        self.outstanding.next = self.count.q.val().any();
        self.busy.next = self.jobs.valid.val()
            | self.queue.m.valid.val()
            | (self.step.q.val() != PlanStep::Idle)
            | self.cutter.busy.val()
            | self.mover.busy.val()
            | self.count.q.val().any()
            | self.event_pulse.q.val()
            | self.raw_pulse.q.val();

        if self.reset.val() {
            self.word.d.next = 0.into();
            self.step.d.next = PlanStep::Idle;
            self.event_next.d.next = 0.into();
            self.ordered.d.next = 0.into();
            self.room.d.next = false;
            self.raw_next.d.next = 0.into();
            self.event_count.d.next = 0.into();
            self.raw_count.d.next = 0.into();
            self.count.d.next = 0.into();
            self.failed.d.next = false;
            self.full_pulse.d.next = false;
            self.event_pulse.d.next = false;
            self.raw_pulse.d.next = false;
        }
    }
}
