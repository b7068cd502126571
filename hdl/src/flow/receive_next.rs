//! The receiving half of a flow after an operation.

use super::decode::Opcodes;
use super::reassembly::Placement;
use super::state::{Class, FlowRange, FlowReceive};
use super::verdict::Verdict;
use rust_hdl::prelude::*;
use toe_contract::RANGES;

/// Combinational; all inputs stand in cycle 9.
#[derive(LogicBlock, Default)]
pub struct ReceiveNext {
    /// The operation.
    pub operation: Signal<In, Class>,
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
    /// SEAL, ACK: a segment goes out, announcing `rcv_adv`.
    pub announces: Signal<In, Bit>,
    /// SEAL, ACK.
    pub rcv_adv: Signal<In, Bits<32>>,
    /// PLAN: a segment that carries the ACK is planned.
    pub carries: Signal<In, Bit>,
    /// TIMER, COMMAND: an ACK is owed from now on.
    pub owes: Signal<In, Bit>,
    /// COMMAND: what it is, if it is not refused.
    pub opcodes: Signal<In, Opcodes>,
    /// COMMAND: it is not refused.
    pub accepted: Signal<In, Bit>,
    /// COMMAND: what RECEIVE says.
    pub loaded: Signal<In, FlowReceive>,
    /// COMMAND: what CONSUMED says.
    pub rcv_consumed: Signal<In, Bits<32>>,
    /// The flow after it.
    pub next_receive: Signal<Out, FlowReceive>,
    /// Its ranges after it.
    pub next_range: [Signal<Out, FlowRange>; RANGES],
    each: Signal<Local, FlowRange>,
    places: Signal<Local, Bit>,
    clears: Signal<Local, Bit>,
}

impl Logic for ReceiveNext {
    #[hdl_gen]
    fn update(&mut self) {
        self.next_receive.next = self.receive.val();
        self.places.next = (self.operation.val() == Class::Segment) & self.verdict.val().place;
        self.clears.next = (self.operation.val() == Class::Command) & self.accepted.val() & self.opcodes.val().install;
        for k in 0..RANGES {
            self.each.next = self.range[k].val();
            if self.clears.val() | (self.places.val() & self.joined[k].val()) {
                self.each.next.held = false;
            }
            if self.places.val() & self.takes[k].val() & !self.placement.val().in_order {
                self.each.next.held = true;
                self.each.next.start = self.placement.val().start;
                self.each.next.stop = self.placement.val().stop;
            }
            self.next_range[k].next = self.each.val();
        }
        if self.owes.val() {
            self.next_receive.next.ack_owed = true;
        }
        if self.carries.val() | self.announces.val() {
            self.next_receive.next.ack_owed = false;
            self.next_receive.next.delack_armed = false;
        }
        if self.announces.val() {
            self.next_receive.next.rcv_adv = self.rcv_adv.val();
            self.next_receive.next.last_ack_sent = self.receive.val().rcv_nxt;
        }
        if self.operation.val() == Class::Segment {
            if self.verdict.val().moves_ts_recent {
                self.next_receive.next.ts_recent = self.ts_val.val();
            }
            if self.verdict.val().challenge {
                self.next_receive.next.challenge_at = self.now.val();
                self.next_receive.next.challenge_valid = true;
            }
            if self.verdict.val().urgent | self.verdict.val().owed {
                self.next_receive.next.ack_owed = true;
            }
            if self.verdict.val().arms {
                self.next_receive.next.delack_armed = true;
                self.next_receive.next.delack_deadline = self.deadline.val();
            }
            if self.verdict.val().taken {
                self.next_receive.next.rcv_nxt = self.placement.val().rcv_nxt;
                if self.placement.val().fin_new {
                    self.next_receive.next.fin_known = true;
                    self.next_receive.next.fin_seq = self.placement.val().fin_seq;
                }
                if self.placement.val().fin_passed {
                    self.next_receive.next.fin_received = true;
                }
            }
        }
        if (self.operation.val() == Class::Command) & self.accepted.val() {
            if self.opcodes.val().receive {
                self.next_receive.next = self.loaded.val();
            }
            if self.opcodes.val().consumed {
                self.next_receive.next.rcv_consumed = self.rcv_consumed.val();
            }
            if self.opcodes.val().install {
                self.next_receive.next.last_ack_sent = self.receive.val().rcv_nxt;
                self.next_receive.next.fin_known = false;
                self.next_receive.next.fin_received = false;
                self.next_receive.next.ack_owed = false;
                self.next_receive.next.delack_armed = false;
                self.next_receive.next.challenge_valid = false;
            }
        }
    }
}
