//! TCP segments (RFC 9293 section 3.1).

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::{BitOr, BitOrAssign};

use crate::checksum;
use crate::error::split;
use crate::{EmitError, Ipv4Repr, ParseError, SeqNumber, TcpOptionIter, TcpOptions};

const WHAT: &str = "TCP header";
/// Bytes of a header without options.
const HEADER_LEN: usize = 20;

/// The control bits of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(
    /// As on the wire, FIN in bit 0.
    pub u8,
);

impl TcpFlags {
    /// None.
    pub const NONE: TcpFlags = TcpFlags(0);
    /// No more data from the sender.
    pub const FIN: TcpFlags = TcpFlags(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: TcpFlags = TcpFlags(0x02);
    /// Reset the connection.
    pub const RST: TcpFlags = TcpFlags(0x04);
    /// Push.
    pub const PSH: TcpFlags = TcpFlags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: TcpFlags = TcpFlags(0x10);
    /// The urgent pointer is significant.
    pub const URG: TcpFlags = TcpFlags(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: TcpFlags = TcpFlags(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: TcpFlags = TcpFlags(0x80);

    /// Whether all of these are set.
    pub fn contains(self, flags: TcpFlags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether any of these is set.
    pub fn intersects(self, flags: TcpFlags) -> bool {
        self.0 & flags.0 != 0
    }

    /// All but these.
    pub fn without(self, flags: TcpFlags) -> TcpFlags {
        TcpFlags(self.0 & !flags.0)
    }

    /// FIN is set.
    pub fn fin(self) -> bool {
        self.contains(TcpFlags::FIN)
    }

    /// SYN is set.
    pub fn syn(self) -> bool {
        self.contains(TcpFlags::SYN)
    }

    /// RST is set.
    pub fn rst(self) -> bool {
        self.contains(TcpFlags::RST)
    }

    /// PSH is set.
    pub fn psh(self) -> bool {
        self.contains(TcpFlags::PSH)
    }

    /// ACK is set.
    pub fn ack(self) -> bool {
        self.contains(TcpFlags::ACK)
    }

    /// URG is set.
    pub fn urg(self) -> bool {
        self.contains(TcpFlags::URG)
    }
}

impl BitOr for TcpFlags {
    type Output = TcpFlags;
    fn bitor(self, other: TcpFlags) -> TcpFlags {
        TcpFlags(self.0 | other.0)
    }
}

impl BitOrAssign for TcpFlags {
    fn bitor_assign(&mut self, other: TcpFlags) {
        self.0 |= other.0;
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let set = names.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name);
        f.write_str(&set.collect::<Vec<_>>().join("+"))
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpFlags({self})")
    }
}

/// A view of a TCP segment.
#[derive(Debug, Clone, Copy)]
pub struct TcpPacket<'a> {
    fixed: &'a [u8; HEADER_LEN],
    bytes: &'a [u8],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> TcpPacket<'a> {
    /// Takes the payload of an IPv4 datagram.
    ///
    /// # Errors
    /// Fewer bytes than the header; a data offset of less than 5 words, or past the end.
    pub fn parse(bytes: &'a [u8]) -> Result<TcpPacket<'a>, ParseError> {
        let (fixed, rest) = split::<HEADER_LEN>(WHAT, bytes)?;
        let words = fixed[12] >> 4;
        let header_len = usize::from(words) * 4;
        let bad_offset = ParseError::Field { what: WHAT, field: "data offset", found: u32::from(words) };
        let options_len = header_len.checked_sub(HEADER_LEN).ok_or(bad_offset)?;
        let truncated = ParseError::Truncated { what: WHAT, expected: header_len, found: bytes.len() };
        let (options, payload) = rest.split_at_checked(options_len).ok_or(truncated)?;
        Ok(TcpPacket { fixed, bytes, options, payload })
    }

    /// The source port.
    pub fn src_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// The destination port.
    pub fn dst_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// SEG.SEQ.
    pub fn seq(&self) -> SeqNumber {
        let [_, _, _, _, a, b, c, d, ..] = *self.fixed;
        SeqNumber(u32::from_be_bytes([a, b, c, d]))
    }

    /// SEG.ACK; of no meaning without ACK.
    pub fn ack(&self) -> SeqNumber {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = *self.fixed;
        SeqNumber(u32::from_be_bytes([a, b, c, d]))
    }

    /// The control bits.
    pub fn flags(&self) -> TcpFlags {
        TcpFlags(self.fixed[13])
    }

    /// The window field, not scaled.
    pub fn window(&self) -> u16 {
        u16::from_be_bytes([self.fixed[14], self.fixed[15]])
    }

    /// The urgent pointer; of no meaning without URG.
    pub fn urgent(&self) -> u16 {
        u16::from_be_bytes([self.fixed[18], self.fixed[19]])
    }

    /// Bytes of the header: 20 to 60.
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// The options one by one.
    pub fn options(&self) -> TcpOptionIter<'a> {
        TcpOptionIter::new(self.options)
    }

    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Whether the segment, coming in a datagram between these two, agrees with its checksum.
    pub fn checksum_ok(&self, src: Ipv4Addr, dst: Ipv4Addr) -> bool {
        checksum::tcp_is_valid(src, dst, self.bytes)
    }

    /// The segment as a representation. The checksum is not looked at; unknown options are left behind.
    pub fn repr(&self) -> TcpSegment<'a> {
        TcpSegment {
            src_port: self.src_port(),
            dst_port: self.dst_port(),
            seq: self.seq(),
            ack: self.ack(),
            flags: self.flags(),
            window: self.window(),
            urgent: self.urgent(),
            options: TcpOptions::parse(self.options),
            payload: self.payload,
        }
    }
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpSegment<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// SEG.ACK; of no meaning without ACK.
    pub ack: SeqNumber,
    /// The control bits.
    pub flags: TcpFlags,
    /// The window field, not scaled.
    pub window: u16,
    /// The urgent pointer; of no meaning without URG.
    pub urgent: u16,
    /// Options.
    pub options: TcpOptions,
    /// Data.
    pub payload: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// Takes the payload of an IPv4 datagram between these two, and checks its checksum.
    ///
    /// # Errors
    /// Those of [`TcpPacket::parse`]; [`ParseError::Checksum`].
    pub fn parse(bytes: &'a [u8], src: Ipv4Addr, dst: Ipv4Addr) -> Result<TcpSegment<'a>, ParseError> {
        let packet = TcpPacket::parse(bytes)?;
        if !packet.checksum_ok(src, dst) {
            return Err(ParseError::Checksum { what: "TCP segment" });
        }
        Ok(packet.repr())
    }

    /// SEG.LEN: payload bytes, and one each for SYN and FIN (RFC 9293 section 3.4).
    pub fn seg_len(&self) -> u32 {
        let data = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        data.saturating_add(u32::from(self.flags.syn())).saturating_add(u32::from(self.flags.fin()))
    }

    /// Bytes of header and payload on the wire.
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.options.wire_len() + self.payload.len()
    }

    /// Appends header and payload, checksum filled in for a datagram between these two.
    ///
    /// # Errors
    /// [`EmitError::TooLong`] if no IPv4 datagram can hold it; `out` is left as it was.
    pub fn emit(&self, src: Ipv4Addr, dst: Ipv4Addr, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let found = self.wire_len();
        if found > Ipv4Repr::MAX_PAYLOAD {
            return Err(EmitError::TooLong { what: "TCP segment", max: Ipv4Repr::MAX_PAYLOAD, found });
        }
        // The data offset, in words, in the upper four bits: header bytes / 4 * 16. At most 60 bytes give 0xf0.
        let data_offset = u8::try_from((HEADER_LEN + self.options.wire_len()) * 4).unwrap_or(0xf0);
        let mut header = [0; HEADER_LEN];
        header[0..2].copy_from_slice(&self.src_port.to_be_bytes());
        header[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        header[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        header[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        header[12] = data_offset;
        header[13] = self.flags.0;
        header[14..16].copy_from_slice(&self.window.to_be_bytes());
        header[18..20].copy_from_slice(&self.urgent.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(&header);
        self.options.emit(out);
        out.extend_from_slice(self.payload);
        if let Some(sum) = out.get(start..).and_then(|segment| checksum::tcp_checksum(src, dst, segment)) {
            out[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
        }
        Ok(())
    }
}
