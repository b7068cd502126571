//! Exactly one message with its file descriptors, in or out.
//!
//! Descriptors that come in are closed when the message is dropped, and are never inherited (`MSG_CMSG_CLOEXEC`). A descriptor belongs to the
//! message in whose bytes it came.

use crate::message::{Header, HEADER_SIZE, MAX_FDS};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{recvmsg, sendmsg, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Most descriptors that the kernel lets one `sendmsg` carry (`SCM_MAX_FD`): room for them all, so that none is cut off unseen.
const KERNEL_FDS: usize = 253;

/// A message as it came.
#[derive(Debug)]
pub struct Message {
    /// Header; its size is that of header and body.
    pub header: Header,
    /// Body.
    pub body: Vec<u8>,
    /// Descriptors, at most [`MAX_FDS`].
    pub fds: Vec<OwnedFd>,
    /// Descriptors beyond those, which have been closed; at least 1 if there were some that we had no numbers for.
    pub surplus: usize,
}

/// Why no message came or went. The stream is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The stream ended in mid-message.
    #[error("the other side hung up in mid-message: expected {expected} bytes, found {found}")]
    Truncated {
        /// Bytes of the header, or of the body.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// A header whose size is less than its own, or too much.
    #[error("a message of {} bytes: expected {} to {}", .0.size, HEADER_SIZE, HEADER_SIZE + crate::message::MAX_BODY)]
    Size(Header),
    /// Nothing happened in time.
    #[error("{0}: no progress in time")]
    TimedOut(&'static str),
    /// The system says no.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

fn system(what: &'static str) -> impl FnOnce(Errno) -> SocketError {
    move |e| SocketError::System { what, source: e.into() }
}

/// Waits for the next message, and takes it. `None` means that the other side hung up between two messages.
///
/// The message must begin before `first` (`None`: whenever), and be complete `rest` later.
///
/// # Errors
/// It hung up in mid-message, nothing came in time, or the header's size is impossible.
pub fn receive(stream: impl AsFd, first: Option<Instant>, rest: Duration) -> Result<Option<Message>, SocketError> {
    let stream = stream.as_fd();
    let mut came = Came::default();
    let mut bytes = [0; HEADER_SIZE];
    // One byte at least, then the clock runs.
    let begun = came.some(stream, &mut bytes, first)?;
    if begun == 0 {
        return Ok(None);
    }
    let end = Instant::now() + rest;
    came.all(stream, &mut bytes, begun, end)?;
    let header = Header::decode(&bytes);
    let mut body = vec![0; header.body().ok_or(SocketError::Size(header))?];
    came.all(stream, &mut body, 0, end)?;
    Ok(Some(Message { header, body, fds: came.fds, surplus: came.surplus }))
}

/// Descriptors that have come with the bytes so far.
#[derive(Default)]
struct Came {
    fds: Vec<OwnedFd>,
    surplus: usize,
}

impl Came {
    fn all(&mut self, stream: BorrowedFd<'_>, bytes: &mut [u8], mut found: usize, end: Instant) -> Result<(), SocketError> {
        while found < bytes.len() {
            match self.some(stream, &mut bytes[found..], Some(end))? {
                0 => return Err(SocketError::Truncated { expected: bytes.len(), found }),
                n => found += n,
            }
        }
        Ok(())
    }

    /// Reads what is there, at least a byte; 0 at the end of the stream.
    fn some(&mut self, stream: BorrowedFd<'_>, bytes: &mut [u8], end: Option<Instant>) -> Result<usize, SocketError> {
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(KERNEL_FDS))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            match recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT) {
                Ok(got) => {
                    self.take(&mut ancillary);
                    // We have no numbers left for those that were cut off: a message must not pass for one that never had them.
                    self.surplus += usize::from(got.flags.contains(ReturnFlags::CTRUNC));
                    return Ok(got.bytes);
                }
                Err(Errno::AGAIN) => ready(stream, PollFlags::IN, end, "receiving")?,
                Err(Errno::INTR) => {}
                Err(e) => return Err(system("receiving")(e)),
            }
        }
    }

    fn take(&mut self, ancillary: &mut RecvAncillaryBuffer<'_>) {
        for message in ancillary.drain() {
            let RecvAncillaryMessage::ScmRights(fds) = message else { continue };
            for fd in fds {
                if self.fds.len() < MAX_FDS {
                    self.fds.push(fd);
                } else {
                    self.surplus += 1;
                }
            }
        }
    }
}

/// Sends one message: header, the parts of its body, descriptors.
///
/// # Errors
/// The other side is gone, or takes nothing before `end`.
pub fn send(stream: impl AsFd, header: &Header, body: &[&[u8]], fds: &[BorrowedFd<'_>], end: Instant) -> Result<(), SocketError> {
    if fds.len() > MAX_FDS {
        return Err(system("sending more descriptors than a message may have")(Errno::TOOBIG));
    }
    let stream = stream.as_fd();
    let head = header.encode();
    let parts: Vec<&[u8]> = std::iter::once(head.as_slice()).chain(body.iter().copied()).collect();
    let total: usize = parts.iter().map(|p| p.len()).sum();
    let mut sent = 0;
    while sent < total {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        // The descriptors go with the first byte.
        if sent == 0 && !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(system("making room for descriptors")(Errno::TOOBIG));
        }
        match sendmsg(stream, &remaining(&parts, sent), &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(n) => sent += n,
            Err(Errno::AGAIN) => ready(stream, PollFlags::OUT, Some(end), "sending")?,
            Err(Errno::INTR) => {}
            Err(e) => return Err(system("sending")(e)),
        }
    }
    Ok(())
}

/// What of the parts lies behind the first `sent` bytes.
fn remaining<'a>(parts: &[&'a [u8]], mut sent: usize) -> Vec<IoSlice<'a>> {
    let mut slices = Vec::with_capacity(parts.len());
    for part in parts {
        let skip = sent.min(part.len());
        sent -= skip;
        if skip < part.len() {
            slices.push(IoSlice::new(&part[skip..]));
        }
    }
    slices
}

/// Waits until the stream can go on, at most until `end`.
fn ready(stream: BorrowedFd<'_>, what: PollFlags, end: Option<Instant>, doing: &'static str) -> Result<(), SocketError> {
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(SocketError::TimedOut(doing));
        }
        let left = left.and_then(|l| Timespec::try_from(l).ok());
        match poll(&mut [PollFd::from_borrowed_fd(stream, what)], left.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(system("poll")(e)),
        }
    }
}
