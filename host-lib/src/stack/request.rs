//! What applications ask of the stack.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{bounded, Receiver, Sender};
use toe_driver::{NicError, Waker};

use super::accept::{AcceptQueue, ListenError};
use super::connections::ConnectionId;
use super::{SocketInfo, Stack, Statistics};
use crate::log::LifeLog;
use crate::socket::shared::{Socket, Values};
use crate::socket::stack_ended;
use crate::tcp::{ControlBlock, Event, Failure, FourTuple, State};

/// A message to the stack.
pub(crate) enum Request {
    /// `bind` and `listen`.
    Listen { port: u16, backlog: usize, reply: Sender<Result<(u16, Arc<AcceptQueue>), ListenError>> },
    /// The listening socket is gone.
    Unlisten(u16),
    /// `connect`.
    Connect { socket: Arc<Socket>, remote: SocketAddrV4 },
    /// The application has changed values of this socket.
    Activity(Arc<Socket>),
    /// Which sockets are there?
    Sockets(Sender<Vec<SocketInfo>>),
    /// How is it going?
    Statistics(Sender<Statistics>),
    /// The stack is to end.
    Stop,
}

/// The way from applications' threads to a stack. Clones are cheap.
#[derive(Clone)]
pub struct Handle {
    requests: Sender<Request>,
    shared: Arc<HandleShared>,
}

struct HandleShared {
    waker: Waker,
    /// The stack's thread sleeps, or is about to.
    asleep: AtomicBool,
    log: LifeLog,
    address: Ipv4Addr,
    /// The stack has ended; why, if it was the device.
    ended: OnceLock<Option<Arc<str>>>,
}

impl Handle {
    pub(super) fn new(requests: Sender<Request>, waker: Waker, log: LifeLog, address: Ipv4Addr) -> Handle {
        Handle { requests, shared: Arc::new(HandleShared { waker, asleep: AtomicBool::new(false), log, address, ended: OnceLock::new() }) }
    }

    /// The stack's address.
    pub fn address(&self) -> Ipv4Addr {
        self.shared.address
    }

    /// The life log.
    pub fn log(&self) -> LifeLog {
        self.shared.log.clone()
    }

    /// All sockets, with their states, queues and timers; `None` if the stack has ended.
    pub fn sockets(&self) -> Option<Vec<SocketInfo>> {
        self.ask(Request::Sockets)
    }

    /// Counts; `None` if the stack has ended.
    pub fn statistics(&self) -> Option<Statistics> {
        self.ask(Request::Statistics)
    }

    /// Ends the stack: what is open is cut off.
    pub fn stop(&self) {
        self.send(Request::Stop);
    }

    /// Sends a request and waits for its answer; `None` if the stack has ended.
    pub(crate) fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = bounded(1);
        self.send(request(reply)).then(|| answer.recv().ok()).flatten()
    }

    /// Sends a request; false if the stack has ended. A stack that ends says so before it looks at the requests for the last time.
    pub(crate) fn send(&self, request: Request) -> bool {
        let sent = self.requests.send(request).is_ok() && self.shared.ended.get().is_none();
        if sent && self.shared.asleep.load(Ordering::SeqCst) {
            (self.shared.waker)();
        }
        sent
    }

    /// Says that a socket's values have changed.
    pub(crate) fn tell(&self, socket: &Arc<Socket>) {
        if socket.tell() && !self.send(Request::Activity(socket.clone())) {
            socket.update(|values| self.fail_for_good(values));
        }
    }

    /// What becomes of a socket whose stack has ended.
    pub(crate) fn fail_for_good(&self, values: &mut Values) {
        if !values.over {
            values.failure = Some(Failure::Aborted);
            values.device_failure = self.reason();
        }
        values.state = State::Closed;
        values.over = true;
    }

    /// The error of a stack that has ended.
    pub(crate) fn ended(&self) -> io::Error {
        stack_ended(self.reason().as_deref())
    }

    fn reason(&self) -> Option<Arc<str>> {
        self.shared.ended.get().cloned().flatten()
    }

    /// The stack is about to sleep; to be followed by a last look at the requests.
    pub(super) fn set_asleep(&self, asleep: bool) {
        self.shared.asleep.store(asleep, Ordering::SeqCst);
    }
}

impl Stack {
    pub(super) fn on_request(&mut self, request: Request) -> Result<(), NicError> {
        match request {
            Request::Listen { port, backlog, reply } => {
                let answer = self.listen(port, backlog);
                let taken = answer.as_ref().ok().map(|(port, _)| *port);
                // Whoever asked may be gone; then nobody listens.
                match (reply.send(answer), taken) {
                    (Err(_), Some(port)) => self.unlisten(port),
                    _ => Ok(()),
                }
            }
            Request::Unlisten(port) => self.unlisten(port),
            Request::Connect { socket, remote } => self.connect(socket, remote),
            Request::Activity(socket) => self.on_activity(&socket),
            Request::Sockets(reply) => {
                let _ = reply.send(self.sockets());
                Ok(())
            }
            Request::Statistics(reply) => {
                let _ = reply.send(self.statistics());
                Ok(())
            }
            Request::Stop => {
                self.stopping = true;
                Ok(())
            }
        }
    }

    /// An active open. A flow number and rings are taken right away: to find out after the handshake that there are none helps nobody.
    fn connect(&mut self, socket: Arc<Socket>, remote: SocketAddrV4) -> Result<(), NicError> {
        let refuse = |failure| {
            socket.update(|values| (values.failure, values.over) = (Some(failure), true));
            Ok(())
        };
        let reachable = self.config.is_unicast(*remote.ip()) && *remote.ip() != self.config.address && remote.port() != 0;
        if !reachable || self.config.next_hop(*remote.ip()).is_none() {
            return refuse(Failure::Unreachable);
        }
        let Some(tuple) = self.choose_tuple(remote) else { return refuse(Failure::NoPort) };
        let block = ControlBlock::new(self.settings.clone(), tuple, self.secret.isn(tuple, self.now), self.secret.timestamp_offset(tuple));
        let id = self.connections.insert(block, self.now);
        if !self.provide(id) {
            self.forget(id);
            return refuse(Failure::NoFlow);
        }
        socket.connection.store(id.to_u64(), Ordering::Release);
        socket.update(|values| values.tuple = Some(tuple));
        if let Some(connection) = self.connections.get_mut(id) {
            connection.socket = Some(socket.clone());
        }
        self.process(id, Event::Connect, None)?;
        self.on_activity(&socket)
    }

    /// A local port such that the tuple is neither in use nor in TIME_WAIT (S06).
    fn choose_tuple(&mut self, remote: SocketAddrV4) -> Option<FourTuple> {
        let with = |port| FourTuple::new(self.config.address, port, *remote.ip(), remote.port());
        let (connections, time_wait, listeners) = (&self.connections, &self.time_wait, &self.listeners);
        let free = |port| {
            let tuple = with(port);
            connections.find(tuple).is_none() && !time_wait.contains(tuple) && !listeners.contains_key(&port)
        };
        self.ports.choose(&self.secret, with(0), free).map(with)
    }

    /// The application has changed something of a socket: its values say what.
    pub(super) fn on_activity(&mut self, socket: &Arc<Socket>) -> Result<(), NicError> {
        socket.heard();
        let id = ConnectionId::from_u64(socket.connection.load(Ordering::Acquire));
        let values = socket.lock().clone();
        if values.aborted {
            self.process(id, Event::Abort, None)?;
        }
        self.on_new_values(id, &values)?;
        let Some(connection) = self.connections.get(id) else { return Ok(()) };
        if values.closed && !connection.block.orphan {
            let unread = !values.read_shut && connection.block.consumed != connection.block.data_end();
            self.process(id, Event::Close { unread }, None)?;
        }
        Ok(())
    }

    fn on_new_values(&mut self, id: ConnectionId, values: &Values) -> Result<(), NicError> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        connection.read_shut = values.read_shut;
        let block = &connection.block;
        let consumed = if values.read_shut { block.data_end() } else { values.consumed };
        let mut events = Vec::new();
        if values.nodelay != block.nodelay {
            events.push(Event::NoDelay(values.nodelay));
        }
        if values.connected && values.queued.gt(block.queued) {
            events.push(Event::Queued(values.queued));
        }
        if values.connected && consumed.gt(block.consumed) {
            events.push(Event::Consumed(consumed));
        }
        if values.write_shut && !block.fin_queued {
            events.push(Event::ShutdownWrite);
        }
        for event in events {
            self.process(id, event, None)?;
        }
        Ok(())
    }

    /// The device has failed: everybody is told why.
    pub(super) fn fail(&mut self, reason: &str) {
        let _ = self.handle.shared.ended.set(Some(reason.into()));
        self.fail_everything();
    }

    /// The stack ends: nobody is left waiting.
    pub(super) fn fail_everything(&mut self) {
        self.stopping = true;
        let _ = self.handle.shared.ended.set(None);
        for listener in self.listeners.values() {
            listener.queue.lock().closed = true;
            listener.queue.changed.notify_all();
        }
        for connection in self.connections.iter() {
            if let Some(socket) = &connection.socket {
                socket.update(|values| self.handle.fail_for_good(values));
            }
        }
        for request in self.requests.try_iter() {
            if let Request::Connect { socket, .. } | Request::Activity(socket) = request {
                socket.update(|values| self.handle.fail_for_good(values));
            }
        }
    }

    /// The queue of requests, to be looked at before sleeping.
    pub(super) fn has_requests(&self) -> bool {
        let requests: &Receiver<Request> = &self.requests;
        !requests.is_empty()
    }
}
