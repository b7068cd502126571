//! Takes the bytes that were asked for into the transmit buffer, and sums them.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::fetch::Arrival;
use super::lanes::LaneMask;
use crate::checksum::OnesSum;
use crate::stream::StreamRx;
use crate::types::{ChannelRx, ChannelTx, SealRequest};
use rust_hdl::prelude::*;

/// Takes the read engine's beats, one frame of its stream for each [`Arrival`] with bytes, into the buffer (which has room: it was reserved), and sums them
/// in one's complement (RFC 1071).
///
/// Eight bytes a cycle, and one cycle between two frames. A [`SealRequest`] is let go when its payload's last beat has been taken; the sum comes five cycles
/// after that beat.
#[derive(LogicBlock, Default)]
pub struct Collect {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// What comes, in order.
    pub arrivals: ChannelRx<Arrival>,
    /// It comes.
    pub bytes: StreamRx<64, 8>,
    /// To the buffer, which is never full.
    pub buffer: ChannelTx<Bits<64>>,
    /// Sum of what came, folded to 16 bits, the first byte of each pair low: to a queue that is never full.
    pub sums: ChannelTx<Bits<16>>,
    /// Requests whose payload is on its way.
    pub planned: ChannelRx<SealRequest>,
    /// Requests whose payload is here.
    pub seals: ChannelTx<SealRequest>,
    /// The bytes of one more RAW or INJECT have been read.
    pub raw_fetched: Signal<Out, Bit>,
    open: DFF<Bit>,
    now: DFF<Arrival>,
    first: DFF<Bit>,
    // Beats before the first byte that is summed, whether there are none (any more), and the lanes that count in the first that is.
    before: DFF<Bits<11>>,
    summing: DFF<Bit>,
    lanes: DFF<Bits<8>>,
    kept: DFF<Bits<64>>,
    kept_valid: DFF<Bit>,
    kept_first: DFF<Bit>,
    done: DFF<Bits<4>>,
    folded: DFF<Bits<16>>,
    folded_valid: DFF<Bit>,
    due: DFF<Bits<6>>,
    fetched: DFF<Bit>,
    mask: LaneMask,
    sum: OnesSum,
    take: Signal<Local, Bit>,
    complete: Signal<Local, Bit>,
    counts: Signal<Local, Bits<8>>,
    arrived: Signal<Local, Bit>,
    sealed: Signal<Local, Bit>,
}

impl Logic for Collect {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, open, now, first, before, summing, lanes, kept, kept_valid, kept_first, done, folded, folded_valid, due, fetched);
        clock!(self, clock, sum);
        self.arrivals.ready.next = !self.open.q.val();
        self.bytes.ready.next = self.open.q.val() & self.now.q.val().some;
        self.take.next = self.open.q.val() & self.now.q.val().some & self.bytes.valid.val();
        self.complete.next = self.open.q.val() & (!self.now.q.val().some | (self.bytes.valid.val() & self.bytes.last.val()));
        if !self.open.q.val() {
            self.open.d.next = self.arrivals.valid.val();
            self.now.d.next = self.arrivals.data.val();
            self.first.d.next = true;
            self.before.d.next = self.arrivals.data.val().start.get_bits::<11>(3);
            self.summing.d.next = !self.arrivals.data.val().start.get_bits::<11>(3).any();
            self.lanes.d.next = bits::<8>(0xff) << self.arrivals.data.val().start.get_bits::<3>(0);
        }
        if self.complete.val() {
            self.open.d.next = false;
        }
        if self.take.val() {
            self.first.d.next = false;
            if self.summing.q.val() {
                self.lanes.d.next = bits::<8>(0xff);
            } else {
                self.before.d.next = self.before.q.val() - 1;
                self.summing.d.next = self.before.q.val() == bits::<11>(1);
            }
        }
        self.buffer.data.next = self.bytes.data.val();
        self.buffer.valid.next = self.take.val();

        // What does not count in the sum is zero; so is the beat that stands for an empty payload.
        self.counts.next = 0.into();
        if self.now.q.val().some & self.summing.q.val() {
            self.counts.next = self.bytes.keep.val() & self.lanes.q.val();
        }
        self.mask.lanes.next = self.counts.val();
        self.kept.d.next = self.bytes.data.val() & self.mask.mask.val();
        self.kept_valid.d.next = self.take.val() | self.complete.val();
        self.kept_first.d.next = self.first.q.val();
        self.sum.lanes.next = self.kept.q.val();
        self.sum.valid.next = self.kept_valid.q.val();
        self.sum.first.next = self.kept_first.q.val();
        self.done.d.next = (self.done.q.val() << 1) | bit_cast::<4, 1>((self.complete.val() & self.now.q.val().sum).into());
        self.folded.d.next = self.sum.total.val().get_bits::<16>(0) + self.sum.total.val().get_bit(16);
        self.folded_valid.d.next = self.done.q.val().get_bit(3);
        self.sums.data.next = self.folded.q.val();
        self.sums.valid.next = self.folded_valid.q.val();

        self.arrived.next = self.complete.val() & self.now.q.val().seal;
        self.seals.data.next = self.planned.data.val();
        self.seals.valid.next = self.planned.valid.val() & self.due.q.val().any();
        self.sealed.next = self.planned.valid.val() & self.due.q.val().any() & self.seals.ready.val();
        self.planned.ready.next = self.due.q.val().any() & self.seals.ready.val();
        if self.arrived.val() & !self.sealed.val() {
            self.due.d.next = self.due.q.val() + 1;
        }
        if self.sealed.val() & !self.arrived.val() {
            self.due.d.next = self.due.q.val() - 1;
        }
        self.fetched.d.next = self.complete.val() & self.now.q.val().raw;
        self.raw_fetched.next = self.fetched.q.val();

        if self.reset.val() {
            self.open.d.next = false;
            self.done.d.next = 0.into();
            self.folded_valid.d.next = false;
            self.due.d.next = 0.into();
            self.fetched.d.next = false;
        }
    }
}
