//! Gives out what lies in the transmit buffer, frame by frame.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::fetch::Stored;
use super::lanes::LaneMask;
use crate::ram::Skid;
use crate::stream::StreamTx;
use crate::types::{ChannelRx, ChannelTx};
use rust_hdl::prelude::*;

/// What [`Build`](super::build::Build) must know of a frame whose bytes are offered to it without a gap.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Offer {
    /// A whole frame; else payload of a segment.
    pub raw: Bit,
    /// There are bytes.
    pub some: Bit,
    /// Sum of the payload in one's complement, as a number (first byte high).
    pub sum: Bits<16>,
}

/// A beat on its way out of the buffer.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Piece {
    /// Data.
    pub data: Bits<64>,
    /// Which bytes count.
    pub keep: Bits<8>,
    /// The frame ends.
    pub last: Bit,
    /// For the receive side.
    pub inject: Bit,
}

/// Gives out what lies in the transmit buffer: payload and raw frames (with their checksum filled in) to the builder, injected frames to the receive side.
///
/// A frame is offered only when its bytes will follow at once, whatever the receive side does, so the builder gets them without a gap: 8 bytes a cycle, the
/// first not later than two cycles after the offer.
#[derive(LogicBlock, Default)]
pub struct Supply {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Frames in the buffer or on their way to it, in order.
    pub stored: ChannelRx<Stored>,
    /// Their sums, when they have come.
    pub sums: ChannelRx<Bits<16>>,
    /// Their bytes.
    pub buffer: ChannelRx<Bits<64>>,
    /// A beat leaves the buffer.
    pub released: Signal<Out, Bit>,
    /// To the builder.
    pub offer: ChannelTx<Offer>,
    /// What it was offered.
    pub payload: StreamTx<64, 8>,
    /// To the receive side.
    pub inject: StreamTx<64, 8>,
    /// Nothing inside.
    pub idle: Signal<Out, Bit>,
    out: DFF<Offer>,
    out_valid: DFF<Bit>,
    busy: DFF<Bit>,
    injecting: DFF<Bit>,
    // A frame for the receive side is in the skid buffer, or will be.
    holding: DFF<Bit>,
    left: DFF<Bits<12>>,
    last: DFF<Bit>,
    tail: DFF<Bits<8>>,
    // The checksum to be filled in, beats before it, the lanes of its two bytes in the beat that is next, and what comes after those.
    checksum: DFF<Bits<16>>,
    patch: DFF<Bit>,
    before: DFF<Bits<11>>,
    lane: DFF<Bits<3>>,
    first: DFF<Bits<8>>,
    second: DFF<Bits<8>>,
    spill: DFF<Bit>,
    first_mask: LaneMask,
    second_mask: LaneMask,
    skid: Skid<Piece>,
    load: Signal<Local, Bit>,
    advance: Signal<Local, Bit>,
    ends: Signal<Local, Bit>,
    rounded: Signal<Local, Bits<15>>,
    remainder: Signal<Local, Bits<3>>,
    sum: Signal<Local, Bits<16>>,
    aim: Signal<Local, Bits<3>>,
    aimed: Signal<Local, Bits<8>>,
    here: Signal<Local, Bit>,
    low: Signal<Local, Bits<64>>,
    high: Signal<Local, Bits<64>>,
    filled: Signal<Local, Bits<64>>,
}
impl Logic for Supply {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, out, out_valid, busy, injecting, holding, left, last, tail, checksum, patch, before, lane, first, second, spill);
        clock!(self, clock, skid);
        self.skid.reset.next = self.reset.val();
        self.advance.next = self.busy.q.val() & self.buffer.valid.val() & self.skid.s.ready.val();
        self.ends.next = self.advance.val() & self.last.q.val();
        self.load.next = self.stored.valid.val() & self.sums.valid.val() & !self.out_valid.q.val() & !self.holding.q.val();
        self.load.next = self.load.val() & (!self.busy.q.val() | self.ends.val());
        self.buffer.ready.next = self.busy.q.val() & self.skid.s.ready.val();
        self.released.next = self.advance.val();
        self.stored.ready.next = self.load.val();
        self.sums.ready.next = self.load.val();

        if self.advance.val() {
            self.left.d.next = self.left.q.val() - 1;
            self.last.d.next = self.left.q.val() == bits::<12>(2);
        }
        if self.ends.val() {
            self.busy.d.next = false;
        }
        if self.offer.ready.val() {
            self.out_valid.d.next = false;
        }
        if self.skid.m.valid.val() & self.skid.m.data.val().inject & self.skid.m.data.val().last & self.inject.ready.val() {
            self.holding.d.next = false;
        }
        self.rounded.next = bit_cast::<15, 14>(self.stored.data.val().length) + 7;
        self.remainder.next = bits::<3>(0) - self.stored.data.val().length.get_bits::<3>(0);
        self.sum.next = (self.sums.data.val() << 8) | (self.sums.data.val() >> 8);
        if self.load.val() {
            self.busy.d.next = self.stored.data.val().length.any();
            self.injecting.d.next = self.stored.data.val().inject;
            self.holding.d.next = self.stored.data.val().inject;
            self.left.d.next = self.rounded.val().get_bits::<12>(3);
            self.last.d.next = self.rounded.val().get_bits::<12>(3) == bits::<12>(1);
            self.tail.d.next = bits::<8>(0xff) >> self.remainder.val();
            self.out_valid.d.next = !self.stored.data.val().inject;
            self.out.d.next.raw = self.stored.data.val().raw;
            self.out.d.next.some = self.stored.data.val().length.any();
            self.out.d.next.sum = self.sum.val();
        }

        // The checksum's two bytes may lie in two beats.
        self.aim.next = self.lane.q.val();
        if self.load.val() {
            self.aim.next = self.stored.data.val().offset.get_bits::<3>(0);
        }
        self.aimed.next = bits::<8>(1) << self.aim.val();
        self.here.next = false;
        if self.advance.val() {
            self.before.d.next = self.before.q.val() - 1;
            self.first.d.next = 0.into();
            self.second.d.next = bit_cast::<8, 1>(self.spill.q.val().into());
            self.spill.d.next = false;
            self.here.next = self.patch.q.val() & (self.before.q.val() == bits::<11>(1));
        }
        if self.load.val() {
            self.checksum.d.next = !self.sums.data.val();
            if self.stored.data.val().odd {
                self.checksum.d.next = !self.sum.val();
            }
            self.patch.d.next = self.stored.data.val().checksum;
            self.before.d.next = self.stored.data.val().offset.get_bits::<11>(3);
            self.lane.d.next = self.stored.data.val().offset.get_bits::<3>(0);
            self.first.d.next = 0.into();
            self.second.d.next = 0.into();
            self.spill.d.next = false;
            self.here.next = self.stored.data.val().checksum & !self.stored.data.val().offset.get_bits::<11>(3).any();
        }
        if self.here.val() {
            self.first.d.next = self.aimed.val();
            self.second.d.next = self.aimed.val() << 1;
            self.spill.d.next = self.aimed.val().get_bit(7);
        }
        self.first_mask.lanes.next = self.first.q.val();
        self.second_mask.lanes.next = self.second.q.val();
        self.low.next = bit_cast::<64, 8>(self.checksum.q.val().get_bits::<8>(0));
        self.high.next = bit_cast::<64, 8>(self.checksum.q.val().get_bits::<8>(8));
        self.low.next = self.low.val() | (self.low.val() << 8);
        self.high.next = self.high.val() | (self.high.val() << 8);
        self.low.next = self.low.val() | (self.low.val() << 16);
        self.high.next = self.high.val() | (self.high.val() << 16);
        self.low.next = self.low.val() | (self.low.val() << 32);
        self.high.next = self.high.val() | (self.high.val() << 32);
        self.filled.next = self.buffer.data.val() & !(self.first_mask.mask.val() | self.second_mask.mask.val());
        self.filled.next = self.filled.val() | (self.low.val() & self.first_mask.mask.val()) | (self.high.val() & self.second_mask.mask.val());

        self.skid.s.valid.next = self.busy.q.val() & self.buffer.valid.val();
        self.skid.s.data.next.data = self.filled.val();
        self.skid.s.data.next.keep = bits::<8>(0xff);
        if self.last.q.val() {
            self.skid.s.data.next.keep = self.tail.q.val();
        }
        self.skid.s.data.next.last = self.last.q.val();
        self.skid.s.data.next.inject = self.injecting.q.val();
        self.payload.data.next = self.skid.m.data.val().data;
        self.payload.keep.next = self.skid.m.data.val().keep;
        self.payload.last.next = self.skid.m.data.val().last;
        self.payload.error.next = false;
        self.payload.valid.next = self.skid.m.valid.val() & !self.skid.m.data.val().inject;
        self.inject.data.next = self.skid.m.data.val().data;
        self.inject.keep.next = self.skid.m.data.val().keep;
        self.inject.last.next = self.skid.m.data.val().last;
        self.inject.error.next = false;
        self.inject.valid.next = self.skid.m.valid.val() & self.skid.m.data.val().inject;
        self.skid.m.ready.next = self.payload.ready.val();
        if self.skid.m.data.val().inject {
            self.skid.m.ready.next = self.inject.ready.val();
        }
        self.offer.data.next = self.out.q.val();
        self.offer.valid.next = self.out_valid.q.val();
        self.idle.next = !self.busy.q.val() & !self.out_valid.q.val() & !self.skid.m.valid.val();

        if self.reset.val() {
            self.busy.d.next = false;
            self.holding.d.next = false;
            self.out_valid.d.next = false;
        }
    }
}
