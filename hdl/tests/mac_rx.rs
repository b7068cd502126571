//! The receiver in Verilator, against a reader of XGMII written from IEEE 802.3 clauses 3, 4 and 46.

mod common;
mod mac_rx_bench;
mod mac_wire;

use common::random;
use mac_rx_bench::reference::{expected, Station, Verdict, BROADCAST, GROUP, JUMBO, OTHER, OWN, USUAL};
use mac_rx_bench::Bench;
use mac_wire::{fcs_bit_by_bit, fcs_of, random_frame, random_length, Character, Line, ERROR, IDLE, SEQUENCE, START, TERMINATE};
use rand::{Rng, RngCore};
use Character::{Control, Data};

/// The least gap from which the next frame can start in lane `lane`, at least `least`.
fn to_lane(line: &mut Line, least: usize, lane: usize) {
    // Terminate counts as an octet of the gap.
    line.idle_to(least - 1, lane);
}

#[test]
fn the_reference_knows_a_published_frame() {
    // The UDP frame of the page "10BASE-T FPGA interface" of fpga4fun.com, which real adapters took.
    let frame = "0010A47BEA8000123456789008004500002EB3FE000080110540C0A8002CC0A8000404000400001A2DE8\
        000102030405060708090A0B0C0D0E0F1011";
    let frame: Vec<u8> = (0..60).map(|k| u8::from_str_radix(&frame[2 * k..2 * k + 2], 16).expect("hexadecimal")).collect();
    assert_eq!(fcs_bit_by_bit(&frame), [0xB3, 0x31, 0x88, 0x1B]);
    // The check value of every catalogue of CRCs.
    assert_eq!(fcs_bit_by_bit(b"123456789"), 0xCBF4_3926_u32.to_le_bytes());
    // And a frame taken from the wire is taken from XGMII.
    let station = Station { promiscuous: true, ..USUAL };
    let mut bench = Bench::new(&station);
    for lane in [0, 4] {
        let mut line = Line::default();
        line.idle_to(8, lane).preamble().octets(&frame).octets(&[0xB3, 0x31, 0x88, 0x1B]).put(&[TERMINATE]);
        assert_eq!(bench.check(&line, &station)[0].verdict, Verdict::Good);
    }
}

#[test]
fn captured_traffic_is_taken() {
    let station = Station { promiscuous: true, ..USUAL };
    let mut bench = Bench::new(&station);
    let mut line = Line::default();
    for text in include_str!("data/iperf3.xgmii").lines().filter(|l| !l.starts_with('#')) {
        let (d, c) = text.split_once(' ').expect("two columns");
        let number = |t| u64::from_str_radix(t, 16).expect("hexadecimal");
        line.put(&mac_wire::characters(number(d), number(c)));
    }
    let all = bench.check(&line, &station);
    let seen: Vec<_> = all.iter().map(|e| (e.verdict, e.octets.len())).collect();
    assert_eq!(seen, [(Verdict::Good, 1518); 3]);
}

#[test]
fn every_size_from_both_lanes() {
    let mut random = random(1);
    let mut bench = Bench::new(&JUMBO);
    for lane in [0, 4] {
        let mut line = Line::default();
        for length in (1..=1530).chain(9590..=9630) {
            to_lane(&mut line, 5, lane);
            line.frame(&random_frame(&mut random, OWN, length));
        }
        let all = bench.check(&line, &JUMBO);
        let count = |v| all.iter().filter(|e| e.verdict == v).count();
        assert_eq!((count(Verdict::Runt), count(Verdict::Good), count(Verdict::Oversize)), (59, 1471 + 29, 12));
    }
}

#[test]
fn every_gap_from_5_to_20() {
    let mut random = random(2);
    let mut bench = Bench::new(&USUAL);
    for gap in 5..=20 {
        for lane in [0, 4] {
            let mut line = Line::default();
            line.idle_to(8, lane);
            for _ in 0..20 {
                // Start is in lane 0 or 4, so the gap fixes the length modulo 4.
                let mut length = random_length(&mut *random).min(1515);
                while !(length + 4 + gap).is_multiple_of(4) {
                    length += 1;
                }
                line.frame(&random_frame(&mut random, OWN, length)).put(&vec![IDLE; gap - 1]);
            }
            let all = bench.check(&line, &USUAL);
            assert!(all.len() == 20 && all.iter().all(|e| e.verdict == Verdict::Good), "gap {gap}");
        }
    }
}

#[test]
fn a_gap_below_5_costs_the_frame_before_at_most() {
    let mut random = random(13);
    let mut bench = Bench::new(&USUAL);
    for gap in 1..5 {
        for lane in [0, 4] {
            let mut line = Line::default();
            line.idle_to(8, lane);
            let first = random_frame(&mut random, OWN, 96 - gap);
            let second = random_frame(&mut random, OWN, 60);
            line.frame(&first).put(&vec![IDLE; gap - 1]).frame(&second);
            bench.idle(4);
            bench.line(&line);
            bench.idle(12);
            // Started in lane 4, the first has its Terminate in the upper half of the word before the second's Start.
            let lost = lane == 4;
            let frames = std::mem::take(&mut bench.frames);
            assert_eq!(frames.iter().map(|f| f.error).collect::<Vec<_>>(), [lost, false], "gap {gap}, lane {lane}");
            assert!((lost || frames[0].octets == first) && frames[1].octets == second, "gap {gap}, lane {lane}");
            let counts = std::mem::take(&mut bench.counts);
            assert_eq!((counts[0], counts[5], counts.iter().sum()), (2 - usize::from(lost), usize::from(lost), 2));
        }
    }
}

#[test]
fn smallest_frames_at_line_rate() {
    let mut random = random(3);
    let mut bench = Bench::new(&USUAL);
    let mut line = Line::default();
    for _ in 0..2000 {
        line.frame(&random_frame(&mut random, OWN, 60)).put(&[IDLE; 11]);
    }
    assert_eq!(line.0.len(), 2000 * 84);
    assert_eq!(bench.check(&line, &USUAL).iter().filter(|e| e.verdict == Verdict::Good).count(), 2000);
}

#[test]
fn one_wrong_bit_anywhere_is_a_bad_fcs() {
    let mut random = random(4);
    let mut bench = Bench::new(&USUAL);
    for length in 60..68 {
        let mut line = Line::default();
        // The address is left alone, that beats come out.
        for bit in 48..8 * (length + 4) {
            let frame = random_frame(&mut random, OWN, length);
            let mut octets = [&frame[..], &fcs_of(&frame)].concat();
            octets[bit / 8] ^= 1 << (bit % 8);
            to_lane(&mut line, 5, 4 * (bit % 2));
            line.preamble().octets(&octets).put(&[TERMINATE]);
        }
        let all = bench.check(&line, &USUAL);
        assert!(all.iter().all(|e| e.verdict == Verdict::BadFcs && e.beats));
    }
}

#[test]
fn control_characters_in_a_frame() {
    let mut random = random(5);
    let mut bench = Bench::new(&USUAL);
    for lane in [0, 4] {
        for wrong in [ERROR, IDLE, SEQUENCE, START, TERMINATE] {
            let mut line = Line::default();
            for place in 8..8 + 90 {
                let mut one = Line::default();
                one.frame(&random_frame(&mut random, OWN, 86));
                one.0[place] = wrong;
                to_lane(&mut line, 16, lane);
                line.put(&one.0);
            }
            bench.check(&line, &USUAL);
        }
    }
}

#[test]
fn a_frame_cut_off_by_another() {
    let mut random = random(6);
    let mut bench = Bench::new(&USUAL);
    for lane in [0, 4] {
        let mut line = Line::default();
        for columns in 3..40 {
            let mut one = Line::default();
            one.frame(&random_frame(&mut random, OWN, 200));
            to_lane(&mut line, 16, lane);
            line.put(&one.0[..4 * columns]).frame(&random_frame(&mut random, OWN, 100));
        }
        let all = bench.check(&line, &USUAL);
        let count = |v| all.iter().filter(|e| e.verdict == v).count();
        assert_eq!((count(Verdict::Error), count(Verdict::Good)), (37, 37));
    }
}

#[test]
fn preambles() {
    let mut random = random(7);
    let mut bench = Bench::new(&USUAL);
    for lane in [0, 4] {
        let mut line = Line::default();
        for place in 1..8 {
            for wrong in [Data(0x54), Data(0xD5), Data(0x55), Data(0x00), ERROR, IDLE] {
                let mut one = Line::default();
                one.frame(&random_frame(&mut random, OWN, 70));
                let right = one.0[place] == wrong;
                one.0[place] = wrong;
                to_lane(&mut line, 5, lane);
                line.put(&one.0);
                let all = expected(&one.0, &USUAL);
                assert_eq!(all[0].verdict, if right { Verdict::Good } else { Verdict::BadPreamble });
            }
        }
        bench.check(&line, &USUAL);
    }
    // Start in a lane where none may be is no Start.
    for lane in [1, 2, 3, 5, 6, 7] {
        let mut line = Line::default();
        line.idle_to(8, lane).frame(&random_frame(&mut random, OWN, 70));
        assert!(bench.check(&line, &USUAL).is_empty());
    }
}

#[test]
fn the_longest_frame_is_exact() {
    let mut random = random(8);
    let mut bench = Bench::new(&USUAL);
    for max_frame in (60..80).chain(1514..1523).chain([9000, 9618]) {
        let station = Station { max_frame, ..USUAL };
        for lane in [0, 4] {
            let mut line = Line::default();
            for length in max_frame - 2..max_frame + 20 {
                to_lane(&mut line, 5, lane);
                line.frame(&random_frame(&mut random, OWN, length));
            }
            let all = bench.check(&line, &station);
            let long = all.iter().filter(|e| e.verdict == Verdict::Oversize).count();
            assert_eq!(long, 19, "{max_frame}");
        }
    }
}

#[test]
fn the_filter() {
    let mut random = random(9);
    let mut bench = Bench::new(&USUAL);
    let mut addresses = vec![OWN, OTHER, GROUP, BROADCAST, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE], [0; 6]];
    for bit in 0..48 {
        let mut near = OWN;
        near[bit / 8] ^= 1 << (bit % 8);
        addresses.push(near);
    }
    for (promiscuous, multicast) in [(false, false), (false, true), (true, false), (true, true)] {
        let station = Station { promiscuous, multicast, ..USUAL };
        let mut line = Line::default();
        for to in &addresses {
            for lane in [0, 4] {
                to_lane(&mut line, 5, lane);
                line.frame(&random_frame(&mut random, *to, 60));
            }
        }
        let all = bench.check(&line, &station);
        let taken = all.iter().filter(|e| e.verdict == Verdict::Good).count() / 2;
        let groups = addresses.iter().filter(|a| a[0] & 1 == 1).count();
        let least = if multicast { groups + 1 } else { 2 };
        assert_eq!(taken, if promiscuous { addresses.len() } else { least });
    }
}

#[test]
fn anything_in_any_order() {
    let mut random = random(10);
    let mut bench = Bench::new(&USUAL);
    for _ in 0..60 {
        let station =
            Station { max_frame: [60, 100, 700, 1518][random.random_range(0..4)], promiscuous: random.random_bool(0.1), multicast: random.random_bool(0.5) };
        let mut line = Line::default();
        for _ in 0..60 {
            let to = [OWN, OWN, OWN, OTHER, GROUP, BROADCAST][random.random_range(0..6)];
            let length = if random.random_bool(0.2) { random.random_range(0..64) } else { random_length(&mut *random) };
            let mut one = Line::default();
            one.frame(&random_frame(&mut random, to, length));
            if random.random_bool(0.3) {
                let place = random.random_range(1..one.0.len());
                one.0[place] = match random.random_range(0..4) {
                    0 => Data((random.next_u32() & 0xFF) as u8),
                    1 => ERROR,
                    2 => Control((random.next_u32() & 0xFF) as u8 & !0x08),
                    _ => IDLE,
                };
            }
            if random.random_bool(0.05) {
                let columns = random.random_range(3..=(one.0.len() - 1) / 4);
                one.0.truncate(4 * columns);
                line.put(&one.0);
                continue;
            }
            line.put(&one.0);
            let least = if random.random_bool(0.5) { 5 } else { random.random_range(5..40) };
            let lane = 4 * (random.next_u32() & 1) as usize;
            to_lane(&mut line, least, lane);
        }
        line.idle_to(8, 0);
        bench.check(&line, &station);
    }
}

#[test]
fn reset_in_a_frame() {
    let mut random = random(11);
    let mut bench = Bench::new(&USUAL);
    for lane in [0, 4] {
        let mut line = Line::default();
        line.idle_to(8, lane).frame(&random_frame(&mut random, OWN, 100)).idle_to(80, 0);
        let words = line.words();
        for when in 0..words.len() {
            bench.idle(2);
            for (d, c) in &words[..when] {
                bench.word(*d, *c);
            }
            let whole = bench.frames.len();
            bench.reset();
            (bench.counts, bench.octets) = ([0; 7], 0);
            bench.frames.clear();
            for (d, c) in &words[when..] {
                bench.word(*d, *c);
            }
            // What was in the receiver is gone: nothing of it comes out, good or bad, but a frame whose Start comes after.
            let before_start = when <= 1;
            assert_eq!(bench.frames.len(), usize::from(before_start), "reset before word {when}");
            assert_eq!(bench.counts.iter().sum::<usize>(), usize::from(before_start), "reset before word {when}");
            assert!(bench.frames.iter().all(|f| !f.error) && whole <= 1);
            let mut next = Line::default();
            next.frame(&random_frame(&mut random, OWN, 64));
            bench.frames.clear();
            (bench.counts, bench.octets) = ([0; 7], 0);
            assert_eq!(bench.check(&next, &USUAL)[0].verdict, Verdict::Good);
        }
    }
}
