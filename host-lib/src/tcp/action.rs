//! What is to be done after an event.

use std::fmt;

use toe_wire::{SeqNumber, TcpFlags, TcpOptions};

use super::State;

/// Something for the caller of [`step`](super::step) to do. They are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The connection has entered this state (for the record; the control block has it already).
    Enter(State),
    /// Send a segment from software.
    Transmit(Outgoing),
    /// The handshake is done: let the engine have the flow, with the control block's values.
    Install,
    /// Give the segment of this event to the engine, behind the commands so far, without its URG.
    Inject,
    /// Keep the segment of this event until the engine has let go of the flow, then hand it in again.
    Hold,
    /// A command to the flow.
    Engine(EngineCommand),
    /// The path may have changed: resolve the next hop again (R1 was reached, RFC 9293 section 3.8.3 (b)).
    Suspect,
    /// Tell the application that the connection has failed.
    Fail(Failure),
    /// Tell the application of an error that does not end the connection (MUST-47, MUST-56).
    SoftError,
    /// Put the connection among those in TIME_WAIT, and forget the control block.
    TimeWait,
    /// TIME_WAIT is over because of this SYN (RFC 6191): hand it to the listener, with an ISS beyond this number.
    Reopen(SeqNumber),
    /// Forget the control block.
    Delete,
}

/// A list of [`Action`]s.
pub type Actions = Vec<Action>;

/// A command to an installed flow (`docs/engine.md`, "COMMAND").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineCommand {
    /// The send ring holds bytes up to `limit`; a FIN follows if `fin`.
    Send {
        /// End of the bytes.
        limit: SeqNumber,
        /// A FIN follows them.
        fin: bool,
    },
    /// The application has read up to here.
    Consumed(SeqNumber),
    /// The congestion window in bytes.
    Cwnd(u32),
    /// Go back and send everything from here on again.
    ResendFrom(SeqNumber),
    /// Send one segment from here again; into a closed window, one byte.
    ResendOne(SeqNumber),
    /// Send an ACK.
    AckNow,
    /// Stop the flow and hand back its values.
    Remove,
}

/// Why a connection has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The peer has answered our SYN with RST.
    #[error("connection refused")]
    Refused,
    /// The peer has sent RST.
    #[error("connection reset by peer")]
    Reset,
    /// No answer within R2.
    #[error("connection timed out")]
    TimedOut,
    /// The network says that the peer cannot be reached.
    #[error("host unreachable")]
    Unreachable,
    /// The application has aborted it.
    #[error("connection aborted")]
    Aborted,
    /// The device has failed, and the stack with it.
    #[error("the network device has failed")]
    Device,
    /// The engine has no room for the flow.
    #[error("no free flow in the engine")]
    NoFlow,
    /// Every local port is in use for this remote.
    #[error("no free local port")]
    NoPort,
}

/// A segment without payload, made in software.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// SEG.ACK; zero without the ACK flag.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field.
    pub window: u16,
    /// Options.
    pub options: TcpOptions,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<SEQ={}>", self.seq)?;
        if self.flags.ack() {
            write!(f, "<ACK={}>", self.ack)?;
        }
        write!(f, "<CTL={}>", self.flags)?;
        if !self.flags.rst() {
            write!(f, "<WND={}>", self.window)?;
        }
        if let Some(mss) = self.options.mss() {
            write!(f, "<MSS={mss}>")?;
        }
        if let Some(shift) = self.options.window_scale() {
            write!(f, "<WS={shift}>")?;
        }
        if let Some(timestamps) = self.options.timestamps() {
            write!(f, "<TS={},{}>", timestamps.value, timestamps.echo_reply)?;
        }
        Ok(())
    }
}
