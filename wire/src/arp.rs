//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use crate::error::split;
use crate::{MacAddr, ParseError};

const WHAT: &str = "ARP packet";
/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4: the only kind there is here.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What an ARP packet asks or tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArpOperation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

/// A view of an ARP packet of the Ethernet and IPv4 kind.
#[derive(Debug, Clone, Copy)]
pub struct ArpPacket<'a> {
    operation: ArpOperation,
    bytes: &'a [u8; 20],
}

impl<'a> ArpPacket<'a> {
    /// Takes the payload of an Ethernet frame; bytes after the 28 of the packet are padding.
    ///
    /// # Errors
    /// Fewer than 28 bytes; another kind of hardware or protocol address; neither request nor reply.
    pub fn parse(bytes: &'a [u8]) -> Result<ArpPacket<'a>, ParseError> {
        let (kind, rest) = split::<6>(WHAT, bytes)?;
        if *kind != ETHERNET_IPV4 {
            let [a, b, c, d, ..] = *kind;
            let found = u32::from_be_bytes([a, b, c, d]);
            return Err(ParseError::Field { what: WHAT, field: "hardware and protocol type", found });
        }
        let (operation, rest) = split::<2>(WHAT, rest)?;
        let operation = match u16::from_be_bytes(*operation) {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            other => return Err(ParseError::Field { what: WHAT, field: "operation", found: u32::from(other) }),
        };
        let (bytes, _padding) = split::<20>(WHAT, rest)?;
        Ok(ArpPacket { operation, bytes })
    }

    /// Request or reply.
    pub fn operation(&self) -> ArpOperation {
        self.operation
    }

    /// The sender's Ethernet address.
    pub fn sender_mac(&self) -> MacAddr {
        let [a, b, c, d, e, f, ..] = *self.bytes;
        MacAddr([a, b, c, d, e, f])
    }

    /// The sender's IPv4 address; 0.0.0.0 in a probe (RFC 5227).
    pub fn sender_ip(&self) -> Ipv4Addr {
        let [_, _, _, _, _, _, a, b, c, d, ..] = *self.bytes;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The target's Ethernet address; of no meaning in a request.
    pub fn target_mac(&self) -> MacAddr {
        let [.., a, b, c, d, e, f, _, _, _, _] = *self.bytes;
        MacAddr([a, b, c, d, e, f])
    }

    /// The target's IPv4 address.
    pub fn target_ip(&self) -> Ipv4Addr {
        let [.., a, b, c, d] = *self.bytes;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The packet as a representation.
    pub fn repr(&self) -> ArpRepr {
        ArpRepr {
            operation: self.operation(),
            sender_mac: self.sender_mac(),
            sender_ip: self.sender_ip(),
            target_mac: self.target_mac(),
            target_ip: self.target_ip(),
        }
    }
}

/// An ARP packet to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpRepr {
    /// Request or reply.
    pub operation: ArpOperation,
    /// Who sends it.
    pub sender_mac: MacAddr,
    /// The sender's IPv4 address.
    pub sender_ip: Ipv4Addr,
    /// Whom a reply is for; zero in a request.
    pub target_mac: MacAddr,
    /// The address asked for, or of whom the reply is for.
    pub target_ip: Ipv4Addr,
}

impl ArpRepr {
    /// Asks who has `target_ip`.
    pub fn request(sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> ArpRepr {
        ArpRepr { operation: ArpOperation::Request, sender_mac, sender_ip, target_mac: MacAddr::ZERO, target_ip }
    }

    /// The answer to this request: `mac` has the address that was asked for.
    pub fn reply_from(&self, mac: MacAddr) -> ArpRepr {
        ArpRepr { operation: ArpOperation::Reply, sender_mac: mac, sender_ip: self.target_ip, target_mac: self.sender_mac, target_ip: self.sender_ip }
    }

    /// Appends the 28 bytes of the packet.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let operation: u16 = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        out.extend_from_slice(&ETHERNET_IPV4);
        out.extend_from_slice(&operation.to_be_bytes());
        out.extend_from_slice(&self.sender_mac.0);
        out.extend_from_slice(&self.sender_ip.octets());
        out.extend_from_slice(&self.target_mac.0);
        out.extend_from_slice(&self.target_ip.octets());
    }
}
