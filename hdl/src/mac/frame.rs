//! Slots to frames: where a frame ends, what was wrong with it, and its octets without the FCS.

use super::align::Slot;
use super::block_default;
use crate::stream::StreamTx;
use rust_hdl::prelude::*;

/// What a slot is to its frame.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Piece {
    /// Octets.
    pub data: Bits<64>,
    /// It has octets besides the FCS, or may have: they are a beat of the output.
    pub beat: Bit,
    /// The frame ends here. Without `beat`, the beat before was the last.
    pub end: Bit,
    /// With `end`: not by Terminate.
    pub broken: Bit,
    /// With `end`: beyond the longest frame.
    pub over: Bit,
    /// With `end`: below 64 octets.
    pub runt: Bit,
    /// Octets of the frame in the slot, if it ends here by Terminate.
    pub count: Bits<3>,
    /// Slots of the frame before this.
    pub words: Bits<11>,
}

/// Follows a frame from its Start to its end. The piece comes a cycle after the slot.
#[derive(LogicBlock)]
pub struct Follow {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Synchronous.
    pub reset: Signal<In, Bit>,
    /// Eight octets.
    pub slot: Signal<In, Slot>,
    /// Longest frame without FCS, in octets.
    pub max_frame: Signal<In, Bits<14>>,
    /// The slot belongs to a frame, or ends it.
    pub in_frame: Signal<Out, Bit>,
    /// What the slot before was.
    pub piece: Signal<Out, Piece>,
    /// Pulse: a Start without a good preamble and SFD.
    pub bad_preamble: Signal<Out, Bit>,
    limit: DFF<Bits<14>>,
    in_frame_q: DFF<Bit>,
    words: DFF<Bits<11>>,
    words_left: DFF<Bits<11>>,
    none_left: DFF<Bit>,
    piece_q: DFF<Piece>,
    bad_preamble_q: DFF<Bit>,
    active: Signal<Local, Bit>,
    over: Signal<Local, Bit>,
    tail: Signal<Local, Bit>,
    found: Signal<Local, Piece>,
    fcs_octets: Constant<Bits<14>>,
    four3: Constant<Bits<3>>,
    one11: Constant<Bits<11>>,
    zero11: Constant<Bits<11>>,
}
block_default!(Follow {
    clock, reset, slot, max_frame, in_frame, piece, bad_preamble, limit, in_frame_q, words, words_left, none_left, piece_q, bad_preamble_q,
    active, over, tail, found,
}
    fcs_octets: Constant::new(bits(4)),
    four3: Constant::new(bits(4)),
    one11: Constant::new(bits(1)),
    zero11: Constant::new(bits(0)),
);

impl Logic for Follow {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, limit, in_frame_q, words, words_left, none_left, piece_q, bad_preamble_q);
        // `words_left` whole words and `limit mod 8` octets may still come.
        self.limit.d.next = self.max_frame.val() + self.fcs_octets.val();
        self.active.next = self.in_frame_q.q.val() & !self.slot.val().start;
        self.over.next = self.active.val() & self.none_left.q.val() & (self.slot.val().full | (self.slot.val().count > self.limit.q.val().get_bits::<3>(0)));
        self.tail.next = self.slot.val().terminate & (self.slot.val().count > self.four3.val());
        self.found.next.data = self.slot.val().data;
        self.found.next.beat = self.active.val() & !self.over.val() & (self.slot.val().full | self.tail.val());
        self.found.next.end = self.in_frame_q.q.val() & (self.slot.val().start | !self.slot.val().full | self.over.val());
        self.found.next.broken = self.slot.val().start | (!self.slot.val().full & !self.slot.val().terminate);
        self.found.next.over = self.over.val();
        self.found.next.runt = !self.words.q.val().get_bits::<8>(3).any();
        self.found.next.count = self.slot.val().count;
        self.found.next.words = self.words.q.val();
        self.piece_q.d.next = self.found.val();
        self.bad_preamble_q.d.next = self.slot.val().start & !self.slot.val().preamble;

        self.in_frame_q.d.next = self.active.val() & self.slot.val().full & !self.over.val();
        self.words.d.next = self.words.q.val() + self.one11.val();
        self.words_left.d.next = self.words_left.q.val() - self.one11.val();
        self.none_left.d.next = self.words_left.q.val() == self.one11.val();
        if self.slot.val().start {
            self.in_frame_q.d.next = self.slot.val().preamble;
            self.words.d.next = self.zero11.val();
            self.words_left.d.next = self.limit.q.val().get_bits::<11>(3);
            self.none_left.d.next = !self.limit.q.val().get_bits::<11>(3).any();
        }
        self.in_frame.next = self.in_frame_q.q.val();
        self.piece.next = self.piece_q.q.val();
        self.bad_preamble.next = self.bad_preamble_q.q.val();
        if self.reset.val() {
            self.in_frame_q.d.next = false;
            self.found.next.beat = false;
            self.found.next.end = false;
            self.piece_q.d.next = self.found.val();
            self.bad_preamble_q.d.next = false;
        }
    }
}

/// Gives out frames' octets without the FCS, and one pulse for what became of each frame.
///
/// The last octets of a frame are in the slot of its Terminate if that has more than the FCS, else in the one before:
/// a beat is given out when the next slot has been judged.
#[derive(LogicBlock)]
pub struct Deliver {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Synchronous.
    pub reset: Signal<In, Bit>,
    /// From [`Follow`].
    pub piece: Signal<In, Piece>,
    /// The frame that ended with the piece before has the right FCS.
    pub fcs_good: Signal<In, Bit>,
    /// The frame of the piece before is for this station.
    pub accept: Signal<In, Bit>,
    /// Frames; `ready` is not looked at.
    pub m: StreamTx<64, 8>,
    /// Pulse: a frame without fault, for this station.
    pub frames: Signal<Out, Bit>,
    /// With `frames`: its octets, without FCS.
    pub bytes: Signal<Out, Bits<14>>,
    /// Pulse: a frame with a wrong FCS.
    pub bad_fcs: Signal<Out, Bit>,
    /// Pulse: a frame below 64 octets with FCS.
    pub runt: Signal<Out, Bit>,
    /// Pulse: a frame beyond the longest.
    pub oversize: Signal<Out, Bit>,
    /// Pulse: a frame that did not end with Terminate.
    pub broken: Signal<Out, Bit>,
    /// Pulse: a frame without fault, for another station.
    pub filtered: Signal<Out, Bit>,
    now: DFF<Piece>,
    bytes_now: DFF<Bits<14>>,
    old: DFF<Piece>,
    old_bad: DFF<Bit>,
    old_accept: DFF<Bit>,
    bytes_q: DFF<Bits<14>>,
    pulses: DFF<Bits<6>>,
    data_q: DFF<Bits<64>>,
    keep_q: DFF<Bits<8>>,
    last_q: DFF<Bit>,
    error_q: DFF<Bit>,
    valid_q: DFF<Bit>,
    faulty: Signal<Local, Bit>,
    bad: Signal<Local, Bit>,
    ends_next: Signal<Local, Bit>,
    verdict: Signal<Local, Bits<6>>,
    keep: Signal<Local, Bits<8>>,
    fcs_octets: Constant<Bits<14>>,
    number: [Constant<Bits<3>>; 4],
    no_pulse: Constant<Bits<6>>,
    all: Constant<Bits<8>>,
    first_1: Constant<Bits<8>>,
    first_4: Constant<Bits<8>>,
}
block_default!(Deliver {
    clock, reset, piece, fcs_good, accept, m, frames, bytes, bad_fcs, runt, oversize, broken, filtered, now, bytes_now, old, old_bad, old_accept,
    bytes_q, pulses, data_q, keep_q, last_q, error_q, valid_q, faulty, bad, ends_next, verdict, keep,
}
    fcs_octets: Constant::new(bits(4)),
    number: std::array::from_fn(|n| Constant::new((n as u64).to_bits())),
    no_pulse: Constant::new(bits(0)),
    all: Constant::new(bits(0xFF)),
    first_1: Constant::new(bits(0x01)),
    first_4: Constant::new(bits(0x0F)),
);

impl Logic for Deliver {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, now, bytes_now, old, old_bad, old_accept, bytes_q, pulses, data_q, keep_q, last_q, error_q, valid_q);
        self.now.d.next = self.piece.val();
        self.bytes_now.d.next = ((bit_cast::<14, 11>(self.piece.val().words) << 3) | bit_cast::<14, 3>(self.piece.val().count)) - self.fcs_octets.val();

        // The verdict on the frame that ends with `now`: one of six.
        self.faulty.next = self.now.q.val().broken | self.now.q.val().over | self.now.q.val().runt;
        self.bad.next = self.faulty.val() | !self.fcs_good.val();
        self.verdict.next = self.no_pulse.val();
        if self.now.q.val().end {
            self.verdict.next = self.verdict.val().replace_bit(0, !self.bad.val() & self.accept.val());
            self.verdict.next = self.verdict.val().replace_bit(1, !self.bad.val() & !self.accept.val());
            self.verdict.next = self.verdict.val().replace_bit(2, !self.faulty.val() & !self.fcs_good.val());
            self.verdict.next = self.verdict.val().replace_bit(3, self.now.q.val().broken);
            self.verdict.next = self.verdict.val().replace_bit(4, self.now.q.val().over & !self.now.q.val().broken);
            self.verdict.next = self.verdict.val().replace_bit(5, self.now.q.val().runt & !self.now.q.val().over & !self.now.q.val().broken);
        }
        self.pulses.d.next = self.verdict.val();
        self.bytes_q.d.next = self.bytes_now.q.val();
        self.old.d.next = self.now.q.val();
        self.old_bad.d.next = self.bad.val();
        self.old_accept.d.next = self.accept.val();

        // `old` goes out. It is the last beat if its frame ends with it, or with `now` and `now` has the FCS only.
        self.ends_next.next = self.now.q.val().end & !self.now.q.val().beat;
        self.keep.next = self.all.val();
        if self.old.q.val().end {
            self.keep.next = self.first_1.val();
            self.keep.next = self.keep.val().replace_bit(1, self.old.q.val().count.get_bit(1));
            self.keep.next = self.keep.val().replace_bit(2, self.old.q.val().count.get_bit(1) & self.old.q.val().count.get_bit(0));
        } else if self.ends_next.val() {
            self.keep.next = self.first_4.val();
            for n in 0..4 {
                self.keep.next = self.keep.val().replace_bit(n + 4, self.now.q.val().count > self.number[n].val());
            }
        }
        self.data_q.d.next = self.old.q.val().data;
        self.keep_q.d.next = self.keep.val();
        self.valid_q.d.next = self.old.q.val().beat & self.old_accept.q.val();
        self.last_q.d.next = self.old.q.val().end | self.ends_next.val();
        self.error_q.d.next = self.bad.val();
        if self.old.q.val().end {
            self.error_q.d.next = self.old_bad.q.val();
        }

        self.m.data.next = self.data_q.q.val();
        self.m.keep.next = self.keep_q.q.val();
        self.m.last.next = self.last_q.q.val();
        self.m.error.next = self.error_q.q.val();
        self.m.valid.next = self.valid_q.q.val();
        self.frames.next = self.pulses.q.val().get_bit(0);
        self.filtered.next = self.pulses.q.val().get_bit(1);
        self.bad_fcs.next = self.pulses.q.val().get_bit(2);
        self.broken.next = self.pulses.q.val().get_bit(3);
        self.oversize.next = self.pulses.q.val().get_bit(4);
        self.runt.next = self.pulses.q.val().get_bit(5);
        self.bytes.next = self.bytes_q.q.val();
        if self.reset.val() {
            self.now.d.next.beat = false;
            self.now.d.next.end = false;
            self.old.d.next.beat = false;
            self.old.d.next.end = false;
            self.pulses.d.next = self.no_pulse.val();
            self.valid_q.d.next = false;
        }
    }
}
