//! IPv4 (RFC 791). Options are tolerated on the way in and never sent.

use std::net::Ipv4Addr;

use crate::checksum;
use crate::error::split;
use crate::{EmitError, ParseError};

const WHAT: &str = "IPv4 header";
/// Bytes of a header without options.
const HEADER_LEN: usize = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const DONT_FRAGMENT: u16 = 0x4000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// What an IPv4 datagram carries (IANA's protocol numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpProtocol(
    /// The number on the wire.
    pub u8,
);

impl IpProtocol {
    /// ICMP.
    pub const ICMP: IpProtocol = IpProtocol(1);
    /// TCP.
    pub const TCP: IpProtocol = IpProtocol(6);
    /// UDP.
    pub const UDP: IpProtocol = IpProtocol(17);
}

/// Where a fragment belongs in its datagram. The default is a whole datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fragment {
    offset: u16,
    more: bool,
}

impl Fragment {
    /// `offset` in bytes, `None` if it is not a multiple of 8; `more` unless it is the last one.
    pub fn new(offset: u16, more: bool) -> Option<Fragment> {
        offset.is_multiple_of(8).then_some(Fragment { offset, more })
    }

    /// Bytes of the datagram's payload before this fragment: a multiple of 8.
    pub fn offset(self) -> u16 {
        self.offset
    }

    /// Whether others follow it.
    pub fn more(self) -> bool {
        self.more
    }

    /// Whether it is a whole datagram.
    pub fn is_whole(self) -> bool {
        self == Fragment::default()
    }
}

/// A view of an IPv4 datagram.
#[derive(Debug, Clone, Copy)]
pub struct Ipv4Packet<'a> {
    fixed: &'a [u8; HEADER_LEN],
    header: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// Takes the payload of an Ethernet frame; bytes after the total length are padding.
    ///
    /// # Errors
    /// Another version; header or total length too small, or more than the bytes there.
    pub fn parse(bytes: &'a [u8]) -> Result<Ipv4Packet<'a>, ParseError> {
        let packet = Self::parse_beginning(bytes)?;
        let expected = usize::from(packet.total_len());
        if expected > bytes.len() {
            return Err(ParseError::Truncated { what: "IPv4 datagram", expected, found: bytes.len() });
        }
        Ok(packet)
    }

    /// Takes a datagram that may be cut short, as ICMP errors quote it: the payload is what there is of it.
    ///
    /// # Errors
    /// Those of [`Ipv4Packet::parse`], but for a payload that is not all there.
    pub fn parse_beginning(bytes: &'a [u8]) -> Result<Ipv4Packet<'a>, ParseError> {
        let (fixed, _) = split::<HEADER_LEN>(WHAT, bytes)?;
        if fixed[0] >> 4 != 4 {
            return Err(ParseError::Field { what: WHAT, field: "version", found: u32::from(fixed[0] >> 4) });
        }
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        if header_len < HEADER_LEN {
            return Err(ParseError::Field { what: WHAT, field: "header length", found: u32::from(fixed[0] & 0x0f) });
        }
        let truncated = ParseError::Truncated { what: WHAT, expected: header_len, found: bytes.len() };
        let (header, rest) = bytes.split_at_checked(header_len).ok_or(truncated)?;
        let total = u16::from_be_bytes([fixed[2], fixed[3]]);
        let payload_len = usize::from(total).checked_sub(header_len);
        let bad_total = ParseError::Field { what: WHAT, field: "total length", found: u32::from(total) };
        let payload_len = payload_len.ok_or(bad_total)?;
        Ok(Ipv4Packet { fixed, header, payload: rest.get(..payload_len).unwrap_or(rest) })
    }

    /// The source address.
    pub fn src(&self) -> Ipv4Addr {
        let [.., a, b, c, d, _, _, _, _] = *self.fixed;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The destination address.
    pub fn dst(&self) -> Ipv4Addr {
        let [.., a, b, c, d] = *self.fixed;
        Ipv4Addr::new(a, b, c, d)
    }

    /// What the payload is.
    pub fn protocol(&self) -> IpProtocol {
        IpProtocol(self.fixed[9])
    }

    /// Hops left.
    pub fn ttl(&self) -> u8 {
        self.fixed[8]
    }

    /// Differentiated services (6 bits) and ECN (2 bits).
    pub fn dscp_ecn(&self) -> u8 {
        self.fixed[1]
    }

    /// What ties fragments together.
    pub fn identification(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    fn flags_and_offset(&self) -> u16 {
        u16::from_be_bytes([self.fixed[6], self.fixed[7]])
    }

    /// Whether routers must not fragment it.
    pub fn dont_fragment(&self) -> bool {
        self.flags_and_offset() & DONT_FRAGMENT != 0
    }

    /// Where it belongs if it is a fragment.
    pub fn fragment(&self) -> Fragment {
        let field = self.flags_and_offset();
        Fragment { offset: (field & FRAGMENT_OFFSET) << 3, more: field & MORE_FRAGMENTS != 0 }
    }

    /// The total length field: header and payload, in bytes.
    pub fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The whole header, options included: 20 to 60 bytes.
    pub fn header(&self) -> &'a [u8] {
        self.header
    }

    /// The options, padding included: 0 to 40 bytes.
    pub fn options(&self) -> &'a [u8] {
        self.header.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Whether the header agrees with its checksum.
    pub fn checksum_ok(&self) -> bool {
        checksum::is_valid(self.header)
    }

    /// The bytes the total length covers, less the header.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The header as a representation; options and the checksum are left behind.
    pub fn repr(&self) -> Ipv4Repr {
        Ipv4Repr {
            src: self.src(),
            dst: self.dst(),
            protocol: self.protocol(),
            ttl: self.ttl(),
            dscp_ecn: self.dscp_ecn(),
            identification: self.identification(),
            dont_fragment: self.dont_fragment(),
            fragment: self.fragment(),
        }
    }
}

/// An IPv4 header to be sent, without options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// What follows.
    pub protocol: IpProtocol,
    /// Hops allowed.
    pub ttl: u8,
    /// Differentiated services (6 bits) and ECN (2 bits).
    pub dscp_ecn: u8,
    /// Ties fragments together; of no meaning in a datagram that cannot be fragmented (RFC 6864).
    pub identification: u16,
    /// Whether routers must not fragment it.
    pub dont_fragment: bool,
    /// Where it belongs if it is a fragment.
    pub fragment: Fragment,
}

impl Ipv4Repr {
    /// Most bytes of payload that fit behind this header.
    pub const MAX_PAYLOAD: usize = u16::MAX as usize - HEADER_LEN;
    /// Bytes of the header.
    pub const HEADER_LEN: usize = HEADER_LEN;

    /// A whole datagram, not to be fragmented, TTL 64.
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: IpProtocol) -> Ipv4Repr {
        Ipv4Repr { src, dst, protocol, ttl: 64, dscp_ecn: 0, identification: 0, dont_fragment: true, fragment: Fragment::default() }
    }

    /// Appends the header, checksum filled in, of a datagram with so many bytes of payload.
    ///
    /// # Errors
    /// [`EmitError::TooLong`] for a payload of more than [`Ipv4Repr::MAX_PAYLOAD`] bytes; `out` is left as it was.
    pub fn emit(&self, payload_len: usize, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let too_long = EmitError::TooLong { what: "IPv4 payload", max: Self::MAX_PAYLOAD, found: payload_len };
        let total = payload_len.checked_add(HEADER_LEN).and_then(|n| u16::try_from(n).ok()).ok_or(too_long)?;
        let mut field = self.fragment.offset >> 3;
        if self.fragment.more {
            field |= MORE_FRAGMENTS;
        }
        if self.dont_fragment {
            field |= DONT_FRAGMENT;
        }
        let mut header = [0; HEADER_LEN];
        header[0] = 0x45;
        header[1] = self.dscp_ecn;
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header[4..6].copy_from_slice(&self.identification.to_be_bytes());
        header[6..8].copy_from_slice(&field.to_be_bytes());
        header[8] = self.ttl;
        header[9] = self.protocol.0;
        header[12..16].copy_from_slice(&self.src.octets());
        header[16..20].copy_from_slice(&self.dst.octets());
        let sum = checksum::checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        out.extend_from_slice(&header);
        Ok(())
    }
}
