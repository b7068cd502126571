//! Looks at what goes over a wire while it goes.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Count, Wire, WireError, WireFrame};
use crate::time::Nanoseconds;

/// A frame that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// When.
    pub at: Nanoseconds,
    /// The NIC sent it; else it came to the NIC.
    pub sent: bool,
    /// Its first bytes, at most [`HEAD`].
    pub head: Vec<u8>,
    /// Bytes of it.
    pub length: usize,
}

/// Bytes that are kept of a frame: Ethernet with a tag, IPv4 and TCP with all options.
pub const HEAD: usize = 18 + 60 + 60;

/// What passed so far. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct WatchLog(Arc<Mutex<Vec<Passed>>>);

impl WatchLog {
    /// All that passed, in order.
    pub fn passed(&self) -> Vec<Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, at: Nanoseconds, sent: bool, frame: &WireFrame) {
        let head = frame.bytes[..frame.bytes.len().min(HEAD)].to_vec();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Passed { at, sent, head, length: frame.bytes.len() });
    }
}

/// A wire that writes down the heads of the good frames that pass.
#[derive(Debug)]
pub struct Watched<W> {
    inner: W,
    log: WatchLog,
}

impl<W: Wire> Watched<W> {
    /// Looks at this wire.
    pub fn new(inner: W) -> (Watched<W>, WatchLog) {
        let log = WatchLog::default();
        (Watched { inner, log: log.clone() }, log)
    }
}

impl<W: Wire> Wire for Watched<W> {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        self.log.push(now, true, &frame);
        self.inner.send(now, frame)
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        let frame = self.inner.receive(now)?;
        if let Some(frame) = frame.as_ref().filter(|f| f.fcs_ok()) {
            self.log.push(now, false, frame);
        }
        Ok(frame)
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        self.inner.next_event()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }

    fn counts(&self) -> Vec<Count> {
        self.inner.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::link::link;

    #[test]
    fn both_directions_are_seen_in_order_and_passed_on() {
        let (a, mut b) = link(Nanoseconds(10));
        let (mut a, log) = Watched::new(a);
        a.send(Nanoseconds(1), WireFrame::new(vec![1; 200])).unwrap();
        b.send(Nanoseconds(2), WireFrame::new(vec![2; 60])).unwrap();
        assert_eq!(b.receive(Nanoseconds(11)).unwrap().map(|f| f.bytes), Some(vec![1; 200]));
        assert_eq!(a.receive(Nanoseconds(12)).unwrap().map(|f| f.bytes), Some(vec![2; 60]));
        let first = Passed { at: Nanoseconds(1), sent: true, head: vec![1; HEAD], length: 200 };
        let second = Passed { at: Nanoseconds(12), sent: false, head: vec![2; 60], length: 60 };
        assert_eq!(log.passed(), [first, second]);
    }
}
