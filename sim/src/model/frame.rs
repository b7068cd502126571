//! Making frames: headers of segments, checksums of raw frames.

use super::flow::Flow;
use super::parse::{flag, pseudo_header, sum};

/// Shortest frame on the wire without FCS (IEEE 802.3 clause 4.2.3.3).
pub(super) const SHORTEST: usize = 60;

/// A segment to be made.
pub(super) struct Outgoing<'a> {
    /// SEG.SEQ.
    pub(super) seq: u32,
    /// PSH and FIN; ACK is always set.
    pub(super) flags: u8,
    /// The window field.
    pub(super) window: u16,
    /// TSval, put in if the flow has timestamps.
    pub(super) tsval: u32,
    /// Payload.
    pub(super) payload: &'a [u8],
}

fn low16(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// The frame of a segment of a flow; its ACK number is RCV.NXT.
pub(super) fn build(flow: &Flow, mac: [u8; 6], out: &Outgoing) -> Vec<u8> {
    let mut frame = Vec::with_capacity(SHORTEST + 16 + out.payload.len());
    frame.extend(flow.remote_mac);
    frame.extend(mac);
    if let Some(tag) = flow.vlan {
        frame.extend(0x8100_u16.to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(0x0800_u16.to_be_bytes());
    let ip = frame.len();
    let tcp_length = if flow.timestamps { 32 } else { 20 } + out.payload.len();
    frame.extend([0x45, 0]);
    frame.extend(u16::try_from(20 + tcp_length).unwrap_or(u16::MAX).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(flow.tuple.local_ip.to_be_bytes());
    frame.extend(flow.tuple.remote_ip.to_be_bytes());
    let checksum = !low16(sum(0, &frame[ip..ip + 20]));
    frame[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());
    push_tcp(&mut frame, flow, out);
    let start = pseudo_header(flow.tuple.local_ip, flow.tuple.remote_ip, tcp_length);
    let checksum = !low16(sum(start, &frame[ip + 20..]));
    frame[ip + 36..ip + 38].copy_from_slice(&checksum.to_be_bytes());
    frame
}

/// The TCP header with checksum zero, and the payload.
fn push_tcp(frame: &mut Vec<u8>, flow: &Flow, out: &Outgoing) {
    frame.extend(flow.tuple.local_port.to_be_bytes());
    frame.extend(flow.tuple.remote_port.to_be_bytes());
    frame.extend(out.seq.to_be_bytes());
    frame.extend(flow.rcv_nxt.to_be_bytes());
    frame.push(if flow.timestamps { 8 << 4 } else { 5 << 4 });
    frame.push(flag::ACK | out.flags);
    frame.extend(out.window.to_be_bytes());
    frame.extend([0; 4]);
    if flow.timestamps {
        frame.extend([1, 1, 8, 10]);
        frame.extend(out.tsval.to_be_bytes());
        frame.extend(flow.ts_recent.to_be_bytes());
    }
    frame.extend(out.payload);
}

/// Puts a checksum into a raw frame: of the bytes from `start` to the end, where the field holds the pseudo header's sum.
pub(super) fn fill_checksum(frame: &mut [u8], start: usize, offset: usize) {
    let checksum = !low16(sum(0, &frame[start..]));
    frame[offset..offset + 2].copy_from_slice(&checksum.to_be_bytes());
}
