//! The parser in Verilator against a sorter that reads headers with `etherparse`.

mod common;
mod frames;

use common::{dut_with, random, Random};
use etherparse::{Ethernet2HeaderSlice, SingleVlanHeaderSlice, TcpHeaderSlice};
use frames::{beats, padded, unhex, Spec, CAPTURED};
use rand::Rng;
use std::collections::VecDeque;
use toe_hdl::receive::parse::Parser;
use toe_verilate::Dut;

/// Beats of the receive buffer.
const BUFFER: usize = 4096;

const COUNTERS: [&str; 6] = ["rx_buffer_full", "rx_bad_ipv4_header", "rx_bad_ipv4_checksum", "rx_bad_tcp_header", "rx_bad_tcp_checksum", "rx_checksum_good"];
const FULL: usize = 0;
const IPV4_HEADER: usize = 1;
const IPV4_CHECKSUM: usize = 2;
const TCP_HEADER: usize = 3;
const TCP_CHECKSUM: usize = 4;
const GOOD: usize = 5;

/// What is to be found in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    payload_offset: usize,
    payload_length: usize,
    key: u128,
    seq: u32,
    ack: u32,
    control: u8,
    window: u16,
    timestamps: Option<(u32, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sorted {
    Dropped(usize),
    Raw,
    Fast(Segment),
}

/// All 16-bit words add up to a multiple of 65535, and are not all zero.
fn sums_up(parts: &[&[u8]]) -> bool {
    let bytes: Vec<u8> = parts.concat();
    let sum: u64 = bytes.chunks(2).map(|p| u64::from(p[0]) * 256 + u64::from(*p.get(1).unwrap_or(&0))).sum();
    sum != 0 && sum.is_multiple_of(65_535)
}

/// The first timestamps option that a walk over the options meets.
fn timestamps(options: &[u8]) -> Option<(u32, u32)> {
    let mut at = 0;
    while at < options.len() && options[at] != 0 {
        if options[at] == 1 {
            at += 1;
            continue;
        }
        let length = usize::from(*options.get(at + 1)?);
        let body = options.get(at + 2..at + length)?;
        if options[at] == 8 && length == 10 {
            let word = |k: usize| u32::from_be_bytes(body[k..k + 4].try_into().expect("four bytes"));
            return Some((word(0), word(4)));
        }
        at += length;
    }
    None
}

fn sort(frame: &[u8]) -> Sorted {
    let Ok(ethernet) = Ethernet2HeaderSlice::from_slice(frame) else { return Sorted::Raw };
    let (mut kind, mut at) = (ethernet.ether_type(), 14);
    if kind.0 == 0x8100 {
        let Ok(tag) = SingleVlanHeaderSlice::from_slice(&frame[14..]) else { return Sorted::Raw };
        (kind, at) = (tag.ether_type(), 18);
    }
    let ip = &frame[at..];
    if kind.0 != 0x0800 || ip.first().is_some_and(|b| b >> 4 != 4) {
        return Sorted::Raw;
    }
    if ip.len() < 20 {
        return Sorted::Dropped(IPV4_HEADER);
    }
    let (words, total) = (usize::from(ip[0] % 16), usize::from(u16::from_be_bytes([ip[2], ip[3]])));
    if words < 5 || total < 4 * words || total > ip.len() {
        return Sorted::Dropped(IPV4_HEADER);
    }
    if !sums_up(&[&ip[..4 * words]]) {
        return Sorted::Dropped(IPV4_CHECKSUM);
    }
    let header = etherparse::Ipv4HeaderSlice::from_slice(ip).expect("checked above");
    if words != 5 || header.is_fragmenting_payload() || header.protocol().0 != 6 {
        return Sorted::Raw;
    }
    let segment = &ip[20..total];
    let Ok(tcp) = TcpHeaderSlice::from_slice(segment) else { return Sorted::Dropped(TCP_HEADER) };
    let length = u16::try_from(segment.len()).expect("16 bits").to_be_bytes();
    if !sums_up(&[&ip[12..20], &[0, 6], &length, segment]) {
        return Sorted::Dropped(TCP_CHECKSUM);
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | u128::from(*b));
    Sorted::Fast(Segment {
        payload_offset: at + 20 + tcp.slice().len(),
        payload_length: segment.len() - tcp.slice().len(),
        key: number(&ip[12..24]),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        control: segment[13],
        window: tcp.window_size(),
        timestamps: timestamps(tcp.options()),
    })
}

/// How frames go in and out.
#[derive(Clone, Copy)]
struct Pace {
    /// A beat is offered.
    offer: f64,
    /// What was parsed is taken.
    take: f64,
}

const FULL_SPEED: Pace = Pace { offer: 1.0, take: 1.0 };

struct Bench {
    dut: Dut,
    random: Random,
    counts: [u64; 6],
    expected: [u64; 6],
    /// Frames that are to come out.
    waiting: VecDeque<(Vec<u8>, Sorted)>,
    /// Beat where the next frame kept has to begin.
    start: usize,
    /// Longest time from a last beat to `m.valid` of its frame, and cycles that `s.ready` was low.
    latency: u64,
    stalled: u64,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let mut dut = dut_with("parser", Parser::default);
        dut.set("reset", 1);
        dut.tick();
        dut.set("reset", 0);
        dut.set("read_enable", 1);
        Bench { dut, random: random(seed), counts: [0; 6], expected: [0; 6], waiting: VecDeque::new(), start: 0, latency: 0, stalled: 0 }
    }

    fn tick(&mut self) {
        self.dut.tick();
        for (count, name) in self.counts.iter_mut().zip(COUNTERS) {
            *count += self.dut.get(name);
        }
    }

    /// Expects what a frame has to give.
    fn expect(&mut self, frame: &[u8], error: bool) {
        if error {
            return;
        }
        match sort(frame) {
            Sorted::Dropped(counter) => self.expected[counter] += 1,
            sorted => {
                self.expected[GOOD] += u64::from(sorted != Sorted::Raw);
                self.waiting.push_back((frame.to_vec(), sorted));
            }
        }
    }

    /// Sends frames, checks everything that comes out, until nothing is left to come.
    fn run(&mut self, frames: &[(Vec<u8>, bool)], pace: Pace) {
        let mut beats: VecDeque<(u64, u64, bool, bool)> = VecDeque::new();
        for (frame, error) in frames {
            self.expect(frame, *error);
            beats.extend(self::beats(frame).into_iter().map(|(data, keep, last)| (data, keep, last, last && *error)));
        }
        let (mut offered, mut quiet, mut last_at) = (false, 0, VecDeque::new());
        while quiet < 40 {
            offered = !beats.is_empty() && (offered || self.random.random_bool(pace.offer));
            let take = self.random.random_bool(pace.take);
            if let (true, Some((data, keep, last, error))) = (offered, beats.front().copied()) {
                self.offer(data, keep, last, error);
            } else {
                self.idle();
            }
            self.dut.set("m.ready", take.into());
            self.dut.eval();
            let now = self.dut.cycles();
            if offered && self.dut.get("s.ready") == 1 {
                if beats.pop_front().is_some_and(|b| b.2 && !b.3) {
                    last_at.push_back(now);
                }
                offered = false;
            } else {
                self.stalled += u64::from(offered);
            }
            if self.dut.get("m.valid") == 1 && pace.take == 1.0 && frames.len() == 1 {
                self.latency = self.latency.max(now - last_at.pop_front().expect("a frame has ended"));
            }
            let out = take && self.dut.get("m.valid") == 1;
            let parsed = out.then(|| Parsed::of(&self.dut.get_wide("m.data")));
            quiet = if beats.is_empty() && parsed.is_none() && self.dut.get("m.valid") == 0 { quiet + 1 } else { 0 };
            self.tick();
            if let Some(parsed) = parsed {
                self.check(&parsed);
            }
        }
        assert_eq!(self.waiting.len(), 0, "frames that never came");
        assert_eq!(self.counts, self.expected, "{COUNTERS:?}");
    }

    fn offer(&mut self, data: u64, keep: u64, last: bool, error: bool) {
        self.dut.set("s.data", data);
        self.dut.set("s.keep", keep);
        self.dut.set("s.last", last.into());
        self.dut.set("s.error", error.into());
        self.dut.set("s.valid", 1);
    }

    /// No beat: what is beside `valid` must not matter.
    fn idle(&mut self) {
        let (data, other) = (self.random.random(), self.random.random::<u8>());
        self.dut.set("s.data", data);
        self.dut.set("s.keep", other.into());
        self.dut.set("s.last", (other & 1).into());
        self.dut.set("s.error", (other >> 1 & 1).into());
        self.dut.set("s.valid", 0);
    }

    /// Compares a frame with what it ought to be, reads it out of the buffer and frees it: all without frames coming in.
    fn check(&mut self, parsed: &Parsed) {
        let (frame, sorted) = self.waiting.pop_front().expect("no frame is due");
        assert_eq!(parsed.length, frame.len());
        assert_eq!(parsed.start, self.start);
        match sorted {
            Sorted::Fast(segment) => assert_eq!(parsed.segment.as_ref(), Some(&segment), "{}", hex(&frame)),
            _ => assert_eq!(parsed.segment, None, "{}", hex(&frame)),
        }
        self.idle();
        self.dut.set("m.ready", 0);
        let mut stored = vec![];
        for k in 0..frame.len().div_ceil(8) {
            self.dut.set("read_address", ((parsed.start + k) % BUFFER) as u64);
            self.tick();
            stored.extend(self.dut.get("read_data").to_le_bytes());
        }
        assert_eq!(stored[..frame.len()], frame);
        self.start = (self.start + frame.len().div_ceil(8)) % BUFFER;
        self.dut.set("free", 1);
        self.dut.set("free_beats", frame.len().div_ceil(8) as u64);
        self.tick();
        self.dut.set("free", 0);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `Parsed`, unpacked from its bits.
struct Parsed {
    start: usize,
    length: usize,
    segment: Option<Segment>,
}

impl Parsed {
    fn of(words: &[u64]) -> Parsed {
        let mut at = 0;
        let mut field = |width: usize| {
            let value = (0..width).fold(0u128, |v, k| v | u128::from(words[(at + k) / 64] >> ((at + k) % 64) & 1) << k);
            at += width;
            value
        };
        let mut small = |width: usize| u32::try_from(field(width)).expect("at most 32 bits");
        let (start, length, fast) = (small(12) as usize, small(14) as usize, small(1));
        let (payload_offset, payload_length) = (small(7) as usize, small(14) as usize);
        let key = field(96);
        let mut small = |width: usize| u32::try_from(field(width)).expect("at most 32 bits");
        let (seq, ack) = (small(32), small(32));
        let control = u8::try_from(small(8)).expect("8 bits");
        let window = u16::try_from(small(16)).expect("16 bits");
        let timestamps = match small(1) {
            1 => Some((small(32), small(32))),
            _ => None,
        };
        let segment = Segment { payload_offset, payload_length, key, seq, ack, control, window, timestamps };
        Parsed { start, length, segment: (fast == 1).then_some(segment) }
    }
}

/// `NOP NOP TS`.
fn plain_options(random: &mut Random) -> Vec<u8> {
    let mut options = vec![1, 1, 8, 10];
    options.extend(random.random::<[u8; 8]>());
    options
}

/// Options in any order, legal or not, filled up to a multiple of 4.
fn wild_options(random: &mut Random) -> Vec<u8> {
    let room = 4 * random.random_range(0..11usize);
    let mut options = vec![];
    while options.len() < room {
        let left = room - options.len();
        match random.random_range(0..10) {
            0..3 => options.push(1),
            3 => options.push(0),
            4..7 => {
                options.extend([8, 10]);
                options.extend(random.random::<[u8; 8]>());
            }
            7 => options.extend([random.random_range(0..12), random.random_range(0..12)]),
            _ => {
                let length = random.random_range(2..=left.max(2));
                options.extend([random.random_range(2..12), u8::try_from(length).expect("at most 40")]);
                options.extend((2..length).map(|_| random.random_range(0..12u8)));
            }
        }
    }
    options.truncate(room);
    options
}

#[test]
fn captured_frames_give_their_fields() {
    let mut bench = Bench::new(1);
    let frames: Vec<Vec<u8>> = CAPTURED.iter().map(|f| unhex(f)).collect();
    let segments = frames.iter().map(|f| sort(f));
    // Read off the capture by eye.
    let key = 0x0ac7_0101_0ac7_0102_a4fe_1e61;
    let ts = |val, ecr| Some((val, ecr));
    let expected = [
        (74, 0, 0x3ac6_9a5a, 0, 0x02, 64_240, ts(0xd25a_90b7, 0)),
        (66, 0, 0x3ac6_9a5b, 0x3e9, 0x10, 63, ts(0xd25a_90b8, 0x1000)),
        (66, 23, 0x3ac6_9a5b, 0x3e9, 0x18, 63, ts(0xd25a_90b8, 0x1000)),
        (66, 0, 0x3ac6_9a72, 0x3e9, 0x11, 63, ts(0xd25a_90b8, 0x1000)),
    ];
    for (sorted, (payload_offset, payload_length, seq, ack, control, window, timestamps)) in segments.zip(expected) {
        let segment = Segment { payload_offset, payload_length, key, seq, ack, control, window, timestamps };
        assert_eq!(sorted, Sorted::Fast(segment));
    }
    for frame in frames {
        bench.run(&[(frame, false)], FULL_SPEED);
    }
    assert_eq!(bench.latency, 8, "cycles from the last beat to Parsed");
}

#[test]
fn every_payload_length_with_tag_and_options() {
    let mut bench = Bench::new(2);
    for payload in (0..1461).chain([8948, 8960]) {
        let options = if payload % 3 == 0 { vec![] } else { plain_options(&mut bench.random) };
        let spec = Spec::random(&mut *bench.random, options, payload);
        let fill = bench.random.random();
        let frame = padded(spec.frame(), fill);
        bench.run(&[(frame, false)], FULL_SPEED);
    }
    assert_eq!(bench.latency, 8);
    assert_eq!(bench.counts[GOOD], 1463);
}

#[test]
fn options_in_every_arrangement() {
    let mut bench = Bench::new(3);
    let mut found = 0;
    for round in 0..300 {
        let mut frames = vec![];
        for _ in 0..30 {
            let options = wild_options(&mut bench.random);
            let payload = [0, 0, 1, 5, 20][bench.random.random_range(0..5usize)];
            let frame = padded(Spec::random(&mut *bench.random, options, payload).frame(), 0xff);
            found += usize::from(matches!(sort(&frame), Sorted::Fast(Segment { timestamps: Some(_), .. })));
            frames.push((frame, false));
        }
        let pace = if round % 2 == 0 { FULL_SPEED } else { Pace { offer: 0.7, take: 0.6 } };
        bench.run(&frames, pace);
    }
    assert!((1000..8000).contains(&found), "{found} of 9000 with timestamps");
}

#[test]
fn timestamps_at_every_byte_behind_every_filling() {
    let mut bench = Bench::new(4);
    for tag in [None, Some(0x1234)] {
        for at in 0..31usize {
            for filler in [&[1u8, 1, 1, 1][..], &[4, 2, 1], &[5, 3, 7], &[2, 4, 1, 1], &[30, 5, 8, 10, 8], &[8, 6, 8, 10, 1, 1], &[1, 8, 3, 9]] {
                let mut options: Vec<u8> = filler.iter().copied().cycle().take(at).collect();
                options.extend([8, 10, 0xde, 0xad, 0xbe, 0xef, 0x01, 0x23, 0x45, 0x67]);
                options.resize(options.len().next_multiple_of(4), 1);
                let spec = Spec { vlan: tag, ..Spec::new(options, vec![]) };
                bench.run(&[(spec.frame(), false), (spec.frame(), false)], FULL_SPEED);
            }
        }
    }
}

/// Frames that are wrong somewhere: a byte changed, cut short, or a length that lies.
fn spoilt(random: &mut Random) -> Vec<u8> {
    let options = if random.random_bool(0.5) { plain_options(random) } else { wild_options(random) };
    let payload = random.random_range(0..100);
    let spec = Spec::random(random, options, payload);
    let at = spec.ethernet();
    let mut frame = padded(spec.frame(), random.random());
    let repair = |frame: &mut Vec<u8>| {
        // The header checksum made right again, so that what is behind it is looked at.
        let words = usize::from(frame[at] % 16);
        if frame.len() >= at + 4 * words.max(5) {
            frame[at + 10..at + 12].fill(0);
            let mut sum: u32 = frame[at..at + 4 * words].chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum();
            sum = (sum & 0xffff) + (sum >> 16);
            sum = (sum & 0xffff) + (sum >> 16);
            let check = !u16::try_from(sum).expect("folded");
            frame[at + 10..at + 12].copy_from_slice(&check.to_be_bytes());
        }
    };
    match random.random_range(0..8) {
        0 => {
            let k = random.random_range(0..frame.len());
            frame[k] ^= 1 << random.random_range(0..8);
        }
        1 => frame.truncate(random.random_range(14..frame.len())),
        2 => {
            frame[at + 2..at + 4].copy_from_slice(&random.random_range(0..200u16).to_be_bytes());
            repair(&mut frame);
        }
        3 => {
            frame[at] = 0x40 | random.random_range(0..16u8);
            repair(&mut frame);
        }
        4 => {
            frame[at + 32] = random.random();
            repair(&mut frame);
        }
        5 => {
            frame[at + 6..at + 8].copy_from_slice(&(1u16 << random.random_range(0..16)).to_be_bytes());
            repair(&mut frame);
        }
        6 => {
            frame[at + 9] = random.random_range(0..18);
            repair(&mut frame);
        }
        _ => frame[at] = random.random(),
    }
    frame
}

#[test]
fn what_is_wrong_is_counted_and_leaves_no_trace() {
    let mut bench = Bench::new(5);
    for round in 0..400 {
        let mut frames = vec![];
        for _ in 0..25 {
            frames.push((spoilt(&mut bench.random), bench.random.random_bool(0.1)));
            // A frame that ends in its first beat comes with an error only.
            if bench.random.random_bool(0.2) {
                frames.push((vec![8; bench.random.random_range(1..9)], true));
            }
        }
        let pace = if round % 2 == 0 { FULL_SPEED } else { Pace { offer: 0.6, take: 0.5 } };
        bench.run(&frames, pace);
    }
    for (count, name) in bench.counts.iter().zip(COUNTERS).skip(1) {
        assert!(*count > 100, "{name} {count}");
    }
}

#[test]
fn a_wrong_bit_anywhere_in_a_segment_is_noticed() {
    let mut bench = Bench::new(6);
    for tag in [None, Some(0x0fff)] {
        let options = plain_options(&mut bench.random);
        let payload: Vec<u8> = (0..61).map(|_| bench.random.random()).collect();
        let spec = Spec { vlan: tag, ..Spec::new(options, payload) };
        let good = spec.frame();
        for k in spec.ethernet()..good.len() {
            for bit in 0..8 {
                let mut frame = good.clone();
                frame[k] ^= 1 << bit;
                let before = bench.counts[GOOD];
                bench.run(&[(frame, false)], FULL_SPEED);
                assert_eq!(bench.counts[GOOD], before, "byte {k} bit {bit}");
            }
        }
    }
}

#[test]
fn random_bytes_of_every_length() {
    let mut bench = Bench::new(7);
    for round in 0..60 {
        let mut frames = vec![];
        for length in 14..200 {
            let mut frame = vec![0; length];
            bench.random.fill(&mut frame[..]);
            // Half of them look like IPv4 or have a tag or two.
            match bench.random.random_range(0..6) {
                0 => frame[12..14].copy_from_slice(&[8, 0]),
                1 if length > 18 => frame[12..19].copy_from_slice(&[0x81, 0, 1, 2, 8, 0, 0x45]),
                2 if length > 18 => frame[12..18].copy_from_slice(&[0x81, 0, 1, 2, 0x81, 0]),
                _ => {}
            }
            frames.push((frame, bench.random.random_bool(0.1)));
        }
        let pace = if round % 2 == 0 { FULL_SPEED } else { Pace { offer: 0.8, take: 0.8 } };
        bench.run(&frames, pace);
    }
}

#[test]
fn ip_options_and_fragments_go_up_raw() {
    let mut bench = Bench::new(8);
    let mut raw = 0;
    for words in 1..11 {
        for tag in [None, Some(7)] {
            let spec = Spec { vlan: tag, ip_options: vec![1; 4 * words], ..Spec::new(vec![], vec![3; 20]) };
            let fragment = Spec { vlan: tag, fragment: (false, words == 1, 1 << (words + 1)), ..Spec::new(vec![], vec![3; 20]) };
            for frame in [spec.frame(), fragment.frame()] {
                assert_eq!(sort(&frame), Sorted::Raw);
                raw += 1;
                bench.run(&[(frame, false)], FULL_SPEED);
            }
        }
    }
    assert_eq!((raw, bench.counts), (40, [0; 6]));
}

#[test]
fn smallest_frames_at_line_rate() {
    let mut bench = Bench::new(9);
    let frames: Vec<(Vec<u8>, bool)> = (0..64)
        .map(|k| {
            let spec = Spec { vlan: None, ..Spec::random(&mut *bench.random, vec![], k % 7) };
            (padded(spec.frame(), 0), false)
        })
        .collect();
    for (frame, error) in &frames {
        bench.expect(frame, *error);
    }
    // Straight through, eight cycles each, nothing read meanwhile.
    bench.dut.set("m.ready", 1);
    let mut parsed = vec![];
    let begin = bench.dut.cycles();
    for (data, keep, last) in frames.iter().flat_map(|(f, _)| beats(f)) {
        bench.offer(data, keep, last, false);
        loop {
            bench.dut.eval();
            if bench.dut.get("m.valid") == 1 {
                parsed.push(Parsed::of(&bench.dut.get_wide("m.data")));
            }
            let taken = bench.dut.get("s.ready") == 1;
            bench.tick();
            if taken {
                break;
            }
        }
    }
    let cycles = bench.dut.cycles() - begin;
    bench.idle();
    for _ in 0..20 {
        bench.dut.eval();
        if bench.dut.get("m.valid") == 1 {
            parsed.push(Parsed::of(&bench.dut.get_wide("m.data")));
        }
        bench.tick();
    }
    println!("{cycles} cycles for {} frames of 60 bytes", frames.len());
    assert_eq!(cycles, 8 * 64 + 1, "one cycle until the first may begin");
    assert_eq!(parsed.len(), 64);
    for parsed in parsed {
        bench.check(&parsed);
    }
    assert_eq!(bench.counts, bench.expected);
}

#[test]
fn long_options_do_not_hold_up_the_line() {
    let mut bench = Bench::new(10);
    let mut frames = vec![];
    for _ in 0..40 {
        let mut options = vec![1; 30];
        options.extend([8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        frames.push((Spec { vlan: None, ..Spec::random(&mut *bench.random, options, 0) }.frame(), false));
    }
    for (frame, _) in &frames {
        bench.expect(frame, false);
    }
    bench.dut.set("m.ready", 1);
    let (begin, mut parsed) = (bench.dut.cycles(), vec![]);
    for (data, keep, last) in frames.iter().flat_map(|(f, _)| beats(f)) {
        bench.offer(data, keep, last, false);
        let mut taken = false;
        while !taken {
            bench.dut.eval();
            if bench.dut.get("m.valid") == 1 {
                parsed.push(Parsed::of(&bench.dut.get_wide("m.data")));
            }
            taken = bench.dut.get("s.ready") == 1;
            bench.tick();
        }
    }
    let cycles = bench.dut.cycles() - begin;
    bench.idle();
    for _ in 0..20 {
        bench.dut.eval();
        if bench.dut.get("m.valid") == 1 {
            parsed.push(Parsed::of(&bench.dut.get_wide("m.data")));
        }
        bench.tick();
    }
    println!("{} cycles a frame of 94 bytes; the line takes 14.75", cycles / 40);
    assert!(cycles <= 40 * 17, "{cycles}");
    assert_eq!(parsed.len(), 40);
    for parsed in parsed {
        bench.check(&parsed);
    }
}

#[test]
fn a_full_buffer_drops_whole_frames() {
    let mut bench = Bench::new(11);
    bench.dut.set("m.ready", 1);
    for round in 0..12 {
        let (mut kept, mut inside) = (vec![], 0);
        while kept.len() < 200 {
            let payload = bench.random.random_range(0..1461);
            let frame = padded(Spec::random(&mut *bench.random, vec![], payload).frame(), 0);
            let size = frame.len().div_ceil(8);
            let fits = inside + size <= BUFFER;
            let sent = beats(&frame);
            if fits {
                inside += size;
                bench.expect(&frame, false);
            } else {
                bench.expected[FULL] += 1;
            }
            for (data, keep, last) in sent {
                bench.offer(data, keep, last, false);
                bench.dut.eval();
                while bench.dut.get("s.ready") == 0 {
                    bench.tick();
                }
                bench.tick();
            }
            bench.idle();
            for _ in 0..12 {
                if bench.dut.get("m.valid") == 1 {
                    kept.push(Parsed::of(&bench.dut.get_wide("m.data")));
                }
                bench.tick();
            }
            if !fits && bench.random.random_bool(0.2) {
                break;
            }
        }
        assert!(kept.len() > 20, "round {round}");
        for parsed in kept {
            bench.check(&parsed);
            bench.dut.set("m.ready", 1);
        }
        assert_eq!(bench.waiting.len(), 0);
        assert_eq!(bench.counts, bench.expected, "round {round}");
    }
    assert!(bench.counts[FULL] > 12);
}

#[test]
fn a_reset_at_any_moment_begins_anew() {
    let mut bench = Bench::new(12);
    let options = vec![1; 40];
    let spec = Spec::new(options, vec![9; 30]);
    let frame = spec.frame();
    for cut in 0..40 {
        let sent = beats(&frame);
        bench.dut.set("m.ready", 0);
        for (data, keep, last) in sent.iter().chain(&sent).take(cut) {
            bench.offer(*data, *keep, *last, false);
            bench.tick();
        }
        bench.dut.set("reset", 1);
        bench.idle();
        bench.tick();
        bench.dut.set("reset", 0);
        (bench.counts, bench.expected, bench.start) = ([0; 6], [0; 6], 0);
        bench.tick();
        let next = Spec::random(&mut *bench.random, vec![], cut).frame();
        bench.run(&[(padded(next, 0), false), (frame.clone(), false)], FULL_SPEED);
        assert_eq!(bench.counts[GOOD], 2);
    }
}

#[test]
fn a_full_queue_makes_the_stream_wait() {
    let mut bench = Bench::new(13);
    // Small enough that not the buffer but the queue is what fills.
    let frames: Vec<Vec<u8>> = (0..600usize).map(|k| (0..14 + k % 3).map(|_| bench.random.random_range(10..250)).collect()).collect();
    bench.dut.set("m.ready", 0);
    let mut sent = 0;
    'frames: for frame in &frames {
        for (data, keep, last) in beats(frame) {
            bench.offer(data, keep, last, false);
            let mut waited = 0;
            loop {
                bench.dut.eval();
                let taken = bench.dut.get("s.ready") == 1;
                if !taken && waited == 50 {
                    break 'frames;
                }
                waited += 1;
                bench.tick();
                if taken {
                    break;
                }
            }
        }
        bench.expect(frame, false);
        sent += 1;
    }
    assert!((504..=512).contains(&sent), "{sent} frames went in");
    bench.idle();
    let mut parsed = vec![];
    bench.dut.set("m.ready", 1);
    for _ in 0..600 {
        bench.dut.eval();
        if bench.dut.get("m.valid") == 1 {
            parsed.push(Parsed::of(&bench.dut.get_wide("m.data")));
        }
        bench.tick();
    }
    assert_eq!(parsed.len(), sent);
    for parsed in parsed {
        bench.check(&parsed);
    }
    let rest: Vec<(Vec<u8>, bool)> = frames[sent..].iter().map(|f| (f.clone(), false)).collect();
    bench.run(&rest, FULL_SPEED);
}

/// Reads frames out of a buffer that is nearly full, while others come in.
#[derive(Default)]
struct Reader {
    waiting: VecDeque<Parsed>,
    stored: Vec<u8>,
    asked: usize,
    /// Beats of the frames that are kept.
    kept: usize,
}

#[test]
fn frames_are_read_and_freed_while_others_come_in() {
    let mut bench = Bench::new(14);
    let (mut reader, mut sent, mut out, mut beats_left) = (Reader::default(), VecDeque::new(), 0u64, VecDeque::new());
    let total = 3000;
    for _ in 0..total {
        let payload = bench.random.random_range(0..1461);
        let frame = padded(Spec::random(&mut *bench.random, vec![], payload).frame(), 0);
        beats_left.extend(beats(&frame));
        sent.push_back(frame);
    }
    bench.dut.set("m.ready", 1);
    let (mut quiet, mut offered) = (0, false);
    while quiet < 20 {
        offered = offered || bench.random.random_bool(0.9);
        match beats_left.front().copied() {
            Some((data, keep, last)) if offered => bench.offer(data, keep, last, false),
            _ => bench.idle(),
        }
        // Wait until the buffer is nearly full, but for the end.
        let go = reader.kept > 3900 || beats_left.is_empty() || bench.random.random_bool(0.01);
        let mut freed = 0;
        if let Some(parsed) = reader.waiting.front() {
            let size = parsed.length.div_ceil(8);
            if reader.asked > 0 {
                reader.stored.extend(bench.dut.get("read_data").to_le_bytes());
            }
            if reader.asked == size {
                // What was dropped is missing from the frames that come out.
                let frame = std::iter::from_fn(|| sent.pop_front()).find(|f| reader.stored[..parsed.length] == f[..]);
                assert!(frame.is_some(), "a frame that was never sent");
                (reader.asked, freed) = (0, size);
                reader.stored.clear();
                reader.waiting.pop_front();
                out += 1;
            } else if go || reader.asked > 0 {
                bench.dut.set("read_address", ((parsed.start + reader.asked) % BUFFER) as u64);
                reader.asked += 1;
            }
        }
        reader.kept -= freed;
        bench.dut.set("free", u64::from(freed > 0));
        bench.dut.set("free_beats", freed as u64);
        bench.dut.eval();
        if bench.dut.get("s.valid") == 1 && bench.dut.get("s.ready") == 1 {
            beats_left.pop_front();
            offered = false;
        }
        if bench.dut.get("m.valid") == 1 {
            let parsed = Parsed::of(&bench.dut.get_wide("m.data"));
            reader.kept += parsed.length.div_ceil(8);
            assert!(reader.kept <= BUFFER);
            reader.waiting.push_back(parsed);
        }
        bench.tick();
        quiet = if beats_left.is_empty() && reader.waiting.is_empty() { quiet + 1 } else { 0 };
    }
    println!("{out} of {total} kept");
    assert!(out > 1000 && bench.counts[FULL] > 100);
    assert_eq!((out + bench.counts[FULL], bench.counts[GOOD]), (total, out));
}
