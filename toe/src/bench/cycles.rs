//! What is counted in cycles, at the ports of the RTL. It depends on nothing but the engine: the same at every run.

use super::figure::{Figure, Target};
use super::load::{wire_cycles, Load, World};
use anyhow::{ensure, Context, Result};
use std::ops::RangeInclusive;
use toe_sim::rig::{FlowSetup, Piece, Rig, Settings};
use toe_sim::root_complex::Timing;
use toe_sim::verilated::{Sight, Sighting, Verilated};
use toe_wire::TcpFlags;

/// Payload of a segment with timestamps in a frame of 1514 bytes, and in the smallest frame without.
const WHOLE: u16 = 1448;
const SMALLEST: u16 = 6;
/// Flows at once, beside one and as many as there are.
const SOME: u16 = 64;
/// Of what a wire can carry.
const SHARE: f64 = 0.99;
/// Cycles from the end of a frame to the beginning of its ACK, and to the end of its payload in memory less the transfer.
const MOST_LATENCY: f64 = 60.0;
/// A bus that delays, but always alike.
const STEADY: Timing = Timing { jitter: 0, stall: 0, ..Timing::PCIE };

/// Frames at both ends of a measurement among which the one that was placed soonest counts.
const ENDS: usize = 64;

const RATE: &str = "payload bytes/cycle";
const PACE: &str = "cycles/segment";
const CYCLES: &str = "cycles";

/// Everything, with so many segments of full size in each direction.
///
/// # Errors
/// The engine lost or spoiled something that nobody had lost or spoiled before.
pub(crate) fn measure(segments: u32, progress: &dyn Fn(&str)) -> Result<Vec<Figure>> {
    let most = flows()?;
    let mut figures = Vec::new();
    for count in [1, SOME, most] {
        let named = |what: &str| format!("{what}_{count}_flow{}", if count == 1 { "" } else { "s" });
        let load = |receive, send| Load { flows: count, payload: WHOLE, timestamps: true, receive, send, timing: Timing::PCIE };
        let target = Some(Target::AtLeast(SHARE * f64::from(WHOLE) / wire_cycles(WHOLE, true)));
        // With more flows more of them, so that not each is a flow's first or last.
        let whole = segments * u32::from(count / SOME).max(1);
        progress(&named("receive"));
        let seen = Seen::of(load(whole, 0))?;
        figures.push(Figure::exact(named("receive"), seen.rate_in()?, RATE, target)?);
        progress(&named("send"));
        let seen = Seen::of(load(0, whole))?;
        figures.push(Figure::exact(named("send"), seen.rate_out()?, RATE, target)?);
        progress(&named("both"));
        let seen = Seen::of(load(whole, whole))?;
        figures.push(Figure::exact(named("both_receive"), seen.rate_in()?, RATE, target)?);
        figures.push(Figure::exact(named("both_send"), seen.rate_out()?, RATE, target)?);
        progress(&named("smallest"));
        let small = Load { payload: SMALLEST, timestamps: false, receive: segments * 8, timing: STEADY, ..load(0, 0) };
        let seen = Seen::of(small)?;
        let target = Some(Target::AtMost(wire_cycles(SMALLEST, false)));
        figures.push(Figure::exact(named("smallest_receive"), f64::from(SMALLEST) / seen.rate_in()?, PACE, target)?);
        // So many that a receive buffer which is left more slowly than it is filled must overflow.
        let seen = Seen::of(Load { receive: segments * 32, ..small })?;
        figures.push(Figure::exact(named("smallest_receive_dropped"), seen.drops as f64, "segments", Some(Target::AtMost(0.0)))?);
        let acks = seen.frames_out.len() as f64 / seen.frames_in.len() as f64;
        figures.push(Figure::exact(named("smallest_receive_acks"), acks, "ACKs/segment", None)?);
        if seen.whole {
            figures.push(Figure::exact(named("smallest_receive_delay_max"), seen.longest_delay()? as f64, CYCLES, None)?);
        }
    }
    progress("latencies");
    figures.extend(latencies(segments)?);
    Ok(figures)
}

/// How many flows the engine has.
fn flows() -> Result<u16> {
    let mut rig = Rig::new(Verilated::new(1), Settings::default())?;
    Ok(u16::try_from(rig.read(&toe_contract::register::FLOWS))?)
}

/// What the probe saw of a load.
struct Seen {
    sightings: Vec<Sighting>,
    /// Payload bytes of the frames in and out, in order.
    frames_in: Vec<u64>,
    frames_out: Vec<u64>,
    /// Bytes written into receive rings, with the cycle.
    placed: Vec<(u64, u64)>,
    whole: bool,
    drops: u64,
}

impl Seen {
    fn of(load: Load) -> Result<Seen> {
        let mut world = World::new(Verilated::new(1), load)?;
        world.rig.engine.set_probe(true);
        let whole = world.run()?;
        let sightings = world.rig.engine.take_sightings();
        let placed = sightings.iter().filter_map(|s| match s.sight {
            Sight::Written { iova, bytes, .. } if world.is_payload(iova) => Some((s.cycle, bytes)),
            _ => None,
        });
        let placed = placed.collect();
        let drops = world.drops();
        ensure!(whole || drops > 0, "{load:?}: the engine lost something without counting it");
        ensure!(world.rig.engine.spoiled() == 0, "{load:?}: {} frames spoiled on the wire", world.rig.engine.spoiled());
        Ok(Seen { sightings, frames_in: world.frames_in, frames_out: world.frames_out, placed, whole, drops })
    }

    fn cycles_of(&self, sight: Sight) -> Vec<u64> {
        self.sightings.iter().filter(|s| s.sight == sight).map(|s| s.cycle).collect()
    }

    /// Payload bytes a cycle that come in and are placed. While all is well both go at the same pace, and the slower counts; if
    /// something was dropped, it is everything placed, from the first frame's beginning to the last one's end.
    fn rate_in(&self) -> Result<f64> {
        let ends = self.cycles_of(Sight::EndIn);
        let arrivals = payloads(&ends, &self.frames_in)?;
        if !self.whole {
            let placed: u64 = self.placed.iter().map(|(_, bytes)| bytes).sum();
            let begin = self.sightings.iter().find(|s| s.sight == Sight::StartIn).context("no frame")?.cycle;
            let end = self.placed.last().map_or(0, |p| p.0).max(ends.last().copied().unwrap_or(0));
            return Ok(placed as f64 / (end - begin) as f64);
        }
        let written = self.written(&arrivals)?;
        let delay = |k: usize| written[k] - arrivals[k].0;
        let (first, last) = middle(arrivals.len())?;
        // Alike at both ends: the frame that was placed soonest of the first ones and of the last ones. What the engine did besides at that moment, for
        // ten cycles once, is no pace.
        let some = ENDS.min((last - first) / 4);
        let soonest = |range: RangeInclusive<usize>, parity: usize| range.filter(|k| k % 2 == parity).min_by_key(|k| delay(*k)).context("too few frames");
        let from = soonest(first..=first + some, first % 2)?;
        let to = soonest(last - some..=last, first % 2)?;
        let bytes: u64 = arrivals[from + 1..=to].iter().map(|a| a.1).sum();
        let came = arrivals[to].0 - arrivals[from].0;
        Ok(bytes as f64 / came.max(written[to] - written[from]) as f64)
    }

    /// When the payload of each frame had been written, with all before it.
    fn written(&self, arrivals: &[(u64, u64)]) -> Result<Vec<u64>> {
        let (mut placed, mut sum, mut expected, mut at) = (self.placed.iter(), 0, 0, 0);
        let mut written = Vec::with_capacity(arrivals.len());
        for (_, bytes) in arrivals {
            expected += bytes;
            while sum < expected {
                let (cycle, more) = placed.next().context("a payload was not written")?;
                (sum, at) = (sum + more, *cycle);
            }
            written.push(at);
        }
        Ok(written)
    }

    /// Cycles from a frame's last column to its payload's last write, at most.
    fn longest_delay(&self) -> Result<u64> {
        let arrivals = payloads(&self.cycles_of(Sight::EndIn), &self.frames_in)?;
        let delays = self.written(&arrivals)?.into_iter().zip(arrivals).map(|(w, a)| w - a.0);
        delays.max().context("no frame")
    }

    /// Payload bytes a cycle that go out.
    fn rate_out(&self) -> Result<f64> {
        let departures = payloads(&self.cycles_of(Sight::EndOut), &self.frames_out)?;
        let (from, to) = middle(departures.len())?;
        let bytes: u64 = departures[from + 1..=to].iter().map(|d| d.1).sum();
        Ok(bytes as f64 / (departures[to].0 - departures[from].0) as f64)
    }
}

/// When each frame with payload ended, and how much it held.
fn payloads(ends: &[u64], bytes: &[u64]) -> Result<Vec<(u64, u64)>> {
    ensure!(ends.len() == bytes.len(), "frames seen on the wire: expected {}, found {}", bytes.len(), ends.len());
    Ok(ends.iter().copied().zip(bytes.iter().copied()).filter(|(_, b)| *b > 0).collect())
}

/// What is measured of so many frames: the middle eight tenths, an even number of steps.
fn middle(frames: usize) -> Result<(usize, usize)> {
    let from = frames / 10;
    let steps = (frames * 8 / 10) & !1;
    ensure!(steps > 0 && from + steps < frames, "{frames} frames are too few to measure");
    Ok((from, from + steps))
}

const FLOW: (u32, u32) = (1_000_000, 2_000_000);

/// Latencies of segments that come alone, of sizes of all kinds.
fn latencies(segments: u32) -> Result<Vec<Figure>> {
    // At least 3: all sizes together are to fit the flow's ring.
    let step = usize::try_from((7 * 600 / segments.max(1)).max(3) | 1)?;
    let sizes: Vec<usize> = (1..=usize::from(WHOLE)).step_by(step).chain([usize::from(WHOLE)]).collect();
    let (mut turns, mut writes) = (Vec::new(), Vec::new());
    for timestamps in [false, true] {
        let mut one = Single::new(timestamps)?;
        for size in &sizes {
            // Beyond a hole; each reaches further than the one before.
            let seen = one.segment(one.rcv_nxt + 4000, *size)?;
            turns.push(seen.ack.context("an out-of-order segment was not acknowledged at once")?);
            writes.push(seen.written);
        }
        let mut one = Single::new(timestamps)?;
        for size in &sizes {
            writes.push(one.segment(one.rcv_nxt, *size)?.written);
            one.rcv_nxt += u32::try_from(*size)?;
        }
    }
    let mut figures = spread("ack_turn_around", turns)?;
    figures.extend(spread("wire_to_memory", writes)?);
    Ok(figures)
}

/// The least, the middle and the greatest, which has the target.
fn spread(name: &str, mut values: Vec<u64>) -> Result<Vec<Figure>> {
    values.sort_unstable();
    let (Some(min), Some(max)) = (values.first(), values.last()) else { return Ok(vec![]) };
    let median = values[values.len() / 2];
    Ok(vec![
        Figure::exact(format!("{name}_min"), *min as f64, CYCLES, None)?,
        Figure::exact(format!("{name}_median"), median as f64, CYCLES, None)?,
        Figure::exact(format!("{name}_max"), *max as f64, CYCLES, Some(Target::AtMost(MOST_LATENCY)))?,
    ])
}

/// One flow, and one segment at a time.
struct Single {
    rig: Rig<Verilated>,
    setup: FlowSetup,
    rcv_nxt: u32,
}

/// Cycles from the column with a segment's Terminate.
struct Latency {
    /// To the column with the Start of its ACK.
    ack: Option<u64>,
    /// To the last beat of its payload at the memory bus, less its beats.
    written: u64,
}

impl Single {
    fn new(timestamps: bool) -> Result<Single> {
        let (irs, iss) = FLOW;
        let mut rig = Rig::new(Verilated::new(1), Settings::default())?;
        let setup = FlowSetup { receive_log2: 20, rcv_wscale: 5, rcv_adv: irs + (1 << 20), timestamps, ..FlowSetup::new(0, irs, iss) };
        rig.ring_memory(setup.receive_base, 1 << setup.receive_log2)?;
        rig.ring_memory(setup.send_base, 1 << setup.send_log2)?;
        for command in setup.commands() {
            rig.post(command)?;
        }
        rig.settle()?;
        Ok(Single { rig, setup, rcv_nxt: irs })
    }

    fn segment(&mut self, seq: u32, size: usize) -> Result<Latency> {
        self.rig.engine.set_probe(true);
        let piece = Piece { seq, ack: FLOW.1, wnd: u16::MAX, flags: TcpFlags::ACK.0, timestamp: self.setup.timestamps.then_some((1000, 0)) };
        let frame = self.setup.frame(&piece, &vec![0x5a; size]);
        self.rig.push(&frame, true);
        self.rig.settle()?;
        let seen = self.rig.engine.take_sightings();
        let at = |wanted: Sight| seen.iter().find(|s| s.sight == wanted).map(|s| s.cycle);
        let end = at(Sight::EndIn).context("no frame went in")?;
        let ring = self.setup.receive_base..self.setup.receive_base + (1 << self.setup.receive_log2);
        let (mut last, mut transfer, mut placed) = (0, 0, 0);
        for sighting in &seen {
            match sighting.sight {
                Sight::Written { iova, bytes, beats } if ring.contains(&iova) => (last, transfer, placed) = (sighting.cycle, transfer + beats, placed + bytes),
                _ => {}
            }
        }
        ensure!(placed == size as u64, "bytes placed: expected {size}, found {placed}");
        Ok(Latency { ack: at(Sight::StartOut).map(|start| start - end), written: (last - end).saturating_sub(transfer) })
    }
}
