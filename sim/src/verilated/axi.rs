//! The other side of the engine's AXI4 port: requests in, the root complex's memory behind, answers with its latency and moods.
//!
//! One identifier: everything is answered in order, and written in order. Bursts are INCR of 8 bytes a beat (AMBA AXI4, A3.4).

use crate::root_complex::RootComplex;
use std::collections::VecDeque;

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

/// Reads: requests that wait, and the beats of the one being answered.
#[derive(Default)]
pub(super) struct Reads {
    waiting: VecDeque<ReadRequest>,
    beats: VecDeque<ReadBeat>,
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
        if self.beats.is_empty() {
            let request = self.waiting.front().filter(|r| r.due <= cycle)?;
            let mut bytes = vec![0; 8 * request.beats];
            let response = if host.read(request.address, &mut bytes).is_ok() { OKAY } else { SLVERR };
            let last = request.beats - 1;
            self.beats.extend(bytes.chunks_exact(8).enumerate().map(|(k, b)| ReadBeat { data: word(b), last: k == last, response }));
            self.waiting.pop_front();
        }
        (cycle * 256 >= self.pace).then(|| self.beats.front().copied()).flatten()
    }
    /// The beat offered was taken.
    pub(super) fn taken(&mut self, cycle: u64, host: &RootComplex) {
        self.beats.pop_front();
        self.pace = self.pace.max(cycle * 256) + 256 + u64::from(host.timing().extra_per_beat);
    }
    /// Nothing waits or is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.beats.is_empty()
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |w, b| w << 8 | u64::from(*b))
}

/// A burst whose data is complete.
struct Posted {
    address: u64,
    bytes: Vec<u8>,
    strobes: Vec<bool>,
    due: u64,
}

/// Writes: addresses, the burst under way, and those on their way to memory.
#[derive(Default)]
pub(super) struct Writes {
    addresses: VecDeque<(u64, usize)>,
    bytes: Vec<u8>,
    strobes: Vec<bool>,
    /// Bursts whose data came before their address.
    early: VecDeque<(Vec<u8>, Vec<bool>)>,
    posted: VecDeque<Posted>,
    responses: VecDeque<u8>,
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
    /// Takes an address.
    pub(super) fn address(&mut self, address: u64, length: u8, cycle: u64, host: &mut RootComplex) {
        self.addresses.push_back((address & !7, usize::from(length) + 1));
        self.join(cycle, host);
    }
    /// Takes a beat.
    pub(super) fn beat(&mut self, data: u64, strobe: u8, last: bool, cycle: u64, host: &mut RootComplex) {
        self.bytes.extend(data.to_le_bytes());
        self.strobes.extend((0..8).map(|k| strobe >> k & 1 == 1));
        self.pace = self.pace.max(cycle * 256) + 256 + u64::from(host.timing().extra_per_beat);
        if last {
            self.early.push_back((std::mem::take(&mut self.bytes), std::mem::take(&mut self.strobes)));
            self.join(cycle, host);
        }
    }
    /// Brings addresses and data together. A burst whose length is not what its address said is answered with an error and not written.
    fn join(&mut self, cycle: u64, host: &mut RootComplex) {
        while !self.addresses.is_empty() && !self.early.is_empty() {
            let (Some((address, beats)), Some((mut bytes, strobes))) = (self.addresses.pop_front(), self.early.pop_front()) else { return };
            if bytes.len() != 8 * beats {
                tracing::error!(expected = beats, found = bytes.len() / 8, "beats of a write burst");
                bytes.clear();
            }
            let due = cycle + u64::from(host.timing().write_latency) + u64::from(host.jitter());
            self.last_due = due.max(self.last_due);
            self.posted.push_back(Posted { address, bytes, strobes, due: self.last_due });
        }
    }
    /// Lets bursts that are due reach memory.
    pub(super) fn settle(&mut self, cycle: u64, host: &mut RootComplex) {
        while self.posted.front().is_some_and(|p| p.due <= cycle) {
            let Some(burst) = self.posted.pop_front() else { return };
            self.responses.push_back(write(&burst, host));
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
        self.addresses.is_empty() && self.bytes.is_empty() && self.early.is_empty() && self.posted.is_empty() && self.responses.is_empty()
    }
}

/// Writes the runs of bytes whose strobes are set.
fn write(burst: &Posted, host: &mut RootComplex) -> u8 {
    if burst.bytes.is_empty() {
        return SLVERR;
    }
    let (mut at, mut response) = (0, OKAY);
    while let Some(begin) = burst.strobes[at..].iter().position(|s| *s).map(|k| at + k) {
        let end = burst.strobes[begin..].iter().position(|s| !*s).map_or(burst.bytes.len(), |k| begin + k);
        if host.write(burst.address + begin as u64, &burst.bytes[begin..end]).is_err() {
            response = SLVERR;
        }
        at = end;
    }
    response
}
