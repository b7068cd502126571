//! Transmitter to receiver: what goes in comes out, at line rate, whatever lane the wire turns the words to.

mod common;
mod mac_wire;

use common::{dut, random};
use mac_wire::{characters, random_frame, random_length, Character, Line, IDLE};
use rand::Rng;
use toe_hdl::mac::{rx::XgmiiRx, tx::XgmiiTx};
use toe_verilate::Dut;

const BROADCAST: [u8; 6] = [0xFF; 6];

/// Both ends, and a wire that holds back `delay` characters.
struct Link {
    tx: Dut,
    rx: Dut,
    wire: Line,
    received: Vec<(Vec<u8>, bool)>,
    open: Vec<u8>,
}

impl Link {
    fn new(delay: usize) -> Link {
        let (mut tx, mut rx) = (dut("xgmii_tx", XgmiiTx::default()), dut("xgmii_rx", XgmiiRx::default()));
        for name in ["s.valid", "local_fault", "remote_fault"] {
            tx.set(name, 0);
        }
        for (name, value) in [("max_frame", 9618), ("local_mac", 0), ("promiscuous", 0), ("multicast", 0), ("m.ready", 0), ("rxd", 0), ("rxc", 0)] {
            rx.set(name, value);
        }
        for dut in [&mut tx, &mut rx] {
            dut.set("reset", 1);
            dut.tick();
            dut.set("reset", 0);
        }
        let mut wire = Line::default();
        wire.put(&vec![IDLE; delay]);
        Link { tx, rx, wire, received: vec![], open: vec![] }
    }
    fn cycle(&mut self) {
        self.tx.tick();
        let sent: [Character; 8] = characters(self.tx.get("txd"), self.tx.get("txc"));
        self.wire.put(&sent);
        let rest = self.wire.0.split_off(8);
        let (d, c) = std::mem::replace(&mut self.wire, Line(rest)).words()[0];
        self.rx.set("rxd", d);
        self.rx.set("rxc", u64::from(c));
        self.rx.tick();
        if self.rx.get("m.valid") == 1 {
            let n = self.rx.get("m.keep").count_ones() as usize;
            self.open.extend_from_slice(&self.rx.get("m.data").to_le_bytes()[..n]);
            if self.rx.get("m.last") == 1 {
                self.received.push((std::mem::take(&mut self.open), self.rx.get("m.error") == 1));
            }
        }
    }
    /// Sends a frame as fast as it is taken.
    fn send(&mut self, frame: &[u8], error: bool) {
        let mut beats = frame.chunks(8);
        let mut deadline = frame.len() / 8 + 30;
        while let Some(beat) = beats.clone().next() {
            let mut word = [0; 8];
            word[..beat.len()].copy_from_slice(beat);
            let last = beats.len() == 1;
            self.tx.set("s.data", u64::from_le_bytes(word));
            self.tx.set("s.keep", (1 << beat.len()) - 1);
            self.tx.set("s.last", u64::from(last));
            self.tx.set("s.error", u64::from(last && error));
            self.tx.set("s.valid", 1);
            self.tx.eval();
            let taken = self.tx.get("s.ready") == 1;
            self.cycle();
            if taken {
                beats.next();
            }
            deadline -= 1;
            assert!(deadline > 0, "a frame of {} octets is not taken", frame.len());
        }
        self.tx.set("s.valid", 0);
    }
}

#[test]
fn frames_come_through_at_line_rate() {
    let mut random = random(1);
    for delay in [0, 4] {
        let mut link = Link::new(delay);
        let frames: Vec<Vec<u8>> = (6..200)
            .chain((0..300).map(|_| random_length(&mut *random)).collect::<Vec<_>>())
            .chain([9600, 9618])
            .map(|n| random_frame(&mut random, BROADCAST, n))
            .collect();
        let errors: Vec<bool> = frames.iter().map(|_| random.random_bool(0.1)).collect();
        let from = link.tx.cycles();
        for (frame, error) in frames.iter().zip(&errors) {
            link.send(frame, *error);
        }
        let cycles = link.tx.cycles() - from;
        for _ in 0..30 {
            link.cycle();
        }
        let octets: usize = frames.iter().map(|f| f.len().max(60) + 4 + 8 + 12).sum();
        assert!(8 * cycles <= octets as u64 + 8, "{cycles} cycles for {octets} octets of wire");
        assert_eq!(link.received.len(), frames.len());
        for ((frame, error), (octets, bad)) in frames.iter().zip(&errors).zip(&link.received) {
            assert_eq!(bad, error, "a frame of {} octets", frame.len());
            if !bad {
                assert_eq!(octets[..frame.len()], frame[..]);
                assert!(octets.len() == frame.len().max(60) && octets[frame.len()..].iter().all(|o| *o == 0));
            }
        }
    }
}

#[test]
fn a_broken_link_is_told_to_the_other_end() {
    // Each end of a link is a receiver and a transmitter; here only one way is broken.
    let mut link = Link::new(0);
    link.tx.set("local_fault", 1);
    for _ in 0..20 {
        link.cycle();
    }
    assert_eq!((link.rx.get("local_fault"), link.rx.get("remote_fault")), (0, 1));
    link.tx.set("local_fault", 0);
    for _ in 0..90 {
        link.cycle();
    }
    assert_eq!((link.rx.get("local_fault"), link.rx.get("remote_fault")), (0, 0));
}
