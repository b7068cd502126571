//! A UNIX datagram socket, one frame a datagram: what QEMU, VDE and other simulators can be plugged into.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::{Count, Wire, WireError, WireFrame};
use crate::time::Nanoseconds;

/// The longest frame taken from a peer.
const MAX_FRAME: usize = 65_536;
/// Frames kept for a peer whose queue is full (Linux keeps ten); more are lost.
const BACKLOG: usize = 4096;
/// How long to wait before a full peer is tried again.
const RETRY: Nanoseconds = Nanoseconds::from_micros(50);

/// A wire over a UNIX datagram socket. It carries no FCS: a frame with a bad one is dropped, as a NIC would.
#[derive(Debug)]
pub struct Datagram {
    socket: UnixDatagram,
    path: PathBuf,
    peer: Option<PathBuf>,
    backlog: VecDeque<Vec<u8>>,
    retry_at: Nanoseconds,
    buffer: Vec<u8>,
    bad_fcs: u64,
    lost: u64,
}

impl Datagram {
    /// Binds to `path`, and sends to `peer`; without one, to whoever sends to us first. A socket file that a killed
    /// program left behind is replaced; one that is in use is not.
    ///
    /// # Errors
    /// [`WireError::Io`] if the path cannot be bound.
    pub fn bind(path: &Path, peer: Option<&Path>) -> Result<Datagram, WireError> {
        let error = |source| WireError::io(format!("bind UNIX datagram socket {}", path.display()), source);
        let socket = match UnixDatagram::bind(path) {
            Err(in_use) if in_use.kind() == ErrorKind::AddrInUse && is_stale(path) => {
                fs::remove_file(path).map_err(error)?;
                UnixDatagram::bind(path)
            }
            other => other,
        };
        let socket = socket.map_err(error)?;
        socket.set_nonblocking(true).map_err(error)?;
        Ok(Datagram {
            socket,
            path: path.to_owned(),
            peer: peer.map(Path::to_owned),
            backlog: VecDeque::new(),
            retry_at: Nanoseconds::ZERO,
            buffer: vec![0; MAX_FRAME],
            bad_fcs: 0,
            lost: 0,
        })
    }

    /// Frames that the peer has not taken yet.
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Sends what is waiting, as far as the peer takes it.
    fn flush(&mut self, now: Nanoseconds) -> Result<(), WireError> {
        while let Some(bytes) = self.backlog.front() {
            let sent = match &self.peer {
                Some(peer) => self.socket.send_to(bytes, peer),
                None => Err(ErrorKind::NotConnected.into()),
            };
            match sent {
                Ok(_) => {}
                Err(full) if full.kind() == ErrorKind::WouldBlock || full.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.retry_at = now + RETRY;
                    return Ok(());
                }
                Err(error) if is_unplugged(&error) => self.lost += 1,
                Err(error) => return Err(WireError::io(format!("send from {}", self.path.display()), error)),
            }
            self.backlog.pop_front();
        }
        Ok(())
    }
}

/// Whether nobody is behind the socket file.
fn is_stale(path: &Path) -> bool {
    let connected = UnixDatagram::unbound().and_then(|probe| probe.connect(path));
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Nobody there, or nobody who takes frames of this length: the frame is lost, the wire is not.
fn is_unplugged(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotConnected | ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
        || error.raw_os_error() == Some(libc::EMSGSIZE)
}

impl Wire for Datagram {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        if !frame.fcs_ok() {
            self.bad_fcs += 1;
        } else if self.backlog.len() >= BACKLOG {
            self.lost += 1;
        } else {
            self.backlog.push_back(frame.bytes);
        }
        self.flush(now)
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        self.flush(now)?;
        match self.socket.recv_from(&mut self.buffer) {
            Ok((len, from)) => {
                if let Some(path) = from.as_pathname().filter(|_| self.peer.is_none()) {
                    self.peer = Some(path.to_owned());
                }
                Ok(Some(WireFrame::padded(self.buffer.get(..len).unwrap_or_default().to_vec())))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset) => Ok(None),
            Err(error) => Err(WireError::io(format!("receive at {}", self.path.display()), error)),
        }
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        (!self.backlog.is_empty()).then_some(self.retry_at)
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn counts(&self) -> Vec<Count> {
        vec![("datagram: bad FCS", self.bad_fcs), ("datagram: lost", self.lost)]
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell.
        let _ = fs::remove_file(&self.path);
    }
}
