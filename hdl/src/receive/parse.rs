//! The parser: frames in, one [`Parsed`] out for each that is sound.

use super::fields::Fields;
use super::head::Head;
use super::options::Options;
use super::store::Store;
use crate::checksum::OnesSum;
use crate::ram::Fifo;
use crate::stream::StreamRx;
use crate::types::{ChannelTx, Parsed, BUFFER_BITS};
use rust_hdl::prelude::*;

/// Frames parsed and not yet taken, log2: as many as the smallest that fit the buffer.
const QUEUE_BITS: usize = 9;

/// Stores frames, checks them, and takes out what the flow core needs (`docs/engine.md`, SEGMENT, sorting).
///
/// ```text
/// cycle  0     1        2        3        4        5        6        7        8
///        s     stage 0  stage 1  aligned  fields   checks   verdict  queue    m
///              masks    lanes    sum      sum      folded   store
///              options ...                                  written
/// ```
///
/// - A beat is taken in every cycle of a frame. Between frames `s.ready` may be low: while frames wait for `m`, and for a few cycles
///   behind a segment that ends within 32 bytes of options without a timestamps option at their start.
/// - The last beat in cycle 0, `m` is valid in cycle 8; the whole frame is in the buffer by then.
/// - Every frame taken gives one [`Parsed`], or one counter pulse, or (if it came with `error`) nothing.
#[derive(LogicBlock, Default)]
pub struct Parser {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties everything.
    pub reset: Signal<In, Bit>,
    /// Frames, at most 16 KiB each.
    pub s: StreamRx<64, 8>,
    /// Sound frames, in order.
    pub m: ChannelTx<Parsed>,
    /// Pulse: so many beats of the buffer are free again, those of the oldest frame.
    pub free: Signal<In, Bit>,
    /// How many.
    pub free_beats: Signal<In, Bits<BUFFER_BITS>>,
    /// Beat of the buffer to read.
    pub read_address: Signal<In, Bits<BUFFER_BITS>>,
    /// Read it.
    pub read_enable: Signal<In, Bit>,
    /// The beat, in the next cycle; holds without `read_enable`.
    pub read_data: Signal<Out, Bits<64>>,
    /// Pulse: a frame dropped for lack of room.
    pub rx_buffer_full: Signal<Out, Bit>,
    /// Pulse: IPv4 header or total length impossible.
    pub rx_bad_ipv4_header: Signal<Out, Bit>,
    /// Pulse: IPv4 header checksum wrong.
    pub rx_bad_ipv4_checksum: Signal<Out, Bit>,
    /// Pulse: TCP data offset impossible.
    pub rx_bad_tcp_header: Signal<Out, Bit>,
    /// Pulse: TCP checksum wrong.
    pub rx_bad_tcp_checksum: Signal<Out, Bit>,
    /// Pulse: a good segment.
    pub rx_checksum_good: Signal<Out, Bit>,
    head: Head,
    header_sum: OnesSum,
    segment_sum: OnesSum,
    fields: Fields,
    options: Options,
    store: Store,
    queue: Fifo<Parsed, QUEUE_BITS, { QUEUE_BITS + 1 }>,
    inside: DFF<Bit>,
    room: DFF<Bit>,
    delayed: [DFF<Bits<64>>; 4],
    delayed_valid: DFF<Bits<4>>,
    open: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
}

impl Logic for Parser {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, inside, room, delayed_valid);
        clock!(self, clock, head, header_sum, segment_sum, fields, options, store, queue);
        for k in 0..4 {
            self.delayed[k].clock.next = self.clock.val();
        }
        self.head.reset.next = self.reset.val();
        self.fields.reset.next = self.reset.val();
        self.options.reset.next = self.reset.val();
        self.store.reset.next = self.reset.val();
        self.queue.reset.next = self.reset.val();

        // At most eight frames, of one beat each, are between here and the queue.
        self.room.d.next = self.queue.level.val() < 504;
        self.open.next = self.inside.q.val() | (self.room.q.val() & !self.options.hold.val());
        self.s.ready.next = self.open.val();
        self.take.next = self.s.valid.val() & self.open.val();
        if self.take.val() {
            self.inside.d.next = !self.s.last.val();
        }
        self.head.take.next = self.take.val();
        self.head.beat.next.data = self.s.data.val();
        self.head.beat.next.keep = self.s.keep.val();
        self.head.beat.next.last = self.s.last.val();
        self.head.beat.next.error = self.s.error.val();

        self.options.valid.next = self.head.early_valid.val();
        self.options.data.next = self.head.early_data.val();
        self.options.index.next = self.head.early_index.val();
        self.options.has_tag.next = self.head.early_tag.val();
        self.options.clear.next = self.store.settled.val();

        self.header_sum.lanes.next = self.head.header_lanes.val();
        self.header_sum.valid.next = self.head.valid.val();
        self.header_sum.first.next = self.head.first.val();
        self.segment_sum.lanes.next = self.head.segment_lanes.val();
        self.segment_sum.valid.next = self.head.valid.val();
        self.segment_sum.first.next = self.head.first.val();

        self.fields.beat.next = self.head.beat_out.val();
        self.fields.valid.next = self.head.valid.val();
        self.fields.first.next = self.head.first.val();
        self.fields.slot.next = self.head.slot.val();
        self.fields.has_tag.next = self.head.has_tag.val();
        self.fields.header_total.next = self.header_sum.total.val();
        self.fields.segment_total.next = self.segment_sum.total.val();

        self.delayed[0].d.next = self.head.beat_out.val().data;
        for k in 1..4 {
            self.delayed[k].d.next = self.delayed[k - 1].q.val();
        }
        self.delayed_valid.d.next = self.delayed_valid.q.val() << 1;
        if self.head.valid.val() {
            self.delayed_valid.d.next = (self.delayed_valid.q.val() << 1) | 1;
        }
        self.store.valid.next = self.delayed_valid.q.val().get_bit(3);
        self.store.data.next = self.delayed[3].q.val();
        self.store.done.next = self.fields.done.val();
        self.store.verdict.next = self.fields.verdict.val();
        self.store.parsed.next = self.fields.parsed.val();
        self.store.parsed.next.ts_present = self.options.present.val();
        self.store.parsed.next.ts_val = self.options.ts_val.val();
        self.store.parsed.next.ts_ecr = self.options.ts_ecr.val();
        self.store.busy.next = self.options.busy.val();
        self.store.free.next = self.free.val();
        self.store.free_beats.next = self.free_beats.val();
        self.store.read_address.next = self.read_address.val();
        self.store.read_enable.next = self.read_enable.val();
        self.read_data.next = self.store.read_data.val();

        self.queue.s.data.next = self.store.handed.val();
        self.queue.s.valid.next = self.store.hand_on.val();
        self.m.data.next = self.queue.m.data.val();
        self.m.valid.next = self.queue.m.valid.val();
        self.queue.m.ready.next = self.m.ready.val();

        self.rx_buffer_full.next = self.store.rx_buffer_full.val();
        self.rx_bad_ipv4_header.next = self.store.rx_bad_ipv4_header.val();
        self.rx_bad_ipv4_checksum.next = self.store.rx_bad_ipv4_checksum.val();
        self.rx_bad_tcp_header.next = self.store.rx_bad_tcp_header.val();
        self.rx_bad_tcp_checksum.next = self.store.rx_bad_tcp_checksum.val();
        self.rx_checksum_good.next = self.store.rx_checksum_good.val();
        if self.reset.val() {
            self.inside.d.next = false;
            self.room.d.next = false;
            self.delayed_valid.d.next = 0.into();
        }
    }
}
