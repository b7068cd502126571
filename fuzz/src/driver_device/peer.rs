//! The peers' frames that the device leaves to the host, and what it learns from the host's own.

use super::engine::Tuple;
use super::pattern;
use super::puppet::Inside;
use crate::input::Input;
use std::net::Ipv4Addr;
use toe_contract::event::{self, Event};
use toe_contract::raw::Reason;
use toe_contract::NO_FLOW;
use toe_wire::{
    build_arp_frame, build_icmp_frame, build_ipv4_frame, build_tcp_frame, parse_tcp_frame, ArpOperation, ArpPacket, EtherType, EthernetFrame, EthernetRepr,
    Fragment, IcmpRepr, IpProtocol, Ipv4Repr, MacAddr, SeqNumber, TcpFlags, TcpOptions, TcpSegment,
};

pub(super) const HOST_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
/// ISS of every peer: its numbers wrap early.
const PEER_ISS: SeqNumber = SeqNumber(0xffff_fe00);
/// Handshakes that are remembered.
const SYNS: usize = 16;

pub(super) fn ips() -> [Ipv4Addr; 3] {
    [Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 0, 10), Ipv4Addr::new(10, 0, 1, 1)]
}

/// A handshake segment that the host has sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Syn {
    tuple: Tuple,
    iss: SeqNumber,
}

/// A TCP frame that came to the host: whose it is, and the segment.
pub(super) fn place(frame: &[u8]) -> Option<(Tuple, TcpSegment<'_>)> {
    let whole = parse_tcp_frame(frame).ok()?;
    Some((Tuple { local_port: whole.tcp.dst_port, remote_ip: whole.ip.src.into(), remote_port: whole.tcp.src_port }, whole.tcp))
}

fn eth(ether_type: EtherType) -> EthernetRepr {
    EthernetRepr::new(HOST_MAC, PEER_MAC, ether_type)
}

fn header(reason: Reason) -> Event {
    Event::default().with(event::KIND, reason as u32).with(event::FLOW, NO_FLOW.into())
}

impl Inside {
    /// The host has sent a frame: ARP is answered, handshakes are remembered.
    pub(super) fn sent(&mut self, frame: &[u8]) {
        if let Ok(whole) = parse_tcp_frame(frame) {
            let tuple = Tuple { local_port: whole.tcp.src_port, remote_ip: whole.ip.dst.into(), remote_port: whole.tcp.dst_port };
            if whole.tcp.flags.syn() {
                self.syns.retain(|syn| syn.tuple != tuple);
                self.syns.push_back(Syn { tuple, iss: whole.tcp.seq });
                self.syns.truncate(SYNS);
            }
            return;
        }
        let Ok(eth) = EthernetFrame::parse(frame) else { return };
        let asked = ArpPacket::parse(eth.payload()).ok().filter(|_| eth.ether_type() == EtherType::ARP).map(|packet| packet.repr());
        if let Some(asked) = asked.filter(|asked| asked.operation == ArpOperation::Request && asked.target_ip != HOST_IP && asked.target_ip.octets()[3] != 10) {
            self.push_raw(header(Reason::Other), &build_arp_frame(None, &asked.reply_from(PEER_MAC)));
        }
    }

    /// A segment of a peer comes: raw if no flow has it or it has SYN, RST or URG; else the flow takes what is in order.
    pub(super) fn segment(&mut self, code: u8, input: &mut Input<'_>) {
        let which = usize::from(input.u8());
        let (tuple, iss) = match self.syns.get(which % (self.syns.len() + 2)) {
            Some(syn) => (syn.tuple, syn.iss),
            None => (Tuple { local_port: 80, remote_ip: ips()[which % 2].into(), remote_port: 4000 + u16::try_from(which % 6).unwrap_or(0) }, SeqNumber(0)),
        };
        let flow = self.flows.iter().position(|flow| flow.active && flow.tuple() == tuple);
        let (nxt, una) = flow.map_or((PEER_ISS + 1, iss + 1), |n| (SeqNumber(self.flows[n].rcv_nxt), SeqNumber(self.flows[n].snd_una)));
        // The usual handshake first, then everything.
        let (seq, ack, flags) = match code {
            16..=18 => (PEER_ISS, SeqNumber(0), TcpFlags::SYN),
            19..=21 => (PEER_ISS, iss + 1, TcpFlags::SYN | TcpFlags::ACK),
            22..=25 => (PEER_ISS + 1, iss + 1, TcpFlags::ACK),
            26 => (nxt, una, TcpFlags::RST | TcpFlags::ACK),
            27 => (nxt, una, TcpFlags::FIN | TcpFlags::ACK),
            28 => (nxt, una, TcpFlags::URG | TcpFlags::ACK),
            29 => (nxt + u32::from(input.u8()), una, TcpFlags(input.u8())),
            _ => (SeqNumber(input.u32()), SeqNumber(input.u32()), TcpFlags(input.u8())),
        };
        let length = if flags.syn() || flags.rst() { 0 } else { u32::from(input.u8()) };
        let start = seq.offset_from(PEER_ISS + 1);
        let payload: Vec<u8> = (0..length).map(|k| pattern(start.wrapping_add(k))).collect();
        let wanted = input.u8();
        let mut options = TcpOptions::new();
        if flags.syn() && wanted & 1 != 0 {
            options = options.with_mss(u16::from(wanted) * 8);
        }
        if flags.syn() && wanted & 2 != 0 {
            options = options.with_window_scale(wanted >> 4);
        }
        if wanted & 4 != 0 {
            options = options.with_timestamps(input.u32(), input.u32());
        }
        let tcp = TcpSegment {
            src_port: tuple.remote_port,
            dst_port: tuple.local_port,
            seq,
            ack,
            flags,
            window: input.u16(),
            options,
            payload: &payload,
            ..TcpSegment::default()
        };
        let ip = Ipv4Repr::new(tuple.remote_ip.into(), HOST_IP, IpProtocol::TCP);
        let Ok(mut frame) = build_tcp_frame(&eth(EtherType::IPV4), &ip, &tcp) else { return };
        frame.resize(frame.len().max(60), 0);
        match flow {
            None => self.push_raw(header(Reason::NoFlow), &frame),
            Some(n) if flags.intersects(TcpFlags::SYN | TcpFlags::RST | TcpFlags::URG) => {
                let record = self.flows[n].record(u16::try_from(n).unwrap_or(0));
                self.push_raw(record.with(event::KIND, Reason::Flagged as u32), &frame);
            }
            Some(n) if seq == nxt => {
                self.receive(n, length, flags.fin());
                self.tell(n);
            }
            Some(_) => {}
        }
    }

    /// A frame that is not TCP, or not whole.
    pub(super) fn other_frame(&mut self, input: &mut Input<'_>) {
        let from = ips()[usize::from(input.u8()) % 3];
        let kind = input.u8() % 6;
        let length = input.u16();
        let bytes = input.bytes(usize::from(length % 1400));
        let ip = |protocol| Ipv4Repr::new(from, HOST_IP, protocol);
        let frame = match kind {
            0 => build_icmp_frame(&eth(EtherType::IPV4), &ip(IpProtocol::ICMP), &IcmpRepr::EchoRequest { ident: 1, sequence: length, data: bytes }),
            1 => build_ipv4_frame(&eth(EtherType::IPV4), &ip(IpProtocol::UDP), bytes),
            2 => {
                let fragment = Fragment::new(length & 0xfff8, length & 1 != 0).unwrap_or_default();
                build_ipv4_frame(&eth(EtherType::IPV4), &Ipv4Repr { fragment, dont_fragment: false, identification: length & 3, ..ip(IpProtocol::TCP) }, bytes)
            }
            3 => build_ipv4_frame(&eth(EtherType::IPV4), &ip(IpProtocol::ICMP), bytes),
            4 => Ok([eth(EtherType::ARP).dst.0.as_slice(), &PEER_MAC.0, &[8, 6], bytes].concat()),
            _ => Ok([HOST_MAC.0.as_slice(), &PEER_MAC.0, bytes].concat()),
        };
        if let Ok(mut frame) = frame {
            frame.resize(frame.len().clamp(60, 1514), 0);
            self.push_raw(header(Reason::Other), &frame);
        }
    }
}
