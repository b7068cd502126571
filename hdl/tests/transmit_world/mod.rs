//! What is round the transmit side: a flow core, a read engine with host memory, a MAC and a receive side, each at its own pace.
#![allow(dead_code, reason = "each bench uses a part of it")]

mod frame;

use super::common::{dut_with, Random};
use super::host_bus::{background, Packed};
pub(crate) use frame::{fill_checksum, offload, Header};
use rand::Rng;
use std::collections::VecDeque;
use toe_hdl::transmit::Transmit;
use toe_hdl::types::{FLOW_BITS, LENGTH_BITS};
use toe_verilate::{Dut, Port};

/// Chances in percent that a side does nothing in a cycle, and the read engine's latency in cycles.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    pub(crate) core: u32,
    pub(crate) memory: u32,
    pub(crate) latency: (u64, u64),
    pub(crate) mac: u32,
    pub(crate) receive: u32,
}

/// A job and its bytes.
#[derive(Clone, Debug)]
struct Job {
    kind: u64,
    flow: u64,
    base: u64,
    log2: u64,
    seq: u32,
    bytes: Vec<u8>,
    fin: bool,
    psh: bool,
    checksum: Option<(usize, usize)>,
}

/// A read on its way.
struct Read {
    bytes: Vec<u8>,
    given: usize,
    due: u64,
}

/// Ports of a stream.
const FIELDS: [&str; 5] = ["data", "keep", "last", "error", "valid"];

/// A stream that comes out, beat by beat.
#[derive(Default)]
struct Sink {
    ports: Option<[Port; 5]>,
    open: Vec<u8>,
    held: Option<(u64, u64, u64)>,
    frames: usize,
    /// Cycle of the first and of the last beat of each frame.
    times: Vec<(u64, u64)>,
    began: u64,
}

impl Sink {
    /// Takes what is offered; gives a frame when it is whole.
    fn take(&mut self, dut: &Dut, name: &str, ready: bool, gaps: bool) -> Option<Vec<u8>> {
        let [data, keep, last, error, valid] = *self.ports.get_or_insert_with(|| FIELDS.map(|field| dut.port(&format!("{name}.{field}"))));
        let (valid, error, beat) = (dut.get(valid) == 1, dut.get(error), (dut.get(data), dut.get(keep), dut.get(last)));
        if let Some(held) = self.held {
            assert!(valid && held == beat, "{name}: a beat changed while it waited");
        }
        self.held = (valid && !ready).then_some(beat);
        assert!(gaps || valid || self.open.is_empty(), "{name}: a gap in mid-frame");
        if !valid || !ready {
            return None;
        }
        let (data, keep, last) = beat;
        let bytes = keep.count_ones() as usize;
        assert!(bytes > 0 && keep == u64::MAX >> (64 - bytes), "{name}: keep is {keep:#x}");
        assert!(bytes == 8 || last == 1, "{name}: a short beat is the last");
        assert_eq!(error, 0);
        if self.open.is_empty() {
            self.began = dut.cycles();
        }
        self.open.extend(&data.to_le_bytes()[..bytes]);
        (last == 1).then(|| {
            self.frames += 1;
            self.times.push((self.began, dut.cycles()));
            std::mem::take(&mut self.open)
        })
    }
}

macro_rules! pins {
    ($($field:ident => $name:literal),* $(,)?) => {
        /// Ports, looked up once.
        struct Pins {
            $($field: Port,)*
            /// Of jobs, sealed and acks: data, valid, ready.
            core: [[Port; 3]; 3],
        }
        impl Pins {
            fn new(dut: &Dut) -> Pins {
                let core = ["jobs", "sealed", "acks"].map(|name| ["data", "valid", "ready"].map(|field| dut.port(&format!("{name}.{field}"))));
                Pins { $($field: dut.port($name),)* core }
            }
        }
    };
}
pins! {
    reads_ready => "reads.ready",
    reads_valid => "reads.valid",
    mac_ready => "mac.ready",
    inject_ready => "inject.ready",
    seals_ready => "seals.ready",
    seals_valid => "seals.valid",
    raw_fetched => "raw_fetched",
    tx_raw => "tx_raw",
    idle => "idle",
    bytes_data => "bytes.data",
    bytes_keep => "bytes.keep",
    bytes_last => "bytes.last",
    bytes_valid => "bytes.valid",
    bytes_ready => "bytes.ready",
}

/// The transmit side and its surroundings.
pub(crate) struct World {
    pub(crate) dut: Dut,
    pins: Pins,
    pub(crate) rng: Random,
    pub(crate) pace: Pace,
    local_mac: [u8; 6],
    jobs: VecDeque<Vec<u64>>,
    // What must come, in order.
    reads: VecDeque<Vec<u64>>,
    read_bytes: VecDeque<Vec<u8>>,
    seals: VecDeque<(Vec<u64>, usize)>,
    frames: VecDeque<Vec<u8>>,
    ack_frames: VecDeque<Vec<u8>>,
    injected: VecDeque<Vec<u8>>,
    // What the core will say when a payload is there; and has to say.
    headers: VecDeque<Header>,
    sealed: VecDeque<(Vec<u64>, u64)>,
    acks: VecDeque<Vec<u64>>,
    offered: [bool; 3],
    flying: VecDeque<Read>,
    giving: bool,
    mac: Sink,
    inject: Sink,
    reads_planned: usize,
    reads_done: usize,
    raw_planned: u64,
    raw_read: VecDeque<usize>,
    pub(crate) raw_fetched: u64,
    pub(crate) tx_raw: u64,
    raw_sent: u64,
    // Jobs and ACKs taken, and those of which everything has come out.
    taken: usize,
    finished: usize,
    pub(crate) most_reads: usize,
    pub(crate) most_bytes: usize,
}

impl World {
    pub(crate) fn new(rng: Random, pace: Pace) -> World {
        let dut = dut_with("transmit", Transmit::default);
        let mut world = World {
            pins: Pins::new(&dut),
            dut,
            rng,
            pace,
            local_mac: [0; 6],
            jobs: VecDeque::new(),
            reads: VecDeque::new(),
            read_bytes: VecDeque::new(),
            seals: VecDeque::new(),
            frames: VecDeque::new(),
            ack_frames: VecDeque::new(),
            injected: VecDeque::new(),
            headers: VecDeque::new(),
            sealed: VecDeque::new(),
            acks: VecDeque::new(),
            offered: [false; 3],
            flying: VecDeque::new(),
            giving: false,
            mac: Sink::default(),
            inject: Sink::default(),
            reads_planned: 0,
            reads_done: 0,
            raw_planned: 0,
            raw_read: VecDeque::new(),
            raw_fetched: 0,
            tx_raw: 0,
            raw_sent: 0,
            taken: 0,
            finished: 0,
            most_reads: 0,
            most_bytes: 0,
        };
        world.reset();
        world
    }

    /// Resets the transmit side, and forgets everything that was under way.
    pub(crate) fn reset(&mut self) {
        for queue in [&mut self.frames, &mut self.ack_frames, &mut self.injected, &mut self.read_bytes] {
            queue.clear();
        }
        (self.mac, self.inject) = (Sink::default(), Sink::default());
        self.jobs.clear();
        self.reads.clear();
        self.seals.clear();
        self.headers.clear();
        self.sealed.clear();
        self.acks.clear();
        self.flying.clear();
        self.raw_read.clear();
        (self.offered, self.giving) = ([false; 3], false);
        (self.reads_planned, self.reads_done, self.most_reads, self.most_bytes) = (0, 0, 0, 0);
        (self.taken, self.finished) = (0, 0);
        (self.raw_planned, self.raw_fetched, self.tx_raw, self.raw_sent) = (0, 0, 0, 0);
        self.local_mac = self.rng.random();
        let mac = self.local_mac.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
        self.dut.set("local_mac", mac);
        self.dut.set("bytes.error", 0);
        self.dut.set("reset", 1);
        self.dut.tick();
        self.dut.set("reset", 0);
    }

    fn job(&mut self, kind: u64, length: u64) -> Job {
        let rng = &mut self.rng;
        let (log2, seq) = if kind == 0 { (rng.random_range(12..=30), rng.random()) } else { (0, rng.random()) };
        let base = rng.random::<u64>() >> 4 & !((1_u64 << log2) - 1);
        let at = |k: u64| match kind {
            0 => base + (u64::from(seq).wrapping_add(k) & ((1_u64 << log2) - 1)),
            _ => base + k,
        };
        let bytes = (0..length).map(|k| background(at(k))).collect();
        Job { kind, flow: rng.random_range(0..1 << FLOW_BITS), base, log2, seq, bytes, fin: rng.random(), psh: rng.random(), checksum: None }
    }

    fn plan(&mut self, job: Job) {
        if !job.bytes.is_empty() {
            let read = Packed::default().with(job.base, 64).with(job.log2, 5).with(job.seq.into(), 32).with(job.bytes.len() as u64, LENGTH_BITS);
            self.reads.push_back(read.words);
            self.read_bytes.push_back(job.bytes.clone());
            self.reads_planned += 1;
        }
        match job.kind {
            0 | 3 => self.seals.push_back((seal(&job), self.reads_planned)),
            kind => {
                self.raw_sent += u64::from(kind == 1);
                self.raw_planned += 1;
                self.raw_read.push_back(self.reads_planned);
            }
        }
        self.jobs.push_back(packed(&job, &mut self.rng));
    }

    fn header(&mut self, tag: bool, stamps: bool, payload: &[u8]) -> Header {
        let header = Header::random(&mut *self.rng, tag, stamps, payload.len() as u64);
        if self.rng.random_range(0..4) == 0 {
            return header.at_edge(&mut *self.rng, self.local_mac, payload);
        }
        header
    }

    /// A segment with so much payload.
    pub(crate) fn segment(&mut self, length: u64, tag: bool, stamps: bool) {
        let job = self.job(0, length);
        let header = self.header(tag, stamps, &job.bytes);
        self.frames.push_back(header.frame(self.local_mac, &job.bytes));
        self.headers.push_back(header);
        self.plan(job);
    }

    /// A pure ACK.
    pub(crate) fn ack(&mut self, tag: bool, stamps: bool) {
        let header = self.header(tag, stamps, &[]);
        self.ack_frames.push_back(header.frame(self.local_mac, &[]));
        let packed = header.packed(&mut *self.rng);
        self.acks.push_back(packed);
    }

    /// A frame to send, perhaps with a checksum from `.0` to be filled in at `.1`.
    pub(crate) fn raw(&mut self, length: u64, checksum: Option<(usize, usize)>) {
        let mut job = self.job(1, length);
        job.checksum = checksum;
        let mut frame = job.bytes.clone();
        if let Some((start, offset)) = checksum {
            fill_checksum(&mut frame, start, offset);
        }
        self.frames.push_back(frame);
        self.plan(job);
    }

    /// A segment of which the host sums only the pseudo header.
    pub(crate) fn raw_segment(&mut self, length: u64, tag: bool, stamps: bool) {
        let mut job = self.job(1, length);
        let frame = Header::random(&mut *self.rng, tag, stamps, length).frame(self.local_mac, &job.bytes);
        job.bytes.clone_from(&frame);
        job.checksum = Some(offload(&mut job.bytes, tag));
        self.frames.push_back(frame);
        self.plan(job);
    }

    /// A frame to receive.
    pub(crate) fn inject(&mut self, length: u64) {
        let job = self.job(2, length);
        self.injected.push_back(job.bytes.clone());
        self.plan(job);
    }

    /// The marker of a removal.
    pub(crate) fn removed(&mut self) {
        let mut job = self.job(3, 0);
        (job.fin, job.psh) = (false, false);
        self.plan(job);
    }

    /// Everything has come.
    pub(crate) fn is_done(&self) -> bool {
        let queues = [&self.frames, &self.ack_frames, &self.injected, &self.read_bytes];
        queues.iter().all(|q| q.is_empty()) && self.jobs.is_empty() && self.seals.is_empty() && self.raw_fetched == self.raw_planned
    }

    fn lazy(&mut self, percent: u32) -> bool {
        percent != 0 && self.rng.random_range(0..100) < percent
    }

    /// Cycles of the first and of the last beat of each frame sent.
    pub(crate) fn times(&self) -> &[(u64, u64)] {
        &self.mac.times
    }

    /// Beats and frames until everything has come; gives the cycles.
    pub(crate) fn run(&mut self, limit: u64) -> u64 {
        let start = self.dut.cycles();
        while !self.is_done() {
            let [frames, acks, injected] = [&self.frames, &self.ack_frames, &self.injected].map(VecDeque::len);
            assert!(self.dut.cycles() - start < limit, "not done: {frames} frames, {acks} ACKs, {injected} injected, {} seals", self.seals.len());
            self.step();
        }
        let took = self.dut.cycles() - start;
        for _ in 0..3 {
            self.step();
        }
        assert_eq!(self.tx_raw, self.raw_sent, "tx_raw");
        assert_eq!(self.dut.get(self.pins.idle), 1, "nothing is left inside");
        took
    }

    /// One cycle.
    pub(crate) fn step(&mut self) {
        self.drive_core();
        let giving = self.drive_memory();
        let [reads_ready, mac_ready, inject_ready] = [self.pace.memory, self.pace.mac, self.pace.receive].map(|percent| !self.lazy(percent));
        let seals_ready = !self.lazy(self.pace.core);
        self.dut.set(self.pins.reads_ready, reads_ready.into());
        self.dut.set(self.pins.mac_ready, mac_ready.into());
        self.dut.set(self.pins.inject_ready, inject_ready.into());
        self.dut.set(self.pins.seals_ready, seals_ready.into());
        self.dut.eval();
        assert!(self.dut.get(self.pins.idle) == 0 || self.taken == self.finished, "idle, but {} of {} done", self.finished, self.taken);
        self.sample_core(seals_ready);
        self.sample_memory(giving, reads_ready);
        self.sample_streams(mac_ready, inject_ready);
        self.raw_fetched += self.dut.get(self.pins.raw_fetched);
        self.tx_raw += self.dut.get(self.pins.tx_raw);
        if self.dut.get(self.pins.raw_fetched) == 1 {
            let read = self.raw_read.pop_front().expect("a raw frame is being read");
            assert!(read <= self.reads_done, "raw_fetched before the bytes have been read");
        }
        self.dut.tick();
    }

    fn drive_core(&mut self) {
        let now = self.dut.cycles();
        let waiting = [!self.jobs.is_empty(), self.sealed.front().is_some_and(|s| s.1 <= now), !self.acks.is_empty()];
        for (k, waiting) in waiting.into_iter().enumerate() {
            self.offered[k] = self.offered[k] || waiting && !self.lazy(self.pace.core);
        }
        for k in 0..3 {
            let [data, valid, _] = self.pins.core[k];
            self.dut.set(valid, self.offered[k].into());
            let words = match (self.offered[k], k) {
                (false, 0) => self.rng.random::<[u64; 2]>().to_vec(),
                (false, _) => self.rng.random::<[u64; 5]>().to_vec(),
                (true, 0) => self.jobs[0].clone(),
                (true, 1) => self.sealed[0].0.clone(),
                (true, _) => self.acks[0].clone(),
            };
            self.dut.set_wide(data, &words);
        }
    }

    fn sample_core(&mut self, seals_ready: bool) {
        for k in 0..3 {
            if self.offered[k] && self.dut.get(self.pins.core[k][2]) == 1 {
                self.offered[k] = false;
                self.taken += usize::from(k != 1);
                match k {
                    0 => drop(self.jobs.pop_front()),
                    1 => drop(self.sealed.pop_front()),
                    _ => drop(self.acks.pop_front()),
                }
            }
        }
        if self.dut.get(self.pins.seals_valid) == 1 && seals_ready {
            let (expected, reads) = self.seals.pop_front().expect("a seal is expected");
            assert_eq!(self.dut.get_wide("seals.data"), expected, "seal request");
            assert!(self.reads_done >= reads, "sealed before the payload had come");
            if expected[0] & 1 == 1 {
                self.finished += 1;
            } else {
                let header = self.headers.pop_front().expect("a segment");
                let late = if self.pace.core == 0 { 0 } else { self.rng.random_range(0..40) };
                self.sealed.push_back((header.packed(&mut *self.rng), self.dut.cycles() + late));
            }
        }
    }

    fn drive_memory(&mut self) -> bool {
        let now = self.dut.cycles();
        self.giving = self.giving || self.flying.front().is_some_and(|r| r.due <= now) && !self.lazy(self.pace.memory);
        self.dut.set(self.pins.bytes_valid, self.giving.into());
        let mut data: [u8; 8] = self.rng.random();
        let (mut keep, mut last) = (self.rng.random_range(0..256), self.rng.random_range(0..2));
        if self.giving {
            let read = &self.flying[0];
            let rest = &read.bytes[read.given..];
            let count = rest.len().min(8);
            data[..count].copy_from_slice(&rest[..count]);
            (keep, last) = (0xff >> (8 - count), u64::from(rest.len() <= 8));
        }
        self.dut.set(self.pins.bytes_data, u64::from_le_bytes(data));
        self.dut.set(self.pins.bytes_keep, keep);
        self.dut.set(self.pins.bytes_last, last);
        self.giving
    }

    fn sample_memory(&mut self, giving: bool, ready: bool) {
        if giving && self.dut.get(self.pins.bytes_ready) == 1 {
            self.giving = false;
            self.flying[0].given += 8;
            if self.flying[0].given >= self.flying[0].bytes.len() {
                self.flying.pop_front();
                self.reads_done += 1;
            }
        }
        if self.dut.get(self.pins.reads_valid) == 1 && ready {
            let expected = self.reads.pop_front().expect("a read is expected");
            assert_eq!(self.dut.get_wide("reads.data"), expected, "read job");
            let bytes = self.read_bytes.pop_front().expect("its bytes");
            let (least, most) = self.pace.latency;
            let due = self.dut.cycles() + 1 + self.rng.random_range(least..=most);
            self.flying.push_back(Read { bytes, given: 0, due });
            self.most_reads = self.most_reads.max(self.flying.len());
            self.most_bytes = self.most_bytes.max(self.flying.iter().map(|r| r.bytes.len()).sum());
        }
    }

    fn sample_streams(&mut self, mac_ready: bool, inject_ready: bool) {
        if let Some(frame) = self.mac.take(&self.dut, "mac", mac_ready, false) {
            self.finished += 1;
            if self.ack_frames.front() == Some(&frame) {
                self.ack_frames.pop_front();
            } else {
                let expected = self.frames.pop_front().unwrap_or_default();
                assert!(frame == expected, "frame {}: {}", self.mac.frames, difference(&frame, &expected));
            }
        }
        if let Some(frame) = self.inject.take(&self.dut, "inject", inject_ready, true) {
            self.finished += 1;
            let expected = self.injected.pop_front().expect("an injected frame");
            assert!(frame == expected, "injected frame {}", self.inject.frames);
        }
    }
}

/// Where two frames differ.
fn difference(found: &[u8], expected: &[u8]) -> String {
    let at = found.iter().zip(expected).position(|(f, e)| f != e).unwrap_or(found.len().min(expected.len()));
    let part = |bytes: &[u8]| format!("{:02x?} of {}", &bytes[at..bytes.len().min(at + 8)], bytes.len());
    format!("from byte {at} {}, expected {}", part(found), part(expected))
}

fn seal(job: &Job) -> Vec<u64> {
    Packed::default()
        .with((job.kind == 3).into(), 1)
        .with(job.flow, FLOW_BITS)
        .with(job.seq.into(), 32)
        .with(job.bytes.len() as u64, LENGTH_BITS)
        .with(job.fin.into(), 1)
        .with(job.psh.into(), 1)
        .words
}

/// For the port; what does not count is random.
fn packed(job: &Job, rng: &mut Random) -> Vec<u64> {
    let (start, offset) = job.checksum.map_or_else(|| (rng.random(), rng.random()), |(s, o)| (s as u64, o as u64));
    let log2 = if job.kind == 0 { job.log2 } else { rng.random_range(0..32) };
    Packed::default()
        .with(job.kind, 2)
        .with(job.flow, FLOW_BITS)
        .with(job.base, 64)
        .with(log2, 5)
        .with(job.seq.into(), 32)
        .with(job.bytes.len() as u64, LENGTH_BITS)
        .with(job.fin.into(), 1)
        .with(job.psh.into(), 1)
        .with(job.checksum.is_some().into(), 1)
        .with(start & 0xffff, 16)
        .with(offset & 0xffff, 16)
        .words
}
