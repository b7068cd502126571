//! Link fault signalling: the receive side of IEEE 802.3 clause 46.3.4 (Figure 46-9).

use super::block_default;
use rust_hdl::prelude::*;

/// Four ordered sets of one kind, with fewer than 128 columns between each and the next and none of the
/// other kind among them, set the fault; 128 columns without any clear it. Takes two columns a cycle.
#[derive(LogicBlock)]
pub struct LinkFault {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Synchronous.
    pub reset: Signal<In, Bit>,
    /// The ordered set for local fault was in column 0 (lanes 0 to 3), column 1.
    pub local_set: Signal<In, Bits<2>>,
    /// The ordered set for remote fault was in column 0 (lanes 0 to 3), column 1.
    pub remote_set: Signal<In, Bits<2>>,
    /// `link_fault` is Local Fault.
    pub local_fault: Signal<Out, Bit>,
    /// `link_fault` is Remote Fault.
    pub remote_fault: Signal<Out, Bit>,
    sequences_q: DFF<Bits<3>>,
    is_remote_q: DFF<Bit>,
    columns_q: DFF<Bits<7>>,
    local_q: DFF<Bit>,
    remote_q: DFF<Bit>,
    sequences: Signal<Local, Bits<3>>,
    is_remote: Signal<Local, Bit>,
    columns: Signal<Local, Bits<7>>,
    local_now: Signal<Local, Bit>,
    remote_now: Signal<Local, Bit>,
    none3: Constant<Bits<3>>,
    one3: Constant<Bits<3>>,
    four3: Constant<Bits<3>>,
    none7: Constant<Bits<7>>,
    one7: Constant<Bits<7>>,
}
block_default!(LinkFault {
    clock, reset, local_set, remote_set, local_fault, remote_fault, sequences_q, is_remote_q, columns_q, local_q, remote_q,
    sequences, is_remote, columns, local_now, remote_now,
}
    none3: Constant::new(bits(0)),
    one3: Constant::new(bits(1)),
    four3: Constant::new(bits(4)),
    none7: Constant::new(bits(0)),
    one7: Constant::new(bits(1)),
);

impl Logic for LinkFault {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, sequences_q, is_remote_q, columns_q, local_q, remote_q);
        self.sequences.next = self.sequences_q.q.val();
        self.is_remote.next = self.is_remote_q.q.val();
        self.columns.next = self.columns_q.q.val();
        self.local_now.next = self.local_q.q.val();
        self.remote_now.next = self.remote_q.q.val();
        for n in 0..2 {
            if self.local_set.val().get_bit(n) | self.remote_set.val().get_bit(n) {
                if !self.sequences.val().any() | (self.is_remote.val() != self.remote_set.val().get_bit(n)) {
                    self.sequences.next = self.one3.val();
                } else if self.sequences.val() != self.four3.val() {
                    self.sequences.next = self.sequences.val() + self.one3.val();
                }
                self.is_remote.next = self.remote_set.val().get_bit(n);
                self.columns.next = self.none7.val();
                if self.sequences.val() == self.four3.val() {
                    self.local_now.next = !self.is_remote.val();
                    self.remote_now.next = self.is_remote.val();
                }
            } else {
                // The 128th column in a row without a sequence.
                if self.columns.val().all() {
                    self.sequences.next = self.none3.val();
                    self.local_now.next = false;
                    self.remote_now.next = false;
                }
                self.columns.next = self.columns.val() + self.one7.val();
            }
        }
        self.sequences_q.d.next = self.sequences.val();
        self.is_remote_q.d.next = self.is_remote.val();
        self.columns_q.d.next = self.columns.val();
        self.local_q.d.next = self.local_now.val();
        self.remote_q.d.next = self.remote_now.val();
        self.local_fault.next = self.local_q.q.val();
        self.remote_fault.next = self.remote_q.q.val();
        if self.reset.val() {
            self.sequences_q.d.next = self.none3.val();
            self.local_q.d.next = false;
            self.remote_q.d.next = false;
        }
    }
}
