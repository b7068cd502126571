//! The whole transmit side: frames against `etherparse`, reads, seals and markers in order, and how long things take.

mod common;
mod host_bus;
mod transmit_world;

use common::random;
use rand::Rng;
use transmit_world::{Pace, World};

/// Tag and timestamps: headers of 54, 58, 66 and 70 bytes.
const FORMS: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

const PACES: [Pace; 4] = [
    Pace { core: 0, memory: 0, latency: (0, 0), mac: 0, receive: 0 },
    Pace { core: 20, memory: 30, latency: (5, 200), mac: 40, receive: 50 },
    Pace { core: 60, memory: 0, latency: (100, 100), mac: 0, receive: 95 },
    Pace { core: 0, memory: 70, latency: (0, 30), mac: 80, receive: 0 },
];

#[test]
fn every_length_with_every_header() {
    let mut world = World::new(random(61), PACES[0]);
    for length in 0..=1460 {
        world.pace = if length % 2 == 0 { PACES[0] } else { PACES[1] };
        for (tag, stamps) in FORMS {
            world.segment(length, tag, stamps);
        }
        if length % 20 == 0 {
            world.run(100_000);
        }
    }
    for (k, length) in (8940..=8964).chain([9548, 16_383]).enumerate() {
        let (tag, stamps) = FORMS[k % 4];
        world.segment(length, tag, stamps);
    }
    world.run(1_000_000);
}

#[test]
fn everything_at_once_at_every_pace() {
    let mut world = World::new(random(62), PACES[0]);
    for pace in PACES {
        world.pace = pace;
        for _ in 0..60 {
            for _ in 0..world.rng.random_range(1..40) {
                let tag = world.rng.random();
                let stamps = world.rng.random();
                let length = match world.rng.random_range(0..3) {
                    0 => world.rng.random_range(0..=40),
                    1 => world.rng.random_range(0..=1460),
                    _ => world.rng.random_range(0..=9000),
                };
                match world.rng.random_range(0..12) {
                    0..=3 => world.segment(length, tag, stamps),
                    4..=6 => world.ack(tag, stamps),
                    7 => world.removed(),
                    8 => world.inject(length.max(14)),
                    9 => world.raw(length.max(14), None),
                    _ => world.raw_segment(length.min(1460), tag, stamps),
                }
            }
            world.run(1_000_000);
        }
    }
}

#[test]
fn a_checksum_from_anywhere_to_anywhere() {
    let mut world = World::new(random(63), PACES[1]);
    for round in 0..3000 {
        let length: u64 = if round % 2 == 0 { world.rng.random_range(14..=40) } else { world.rng.random_range(14..=1514) };
        let start = world.rng.random_range(0..usize::try_from(length).unwrap());
        let offset = world.rng.random_range(0..usize::try_from(length).unwrap() - 1);
        world.raw(length, Some((start, offset)));
        if round % 50 == 49 {
            world.run(100_000);
        }
    }
}

#[test]
fn back_to_back_without_a_gap() {
    let mut world = World::new(random(64), Pace { latency: (100, 100), ..PACES[0] });
    // Payload, header, beats of the frame: the steady state takes just as many cycles.
    for (length, (tag, stamps)) in [(1448, FORMS[2]), (1460, FORMS[0]), (1456, FORMS[1]), (1444, FORMS[3]), (8948, FORMS[2]), (2, FORMS[0]), (536, FORMS[2])] {
        world.reset();
        for _ in 0..64 {
            world.segment(length, tag, stamps);
        }
        world.run(1_000_000);
        let frame = length + [54, 66][usize::from(stamps)] + if tag { 4 } else { 0 };
        let times = &world.times()[32..];
        let (first, last) = (times[0].0, times[times.len() - 1].0);
        let cycles = (last - first) as f64 / (times.len() - 1) as f64;
        println!("payload {length}, frame {frame}: {cycles} cycles a frame, {} beats; {} reads at once", frame.div_ceil(8), world.most_reads);
        assert_eq!(last - first, frame.div_ceil(8) * (times.len() as u64 - 1));
    }
}

#[test]
fn acks_without_a_gap_and_at_once() {
    let mut world = World::new(random(65), PACES[0]);
    for (form, beats) in FORMS.into_iter().zip([7, 8, 9, 9]) {
        world.reset();
        for _ in 0..4 {
            world.step();
        }
        let start = world.dut.cycles();
        for _ in 0..10 {
            world.ack(form.0, form.1);
        }
        world.run(1000);
        println!("tag {}, timestamps {}: {} cycles from ACK to first beat", form.0, form.1, world.times()[0].0 - start);
        assert_eq!(world.times()[0].0 - start, 2);
        assert!(world.times().windows(2).all(|t| t[1].0 - t[0].0 == beats));
    }
}

#[test]
fn an_ack_overtakes_what_waits() {
    let mut world = World::new(random(66), Pace { latency: (400, 400), ..PACES[0] });
    world.segment(1000, false, true);
    for _ in 0..50 {
        world.step();
    }
    world.ack(false, true);
    for _ in 0..12 {
        world.step();
    }
    assert_eq!(world.times().len(), 1, "the ACK is out while the payload is on its way");
    world.run(2000);
}

#[test]
fn reads_are_many_at_once_and_never_more_than_there_is_room() {
    let mut world = World::new(random(67), Pace { latency: (3000, 3000), ..PACES[0] });
    for _ in 0..100 {
        world.segment(1448, false, true);
    }
    world.run(100_000);
    println!("{} reads, {} bytes on their way at once", world.most_reads, world.most_bytes);
    assert_eq!(world.most_reads, 32_768 / 1448);
    // 32 jobs wait in a queue and one in front of it, the oldest counts as taken from there when its bytes come.
    world.reset();
    for _ in 0..100 {
        world.segment(100, true, false);
    }
    world.run(100_000);
    assert!((32..=34).contains(&world.most_reads), "{} reads", world.most_reads);
}

#[test]
fn a_stuck_receive_side_stops_no_ack() {
    let mut world = World::new(random(68), Pace { receive: 100, ..PACES[0] });
    world.segment(700, true, true);
    world.inject(900);
    world.segment(100, false, false);
    for _ in 0..2000 {
        world.step();
    }
    assert_eq!(world.times().len(), 1, "the segment before the injected frame is out");
    world.ack(false, false);
    for _ in 0..12 {
        world.step();
    }
    assert_eq!(world.times().len(), 2, "so is the ACK");
    world.pace.receive = 0;
    world.run(2000);
    // A frame so short that it is out of the buffer although it is stuck: the segment behind it may not begin without its payload.
    world.pace.receive = 100;
    world.inject(16);
    world.segment(100, false, false);
    for _ in 0..200 {
        world.step();
    }
    world.ack(false, false);
    for _ in 0..12 {
        world.step();
    }
    assert_eq!(world.times().len(), 4, "the ACK is out");
    world.pace.receive = 0;
    world.run(2000);
}

#[test]
fn a_reset_in_mid_packet_leaves_nothing() {
    let mut world = World::new(random(69), PACES[1]);
    for round in 0..80 {
        world.pace = PACES[round % PACES.len()];
        for k in 0..12 {
            world.segment(200 * k, k % 2 == 0, k % 3 == 0);
            world.ack(k % 3 == 0, k % 2 == 0);
            world.raw_segment(100 * k, true, false);
            world.inject(100);
            world.removed();
        }
        for _ in 0..world.rng.random_range(1..2500) {
            world.step();
        }
        world.reset();
        assert_eq!((world.dut.get("mac.valid"), world.dut.get("inject.valid"), world.dut.get("idle")), (0, 0, 1));
        world.segment(77, true, true);
        world.raw_segment(55, false, true);
        world.run(10_000);
    }
}
