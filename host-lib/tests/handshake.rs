//! How connections begin, against a peer that sends every segment by hand.

mod support;

use std::io::{ErrorKind, Read, Write};

use support::pair::{accept, drain, listen, start};
use support::peer::{Peer, ACK, FIN, HOST_IP, PEER_IP, PEER_ISS, PEER_PORT, RST, SYN};
use support::world::{config, Setup, World};
use toe_host_lib::tcp::State;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{TcpListener, TcpStream};
use toe_wire::{unreachable, IcmpRepr, IpProtocol, Ipv4Repr, SeqNumber, TcpOptions, TcpSegment};

const SECOND: Nanoseconds = Nanoseconds::from_secs(1);
const MS: Nanoseconds = Nanoseconds::from_millis(1);

fn world() -> (World, Peer, TcpListener) {
    let (mut world, wire) = World::single(config(1), &Setup::default());
    let mut peer = Peer::new(wire);
    let listener = listen(&mut world, 0, 80);
    peer.run(&mut world, MS);
    (world, peer, listener)
}

fn established(options: TcpOptions) -> (World, Peer, TcpStream) {
    let (mut world, mut peer, listener) = world();
    peer.connect(&mut world, options);
    peer.send_next(&mut world, ACK, &[]);
    peer.run(&mut world, MS);
    let stream = accept(&listener).expect("the third ACK has come");
    (world, peer, stream)
}

/// s11: initial sequence numbers of the same tuple a second apart differ by the clock, those of another tuple by anything (RFC 6528).
#[test]
fn s11_initial_sequence_numbers() {
    let (mut world, mut peer, _listener) = world();
    let mut iss = |world: &mut World, port: u16| {
        let syn = TcpSegment { src_port: port, seq: PEER_ISS, flags: SYN, ..peer.blank() };
        peer.send_segment(world, &syn);
        let seq = peer.expect(world, "SYN+ACK").seq;
        let reset = TcpSegment { src_port: port, seq: PEER_ISS + 1, flags: RST, ..peer.blank() };
        peer.send_segment(world, &reset);
        peer.run(world, MS);
        seq
    };
    let first = iss(&mut world, 5000);
    world.run_for(SECOND);
    let second = iss(&mut world, 5000);
    let ticks = second.offset_from(first);
    assert!((250_000..251_000).contains(&ticks), "one every 4 us: {ticks}");
    let others: Vec<SeqNumber> = (5001..5020).map(|port| iss(&mut world, port)).collect();
    let near = others.iter().filter(|other| other.offset_from(second) < 1 << 24).count();
    assert!(near < 3, "numbers of other ports lie near: {others:?}");
}

/// s10: what the SYN+ACK says, with and without options (RFC 9293 MUST-5, MUST-14, MUST-15; RFC 7323 section 2.2).
#[test]
fn s10_options_are_answered_only_if_offered() {
    let (_, _, bare) = {
        let (mut world, mut peer, listener) = world();
        let seen = peer.connect(&mut world, TcpOptions::new());
        (listener, world, seen)
    };
    assert_eq!((bare.options.mss(), bare.options.window_scale(), bare.options.timestamps()), (Some(1460), None, None));
    let (mut world, mut peer, _listener) = world();
    let full = peer.connect(&mut world, TcpOptions::new().with_mss(1400).with_window_scale(7).with_timestamps(12345, 0));
    assert_eq!((full.options.mss(), full.options.window_scale()), (Some(1460), Some(3)));
    assert_eq!(full.options.timestamps().map(|t| t.echo_reply), Some(12345));
}

/// s10: segments right behind the handshake: some come up before the flow is installed, some find it. The hole between is our own, and no
/// duplicate ACK tells the peer of it, who would send everything again (RFC 5681 section 3.2); a hole that stays is told of.
#[test]
fn s10_a_handover_in_mid_stream_asks_for_nothing_twice() {
    for is_lost in [false, true] {
        let (mut world, mut peer, listener) = world();
        peer.connect(&mut world, TcpOptions::new());
        let up = [vec![peer.frame(&TcpSegment { seq: peer.snd_nxt, ack: peer.rcv_nxt, flags: ACK, ..peer.blank() })], peer.next_frames(3)].concat();
        let lost = if is_lost { peer.next_frames(1) } else { vec![] };
        let direct = peer.next_frames(6);
        world.nodes[0].receive(&up[0]);
        world.nodes[0].settle();
        // INSTALL goes into the ring; before the engine has read it, three segments have come.
        world.nodes[0].stack.poll().expect("the device works");
        up[1..].iter().for_each(|frame| world.nodes[0].receive(frame));
        world.nodes[0].settle();
        direct.iter().for_each(|frame| world.nodes[0].receive(frame));
        world.nodes[0].settle();
        let acks: Vec<SeqNumber> = peer.collect(&mut world, MS).iter().map(|seen| seen.ack).collect();
        let twice = acks.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!(twice, 0, "{acks:?}");
        assert!(!acks.contains(&(PEER_ISS + 1)), "what was announced is not announced again: {acks:?}");
        if is_lost {
            assert_eq!(acks.last(), Some(&(PEER_ISS + 301)), "the peer is told where the hole is: {acks:?}");
            lost.iter().for_each(|frame| world.nodes[0].receive(frame));
        }
        peer.run(&mut world, MS);
        let mut heard = Vec::new();
        drain(&accept(&listener).expect("established"), &mut heard);
        assert_eq!(heard.len(), if is_lost { 1000 } else { 900 });
    }
}

/// s12: without the option the segment size is 536 bytes (MUST-15), each segment with the number of its first byte.
#[test]
fn s12_segments_are_as_long_as_the_peer_allows() {
    for (options, mss) in [(TcpOptions::new(), 536), (TcpOptions::new().with_mss(1000), 1000), (TcpOptions::new().with_mss(1460).with_timestamps(9, 0), 1448)] {
        let (mut world, mut peer, mut stream) = established(options);
        stream.write_all(&[7; 4000]).expect("room");
        let seen = peer.collect(&mut world, MS);
        let mut next = peer.rcv_nxt;
        for segment in &seen {
            assert_eq!(segment.seq, next);
            assert!(segment.payload.len() <= mss, "{} bytes", segment.payload.len());
            next += u32::try_from(segment.payload.len()).expect("short");
        }
        assert_eq!(next, peer.rcv_nxt + 4000);
        assert!(seen.iter().any(|segment| segment.payload.len() == mss));
    }
}

/// Data, and even FIN, with the third ACK; and data whose third ACK was lost (the ACK of any segment ends the handshake).
#[test]
fn s30_data_and_fin_with_the_third_ack() {
    for (flags, first_lost) in [(ACK, false), (ACK | FIN, false), (ACK | FIN, true)] {
        let (mut world, mut peer, listener) = world();
        peer.connect(&mut world, TcpOptions::new());
        if !first_lost {
            peer.send_next(&mut world, flags, b"early bytes");
        } else {
            // The second half comes first.
            let middle = peer.snd_nxt + 6;
            peer.send(&mut world, middle, peer.rcv_nxt, flags, b"bytes");
            peer.send(&mut world, peer.snd_nxt, peer.rcv_nxt, ACK, b"early ");
            peer.snd_nxt = middle + 6;
        }
        peer.run(&mut world, MS);
        let stream = accept(&listener).expect("established");
        let mut heard = Vec::new();
        let end = drain(&stream, &mut heard);
        assert_eq!((&heard[..], end), (&b"early bytes"[..], flags.fin()));
        // A FIN is acknowledged at once, data at last when the delayed ACK is due.
        let acks = peer.collect(&mut world, Nanoseconds::from_millis(100));
        assert_eq!(acks.last().expect("an ACK").ack, peer.snd_nxt, "{acks:?}");
    }
}

/// Segments that come between the third ACK and the installation, in one burst: nothing is lost, nothing is out of order.
#[test]
fn s30_a_burst_behind_the_third_ack_loses_nothing() {
    let setup = Setup { host_latency: Nanoseconds::from_micros(500), ..Setup::default() };
    let (mut world, wire) = World::single(config(1), &setup);
    let mut peer = Peer::new(wire);
    let listener = listen(&mut world, 0, 80);
    peer.connect(&mut world, TcpOptions::new().with_mss(1460));
    peer.send_next(&mut world, ACK, &[]);
    let mut sent = Vec::new();
    for k in 0..20u8 {
        let piece = vec![k; 1000];
        peer.send_next(&mut world, ACK, &piece);
        sent.extend(piece);
        world.run_for(Nanoseconds::from_micros(60));
    }
    peer.run(&mut world, Nanoseconds::from_millis(5));
    let stream = accept(&listener).expect("established");
    let mut heard = Vec::new();
    drain(&stream, &mut heard);
    assert!(heard == sent, "{} bytes of {}", heard.len(), sent.len());
    let resent = peer.collect(&mut world, MS).last().map(|ack| ack.ack);
    assert_eq!(resent, Some(peer.snd_nxt));
}

/// The peer's SYN again: SYN+ACK again. Its third ACK never: SYN+ACK again and again, at 1, 2, 4... s, and after R2 (MUST-23) nothing is left.
#[test]
fn s09_syn_received_ends_by_a_timer() {
    let (mut world, mut peer, _listener) = world();
    let first = peer.connect(&mut world, TcpOptions::new());
    let syn = TcpSegment { seq: PEER_ISS, flags: SYN, ..peer.blank() };
    peer.send_segment(&mut world, &syn);
    assert_eq!(peer.expect(&mut world, "SYN+ACK again").seq, first.seq);
    let again = peer.collect(&mut world, Nanoseconds::from_secs(200));
    let times: Vec<u64> = again.iter().map(|seen| (seen.at - first.at).0 / 1_000_000_000).collect();
    assert_eq!(times, [1, 3, 7, 15, 31, 63, 123], "{times:?}");
    assert_eq!(world.nodes[0].stack.statistics().in_state(State::SynReceived), 0);
}

/// s09: SYN_SENT ends by a timer: at least 3 minutes, exponential (MUST-22, MUST-23).
#[test]
fn s09_syn_sent_times_out() {
    let (mut world, mut peer, _listener) = world();
    let stream = start(&world, Peer::address());
    let begin = world.now();
    let syns = peer.collect(&mut world, Nanoseconds::from_secs(179));
    assert!(syns.len() >= 7 && syns.iter().all(|syn| syn.flags == SYN && syn.seq == syns[0].seq), "{syns:?}");
    assert_eq!(stream.state(), State::SynSent);
    peer.run_long(&mut world, Nanoseconds::from_secs(2));
    assert!(world.now() - begin >= Nanoseconds::from_secs(180));
    let error = stream.take_error().expect("always").expect("it has failed");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(world.nodes[0].stack.statistics().flows_used, 0);
}

/// Begins to connect from the host; gives the SYN.
fn connecting() -> (World, Peer, TcpStream, SeqNumber) {
    let (mut world, mut peer, _listener) = world();
    let stream = start(&world, Peer::address());
    let syn = peer.expect(&mut world, "SYN");
    assert_eq!(syn.flags, SYN);
    peer.host_port = syn.src_port;
    peer.rcv_nxt = syn.seq + 1;
    (world, peer, stream, syn.seq)
}

/// s10: an active open; and the SYN+ACK again, because our ACK was lost: it is acknowledged again (RFC 5961 section 4).
#[test]
fn s10_active_open_and_syn_ack_again() {
    let (mut world, mut peer, mut stream, _) = connecting();
    let syn_ack = TcpSegment { seq: PEER_ISS, ack: peer.rcv_nxt, flags: SYN | ACK, ..peer.blank() };
    for _ in 0..3 {
        peer.send_segment(&mut world, &syn_ack);
        let ack = peer.expect(&mut world, "ACK");
        assert_eq!((ack.flags, ack.seq, ack.ack), (ACK, peer.rcv_nxt, PEER_ISS + 1));
        peer.run(&mut world, SECOND);
    }
    assert_eq!(stream.state(), State::Established);
    stream.write_all(b"hello").expect("room");
    assert_eq!(peer.expect(&mut world, "data").payload, b"hello");
}

/// MUST-10: simultaneous open (RFC 9293 figure 8).
#[test]
fn s31_simultaneous_open() {
    for syn_ack_first in [true, false] {
        let (mut world, mut peer, mut stream, iss) = connecting();
        let syn = TcpSegment { seq: PEER_ISS, flags: SYN, ..peer.blank() };
        peer.send_segment(&mut world, &syn);
        let answer = peer.expect(&mut world, "SYN+ACK");
        assert_eq!((answer.flags, answer.seq, answer.ack), (SYN | ACK, iss, PEER_ISS + 1));
        assert_eq!(stream.state(), State::SynReceived);
        if syn_ack_first {
            let syn_ack = TcpSegment { seq: PEER_ISS, ack: iss + 1, flags: SYN | ACK, ..peer.blank() };
            peer.send_segment(&mut world, &syn_ack);
        } else {
            let ack = TcpSegment { seq: PEER_ISS + 1, ack: iss + 1, flags: ACK, ..peer.blank() };
            peer.send_segment(&mut world, &ack);
        }
        peer.run(&mut world, MS);
        assert_eq!(stream.state(), State::Established);
        peer.snd_nxt = PEER_ISS + 1;
        peer.send_next(&mut world, ACK, b"from the peer");
        stream.write_all(b"from the host").expect("room");
        assert_eq!(peer.expect(&mut world, "data").payload, b"from the host");
        let mut heard = Vec::new();
        peer.run(&mut world, MS);
        drain(&stream, &mut heard);
        assert_eq!(heard, b"from the peer");
    }
}

/// RFC 9293 section 3.10.7.3: in SYN_SENT, an ACK of what was not sent is answered by RST, and a RST that acknowledges nothing is ignored.
#[test]
fn syn_sent_judges_what_comes() {
    let (mut world, mut peer, stream, iss) = connecting();
    let segment = |seq, ack, flags, peer: &Peer| TcpSegment { seq, ack, flags, ..peer.blank() };
    let bad = segment(PEER_ISS, iss + 100, SYN | ACK, &peer);
    peer.send_segment(&mut world, &bad);
    let reset = peer.expect(&mut world, "RST");
    assert_eq!((reset.flags, reset.seq), (RST, iss + 100));
    let blind = segment(PEER_ISS, SeqNumber(0), RST, &peer);
    peer.send_segment(&mut world, &blind);
    peer.run(&mut world, MS);
    assert_eq!(stream.state(), State::SynSent);
    let refusal = segment(SeqNumber(0), iss + 1, RST | ACK, &peer);
    peer.send_segment(&mut world, &refusal);
    peer.run(&mut world, MS);
    let error = stream.take_error().expect("always").expect("it has failed");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

fn icmp(world: &mut World, peer: &mut Peer, code: u8, quoted_seq: SeqNumber) {
    let mut quoted = Vec::new();
    let tcp = TcpSegment { src_port: peer.host_port, dst_port: PEER_PORT, seq: quoted_seq, flags: SYN, ..TcpSegment::default() };
    Ipv4Repr::new(HOST_IP, PEER_IP, IpProtocol::TCP).emit(20, &mut quoted).expect("it fits");
    tcp.emit(HOST_IP, PEER_IP, &mut quoted).expect("it fits");
    let mut message = Vec::new();
    IcmpRepr::DestinationUnreachable { code, next_hop_mtu: 0, quoted: &quoted }.emit(&mut message);
    peer.send_ip(world, Ipv4Repr::new(PEER_IP, HOST_IP, IpProtocol::ICMP), &message);
    peer.run(world, MS);
}

/// ICMP: hard errors end a connection that is not established (SHLD-26), soft ones only tell (MUST-56), forged ones do nothing (RFC 5927).
#[test]
fn icmp_errors_find_their_connection() {
    let (mut world, mut peer, stream, iss) = connecting();
    icmp(&mut world, &mut peer, unreachable::PORT, iss + 77);
    assert_eq!(stream.state(), State::SynSent);
    assert!(stream.take_error().expect("always").is_none(), "a forged error");
    icmp(&mut world, &mut peer, unreachable::HOST, iss);
    assert_eq!(stream.state(), State::SynSent);
    assert!(stream.take_error().expect("always").is_some(), "a soft error is told");
    icmp(&mut world, &mut peer, unreachable::PORT, iss);
    assert_eq!(stream.take_error().expect("always").expect("it has failed").kind(), ErrorKind::ConnectionRefused);

    let (mut world, mut peer, stream) = established(TcpOptions::new());
    (&stream).write_all(b"x").expect("room");
    let sent = peer.expect(&mut world, "data");
    icmp(&mut world, &mut peer, unreachable::PORT, sent.seq);
    let connected_from = peer.host_port;
    assert_eq!((stream.state(), connected_from), (State::Established, 80));
}

/// No answer to ARP: the connection fails, and says why.
#[test]
fn no_neighbour_no_connection() {
    let (mut world, wire) = World::single(config(1), &Setup::default());
    let mut peer = Peer::new(wire);
    peer.answers_arp = false;
    let stream = start(&world, Peer::address());
    peer.run_long(&mut world, Nanoseconds::from_secs(4));
    assert_eq!(stream.take_error().expect("always").expect("it has failed").kind(), ErrorKind::HostUnreachable);
    assert_eq!(world.nodes[0].stack.statistics().flows_used, 0);
}

/// RFC 9293 section 3.10.7.1: what segments of no connection are answered with, and that there is a limit.
#[test]
fn s29_resets_for_nobody() {
    let (mut world, mut peer, _listener) = world();
    peer.host_port = 81;
    peer.send(&mut world, SeqNumber(1000), SeqNumber(0), SYN, b"");
    let reset = peer.expect(&mut world, "RST");
    assert_eq!((reset.flags, reset.seq, reset.ack), (RST | ACK, SeqNumber(0), SeqNumber(1001)));
    peer.send(&mut world, SeqNumber(1000), SeqNumber(5000), ACK, b"12345");
    let reset = peer.expect(&mut world, "RST");
    assert_eq!((reset.flags, reset.seq), (RST, SeqNumber(5000)));
    peer.send(&mut world, SeqNumber(1000), SeqNumber(5000), RST | ACK, b"");
    peer.expect_silence(&mut world);
    // In LISTEN, an ACK is answered so as well, a FIN or nothing at all is not (section 3.10.7.2).
    peer.host_port = 80;
    peer.send(&mut world, SeqNumber(1000), SeqNumber(6000), ACK | FIN, b"");
    assert_eq!(peer.expect(&mut world, "RST").seq, SeqNumber(6000));
    peer.send(&mut world, SeqNumber(1000), SeqNumber(0), FIN, b"");
    peer.expect_silence(&mut world);
    peer.host_port = 81;
    let mut resets = 0;
    for _ in 0..30 {
        for _ in 0..100 {
            peer.send(&mut world, SeqNumber(1000), SeqNumber(5000), ACK, b"");
        }
        resets += peer.collect(&mut world, MS).len();
    }
    assert!((900..1100).contains(&resets), "1000 a second: {resets}");
}

/// A full backlog drops SYN, and goes on when there is room.
#[test]
fn s29_a_full_backlog_drops_syn() {
    let mut small = config(1);
    small.backlog = 2;
    let (mut world, wire) = World::single(small, &Setup::default());
    let mut peer = Peer::new(wire);
    let _listener = listen(&mut world, 0, 80);
    for port in [7001, 7002, 7003] {
        let syn = TcpSegment { src_port: port, seq: PEER_ISS, flags: SYN, ..peer.blank() };
        peer.send_segment(&mut world, &syn);
        peer.run(&mut world, MS);
    }
    assert_eq!(peer.collect(&mut world, MS).len(), 2);
    let reset = TcpSegment { src_port: 7001, seq: PEER_ISS + 1, flags: RST, ..peer.blank() };
    peer.send_segment(&mut world, &reset);
    let syn = TcpSegment { src_port: 7003, seq: PEER_ISS, flags: SYN, ..peer.blank() };
    peer.send_segment(&mut world, &syn);
    assert_eq!(peer.expect(&mut world, "SYN+ACK").flags, SYN | ACK);
}

/// `read` before the connection is there does not succeed by accident.
#[test]
fn a_socket_that_is_not_connected_has_no_bytes() {
    let (_world, _peer, stream, _) = connecting();
    assert_eq!((&stream).read(&mut [0; 4]).expect_err("not yet").kind(), ErrorKind::WouldBlock);
    assert_eq!((&stream).write(b"x").expect_err("not yet").kind(), ErrorKind::WouldBlock);
    assert_eq!(stream.peer_addr().expect_err("not yet").kind(), ErrorKind::NotConnected);
}
