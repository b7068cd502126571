//! IPv4 datagrams put together from fragments (RFC 791 section 3.2, RFC 1122 section 3.3.2, RFC 815).

use std::collections::HashMap;
use std::net::Ipv4Addr;

use toe_wire::{IpProtocol, Ipv4Packet, Ipv4Repr};

use crate::time::Nanoseconds;

/// How long the rest of a datagram is waited for (RFC 1122 section 3.3.2: 60 to 120 s).
const LIFETIME: Nanoseconds = Nanoseconds::from_secs(60);
/// Datagrams put together at a time.
const DATAGRAMS: usize = 64;
/// Fragments of a datagram.
const PIECES: usize = 64;

/// What ties fragments together (RFC 791 section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: IpProtocol,
    identification: u16,
}

struct Partial {
    /// The header of the first fragment, once that has come.
    header: Option<Ipv4Repr>,
    /// Start and bytes of each piece; they do not overlap.
    pieces: Vec<(usize, Vec<u8>)>,
    /// Bytes of the payload, once the last fragment has come.
    total: Option<usize>,
    until: Nanoseconds,
}

/// A datagram put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The header of a whole datagram.
    pub header: Ipv4Repr,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Puts datagrams together. Fragments that overlap make it throw the datagram away (RFC 1858, RFC 5722 for its
/// reasons); one that comes again as it was does not (RFC 8200 section 4.5).
#[derive(Default)]
pub struct Reassembler {
    partials: HashMap<Key, Partial>,
    dropped: u64,
}

impl Reassembler {
    /// With nothing in it.
    pub fn new() -> Reassembler {
        Reassembler::default()
    }

    /// Takes a fragment; gives the datagram if it was the last one missing.
    pub fn on_fragment(&mut self, packet: &Ipv4Packet<'_>, now: Nanoseconds) -> Option<Datagram> {
        let key = Key { src: packet.src(), dst: packet.dst(), protocol: packet.protocol(), identification: packet.identification() };
        if !self.partials.contains_key(&key) && self.partials.len() == DATAGRAMS {
            self.dropped += 1;
            return None;
        }
        let empty = || Partial { header: None, pieces: Vec::new(), total: None, until: now + LIFETIME };
        let partial = self.partials.entry(key).or_insert_with(empty);
        if !partial.add(packet) {
            self.partials.remove(&key);
            self.dropped += 1;
            return None;
        }
        if !partial.is_complete() {
            return None;
        }
        self.partials.remove(&key)?.finish()
    }

    /// Throws away what has waited for too long.
    pub fn expire(&mut self, now: Nanoseconds) {
        let before = self.partials.len();
        self.partials.retain(|_, partial| partial.until > now);
        self.dropped += (before - self.partials.len()) as u64;
    }

    /// When [`expire`](Reassembler::expire) has something to do.
    pub fn next_deadline(&self) -> Option<Nanoseconds> {
        self.partials.values().map(|partial| partial.until).min()
    }

    /// Datagrams begun and not finished.
    pub fn len(&self) -> usize {
        self.partials.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.partials.is_empty()
    }

    /// Datagrams thrown away.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Partial {
    /// False if the datagram cannot be.
    fn add(&mut self, packet: &Ipv4Packet<'_>) -> bool {
        let (fragment, payload) = (packet.fragment(), packet.payload());
        let start = usize::from(fragment.offset());
        let end = start + payload.len();
        // The network has doubled it.
        let is_last = self.total == Some(end);
        if fragment.more() != is_last && self.pieces.iter().any(|(at, bytes)| *at == start && bytes == payload) {
            return true;
        }
        // All but the last are multiples of 8 bytes (RFC 791 section 3.2), and none is empty.
        let shape = !payload.is_empty() && (!fragment.more() || payload.len().is_multiple_of(8)) && end <= Ipv4Repr::MAX_PAYLOAD;
        let overlaps = self.pieces.iter().any(|(at, bytes)| start < at + bytes.len() && *at < end);
        let beyond = self.total.is_some_and(|total| end > total);
        if !shape || overlaps || beyond || self.pieces.len() == PIECES {
            return false;
        }
        if !fragment.more() {
            if self.total.is_some() || self.pieces.iter().any(|(at, bytes)| at + bytes.len() > end) {
                return false;
            }
            self.total = Some(end);
        }
        if start == 0 {
            self.header = Some(packet.repr());
        }
        self.pieces.push((start, payload.to_vec()));
        true
    }

    fn is_complete(&self) -> bool {
        // Pieces do not overlap, so their bytes can be counted.
        self.total == Some(self.pieces.iter().map(|(_, bytes)| bytes.len()).sum())
    }

    fn finish(mut self) -> Option<Datagram> {
        self.pieces.sort_by_key(|(at, _)| *at);
        let header = Ipv4Repr { fragment: Default::default(), identification: 0, ..self.header? };
        Some(Datagram { header, payload: self.pieces.into_iter().flat_map(|(_, bytes)| bytes).collect() })
    }
}
