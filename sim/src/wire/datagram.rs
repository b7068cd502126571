//! A UNIX datagram socket, one frame a datagram: what QEMU, VDE and other simulators can be plugged into. With the FCS behind each frame, a wire between two
//! of our own processes loses nothing of what a cable carries: frames with a wrong FCS, and shorter ones than allowed, arrive as they were sent.

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

/// Bytes of the FCS.
const FCS: usize = 4;

/// What a datagram holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A frame without FCS: one with a bad FCS is dropped, as a NIC would.
    Bare,
    /// A frame and its FCS, least significant byte first as on the wire.
    WithFcs,
}

/// A wire over a UNIX datagram socket.
#[derive(Debug)]
pub struct Datagram {
    socket: UnixDatagram,
    path: PathBuf,
    peer: Option<PathBuf>,
    framing: Framing,
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
    pub fn bind(path: &Path, peer: Option<&Path>, framing: Framing) -> Result<Datagram, WireError> {
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
            framing,
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

impl Framing {
    fn datagram(self, frame: WireFrame) -> Vec<u8> {
        let WireFrame { mut bytes, fcs_xor } = frame;
        if self == Framing::WithFcs {
            let fcs = crc32fast::hash(&bytes) ^ fcs_xor;
            bytes.extend(fcs.to_le_bytes());
        }
        bytes
    }

    /// `None`: too short for a frame with an FCS.
    fn frame(self, datagram: &[u8]) -> Option<WireFrame> {
        if self == Framing::Bare {
            return Some(WireFrame::padded(datagram.to_vec()));
        }
        let (bytes, fcs) = datagram.split_last_chunk::<FCS>().filter(|(bytes, _)| !bytes.is_empty())?;
        Some(WireFrame { bytes: bytes.to_vec(), fcs_xor: crc32fast::hash(bytes) ^ u32::from_le_bytes(*fcs) })
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
        if self.framing == Framing::Bare && !frame.fcs_ok() {
            self.bad_fcs += 1;
        } else if self.backlog.len() >= BACKLOG {
            self.lost += 1;
        } else {
            self.backlog.push_back(self.framing.datagram(frame));
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
                let frame = self.framing.frame(self.buffer.get(..len).unwrap_or_default());
                self.lost += u64::from(frame.is_none());
                Ok(frame)
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
