//! Two NICs back to back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Wire, WireError, WireFrame};
use crate::time::Nanoseconds;

/// Frames on their way, and when each arrives.
type Lane = Arc<Mutex<VecDeque<(Nanoseconds, WireFrame)>>>;

/// One end of a cable made by [`link`].
#[derive(Debug)]
pub struct LinkEnd {
    latency: Nanoseconds,
    out: Lane,
    inward: Lane,
}

/// A cable: what is sent at one end comes out at the other `latency` later, in order. It holds as much as is put in.
pub fn link(latency: Nanoseconds) -> (LinkEnd, LinkEnd) {
    let (a, b) = (Lane::default(), Lane::default());
    (LinkEnd { latency, out: a.clone(), inward: b.clone() }, LinkEnd { latency, out: b, inward: a })
}

/// A lane stays whole even if a thread panicked while it held it: each change is one call.
fn lock(lane: &Lane) -> MutexGuard<'_, VecDeque<(Nanoseconds, WireFrame)>> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire for LinkEnd {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        lock(&self.out).push_back((now + self.latency, frame));
        Ok(())
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        let arrived = lock(&self.inward).pop_front_if(|(due, _)| *due <= now);
        Ok(arrived.map(|(_, frame)| frame))
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        lock(&self.inward).front().map(|(due, _)| *due)
    }
}
