//! Junk is what it is said to be: nothing of it could be taken for the peer's.

use toe_sim::time::Nanoseconds;
use toe_sim::wire::{link, Junk, JunkControl, JunkKind, JunkSettings, LinkEnd, Wire, WireFrame};
use toe_wire::{build_tcp_frame, parse_tcp_frame, EtherType, EthernetRepr, IpProtocol, Ipv4Repr, MacAddr, SeqNumber, TcpFlags, TcpOptions, TcpSegment};

const NIC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const RCV_NXT: SeqNumber = SeqNumber(1000 + 1 + 500);
/// The right edge: the window field is scaled by 3.
const EDGE: SeqNumber = SeqNumber(1000 + 1 + 500 + (8000 << 3));
const SND_NXT: SeqNumber = SeqNumber(70_000 + 1 + 200);
const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

fn segment(sent: bool, seq: u32, ack: u32, flags: TcpFlags, payload: &[u8]) -> WireFrame {
    let (own, peer) = (([10, 0, 0, 1].into(), 80), ([10, 0, 0, 2].into(), 40_000));
    let ((src, src_port), (dst, dst_port)) = if sent { (own, peer) } else { (peer, own) };
    let (to, from) = if sent { (PEER, NIC) } else { (NIC, PEER) };
    let options = TcpOptions::new().with_timestamps(5000 + seq % 1000, 7);
    let options = if flags.syn() { options.with_mss(1460).with_window_scale(3) } else { options };
    let tcp = TcpSegment { src_port, dst_port, seq: SeqNumber(seq), ack: SeqNumber(ack), flags, window: 8000, urgent: 0, options, payload };
    let eth = EthernetRepr::new(MacAddr(to), MacAddr(from), EtherType::IPV4);
    WireFrame::padded(build_tcp_frame(&eth, &Ipv4Repr::new(src, dst, IpProtocol::TCP), &tcp).unwrap())
}

/// The beginning of a connection that the peer opened, over a wire on which junk can be had; the peer has sent 500 bytes, the NIC 200.
fn connection(seed: u64) -> (Junk<LinkEnd>, JunkControl) {
    let (near, mut far) = link(Nanoseconds(0));
    let (mut junk, control) = Junk::new(near, NIC, JunkSettings { seed, chance: 0.0, pause: Some(Nanoseconds(10)), lifetime: Nanoseconds::from_secs(1) });
    let now = Nanoseconds(1);
    control.set(false);
    far.send(now, segment(false, 1000, 0, SYN, &[])).unwrap();
    assert!(junk.receive(now).unwrap().is_some());
    junk.send(now, segment(true, 70_000, 1001, SYN | ACK, &[])).unwrap();
    far.send(now, segment(false, 1001, 70_001, ACK, &[])).unwrap();
    far.send(now, segment(false, 1001, 70_001, ACK, &[5; 500])).unwrap();
    while junk.receive(now).unwrap().is_some() {}
    junk.send(now, segment(true, 70_001, 1501, ACK, &[6; 200])).unwrap();
    control.set(true);
    (junk, control)
}

fn some(seed: u64, many: u64) -> (Vec<WireFrame>, JunkControl) {
    let (mut junk, control) = connection(seed);
    let mut frames = Vec::new();
    for now in 2..many {
        frames.extend(junk.receive(Nanoseconds(now * 20)).unwrap());
    }
    (frames, control)
}

#[test]
fn a_seed_says_everything() {
    assert_eq!(some(7, 500).0, some(7, 500).0);
    assert_ne!(some(7, 500).0, some(8, 500).0);
}

#[test]
fn junk_ends_when_it_is_switched_off() {
    let (mut junk, control) = connection(1);
    control.set(false);
    assert!((2..1000).all(|now| junk.receive(Nanoseconds(now * 20)).unwrap().is_none()));
}

/// Whatever looks like a good segment of the connection cannot change it, by the rules of RFC 9293, 5961 and 7323, except as a copy could.
#[test]
fn none_of_it_could_be_the_peers() {
    let copies = [segment(false, 1000, 0, SYN, &[]), segment(false, 1001, 70_001, ACK, &[]), segment(false, 1001, 70_001, ACK, &[5; 500])];
    let copies: Vec<TcpSegment<'_>> = copies.iter().map(|f| parse_tcp_frame(&f.bytes).unwrap().tcp).collect();
    let mut good = 0;
    for seed in 1..=5 {
        let (frames, control) = some(seed, 20_000);
        for frame in frames.iter().filter(|frame| frame.fcs_ok()) {
            let Ok(of) = parse_tcp_frame(&frame.bytes) else { continue };
            let tcp = of.tcp;
            if of.eth.dst != MacAddr(NIC) || (tcp.src_port, tcp.dst_port) != (40_000, 80) || copies.contains(&tcp) {
                continue;
            }
            good += 1;
            let at = tcp.seq.offset_from(RCV_NXT);
            let window = EDGE.offset_from(RCV_NXT);
            let old = tcp.options.timestamps().is_some_and(|t| t.value < 5000);
            let is_beyond = tcp.ack.gt(SND_NXT) || tcp.ack.offset_from(SND_NXT) > 1 << 31 && SND_NXT.offset_from(tcp.ack) > 1 << 27;
            let ends_below = tcp.flags.fin() && (tcp.seq + tcp.seg_len()).lt(RCV_NXT) || !tcp.flags.fin() && (tcp.seq + tcp.seg_len()).le(RCV_NXT);
            let harmless = if tcp.flags.rst() {
                tcp.seq != RCV_NXT
            } else if tcp.flags.syn() {
                // A challenge; never one that could open.
                old && at > 0
            } else {
                !tcp.flags.ack() || old || is_beyond && tcp.seg_len() == 0 || tcp.seg_len() > 0 && ends_below || at >= window && at < u32::MAX - window
            };
            assert!(harmless, "seed {seed}: {tcp:?}");
        }
        let unmade: Vec<JunkKind> = control.counts().into_iter().filter(|(_, count)| *count == 0).map(|(kind, _)| kind).collect();
        assert_eq!(unmade, [JunkKind::Handshake], "the handshake is over, and everything else is made");
    }
    assert!(good > 1000, "{good} good segments");
}
