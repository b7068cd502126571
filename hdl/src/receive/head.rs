//! The first two stages of the parser: numbers the beats, finds the tag, cuts out what the two checksums cover.

use crate::stream::Beat;
use rust_hdl::prelude::*;

/// Numbers beats and masks them for the checksums, two cycles behind the stream.
///
/// ```text
/// cycle   0            1                       2
///         beat, take   early_*  (for options)  beat_out, lanes
/// ```
///
/// IPv4 begins at byte 14, or 18 behind an 802.1Q tag. The header's sum covers IHL words from there. The segment's sum covers the
/// addresses (bytes 12 to 19 of the header) and everything from byte 20 to the total length; the rest of the pseudo header (RFC 9293
/// section 3.1), protocol and length, is put in place of the first lane of beat 3, which never belongs to the segment. So
/// it is right for headers without options, and the others are not asked for it.
#[derive(LogicBlock, Default)]
pub struct Head {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Forgets the frame that is coming in.
    pub reset: Signal<In, Bit>,
    /// A beat of the stream.
    pub beat: Signal<In, Beat>,
    /// It is taken in this cycle.
    pub take: Signal<In, Bit>,
    /// Stage 0: a beat is here.
    pub early_valid: Signal<Out, Bit>,
    /// Stage 0: its data.
    pub early_data: Signal<Out, Bits<64>>,
    /// Stage 0: its number in the frame, 15 for all from 15 on.
    pub early_index: Signal<Out, Bits<4>>,
    /// Stage 0: the frame has a tag. From beat 2 on.
    pub early_tag: Signal<Out, Bit>,
    /// Stage 1: a beat is here.
    pub valid: Signal<Out, Bit>,
    /// Stage 1: the beat.
    pub beat_out: Signal<Out, Beat>,
    /// Stage 1: the frame's first.
    pub first: Signal<Out, Bit>,
    /// Stage 1: its number as if the tag were not there; both 0 and 1 are 0 then.
    pub slot: Signal<Out, Bits<4>>,
    /// Stage 1: the frame has a tag. From beat 1 on.
    pub has_tag: Signal<Out, Bit>,
    /// Stage 1: what belongs to the IPv4 header.
    pub header_lanes: Signal<Out, Bits<64>>,
    /// Stage 1: what belongs to the segment and its pseudo header.
    pub segment_lanes: Signal<Out, Bits<64>>,
    upcoming: DFF<Bits<4>>,
    valid0: DFF<Bit>,
    beat0: DFF<Beat>,
    index0: DFF<Bits<4>>,
    tag: DFF<Bit>,
    header_left: DFF<Bits<5>>,
    segment_left: DFF<Bits<16>>,
    segment_mask: DFF<Bits<8>>,
    pseudo: DFF<Bits<16>>,
    valid1: DFF<Bit>,
    beat1: DFF<Beat>,
    first1: DFF<Bit>,
    slot1: DFF<Bits<4>>,
    tagged1: DFF<Bit>,
    header1: DFF<Bits<64>>,
    segment1: DFF<Bits<64>>,
    data: Signal<Local, Bits<64>>,
    tag_now: Signal<Local, Bit>,
    total: Signal<Local, Bits<16>>,
    covered: Signal<Local, Bits<16>>,
    header_enable: Signal<Local, Bits<4>>,
    segment_enable: Signal<Local, Bits<8>>,
    header_bits: Signal<Local, Bits<64>>,
    segment_bits: Signal<Local, Bits<64>>,
    left_low: Signal<Local, Bits<3>>,
    left_mask: Signal<Local, Bits<8>>,
}

impl Logic for Head {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            upcoming,
            valid0,
            beat0,
            index0,
            tag,
            header_left,
            segment_left,
            segment_mask,
            pseudo,
            valid1,
            beat1,
            first1,
            slot1,
            tagged1,
            header1,
            segment1
        );
        // Stage 0: number the beats.
        self.valid0.d.next = self.take.val();
        self.beat0.d.next = self.beat.val();
        self.index0.d.next = self.upcoming.q.val();
        if self.take.val() {
            if self.beat.val().last {
                self.upcoming.d.next = 0.into();
            } else if !self.upcoming.q.val().all() {
                self.upcoming.d.next = self.upcoming.q.val() + 1;
            }
        }
        self.early_valid.next = self.valid0.q.val();
        self.early_data.next = self.beat0.q.val().data;
        self.early_index.next = self.index0.q.val();
        self.early_tag.next = self.tag.q.val();

        // What the beat in stage 0 says about those that follow.
        self.data.next = self.beat0.q.val().data;
        // 0x8100, as it lies in a beat.
        self.tag_now.next = self.data.val().get_bits::<16>(32) == 0x0081;
        if self.tag.q.val() {
            self.total.next = (bit_cast::<16, 8>(self.data.val().get_bits::<8>(32)) << 8) | bit_cast::<16, 8>(self.data.val().get_bits::<8>(40));
        } else {
            self.total.next = (bit_cast::<16, 8>(self.data.val().get_bits::<8>(0)) << 8) | bit_cast::<16, 8>(self.data.val().get_bits::<8>(8));
        }
        // Protocol 6 and the segment's length, total - 20, in one number.
        self.covered.next = self.total.val() - 14;
        self.left_low.next = self.segment_left.q.val().get_bits::<3>(0);
        self.left_mask.next = bits::<8>(0);
        self.left_mask.next = self.left_mask.val().replace_bit(0, self.left_low.val() > 0);
        self.left_mask.next = self.left_mask.val().replace_bit(1, self.left_low.val() > 1);
        self.left_mask.next = self.left_mask.val().replace_bit(2, self.left_low.val() > 2);
        self.left_mask.next = self.left_mask.val().replace_bit(3, self.left_low.val() > 3);
        self.left_mask.next = self.left_mask.val().replace_bit(4, self.left_low.val() > 4);
        self.left_mask.next = self.left_mask.val().replace_bit(5, self.left_low.val() > 5);
        self.left_mask.next = self.left_mask.val().replace_bit(6, self.left_low.val() > 6);
        if self.segment_left.q.val().get_bits::<13>(3).any() {
            self.left_mask.next = bits::<8>(0xff);
        }
        self.header_enable.next = 0.into();
        self.segment_enable.next = 0.into();
        self.slot1.d.next = self.index0.q.val();
        self.tagged1.d.next = self.tag.q.val();
        if self.tag.q.val() & self.index0.q.val().any() {
            self.slot1.d.next = self.index0.q.val() - 1;
        }
        if self.index0.q.val() == 1 {
            self.tagged1.d.next = self.tag_now.val();
            if self.tag_now.val() {
                self.slot1.d.next = 0.into();
            } else {
                self.slot1.d.next = 1.into();
                self.header_enable.next = bits::<4>(0b1000);
            }
        } else if self.index0.q.val() == 2 {
            self.header_enable.next = bits::<4>(0b1111);
            if self.tag.q.val() {
                self.header_enable.next = bits::<4>(0b1110);
            }
        } else if self.index0.q.val() == 3 {
            self.header_enable.next = bits::<4>(0b1111);
            self.segment_enable.next = bits::<8>(0xfc);
            if self.tag.q.val() {
                self.segment_enable.next = bits::<8>(0xc0);
            }
        } else if self.index0.q.val() != 0 {
            self.header_enable.next = self.header_enable.val().replace_bit(0, self.header_left.q.val() > 0);
            self.header_enable.next = self.header_enable.val().replace_bit(1, self.header_left.q.val() > 1);
            self.header_enable.next = self.header_enable.val().replace_bit(2, self.header_left.q.val() > 2);
            self.header_enable.next = self.header_enable.val().replace_bit(3, self.header_left.q.val() > 3);
            self.segment_enable.next = self.segment_mask.q.val();
        }
        if self.valid0.q.val() {
            if self.index0.q.val() == 1 {
                self.tag.d.next = self.tag_now.val();
                // Lanes of the header in beat 4 and behind: (14 + 4 IHL - 32) / 2.
                self.header_left.d.next = (bit_cast::<5, 4>(self.data.val().get_bits::<4>(48)) << 1) - 9;
            } else if self.index0.q.val() == 2 {
                self.pseudo.d.next = (self.covered.val() << 8) | (self.covered.val() >> 8);
                // Bytes of the datagram in beat 4 and behind: total + 14 - 32.
                self.segment_left.d.next = self.total.val() - 18;
                if self.tag.q.val() {
                    self.segment_left.d.next = self.total.val() - 14;
                    self.header_left.d.next = (bit_cast::<5, 4>(self.data.val().get_bits::<4>(16)) << 1) - 7;
                }
            } else {
                self.segment_mask.d.next = self.left_mask.val();
                if self.segment_left.q.val().get_bits::<13>(3).any() {
                    self.segment_left.d.next = self.segment_left.q.val() - 8;
                } else {
                    self.segment_left.d.next = 0.into();
                }
                if self.index0.q.val() != 3 {
                    if self.header_left.q.val() > 4 {
                        self.header_left.d.next = self.header_left.q.val() - 4;
                    } else {
                        self.header_left.d.next = 0.into();
                    }
                }
            }
        }

        // Stage 1: what counts.
        self.valid1.d.next = self.valid0.q.val();
        self.beat1.d.next = self.beat0.q.val();
        self.first1.d.next = !self.index0.q.val().any();
        self.header_bits.next = bits::<64>(0);
        self.segment_bits.next = bits::<64>(0);
        for k in 0..4 {
            for j in 0..16 {
                self.header_bits.next =
                    self.header_bits.val().replace_bit(k * 16 + j, self.header_enable.val().get_bit(k) & self.data.val().get_bit(k * 16 + j));
            }
        }
        for k in 0..8 {
            for j in 0..8 {
                self.segment_bits.next =
                    self.segment_bits.val().replace_bit(k * 8 + j, self.segment_enable.val().get_bit(k) & self.data.val().get_bit(k * 8 + j));
            }
        }
        self.header1.d.next = self.header_bits.val();
        self.segment1.d.next = self.segment_bits.val();
        if self.index0.q.val() == 3 {
            self.segment1.d.next = self.segment_bits.val() | bit_cast::<64, 16>(self.pseudo.q.val());
        }
        self.valid.next = self.valid1.q.val();
        self.beat_out.next = self.beat1.q.val();
        self.first.next = self.first1.q.val();
        self.slot.next = self.slot1.q.val();
        self.has_tag.next = self.tagged1.q.val();
        self.header_lanes.next = self.header1.q.val();
        self.segment_lanes.next = self.segment1.q.val();
        if self.reset.val() {
            self.upcoming.d.next = 0.into();
            self.valid0.d.next = false;
            self.valid1.d.next = false;
        }
    }
}
