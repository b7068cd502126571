//! What tells connections apart.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Both addresses and both ports (RFC 9293 section 3.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourTuple {
    /// Our address and port.
    pub local: SocketAddrV4,
    /// The peer's.
    pub remote: SocketAddrV4,
}

impl FourTuple {
    /// Of these addresses and ports.
    pub fn new(local_ip: Ipv4Addr, local_port: u16, remote_ip: Ipv4Addr, remote_port: u16) -> FourTuple {
        FourTuple { local: SocketAddrV4::new(local_ip, local_port), remote: SocketAddrV4::new(remote_ip, remote_port) }
    }

    /// The same connection as the peer sees it.
    pub fn reversed(self) -> FourTuple {
        FourTuple { local: self.remote, remote: self.local }
    }
}

impl fmt::Display for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.local, self.remote)
    }
}

impl fmt::Debug for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
