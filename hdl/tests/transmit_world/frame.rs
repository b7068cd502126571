//! What the frames must be: built by `etherparse`.

use super::super::host_bus::Packed;
use etherparse::checksum::Sum16BitWords;
use etherparse::{IpHeaders, IpNumber, Ipv4Header, PacketBuilder, SingleVlanHeader, TcpHeader, TcpOptionElement, VlanHeader};
use rand::Rng;
use toe_hdl::types::LENGTH_BITS;

/// A `Segment`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    remote_mac: [u8; 6],
    vlan: Option<u16>,
    local_ip: u32,
    remote_ip: u32,
    local_port: u16,
    remote_port: u16,
    pub(crate) seq: u32,
    ack: u32,
    control: u8,
    window: u16,
    stamps: Option<(u32, u32)>,
    length: u64,
}

impl Header {
    /// Random in all that is not given.
    pub(crate) fn random(rng: &mut impl Rng, tag: bool, stamps: bool, length: u64) -> Header {
        let mut header = Header {
            remote_mac: rng.random(),
            vlan: tag.then(|| rng.random()),
            local_ip: rng.random(),
            remote_ip: rng.random(),
            local_port: rng.random(),
            remote_port: rng.random(),
            seq: rng.random(),
            ack: rng.random(),
            control: rng.random(),
            window: rng.random(),
            stamps: stamps.then(|| rng.random()),
            length,
        };
        // Words of zeros and ones are what carries go wrong with.
        match rng.random_range(0..8) {
            0 => header.local_ip = u32::MAX,
            1 => (header.seq, header.ack) = (u32::MAX, u32::MAX),
            2 => (header.local_ip, header.remote_ip, header.window) = (0, 0, 0),
            3 => header.stamps = header.stamps.map(|_| (u32::MAX, u32::MAX)),
            _ => {}
        }
        header
    }

    /// Changes address and window so that both sums lie just above 0: what folding them must carry round.
    pub(crate) fn at_edge(mut self, rng: &mut impl Rng, local_mac: [u8; 6], payload: &[u8]) -> Header {
        let ethernet = if self.vlan.is_some() { 18 } else { 14 };
        let moved = |from: u16, has: &[u8], to: u16| {
            let has = u32::from(u16::from_be_bytes([has[0], has[1]]));
            u16::try_from((u32::from(from) + has + 0xffff - u32::from(to)) % 0xffff).expect("16 bits")
        };
        let frame = self.frame(local_mac, payload);
        let low = u16::try_from(self.local_ip & 0xffff).expect("16 bits");
        let low = moved(low, &frame[ethernet + 10..], 0xffff - rng.random_range(1..6));
        self.local_ip = self.local_ip & 0xffff_0000 | u32::from(low);
        let frame = self.frame(local_mac, payload);
        self.window = moved(self.window, &frame[ethernet + 36..], 0xffff - rng.random_range(1..20));
        self
    }

    /// For the port; what does not count is random.
    pub(crate) fn packed(&self, rng: &mut impl Rng) -> Vec<u64> {
        let mac = self.remote_mac.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
        let (value, echo) = self.stamps.unwrap_or_else(|| rng.random());
        Packed::default()
            .with(mac, 48)
            .with(self.vlan.is_some().into(), 1)
            .with(self.vlan.unwrap_or_else(|| rng.random()).into(), 16)
            .with(self.local_ip.into(), 32)
            .with(self.remote_ip.into(), 32)
            .with(self.local_port.into(), 16)
            .with(self.remote_port.into(), 16)
            .with(self.seq.into(), 32)
            .with(self.ack.into(), 32)
            .with(self.control.into(), 8)
            .with(self.window.into(), 16)
            .with(self.stamps.is_some().into(), 1)
            .with(value.into(), 32)
            .with(echo.into(), 32)
            .with(self.length, LENGTH_BITS)
            .words
    }

    /// The frame as it must be on the wire, without FCS.
    pub(crate) fn frame(&self, local_mac: [u8; 6], payload: &[u8]) -> Vec<u8> {
        assert_eq!(self.length, payload.len() as u64);
        let flag = |bit: u8| self.control >> bit & 1 == 1;
        let mut tcp = TcpHeader::new(self.local_port, self.remote_port, self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        (tcp.fin, tcp.syn, tcp.rst, tcp.psh) = (flag(0), flag(1), flag(2), flag(3));
        (tcp.ack, tcp.urg, tcp.ece, tcp.cwr) = (flag(4), flag(5), flag(6), flag(7));
        if let Some((value, echo)) = self.stamps {
            let options = [TcpOptionElement::Noop, TcpOptionElement::Noop, TcpOptionElement::Timestamp(value, echo)];
            tcp.set_options(&options).expect("12 bytes of options");
        }
        let ip = Ipv4Header {
            dont_fragment: true,
            time_to_live: 64,
            protocol: IpNumber::TCP,
            source: self.local_ip.to_be_bytes(),
            destination: self.remote_ip.to_be_bytes(),
            ..Ipv4Header::default()
        };
        let ip = IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default());
        let ethernet = PacketBuilder::ethernet2(local_mac, self.remote_mac);
        let packet = match self.vlan {
            None => ethernet.ip(ip).tcp_header(tcp),
            Some(tci) => {
                let tag = SingleVlanHeader {
                    pcp: u8::try_from(tci >> 13).unwrap().try_into().unwrap(),
                    drop_eligible_indicator: tci >> 12 & 1 == 1,
                    vlan_id: (tci & 0xfff).try_into().unwrap(),
                    ..SingleVlanHeader::default()
                };
                ethernet.vlan(VlanHeader::Single(tag)).ip(ip).tcp_header(tcp)
            }
        };
        let mut frame = Vec::new();
        packet.write(&mut frame, payload).expect("a frame");
        frame
    }
}

/// Fills a checksum in: the complement of the sum of what is behind `start`.
pub(crate) fn fill_checksum(frame: &mut [u8], start: usize, offset: usize) {
    let sum = Sum16BitWords::new().add_slice(&frame[start..]).ones_complement();
    frame[offset..offset + 2].copy_from_slice(&sum.to_ne_bytes());
}

/// Makes the host's part of a frame out of a whole one: the sum of the pseudo header where the checksum goes. Gives the start and the offset.
pub(crate) fn offload(frame: &mut [u8], tag: bool) -> (usize, usize) {
    let tcp = if tag { 38 } else { 34 };
    let length = u16::try_from(frame.len() - tcp).unwrap();
    let pseudo = Sum16BitWords::new().add_slice(&frame[tcp - 8..tcp]).add_2bytes([0, 6]).add_2bytes(length.to_be_bytes());
    frame[tcp + 16..tcp + 18].copy_from_slice(&(!pseudo.ones_complement()).to_ne_bytes());
    (tcp, tcp + 16)
}
