//! The hash of the flow table.

use crate::types::KEY_BITS;
use rust_hdl::prelude::*;

/// Toeplitz hash, as for receive-side scaling: `H` bits, at most 32, of a 4-tuple, three cycles of 32 bits each.
///
/// ```text
/// cycle   0      1      2      3
///         step 0 step 1 step 2 hash
/// ```
///
/// Bit `j` is the parity of the tuple and the secret from its bit `j` on, both taken highest bit first; it is the leading bit `j` of the 32 that receive-side
/// scaling would give. For two different tuples the chance that they agree in all `H` bits is `2^-H` over all secrets: who does not know the
/// secret, and does not see the hash, cannot choose tuples that collide.
#[derive(LogicBlock, Default)]
pub struct Toeplitz<const H: usize> {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// The 4-tuple; holds during the three steps.
    pub tuple: Signal<In, Bits<KEY_BITS>>,
    /// The secret.
    pub secret: Signal<In, Bits<128>>,
    /// Which 32 bits of the tuple, 0 for the highest.
    pub step: Signal<In, Bits<2>>,
    /// The step of the next cycle: what it takes of tuple and secret is put into registers now.
    pub next_step: Signal<In, Bits<2>>,
    /// Does the step; step 0 begins anew.
    pub advance: Signal<In, Bit>,
    /// The hash, after step 2.
    pub hash: Signal<Out, Bits<H>>,
    sum: DFF<Bits<H>>,
    chosen: DFF<Bits<32>>,
    reach: DFF<Bits<64>>,
    word: Signal<Local, Bits<32>>,
    so_far: Signal<Local, Bits<H>>,
    part: Signal<Local, Bits<H>>,
}

impl<const H: usize> Logic for Toeplitz<H> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, sum, chosen, reach);
        self.chosen.d.next = self.tuple.val().get_bits::<32>(32);
        self.reach.d.next = self.secret.val().get_bits::<64>(64);
        if self.next_step.val() == 1 {
            self.reach.d.next = self.secret.val().get_bits::<64>(32);
        }
        if self.next_step.val() == 2 {
            self.chosen.d.next = self.tuple.val().get_bits::<32>(0);
            self.reach.d.next = self.secret.val().get_bits::<64>(0);
        }
        self.word.next = self.chosen.q.val();
        self.so_far.next = self.sum.q.val();
        if self.step.val() == 0 {
            self.word.next = self.tuple.val().get_bits::<32>(64);
            self.so_far.next = 0.into();
        }
        self.part.next = 0.into();
        for j in 0..H {
            self.part.next = self.part.val().replace_bit(j, (self.reach.q.val().get_bits::<32>(32 - j) & self.word.val()).xor());
        }
        if self.advance.val() {
            self.sum.d.next = self.so_far.val() ^ self.part.val();
        }
        self.hash.next = self.sum.q.val();
    }
}
