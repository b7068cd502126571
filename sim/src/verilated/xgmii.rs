//! XGMII, 64 bits a cycle, at the far end of the cable (IEEE 802.3 clause 46): frames to columns and columns to frames.
//!
//! Written from the standard for the simulated peer; it shares nothing with the MAC in `hdl`.

use std::collections::VecDeque;

const IDLE: u8 = 0x07;
const START: u8 = 0xfb;
const TERMINATE: u8 = 0xfd;
const ERROR: u8 = 0xfe;
const SFD: u8 = 0xd5;
/// Least idle bytes between two frames, Terminate among them.
const GAP: usize = 12;

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
}

/// Sends frames, one column at a time.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    waiting: VecDeque<Vec<u8>>,
    /// The frame under way, from Start to its gap, as characters with their control bit.
    current: Vec<(u8, bool)>,
    at: usize,
}

impl Encoder {
    /// Queues a frame without FCS. A spoiled one gets an FCS that is wrong in one bit.
    pub(super) fn push(&mut self, frame: &[u8], fcs_ok: bool) {
        let fcs = crc32fast::hash(frame) ^ u32::from(!fcs_ok);
        let mut bytes = frame.to_vec();
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
        if self.at >= self.current.len() {
            match self.waiting.pop_front() {
                Some(frame) => self.begin(&frame),
                None => return Column::IDLE,
            }
        }
        let (mut data, mut control) = ([0; 8], 0);
        for (lane, (byte, is_control)) in self.current[self.at..self.at + 8].iter().enumerate() {
            data[lane] = *byte;
            control |= u8::from(*is_control) << lane;
        }
        self.at += 8;
        Column { data: u64::from_le_bytes(data), control }
    }
    /// Start in lane 0; the gap is as short as that allows.
    fn begin(&mut self, frame: &[u8]) {
        self.at = 0;
        self.current.clear();
        self.current.push((START, true));
        self.current.extend([(0x55, false); 6]);
        self.current.push((SFD, false));
        self.current.extend(frame.iter().map(|b| (*b, false)));
        self.current.push((TERMINATE, true));
        let whole = (self.current.len() - 1 + GAP).next_multiple_of(8);
        self.current.resize(whole, (IDLE, true));
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
        let characters = self.frame.take()?;
        // Six octets of preamble and the SFD follow Start.
        let Some(([0x55, 0x55, 0x55, 0x55, 0x55, 0x55, SFD], frame)) = characters.split_first_chunk::<7>() else { return Some(Received::Spoiled) };
        let Some((data, fcs)) = frame.split_last_chunk::<4>() else { return Some(Received::Spoiled) };
        let good = !self.spoiled && data.len() >= 60 && crc32fast::hash(data) == u32::from_le_bytes(*fcs);
        Some(if good { Received::Frame(data.to_vec()) } else { Received::Spoiled })
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

    #[test]
    fn every_size_comes_back_and_gaps_are_long_enough() {
        for size in 60..=1600_usize {
            let frame: Vec<u8> = (0..size).map(|k| k.to_le_bytes()[0]).collect();
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
            encoder.push(&frame, true);
            encoder.push(&frame, true);
            let columns = (8 + size + 4 + GAP).div_ceil(8);
            let first: Vec<Column> = (0..columns).map(|_| encoder.column()).collect();
            let idle: u32 = first.iter().map(|c| c.control.count_ones()).sum();
            assert!(idle as usize > GAP && encoder.waiting() == 1, "{size}: {idle} control characters, Start among them");
            let mut got: Vec<Received> = first.into_iter().filter_map(|c| decoder.column(c)).collect();
            got.extend(all(&mut encoder, &mut decoder));
            assert_eq!(got, [Received::Frame(frame.clone()), Received::Frame(frame)]);
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
