//! How to open a device.

use super::Wait;
use crate::Nanoseconds;

/// How to open a device.
#[derive(Clone, Debug)]
pub struct NicConfig {
    /// MAC address, as on the wire.
    pub mac: [u8; 6],
    /// Take frames for everybody.
    pub promiscuous: bool,
    /// Longest frame without FCS, with a tag, in bytes.
    pub max_frame: u32,
    /// Delay of delayed ACKs; RFC 9293 MUST-40 wants less than 0.5 s.
    pub delayed_ack: Nanoseconds,
    /// How [`Nic::wait`](super::Nic::wait) waits.
    pub wait: Wait,
    /// Least time between two interrupts.
    pub holdoff: Nanoseconds,
    /// Key of the flow table's hash; a random number.
    pub hash_key: u32,
    /// How long a register or a ring may keep us waiting.
    pub deadline: Nanoseconds,
}

impl Default for NicConfig {
    fn default() -> Self {
        NicConfig {
            mac: [0x02, 0, 0, 0, 0, 1],
            promiscuous: false,
            max_frame: 1518,
            delayed_ack: Nanoseconds::from_millis(40),
            wait: Wait::Interrupt,
            holdoff: Nanoseconds(0),
            hash_key: 0,
            deadline: Nanoseconds::from_secs(2),
        }
    }
}
