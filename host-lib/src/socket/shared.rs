//! What an application's threads and the stack's thread share of a socket.
//!
//! ```text
//!   application's thread                                   stack's thread
//!   write: copies into the send ring, `queued` up   --->   SEND(limit)
//!   read:  copies out of the receive ring, `consumed` up ---> CONSUMED
//!          waits for `changed`                      <---   `una`, `received`, `state`, `failure`
//! ```
//! As between engine and host, values are absolute and the message says only "look": none can be lost, and many merge into one.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use toe_wire::SeqNumber;

use super::stack_ended;
use crate::stack::rings::Rings;
use crate::tcp::{Failure, FourTuple, State};

/// A socket's shared half.
pub(crate) struct Socket {
    values: Mutex<Values>,
    changed: Condvar,
    /// A message to the stack is under way.
    told: AtomicBool,
    /// The stack's name for its connection; the application does not look at it.
    pub(crate) connection: AtomicU64,
    /// Held while bytes are copied out, so that two readers do not get the same.
    pub(crate) reading: Mutex<()>,
    /// Held while bytes are copied in.
    pub(crate) writing: Mutex<()>,
}

/// The values.
#[derive(Clone)]
pub(crate) struct Values {
    /// The connection's state.
    pub(crate) state: State,
    /// It was established at some time.
    pub(crate) connected: bool,
    /// Addresses and ports, once they are known.
    pub(crate) tuple: Option<FourTuple>,
    /// Where the bytes are.
    pub(crate) rings: Option<Arc<Rings>>,
    /// Read up to here.
    pub(crate) consumed: SeqNumber,
    /// Received in order up to here.
    pub(crate) received: SeqNumber,
    /// Nothing follows `received`.
    pub(crate) end_of_stream: bool,
    /// Written up to here.
    pub(crate) queued: SeqNumber,
    /// Acknowledged up to here.
    pub(crate) una: SeqNumber,
    /// `shutdown(Write)` was called.
    pub(crate) write_shut: bool,
    /// `shutdown(Read)` was called.
    pub(crate) read_shut: bool,
    /// The last handle is gone.
    pub(crate) closed: bool,
    /// It is to be aborted.
    pub(crate) aborted: bool,
    /// Nagle's algorithm is off.
    pub(crate) nodelay: bool,
    /// How the connection failed; told once.
    pub(crate) failure: Option<Failure>,
    /// Why the device has failed, if it has: that is told as often as somebody asks.
    pub(crate) device_failure: Option<Arc<str>>,
    /// An error that does not end the connection.
    pub(crate) soft_error: bool,
    /// The stack has forgotten the connection: nothing will change any more.
    pub(crate) over: bool,
}

impl Socket {
    pub(crate) fn new() -> Arc<Socket> {
        let zero = SeqNumber(0);
        let values = Values {
            state: State::Closed,
            connected: false,
            tuple: None,
            rings: None,
            consumed: zero,
            received: zero,
            end_of_stream: false,
            queued: zero,
            una: zero,
            write_shut: false,
            read_shut: false,
            closed: false,
            aborted: false,
            nodelay: false,
            failure: None,
            device_failure: None,
            soft_error: false,
            over: false,
        };
        Arc::new(Socket {
            values: Mutex::new(values),
            changed: Condvar::new(),
            told: AtomicBool::new(false),
            connection: AtomicU64::new(u64::MAX),
            reading: Mutex::new(()),
            writing: Mutex::new(()),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes values and wakes everybody who waits for a change.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Values)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `done` gives something, or the deadline has passed. The values are locked when it returns.
    pub(crate) fn wait<T>(&self, deadline: Option<Instant>, mut done: impl FnMut(&mut Values) -> Option<T>) -> Option<T> {
        let mut values = self.lock();
        loop {
            if let Some(result) = done(&mut values) {
                return Some(result);
            }
            let left = match deadline {
                None => Duration::from_secs(3600),
                Some(at) => at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?,
            };
            values = self.changed.wait_timeout(values, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says that there is something new; true if the stack has to be told of it.
    pub(crate) fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }

    /// The stack is about to look.
    pub(crate) fn heard(&self) {
        self.told.store(false, Ordering::Release);
    }
}

impl Values {
    /// The error to tell, if there is one.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        match &self.device_failure {
            Some(reason) => Some(stack_ended(Some(reason))),
            None => self.failure.take().map(io::Error::from),
        }
    }

    /// Bytes that can be read.
    pub(crate) fn readable(&self) -> u32 {
        self.received.offset_from(self.consumed)
    }

    /// Bytes that can be written.
    pub(crate) fn writable(&self) -> u32 {
        self.rings.as_ref().map_or(0, |rings| rings.send_size() - self.queued.offset_from(self.una))
    }
}
