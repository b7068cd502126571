//! The data side of the write engine: orders become the beats of the W channel.
//!
//! ```text
//!  Move fifo -> step counter -> address -> receive buffer -> register -+-> {this, previous} >> 8 rotate -> fifo -> W
//!                         \---> record beat --------------------------/
//! ```
//!
//! One beat a cycle. Each order takes one step more than it has beats (the first one only fills `previous`), and the next order follows without a
//! gap. A step is taken only when there is room in the queue before W, so nothing behind it ever waits.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use crate::ram::Fifo;
use crate::types::{ChannelRx, ChannelTx, BUFFER_BITS, LENGTH_BITS};
use rust_hdl::prelude::*;
use toe_contract::event;

/// An order to move a piece: from the receive buffer or the record queue to consecutive addresses. Done strictly in order.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Move {
    /// Eight beats of the record queue, else beats of the receive buffer.
    pub record: Bit,
    /// Something is written; else a record is thrown away, or beats are only freed.
    pub write: Bit,
    /// Beat of the receive buffer to read first.
    pub start: Bits<BUFFER_BITS>,
    /// By how many bytes the source lies behind the destination, modulo 8.
    pub rotate: Bits<3>,
    /// The first beat's place in its block of 32.
    pub place: Bits<5>,
    /// Lane of the first byte written.
    pub first: Bits<3>,
    /// Lane of the last byte written.
    pub tail: Bits<3>,
    /// Steps it takes, less one: if it writes, beats on the bus; 7 for a record thrown away; else 0.
    pub steps: Bits<12>,
    /// Beats of the receive buffer that are free afterwards.
    pub freed: Bits<12>,
    /// Of a raw frame's header: the frame's length, filled in; of an event 0.
    pub length: Bits<LENGTH_BITS>,
    /// Of a record: phase, filled in.
    pub phase: Bit,
}

// Where the fields that are filled in lie in the last beat of a record.
const _: () = assert!(event::PHASE.word == 15 && event::PHASE.low == 31);
const _: () = assert!(event::SUBMISSION_CONSUMED.word == 15 && event::SUBMISSION_CONSUMED.low == 0 && event::SUBMISSION_CONSUMED.width == 16);
const _: () = assert!(event::COMMAND.word == 14 && event::COMMAND.low == 0);

/// What a step in the pipeline is to become.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Tag {
    /// A word comes.
    pub fetched: Bit,
    /// From the record queue.
    pub record: Bit,
    /// A beat leaves.
    pub out: Bit,
    /// Its byte enables.
    pub strobe: Bits<8>,
    /// It ends its burst.
    pub last: Bit,
    /// How it is made.
    pub rotate: Bits<3>,
    /// So many beats are free when this step has passed.
    pub freed: Bits<12>,
}

/// A beat for the W channel.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct WriteBeat {
    /// Eight bytes.
    pub data: Bits<64>,
    /// Which of them are written.
    pub strobe: Bits<8>,
    /// End of the burst.
    pub last: Bit,
}

/// The data side of the write engine.
#[derive(LogicBlock, Default)]
pub struct WriteData {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// What to move.
    pub moves: ChannelRx<Move>,
    /// Records, eight beats each.
    pub records: ChannelRx<Bits<64>>,
    /// An address has been offered to the bus: its burst may be sent.
    pub burst: Signal<In, Bit>,
    /// SUBMISSION_CONSUMED, filled in.
    pub submission_consumed: Signal<In, Bits<16>>,
    /// Beat of the receive buffer to read.
    pub buffer_address: Signal<Out, Bits<BUFFER_BITS>>,
    /// What it holds, one cycle later.
    pub buffer_data: Signal<In, Bits<64>>,
    /// Beats of the receive buffer that are free, from the oldest on: valid for one cycle, if not 0.
    pub freed: Signal<Out, Bits<12>>,
    /// Beats for W.
    pub beat: ChannelTx<WriteBeat>,
    /// Something is inside.
    pub busy: Signal<Out, Bit>,
    beats: Fifo<WriteBeat, 4, 5>,
    room: DFF<Bits<5>>,
    credit: DFF<Bits<5>>,
    active: DFF<Bit>,
    order: DFF<Move>,
    prime: DFF<Bit>,
    burst_start: DFF<Bit>,
    address: DFF<Bits<BUFFER_BITS>>,
    place: DFF<Bits<5>>,
    left: DFF<Bits<12>>,
    to_fetch: DFF<Bits<4>>,
    strobe: DFF<Bits<8>>,
    tag0: DFF<Tag>,
    tag1: DFF<Tag>,
    record0: DFF<Bits<64>>,
    current: DFF<Bits<64>>,
    previous: DFF<Bits<64>>,
    high: Signal<Local, Bits<32>>,
    low: Signal<Local, Bits<32>>,
    wants_record: Signal<Local, Bit>,
    wants_out: Signal<Local, Bit>,
    step: Signal<Local, Bit>,
    out: Signal<Local, Bit>,
    ends: Signal<Local, Bit>,
    burst_ends: Signal<Local, Bit>,
    pop: Signal<Local, Bit>,
    started: Signal<Local, Bit>,
    sent: Signal<Local, Bit>,
    load: Signal<Local, Bit>,
    window: Signal<Local, Bits<128>>,
    tail_mask: Signal<Local, Bits<9>>,
}

impl Logic for WriteData {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            room,
            credit,
            active,
            order,
            prime,
            burst_start,
            address,
            place,
            left,
            to_fetch,
            strobe,
            tag0,
            tag1,
            record0,
            current,
            previous
        );
        clock!(self, clock, beats);
        self.beats.reset.next = self.reset.val();

        // A step: fetch the next word of the source and, but for the first step, send a beat.
        self.wants_record.next = self.order.q.val().record & self.to_fetch.q.val().any();
        self.wants_out.next = self.order.q.val().write & !self.prime.q.val();
        self.step.next = self.active.q.val()
            & (!self.wants_record.val() | self.records.valid.val())
            & (!self.wants_out.val() | (!self.room.q.val().get_bit(4) & (!self.burst_start.q.val() | self.credit.q.val().any())));
        self.out.next = self.step.val() & self.wants_out.val();
        self.ends.next = !self.left.q.val().any();
        self.burst_ends.next = self.ends.val() | self.place.q.val().all();
        self.pop.next = self.step.val() & self.wants_record.val();
        self.records.ready.next = self.pop.val();
        self.tail_mask.next = (bits::<9>(2) << self.order.q.val().tail) - 1;
        if self.step.val() {
            self.prime.d.next = false;
            self.address.d.next = self.address.q.val() + 1;
            self.left.d.next = self.left.q.val() - 1;
        }
        if self.pop.val() {
            self.to_fetch.d.next = self.to_fetch.q.val() - 1;
        }
        if self.out.val() {
            self.place.d.next = self.place.q.val() + 1;
            self.burst_start.d.next = self.burst_ends.val();
            self.strobe.d.next = bits::<8>(0xff);
        }

        // The next order, when the last step of this one is taken.
        self.load.next = !self.active.q.val() | (self.step.val() & self.ends.val());
        self.moves.ready.next = self.load.val();
        if self.load.val() {
            self.active.d.next = self.moves.valid.val();
            self.order.d.next = self.moves.data.val();
            self.prime.d.next = true;
            self.burst_start.d.next = true;
            self.address.d.next = self.moves.data.val().start;
            self.place.d.next = self.moves.data.val().place;
            self.left.d.next = self.moves.data.val().steps;
            self.to_fetch.d.next = bits::<4>(8);
            self.strobe.d.next = bits::<8>(0xff) << self.moves.data.val().first;
        }

        // One cycle later the word is there, ...
        self.tag0.d.next.fetched = self.step.val();
        self.tag0.d.next.record = self.order.q.val().record;
        self.tag0.d.next.out = self.out.val();
        self.tag0.d.next.strobe = self.strobe.q.val();
        if self.ends.val() {
            self.tag0.d.next.strobe = self.strobe.q.val() & self.tail_mask.val().get_bits::<8>(0);
        }
        self.tag0.d.next.last = self.burst_ends.val();
        self.tag0.d.next.rotate = self.order.q.val().rotate;
        self.tag0.d.next.freed = 0.into();
        if self.step.val() & self.ends.val() {
            self.tag0.d.next.freed = self.order.q.val().freed;
        }
        self.low.next = self.records.data.val().get_bits::<32>(0);
        self.high.next = self.records.data.val().get_bits::<32>(32);
        if self.to_fetch.q.val() == 1 {
            self.high.next = (bit_cast::<32, 15>(self.records.data.val().get_bits::<15>(48)) << 16) | bit_cast::<32, 16>(self.submission_consumed.val());
            self.high.next = self.high.val().replace_bit(31, self.order.q.val().phase);
            if self.order.q.val().length.any() {
                self.low.next = bit_cast::<32, LENGTH_BITS>(self.order.q.val().length);
            }
        }
        self.record0.d.next = bit_cast::<64, 32>(self.low.val()) | (bit_cast::<64, 32>(self.high.val()) << 32);
        self.buffer_address.next = self.address.q.val();

        // ... two cycles later in a register, ...
        self.tag1.d.next = self.tag0.q.val();
        self.current.d.next = self.buffer_data.val();
        if self.tag0.q.val().record {
            self.current.d.next = self.record0.q.val();
        }
        if self.tag1.q.val().fetched {
            self.previous.d.next = self.current.q.val();
        }
        self.freed.next = self.tag1.q.val().freed;

        // ... and rotated on its way into the queue before W.
        self.window.next = (bit_cast::<128, 64>(self.current.q.val()) << 64) | bit_cast::<128, 64>(self.previous.q.val());
        self.beats.s.data.next.data = (self.window.val() >> (bit_cast::<6, 3>(self.tag1.q.val().rotate) << 3)).get_bits::<64>(0);
        self.beats.s.data.next.strobe = self.tag1.q.val().strobe;
        self.beats.s.data.next.last = self.tag1.q.val().last;
        self.beats.s.valid.next = self.tag1.q.val().out;
        self.beat.data.next = self.beats.m.data.val();
        self.beat.valid.next = self.beats.m.valid.val();
        self.beats.m.ready.next = self.beat.ready.val();
        self.sent.next = self.beats.m.valid.val() & self.beat.ready.val();

        if self.out.val() & !self.sent.val() {
            self.room.d.next = self.room.q.val() + 1;
        }
        if self.sent.val() & !self.out.val() {
            self.room.d.next = self.room.q.val() - 1;
        }
        self.started.next = self.out.val() & self.burst_start.q.val();
        if self.burst.val() & !self.started.val() {
            self.credit.d.next = self.credit.q.val() + 1;
        }
        if self.started.val() & !self.burst.val() {
            self.credit.d.next = self.credit.q.val() - 1;
        }
        self.busy.next = self.active.q.val() | self.moves.valid.val() | self.tag0.q.val().fetched | self.tag1.q.val().fetched | self.room.q.val().any();
        if self.reset.val() {
            self.active.d.next = false;
            self.room.d.next = 0.into();
            self.credit.d.next = 0.into();
            self.tag0.d.next.fetched = false;
            self.tag0.d.next.out = false;
            self.tag0.d.next.freed = 0.into();
            self.tag1.d.next.fetched = false;
            self.tag1.d.next.out = false;
            self.tag1.d.next.freed = 0.into();
        }
    }
}
