//! Sorting frames: what is a sound TCP segment, what goes up raw, what is dropped.

use super::flow::Tuple;
use std::ops::Range;
use toe_contract::counter;

/// TCP flags (RFC 9293 section 3.1).
pub(super) mod flag {
    pub(in crate::model) const FIN: u8 = 0x01;
    pub(in crate::model) const SYN: u8 = 0x02;
    pub(in crate::model) const RST: u8 = 0x04;
    pub(in crate::model) const PSH: u8 = 0x08;
    pub(in crate::model) const ACK: u8 = 0x10;
    pub(in crate::model) const URG: u8 = 0x20;
}

/// A TCP segment whose checksums are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Addresses and ports, local is the destination.
    pub(super) tuple: Tuple,
    /// SEG.SEQ.
    pub(super) seq: u32,
    /// SEG.ACK.
    pub(super) ack: u32,
    /// The window field, not scaled.
    pub(super) wnd: u16,
    /// The flags.
    pub(super) flags: u8,
    /// TSval and TSecr.
    pub(super) timestamp: Option<(u32, u32)>,
    /// Where the payload lies in the frame.
    pub(super) payload: Range<usize>,
}

/// What a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sorted {
    /// Faulty: the counter that tells why.
    Dropped(usize),
    /// Nothing for the engine.
    Other,
    /// A segment.
    Tcp(Segment),
}

const TYPE_IPV4: u16 = 0x0800;
const TYPE_VLAN: u16 = 0x8100;
const PROTOCOL_TCP: u8 = 6;

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The one's-complement sum of big-endian 16-bit words, folded (RFC 1071).
pub(super) fn sum(start: u32, bytes: &[u8]) -> u32 {
    let mut sum = u64::from(start);
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u32::try_from(sum).unwrap_or(u32::MAX)
}

/// The sum of TCP's pseudo header (RFC 9293 section 3.1).
pub(super) fn pseudo_header(source: u32, destination: u32, length: usize) -> u32 {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&source.to_be_bytes());
    bytes[4..8].copy_from_slice(&destination.to_be_bytes());
    bytes[9] = PROTOCOL_TCP;
    bytes[10..].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    sum(0, &bytes)
}

/// Sorts a frame, whose bytes go from the destination address to before the FCS.
pub(super) fn sort(frame: &[u8]) -> Sorted {
    let Some(mut at) = (frame.len() >= 14).then_some(12) else { return Sorted::Other };
    if be16(frame, at) == TYPE_VLAN && frame.len() >= 18 {
        at += 4;
    }
    if be16(frame, at) != TYPE_IPV4 {
        return Sorted::Other;
    }
    sort_ipv4(frame, at + 2)
}

fn sort_ipv4(frame: &[u8], at: usize) -> Sorted {
    let ip = &frame[at..];
    if ip.first().is_some_and(|b| b >> 4 != 4) {
        return Sorted::Other;
    }
    if ip.len() < 20 {
        return Sorted::Dropped(counter::RX_BAD_IPV4_HEADER);
    }
    let (header, total) = (usize::from(ip[0] & 15) * 4, usize::from(be16(ip, 2)));
    if header < 20 || total < header || total > ip.len() {
        return Sorted::Dropped(counter::RX_BAD_IPV4_HEADER);
    }
    if sum(0, &ip[..header]) != 0xffff {
        return Sorted::Dropped(counter::RX_BAD_IPV4_CHECKSUM);
    }
    // MF or a fragment offset; DF and the reserved bit say nothing.
    let fragment = be16(ip, 6) & 0x3fff != 0;
    if header > 20 || fragment || ip[9] != PROTOCOL_TCP {
        return Sorted::Other;
    }
    sort_tcp(&ip[..total], at)
}

fn sort_tcp(ip: &[u8], at: usize) -> Sorted {
    let tcp = &ip[20..];
    let header = tcp.get(12).map_or(0, |b| usize::from(b >> 4) * 4);
    if header < 20 || header > tcp.len() {
        return Sorted::Dropped(counter::RX_BAD_TCP_HEADER);
    }
    let (source, destination) = (be32(ip, 12), be32(ip, 16));
    if sum(pseudo_header(source, destination, tcp.len()), tcp) != 0xffff {
        return Sorted::Dropped(counter::RX_BAD_TCP_CHECKSUM);
    }
    Sorted::Tcp(Segment {
        tuple: Tuple { local_ip: destination, remote_ip: source, local_port: be16(tcp, 2), remote_port: be16(tcp, 0) },
        seq: be32(tcp, 4),
        ack: be32(tcp, 8),
        wnd: be16(tcp, 14),
        flags: tcp[13],
        timestamp: timestamp(&tcp[20..header]),
        payload: at + 20 + header..at + ip.len(),
    })
}

/// TSval and TSecr out of the options (RFC 7323 section 3.2).
fn timestamp(mut options: &[u8]) -> Option<(u32, u32)> {
    loop {
        match options {
            [] | [0, ..] => return None,
            [1, rest @ ..] => options = rest,
            [8, 10, rest @ ..] if rest.len() >= 8 => return Some((be32(rest, 0), be32(rest, 4))),
            [_, length, ..] if *length >= 2 && usize::from(*length) <= options.len() => options = &options[usize::from(*length)..],
            _ => return None,
        }
    }
}
