//! The state of a flow, cut by who writes it, and the classes of operations.
//!
//! [`FlowAddress`] and [`FlowRings`] are written at installation only; the others by operations. Each is the word of a RAM of its own.
//! The fields are those of `docs/engine.md`, "State of a flow".

#![allow(missing_docs, reason = "what the derives write has no comment")]

use crate::types::FLOW_BITS;
use rust_hdl::prelude::*;

/// What an operation of the flow core is. In the order of their priority.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum Class {
    /// The payload of a planned segment has come, or everything of a removed flow has been sealed.
    Seal,
    /// A segment or a raw frame.
    Segment,
    /// Send a pure ACK.
    Ack,
    /// The head of the delayed-ACK queue is due.
    Timer,
    /// Write an event.
    Report,
    /// Choose the next segment of a flow.
    Plan,
    /// From the submission ring.
    Command,
}

/// The class of the operation under way, a bit each.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Classes {
    /// SEAL.
    pub seal: Bit,
    /// SEGMENT.
    pub segment: Bit,
    /// ACK.
    pub ack: Bit,
    /// TIMER.
    pub timer: Bit,
    /// REPORT.
    pub report: Bit,
    /// PLAN.
    pub plan: Bit,
    /// COMMAND.
    pub command: Bit,
}

/// Where a flow's segments go: written by ADDRESS.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct FlowAddress {
    /// Destination, byte 0 of the wire lowest.
    pub remote_mac: Bits<48>,
    /// Control information of the 802.1Q tag.
    pub vlan: Bits<16>,
    /// There is a tag.
    pub vlan_present: Bit,
    /// Own address.
    pub local_ip: Bits<32>,
    /// The peer's address.
    pub remote_ip: Bits<32>,
    /// Own port.
    pub local_port: Bits<16>,
    /// The peer's port.
    pub remote_port: Bits<16>,
}

/// Rings and options: written by RINGS.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct FlowRings {
    /// Bus address of the receive ring.
    pub receive_base: Bits<64>,
    /// Bus address of the send ring.
    pub send_base: Bits<64>,
    /// log2 of the receive ring's bytes.
    pub receive_log2: Bits<5>,
    /// log2 of the send ring's bytes.
    pub send_log2: Bits<5>,
    /// Snd.Wind.Shift.
    pub snd_wscale: Bits<4>,
    /// Rcv.Wind.Shift.
    pub rcv_wscale: Bits<4>,
    /// Payload bytes of a segment sent.
    pub snd_mss: Bits<16>,
    /// Payload bytes of a full segment received.
    pub rcv_mss: Bits<16>,
    /// Timestamps were negotiated.
    pub timestamps: Bit,
    /// No Nagle.
    pub nodelay: Bit,
    /// Added to the time in TSval.
    pub ts_offset: Bits<32>,
}

/// The receiving half.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct FlowReceive {
    /// RCV.NXT.
    pub rcv_nxt: Bits<32>,
    /// Furthest right edge announced.
    pub rcv_adv: Bits<32>,
    /// The application has read up to here.
    pub rcv_consumed: Bits<32>,
    /// TS.Recent.
    pub ts_recent: Bits<32>,
    /// Last.ACK.sent.
    pub last_ack_sent: Bits<32>,
    /// Sequence number of the peer's FIN, if `fin_known`.
    pub fin_seq: Bits<32>,
    /// Tick of the delayed ACK, if `delack_armed`.
    pub delack_deadline: Bits<32>,
    /// Tick of the last limited ACK, if `challenge_valid`.
    pub challenge_at: Bits<32>,
    /// `fin_seq` is known.
    pub fin_known: Bit,
    /// RCV.NXT has passed it.
    pub fin_received: Bit,
    /// An ACK is to go out.
    pub ack_owed: Bit,
    /// An ACK is to go out at `delack_deadline`.
    pub delack_armed: Bit,
    /// There was a limited ACK.
    pub challenge_valid: Bit,
}

/// Bytes held beyond RCV.NXT: `[start, stop)`. The ranges of a flow are in no order.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct FlowRange {
    /// First byte.
    pub start: Bits<32>,
    /// Byte after the last.
    pub stop: Bits<32>,
    /// The range is in use.
    pub held: Bit,
}

/// The sending half.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct FlowTransmit {
    /// SND.UNA.
    pub snd_una: Bits<32>,
    /// SND.NXT.
    pub snd_nxt: Bits<32>,
    /// Highest SND.NXT ever.
    pub snd_max: Bits<32>,
    /// The send ring holds bytes up to here.
    pub limit: Bits<32>,
    /// SND.WND in bytes.
    pub snd_wnd: Bits<32>,
    /// SND.WL1.
    pub snd_wl1: Bits<32>,
    /// SND.WL2.
    pub snd_wl2: Bits<32>,
    /// Largest SND.WND seen.
    pub max_wnd: Bits<32>,
    /// Congestion window.
    pub cwnd: Bits<32>,
    /// Segment to be resent, if `one_pending`.
    pub one_seq: Bits<32>,
    /// End of the timed segment, if `timed`.
    pub timed_seq: Bits<32>,
    /// Tick when it was planned.
    pub timed_at: Bits<32>,
    /// Last round-trip sample in ticks.
    pub rtt: Bits<32>,
    /// TSecr of the last segment that moved SND.UNA.
    pub ts_ecr: Bits<32>,
    /// Round-trip samples, modulo 256.
    pub rtt_count: Bits<8>,
    /// Duplicate ACKs in a row, saturating.
    pub dup_acks: Bits<8>,
    /// A FIN follows `limit`.
    pub fin_queued: Bit,
    /// One segment is to be resent.
    pub one_pending: Bit,
    /// A segment is being timed.
    pub timed: Bit,
}

/// What the queues and the host's events need.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct FlowControl {
    /// Installed.
    pub active: Bit,
    /// How often this number was installed, modulo 256.
    pub generation: Bits<8>,
    /// The host takes an event.
    pub armed: Bit,
    /// There is something to tell.
    pub dirty: Bit,
    /// The host still holds what came before: payload out of order is no news to the peer.
    pub quiet: Bit,
    /// In the ACK queue.
    pub in_ack: Bit,
    /// In the data queue.
    pub in_data: Bit,
    /// In the report queue.
    pub in_report: Bit,
    /// In the delayed-ACK queue.
    pub in_delack: Bit,
}

/// An entry of the delayed-ACK queue.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct DelayedAck {
    /// The flow.
    pub flow: Bits<FLOW_BITS>,
    /// Tick when it is looked at.
    pub deadline: Bits<32>,
}
