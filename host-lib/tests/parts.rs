//! The pure parts one by one, against figures worked out by hand from the RFCs.

mod support;

use std::collections::HashSet;
use std::net::Ipv4Addr;

use support::blocks::{block_in, NOW};
use toe_host_lib::slow_path::RateLimit;
use toe_host_lib::tcp::congestion::{initial_window, NewReno};
use toe_host_lib::tcp::isn::Secret;
use toe_host_lib::tcp::ports::{PortChooser, EPHEMERAL};
use toe_host_lib::tcp::time_wait::{Answer, Entry, TimeWaitTable};
use toe_host_lib::tcp::timer::RttEstimator;
use toe_host_lib::tcp::{FourTuple, Report, Segment, Settings, State};
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::Config;
use toe_wire::{SeqNumber, TcpFlags, TcpOptions};

const MS: fn(u64) -> Nanoseconds = Nanoseconds::from_millis;

/// RFC 6298 section 2, with G far below everything and the floor out of the way.
#[test]
fn rto_follows_rfc_6298() {
    let settings = Settings { rto_min: MS(1), ..Settings::default() };
    let mut rtt = RttEstimator::new();
    assert_eq!(rtt.rto(&settings), Nanoseconds::from_secs(1), "(2.1)");
    rtt.sample(MS(100));
    // (2.2): SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR
    assert_eq!((rtt.srtt(), rtt.rto(&settings)), (Some(MS(100)), MS(300)));
    rtt.sample(MS(180));
    // (2.3): RTTVAR = 3/4 x 50 + 1/4 x 80 = 57.5, SRTT = 7/8 x 100 + 1/8 x 180 = 110
    assert_eq!((rtt.srtt(), rtt.rto(&settings)), (Some(MS(110)), MS(340)));
    rtt.back_off();
    rtt.back_off();
    assert_eq!(rtt.rto(&settings), MS(1360), "(5.5)");
    for _ in 0..80 {
        rtt.back_off();
    }
    assert_eq!(rtt.rto(&settings), settings.rto_max, "(2.5), and no overflow");
    rtt.sample(MS(110));
    assert_eq!(rtt.backoff(), 0, "a new sample ends the backing off (section 5)");
}

/// s08, s22: what the settings are if nobody sets them.
#[test]
fn s08_s22_default_times() {
    let settings = Settings::default();
    assert_eq!((settings.msl, settings.time_wait(), settings.fin_timeout), (MS(60_000), MS(120_000), MS(60_000)));
    assert!(settings.syn_r2 >= MS(180_000) && settings.r2 >= MS(100_000), "MUST-23, SHLD-11");
}

/// A peer's delayed ACK comes on top of the round trip: the time-out is never less than SRTT and the floor.
#[test]
fn rto_has_a_floor() {
    let settings = Settings::default();
    let mut rtt = RttEstimator::new();
    for _ in 0..100 {
        rtt.sample(Nanoseconds::from_micros(50));
    }
    assert!(rtt.rto(&settings) >= MS(200) && rtt.rto(&settings) < MS(201));
}

/// RFC 6928 section 2: min(10 MSS, max(2 MSS, 14600)).
#[test]
fn initial_windows() {
    assert_eq!([536, 1460, 2920, 8960].map(initial_window), [5360, 14600, 14600, 17920]);
}

fn acked(una: u32, max: u32) -> Report {
    Report { snd_una: SeqNumber(una), snd_nxt: SeqNumber(max), snd_max: SeqNumber(max), snd_wnd: 1 << 20, ..Report::default() }
}

/// RFC 5681 section 3.1: slow start by the bytes acknowledged, then one segment a window; a window that is not used does not grow.
#[test]
fn slow_start_and_congestion_avoidance() {
    let mut reno = NewReno::new(1000, SeqNumber(0), false);
    assert_eq!(reno.window(), 10_000);
    assert_eq!(reno.on_report(SeqNumber(1), &acked(5001, 15_001)), None);
    assert_eq!(reno.window(), 15_000, "many ACKs in one report count as their bytes");
    reno.on_timeout(SeqNumber(5001), SeqNumber(15_001), true);
    assert_eq!((reno.window(), reno.ssthresh()), (1000, 5000), "half of what was out (equation 4)");
    // An ACK that jumps over what was never lost opens the window by one segment only.
    reno.on_report(SeqNumber(5001), &acked(12_001, 15_001));
    assert_eq!(reno.window(), 2000);
    for una in [13_001, 14_001, 15_001] {
        reno.on_report(SeqNumber(una - 1000), &acked(una, 16_001));
    }
    assert_eq!(reno.window(), 5000);
    // Five segments of acknowledgements: one more segment.
    for una in [16_001, 17_001, 18_001, 19_001, 20_001] {
        reno.on_report(SeqNumber(una - 1000), &acked(una, una + 5000));
    }
    assert_eq!(reno.window(), 6000);
    let before = reno.window();
    for una in 0..50 {
        let una = 20_101 + una * 100;
        reno.on_report(SeqNumber(una - 100), &acked(una, una));
    }
    assert_eq!(reno.window(), before, "not used, not grown");
}

/// RFC 6582 section 3.2, with ten segments out of which the first and the fourth are lost.
#[test]
fn fast_recovery() {
    let mut reno = NewReno::new(1000, SeqNumber(0), false);
    let dup = |una, dup_acks| Report { dup_acks, ..acked(una, 10_001) };
    assert_eq!(reno.on_report(SeqNumber(1), &dup(1, 2)), None);
    assert_eq!(reno.on_report(SeqNumber(1), &dup(1, 3)), Some(SeqNumber(1)));
    assert_eq!((reno.ssthresh(), reno.window(), reno.in_recovery()), (5000, 8000, true));
    assert_eq!(reno.on_report(SeqNumber(1), &dup(1, 3)), None, "nothing new");
    assert_eq!(reno.on_report(SeqNumber(1), &dup(1, 8)), None);
    assert_eq!(reno.window(), 13_000, "five more have left the network");
    // Partial: deflated by 3000, one segment added back.
    assert_eq!(reno.on_report(SeqNumber(1), &acked(3001, 10_001)), Some(SeqNumber(3001)));
    assert_eq!(reno.window(), 11_000);
    // Full: deflated to ssthresh.
    assert_eq!(reno.on_report(SeqNumber(3001), &acked(10_001, 14_001)), None);
    assert_eq!((reno.window(), reno.in_recovery()), (5000, false));
    // The first segment beyond is lost as well: only holes were sent again, so these are no echoes.
    assert_eq!(reno.on_report(SeqNumber(10_001), &Report { dup_acks: 3, ..acked(10_001, 15_001) }), Some(SeqNumber(10_001)));
}

/// Duplicate ACKs for what was sent again after a time-out do not halve the window once more (RFC 6582 section 3.2, step 2); nor do
/// those of a closed window, which are answers to probes.
#[test]
fn duplicate_acks_that_mean_nothing() {
    let mut reno = NewReno::new(1000, SeqNumber(0), false);
    reno.on_timeout(SeqNumber(1), SeqNumber(10_001), true);
    assert_eq!(reno.on_report(SeqNumber(1), &Report { dup_acks: 5, ..acked(4001, 10_001) }), None);
    assert_eq!(reno.on_report(SeqNumber(4001), &Report { dup_acks: 5, ..acked(10_001, 12_001) }), None);
    assert_eq!(reno.on_report(SeqNumber(10_001), &Report { dup_acks: 3, ..acked(11_001, 13_001) }), Some(SeqNumber(11_001)));
    let mut reno = NewReno::new(1000, SeqNumber(0), false);
    assert_eq!(reno.on_report(SeqNumber(1), &Report { dup_acks: 7, snd_wnd: 0, ..acked(1, 2) }), None);
    // An advance and three duplicates in one report are both seen.
    assert_eq!(reno.on_report(SeqNumber(1), &Report { dup_acks: 4, ..acked(3001, 10_001) }), Some(SeqNumber(3001)));
}

fn tuple(port: u16) -> FourTuple {
    FourTuple::new(Ipv4Addr::new(10, 0, 0, 2), port, Ipv4Addr::new(10, 0, 0, 1), 80)
}

/// s11: RFC 6528. The same everywhere but for the clock; anything else for another tuple, key or purpose.
#[test]
fn s11_isn_is_clock_and_keyed_hash() {
    let (a, b) = (Secret::new([1; 16]), Secret::new([2; 16]));
    let (early, late) = (MS(1000), MS(1000) + Nanoseconds(4000));
    assert_eq!(a.isn(tuple(1), late) - a.isn(tuple(1), early), 1);
    assert_ne!(a.isn(tuple(1), early), b.isn(tuple(1), early));
    let numbers: HashSet<u32> = (0..1000).map(|port| a.isn(tuple(port), early).0).collect();
    assert!(numbers.len() > 990);
    assert_ne!(a.timestamp_offset(tuple(1)), a.isn(tuple(1), Nanoseconds(0)).0);
}

/// s06: RFC 6056. No port twice before all others, none that is not free, and none at all when none is.
#[test]
fn s06_ports() {
    let secret = Secret::new([3; 16]);
    let mut ports = PortChooser::new(EPHEMERAL, 99);
    let mut taken = HashSet::new();
    let total = usize::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
    for _ in 0..total {
        let port = ports.choose(&secret, tuple(0), |port| !taken.contains(&port)).expect("one is free");
        assert!(EPHEMERAL.contains(&port) && taken.insert(port));
    }
    assert_eq!(ports.choose(&secret, tuple(0), |port| !taken.contains(&port)), None);
    let other = Secret::new([4; 16]);
    let first: Vec<Option<u16>> = [secret, other].iter().map(|s| PortChooser::new(EPHEMERAL, 99).choose(s, tuple(0), |_| true)).collect();
    assert_ne!(first[0], first[1], "the key decides where the search begins");
}

fn entry() -> Entry {
    Entry::of(&block_in(State::TimeWait))
}

fn syn(seq: SeqNumber, tsval: Option<u32>) -> Segment {
    let options = tsval.map_or(TcpOptions::new(), |value| TcpOptions::new().with_timestamps(value, 0));
    Segment { seq, ack: SeqNumber(0), flags: TcpFlags::SYN, window: 500, len: 0, options, snapshot: None }
}

/// RFC 6191 section 2: a newer timestamp decides; with the same one, or none, the sequence number.
#[test]
fn which_syn_reopens() {
    let entry = entry();
    let (later, earlier) = (entry.rcv_nxt + 1, entry.rcv_nxt - 1000);
    let ts = entry.ts_recent;
    for (seq, tsval, reopens) in [
        (later, Some(ts + 1), true),
        (earlier, Some(ts + 1), true),
        (later, Some(ts - 1), false),
        (later, Some(ts), true),
        (earlier, Some(ts), false),
        (later, None, true),
        (earlier, None, false),
    ] {
        let answer = entry.on_segment(&syn(seq, tsval), NOW);
        assert_eq!(matches!(answer, Answer::Reopen { .. }), reopens, "{seq} {tsval:?}");
    }
}

/// s06, s07, s08: entries go when their time has come, not before, and not if the wait was restarted meanwhile.
#[test]
fn s07_s08_the_table_of_those_that_wait() {
    let mut table = TimeWaitTable::new(Ipv4Addr::new(10, 0, 0, 2), MS(100));
    let entry = entry();
    for port in 1..=1000 {
        table.insert(tuple(port), entry, MS(u64::from(port)));
    }
    let fin = Segment { seq: entry.rcv_nxt - 1, flags: TcpFlags::FIN | TcpFlags::ACK, ..syn(SeqNumber(0), None) };
    assert!(matches!(table.on_segment(tuple(10), &fin, MS(5)), Some(Answer::Acknowledge { restart: true, .. })));
    let reopen = table.on_segment(tuple(20), &syn(entry.rcv_nxt + 1, None), MS(5));
    assert!(matches!(reopen, Some(Answer::Reopen { .. })) && !table.contains(tuple(20)));
    assert_eq!(table.len(), 999);
    // The same tuple waits again, longer.
    table.insert(tuple(20), entry, MS(500));
    let gone: Vec<FourTuple> = std::iter::from_fn(|| table.expire(MS(50))).collect();
    assert_eq!(gone.len(), 48, "1 to 50 without 10 and 20");
    assert!(table.contains(tuple(10)) && table.contains(tuple(20)));
    assert!(table.next_deadline().expect("there are more") <= MS(51));
    assert_eq!(std::iter::from_fn(|| table.expire(MS(105))).filter(|t| *t == tuple(10)).count(), 1, "5 ms and the whole wait");
    assert_eq!(std::iter::from_fn(|| table.expire(MS(2000))).count(), table_rest(1000, 105));
    assert!(table.is_empty() && table.next_deadline().is_none());
    assert!(table.on_segment(tuple(500), &fin, MS(2000)).is_none());
}

/// Entries 106 to 1000, and number 20 again.
fn table_rest(all: usize, gone: usize) -> usize {
    all - gone + 1
}

#[test]
fn rate_limits() {
    let mut limit = RateLimit::new(10, MS(0));
    assert_eq!((0..100).filter(|_| limit.take(MS(0))).count(), 10);
    assert!(!limit.take(MS(99)));
    assert!(limit.take(MS(101)));
    assert_eq!((0..100).filter(|_| limit.take(MS(100_000))).count(), 10, "no more than a second's worth is saved up");
}

/// RFC 9293 MUST-46, MUST-57, MUST-63: with whom there can be a connection; and where its frames are sent.
#[test]
fn addresses() {
    let config = Config { address: Ipv4Addr::new(192, 168, 7, 5), prefix: 24, gateway: Some(Ipv4Addr::new(192, 168, 7, 1)), ..Config::default() };
    for (address, unicast) in [
        ([192, 168, 7, 9], true),
        ([192, 168, 7, 255], false),
        ([192, 168, 7, 0], false),
        ([192, 168, 8, 255], true),
        ([255, 255, 255, 255], false),
        ([224, 0, 0, 1], false),
        ([240, 0, 0, 1], false),
        ([0, 0, 0, 0], false),
        ([127, 0, 0, 1], false),
        ([8, 8, 8, 8], true),
    ] {
        assert_eq!(config.is_unicast(address.into()), unicast, "{address:?}");
    }
    assert_eq!(config.next_hop([192, 168, 7, 9].into()), Some([192, 168, 7, 9].into()));
    assert_eq!(config.next_hop([8, 8, 8, 8].into()), config.gateway);
    let alone = Config { gateway: None, ..config };
    assert_eq!(alone.next_hop([8, 8, 8, 8].into()), None);
}
