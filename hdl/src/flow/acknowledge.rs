//! SEGMENT, step 4: the ACK field and the send window.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::state::FlowTransmit;
use crate::types::Parsed;
use rust_hdl::prelude::*;

/// What a segment's ACK field and window mean for the flow.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct AckField {
    /// It acknowledges what was never sent.
    pub beyond: Bit,
    /// It is older than any window (RFC 5961 section 5).
    pub old: Bit,
    /// SND.UNA moves to it.
    pub advances: Bit,
    /// A duplicate ACK (RFC 5681 section 2).
    pub duplicate: Bit,
    /// The duplicate ACK is at least the third.
    pub third: Bit,
    /// SND.WND, SND.WL1 and SND.WL2 are set.
    pub updates: Bit,
    /// The window differs from SND.WND.
    pub differs: Bit,
    /// The window is larger than any before.
    pub widest: Bit,
    /// A segment to be resent still lies beyond it.
    pub one_pending: Bit,
    /// The timed segment is acknowledged.
    pub sample: Bit,
    /// Something is left to send.
    pub pending: Bit,
    /// SND.NXT.
    pub snd_nxt: Bits<32>,
    /// SEG.WND, scaled.
    pub window: Bits<32>,
    /// Ticks since the timed segment was planned.
    pub rtt: Bits<32>,
}

/// Compares the ACK field with the send state. Inputs stand still from cycle 3 on; outputs are right from cycle 7 on.
#[derive(LogicBlock, Default)]
pub struct Acknowledge {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// The segment.
    pub segment: Signal<In, Parsed>,
    /// It has payload or FIN.
    pub occupies: Signal<In, Bit>,
    /// Snd.Wind.Shift.
    pub snd_wscale: Signal<In, Bits<4>>,
    /// The flow.
    pub transmit: Signal<In, FlowTransmit>,
    /// Tick of this operation.
    pub now: Signal<In, Bits<32>>,
    /// What is to be done. `beyond` and `old` forbid the rest, but for `pending`, which is right then too.
    pub field: Signal<Out, AckField>,
    sign: Signal<Local, Bits<32>>,
    ack: DFF<Bits<32>>,
    flight: DFF<Bits<32>>,
    since_wl1: DFF<Bits<32>>,
    since_wl2: DFF<Bits<32>>,
    limit: DFF<Bits<32>>,
    window: DFF<Bits<32>>,
    rtt: DFF<Bits<32>>,
    nxt_below: DFF<Bit>,
    one_below: DFF<Bit>,
    timed_covered: DFF<Bit>,
    reach: Signal<Local, Bits<33>>,
    nxt_gap: Signal<Local, Bits<32>>,
    one_gap: Signal<Local, Bits<32>>,
    timed_gap: Signal<Local, Bits<32>>,
    beyond: DFF<Bit>,
    old: DFF<Bit>,
    zero: DFF<Bit>,
    not_behind: DFF<Bit>,
    outstanding: DFF<Bit>,
    newer: DFF<Bit>,
    differs: DFF<Bit>,
    widest: DFF<Bit>,
    second: DFF<Bit>,
    applies: Signal<Local, Bit>,
    stage: DFF<AckField>,
    ready: DFF<AckField>,
}

impl Logic for Acknowledge {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            ack,
            flight,
            since_wl1,
            since_wl2,
            limit,
            window,
            rtt,
            nxt_below,
            one_below,
            timed_covered,
            beyond,
            old,
            zero,
            not_behind,
            outstanding,
            newer,
            differs,
            widest,
            second,
            stage,
            ready
        );
        // Cycle 3: relative to SND.UNA and to SEG.ACK.
        self.ack.d.next = self.segment.val().ack - self.transmit.val().snd_una;
        self.flight.d.next = self.transmit.val().snd_max - self.transmit.val().snd_una;
        self.since_wl1.d.next = self.segment.val().seq - self.transmit.val().snd_wl1;
        self.since_wl2.d.next = self.segment.val().ack - self.transmit.val().snd_wl2;
        self.limit.d.next = self.transmit.val().limit + bit_cast::<32, 1>(self.transmit.val().fin_queued.into());
        self.window.d.next = bit_cast::<32, 16>(self.segment.val().window) << self.snd_wscale.val();
        self.rtt.d.next = self.now.val() - self.transmit.val().timed_at;
        self.nxt_gap.next = self.transmit.val().snd_nxt - self.segment.val().ack;
        self.one_gap.next = self.transmit.val().one_seq - self.segment.val().ack;
        self.timed_gap.next = self.segment.val().ack - self.transmit.val().timed_seq;
        self.nxt_below.d.next = self.nxt_gap.val().get_bit(31);
        self.one_below.d.next = self.one_gap.val().get_bit(31);
        self.timed_covered.d.next = self.transmit.val().timed & !self.timed_gap.val().get_bit(31);
        // Cycle 4: compare, as signed numbers.
        self.sign.next = bits::<32>(1) << 31;
        self.reach.next = bit_cast::<33, 32>(self.ack.q.val()) + bit_cast::<33, 32>(self.transmit.val().max_wnd);
        self.beyond.d.next = (self.ack.q.val() ^ self.sign.val()) > (self.flight.q.val() ^ self.sign.val());
        self.old.d.next = self.ack.q.val().get_bit(31) & !self.reach.val().get_bit(32);
        self.not_behind.d.next = !self.ack.q.val().get_bit(31);
        self.zero.d.next = !self.ack.q.val().any();
        self.outstanding.d.next = !self.flight.q.val().get_bit(31) & self.flight.q.val().any();
        self.newer.d.next = !self.since_wl1.q.val().get_bit(31) & (self.since_wl1.q.val().any() | !self.since_wl2.q.val().get_bit(31));
        self.differs.d.next = self.window.q.val() != self.transmit.val().snd_wnd;
        self.widest.d.next = self.window.q.val() > self.transmit.val().max_wnd;
        self.second.d.next = self.transmit.val().dup_acks > bits::<8>(1);
        // Cycle 5: decide.
        self.applies.next = !self.beyond.q.val() & !self.old.q.val();
        self.stage.d.next.beyond = self.beyond.q.val();
        self.stage.d.next.old = self.old.q.val() & !self.beyond.q.val();
        self.stage.d.next.advances = self.applies.val() & self.not_behind.q.val() & !self.zero.q.val();
        self.stage.d.next.duplicate = self.zero.q.val() & self.outstanding.q.val() & !self.occupies.val() & !self.differs.q.val();
        self.stage.d.next.third = self.second.q.val();
        self.stage.d.next.updates = self.not_behind.q.val() & self.newer.q.val();
        self.stage.d.next.differs = self.differs.q.val();
        self.stage.d.next.widest = self.widest.q.val();
        self.stage.d.next.sample = self.timed_covered.q.val();
        self.stage.d.next.window = self.window.q.val();
        self.stage.d.next.rtt = self.rtt.q.val();
        self.stage.d.next.one_pending = self.transmit.val().one_pending;
        self.stage.d.next.snd_nxt = self.transmit.val().snd_nxt;
        if self.applies.val() & self.not_behind.q.val() & !self.zero.q.val() {
            self.stage.d.next.one_pending = self.transmit.val().one_pending & !self.one_below.q.val();
            if self.nxt_below.q.val() {
                self.stage.d.next.snd_nxt = self.segment.val().ack;
            }
        }
        // Cycle 6: is anything left to send?
        self.ready.d.next = self.stage.q.val();
        self.ready.d.next.pending = self.stage.q.val().one_pending | (self.stage.q.val().snd_nxt != self.limit.q.val());
        self.field.next = self.ready.q.val();
    }
}
