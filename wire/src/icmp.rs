//! ICMP (RFC 792): echo, and the errors that quote the datagram they are about.

use std::net::Ipv4Addr;

use crate::checksum;
use crate::error::split;
use crate::{IpProtocol, Ipv4Packet, ParseError, SeqNumber};

const WHAT: &str = "ICMP message";

const ECHO_REPLY: u8 = 0;
const DESTINATION_UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// Codes of "destination unreachable" (RFC 792, RFC 1122 section 3.2.2.1).
pub mod unreachable {
    /// Network unreachable.
    pub const NET: u8 = 0;
    /// Host unreachable.
    pub const HOST: u8 = 1;
    /// Protocol unreachable.
    pub const PROTOCOL: u8 = 2;
    /// Port unreachable.
    pub const PORT: u8 = 3;
    /// Fragmentation needed and DF set: the next hop's MTU comes with it (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Source route failed.
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
}

/// A view of an ICMP message.
#[derive(Debug, Clone, Copy)]
pub struct IcmpPacket<'a> {
    header: &'a [u8; 8],
    bytes: &'a [u8],
    data: &'a [u8],
}

impl<'a> IcmpPacket<'a> {
    /// Takes the payload of an IPv4 datagram.
    ///
    /// # Errors
    /// Fewer than 8 bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<IcmpPacket<'a>, ParseError> {
        let (header, data) = split::<8>(WHAT, bytes)?;
        Ok(IcmpPacket { header, bytes, data })
    }

    /// The type.
    pub fn kind(&self) -> u8 {
        self.header[0]
    }

    /// The code, whose meaning depends on the type.
    pub fn code(&self) -> u8 {
        self.header[1]
    }

    /// Whether the message agrees with its checksum.
    pub fn checksum_ok(&self) -> bool {
        checksum::is_valid(self.bytes)
    }

    /// What follows the 8 bytes of header.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The message as a representation. The checksum is not looked at.
    ///
    /// # Errors
    /// [`ParseError::Field`] for a type other than those of [`IcmpRepr`], or an echo with a code.
    pub fn repr(&self) -> Result<IcmpRepr<'a>, ParseError> {
        let [kind, code, _, _, a, b, c, d] = *self.header;
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let data = self.data;
        match kind {
            ECHO_REQUEST | ECHO_REPLY if code != 0 => Err(ParseError::Field { what: WHAT, field: "code of an echo", found: u32::from(code) }),
            ECHO_REQUEST => Ok(IcmpRepr::EchoRequest { ident: high, sequence: low, data }),
            ECHO_REPLY => Ok(IcmpRepr::EchoReply { ident: high, sequence: low, data }),
            DESTINATION_UNREACHABLE => Ok(IcmpRepr::DestinationUnreachable { code, next_hop_mtu: low, quoted: data }),
            TIME_EXCEEDED => Ok(IcmpRepr::TimeExceeded { code, quoted: data }),
            PARAMETER_PROBLEM => Ok(IcmpRepr::ParameterProblem { code, pointer: a, quoted: data }),
            other => Err(ParseError::Field { what: WHAT, field: "type", found: u32::from(other) }),
        }
    }
}

/// An ICMP message of a kind that is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpRepr<'a> {
    /// Are you there?
    EchoRequest {
        /// Whose it is.
        ident: u16,
        /// Which one.
        sequence: u16,
        /// To be sent back.
        data: &'a [u8],
    },
    /// The answer, all fields as in the request.
    EchoReply {
        /// Whose it is.
        ident: u16,
        /// Which one.
        sequence: u16,
        /// As it came.
        data: &'a [u8],
    },
    /// A datagram could not be delivered.
    DestinationUnreachable {
        /// Why: see [`unreachable`].
        code: u8,
        /// With [`unreachable::FRAGMENTATION_NEEDED`], what would fit in bytes (RFC 1191 section 4); else 0.
        next_hop_mtu: u16,
        /// The datagram, its header and at least 8 bytes: see [`QuotedDatagram`].
        quoted: &'a [u8],
    },
    /// A datagram ran out of hops (code 0), or its fragments out of time (code 1).
    TimeExceeded {
        /// Which of the two.
        code: u8,
        /// The datagram.
        quoted: &'a [u8],
    },
    /// A datagram's header was wrong.
    ParameterProblem {
        /// 0 when `pointer` says where.
        code: u8,
        /// The byte of the header that is wrong.
        pointer: u8,
        /// The datagram.
        quoted: &'a [u8],
    },
}

impl<'a> IcmpRepr<'a> {
    /// The datagram an error message is about, as far as it was quoted. `None` for echoes and unreadable quotes.
    pub fn quoted_datagram(&self) -> Option<QuotedDatagram<'a>> {
        match *self {
            IcmpRepr::EchoRequest { .. } | IcmpRepr::EchoReply { .. } => None,
            IcmpRepr::DestinationUnreachable { quoted, .. } | IcmpRepr::TimeExceeded { quoted, .. } | IcmpRepr::ParameterProblem { quoted, .. } => {
                QuotedDatagram::parse(quoted).ok()
            }
        }
    }

    /// The answer to an echo request, `None` to anything else.
    pub fn echo_reply(&self) -> Option<IcmpRepr<'a>> {
        match *self {
            IcmpRepr::EchoRequest { ident, sequence, data } => Some(IcmpRepr::EchoReply { ident, sequence, data }),
            _ => None,
        }
    }

    /// Appends the message, checksum filled in.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let (kind, code, rest, data) = match *self {
            IcmpRepr::EchoRequest { ident, sequence, data } => (ECHO_REQUEST, 0, pair(ident, sequence), data),
            IcmpRepr::EchoReply { ident, sequence, data } => (ECHO_REPLY, 0, pair(ident, sequence), data),
            IcmpRepr::DestinationUnreachable { code, next_hop_mtu, quoted } => (DESTINATION_UNREACHABLE, code, pair(0, next_hop_mtu), quoted),
            IcmpRepr::TimeExceeded { code, quoted } => (TIME_EXCEEDED, code, [0; 4], quoted),
            IcmpRepr::ParameterProblem { code, pointer, quoted } => (PARAMETER_PROBLEM, code, [pointer, 0, 0, 0], quoted),
        };
        let [a, b, c, d] = rest;
        let mut header = [kind, code, 0, 0, a, b, c, d];
        // 8 bytes of header are an even number, so the two sums may be combined.
        let sum = checksum::combine(checksum::ones_complement_sum(&header), checksum::ones_complement_sum(data));
        header[2..4].copy_from_slice(&(!sum).to_be_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(data);
    }
}

fn pair(high: u16, low: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    [a, b, c, d]
}

/// The beginning of a datagram as an ICMP error quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotedDatagram<'a> {
    /// Who sent it.
    pub src: Ipv4Addr,
    /// For whom it was.
    pub dst: Ipv4Addr,
    /// What it carried.
    pub protocol: IpProtocol,
    /// What there is of its payload: 8 bytes at least if the sender follows RFC 792.
    pub payload: &'a [u8],
}

/// What the first 8 bytes of a quoted TCP segment tell: enough to find the connection, and to see whether it is in
/// the window (RFC 5927 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotedTcp {
    /// Source port of the quoted segment: ours, if we sent it.
    pub src_port: u16,
    /// Its destination port.
    pub dst_port: u16,
    /// Its SEG.SEQ.
    pub seq: SeqNumber,
}

impl<'a> QuotedDatagram<'a> {
    /// Takes the data of an ICMP error.
    ///
    /// # Errors
    /// Those of [`Ipv4Packet::parse_beginning`].
    pub fn parse(quoted: &'a [u8]) -> Result<QuotedDatagram<'a>, ParseError> {
        let ip = Ipv4Packet::parse_beginning(quoted)?;
        Ok(QuotedDatagram { src: ip.src(), dst: ip.dst(), protocol: ip.protocol(), payload: ip.payload() })
    }

    /// The TCP segment in it, if it is one and enough of it was quoted.
    pub fn tcp(&self) -> Option<QuotedTcp> {
        let [a, b, c, d, s0, s1, s2, s3] = *self.payload.first_chunk::<8>().filter(|_| self.protocol == IpProtocol::TCP)?;
        Some(QuotedTcp { src_port: u16::from_be_bytes([a, b]), dst_port: u16::from_be_bytes([c, d]), seq: SeqNumber(u32::from_be_bytes([s0, s1, s2, s3])) })
    }
}
