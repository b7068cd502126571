//! Which connection's time comes next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::connections::ConnectionId;
use crate::time::Nanoseconds;

/// Deadlines of connections, earliest first: O(log n) for each. An entry may come too early: whoever takes it looks at the
/// connection's own deadline, and queues again. So a deadline that moves away, as it does with every ACK, costs nothing.
#[derive(Default)]
pub(crate) struct TimerQueue {
    heap: BinaryHeap<Reverse<(Nanoseconds, ConnectionId)>>,
}

impl TimerQueue {
    /// Wants `id` to be given by [`expired`](TimerQueue::expired) at `at`.
    pub(crate) fn push(&mut self, at: Nanoseconds, id: ConnectionId) {
        self.heap.push(Reverse((at, id)));
    }

    /// A connection whose time has come.
    pub(crate) fn expired(&mut self, now: Nanoseconds) -> Option<(Nanoseconds, ConnectionId)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// When to look again.
    pub(crate) fn next(&self) -> Option<Nanoseconds> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Entries, those that are too early included.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}
