//! The memory cells against a queue and an array, and their Rust models against their Verilog.

mod common;

use common::{dut, random};
use rand::Rng;
use rust_hdl::prelude::*;
use std::collections::VecDeque;
use toe_hdl::ram::{Fifo, Ram, Skid, StreamFifo, StreamSkid};
use toe_verilate::Dut;

#[test]
fn a_ram_reads_what_was_written_and_holds_it() {
    let mut dut = dut("ram", Ram::<Bits<72>, 5>::default());
    let mut random = random(11);
    let mut words = [[0u64; 2]; 32];
    for (k, word) in words.iter_mut().enumerate() {
        *word = [random.random(), random.random_range(0..256)];
        dut.set("write_enable", 1);
        dut.set("write_address", k as u64);
        dut.set_wide("write_data", word);
        dut.tick();
    }
    let mut out = None;
    for _ in 0..20_000 {
        let (write, read) = (random.random_bool(0.5), random.random_bool(0.7));
        let (to, from) = (random.random_range(0..32usize), random.random_range(0..32usize));
        let word = [random.random(), random.random_range(0..256)];
        dut.set("write_enable", write.into());
        dut.set("write_address", to as u64);
        dut.set_wide("write_data", &word);
        dut.set("read_enable", read.into());
        dut.set("read_address", from as u64);
        dut.tick();
        if read {
            out = Some(words[from]);
        }
        if write {
            words[to] = word;
        }
        if let Some(out) = out {
            assert_eq!(dut.get_wide("read_data"), out);
        }
    }
}

/// How likely a word is offered, and how likely it is taken.
const PACES: [(f64, f64); 5] = [(1.0, 1.0), (0.9, 0.3), (0.3, 0.9), (0.5, 0.5), (1.0, 0.05)];

/// Random traffic through a channel of `width` bits: order, nothing lost, a word that is offered holds. Gives the most
/// words that were inside.
fn traffic(dut: &mut Dut, width: u32, capacity: usize, seed: u64, level: bool) -> usize {
    let mut random = random(seed);
    let mut inside: VecDeque<u64> = VecDeque::new();
    let mut most = 0;
    let mask = u64::MAX >> (64 - width);
    for round in 0..40 {
        let (offer, take) = PACES[round % PACES.len()];
        dut.set("reset", 1);
        dut.set("s.valid", 1);
        dut.tick();
        dut.set("reset", 0);
        dut.set("s.valid", 0);
        inside.clear();
        let mut offered: Option<u64> = None;
        let mut held = None;
        for _ in 0..500 {
            if offered.is_none() && random.random_bool(offer) {
                offered = Some(random.random::<u64>() & mask);
            }
            let ready = random.random_bool(take);
            dut.set("s.valid", offered.is_some().into());
            // What is beside a low `valid` must not matter.
            dut.set("s.data", offered.unwrap_or_else(|| random.random::<u64>() & mask));
            dut.set("m.ready", ready.into());
            dut.eval();
            let valid = dut.get("m.valid") == 1;
            if let Some(held) = held {
                assert_eq!((valid, dut.get("m.data")), (true, held), "an offered word holds");
            }
            if level {
                assert_eq!(dut.get("level"), inside.len() as u64);
            }
            if valid {
                assert_eq!(Some(&dut.get("m.data")), inside.front(), "round {round}");
            }
            held = (valid && !ready).then(|| dut.get("m.data"));
            let accepted = offered.filter(|_| dut.get("s.ready") == 1);
            if valid && ready {
                inside.pop_front();
            }
            if let Some(word) = accepted {
                inside.push_back(word);
                offered = None;
            }
            most = most.max(inside.len());
            assert!(inside.len() <= capacity);
            dut.tick();
        }
    }
    most
}

#[test]
fn a_fifo_keeps_order_at_every_depth() {
    assert_eq!(traffic(&mut dut("fifo", Fifo::<Bits<33>, 1, 2>::default()), 33, 2, 21, true), 2);
    assert_eq!(traffic(&mut dut("fifo", Fifo::<Bits<8>, 4, 5>::default()), 8, 16, 22, true), 16);
    assert_eq!(traffic(&mut dut("fifo", Fifo::<Bits<64>, 7, 8>::default()), 64, 128, 23, true), 128);
}

#[test]
fn a_skid_buffer_holds_two() {
    assert_eq!(traffic(&mut dut("skid", Skid::<Bits<40>>::default()), 40, 2, 31, false), 2);
}

#[test]
fn an_empty_fifo_takes_one_cycle_and_a_full_stream_never_stops() {
    let mut dut = dut("fifo", Fifo::<Bits<16>, 4, 5>::default());
    dut.set("m.ready", 1);
    for k in 0..200u64 {
        dut.set("s.valid", 1);
        dut.set("s.data", k);
        dut.tick();
        assert_eq!((dut.get("m.valid"), dut.get("m.data"), dut.get("s.ready")), (1, k, 1));
    }
    // A queue that has filled gives a word in every cycle as well.
    dut.set("m.ready", 0);
    for k in 200..210 {
        dut.set("s.data", k);
        dut.tick();
    }
    dut.set("m.ready", 1);
    for k in 199..260 {
        assert_eq!((dut.get("m.valid"), dut.get("m.data")), (1, k));
        dut.set("s.data", k + 11);
        dut.tick();
    }
}

#[test]
fn streams_keep_their_beats_whole() {
    let mut fifo = dut("stream_fifo", StreamFifo::<4, 5>::default());
    let mut skid = dut("stream_skid", StreamSkid::default());
    let mut random = random(41);
    for dut in [&mut fifo, &mut skid] {
        dut.set("reset", 1);
        dut.tick();
        dut.set("reset", 0);
        let mut inside = VecDeque::new();
        for _ in 0..2000 {
            let beat = [random.random(), random.random_range(0..256), random.random_range(0..2), random.random_range(0..2u64)];
            for (name, value) in ["s.data", "s.keep", "s.last", "s.error"].into_iter().zip(beat) {
                dut.set(name, value);
            }
            let (offered, ready) = (random.random_bool(0.7), random.random_bool(0.6));
            dut.set("s.valid", offered.into());
            dut.set("m.ready", ready.into());
            dut.eval();
            if dut.get("m.valid") == 1 {
                let out = ["m.data", "m.keep", "m.last", "m.error"].map(|name| dut.get(name));
                assert_eq!(Some(&out), inside.front());
                if ready {
                    inside.pop_front();
                }
            }
            if offered && dut.get("s.ready") == 1 {
                inside.push_back(beat);
            }
            dut.tick();
        }
    }
}

/// One cycle of a block in RustHDL's simulator.
macro_rules! cycle {
    ($uut:expr) => {
        $uut.clock.next = false.into();
        assert!(simulate(&mut $uut, 20));
        $uut.clock.next = true.into();
        assert!(simulate(&mut $uut, 20));
    };
}

#[test]
fn the_rust_model_of_the_ram_is_its_verilog() {
    let mut rust = Ram::<Bits<20>, 3>::default();
    rust.connect_all();
    let mut verilog = dut("ram", Ram::<Bits<20>, 3>::default());
    let mut random = random(51);
    for k in 0..2000u64 {
        let (write, read) = (k < 8 || random.random_bool(0.5), k >= 8 && random.random_bool(0.5));
        let to = if k < 8 { k } else { random.random_range(0..8) };
        let (from, word) = (random.random_range(0..8u64), random.random_range(0..1u64 << 20));
        rust.write_enable.next = write;
        rust.write_address.next = to.into();
        rust.write_data.next = word.into();
        rust.read_enable.next = read;
        rust.read_address.next = from.into();
        cycle!(rust);
        verilog.set("write_enable", write.into());
        verilog.set("write_address", to);
        verilog.set("write_data", word);
        verilog.set("read_enable", read.into());
        verilog.set("read_address", from);
        verilog.tick();
        if k > 40 {
            assert_eq!(rust.read_data.val().to_u64(), verilog.get("read_data"), "cycle {k}");
        }
    }
}

#[test]
fn the_rust_model_of_the_fifo_is_its_verilog() {
    let mut rust = Fifo::<Bits<20>, 2, 3>::default();
    rust.connect_all();
    let mut verilog = dut("fifo", Fifo::<Bits<20>, 2, 3>::default());
    let mut random = random(52);
    for k in 0..2000u64 {
        let (reset, offered, ready) = (k == 0 || random.random_bool(0.01), random.random_bool(0.6), random.random_bool(0.5));
        let word = random.random_range(0..1u64 << 20);
        rust.reset.next = reset;
        rust.s.valid.next = offered;
        rust.s.data.next = word.into();
        rust.m.ready.next = ready;
        cycle!(rust);
        verilog.set("reset", reset.into());
        verilog.set("s.valid", offered.into());
        verilog.set("s.data", word);
        verilog.set("m.ready", ready.into());
        verilog.tick();
        assert_eq!(u64::from(rust.m.valid.val()), verilog.get("m.valid"), "cycle {k}");
        assert_eq!(u64::from(rust.s.ready.val()), verilog.get("s.ready"), "cycle {k}");
        assert_eq!(rust.level.val().to_u64(), verilog.get("level"), "cycle {k}");
        if rust.m.valid.val() {
            assert_eq!(rust.m.data.val().to_u64(), verilog.get("m.data"), "cycle {k}");
        }
    }
}
