//! The header in front of every message.

use crate::message::DecodeError;
use crate::Errno;

/// Bytes of a header.
pub const HEADER_SIZE: usize = 16;

const TYPE: u32 = 0xf;
const REPLY: u32 = 0x1;
const NO_REPLY: u32 = 0x10;
const ERROR: u32 = 0x20;

macro_rules! commands {
    ($($name:ident = $number:literal, $doc:literal;)*) => {
        /// What a message asks for. The numbers of migration (14, 16 to 18) are not among them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Command {
            $(#[doc = $doc] $name = $number,)*
        }

        impl Command {
            /// Every command.
            pub const ALL: &[Command] = &[$(Command::$name),*];

            /// The command with that number.
            ///
            /// # Errors
            /// There is none.
            pub fn from_number(number: u16) -> Result<Command, DecodeError> {
                match number {
                    $($number => Ok(Command::$name),)*
                    _ => Err(DecodeError::Unknown(number)),
                }
            }
        }
    };
}

commands! {
    Version = 1, "Agrees on version and capabilities; the first message of a client.";
    DmaMap = 2, "Shows a range of bus addresses to the server.";
    DmaUnmap = 3, "Takes one back.";
    DeviceGetInfo = 4, "How many regions and kinds of interrupts there are.";
    DeviceGetRegionInfo = 5, "Size and properties of a region.";
    DeviceGetRegionIoFds = 6, "Descriptors that stand for parts of a region.";
    DeviceGetIrqInfo = 7, "How many interrupts of a kind there are.";
    DeviceSetIrqs = 8, "Where interrupts are to be signalled; masks and triggers them.";
    RegionRead = 9, "Reads from a region.";
    RegionWrite = 10, "Writes to a region.";
    DmaRead = 11, "From server to client: reads memory that is not shared.";
    DmaWrite = 12, "From server to client: writes memory that is not shared.";
    DeviceReset = 13, "Resets the function.";
    RegionWriteMulti = 15, "Several small writes in one message.";
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks for something.
    Command,
    /// Answers.
    Reply,
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by who asks, repeated by who answers.
    pub id: u16,
    /// Number of the command; see [`Command::from_number`].
    pub command: u16,
    /// Bytes of the whole message, header and body.
    pub size: u32,
    /// Type and flags.
    pub flags: u32,
    /// UNIX error number, in a reply with the error flag.
    pub error: u32,
}

impl Header {
    /// The header of a command with a body of `body` bytes.
    pub fn command(id: u16, command: Command, body: usize, reply: bool) -> Header {
        let size = u32::try_from(HEADER_SIZE + body).unwrap_or(u32::MAX);
        Header { id, command: command as u16, size, flags: if reply { 0 } else { NO_REPLY }, error: 0 }
    }
    /// The header of the reply to this command, with a body of `body` bytes.
    pub fn reply(&self, body: usize) -> Header {
        let size = u32::try_from(HEADER_SIZE + body).unwrap_or(u32::MAX);
        Header { id: self.id, command: self.command, size, flags: REPLY, error: 0 }
    }
    /// The header of the reply that says that this command failed; there is no body.
    pub fn failure(&self, errno: Errno) -> Header {
        Header { flags: REPLY | ERROR, error: errno.raw_os_error().unsigned_abs(), ..self.reply(0) }
    }

    /// Out of the bytes on the wire.
    pub fn decode(bytes: &[u8; HEADER_SIZE]) -> Header {
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Header { id: half(0), command: half(2), size: word(4), flags: word(8), error: word(12) }
    }
    /// As the bytes on the wire.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[0..2].copy_from_slice(&self.id.to_ne_bytes());
        bytes[2..4].copy_from_slice(&self.command.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.size.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.error.to_ne_bytes());
        bytes
    }

    /// Which way it goes; none for types that do not exist.
    pub fn kind(&self) -> Option<Kind> {
        match self.flags & TYPE {
            0 => Some(Kind::Command),
            REPLY => Some(Kind::Reply),
            _ => None,
        }
    }
    /// Whether nobody waits for a reply.
    pub fn no_reply(&self) -> bool {
        self.flags & NO_REPLY != 0
    }
    /// In a reply: what went wrong, if the error flag is set. [`Errno::IO`] stands for a number that is none.
    pub fn errno(&self) -> Option<Errno> {
        let number = i32::try_from(self.error).ok().filter(|n| (1..4096).contains(n));
        (self.flags & ERROR != 0).then(|| number.map_or(Errno::IO, Errno::from_raw_os_error))
    }
    /// Bytes of the body; none if the size is less than the header's own, or the body too long to be taken.
    pub fn body(&self) -> Option<usize> {
        let body = usize::try_from(self.size).ok()?.checked_sub(HEADER_SIZE)?;
        (body <= super::MAX_BODY).then_some(body)
    }
}
