//! What goes in and out of the flow core, as plain structs, and their bits: fields in the order of `types.rs`, the first lowest.

use toe_contract::event::Event;
use toe_hdl::types::{BUFFER_BITS, FLOW_BITS, KEY_BITS, LENGTH_BITS, RECORD_BITS};

/// A frame and what was found in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LookedUp {
    pub(crate) start: u16,
    pub(crate) length: u16,
    pub(crate) fast: bool,
    pub(crate) payload_offset: u8,
    pub(crate) payload_length: u16,
    pub(crate) key: u128,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) control: u8,
    pub(crate) window: u16,
    pub(crate) ts: Option<(u32, u32)>,
    pub(crate) hit: bool,
    pub(crate) flow: u16,
    pub(crate) generation: u8,
}

impl LookedUp {
    pub(crate) fn fin(&self) -> bool {
        self.control & 1 != 0
    }
    pub(crate) fn syn(&self) -> bool {
        self.control & 2 != 0
    }
    pub(crate) fn rst(&self) -> bool {
        self.control & 4 != 0
    }
    pub(crate) fn ack_flag(&self) -> bool {
        self.control & 0x10 != 0
    }
    pub(crate) fn urg(&self) -> bool {
        self.control & 0x20 != 0
    }

    pub(crate) fn bits(&self) -> Vec<u64> {
        let (val, ecr) = self.ts.unwrap_or((0xdead_beef, 0x5555_aaaa));
        let mut b = Packer::default();
        b.push(self.start.into(), BUFFER_BITS).push(self.length.into(), LENGTH_BITS);
        b.push(self.fast.into(), 1).push(self.payload_offset.into(), 7).push(self.payload_length.into(), LENGTH_BITS);
        b.push(self.key as u64, 64).push((self.key >> 64) as u64, KEY_BITS - 64);
        b.push(self.seq.into(), 32).push(self.ack.into(), 32).push(self.control.into(), 8).push(self.window.into(), 16);
        b.push(self.ts.is_some().into(), 1).push(val.into(), 32).push(ecr.into(), 32);
        b.push(self.hit.into(), 1).push(self.flow.into(), FLOW_BITS).push(self.generation.into(), 8);
        b.words
    }
}

/// What a write job does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WriteOf {
    Free,
    Place { offset: u16, length: u16, base: u64, log2: u8, position: u32 },
    Raw(Event),
    Event(Event),
}

/// A write job. An event has no frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Write {
    pub(crate) start: u16,
    pub(crate) frame_length: u16,
    pub(crate) of: WriteOf,
}

impl Write {
    pub(crate) fn of(words: &[u64]) -> Write {
        let mut b = Reader::new(words);
        let kind = b.take(2);
        let (start, frame_length) = (b.take(BUFFER_BITS) as u16, b.take(LENGTH_BITS) as u16);
        let (offset, length) = (b.take(LENGTH_BITS) as u16, b.take(LENGTH_BITS) as u16);
        let (base, log2, position) = (b.take(64), b.take(5) as u8, b.take(32) as u32);
        let record: [u32; RECORD_BITS / 32] = std::array::from_fn(|_| b.take(32) as u32);
        let of = match kind {
            0 => WriteOf::Free,
            1 => WriteOf::Place { offset, length, base, log2, position },
            2 => WriteOf::Raw(Event(record)),
            _ => return Write { start: 0, frame_length: 0, of: WriteOf::Event(Event(record)) },
        };
        Write { start, frame_length, of }
    }
}

/// What a fetch job does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FetchOf {
    Segment { base: u64, log2: u8, seq: u32, length: u16, fin: bool, psh: bool },
    Raw { base: u64, length: u16, checksum: Option<(u16, u16)> },
    Inject { base: u64, length: u16 },
    Removed,
}

/// A fetch job; RAW and INJECT have no flow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fetch {
    pub(crate) flow: u16,
    pub(crate) of: FetchOf,
}

impl Fetch {
    pub(crate) fn of(words: &[u64]) -> Fetch {
        let mut b = Reader::new(words);
        let (kind, flow) = (b.take(2), b.take(FLOW_BITS) as u16);
        let (base, log2, seq, length) = (b.take(64), b.take(5) as u8, b.take(32) as u32, b.take(LENGTH_BITS) as u16);
        let (fin, psh, checksum) = (b.flag(), b.flag(), b.flag());
        let (start, offset) = (b.take(16) as u16, b.take(16) as u16);
        match kind {
            0 => Fetch { flow, of: FetchOf::Segment { base, log2, seq, length, fin, psh } },
            1 => Fetch { flow: 0, of: FetchOf::Raw { base, length, checksum: checksum.then_some((start, offset)) } },
            2 => Fetch { flow: 0, of: FetchOf::Inject { base, length } },
            _ => Fetch { flow, of: FetchOf::Removed },
        }
    }
}

/// A segment handed to the builder of headers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segment {
    pub(crate) remote_mac: u64,
    pub(crate) vlan_present: bool,
    pub(crate) vlan: u16,
    pub(crate) local_ip: u32,
    pub(crate) remote_ip: u32,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) control: u8,
    pub(crate) window: u16,
    pub(crate) ts: bool,
    pub(crate) ts_val: u32,
    pub(crate) ts_ecr: u32,
    pub(crate) payload_length: u16,
}

impl Segment {
    pub(crate) fn of(words: &[u64]) -> Segment {
        let mut b = Reader::new(words);
        Segment {
            remote_mac: b.take(48),
            vlan_present: b.flag(),
            vlan: b.take(16) as u16,
            local_ip: b.take(32) as u32,
            remote_ip: b.take(32) as u32,
            local_port: b.take(16) as u16,
            remote_port: b.take(16) as u16,
            seq: b.take(32) as u32,
            ack: b.take(32) as u32,
            control: b.take(8) as u8,
            window: b.take(16) as u16,
            ts: b.flag(),
            ts_val: b.take(32) as u32,
            ts_ecr: b.take(32) as u32,
            payload_length: b.take(LENGTH_BITS) as u16,
        }
    }
}

/// "The payload is here", or "all of this flow is sealed".
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    pub(crate) removed: bool,
    pub(crate) flow: u16,
    pub(crate) seq: u32,
    pub(crate) length: u16,
    pub(crate) fin: bool,
    pub(crate) psh: bool,
}

impl Seal {
    pub(crate) fn bits(&self) -> Vec<u64> {
        let mut b = Packer::default();
        b.push(self.removed.into(), 1).push(self.flow.into(), FLOW_BITS).push(self.seq.into(), 32);
        b.push(self.length.into(), LENGTH_BITS).push(self.fin.into(), 1).push(self.psh.into(), 1);
        b.words
    }
}

/// A request to the flow table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) insert: bool,
    pub(crate) key: u128,
    pub(crate) flow: u16,
    pub(crate) generation: u8,
}

impl Table {
    pub(crate) fn of(words: &[u64]) -> Table {
        let mut b = Reader::new(words);
        let insert = b.flag();
        let key = u128::from(b.take(64)) | u128::from(b.take(KEY_BITS - 64)) << 64;
        Table { insert, key, flow: b.take(FLOW_BITS) as u16, generation: b.take(8) as u8 }
    }
}

#[derive(Default)]
struct Packer {
    words: Vec<u64>,
    used: usize,
}

impl Packer {
    fn push(&mut self, value: u64, width: usize) -> &mut Packer {
        for k in 0..width {
            if self.used.is_multiple_of(64) {
                self.words.push(0);
            }
            self.words[self.used / 64] |= (value >> k & 1) << (self.used % 64);
            self.used += 1;
        }
        self
    }
}

struct Reader<'a> {
    words: &'a [u64],
    at: usize,
}

impl Reader<'_> {
    fn new(words: &[u64]) -> Reader<'_> {
        Reader { words, at: 0 }
    }
    fn take(&mut self, width: usize) -> u64 {
        let value = (0..width).fold(0, |v, k| {
            let at = self.at + k;
            v | (self.words[at / 64] >> (at % 64) & 1) << k
        });
        self.at += width;
        value
    }
    fn flag(&mut self) -> bool {
        self.take(1) != 0
    }
}
