//! Lanes of a beat.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use rust_hdl::prelude::*;

/// Makes a mask of bits out of a mask of bytes. No state.
#[derive(LogicBlock)]
pub struct LaneMask {
    /// A bit for each byte of a beat.
    pub lanes: Signal<In, Bits<8>>,
    /// Eight times each.
    pub mask: Signal<Out, Bits<64>>,
    lane: [Constant<Bits<64>>; 8],
}

impl Default for LaneMask {
    fn default() -> Self {
        let lane = std::array::from_fn(|n| Constant::new((0xff_u64 << (8 * n)).to_bits()));
        Self { lanes: Signal::default(), mask: Signal::default(), lane }
    }
}

impl Logic for LaneMask {
    #[hdl_gen]
    fn update(&mut self) {
        self.mask.next = 0.into();
        for n in 0..8 {
            if self.lanes.val().get_bit(n) {
                self.mask.next = self.mask.val() | self.lane[n].val();
            }
        }
    }
}
