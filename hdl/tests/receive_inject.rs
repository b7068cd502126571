//! The two ways in: order, fairness, nothing lost but what is counted, and whole frames only.

mod common;
mod frames;

use common::{dut_with, random, Random};
use frames::beats;
use rand::Rng;
use std::collections::VecDeque;
use toe_hdl::receive::inject::Inject;
use toe_verilate::Dut;

/// A frame: first byte 0 from the wire, 1 from the host; then its number; then anything.
fn frame(random: &mut Random, from: u8, number: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes[..]);
    bytes[0] = from;
    bytes[1..5].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// One side that sends frames.
#[derive(Default)]
struct Source {
    port: &'static str,
    beats: VecDeque<(u64, u64, bool, bool)>,
    offered: bool,
}

impl Source {
    fn push(&mut self, frame: &[u8], error: bool) {
        self.beats.extend(beats(frame).into_iter().map(|(data, keep, last)| (data, keep, last, last && error)));
    }

    fn drive(&mut self, dut: &mut Dut, random: &mut Random, offer: f64) {
        self.offered = !self.beats.is_empty() && (self.offered || random.random_bool(offer));
        let beat = self.beats.front().filter(|_| self.offered).copied();
        let (data, keep, last, error) = beat.unwrap_or_else(|| (random.random(), 0x0f, random.random(), random.random()));
        let pin = |field: &str| format!("{}.{field}", self.port);
        dut.set(pin("data").as_str(), data);
        dut.set(pin("keep").as_str(), keep);
        dut.set(pin("last").as_str(), last.into());
        dut.set(pin("error").as_str(), error.into());
        dut.set(pin("valid").as_str(), self.offered.into());
    }

    /// After `eval`: the beat is taken, or stays.
    fn taken(&mut self, dut: &Dut) -> bool {
        let taken = self.offered && dut.get(format!("{}.ready", self.port).as_str()) == 1;
        if taken {
            self.beats.pop_front();
            self.offered = false;
        }
        taken
    }
}

/// Takes frames together at the output, and watches that an offer holds.
#[derive(Default)]
struct Sink {
    frame: Vec<u8>,
    frames: Vec<(Vec<u8>, bool)>,
    held: Option<(u64, u64, u64, u64)>,
}

impl Sink {
    fn look(&mut self, dut: &Dut, ready: bool) {
        let valid = dut.get("m.valid") == 1;
        let now = (dut.get("m.data"), dut.get("m.keep"), dut.get("m.last"), dut.get("m.error"));
        if let Some(held) = self.held {
            assert_eq!((valid, now), (true, held), "an offered beat holds");
        }
        self.held = (valid && !ready).then_some(now);
        if valid && ready {
            let (data, keep, last, error) = now;
            assert!(keep == 0xff || last == 1 && (keep + 1).is_power_of_two() && keep != 0);
            self.frame.extend(&data.to_le_bytes()[..keep.count_ones() as usize]);
            if last == 1 {
                self.frames.push((std::mem::take(&mut self.frame), error == 1));
            }
        }
    }
}

struct Bench {
    dut: Dut,
    random: Random,
    wire: Source,
    host: Source,
    sink: Sink,
    full: u64,
    injected: u64,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let mut dut = dut_with("inject", Inject::default);
        dut.set("reset", 1);
        dut.tick();
        dut.set("reset", 0);
        Bench {
            dut,
            random: random(seed),
            wire: Source { port: "mac", ..Source::default() },
            host: Source { port: "injected", ..Source::default() },
            sink: Sink::default(),
            full: 0,
            injected: 0,
        }
    }

    fn cycle(&mut self, offer: (f64, f64), take: f64) {
        self.wire.drive(&mut self.dut, &mut self.random, offer.0);
        self.host.drive(&mut self.dut, &mut self.random, offer.1);
        let ready = self.random.random_bool(take);
        self.dut.set("m.ready", ready.into());
        self.dut.eval();
        assert_eq!(self.dut.get("mac.ready"), 1, "the wire never waits");
        self.wire.taken(&self.dut);
        self.host.taken(&self.dut);
        self.sink.look(&self.dut, ready);
        self.dut.tick();
        self.full += self.dut.get("rx_buffer_full");
        self.injected += self.dut.get("injected_frame");
    }

    fn drain(&mut self, offer: (f64, f64), take: f64) {
        let mut quiet = 0;
        for _ in 0..2_000_000 {
            self.cycle(offer, take);
            let idle = self.wire.beats.is_empty() && self.host.beats.is_empty() && self.sink.held.is_none() && self.dut.get("m.valid") == 0;
            quiet = if idle { quiet + 1 } else { 0 };
            if quiet == 10 {
                return;
            }
        }
        panic!("it does not come to an end");
    }
}

#[test]
fn both_keep_their_order_and_nothing_is_lost_with_room() {
    let mut bench = Bench::new(1);
    // The wire at a third of the speed leaves room for the host, which must not be slow in mid-frame.
    let paces = [((0.3, 0.8), 1.0), ((0.1, 1.0), 0.8), ((0.2, 0.6), 0.9), ((0.25, 0.7), 1.0), ((0.15, 1.0), 0.5)];
    for (round, (offer, take)) in paces.into_iter().enumerate() {
        let mut sent = [vec![], vec![]];
        for number in 0..300 {
            let lengths = [bench.random.random_range(6..90), bench.random.random_range(14..90)];
            let from_wire = frame(&mut bench.random, 0, number, lengths[0]);
            let from_host = frame(&mut bench.random, 1, number, lengths[1]);
            let error = bench.random.random_bool(0.2);
            bench.wire.push(&from_wire, error);
            bench.host.push(&from_host, false);
            sent[0].push((from_wire, error));
            sent[1].push((from_host, false));
        }
        bench.drain(offer, take);
        let frames = std::mem::take(&mut bench.sink.frames);
        for (from, sent) in sent.iter().enumerate() {
            let came: Vec<_> = frames.iter().filter(|(f, _)| usize::from(f[0]) == from).cloned().collect();
            assert_eq!(&came, sent, "round {round}");
        }
        assert_eq!((bench.full, bench.injected), (0, 300 * (round as u64 + 1)));
    }
}

#[test]
fn a_full_queue_drops_whole_frames_and_counts_them() {
    let mut bench = Bench::new(2);
    let mut sent = vec![];
    let mut bad = 0;
    for number in 0..4000 {
        let length = if number % 3 == 0 { bench.random.random_range(6..1600) } else { bench.random.random_range(6..70) };
        let bytes = frame(&mut bench.random, 0, number, length);
        let error = bench.random.random_bool(0.1);
        bad += u64::from(error);
        bench.wire.push(&bytes, error);
        sent.push((bytes, error));
    }
    let mut round = 0;
    while !bench.wire.beats.is_empty() {
        // Sometimes nothing is taken for long, sometimes everything.
        let take = [0.0, 1.0, 0.5, 0.9][round % 4];
        for _ in 0..bench.random.random_range(100..1500) {
            bench.cycle((0.95, 0.0), take);
        }
        round += 1;
    }
    bench.drain((0.0, 0.0), 1.0);
    let mut sent = sent.into_iter();
    let (mut good, mut spoilt) = (0, 0);
    for (bytes, error) in &bench.sink.frames {
        let number = u32::from_le_bytes(bytes[1..5].try_into().expect("four bytes"));
        let (original, was_bad) = sent.find(|(b, _)| b[1..5] == number.to_le_bytes()).expect("in order");
        let whole = bytes.len() == original.len();
        assert!(original.starts_with(bytes) && (whole && *error == was_bad || *error && bytes.len() % 8 == 0), "frame {number}");
        spoilt += u64::from(*error && !was_bad);
        good += u64::from(!error);
    }
    assert!(spoilt > 20 && bench.full > spoilt, "{spoilt} cut, {} dropped", bench.full);
    // Frames with an error that were dropped are nobody's.
    assert_eq!(good + bench.full, 4000 - bad);
}

/// A hand-over injects while the peer sends at the wire's rate: 192.25 cycles from frame to frame, of which 190 have a beat. The wire cannot wait, the
/// host can: turn by turn, eight frames from the host would cost some of the wire's.
#[test]
fn what_the_host_injects_costs_the_wire_nothing() {
    let mut bench = Bench::new(6);
    for number in 0..8 {
        let bytes = frame(&mut bench.random, 1, number, 1514);
        bench.host.push(&bytes, false);
    }
    for number in 0..1000 {
        let bytes = frame(&mut bench.random, 0, number, 1514);
        bench.wire.push(&bytes, false);
        for cycle in 0..192 + u32::from(number % 4 == 0) {
            bench.cycle((f64::from(u8::from(cycle < 190)), 1.0), 1.0);
        }
    }
    bench.drain((0.0, 1.0), 1.0);
    let from_wire = bench.sink.frames.iter().filter(|(f, _)| f[0] == 0).count();
    assert_eq!((bench.full, from_wire, bench.injected), (0, 1000, 8));
    let last = bench.sink.frames.iter().rposition(|(f, _)| f[0] == 1).expect("they came");
    assert!(last < 900, "the host has its turn though the wire never rests: frame {last}");
}

#[test]
fn they_take_turns() {
    let mut bench = Bench::new(3);
    for number in 0..12 {
        let (from_wire, from_host) = (frame(&mut bench.random, 0, number, 64), frame(&mut bench.random, 1, number, 64));
        bench.wire.push(&from_wire, false);
        bench.host.push(&from_host, false);
    }
    bench.drain((1.0, 1.0), 1.0);
    let order: Vec<u8> = bench.sink.frames.iter().map(|(f, _)| f[0]).collect();
    assert_eq!(order.len(), 24);
    assert!(order[2..].chunks(2).all(|pair| pair[0] != pair[1]), "{order:?}");
}

#[test]
fn one_cycle_through_and_no_gap_between_frames() {
    let mut bench = Bench::new(4);
    for number in 0..20 {
        let bytes = frame(&mut bench.random, 0, number, 60);
        bench.wire.push(&bytes, false);
    }
    let mut idle = 0;
    for _ in 0..160 {
        bench.cycle((1.0, 0.0), 1.0);
        idle += u64::from(bench.dut.get("m.valid") == 0);
    }
    assert_eq!((idle, bench.wire.beats.len()), (0, 0));
    bench.drain((0.0, 0.0), 1.0);
    assert_eq!(bench.sink.frames.len(), 20);
}

#[test]
fn a_reset_in_mid_frame_begins_anew() {
    let mut bench = Bench::new(5);
    for cut in 1..30 {
        let (a, b) = (frame(&mut bench.random, 0, 0, 100), frame(&mut bench.random, 1, 0, 100));
        bench.wire.push(&a, false);
        bench.host.push(&b, false);
        for _ in 0..cut {
            bench.cycle((1.0, 1.0), 0.5);
        }
        bench.wire.beats.clear();
        bench.host.beats.clear();
        bench.dut.set("mac.valid", 0);
        bench.dut.set("injected.valid", 0);
        bench.dut.set("reset", 1);
        bench.dut.tick();
        bench.dut.set("reset", 0);
        bench.sink = Sink::default();
        (bench.wire.offered, bench.host.offered) = (false, false);
        let (c, d) = (frame(&mut bench.random, 0, 1, 60 + cut), frame(&mut bench.random, 1, 1, 60 + cut));
        bench.wire.push(&c, false);
        bench.host.push(&d, false);
        bench.drain((1.0, 1.0), 1.0);
        let mut came = std::mem::take(&mut bench.sink.frames);
        came.sort();
        assert_eq!(came, [(c, false), (d, false)]);
    }
}
