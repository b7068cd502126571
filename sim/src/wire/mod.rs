//! What is at the other end of the NIC's cable.
//!
//! ```text
//!  NIC ── send ──▶ ┌ Capture ┐ ┌ Impaired ┐ ┌ Tap, Datagram, Link, Replay ┐ ──▶ the outside
//!      ◀─ receive ─└─────────┘ └──────────┘ └─────────────────────────────┘ ◀──
//! ```
//!
//! [`Wire`] is pulled: whoever runs the NIC calls [`Wire::receive`] with the time, and may sleep until
//! [`Wire::next_event`] or until [`Wire::poll_fd`] is readable when there is nothing to do ([`wait`]). Wires that
//! wrap another one add captures and faults. [`WireSpec`] and [`Impairment`] read them from a command line.

mod capture;
mod datagram;
mod gate;
mod impair;
mod junk;
mod link;
mod replay;
mod spec;
mod tap;
mod watch;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use thiserror::Error;

use crate::time::Nanoseconds;

pub use capture::Capture;
pub use datagram::{Datagram, Framing};
pub use gate::{Gate, GateControl, Verdict};
pub use impair::{DirectionCounts, DirectionImpairment, Impaired, Impairment};
pub use junk::{Junk, JunkControl, JunkKind, JunkSettings};
pub use link::{link, LinkEnd};
pub use replay::{Pacing, Replay};
pub use spec::{SpecError, WireSpec};
pub use tap::Tap;
pub use watch::{Passed, WatchLog, Watched, HEAD};

/// The fewest bytes a frame has on the wire, without FCS (IEEE 802.3 section 3.2.8): shorter ones are padded.
pub const MIN_FRAME: usize = 60;

/// A frame on the wire: from the destination address to the last byte before the FCS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFrame {
    /// The bytes: no preamble, no FCS.
    pub bytes: Vec<u8>,
    /// What the FCS on the wire is off by: it is the right FCS of `bytes` XOR this. Zero is a good frame.
    pub fcs_xor: u32,
}

impl WireFrame {
    /// A good frame of just these bytes.
    pub fn new(bytes: Vec<u8>) -> WireFrame {
        WireFrame { bytes, fcs_xor: 0 }
    }

    /// A good frame, padded with zeros to [`MIN_FRAME`] as the sender's MAC does.
    pub fn padded(mut bytes: Vec<u8>) -> WireFrame {
        bytes.resize(bytes.len().max(MIN_FRAME), 0);
        WireFrame::new(bytes)
    }

    /// Whether the FCS is right.
    pub fn fcs_ok(&self) -> bool {
        self.fcs_xor == 0
    }
}

/// Why a wire cannot go on. A frame that gets lost is no error: that is what wires do.
#[derive(Debug, Error)]
pub enum WireError {
    /// Something outside failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, to what.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// What the wire needs is not there; `mend` says what to do about it.
    #[error("{what}: {source}\n  {mend}")]
    Missing {
        /// What was being done, to what.
        what: String,
        /// Why it failed.
        source: io::Error,
        /// What mends it.
        mend: String,
    },
    /// A capture file cannot be read.
    #[error("capture {path}: {reason}")]
    Capture {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl WireError {
    fn io(what: impl Into<String>, source: io::Error) -> WireError {
        WireError::Io { what: what.into(), source }
    }
}

/// A count that a wire keeps, with its name.
pub type Count = (&'static str, u64);

/// What is at the other end of the NIC's cable.
///
/// Time never goes back between calls, whichever they are.
pub trait Wire: Send {
    /// The NIC has sent a frame; `now` is when its last byte left.
    ///
    /// # Errors
    /// Only what makes further use senseless. A frame nobody takes is lost and counted.
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError>;

    /// The next frame that has arrived by `now`. Frames on their way out are moved on as well, so it is to be called
    /// now and then even by who expects nothing. It may cost a system call: not a thing to do in every clock cycle.
    ///
    /// # Errors
    /// Only what makes further use senseless.
    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError>;

    /// The earliest time at which `receive` could have something to do without input from outside.
    fn next_event(&self) -> Option<Nanoseconds>;

    /// What becomes readable when there is input from outside.
    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What was counted, by this wire and those it wraps.
    fn counts(&self) -> Vec<Count> {
        Vec::new()
    }
}

impl Wire for Box<dyn Wire> {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        (**self).send(now, frame)
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        (**self).receive(now)
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        (**self).next_event()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        (**self).poll_fd()
    }

    fn counts(&self) -> Vec<Count> {
        (**self).counts()
    }
}

/// Sleeps until one of these is readable, or for as long as `timeout` says. Returns whether one is readable.
///
/// # Errors
/// As `poll(2)`; a signal only ends the sleep.
pub fn wait(fds: &[BorrowedFd<'_>], timeout: Nanoseconds) -> io::Result<bool> {
    let mut fds: Vec<_> = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    // Both fit: 2^64 ns are fewer than 2^63 seconds, and the rest is less than 10^9.
    let timeout =
        Timespec { tv_sec: i64::try_from(timeout.0 / 1_000_000_000).unwrap_or(i64::MAX), tv_nsec: i64::try_from(timeout.0 % 1_000_000_000).unwrap_or(0) };
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
