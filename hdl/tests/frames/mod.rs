//! Frames for the benches of the receive and transmit paths, built by `etherparse`.
#![allow(dead_code, reason = "each bench uses a part of it")]

use etherparse::{EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, SingleVlanHeader, TcpHeader, VlanId, VlanPcp};
use rand::Rng;

/// A TCP segment in an Ethernet frame.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) destination_mac: [u8; 6],
    pub(crate) source_mac: [u8; 6],
    /// Tag control information of an 802.1Q tag.
    pub(crate) vlan: Option<u16>,
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
    pub(crate) identification: u16,
    /// DF, MF and offset in 8 bytes.
    pub(crate) fragment: (bool, bool, u16),
    pub(crate) protocol: u8,
    /// A multiple of 4 bytes.
    pub(crate) ip_options: Vec<u8>,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    /// FIN lowest, as on the wire.
    pub(crate) control: u8,
    pub(crate) window: u16,
    /// A multiple of 4 bytes.
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Spec {
    pub(crate) fn new(options: Vec<u8>, payload: Vec<u8>) -> Spec {
        Spec {
            destination_mac: [2, 0, 0, 0, 0, 2],
            source_mac: [2, 0, 0, 0, 0, 1],
            vlan: None,
            source: [10, 0, 0, 1],
            destination: [10, 0, 0, 2],
            identification: 0,
            fragment: (true, false, 0),
            protocol: 6,
            ip_options: vec![],
            source_port: 40_000,
            destination_port: 80,
            seq: 1,
            ack: 2,
            control: 0x10,
            window: 500,
            options,
            payload,
        }
    }

    /// Random in everything but its form.
    pub(crate) fn random(rng: &mut impl Rng, options: Vec<u8>, payload: usize) -> Spec {
        let mut data = vec![0; payload];
        rng.fill(&mut data[..]);
        Spec {
            vlan: rng.random_bool(0.5).then(|| rng.random()),
            source: rng.random(),
            destination: rng.random(),
            identification: rng.random(),
            source_port: rng.random(),
            destination_port: rng.random(),
            seq: rng.random(),
            ack: rng.random(),
            control: rng.random(),
            window: rng.random(),
            ..Spec::new(options, data)
        }
    }

    /// Bytes of the Ethernet header.
    pub(crate) fn ethernet(&self) -> usize {
        if self.vlan.is_some() {
            18
        } else {
            14
        }
    }

    /// The frame without FCS and without padding.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut tcp = TcpHeader::new(self.source_port, self.destination_port, self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        let flag = |bit: u8| self.control >> bit & 1 != 0;
        (tcp.fin, tcp.syn, tcp.rst, tcp.psh) = (flag(0), flag(1), flag(2), flag(3));
        (tcp.ack, tcp.urg, tcp.ece, tcp.cwr) = (flag(4), flag(5), flag(6), flag(7));
        tcp.set_options_raw(&self.options).expect("at most 40 bytes of options");
        let length = tcp.header_len() + self.ip_options.len() + self.payload.len();
        let mut ip = Ipv4Header::new(
            u16::try_from(length - self.ip_options.len()).expect("fits a datagram"),
            64,
            IpNumber(self.protocol),
            self.source,
            self.destination,
        )
        .expect("fits a datagram");
        ip.options = self.ip_options.as_slice().try_into().expect("a multiple of 4, at most 40");
        ip.total_len = u16::try_from(20 + length).expect("fits a datagram");
        ip.identification = self.identification;
        (ip.dont_fragment, ip.more_fragments) = (self.fragment.0, self.fragment.1);
        ip.fragment_offset = IpFragOffset::try_new(self.fragment.2).expect("13 bits");
        ip.header_checksum = ip.calc_header_checksum();
        tcp.checksum = tcp.calc_checksum_ipv4(&ip, &self.payload).expect("fits a datagram");

        let mut frame = vec![];
        let outer = if self.vlan.is_some() { EtherType::VLAN_TAGGED_FRAME } else { EtherType::IPV4 };
        let ethernet = Ethernet2Header { source: self.source_mac, destination: self.destination_mac, ether_type: outer };
        ethernet.write(&mut frame).expect("into memory");
        if let Some(tag) = self.vlan {
            let tag = SingleVlanHeader {
                pcp: VlanPcp::try_new(u8::try_from(tag >> 13).expect("3 bits")).expect("3 bits"),
                drop_eligible_indicator: tag >> 12 & 1 != 0,
                vlan_id: VlanId::try_new(tag & 0xfff).expect("12 bits"),
                ether_type: EtherType::IPV4,
            };
            tag.write(&mut frame).expect("into memory");
        }
        ip.write_raw(&mut frame).expect("into memory");
        tcp.write(&mut frame).expect("into memory");
        frame.extend_from_slice(&self.payload);
        frame
    }
}

/// As the wire has it: at least 60 bytes, the padding being `fill`.
pub(crate) fn padded(mut frame: Vec<u8>, fill: u8) -> Vec<u8> {
    if frame.len() < 60 {
        frame.resize(60, fill);
    }
    frame
}

/// A beat: data, keep, last.
pub(crate) fn beats(frame: &[u8]) -> Vec<(u64, u64, bool)> {
    let count = frame.len().div_ceil(8);
    let beat = |(k, bytes): (usize, &[u8])| {
        let mut word = [0xa5; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        (u64::from_le_bytes(word), 0xff >> (8 - bytes.len()), k + 1 == count)
    };
    frame.chunks(8).enumerate().map(beat).collect()
}

/// Linux 6 to a TAP: the SYN, the ACK of the SYN+ACK, data and the FIN of one connection.
pub(crate) const CAPTURED: [&str; 4] = [
    "02000000000202000000000108004500003c29f140004006f93a0ac701010ac70102a4fe1e613ac69a5a00000000a002faf039e90000020405b40402080ad25a90b7000000000103030a",
    "02000000000202000000000108004500003429f240004006f9410ac701010ac70102a4fe1e613ac69a5b000003e98010003f4f7000000101080ad25a90b800001000",
    "02000000000202000000000108004500004b29f340004006f9290ac701010ac70102a4fe1e613ac69a5b000003e98018003f6f4d00000101080ad25a90b80000100048656c6c6f2c206f66666c6f616420656e67696e65210a",
    "02000000000202000000000108004500003429f440004006f93f0ac701010ac70102a4fe1e613ac69a72000003e98011003f4f5800000101080ad25a90b800001000",
];

/// Bytes of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |k: usize| u8::from_str_radix(&text[k..k + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}
