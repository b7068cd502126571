//! `std::net::TcpStream`, over a stack.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use toe_wire::SeqNumber;

use super::shared::{Socket, Values};
use crate::stack::request::Request;
use crate::stack::rings::Rings;
use crate::stack::Handle;
use crate::tcp::State;

/// A connection. Clones share it; when the last is dropped it is closed (S18).
#[derive(Clone)]
pub struct TcpStream {
    open: Arc<Open>,
}

/// What all handles of a socket share.
struct Open {
    handle: Handle,
    socket: Arc<Socket>,
    options: Mutex<Options>,
}

#[derive(Clone, Copy, Default)]
struct Options {
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    nonblocking: bool,
    linger: Option<Duration>,
}

/// Part of a ring that may be copied.
struct Piece {
    rings: Arc<Rings>,
    start: SeqNumber,
    len: usize,
}

impl TcpStream {
    pub(super) fn of(handle: Handle, socket: Arc<Socket>) -> TcpStream {
        TcpStream { open: Arc::new(Open { handle, socket, options: Mutex::default() }) }
    }

    /// Opens a connection and waits until it is established (RFC 9293 section 3.10.1).
    ///
    /// # Errors
    /// Refused, unreachable, timed out, no free port, or no free flow in the engine.
    pub fn connect(handle: &Handle, remote: SocketAddrV4) -> io::Result<TcpStream> {
        Self::start_connect(handle, remote).established(None)
    }

    /// As [`TcpStream::connect`], but not longer than `timeout`.
    ///
    /// # Errors
    /// As [`TcpStream::connect`]; `TimedOut`.
    pub fn connect_timeout(handle: &Handle, remote: SocketAddrV4, timeout: Duration) -> io::Result<TcpStream> {
        Self::start_connect(handle, remote).established(Some(Instant::now() + timeout))
    }

    /// Opens a connection and does not wait. [`TcpStream::state`] tells how far it is, [`TcpStream::take_error`] how it failed.
    pub fn start_connect(handle: &Handle, remote: SocketAddrV4) -> TcpStream {
        let stream = TcpStream::of(handle.clone(), Socket::new());
        if !handle.send(Request::Connect { socket: stream.open.socket.clone(), remote }) {
            stream.open.socket.update(|values| handle.fail_for_good(values));
        }
        stream
    }

    fn established(self, deadline: Option<Instant>) -> io::Result<TcpStream> {
        let result = self.open.socket.wait(deadline, |values| match values.take_error() {
            Some(error) => Some(Err(error)),
            None => values.connected.then_some(Ok(())),
        });
        result.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())).map(|()| self)
    }

    /// The connection's state; once it is in TIME_WAIT or CLOSED, the socket has no part in it any more.
    pub fn state(&self) -> State {
        self.open.socket.lock().state
    }

    /// Bytes written that the peer has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        let values = self.open.socket.lock();
        values.queued.offset_from(values.una) as usize
    }

    /// The peer's address and port.
    ///
    /// # Errors
    /// Not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddrV4> {
        let values = self.open.socket.lock();
        values.tuple.filter(|_| values.connected).map(|tuple| tuple.remote).ok_or_else(not_connected)
    }

    /// Our address and port.
    ///
    /// # Errors
    /// Not even a port has been chosen.
    pub fn local_addr(&self) -> io::Result<SocketAddrV4> {
        self.open.socket.lock().tuple.map(|tuple| tuple.local).ok_or_else(not_connected)
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// None; as `std::net::TcpStream` has it.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(self.clone())
    }

    /// Shuts one direction or both, at once, however many handles there are (S17, S18). After `Write` the peer is told by FIN, when
    /// everything written has been sent; after `Read`, what was received and what comes is thrown away.
    ///
    /// # Errors
    /// Not connected.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let (read, write) = (matches!(how, Shutdown::Read | Shutdown::Both), matches!(how, Shutdown::Write | Shutdown::Both));
        let mut result = Ok(());
        self.open.socket.update(|values| {
            let connected = values.connected && !values.over;
            values.read_shut |= read && connected;
            values.write_shut |= write && connected;
            if !connected {
                result = Err(if values.device_failure.is_some() { values.take_error() } else { None }.unwrap_or_else(not_connected));
            }
        });
        self.tell();
        result
    }

    /// How long `read` waits; `None` is for ever.
    ///
    /// # Errors
    /// `InvalidInput` for zero, as `std::net::TcpStream` has it.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.options().read_timeout = not_zero(timeout)?;
        Ok(())
    }

    /// How long `write` waits; `None` is for ever.
    ///
    /// # Errors
    /// `InvalidInput` for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.options().write_timeout = not_zero(timeout)?;
        Ok(())
    }

    /// Whether `read` and `write` wait at all.
    ///
    /// # Errors
    /// None; as `std::net::TcpStream` has it.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.options().nonblocking = nonblocking;
        Ok(())
    }

    /// Turns Nagle's algorithm off (RFC 9293 section 3.7.4, MUST-17).
    ///
    /// # Errors
    /// None; as `std::net::TcpStream` has it.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.open.socket.update(|values| values.nodelay = nodelay);
        self.tell();
        Ok(())
    }

    /// What the last drop does: `None` closes in the background; zero aborts with RST; else it waits so long for the peer to have
    /// acknowledged everything, and then aborts.
    ///
    /// # Errors
    /// None; as `socket2` has it.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.options().linger = linger;
        Ok(())
    }

    /// The error that the connection has met, if it was not told yet.
    ///
    /// # Errors
    /// None; as `std::net::TcpStream` has it.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let mut values = self.open.socket.lock();
        let soft = std::mem::take(&mut values.soft_error);
        Ok(values.take_error().or_else(|| soft.then(|| io::ErrorKind::HostUnreachable.into())))
    }

    fn options(&self) -> MutexGuard<'_, Options> {
        self.open.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.open.handle.tell(&self.open.socket);
    }

    /// Waits until `done` gives something; `timeout` and non-blocking mode make it `WouldBlock`, as on Unix.
    fn wait<T>(&self, timeout: Option<Duration>, done: impl FnMut(&mut Values) -> Option<io::Result<T>>) -> io::Result<T> {
        let now = Instant::now();
        let deadline = if self.options().nonblocking { Some(now) } else { timeout.map(|timeout| now + timeout) };
        self.open.socket.wait(deadline, done).unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    fn read_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let socket = &self.open.socket;
        let _reading = socket.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = self.options().read_timeout;
        let Some(piece) = self.wait(timeout, |values| readable(values, buffer.len()))? else { return Ok(0) };
        piece.rings.read(piece.start, &mut buffer[..piece.len]);
        let end = piece.start + u32::try_from(piece.len).unwrap_or(u32::MAX);
        socket.lock().consumed = end;
        self.tell();
        Ok(piece.len)
    }

    fn write_some(&self, buffer: &[u8]) -> io::Result<usize> {
        let socket = &self.open.socket;
        let _writing = socket.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = self.options().write_timeout;
        let piece = self.wait(timeout, |values| writable(values, buffer.len()))?;
        piece.rings.write(piece.start, &buffer[..piece.len]);
        let end = piece.start + u32::try_from(piece.len).unwrap_or(u32::MAX);
        let mut values = socket.lock();
        // A shutdown may have come in between: then the FIN is where it was, and these bytes are not sent.
        if values.write_shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        values.queued = end;
        drop(values);
        self.tell();
        Ok(piece.len)
    }
}

/// What `read` may do now: all bytes first (S03), then the error, then the end of the stream.
fn readable(values: &mut Values, most: usize) -> Option<io::Result<Option<Piece>>> {
    let len = most.min(values.readable() as usize);
    if let Some(rings) = values.rings.clone().filter(|_| len > 0 && !values.read_shut) {
        return Some(Ok(Some(Piece { rings, start: values.consumed, len })));
    }
    if let Some(error) = values.take_error() {
        return Some(Err(error));
    }
    // In between, a connection that has been reset is CLOSED already, but what came before the reset may not all be there.
    (values.end_of_stream || values.read_shut || values.over).then_some(Ok(None))
}

/// What `write` may do now.
fn writable(values: &mut Values, most: usize) -> Option<io::Result<Piece>> {
    if let Some(error) = values.take_error() {
        return Some(Err(error));
    }
    if values.over || values.connected && (values.write_shut || !values.state.may_send() && values.state != State::Closed) {
        return Some(Err(io::ErrorKind::BrokenPipe.into()));
    }
    if values.state == State::Closed {
        return None;
    }
    let len = most.min(values.writable() as usize);
    let rings = values.rings.clone().filter(|_| len > 0 || most == 0)?;
    Some(Ok(Piece { rings, start: values.queued, len }))
}

fn not_connected() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

fn not_zero(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    match timeout {
        Some(Duration::ZERO) => Err(io::ErrorKind::InvalidInput.into()),
        timeout => Ok(timeout),
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.open.socket.lock();
        write!(f, "TcpStream({}", values.state)?;
        values.tuple.map_or(Ok(()), |tuple| write!(f, ", {tuple}"))?;
        f.write_str(")")
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_some(buffer)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_some(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_some(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Open {
    /// CLOSE (RFC 9293 section 3.10.4): everything written is still sent, then FIN (S01).
    fn drop(&mut self) {
        let linger = self.options.get_mut().unwrap_or_else(PoisonError::into_inner).linger;
        if let Some(patience) = linger.filter(|patience| !patience.is_zero()) {
            self.socket.update(|values| values.write_shut = true);
            self.handle.tell(&self.socket);
            let deadline = Instant::now() + patience;
            let done = |values: &mut Values| (!values.connected || values.over || values.una == values.queued).then_some(());
            if self.socket.wait(Some(deadline), done).is_none() {
                self.socket.update(|values| values.aborted = true);
            }
        }
        self.socket.update(|values| {
            values.closed = true;
            values.aborted |= linger.is_some_and(|linger| linger.is_zero());
        });
        self.handle.tell(&self.socket);
    }
}
