//! Plans writes: for each job the beats to move and the extent of memory they go to.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::burst::Extent;
use super::rings::Rings;
use super::write_data::Move;
use super::write_intake::QueuedJob;
use crate::types::{ChannelRx, ChannelTx, WriteKind, LENGTH_BITS};
use rust_hdl::prelude::*;

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

/// The planner. The beats of a job are ordered before its extent; a raw frame is two of each, payload first.
#[derive(LogicBlock, Default)]
pub struct WritePlan {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Starts nothing more.
    pub stop: Signal<In, Bit>,
    /// What to do.
    pub jobs: ChannelRx<QueuedJob>,
    /// Rings.
    pub rings: Signal<In, Rings>,
    /// Beats to be moved.
    pub moves: ChannelTx<Move>,
    /// Where they go.
    pub extent: ChannelTx<Extent>,
    /// Bits of an index above those of the event ring's entries; the lowest of them is the pass.
    pub event_pass: Signal<Out, Bits<32>>,
    /// An event is thrown away in this cycle, since the context is off.
    pub event_dropped: Signal<Out, Bit>,
    /// Counter pulse: `rx_raw_full`.
    pub raw_full: Signal<Out, Bit>,
    /// Nothing is planned.
    pub idle: Signal<Out, Bit>,
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
    raw_ring_full: DFF<Bit>,
    event_phase: DFF<Bit>,
    raw_phase: DFF<Bit>,
    full_pulse: DFF<Bit>,
    slot_excess: Signal<Local, Bits<16>>,
    lane: Signal<Local, Bits<3>>,
    source: Signal<Local, Bits<LENGTH_BITS>>,
    span: Signal<Local, Bits<4>>,
    behind: Signal<Local, Bits<12>>,
}

impl Logic for WritePlan {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
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
            raw_ring_full,
            event_phase,
            raw_phase,
            full_pulse
        );
        self.event_pass.next = self.event_above.q.val();
        self.raw_full.next = self.full_pulse.q.val();
        self.idle.next = self.step.q.val() == PlanStep::Idle;
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
        self.moves.valid.next = false;
        self.moves.data.next.record = false;
        self.moves.data.next.write = true;
        self.moves.data.next.start = self.job.q.val().start + bit_cast::<12, 11>(self.source.val().get_bits::<11>(3)) - self.behind.val();
        self.moves.data.next.rotate = self.source.val().get_bits::<3>(0) - self.lane.val();
        self.moves.data.next.place = self.job.q.val().position.get_bits::<5>(3);
        self.moves.data.next.first = self.lane.val();
        self.moves.data.next.tail = self.span.val().get_bits::<3>(0);
        self.moves.data.next.steps = bit_cast::<12, 11>(self.length_less.q.val().get_bits::<11>(3)) + bit_cast::<12, 1>(self.span.val().get_bits::<1>(3)) + 1;
        self.moves.data.next.freed = self.release_beats.q.val();
        self.moves.data.next.length = 0.into();
        self.moves.data.next.phase = false;
        self.extent.valid.next = false;
        self.extent.data.next.base = (self.base.q.val() >> 12) << 12;
        self.extent.data.next.offset = self.offset.q.val();
        self.extent.data.next.log2 = 0.into();
        self.extent.data.next.length_less = self.length_less.q.val();
        self.extent.data.next.tag = 0.into();
        self.jobs.ready.next = false;
        self.full_pulse.d.next = false;
        self.slot_excess.next = (bit_cast::<16, LENGTH_BITS>(self.jobs.data.val().frame_length) + 63) >> self.rings.val().raw_slot_log2;
        match self.step.q.val() {
            PlanStep::Idle => {
                self.jobs.ready.next = true;
                self.job.d.next = self.jobs.data.val();
                self.length_less.d.next = self.jobs.data.val().length - 1;
                self.release_beats.d.next = (bit_cast::<15, LENGTH_BITS>(self.jobs.data.val().frame_length) + 7).get_bits::<12>(3);
                self.fits.d.next = !self.slot_excess.val().any();
                self.dropped.d.next = !self.rings.val().enable;
                self.header.d.next = false;
                self.base.d.next = self.jobs.data.val().base;
                if self.jobs.valid.val() {
                    match self.jobs.data.val().kind {
                        WriteKind::Free => {
                            self.step.d.next = PlanStep::Free;
                        }
                        WriteKind::Place => {
                            self.step.d.next = PlanStep::Place;
                            if !self.jobs.data.val().length.any() {
                                self.step.d.next = PlanStep::Free;
                            }
                        }
                        WriteKind::Raw => {
                            self.base.d.next = self.rings.val().raw_base;
                            self.length_less.d.next = self.jobs.data.val().frame_length - 1;
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
                self.moves.data.next.write = false;
                self.moves.data.next.steps = 0.into();
                self.moves.valid.next = true;
                if self.moves.ready.val() {
                    self.step.d.next = PlanStep::Idle;
                }
            }
            PlanStep::Place => {
                self.offset.d.next = self.job.q.val().position;
                self.moves.valid.next = !self.stop.val();
                if self.moves.ready.val() & !self.stop.val() {
                    self.step.d.next = PlanStep::Address;
                }
            }
            PlanStep::Event => {
                self.index.d.next = (self.event_next.q.val() & !self.event_above.q.val()).get_bits::<16>(0);
                self.shift.d.next = bits::<4>(6);
                self.moves.data.next.record = true;
                self.moves.data.next.write = !self.dropped.q.val();
                self.moves.data.next.rotate = 0.into();
                self.moves.data.next.place = bit_cast::<5, 2>(self.event_next.q.val().get_bits::<2>(0)) << 3;
                self.moves.data.next.first = 0.into();
                self.moves.data.next.tail = bits::<3>(7);
                self.moves.data.next.steps = bits::<12>(8);
                if self.dropped.q.val() {
                    self.moves.data.next.steps = bits::<12>(7);
                }
                self.moves.data.next.freed = 0.into();
                self.moves.data.next.phase = self.event_phase.q.val();
                if !self.stop.val() & (self.dropped.q.val() | !self.event_full.q.val()) {
                    self.moves.valid.next = true;
                    if self.moves.ready.val() {
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
                self.moves.data.next.place = bits::<5>(8);
                self.moves.data.next.write = self.fits.q.val() & !self.dropped.q.val() & !self.raw_ring_full.q.val();
                if !self.fits.q.val() | self.dropped.q.val() | self.raw_ring_full.q.val() {
                    self.moves.data.next.steps = 0.into();
                    self.dropped.d.next = true;
                }
                self.moves.valid.next = !self.stop.val();
                if self.moves.ready.val() & !self.stop.val() {
                    self.step.d.next = PlanStep::Header;
                    self.full_pulse.d.next = !self.fits.q.val() | self.dropped.q.val() | self.raw_ring_full.q.val();
                }
            }
            PlanStep::Header => {
                self.moves.data.next.record = true;
                self.moves.data.next.write = !self.dropped.q.val();
                self.moves.data.next.place = 0.into();
                self.moves.data.next.tail = bits::<3>(7);
                self.moves.data.next.steps = bits::<12>(8);
                if self.dropped.q.val() {
                    self.moves.data.next.steps = bits::<12>(7);
                }
                self.moves.data.next.freed = 0.into();
                self.moves.data.next.length = self.job.q.val().frame_length;
                self.moves.data.next.phase = self.raw_phase.q.val();
                self.moves.valid.next = true;
                if self.moves.ready.val() {
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
                self.extent.valid.next = true;
                if self.extent.ready.val() {
                    self.step.d.next = PlanStep::Idle;
                }
                match self.job.q.val().kind {
                    WriteKind::Event => {
                        self.extent.data.next.length_less = bits::<LENGTH_BITS>(63);
                        self.extent.data.next.tag = bits::<2>(1);
                    }
                    WriteKind::Raw => {
                        if self.header.q.val() {
                            self.extent.data.next.length_less = bits::<LENGTH_BITS>(63);
                            self.extent.data.next.tag = bits::<2>(2);
                        } else {
                            self.extent.data.next.offset = self.offset.q.val() | bits::<32>(64);
                            self.step.d.next = PlanStep::Address;
                            self.header.d.next = self.extent.ready.val();
                        }
                    }
                    WriteKind::Place => {
                        self.extent.data.next.log2 = self.job.q.val().log2;
                    }
                    WriteKind::Free => {}
                }
            }
        }
        if self.reset.val() {
            self.step.d.next = PlanStep::Idle;
            self.event_next.d.next = 0.into();
            self.raw_next.d.next = 0.into();
            self.full_pulse.d.next = false;
        }
    }
}
