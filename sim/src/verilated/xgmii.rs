//! XGMII, 64 bits a cycle, at the far end of the cable (IEEE 802.3 clause 46): frames to columns and columns to frames.
//!
//! Written from the standard for the simulated peer; it shares nothing with the MAC in `hdl`.

use std::collections::VecDeque;

const IDLE: u8 = 0x07;
const START: u8 = 0xfb;
const TERMINATE: u8 = 0xfd;
const ERROR: u8 = 0xfe;
const SFD: u8 = 0xd5;
/// Idle characters between two frames in the mean, Terminate among them (clause 46.3.1.4).
const GAP: usize = 12;
/// Start, preamble and SFD.
const PREAMBLE: [u8; 8] = [START, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, SFD];

/// Eight bytes and their control bits, lane 0 lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Characters.
    pub(super) data: u64,
    /// Bit `k` is 1 if lane `k` holds a control character.
    pub(super) control: u8,
}

impl Column {
    /// Nothing on the wire.
    pub(super) const IDLE: Column = Column { data: u64::from_le_bytes([IDLE; 8]), control: 0xff };

    /// A frame begins in it.
    pub(super) fn starts(self) -> bool {
        self.holds(START)
    }
    /// A frame ends in it.
    pub(super) fn terminates(self) -> bool {
        self.holds(TERMINATE)
    }
    fn holds(self, character: u8) -> bool {
        self.control != 0 && self.data.to_le_bytes().into_iter().enumerate().any(|(k, c)| c == character && self.control >> k & 1 == 1)
    }
}

/// Sends frames, one column at a time, at the pace of the wire: Start is in lane 0 or 4, and a count of the idle characters left out keeps the mean gap
/// at twelve (clause 46.3.1.4). A frame that comes later than it might have starts in lane 0.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// Frames with their FCS.
    waiting: VecDeque<Vec<u8>>,
    /// Characters of the frame under way, from the lane 0 before its Start to the end of its gap: a multiple of four.
    current: Vec<u8>,
    /// Where its Start and its Terminate are. What is before the one or behind the other is control characters as well.
    start: usize,
    terminate: usize,
    at: usize,
    /// Idle characters left out so far, 0 to 3.
    deficit: usize,
}

impl Encoder {
    /// Queues a frame without FCS. A spoiled one gets an FCS that is wrong in one bit.
    pub(super) fn push(&mut self, frame: &[u8], fcs_ok: bool) {
        let fcs = crc32fast::hash(frame) ^ u32::from(!fcs_ok);
        let mut bytes = Vec::with_capacity(frame.len() + 4);
        bytes.extend_from_slice(frame);
        bytes.extend_from_slice(&fcs.to_le_bytes());
        self.waiting.push_back(bytes);
    }
    /// Frames whose Start has not been sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
    /// Nothing is under way or waiting.
    pub(super) fn is_idle(&self) -> bool {
        self.at >= self.current.len() && self.waiting.is_empty()
    }
    /// The next column.
    pub(super) fn column(&mut self) -> Column {
        let left = self.current.len() - self.at;
        if left < 8 {
            match self.waiting.pop_front() {
                Some(frame) => self.begin(&frame),
                None => {
                    self.deficit = 0;
                    if left == 0 {
                        return Column::IDLE;
                    }
                    self.current.extend([IDLE; 4]);
                }
            }
        }
        let at = self.at;
        self.at += 8;
        let mut data = [0; 8];
        data.copy_from_slice(&self.current[at..at + 8]);
        let inside = at > self.start && at + 8 <= self.terminate;
        let is_control = |k: &usize| *k <= self.start || *k >= self.terminate;
        let control = if inside { 0 } else { (at..at + 8).filter(is_control).fold(0, |c, k| c | 1 << (k - at)) };
        Column { data: u64::from_le_bytes(data), control }
    }
    /// Lays out a frame behind what is left of the gap before it: nothing, or half a column.
    fn begin(&mut self, frame: &[u8]) {
        self.current.drain(..self.at);
        self.at = 0;
        self.start = self.current.len();
        self.current.extend(PREAMBLE);
        self.current.extend_from_slice(frame);
        self.terminate = self.current.len();
        let rest = frame.len() % 4;
        let gap = if self.deficit + rest <= 3 { GAP - rest } else { GAP + 4 - rest };
        self.deficit = self.deficit + GAP - gap;
        self.current.push(TERMINATE);
        self.current.resize(self.terminate + gap, IDLE);
    }
}

/// What came out of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A good frame, without FCS.
    Frame(Vec<u8>),
    /// A frame with a wrong FCS, an error character, or no end.
    Spoiled,
}

/// Receives frames, one column at a time.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Bytes since Start, preamble included; `None` between frames.
    frame: Option<Vec<u8>>,
    spoiled: bool,
}

impl Decoder {
    /// In the middle of a frame.
    pub(super) fn is_busy(&self) -> bool {
        self.frame.is_some()
    }
    /// Takes a column; gives a frame if one ended in it.
    pub(super) fn column(&mut self, column: Column) -> Option<Received> {
        if column == Column::IDLE && self.frame.is_none() {
            return None;
        }
        if let (0, Some(frame)) = (column.control, &mut self.frame) {
            frame.extend_from_slice(&column.data.to_le_bytes());
            return None;
        }
        let mut done = None;
        for (lane, byte) in column.data.to_le_bytes().into_iter().enumerate() {
            let control = column.control >> lane & 1 == 1;
            match (&mut self.frame, control, byte) {
                (Some(frame), false, _) => frame.push(byte),
                (None, true, START) => (self.frame, self.spoiled) = (Some(Vec::with_capacity(1536)), false),
                (Some(_), true, TERMINATE) => done = self.end().or(done),
                (Some(_), true, ERROR) => self.spoiled = true,
                (Some(_), true, _) => {
                    self.spoiled = true;
                    done = self.end().or(done);
                }
                (None, ..) => {}
            }
        }
        done
    }
    fn end(&mut self) -> Option<Received> {
        let mut characters = self.frame.take()?;
        // Six octets of preamble and the SFD follow Start.
        let Some(frame) = characters.strip_prefix(&PREAMBLE[1..]) else { return Some(Received::Spoiled) };
        let Some((data, fcs)) = frame.split_last_chunk::<4>() else { return Some(Received::Spoiled) };
        let good = !self.spoiled && data.len() >= 60 && crc32fast::hash(data) == u32::from_le_bytes(*fcs);
        if !good {
            return Some(Received::Spoiled);
        }
        characters.truncate(characters.len() - 4);
        characters.drain(..PREAMBLE.len() - 1);
        Some(Received::Frame(characters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(encoder: &mut Encoder, decoder: &mut Decoder) -> Vec<Received> {
        let mut out = vec![];
        while !encoder.is_idle() {
            out.extend(decoder.column(encoder.column()));
        }
        out.extend(decoder.column(Column::IDLE));
        out
    }

    /// Where in the columns, in characters, that control character is.
    fn places(columns: &[Column], wanted: u8) -> Vec<usize> {
        let characters = columns.iter().flat_map(|c| (0..8).map(|k| (c.data.to_le_bytes()[k], c.control >> k & 1 == 1)));
        characters.enumerate().filter(|(_, c)| *c == (wanted, true)).map(|(k, _)| k).collect()
    }

    #[test]
    fn every_size_comes_back_and_the_mean_gap_is_twelve() {
        for size in 60..=1600_usize {
            let frame: Vec<u8> = (0..size).map(|k| k.to_le_bytes()[0]).collect();
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
            (0..9).for_each(|_| encoder.push(&frame, true));
            let mut columns = vec![];
            while !encoder.is_idle() {
                columns.push(encoder.column());
            }
            let (starts, ends) = (places(&columns, START), places(&columns, TERMINATE));
            assert_eq!((starts.len(), ends.len()), (9, 9));
            assert!(starts.iter().all(|s| s % 4 == 0), "{size}: {starts:?}");
            // Eight frames of preamble, octets, FCS and gap; a deficit of 3 at most is left.
            let whole = 8 * (8 + size + 4 + GAP);
            assert!((whole - 3..=whole).contains(&(starts[8] - starts[0])), "{size}: {starts:?}");
            assert!(ends.iter().zip(&starts[1..]).all(|(e, s)| (9..=15).contains(&(s - e))), "{size}: {ends:?} {starts:?}");
            let got: Vec<Received> = columns.into_iter().filter_map(|c| decoder.column(c)).collect();
            assert_eq!(got, vec![Received::Frame(frame); 9]);
        }
    }

    #[test]
    fn a_late_frame_starts_in_lane_0_behind_a_whole_gap() {
        for size in 60..=72_usize {
            let mut encoder = Encoder::default();
            let mut columns = vec![];
            for late in 0..40 {
                encoder.push(&vec![1; size], true);
                while !encoder.is_idle() {
                    columns.push(encoder.column());
                }
                columns.extend((0..late % 3 + 1).map(|_| encoder.column()));
            }
            let (starts, ends) = (places(&columns, START), places(&columns, TERMINATE));
            assert!(starts.iter().all(|s| s % 8 == 0), "{size}: {starts:?}");
            assert!(ends.iter().zip(&starts[1..]).all(|(e, s)| s - e >= 12), "{size}: {ends:?} {starts:?}");
        }
    }

    #[test]
    fn what_is_spoiled_is_told_and_the_next_frame_is_whole() {
        let frame = vec![3; 100];
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        encoder.push(&frame, false);
        encoder.push(&[7; 40], true);
        encoder.push(&frame, true);
        assert_eq!(all(&mut encoder, &mut decoder), [Received::Spoiled, Received::Spoiled, Received::Frame(frame)]);
    }

    #[test]
    fn a_frame_whose_start_is_in_lane_4_and_an_error_character() {
        let mut decoder = Decoder::default();
        let frame = [9; 64];
        let mut characters = vec![(IDLE, true); 4];
        characters.push((START, true));
        characters.extend([(0x55, false); 6]);
        characters.push((SFD, false));
        characters.extend(frame.iter().map(|b| (*b, false)));
        characters.extend(crc32fast::hash(&frame).to_le_bytes().map(|b| (b, false)));
        characters.push((TERMINATE, true));
        characters.resize(characters.len().next_multiple_of(8), (IDLE, true));
        let run = |decoder: &mut Decoder, characters: &[(u8, bool)]| {
            characters
                .chunks(8)
                .filter_map(|c| {
                    let data = std::array::from_fn(|k| c[k].0);
                    decoder.column(Column { data: u64::from_le_bytes(data), control: (0..8).map(|k| u8::from(c[k].1) << k).sum() })
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(run(&mut decoder, &characters), [Received::Frame(frame.to_vec())]);
        characters[40] = (ERROR, true);
        assert_eq!(run(&mut decoder, &characters), [Received::Spoiled]);
    }
}
