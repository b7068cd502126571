//! Takes the header fields out of a frame, and judges it.

use super::verdict::Verdict;
use crate::stream::Beat;
use crate::types::{Parsed, LENGTH_BITS};
use rust_hdl::prelude::*;

/// Fields and verdict, five cycles behind the stream as [`Head`](super::head::Head) gives it.
///
/// ```text
/// cycle   0              1        2        3        4
///         beat, sums+3   aligned  fields   checks   done, verdict, parsed
///                                          sums
/// ```
///
/// The beats are first brought to where they would lie without a tag, numbers of bytes highest first. Outputs but `verdict` hold until
/// one cycle after `done`, or longer if no frame follows at once.
#[derive(LogicBlock, Default)]
pub struct Fields {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Forgets the frame that is coming in.
    pub reset: Signal<In, Bit>,
    /// A beat.
    pub beat: Signal<In, Beat>,
    /// It is there.
    pub valid: Signal<In, Bit>,
    /// The frame's first.
    pub first: Signal<In, Bit>,
    /// Its number without the tag.
    pub slot: Signal<In, Bits<4>>,
    /// The frame has a tag.
    pub has_tag: Signal<In, Bit>,
    /// Sum of the IPv4 header, three cycles behind `beat`.
    pub header_total: Signal<In, Bits<17>>,
    /// Sum of the segment, three cycles behind `beat`.
    pub segment_total: Signal<In, Bits<17>>,
    /// A frame has ended.
    pub done: Signal<Out, Bit>,
    /// What it is worth.
    pub verdict: Signal<Out, Verdict>,
    /// What is in it; `start` and timestamps are zero.
    pub parsed: Signal<Out, Parsed>,
    // Aligned.
    upper: DFF<Bits<32>>,
    word: DFF<Bits<64>>,
    word_valid: DFF<Bit>,
    word_first: DFF<Bit>,
    word_last: DFF<Bit>,
    word_error: DFF<Bit>,
    word_slot: DFF<Bits<4>>,
    word_tag: DFF<Bit>,
    word_bytes: DFF<Bits<4>>,
    word_typed: DFF<Bit>,
    // Fields.
    beats: DFF<Bits<11>>,
    ended: DFF<Bit>,
    error: DFF<Bit>,
    length: DFF<Bits<LENGTH_BITS>>,
    with_tag: DFF<Bit>,
    offset_tag: DFF<Bit>,
    ipv4: DFF<Bit>,
    version4: DFF<Bit>,
    header_words: DFF<Bits<4>>,
    total: DFF<Bits<16>>,
    fragment: DFF<Bit>,
    tcp: DFF<Bit>,
    source: DFF<Bits<32>>,
    destination: DFF<Bits<32>>,
    ports: DFF<Bits<32>>,
    seq: DFF<Bits<32>>,
    ack: DFF<Bits<32>>,
    data_words: DFF<Bits<4>>,
    control: DFF<Bits<8>>,
    window: DFF<Bits<16>>,
    // What follows from fields alone.
    end: DFF<Bits<17>>,
    header_bad: DFF<Bit>,
    segment_bad: DFF<Bit>,
    payload_length: DFF<Bits<LENGTH_BITS>>,
    payload_offset: DFF<Bits<7>>,
    // Checks.
    checked: DFF<Bit>,
    checked_error: DFF<Bit>,
    checked_header_bad: DFF<Bit>,
    checked_header: DFF<Bit>,
    checked_segment_bad: DFF<Bit>,
    checked_segment: DFF<Bit>,
    checked_length: DFF<Bits<LENGTH_BITS>>,
    // Verdict.
    judged: DFF<Bit>,
    judgement: DFF<Verdict>,
    judged_fast: DFF<Bit>,
    judged_length: DFF<Bits<LENGTH_BITS>>,
    aligned: Signal<Local, Bits<64>>,
    keep: Signal<Local, Bits<8>>,
    bytes: Signal<Local, Bits<4>>,
    ethernet: Signal<Local, Bits<LENGTH_BITS>>,
    behind: Signal<Local, Bits<LENGTH_BITS>>,
    segment_words: Signal<Local, Bits<16>>,
    header_good: Signal<Local, Bit>,
    segment_good: Signal<Local, Bit>,
}

impl Logic for Fields {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            upper,
            word,
            word_valid,
            word_first,
            word_last,
            word_error,
            word_slot,
            word_tag,
            word_bytes,
            word_typed,
            beats,
            ended,
            error,
            length,
            with_tag,
            offset_tag,
            ipv4,
            version4,
            header_words,
            total,
            fragment,
            tcp,
            source,
            destination,
            ports,
            seq,
            ack,
            data_words,
            control,
            window,
            end,
            header_bad,
            segment_bad,
            payload_length,
            payload_offset,
            checked,
            checked_error,
            checked_header_bad,
            checked_header,
            checked_segment_bad,
            checked_segment,
            checked_length,
            judged,
            judgement,
            judged_fast,
            judged_length
        );
        // Aligned: without the tag, the first byte highest.
        self.keep.next = self.beat.val().keep;
        self.aligned.next = self.beat.val().data;
        self.word_typed.d.next = self.keep.val().get_bit(5);
        if self.has_tag.val() {
            self.aligned.next = bit_cast::<64, 32>(self.upper.q.val()) | (self.beat.val().data << 32);
            self.word_typed.d.next = self.keep.val().get_bit(1);
        }
        if self.valid.val() {
            self.upper.d.next = bit_cast::<32, 64>(self.beat.val().data >> 32);
        }
        self.word.d.next = (bit_cast::<64, 8>(self.aligned.val().get_bits::<8>(0)) << 56)
            | (bit_cast::<64, 8>(self.aligned.val().get_bits::<8>(8)) << 48)
            | (bit_cast::<64, 8>(self.aligned.val().get_bits::<8>(16)) << 40)
            | (bit_cast::<64, 8>(self.aligned.val().get_bits::<8>(24)) << 32)
            | (bit_cast::<64, 8>(self.aligned.val().get_bits::<8>(32)) << 24)
            | (bit_cast::<64, 8>(self.aligned.val().get_bits::<8>(40)) << 16)
            | (bit_cast::<64, 8>(self.aligned.val().get_bits::<8>(48)) << 8)
            | bit_cast::<64, 8>(self.aligned.val().get_bits::<8>(56));
        self.bytes.next = bits::<4>(0);
        self.bytes.next = self.bytes.val().replace_bit(3, self.keep.val().get_bit(7));
        self.bytes.next = self.bytes.val().replace_bit(2, self.keep.val().get_bit(3) & !self.keep.val().get_bit(7));
        self.bytes.next = self
            .bytes
            .val()
            .replace_bit(1, (self.keep.val().get_bit(1) & !self.keep.val().get_bit(3)) | (self.keep.val().get_bit(5) & !self.keep.val().get_bit(7)));
        self.bytes.next = self.bytes.val().replace_bit(
            0,
            (self.keep.val().get_bit(0) & !self.keep.val().get_bit(1))
                | (self.keep.val().get_bit(2) & !self.keep.val().get_bit(3))
                | (self.keep.val().get_bit(4) & !self.keep.val().get_bit(5))
                | (self.keep.val().get_bit(6) & !self.keep.val().get_bit(7)),
        );
        self.word_bytes.d.next = self.bytes.val();
        self.word_valid.d.next = self.valid.val();
        self.word_first.d.next = self.first.val();
        self.word_last.d.next = self.beat.val().last;
        self.word_error.d.next = self.beat.val().error;
        self.word_slot.d.next = self.slot.val();
        self.word_tag.d.next = self.has_tag.val();

        // Fields.
        self.ended.d.next = self.word_valid.q.val() & self.word_last.q.val();
        if self.word_valid.q.val() {
            self.beats.d.next = self.beats.q.val() + 1;
            if self.word_first.q.val() {
                self.ipv4.d.next = false;
            } else {
                self.with_tag.d.next = self.word_tag.q.val();
            }
            if self.word_last.q.val() {
                self.beats.d.next = 0.into();
                self.error.d.next = self.word_error.q.val();
                self.length.d.next = (bit_cast::<LENGTH_BITS, 11>(self.beats.q.val()) << 3) + bit_cast::<LENGTH_BITS, 4>(self.word_bytes.q.val());
            }
            if self.word_slot.q.val() == 1 {
                self.ipv4.d.next = self.word_typed.q.val() & (self.word.q.val().get_bits::<16>(16) == 0x0800);
                self.version4.d.next = self.word.q.val().get_bits::<4>(12) == 4;
                self.header_words.d.next = self.word.q.val().get_bits::<4>(8);
            }
            if self.word_slot.q.val() == 2 {
                self.total.d.next = self.word.q.val().get_bits::<16>(48);
                // MF or an offset; DF and the reserved bit say nothing.
                self.fragment.d.next = self.word.q.val().get_bits::<14>(16).any();
                self.tcp.d.next = self.word.q.val().get_bits::<8>(0) == 6;
            }
            if self.word_slot.q.val() == 3 {
                self.source.d.next = self.word.q.val().get_bits::<32>(16);
                self.destination.d.next = bit_cast::<32, 16>(self.word.q.val().get_bits::<16>(0)) << 16;
            }
            if self.word_slot.q.val() == 4 {
                self.destination.d.next = self.destination.q.val() | bit_cast::<32, 16>(self.word.q.val().get_bits::<16>(48));
                self.ports.d.next = self.word.q.val().get_bits::<32>(16);
                self.seq.d.next = bit_cast::<32, 16>(self.word.q.val().get_bits::<16>(0)) << 16;
            }
            if self.word_slot.q.val() == 5 {
                self.seq.d.next = self.seq.q.val() | bit_cast::<32, 16>(self.word.q.val().get_bits::<16>(48));
                self.ack.d.next = self.word.q.val().get_bits::<32>(16);
                self.data_words.d.next = self.word.q.val().get_bits::<4>(12);
                self.control.d.next = self.word.q.val().get_bits::<8>(0);
            }
            if self.word_slot.q.val() == 6 {
                self.offset_tag.d.next = self.word_tag.q.val();
                self.window.d.next = self.word.q.val().get_bits::<16>(48);
            }
        }

        // What follows from fields alone, a cycle later: they are all there one beat before the frame ends, or it is too short anyway.
        self.ethernet.next = 14.into();
        if self.with_tag.q.val() {
            self.ethernet.next = 18.into();
        }
        self.payload_offset.d.next = (bit_cast::<7, 4>(self.data_words.q.val()) << 2) + 34;
        if self.offset_tag.q.val() {
            self.payload_offset.d.next = (bit_cast::<7, 4>(self.data_words.q.val()) << 2) + 38;
        }
        self.end.d.next = bit_cast::<17, 16>(self.total.q.val()) + bit_cast::<17, LENGTH_BITS>(self.ethernet.val());
        self.header_bad.d.next = (self.header_words.q.val() < 5) | (self.total.q.val() < (bit_cast::<16, 4>(self.header_words.q.val()) << 2));
        self.segment_words.next = (bit_cast::<16, 4>(self.data_words.q.val()) << 2) + 20;
        self.segment_bad.d.next = (self.data_words.q.val() < 5) | (self.total.q.val() < 40) | (self.total.q.val() < self.segment_words.val());
        self.payload_length.d.next = bit_cast::<LENGTH_BITS, 16>(self.total.q.val() - self.segment_words.val());

        // Checks.
        self.behind.next = self.length.q.val() - self.ethernet.val();
        self.checked.d.next = self.ended.q.val();
        if self.ended.q.val() {
            self.checked_error.d.next = self.error.q.val();
            self.checked_length.d.next = self.length.q.val();
            self.checked_header_bad.d.next = self.ipv4.q.val()
                & (!self.behind.val().any()
                    | (self.version4.q.val()
                        & ((self.behind.val() < 20) | self.header_bad.q.val() | (self.end.q.val() > bit_cast::<17, LENGTH_BITS>(self.length.q.val())))));
            self.checked_header.d.next = self.ipv4.q.val() & self.version4.q.val();
            self.checked_segment.d.next =
                self.ipv4.q.val() & self.version4.q.val() & (self.header_words.q.val() == 5) & self.tcp.q.val() & !self.fragment.q.val();
            self.checked_segment_bad.d.next = self.segment_bad.q.val();
        }

        // Verdict: the sums of all bytes of a good header or segment are 0xffff.
        self.header_good.next = (self.header_total.val() == 0xffff) | !self.checked_header.q.val();
        self.segment_good.next = (self.segment_total.val() == 0xffff) | !self.checked_segment.q.val();
        self.judged.d.next = self.checked.q.val();
        if self.checked.q.val() {
            self.judgement.d.next.good = !self.checked_error.q.val()
                & !self.checked_header_bad.q.val()
                & self.header_good.val()
                & !(self.checked_segment.q.val() & self.checked_segment_bad.q.val())
                & self.segment_good.val();
            self.judgement.d.next.bad_ipv4_header = !self.checked_error.q.val() & self.checked_header_bad.q.val();
            self.judgement.d.next.bad_ipv4_checksum = !self.checked_error.q.val() & !self.checked_header_bad.q.val() & !self.header_good.val();
            self.judgement.d.next.bad_tcp_header = !self.checked_error.q.val()
                & !self.checked_header_bad.q.val()
                & self.header_good.val()
                & self.checked_segment.q.val()
                & self.checked_segment_bad.q.val();
            self.judgement.d.next.bad_tcp_checksum = !self.checked_error.q.val()
                & !self.checked_header_bad.q.val()
                & self.header_good.val()
                & !self.checked_segment_bad.q.val()
                & !self.segment_good.val();
            // A frame with an error can be one beat long, and must not touch what the one before it has left here.
            if !self.checked_error.q.val() {
                self.judged_fast.d.next = self.checked_segment.q.val();
                self.judged_length.d.next = self.checked_length.q.val();
            }
        }
        self.done.next = self.judged.q.val();
        self.verdict.next = self.judgement.q.val();
        self.parsed.next.start = 0.into();
        self.parsed.next.length = self.judged_length.q.val();
        self.parsed.next.fast = self.judged_fast.q.val();
        self.parsed.next.payload_offset = self.payload_offset.q.val();
        self.parsed.next.payload_length = self.payload_length.q.val();
        self.parsed.next.key =
            (bit_cast::<96, 32>(self.source.q.val()) << 64) | (bit_cast::<96, 32>(self.destination.q.val()) << 32) | bit_cast::<96, 32>(self.ports.q.val());
        self.parsed.next.seq = self.seq.q.val();
        self.parsed.next.ack = self.ack.q.val();
        self.parsed.next.control = self.control.q.val();
        self.parsed.next.window = self.window.q.val();
        self.parsed.next.ts_present = false;
        self.parsed.next.ts_val = 0.into();
        self.parsed.next.ts_ecr = 0.into();
        if self.reset.val() {
            self.word_valid.d.next = false;
            self.beats.d.next = 0.into();
            self.ended.d.next = false;
            self.checked.d.next = false;
            self.judged.d.next = false;
        }
    }
}
