//! The frame check sequence (IEEE 802.3 clause 3.2.9): checked on the way in, made on the way out.
//!
//! Both take eight octets a cycle in the same way: the part of the new register that comes from the data is
//! made one cycle ahead, so that the loop from register to register is one exclusive-or of about 16 bits.
//! A frame's last word is short. The receiver fills it with zeros, and knows what those make of the residue.
//! The transmitter fills it with zeros too, and undoes them: a linear map for each number of zeros.

use super::block_default;
use super::crc;
use rust_hdl::prelude::*;

/// What the register holds after a frame and its own FCS, whatever the frame (the residue, bit-reversed).
const RESIDUE: u32 = 0xDEBB_20E3;

/// Checks the FCS of received frames, slot by slot. `good` tells of the slot that entered two cycles before.
#[derive(LogicBlock)]
pub struct FcsCheck {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Octets of the slot, zeros beyond the frame's end.
    pub data: Signal<In, Bits<64>>,
    /// The slot is all frame.
    pub full: Signal<In, Bit>,
    /// Octets of the frame in the slot, if not `full`.
    pub count: Signal<In, Bits<3>>,
    /// The slot is Start and preamble: the next is a frame's first.
    pub start: Signal<In, Bit>,
    /// The slot belongs to a frame.
    pub in_frame: Signal<In, Bit>,
    /// Two cycles after a frame's last slot: its FCS is right.
    pub good: Signal<Out, Bit>,
    part: DFF<Bits<32>>,
    start_1: DFF<Bit>,
    in_frame_1: DFF<Bit>,
    start_2: DFF<Bit>,
    register: DFF<Bits<32>>,
    product: Signal<Local, Bits<32>>,
    expected: Signal<Local, Bits<32>>,
    state: Signal<Local, Bits<32>>,
    after: Signal<Local, Bits<32>>,
    none: Constant<Bits<32>>,
    opening: Constant<Bits<32>>,
    number: [Constant<Bits<3>>; 8],
    residue: [Constant<Bits<32>>; 8],
    data_row: [Constant<Bits<64>>; 32],
    register_row: [Constant<Bits<32>>; 32],
}
block_default!(FcsCheck {
    clock, data, full, count, start, in_frame, good, part, start_1, in_frame_1, start_2, register, product, expected, state, after,
}
    none: Constant::new(bits(0)),
    opening: Constant::new(crc::zeros(crc::INITIAL, 8).to_bits()),
    number: std::array::from_fn(|n| Constant::new((n as u64).to_bits())),
    residue: std::array::from_fn(|n| Constant::new(crc::zeros(RESIDUE, 8 - n).to_bits())),
    data_row: crc::data_rows(),
    register_row: crc::register_rows(|r| crc::zeros(r, 8)),
);

impl Logic for FcsCheck {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, part, start_1, in_frame_1, start_2, register);
        // Slot to data part. A last slot has what its residue would be taken out, so that a good frame leaves zero.
        self.product.next = self.none.val();
        self.expected.next = self.none.val();
        if self.in_frame.val() {
            for k in 0..32 {
                self.product.next = self.product.val().replace_bit(k, (self.data.val() & self.data_row[k].val()).xor());
            }
            if !self.full.val() {
                for n in 0..8 {
                    if self.count.val() == self.number[n].val() {
                        self.expected.next = self.residue[n].val();
                    }
                }
            }
            self.part.d.next = self.product.val() ^ self.expected.val();
        }
        self.start_1.d.next = self.start.val();
        self.in_frame_1.d.next = self.in_frame.val();
        // Data part and register to register.
        self.state.next = self.register.q.val();
        self.after.next = self.none.val();
        if self.in_frame_1.q.val() {
            for k in 0..32 {
                self.after.next = self.after.val().replace_bit(k, (self.state.val() & self.register_row[k].val()).xor());
            }
            if self.start_2.q.val() {
                self.after.next = self.opening.val();
            }
            self.register.d.next = self.after.val() ^ self.part.q.val();
        }
        self.start_2.d.next = self.start_1.q.val();
        self.good.next = !self.register.q.val().any();
    }
}

/// Makes the FCS of frames to be sent, word by word. Three cycles after a frame's last word `fcs` has it, turned so
/// that octet `i` of the FCS, which goes out in lane `l`, is octet `l mod 4` of `fcs`; it stays until the next.
#[derive(LogicBlock)]
pub struct FcsGenerate {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Eight octets of a frame. A last word of 1 to 4 octets has them in its upper half; zeros elsewhere.
    pub data: Signal<In, Bits<64>>,
    /// `data` is part of a frame.
    pub valid: Signal<In, Bit>,
    /// The frame's first word.
    pub first: Signal<In, Bit>,
    /// The frame's last word.
    pub tail: Signal<In, Bit>,
    /// With `tail`: 1 to 4 octets.
    pub half: Signal<In, Bit>,
    /// With `tail`: the number of octets modulo 4.
    pub count: Signal<In, Bits<2>>,
    /// The FCS, turned by `count` octets.
    pub fcs: Signal<Out, Bits<32>>,
    part: DFF<Bits<32>>,
    valid_1: DFF<Bit>,
    first_1: DFF<Bit>,
    tail_1: DFF<Bit>,
    short_1: DFF<Bit>,
    count_1: DFF<Bits<2>>,
    register: DFF<Bits<32>>,
    tail_2: DFF<Bit>,
    count_2: DFF<Bits<2>>,
    fcs_q: DFF<Bits<32>>,
    product: Signal<Local, Bits<32>>,
    state: Signal<Local, Bits<32>>,
    after: Signal<Local, Bits<32>>,
    turned: Signal<Local, Bits<32>>,
    none: Constant<Bits<32>>,
    opening: Constant<Bits<32>>,
    one2: Constant<Bits<2>>,
    two2: Constant<Bits<2>>,
    three2: Constant<Bits<2>>,
    data_row: [Constant<Bits<64>>; 32],
    register_row: [Constant<Bits<32>>; 32],
    short_row: [Constant<Bits<32>>; 32],
    turn_1_row: [Constant<Bits<32>>; 32],
    turn_2_row: [Constant<Bits<32>>; 32],
    turn_3_row: [Constant<Bits<32>>; 32],
}
block_default!(FcsGenerate {
    clock, data, valid, first, tail, half, count, fcs, part, valid_1, first_1, tail_1, short_1, count_1,
    register, tail_2, count_2, fcs_q, product, state, after, turned,
}
    none: Constant::new(bits(0)),
    opening: Constant::new(crc::zeros(crc::INITIAL, 8).to_bits()),
    one2: Constant::new(bits(1)),
    two2: Constant::new(bits(2)),
    three2: Constant::new(bits(3)),
    data_row: crc::data_rows(),
    register_row: crc::register_rows(|r| crc::zeros(r, 8)),
    short_row: crc::register_rows(|r| crc::zeros(r, 4)),
    turn_1_row: crc::register_rows(|r| undo_and_turn(r, 1)),
    turn_2_row: crc::register_rows(|r| undo_and_turn(r, 2)),
    turn_3_row: crc::register_rows(|r| undo_and_turn(r, 3)),
);

/// The register before the zeros that fill up `count` octets to a multiple of four, its octet 0 in lane `count`.
fn undo_and_turn(register: u32, count: u32) -> u32 {
    crc::undo_zeros(register, 4 - count as usize).rotate_left(8 * count)
}

impl Logic for FcsGenerate {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, part, valid_1, first_1, tail_1, short_1, count_1, register, tail_2, count_2, fcs_q);
        // Word to data part.
        self.product.next = self.none.val();
        if self.valid.val() {
            for k in 0..32 {
                self.product.next = self.product.val().replace_bit(k, (self.data.val() & self.data_row[k].val()).xor());
            }
            self.part.d.next = self.product.val();
        }
        self.valid_1.d.next = self.valid.val();
        self.first_1.d.next = self.first.val();
        self.tail_1.d.next = self.tail.val();
        self.short_1.d.next = self.half.val();
        self.count_1.d.next = self.count.val();
        // Data part and register to register; a short last word moves it on by four octets only.
        self.state.next = self.register.q.val();
        self.after.next = self.none.val();
        if self.valid_1.q.val() {
            if self.first_1.q.val() {
                self.after.next = self.opening.val();
            } else if self.short_1.q.val() {
                for k in 0..32 {
                    self.after.next = self.after.val().replace_bit(k, (self.state.val() & self.short_row[k].val()).xor());
                }
            } else {
                for k in 0..32 {
                    self.after.next = self.after.val().replace_bit(k, (self.state.val() & self.register_row[k].val()).xor());
                }
            }
            self.register.d.next = self.after.val() ^ self.part.q.val();
        }
        self.tail_2.d.next = self.tail_1.q.val();
        self.count_2.d.next = self.count_1.q.val();
        // Register to FCS: undo the zeros, put octet 0 in its lane, complement.
        self.turned.next = self.state.val();
        if self.tail_2.q.val() {
            if self.count_2.q.val() == self.one2.val() {
                for k in 0..32 {
                    self.turned.next = self.turned.val().replace_bit(k, (self.state.val() & self.turn_1_row[k].val()).xor());
                }
            } else if self.count_2.q.val() == self.two2.val() {
                for k in 0..32 {
                    self.turned.next = self.turned.val().replace_bit(k, (self.state.val() & self.turn_2_row[k].val()).xor());
                }
            } else if self.count_2.q.val() == self.three2.val() {
                for k in 0..32 {
                    self.turned.next = self.turned.val().replace_bit(k, (self.state.val() & self.turn_3_row[k].val()).xor());
                }
            }
            self.fcs_q.d.next = !self.turned.val();
        }
        self.fcs.next = self.fcs_q.q.val();
    }
}
