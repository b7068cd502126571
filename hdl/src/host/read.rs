//! Reads host memory: two clients' [`ReadJob`]s become AXI bursts, and the beats that come back become byte-packed streams.
//!
//! ```text
//!  commands --\                +-- ar ------------------------> bus
//!              >-- split into -+-- Flight --> fifo --+
//!  payload ---/    blocks                            |
//!                                   bus -- r -> fifo -> rotate --> command_data, payload_data
//! ```
//!
//! A burst never crosses 256 bytes, so neither 4 KiB nor the end of a ring. Up to [`OUTSTANDING`] bursts are on their way at once; with one ID the data comes in
//! order. Both clients share it, so `command_data` must be taken whenever it is offered (its client asks only for what it has room for): else commands that
//! wait for payload to be sent would stop that payload. Commands go first.
//!
//! 8 bytes a cycle, but for two cycles a job. First beat out 4 cycles after the beat that completes it.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::axi::ReadMaster;
use super::burst::Cutter;
use crate::ram::Fifo;
use crate::stream::StreamTx;
use crate::types::{ChannelRx, ReadJob, LENGTH_BITS};
use rust_hdl::prelude::*;

/// Bursts on their way at once.
pub const OUTSTANDING: u64 = 16;

/// A job whose beats are on their way.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Flight {
    /// 0: commands, 1: payload.
    pub payload: Bit,
    /// Lane of the first byte.
    pub shift: Bits<3>,
    /// Beats that come behind the first.
    pub more: Bits<12>,
    /// The last beat of the bus gives two beats of the stream.
    pub flush: Bit,
    /// Bytes in the last beat of the stream, less one.
    pub tail: Bits<3>,
}

/// A beat from the bus.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct ReadBeat {
    /// Eight bytes.
    pub data: Bits<64>,
    /// The access failed.
    pub failed: Bit,
}

/// The read engine.
#[derive(LogicBlock, Default)]
pub struct ReadEngine {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Starts no more bursts and throws away what comes.
    pub halt: Signal<In, Bit>,
    /// What the submission ring's client wants.
    pub commands: ChannelRx<ReadJob>,
    /// And gets.
    pub command_data: StreamTx<64, 8>,
    /// What the transmit side wants.
    pub payload: ChannelRx<ReadJob>,
    /// And gets.
    pub payload_data: StreamTx<64, 8>,
    /// The bus.
    pub bus: ReadMaster,
    /// An access has failed; stays until reset.
    pub fault: Signal<Out, Bit>,
    /// Bursts are on their way.
    pub outstanding: Signal<Out, Bit>,
    /// There is a job inside.
    pub busy: Signal<Out, Bit>,
    cutter: Cutter,
    flights: Fifo<Flight, 4, 5>,
    beats: Fifo<ReadBeat, 4, 5>,
    count: DFF<Bits<5>>,
    failed: DFF<Bit>,
    active: DFF<Bit>,
    flushing: DFF<Bit>,
    first: DFF<Bit>,
    flight: DFF<Flight>,
    left: DFF<Bits<12>>,
    previous: DFF<Bits<64>>,
    out_data: DFF<Bits<64>>,
    out_keep: DFF<Bits<8>>,
    out_last: DFF<Bit>,
    out_commands: DFF<Bit>,
    out_payload: DFF<Bit>,
    job: Signal<Local, ReadJob>,
    some: Signal<Local, Bit>,
    any: Signal<Local, Bit>,
    accept: Signal<Local, Bit>,
    lane: Signal<Local, Bits<3>>,
    length_less: Signal<Local, Bits<LENGTH_BITS>>,
    span: Signal<Local, Bits<4>>,
    landed: Signal<Local, Bit>,
    stop: Signal<Local, Bit>,
    free: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    emit: Signal<Local, Bit>,
    done: Signal<Local, Bit>,
    window: Signal<Local, Bits<128>>,
    mask: Signal<Local, Bits<9>>,
}

impl Logic for ReadEngine {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, count, failed, active, flushing, first, flight, left, previous, out_data, out_keep, out_last, out_commands, out_payload);
        clock!(self, clock, cutter, flights, beats);
        self.cutter.reset.next = self.reset.val();
        self.flights.reset.next = self.reset.val();
        self.beats.reset.next = self.reset.val();
        self.stop.next = self.halt.val() | self.failed.q.val();

        // A job goes to the cutter, and beside it what its beats will need when they come.
        self.job.next = self.payload.data.val();
        if self.commands.valid.val() {
            self.job.next = self.commands.data.val();
        }
        self.any.next = self.commands.valid.val() | self.payload.valid.val();
        self.some.next = self.job.val().length.any();
        self.accept.next = self.cutter.extent.ready.val() & self.flights.s.ready.val() & !self.stop.val();
        self.commands.ready.next = self.accept.val();
        self.payload.ready.next = self.accept.val() & !self.commands.valid.val();
        self.length_less.next = self.job.val().length - 1;
        self.cutter.extent.data.next.base = self.job.val().base;
        self.cutter.extent.data.next.offset = 0.into();
        self.cutter.extent.data.next.log2 = self.job.val().log2;
        self.cutter.extent.data.next.length_less = self.length_less.val();
        self.cutter.extent.data.next.tag = 0.into();
        self.cutter.extent.valid.next = self.any.val() & self.some.val() & self.accept.val();
        self.lane.next = self.job.val().base.get_bits::<3>(0);
        if self.job.val().log2.any() {
            // A ring is aligned: what the host has left below that does not count.
            self.cutter.extent.data.next.base = (self.job.val().base >> 12) << 12;
            self.cutter.extent.data.next.offset = self.job.val().position;
            self.lane.next = self.job.val().position.get_bits::<3>(0);
        }
        self.span.next = bit_cast::<4, 3>(self.lane.val()) + bit_cast::<4, 3>(self.length_less.val().get_bits::<3>(0));
        self.flights.s.data.next.payload = !self.commands.valid.val();
        self.flights.s.data.next.shift = self.lane.val();
        self.flights.s.data.next.more = bit_cast::<12, 11>(self.length_less.val().get_bits::<11>(3)) + bit_cast::<12, 1>(self.span.val().get_bits::<1>(3));
        self.flights.s.data.next.flush = !self.span.val().get_bit(3);
        self.flights.s.data.next.tail = self.length_less.val().get_bits::<3>(0);
        self.flights.s.valid.next = self.any.val() & self.some.val() & self.accept.val();
        self.cutter.allow.next = !self.count.q.val().get_bit(4) & !self.stop.val();
        self.bus.araddr.next = self.cutter.address.val();
        self.bus.arlen.next = self.cutter.length.val();
        self.bus.arvalid.next = self.cutter.valid.val();
        self.cutter.ready.next = self.bus.arready.val();

        // Every beat comes into a small queue, whose room the bus sees from a flip-flop.
        self.beats.s.data.next.data = self.bus.rdata.val();
        self.beats.s.data.next.failed = self.bus.rresp.val().any();
        self.beats.s.valid.next = self.bus.rvalid.val() & !self.stop.val();
        self.bus.rready.next = self.beats.s.ready.val() | self.stop.val();
        self.landed.next = self.bus.rvalid.val() & self.bus.rlast.val() & (self.beats.s.ready.val() | self.stop.val());
        if self.cutter.offered.val() & !self.landed.val() {
            self.count.d.next = self.count.q.val() + 1;
        }
        if self.landed.val() & !self.cutter.offered.val() {
            self.count.d.next = self.count.q.val() - 1;
        }
        if self.bus.rvalid.val() & self.bus.rresp.val().any() & (self.beats.s.ready.val() | self.stop.val()) {
            self.failed.d.next = true;
        }

        // Rotate: a beat of the stream is the rest of the beat before and the start of this one.
        self.free.next = !(self.out_commands.q.val() & !self.command_data.ready.val()) & !(self.out_payload.q.val() & !self.payload_data.ready.val());
        self.take.next = self.active.q.val() & !self.flushing.q.val() & self.beats.m.valid.val() & (self.first.q.val() | self.free.val());
        self.take.next = self.take.val() & !self.beats.m.data.val().failed;
        self.emit.next = (self.take.val() & !self.first.q.val()) | (self.flushing.q.val() & self.free.val());
        self.done.next = self.flushing.q.val() & self.free.val();
        self.beats.m.ready.next = self.take.val();
        if self.free.val() {
            self.out_commands.d.next = false;
            self.out_payload.d.next = false;
        }
        if self.take.val() {
            self.previous.d.next = self.beats.m.data.val().data;
            self.first.d.next = false;
            self.left.d.next = self.left.q.val() - 1;
            if !self.left.q.val().any() {
                self.flushing.d.next = self.flight.q.val().flush;
                self.done.next = !self.flight.q.val().flush;
            }
        }
        self.window.next = (bit_cast::<128, 64>(self.beats.m.data.val().data) << 64) | bit_cast::<128, 64>(self.previous.q.val());
        self.mask.next = (bits::<9>(2) << self.flight.q.val().tail) - 1;
        if self.emit.val() {
            self.out_data.d.next = (self.window.val() >> (bit_cast::<6, 3>(self.flight.q.val().shift) << 3)).get_bits::<64>(0);
            self.out_keep.d.next = bits::<8>(0xff);
            self.out_last.d.next = self.done.val();
            if self.done.val() {
                self.out_keep.d.next = self.mask.val().get_bits::<8>(0);
            }
            self.out_commands.d.next = !self.flight.q.val().payload;
            self.out_payload.d.next = self.flight.q.val().payload;
        }
        self.flights.m.ready.next = !self.active.q.val();
        if !self.active.q.val() {
            self.active.d.next = self.flights.m.valid.val();
            self.flight.d.next = self.flights.m.data.val();
            self.left.d.next = self.flights.m.data.val().more;
            self.first.d.next = true;
        }
        if self.done.val() {
            self.active.d.next = false;
            self.flushing.d.next = false;
        }
        self.command_data.data.next = self.out_data.q.val();
        self.command_data.keep.next = self.out_keep.q.val();
        self.command_data.last.next = self.out_last.q.val();
        self.command_data.error.next = false;
        self.command_data.valid.next = self.out_commands.q.val();
        self.payload_data.data.next = self.out_data.q.val();
        self.payload_data.keep.next = self.out_keep.q.val();
        self.payload_data.last.next = self.out_last.q.val();
        self.payload_data.error.next = false;
        self.payload_data.valid.next = self.out_payload.q.val();
        self.fault.next = self.failed.q.val();
        self.outstanding.next = self.count.q.val().any();
        self.busy.next = self.cutter.busy.val()
            | self.count.q.val().any()
            | self.active.q.val()
            | self.flights.m.valid.val()
            | self.out_commands.q.val()
            | self.out_payload.q.val();

        if self.reset.val() {
            self.count.d.next = 0.into();
            self.failed.d.next = false;
            self.active.d.next = false;
            self.flushing.d.next = false;
            self.out_commands.d.next = false;
            self.out_payload.d.next = false;
        }
    }
}
