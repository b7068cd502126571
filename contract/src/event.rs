//! Events: what the engine writes into the event ring. 64 bytes, sixteen words, little-endian.
//!
//! The phase bit, in the last word, is 1 in the first pass through the ring, 0 in the second, and so on; the host clears the ring before
//! it enables the context. The last eight bytes are written last, so an entry whose phase is right is whole.

/// Bytes of an event.
pub const SIZE: usize = 64;
/// Words of an event.
pub const WORDS: usize = SIZE / 4;

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A flow's values have changed.
    Flow = 1,
    /// The flow was removed: its last values; its number is free.
    Removed = 2,
    /// A command was refused; only `flow` and `command` are meaningful.
    BadCommand = 3,
}

impl Kind {
    /// The kind with that number.
    pub fn from_u8(number: u8) -> Option<Kind> {
        [Kind::Flow, Kind::Removed, Kind::BadCommand].into_iter().find(|k| *k as u8 == number)
    }
}

/// Flag: RCV.NXT has passed the peer's FIN.
pub const FIN_RECEIVED: u8 = 1;
/// Flag: a FIN has been queued by the host.
pub const FIN_QUEUED: u8 = 2;
/// Flag: bytes are held beyond RCV.NXT.
pub const OUT_OF_ORDER: u8 = 4;

/// A field of an event: 8, 16 or 32 bits within one word.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name, as in `docs/engine.md`.
    pub name: &'static str,
    /// Word, 0 to 15.
    pub word: usize,
    /// Lowest bit.
    pub low: u32,
    /// Bits.
    pub width: u32,
    /// What it means.
    pub doc: &'static str,
}

macro_rules! fields {
    ($($name:ident $text:literal $word:literal [$low:literal +$width:literal] $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: Field = Field { name: $text, word: $word, low: $low, width: $width, doc: $doc };)*
        /// Every field, for the document and for tests.
        pub const LAYOUT: &[Field] = &[$($name),*];
    };
}

fields! {
    KIND "kind" 0 [0 +8] "What the event is.";
    FLAGS "flags" 0 [8 +8] "FIN_RECEIVED 1, FIN_QUEUED 2, OUT_OF_ORDER 4.";
    FLOW "flow" 0 [16 +16] "The flow's number.";
    RCV_NXT "rcv_nxt" 1 [0 +32] "RCV.NXT.";
    RCV_ADV "rcv_adv" 2 [0 +32] "Furthest right edge announced.";
    SND_UNA "snd_una" 3 [0 +32] "SND.UNA.";
    SND_NXT "snd_nxt" 4 [0 +32] "SND.NXT.";
    SND_MAX "snd_max" 5 [0 +32] "Highest SND.NXT ever.";
    SND_WND "snd_wnd" 6 [0 +32] "SND.WND in bytes.";
    SND_WL1 "snd_wl1" 7 [0 +32] "SND.WL1.";
    SND_WL2 "snd_wl2" 8 [0 +32] "SND.WL2.";
    TS_RECENT "ts_recent" 9 [0 +32] "TS.Recent.";
    TS_ECR "ts_ecr" 10 [0 +32] "TSecr of the last segment that moved SND.UNA.";
    RTT "rtt" 11 [0 +32] "Last round-trip sample, ticks of 1.024 us.";
    DUP_ACKS "dup_acks" 12 [0 +8] "Duplicate ACKs in a row.";
    RTT_COUNT "rtt_count" 12 [8 +8] "Round-trip samples taken, modulo 256.";
    RANGES "ranges" 12 [16 +8] "Out-of-order ranges held.";
    LAST_ACK_SENT "last_ack_sent" 13 [0 +32] "Last.ACK.sent.";
    COMMAND "command" 14 [0 +32] "BAD_COMMAND: word 0 of the command refused. Else: the tick of this event.";
    PHASE "phase" 15 [31 +1] "1 in odd passes through the ring, 0 in even ones.";
    SUBMISSION_CONSUMED "submission_consumed" 15 [0 +16] "Low 16 bits of SUBMISSION_CONSUMED.";
}

const _: () = {
    let mut seen = [0u64; WORDS];
    let mut i = 0;
    while i < LAYOUT.len() {
        let f = &LAYOUT[i];
        let mask = ((1u64 << f.width) - 1) << f.low;
        assert!(f.low + f.width <= 32 && seen[f.word] & mask == 0, "two fields of an event overlap");
        seen[f.word] |= mask;
        i += 1;
    }
};

/// An event: sixteen words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Event(pub [u32; WORDS]);

impl Event {
    /// A field's value.
    pub fn get(&self, field: Field) -> u32 {
        (self.0[field.word] >> field.low) & (u32::MAX >> (32 - field.width))
    }
    /// Sets a field; bits that do not fit are cut off.
    #[must_use]
    pub fn with(mut self, field: Field, value: u32) -> Event {
        let mask = u32::MAX >> (32 - field.width) << field.low;
        self.0[field.word] = self.0[field.word] & !mask | (value << field.low) & mask;
        self
    }
    /// As it lies in memory.
    pub fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
    /// From memory.
    pub fn from_bytes(bytes: [u8; SIZE]) -> Event {
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
        Event(words)
    }
}
