//! The flow core in Verilator, against a reading of `docs/engine.md` in plain Rust.

mod common;
mod flow_core_bench;

use flow_core_bench::bench::{Bench, Pressure, CLASSES, COUNTERS, PLAN, SEGMENT};
use flow_core_bench::stimulus::{installation, Setup};
use flow_core_bench::wire::LookedUp;
use rand::Rng;
use std::collections::BTreeMap;
use toe_contract::command::{self, Command, Opcode};

const NONE: Pressure = Pressure { ready: 100, event_room: 100, fetched: 100 };

/// A flow that takes and sends a lot.
const PLAIN: Setup = Setup {
    rcv_nxt: 0xffff_ff00,
    window: 1 << 16,
    snd_una: 0xffff_fe00,
    limit: 0xffff_fe00,
    snd_wnd: 1 << 20,
    cwnd: 1 << 20,
    snd_mss: 1448,
    rcv_mss: 1448,
    snd_wscale: 2,
    rcv_wscale: 2,
    log2: 16,
    flags: 0,
    fin: false,
    quiet: false,
};

fn advance(bench: &mut Bench) {
    let by = match bench.random.random_range(0..200) {
        0 => 1 << 19,
        1 => 1000,
        2..20 => bench.random.random_range(0..100),
        _ => u32::from(bench.random.random_ratio(1, 4)),
    };
    bench.now.tick = bench.now.tick.wrapping_add(by);
    bench.now.timestamp = bench.now.timestamp.wrapping_add(u32::from(by > 50));
}

fn stimulate(bench: &mut Bench) {
    if bench.random.random_ratio(2, 5) {
        let more = bench.any_commands();
        bench.commands.extend(more);
    } else {
        let flow = bench.any_flow();
        let segment = bench.any_segment(flow);
        bench.segments.push_back(segment);
    }
}

/// The stimulus is worth nothing if it does not get everywhere.
fn assert_reached(seen: &BTreeMap<&'static str, u64>, counts: &BTreeMap<&'static str, u64>) {
    for what in [
        "ACK muted",
        "ACK owed",
        "FIN below what is held",
        "FIN learned",
        "FIN received",
        "FIN received by data",
        "PLAN hands the ACK on",
        "delayed ACK armed",
        "delayed ACK due",
        "delayed ACK put off",
        "in order, joins one",
        "in order, joins several",
        "in order, no range",
        "limited ACK sent",
        "limited ACK suppressed",
        "muted ACK released",
        "out of order, joins one",
        "out of order, joins several",
        "out of order, new range",
        "window probe",
        "window probe sent",
    ] {
        assert!(seen.contains_key(what), "{what}: never");
    }
    for name in COUNTERS {
        assert!(counts.contains_key(name), "{name}: never");
    }
}

/// One stimulus at a time, everything settled in between: the order of operations is fixed.
#[test]
fn one_stimulus_at_a_time() {
    let mut bench = Bench::new(1, NONE);
    for _ in 0..10_000 {
        advance(&mut bench);
        stimulate(&mut bench);
        bench.quiesce();
    }
}

fn merge(into: &mut BTreeMap<&'static str, u64>, from: &BTreeMap<&'static str, u64>) {
    for (name, count) in from {
        *into.entry(name).or_default() += count;
    }
}

/// Segment `k` of six bytes, in order, on a flow that was installed [`PLAIN`].
fn small_segment(bench: &Bench, flow: u16, k: u32) -> LookedUp {
    LookedUp {
        length: 60,
        fast: true,
        payload_offset: 54,
        payload_length: 6,
        seq: PLAIN.rcv_nxt.wrapping_add(6 * k),
        ack: PLAIN.snd_una,
        control: 0x10,
        window: 1 << 14,
        hit: true,
        flow,
        generation: bench.reference.flows[usize::from(flow)].generation,
        ..LookedUp::default()
    }
}

/// An ACK goes out before it is due, and the next is owed from then on: when the first would have been due, the flow is queued again. Chance
/// seldom meets that.
fn put_off_a_delayed_ack(bench: &mut Bench) {
    let wait = |bench: &mut Bench, ticks: u32| {
        bench.now.tick = bench.now.tick.wrapping_add(ticks);
        bench.quiesce();
    };
    let count = |bench: &Bench| bench.reference.seen.get("delayed ACK put off").copied().unwrap_or(0);
    wait(bench, 10_000);
    bench.commands.push_back(Command::new(Opcode::Remove, 3, 0));
    bench.quiesce();
    install(bench, 3, &PLAIN);
    let (before, delay) = (count(bench), bench.now.delayed_ack);
    let first = small_segment(bench, 3, 0);
    bench.segments.push_back(first);
    bench.quiesce();
    bench.commands.push_back(Command::new(Opcode::AckNow, 3, 0));
    wait(bench, 100);
    let second = small_segment(bench, 3, 1);
    bench.segments.push_back(second);
    wait(bench, 100);
    wait(bench, delay - 200);
    assert_eq!(count(bench), before + 1);
    wait(bench, 200);
}

/// Everything at once, under pressure from every side; the reference follows the operations that the core begins.
#[test]
fn everything_at_once_under_pressure() {
    let (mut seen, mut counts) = (BTreeMap::new(), BTreeMap::new());
    for (seed, pressure) in [
        (2, Pressure { ready: 60, event_room: 90, fetched: 30 }),
        (3, Pressure { ready: 10, event_room: 30, fetched: 5 }),
        (4, NONE),
        (5, Pressure { ready: 100, event_room: 3, fetched: 2 }),
    ] {
        let mut bench = Bench::new(seed, pressure);
        for _ in 0..120 {
            for _ in 0..bench.random.random_range(1..1500) {
                advance(&mut bench);
                if bench.segments.len() < 4 && bench.commands.len() < 6 && bench.random.random_ratio(1, 12) {
                    stimulate(&mut bench);
                }
                bench.cycle();
            }
            bench.quiesce();
        }
        put_off_a_delayed_ack(&mut bench);
        merge(&mut seen, &bench.reference.seen);
        merge(&mut counts, &bench.reference.counts);
        println!("{pressure:?}: shortest and longest distance to the next operation");
        for (class, (least, most)) in &bench.cycles {
            println!("  {:8} {least:4} {most:4}", CLASSES[*class]);
        }
    }
    println!("{seen:#?} {counts:#?}");
    assert_reached(&seen, &counts);
}

/// Reset at any moment leaves an empty core: what was installed is refused, what was queued is gone.
#[test]
fn reset_in_the_middle() {
    let mut bench = Bench::new(6, Pressure { ready: 50, event_room: 50, fetched: 20 });
    for _ in 0..150 {
        for _ in 0..bench.random.random_range(1..400) {
            if bench.segments.len() < 4 && bench.commands.len() < 6 {
                stimulate(&mut bench);
            }
            advance(&mut bench);
            bench.cycle();
        }
        bench.reset();
        bench.load_all();
        for _ in 0..10 {
            stimulate(&mut bench);
        }
        bench.quiesce();
    }
}

/// A short window full of short segments: ranges are made, joined, filled and exhausted.
#[test]
fn ranges_in_every_situation() {
    let mut bench = Bench::new(9, NONE);
    for round in 0..120 {
        let flow = round % 8;
        let setup = Setup { window: 300, rcv_mss: 40, log2: 12, rcv_wscale: 0, rcv_nxt: 0u32.wrapping_sub(bench.random.random_range(0..600)), ..PLAIN };
        install(&mut bench, flow, &setup);
        let fin_at = bench.random.random_range(100..900);
        for _ in 0..150 {
            let f = bench.reference.flows[usize::from(flow)].clone();
            let at = if bench.random.random_ratio(1, 8) { 0 } else { bench.random.random_range(-10..310) };
            let seq = f.rcv_nxt.wrapping_add_signed(at);
            let start = seq.wrapping_sub(setup.rcv_nxt).cast_signed();
            let len = bench.random.random_range(0..20).min(fin_at - start).max(0);
            // Now and then a FIN where none can be.
            let fin = start + len == fin_at || bench.random.random_ratio(1, 100);
            bench.segments.push_back(LookedUp {
                length: 200,
                fast: true,
                payload_offset: 54,
                payload_length: u16::try_from(len).expect("short"),
                seq,
                ack: setup.snd_una,
                control: 0x10 | u8::from(fin),
                window: 100,
                hit: true,
                flow,
                generation: f.generation,
                ..LookedUp::default()
            });
            if bench.random.random_ratio(1, 10) {
                bench.commands.push_back(Command::new(Opcode::Consumed, flow, command::REARM).with(command::CONSUMED_RCV_CONSUMED, f.rcv_nxt.into()));
            }
            bench.quiesce();
        }
        bench.commands.push_back(Command::new(Opcode::Remove, flow, 0));
        bench.quiesce();
    }
    let r = &bench.reference;
    for what in ["in order, joins several", "out of order, joins several", "FIN below what is held", "FIN received", "FIN received by data"] {
        assert!(r.seen.get(what).is_some_and(|n| *n > 10), "{what}");
    }
    assert!(r.counts["rx_no_range"] > 100);
}

/// Installs a flow and settles.
fn install(bench: &mut Bench, flow: u16, setup: &Setup) {
    for _ in 0..100 {
        bench.commands.extend(installation(flow, setup, 2));
        bench.quiesce();
        if bench.reference.flows[usize::from(flow)].active {
            return;
        }
    }
    panic!("the table refused a hundred times");
}

/// The smallest segments, back to back, in order: the rate of 10G Ethernet is one every 10.5 cycles.
#[test]
fn a_segment_takes_ten_cycles_at_most() {
    let mut bench = Bench::new(7, NONE);
    install(&mut bench, 3, &PLAIN);
    for k in 0..2000 {
        let segment = small_segment(&bench, 3, k);
        bench.segments.push_back(segment);
    }
    bench.cycles.clear();
    bench.quiesce();
    let (least, most) = bench.cycles[&SEGMENT];
    println!("SEGMENT: {least} to {most} cycles");
    assert_eq!((least, most), (10, 10), "cycles from one to the next");
    assert_eq!(bench.reference.counts["rx_in_order"], 2000);
}

/// A flow with a lot to send plans a segment every ten cycles while nothing else is to be done.
#[test]
fn other_classes_take_ten_cycles_at_most() {
    let mut bench = Bench::new(8, Pressure { ready: 100, event_room: 100, fetched: 100 });
    for flow in 0..8 {
        install(&mut bench, flow, &PLAIN);
    }
    bench.cycles.clear();
    for flow in 0..8 {
        bench.commands.push_back(Command::new(Opcode::Send, flow, command::REARM).with(command::SEND_LIMIT, PLAIN.limit.wrapping_add(60_000).into()));
        bench.commands.push_back(Command::new(Opcode::AckNow, flow, 0));
    }
    bench.quiesce();
    for (class, (least, most)) in &bench.cycles {
        println!("{:8} {least:4} {most:4}", CLASSES[*class]);
        assert!(*most <= 10, "{}: {most} cycles", CLASSES[*class]);
    }
    assert!(bench.cycles[&PLAN].0 <= 10);
}
