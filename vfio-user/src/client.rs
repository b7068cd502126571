//! The client's side: registers, DMA mappings, interrupts and reset of a function in another process.
//!
//! One request is under way at a time; threads take turns. Every wait has a deadline. When the server is gone, has not answered in time or
//! said what it must not, the client is dead: the stream is shut down, and every call of every thread fails at once.

use crate::message::{
    Access, Capabilities, Command, DecodeError, DeviceInfo, DmaMap, DmaUnmap, Header, IrqAction, IrqData, IrqInfo, Kind, RegionInfo, Request, SetIrqs, Version,
    MAJOR, MAX_FDS, MINOR, REGION_INFO_SIZE,
};
use crate::socket::{receive, send, Message, SocketError};
use crate::Errno;
use rustix::net::{connect, socket_with, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Most bytes that a region's description may have.
const MAX_REGION_INFO: u32 = 64 << 10;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server says no; the next request may go better.
    #[error("the server refuses {command:?}: {errno}")]
    Refused {
        /// What was asked for.
        command: Command,
        /// What it said.
        errno: Errno,
    },
    /// The server is gone.
    #[error("the server has hung up")]
    HungUp,
    /// Nothing comes or goes any more.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// An answer that cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An answer that is none to the question.
    #[error("the server's answer to {command:?}: {what}")]
    Answer {
        /// What was asked for.
        command: Command,
        /// Expected and found.
        what: String,
    },
    /// An earlier request has failed in a way after which there is no other.
    #[error("the connection to the server has ended: {0}")]
    Dead(String),
}

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    timeout: Duration,
    capabilities: Capabilities,
    /// Number of the next request. Held while one is under way.
    next: Mutex<u16>,
    /// Why there is no going on.
    dead: OnceLock<String>,
}

impl Client {
    /// Connects to the server at that socket and agrees on the version. This and every answer must begin within `timeout`, and be whole after as
    /// much again.
    ///
    /// # Errors
    /// There is no server, or it does not answer: it serves one client at a time.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Client, ClientError> {
        let system = |e: Errno| SocketError::System { what: "connecting", source: e.into() };
        let end = Instant::now() + timeout;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(system)?;
        let address = SocketAddrUnix::new(path).map_err(system)?;
        loop {
            match connect(&socket, &address) {
                Ok(()) => return Client::new(socket.into(), timeout),
                // Its queue of clients is full.
                Err(Errno::AGAIN) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                Err(Errno::INTR) => {}
                Err(e) => return Err(system(e).into()),
            }
        }
    }

    /// The same over a stream that is connected already.
    ///
    /// # Errors
    /// The server does not answer, or speaks another version.
    pub fn new(stream: UnixStream, timeout: Duration) -> Result<Client, ClientError> {
        let client = Client { stream, timeout, capabilities: Capabilities::default(), next: Mutex::new(0), dead: OnceLock::new() };
        let ours = Version { major: MAJOR, minor: MINOR, capabilities: Capabilities::ours() };
        let reply = client.call(&Request::Version(ours), &[])?;
        let theirs = Version::decode(&reply.body)?;
        if theirs.major != MAJOR || theirs.minor > MINOR {
            return Err(wrong(Command::Version, format!("expected version {MAJOR}.{MINOR} or less, found {}.{}", theirs.major, theirs.minor)));
        }
        Ok(Client { capabilities: theirs.capabilities, ..client })
    }

    /// What the server can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What the function has.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn device_info(&self) -> Result<DeviceInfo, ClientError> {
        let reply = self.call(&Request::DeviceGetInfo { argsz: DeviceInfo::SIZE }, &[])?;
        self.understood(DeviceInfo::decode(&reply.body).map_err(ClientError::from))
    }

    /// A region, and the descriptor by which it is mapped if it can be. What may be mapped lies inside the region.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn region_info(&self, index: u32) -> Result<(RegionInfo, Option<OwnedFd>), ClientError> {
        let mut room = REGION_INFO_SIZE;
        loop {
            let mut reply = self.call(&Request::DeviceGetRegionInfo { argsz: room, index }, &[])?;
            let (info, needed) = self.understood(RegionInfo::decode(&reply.body).map_err(ClientError::from))?;
            if needed > room && needed <= MAX_REGION_INFO {
                room = needed;
                continue;
            }
            let inside = |offset: u64, size: u64| offset.checked_add(size).is_some_and(|end| end <= info.size);
            let fd = if info.mappable { reply.fds.pop() } else { None };
            let good = info.index == index && needed <= room && info.mappable == fd.is_some() && info.areas.iter().all(|a| inside(a.offset, a.size));
            let what = || format!("expected region {index} of up to {room} bytes, found {info:?} of {needed} bytes");
            self.understood(expect(good, Command::DeviceGetRegionInfo, what))?;
            return Ok((info, fd));
        }
    }

    /// A kind of interrupts.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn irq_info(&self, index: u32) -> Result<IrqInfo, ClientError> {
        let reply = self.call(&Request::DeviceGetIrqInfo { argsz: IrqInfo::SIZE, index }, &[])?;
        self.understood(IrqInfo::decode(&reply.body).map_err(ClientError::from))
    }

    /// Reads from a region, at most as much as the server gives in one message.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn region_read(&self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), ClientError> {
        let command = Command::RegionRead;
        let access = self.access(command, region, offset, data.len())?;
        let reply = self.call(&Request::RegionRead(access), &[])?;
        let (found, read) = self.understood(Access::decode_reply(command, &reply.body).map_err(ClientError::from))?;
        let good = found == access && read.len() == data.len();
        self.understood(expect(good, command, || format!("expected {access:?}, found {found:?} with {} bytes", read.len())))?;
        data.copy_from_slice(read);
        Ok(())
    }

    /// Writes to a region, at most as much as the server takes in one message, and waits until it is done.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn region_write(&self, region: u32, offset: u64, data: &[u8]) -> Result<(), ClientError> {
        let command = Command::RegionWrite;
        let access = self.access(command, region, offset, data.len())?;
        let reply = self.call(&Request::RegionWrite(access, data), &[])?;
        let (found, _) = self.understood(Access::decode_reply(command, &reply.body).map_err(ClientError::from))?;
        self.understood(expect(found == access, command, || format!("expected {access:?}, found {found:?}")))
    }

    /// Writes to a region without waiting: done before any later request. Nobody says if the server refuses it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn region_write_posted(&self, region: u32, offset: u64, data: &[u8]) -> Result<(), ClientError> {
        let access = self.access(Command::RegionWrite, region, offset, data.len())?;
        let mut next = self.begin()?;
        let sent = self.send(&mut next, &Request::RegionWrite(access, data), &[], false);
        sent.map(|_| ()).map_err(|e| self.die(e.into()))
    }

    /// Shows memory to the function: the file behind `fd`, from `map.offset` on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn dma_map(&self, map: DmaMap, fd: BorrowedFd<'_>) -> Result<(), ClientError> {
        self.call(&Request::DmaMap(map), &[fd]).map(|_| ())
    }

    /// Takes it back: when this returns there is no access to it any more.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn dma_unmap(&self, iova: u64, size: u64) -> Result<(), ClientError> {
        self.call(&Request::DmaUnmap(DmaUnmap { argsz: 24, iova, size, all: false }), &[]).map(|_| ())
    }

    /// Lets the interrupts `start` and following of a kind be signalled by these eventfds, in as many messages as the server wants.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn set_eventfds(&self, index: u32, start: u32, eventfds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let most = usize::try_from(self.capabilities.max_msg_fds).unwrap_or(MAX_FDS).clamp(1, MAX_FDS);
        let mut at = start;
        for some in eventfds.chunks(most) {
            // At most 16 of them.
            let count = u32::try_from(some.len()).unwrap_or(u32::MAX);
            self.call(&Request::DeviceSetIrqs(SetIrqs { index, start: at, count, action: IrqAction::Trigger, data: IrqData::Eventfds }), some)?;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    /// Switches a kind of interrupts off.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn disable_irqs(&self, index: u32) -> Result<(), ClientError> {
        let set = SetIrqs { index, start: 0, count: 0, action: IrqAction::Trigger, data: IrqData::None };
        self.call(&Request::DeviceSetIrqs(set), &[]).map(|_| ())
    }

    /// Resets the function.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn reset(&self) -> Result<(), ClientError> {
        self.call(&Request::DeviceReset, &[]).map(|_| ())
    }

    fn access(&self, command: Command, region: u32, offset: u64, bytes: usize) -> Result<Access, ClientError> {
        let most = self.capabilities.max_data_xfer_size.min(Capabilities::ours().max_data_xfer_size);
        match u32::try_from(bytes) {
            Ok(count) if u64::from(count) <= most => Ok(Access { offset, region, count }),
            _ => Err(ClientError::Refused { command, errno: Errno::MSGSIZE }),
        }
    }

    fn begin(&self) -> Result<MutexGuard<'_, u16>, ClientError> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match self.dead.get() {
            Some(why) => Err(ClientError::Dead(why.clone())),
            None => Ok(next),
        }
    }

    fn send(&self, next: &mut u16, request: &Request<'_>, fds: &[BorrowedFd<'_>], reply: bool) -> Result<Header, SocketError> {
        let body = request.encode();
        let header = Header::command(*next, request.command(), body.len(), reply);
        *next = next.wrapping_add(1);
        send(&self.stream, &header, &[&body], fds, Instant::now() + self.timeout)?;
        Ok(header)
    }

    fn call(&self, request: &Request<'_>, fds: &[BorrowedFd<'_>]) -> Result<Message, ClientError> {
        let mut next = self.begin()?;
        let answer = self.send(&mut next, request, fds, true).map_err(ClientError::from).and_then(|asked| self.answer(&asked, request.command()));
        let message = answer.map_err(|e| self.die(e))?;
        match message.header.errno() {
            Some(errno) => Err(ClientError::Refused { command: request.command(), errno }),
            None => Ok(message),
        }
    }

    fn answer(&self, asked: &Header, command: Command) -> Result<Message, ClientError> {
        let end = Instant::now() + self.timeout;
        while Instant::now() < end {
            let message = receive(&self.stream, Some(end), self.timeout)?.ok_or(ClientError::HungUp)?;
            let header = &message.header;
            match header.kind() {
                Some(Kind::Reply) if (header.id, header.command) == (asked.id, asked.command) => return Ok(message),
                // The server may ask for DMA by messages. All our memory is shared, so it need not.
                Some(Kind::Command) if header.no_reply() => {}
                Some(Kind::Command) => send(&self.stream, &header.failure(Errno::NOTSUP), &[], &[], end)?,
                _ => return Err(wrong(command, format!("expected a reply with number {}, found {header:?}", asked.id))),
            }
        }
        Err(SocketError::TimedOut("waiting for a reply").into())
    }

    /// A server whose answers cannot be understood is not asked again.
    fn understood<T>(&self, answer: Result<T, ClientError>) -> Result<T, ClientError> {
        answer.map_err(|e| self.die(e))
    }

    /// Ends the connection, and tells why to every later call.
    fn die(&self, why: ClientError) -> ClientError {
        let _ = self.dead.set(why.to_string());
        // An error here says that the stream has ended by itself.
        let _ = self.stream.shutdown(Shutdown::Both);
        why
    }
}

/// The stream, to see by `poll` whether the server has hung up. Nothing else may be done with it.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn expect(good: bool, command: Command, what: impl FnOnce() -> String) -> Result<(), ClientError> {
    if good {
        return Ok(());
    }
    Err(wrong(command, what()))
}

fn wrong(command: Command, what: String) -> ClientError {
    ClientError::Answer { command, what }
}
