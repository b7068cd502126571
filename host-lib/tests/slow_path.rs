//! ARP, ICMP and fragments: alone, and through a stack.

mod support;

use std::net::Ipv4Addr;

use proptest::prelude::*;
use support::pair::{accept, drain, listen};
use support::peer::{Peer, ACK, HOST_IP, HOST_MAC, PEER_IP, PEER_MAC};
use support::world::{config, Setup, World};
use toe_host_lib::slow_path::{ArpCache, ArpOutput, Reassembler};
use toe_host_lib::time::Nanoseconds;
use toe_wire::{
    build_arp_frame, ArpOperation, ArpPacket, ArpRepr, EthernetFrame, Fragment, IcmpPacket, IcmpRepr, IpProtocol, Ipv4Packet, Ipv4Repr, MacAddr, TcpOptions,
    TcpSegment,
};

const MS: fn(u64) -> Nanoseconds = Nanoseconds::from_millis;
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

fn cache() -> ArpCache {
    ArpCache::new(HOST_MAC, HOST_IP, None)
}

fn requests(outputs: &[ArpOutput]) -> Vec<Ipv4Addr> {
    let target = |output: &ArpOutput| match output {
        ArpOutput::Frame(frame) => ArpPacket::parse(EthernetFrame::parse(frame).ok()?.payload()).ok().map(|packet| packet.target_ip()),
        ArpOutput::Unreachable(_) => None,
    };
    outputs.iter().filter_map(target).collect()
}

/// RFC 1122 section 2.3.2: packets wait for the answer; requests go out once a second; after three the address is unreachable.
#[test]
fn arp_asks_waits_and_gives_up() {
    let mut cache = cache();
    let frame = vec![0; 60];
    assert_eq!(requests(&cache.send(OTHER, frame.clone(), MS(0))), [OTHER]);
    assert!(cache.send(OTHER, frame.clone(), MS(1)).is_empty(), "it waits, and nobody asks again");
    assert!(cache.expire(MS(999)).is_empty());
    assert_eq!(requests(&cache.expire(MS(1000))), [OTHER]);
    let answer = ArpRepr { operation: ArpOperation::Reply, sender_mac: PEER_MAC, sender_ip: OTHER, target_mac: HOST_MAC, target_ip: HOST_IP };
    let out = cache.on_packet(&answer, MS(1500));
    let sent = |output: &ArpOutput| matches!(output, ArpOutput::Frame(frame) if frame[..6] == PEER_MAC.0);
    assert!(out.len() == 2 && out.iter().all(sent), "{out:?}");
    assert!(cache.send(OTHER, frame.clone(), MS(2000)).iter().all(sent));
    assert_eq!(requests(&cache.send(OTHER, frame, MS(61_600))), [OTHER], "not believed for ever");
    let mut gave_up = Vec::new();
    for second in 62..70 {
        gave_up.extend(cache.expire(MS(second * 1000 + 700)));
    }
    assert_eq!(gave_up.iter().filter(|output| **output == ArpOutput::Unreachable(OTHER)).count(), 1, "{gave_up:?}");
    assert!(cache.is_empty() && cache.next_deadline().is_none());
}

/// RFC 826: a request for us is answered, and who asked is known; other people's traffic is not learnt from, unless we know them already.
#[test]
fn arp_answers_and_learns() {
    let mut cache = cache();
    let request = ArpRepr::request(PEER_MAC, OTHER, HOST_IP);
    let out = cache.on_packet(&request, MS(0));
    let reply = match &out[..] {
        [ArpOutput::Frame(frame)] => ArpPacket::parse(EthernetFrame::parse(frame).expect("a frame").payload()).expect("a packet").repr(),
        other => panic!("{other:?}"),
    };
    assert_eq!(reply, request.reply_from(HOST_MAC));
    assert_eq!(cache.lookup(OTHER, MS(1)), Some(PEER_MAC));
    let stranger = Ipv4Addr::new(10, 0, 0, 50);
    cache.on_packet(&ArpRepr::request(PEER_MAC, stranger, OTHER), MS(1));
    assert_eq!(cache.lookup(stranger, MS(1)), None);
    // Gratuitous: a known neighbour has a new card.
    let moved = MacAddr([2, 0, 0, 0, 9, 9]);
    cache.on_packet(&ArpRepr::request(moved, OTHER, OTHER), MS(2));
    assert_eq!(cache.lookup(OTHER, MS(3)), Some(moved));
    // Nonsense, and somebody with our address.
    cache.on_packet(&ArpRepr::request(MacAddr::BROADCAST, OTHER, HOST_IP), MS(3));
    assert_eq!(cache.lookup(OTHER, MS(3)), Some(moved));
    cache.on_packet(&ArpRepr::request(moved, HOST_IP, OTHER), MS(3));
    assert_eq!((cache.conflicts(), cache.lookup(HOST_IP, MS(3))), (1, None));
}

/// Strangers cannot fill the memory.
#[test]
fn arp_is_bounded() {
    let mut cache = cache();
    for k in 0..5000u32 {
        cache.on_packet(&ArpRepr::request(PEER_MAC, Ipv4Addr::from(0x0a01_0000 + k), HOST_IP), MS(0));
    }
    assert!(cache.len() <= 1024, "{}", cache.len());
}

fn pieces(payload: &[u8], cuts: &[usize]) -> Vec<(usize, Vec<u8>, bool)> {
    let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut % (payload.len() / 8 + 1) * 8).filter(|at| *at > 0 && *at < payload.len()).collect();
    bounds.extend([0, payload.len()]);
    bounds.sort_unstable();
    bounds.dedup();
    bounds.windows(2).map(|two| (two[0], payload[two[0]..two[1]].to_vec(), two[1] < payload.len())).collect()
}

fn datagram(identification: u16, at: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let fragment = Fragment::new(u16::try_from(at).expect("short"), more).expect("a multiple of 8");
    let header = Ipv4Repr { identification, dont_fragment: false, fragment, ..Ipv4Repr::new(PEER_IP, HOST_IP, IpProtocol::UDP) };
    let mut bytes = Vec::new();
    header.emit(payload.len(), &mut bytes).expect("it fits");
    bytes.extend_from_slice(payload);
    bytes
}

fn offer(reassembler: &mut Reassembler, bytes: &[u8], now: Nanoseconds) -> Option<Vec<u8>> {
    reassembler.on_fragment(&Ipv4Packet::parse(bytes).expect("a datagram"), now).map(|datagram| datagram.payload)
}

proptest! {
    /// s28: cut anywhere, in any order, the same datagram comes out with the last piece, and not before.
    #[test]
    fn s28_fragments_in_any_order(payload in prop::collection::vec(any::<u8>(), 17..3000), cuts in prop::collection::vec(any::<usize>(), 1..12), seed in any::<u64>()) {
        let mut reassembler = Reassembler::new();
        let mut parts = pieces(&payload, &cuts);
        prop_assume!(parts.len() > 1);
        let mut state = seed | 1;
        for k in (1..parts.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = usize::try_from(state >> 33).expect("it fits") % (k + 1);
            parts.swap(k, pick);
        }
        let count = parts.len();
        for (k, (at, bytes, more)) in parts.into_iter().enumerate() {
            let out = offer(&mut reassembler, &datagram(7, at, more, &bytes), MS(0));
            prop_assert_eq!(out, (k + 1 == count).then(|| payload.clone()));
        }
        prop_assert!(reassembler.is_empty());
    }
}

/// s28: a fragment that the network has doubled is no overlap, unless it says something else.
#[test]
fn s28_a_fragment_twice() {
    let mut reassembler = Reassembler::new();
    let (first, last) = (datagram(1, 0, true, &[1; 16]), datagram(1, 16, false, &[2; 8]));
    for fragment in [&first, &first, &first] {
        assert!(offer(&mut reassembler, fragment, MS(0)).is_none());
    }
    assert_eq!(offer(&mut reassembler, &last, MS(0)), Some([[1; 16].as_slice(), &[2; 8]].concat()));
    assert!(reassembler.is_empty() && reassembler.dropped() == 0);
    for other in [datagram(1, 0, true, &[3; 16]), datagram(1, 0, false, &[1; 16])] {
        assert!(offer(&mut reassembler, &first, MS(0)).is_none());
        assert!(offer(&mut reassembler, &other, MS(0)).is_none());
        assert!(reassembler.is_empty());
    }
    assert_eq!(reassembler.dropped(), 2);
}

/// s28: overlaps, impossible shapes and late pieces throw the datagram away; there are never too many.
#[test]
fn s28_bad_fragments() {
    let mut reassembler = Reassembler::new();
    let first = datagram(1, 0, true, &[1; 16]);
    for bad in [datagram(1, 8, false, &[2; 16]), datagram(1, 16, true, &[2; 15]), datagram(1, 65_512, false, &[2; 16])] {
        assert!(offer(&mut reassembler, &first, MS(0)).is_none());
        assert!(offer(&mut reassembler, &bad, MS(0)).is_none());
        assert!(reassembler.is_empty(), "{bad:?}");
    }
    assert_eq!(reassembler.dropped(), 3);
    offer(&mut reassembler, &first, MS(0));
    reassembler.expire(MS(59_999));
    assert_eq!(reassembler.len(), 1);
    reassembler.expire(MS(60_000));
    assert!(reassembler.is_empty());
    for identification in 0..1000 {
        offer(&mut reassembler, &datagram(identification, 0, true, &[1; 16]), MS(0));
    }
    assert_eq!(reassembler.len(), 64);
}

fn echo(world: &mut World, peer: &mut Peer, data: &[u8], fragments: usize) -> Vec<u8> {
    let mut message = Vec::new();
    IcmpRepr::EchoRequest { ident: 5, sequence: 6, data }.emit(&mut message);
    let len = message.len().div_ceil(fragments).next_multiple_of(8);
    for (k, piece) in message.chunks(len).enumerate() {
        let more = (k + 1) * len < message.len();
        let fragment = Fragment::new(u16::try_from(k * len).expect("short"), more).expect("a multiple of 8");
        peer.send_ip(world, Ipv4Repr { fragment, dont_fragment: false, ..Ipv4Repr::new(PEER_IP, HOST_IP, IpProtocol::ICMP) }, piece);
    }
    peer.run(world, MS(5));
    let frame = peer.other.pop_front().expect("an answer");
    let ip = Ipv4Packet::parse(EthernetFrame::parse(&frame).expect("a frame").payload()).expect("a datagram");
    let message = IcmpPacket::parse(ip.payload()).expect("ICMP");
    assert!(message.checksum_ok());
    match message.repr().expect("known") {
        IcmpRepr::EchoReply { ident: 5, sequence: 6, data } => data.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// s27, s28: ARP and ping are answered, whole and in fragments.
#[test]
fn s27_s28_ping() {
    let (mut world, wire) = World::single(config(1), &Setup::default());
    let mut peer = Peer::new(wire);
    peer.send_frame(world.now(), build_arp_frame(None, &ArpRepr::request(PEER_MAC, PEER_IP, HOST_IP)));
    peer.run(&mut world, MS(1));
    assert_eq!(peer.arp_replies, 1);
    assert_eq!(echo(&mut world, &mut peer, b"hello", 1), b"hello");
    assert_eq!(echo(&mut world, &mut peer, &[9; 1000], 3), [9; 1000]);
}

/// RFC 1122 section 3.2.2.1: a protocol or port that nobody has.
#[test]
fn unreachable_protocols_and_ports() {
    let (mut world, wire) = World::single(config(1), &Setup::default());
    let mut peer = Peer::new(wire);
    for (protocol, code) in [(IpProtocol::UDP, 3), (IpProtocol(99), 2)] {
        peer.send_ip(&mut world, Ipv4Repr::new(PEER_IP, HOST_IP, protocol), &[0, 7, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4]);
        peer.run(&mut world, MS(5));
        let frame = peer.other.pop_front().expect("an answer");
        let ip = Ipv4Packet::parse(EthernetFrame::parse(&frame).expect("a frame").payload()).expect("a datagram");
        let found = IcmpPacket::parse(ip.payload()).expect("ICMP");
        assert_eq!((found.kind(), found.code(), found.checksum_ok()), (3, code, true));
    }
    // Not to a broadcast, nor for one.
    peer.send_ip(&mut world, Ipv4Repr::new(PEER_IP, [10, 0, 0, 255].into(), IpProtocol::UDP), &[0; 12]);
    peer.send_ip(&mut world, Ipv4Repr::new([10, 0, 0, 255].into(), HOST_IP, IpProtocol::UDP), &[0; 12]);
    peer.run(&mut world, MS(5));
    assert!(peer.other.is_empty());
}

/// s28, s30: a TCP segment in fragments is put together and handed to the engine, which places it.
#[test]
fn s28_s30_a_fragmented_segment() {
    let (mut world, wire) = World::single(config(1), &Setup::default());
    let mut peer = Peer::new(wire);
    let listener = listen(&mut world, 0, 80);
    peer.connect(&mut world, TcpOptions::new().with_mss(1460));
    peer.send_next(&mut world, ACK, b"");
    peer.run(&mut world, MS(1));
    let stream = accept(&listener).expect("established");
    // Longer than any frame of the device: it comes back to the engine in two.
    let payload: Vec<u8> = (0..2600u32).map(|k| k.to_le_bytes()[0]).collect();
    let mut bytes = Vec::new();
    let segment = TcpSegment { seq: peer.snd_nxt, ack: peer.rcv_nxt, flags: ACK, payload: &payload, ..peer.blank() };
    segment.emit(PEER_IP, HOST_IP, &mut bytes).expect("it fits");
    for (k, piece) in bytes.chunks(1200).enumerate().collect::<Vec<_>>().into_iter().rev() {
        let at = k * 1200;
        let fragment = Fragment::new(u16::try_from(at).expect("short"), at + 1200 < bytes.len()).expect("a multiple of 8");
        peer.send_ip(&mut world, Ipv4Repr { fragment, dont_fragment: false, identification: 3, ..Ipv4Repr::new(PEER_IP, HOST_IP, IpProtocol::TCP) }, piece);
    }
    peer.run(&mut world, MS(5));
    let mut heard = Vec::new();
    drain(&stream, &mut heard);
    assert!(heard == payload, "{} bytes", heard.len());
}
