//! The sending half of a flow after an operation.

use super::acknowledge::AckField;
use super::decode::Opcodes;
use super::schedule::Plan;
use super::state::{Class, FlowTransmit};
use super::verdict::Verdict;
use rust_hdl::prelude::*;

/// Combinational; all inputs stand in cycle 9.
#[derive(LogicBlock, Default)]
pub struct TransmitNext {
    /// The operation.
    pub operation: Signal<In, Class>,
    /// The flow is installed.
    pub active: Signal<In, Bit>,
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
    /// There is a timestamp.
    pub ts_present: Signal<In, Bit>,
    /// TSecr.
    pub ts_ecr: Signal<In, Bits<32>>,
    /// PLAN.
    pub plan: Signal<In, Plan>,
    /// Tick of this operation.
    pub now: Signal<In, Bits<32>>,
    /// COMMAND: what it is.
    pub opcodes: Signal<In, Opcodes>,
    /// COMMAND: it is not refused.
    pub accepted: Signal<In, Bit>,
    /// COMMAND: what INSTALL says.
    pub loaded: Signal<In, FlowTransmit>,
    /// COMMAND: what SEND says.
    pub limit: Signal<In, Bits<32>>,
    /// COMMAND: what CWND says.
    pub cwnd: Signal<In, Bits<32>>,
    /// COMMAND: what RESEND says.
    pub from: Signal<In, Bits<32>>,
    /// The flow after it.
    pub next_transmit: Signal<Out, FlowTransmit>,
}

impl Logic for TransmitNext {
    #[hdl_gen]
    fn update(&mut self) {
        self.next_transmit.next = self.transmit.val();
        if (self.operation.val() == Class::Segment) & self.verdict.val().applies {
            if self.field.val().advances {
                self.next_transmit.next.snd_una = self.ack.val();
                self.next_transmit.next.snd_nxt = self.field.val().snd_nxt;
                self.next_transmit.next.dup_acks = bits::<8>(0);
                self.next_transmit.next.one_pending = self.field.val().one_pending;
                if self.field.val().sample {
                    self.next_transmit.next.timed = false;
                    self.next_transmit.next.rtt = self.field.val().rtt;
                    self.next_transmit.next.rtt_count = self.transmit.val().rtt_count + 1;
                }
                if self.ts_present.val() {
                    self.next_transmit.next.ts_ecr = self.ts_ecr.val();
                }
            }
            if self.field.val().duplicate & !self.transmit.val().dup_acks.all() {
                self.next_transmit.next.dup_acks = self.transmit.val().dup_acks + 1;
            }
            if self.field.val().updates {
                self.next_transmit.next.snd_wnd = self.field.val().window;
                self.next_transmit.next.snd_wl1 = self.seq.val();
                self.next_transmit.next.snd_wl2 = self.ack.val();
                if self.field.val().widest {
                    self.next_transmit.next.max_wnd = self.field.val().window;
                }
            }
        }
        if (self.operation.val() == Class::Plan) & self.active.val() {
            self.next_transmit.next.one_pending = false;
            if self.plan.val().send {
                if !self.plan.val().one {
                    self.next_transmit.next.snd_nxt = self.plan.val().after;
                }
                if self.plan.val().beyond {
                    self.next_transmit.next.snd_max = self.plan.val().after;
                    if !self.transmit.val().timed & !self.plan.val().one {
                        self.next_transmit.next.timed = true;
                        self.next_transmit.next.timed_seq = self.plan.val().after;
                        self.next_transmit.next.timed_at = self.now.val();
                    }
                }
            }
        }
        if (self.operation.val() == Class::Command) & self.accepted.val() {
            if self.opcodes.val().install {
                self.next_transmit.next = self.loaded.val();
            }
            if self.opcodes.val().send & !self.transmit.val().fin_queued {
                self.next_transmit.next.limit = self.limit.val();
                self.next_transmit.next.fin_queued = self.opcodes.val().flag;
            }
            if self.opcodes.val().cwnd {
                self.next_transmit.next.cwnd = self.cwnd.val();
            }
            if self.opcodes.val().resend {
                self.next_transmit.next.timed = false;
                if self.opcodes.val().flag {
                    self.next_transmit.next.one_pending = true;
                    self.next_transmit.next.one_seq = self.from.val();
                } else {
                    self.next_transmit.next.snd_nxt = self.from.val();
                }
            }
        }
    }
}
