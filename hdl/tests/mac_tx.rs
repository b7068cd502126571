//! The transmitter in Verilator, against a reader of XGMII that refuses what IEEE 802.3 clause 46 does not allow.

mod common;
mod mac_wire;

use common::{dut, random};
use mac_wire::{characters, random_frame, random_length, read, Character, Sent, IDLE, SEQUENCE, START, TERMINATE};
use rand::Rng;
use std::collections::VecDeque;
use toe_hdl::mac::tx::XgmiiTx;
use toe_verilate::{Dut, Port};

const TO: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const PULSES: [&str; 4] = ["mac_tx_frames", "mac_tx_underrun", "mac_tx_aborted", "mac_tx_link_down"];

/// A frame to be sent.
#[derive(Clone, Debug)]
struct Frame {
    octets: Vec<u8>,
    /// Given up at its end.
    error: bool,
    /// Before this beat there is a cycle without.
    hole: Option<usize>,
    /// Cycles from the end of the frame before to its first beat.
    wait: usize,
}

impl Frame {
    fn new(octets: Vec<u8>) -> Frame {
        Frame { octets, error: false, hole: None, wait: 0 }
    }
    /// What is to be on the wire, without FCS.
    fn padded(&self) -> Vec<u8> {
        let mut octets = self.octets.clone();
        octets.resize(octets.len().max(60), 0);
        octets
    }
}

struct Bench {
    dut: Dut,
    data: Port,
    keep: Port,
    last: Port,
    error: Port,
    valid: Port,
    ready: Port,
    txd: Port,
    txc: Port,
    pulses: [Port; 4],
    bytes: Port,
    queue: VecDeque<Frame>,
    /// Beats of the frame at the head that were taken; cycles that it has waited.
    beat: usize,
    waited: usize,
    line: Vec<Character>,
    counts: [usize; 4],
    octets: usize,
}

impl Bench {
    fn new() -> Bench {
        let mut dut = dut("xgmii_tx", XgmiiTx::default());
        dut.set("local_fault", 0);
        dut.set("remote_fault", 0);
        let port = |name: &str| dut.port(name);
        let (data, keep, last, error) = (port("s.data"), port("s.keep"), port("s.last"), port("s.error"));
        let (valid, ready, txd, txc) = (port("s.valid"), port("s.ready"), port("txd"), port("txc"));
        let (pulses, bytes) = (PULSES.map(port), port("mac_tx_bytes"));
        let (queue, line, counts) = (VecDeque::new(), vec![], [0; 4]);
        let (beat, waited, octets) = (0, 0, 0);
        let mut bench = Bench { dut, data, keep, last, error, valid, ready, txd, txc, pulses, bytes, queue, beat, waited, line, counts, octets };
        bench.reset();
        bench
    }
    /// One cycle of reset, the stream idle.
    fn reset(&mut self) {
        self.dut.set(self.valid, 0);
        self.dut.set("reset", 1);
        self.dut.tick();
        self.dut.set("reset", 0);
        self.line.clear();
        (self.counts, self.octets) = ([0; 4], 0);
        (self.beat, self.waited) = (0, 0);
        self.queue.clear();
        let word = characters(self.dut.get(self.txd), self.dut.get(self.txc));
        assert_eq!(word, [IDLE; 8], "in reset");
    }
    /// Offers the next beat, if it is its time; gives whether it is the last.
    fn offer(&mut self) -> Option<bool> {
        let frame = self.queue.front_mut()?;
        if self.beat == 0 && self.waited < frame.wait {
            self.waited += 1;
            return None;
        }
        if frame.hole == Some(self.beat) {
            frame.hole = None;
            return None;
        }
        let rest = &frame.octets[8 * self.beat..];
        let n = rest.len().min(8);
        let last = n == rest.len();
        let mut word = [0xA5; 8];
        word[..n].copy_from_slice(&rest[..n]);
        self.dut.set(self.data, u64::from_le_bytes(word));
        self.dut.set(self.keep, (1 << n) - 1);
        self.dut.set(self.last, u64::from(last));
        self.dut.set(self.error, u64::from(last && frame.error));
        Some(last)
    }
    fn cycle(&mut self) {
        let offered = self.offer();
        self.dut.set(self.valid, u64::from(offered.is_some()));
        self.dut.eval();
        let taken = offered.filter(|_| self.dut.get(self.ready) == 1);
        self.dut.tick();
        if let Some(last) = taken {
            self.beat += 1;
            if last {
                self.queue.pop_front();
                (self.beat, self.waited) = (0, 0);
            }
        }
        self.line.extend(characters(self.dut.get(self.txd), self.dut.get(self.txc)));
        for (count, port) in self.counts.iter_mut().zip(self.pulses) {
            *count += usize::from(self.dut.get(port) == 1);
        }
        if self.dut.get(self.pulses[0]) == 1 {
            self.octets += usize::try_from(self.dut.get(self.bytes)).expect("16 bits");
        }
    }
    /// Sends frames until all are on the wire; gives what a reader sees there.
    fn send(&mut self, frames: impl IntoIterator<Item = Frame>) -> Vec<Sent> {
        self.queue.extend(frames);
        let deadline = self.queue.iter().map(|f| f.octets.len() / 8 + f.wait + 40).sum::<usize>() + 100;
        for _ in 0..deadline {
            if self.queue.is_empty() {
                break;
            }
            self.cycle();
        }
        assert!(self.queue.is_empty(), "{} frames not taken after {deadline} cycles", self.queue.len());
        for _ in 0..20 {
            self.cycle();
        }
        let line = std::mem::take(&mut self.line);
        let sent = read(&line);
        check_gaps(&sent);
        sent
    }
}

/// Every gap is the one that clause 46.3.1.4 asks for, so no gap is below 9 octets and no run of them more than 3 octets short of
/// 12 each; or the frame came later, starts in lane 0 and leaves no deficit.
fn check_gaps(sent: &[Sent]) {
    let mut deficit = 0;
    for pair in sent.windows(2) {
        let gap = pair[1].start - pair[0].end;
        let (least, after) = dic(pair[0].end - pair[0].start - 8, deficit);
        assert!(least >= 9 && after <= 3);
        if gap == least {
            deficit = after;
        } else {
            assert!(gap > least && pair[1].start % 8 == 0, "a gap of {gap} octets, not {least}, to lane {}", pair[1].start % 8);
            deficit = 0;
        }
    }
}

/// The gap that clause 46.3.1.4 asks for after a frame of `octets` (with FCS), and the deficit after it.
fn dic(octets: usize, deficit: usize) -> (usize, usize) {
    // Idle characters are taken out, or put in, until Start is in lane 0 of a column; taken out if the count stays within 3.
    let behind = (8 + octets + 12) % 4;
    if deficit + behind <= 3 {
        (12 - behind, deficit + behind)
    } else {
        (12 + 4 - behind, deficit + behind - 4)
    }
}

fn compare(sent: &[Sent], frames: &[Frame]) {
    assert_eq!(sent.len(), frames.len());
    for (k, (sent, frame)) in sent.iter().zip(frames).enumerate() {
        assert!(sent.good, "frame {k} of {} octets", frame.octets.len());
        assert_eq!(sent.payload(), frame.padded(), "frame {k}");
    }
}

#[test]
fn every_size_back_to_back_with_exact_gaps() {
    let mut random = random(1);
    let mut bench = Bench::new();
    let frames: Vec<Frame> = (1..=1530).chain(9000..9010).chain([9600, 9618]).map(|n| Frame::new(random_frame(&mut random, TO, n))).collect();
    let sent = bench.send(frames.clone());
    compare(&sent, &frames);
    let mut deficit = 0;
    for pair in sent.windows(2) {
        let (gap, after) = dic(pair[0].octets.len(), deficit);
        assert_eq!(pair[1].start - pair[0].end, gap, "after {} octets with deficit {deficit}", pair[0].octets.len());
        deficit = after;
    }
    assert_eq!(bench.counts, [frames.len(), 0, 0, 0]);
    assert_eq!(bench.octets, frames.iter().map(|f| f.padded().len()).sum::<usize>());
    let lanes = [0, 4].map(|lane| sent.iter().filter(|s| s.start % 8 == lane).count());
    assert!(lanes.iter().all(|n| *n > 300), "{lanes:?}");
}

#[test]
fn line_rate_at_every_size() {
    let mut random = random(2);
    let mut bench = Bench::new();
    for length in (60..=130).chain([256, 512, 590, 1024]).chain(1500..=1518).chain([9014, 9618]) {
        let count = 400;
        let frame = Frame::new(random_frame(&mut random, TO, length));
        let sent = bench.send(vec![frame; count]);
        assert_eq!(sent.len(), count);
        // The mean spacing is preamble, frame, FCS and 12 octets: exact over four frames, to 3 octets over any number.
        let span = sent[count - 1].start - sent[0].start;
        let ideal = (count - 1) * (8 + length + 4 + 12);
        assert!(ideal - 3 <= span && span <= ideal, "{length}: {span} octets, not {ideal}");
        let span = sent[count - 4].start - sent[0].start;
        assert_eq!(span, (count - 4) * (8 + length + 4 + 12), "{length}");
        if [60, 64, 590, 1514, 9014].contains(&length) {
            let cycles = span as f64 / 8.0 / (count - 4) as f64;
            println!("{length} octets: a frame every {cycles} cycles, {:.4} octets a cycle", length as f64 / cycles);
        }
    }
}

#[test]
fn frames_that_come_when_they_like() {
    let mut random = random(3);
    let mut bench = Bench::new();
    let frames: Vec<Frame> = (0..3000)
        .map(|_| {
            let length = if random.random_bool(0.2) { random.random_range(1..64) } else { random_length(&mut *random) };
            let wait = if random.random_bool(0.5) { 0 } else { random.random_range(0..30) };
            Frame { wait, ..Frame::new(random_frame(&mut random, TO, length)) }
        })
        .collect();
    let sent = bench.send(frames.clone());
    compare(&sent, &frames);
    assert_eq!(bench.counts, [frames.len(), 0, 0, 0]);
}

#[test]
fn start_is_six_cycles_behind_the_stream() {
    let mut random = random(4);
    let mut bench = Bench::new();
    for _ in 0..20 {
        let sent = bench.send([Frame { wait: 3, ..Frame::new(random_frame(&mut random, TO, 64)) }]);
        // Three cycles of waiting, then the cycle in which it is offered is the first.
        assert_eq!(sent[0].start, 8 * (3 + 6 - 1));
    }
}

#[test]
fn a_missing_beat_ends_the_frame() {
    let mut random = random(5);
    let mut bench = Bench::new();
    let mut frames = vec![];
    for length in [1, 8, 9, 40, 60, 61, 64, 70, 130, 256] {
        for hole in 1..usize::div_ceil(length, 8) {
            let broken = Frame { hole: Some(hole), ..Frame::new(random_frame(&mut random, TO, length)) };
            frames.extend([broken, Frame::new(random_frame(&mut random, TO, 77))]);
        }
    }
    let sent = bench.send(frames.clone());
    assert_eq!(sent.len(), frames.len());
    for (sent, frame) in sent.iter().zip(&frames) {
        if let Some(hole) = frame.hole {
            assert!(!sent.good && sent.errors == 4, "{frame:?}");
            assert!(sent.octets.starts_with(&frame.octets[..8 * hole]) && sent.octets.len() >= 60);
            assert!(sent.octets[8 * hole..].iter().all(|o| *o == 0), "zeros after what was there");
        } else {
            assert!(sent.good && sent.payload() == frame.padded());
        }
    }
    assert_eq!(bench.counts, [frames.len() / 2, frames.len() / 2, 0, 0]);
}

#[test]
fn a_frame_given_up_is_spoilt() {
    let mut random = random(6);
    let mut bench = Bench::new();
    let frames: Vec<Frame> = (1..=300).map(|length| Frame { error: random.random_bool(0.5), ..Frame::new(random_frame(&mut random, TO, length)) }).collect();
    let sent = bench.send(frames.clone());
    assert_eq!(sent.len(), frames.len());
    for (sent, frame) in sent.iter().zip(&frames) {
        assert_eq!((sent.good, sent.errors), (!frame.error, 4 * usize::from(frame.error)));
        let octets = if frame.error { &sent.octets[..] } else { sent.payload() };
        assert_eq!(octets, frame.padded());
    }
    let given_up = frames.iter().filter(|f| f.error).count();
    assert_eq!(bench.counts, [frames.len() - given_up, 0, given_up, 0]);
}

#[test]
fn anything_in_any_order() {
    let mut random = random(7);
    let mut bench = Bench::new();
    let frames: Vec<Frame> = (0..4000)
        .map(|_| {
            let length = if random.random_bool(0.3) { random.random_range(1..80) } else { random_length(&mut *random) };
            let beats = usize::div_ceil(length, 8);
            Frame {
                octets: random_frame(&mut random, TO, length),
                error: random.random_bool(0.1),
                hole: (beats > 1 && random.random_bool(0.1)).then(|| random.random_range(1..beats)),
                wait: if random.random_bool(0.6) { 0 } else { random.random_range(0..12) },
            }
        })
        .collect();
    let sent = bench.send(frames.clone());
    assert_eq!(sent.len(), frames.len());
    let mut counts = [0; 4];
    for (sent, frame) in sent.iter().zip(&frames) {
        assert_eq!(sent.good, frame.hole.is_none() && !frame.error, "{frame:?}");
        if sent.good {
            assert_eq!(sent.payload(), frame.padded());
        }
        counts[if frame.hole.is_some() { 1 } else { 2 * usize::from(frame.error) }] += 1;
    }
    assert_eq!(bench.counts, counts);
}

#[test]
fn a_link_fault_stops_frames_and_is_answered() {
    let mut random = random(8);
    let mut bench = Bench::new();
    for (local, remote, length) in [(1, 0, 70), (0, 1, 70), (1, 0, 1514), (0, 1, 1514), (1, 0, 60), (0, 1, 9000)] {
        for when in [0, 1, 5, 9, 10, 11, 12, 13, 30, 100] {
            bench.reset();
            bench.queue.extend((0..60).map(|_| Frame::new(random_frame(&mut random, TO, length))));
            for _ in 0..when {
                bench.cycle();
            }
            bench.dut.set("local_fault", local);
            bench.dut.set("remote_fault", remote);
            let left = bench.queue.len();
            for _ in 0..200 {
                bench.cycle();
            }
            // In 10 cycles what was on its way is out; then there is nothing but the answer, and frames are taken as before.
            let answer = if local == 1 { SEQUENCE } else { IDLE };
            let quiet = &bench.line[8 * (when + 10)..];
            assert!(quiet.chunks(4).all(|c| c[0] == answer && !c.contains(&START)), "fault after {when} cycles");
            assert!(length > 1000 || bench.queue.len() + 10 < left, "frames are taken");
            bench.dut.set("local_fault", 0);
            bench.dut.set("remote_fault", 0);
            let early = std::mem::take(&mut bench.line).iter().filter(|c| **c == TERMINATE).count();
            let sent = bench.send([]);
            // The rest comes whole, and every frame is counted once: as sent if its Terminate was.
            assert!(!sent.is_empty() && sent.iter().all(|s| s.good), "after the fault");
            assert_eq!(bench.counts.iter().sum::<usize>(), 60);
            assert_eq!(bench.counts[..3], [early + sent.len(), 0, 0]);
            assert!(bench.counts[3] > 0);
        }
    }
}

#[test]
fn reset_in_a_frame() {
    let mut random = random(9);
    let mut bench = Bench::new();
    for when in 0..40 {
        bench.queue.extend((0..3).map(|_| Frame::new(random_frame(&mut random, TO, 100))));
        for _ in 0..when {
            bench.cycle();
        }
        bench.reset();
        for _ in 0..20 {
            bench.cycle();
        }
        assert!(bench.line.iter().all(|c| *c == IDLE), "reset after {when} cycles");
        bench.line.clear();
        let frames: Vec<Frame> = (60..64).map(|n| Frame::new(random_frame(&mut random, TO, n))).collect();
        let sent = bench.send(frames.clone());
        compare(&sent, &frames);
        assert_eq!(bench.counts, [4, 0, 0, 0]);
        bench.reset();
    }
}
