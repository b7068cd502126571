use super::*;
use std::net::Ipv4Addr;
use toe_host_lib::log::Cause;
use toe_wire::{build_tcp_frame, EtherType, EthernetRepr, IpProtocol, Ipv4Repr, MacAddr, SeqNumber, TcpFlags, TcpOptions, TcpSegment};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn tuple() -> FourTuple {
    FourTuple::new(OURS, 80, THEIRS, 40000)
}

/// A frame of the connection: who sends, flags, relative numbers, payload.
fn frame(at: u64, sent: bool, flags: TcpFlags, seq: u32, ack: u32, payload: &[u8]) -> Passed {
    let base = if sent { (1000, 5000) } else { (5000, 1000) };
    let (src, dst, ports) = if sent { (OURS, THEIRS, (80, 40000)) } else { (THEIRS, OURS, (40000, 80)) };
    let eth = EthernetRepr::new(MacAddr([2; 6]), MacAddr([4; 6]), EtherType::IPV4);
    let tcp = TcpSegment {
        src_port: ports.0,
        dst_port: ports.1,
        seq: SeqNumber(base.0 + seq),
        ack: SeqNumber(base.1 + ack),
        flags,
        window: 1000,
        urgent: 0,
        options: TcpOptions::default(),
        payload,
    };
    let bytes = build_tcp_frame(&eth, &Ipv4Repr::new(src, dst, IpProtocol::TCP), &tcp).expect("a short frame");
    let length = bytes.len();
    Passed { at: Nanoseconds::from_millis(at), sent, head: bytes.into_iter().take(toe_sim::wire::HEAD).collect(), length }
}

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;

/// A client opens, 3 segments of 1000 bytes go to it, and the server (left) closes first.
fn server_first() -> Vec<Passed> {
    let data = [0; 1000];
    let fin = TcpFlags::FIN | ACK;
    vec![
        frame(0, false, SYN, 0, 0, &[]),
        frame(1, true, SYN | ACK, 0, 1, &[]),
        frame(2, false, ACK, 1, 1, &[]),
        frame(3, true, ACK, 1, 1, &data),
        frame(3, true, ACK, 1001, 1, &data),
        frame(4, true, ACK, 2001, 1, &data),
        frame(5, false, ACK, 1, 3001, &[]),
        frame(6, true, fin, 3001, 1, &[]),
        frame(7, false, ACK, 1, 3002, &[]),
        frame(8, false, fin, 1, 3002, &[]),
        frame(9, true, ACK, 3002, 2, &[]),
    ]
}

#[test]
fn a_server_that_closes_first_walks_to_time_wait_and_its_client_to_closed() {
    let state = |at, from, to| LogEntry { at: Nanoseconds::from_millis(at), tuple: tuple(), what: Happening::State { from, to, cause: Cause::Segment } };
    let log = [
        state(1, State::Listen, State::SynReceived),
        state(2, State::SynReceived, State::Established),
        state(5, State::Established, State::FinWait1),
        state(7, State::FinWait1, State::FinWait2),
        state(9, State::FinWait2, State::TimeWait),
        state(209, State::TimeWait, State::Closed),
    ];
    let text = draw(tuple(), "client", &server_first(), &log);
    let right: Vec<&str> = text.lines().skip(1).filter_map(|l| l.get(72..)).map(str::trim).filter(|s| !s.is_empty()).collect();
    assert_eq!(right, ["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSED"], "\n{text}");
    for (from, to) in [("SYN_RECEIVED", "ESTABLISHED"), ("FIN_WAIT_1", "FIN_WAIT_2"), ("FIN_WAIT_2", "TIME_WAIT"), ("TIME_WAIT", "0.209 s  CLOSED")] {
        assert!(text.find(from) < text.find(to), "{from} comes before {to}\n{text}");
    }
    assert!(text.contains("... 3 segments, 3000 B ->; 1 ACKs <- ..."), "\n{text}");
    assert!(text.contains("FIN+ACK 3001 ack 1"), "\n{text}");
}

#[test]
fn segments_of_another_connection_and_other_frames_are_left_out() {
    let mut passed = server_first();
    let before = draw(tuple(), "client", &passed, &[]);
    passed.insert(3, Passed { at: Nanoseconds::from_millis(3), sent: false, head: vec![0xff; 60], length: 60 });
    let other = FourTuple::new(OURS, 80, THEIRS, 40001);
    assert_eq!(draw(tuple(), "client", &passed, &[]), before);
    assert_eq!(draw(other, "client", &passed, &[]).lines().count(), 1);
}

#[test]
fn a_simultaneous_close_and_a_reset_are_followed() {
    let seen = |flags, seq: u32, ack: u32| Seen { seq: SeqNumber(seq), ack: SeqNumber(ack), flags, len: 0 };
    let fin = TcpFlags::FIN | ACK;
    let mut end = Follower::new(true);
    assert_eq!(end.receives(&seen(SYN, 100, 0)), []);
    assert_eq!(end.sends(&seen(SYN | ACK, 500, 101)), [State::SynReceived]);
    assert_eq!(end.receives(&seen(ACK, 101, 501)), [State::Established]);
    assert_eq!(end.sends(&seen(fin, 501, 101)), [State::FinWait1]);
    assert_eq!(end.receives(&seen(fin, 101, 501)), []);
    assert_eq!(end.sends(&seen(ACK, 502, 102)), [State::Closing]);
    assert_eq!(end.receives(&seen(ACK, 102, 502)), [State::TimeWait]);
    assert_eq!(end.receives(&seen(TcpFlags::RST, 102, 0)), [State::Closed]);
}

#[test]
fn a_fin_that_acknowledges_a_fin_leads_through_two_states() {
    let seen = |flags, seq: u32, ack: u32| Seen { seq: SeqNumber(seq), ack: SeqNumber(ack), flags, len: 0 };
    let fin = TcpFlags::FIN | ACK;
    let mut end = Follower::new(false);
    end.sends(&seen(SYN, 100, 0));
    end.receives(&seen(SYN | ACK, 500, 101));
    end.receives(&seen(fin, 501, 101));
    assert_eq!(end.sends(&seen(fin, 101, 502)), [State::CloseWait, State::LastAck]);
    assert_eq!(end.receives(&seen(ACK, 502, 102)), [State::Closed]);
}
