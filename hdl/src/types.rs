//! What travels between the stages of the engine: one struct a hand-over, one channel to carry it.
//!
//! ```text
//!  XGMII -> mac/rx -> receive/parse -Parsed-> receive/lookup -LookedUp-> flow/core -WriteJob-> host/write -> AXI
//!                        |  frame bytes                ^ TableRequest |                           ^
//!                        +--> receive/buffer ----------|--------------|---------------------------+
//!                                                      +--------------+
//!  host/submission -Command-> flow/core -FetchJob-> transmit/fetch -> host/read -> AXI
//!                                  ^ SealRequest          |  (payload in the transmit buffer)
//!                                  +----------------------+
//!                             flow/core -Segment (sealed, acks)-> transmit/build -> mac/tx -> XGMII
//! ```
//!
//! Every frame that `receive/parse` accepts gives exactly one [`Parsed`], one [`LookedUp`] and one [`WriteJob`] that is not an event, in the order of
//! the frames: the receive buffer is freed in that order.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use rust_hdl::prelude::*;
use toe_contract::FLOWS;

/// Bits of a flow's number inside the engine.
pub const FLOW_BITS: usize = FLOWS.trailing_zeros() as usize;
const _: () = assert!(FLOWS.is_power_of_two() && FLOWS >= 2, "the number of flows is a power of two");

/// Bits of a beat's number in the receive buffer (8 bytes a beat: 32 KiB).
pub const BUFFER_BITS: usize = 12;
/// Bits of a frame's length in bytes.
pub const LENGTH_BITS: usize = 14;
/// Bits of the 4-tuple: `remote_ip, local_ip, remote_port, local_port`, first one highest.
pub const KEY_BITS: usize = 96;
/// Bits of a command, word 0 lowest.
pub const COMMAND_BITS: usize = 256;
/// Bits of an event or of a raw frame's header, word 0 lowest.
pub const RECORD_BITS: usize = 512;

/// Sending side of a channel: `data` is handed over in a cycle with `valid` and `ready`. `valid` does not wait for `ready`, and holds until it.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "ChannelRx"]
pub struct ChannelTx<T: Synth> {
    /// What is handed over.
    pub data: Signal<Out, T>,
    /// There is something.
    pub valid: Signal<Out, Bit>,
    /// It is taken.
    pub ready: Signal<In, Bit>,
}

/// Receiving side of a channel.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "ChannelTx"]
pub struct ChannelRx<T: Synth> {
    /// What is handed over.
    pub data: Signal<In, T>,
    /// There is something.
    pub valid: Signal<In, Bit>,
    /// It is taken.
    pub ready: Signal<Out, Bit>,
}

/// What the parser found in a frame that lies whole in the receive buffer. Fields after `fast` are meaningful only with it.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Parsed {
    /// Beat of the receive buffer with the frame's first bytes.
    pub start: Bits<BUFFER_BITS>,
    /// Bytes of the frame, without FCS.
    pub length: Bits<LENGTH_BITS>,
    /// A TCP segment over IPv4, not a fragment, checksums good: the flow table is asked. Else raw.
    pub fast: Bit,
    /// Bytes from the frame's start to the payload.
    pub payload_offset: Bits<7>,
    /// Bytes of payload.
    pub payload_length: Bits<LENGTH_BITS>,
    /// 4-tuple.
    pub key: Bits<KEY_BITS>,
    /// SEG.SEQ.
    pub seq: Bits<32>,
    /// SEG.ACK.
    pub ack: Bits<32>,
    /// Control bits: FIN 0, SYN 1, RST 2, PSH 3, ACK 4, URG 5, ECE 6, CWR 7.
    pub control: Bits<8>,
    /// SEG.WND, not scaled.
    pub window: Bits<16>,
    /// A timestamps option was found.
    pub ts_present: Bit,
    /// TSval.
    pub ts_val: Bits<32>,
    /// TSecr.
    pub ts_ecr: Bits<32>,
}

/// A parsed frame and the flow it belongs to.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct LookedUp {
    /// The frame.
    pub parsed: Parsed,
    /// There is such a flow (only if `parsed.fast`).
    pub hit: Bit,
    /// Its number.
    pub flow: Bits<FLOW_BITS>,
    /// Its generation when it was looked up.
    pub generation: Bits<8>,
}

/// The flow core's orders to the flow table, answered by [`TableReply`] one at a time.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct TableRequest {
    /// 1: enter, 0: take out.
    pub insert: Bit,
    /// 4-tuple.
    pub key: Bits<KEY_BITS>,
    /// Flow.
    pub flow: Bits<FLOW_BITS>,
    /// Generation.
    pub generation: Bits<8>,
}

/// The flow table's answer: valid for one cycle.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct TableReply {
    /// Answer to the request taken last.
    pub valid: Bit,
    /// Done. An insertion fails if the tuple is there already or has no room.
    pub ok: Bit,
}

/// What a [`WriteJob`] is.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum WriteKind {
    /// Only frees the frame's place in the receive buffer.
    Free,
    /// Payload into a receive ring, then free.
    Place,
    /// The whole frame and its header into a slot of the raw ring (dropped and counted if there is none), then free.
    Raw,
    /// An event into the event ring; no frame.
    Event,
}

/// An order to the write engine. Done strictly in order.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct WriteJob {
    /// What to do.
    pub kind: WriteKind,
    /// Beat of the receive buffer where the frame begins.
    pub start: Bits<BUFFER_BITS>,
    /// Bytes of the frame: so many, rounded up to beats, are freed.
    pub frame_length: Bits<LENGTH_BITS>,
    /// PLACE: byte of the frame to begin with.
    pub offset: Bits<LENGTH_BITS>,
    /// PLACE: bytes.
    pub length: Bits<LENGTH_BITS>,
    /// PLACE: the ring's bus address, aligned to its size.
    pub base: Bits<64>,
    /// PLACE: log2 of the ring's bytes.
    pub log2: Bits<5>,
    /// PLACE: sequence number of the first byte; it goes to `base + position mod 2^log2`.
    pub position: Bits<32>,
    /// EVENT: the event; RAW: the header. `phase` and `submission_consumed`, and a raw header's length, are filled in by the write engine.
    pub record: Bits<RECORD_BITS>,
}

/// What a [`FetchJob`] is.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum FetchKind {
    /// Payload of a planned segment (its length may be 0: a FIN alone). Sealed by the flow core when it has come.
    Segment,
    /// A frame to send.
    Raw,
    /// A frame to receive.
    Inject,
    /// Nothing to fetch: comes back as a [`SealRequest`] when everything before it has been sealed.
    Removed,
}

/// An order to the fetch stage. Done strictly in order.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct FetchJob {
    /// What to do.
    pub kind: FetchKind,
    /// SEGMENT, REMOVED: the flow.
    pub flow: Bits<FLOW_BITS>,
    /// Bus address of the ring, or of the frame (any alignment).
    pub base: Bits<64>,
    /// SEGMENT: log2 of the ring's bytes.
    pub log2: Bits<5>,
    /// SEGMENT: SEG.SEQ, which is also the place of the first byte.
    pub seq: Bits<32>,
    /// Bytes.
    pub length: Bits<LENGTH_BITS>,
    /// SEGMENT: FIN follows the payload.
    pub fin: Bit,
    /// SEGMENT: PSH.
    pub psh: Bit,
    /// RAW: fill in a checksum.
    pub checksum: Bit,
    /// RAW: first byte summed.
    pub checksum_start: Bits<16>,
    /// RAW: byte where the checksum goes.
    pub checksum_offset: Bits<16>,
}

/// An order to the read engine: bytes of host memory, as a stream. Done strictly in order, one frame of the stream each.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct ReadJob {
    /// Bus address of the ring, aligned to its size; without a ring, of the first byte (any alignment).
    pub base: Bits<64>,
    /// log2 of the ring's bytes, 12 to 30; 0: no ring, `position` does not count.
    pub log2: Bits<5>,
    /// The first byte is at `base + position mod 2^log2`; behind the ring's end the read goes on at its start.
    pub position: Bits<32>,
    /// Bytes. 0 is legal and gives nothing, not even a beat with `last`.
    pub length: Bits<LENGTH_BITS>,
}

/// "The payload is here: make the header", or "everything of this flow has been sealed".
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct SealRequest {
    /// 0: seal a segment, 1: the marker of a removal.
    pub removed: Bit,
    /// The flow.
    pub flow: Bits<FLOW_BITS>,
    /// SEG.SEQ.
    pub seq: Bits<32>,
    /// Bytes of payload.
    pub length: Bits<LENGTH_BITS>,
    /// FIN.
    pub fin: Bit,
    /// PSH.
    pub psh: Bit,
}

/// Everything the header of a segment is made of.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Segment {
    /// Destination, byte 0 of the wire lowest.
    pub remote_mac: Bits<48>,
    /// 802.1Q tag is present.
    pub vlan_present: Bit,
    /// Its control information.
    pub vlan: Bits<16>,
    /// Source address.
    pub local_ip: Bits<32>,
    /// Destination address.
    pub remote_ip: Bits<32>,
    /// Source port.
    pub local_port: Bits<16>,
    /// Destination port.
    pub remote_port: Bits<16>,
    /// SEG.SEQ.
    pub seq: Bits<32>,
    /// SEG.ACK.
    pub ack: Bits<32>,
    /// Control bits, as in [`Parsed`].
    pub control: Bits<8>,
    /// SEG.WND, scaled.
    pub window: Bits<16>,
    /// With timestamps option.
    pub ts_present: Bit,
    /// TSval.
    pub ts_val: Bits<32>,
    /// TSecr.
    pub ts_ecr: Bits<32>,
    /// Bytes of payload; 0 in a pure ACK.
    pub payload_length: Bits<LENGTH_BITS>,
}
