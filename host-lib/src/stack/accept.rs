//! Listening sockets: who may come, and who waits to be accepted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use toe_driver::NicError;

use super::Stack;
use crate::socket::shared::Socket;
use crate::tcp::{Event, State};
use crate::time::Nanoseconds;

/// Why a port cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens on it.
    #[error("port {0} is in use")]
    InUse(u16),
    /// Every port is taken.
    #[error("no free port")]
    NoPort,
}

/// What the stack knows of a listening socket.
pub(super) struct Listener {
    pub(super) queue: Arc<AcceptQueue>,
    pub(super) backlog: usize,
    pub(super) since: Nanoseconds,
}

/// Connections that wait for `accept`; shared with the application.
#[derive(Default)]
pub(crate) struct AcceptQueue {
    values: Mutex<Waiting>,
    pub(crate) changed: Condvar,
}

/// What is in the queue.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) sockets: VecDeque<Arc<Socket>>,
    /// Nobody puts anything in any more.
    pub(crate) closed: bool,
}

impl AcceptQueue {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stack {
    /// Listens on a port, or on any free one if it is 0.
    pub(crate) fn listen(&mut self, port: u16, backlog: usize) -> Result<(u16, Arc<AcceptQueue>), ListenError> {
        let port = match port {
            0 => self.config.ports.clone().rev().find(|port| !self.listens(*port)).ok_or(ListenError::NoPort)?,
            port if self.listens(port) => return Err(ListenError::InUse(port)),
            port => port,
        };
        let queue = Arc::new(AcceptQueue::default());
        let backlog = backlog.clamp(1, self.config.backlog.max(1));
        self.listeners.insert(port, Listener { queue: queue.clone(), backlog, since: self.now });
        Ok((port, queue))
    }

    pub(super) fn listens(&self, port: u16) -> bool {
        self.listeners.contains_key(&port)
    }

    /// The listening socket is gone: what was not accepted is aborted.
    pub(super) fn unlisten(&mut self, port: u16) -> Result<(), NicError> {
        let Some(listener) = self.listeners.remove(&port) else { return Ok(()) };
        let waiting = std::mem::take(&mut *listener.queue.lock());
        listener.queue.lock().closed = true;
        listener.queue.changed.notify_all();
        for socket in waiting.sockets {
            socket.update(|values| (values.aborted, values.closed) = (true, true));
            self.on_activity(&socket)?;
        }
        for id in self.connections.ids() {
            let Some(connection) = self.connections.get(id) else { continue };
            let block = &connection.block;
            if block.passive && block.state == State::SynReceived && block.tuple.local.port() == port {
                self.process(id, Event::Abort, None)?;
            }
        }
        Ok(())
    }

    /// Whether one more connection may be in SYN_RECEIVED.
    pub(super) fn has_room_for_syn(&self, port: u16) -> bool {
        let in_handshake = self.connections.by_state()[State::SynReceived.index()];
        self.listeners.get(&port).is_some_and(|listener| in_handshake < listener.backlog)
    }

    /// Whether one more connection may wait for `accept`.
    pub(super) fn has_room_to_accept(&self, port: u16) -> bool {
        self.listeners.get(&port).is_some_and(|listener| listener.queue.lock().sockets.len() < listener.backlog)
    }

    /// A connection is established: the application may have it.
    pub(super) fn offer_to_listener(&mut self, port: u16, socket: Arc<Socket>) {
        self.counts.accepted += 1;
        if let Some(listener) = self.listeners.get(&port) {
            listener.queue.lock().sockets.push_back(socket);
            listener.queue.changed.notify_all();
        }
    }
}
