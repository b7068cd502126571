//! Finds the timestamps option (RFC 7323 section 3.2) among a segment's TCP options.

use crate::ram::Ram;
use rust_hdl::prelude::*;

/// Walks the options word by word beside the stream, and holds what it found until `clear`.
///
/// TCP's options lie at byte 54, or 58 behind a tag: in both cases a beat from the eighth (number 7) on brings two words of them, one that
/// began with the beat before and one in its middle.
///
/// ```text
/// beat      6                7                8                9
/// byte      ... ... 54 55 | 56 57 58 .. 61 62 63 | 64 65 66 .. 69 70 71 | ...
/// no tag           [  word 0    ][ word 1 ][  word 2    ][ word 3 ][ ...
/// tag                           [ word 0 ][  word 1    ][ word 2 ][ ...
/// ```
///
/// All words are kept; the walk takes one each cycle, in three stages: out of the store, what its bytes could mean, the step. A step
/// knows where the first kind of this word is (`skip`), or that the last byte before it was a kind (`pend`), and goes through
/// all the options that begin in it. The search ends at a good timestamps option, an end-of-list, a length below 2
/// and the end of the options.
#[derive(LogicBlock, Default)]
pub struct Options {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Stops.
    pub reset: Signal<In, Bit>,
    /// A beat is here.
    pub valid: Signal<In, Bit>,
    /// Its data.
    pub data: Signal<In, Bits<64>>,
    /// Its number in the frame, 15 for all from 15 on.
    pub index: Signal<In, Bits<4>>,
    /// The frame has a tag.
    pub has_tag: Signal<In, Bit>,
    /// The frame is done with.
    pub clear: Signal<In, Bit>,
    /// The walk is not over.
    pub busy: Signal<Out, Bit>,
    /// The walk may take so long that no other frame may begin.
    pub hold: Signal<Out, Bit>,
    /// A timestamps option was found.
    pub present: Signal<Out, Bit>,
    /// TSval.
    pub ts_val: Signal<Out, Bits<32>>,
    /// TSecr.
    pub ts_ecr: Signal<Out, Bits<32>>,
    // The store.
    tail: DFF<Bits<16>>,
    across: Ram<Bits<32>, 3>,
    inside: Ram<Bits<32>, 3>,
    stored: DFF<Bits<4>>,
    words: DFF<Bits<4>>,
    // The walk.
    running: DFF<Bit>,
    plain: DFF<Bit>,
    at: DFF<Bits<4>>,
    left: DFF<Bits<4>>,
    half0: DFF<Bit>,
    valid0: DFF<Bit>,
    rest0: DFF<Bits<4>>,
    word1: DFF<Bits<32>>,
    valid1: DFF<Bit>,
    rest1: DFF<Bits<4>>,
    is0: DFF<Bits<4>>,
    is1: DFF<Bits<4>>,
    is2: DFF<Bits<4>>,
    is3: DFF<Bits<4>>,
    is4: DFF<Bits<4>>,
    is8: DFF<Bits<4>>,
    is10: DFF<Bits<4>>,
    skip: DFF<Bits<8>>,
    pend: DFF<Bit>,
    pend_ts: DFF<Bit>,
    found: DFF<Bit>,
    offset: DFF<Bits<2>>,
    second: DFF<Bit>,
    word2: DFF<Bits<32>>,
    word3: DFF<Bits<32>>,
    present_q: DFF<Bit>,
    ts: DFF<Bits<64>>,
    word_across: Signal<Local, Bits<32>>,
    word_inside: Signal<Local, Bits<32>>,
    first_word: Signal<Local, Bits<32>>,
    keep: Signal<Local, Bit>,
    place: Signal<Local, Bits<3>>,
    word: Signal<Local, Bits<32>>,
    could0: Signal<Local, Bits<4>>,
    could1: Signal<Local, Bits<4>>,
    could2: Signal<Local, Bits<4>>,
    could3: Signal<Local, Bits<4>>,
    could4: Signal<Local, Bits<4>>,
    could8: Signal<Local, Bits<4>>,
    could10: Signal<Local, Bits<4>>,
    take: Signal<Local, Bit>,
    kinds: Signal<Local, Bits<4>>,
    option: Signal<Local, Bits<4>>,
    ends: Signal<Local, Bit>,
    hit: Signal<Local, Bit>,
    window: Signal<Local, Bits<96>>,
    found_bytes: Signal<Local, Bits<64>>,
}

impl Logic for Options {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self, clock, tail, stored, words, running, plain, at, left, half0, valid0, rest0, word1, valid1, rest1, is0, is1, is2, is3, is4, is8, is10, skip,
            pend, pend_ts, found, offset, second, word2, word3, present_q, ts
        );
        clock!(self, clock, across, inside);
        // The store.
        self.word_across.next = bit_cast::<32, 16>(self.tail.q.val()) | (bit_cast::<32, 16>(self.data.val().get_bits::<16>(0)) << 16);
        self.word_inside.next = self.data.val().get_bits::<32>(16);
        if self.valid.val() {
            self.tail.d.next = self.data.val().get_bits::<16>(48);
        }
        self.keep.next = self.valid.val() & (self.index.val() > 6) & (self.index.val() < 13);
        self.place.next = bit_cast::<3, 4>(self.index.val()) + 1;
        self.across.write_enable.next = self.keep.val();
        self.across.write_address.next = self.place.val();
        self.across.write_data.next = self.word_across.val();
        self.inside.write_enable.next = self.keep.val();
        self.inside.write_address.next = self.place.val();
        self.inside.write_data.next = self.word_inside.val();
        if self.keep.val() {
            self.stored.d.next = (self.index.val() - 6) << 1;
        }

        // The walk, first stage: the next word.
        self.take.next = self.running.q.val() & self.left.q.val().any() & (self.at.q.val() < self.stored.q.val());
        self.across.read_enable.next = self.take.val();
        self.across.read_address.next = self.at.q.val().get_bits::<3>(1);
        self.inside.read_enable.next = self.take.val();
        self.inside.read_address.next = self.at.q.val().get_bits::<3>(1);
        self.half0.d.next = self.at.q.val().get_bit(0);
        self.valid0.d.next = self.take.val();
        self.rest0.d.next = self.left.q.val() - 1;
        if self.take.val() {
            self.at.d.next = self.at.q.val() + 1;
            self.left.d.next = self.left.q.val() - 1;
        }

        // Second stage: what each byte could be, as a kind or as a length.
        self.word.next = self.across.read_data.val();
        if self.half0.q.val() {
            self.word.next = self.inside.read_data.val();
        }
        self.word1.d.next = self.word.val();
        self.valid1.d.next = self.valid0.q.val();
        self.rest1.d.next = self.rest0.q.val();
        self.could0.next = bits::<4>(0);
        self.could1.next = bits::<4>(0);
        self.could2.next = bits::<4>(0);
        self.could3.next = bits::<4>(0);
        self.could4.next = bits::<4>(0);
        self.could8.next = bits::<4>(0);
        self.could10.next = bits::<4>(0);
        for k in 0..4 {
            self.could0.next = self.could0.val().replace_bit(k, self.word.val().get_bits::<8>(k * 8) == 0);
            self.could1.next = self.could1.val().replace_bit(k, self.word.val().get_bits::<8>(k * 8) == 1);
            self.could2.next = self.could2.val().replace_bit(k, self.word.val().get_bits::<8>(k * 8) == 2);
            self.could3.next = self.could3.val().replace_bit(k, self.word.val().get_bits::<8>(k * 8) == 3);
            self.could4.next = self.could4.val().replace_bit(k, self.word.val().get_bits::<8>(k * 8) == 4);
            self.could8.next = self.could8.val().replace_bit(k, self.word.val().get_bits::<8>(k * 8) == 8);
            self.could10.next = self.could10.val().replace_bit(k, self.word.val().get_bits::<8>(k * 8) == 10);
        }
        self.is0.d.next = self.could0.val();
        self.is1.d.next = self.could1.val();
        self.is2.d.next = self.could2.val();
        self.is3.d.next = self.could3.val();
        self.is4.d.next = self.could4.val();
        self.is8.d.next = self.could8.val();
        self.is10.d.next = self.could10.val();

        // Third stage: the step. `kinds` has the bytes that are kinds, `option` those of them that a length follows.
        self.kinds.next = bits::<4>(0);
        self.option.next = bits::<4>(0);
        self.kinds.next = self.kinds.val().replace_bit(0, !self.pend.q.val() & (self.skip.q.val() == 0));
        self.option.next = self.option.val().replace_bit(0, self.kinds.val().get_bit(0) & !self.is0.q.val().get_bit(0) & !self.is1.q.val().get_bit(0));
        self.kinds.next = self.kinds.val().replace_bit(
            1,
            (!self.pend.q.val() & (self.skip.q.val() == 1))
                | (self.kinds.val().get_bit(0) & self.is1.q.val().get_bit(0))
                | (self.pend.q.val() & self.is2.q.val().get_bit(0)),
        );
        self.option.next = self.option.val().replace_bit(1, self.kinds.val().get_bit(1) & !self.is0.q.val().get_bit(1) & !self.is1.q.val().get_bit(1));
        self.kinds.next = self.kinds.val().replace_bit(
            2,
            (!self.pend.q.val() & (self.skip.q.val() == 2))
                | (self.kinds.val().get_bit(1) & self.is1.q.val().get_bit(1))
                | (self.pend.q.val() & self.is3.q.val().get_bit(0))
                | (self.option.val().get_bit(0) & self.is2.q.val().get_bit(1)),
        );
        self.option.next = self.option.val().replace_bit(2, self.kinds.val().get_bit(2) & !self.is0.q.val().get_bit(2) & !self.is1.q.val().get_bit(2));
        self.kinds.next = self.kinds.val().replace_bit(
            3,
            (!self.pend.q.val() & (self.skip.q.val() == 3))
                | (self.kinds.val().get_bit(2) & self.is1.q.val().get_bit(2))
                | (self.pend.q.val() & self.is4.q.val().get_bit(0))
                | (self.option.val().get_bit(0) & self.is3.q.val().get_bit(1))
                | (self.option.val().get_bit(1) & self.is2.q.val().get_bit(2)),
        );
        self.option.next = self.option.val().replace_bit(3, self.kinds.val().get_bit(3) & !self.is0.q.val().get_bit(3) & !self.is1.q.val().get_bit(3));
        self.ends.next = (self.kinds.val() & self.is0.q.val()).any()
            | (self.pend.q.val() & (self.is0.q.val().get_bit(0) | self.is1.q.val().get_bit(0)))
            | (self.option.val().get_bit(0) & (self.is0.q.val().get_bit(1) | self.is1.q.val().get_bit(1)))
            | (self.option.val().get_bit(1) & (self.is0.q.val().get_bit(2) | self.is1.q.val().get_bit(2)))
            | (self.option.val().get_bit(2) & (self.is0.q.val().get_bit(3) | self.is1.q.val().get_bit(3)));
        self.hit.next = (self.pend.q.val() & self.pend_ts.q.val() & self.is10.q.val().get_bit(0))
            | (self.option.val().get_bit(0) & self.is8.q.val().get_bit(0) & self.is10.q.val().get_bit(1))
            | (self.option.val().get_bit(1) & self.is8.q.val().get_bit(1) & self.is10.q.val().get_bit(2))
            | (self.option.val().get_bit(2) & self.is8.q.val().get_bit(2) & self.is10.q.val().get_bit(3));
        if self.valid1.q.val() {
            self.word2.d.next = self.word1.q.val();
            self.word3.d.next = self.word2.q.val();
            self.pend.d.next = self.option.val().get_bit(3);
            self.pend_ts.d.next = self.is8.q.val().get_bit(3);
            self.skip.d.next = bits::<8>(0);
            if !self.pend.q.val() & self.skip.q.val().get_bits::<6>(2).any() {
                self.skip.d.next = self.skip.q.val() - 4;
            }
            if self.pend.q.val() & (self.word1.q.val().get_bits::<8>(0) > 4) {
                self.skip.d.next = self.word1.q.val().get_bits::<8>(0) - 5;
            }
            if self.option.val().get_bit(0) & (self.word1.q.val().get_bits::<8>(8) > 3) {
                self.skip.d.next = self.word1.q.val().get_bits::<8>(8) - 4;
            }
            if self.option.val().get_bit(1) & (self.word1.q.val().get_bits::<8>(16) > 2) {
                self.skip.d.next = self.word1.q.val().get_bits::<8>(16) - 3;
            }
            if self.option.val().get_bit(2) {
                self.skip.d.next = self.word1.q.val().get_bits::<8>(24) - 2;
            }
        }

        // Where the option's values begin, after the first byte of the word with its length.
        self.window.next =
            bit_cast::<96, 32>(self.word3.q.val()) | (bit_cast::<96, 32>(self.word2.q.val()) << 32) | (bit_cast::<96, 32>(self.word1.q.val()) << 64);
        self.found_bytes.next = self.window.val().get_bits::<64>(8);
        if self.offset.q.val() == 1 {
            self.found_bytes.next = self.window.val().get_bits::<64>(16);
        }
        if self.offset.q.val() == 2 {
            self.found_bytes.next = self.window.val().get_bits::<64>(24);
        }
        if self.offset.q.val() == 3 {
            self.found_bytes.next = self.window.val().get_bits::<64>(32);
        }
        if self.valid1.q.val() & self.running.q.val() {
            if self.found.q.val() {
                self.second.d.next = true;
                if self.second.q.val() {
                    self.ts.d.next = self.found_bytes.val();
                    self.present_q.d.next = true;
                    self.running.d.next = false;
                }
            } else {
                self.found.d.next = self.hit.val();
                // The values take up the next two words.
                if (self.ends.val() & !self.hit.val()) | (self.rest1.q.val() < 2) {
                    self.running.d.next = false;
                    self.found.d.next = false;
                }
            }
            if !self.found.q.val() {
                self.offset.d.next = bits::<2>(0);
                if self.option.val().get_bit(0) & self.is8.q.val().get_bit(0) & self.is10.q.val().get_bit(1) {
                    self.offset.d.next = bits::<2>(1);
                }
                if self.option.val().get_bit(1) & self.is8.q.val().get_bit(1) & self.is10.q.val().get_bit(2) {
                    self.offset.d.next = bits::<2>(2);
                }
                if self.option.val().get_bit(2) & self.is8.q.val().get_bit(2) & self.is10.q.val().get_bit(3) {
                    self.offset.d.next = bits::<2>(3);
                }
            }
        }
        self.busy.next = self.running.q.val();
        self.hold.next = self.running.q.val() & !self.plain.q.val() & (self.left.q.val() > 3);
        self.present.next = self.present_q.q.val();
        self.ts_val.next = (bit_cast::<32, 8>(self.ts.q.val().get_bits::<8>(0)) << 24)
            | (bit_cast::<32, 8>(self.ts.q.val().get_bits::<8>(8)) << 16)
            | (bit_cast::<32, 8>(self.ts.q.val().get_bits::<8>(16)) << 8)
            | bit_cast::<32, 8>(self.ts.q.val().get_bits::<8>(24));
        self.ts_ecr.next = (bit_cast::<32, 8>(self.ts.q.val().get_bits::<8>(32)) << 24)
            | (bit_cast::<32, 8>(self.ts.q.val().get_bits::<8>(40)) << 16)
            | (bit_cast::<32, 8>(self.ts.q.val().get_bits::<8>(48)) << 8)
            | bit_cast::<32, 8>(self.ts.q.val().get_bits::<8>(56));

        // How many words: the data offset is in byte 46, or 50 behind a tag.
        if self.valid.val() {
            if (self.index.val() == 5) & !self.has_tag.val() {
                self.words.d.next = self.data.val().get_bits::<4>(52) - 5;
                if self.data.val().get_bits::<4>(52) < 5 {
                    self.words.d.next = 0.into();
                }
            }
            if (self.index.val() == 6) & self.has_tag.val() {
                self.words.d.next = self.data.val().get_bits::<4>(20) - 5;
                if self.data.val().get_bits::<4>(20) < 5 {
                    self.words.d.next = 0.into();
                }
            }
        }
        self.first_word.next = self.word_across.val();
        if self.has_tag.val() {
            self.first_word.next = self.word_inside.val();
        }
        if self.clear.val() {
            self.running.d.next = false;
            self.present_q.d.next = false;
            self.valid0.d.next = false;
            self.valid1.d.next = false;
        }
        if self.valid.val() & (self.index.val() == 7) {
            self.running.d.next = self.words.q.val().any();
            self.left.d.next = self.words.q.val();
            self.at.d.next = bits::<4>(0);
            if self.has_tag.val() {
                self.at.d.next = bits::<4>(1);
            }
            self.skip.d.next = bits::<8>(0);
            self.pend.d.next = false;
            self.found.d.next = false;
            self.second.d.next = false;
            // The arrangements of RFC 7323 appendix A and of a lone option: found at the first word.
            self.plain.d.next = (self.words.q.val() > 2) & ((self.first_word.val() == 0x0a08_0101) | (self.first_word.val().get_bits::<16>(0) == 0x0a08));
        }
        if self.reset.val() {
            self.running.d.next = false;
            self.present_q.d.next = false;
            self.valid0.d.next = false;
            self.valid1.d.next = false;
        }
    }
}
