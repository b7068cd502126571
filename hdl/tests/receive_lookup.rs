//! The flow table against a map, its hash against the verification suite of receive-side scaling.

mod common;
mod lookup_room;

use common::{dut, dut_with, random, Random};
use lookup_room::{chance_of_refusal, refusals, unseen_differences};
use rand::Rng;
use std::collections::{HashMap, HashSet, VecDeque};
use toe_contract::FLOWS;
use toe_hdl::receive::hash::Toeplitz;
use toe_hdl::receive::lookup::{Lookup, INDEX_BITS};
use toe_hdl::receive::secret::Secret;
use toe_hdl::types::FLOW_BITS;
use toe_verilate::{Dut, Port};

/// Bits put together, the lowest first.
#[derive(Default)]
struct Pack {
    words: Vec<u64>,
    bits: usize,
}

impl Pack {
    fn put(mut self, value: u128, width: usize) -> Pack {
        for k in 0..width {
            if self.bits.is_multiple_of(64) {
                self.words.push(0);
            }
            self.words[self.bits / 64] |= u64::try_from(value >> k & 1).expect("a bit") << (self.bits % 64);
            self.bits += 1;
        }
        self
    }
}

/// Bits `at .. at + width`.
fn field(words: &[u64], at: usize, width: usize) -> u128 {
    (at..at + width).rev().fold(0, |value, k| value << 1 | u128::from(words[k / 64] >> (k % 64) & 1))
}

/// The verification suite of receive-side scaling (IPv4 with TCP): source, destination, hash.
type Vector = ([u8; 4], u16, [u8; 4], u16, u32);
const SUITE: [Vector; 5] = [
    ([66, 9, 149, 187], 2794, [161, 142, 100, 80], 1766, 0x51cc_c178),
    ([199, 92, 111, 2], 14230, [65, 69, 140, 83], 4739, 0xc626_b0ea),
    ([24, 19, 198, 95], 12898, [12, 22, 207, 184], 38024, 0x5c2b_394a),
    ([38, 27, 205, 30], 48228, [209, 142, 163, 6], 2217, 0xafc7_327f),
    ([153, 39, 163, 191], 44251, [202, 188, 127, 2], 1303, 0x10e8_28a2),
];

/// The first 128 bits of the suite's secret.
const SUITE_SECRET: u128 = 0x6d5a_56da_255b_0ec2_4167_253d_43a3_8fb0;

fn tuple(remote: [u8; 4], remote_port: u16, local: [u8; 4], local_port: u16) -> u128 {
    let ip = |a| u128::from(u32::from_be_bytes(a));
    ip(remote) << 64 | ip(local) << 32 | u128::from(remote_port) << 16 | u128::from(local_port)
}

fn words(value: u128) -> Vec<u64> {
    Pack::default().put(value, 128).words
}

fn toeplitz(dut: &mut Dut, secret: u128, tuple: u128) -> u32 {
    dut.set_wide("secret", &words(secret));
    dut.set_wide("tuple", &words(tuple));
    dut.set("advance", 1);
    // The cycle before step 0, then the three.
    for (step, next_step) in [(0, 0), (0, 1), (1, 2), (2, 0)] {
        dut.set("step", step);
        dut.set("next_step", next_step);
        dut.tick();
    }
    // Bit 0 is the leading one.
    u32::try_from(dut.get("hash")).expect("32 bits").reverse_bits()
}

#[test]
fn the_hash_is_that_of_receive_side_scaling() {
    let mut dut = dut("toeplitz", Toeplitz::<32>::default());
    for (remote, remote_port, local, local_port, hash) in SUITE {
        assert_eq!(toeplitz(&mut dut, SUITE_SECRET, tuple(remote, remote_port, local, local_port)), hash);
    }
}

#[test]
fn the_long_secret_depends_on_every_bit_of_the_short_one() {
    let mut dut = dut("secret", Secret::default());
    dut.set("allow", 1);
    let mut long = |key: u32| {
        dut.set("key", key.into());
        for _ in 0..200 {
            dut.tick();
        }
        assert_eq!(dut.get("ready"), 1);
        let words = dut.get_wide("long");
        u128::from(words[1]) << 64 | u128::from(words[0])
    };
    let mut random = random(3);
    let (mut seen, mut flipped, mut pairs) = (HashSet::new(), [0u32; 128], 0);
    for _ in 0..40 {
        let key = random.random();
        let base = long(key);
        seen.insert(base);
        for bit in 0..32 {
            let other = long(key ^ 1 << bit);
            seen.insert(other);
            pairs += 1;
            for (k, count) in flipped.iter_mut().enumerate() {
                *count += u32::from((base ^ other) >> k & 1 == 1);
            }
            // Not linear: what a bit of the key changes depends on the others.
            assert_ne!(base ^ other, long(!key) ^ long(!key ^ 1 << bit));
        }
    }
    assert_eq!(seen.len(), 40 * 33);
    for count in flipped {
        assert!((pairs * 2 / 5..pairs * 3 / 5).contains(&count), "{count} of {pairs}");
    }
}

#[test]
fn tuples_chosen_without_the_secret_collide_by_chance_only() {
    let (mut secret, mut hash) = (dut("secret", Secret::default()), dut("toeplitz", Toeplitz::<8>::default()));
    let mut random = random(4);
    secret.set("allow", 1);
    // Differences that somebody might try: one bit, ports only, multiples of well-known polynomials.
    let base = tuple([10, 0, 0, 1], 1000, [10, 0, 0, 2], 80);
    let differences: Vec<u128> = vec![1, 1 << 95, 0x1_0000, 0x0001_04c1_1db7, 0x1_1021, 0xffff_0000, 0x8000_0001 << 40, (1 << 96) - 1];
    let mut collisions = vec![0; differences.len()];
    for _ in 0..4096 {
        secret.set("key", random.random::<u32>().into());
        for _ in 0..200 {
            secret.tick();
        }
        let long = secret.get_wide("long");
        let long = u128::from(long[1]) << 64 | u128::from(long[0]);
        let first = toeplitz(&mut hash, long, base);
        for (difference, count) in differences.iter().zip(&mut collisions) {
            *count += u32::from(toeplitz(&mut hash, long, base ^ difference) == first);
        }
    }
    // 16 expected of 4096; 45 is seven standard deviations away.
    assert!(collisions.iter().all(|c| (1..45).contains(c)), "{collisions:?}");
}

/// The secret that the flow table makes of a key.
fn long_secret(key: u32) -> u128 {
    let mut dut = dut("secret", Secret::default());
    dut.set("allow", 1);
    dut.set("key", key.into());
    for _ in 0..200 {
        dut.tick();
    }
    let words = dut.get_wide("long");
    u128::from(words[1]) << 64 | u128::from(words[0])
}

/// The formula holds for tables so small that refusals can be counted, and says of ours that they are rare.
#[test]
fn an_insertion_is_hardly_ever_refused() {
    let mut random = random(7);
    for (bits, insertions) in [(FLOW_BITS, 2_000_000), (FLOW_BITS - 1, 200_000)] {
        let (measured, expected) = (refusals(bits, FLOWS, insertions, &mut random), chance_of_refusal(bits, FLOWS) * f64::from(insertions));
        println!("4 x {} slots, {FLOWS} flows: {measured} of {insertions} refused, {expected:.0} by the formula", 1 << bits);
        assert!((0.8..1.25).contains(&(f64::from(measured) / expected)), "{measured}, {expected}");
    }
    for bits in FLOW_BITS..FLOW_BITS + 4 {
        println!("4 x {} slots, {FLOWS} flows: one in {:.1e}", 1 << bits, 1.0 / chance_of_refusal(bits, FLOWS));
    }
    assert!(chance_of_refusal(INDEX_BITS, FLOWS) < 1e-8);
}

/// Five tuples with one hash, made by somebody who knows the secret: four find room, the fifth is refused and changes nothing.
#[test]
fn the_fifth_tuple_of_the_same_slots_is_refused() {
    let key = 0x1234_5678;
    let mut bench = Bench::new(8);
    bench.dut.set("hash_key", key.into());
    bench.rest();
    let base = tuple([192, 0, 2, 7], 40_000, [192, 0, 2, 2], 80);
    let mut keys: Vec<u128> = unseen_differences(long_secret(key), 4).iter().map(|difference| base ^ difference).collect();
    keys.push(base);
    let insert = |k: usize, keys: &[u128]| Request { insert: true, key: keys[k], flow: k as u128, generation: 1 };
    let remove = |k: usize, keys: &[u128]| Request { insert: false, ..insert(k, keys) };
    for round in 0..5 {
        for k in 0..4 {
            assert!(bench.ask(insert(k, &keys), 0.5, 1.0), "round {round}: tuple {k} finds room");
        }
        bench.full = true;
        assert!(!bench.ask(insert(4, &keys), 0.5, 1.0), "round {round}: four memories have four slots");
        assert!(!bench.ask(remove(4, &keys), 0.5, 1.0), "round {round}: what was refused is not there");
        bench.full = false;
        bench.frames.extend(keys.iter().map(|key| Frame { key: *key, fast: true, mark: 1 }));
        bench.drain(1.0);
        // Whichever goes, the one that was refused has its place.
        assert!(bench.ask(remove(round % 4, &keys), 0.5, 1.0));
        assert!(bench.ask(insert(4, &keys), 0.5, 1.0), "round {round}: there is room again");
        for k in (0..5).filter(|k| *k != round % 4) {
            assert!(bench.ask(remove(k, &keys), 0.5, 1.0));
        }
        keys.rotate_left(1);
    }
}

/// A frame on its way: its 4-tuple if it is fast, and something to tell it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    key: u128,
    fast: bool,
    mark: u32,
}

impl Frame {
    /// As [`toe_hdl::types::Parsed`].
    fn pack(self) -> Vec<u64> {
        let head = Pack::default().put(0xabc, 12).put(60, 14).put(u128::from(self.fast), 1).put(54, 7).put(6, 14);
        head.put(self.key, 96).put(u128::from(self.mark), 32).put(0, 121).words
    }
}

const PARSED_BITS: usize = 12 + 14 + 1 + 7 + 14 + 96 + 32 + 32 + 8 + 16 + 1 + 32 + 32;

/// Flow and generation, if there is one.
type Found = Option<(u128, u128)>;

#[derive(Clone, Copy, Debug)]
struct Request {
    insert: bool,
    key: u128,
    flow: u128,
    generation: u128,
}

/// The ports, looked up once.
struct Pins {
    frame: [Port; 3],
    request: [Port; 3],
    reply: Port,
    out: [Port; 3],
}

impl Pins {
    fn of(dut: &Dut) -> Pins {
        let channel = |name: &str| ["data", "valid", "ready"].map(|field| dut.port(&format!("{name}.{field}")));
        Pins { frame: channel("s"), request: channel("request"), reply: dut.port("reply"), out: channel("m") }
    }
}

struct Bench {
    dut: Dut,
    pins: Pins,
    random: Random,
    frames: VecDeque<Frame>,
    frame_offered: bool,
    request: Option<Request>,
    /// Answer due in this cycle.
    answer: Option<bool>,
    /// There is no room for another tuple.
    full: bool,
    map: HashMap<u128, (u128, u128)>,
    /// What frames on their way may give, in order; taken by the table between being offered and coming out.
    inside: VecDeque<(Frame, Vec<Found>)>,
    answers: u64,
    failures: u64,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let dut = dut_with("lookup", Lookup::default);
        let mut bench = Bench {
            pins: Pins::of(&dut),
            dut,
            random: random(seed),
            frames: VecDeque::new(),
            frame_offered: false,
            request: None,
            answer: None,
            full: false,
            map: HashMap::new(),
            inside: VecDeque::new(),
            answers: 0,
            failures: 0,
        };
        bench.reset();
        bench
    }

    fn reset(&mut self) {
        self.dut.set("reset", 1);
        self.dut.tick();
        self.dut.set("reset", 0);
        self.map.clear();
        self.inside.clear();
        (self.frame_offered, self.request, self.answer) = (false, None, None);
    }

    /// Long enough for the table to be empty.
    fn rest(&mut self) {
        for _ in 0..(1 << INDEX_BITS) + 500 {
            self.cycle(0.0, 1.0);
        }
    }

    /// One cycle; gives whether a frame came out.
    fn cycle(&mut self, offer: f64, take: f64) -> bool {
        self.frame_offered = !self.frames.is_empty() && (self.frame_offered || self.random.random_bool(offer));
        let frame = self.frames.front().copied().unwrap_or(Frame { key: self.random.random::<u128>() >> 32, fast: true, mark: 0 });
        self.dut.set_wide(self.pins.frame[0], &frame.pack());
        self.dut.set(self.pins.frame[1], self.frame_offered.into());
        let request = self.request.unwrap_or(Request { insert: true, key: frame.key, flow: 1, generation: 0 });
        let pack = Pack::default().put(u128::from(request.insert), 1).put(request.key, 96).put(request.flow, FLOW_BITS).put(request.generation, 8);
        self.dut.set_wide(self.pins.request[0], &pack.words);
        self.dut.set(self.pins.request[1], self.request.is_some().into());
        let ready = self.random.random_bool(take);
        self.dut.set(self.pins.out[2], ready.into());
        self.dut.eval();
        self.replies();
        let out = self.dut.get(self.pins.out[1]) == 1 && ready;
        if out {
            self.came_out();
        }
        if self.frame_offered && self.dut.get(self.pins.frame[2]) == 1 {
            let frame = self.frames.pop_front().expect("offered");
            let now = frame.fast.then(|| self.map.get(&frame.key).copied()).flatten();
            self.inside.push_back((frame, vec![now]));
            self.frame_offered = false;
        }
        if self.request.is_some() && self.dut.get(self.pins.request[2]) == 1 {
            self.done();
        }
        self.dut.tick();
        out
    }

    /// A reply comes exactly in the cycle after its request was taken.
    fn replies(&mut self) {
        let words = self.dut.get(self.pins.reply);
        let reply = (words & 1 == 1).then_some(words >> 1 == 1);
        assert_eq!(reply, self.answer.take());
    }

    /// The request is taken: the map says what the answer has to be.
    fn done(&mut self) {
        let Some(request) = self.request.take() else { return };
        let ok = match request.insert {
            true if self.full || self.map.contains_key(&request.key) => false,
            true => {
                self.map.insert(request.key, (request.flow, request.generation));
                true
            }
            false => self.map.remove(&request.key).is_some(),
        };
        self.answer = Some(ok);
        self.answers += 1;
        self.failures += u64::from(!ok);
        // A frame inside may have been looked up before or after.
        for (frame, may) in &mut self.inside {
            if frame.fast && frame.key == request.key {
                may.push(self.map.get(&frame.key).copied());
            }
        }
    }

    fn came_out(&mut self) {
        let words = self.dut.get_wide(self.pins.out[0]);
        let (frame, may) = self.inside.pop_front().expect("no frame is due");
        let (key, mark) = (field(&words, 48, 96), field(&words, 144, 32));
        assert_eq!((key, mark, field(&words, 26, 1) == 1), (frame.key, frame.mark.into(), frame.fast));
        assert_eq!(field(&words, 0, PARSED_BITS), field(&frame.pack(), 0, PARSED_BITS));
        let hit = field(&words, PARSED_BITS, 1) == 1;
        let found = hit.then(|| (field(&words, PARSED_BITS + 1, FLOW_BITS), field(&words, PARSED_BITS + 1 + FLOW_BITS, 8)));
        assert!(may.contains(&found), "{found:?}, not one of {may:?}");
    }

    /// One request, until it is answered.
    fn ask(&mut self, request: Request, offer: f64, take: f64) -> bool {
        self.request = Some(request);
        for _ in 0..5000 {
            self.cycle(offer, take);
            if self.request.is_none() {
                let answer = self.answer.expect("taken in this cycle");
                self.cycle(offer, take);
                return answer;
            }
        }
        panic!("a request is not answered");
    }

    fn drain(&mut self, take: f64) {
        for _ in 0..100_000 {
            self.cycle(1.0, take);
            if self.frames.is_empty() && self.inside.is_empty() {
                return;
            }
        }
        panic!("frames do not come out");
    }
}

/// A tuple out of few, so that frames hit.
fn some_tuple(random: &mut Random) -> u128 {
    let n = random.random_range(0..200u16);
    tuple([10, 0, u8::try_from(n % 3).expect("small"), 1], 1000 + n, [10, 0, 0, 2], 80)
}

#[test]
fn all_flows_come_and_go() {
    let mut bench = Bench::new(1);
    let (mut free, mut mark): (Vec<usize>, u32) = ((0..FLOWS).collect(), 0);
    let mut used: Vec<(u128, usize)> = vec![];
    let mut generation = 0u128;
    for round in 0..100_000 {
        let (offer, take) = [(1.0, 1.0), (0.5, 0.9), (1.0, 0.1), (0.05, 1.0)][round / 1000 % 4];
        while bench.frames.len() < 4 {
            mark = mark.wrapping_add(1);
            let key = if bench.random.random_bool(0.5) && !used.is_empty() {
                used[bench.random.random_range(0..used.len())].0
            } else {
                some_tuple(&mut bench.random)
            };
            let fast = bench.random.random_bool(0.9);
            bench.frames.push_back(Frame { key, fast, mark });
        }
        // Full most of the time.
        if free.is_empty() || used.len() > FLOWS - 4 && bench.random.random_bool(0.5) {
            let (key, flow) = used.swap_remove(bench.random.random_range(0..used.len()));
            assert!(bench.ask(Request { insert: false, key, flow: 0, generation: 0 }, offer, take));
            free.push(flow);
        } else {
            let key = if bench.random.random_bool(0.7) { bench.random.random::<u128>() >> 32 } else { some_tuple(&mut bench.random) };
            let flow = free[free.len() - 1];
            generation = (generation + 1) % 256;
            let there = bench.map.contains_key(&key);
            let ok = bench.ask(Request { insert: true, key, flow: flow as u128, generation }, offer, take);
            assert_eq!(ok, !there, "round {round}");
            if ok {
                used.push((key, flow));
                free.pop();
            }
        }
        if round % 1000 == 0 {
            let key = bench.random.random::<u128>() >> 32;
            assert!(!bench.ask(Request { insert: false, key, flow: 0, generation: 0 }, offer, take), "what is not there cannot leave");
        }
    }
    bench.drain(1.0);
    println!("{} requests, {} refused", bench.answers, bench.failures);
    assert!(bench.failures > 1000, "{}", bench.failures);
}

#[test]
fn a_new_key_empties_the_table() {
    let mut bench = Bench::new(2);
    for round in 0..100u32 {
        bench.dut.set("hash_key", if round % 5 == 4 { 0 } else { bench.random.random::<u32>().into() });
        for _ in 0..3 {
            bench.cycle(0.0, 1.0);
        }
        bench.map.clear();
        let keys: Vec<u128> = (0..FLOWS).map(|k| tuple([192, 0, 2, 1], 5000 + u16::try_from(k).expect("small"), [192, 0, 2, 2], 443)).collect();
        for key in &keys {
            bench.frames.push_back(Frame { key: *key, fast: true, mark: round });
        }
        bench.drain(1.0);
        for (flow, key) in keys.iter().enumerate() {
            assert!(bench.ask(Request { insert: true, key: *key, flow: flow as u128, generation: round.into() }, 0.5, 0.8));
            bench.frames.push_back(Frame { key: *key, fast: true, mark: round });
        }
        bench.drain(0.9);
    }
}

#[test]
fn requests_are_served_while_nothing_is_taken() {
    let mut bench = Bench::new(3);
    for round in 0..200u32 {
        for fast in [true, round % 2 == 0, round % 3 == 0] {
            let key = some_tuple(&mut bench.random);
            bench.frames.push_back(Frame { key, fast, mark: round });
        }
        let key = u128::from(round) << 32;
        assert!(bench.ask(Request { insert: true, key, flow: u128::from(round % 64), generation: 7 }, 1.0, 0.0));
        assert!(bench.ask(Request { insert: false, key, flow: 0, generation: 0 }, 1.0, 0.0));
        bench.drain(1.0);
    }
}

#[test]
fn six_cycles_a_segment_and_requests_between() {
    let mut bench = Bench::new(4);
    bench.rest();
    let mut measure = |requests: bool| {
        let begin = bench.dut.cycles();
        for mark in 0..500 {
            let key = some_tuple(&mut bench.random);
            bench.frames.push_back(Frame { key, fast: true, mark });
        }
        let (mut came, mut served) = (0, bench.answers);
        while came < 500 {
            if requests && bench.request.is_none() {
                let key = some_tuple(&mut bench.random);
                bench.request = Some(Request { insert: served % 2 == 0, key, flow: 3, generation: 4 });
            }
            came += u32::from(bench.cycle(1.0, 1.0));
            assert!(bench.dut.cycles() - begin < 10_000);
        }
        served = bench.answers - served;
        ((bench.dut.cycles() - begin) / 500, served)
    };
    let (alone, none) = measure(false);
    let (both, served) = measure(true);
    println!("a segment every {alone} cycles, every {both} with {served} requests for 500");
    assert_eq!(none, 0);
    assert!(alone <= 6 && both <= 10 && served >= 200, "{alone} {both} {served}");
}

#[test]
fn eight_cycles_from_a_segment_to_its_flow() {
    let mut bench = Bench::new(5);
    bench.rest();
    for (fast, expected) in [(true, 8), (false, 1)] {
        bench.frames.push_back(Frame { key: 1, fast, mark: 1 });
        let begin = bench.dut.cycles();
        while !bench.cycle(1.0, 1.0) {
            assert!(bench.dut.cycles() < begin + 20);
        }
        assert_eq!(bench.dut.cycles() - begin - 1, expected);
    }
}

#[test]
fn a_reset_at_any_moment_empties_the_table() {
    let mut bench = Bench::new(6);
    for cut in 0..60u32 {
        bench.rest();
        let key = tuple([1, 2, 3, 4], 5, [6, 7, 8, 9], 10);
        assert!(bench.ask(Request { insert: true, key, flow: 9, generation: 1 }, 0.0, 1.0));
        bench.frames.extend([Frame { key, fast: true, mark: 1 }; 3]);
        bench.request = Some(Request { insert: true, key: key + 1, flow: 8, generation: 1 });
        for _ in 0..cut {
            bench.cycle(0.7, 0.5);
        }
        bench.frames.clear();
        bench.reset();
        for k in 0..2 {
            bench.frames.push_back(Frame { key: key + k, fast: true, mark: cut });
        }
        bench.drain(1.0);
    }
}
