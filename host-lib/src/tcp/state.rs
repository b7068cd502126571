//! The eleven states (RFC 9293 section 3.3.2).

use std::fmt;

/// A state of a connection (RFC 9293 section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// No connection at all.
    Closed,
    /// Waiting for a connection from any remote.
    Listen,
    /// Our SYN is out.
    SynSent,
    /// Their SYN has come, ours is out and not acknowledged.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// Our FIN is out, or queued behind data, and not acknowledged; theirs has not come.
    FinWait1,
    /// Our FIN is acknowledged; theirs has not come.
    FinWait2,
    /// Their FIN has come; the application has not closed.
    CloseWait,
    /// Both FINs are out; ours is not acknowledged.
    Closing,
    /// Their FIN has come, then ours went out; it is not acknowledged.
    LastAck,
    /// Both FINs are acknowledged; waiting for what may still be on its way.
    TimeWait,
}

impl State {
    /// Every state, in the order of RFC 9293.
    pub const ALL: [State; 11] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    /// The name as RFC 9293 spells it, with underscores.
    pub fn name(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN_SENT",
            State::SynReceived => "SYN_RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN_WAIT_1",
            State::FinWait2 => "FIN_WAIT_2",
            State::CloseWait => "CLOSE_WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST_ACK",
            State::TimeWait => "TIME_WAIT",
        }
    }

    /// Its place in [`State::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Both sides know each other's sequence numbers (RFC 9293 section 3.5.1, "synchronized states").
    pub fn is_synchronised(self) -> bool {
        !matches!(self, State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    /// The application may still queue data (RFC 9293 section 3.10.2).
    pub fn may_send(self) -> bool {
        matches!(self, State::SynSent | State::SynReceived | State::Established | State::CloseWait)
    }

    /// The peer may still send data (RFC 9293 section 3.10.7.4, seventh).
    pub fn may_receive(self) -> bool {
        matches!(self, State::SynSent | State::SynReceived | State::Established | State::FinWait1 | State::FinWait2)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
