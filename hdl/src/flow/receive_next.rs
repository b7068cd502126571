//! The receiving half of a flow after an operation.

use super::outcome::Outcome;
use super::reassembly::Placement;
use super::state::{FlowRange, FlowReceive};
use super::verdict::Verdict;
use rust_hdl::prelude::*;
use toe_contract::RANGES;

/// Combinational; all inputs stand in cycle 9.
#[derive(LogicBlock, Default)]
pub struct ReceiveNext {
    /// The flow before it.
    pub receive: Signal<In, FlowReceive>,
    /// Its ranges before it.
    pub range: [Signal<In, FlowRange>; RANGES],
    /// SEGMENT.
    pub verdict: Signal<In, Verdict>,
    /// SEGMENT.
    pub placement: Signal<In, Placement>,
    /// SEGMENT.
    pub takes: [Signal<In, Bit>; RANGES],
    /// SEGMENT.
    pub joined: [Signal<In, Bit>; RANGES],
    /// TSval.
    pub ts_val: Signal<In, Bits<32>>,
    /// Tick of this operation.
    pub now: Signal<In, Bits<32>>,
    /// Tick of a delayed ACK armed now.
    pub deadline: Signal<In, Bits<32>>,
    /// The other classes.
    pub outcome: Signal<In, Outcome>,
    /// SEAL, ACK: the right edge that is announced.
    pub rcv_adv: Signal<In, Bits<32>>,
    /// COMMAND: what RECEIVE says.
    pub loaded: Signal<In, FlowReceive>,
    /// COMMAND: what CONSUMED says.
    pub rcv_consumed: Signal<In, Bits<32>>,
    /// The flow after it.
    pub next_receive: Signal<Out, FlowReceive>,
    /// Its ranges after it.
    pub next_range: [Signal<Out, FlowRange>; RANGES],
    each: Signal<Local, FlowRange>,
    sent: Signal<Local, Bit>,
    fresh: Signal<Local, Bit>,
}

impl Logic for ReceiveNext {
    #[hdl_gen]
    fn update(&mut self) {
        self.sent.next = self.outcome.val().announces | self.outcome.val().carries | self.outcome.val().install;
        self.fresh.next = self.outcome.val().install;
        self.next_receive.next = self.receive.val();
        self.next_receive.next.ack_owed = (self.receive.val().ack_owed & !self.sent.val())
            | self.outcome.val().owes
            | self.verdict.val().urgent
            | self.verdict.val().owed
            | self.verdict.val().muted;
        self.next_receive.next.delack_armed = (self.receive.val().delack_armed & !self.sent.val()) | self.verdict.val().arms;
        self.next_receive.next.challenge_valid = (self.receive.val().challenge_valid & !self.fresh.val()) | self.verdict.val().challenge;
        self.next_receive.next.fin_known = (self.receive.val().fin_known & !self.fresh.val()) | self.verdict.val().fin_new;
        self.next_receive.next.fin_received = (self.receive.val().fin_received & !self.fresh.val()) | self.verdict.val().fin_passed;
        if self.verdict.val().moves {
            self.next_receive.next.rcv_nxt = self.placement.val().rcv_nxt;
        }
        if self.verdict.val().moves_ts_recent {
            self.next_receive.next.ts_recent = self.ts_val.val();
        }
        if self.verdict.val().challenge {
            self.next_receive.next.challenge_at = self.now.val();
        }
        if self.verdict.val().arms {
            self.next_receive.next.delack_deadline = self.deadline.val();
        }
        if self.verdict.val().fin_new {
            self.next_receive.next.fin_seq = self.placement.val().fin_seq;
        }
        if self.outcome.val().announces {
            self.next_receive.next.rcv_adv = self.rcv_adv.val();
        }
        if self.outcome.val().announces | self.outcome.val().install {
            self.next_receive.next.last_ack_sent = self.receive.val().rcv_nxt;
        }
        if self.outcome.val().receive {
            self.next_receive.next.rcv_nxt = self.loaded.val().rcv_nxt;
            self.next_receive.next.rcv_adv = self.loaded.val().rcv_adv;
            self.next_receive.next.rcv_consumed = self.loaded.val().rcv_consumed;
            self.next_receive.next.ts_recent = self.loaded.val().ts_recent;
        }
        if self.outcome.val().consumed {
            self.next_receive.next.rcv_consumed = self.rcv_consumed.val();
        }
        for k in 0..RANGES {
            self.each.next = self.range[k].val();
            if self.fresh.val() | (self.verdict.val().place & self.joined[k].val()) {
                self.each.next.held = false;
            }
            if self.verdict.val().holds & self.takes[k].val() {
                self.each.next.held = true;
                self.each.next.start = self.placement.val().start;
                self.each.next.stop = self.placement.val().stop;
            }
            self.next_range[k].next = self.each.val();
        }
    }
}
