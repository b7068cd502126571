//! A control block in every state, and every kind of event.

use std::net::Ipv4Addr;
use std::sync::Arc;

use toe_host_lib::tcp::{ControlBlock, Event, FourTuple, Path, Report, Segment, Settings, Snapshot, State, Unreachable};
use toe_host_lib::time::Nanoseconds;
use toe_wire::{SeqNumber, TcpFlags, TcpOptions};

/// When the event happens.
pub const NOW: Nanoseconds = Nanoseconds::from_secs(100);
/// Our initial sequence number: near the end of the space, so that every block wraps.
pub const ISS: u32 = 0xffff_fff0;
/// The peer's.
pub const IRS: u32 = 5000;
/// Bytes that we have sent and that are acknowledged.
const SENT: u32 = 100;
/// Bytes that have come.
const CAME: u32 = 300;

pub fn tuple() -> FourTuple {
    FourTuple::new(Ipv4Addr::new(10, 0, 0, 2), 80, Ipv4Addr::new(10, 0, 0, 1), 40000)
}

/// A block that has come into this state in the usual way: passively from LISTEN for SYN_RECEIVED. In FIN_WAIT_1, CLOSING and
/// LAST_ACK our FIN is not acknowledged.
pub fn block_in(state: State) -> ControlBlock {
    let mut block = ControlBlock::new(Arc::new(Settings::default()), tuple(), SeqNumber(ISS), 77);
    block.state = state;
    block.opened_at = NOW - Nanoseconds::from_millis(10);
    block.active_at = block.opened_at;
    block.passive = !matches!(state, State::Closed | State::SynSent);
    if state == State::SynSent || state.is_synchronised() || state == State::SynReceived {
        block.snd_nxt = SeqNumber(ISS) + 1;
        block.snd_max = block.snd_nxt;
    }
    if matches!(state, State::SynSent | State::SynReceived) {
        block.deadlines.retransmit = Some(NOW + Nanoseconds::from_secs(1));
        block.deadlines.state = Some(NOW + Nanoseconds::from_secs(180));
    }
    if state == State::SynReceived || state.is_synchronised() {
        block.irs = SeqNumber(IRS);
        block.rcv_nxt = SeqNumber(IRS) + 1;
        block.consumed = block.rcv_nxt;
        block.rcv_adv = block.rcv_nxt + 65535;
        block.timestamps = true;
        block.ts_recent = 1000;
        block.snd_mss = 1448;
        block.rcv_mss = 1448;
        block.scaling_agreed = true;
        block.snd_wscale = 7;
        block.rcv_wscale = 3;
    }
    if state.is_synchronised() {
        synchronise(&mut block);
    }
    block
}

fn synchronise(block: &mut ControlBlock) {
    let state = block.state;
    let fin_sent = matches!(state, State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait);
    let fin_acked = matches!(state, State::FinWait2 | State::TimeWait);
    block.fin_received = matches!(state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait);
    block.path = if state == State::TimeWait { Path::Software } else { Path::Engine };
    block.limit = SeqNumber(ISS) + 1 + SENT;
    block.queued = block.limit;
    block.fin_queued = fin_sent;
    block.fin_offered = fin_sent;
    block.snd_una = block.limit + u32::from(fin_acked);
    block.snd_nxt = block.limit + u32::from(fin_sent);
    block.snd_max = block.snd_nxt;
    block.snd_wnd = 64000;
    block.rcv_nxt = SeqNumber(IRS) + 1 + CAME + u32::from(block.fin_received);
    block.rcv_adv = block.rcv_nxt + 65536;
    block.consumed = block.data_end();
    block.rtt.sample(Nanoseconds::from_millis(10));
    if fin_sent && !fin_acked {
        block.deadlines.retransmit = Some(NOW + Nanoseconds::from_millis(200));
    }
    match state {
        State::Closing | State::LastAck | State::TimeWait => block.deadlines.state = Some(NOW + Nanoseconds::from_secs(110)),
        _ => {}
    }
}

/// The block's values, as the engine would report them.
pub fn report_of(block: &ControlBlock) -> Report {
    Report {
        rcv_nxt: block.rcv_nxt,
        rcv_adv: block.rcv_adv,
        fin_received: block.fin_received,
        snd_una: block.snd_una,
        snd_nxt: block.snd_nxt,
        snd_max: block.snd_max,
        snd_wnd: block.snd_wnd,
        snd_wl1: block.snd_wl1,
        snd_wl2: block.snd_wl2,
        ts_recent: block.ts_recent,
        rtt_count: block.rtt_count,
        last_ack_sent: block.rcv_nxt,
        ..Report::default()
    }
}

fn segment(block: &ControlBlock, seq: SeqNumber, ack: SeqNumber, flags: TcpFlags) -> Segment {
    let options = match block.state {
        _ if !flags.syn() => TcpOptions::new().with_timestamps(1001, 0),
        _ => TcpOptions::new().with_mss(1460).with_window_scale(7).with_timestamps(1001, 0),
    };
    let flagged = flags.intersects(TcpFlags::SYN | TcpFlags::RST | TcpFlags::URG);
    let snapshot = (block.path == Path::Engine && flagged).then_some(Snapshot {
        rcv_nxt: block.rcv_nxt,
        rcv_adv: block.rcv_adv,
        fin_received: block.fin_received,
        snd_una: block.snd_una,
        snd_nxt: block.snd_nxt,
        snd_max: block.snd_max,
    });
    Segment { seq, ack, flags, window: 500, len: 0, options, snapshot }
}

/// Every kind of event, made so that it means what its name says for the block in this state.
pub fn events(state: State) -> Vec<(&'static str, Event)> {
    let block = block_in(state);
    let mut events = calls(&block);
    events.extend(segments(&block));
    events.extend(reports(&block));
    events.extend([
        ("retransmission time-out", Event::RetransmitTimeout),
        ("state time-out", Event::StateTimeout),
        ("ICMP soft error", Event::Unreachable(Unreachable::Soft)),
        ("ICMP hard error", Event::Unreachable(Unreachable::Hard)),
        ("no answer to ARP", Event::Unreachable(Unreachable::NoNeighbour)),
        ("INSTALL refused", Event::InstallRefused),
    ]);
    events
}

fn calls(block: &ControlBlock) -> Vec<(&'static str, Event)> {
    vec![
        ("OPEN active", Event::Connect),
        ("OPEN passive", Event::Listen),
        ("SEND", Event::Queued(block.queued + 5000)),
        ("RECEIVE", Event::Consumed(block.data_end())),
        ("Nagle off", Event::NoDelay(true)),
        ("shutdown(Write)", Event::ShutdownWrite),
        ("close", Event::Close { unread: false }),
        ("close, data unread", Event::Close { unread: true }),
        ("ABORT", Event::Abort),
    ]
}

fn segments(block: &ControlBlock) -> Vec<(&'static str, Event)> {
    let (ack, syn, rst, fin) = (TcpFlags::ACK, TcpFlags::SYN, TcpFlags::RST, TcpFlags::FIN);
    let (irs, next) = (SeqNumber(IRS), block.rcv_nxt);
    let good = block.snd_max;
    let of = |seq, acked, flags| segment(block, seq, acked, flags);
    let with_data = |mut s: Segment| {
        s.len = 10;
        Event::Segment(s)
    };
    let fin_again = of(next - 1, good, fin | ack);
    let old = Segment { options: TcpOptions::new().with_timestamps(999, 0), ..of(next, good, ack) };
    vec![
        ("SYN, first", Event::Segment(of(irs, SeqNumber(0), syn))),
        ("SYN, another in the window", Event::Segment(of(next + 9, SeqNumber(0), syn))),
        ("SYN, timestamp older", Event::Segment(Segment { options: TcpOptions::new().with_timestamps(5, 0), ..of(irs + 90_000, SeqNumber(0), syn) })),
        ("SYN+ACK", Event::Segment(of(irs, good, syn | ack))),
        ("SYN+ACK of what was not sent", Event::Segment(of(irs, good + 1, syn | ack))),
        ("RST exact", Event::Segment(of(next, SeqNumber(0), rst))),
        ("RST+ACK of our SYN", Event::Segment(of(SeqNumber(0), good, rst | ack))),
        ("RST in the window", Event::Segment(of(next + 9, good, rst | ack))),
        ("RST outside", Event::Segment(of(next - 90_000, good, rst | ack))),
        ("ACK", Event::Segment(of(next, good, ack))),
        ("ACK of what was not sent", Event::Segment(of(next, good + 1, ack))),
        ("ACK outside the window", Event::Segment(of(next - 90_000, good, ack))),
        ("ACK with an old timestamp", Event::Segment(old)),
        ("no ACK bit", Event::Segment(of(next, SeqNumber(0), TcpFlags::NONE))),
        ("data", with_data(of(next, good, ack))),
        ("data outside the window", with_data(of(next - 90_000, good, ack))),
        ("FIN", Event::Segment(of(next, good, fin | ack))),
        ("FIN again", Event::Segment(fin_again)),
        ("RST behind a FIN not yet reported", Event::Segment(behind_fin(block, of(next + 1, SeqNumber(0), rst)))),
        ("URG", with_data(of(next, good, ack | TcpFlags::URG))),
    ]
}

/// The engine had the peer's FIN when this came, and has not told.
fn behind_fin(block: &ControlBlock, mut segment: Segment) -> Segment {
    segment.snapshot = segment.snapshot.map(|s| if block.fin_received { s } else { Snapshot { rcv_nxt: s.rcv_nxt + 1, fin_received: true, ..s } });
    segment
}

fn reports(block: &ControlBlock) -> Vec<(&'static str, Event)> {
    let report = report_of(block);
    let all = Report { snd_una: block.snd_max, ..report };
    let fin = |r: Report| if r.fin_received { r } else { Report { rcv_nxt: r.rcv_nxt + 1, fin_received: true, ..r } };
    let data = if block.fin_received { report } else { Report { rcv_nxt: report.rcv_nxt + 10, ..report } };
    let owed = Report { last_ack_sent: report.rcv_nxt - 1, ..report };
    vec![
        ("report: data", Event::Report(data)),
        ("report: all acknowledged", Event::Report(all)),
        ("report: FIN", Event::Report(fin(report))),
        ("report: FIN, all acknowledged", Event::Report(fin(all))),
        ("report: window closed", Event::Report(Report { snd_wnd: 0, ..report })),
        ("REMOVED", Event::Removed(report)),
        ("REMOVED, ACK owed", Event::Removed(owed)),
    ]
}
