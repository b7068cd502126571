//! Ethernet II framing (IEEE 802.3 section 3), with or without one 802.1Q tag.

use crate::error::split;
use crate::{MacAddr, ParseError};

const WHAT: &str = "Ethernet frame";
/// The EtherType that announces an 802.1Q tag: the tag protocol identifier.
const TPID: u16 = 0x8100;

/// What an Ethernet frame carries. It is never the 802.1Q tag protocol identifier: a tag is not a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtherType(u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: EtherType = EtherType(0x0800);
    /// ARP.
    pub const ARP: EtherType = EtherType(0x0806);
    /// IPv6, which nothing here handles further.
    pub const IPV6: EtherType = EtherType(0x86dd);
}

impl From<EtherType> for u16 {
    fn from(ether_type: EtherType) -> u16 {
        ether_type.0
    }
}

impl TryFrom<u16> for EtherType {
    type Error = ParseError;

    /// # Errors
    /// [`ParseError::Field`] for 0x8100, the tag protocol identifier of 802.1Q.
    fn try_from(value: u16) -> Result<EtherType, ParseError> {
        match value {
            TPID => Err(ParseError::Field { what: WHAT, field: "EtherType", found: u32::from(value) }),
            _ => Ok(EtherType(value)),
        }
    }
}

/// The tag control information of an 802.1Q tag: priority (3 bits), drop eligible (1), VLAN identifier (12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VlanTag(
    /// All 16 bits.
    pub u16,
);

impl VlanTag {
    /// The VLAN identifier, 12 bits; 0 is a frame with a priority and no VLAN.
    pub fn id(self) -> u16 {
        self.0 & 0x0fff
    }

    /// The priority code point, 3 bits.
    pub fn priority(self) -> u8 {
        self.0.to_be_bytes()[0] >> 5
    }
}

/// A view of an Ethernet frame, from the destination address to the end of the payload and padding.
#[derive(Debug, Clone, Copy)]
pub struct EthernetFrame<'a> {
    addresses: &'a [u8; 12],
    vlan: Option<VlanTag>,
    ether_type: EtherType,
    payload: &'a [u8],
}

impl<'a> EthernetFrame<'a> {
    /// # Errors
    /// Fewer bytes than the header; a second 802.1Q tag.
    pub fn parse(bytes: &'a [u8]) -> Result<EthernetFrame<'a>, ParseError> {
        let (addresses, rest) = split::<12>(WHAT, bytes)?;
        let (first, rest) = split::<2>(WHAT, rest)?;
        let first = u16::from_be_bytes(*first);
        if first != TPID {
            return Ok(EthernetFrame { addresses, vlan: None, ether_type: first.try_into()?, payload: rest });
        }
        let ([t0, t1, e0, e1], payload) = split::<4>("802.1Q tag", rest)?;
        Ok(EthernetFrame { addresses, vlan: Some(VlanTag(u16::from_be_bytes([*t0, *t1]))), ether_type: u16::from_be_bytes([*e0, *e1]).try_into()?, payload })
    }

    /// The destination address.
    pub fn dst(&self) -> MacAddr {
        let [a, b, c, d, e, f, ..] = *self.addresses;
        MacAddr([a, b, c, d, e, f])
    }

    /// The source address.
    pub fn src(&self) -> MacAddr {
        let [.., a, b, c, d, e, f] = *self.addresses;
        MacAddr([a, b, c, d, e, f])
    }

    /// The 802.1Q tag, if there is one.
    pub fn vlan(&self) -> Option<VlanTag> {
        self.vlan
    }

    /// What the payload is; below 1536 it is a length (IEEE 802.3 section 3.2.6).
    pub fn ether_type(&self) -> EtherType {
        self.ether_type
    }

    /// Everything after the header, padding included.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The header as a representation.
    pub fn repr(&self) -> EthernetRepr {
        EthernetRepr { dst: self.dst(), src: self.src(), vlan: self.vlan, ether_type: self.ether_type }
    }
}

/// An Ethernet header to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetRepr {
    /// Destination address.
    pub dst: MacAddr,
    /// Source address.
    pub src: MacAddr,
    /// An 802.1Q tag, if there is to be one.
    pub vlan: Option<VlanTag>,
    /// What follows.
    pub ether_type: EtherType,
}

impl EthernetRepr {
    /// An untagged header.
    pub fn new(dst: MacAddr, src: MacAddr, ether_type: EtherType) -> EthernetRepr {
        EthernetRepr { dst, src, vlan: None, ether_type }
    }

    /// The header of the answer: addresses swapped, `src` in place of ours, same tag and type.
    pub fn reply_from(&self, src: MacAddr) -> EthernetRepr {
        EthernetRepr { dst: self.src, src, ..*self }
    }

    /// Bytes of the header: 14, or 18 with a tag.
    pub fn header_len(&self) -> usize {
        match self.vlan {
            None => 14,
            Some(_) => 18,
        }
    }

    /// Appends the header.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.dst.0);
        out.extend_from_slice(&self.src.0);
        if let Some(tag) = self.vlan {
            out.extend_from_slice(&TPID.to_be_bytes());
            out.extend_from_slice(&tag.0.to_be_bytes());
        }
        out.extend_from_slice(&self.ether_type.0.to_be_bytes());
    }
}
