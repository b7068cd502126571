//! Link fault signalling of the receiver, against clause 46.3.4 of IEEE 802.3 taken column by column.

mod common;
mod mac_wire;

use common::{dut, random};
use mac_wire::{Character, Line, IDLE, SEQUENCE};
use rand::Rng;
use toe_hdl::mac::rx::XgmiiRx;
use Character::Data;

/// Clause 46.3.4, column by column.
#[derive(Default)]
struct Fault {
    sequences: usize,
    remote: bool,
    quiet: usize,
    link_fault: Option<bool>,
}

impl Fault {
    /// `column` is the kind of its ordered set, remote or not.
    fn step(&mut self, column: Option<bool>) {
        let Some(remote) = column else {
            self.quiet += 1;
            if self.quiet >= 128 {
                (self.sequences, self.link_fault) = (0, None);
            }
            return;
        };
        self.sequences = if self.sequences > 0 && self.remote == remote { self.sequences + 1 } else { 1 };
        (self.remote, self.quiet) = (remote, 0);
        if self.sequences >= 4 {
            self.link_fault = Some(remote);
        }
    }
}

#[test]
fn link_faults() {
    let mut random = random(12);
    let mut dut = dut("xgmii_rx", XgmiiRx::default());
    dut.set("reset", 1);
    dut.tick();
    dut.set("reset", 0);
    let (mut columns, mut kind) = (vec![], false);
    while columns.len() < 400_000 {
        let mean = [1, 3, 60, 126, 127, 128, 129, 400][random.random_range(0..8)];
        let until = columns.len() + 3000;
        while columns.len() < until {
            kind ^= random.random_bool(0.05);
            columns.push(Some(kind));
            let quiet = if random.random_bool(0.9) { mean - 1 } else { random.random_range(0..mean) };
            columns.extend(std::iter::repeat_n(None, quiet));
        }
    }
    let mut fault = Fault::default();
    let mut states = vec![];
    let mut seen = [0usize; 3];
    for pair in columns.chunks_exact(2) {
        let mut line = Line::default();
        for column in pair {
            let set = |kind| [SEQUENCE, Data(0), Data(0), Data(kind)];
            // What is nearly an ordered set is none.
            let none = [[IDLE; 4], [SEQUENCE, Data(0), Data(1), Data(1)], [SEQUENCE, Data(0), Data(0), Data(3)], [Data(0x9C), Data(0), Data(0), Data(1)]];
            line.put(&match column {
                Some(remote) => set(1 + u8::from(*remote)),
                None => none[usize::from(random.random_bool(0.05)) * random.random_range(0..4)],
            });
            fault.step(*column);
        }
        states.push(fault.link_fault);
        let (d, c) = line.words()[0];
        dut.set("rxd", d);
        dut.set("rxc", u64::from(c));
        dut.tick();
        // One cycle to decode, one to count.
        if let Some(expected) = states.len().checked_sub(2).map(|k| states[k]) {
            let got = (dut.get("local_fault"), dut.get("remote_fault"));
            let want = (u64::from(expected == Some(false)), u64::from(expected == Some(true)));
            assert_eq!(got, want, "word {}", states.len());
            seen[usize::from(expected.is_some()) + usize::from(expected == Some(true))] += 1;
        }
    }
    assert!(seen.iter().all(|n| *n > 1000), "{seen:?}");
}
