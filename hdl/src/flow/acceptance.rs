//! SEGMENT, steps 1 to 3: PAWS, acceptability, TS.Recent.

use super::state::FlowReceive;
use crate::types::Parsed;
use rust_hdl::prelude::*;

/// Compares a segment with the receive window. Inputs stand still from cycle 3 on; outputs are right from cycle 6 on.
#[derive(LogicBlock, Default)]
pub struct Acceptance {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// The segment.
    pub segment: Signal<In, Parsed>,
    /// SEG.SEQ + payload.
    pub seq_end: Signal<In, Bits<32>>,
    /// The flow uses timestamps.
    pub timestamps: Signal<In, Bit>,
    /// The flow.
    pub receive: Signal<In, FlowReceive>,
    /// The timestamp is older than TS.Recent (RFC 7323 section 5.3).
    pub paws: Signal<Out, Bit>,
    /// Acceptable (RFC 9293 section 3.10.7.4, first).
    pub acceptable: Signal<Out, Bit>,
    /// A byte at the closed window's edge.
    pub probe: Signal<Out, Bit>,
    /// TS.Recent is to be set (RFC 7323 section 4.3).
    pub moves_ts_recent: Signal<Out, Bit>,
    /// It has payload or FIN.
    pub occupies: Signal<Out, Bit>,
    sign: Signal<Local, Bits<32>>,
    start: DFF<Bits<32>>,
    right: DFF<Bits<32>>,
    stop: DFF<Bits<32>>,
    age: DFF<Bits<32>>,
    since_ack: DFF<Bits<32>>,
    some: DFF<Bit>,
    behind: DFF<Bit>,
    at_start: DFF<Bit>,
    inside: DFF<Bit>,
    at_right: DFF<Bit>,
    closed: DFF<Bit>,
    reaches: DFF<Bit>,
    old_stamp: DFF<Bit>,
    new_stamp: DFF<Bit>,
    good: DFF<Bit>,
    probing: DFF<Bit>,
}

impl Logic for Acceptance {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self, clock, start, right, stop, age, since_ack, some, behind, at_start, inside, at_right, closed, reaches, old_stamp, new_stamp, good, probing
        );
        // Cycle 3: relative to RCV.NXT.
        self.start.d.next = self.segment.val().seq - self.receive.val().rcv_nxt;
        self.right.d.next = self.receive.val().rcv_adv - self.receive.val().rcv_nxt;
        self.stop.d.next = self.seq_end.val() - self.receive.val().rcv_nxt;
        self.age.d.next = self.segment.val().ts_val - self.receive.val().ts_recent;
        self.since_ack.d.next = self.segment.val().seq - self.receive.val().last_ack_sent;
        self.some.d.next = self.segment.val().payload_length.any() | self.segment.val().control.get_bit(0);
        // Cycle 4: compare, as signed numbers.
        self.sign.next = bits::<32>(1) << 31;
        self.behind.d.next = self.start.q.val().get_bit(31);
        self.at_start.d.next = !self.start.q.val().any();
        self.inside.d.next = (self.start.q.val() ^ self.sign.val()) < (self.right.q.val() ^ self.sign.val());
        self.at_right.d.next = self.start.q.val() == self.right.q.val();
        self.closed.d.next = !self.right.q.val().any();
        self.reaches.d.next = !self.stop.q.val().get_bit(31) & (self.stop.q.val().any() | self.segment.val().control.get_bit(0));
        self.old_stamp.d.next = self.segment.val().ts_present & self.timestamps.val() & self.age.q.val().get_bit(31);
        self.new_stamp.d.next = self.segment.val().ts_present
            & self.timestamps.val()
            & !self.age.q.val().get_bit(31)
            & (self.since_ack.q.val().get_bit(31) | !self.since_ack.q.val().any());
        // Cycle 5: decide.
        if self.some.q.val() {
            self.good.d.next = self.inside.q.val() & self.reaches.q.val();
        } else {
            self.good.d.next = !self.behind.q.val() & (self.inside.q.val() | self.at_right.q.val());
        }
        self.probing.d.next = self.closed.q.val() & self.at_start.q.val();

        self.paws.next = self.old_stamp.q.val();
        self.acceptable.next = self.good.q.val();
        self.probe.next = self.probing.q.val();
        self.moves_ts_recent.next = self.new_stamp.q.val();
        self.occupies.next = self.some.q.val();
    }
}
