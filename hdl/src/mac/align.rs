//! Received words to slots: frames that start in lane 4 are moved to lane 0.

use super::block_default;
use super::xgmii::{Column, Contents};
use rust_hdl::prelude::*;

/// What there is in eight octets, counted from a frame's Start.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Slot {
    /// The octets before the first control character; zeros from there.
    pub data: Bits<64>,
    /// No control character.
    pub full: Bit,
    /// Octets before the first control character, 0 to 7, if not `full`.
    pub count: Bits<3>,
    /// The first control character is Terminate.
    pub terminate: Bit,
    /// Start in lane 0: the slot before a frame's first octets.
    pub start: Bit,
    /// Start, six octets of preamble, SFD.
    pub preamble: Bit,
}

/// Puts two columns together so that a frame's Start is in lane 0. A slot comes two cycles after the word with its last column.
#[derive(LogicBlock)]
pub struct Align {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Synchronous.
    pub reset: Signal<In, Bit>,
    /// XGMII data, lane 0 lowest.
    pub rxd: Signal<In, Bits<64>>,
    /// XGMII control, a bit for each lane.
    pub rxc: Signal<In, Bits<8>>,
    /// Eight octets of a frame.
    pub slot: Signal<Out, Slot>,
    /// Ordered set for local fault in column 0, 1; one cycle after the word.
    pub local_set: Signal<Out, Bits<2>>,
    /// Ordered set for remote fault in column 0, 1; one cycle after the word.
    pub remote_set: Signal<Out, Bits<2>>,
    low: Column,
    high: Column,
    old_high: DFF<Contents>,
    upper_q: DFF<Bit>,
    slot_q: DFF<Slot>,
    upper: Signal<Local, Bit>,
    one: Signal<Local, Contents>,
    two: Signal<Local, Contents>,
    octets: Signal<Local, Bits<64>>,
    number: Signal<Local, Bits<3>>,
    found: Signal<Local, Slot>,
    none2: Constant<Bits<2>>,
    four3: Constant<Bits<3>>,
}
block_default!(Align {
    clock, reset, rxd, rxc, slot, local_set, remote_set, low, high, old_high, upper_q, slot_q, upper, one, two, octets, number, found,
}
    none2: Constant::new(bits(0)),
    four3: Constant::new(bits(4)),
);

impl Logic for Align {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, old_high, upper_q, slot_q);
        clock!(self, clock, low, high);
        self.low.d.next = self.rxd.val().get_bits::<32>(0);
        self.low.c.next = self.rxc.val().get_bits::<4>(0);
        self.high.d.next = self.rxd.val().get_bits::<32>(32);
        self.high.c.next = self.rxc.val().get_bits::<4>(4);
        self.old_high.d.next = self.high.contents.val();
        // A Start in lane 0 holds for its own word, one in lane 4 from the next: what was before it is seen to its end.
        self.upper.next = self.upper_q.q.val() & !self.low.contents.val().start;
        self.upper_q.d.next = self.upper.val() | self.high.contents.val().start;
        self.one.next = self.low.contents.val();
        self.two.next = self.high.contents.val();
        if self.upper.val() {
            self.one.next = self.old_high.q.val();
            self.two.next = self.low.contents.val();
        }
        self.octets.next = bit_cast::<64, 32>(self.one.val().data);
        self.number.next = bit_cast::<3, 2>(self.one.val().count);
        self.found.next.terminate = self.one.val().terminate;
        if self.one.val().full {
            self.octets.next = bit_cast::<64, 32>(self.one.val().data) | (bit_cast::<64, 32>(self.two.val().data) << 32);
            self.number.next = bit_cast::<3, 2>(self.two.val().count) | self.four3.val();
            self.found.next.terminate = self.two.val().terminate;
        }
        self.found.next.data = self.octets.val();
        self.found.next.full = self.one.val().full & self.two.val().full;
        self.found.next.count = self.number.val();
        self.found.next.start = self.one.val().start;
        self.found.next.preamble = self.one.val().preamble & self.two.val().sfd;
        self.slot_q.d.next = self.found.val();
        self.slot.next = self.slot_q.q.val();
        self.local_set.next = self.none2.val();
        self.local_set.next = self.local_set.val().replace_bit(0, self.low.local_fault.val());
        self.local_set.next = self.local_set.val().replace_bit(1, self.high.local_fault.val());
        self.remote_set.next = self.none2.val();
        self.remote_set.next = self.remote_set.val().replace_bit(0, self.low.remote_fault.val());
        self.remote_set.next = self.remote_set.val().replace_bit(1, self.high.remote_fault.val());
        if self.reset.val() {
            self.upper_q.d.next = false;
            self.slot_q.d.next.start = false;
        }
    }
}
