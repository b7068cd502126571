//! Sockets in the shape of `std::net`: blocking, usable from several threads, closed when the last handle goes.

mod listener;
pub(crate) mod shared;
mod stream;

pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;

use std::io;

use crate::stack::ListenError;
use crate::tcp::Failure;

impl Failure {
    fn kind(self) -> io::ErrorKind {
        match self {
            Failure::Refused => io::ErrorKind::ConnectionRefused,
            Failure::Reset => io::ErrorKind::ConnectionReset,
            Failure::TimedOut => io::ErrorKind::TimedOut,
            Failure::Unreachable => io::ErrorKind::HostUnreachable,
            Failure::Aborted => io::ErrorKind::ConnectionAborted,
            Failure::Device => io::ErrorKind::NetworkDown,
            Failure::NoFlow => io::ErrorKind::ResourceBusy,
            Failure::NoPort => io::ErrorKind::AddrNotAvailable,
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        io::Error::new(failure.kind(), failure)
    }
}

impl From<ListenError> for io::Error {
    fn from(error: ListenError) -> io::Error {
        let kind = match error {
            ListenError::InUse(_) => io::ErrorKind::AddrInUse,
            ListenError::NoPort => io::ErrorKind::AddrNotAvailable,
        };
        io::Error::new(kind, error)
    }
}

/// The stack has ended: by itself, or because its device has failed for that reason.
pub(crate) fn stack_ended(reason: Option<&str>) -> io::Error {
    match reason {
        None => io::Error::new(io::ErrorKind::NotConnected, "the stack has ended"),
        Some(reason) => io::Error::new(Failure::Device.kind(), format!("{}: {reason}", Failure::Device)),
    }
}
