//! PLAN: which bytes the flow sends next.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::state::{FlowRings, FlowTransmit};
use crate::types::LENGTH_BITS;
use rust_hdl::prelude::*;

/// The segment chosen.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Plan {
    /// There is one.
    pub send: Bit,
    /// It is the single segment to be resent; SND.NXT stays.
    pub one: Bit,
    /// FIN follows the payload.
    pub fin: Bit,
    /// PSH.
    pub psh: Bit,
    /// It begins below SND.MAX.
    pub resent: Bit,
    /// It ends beyond SND.MAX.
    pub beyond: Bit,
    /// More is left to be sent.
    pub pending: Bit,
    /// SEG.SEQ.
    pub seq: Bits<32>,
    /// Sequence number after it.
    pub after: Bits<32>,
    /// Bytes of payload.
    pub length: Bits<LENGTH_BITS>,
}

/// Chooses the next segment of a flow. Inputs stand still from cycle 3 on; outputs are right from cycle 9 on.
///
/// `U`, `D`, `n` and `f` of `docs/engine.md` are `usable`, `data`, `count` and `fin`.
#[derive(LogicBlock, Default)]
pub struct Schedule {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// The flow.
    pub rings: Signal<In, FlowRings>,
    /// The flow.
    pub transmit: Signal<In, FlowTransmit>,
    /// There is a segment to send: right from cycle 8 on.
    pub sends: Signal<Out, Bit>,
    /// The decision.
    pub plan: Signal<Out, Plan>,
    una_one: DFF<Bits<32>>,
    una_nxt: DFF<Bits<32>>,
    limit_one: DFF<Bits<32>>,
    limit_nxt: DFF<Bits<32>>,
    window: DFF<Bits<32>>,
    goal: DFF<Bits<32>>,
    seq: DFF<Bits<32>>,
    usable_raw: DFF<Bits<32>>,
    data_raw: DFF<Bits<32>>,
    ahead: DFF<Bits<32>>,
    seq_next: DFF<Bits<32>>,
    nagle: DFF<Bit>,
    at_goal: DFF<Bit>,
    usable: DFF<Bits<32>>,
    data: DFF<Bits<32>>,
    behind_limit: DFF<Bit>,
    resent: DFF<Bit>,
    past: DFF<Bit>,
    mss: Signal<Local, Bits<32>>,
    full_data: DFF<Bit>,
    full_window: DFF<Bit>,
    data_is_mss: DFF<Bit>,
    fits: DFF<Bit>,
    room_after: DFF<Bit>,
    some_data: DFF<Bit>,
    some_usable: DFF<Bit>,
    half_data: DFF<Bit>,
    half_usable: DFF<Bit>,
    full: Signal<Local, Bit>,
    whole: Signal<Local, Bit>,
    some: Signal<Local, Bit>,
    fin: Signal<Local, Bit>,
    half: Signal<Local, Bit>,
    length: Signal<Local, Bits<LENGTH_BITS>>,
    stage: DFF<Plan>,
    count: Signal<Local, Bits<32>>,
    base: Signal<Local, Bits<32>>,
    base_after: Signal<Local, Bits<32>>,
    half_wnd: DFF<Bits<32>>,
    ready: DFF<Plan>,
}

impl Logic for Schedule {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            una_one,
            una_nxt,
            limit_one,
            limit_nxt,
            window,
            goal,
            seq,
            usable_raw,
            data_raw,
            ahead,
            seq_next,
            nagle,
            at_goal,
            usable,
            data,
            behind_limit,
            resent,
            past,
            full_data,
            full_window,
            data_is_mss,
            fits,
            room_after,
            some_data,
            some_usable,
            half_data,
            half_usable,
            half_wnd,
            stage,
            ready
        );
        self.mss.next = bit_cast::<32, 16>(self.rings.val().snd_mss);
        // Cycle 3: from where, and how far the windows reach.
        self.una_one.d.next = self.transmit.val().snd_una - self.transmit.val().one_seq;
        self.una_nxt.d.next = self.transmit.val().snd_una - self.transmit.val().snd_nxt;
        self.limit_one.d.next = self.transmit.val().limit - self.transmit.val().one_seq;
        self.limit_nxt.d.next = self.transmit.val().limit - self.transmit.val().snd_nxt;
        self.goal.d.next = self.transmit.val().limit + bit_cast::<32, 1>(self.transmit.val().fin_queued.into());
        self.window.d.next = self.transmit.val().snd_wnd;
        if !self.transmit.val().one_pending & (self.transmit.val().cwnd < self.transmit.val().snd_wnd) {
            self.window.d.next = self.transmit.val().cwnd;
        }
        self.seq.d.next = self.transmit.val().snd_nxt;
        if self.transmit.val().one_pending {
            self.seq.d.next = self.transmit.val().one_seq;
        }
        self.half_wnd.d.next = (self.transmit.val().max_wnd >> 1) + bit_cast::<32, 1>(self.transmit.val().max_wnd.get_bits::<1>(0));
        // Cycle 4.
        self.base.next = self.una_nxt.q.val();
        self.data_raw.d.next = self.limit_nxt.q.val();
        if self.transmit.val().one_pending {
            self.base.next = self.una_one.q.val();
            self.data_raw.d.next = self.limit_one.q.val();
        }
        self.usable_raw.d.next = self.base.val() + self.window.q.val();
        self.ahead.d.next = self.transmit.val().snd_max - self.seq.q.val();
        self.seq_next.d.next = self.seq.q.val() + 1;
        self.nagle.d.next = !self.rings.val().nodelay
            & !self.transmit.val().fin_queued
            & (self.transmit.val().snd_una != self.transmit.val().snd_nxt)
            & (self.transmit.val().snd_nxt == self.transmit.val().snd_max);
        self.at_goal.d.next = self.transmit.val().snd_nxt == self.goal.q.val();
        // Cycle 5: nothing below zero; a single segment has room for one byte at least: the window probe (RFC 9293 section 3.8.6.1).
        self.behind_limit.d.next = !self.data_raw.q.val().get_bit(31);
        self.data.d.next = self.data_raw.q.val();
        if self.data_raw.q.val().get_bit(31) {
            self.data.d.next = bits::<32>(0);
        }
        self.usable.d.next = self.usable_raw.q.val();
        if self.usable_raw.q.val().get_bit(31) | !self.usable_raw.q.val().any() {
            self.usable.d.next = bit_cast::<32, 1>(self.transmit.val().one_pending.into());
        }
        self.resent.d.next = !self.ahead.q.val().get_bit(31) & self.ahead.q.val().any();
        self.past.d.next = self.ahead.q.val().get_bit(31);
        // Cycle 6: compare.
        self.full_data.d.next = self.data.q.val() >= self.mss.val();
        self.full_window.d.next = self.usable.q.val() >= self.mss.val();
        self.data_is_mss.d.next = self.data.q.val() == self.mss.val();
        self.fits.d.next = self.usable.q.val() >= self.data.q.val();
        self.room_after.d.next = self.usable.q.val() > self.data.q.val();
        self.some_data.d.next = self.data.q.val().any();
        self.some_usable.d.next = self.usable.q.val().any();
        self.half_data.d.next = self.data.q.val() >= self.half_wnd.q.val();
        self.half_usable.d.next = self.usable.q.val() >= self.half_wnd.q.val();
        // Cycle 7: choose (RFC 9293 sections 3.7.4, 3.8.6.2.1).
        self.full.next = self.full_data.q.val() & self.full_window.q.val();
        if self.full.val() {
            self.whole.next = self.behind_limit.q.val() & self.data_is_mss.q.val();
            self.some.next = self.rings.val().snd_mss.any();
            self.half.next = true;
            self.length.next = self.rings.val().snd_mss.get_bits::<LENGTH_BITS>(0);
        } else if self.fits.q.val() {
            self.whole.next = self.behind_limit.q.val();
            self.some.next = self.some_data.q.val();
            self.half.next = self.half_data.q.val() | !self.nagle.q.val();
            self.length.next = self.data.q.val().get_bits::<LENGTH_BITS>(0);
        } else {
            self.whole.next = false;
            self.some.next = self.some_usable.q.val();
            self.half.next = self.half_usable.q.val();
            self.length.next = self.usable.q.val().get_bits::<LENGTH_BITS>(0);
        }
        self.fin.next = self.transmit.val().fin_queued & self.whole.val() & (self.room_after.q.val() | (self.transmit.val().one_pending & !self.some.val()));
        self.stage.d.next.send = self.fin.val() & !self.some.val();
        if self.some.val() {
            self.stage.d.next.send = self.half.val() | self.transmit.val().one_pending;
        }
        self.stage.d.next.length = self.length.val();
        self.stage.d.next.one = self.transmit.val().one_pending;
        self.stage.d.next.fin = self.fin.val();
        self.stage.d.next.psh = self.some.val() & self.whole.val();
        self.stage.d.next.resent = self.resent.q.val();
        self.stage.d.next.beyond = self.past.q.val();
        self.stage.d.next.pending = !(self.whole.val() & (self.fin.val() == self.transmit.val().fin_queued));
        if self.transmit.val().one_pending {
            self.stage.d.next.pending = !self.at_goal.q.val();
        }
        self.stage.d.next.seq = self.seq.q.val();
        self.stage.d.next.after = self.seq.q.val();
        // Cycle 8: where it ends.
        self.count.next = bit_cast::<32, LENGTH_BITS>(self.stage.q.val().length);
        self.base_after.next = self.stage.q.val().seq;
        if self.stage.q.val().fin {
            self.base_after.next = self.seq_next.q.val();
        }
        self.ready.d.next = self.stage.q.val();
        self.ready.d.next.after = self.base_after.val() + self.count.val();
        self.ready.d.next.beyond =
            self.stage.q.val().beyond | (self.count.val() > self.ahead.q.val()) | (self.stage.q.val().fin & (self.count.val() == self.ahead.q.val()));
        self.sends.next = self.stage.q.val().send;
        self.plan.next = self.ready.q.val();
    }
}
