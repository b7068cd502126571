//! TCP options (RFC 9293 section 3.1, RFC 7323, RFC 2018).

use std::ops::Deref;

use crate::SeqNumber;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// Most bytes of options a TCP header can hold.
const MAX_LEN: usize = 40;
/// Most blocks that fit in a SACK option (RFC 2018 section 3).
const MAX_BLOCKS: usize = 4;

/// Bytes held beyond a hole: `left` is the first, `right` the one after the last (RFC 2018 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SackBlock {
    /// First sequence number of the block.
    pub left: SeqNumber,
    /// The sequence number after its last.
    pub right: SeqNumber,
}

/// Up to four SACK blocks, the latest received first; a slice in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SackBlocks {
    // Those past `len` stay at their default, so that equality can be derived.
    blocks: [SackBlock; MAX_BLOCKS],
    len: usize,
}

impl SackBlocks {
    /// The first blocks of those given, four at most.
    pub fn from_slice(blocks: &[SackBlock]) -> SackBlocks {
        blocks.iter().copied().collect()
    }

    fn truncate(&mut self, len: usize) {
        *self = self.iter().take(len).copied().collect();
    }
}

/// Takes the first four.
impl FromIterator<SackBlock> for SackBlocks {
    fn from_iter<I: IntoIterator<Item = SackBlock>>(blocks: I) -> SackBlocks {
        let mut result = SackBlocks::default();
        for (to, from) in result.blocks.iter_mut().zip(blocks) {
            *to = from;
            result.len += 1;
        }
        result
    }
}

impl Deref for SackBlocks {
    type Target = [SackBlock];
    fn deref(&self) -> &[SackBlock] {
        self.blocks.get(..self.len).unwrap_or_default()
    }
}

/// The timestamps option (RFC 7323 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpTimestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the other's clock sent back; of no meaning without ACK.
    pub echo_reply: u32,
}

/// One option as it stands in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// Maximum segment size, in bytes of payload (RFC 9293 section 3.7.1).
    Mss(u16),
    /// Window scale, a shift count; more than 14 is to be taken as 14 (RFC 7323 section 2.3).
    WindowScale(u8),
    /// SACK is understood (RFC 2018 section 2).
    SackPermitted,
    /// SACK blocks (RFC 2018 section 3).
    Sack(SackBlocks),
    /// Timestamps (RFC 7323 section 3.2).
    Timestamps(TcpTimestamps),
    /// An option that is not known, or a known one of the wrong length: to be passed over.
    Unknown {
        /// Its kind.
        kind: u8,
        /// What follows kind and length.
        data: &'a [u8],
    },
}

impl<'a> TcpOption<'a> {
    fn new(kind: u8, data: &'a [u8]) -> TcpOption<'a> {
        match (kind, data) {
            (MSS, &[a, b]) => TcpOption::Mss(u16::from_be_bytes([a, b])),
            (WINDOW_SCALE, &[shift]) => TcpOption::WindowScale(shift),
            (SACK_PERMITTED, []) => TcpOption::SackPermitted,
            (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                TcpOption::Timestamps(TcpTimestamps { value: u32::from_be_bytes([a, b, c, d]), echo_reply: u32::from_be_bytes([e, f, g, h]) })
            }
            (SACK, _) if !data.is_empty() && data.len().is_multiple_of(8) => TcpOption::Sack(data.as_chunks::<8>().0.iter().map(sack_block).collect()),
            _ => TcpOption::Unknown { kind, data },
        }
    }
}

fn sack_block(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> SackBlock {
    SackBlock { left: SeqNumber(u32::from_be_bytes([a, b, c, d])), right: SeqNumber(u32::from_be_bytes([e, f, g, h])) }
}

/// Goes through the options of a header. It passes over no-operations and ends at the end-of-list option, or at the
/// first option whose length is less than 2 or more than what is left: nothing after that can be trusted.
#[derive(Debug, Clone)]
pub struct TcpOptionIter<'a> {
    rest: &'a [u8],
}

impl<'a> TcpOptionIter<'a> {
    /// Takes the bytes between the fixed header and the payload.
    pub fn new(options: &'a [u8]) -> TcpOptionIter<'a> {
        TcpOptionIter { rest: options }
    }
}

impl<'a> Iterator for TcpOptionIter<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        let bytes = std::mem::take(&mut self.rest);
        let nops = bytes.iter().take_while(|&&kind| kind == NOP).count();
        match bytes.get(nops..)? {
            [] | [END, ..] => None,
            [kind, length, rest @ ..] => {
                let data_len = usize::from(*length).checked_sub(2)?;
                let (data, rest) = rest.split_at_checked(data_len)?;
                self.rest = rest;
                Some(TcpOption::new(*kind, data))
            }
            [_] => None,
        }
    }
}

/// The options of a segment. They always fit in a header: whatever is added, SACK blocks at the end give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpOptions {
    mss: Option<u16>,
    window_scale: Option<u8>,
    sack_permitted: bool,
    timestamps: Option<TcpTimestamps>,
    sack: SackBlocks,
}

impl TcpOptions {
    /// The largest window scale (RFC 7323 section 2.3).
    pub const MAX_WINDOW_SCALE: u8 = 14;

    /// None at all.
    pub fn new() -> TcpOptions {
        TcpOptions::default()
    }

    /// Reads the options of a header; of two of a kind the later counts, and unknown ones are passed over.
    pub fn parse(bytes: &[u8]) -> TcpOptions {
        TcpOptionIter::new(bytes).fold(TcpOptions::default(), |options, option| match option {
            TcpOption::Mss(mss) => options.with_mss(mss),
            TcpOption::WindowScale(shift) => options.with_window_scale(shift),
            TcpOption::SackPermitted => options.with_sack_permitted(),
            TcpOption::Sack(blocks) => options.with_sack(&blocks),
            TcpOption::Timestamps(timestamps) => options.with_timestamps(timestamps.value, timestamps.echo_reply),
            TcpOption::Unknown { .. } => options,
        })
    }

    /// Adds the maximum segment size, in bytes of payload.
    pub fn with_mss(mut self, mss: u16) -> TcpOptions {
        self.mss = Some(mss);
        self.fitted()
    }

    /// Adds the window scale; more than 14 becomes 14 (RFC 7323 section 2.3).
    pub fn with_window_scale(mut self, shift: u8) -> TcpOptions {
        self.window_scale = Some(shift.min(Self::MAX_WINDOW_SCALE));
        self.fitted()
    }

    /// Adds SACK-permitted.
    pub fn with_sack_permitted(mut self) -> TcpOptions {
        self.sack_permitted = true;
        self.fitted()
    }

    /// Adds timestamps: TSval and TSecr.
    pub fn with_timestamps(mut self, value: u32, echo_reply: u32) -> TcpOptions {
        self.timestamps = Some(TcpTimestamps { value, echo_reply });
        self.fitted()
    }

    /// Adds as many of these SACK blocks as fit, from the first on: four, or three beside timestamps.
    pub fn with_sack(mut self, blocks: &[SackBlock]) -> TcpOptions {
        self.sack = SackBlocks::from_slice(blocks);
        self.fitted()
    }

    /// The maximum segment size in bytes of payload.
    pub fn mss(&self) -> Option<u16> {
        self.mss
    }

    /// The window scale, 0 to 14.
    pub fn window_scale(&self) -> Option<u8> {
        self.window_scale
    }

    /// Whether SACK-permitted is among them.
    pub fn sack_permitted(&self) -> bool {
        self.sack_permitted
    }

    /// The timestamps.
    pub fn timestamps(&self) -> Option<TcpTimestamps> {
        self.timestamps
    }

    /// The SACK blocks; empty if there is no such option.
    pub fn sack(&self) -> &[SackBlock] {
        &self.sack
    }

    /// Bytes of the options on the wire: a multiple of 4, 40 at most.
    pub fn wire_len(&self) -> usize {
        let aligned = self.aligned_len();
        if aligned <= MAX_LEN {
            aligned
        } else {
            self.packed_len().next_multiple_of(4)
        }
    }

    /// Bytes of the options with 32-bit fields aligned; may be more than fit.
    fn aligned_len(&self) -> usize {
        let sack_permitted_and_timestamps = match (self.sack_permitted, self.timestamps) {
            (false, None) => 0,
            (true, None) => 4,
            (_, Some(_)) => 12,
        };
        let sack = if self.sack.is_empty() { 0 } else { 4 + 8 * self.sack.len() };
        let word = |there| if there { 4 } else { 0 };
        word(self.mss.is_some()) + sack_permitted_and_timestamps + word(self.window_scale.is_some()) + sack
    }

    /// Bytes of the options one after the other, without any padding.
    fn packed_len(&self) -> usize {
        let fixed =
            [(self.mss.is_some(), 4), (self.window_scale.is_some(), 3), (self.sack_permitted, 2), (self.timestamps.is_some(), 10), (!self.sack.is_empty(), 2)];
        fixed.iter().filter(|(there, _)| *there).map(|(_, len)| len).sum::<usize>() + 8 * self.sack.len()
    }

    /// Drops SACK blocks until all fits. Without them all options together have 19 bytes.
    fn fitted(mut self) -> TcpOptions {
        while self.packed_len() > MAX_LEN {
            self.sack.truncate(self.sack.len().saturating_sub(1));
        }
        self
    }

    /// Appends the options, 32-bit fields aligned where there is room for that, and fills up to a multiple of 4.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.wire_len();
        self.emit_with(self.aligned_len() <= MAX_LEN, out);
        out.resize(end, END);
    }

    fn emit_with(&self, aligned: bool, out: &mut Vec<u8>) {
        let pad = |out: &mut Vec<u8>, nops: usize| {
            if aligned {
                out.extend(std::iter::repeat_n(NOP, nops));
            }
        };
        if let Some(mss) = self.mss {
            out.extend_from_slice(&[MSS, 4]);
            out.extend_from_slice(&mss.to_be_bytes());
        }
        // SACK-permitted and the two bytes before the timestamps make one word, as in Linux's SYN.
        if !(self.sack_permitted && self.timestamps.is_some()) {
            pad(out, if self.sack_permitted || self.timestamps.is_some() { 2 } else { 0 });
        }
        if self.sack_permitted {
            out.extend_from_slice(&[SACK_PERMITTED, 2]);
        }
        if let Some(timestamps) = self.timestamps {
            out.extend_from_slice(&[TIMESTAMPS, 10]);
            out.extend_from_slice(&timestamps.value.to_be_bytes());
            out.extend_from_slice(&timestamps.echo_reply.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            pad(out, 1);
            out.extend_from_slice(&[WINDOW_SCALE, 3, shift]);
        }
        if !self.sack.is_empty() {
            pad(out, 2);
            out.extend_from_slice(&[SACK, [2, 10, 18, 26, 34][self.sack.len()]]);
            for block in self.sack.iter() {
                out.extend_from_slice(&block.left.0.to_be_bytes());
                out.extend_from_slice(&block.right.0.to_be_bytes());
            }
        }
    }
}
