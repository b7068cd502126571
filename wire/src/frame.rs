//! Whole frames, all layers at once.

use crate::{
    ArpOperation, ArpRepr, EmitError, EtherType, EthernetFrame, EthernetRepr, IcmpPacket, IcmpRepr, IpProtocol, Ipv4Packet, Ipv4Repr, MacAddr, ParseError,
    TcpSegment, VlanTag,
};

/// A TCP segment and the headers it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFrame<'a> {
    /// Ethernet header.
    pub eth: EthernetRepr,
    /// IPv4 header.
    pub ip: Ipv4Repr,
    /// The segment.
    pub tcp: TcpSegment<'a>,
}

/// Reads a frame that is to hold a whole TCP segment, and checks both checksums.
///
/// # Errors
/// Any header that is wrong; a checksum that is; another EtherType or protocol; a fragment.
pub fn parse_tcp_frame(frame: &[u8]) -> Result<TcpFrame<'_>, ParseError> {
    let (eth, ip) = parse_ipv4(frame, IpProtocol::TCP)?;
    let tcp = TcpSegment::parse(ip.payload(), ip.src(), ip.dst())?;
    Ok(TcpFrame { eth, ip: ip.repr(), tcp })
}

/// The Ethernet header and the datagram of a frame that is to hold a whole datagram of this protocol.
fn parse_ipv4(frame: &[u8], protocol: IpProtocol) -> Result<(EthernetRepr, Ipv4Packet<'_>), ParseError> {
    let eth = EthernetFrame::parse(frame)?;
    if eth.ether_type() != EtherType::IPV4 {
        let found = u32::from(u16::from(eth.ether_type()));
        return Err(ParseError::Field { what: "Ethernet frame", field: "EtherType", found });
    }
    let ip = Ipv4Packet::parse(eth.payload())?;
    if !ip.checksum_ok() {
        return Err(ParseError::Checksum { what: "IPv4 header" });
    }
    if ip.protocol() != protocol {
        return Err(ParseError::Field { what: "IPv4 header", field: "protocol", found: u32::from(ip.protocol().0) });
    }
    if !ip.fragment().is_whole() {
        let found = u32::from(ip.fragment().offset());
        return Err(ParseError::Field { what: "IPv4 header", field: "fragment offset", found });
    }
    Ok((eth.repr(), ip))
}

/// A frame with an IPv4 datagram in it; the payload is taken as it is.
///
/// # Errors
/// [`EmitError::TooLong`] for a payload of more than [`Ipv4Repr::MAX_PAYLOAD`] bytes.
pub fn build_ipv4_frame(eth: &EthernetRepr, ip: &Ipv4Repr, payload: &[u8]) -> Result<Vec<u8>, EmitError> {
    let mut out = Vec::with_capacity(eth.header_len() + Ipv4Repr::HEADER_LEN + payload.len());
    eth.emit(&mut out);
    ip.emit(payload.len(), &mut out)?;
    out.extend_from_slice(payload);
    Ok(out)
}

/// A frame with a TCP segment in it, all checksums filled in.
///
/// # Errors
/// [`EmitError::TooLong`] if no IPv4 datagram can hold the segment.
pub fn build_tcp_frame(eth: &EthernetRepr, ip: &Ipv4Repr, tcp: &TcpSegment<'_>) -> Result<Vec<u8>, EmitError> {
    let len = tcp.wire_len();
    let mut out = Vec::with_capacity(eth.header_len() + Ipv4Repr::HEADER_LEN + len);
    eth.emit(&mut out);
    ip.emit(len, &mut out)?;
    tcp.emit(ip.src, ip.dst, &mut out)?;
    Ok(out)
}

/// A frame with an ICMP message in it, all checksums filled in.
///
/// # Errors
/// [`EmitError::TooLong`] if no IPv4 datagram can hold the message.
pub fn build_icmp_frame(eth: &EthernetRepr, ip: &Ipv4Repr, icmp: &IcmpRepr<'_>) -> Result<Vec<u8>, EmitError> {
    let mut message = Vec::new();
    icmp.emit(&mut message);
    build_ipv4_frame(eth, ip, &message)
}

/// A frame with an ARP packet in it: a request is broadcast, a reply goes to its target.
pub fn build_arp_frame(vlan: Option<VlanTag>, arp: &ArpRepr) -> Vec<u8> {
    let dst = match arp.operation {
        ArpOperation::Request => MacAddr::BROADCAST,
        ArpOperation::Reply => arp.target_mac,
    };
    let mut out = Vec::with_capacity(46);
    EthernetRepr { dst, src: arp.sender_mac, vlan, ether_type: EtherType::ARP }.emit(&mut out);
    arp.emit(&mut out);
    out
}

/// The answer to a frame that holds an ICMP echo request: same tag and data, addresses swapped (RFC 1122 section
/// 3.2.2.6). Whether the request was for us is the caller's to judge.
///
/// # Errors
/// Any header or checksum that is wrong; anything that is not a whole echo request.
pub fn build_icmp_echo_reply(frame: &[u8]) -> Result<Vec<u8>, ParseError> {
    let (eth, ip) = parse_ipv4(frame, IpProtocol::ICMP)?;
    let icmp = IcmpPacket::parse(ip.payload())?;
    if !icmp.checksum_ok() {
        return Err(ParseError::Checksum { what: "ICMP message" });
    }
    let not_a_request = ParseError::Field { what: "ICMP message", field: "type", found: u32::from(icmp.kind()) };
    let reply = icmp.repr()?.echo_reply().ok_or(not_a_request)?;
    let header = Ipv4Repr { dscp_ecn: ip.dscp_ecn(), ..Ipv4Repr::new(ip.dst(), ip.src(), IpProtocol::ICMP) };
    let too_long = |EmitError::TooLong { what, max, found }| ParseError::Truncated { what, expected: found, found: max };
    build_icmp_frame(&eth.reply_from(eth.dst), &header, &reply).map_err(too_long)
}
