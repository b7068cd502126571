//! The submission ring's reader with the read engine behind it: every command, once, in order.

mod common;
mod host_bus;

use common::{random, run};
use host_bus::{background, Manner, Packed, ReadBus};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rust_hdl::prelude::*;
use toe_hdl::host::axi::ReadMaster;
use toe_hdl::host::read::ReadEngine;
use toe_hdl::host::rings::Rings;
use toe_hdl::host::submission::Submission;
use toe_hdl::stream::StreamTx;
use toe_hdl::types::{ChannelRx, ChannelTx, ReadJob, COMMAND_BITS};
use toe_verilate::Dut;

/// Both together.
#[derive(LogicBlock, Default)]
struct Fetch {
    clock: Signal<In, Clock>,
    reset: Signal<In, Bit>,
    halt: Signal<In, Bit>,
    rings: Signal<In, Rings>,
    commands: ChannelTx<Bits<COMMAND_BITS>>,
    consumed: Signal<Out, Bits<32>>,
    bus: ReadMaster,
    payload: ChannelRx<ReadJob>,
    payload_data: StreamTx<64, 8>,
    busy: Signal<Out, Bit>,
    outstanding: Signal<Out, Bit>,
    submission: Submission,
    read: ReadEngine,
}

impl Logic for Fetch {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, submission, read);
        self.submission.reset.next = self.reset.val();
        self.submission.halt.next = self.halt.val();
        self.submission.rings.next = self.rings.val();
        self.read.reset.next = self.reset.val();
        self.read.halt.next = self.halt.val();
        ChannelTx::<ReadJob>::join(&mut self.submission.job, &mut self.read.commands);
        StreamTx::<64, 8>::join(&mut self.read.command_data, &mut self.submission.data);
        ChannelTx::<Bits<COMMAND_BITS>>::link(&mut self.commands, &mut self.submission.commands);
        ChannelRx::<ReadJob>::link(&mut self.payload, &mut self.read.payload);
        StreamTx::<64, 8>::link(&mut self.payload_data, &mut self.read.payload_data);
        ReadMaster::link(&mut self.bus, &mut self.read.bus);
        self.consumed.next = self.submission.consumed.val();
        self.busy.next = self.submission.busy.val() | self.read.busy.val();
        self.outstanding.next = self.read.outstanding.val();
    }
}

struct Bench {
    dut: Dut,
    bus: ReadBus,
    base: u64,
    log2: u32,
    produced: u32,
    taken: u32,
    stall: u32,
}

impl Bench {
    fn new(mut dut: Dut, base: u64, log2: u32, first: u32, manner: Manner) -> Bench {
        dut.set("halt", 0);
        dut.set("payload.valid", 0);
        dut.set("payload_data.ready", 0);
        dut.set("bus.rvalid", 0);
        let mut bench = Bench { dut, bus: ReadBus::new("bus", manner), base, log2, produced: first, taken: first, stall: manner.stall };
        bench.ring(false);
        bench.dut.set("reset", 1);
        bench.dut.tick();
        bench.dut.tick();
        bench.dut.set("reset", 0);
        bench.ring(true);
        bench
    }

    fn ring(&mut self, enable: bool) {
        let words = Packed::default().with(enable.into(), 1).with(self.base, 64).with(self.log2.into(), 5).with(self.produced.into(), 32).words;
        self.dut.set_wide("rings", &words);
    }

    /// The command with that index, as it lies in the ring.
    fn command(&self, index: u32) -> Vec<u64> {
        let at = self.base + u64::from(index & ((1 << self.log2) - 1)) * 32;
        (0..4).map(|w| u64::from_le_bytes(std::array::from_fn(|k| background(at + 8 * w + k as u64)))).collect()
    }

    fn cycle(&mut self, rng: &mut ChaCha8Rng) {
        let ready = rng.random_range(0..100) >= self.stall;
        self.dut.set("commands.ready", ready.into());
        self.bus.before(&mut self.dut, rng);
        assert_eq!(self.dut.get("consumed"), u64::from(self.taken));
        if ready && self.dut.get("commands.valid") == 1 {
            assert!(self.taken != self.produced, "a command that was not written");
            assert_eq!(self.dut.get_wide("commands.data"), self.command(self.taken), "command {}", self.taken);
            self.taken = self.taken.wrapping_add(1);
        }
        self.dut.tick();
    }

    fn finish(&mut self, rng: &mut ChaCha8Rng) {
        let start = self.dut.cycles();
        while self.taken != self.produced {
            assert!(self.dut.cycles() - start < 200_000, "{} of {}", self.taken, self.produced);
            self.cycle(rng);
        }
        for _ in 0..8 {
            self.cycle(rng);
        }
        assert_eq!(self.dut.get("busy"), 0);
    }
}

fn build(first: u32) -> Dut {
    let verilog = toe_hdl::verilog::print("fetch", &Fetch::default()).unwrap_or_else(|e| panic!("{e}"));
    let mut text = verilog.to_string();
    // The indices start at 0 after a reset; to see them wrap, they start elsewhere.
    for name in ["asked", "taken"] {
        let reset = format!("{name}$d = 32'd0");
        assert_eq!(text.matches(&reset).count(), 1, "{name}");
        text = text.replace(&reset, &format!("{name}$d = 32'd{first}"));
    }
    run("fetch", &text)
}

fn doorbells(first: u32, seed: u64) {
    let mut rng = random(seed);
    let mut dut = Some(build(first));
    for (stall, latency) in [(0, 0), (0, 80), (50, 30)] {
        let log2 = rng.random_range(7..=16);
        let base = rng.random::<u64>() >> 3 & !0xfff;
        let mut bench = Bench::new(dut.take().expect("the model"), base, log2, first, Manner { stall, latency });
        for _ in 0..60 {
            bench.produced = bench.produced.wrapping_add(rng.random_range(0..40));
            bench.ring(true);
            for _ in 0..rng.random_range(0..200) {
                bench.cycle(&mut rng);
            }
        }
        bench.finish(&mut rng);
        println!("stall {stall}%, latency {latency}: {} commands in {} bursts", bench.taken.wrapping_sub(first), bench.bus.bursts);
        dut = Some(bench.dut);
    }
}

#[test]
fn every_command_once_in_order() {
    doorbells(0, 41);
}

#[test]
fn indices_wrap() {
    doorbells(0xffff_ff80, 42);
}

#[test]
fn a_command_every_few_cycles() {
    let mut rng = random(43);
    let mut bench = Bench::new(build(0), 0x5000, 7, 0, Manner { stall: 0, latency: 60 });
    bench.produced = 1000;
    bench.ring(true);
    let start = bench.dut.cycles();
    bench.finish(&mut rng);
    let each = (bench.dut.cycles() - start) as f64 / 1000.0;
    println!("{each:.2} cycles a command, 60 cycles of latency");
    assert!(each < 6.0, "{each}");
}

#[test]
fn waits_for_room_and_for_the_switch() {
    let mut rng = random(44);
    let mut bench = Bench::new(build(0), 0x5000, 7, 0, Manner { stall: 0, latency: 10 });
    bench.ring(false);
    bench.produced = 100;
    bench.ring(false);
    for _ in 0..100 {
        bench.cycle(&mut rng);
    }
    assert_eq!(bench.bus.bursts, 0, "the context is off");
    bench.ring(true);
    bench.stall = 100;
    for _ in 0..300 {
        bench.cycle(&mut rng);
    }
    assert_eq!((bench.bus.bursts, bench.dut.get("outstanding")), (4, 0), "32 commands and no more");
    bench.dut.set("halt", 1);
    bench.stall = 0;
    for _ in 0..300 {
        bench.cycle(&mut rng);
    }
    assert_eq!(bench.bus.bursts, 4, "halted");
}
