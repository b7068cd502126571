//! The write engine against a model of the rings and of the receive buffer: every byte, in order.

mod common;
mod host_bus;

use common::{random, run};
use host_bus::{Manner, Packed, WriteBus};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use toe_contract::event::{self, Event};
use toe_hdl::host::write::WriteEngine;
use toe_verilate::Dut;

const BUFFER: u64 = 4096;

/// What the context's registers hold.
#[derive(Clone, Copy, Debug)]
struct Setup {
    enable: bool,
    event_base: u64,
    event_log2: u32,
    raw_base: u64,
    raw_log2: u32,
    slot_log2: u32,
    submission_consumed: u16,
}

#[derive(Clone, Debug)]
enum Job {
    Free { frame: u64 },
    Place { frame: u64, offset: u64, length: u64, base: u64, log2: u32, position: u32 },
    Raw { frame: u64, record: Event },
    Event { record: Event },
}

/// The engine, the receive buffer it reads, the bus, and what they must do.
struct Bench {
    dut: Dut,
    bus: WriteBus,
    setup: Setup,
    buffer: Vec<u64>,
    write_at: u64,
    used: u64,
    queue: VecDeque<(Job, u64)>,
    address: usize,
    expected: Vec<(u64, u8)>,
    releases: VecDeque<u64>,
    event_next: u32,
    raw_next: u32,
    event_consumed: u32,
    raw_consumed: u32,
    pulses: [u64; 3],
    dropped: u64,
    taken_at: u64,
}

fn build(first_index: u32) -> Dut {
    let verilog = toe_hdl::verilog::print("write_engine", &WriteEngine::default()).unwrap_or_else(|e| panic!("{e}"));
    let mut text = verilog.to_string();
    // The indices start at 0 after a reset; to see them wrap, they start elsewhere.
    for name in ["event_next", "raw_next", "event_count", "raw_count", "ordered"] {
        let reset = format!("{name}$d = 32'd0");
        assert_eq!(text.matches(&reset).count(), 1, "{name}");
        text = text.replace(&reset, &format!("{name}$d = 32'd{first_index}"));
    }
    run("write_engine", &text)
}

impl Bench {
    fn new(dut: Dut, setup: Setup, manner: Manner, first_index: u32) -> Bench {
        let mut bench = Bench {
            dut,
            bus: WriteBus::new("bus", manner),
            setup,
            buffer: vec![0; 4096],
            write_at: 0,
            used: 0,
            queue: VecDeque::new(),
            address: 0,
            expected: Vec::new(),
            releases: VecDeque::new(),
            event_next: first_index,
            raw_next: first_index,
            event_consumed: first_index,
            raw_consumed: first_index,
            pulses: [0; 3],
            dropped: 0,
            taken_at: 0,
        };
        bench.reset();
        bench
    }

    fn reset(&mut self) {
        self.dut.set("halt", 0);
        self.dut.set("jobs.valid", 0);
        self.dut.set("bus.bvalid", 0);
        self.dut.set("reset", 1);
        self.dut.tick();
        self.dut.tick();
        self.dut.set("reset", 0);
        self.doorbells();
    }

    fn doorbells(&mut self) {
        let s = self.setup;
        let rings = Packed::default()
            .with(s.enable.into(), 1)
            .with(0, 64)
            .with(0, 5)
            .with(0, 32)
            .with(s.event_base, 64)
            .with(s.event_log2.into(), 5)
            .with(self.event_consumed.into(), 32)
            .with(s.raw_base, 64)
            .with(s.raw_log2.into(), 5)
            .with(s.slot_log2.into(), 4)
            .with(self.raw_consumed.into(), 32);
        self.dut.set_wide("rings", &rings.words);
        self.dut.set("submission_consumed", s.submission_consumed.into());
    }

    /// Puts a frame of random bytes into the buffer; gives its first beat and its bytes, or nothing if there is no room.
    fn frame(&mut self, rng: &mut ChaCha8Rng, length: u64) -> Option<(u64, Vec<u8>)> {
        let beats = length.div_ceil(8);
        if self.used + beats > BUFFER {
            return None;
        }
        let start = self.write_at % BUFFER;
        let mut bytes = Vec::new();
        for k in 0..beats {
            let word = rng.random::<u64>();
            self.buffer[usize::try_from((start + k) % BUFFER).unwrap()] = word;
            bytes.extend(word.to_le_bytes());
        }
        self.write_at += beats;
        self.used += beats;
        Some((start, bytes))
    }

    /// Orders a job and works out what it has to do; false if the buffer has no room for its frame.
    fn order(&mut self, rng: &mut ChaCha8Rng, job: Job) -> bool {
        let (start, bytes) = match job {
            Job::Event { .. } => (rng.random_range(0..BUFFER), Vec::new()),
            Job::Free { frame } | Job::Place { frame, .. } | Job::Raw { frame, .. } => match self.frame(rng, frame) {
                Some(frame) => frame,
                None => return false,
            },
        };
        match &job {
            Job::Free { frame } => self.releases.push_back(frame.div_ceil(8)),
            Job::Place { frame, offset, length, base, log2, position } => {
                for k in 0..*length {
                    let at = base + ((u64::from(*position) + k) & ((1 << log2) - 1));
                    self.expected.push((at, bytes[usize::try_from(offset + k).unwrap()]));
                }
                self.releases.push_back(frame.div_ceil(8));
            }
            Job::Raw { frame, record } => {
                let s = self.setup;
                let full = self.raw_next.wrapping_sub(self.raw_consumed) >= 1 << s.raw_log2;
                if full || frame + 64 > 1 << s.slot_log2 || !s.enable {
                    self.dropped += 1;
                } else {
                    let slot = s.raw_base + (u64::from(self.raw_next & ((1 << s.raw_log2) - 1)) << s.slot_log2);
                    self.expected.extend((0..*frame).zip(&bytes).map(|(k, b)| (slot + 64 + k, *b)));
                    let record = record.with(event::COMMAND, u32::try_from(*frame).unwrap());
                    self.record(record, slot, self.raw_next >> s.raw_log2 & 1 == 0);
                    self.raw_next = self.raw_next.wrapping_add(1);
                }
                self.releases.push_back(frame.div_ceil(8));
            }
            Job::Event { record } => {
                let s = self.setup;
                if s.enable {
                    let at = s.event_base + u64::from(self.event_next & ((1 << s.event_log2) - 1)) * 64;
                    self.record(*record, at, self.event_next >> s.event_log2 & 1 == 0);
                    self.event_next = self.event_next.wrapping_add(1);
                }
            }
        }
        self.queue.push_back((job, start));
        true
    }

    fn record(&mut self, record: Event, at: u64, phase: bool) {
        let record = record.with(event::PHASE, phase.into()).with(event::SUBMISSION_CONSUMED, self.setup.submission_consumed.into());
        self.expected.extend((at..).zip(record.to_bytes()));
    }

    fn cycle(&mut self, rng: &mut ChaCha8Rng, stall: u32) {
        let offer = !self.queue.is_empty() && rng.random_range(0..100) >= stall;
        self.dut.set("jobs.valid", offer.into());
        if let Some((job, start)) = self.queue.front() {
            self.dut.set_wide("jobs.data", &pack(job, *start));
        }
        self.dut.set("buffer_data", self.buffer[self.address]);
        self.bus.before(&mut self.dut, rng);
        self.address = usize::try_from(self.dut.get("buffer_address")).unwrap();
        if offer && self.dut.get("jobs.ready") == 1 {
            self.queue.pop_front();
            self.taken_at = self.dut.cycles();
        }
        for (pulse, name) in self.pulses.iter_mut().zip(["event_written", "raw_written", "raw_full"]) {
            *pulse += self.dut.get(name);
        }
        let release = self.dut.get("freed");
        if release != 0 {
            assert_eq!(self.releases.pop_front(), Some(release), "beats freed");
            // What is free is written over at once.
            for k in 0..release {
                let at = (self.write_at + BUFFER - self.used + k) % BUFFER;
                self.buffer[usize::try_from(at).unwrap()] = rng.random();
            }
            self.used -= release;
        }
        self.dut.tick();
    }

    fn finish(&mut self, rng: &mut ChaCha8Rng, stall: u32) {
        let start = self.dut.cycles();
        while !self.queue.is_empty() || self.dut.get("busy") == 1 {
            assert!(self.dut.cycles() - start < 1_000_000, "not done: {} jobs, {} releases", self.queue.len(), self.releases.len());
            if rng.random_range(0..20) == 0 {
                self.event_consumed = u32::try_from(self.dut.get("event_produced")).unwrap();
                self.doorbells();
            }
            self.cycle(rng, stall);
        }
        assert!(self.bus.is_idle() && self.releases.is_empty() && self.used == 0);
        for _ in 0..4 {
            self.cycle(rng, stall);
        }
        let room = self.event_next.wrapping_sub(self.event_consumed) + 2 <= 1 << self.setup.event_log2;
        assert_eq!(self.dut.get("event_room") == 1, room || !self.setup.enable, "room for two events");
        let differ = self.bus.log.iter().zip(&self.expected).position(|(a, b)| a != b);
        if let Some(k) = differ {
            let end = (k + 10).min(self.bus.log.len()).min(self.expected.len());
            panic!("byte {k} of {}: {:x?}, not {:x?}", self.expected.len(), &self.bus.log[k..end], &self.expected[k..end]);
        }
        assert_eq!(self.bus.log.len(), self.expected.len());
        assert_eq!(self.dut.get("event_produced"), u64::from(self.event_next));
        assert_eq!(self.dut.get("raw_produced"), u64::from(self.raw_next));
        assert_eq!(self.pulses[2], self.dropped, "dropped frames");
        self.bus.log.clear();
        self.expected.clear();
    }
}

fn pack(job: &Job, start: u64) -> Vec<u64> {
    // Places of the kinds in `WriteKind`.
    let (kind, frame, offset, length, base, log2, position, record) = match job {
        Job::Free { frame } => (0, *frame, 0, 0, 0, 0, 0, Event::default()),
        Job::Place { frame, offset, length, base, log2, position } => (1, *frame, *offset, *length, *base, *log2, *position, Event::default()),
        Job::Raw { frame, record } => (2, *frame, 0, 0, 0, 0, 0, *record),
        Job::Event { record } => (3, 0, 0, 0, 0, 0, 0, *record),
    };
    let packed = Packed::default().with(kind, 2).with(start, 12).with(frame, 14).with(offset, 14).with(length, 14);
    let packed = packed.with(base, 64).with(log2.into(), 5).with(position.into(), 32);
    record.0.iter().fold(packed, |p, word| p.with(u64::from(*word), 32)).words
}

fn random_setup(rng: &mut ChaCha8Rng) -> Setup {
    Setup {
        enable: true,
        event_base: rng.random::<u64>() >> 2 & !0xfff,
        event_log2: rng.random_range(1..=7),
        raw_base: rng.random::<u64>() >> 2 & !0xfff,
        raw_log2: rng.random_range(1..=4),
        slot_log2: rng.random_range(11..=14),
        submission_consumed: rng.random(),
    }
}

fn random_job(rng: &mut ChaCha8Rng) -> Job {
    let frame = match rng.random_range(0..4) {
        0 => rng.random_range(1..=9618),
        1 => rng.random_range(1..=80),
        _ => rng.random_range(14..=1518),
    };
    let record = Event(std::array::from_fn(|_| rng.random()));
    // Bits of the last word that nobody may set are kept.
    match rng.random_range(0..10) {
        0 => Job::Free { frame },
        1 | 2 => Job::Raw { frame, record },
        3 | 4 => Job::Event { record },
        _ => {
            let offset = rng.random_range(0..frame);
            let length = if rng.random_range(0..4) == 0 { rng.random_range(0..=(frame - offset).min(20)) } else { frame - offset };
            let log2 = rng.random_range(12..=30);
            let base = rng.random::<u64>() >> 2 & !((1 << log2) - 1);
            let mut position: u32 = rng.random();
            if rng.random_range(0..2) == 0 {
                position = (rng.random_range(0..=1u32) << log2).wrapping_sub(rng.random_range(0..2000));
            }
            Job::Place { frame, offset, length, base, log2, position }
        }
    }
}

fn batches(first_index: u32, seed: u64) {
    let mut rng = random(seed);
    let mut dut = Some(build(first_index));
    for (stall, latency) in [(0, 0), (0, 60), (20, 20), (60, 80)] {
        let mut bench = Bench::new(dut.take().expect("the model"), random_setup(&mut rng), Manner { stall, latency }, first_index);
        for batch in 0..25 {
            bench.setup.submission_consumed = rng.random();
            bench.setup.enable = batch % 8 != 7;
            bench.raw_consumed = bench.raw_next.wrapping_sub(rng.random_range(0..=1));
            bench.doorbells();
            for _ in 0..40 {
                let job = random_job(&mut rng);
                if !bench.order(&mut rng, job) {
                    break;
                }
            }
            bench.finish(&mut rng, stall);
        }
        println!(
            "stall {stall}%, latency {latency}: {} bytes in {} beats and {} bursts, {} events, {} raw, {} dropped",
            bench.bus.beats * 8,
            bench.bus.beats,
            bench.bus.bursts,
            bench.pulses[0],
            bench.pulses[1],
            bench.dropped
        );
        assert!(bench.dropped > 0 && bench.pulses[0] > 0 && bench.pulses[1] > 0);
        dut = Some(bench.dut);
    }
}

#[test]
fn every_byte_in_order() {
    batches(0, 21);
}

#[test]
fn indices_wrap() {
    batches(0xffff_fff0, 22);
}

#[test]
fn keeps_the_bus_full() {
    let mut rng = random(23);
    let setup = random_setup(&mut rng);
    let mut bench = Bench::new(build(0), setup, Manner { stall: 0, latency: 60 }, 0);
    let (mut position, base) = (rng.random::<u32>(), 0x1234_0000_0000);
    let (mut jobs, mut first, start) = (300, None, bench.dut.cycles());
    while jobs > 0 || !bench.queue.is_empty() {
        let job = Job::Place { frame: 1514, offset: 66, length: 1448, base, log2: 16, position };
        if jobs > 0 && bench.order(&mut rng, job) {
            position = position.wrapping_add(1448);
            jobs -= 1;
        }
        bench.cycle(&mut rng, 0);
        if bench.bus.beats == 1 && first.is_none() {
            first = Some(bench.dut.cycles() - 1 - start);
        }
    }
    bench.finish(&mut rng, 0);
    let rate = 300.0 * 1448.0 / (bench.bus.last_beat - start) as f64;
    println!("{rate:.3} bytes a cycle; first beat {} cycles after its job was offered", first.expect("a beat"));
    assert!(rate > 7.6, "{rate}");
    assert!(first.expect("a beat") <= 12);
}

#[test]
fn keeps_up_with_the_smallest_segments() {
    let mut rng = random(24);
    let setup = random_setup(&mut rng);
    let mut bench = Bench::new(build(0), setup, Manner { stall: 0, latency: 60 }, 0);
    let (mut jobs, start) = (1000, bench.dut.cycles());
    while jobs > 0 || !bench.queue.is_empty() {
        let job = Job::Place { frame: 60, offset: 54, length: 6, base: 0x4000_0000, log2: 30, position: rng.random() };
        if jobs > 0 && bench.order(&mut rng, job) {
            jobs -= 1;
        }
        bench.cycle(&mut rng, 0);
    }
    let each = (bench.dut.cycles() - start) as f64 / 1000.0;
    bench.finish(&mut rng, 0);
    println!("{each:.2} cycles a segment");
    assert!(each < 10.0, "{each}");
}

#[test]
fn halts_drains_and_starts_again() {
    let mut rng = random(25);
    let mut dut = Some(build(0));
    for round in 0..80 {
        let manner = Manner { stall: 20, latency: 30 };
        let mut bench = Bench::new(dut.take().expect("the model"), random_setup(&mut rng), manner, 0);
        for _ in 0..30 {
            let job = random_job(&mut rng);
            bench.order(&mut rng, job);
        }
        let (fail, at) = (round % 2 == 1, rng.random_range(1..1500));
        bench.bus.fail_at = fail.then_some(at / 40);
        let mut most = u64::MAX;
        for cycle in 0..4000 {
            if cycle == at && !fail {
                bench.dut.set("halt", 1);
                most = bench.bus.bursts + 1;
            }
            if most == u64::MAX && bench.dut.get("fault") == 1 {
                most = bench.bus.bursts + 1;
            }
            bench.cycle(&mut rng, 20);
            assert!(bench.bus.bursts <= most, "a burst after the halt");
        }
        assert!(bench.bus.is_idle() && bench.dut.get("outstanding") == 0, "drained");
        assert_eq!(bench.dut.get("fault") == 1, fail && bench.bus.answered > at / 40, "round {round}");
        let sent = bench.bus.log.len();
        assert_eq!(bench.bus.log, bench.expected[..sent], "what was written is right");
        dut = Some(bench.dut);
    }
    // In the middle of a burst, the bus with it.
    let mut bench = Bench::new(dut.take().expect("the model"), random_setup(&mut rng), Manner { stall: 0, latency: 5 }, 0);
    let job = Job::Place { frame: 1514, offset: 54, length: 1460, base: 0, log2: 16, position: 5 };
    bench.order(&mut rng, job.clone());
    for _ in 0..60 {
        bench.cycle(&mut rng, 0);
    }
    assert!(bench.bus.beats > 0 && bench.dut.get("bus.wvalid") == 1);
    let mut bench = Bench::new(bench.dut, random_setup(&mut rng), Manner { stall: 0, latency: 5 }, 0);
    bench.order(&mut rng, job);
    bench.finish(&mut rng, 0);
}
