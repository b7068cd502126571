//! The first message: version and capabilities.

use crate::message::{Body, Command, DecodeError, Fields, MAX_DATA, MAX_FDS};
use serde::{Deserialize, Serialize};

/// Major version of the protocol that is spoken here.
pub const MAJOR: u16 = 0;
/// Highest minor version that is spoken here.
pub const MINOR: u16 = 1;

/// What a side can do. A field that was not said has the specification's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Most descriptors that the sender takes in one message.
    pub max_msg_fds: u64,
    /// Most bytes that one message reads or writes.
    pub max_data_xfer_size: u64,
    /// Most DMA mappings at a time.
    pub max_dma_maps: u64,
    /// Page sizes of DMA mappings, or'ed together.
    pub pgsizes: u64,
    /// Whether several small writes may come in one message.
    pub write_multiple: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities { max_msg_fds: 1, max_data_xfer_size: 1 << 20, max_dma_maps: 65535, pgsizes: 4096, write_multiple: false }
    }
}

impl Capabilities {
    /// What this crate can do.
    pub fn ours() -> Self {
        Capabilities { max_msg_fds: MAX_FDS as u64, max_data_xfer_size: MAX_DATA.into(), write_multiple: true, ..Capabilities::default() }
    }
}

/// Version and capabilities of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Major version: the same on both sides, or they do not understand each other.
    pub major: u16,
    /// Minor version: the lower one counts.
    pub minor: u16,
    /// What the sender can do.
    pub capabilities: Capabilities,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Data {
    capabilities: Capabilities,
}

impl Version {
    /// As a body: version, and JSON with a NUL behind it.
    pub fn encode(&self) -> Vec<u8> {
        // Numbers and booleans under fixed names are always JSON.
        let json = serde_json::to_vec(&Data { capabilities: self.capabilities.clone() }).unwrap_or_default();
        Body::default().u16(self.major).u16(self.minor).bytes(&json).bytes(&[0]).0
    }

    /// Out of a body. No version data at all means that every capability has its default.
    ///
    /// # Errors
    /// Too short, no NUL at the end, no JSON, or a capability of another type than the specification gives it.
    pub fn decode(body: &[u8]) -> Result<Version, DecodeError> {
        let mut fields = Fields::new(Command::Version, body);
        let (major, minor) = (fields.u16()?, fields.u16()?);
        let data = match fields.rest() {
            [] => Data::default(),
            [json @ .., 0] => serde_json::from_slice(json).map_err(|e| DecodeError::Capabilities(e.to_string()))?,
            _ => return Err(DecodeError::Capabilities("expected a NUL at the end".into())),
        };
        Ok(Version { major, minor, capabilities: data.capabilities })
    }
}
