//! The other side of the engine's AXI4 port: requests in, the root complex's memory behind, answers with its latency and moods.
//!
//! One identifier: everything is answered in order, and written in order. Bursts are INCR of 8 bytes a beat (AMBA AXI4, A3.4).

use crate::root_complex::RootComplex;
use std::collections::VecDeque;
use std::ops::Range;

/// Answers of AXI.
const OKAY: u8 = 0;
const SLVERR: u8 = 2;
/// Read requests that are taken before the first is answered.
const OUTSTANDING: usize = 32;

/// A beat of an answer to a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadBeat {
    pub(super) data: u64,
    pub(super) last: bool,
    pub(super) response: u8,
}

struct ReadRequest {
    address: u64,
    beats: usize,
    due: u64,
}

/// Reads: requests that wait, and the one being answered.
#[derive(Default)]
pub(super) struct Reads {
    waiting: VecDeque<ReadRequest>,
    /// The answer under way, the place of the beat to be offered in it, and its response.
    bytes: Vec<u8>,
    at: usize,
    response: u8,
    /// Cycle in which the next beat may be offered, in 256ths.
    pace: u64,
    last_due: u64,
}

impl Reads {
    /// There is room for a request.
    pub(super) fn ready(&self) -> bool {
        self.waiting.len() < OUTSTANDING
    }
    /// Takes a request: `length` is AxLEN, beats less one.
    pub(super) fn request(&mut self, address: u64, length: u8, cycle: u64, host: &mut RootComplex) {
        let due = cycle + u64::from(host.timing().read_latency) + u64::from(host.jitter());
        self.last_due = due.max(self.last_due);
        self.waiting.push_back(ReadRequest { address: address & !7, beats: usize::from(length) + 1, due: self.last_due });
    }
    /// The beat to offer in this cycle, if any. Memory is read when a request's first beat is offered.
    pub(super) fn offer(&mut self, cycle: u64, host: &mut RootComplex) -> Option<ReadBeat> {
        if self.at >= self.bytes.len() {
            let request = self.waiting.front().filter(|r| r.due <= cycle)?;
            self.bytes.clear();
            self.bytes.resize(8 * request.beats, 0);
            self.at = 0;
            self.response = if host.read(request.address, &mut self.bytes).is_ok() { OKAY } else { SLVERR };
            self.waiting.pop_front();
        }
        if cycle * 256 < self.pace {
            return None;
        }
        let word = self.bytes[self.at..].first_chunk().copied()?;
        Some(ReadBeat { data: u64::from_le_bytes(word), last: self.at + 8 == self.bytes.len(), response: self.response })
    }
    /// The beat offered was taken.
    pub(super) fn taken(&mut self, cycle: u64, host: &RootComplex) {
        self.at += 8;
        self.pace = self.pace.max(cycle * 256) + 256 + u64::from(host.timing().extra_per_beat);
    }
    /// Nothing waits or is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.at >= self.bytes.len()
    }
}

/// A write burst that has gone over the bus, address and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Burst {
    /// Address of the first byte written.
    pub(super) iova: u64,
    /// Bytes from there to the last written.
    pub(super) bytes: u64,
    pub(super) beats: u64,
}

/// Beats of a burst: words, and which bytes of each are to be written.
#[derive(Default)]
struct Beats {
    bytes: Vec<u8>,
    strobes: Vec<u8>,
}

impl Beats {
    fn push(&mut self, data: u64, strobe: u8) {
        self.bytes.extend_from_slice(&data.to_le_bytes());
        self.strobes.push(strobe);
    }
    fn is_written(&self, at: usize) -> bool {
        self.strobes[at / 8] >> (at % 8) & 1 == 1
    }
    /// The next run of bytes to be written, from `at` on.
    fn run(&self, mut at: usize) -> Option<Range<usize>> {
        let (end, strobe) = (self.bytes.len(), |at: usize| self.strobes[at / 8]);
        while at < end && !self.is_written(at) {
            at += if at.is_multiple_of(8) && strobe(at) == 0 { 8 } else { 1 };
        }
        let begin = at;
        while at < end && self.is_written(at) {
            at += if at.is_multiple_of(8) && strobe(at) == 0xff { 8 } else { 1 };
        }
        (begin < end).then_some(begin..at)
    }
    /// Where the first byte to be written lies, and how far the last is from there.
    fn span(&self) -> (u64, u64) {
        let first = self.strobes.first().map_or(0, |s| s.trailing_zeros() % 8);
        let last = self.strobes.last().map_or(0, |s| s.leading_zeros() % 8);
        (first.into(), self.bytes.len() as u64 - u64::from(first + last))
    }
}

/// A burst whose data is complete.
struct Posted {
    address: u64,
    beats: Beats,
    due: u64,
}

/// Writes: addresses, the burst under way, and those on their way to memory.
#[derive(Default)]
pub(super) struct Writes {
    addresses: VecDeque<(u64, usize)>,
    current: Beats,
    /// Bursts whose data came before their address.
    early: VecDeque<Beats>,
    posted: VecDeque<Posted>,
    responses: VecDeque<u8>,
    /// Room of bursts that are in memory, to be used again.
    spare: Vec<Beats>,
    pace: u64,
    last_due: u64,
}

impl Writes {
    /// There is room for an address.
    pub(super) fn address_ready(&self) -> bool {
        self.addresses.len() < OUTSTANDING
    }
    /// There is room for a beat.
    pub(super) fn data_ready(&self, cycle: u64) -> bool {
        self.early.len() + self.posted.len() < OUTSTANDING && cycle * 256 >= self.pace
    }
    /// Takes an address. Gives the burst if its data was there before.
    pub(super) fn address(&mut self, address: u64, length: u8, cycle: u64, host: &mut RootComplex) -> Option<Burst> {
        self.addresses.push_back((address & !7, usize::from(length) + 1));
        self.join(cycle, host)
    }
    /// Takes a beat. Gives the burst if it is the last and its address was there before.
    pub(super) fn beat(&mut self, data: u64, strobe: u8, last: bool, cycle: u64, host: &mut RootComplex) -> Option<Burst> {
        self.current.push(data, strobe);
        self.pace = self.pace.max(cycle * 256) + 256 + u64::from(host.timing().extra_per_beat);
        if !last {
            return None;
        }
        let next = self.spare.pop().unwrap_or_default();
        self.early.push_back(std::mem::replace(&mut self.current, next));
        self.join(cycle, host)
    }
    /// Brings an address and its data together: there is one such pair at most. A burst whose length is not what its address said is answered with an
    /// error and not written.
    fn join(&mut self, cycle: u64, host: &mut RootComplex) -> Option<Burst> {
        if self.addresses.is_empty() {
            return None;
        }
        let mut beats = self.early.pop_front()?;
        let (address, expected) = self.addresses.pop_front()?;
        let found = beats.strobes.len();
        let (first, bytes) = beats.span();
        if found != expected {
            tracing::error!(expected, found, "beats of a write burst");
            beats = Beats::default();
        }
        let due = cycle + u64::from(host.timing().write_latency) + u64::from(host.jitter());
        self.last_due = due.max(self.last_due);
        self.posted.push_back(Posted { address, beats, due: self.last_due });
        Some(Burst { iova: address + first, bytes, beats: found as u64 })
    }
    /// Lets bursts that are due reach memory.
    pub(super) fn settle(&mut self, cycle: u64, host: &mut RootComplex) {
        while self.posted.front().is_some_and(|p| p.due <= cycle) {
            let Some(mut burst) = self.posted.pop_front() else { return };
            self.responses.push_back(write(&burst, host));
            burst.beats.bytes.clear();
            burst.beats.strobes.clear();
            self.spare.push(burst.beats);
        }
    }
    /// Lets every complete burst reach memory now: what the answer to a read does to posted writes before it.
    pub(super) fn flush(&mut self, host: &mut RootComplex) {
        self.settle(u64::MAX, host);
    }
    /// The answer to offer.
    pub(super) fn response(&self) -> Option<u8> {
        self.responses.front().copied()
    }
    /// The answer offered was taken.
    pub(super) fn answered(&mut self) {
        self.responses.pop_front();
    }
    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.addresses.is_empty() && self.current.bytes.is_empty() && self.early.is_empty() && self.posted.is_empty() && self.responses.is_empty()
    }
}

/// Writes the runs of bytes whose strobes are set.
fn write(burst: &Posted, host: &mut RootComplex) -> u8 {
    if burst.beats.bytes.is_empty() {
        return SLVERR;
    }
    let (mut at, mut response) = (0, OKAY);
    while let Some(run) = burst.beats.run(at) {
        at = run.end;
        if host.write(burst.address + run.start as u64, &burst.beats.bytes[run]).is_err() {
            response = SLVERR;
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_the_strobes_bit_by_bit() {
        for strobes in 0..1_u32 << 24 {
            // Every pattern of the first two words' ends and the third's beginning would take long: a part of them, spread.
            if strobes.wrapping_mul(0x9e37_79b1) >> 20 != 0 {
                continue;
            }
            let mut beats = Beats::default();
            strobes.to_le_bytes()[..3].iter().for_each(|s| beats.push(0, *s));
            let mut written = 0_u32;
            let mut at = 0;
            while let Some(run) = beats.run(at) {
                assert!(!run.is_empty() && run.start >= at, "{strobes:#x}: {run:?} behind {at}");
                at = run.end;
                written |= run.fold(0, |w, k| w | 1 << k);
            }
            assert_eq!(written, strobes);
        }
    }

    #[test]
    fn a_burst_is_told_when_both_its_parts_are_there() {
        let mut host = RootComplex::new(crate::root_complex::Timing::default(), 1);
        let mut writes = Writes::default();
        assert_eq!(writes.beat(1, 0xf0, false, 0, &mut host), None);
        assert_eq!(writes.beat(2, 0x01, true, 1, &mut host), None);
        assert_eq!(writes.address(0x1000, 1, 2, &mut host), Some(Burst { iova: 0x1004, bytes: 5, beats: 2 }));
        assert_eq!(writes.address(0x2000, 0, 3, &mut host), None);
        assert_eq!(writes.beat(3, 0xff, true, 4, &mut host), Some(Burst { iova: 0x2000, bytes: 8, beats: 1 }));
    }
}
