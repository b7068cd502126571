//! The Internet checksum's sum (RFC 1071), eight bytes a cycle.

use rust_hdl::prelude::*;

/// Sums 16-bit lanes of beats in one's complement.
///
/// ```text
/// cycle   0              1               2                3
///         lanes, valid   sum of 4 lanes  sum since first  total
/// ```
///
/// The lanes are as they lie in a beat (first byte low); swapping the bytes of every word swaps those of the sum (RFC 1071
/// section 2 (B)), so a sum that ought to be `0xffff` is so either way. Bytes that do not count are zero.
#[derive(LogicBlock, Default)]
pub struct OnesSum {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// What is summed, zero where it does not count.
    pub lanes: Signal<In, Bits<64>>,
    /// `lanes` counts.
    pub valid: Signal<In, Bit>,
    /// With `valid`: a new sum begins with this beat.
    pub first: Signal<In, Bit>,
    /// Three cycles later: the sum up to that beat, at most 16 KiB of it, folded once: below `0x1_2000`, and congruent to it
    /// modulo `0xffff`. It is 0 only if all bytes were.
    pub total: Signal<Out, Bits<17>>,
    four: DFF<Bits<18>>,
    four_valid: DFF<Bit>,
    four_first: DFF<Bit>,
    sum: DFF<Bits<29>>,
    folded: DFF<Bits<17>>,
    low: Signal<Local, Bits<17>>,
    high: Signal<Local, Bits<17>>,
    so_far: Signal<Local, Bits<29>>,
}

impl Logic for OnesSum {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, four, four_valid, four_first, sum, folded);
        self.low.next = bit_cast::<17, 16>(self.lanes.val().get_bits::<16>(0)) + bit_cast::<17, 16>(self.lanes.val().get_bits::<16>(16));
        self.high.next = bit_cast::<17, 16>(self.lanes.val().get_bits::<16>(32)) + bit_cast::<17, 16>(self.lanes.val().get_bits::<16>(48));
        self.four.d.next = bit_cast::<18, 17>(self.low.val()) + bit_cast::<18, 17>(self.high.val());
        self.four_valid.d.next = self.valid.val();
        self.four_first.d.next = self.first.val();
        self.so_far.next = self.sum.q.val();
        if self.four_first.q.val() {
            self.so_far.next = 0.into();
        }
        if self.four_valid.q.val() {
            self.sum.d.next = self.so_far.val() + bit_cast::<29, 18>(self.four.q.val());
        }
        self.folded.d.next = bit_cast::<17, 16>(self.sum.q.val().get_bits::<16>(0)) + bit_cast::<17, 13>(self.sum.q.val().get_bits::<13>(16));
        self.total.next = self.folded.q.val();
    }
}
