//! What can happen to a connection.

use toe_wire::{SeqNumber, TcpFlags, TcpOptions, TcpSegment};

use crate::time::Nanoseconds;

/// Something that happens to a connection (RFC 9293 section 3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// OPEN call, active.
    Connect,
    /// OPEN call, passive.
    Listen,
    /// SEND call: the application has put bytes into the send ring, up to here.
    Queued(SeqNumber),
    /// RECEIVE call: the application has read up to here.
    Consumed(SeqNumber),
    /// Nagle's algorithm on or off (RFC 9293 section 3.7.4, MUST-17).
    NoDelay(bool),
    /// CLOSE call of one direction: nothing more will be sent.
    ShutdownWrite,
    /// CLOSE call: the last handle is gone.
    Close {
        /// Received data was not read by the application.
        unread: bool,
    },
    /// ABORT call.
    Abort,
    /// A segment that the engine has handed up.
    Segment(Segment),
    /// The engine tells of the flow.
    Report(Report),
    /// The engine has let go of the flow: its last values.
    Removed(Report),
    /// The engine could not take the flow.
    InstallRefused,
    /// The retransmission timer has run out: of SYN, data, FIN, or a zero window's probe.
    RetransmitTimeout,
    /// The state's own timer has run out.
    StateTimeout,
    /// An ICMP error, or no answer to ARP.
    Unreachable(Unreachable),
}

/// What an ICMP error means for a connection (RFC 9293 section 3.9.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Destination unreachable codes 0, 1 and 5, time exceeded, parameter problem: told, nothing else (MUST-56).
    Soft,
    /// Destination unreachable codes 2 to 4: ends a connection that is not yet established (SHLD-26).
    Hard,
    /// The next hop does not answer ARP: ends a connection that is not yet established.
    NoNeighbour,
}

/// A TCP segment as far as a connection's state cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// SEG.ACK; of no meaning without ACK.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field as it is on the wire.
    pub window: u16,
    /// Payload bytes.
    pub len: u32,
    /// Options.
    pub options: TcpOptions,
    /// The flow at the moment of its arrival, if the engine had one.
    pub snapshot: Option<Snapshot>,
}

impl Segment {
    /// Of a segment from the wire.
    pub fn new(tcp: &TcpSegment<'_>, snapshot: Option<Snapshot>) -> Segment {
        let len = u32::try_from(tcp.payload.len()).unwrap_or(u32::MAX);
        Segment { seq: tcp.seq, ack: tcp.ack, flags: tcp.flags, window: tcp.window, len, options: tcp.options, snapshot }
    }

    /// SEG.LEN: payload bytes, SYN and FIN (RFC 9293 section 3.4).
    pub fn seg_len(&self) -> u32 {
        self.len + u32::from(self.flags.syn()) + u32::from(self.flags.fin())
    }
}

/// What the engine's flow was when a flagged segment arrived. It may be ahead of the last report: while the host has not re-armed the
/// flow, the engine cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// RCV.NXT; counts the peer's FIN once that was received in order.
    pub rcv_nxt: SeqNumber,
    /// Furthest right edge announced.
    pub rcv_adv: SeqNumber,
    /// RCV.NXT has passed the peer's FIN.
    pub fin_received: bool,
    /// SND.UNA.
    pub snd_una: SeqNumber,
    /// SND.NXT.
    pub snd_nxt: SeqNumber,
    /// Highest SND.NXT ever.
    pub snd_max: SeqNumber,
}

/// What the engine tells of a flow: a consistent snapshot of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Report {
    /// RCV.NXT; counts the peer's FIN once that was received in order.
    pub rcv_nxt: SeqNumber,
    /// Furthest right edge announced.
    pub rcv_adv: SeqNumber,
    /// RCV.NXT has passed the peer's FIN.
    pub fin_received: bool,
    /// SND.UNA.
    pub snd_una: SeqNumber,
    /// SND.NXT; goes back on a resend.
    pub snd_nxt: SeqNumber,
    /// Highest SND.NXT ever.
    pub snd_max: SeqNumber,
    /// SND.WND in bytes.
    pub snd_wnd: u32,
    /// SND.WL1.
    pub snd_wl1: SeqNumber,
    /// SND.WL2.
    pub snd_wl2: SeqNumber,
    /// TS.Recent.
    pub ts_recent: u32,
    /// TSecr of the last segment that moved SND.UNA.
    pub ts_ecr: u32,
    /// Last round-trip sample.
    pub rtt: Nanoseconds,
    /// Samples taken, modulo 256.
    pub rtt_count: u8,
    /// Duplicate ACKs in a row, saturating.
    pub dup_acks: u8,
    /// Out-of-order ranges held.
    pub ranges: u8,
    /// Last.ACK.sent.
    pub last_ack_sent: SeqNumber,
}

impl Report {
    /// One past the last byte of data received in order (without the FIN).
    pub fn data_end(&self) -> SeqNumber {
        self.rcv_nxt - u32::from(self.fin_received)
    }
}
