//! Takes orders from the flow core and asks for the bytes.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use crate::types::{ChannelRx, ChannelTx, FetchJob, FetchKind, ReadJob, SealRequest, LENGTH_BITS};
use rust_hdl::prelude::*;

/// Bits of a beat's number in the transmit buffer (8 bytes a beat: 32 KiB).
pub const BUFFER_BITS: usize = 12;
const _: () = assert!(1 << BUFFER_BITS == 4096, "what `limit` is reset to");
/// Bits of a number of beats in the transmit buffer, 0 to all of them.
pub const LEVEL_BITS: usize = BUFFER_BITS + 1;

/// What [`Collect`](super::collect::Collect) must know of a job whose bytes come.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Arrival {
    /// There are bytes.
    pub some: Bit,
    /// Its end lets a [`SealRequest`] go (SEGMENT, REMOVED).
    pub seal: Bit,
    /// Its end is told to the host (RAW, INJECT).
    pub raw: Bit,
    /// Its end gives a sum (all but REMOVED).
    pub sum: Bit,
    /// First byte summed.
    pub start: Bits<LENGTH_BITS>,
}

/// What [`Supply`](super::supply::Supply) must know of a frame or payload that lies in the buffer.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Stored {
    /// A frame to receive.
    pub inject: Bit,
    /// A frame to send; neither: payload.
    pub raw: Bit,
    /// Bytes.
    pub length: Bits<LENGTH_BITS>,
    /// RAW: fill in a checksum.
    pub checksum: Bit,
    /// RAW: its sum begins at an odd byte.
    pub odd: Bit,
    /// RAW: byte where the checksum goes.
    pub offset: Bits<LENGTH_BITS>,
}

/// Where [`Fetch`] is.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum FetchStep {
    /// Waits for a job.
    Idle,
    /// Counts its beats.
    Measure,
    /// Waits for room in the buffer and in the queues.
    Wait,
    /// Asks the read engine.
    Ask,
}

/// Takes [`FetchJob`]s in order, reserves room in the transmit buffer, and asks the read engine for the bytes: as many reads are on their way as the buffer
/// and the queues behind have room for. What the stages behind need to know of the job goes into three queues before the bytes can come.
///
/// A job takes 5 cycles, those without bytes 4. Room is reserved in beats of 8 bytes, so what comes always fits.
#[derive(LogicBlock, Default)]
pub struct Fetch {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Orders.
    pub jobs: ChannelRx<FetchJob>,
    /// To the read engine.
    pub reads: ChannelTx<ReadJob>,
    /// Every job, to a queue. `valid` of these three waits for all three `ready`, which must not wait for it.
    pub arrivals: ChannelTx<Arrival>,
    /// SEGMENT and REMOVED, to a queue.
    pub planned: ChannelTx<SealRequest>,
    /// All but REMOVED, to a queue.
    pub stored: ChannelTx<Stored>,
    /// A beat has left the buffer.
    pub released: Signal<In, Bit>,
    /// No job inside.
    pub idle: Signal<Out, Bit>,
    step: DFF<FetchStep>,
    job: DFF<FetchJob>,
    some: DFF<Bit>,
    beats: DFF<Bits<LEVEL_BITS>>,
    // Both count beats for ever: reserved so far, and how far reserving may go.
    reserved: DFF<Bits<LEVEL_BITS>>,
    limit: DFF<Bits<LEVEL_BITS>>,
    room: DFF<Bits<LEVEL_BITS>>,
    fits: DFF<Bit>,
    go: Signal<Local, Bit>,
    segment: Signal<Local, Bit>,
    removed: Signal<Local, Bit>,
    raw: Signal<Local, Bit>,
    rounded: Signal<Local, Bits<15>>,
}

impl Logic for Fetch {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, step, job, some, beats, reserved, limit, room, fits);
        self.segment.next = self.job.q.val().kind == FetchKind::Segment;
        self.removed.next = self.job.q.val().kind == FetchKind::Removed;
        self.raw.next = self.job.q.val().kind == FetchKind::Raw;
        self.rounded.next = bit_cast::<15, LENGTH_BITS>(self.job.q.val().length) + 7;
        self.room.d.next = self.limit.q.val() - self.reserved.q.val();
        self.fits.d.next = (self.step.q.val() == FetchStep::Wait) & (self.room.q.val() >= self.beats.q.val());
        self.go.next = (self.step.q.val() == FetchStep::Wait) & self.fits.q.val();
        self.go.next = self.go.val() & self.arrivals.ready.val() & self.planned.ready.val() & self.stored.ready.val();
        if self.released.val() {
            self.limit.d.next = self.limit.q.val() + 1;
        }

        match self.step.q.val() {
            FetchStep::Idle => {
                self.job.d.next = self.jobs.data.val();
                if self.jobs.valid.val() {
                    self.step.d.next = FetchStep::Measure;
                }
            }
            FetchStep::Measure => {
                self.some.d.next = self.job.q.val().length.any() & !self.removed.val();
                self.beats.d.next = bit_cast::<LEVEL_BITS, 12>(self.rounded.val().get_bits::<12>(3));
                if self.removed.val() {
                    self.beats.d.next = 0.into();
                }
                self.step.d.next = FetchStep::Wait;
            }
            FetchStep::Wait => {
                if self.go.val() {
                    self.reserved.d.next = self.reserved.q.val() + self.beats.q.val();
                    self.step.d.next = FetchStep::Idle;
                    if self.some.q.val() {
                        self.step.d.next = FetchStep::Ask;
                    }
                }
            }
            FetchStep::Ask => {
                if self.reads.ready.val() {
                    self.step.d.next = FetchStep::Idle;
                }
            }
        }
        self.jobs.ready.next = self.step.q.val() == FetchStep::Idle;
        self.idle.next = self.step.q.val() == FetchStep::Idle;

        self.reads.valid.next = self.step.q.val() == FetchStep::Ask;
        self.reads.data.next.base = self.job.q.val().base;
        self.reads.data.next.log2 = 0.into();
        if self.segment.val() {
            self.reads.data.next.log2 = self.job.q.val().log2;
        }
        self.reads.data.next.position = self.job.q.val().seq;
        self.reads.data.next.length = self.job.q.val().length;

        self.arrivals.valid.next = self.go.val();
        self.arrivals.data.next.some = self.some.q.val();
        self.arrivals.data.next.seal = self.segment.val() | self.removed.val();
        self.arrivals.data.next.raw = !self.segment.val() & !self.removed.val();
        self.arrivals.data.next.sum = !self.removed.val();
        self.arrivals.data.next.start = 0.into();
        if self.raw.val() {
            self.arrivals.data.next.start = self.job.q.val().checksum_start.get_bits::<LENGTH_BITS>(0);
        }

        self.planned.valid.next = self.go.val() & (self.segment.val() | self.removed.val());
        self.planned.data.next.removed = self.removed.val();
        self.planned.data.next.flow = self.job.q.val().flow;
        self.planned.data.next.seq = self.job.q.val().seq;
        self.planned.data.next.length = self.job.q.val().length;
        self.planned.data.next.fin = self.job.q.val().fin;
        self.planned.data.next.psh = self.job.q.val().psh;

        self.stored.valid.next = self.go.val() & !self.removed.val();
        self.stored.data.next.inject = self.job.q.val().kind == FetchKind::Inject;
        self.stored.data.next.raw = self.raw.val();
        self.stored.data.next.length = self.job.q.val().length;
        self.stored.data.next.checksum = self.raw.val() & self.job.q.val().checksum;
        self.stored.data.next.odd = self.job.q.val().checksum_start.get_bit(0);
        self.stored.data.next.offset = self.job.q.val().checksum_offset.get_bits::<LENGTH_BITS>(0);

        if self.reset.val() {
            self.step.d.next = FetchStep::Idle;
            self.reserved.d.next = 0.into();
            self.limit.d.next = bits::<LEVEL_BITS>(4096);
        }
    }
}
