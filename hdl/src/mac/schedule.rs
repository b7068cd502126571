//! When a frame starts, and what each slot of the transmitter carries.
//!
//! The mean gap between frames is 12 octets from Terminate to Start, though frames start in lanes 0 and 4 only: the deficit
//! idle count of IEEE 802.3 clause 46.3.1.4. A gap is cut by up to 3 octets, which the count remembers, and lengthened by
//! what brings the count back below 4. So a gap has 9 to 15 octets, and any number of them in a row
//! are at most 3 octets short of 12 each.
//!
//! `phase` is the lane (0 or 4) where the next frame may start, plus the count (0 to 3). A frame whose last word has n octets
//! moves it on by n modulo 8; a carry is one more slot to wait.

use super::block_default;
use super::xgmii::{lane_masks, PREAMBLE, REMOTE_FAULT};
use crate::stream::StreamRx;
use rust_hdl::prelude::*;

/// One slot of what is sent: eight octets counted from a frame's Start.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Token {
    /// Octets; zeros where there are none.
    pub data: Bits<64>,
    /// Start, preamble and SFD.
    pub start: Bit,
    /// Octets of a frame without FCS.
    pub body: Bit,
    /// The last of them.
    pub tail: Bit,
    /// With `tail`: how many, 1 to 8.
    pub count: Bits<4>,
    /// With `tail`: error characters go in the FCS's place.
    pub spoilt: Bit,
    /// Two ordered sets for remote fault.
    pub remote: Bit,
    /// The frame (or the last one) starts in lane 4.
    pub upper: Bit,
}

/// What `Schedule` does in a slot.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum Slots {
    /// Waits for a frame, or starts it.
    Idle,
    /// Sends a beat of the frame.
    Frame,
    /// Sends zeros, to make the frame 60 octets.
    Pad,
    /// The slot after a frame's last: rest of FCS, Terminate, idle.
    Gap,
    /// One more slot of idle.
    Wait,
}

/// Takes frames from the stream and gives out a token every cycle.
#[derive(LogicBlock)]
pub struct Schedule {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Synchronous.
    pub reset: Signal<In, Bit>,
    /// Frames without FCS.
    pub s: StreamRx<64, 8>,
    /// The link is in local fault: remote fault is sent, frames are thrown away.
    pub local_fault: Signal<In, Bit>,
    /// The link is in remote fault: idle is sent, frames are thrown away.
    pub remote_fault: Signal<In, Bit>,
    /// What goes out.
    pub token: Signal<Out, Token>,
    /// The token's octets for the FCS: a last word of 1 to 4 has them in its upper half.
    pub fcs_data: Signal<Out, Bits<64>>,
    /// The token has a frame's first octets.
    pub fcs_first: Signal<Out, Bit>,
    /// The token is a tail of 1 to 4 octets.
    pub fcs_short: Signal<Out, Bit>,
    /// Pulse: a frame was sent whole.
    pub frames: Signal<Out, Bit>,
    /// With `frames`: its octets, with padding, without FCS.
    pub bytes: Signal<Out, Bits<16>>,
    /// Pulse: a frame was cut off because no beat was there.
    pub underrun: Signal<Out, Bit>,
    /// Pulse: a frame with `error` was spoilt.
    pub aborted: Signal<Out, Bit>,
    /// Pulse: a frame was thrown away because of a link fault.
    pub link_down: Signal<Out, Bit>,
    state: DFF<Slots>,
    phase: DFF<Bits<3>>,
    count: DFF<Bits<4>>,
    index: DFF<Bits<4>>,
    words: DFF<Bits<13>>,
    drain: DFF<Bit>,
    starved: DFF<Bit>,
    given_up: DFF<Bit>,
    fault: DFF<Bit>,
    answer: DFF<Bit>,
    mute: DFF<Bit>,
    token_q: DFF<Token>,
    fcs_data_q: DFF<Bits<64>>,
    fcs_first_q: DFF<Bit>,
    fcs_short_q: DFF<Bit>,
    done: DFF<Bit>,
    done_muted: DFF<Bit>,
    pulses: DFF<Bits<4>>,
    bytes_q: DFF<Bits<16>>,
    octets: Signal<Local, Bits<64>>,
    kept: Signal<Local, Bits<64>>,
    number: Signal<Local, Bits<4>>,
    early: Signal<Local, Bit>,
    eighth: Signal<Local, Bit>,
    ended: Signal<Local, Bit>,
    last_number: Signal<Local, Bits<4>>,
    short: Signal<Local, Bit>,
    sum: Signal<Local, Bits<4>>,
    word: Signal<Local, Token>,
    fcs_word: Signal<Local, Bits<64>>,
    over: Signal<Local, Bit>,
    pulse: Signal<Local, Bits<4>>,
    none64: Constant<Bits<64>>,
    lane: [Constant<Bits<64>>; 8],
    preamble: Constant<Bits<64>>,
    remote_fault_word: Constant<Bits<64>>,
    zero3: Constant<Bits<3>>,
    zero4: Constant<Bits<4>>,
    one4: Constant<Bits<4>>,
    four4: Constant<Bits<4>>,
    seven4: Constant<Bits<4>>,
    eight4: Constant<Bits<4>>,
    before_first: Constant<Bits<13>>,
    one13: Constant<Bits<13>>,
}
block_default!(Schedule {
    clock, reset, s, local_fault, remote_fault, token, fcs_data, fcs_first, fcs_short, frames, bytes, underrun, aborted, link_down, state, phase,
    count, index, words, drain, starved, given_up, fault, answer, mute, token_q, fcs_data_q, fcs_first_q, fcs_short_q, done, done_muted, pulses,
    bytes_q, octets, kept, number, early, eighth, ended, last_number, short, sum, word, fcs_word, over, pulse,
}
    none64: Constant::new(bits(0)),
    lane: lane_masks(0xFF),
    preamble: Constant::new(PREAMBLE.to_bits()),
    remote_fault_word: Constant::new((u64::from(REMOTE_FAULT) << 32 | u64::from(REMOTE_FAULT)).to_bits()),
    zero3: Constant::new(bits(0)),
    zero4: Constant::new(bits(0)),
    one4: Constant::new(bits(1)),
    four4: Constant::new(bits(4)),
    seven4: Constant::new(bits(7)),
    eight4: Constant::new(bits(8)),
    before_first: Constant::new(bits(0x1FFF)),
    one13: Constant::new(bits(1)),
);

impl Logic for Schedule {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, state, phase, count, index, words, drain, starved, given_up, fault, answer, mute);
        dff_setup!(self, clock, token_q, fcs_data_q, fcs_first_q, fcs_short_q, done, done_muted, pulses, bytes_q);
        // The beat at the input, and how many octets it has.
        self.kept.next = self.none64.val();
        for n in 0..8 {
            if self.s.keep.val().get_bit(n) & self.s.valid.val() & !self.mute.q.val() {
                self.kept.next = self.kept.val() | self.lane[n].val();
            }
        }
        self.octets.next = self.s.data.val() & self.kept.val();
        self.number.next = self.zero4.val();
        self.number.next = self.number.val().replace_bit(
            0,
            (self.s.keep.val().get_bit(0) & !self.s.keep.val().get_bit(1))
                | (self.s.keep.val().get_bit(2) & !self.s.keep.val().get_bit(3))
                | (self.s.keep.val().get_bit(4) & !self.s.keep.val().get_bit(5))
                | (self.s.keep.val().get_bit(6) & !self.s.keep.val().get_bit(7)),
        );
        self.number.next = self
            .number
            .val()
            .replace_bit(1, (self.s.keep.val().get_bit(1) & !self.s.keep.val().get_bit(3)) | (self.s.keep.val().get_bit(5) & !self.s.keep.val().get_bit(7)));
        self.number.next = self.number.val().replace_bit(2, self.s.keep.val().get_bit(3) & !self.s.keep.val().get_bit(7));
        self.number.next = self.number.val().replace_bit(3, self.s.keep.val().get_bit(7));
        // `index` counts words up to 8. Without a beat the frame ends here, with eight octets of zeros.
        self.early.next = self.index.q.val() < self.seven4.val();
        self.eighth.next = self.index.q.val() == self.seven4.val();
        self.ended.next = !self.s.valid.val() | self.s.last.val();
        self.last_number.next = self.number.val();
        if self.eighth.val() & !self.s.keep.val().get_bit(3) {
            self.last_number.next = self.four4.val();
        }
        if !self.s.valid.val() {
            self.last_number.next = self.eight4.val();
        }

        self.word.next.data = self.none64.val();
        self.word.next.start = false;
        self.word.next.body = false;
        self.word.next.tail = false;
        self.word.next.count = self.last_number.val();
        self.word.next.spoilt = false;
        self.word.next.remote = false;
        self.word.next.upper = self.token_q.q.val().upper;
        self.short.next = false;
        self.over.next = false;
        self.sum.next = bit_cast::<4, 3>(self.phase.q.val()) + self.count.q.val();
        self.s.ready.next = self.drain.q.val();
        if self.drain.q.val() & self.s.valid.val() & self.s.last.val() {
            self.drain.d.next = false;
        }
        self.mute.d.next = self.mute.q.val() | self.fault.q.val();
        match self.state.q.val() {
            Slots::Idle => {
                // Back to sending between frames only: one slot without.
                self.mute.d.next = self.fault.q.val();
                self.index.d.next = self.zero4.val();
                self.words.d.next = self.before_first.val();
                // A frame that comes later than it might have starts in lane 0, and no deficit is left.
                self.phase.d.next = self.zero3.val();
                if self.s.valid.val() & !self.drain.q.val() & (!self.mute.q.val() | self.fault.q.val()) {
                    self.phase.d.next = self.phase.q.val();
                    self.word.next.start = true;
                    self.word.next.data = self.preamble.val();
                    self.word.next.upper = self.phase.q.val().get_bit(2);
                    self.state.d.next = Slots::Frame;
                }
            }
            Slots::Frame => {
                self.s.ready.next = true;
                self.word.next.body = true;
                self.word.next.data = self.octets.val();
                if self.ended.val() {
                    self.starved.d.next = !self.s.valid.val();
                    self.given_up.d.next = self.s.valid.val() & self.s.error.val();
                    self.drain.d.next = !self.s.valid.val();
                    self.word.next.spoilt = !self.s.valid.val() | self.s.error.val();
                    self.state.d.next = Slots::Pad;
                    if !self.early.val() {
                        self.over.next = true;
                        self.short.next = self.s.valid.val() & !self.s.keep.val().get_bit(4);
                    }
                }
            }
            Slots::Pad => {
                self.word.next.body = true;
                self.word.next.count = self.four4.val();
                self.word.next.spoilt = self.starved.q.val() | self.given_up.q.val();
                self.over.next = self.eighth.val();
                self.short.next = self.eighth.val();
            }
            Slots::Gap => {
                self.phase.d.next = self.sum.val().get_bits::<3>(0);
                self.state.d.next = Slots::Idle;
                if self.sum.val().get_bit(3) {
                    self.state.d.next = Slots::Wait;
                }
            }
            Slots::Wait => {
                self.state.d.next = Slots::Idle;
            }
        }
        if self.word.val().body {
            self.words.d.next = self.words.q.val() + self.one13.val();
            if self.index.q.val() != self.eight4.val() {
                self.index.d.next = self.index.q.val() + self.one4.val();
            }
        }
        self.done.d.next = self.over.val();
        self.done_muted.d.next = self.mute.q.val();
        if self.over.val() {
            self.word.next.tail = true;
            self.count.d.next = self.word.val().count;
            self.state.d.next = Slots::Gap;
        }
        // While the link has a fault, and to the end of the frame that was then begun, nothing of a frame goes out.
        if self.mute.q.val() {
            self.word.next.start = false;
            self.word.next.body = false;
            self.word.next.tail = false;
            self.word.next.data = self.none64.val();
            if self.answer.q.val() & !self.token_q.q.val().tail {
                self.word.next.data = self.remote_fault_word.val();
                self.word.next.remote = true;
            }
        }
        self.fault.d.next = self.local_fault.val() | self.remote_fault.val();
        self.answer.d.next = self.local_fault.val();
        self.token_q.d.next = self.word.val();
        self.token.next = self.token_q.q.val();
        self.fcs_word.next = self.octets.val();
        if self.short.val() {
            self.fcs_word.next = self.octets.val() << 32;
        }
        if self.state.q.val() == Slots::Pad {
            self.fcs_word.next = self.none64.val();
        }
        self.fcs_data_q.d.next = self.fcs_word.val();
        self.fcs_first_q.d.next = !self.index.q.val().any();
        self.fcs_short_q.d.next = self.short.val();
        self.fcs_data.next = self.fcs_data_q.q.val();
        self.fcs_first.next = self.fcs_first_q.q.val();
        self.fcs_short.next = self.fcs_short_q.q.val();

        self.pulse.next = self.zero4.val();
        if self.done.q.val() {
            self.pulse.next = self.pulse.val().replace_bit(0, !self.done_muted.q.val() & !self.starved.q.val() & !self.given_up.q.val());
            self.pulse.next = self.pulse.val().replace_bit(1, !self.done_muted.q.val() & self.starved.q.val());
            self.pulse.next = self.pulse.val().replace_bit(2, !self.done_muted.q.val() & self.given_up.q.val());
            self.pulse.next = self.pulse.val().replace_bit(3, self.done_muted.q.val());
        }
        self.pulses.d.next = self.pulse.val();
        self.bytes_q.d.next = (bit_cast::<16, 13>(self.words.q.val()) << 3) + bit_cast::<16, 4>(self.count.q.val());
        self.frames.next = self.pulses.q.val().get_bit(0);
        self.underrun.next = self.pulses.q.val().get_bit(1);
        self.aborted.next = self.pulses.q.val().get_bit(2);
        self.link_down.next = self.pulses.q.val().get_bit(3);
        self.bytes.next = self.bytes_q.q.val();
        if self.reset.val() {
            self.state.d.next = Slots::Idle;
            self.phase.d.next = self.zero3.val();
            self.drain.d.next = false;
            self.mute.d.next = false;
            self.fault.d.next = false;
            self.done.d.next = false;
            self.pulses.d.next = self.zero4.val();
            self.token_q.d.next.start = false;
            self.token_q.d.next.body = false;
            self.token_q.d.next.tail = false;
            self.token_q.d.next.remote = false;
            self.token_q.d.next.data = self.none64.val();
        }
    }
}
