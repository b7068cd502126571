//! The address filter of the receiver.

use super::block_default;
use rust_hdl::prelude::*;

/// Takes frames to one's own address and to broadcast, and all multicast or all frames when told so.
/// `accept` tells of the frame whose first slot entered two cycles before or earlier.
#[derive(LogicBlock)]
pub struct AddressFilter {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Octets of the slot.
    pub data: Signal<In, Bits<64>>,
    /// The slot is Start and preamble: the next is a frame's first.
    pub start: Signal<In, Bit>,
    /// One's own address, its first octet on the wire lowest.
    pub local_mac: Signal<In, Bits<48>>,
    /// Take every frame.
    pub promiscuous: Signal<In, Bit>,
    /// Take all multicast frames.
    pub multicast: Signal<In, Bit>,
    /// The frame is taken.
    pub accept: Signal<Out, Bit>,
    own: DFF<Bits<6>>,
    broadcast: DFF<Bits<6>>,
    group: DFF<Bit>,
    start_1: DFF<Bit>,
    start_2: DFF<Bit>,
    accept_q: DFF<Bit>,
    same: Signal<Local, Bits<6>>,
    ones: Signal<Local, Bits<6>>,
    none: Constant<Bits<6>>,
}
block_default!(AddressFilter {
    clock, data, start, local_mac, promiscuous, multicast, accept, own, broadcast, group, start_1, start_2, accept_q, same, ones,
}
    none: Constant::new(bits(0)),
);

impl Logic for AddressFilter {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, own, broadcast, group, start_1, start_2, accept_q);
        self.same.next = self.none.val();
        self.ones.next = self.none.val();
        for n in 0..6 {
            self.same.next = self.same.val().replace_bit(n, self.data.val().get_bits::<8>(n * 8) == self.local_mac.val().get_bits::<8>(n * 8));
            self.ones.next = self.ones.val().replace_bit(n, self.data.val().get_bits::<8>(n * 8).all());
        }
        self.own.d.next = self.same.val();
        self.broadcast.d.next = self.ones.val();
        self.group.d.next = self.data.val().get_bit(0);
        self.start_1.d.next = self.start.val();
        self.start_2.d.next = self.start_1.q.val();
        if self.start_2.q.val() {
            self.accept_q.d.next = self.promiscuous.val() | self.own.q.val().all() | self.broadcast.q.val().all() | (self.multicast.val() & self.group.q.val());
        }
        self.accept.next = self.accept_q.q.val();
    }
}
