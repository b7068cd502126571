//! `std::net::TcpListener`, over a stack.

use std::fmt;
use std::io;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::shared::Socket;
use super::TcpStream;
use crate::stack::accept::AcceptQueue;
use crate::stack::request::Request;
use crate::stack::{Handle, ListenError, Stack};

/// Connections that wait for `accept`, most, unless the stack's configuration says less.
const BACKLOG: usize = 128;

/// A listening socket. It stays while connections come and go (S24); when it is dropped, those not accepted are reset.
pub struct TcpListener {
    handle: Handle,
    port: u16,
    queue: Arc<AcceptQueue>,
    nonblocking: AtomicBool,
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpListener({}:{})", self.handle.address(), self.port)
    }
}

impl TcpListener {
    /// Listens on a port of the stack's address; port 0 is any free one.
    ///
    /// # Errors
    /// The port is in use, or the stack has ended.
    pub fn bind(handle: &Handle, port: u16) -> io::Result<TcpListener> {
        let (port, queue) = handle.ask(|reply| Request::Listen { port, backlog: BACKLOG, reply }).ok_or_else(|| handle.ended())??;
        Ok(TcpListener::new(handle.clone(), port, queue))
    }

    fn new(handle: Handle, port: u16, queue: Arc<AcceptQueue>) -> TcpListener {
        TcpListener { handle, port, queue, nonblocking: AtomicBool::new(false) }
    }

    /// Waits for a connection; gives it with the peer's address.
    ///
    /// # Errors
    /// `WouldBlock` if the listener is non-blocking and nobody is there; the stack has ended.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddrV4)> {
        let deadline = self.nonblocking.load(Ordering::Relaxed).then(Instant::now);
        self.accept_until(deadline).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })
    }

    /// Waits for a connection for so long.
    ///
    /// # Errors
    /// `TimedOut`; the stack has ended.
    pub fn accept_timeout(&self, timeout: Duration) -> io::Result<(TcpStream, SocketAddrV4)> {
        self.accept_until(Some(Instant::now() + timeout))
    }

    fn accept_until(&self, deadline: Option<Instant>) -> io::Result<(TcpStream, SocketAddrV4)> {
        let socket = self.next(deadline)?;
        let stream = TcpStream::of(self.handle.clone(), socket);
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    fn next(&self, deadline: Option<Instant>) -> io::Result<Arc<Socket>> {
        let mut waiting = self.queue.lock();
        loop {
            if let Some(socket) = waiting.sockets.pop_front() {
                return Ok(socket);
            }
            if waiting.closed {
                return Err(self.handle.ended());
            }
            let left = match deadline {
                None => Duration::from_secs(3600),
                Some(at) => at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or(io::ErrorKind::TimedOut)?,
            };
            waiting = self.queue.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Connections, one after the other, for ever.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None; as `std::net::TcpListener` has it.
    pub fn local_addr(&self) -> io::Result<SocketAddrV4> {
        Ok(SocketAddrV4::new(self.handle.address(), self.port))
    }

    /// Whether `accept` waits.
    ///
    /// # Errors
    /// None; as `std::net::TcpListener` has it.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.handle.send(Request::Unlisten(self.port));
    }
}

impl Stack {
    /// As [`TcpListener::bind`], for the thread that drives the stack itself.
    ///
    /// # Errors
    /// The port is in use.
    pub fn bind(&mut self, port: u16) -> Result<TcpListener, ListenError> {
        let (port, queue) = self.listen(port, BACKLOG)?;
        Ok(TcpListener::new(self.handle(), port, queue))
    }
}

/// Connections of a listener.
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}
