//! A connection's life as a ladder diagram: what went over the wire between the states of both ends.

use crate::follow::{Follower, Seen};
use std::fmt::Write;
use toe_driver::Nanoseconds;
use toe_host_lib::log::{Happening, LogEntry};
use toe_host_lib::tcp::{FourTuple, State};
use toe_sim::wire::Passed;
use toe_wire::{EthernetFrame, Ipv4Packet, TcpPacket};

/// A segment of the connection, on the wire.
#[derive(Clone, Copy, Debug)]
struct Rung {
    at: Nanoseconds,
    sent: bool,
    seen: Seen,
}

/// Rungs without SYN, FIN or RST, one after another, that are drawn as one.
#[derive(Default)]
struct Run {
    segments: [u32; 2],
    bytes: [u64; 2],
    first: Option<Rung>,
    last: Option<Rung>,
}

/// A line of the diagram before its numbers are made relative.
enum Line {
    Segment(Rung),
    Run(Run),
    Ours(Nanoseconds, State),
    Theirs(Nanoseconds, State),
}

/// Draws a connection: our end on the left, the peer on the right. `passed` is what went over the wire, `log` what the stack wrote down.
pub(crate) fn draw(tuple: FourTuple, peer: &str, passed: &[Passed], log: &[LogEntry]) -> String {
    let rungs: Vec<Rung> = passed.iter().filter_map(|p| rung(tuple, p)).collect();
    let begin = rungs.first().map_or(Nanoseconds::ZERO, |r| r.at);
    let base = [rungs.iter().find(|r| r.sent), rungs.iter().find(|r| !r.sent)].map(|r| r.map_or(0, |r| r.seen.seq.0));
    let ours = log.iter().filter(|e| e.tuple == tuple).filter_map(|e| match e.what {
        Happening::State { to, .. } => Some((e.at, to)),
        _ => None,
    });
    let mut text = format!("{:>10}  {:<13}{:^46}{:>13}\n", "", "toe", format!("{tuple}"), peer);
    for line in lines(&rungs, ours.collect()) {
        let (at, left, middle, right) = match &line {
            Line::Segment(r) => (r.at, String::new(), arrow(r, &describe(&r.seen, base, r.sent)), String::new()),
            Line::Run(run) => (run.last.map_or(begin, |r| r.at), String::new(), summary(run), String::new()),
            Line::Ours(at, state) => (*at, state.to_string(), String::new(), String::new()),
            Line::Theirs(at, state) => (*at, String::new(), String::new(), state.to_string()),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>8.3} s  {left:<13}{middle:^46}{right:>13}", seconds(at - begin));
    }
    text
}

fn seconds(t: Nanoseconds) -> f64 {
    std::time::Duration::from(t).as_secs_f64()
}

/// The segment in a frame, if it is the connection's.
fn rung(tuple: FourTuple, p: &Passed) -> Option<Rung> {
    let frame = EthernetFrame::parse(&p.head).ok()?;
    // The head of a long frame is cut off: the lengths in the headers are those of the whole.
    let ip_header = frame.payload();
    let total = usize::from(u16::from_be_bytes([*ip_header.get(2)?, *ip_header.get(3)?]));
    let mut whole = ip_header.to_vec();
    whole.resize(whole.len().max(total), 0);
    let ip = Ipv4Packet::parse(&whole).ok()?;
    let tcp = TcpPacket::parse(ip.payload()).ok()?;
    let (source, destination) = ((ip.src(), tcp.src_port()), (ip.dst(), tcp.dst_port()));
    let (local, remote) = ((*tuple.local.ip(), tuple.local.port()), (*tuple.remote.ip(), tuple.remote.port()));
    let ends = if p.sent { (local, remote) } else { (remote, local) };
    let len = u32::try_from(tcp.payload().len()).ok()?;
    ((source, destination) == ends).then(|| Rung { at: p.at, sent: p.sent, seen: Seen { seq: tcp.seq(), ack: tcp.ack(), flags: tcp.flags(), len } })
}

/// Segments and states in order of time. The peer's states are told from the segments; ours are those of the stack.
fn lines(rungs: &[Rung], ours: Vec<(Nanoseconds, State)>) -> Vec<Line> {
    let peer_listens = rungs.first().is_some_and(|r| r.sent);
    let mut peer = Follower::new(peer_listens);
    let mut ours = ours.into_iter().peekable();
    let (mut out, mut run) = (Vec::new(), Run::default());
    let flush = |run: &mut Run, out: &mut Vec<Line>| {
        let whole = std::mem::take(run);
        match (whole.segments, whole.first) {
            (_, None) => {}
            ([1, 0] | [0, 1], Some(only)) => out.push(Line::Segment(only)),
            _ => out.push(Line::Run(whole)),
        }
    };
    for r in rungs {
        while let Some((at, state)) = ours.next_if(|(at, _)| *at <= r.at) {
            flush(&mut run, &mut out);
            out.push(Line::Ours(at, state));
        }
        let walked = if r.sent { peer.receives(&r.seen) } else { peer.sends(&r.seen) };
        if r.seen.flags.syn() || r.seen.flags.fin() || r.seen.flags.rst() || !walked.is_empty() {
            flush(&mut run, &mut out);
            out.push(Line::Segment(*r));
        } else {
            run.add(r);
        }
        out.extend(walked.into_iter().map(|state| Line::Theirs(r.at, state)));
    }
    flush(&mut run, &mut out);
    out.extend(ours.map(|(at, state)| Line::Ours(at, state)));
    out
}

impl Run {
    fn add(&mut self, r: &Rung) {
        let side = usize::from(!r.sent);
        self.segments[side] += 1;
        self.bytes[side] += u64::from(r.seen.len);
        self.first.get_or_insert(*r);
        self.last = Some(*r);
    }
}

/// Control bits, and numbers relative to the first of each side.
fn describe(s: &Seen, base: [u32; 2], sent: bool) -> String {
    let (own, other) = if sent { (base[0], base[1]) } else { (base[1], base[0]) };
    let mut text = format!("{} {}", s.flags, s.seq.0.wrapping_sub(own));
    if s.len > 0 {
        let _ = write!(text, "+{}", s.len);
    }
    if s.flags.ack() {
        let _ = write!(text, " ack {}", s.ack.0.wrapping_sub(other));
    }
    text
}

fn arrow(r: &Rung, text: &str) -> String {
    if r.sent {
        format!("{text:-^42}>")
    } else {
        format!("<{text:-^42}")
    }
}

fn summary(run: &Run) -> String {
    let part = |side: usize, arrow: &str| match (run.segments[side], run.bytes[side]) {
        (0, _) => String::new(),
        (n, 0) => format!("{n} ACKs {arrow}"),
        (n, bytes) => format!("{n} segments, {bytes} B {arrow}"),
    };
    let both: Vec<String> = [part(0, "->"), part(1, "<-")].into_iter().filter(|p| !p.is_empty()).collect();
    format!("... {} ...", both.join("; "))
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
