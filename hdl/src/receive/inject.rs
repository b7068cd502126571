//! Two ways in: from the wire, and from the host.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use crate::ram::Fifo;
use crate::stream::{StreamRx, StreamTx};
use rust_hdl::prelude::*;

/// Beats of the wire's queue, log2: 4 KiB.
const QUEUE_BITS: usize = 9;

/// A beat in two 36-bit wide block RAMs.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Packed {
    /// Data.
    pub data: Bits<64>,
    /// Its bytes, less one.
    pub bytes: Bits<3>,
    /// The frame ends.
    pub last: Bit,
    /// The frame is to be thrown away.
    pub error: Bit,
}

/// Merges the wire's frames with injected ones, frame by frame: in turns when both are there, but only the wire while its queue holds 1 KiB or more.
/// So no injected frame of 1518 bytes or less costs the wire one of its own, even at its full rate.
///
/// ```text
///  wire ----> queue, 4 KiB ---+
///                             +---> m
///  injected ------------------+
/// ```
///
/// The wire cannot wait: `mac.ready` is always high. A frame of it that finds the queue full is dropped whole; what has gone in
/// already is ended with `error`. One cycle from the wire to `m` when nothing is before it.
#[derive(LogicBlock, Default)]
pub struct Inject {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties the queue.
    pub reset: Signal<In, Bit>,
    /// From the MAC.
    pub mac: StreamRx<64, 8>,
    /// From the host.
    pub injected: StreamRx<64, 8>,
    /// To the parser.
    pub m: StreamTx<64, 8>,
    /// Pulse: a frame of the wire was dropped for lack of room.
    pub rx_buffer_full: Signal<Out, Bit>,
    /// Pulse: a frame of the host has gone on.
    pub injected_frame: Signal<Out, Bit>,
    queue: Fifo<Packed, QUEUE_BITS, { QUEUE_BITS + 1 }>,
    within: DFF<Bit>,
    dropping: DFF<Bit>,
    dropped: DFF<Bit>,
    passed: DFF<Bit>,
    locked: DFF<Bit>,
    chosen: DFF<Bit>,
    turn: DFF<Bit>,
    keep: Signal<Local, Bits<8>>,
    bytes: Signal<Local, Bits<3>>,
    calm: Signal<Local, Bit>,
    full: Signal<Local, Bit>,
    nearly: Signal<Local, Bit>,
    put: Signal<Local, Bit>,
    cut: Signal<Local, Bit>,
    lose: Signal<Local, Bit>,
    host: Signal<Local, Bit>,
    valid: Signal<Local, Bit>,
    last: Signal<Local, Bit>,
    queued_keep: Signal<Local, Bits<8>>,
}

impl Logic for Inject {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, within, dropping, dropped, passed, locked, chosen, turn);
        clock!(self, clock, queue);
        self.queue.reset.next = self.reset.val();

        // Into the queue. Its last place is kept for the end of a frame.
        self.keep.next = self.mac.keep.val();
        self.bytes.next = bits::<3>(0);
        self.bytes.next = self.bytes.val().replace_bit(2, self.keep.val().get_bit(4));
        self.bytes.next = self.bytes.val().replace_bit(1, (self.keep.val().get_bit(2) & !self.keep.val().get_bit(4)) | self.keep.val().get_bit(6));
        self.bytes.next = self.bytes.val().replace_bit(
            0,
            (self.keep.val().get_bit(1) & !self.keep.val().get_bit(2))
                | (self.keep.val().get_bit(3) & !self.keep.val().get_bit(4))
                | (self.keep.val().get_bit(5) & !self.keep.val().get_bit(6))
                | self.keep.val().get_bit(7),
        );
        self.full.next = self.queue.level.val() == 512;
        self.nearly.next = self.queue.level.val() == 511;
        self.put.next = self.mac.valid.val() & !self.dropping.q.val() & !self.full.val() & (!self.nearly.val() | self.mac.last.val());
        self.cut.next = self.mac.valid.val() & self.within.q.val() & !self.dropping.q.val() & self.nearly.val() & !self.mac.last.val();
        self.lose.next = self.mac.valid.val() & !self.put.val();
        self.queue.s.data.next.data = self.mac.data.val();
        self.queue.s.data.next.bytes = self.bytes.val();
        self.queue.s.data.next.last = self.mac.last.val() | self.cut.val();
        self.queue.s.data.next.error = (self.mac.last.val() & self.mac.error.val()) | self.cut.val();
        self.queue.s.valid.next = self.put.val() | self.cut.val();
        self.mac.ready.next = true;
        if self.mac.valid.val() {
            self.within.d.next = !self.mac.last.val();
            self.dropping.d.next = self.lose.val() & !self.mac.last.val();
        }
        self.dropped.d.next = self.lose.val() & self.mac.last.val() & !self.mac.error.val();
        self.rx_buffer_full.next = self.dropped.q.val();

        // Out of it, or from the host: what was offered once stays until its frame has gone.
        self.calm.next = !self.queue.level.val().get_bits::<3>(7).any();
        self.host.next = self.chosen.q.val();
        if !self.locked.q.val() {
            self.host.next = self.injected.valid.val() & self.calm.val() & (self.turn.q.val() | !self.queue.m.valid.val());
        }
        self.queued_keep.next = bits::<8>(1);
        self.queued_keep.next = self.queued_keep.val().replace_bit(1, self.queue.m.data.val().bytes > 0);
        self.queued_keep.next = self.queued_keep.val().replace_bit(2, self.queue.m.data.val().bytes > 1);
        self.queued_keep.next = self.queued_keep.val().replace_bit(3, self.queue.m.data.val().bytes > 2);
        self.queued_keep.next = self.queued_keep.val().replace_bit(4, self.queue.m.data.val().bytes > 3);
        self.queued_keep.next = self.queued_keep.val().replace_bit(5, self.queue.m.data.val().bytes > 4);
        self.queued_keep.next = self.queued_keep.val().replace_bit(6, self.queue.m.data.val().bytes > 5);
        self.queued_keep.next = self.queued_keep.val().replace_bit(7, self.queue.m.data.val().bytes > 6);
        if self.host.val() {
            self.m.data.next = self.injected.data.val();
            self.m.keep.next = self.injected.keep.val();
            self.last.next = self.injected.last.val();
            self.m.error.next = self.injected.error.val();
            self.valid.next = self.injected.valid.val();
        } else {
            self.m.data.next = self.queue.m.data.val().data;
            self.m.keep.next = self.queued_keep.val();
            self.last.next = self.queue.m.data.val().last;
            self.m.error.next = self.queue.m.data.val().error;
            self.valid.next = self.queue.m.valid.val();
        }
        self.m.valid.next = self.valid.val();
        self.m.last.next = self.last.val();
        self.injected.ready.next = self.host.val() & self.m.ready.val();
        self.queue.m.ready.next = !self.host.val() & self.m.ready.val();
        self.chosen.d.next = self.host.val();
        self.passed.d.next = false;
        if self.valid.val() {
            self.locked.d.next = !(self.m.ready.val() & self.last.val());
            if self.m.ready.val() & self.last.val() {
                self.turn.d.next = !self.host.val();
                self.passed.d.next = self.host.val();
            }
        }
        self.injected_frame.next = self.passed.q.val();
        if self.reset.val() {
            self.within.d.next = false;
            self.dropping.d.next = false;
            self.dropped.d.next = false;
            self.passed.d.next = false;
            self.locked.d.next = false;
            self.turn.d.next = false;
        }
    }
}
