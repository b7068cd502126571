//! Established connections and their ends, against a peer that sends every segment by hand.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use support::pair::{accept, drain, feed, listen, pattern};
use support::peer::{Peer, Seen, ACK, FIN, PEER_ISS, RST, SYN};
use support::world::{config, Setup, World};
use toe_host_lib::tcp::State;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{Config, TcpListener, TcpStream};
use toe_wire::{SeqNumber, TcpFlags, TcpOptions, TcpSegment};

const SECOND: Nanoseconds = Nanoseconds::from_secs(1);
const MS: Nanoseconds = Nanoseconds::from_millis(1);

struct Bench {
    world: World,
    peer: Peer,
    listener: TcpListener,
    stream: TcpStream,
}

fn established() -> Bench {
    established_with(config(1), TcpOptions::new().with_mss(1460))
}

fn established_with(config: Config, options: TcpOptions) -> Bench {
    let (mut world, wire) = World::single(config, &Setup::default());
    let mut peer = Peer::new(wire);
    let listener = listen(&mut world, 0, 80);
    peer.connect(&mut world, options);
    peer.send_next(&mut world, ACK, &[]);
    peer.run(&mut world, MS);
    let stream = accept(&listener).expect("the third ACK has come");
    Bench { world, peer, listener, stream }
}

impl Bench {
    /// Acknowledges everything the host has sent, FIN included.
    fn acknowledge(&mut self, seen: &[Seen]) {
        for segment in seen {
            let len = u32::try_from(segment.payload.len()).expect("short");
            let end = segment.seq + len + u32::from(segment.flags.fin());
            self.peer.rcv_nxt = self.peer.rcv_nxt.max(end);
        }
        self.peer.send_next(&mut self.world, ACK, &[]);
        self.peer.run(&mut self.world, MS);
    }

    fn in_state(&self, state: State) -> usize {
        self.world.nodes[0].stack.statistics().in_state(state)
    }

    /// We close first and wait in TIME_WAIT.
    fn time_wait(&mut self) {
        self.stream.shutdown(Shutdown::Both).expect("connected");
        let fin = self.peer.expect(&mut self.world, "FIN");
        assert!(fin.flags.fin());
        self.acknowledge(&[fin]);
        self.peer.send_next(&mut self.world, FIN | ACK, &[]);
        let ack = self.peer.expect(&mut self.world, "ACK of the FIN");
        assert_eq!(ack.ack, self.peer.snd_nxt);
        assert_eq!(self.in_state(State::TimeWait), 1);
    }
}

/// RFC 5961 section 3.2: only a RST at exactly RCV.NXT resets; elsewhere in the window it gets a challenge ACK, outside nothing.
#[test]
fn rst_counts_only_at_exactly_rcv_nxt() {
    let Bench { mut world, mut peer, stream, .. } = established();
    let next = peer.snd_nxt;
    peer.send(&mut world, next + 100, SeqNumber(0), RST, b"");
    let challenge = peer.expect(&mut world, "challenge ACK");
    assert_eq!((challenge.flags, challenge.ack), (ACK, next));
    // One every half second.
    peer.send(&mut world, next + 200, SeqNumber(0), RST, b"");
    peer.expect_silence(&mut world);
    peer.run(&mut world, SECOND);
    peer.send(&mut world, next + 300, SeqNumber(0), RST, b"");
    peer.expect(&mut world, "challenge ACK");
    for outside in [next - 1, next + 70_000] {
        peer.run(&mut world, SECOND);
        peer.send(&mut world, outside, SeqNumber(0), RST, b"");
        peer.expect_silence(&mut world);
    }
    assert_eq!(stream.state(), State::Established);
    // Bytes that came before it can still be read; then the error; then the end.
    peer.send_next(&mut world, ACK, b"bytes");
    peer.send(&mut world, next + 5, SeqNumber(0), RST, b"");
    peer.run(&mut world, MS);
    let mut buffer = [0; 16];
    assert_eq!((&stream).read(&mut buffer).expect("bytes"), 5);
    assert_eq!((&stream).read(&mut buffer).expect_err("the reset").kind(), ErrorKind::ConnectionReset);
    assert_eq!((&stream).read(&mut buffer).expect("the end"), 0);
    assert_eq!((&stream).write(b"x").expect_err("closed").kind(), ErrorKind::BrokenPipe);
    assert_eq!(world.nodes[0].stack.statistics().flows_used, 0);
}

/// A peer in LAST_ACK answers the second of two ACKs of its FIN with RST. Though the host has not heard of that FIN, the connection is
/// not cut off: all bytes are read, then the end of the stream, and TIME_WAIT ignores the RST (RFC 1337).
#[test]
fn s03_rst_behind_a_fin_that_was_not_reported() {
    let setup = Setup { host_latency: Nanoseconds::from_millis(5), ..Setup::default() };
    let (mut world, wire) = World::single(config(1), &setup);
    let mut peer = Peer::new(wire);
    let listener = listen(&mut world, 0, 80);
    peer.connect(&mut world, TcpOptions::new().with_mss(1460));
    peer.send_next(&mut world, ACK, &[]);
    peer.run(&mut world, Nanoseconds::from_millis(20));
    let stream = accept(&listener).expect("the third ACK has come");
    stream.shutdown(Shutdown::Write).expect("connected");
    peer.run(&mut world, Nanoseconds::from_millis(20));
    peer.rcv_nxt += 1;
    peer.send_next(&mut world, ACK, b"");
    peer.run(&mut world, Nanoseconds::from_millis(20));
    assert_eq!(stream.state(), State::FinWait2);
    // One report is under way; what follows cannot be told of until the host has taken it.
    peer.send_next(&mut world, ACK, b"first, ");
    world.run_for(Nanoseconds::from_micros(100));
    peer.send_next(&mut world, FIN | ACK, b"and last");
    let end = peer.snd_nxt;
    peer.send(&mut world, end, SeqNumber(0), RST, b"");
    peer.run(&mut world, Nanoseconds::from_millis(20));
    let mut heard = Vec::new();
    assert!(drain(&stream, &mut heard), "the end of the stream");
    assert_eq!(heard, b"first, and last");
    assert_eq!(world.nodes[0].stack.statistics().in_state(State::TimeWait), 1);
}

/// RFC 5961 section 4.2: SYN in a synchronised state gets a challenge ACK, wherever it is; the connection goes on.
#[test]
fn syn_gets_a_challenge_ack() {
    let Bench { mut world, mut peer, mut stream, .. } = established();
    for seq in [PEER_ISS, peer.snd_nxt + 50, peer.snd_nxt - 100_000] {
        peer.send(&mut world, seq, SeqNumber(0), SYN, b"");
        let challenge = peer.expect(&mut world, "challenge ACK");
        assert_eq!((challenge.flags, challenge.ack), (ACK, peer.snd_nxt));
        peer.run(&mut world, SECOND);
    }
    stream.write_all(b"on").expect("room");
    assert_eq!(peer.expect(&mut world, "data").payload, b"on");
}

/// RFC 6093: urgent data is data in line.
#[test]
fn urgent_data_is_in_line() {
    let Bench { mut world, mut peer, stream, .. } = established();
    let urgent = TcpSegment { seq: peer.snd_nxt, ack: peer.rcv_nxt, flags: ACK | TcpFlags::URG, urgent: 3, payload: b"urgent", ..peer.blank() };
    peer.send_segment(&mut world, &urgent);
    peer.snd_nxt += 6;
    peer.send_next(&mut world, ACK, b" and not");
    peer.run(&mut world, MS);
    let mut heard = Vec::new();
    drain(&stream, &mut heard);
    assert_eq!(heard, b"urgent and not");
}

/// s30: pieces in any order, overlapping, and a FIN that comes before the data it follows.
#[test]
fn s30_pieces_in_any_order() {
    let Bench { mut world, mut peer, stream, .. } = established();
    let (base, ack) = (peer.snd_nxt, peer.rcv_nxt);
    peer.send(&mut world, base + 10, ack, ACK | FIN, b"klmno");
    peer.send(&mut world, base + 5, ack, ACK, b"fghijkl");
    peer.run(&mut world, MS);
    assert_eq!(stream.state(), State::Established);
    peer.send(&mut world, base, ack, ACK, b"abcdefg");
    peer.run(&mut world, MS);
    let mut heard = Vec::new();
    assert!(drain(&stream, &mut heard));
    assert_eq!(heard, b"abcdefghijklmno");
    assert_eq!(stream.state(), State::CloseWait);
    let acks = peer.collect(&mut world, MS);
    assert_eq!(acks.last().expect("ACKs").ack, base + 16);
}

/// MUST-35 to 37, SHLD-29, SHLD-30: a closed window is probed, first after the RTO, then exponentially, for as long as the peer answers.
#[test]
fn s13_zero_window_probes() {
    let Bench { mut world, mut peer, mut stream, listener: _listener } = established();
    peer.window = 0;
    peer.send_next(&mut world, ACK, b"x");
    peer.run(&mut world, Nanoseconds::from_millis(100));
    peer.collect(&mut world, MS);
    stream.write_all(b"held back").expect("room");
    let begin = world.now();
    let mut probes = Vec::new();
    // Twenty minutes, ten times R2.
    while world.now() - begin < Nanoseconds::from_secs(1200) {
        let seen = peer.collect(&mut world, Nanoseconds::from_micros(100));
        for probe in &seen {
            assert_eq!((probe.seq, &probe.payload[..]), (peer.rcv_nxt, &b"h"[..]));
            probes.push((probe.at - begin).0 / 1_000_000);
            peer.send_next(&mut world, ACK, b"");
        }
        world.run_for(Nanoseconds::from_millis(20));
    }
    assert!(probes[0] < 1100, "{probes:?}");
    let gaps: Vec<u64> = probes.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.windows(2).take(5).all(|two| two[1] * 10 > two[0] * 16), "they double: {gaps:?}");
    assert!(gaps.iter().all(|gap| *gap < 62_000), "at most a minute: {gaps:?}");
    assert_eq!(stream.state(), State::Established, "MUST-36");
    // The window opens, and the update that says so is lost: the next probe finds out.
    peer.window = 60000;
    let probe = peer.expect_within(&mut world, Nanoseconds::from_secs(70), "a probe");
    peer.rcv_nxt += u32::try_from(probe.payload.len()).expect("short");
    peer.send_next(&mut world, ACK, b"");
    assert_eq!(peer.expect(&mut world, "the rest").payload, b"eld back");
}

/// The sender's silly window avoidance has an override: a window that stays small is used after a while (RFC 9293 section 3.8.6.2.1).
#[test]
fn s13_a_window_that_stays_small_is_used() {
    let Bench { mut world, mut peer, stream, .. } = established();
    peer.window = 100;
    peer.send_next(&mut world, ACK, b"x");
    peer.run(&mut world, Nanoseconds::from_millis(100));
    peer.collect(&mut world, MS);
    let sent = pattern(1000, 3);
    let mut left = &sent[..];
    feed(&stream, &mut left);
    let mut heard = Vec::new();
    for _ in 0..100 {
        for segment in peer.collect(&mut world, Nanoseconds::from_millis(100)) {
            if segment.seq == peer.rcv_nxt && segment.payload.len() <= 100 {
                peer.rcv_nxt += u32::try_from(segment.payload.len()).expect("short");
                heard.extend_from_slice(&segment.payload);
                peer.send_next(&mut world, ACK, b"");
            }
        }
    }
    assert!(heard == sent, "{} bytes", heard.len());
}

/// MUST-19, MUST-20, SHLD-11: data without an answer is sent again, exponentially, and the connection given up after R2.
#[test]
fn s09_data_without_an_answer() {
    let Bench { mut world, mut peer, mut stream, .. } = established();
    stream.write_all(b"anybody?").expect("room");
    let begin = world.now();
    let seen = peer.collect(&mut world, Nanoseconds::from_secs(300));
    assert!(seen.iter().all(|segment| segment.payload == b"anybody?" && segment.seq == peer.rcv_nxt), "{seen:?}");
    let times: Vec<u64> = seen.iter().map(|segment| (segment.at - begin).0 / 1_000_000).collect();
    let gaps: Vec<u64> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.windows(2).take(6).all(|two| two[1] * 10 > two[0] * 18), "they double: {times:?}");
    let last = *times.last().expect("it was sent");
    assert!((60_000..=130_000).contains(&last), "R2 is 120 s: {times:?}");
    assert_eq!((&stream).read(&mut [0; 4]).expect_err("given up").kind(), ErrorKind::TimedOut);
    assert_eq!(world.nodes[0].stack.statistics().flows_used, 0);
}

/// Three duplicate ACKs: the first hole is sent again at once, and a partial ACK brings the next one (RFC 6582).
#[test]
fn fast_retransmit_and_partial_acks() {
    let Bench { mut world, mut peer, stream, .. } = established();
    let sent = pattern(14_600, 5);
    let mut left = &sent[..];
    feed(&stream, &mut left);
    let flight = peer.collect(&mut world, MS);
    assert_eq!(flight.len(), 10, "the initial window (RFC 6928)");
    // The first and the fifth are lost: the others bring duplicate ACKs.
    for _ in 0..3 {
        peer.send_next(&mut world, ACK, b"");
        peer.run(&mut world, Nanoseconds::from_micros(100));
    }
    let again = peer.expect(&mut world, "the first one again");
    assert_eq!((again.seq, again.payload.len()), (flight[0].seq, 1460));
    peer.collect(&mut world, MS);
    peer.rcv_nxt = flight[4].seq;
    peer.send_next(&mut world, ACK, b"");
    let again = peer.expect(&mut world, "the fifth one again");
    assert_eq!(again.seq, flight[4].seq);
}

/// The hole that was sent again is lost again: it comes once more in some milliseconds, and then only by the time-out, with everything.
#[test]
fn a_lost_retransmission_is_rescued() {
    let Bench { mut world, mut peer, stream, .. } = established();
    let sent = pattern(14_600, 5);
    let mut left = &sent[..];
    feed(&stream, &mut left);
    let flight = peer.collect(&mut world, MS);
    for _ in 0..3 {
        peer.send_next(&mut world, ACK, b"");
        peer.run(&mut world, Nanoseconds::from_micros(100));
    }
    let begin = peer.expect(&mut world, "the first one again").at;
    let again = peer.collect(&mut world, Nanoseconds::from_millis(150));
    let of: Vec<_> = again.iter().map(|segment| (segment.seq, (segment.at - begin).0 / 1_000_000)).collect();
    assert!(of.len() == 1 && of[0].0 == flight[0].seq && (9..15).contains(&of[0].1), "{of:?}");
    let last = peer.expect(&mut world, "the time-out");
    assert_eq!((last.seq, last.payload.len()), (flight[0].seq, 1460));
    peer.rcv_nxt += 14_600;
    peer.send_next(&mut world, ACK, b"");
    peer.run(&mut world, MS);
    assert_eq!(stream.unacknowledged(), 0);
}

/// s06, s07, s09: TIME_WAIT takes everything that may still come, and nothing of it reaches a socket.
#[test]
fn s07_s09_time_wait_absorbs() {
    let mut bench = established();
    bench.time_wait();
    let Bench { mut world, mut peer, .. } = bench;
    let (next, ack) = (peer.snd_nxt, peer.rcv_nxt + 1);
    // RFC 1337: RST does not end it.
    peer.send(&mut world, next, ack, RST | ACK, b"");
    // A pure ACK is not answered: two ends would go on for ever.
    peer.send(&mut world, next, ack, ACK, b"");
    peer.send(&mut world, next - 500, ack, ACK, b"");
    peer.expect_silence(&mut world);
    // Old data, and a SYN that is old, get an ACK.
    for (seq, flags, payload) in [(next - 300, ACK, &b"old"[..]), (next - 1000, SYN, b"")] {
        peer.send(&mut world, seq, ack, flags, payload);
        let answer = peer.expect(&mut world, "ACK");
        assert_eq!((answer.flags, answer.ack), (ACK, next));
    }
    assert_eq!(world.nodes[0].stack.statistics().in_state(State::TimeWait), 1);
    // The FIN again restarts the wait of a second.
    for _ in 0..5 {
        peer.run(&mut world, Nanoseconds::from_millis(800));
        peer.send(&mut world, next - 1, ack, FIN | ACK, b"");
        assert_eq!(peer.expect(&mut world, "ACK").ack, next);
    }
    assert_eq!(world.nodes[0].stack.statistics().in_state(State::TimeWait), 1);
    peer.run(&mut world, Nanoseconds::from_millis(1001));
    assert_eq!(world.nodes[0].stack.statistics().in_state(State::TimeWait), 0);
}

/// MAY-2, RFC 6191: a SYN beyond the old connection reopens it at once, with an ISS beyond the old numbers.
#[test]
fn s06_a_new_syn_reopens_from_time_wait() {
    let mut bench = established();
    bench.time_wait();
    let Bench { mut world, mut peer, listener, .. } = bench;
    let old = peer.rcv_nxt + 1;
    let syn = TcpSegment { seq: peer.snd_nxt + 1000, flags: SYN, ..peer.blank() };
    peer.send_segment(&mut world, &syn);
    let syn_ack = peer.expect(&mut world, "SYN+ACK");
    assert_eq!((syn_ack.flags, syn_ack.ack), (SYN | ACK, syn.seq + 1));
    assert!(syn_ack.seq.gt(old), "{} after {old}", syn_ack.seq);
    peer.snd_nxt = syn.seq + 1;
    peer.rcv_nxt = syn_ack.seq + 1;
    peer.send_next(&mut world, ACK, b"the next life");
    peer.run(&mut world, MS);
    let stream = accept(&listener).expect("established");
    let mut heard = Vec::new();
    drain(&stream, &mut heard);
    assert_eq!(heard, b"the next life");
    assert_eq!(world.nodes[0].stack.statistics().in_state(State::TimeWait), 0);
}

/// s20: RST in LAST_ACK ends it without an error; s09: LAST_ACK that nobody acknowledges ends by itself.
#[test]
fn s09_s20_last_ack_ends() {
    for reset in [true, false] {
        let Bench { mut world, mut peer, stream, .. } = established();
        peer.send_next(&mut world, FIN | ACK, b"");
        peer.run(&mut world, MS);
        drop(stream);
        let seen = peer.collect(&mut world, Nanoseconds::from_millis(50));
        assert!(seen.last().expect("FIN").flags.fin());
        assert_eq!(world.nodes[0].stack.statistics().in_state(State::LastAck), 1);
        if reset {
            peer.send(&mut world, peer.snd_nxt, SeqNumber(0), RST, b"");
            peer.run(&mut world, MS);
        } else {
            let again = peer.collect(&mut world, Nanoseconds::from_secs(125));
            assert!(again.len() > 5 && again.iter().all(|segment| segment.flags.fin()), "the FIN again and again: {again:?}");
        }
        let s = world.nodes[0].stack.statistics();
        assert_eq!((s.in_state(State::LastAck), s.flows_used), (0, 0), "{s:?}");
    }
}

/// An abort's RST carries SND.NXT, so that the peer takes it (RFC 9293 section 3.10.5, RFC 5961).
#[test]
fn an_abort_is_a_reset_at_snd_nxt() {
    let Bench { mut world, mut peer, mut stream, .. } = established();
    stream.write_all(b"never acknowledged").expect("room");
    peer.expect(&mut world, "data");
    stream.set_linger(Some(std::time::Duration::ZERO)).expect("always");
    drop(stream);
    let reset = peer.expect(&mut world, "RST");
    assert_eq!((reset.flags, reset.seq, reset.ack), (RST | ACK, peer.rcv_nxt + 18, peer.snd_nxt));
    // What still comes finds nobody.
    peer.send_next(&mut world, ACK, b"late");
    assert_eq!(peer.expect(&mut world, "RST").flags, RST);
}

/// SHLD-3: data for a closed socket is answered by RST.
#[test]
fn data_after_close_is_answered_by_rst() {
    let Bench { mut world, mut peer, stream, .. } = established();
    drop(stream);
    let fin = peer.expect(&mut world, "FIN");
    assert!(fin.flags.fin());
    peer.rcv_nxt += 1;
    peer.send_next(&mut world, ACK, b"too late");
    let seen = peer.collect(&mut world, Nanoseconds::from_millis(10));
    assert!(seen.iter().any(|segment| segment.flags.rst() && segment.seq == peer.rcv_nxt), "{seen:?}");
}

/// MUST-17: with Nagle's algorithm small writes wait for the ACK of what is out; without, they do not.
#[test]
fn nagle_on_and_off() {
    for nodelay in [false, true] {
        let mut bench = established();
        bench.stream.set_nodelay(nodelay).expect("always");
        for piece in [&b"first "[..], b"second ", b"third"] {
            bench.stream.write_all(piece).expect("room");
            bench.peer.run(&mut bench.world, MS);
        }
        let seen = bench.peer.collect(&mut bench.world, Nanoseconds::from_millis(20));
        let pieces: Vec<&[u8]> = seen.iter().map(|segment| &segment.payload[..]).collect();
        if nodelay {
            assert_eq!(pieces, [&b"first "[..], b"second ", b"third"]);
        } else {
            assert_eq!(pieces, [b"first "]);
            bench.acknowledge(&seen);
            let rest = bench.peer.expect(&mut bench.world, "the rest");
            assert_eq!(rest.payload, b"second third");
        }
    }
}
