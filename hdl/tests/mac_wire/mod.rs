//! XGMII written and read character by character, as IEEE 802.3 clause 46 describes it: the reference for the MAC's benches.
//! Nothing here is shared with the RTL.
#![allow(dead_code, reason = "each bench uses a part of it")]

use rand::{Rng, RngCore};

/// One character: an octet, or a control code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Character {
    Data(u8),
    Control(u8),
}
use Character::{Control, Data};

pub(crate) const IDLE: Character = Control(0x07);
pub(crate) const START: Character = Control(0xFB);
pub(crate) const TERMINATE: Character = Control(0xFD);
pub(crate) const ERROR: Character = Control(0xFE);
pub(crate) const SEQUENCE: Character = Control(0x9C);

/// The FCS of clause 3.2.9, bit by bit as it is written there: the remainder of the frame, its first 32 bits complemented, times
/// x^32; complemented; sent from the coefficient of x^31 on, in octets whose first bit is the lowest.
pub(crate) fn fcs_bit_by_bit(frame: &[u8]) -> [u8; 4] {
    let mut remainder = 0xFFFF_FFFF_u32;
    for octet in frame {
        for bit in 0..8 {
            let feedback = (remainder >> 31) ^ u32::from(octet >> bit & 1);
            remainder = (remainder << 1) ^ if feedback == 1 { 0x04C1_1DB7 } else { 0 };
        }
    }
    (!remainder).reverse_bits().to_le_bytes()
}

/// The same, quickly: `mac_crc.rs` holds the two against each other.
pub(crate) fn fcs_of(frame: &[u8]) -> [u8; 4] {
    crc32fast::hash(frame).to_le_bytes()
}

/// Characters on their way to a receiver.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(pub(crate) Vec<Character>);

impl Line {
    pub(crate) fn put(&mut self, characters: &[Character]) -> &mut Line {
        self.0.extend_from_slice(characters);
        self
    }
    /// Idle, at least `least` of it, until the next character is in lane `lane` of a word.
    pub(crate) fn idle_to(&mut self, least: usize, lane: usize) -> &mut Line {
        self.0.extend(std::iter::repeat_n(IDLE, least));
        while self.0.len() % 8 != lane {
            self.0.push(IDLE);
        }
        self
    }
    /// Start, preamble, SFD.
    pub(crate) fn preamble(&mut self) -> &mut Line {
        self.put(&[START]).put(&[Data(0x55); 6]).put(&[Data(0xD5)])
    }
    pub(crate) fn octets(&mut self, octets: &[u8]) -> &mut Line {
        self.0.extend(octets.iter().map(|o| Data(*o)));
        self
    }
    /// A whole good frame from Start to Terminate; `frame` has no FCS.
    pub(crate) fn frame(&mut self, frame: &[u8]) -> &mut Line {
        self.preamble().octets(frame).octets(&fcs_of(frame)).put(&[TERMINATE])
    }
    /// Words of 64 bits, filled up with idle.
    pub(crate) fn words(&self) -> Vec<(u64, u8)> {
        self.0.chunks(8).map(word).collect()
    }
}

fn word(characters: &[Character]) -> (u64, u8) {
    (0..8).fold((0, 0), |(d, c), lane| match characters.get(lane).copied().unwrap_or(IDLE) {
        Data(octet) => (d | u64::from(octet) << (8 * lane), c),
        Control(code) => (d | u64::from(code) << (8 * lane), c | 1 << lane),
    })
}

/// The characters of a word.
pub(crate) fn characters(d: u64, c: u64) -> [Character; 8] {
    std::array::from_fn(|lane| {
        let code = d.to_le_bytes()[lane];
        if c >> lane & 1 == 1 {
            Control(code)
        } else {
            Data(code)
        }
    })
}

/// A frame read from a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Place of its Start on the line.
    pub(crate) start: usize,
    /// Place of what followed its last octet.
    pub(crate) end: usize,
    /// Octets behind the SFD, FCS among them.
    pub(crate) octets: Vec<u8>,
    /// It ended with Terminate and has the right FCS.
    pub(crate) good: bool,
    /// Error characters after its octets.
    pub(crate) errors: usize,
}

impl Sent {
    /// The octets without FCS.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.octets[..self.octets.len() - 4]
    }
}

/// Reads a line that a transmitter wrote. Panics on anything that clause 46 does not allow.
pub(crate) fn read(line: &[Character]) -> Vec<Sent> {
    let mut frames = vec![];
    let mut at = 0;
    while at < line.len() {
        if line[at] == SEQUENCE && at % 4 == 0 {
            assert_eq!(line[at + 1..at + 4], [Data(0), Data(0), Data(2)], "ordered set at {at}");
            at += 4;
            continue;
        }
        if line[at] == IDLE {
            at += 1;
            continue;
        }
        assert_eq!(line[at], START, "at {at}");
        assert_eq!(at % 4, 0, "Start in lane {}", at % 8);
        let mut preamble = Line::default();
        if line.len() < at + 8 {
            break;
        }
        assert_eq!(line[at..at + 8], preamble.preamble().0[..], "preamble at {at}");
        let octets: Vec<u8> = line[at + 8..].iter().map_while(|c| if let Data(o) = c { Some(*o) } else { None }).collect();
        let end = at + 8 + octets.len();
        let errors = line[end..].iter().take_while(|c| **c == ERROR).count();
        let Some(after) = line.get(end + errors) else { break };
        assert_eq!(*after, TERMINATE, "at {}, after the frame at {at}", end + errors);
        let fcs = octets.len().checked_sub(4).map(|n| fcs_of(&octets[..n]));
        let good = errors == 0 && fcs.is_some_and(|f| octets.ends_with(&f));
        frames.push(Sent { start: at, end: end + errors, octets, good, errors });
        at = end + errors + 1;
    }
    frames
}

/// A frame with random octets behind its addresses.
pub(crate) fn random_frame(random: &mut impl RngCore, to: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    random.fill_bytes(&mut frame);
    for (octet, address) in frame.iter_mut().zip(to) {
        *octet = address;
    }
    frame
}

/// A length that is as often a small, a usual or a large one.
pub(crate) fn random_length(random: &mut impl RngCore) -> usize {
    match random.random_range(0..8) {
        0..3 => random.random_range(60..80),
        3..6 => random.random_range(60..600),
        6 => random.random_range(1500..1519),
        _ => random.random_range(600..1519),
    }
}
