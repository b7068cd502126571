//! Cuts a piece of host memory into bursts.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use crate::types::{ChannelRx, LENGTH_BITS};
use rust_hdl::prelude::*;

/// Consecutive bytes of host memory, in a ring or not.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Extent {
    /// Bus address of the ring, or of what `offset` counts from.
    pub base: Bits<64>,
    /// The first byte: modulo the ring's size.
    pub offset: Bits<32>,
    /// log2 of the ring's bytes, 12 to 30; 0: no ring.
    pub log2: Bits<5>,
    /// Bytes, less one.
    pub length_less: Bits<LENGTH_BITS>,
    /// Comes out with the last burst.
    pub tag: Bits<2>,
}

/// Where the cutter is.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum CutStep {
    /// Waits.
    Idle,
    /// Finds the place in the ring.
    Place,
    /// Finds the address.
    Align,
    /// Cuts.
    Cut,
}

/// Cuts an [`Extent`] into bursts that never cross a block of 256 bytes, so neither 4 KiB nor the end of a ring.
///
/// First burst 4 cycles after the extent was taken, then one a cycle. All outputs are registers.
#[derive(LogicBlock, Default)]
pub struct Cutter {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// What to cut.
    pub extent: ChannelRx<Extent>,
    /// A burst may be offered.
    pub allow: Signal<In, Bit>,
    /// A burst is offered in the next cycle.
    pub offered: Signal<Out, Bit>,
    /// The tag of the burst offered in the next cycle: the extent's with its last burst, else 0.
    pub tag: Signal<Out, Bits<2>>,
    /// Address of the first beat, a multiple of 8.
    pub address: Signal<Out, Bits<64>>,
    /// Beats, less one.
    pub length: Signal<Out, Bits<8>>,
    /// A burst is offered.
    pub valid: Signal<Out, Bit>,
    /// It is taken.
    pub ready: Signal<In, Bit>,
    /// There is something inside.
    pub busy: Signal<Out, Bit>,
    step: DFF<CutStep>,
    job: DFF<Extent>,
    ring: DFF<Bit>,
    ring_keep: DFF<Bits<32>>,
    offset: DFF<Bits<32>>,
    at: DFF<Bits<64>>,
    last_byte: DFF<Bits<15>>,
    out_address: DFF<Bits<64>>,
    out_length: DFF<Bits<5>>,
    out_valid: DFF<Bit>,
    above: Signal<Local, Bits<32>>,
    place: Signal<Local, Bits<64>>,
    more: Signal<Local, Bit>,
    cut: Signal<Local, Bit>,
    block: Signal<Local, Bits<56>>,
    keep: Signal<Local, Bits<56>>,
}

impl Logic for Cutter {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, step, job, ring, ring_keep, offset, at, last_byte, out_address, out_length, out_valid);
        self.extent.ready.next = self.step.q.val() == CutStep::Idle;
        self.above.next = (!bits::<32>(0)) << self.job.q.val().log2;
        self.place.next = self.job.q.val().base + bit_cast::<64, 32>(self.offset.q.val());
        // The part of an address that a step to the next block leaves alone: what is above the ring's size.
        self.keep.next = 0.into();
        if self.ring.q.val() {
            self.keep.next = bit_cast::<56, 24>(self.ring_keep.q.val().get_bits::<24>(8)) | (bit_cast::<56, 32>(!bits::<32>(0)) << 24);
        }
        self.block.next = self.at.q.val().get_bits::<56>(8) + 1;
        self.block.next = (self.block.val() & !self.keep.val()) | (self.at.q.val().get_bits::<56>(8) & self.keep.val());
        self.more.next = self.last_byte.q.val().get_bits::<7>(8).any();
        self.cut.next = (self.step.q.val() == CutStep::Cut) & (!self.out_valid.q.val() | self.ready.val()) & self.allow.val();
        self.offered.next = self.cut.val();
        self.tag.next = 0.into();
        if !self.more.val() {
            self.tag.next = self.job.q.val().tag;
        }
        if self.ready.val() {
            self.out_valid.d.next = false;
        }
        match self.step.q.val() {
            CutStep::Idle => {
                self.job.d.next = self.extent.data.val();
                if self.extent.valid.val() {
                    self.step.d.next = CutStep::Place;
                }
            }
            CutStep::Place => {
                self.ring.d.next = self.job.q.val().log2.any();
                self.ring_keep.d.next = self.above.val();
                self.offset.d.next = self.job.q.val().offset;
                if self.job.q.val().log2.any() {
                    self.offset.d.next = self.job.q.val().offset & !self.above.val();
                }
                self.step.d.next = CutStep::Align;
            }
            CutStep::Align => {
                self.at.d.next = self.place.val();
                self.last_byte.d.next = bit_cast::<15, 8>(self.place.val().get_bits::<8>(0)) + bit_cast::<15, 14>(self.job.q.val().length_less);
                self.step.d.next = CutStep::Cut;
            }
            CutStep::Cut => {
                if self.cut.val() {
                    self.out_valid.d.next = true;
                    self.out_address.d.next = self.at.q.val() & !bits::<64>(7);
                    self.out_length.d.next = self.last_byte.q.val().get_bits::<5>(3) - self.at.q.val().get_bits::<5>(3);
                    if self.more.val() {
                        self.out_length.d.next = bits::<5>(31) - self.at.q.val().get_bits::<5>(3);
                    }
                    self.last_byte.d.next = self.last_byte.q.val() - 256;
                    self.at.d.next = bit_cast::<64, 56>(self.block.val()) << 8;
                    if !self.more.val() {
                        self.step.d.next = CutStep::Idle;
                    }
                }
            }
        }
        self.address.next = self.out_address.q.val();
        self.length.next = bit_cast::<8, 5>(self.out_length.q.val());
        self.valid.next = self.out_valid.q.val();
        self.busy.next = (self.step.q.val() != CutStep::Idle) | self.out_valid.q.val();
        if self.reset.val() {
            self.step.d.next = CutStep::Idle;
            self.out_valid.d.next = false;
        }
    }
}
