//! The window that a segment announces (`docs/engine.md`, "Announce"), and whether CONSUMED asks for a window update.

use super::state::{FlowReceive, FlowRings};
use rust_hdl::prelude::*;

/// Computes the window field and the new right edge. Inputs stand still from cycle 3 on; outputs are right from cycle 9 on, `opens` from 6 on.
#[derive(LogicBlock, Default)]
pub struct Announce {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// The flow.
    pub rings: Signal<In, FlowRings>,
    /// The flow.
    pub receive: Signal<In, FlowReceive>,
    /// What the application has read: the flow's, or that of the command CONSUMED.
    pub consumed: Signal<In, Bits<32>>,
    /// The window field.
    pub window: Signal<Out, Bits<16>>,
    /// Furthest right edge announced, with this segment.
    pub rcv_adv: Signal<Out, Bits<32>>,
    /// The window can be opened so far that it is worth a segment of its own.
    pub opens: Signal<Out, Bit>,
    size: Signal<Local, Bits<32>>,
    limit: DFF<Bits<32>>,
    half: DFF<Bits<32>>,
    left: DFF<Bits<32>>,
    gain: DFF<Bits<32>>,
    wide: DFF<Bits<32>>,
    least: DFF<Bits<32>>,
    mask: DFF<Bits<32>>,
    low: DFF<Bit>,
    low_gap: Signal<Local, Bits<32>>,
    worth: Signal<Local, Bit>,
    open: DFF<Bit>,
    space: DFF<Bits<32>>,
    shifted: Signal<Local, Bits<32>>,
    scaled: DFF<Bits<16>>,
    over: DFF<Bit>,
    kept: DFF<Bits<32>>,
    field: DFF<Bits<16>>,
    reach: DFF<Bits<32>>,
    growth: Signal<Local, Bits<32>>,
    moves: DFF<Bit>,
    target: DFF<Bits<32>>,
}

impl Logic for Announce {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, limit, half, left, gain, wide, least, mask, low, open, space, scaled, over, kept, field, reach, moves, target);
        // Cycle 3.
        self.size.next = bits::<32>(1) << self.rings.val().receive_log2;
        self.limit.d.next = self.consumed.val() + self.size.val();
        self.half.d.next = self.size.val() >> 1;
        self.left.d.next = self.receive.val().rcv_adv - self.receive.val().rcv_nxt;
        self.mask.d.next = (bits::<32>(1) << self.rings.val().rcv_wscale) - 1;
        // Cycle 4.
        self.gain.d.next = self.limit.q.val() - self.receive.val().rcv_adv;
        self.wide.d.next = self.limit.q.val() - self.receive.val().rcv_nxt;
        self.least.d.next = self.half.q.val();
        if bit_cast::<32, 16>(self.rings.val().rcv_mss) < self.half.q.val() {
            self.least.d.next = bit_cast::<32, 16>(self.rings.val().rcv_mss);
        }
        self.low_gap.next = self.left.q.val() - self.half.q.val();
        self.low.d.next = self.low_gap.val().get_bit(31);
        // Cycle 5: receiver side silly window avoidance (RFC 9293 section 3.8.6.2.2).
        self.worth.next = !self.gain.q.val().get_bit(31) & (self.gain.q.val() >= self.least.q.val());
        self.open.d.next = self.worth.val() & self.low.q.val();
        self.space.d.next = self.left.q.val();
        if self.worth.val() {
            self.space.d.next = self.wide.q.val();
        }
        // Cycle 6: scale.
        self.shifted.next = self.space.q.val() >> self.rings.val().rcv_wscale;
        self.scaled.d.next = self.shifted.val().get_bits::<16>(0);
        self.over.d.next = ((self.space.q.val() >> 16) & !self.mask.q.val()).any();
        self.kept.d.next = self.space.q.val() & !self.mask.q.val();
        // Cycle 7.
        self.field.d.next = self.scaled.q.val();
        self.reach.d.next = self.kept.q.val();
        if self.over.q.val() {
            self.field.d.next = bits::<16>(0xffff);
            self.reach.d.next = bits::<32>(0xffff) << self.rings.val().rcv_wscale;
        }
        // Cycle 8: the edge never goes back.
        self.growth.next = self.reach.q.val() - self.left.q.val();
        self.moves.d.next = !self.growth.val().get_bit(31);
        self.target.d.next = self.receive.val().rcv_nxt + self.reach.q.val();

        self.window.next = self.field.q.val();
        self.rcv_adv.next = self.receive.val().rcv_adv;
        if self.moves.q.val() {
            self.rcv_adv.next = self.target.q.val();
        }
        self.opens.next = self.open.q.val();
    }
}
