//! Bench of the receiver: what a station makes of a line, and the receiver in Verilator.

pub(crate) mod reference;

use super::common::dut;
use super::mac_wire::Line;
use reference::{expected, Expected, Station, Verdict, OWN, PULSES};
use toe_hdl::mac::rx::XgmiiRx;
use toe_verilate::{Dut, Port};

/// A frame that came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) octets: Vec<u8>,
    pub(crate) error: bool,
    /// Cycle in which its last beat was there.
    pub(crate) at: usize,
}

pub(crate) struct Bench {
    dut: Dut,
    rxd: Port,
    rxc: Port,
    data: Port,
    keep: Port,
    last: Port,
    pub(crate) error: Port,
    valid: Port,
    pulses: [Port; 7],
    bytes: Port,
    pub(crate) counts: [usize; 7],
    pub(crate) octets: u64,
    pub(crate) frames: Vec<Received>,
    open: Vec<u8>,
    pub(crate) cycle: usize,
}

impl Bench {
    pub(crate) fn new(station: &Station) -> Bench {
        let mut dut = dut("xgmii_rx", XgmiiRx::default());
        let address = OWN.iter().rev().fold(0, |a, o| a << 8 | u64::from(*o));
        dut.set("local_mac", address);
        dut.set("m.ready", 0);
        let port = |name: &str| dut.port(name);
        let (rxd, rxc, data, keep, last) = (port("rxd"), port("rxc"), port("m.data"), port("m.keep"), port("m.last"));
        let (error, valid, bytes) = (port("m.error"), port("m.valid"), port("mac_rx_bytes"));
        let pulses = PULSES.map(|(_, name)| port(name));
        let (counts, frames, open) = ([0; 7], vec![], vec![]);
        let mut bench = Bench { dut, rxd, rxc, data, keep, last, error, valid, pulses, bytes, counts, octets: 0, frames, open, cycle: 0 };
        bench.set(station);
        bench.reset();
        bench
    }
    fn set(&mut self, station: &Station) {
        self.dut.set("max_frame", station.max_frame as u64);
        self.dut.set("promiscuous", u64::from(station.promiscuous));
        self.dut.set("multicast", u64::from(station.multicast));
    }
    /// One cycle of reset; what was on its way is lost.
    pub(crate) fn reset(&mut self) {
        self.dut.set("reset", 1);
        self.dut.set(self.rxd, u64::from_le_bytes([7; 8]));
        self.dut.set(self.rxc, 0xFF);
        self.dut.tick();
        self.dut.set("reset", 0);
        self.cycle += 1;
        self.open.clear();
        assert_eq!(self.dut.get(self.valid), 0, "valid in reset");
    }
    pub(crate) fn word(&mut self, d: u64, c: u8) {
        self.dut.set(self.rxd, d);
        self.dut.set(self.rxc, u64::from(c));
        self.dut.tick();
        self.cycle += 1;
        for (count, port) in self.counts.iter_mut().zip(self.pulses) {
            *count += usize::from(self.dut.get(port) == 1);
        }
        if self.dut.get(self.pulses[0]) == 1 {
            self.octets += self.dut.get(self.bytes);
        }
        if self.dut.get(self.valid) == 1 {
            let keep = self.dut.get(self.keep);
            let last = self.dut.get(self.last) == 1;
            let n = keep.trailing_ones() as usize;
            assert!(n > 0 && keep >> n == 0 && (last || n == 8), "keep {keep:#x}, last {last}");
            self.open.extend_from_slice(&self.dut.get(self.data).to_le_bytes()[..n]);
            if last {
                let (octets, error) = (std::mem::take(&mut self.open), self.dut.get(self.error) == 1);
                self.frames.push(Received { octets, error, at: self.cycle });
            }
        }
    }
    pub(crate) fn line(&mut self, line: &Line) {
        for (d, c) in line.words() {
            self.word(d, c);
        }
    }
    pub(crate) fn idle(&mut self, words: usize) {
        for _ in 0..words {
            self.word(u64::from_le_bytes([7; 8]), 0xFF);
        }
    }
    /// Sends a line and compares everything with what a reader of it expects; gives that.
    pub(crate) fn check(&mut self, line: &Line, station: &Station) -> Vec<Expected> {
        self.set(station);
        self.idle(4);
        let start = self.cycle;
        self.line(line);
        self.idle(12);
        let all = expected(&line.0, station);
        let (counts, octets) = (std::mem::take(&mut self.counts), std::mem::take(&mut self.octets));
        for ((verdict, name), count) in PULSES.iter().zip(counts) {
            assert_eq!(count, all.iter().filter(|e| e.verdict == *verdict).count(), "{name}: {station:?}");
        }
        let good = all.iter().filter(|e| e.verdict == Verdict::Good);
        assert_eq!(octets, good.map(|e| e.octets.len() as u64 - 4).sum::<u64>(), "mac_rx_bytes");
        let out: Vec<&Expected> = all.iter().filter(|e| e.beats).collect();
        let frames = std::mem::take(&mut self.frames);
        assert_eq!(frames.len(), out.len(), "frames with beats");
        for (k, (frame, expected)) in frames.iter().zip(&out).enumerate() {
            let good = expected.verdict == Verdict::Good;
            assert_eq!(frame.error, !good, "frame {k}: {:?}", expected.verdict);
            if good {
                assert_eq!(frame.octets, expected.octets[..expected.octets.len() - 4], "frame {k}");
                self.check_latency(expected, frame.at - start);
            } else {
                assert!(expected.octets.starts_with(&frame.octets), "frame {k}: {:?}", expected.verdict);
                assert!(frame.octets.len() <= station.max_frame + 4, "frame {k}: {} octets", frame.octets.len());
            }
        }
        assert!(self.open.is_empty(), "a frame without an end");
        all
    }
    /// From the word with Terminate to the last beat: 5 or 6 cycles, as the receiver's head says.
    fn check_latency(&self, expected: &Expected, at: usize) {
        let lane = expected.octets.len() % 8;
        let upper = (expected.end - lane) % 8 == 4;
        let cycles = 5 + usize::from(lane > 4) + usize::from(upper && lane < 4);
        assert_eq!(at - expected.end / 8, cycles, "{} octets, from lane {}", expected.octets.len(), if upper { 4 } else { 0 });
    }
}
