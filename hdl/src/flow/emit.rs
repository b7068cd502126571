//! What an operation hands to the other parts of the engine: jobs, segments, counts.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::decode::{Opcodes, RawFrame};
use super::outcome::Outcome;
use super::reassembly::Placement;
use super::schedule::Plan;
use super::state::{Classes, FlowAddress, FlowReceive, FlowRings, FlowTransmit};
use super::verdict::Verdict;
use crate::types::{FetchJob, FetchKind, LookedUp, SealRequest, Segment, WriteJob, WriteKind, FLOW_BITS, LENGTH_BITS, RECORD_BITS};
use rust_hdl::prelude::*;
use toe_contract::{event, raw, NO_FLOW};

/// Counter pulses of the flow core; names as in `toe_contract::counter`.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Counts {
    pub rx_raw: Bit,
    pub rx_segments: Bit,
    pub rx_no_ack: Bit,
    pub rx_paws: Bit,
    pub rx_unacceptable: Bit,
    pub rx_ack_beyond: Bit,
    pub rx_ack_old: Bit,
    pub rx_in_order: Bit,
    pub rx_out_of_order: Bit,
    pub rx_no_range: Bit,
    pub rx_duplicate: Bit,
    pub tx_acks: Bit,
    pub tx_segments: Bit,
    pub tx_resent: Bit,
    pub tx_window_updates: Bit,
    pub events: Bit,
    pub bad_commands: Bit,
}

/// Combinational; all inputs stand in cycle 9.
#[derive(LogicBlock)]
pub struct Emit {
    /// The operation.
    pub classes: Signal<In, Classes>,
    /// What it does, if it is not a SEGMENT.
    pub outcome: Signal<In, Outcome>,
    /// Its flow.
    pub flow: Signal<In, Bits<FLOW_BITS>>,
    /// Tick of this operation.
    pub now: Signal<In, Bits<32>>,
    /// TSval of a segment sent now.
    pub ts_val: Signal<In, Bits<32>>,
    /// The flow before the operation.
    pub receive: Signal<In, FlowReceive>,
    /// The flow before the operation.
    pub transmit: Signal<In, FlowTransmit>,
    /// The flow's rings.
    pub rings: Signal<In, FlowRings>,
    /// The flow's address.
    pub address: Signal<In, FlowAddress>,
    /// SEGMENT.
    pub looked_up: Signal<In, LookedUp>,
    /// SEGMENT.
    pub verdict: Signal<In, Verdict>,
    /// SEGMENT.
    pub placement: Signal<In, Placement>,
    /// SEAL.
    pub seal: Signal<In, SealRequest>,
    /// SEAL, ACK: the window field.
    pub window: Signal<In, Bits<16>>,
    /// PLAN.
    pub plan: Signal<In, Plan>,
    /// COMMAND: word 0.
    pub command: Signal<In, Bits<32>>,
    /// COMMAND: what it is.
    pub opcodes: Signal<In, Opcodes>,
    /// COMMAND: the frame of RAW and INJECT.
    pub raw: Signal<In, RawFrame>,
    /// The record made of the four below.
    pub record: Signal<In, Bits<RECORD_BITS>>,
    /// Kind of the record.
    pub record_kind: Signal<Out, Bits<8>>,
    /// Its flow.
    pub record_flow: Signal<Out, Bits<16>>,
    /// Its last word but one.
    pub record_extra: Signal<Out, Bits<32>>,
    /// It has a snapshot.
    pub record_snapshot: Signal<Out, Bit>,
    /// It has all values.
    pub record_whole: Signal<Out, Bit>,
    /// The write job.
    pub write: Signal<Out, WriteJob>,
    /// The fetch job.
    pub fetch: Signal<Out, FetchJob>,
    /// The ACK or the segment.
    pub segment: Signal<Out, Segment>,
    /// The results are written in this cycle.
    pub commit: Signal<In, Bit>,
    /// What is counted.
    pub counts: Signal<Out, Counts>,
    kind_flow: Constant<Bits<8>>,
    kind_removed: Constant<Bits<8>>,
    kind_bad: Constant<Bits<8>>,
    reason_other: Constant<Bits<8>>,
    reason_no_flow: Constant<Bits<8>>,
    reason_flagged: Constant<Bits<8>>,
    no_flow: Constant<Bits<16>>,
}

impl Default for Emit {
    fn default() -> Self {
        Self {
            classes: Signal::default(),
            outcome: Signal::default(),
            flow: Signal::default(),
            now: Signal::default(),
            ts_val: Signal::default(),
            receive: Signal::default(),
            transmit: Signal::default(),
            rings: Signal::default(),
            address: Signal::default(),
            looked_up: Signal::default(),
            verdict: Signal::default(),
            placement: Signal::default(),
            seal: Signal::default(),
            window: Signal::default(),
            plan: Signal::default(),
            command: Signal::default(),
            opcodes: Signal::default(),
            raw: Signal::default(),
            record: Signal::default(),
            record_kind: Signal::default(),
            record_flow: Signal::default(),
            record_extra: Signal::default(),
            record_snapshot: Signal::default(),
            record_whole: Signal::default(),
            write: Signal::default(),
            fetch: Signal::default(),
            segment: Signal::default(),
            commit: Signal::default(),
            counts: Signal::default(),
            kind_flow: Constant::new(bits(event::Kind::Flow as LiteralType)),
            kind_removed: Constant::new(bits(event::Kind::Removed as LiteralType)),
            kind_bad: Constant::new(bits(event::Kind::BadCommand as LiteralType)),
            reason_other: Constant::new(bits(raw::Reason::Other as LiteralType)),
            reason_no_flow: Constant::new(bits(raw::Reason::NoFlow as LiteralType)),
            reason_flagged: Constant::new(bits(raw::Reason::Flagged as LiteralType)),
            no_flow: Constant::new(bits(NO_FLOW.into())),
        }
    }
}

impl Logic for Emit {
    #[hdl_gen]
    fn update(&mut self) {
        // The record.
        self.record_kind.next = self.kind_flow.val();
        self.record_flow.next = bit_cast::<16, FLOW_BITS>(self.flow.val());
        self.record_extra.next = self.now.val();
        self.record_whole.next = true;
        self.record_snapshot.next = true;
        if self.classes.val().seal {
            self.record_kind.next = self.kind_removed.val();
        }
        if self.classes.val().segment {
            self.record_extra.next = bits::<32>(0);
            self.record_whole.next = false;
            if self.verdict.val().own {
                self.record_kind.next = self.reason_flagged.val();
            } else {
                self.record_snapshot.next = false;
                self.record_flow.next = self.no_flow.val();
                self.record_kind.next = self.reason_other.val();
                if self.verdict.val().no_flow {
                    self.record_kind.next = self.reason_no_flow.val();
                }
            }
        }
        if self.classes.val().command {
            self.record_kind.next = self.kind_bad.val();
            self.record_flow.next = self.command.val().get_bits::<16>(16);
            self.record_extra.next = self.command.val();
            self.record_whole.next = false;
            self.record_snapshot.next = false;
        }

        // The write job.
        self.write.next.kind = WriteKind::Event;
        if self.classes.val().segment {
            if self.verdict.val().raw {
                self.write.next.kind = WriteKind::Raw;
            } else if self.verdict.val().place {
                self.write.next.kind = WriteKind::Place;
            } else {
                self.write.next.kind = WriteKind::Free;
            }
        }
        self.write.next.start = self.looked_up.val().parsed.start;
        self.write.next.frame_length = self.looked_up.val().parsed.length;
        self.write.next.offset = self.placement.val().offset;
        self.write.next.length = self.placement.val().length;
        self.write.next.base = self.rings.val().receive_base;
        self.write.next.log2 = self.rings.val().receive_log2;
        self.write.next.position = self.placement.val().position;
        self.write.next.record = self.record.val();

        // The fetch job.
        self.fetch.next.flow = self.flow.val();
        self.fetch.next.log2 = self.rings.val().send_log2;
        self.fetch.next.seq = self.plan.val().seq;
        self.fetch.next.fin = self.plan.val().fin;
        self.fetch.next.psh = self.plan.val().psh;
        self.fetch.next.checksum = self.raw.val().checksum;
        self.fetch.next.checksum_start = self.raw.val().checksum_start;
        self.fetch.next.checksum_offset = self.raw.val().checksum_offset;
        if self.classes.val().command {
            self.fetch.next.base = self.raw.val().iova;
            self.fetch.next.length = self.raw.val().length.get_bits::<LENGTH_BITS>(0);
            if self.opcodes.val().raw {
                self.fetch.next.kind = FetchKind::Raw;
            } else if self.opcodes.val().inject {
                self.fetch.next.kind = FetchKind::Inject;
            } else {
                self.fetch.next.kind = FetchKind::Removed;
            }
        } else {
            self.fetch.next.kind = FetchKind::Segment;
            self.fetch.next.base = self.rings.val().send_base;
            self.fetch.next.length = self.plan.val().length;
        }

        // The segment. Control bits: FIN 0, PSH 3, ACK 4.
        self.segment.next.remote_mac = self.address.val().remote_mac;
        self.segment.next.vlan_present = self.address.val().vlan_present;
        self.segment.next.vlan = self.address.val().vlan;
        self.segment.next.local_ip = self.address.val().local_ip;
        self.segment.next.remote_ip = self.address.val().remote_ip;
        self.segment.next.local_port = self.address.val().local_port;
        self.segment.next.remote_port = self.address.val().remote_port;
        self.segment.next.ack = self.receive.val().rcv_nxt;
        self.segment.next.window = self.window.val();
        self.segment.next.ts_present = self.rings.val().timestamps;
        self.segment.next.ts_val = self.ts_val.val();
        self.segment.next.ts_ecr = self.receive.val().ts_recent;
        if self.classes.val().seal {
            self.segment.next.seq = self.seal.val().seq;
            self.segment.next.payload_length = self.seal.val().length;
            self.segment.next.control = bits::<8>(0x10) | bit_cast::<8, 1>(self.seal.val().fin.into()) | (bit_cast::<8, 1>(self.seal.val().psh.into()) << 3);
        } else {
            self.segment.next.seq = self.transmit.val().snd_nxt;
            self.segment.next.payload_length = bits::<LENGTH_BITS>(0);
            self.segment.next.control = bits::<8>(0x10);
        }

        // The counts.
        self.counts.next.rx_raw = self.commit.val() & self.verdict.val().raw;
        self.counts.next.rx_segments = self.commit.val() & self.verdict.val().own;
        self.counts.next.rx_no_ack = self.commit.val() & self.verdict.val().no_ack;
        self.counts.next.rx_paws = self.commit.val() & self.verdict.val().paws;
        self.counts.next.rx_unacceptable = self.commit.val() & self.verdict.val().unacceptable;
        self.counts.next.rx_ack_beyond = self.commit.val() & self.verdict.val().beyond;
        self.counts.next.rx_ack_old = self.commit.val() & self.verdict.val().old;
        self.counts.next.rx_in_order = self.commit.val() & self.verdict.val().place & self.placement.val().in_order;
        self.counts.next.rx_out_of_order = self.commit.val() & self.verdict.val().place & !self.placement.val().in_order;
        self.counts.next.rx_no_range = self.commit.val() & self.verdict.val().taken & self.placement.val().no_range;
        self.counts.next.rx_duplicate = self.commit.val() & self.verdict.val().taken & self.placement.val().duplicate;
        self.counts.next.tx_acks = self.commit.val() & self.outcome.val().acks;
        self.counts.next.tx_segments = self.commit.val() & self.outcome.val().carries;
        self.counts.next.tx_resent = self.commit.val() & self.outcome.val().carries & self.plan.val().resent;
        self.counts.next.tx_window_updates = self.commit.val() & self.outcome.val().updates;
        self.counts.next.events = self.commit.val() & (self.outcome.val().reports | self.outcome.val().removed | self.outcome.val().refused);
        self.counts.next.bad_commands = self.commit.val() & self.outcome.val().refused;
    }
}
