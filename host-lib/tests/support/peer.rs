//! A peer that does what the test says: it makes every segment by hand.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

use toe_host_lib::time::Nanoseconds;
use toe_sim::wire::{LinkEnd, Wire, WireFrame};
use toe_wire::{
    build_arp_frame, build_ipv4_frame, build_tcp_frame, ArpOperation, ArpPacket, EtherType, EthernetFrame, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr,
    MacAddr, SeqNumber, TcpFlags, TcpOptions, TcpSegment,
};

use super::world::World;

pub const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
pub const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
pub const HOST_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub const PEER_PORT: u16 = 4000;
/// The peer's ISS: its numbers wrap early.
pub const PEER_ISS: SeqNumber = SeqNumber(0xffff_ff00);

/// A segment that the host has sent.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Nanoseconds,
    pub seq: SeqNumber,
    pub ack: SeqNumber,
    pub flags: TcpFlags,
    pub window: u16,
    pub options: TcpOptions,
    pub payload: Vec<u8>,
    pub src_port: u16,
}

pub struct Peer {
    wire: LinkEnd,
    tcp: VecDeque<Seen>,
    /// Other IPv4 frames.
    pub other: VecDeque<Vec<u8>>,
    /// ARP replies of the host.
    pub arp_replies: usize,
    pub answers_arp: bool,
    /// SND.NXT and RCV.NXT of the connection at hand.
    pub snd_nxt: SeqNumber,
    pub rcv_nxt: SeqNumber,
    pub host_port: u16,
    /// Options of every segment but SYN.
    pub timestamps: Option<(u32, u32)>,
    pub window: u16,
}

pub const ACK: TcpFlags = TcpFlags::ACK;
pub const SYN: TcpFlags = TcpFlags::SYN;
pub const RST: TcpFlags = TcpFlags::RST;
pub const FIN: TcpFlags = TcpFlags::FIN;

impl Peer {
    pub fn new(wire: LinkEnd) -> Peer {
        Peer {
            wire,
            tcp: VecDeque::new(),
            other: VecDeque::new(),
            arp_replies: 0,
            answers_arp: true,
            snd_nxt: PEER_ISS,
            rcv_nxt: SeqNumber(0),
            host_port: 80,
            timestamps: None,
            window: 60000,
        }
    }

    pub fn address() -> SocketAddrV4 {
        SocketAddrV4::new(PEER_IP, PEER_PORT)
    }

    /// Takes what has come, and lets time go on for so long.
    pub fn run(&mut self, world: &mut World, time: Nanoseconds) {
        let end = world.now() + time;
        loop {
            self.take(world);
            if world.now() >= end {
                return;
            }
            let left = end - world.now();
            world.run_for(left.min(Nanoseconds::from_micros(100)));
        }
    }

    /// Lets a long time pass in large steps.
    pub fn run_long(&mut self, world: &mut World, time: Nanoseconds) {
        let end = world.now() + time;
        while world.now() < end {
            self.take(world);
            let left = end - world.now();
            world.run_for(left.min(Nanoseconds::from_millis(100)));
        }
        self.take(world);
    }

    fn take(&mut self, world: &mut World) {
        let now = world.now();
        while let Some(frame) = self.wire.receive(now).expect("the cable is there") {
            self.on_frame(now, &frame.bytes);
        }
    }

    fn on_frame(&mut self, now: Nanoseconds, bytes: &[u8]) {
        let eth = EthernetFrame::parse(bytes).expect("an Ethernet frame");
        if eth.ether_type() == EtherType::ARP {
            let arp = ArpPacket::parse(eth.payload()).expect("an ARP packet").repr();
            match arp.operation {
                ArpOperation::Request if arp.target_ip == PEER_IP && self.answers_arp => {
                    self.send_frame(now, build_arp_frame(None, &arp.reply_from(PEER_MAC)));
                }
                ArpOperation::Request => {}
                ArpOperation::Reply => self.arp_replies += 1,
            }
            return;
        }
        let ip = Ipv4Packet::parse(eth.payload()).expect("an IPv4 datagram");
        assert!(ip.checksum_ok() && ip.src() == HOST_IP && ip.dst() == PEER_IP && eth.dst() == PEER_MAC);
        if ip.protocol() != IpProtocol::TCP {
            self.other.push_back(bytes.to_vec());
            return;
        }
        let tcp = TcpSegment::parse(ip.payload(), ip.src(), ip.dst()).expect("a TCP segment with a good checksum");
        let TcpSegment { seq, ack, flags, window, options, payload, src_port, .. } = tcp;
        self.tcp.push_back(Seen { at: now, seq, ack, flags, window, options, payload: payload.to_vec(), src_port });
    }

    pub fn send_frame(&mut self, now: Nanoseconds, frame: Vec<u8>) {
        self.wire.send(now, WireFrame::padded(frame)).expect("the cable is there");
    }

    /// A datagram from the peer.
    pub fn send_ip(&mut self, world: &mut World, ip: Ipv4Repr, payload: &[u8]) {
        let eth = EthernetRepr::new(HOST_MAC, PEER_MAC, EtherType::IPV4);
        self.send_frame(world.now(), build_ipv4_frame(&eth, &ip, payload).expect("it fits"));
    }

    /// A segment with everything chosen.
    pub fn send(&mut self, world: &mut World, seq: SeqNumber, ack: SeqNumber, flags: TcpFlags, payload: &[u8]) {
        let mut options = TcpOptions::new();
        if let Some((value, echo)) = self.timestamps {
            options = options.with_timestamps(value, echo);
        }
        self.send_segment(world, &TcpSegment { seq, ack, flags, window: self.window, options, payload, ..self.blank() });
    }

    pub fn blank(&self) -> TcpSegment<'static> {
        TcpSegment { src_port: PEER_PORT, dst_port: self.host_port, window: self.window, ..TcpSegment::default() }
    }

    pub fn send_segment(&mut self, world: &mut World, segment: &TcpSegment<'_>) {
        self.send_frame(world.now(), self.frame(segment));
    }

    /// A segment as a frame.
    pub fn frame(&self, segment: &TcpSegment<'_>) -> Vec<u8> {
        let eth = EthernetRepr::new(HOST_MAC, PEER_MAC, EtherType::IPV4);
        let ip = Ipv4Repr::new(PEER_IP, HOST_IP, IpProtocol::TCP);
        build_tcp_frame(&eth, &ip, segment).expect("it fits")
    }

    /// The next bytes in sequence as frames, 100 in each.
    pub fn next_frames(&mut self, count: u8) -> Vec<Vec<u8>> {
        let one = |k: u8| {
            let payload = [k; 100];
            let segment = TcpSegment { seq: self.snd_nxt + 100 * u32::from(k), ack: self.rcv_nxt, flags: ACK, payload: &payload, ..self.blank() };
            self.frame(&segment)
        };
        let frames = (0..count).map(one).collect();
        self.snd_nxt += 100 * u32::from(count);
        frames
    }

    /// A segment in sequence.
    pub fn send_next(&mut self, world: &mut World, flags: TcpFlags, payload: &[u8]) {
        self.send(world, self.snd_nxt, self.rcv_nxt, flags, payload);
        self.snd_nxt += u32::try_from(payload.len()).expect("short") + u32::from(flags.fin());
    }

    /// The next segment of the host, which must come within a second.
    pub fn expect(&mut self, world: &mut World, what: &str) -> Seen {
        self.expect_within(world, Nanoseconds::from_secs(1), what)
    }

    pub fn expect_within(&mut self, world: &mut World, limit: Nanoseconds, what: &str) -> Seen {
        let end = world.now() + limit;
        while self.tcp.is_empty() {
            if world.now() >= end {
                world.print();
                panic!("{what} did not come within {limit}");
            }
            self.run(world, Nanoseconds::from_micros(100));
        }
        self.tcp.pop_front().expect("it is there")
    }

    /// Everything the host sends within this time.
    pub fn collect(&mut self, world: &mut World, time: Nanoseconds) -> Vec<Seen> {
        if time > Nanoseconds::from_secs(1) {
            self.run_long(world, time);
        } else {
            self.run(world, time);
        }
        self.tcp.drain(..).collect()
    }

    /// The host sends nothing for some milliseconds.
    pub fn expect_silence(&mut self, world: &mut World) {
        let seen = self.collect(world, Nanoseconds::from_millis(100));
        assert!(seen.is_empty(), "{seen:?}");
    }

    /// Opens a connection to the host's port 80; `options` are those of the SYN.
    pub fn connect(&mut self, world: &mut World, options: TcpOptions) -> Seen {
        let syn = TcpSegment { seq: PEER_ISS, flags: SYN, options, ..self.blank() };
        self.send_segment(world, &syn);
        let syn_ack = self.expect(world, "SYN+ACK");
        assert_eq!((syn_ack.flags, syn_ack.ack), (SYN | ACK, PEER_ISS + 1));
        self.snd_nxt = PEER_ISS + 1;
        self.rcv_nxt = syn_ack.seq + 1;
        syn_ack
    }
}
