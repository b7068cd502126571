//! What is said: a header of 16 bytes, and a body that depends on the command.
//!
//! Decoding is total: any bytes give a value or a [`DecodeError`]. A body may be longer than its command needs, as VFIO's structures may
//! grow; what is too long is ignored.

mod header;
mod reply;
mod request;
mod version;

pub use header::{Command, Header, Kind, HEADER_SIZE};
pub use reply::{Area, DeviceInfo, IrqInfo, RegionInfo, REGION_INFO_SIZE};
pub use request::{Access, DmaMap, DmaUnmap, IrqAction, IrqData, Request, SetIrqs, SmallWrite};
pub use version::{Capabilities, Version, MAJOR, MINOR};

use crate::Errno;

/// Most bytes that one message reads or writes (`max_data_xfer_size`).
pub const MAX_DATA: u32 = 1 << 20;
/// Longest body that is taken, in bytes: the most data, with what goes before it.
pub const MAX_BODY: usize = MAX_DATA as usize + 4096;
/// Most file descriptors that one message may carry to us (`max_msg_fds`).
pub const MAX_FDS: usize = 16;

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is too short for its command.
    #[error("{command:?}: expected a body of at least {expected} bytes, found {found}")]
    Short {
        /// The command.
        command: Command,
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// No command that we know.
    #[error("command {0} is not known")]
    Unknown(u16),
    /// A field with a value that means nothing.
    #[error("{command:?}: {what} is {found:#x}")]
    Field {
        /// The command.
        command: Command,
        /// Name of the field.
        what: &'static str,
        /// Its value.
        found: u64,
    },
    /// Version data that are no capabilities.
    #[error("version data: {0}")]
    Capabilities(String),
}

impl DecodeError {
    /// What a server answers.
    pub fn errno(&self) -> Errno {
        match self {
            DecodeError::Unknown(_) => Errno::NOTSUP,
            _ => Errno::INVAL,
        }
    }
}

/// Reads fields from the front of a body.
#[derive(Clone)]
struct Fields<'a> {
    command: Command,
    body: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn new(command: Command, body: &'a [u8]) -> Self {
        Fields { command, body, at: 0 }
    }
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.saturating_add(count);
        let found = self.body.get(self.at..end).ok_or(DecodeError::Short { command: self.command, expected: end, found: self.body.len() })?;
        self.at = end;
        Ok(found)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }
    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_ne_bytes(self.array()?))
    }
    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_ne_bytes(self.array()?))
    }
    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_ne_bytes(self.array()?))
    }
    fn rest(self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }
    /// That a field has a value with a meaning.
    fn field(&self, what: &'static str, found: u64, good: bool) -> Result<(), DecodeError> {
        if good {
            return Ok(());
        }
        Err(DecodeError::Field { command: self.command, what, found })
    }
}

/// Writes fields one behind the other.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}
