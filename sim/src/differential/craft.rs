//! Frames of a peer that keeps to no rule.

use crate::rig::FlowSetup;
use rand::seq::IndexedRandom;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use toe_wire::checksum::{checksum, tcp_checksum};

/// A segment as it is to be on the wire; checksums and lengths are made right.
#[derive(Clone, Debug, Default)]
pub(super) struct Crafted {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) wnd: u16,
    pub(super) flags: u8,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) tags: Vec<u16>,
    pub(super) padding: usize,
}

impl Crafted {
    /// The frame, at least 60 bytes long.
    pub(super) fn frame(&self, flow: &FlowSetup) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(20 + self.options.len() + self.payload.len());
        tcp.extend(flow.remote_port.to_be_bytes());
        tcp.extend(flow.local_port.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        let words = u8::try_from(5 + self.options.len() / 4).unwrap_or(15);
        tcp.extend([words << 4, self.flags]);
        tcp.extend(self.wnd.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(&self.options);
        tcp.extend(&self.payload);
        if let Some(sum) = tcp_checksum(flow.remote_ip.into(), flow.local_ip.into(), &tcp) {
            tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        }
        let mut frame = ethernet(flow, &self.tags, [8, 0]);
        frame.extend(ipv4(flow, 6, &tcp));
        frame.resize((frame.len() + self.padding).max(60), 0x55);
        frame
    }
}

fn ethernet(flow: &FlowSetup, tags: &[u16], ether_type: [u8; 2]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1600);
    frame.extend(flow.local_mac);
    frame.extend(flow.remote_mac);
    for tag in tags {
        frame.extend([0x81, 0]);
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(ether_type);
    frame
}

fn ipv4(flow: &FlowSetup, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let [a, b] = total.to_be_bytes();
    let mut ip = vec![0x45, 0, a, b, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0];
    ip.extend(flow.remote_ip.to_be_bytes());
    ip.extend(flow.local_ip.to_be_bytes());
    mend(&mut ip, 20);
    ip.extend(payload);
    ip
}

/// Puts the right checksum into an IPv4 header.
fn mend(ip: &mut [u8], header: usize) {
    ip[10..12].fill(0);
    let sum = checksum(&ip[..header]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// TCP options: timestamps in one of their forms, or anything.
pub(super) fn options(timestamp: Option<(u32, u32)>, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some((val, ecr)) = timestamp {
        let before: &[u8] = [&[1, 1][..], &[1, 1], &[1, 1], &[1, 1], &[], &[3, 3, 7, 1, 1, 1], &[1], &[253, 4, 9, 9], &[5, 10, 1, 1, 1, 1, 1, 1, 1, 1]]
            .choose(random)
            .unwrap_or(&&[][..]);
        bytes.extend(before);
        bytes.extend([8, 10]);
        bytes.extend(val.to_be_bytes());
        bytes.extend(ecr.to_be_bytes());
        if random.random_ratio(1, 16) {
            bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        }
    } else if random.random_ratio(1, 8) {
        let length = 4 * random.random_range(1..=10);
        bytes.extend((0..length).map(|_| *[0, 1, 1, 2, 3, 4, 8, 10, 12, 255, random.random()].choose(random).unwrap_or(&1)));
    }
    let fill = if random.random_ratio(1, 2) { 0 } else { 1 };
    bytes.resize(bytes.len().next_multiple_of(4).min(40), fill);
    bytes
}

/// Spoils a good frame in one place, and sometimes makes checksums right again.
pub(super) fn spoil(frame: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    let at = random.random_range(0..frame.len());
    match random.random_range(0..6) {
        0 | 1 => frame[at] ^= 1 << random.random_range(0..8),
        2 => frame.truncate(random.random_range(14..frame.len().max(15))),
        3 => frame.extend((0..random.random_range(1..40)).map(|_| 0_u8)),
        4 if frame.len() > 34 => {
            frame[random.random_range(14..34)] = random.random();
            let header = (usize::from(frame[14] & 15) * 4).clamp(20, frame.len() - 14);
            mend(&mut frame[14..], header);
        }
        _ => frame[12 + at % 2] = random.random(),
    }
}

/// A frame that is no segment of a flow.
pub(super) fn junk(flow: &FlowSetup, random: &mut ChaCha8Rng) -> Vec<u8> {
    let length = random.random_range(0..120);
    let payload: Vec<u8> = (0..length).map(|_| random.random()).collect();
    let mut frame = match random.random_range(0..7) {
        0 => [ethernet(flow, &[], [8, 6]), payload].concat(),
        1 => [ethernet(flow, &[], [0x86, 0xdd]), payload].concat(),
        2 => [ethernet(flow, &[7, 8], [8, 0]), payload].concat(),
        3 => [ethernet(flow, &[random.random()], [8, 0]), ipv4(flow, 17, &payload)].concat(),
        4 => [ethernet(flow, &[], [8, 0]), fragment(flow, &payload, random)].concat(),
        5 => {
            let mut other = *flow;
            other.remote_port = random.random();
            return Crafted { seq: random.random(), ack: random.random(), flags: random.random(), payload, ..Crafted::default() }.frame(&other);
        }
        _ => [ethernet(flow, &[], [random.random(), random.random()]), payload].concat(),
    };
    match random.random_range(0..8) {
        0 => frame[..6].fill(0xff),
        1 => frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 1]),
        2 => frame[5] ^= 0x40,
        _ => {}
    }
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A fragment, or a datagram with options in its header.
fn fragment(flow: &FlowSetup, payload: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut ip = ipv4(flow, 6, payload);
    if random.random() {
        ip[6] = [0x20, 0x00, 0x60, 0x1f][random.random_range(0..4)];
        ip[7] = random.random();
        mend(&mut ip, 20);
    } else {
        let words = random.random_range(6..=15_u8);
        ip[0] = 0x40 | words;
        let header = usize::from(words) * 4;
        if ip.len() >= header {
            mend(&mut ip, header);
        }
    }
    ip
}
