//! A wire with faults: seeded, so that every run of a seed is the same.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use toe_wire::{EthernetFrame, IpProtocol, Ipv4Packet};

use super::{Count, Wire, WireError, WireFrame, MIN_FRAME};
use crate::time::Nanoseconds;

/// Bytes a frame takes on the wire beside those of [`WireFrame`]: preamble, FCS and the gap (IEEE 802.3).
const OVERHEAD: u64 = 8 + 4 + 12;

/// What happens to frames that go one way. Chances are from 0 to 1, and each frame's are independent.
///
/// A frame goes through: loss, duplication, corruption, reordering, the line (rate and queue), delay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DirectionImpairment {
    /// Chance of being lost.
    pub loss: f64,
    /// Chance of coming twice.
    pub duplicate: f64,
    /// Chance of some bits of one byte being flipped behind the FCS's back: the receiver's MAC notices.
    pub corrupt: f64,
    /// Chance of a bit of an IPv4 datagram being flipped with the FCS made right again: only a header checksum or
    /// the checksum of TCP or ICMP can notice. Other frames are left alone.
    pub reseal: f64,
    /// Chance of being held back until `depth` later frames have passed, or for `hold`.
    pub reorder: f64,
    /// How many frames overtake one that is held back.
    pub depth: u32,
    /// How long a frame is held back at most.
    pub hold: Nanoseconds,
    /// Added to every frame's way.
    pub delay: Nanoseconds,
    /// Added to `delay`, between nothing and this, evenly; it does not change the order.
    pub jitter: Nanoseconds,
    /// Bits per second of the line, preamble, FCS and gap included. Without, it takes no time.
    pub rate: Option<u64>,
    /// Bytes that wait for the line at most; frames beyond that are lost.
    pub queue: u64,
}

impl Default for DirectionImpairment {
    /// A perfect wire.
    fn default() -> DirectionImpairment {
        DirectionImpairment {
            loss: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            reseal: 0.0,
            reorder: 0.0,
            depth: 3,
            hold: Nanoseconds::from_millis(2),
            delay: Nanoseconds::ZERO,
            jitter: Nanoseconds::ZERO,
            rate: None,
            queue: 256 * 1024,
        }
    }
}

/// What happens to frames on a wire. Read from text such as `loss=1%,rx.delay=10ms,seed=7` by `parse`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Impairment {
    /// Where the random numbers begin.
    pub seed: u64,
    /// What happens to frames the NIC sends.
    pub tx: DirectionImpairment,
    /// What happens to frames the NIC is to receive.
    pub rx: DirectionImpairment,
}

/// What was done to frames that went one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirectionCounts {
    /// Frames that came in.
    pub frames: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Doubled.
    pub duplicated: u64,
    /// Damaged, with a bad FCS.
    pub corrupted: u64,
    /// Damaged, with a good FCS.
    pub resealed: u64,
    /// Overtaken.
    pub reordered: u64,
    /// Lost because too much waited for the line.
    pub queue_full: u64,
    /// Frames that went out.
    pub delivered: u64,
}

impl DirectionCounts {
    fn named(&self, names: [&'static str; 8]) -> impl Iterator<Item = Count> {
        let values = [self.frames, self.lost, self.duplicated, self.corrupted, self.resealed, self.reordered, self.queue_full, self.delivered];
        names.into_iter().zip(values)
    }
}

const TX_NAMES: [&str; 8] = ["tx: frames", "tx: lost", "tx: duplicated", "tx: corrupted", "tx: resealed", "tx: reordered", "tx: queue full", "tx: delivered"];
const RX_NAMES: [&str; 8] = ["rx: frames", "rx: lost", "rx: duplicated", "rx: corrupted", "rx: resealed", "rx: reordered", "rx: queue full", "rx: delivered"];

/// A frame held back.
#[derive(Debug)]
struct Held {
    frame: WireFrame,
    to_pass: u32,
    until: Nanoseconds,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    settings: DirectionImpairment,
    random: ChaCha8Rng,
    counts: DirectionCounts,
    held: VecDeque<Held>,
    /// Frames on their way, each with the time it arrives, in order.
    on_the_way: VecDeque<(Nanoseconds, WireFrame)>,
    line_free_at: Nanoseconds,
    last_arrival: Nanoseconds,
}

impl Lane {
    fn new(settings: DirectionImpairment, seed: u64, stream: u64) -> Lane {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Lane {
            settings,
            random,
            counts: DirectionCounts::default(),
            held: VecDeque::new(),
            on_the_way: VecDeque::new(),
            line_free_at: Nanoseconds::ZERO,
            last_arrival: Nanoseconds::ZERO,
        }
    }

    fn chance(&mut self, chance: f64) -> bool {
        // No number is drawn for what cannot happen, so that a chance of zero changes nothing else.
        chance > 0.0 && self.random.random::<f64>() < chance
    }

    fn enter(&mut self, now: Nanoseconds, frame: WireFrame) {
        self.release(now);
        self.counts.frames += 1;
        if self.chance(self.settings.loss) {
            self.counts.lost += 1;
            return;
        }
        if self.chance(self.settings.duplicate) {
            self.counts.duplicated += 1;
            self.damage_and_order(now, frame.clone());
        }
        self.damage_and_order(now, frame);
    }

    fn damage_and_order(&mut self, now: Nanoseconds, mut frame: WireFrame) {
        if self.chance(self.settings.corrupt) {
            corrupt(&mut frame, &mut self.random);
            self.counts.corrupted += 1;
        }
        if self.chance(self.settings.reseal) && reseal(&mut frame, &mut self.random) {
            self.counts.resealed += 1;
        }
        if self.chance(self.settings.reorder) && self.settings.depth > 0 {
            self.held.push_back(Held { frame, to_pass: self.settings.depth, until: now + self.settings.hold });
        } else {
            self.line(now, frame);
            self.overtake(now);
        }
    }

    /// One frame has passed those held back.
    fn overtake(&mut self, now: Nanoseconds) {
        for held in &mut self.held {
            held.to_pass = held.to_pass.saturating_sub(1);
        }
        while let Some(held) = self.held.pop_front_if(|held| held.to_pass == 0) {
            self.counts.reordered += 1;
            self.line(now, held.frame);
        }
    }

    /// Lets go of frames that were held back long enough.
    fn release(&mut self, now: Nanoseconds) {
        while let Some(held) = self.held.pop_front_if(|held| held.until <= now) {
            if held.to_pass < self.settings.depth {
                self.counts.reordered += 1;
            }
            self.line(held.until, held.frame);
        }
    }

    /// The line and the way after it.
    fn line(&mut self, now: Nanoseconds, frame: WireFrame) {
        let mut at = now;
        if let Some(rate) = self.settings.rate.filter(|rate| *rate > 0) {
            let bytes = u64::try_from(frame.bytes.len().max(MIN_FRAME)).unwrap_or(u64::MAX).saturating_add(OVERHEAD);
            let waiting = scale((self.line_free_at - now).0, rate, 8_000_000_000);
            if waiting.saturating_add(bytes) > self.settings.queue {
                self.counts.queue_full += 1;
                return;
            }
            self.line_free_at = self.line_free_at.max(now) + Nanoseconds(scale(bytes, 8_000_000_000, rate));
            at = self.line_free_at;
        }
        let jitter = match self.settings.jitter.0 {
            0 => 0,
            jitter => self.random.random_range(0..=jitter),
        };
        at = (at + self.settings.delay + Nanoseconds(jitter)).max(self.last_arrival);
        self.last_arrival = at;
        self.on_the_way.push_back((at, frame));
    }

    fn leave(&mut self, now: Nanoseconds) -> Option<WireFrame> {
        self.release(now);
        let (_, frame) = self.on_the_way.pop_front_if(|(at, _)| *at <= now)?;
        self.counts.delivered += 1;
        Some(frame)
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        let arrival = self.on_the_way.front().map(|(at, _)| *at);
        // Held in the order they came, all for the same time: the first is the first to go.
        let release = self.held.front().map(|held| held.until);
        arrival.into_iter().chain(release).min()
    }
}

/// `value * factor / divisor`, without overflow in between.
fn scale(value: u64, factor: u64, divisor: u64) -> u64 {
    let exact = u128::from(value) * u128::from(factor) / u128::from(divisor.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX)
}

/// Flips some bits of one byte. The FCS stays that of the old bytes, and a burst that short never goes unnoticed.
fn corrupt(frame: &mut WireFrame, random: &mut ChaCha8Rng) {
    if frame.bytes.is_empty() {
        return;
    }
    let before = fcs(&frame.bytes);
    let at = random.random_range(0..frame.bytes.len());
    if let Some(byte) = frame.bytes.get_mut(at) {
        *byte ^= random.random_range(1..=255);
    }
    frame.fcs_xor ^= before ^ fcs(&frame.bytes);
}

/// The FCS of a frame as it goes over the wire, padded.
fn fcs(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(bytes);
    crc.update([0; MIN_FRAME].get(bytes.len()..).unwrap_or_default());
    crc.finalize()
}

/// Flips a bit that a checksum inside covers; false if there is none.
fn reseal(frame: &mut WireFrame, random: &mut ChaCha8Rng) -> bool {
    let Ok(eth) = EthernetFrame::parse(&frame.bytes) else { return false };
    let Ok(ip) = Ipv4Packet::parse(eth.payload()) else { return false };
    let covered = match ip.protocol() {
        IpProtocol::TCP | IpProtocol::ICMP => ip.header().len() + ip.payload().len(),
        _ => ip.header().len(),
    };
    let at = eth.repr().header_len() + random.random_range(0..covered);
    let bit = random.random_range(0..8);
    if let Some(byte) = frame.bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
    true
}

/// A wire with faults.
#[derive(Debug)]
pub struct Impaired<W> {
    inner: W,
    tx: Lane,
    rx: Lane,
}

impl<W: Wire> Impaired<W> {
    /// Puts faults before a wire.
    pub fn new(inner: W, impairment: &Impairment) -> Impaired<W> {
        let Impairment { seed, tx, rx } = *impairment;
        Impaired { inner, tx: Lane::new(tx, seed, 0), rx: Lane::new(rx, seed, 1) }
    }

    /// What was done to frames that the NIC sent.
    pub fn tx_counts(&self) -> DirectionCounts {
        self.tx.counts
    }

    /// What was done to frames for the NIC.
    pub fn rx_counts(&self) -> DirectionCounts {
        self.rx.counts
    }

    /// The wire inside.
    pub fn inner(&self) -> &W {
        &self.inner
    }

    /// Hands on what has come through.
    fn flush(&mut self, now: Nanoseconds) -> Result<(), WireError> {
        while let Some(frame) = self.tx.leave(now) {
            self.inner.send(now, frame)?;
        }
        Ok(())
    }
}

impl<W: Wire> Wire for Impaired<W> {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        self.tx.enter(now, frame);
        self.flush(now)
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        self.flush(now)?;
        loop {
            if let Some(frame) = self.rx.leave(now) {
                return Ok(Some(frame));
            }
            match self.inner.receive(now)? {
                Some(frame) => self.rx.enter(now, frame),
                None => return Ok(None),
            }
        }
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        [self.tx.next_event(), self.rx.next_event(), self.inner.next_event()].into_iter().flatten().min()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }

    fn counts(&self) -> Vec<Count> {
        let mut counts: Vec<_> = self.tx.counts.named(TX_NAMES).chain(self.rx.counts.named(RX_NAMES)).collect();
        counts.extend(self.inner.counts());
        counts
    }
}
