//! The sending half of a flow after an operation.

use super::acknowledge::AckField;
use super::outcome::Outcome;
use super::schedule::Plan;
use super::state::FlowTransmit;
use super::verdict::Verdict;
use rust_hdl::prelude::*;

/// Combinational; all inputs stand in cycle 9.
#[derive(LogicBlock, Default)]
pub struct TransmitNext {
    /// The flow before it.
    pub transmit: Signal<In, FlowTransmit>,
    /// SEGMENT.
    pub verdict: Signal<In, Verdict>,
    /// SEGMENT.
    pub field: Signal<In, AckField>,
    /// SEG.SEQ.
    pub seq: Signal<In, Bits<32>>,
    /// SEG.ACK.
    pub ack: Signal<In, Bits<32>>,
    /// TSecr.
    pub ts_ecr: Signal<In, Bits<32>>,
    /// The other classes.
    pub outcome: Signal<In, Outcome>,
    /// PLAN.
    pub plan: Signal<In, Plan>,
    /// Tick of this operation.
    pub now: Signal<In, Bits<32>>,
    /// COMMAND: what INSTALL says.
    pub loaded: Signal<In, FlowTransmit>,
    /// COMMAND: what SEND says.
    pub limit: Signal<In, Bits<32>>,
    /// COMMAND: SEND's flag.
    pub fin: Signal<In, Bit>,
    /// COMMAND: what CWND says.
    pub cwnd: Signal<In, Bits<32>>,
    /// COMMAND: what RESEND says.
    pub from: Signal<In, Bits<32>>,
    /// The flow after it.
    pub next_transmit: Signal<Out, FlowTransmit>,
    beyond: Signal<Local, Bit>,
    times: Signal<Local, Bit>,
}

impl Logic for TransmitNext {
    #[hdl_gen]
    fn update(&mut self) {
        self.beyond.next = self.outcome.val().carries & self.plan.val().beyond;
        self.times.next = self.outcome.val().carries & self.plan.val().beyond & !self.plan.val().one & !self.transmit.val().timed;
        self.next_transmit.next = self.transmit.val();
        // SEGMENT.
        if self.verdict.val().advances {
            self.next_transmit.next.snd_una = self.ack.val();
            self.next_transmit.next.snd_nxt = self.field.val().snd_nxt;
            self.next_transmit.next.dup_acks = bits::<8>(0);
            self.next_transmit.next.one_pending = self.field.val().one_pending;
        }
        if self.verdict.val().sample {
            self.next_transmit.next.timed = false;
            self.next_transmit.next.rtt = self.field.val().rtt;
            self.next_transmit.next.rtt_count = self.transmit.val().rtt_count + 1;
        }
        if self.verdict.val().keeps_ecr {
            self.next_transmit.next.ts_ecr = self.ts_ecr.val();
        }
        if self.verdict.val().duplicate & !self.transmit.val().dup_acks.all() {
            self.next_transmit.next.dup_acks = self.transmit.val().dup_acks + 1;
        }
        if self.verdict.val().updates {
            self.next_transmit.next.snd_wnd = self.field.val().window;
            self.next_transmit.next.snd_wl1 = self.seq.val();
            self.next_transmit.next.snd_wl2 = self.ack.val();
        }
        if self.verdict.val().widest {
            self.next_transmit.next.max_wnd = self.field.val().window;
        }
        // PLAN.
        if self.outcome.val().plans {
            self.next_transmit.next.one_pending = false;
        }
        if self.outcome.val().carries & !self.plan.val().one {
            self.next_transmit.next.snd_nxt = self.plan.val().after;
        }
        if self.beyond.val() {
            self.next_transmit.next.snd_max = self.plan.val().after;
        }
        if self.times.val() {
            self.next_transmit.next.timed = true;
            self.next_transmit.next.timed_seq = self.plan.val().after;
            self.next_transmit.next.timed_at = self.now.val();
        }
        // COMMAND.
        if self.outcome.val().send {
            self.next_transmit.next.limit = self.limit.val();
            self.next_transmit.next.fin_queued = self.fin.val();
        }
        if self.outcome.val().cwnd {
            self.next_transmit.next.cwnd = self.cwnd.val();
        }
        if self.outcome.val().resend_one {
            self.next_transmit.next.timed = false;
            self.next_transmit.next.one_pending = true;
            self.next_transmit.next.one_seq = self.from.val();
        }
        if self.outcome.val().resend_all {
            self.next_transmit.next.timed = false;
            self.next_transmit.next.snd_nxt = self.from.val();
        }
        if self.outcome.val().install {
            self.next_transmit.next = self.loaded.val();
        }
    }
}
