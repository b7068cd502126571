//! The Internet checksum (RFC 1071), over plain bytes and with TCP's pseudo-header (RFC 9293 section 3.1).

use std::net::Ipv4Addr;

use crate::IpProtocol;

/// Folds the carries of a wide sum back in, down to 16 bits.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The loop leaves 16 bits only.
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The one's complement sum of the bytes taken as big-endian 16-bit words, an odd last byte padded with zero
/// (RFC 1071 section 1). Not complemented.
pub fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_be_bytes(*word));
    }
    let mut tail = [0; 4];
    for (to, from) in tail.iter_mut().zip(rest) {
        *to = *from;
    }
    fold(sum + u64::from(u32::from_be_bytes(tail)))
}

/// The one's complement sum of two sums. The bytes behind `first` must be an even number.
pub fn combine(first: u16, second: u16) -> u16 {
    fold(u64::from(first) + u64::from(second))
}

/// What goes into a checksum field that is zero in `bytes`: the complement of the sum.
pub fn checksum(bytes: &[u8]) -> u16 {
    !ones_complement_sum(bytes)
}

/// Whether bytes that hold their own checksum agree with it: the sum is all ones.
pub fn is_valid(bytes: &[u8]) -> bool {
    ones_complement_sum(bytes) == 0xffff
}

/// The sum of the IPv4 pseudo-header; `length` is of the transport header and payload, in bytes.
pub fn pseudo_header_sum(src: Ipv4Addr, dst: Ipv4Addr, protocol: IpProtocol, length: u16) -> u16 {
    let addresses = combine(ones_complement_sum(&src.octets()), ones_complement_sum(&dst.octets()));
    combine(addresses, combine(u16::from(protocol.0), length))
}

/// What goes into the checksum field of a TCP segment in which that field is zero. `None` if no IPv4 datagram can
/// hold so many bytes.
pub fn tcp_checksum(src: Ipv4Addr, dst: Ipv4Addr, segment: &[u8]) -> Option<u16> {
    let length = u16::try_from(segment.len()).ok()?;
    Some(!combine(pseudo_header_sum(src, dst, IpProtocol::TCP, length), ones_complement_sum(segment)))
}

/// Whether a TCP segment agrees with the checksum in it.
pub fn tcp_is_valid(src: Ipv4Addr, dst: Ipv4Addr, segment: &[u8]) -> bool {
    tcp_checksum(src, dst, segment) == Some(0)
}
