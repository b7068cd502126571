//! Numbers that an outsider cannot guess (RFC 6528).

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use toe_wire::SeqNumber;

use super::FourTuple;
use crate::time::Nanoseconds;

/// A keyed hash for initial sequence numbers, timestamp offsets and ports.
#[derive(Clone)]
pub struct Secret {
    key: [u8; 16],
}

/// What a hash is for: the same tuple gives unrelated numbers for each.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Purpose {
    Isn = 1,
    Timestamp = 2,
    Port = 3,
    PortCounter = 4,
}

impl Secret {
    /// Of a key that must be random and stay secret.
    pub fn new(key: [u8; 16]) -> Secret {
        Secret { key }
    }

    /// The initial sequence number of a connection that opens now: `M + F(tuple, key)`, where M goes up by one every 4 us
    /// (RFC 6528 section 3, RFC 9293 MUST-8, MUST-9, SHLD-1).
    pub fn isn(&self, tuple: FourTuple, now: Nanoseconds) -> SeqNumber {
        let [a, b, c, d, ..] = (now.0 / 4000).to_le_bytes();
        SeqNumber(u32::from_le_bytes([a, b, c, d]).wrapping_add(self.hash(Purpose::Isn, tuple)))
    }

    /// What is added to the timestamp clock for a connection (RFC 7323 section 5.4): it only depends on the tuple, so a later
    /// connection of the same tuple has later timestamps, which TIME_WAIT makes use of (RFC 6191).
    pub fn timestamp_offset(&self, tuple: FourTuple) -> u32 {
        self.hash(Purpose::Timestamp, tuple)
    }

    /// Where the search for a port begins (RFC 6056 section 3.3.4, F); the local port of the tuple does not count.
    pub fn port_offset(&self, tuple: FourTuple) -> u32 {
        self.hash(Purpose::Port, without_local_port(tuple))
    }

    /// Which counter goes with this remote (RFC 6056 section 3.3.4, G).
    pub fn port_counter(&self, tuple: FourTuple) -> u32 {
        self.hash(Purpose::PortCounter, without_local_port(tuple))
    }

    fn hash(&self, purpose: Purpose, tuple: FourTuple) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u8(purpose as u8);
        hasher.write(&tuple.local.ip().octets());
        hasher.write_u16(tuple.local.port());
        hasher.write(&tuple.remote.ip().octets());
        hasher.write_u16(tuple.remote.port());
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

fn without_local_port(mut tuple: FourTuple) -> FourTuple {
    tuple.local.set_port(0);
    tuple
}
