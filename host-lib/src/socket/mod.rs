//! Sockets in the shape of `std::net`: blocking, usable from several threads, closed when the last handle goes.

mod listener;
pub(crate) mod shared;
mod stream;

pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;

use std::io;

use crate::stack::ListenError;
use crate::tcp::Failure;

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        let kind = match failure {
            Failure::Refused => io::ErrorKind::ConnectionRefused,
            Failure::Reset => io::ErrorKind::ConnectionReset,
            Failure::TimedOut => io::ErrorKind::TimedOut,
            Failure::Unreachable => io::ErrorKind::HostUnreachable,
            Failure::Aborted => io::ErrorKind::ConnectionAborted,
            Failure::NoFlow => io::ErrorKind::ResourceBusy,
            Failure::NoPort => io::ErrorKind::AddrNotAvailable,
        };
        io::Error::new(kind, failure)
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

/// The stack's thread is gone.
fn stack_ended() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the stack has ended")
}
