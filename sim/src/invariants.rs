//! What must hold in every run, checked from outside.
//!
//! [`Watched`] is an engine with an observer round it, who sees frames, commands, events and accesses to memory, nothing inside, so it is the same
//! for every engine. What it cannot see at that very moment it bounds: a value is between what has surely been processed and what may have been.
//!
//! 1. No byte is written outside the rings, none of a receive ring beyond the window announced, and no more is announced than there is room for.
//! 2. RCV.NXT does not go back and does not pass a byte that was not placed; the right edge announced does not go back.
//! 3. Nothing of a frame with a bad FCS or checksum gets anywhere: every byte placed came in a good one.
//! 4. An ACK number names what has been received, and does not go back (but for a data segment that a pure ACK has overtaken).
//! 5. Nothing is sent beyond SND.UNA + min(SND.WND, cwnd), but for what RESEND of one segment allows.
//! 6. SND.UNA <= SND.NXT <= SND.MAX <= the limit; no byte is fetched or sent that the host did not give, or that was acknowledged, but for what RESEND asked
//!    for while the ACK was on its way: it is planned already, and the peer drops it.
//! 7. Not more ranges are held than there are, and some exactly if bytes are out of order.
//! 8. The engine comes to rest (whoever runs it sees to that).

mod intervals;
mod observer;
mod watch;
mod watched;

pub use watched::Watched;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invariant {invariant}: flow {flow}: {what}")]
pub struct Violation {
    /// Its number.
    pub invariant: u8,
    /// The flow; 0xffff if none.
    pub flow: u16,
    /// What was expected and what was found.
    pub what: String,
}
