//! What the parser thinks of a frame.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use rust_hdl::prelude::*;

/// What the parser thinks of a frame. At most one is set; none: the frame came with an error.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Verdict {
    /// It goes on.
    pub good: Bit,
    /// Length of the IPv4 header, or total length, impossible.
    pub bad_ipv4_header: Bit,
    /// IPv4 header checksum wrong.
    pub bad_ipv4_checksum: Bit,
    /// TCP data offset impossible.
    pub bad_tcp_header: Bit,
    /// TCP checksum wrong.
    pub bad_tcp_checksum: Bit,
}
