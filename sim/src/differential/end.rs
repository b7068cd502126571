//! How an episode ends: in order, by a reset under load, or by a fault of the bus.
//!
//! In the last two, what was under way may or may not have been done. What has come out is the beginning of what the model did; and then nothing more.

use super::burst;
use super::difference::Difference;
use super::pair::{outcome, Episode, Outcome, RING};
use crate::engine::Engine;
use crate::rig::RigError;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use toe_contract::counter::{self, COUNTERS};
use toe_contract::register;

/// Cycles in which something that should have stopped would show.
const WATCH: u64 = 400;
/// The most cycles that the frames on the wire take.
const DEADLINE: u64 = 100_000;
/// Counters of the receiving MAC.
const MAC: [usize; 8] = [
    counter::MAC_RX_FRAMES,
    counter::MAC_RX_BYTES,
    counter::MAC_RX_BAD_FCS,
    counter::MAC_RX_RUNT,
    counter::MAC_RX_OVERSIZE,
    counter::MAC_RX_ERROR,
    counter::MAC_RX_BAD_PREAMBLE,
    counter::MAC_RX_FILTERED,
];

/// The kinds, as [`Report::ends`](super::Report::ends) counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Removal,
    Reset,
    Fault,
}

impl End {
    pub(super) fn of(random: &mut ChaCha8Rng) -> End {
        match random.random_range(0..4) {
            0 => End::Reset,
            1 => End::Fault,
            _ => End::Removal,
        }
    }
}

/// A reset in the middle of a burst: no DMA behind its acknowledgement, no frame cut off, and then everything as after power on.
pub(super) fn reset<E: Engine>(episode: &mut Episode<E>) -> Result<(), Box<Difference>> {
    burst::begin(episode)?;
    let cycles = episode.random.random_range(0..2000);
    episode.other.work(cycles);
    let operations = episode.other.engine.take_operations();
    episode.follow(operations)?;
    episode.other.reset().map_err(|error| episode.failed(&error))?;
    let operations = episode.other.engine.take_operations();
    episode.follow(operations)?;
    stopped(episode, "after a reset")?;
    compare_beginnings(episode, true)?;
    // Frames that came after it were counted, at whatever time.
    for done in [episode.reference.reset(), episode.other.reset()] {
        done.map_err(|error| episode.failed(&error))?;
    }
    episode.other.engine.take_operations();
    episode.sides.iter_mut().for_each(|side| side.setup = None);
    let registers = register::GLOBAL.iter().map(|r| (r.name, r.offset)).chain(register::CONTEXT.iter().map(|r| (r.name, register::CONTEXTS + r.offset)));
    for (name, offset) in registers.filter(|r| ![register::TIME_LO.name, register::TIME_HI.name, register::STATUS.name].contains(&r.0)) {
        let model = episode.reference.engine.register_read(offset, &mut episode.reference.host);
        let other = episode.other.engine.register_read(offset, &mut episode.other.host);
        if model != other {
            return Err(episode.difference(format!("register {name} after a reset"), format!("{model:#x}"), format!("{other:#x}")));
        }
    }
    compare_counters(episode, 0..COUNTERS.len(), "after a reset")
}

/// A ring that is not there any more.
pub(super) fn fault<E: Engine>(episode: &mut Episode<E>) -> Result<(), Box<Difference>> {
    let place = episode.random.random_range(0..episode.sides.len());
    let (receive, send) = episode.sides[place].iovas;
    let (iova, bytes) = match episode.random.random_range(0..4) {
        0 | 1 => (receive, RING as u64),
        2 => (send, RING as u64),
        _ => episode.reference.event_ring(),
    };
    episode.note(format!("{}: {iova:#x} is not mapped any more", episode.step));
    let unmapped = episode.reference.host.unmap(iova, bytes).and_then(|()| episode.other.host.unmap(iova, bytes));
    unmapped.map_err(|error| episode.failed(&error.into()))?;
    burst::begin(episode)?;
    let (operations, _) = episode.let_other_rest()?;
    episode.follow(operations)?;
    let faults = [episode.reference.read(&register::STATUS), episode.other.read(&register::STATUS)].map(|s| register::STATUS_FAULT.get(s));
    if faults[0] != faults[1] {
        return Err(episode.difference("STATUS.FAULT".into(), faults[0].to_string(), faults[1].to_string()));
    }
    compare_beginnings(episode, false)?;
    episode.sides.iter_mut().for_each(|side| side.setup = None);
    if faults[0] == 0 {
        return Ok(());
    }
    burst::begin(episode)?;
    stopped(episode, "after a fault")?;
    let frames = episode.other.frames();
    if let Some(frame) = frames.first() {
        return Err(episode.difference("after a fault".into(), "nothing is sent".into(), format!("{frame:02x?}")));
    }
    episode.follow(Vec::new())?;
    compare_counters(episode, MAC, "after a fault")
}

/// The frames on the wire pass; there is no access to memory from now on.
fn stopped<E: Engine>(episode: &mut Episode<E>, when: &str) -> Result<(), Box<Difference>> {
    let (before, start) = (episode.other.host.statistics(), episode.other.engine.cycles());
    loop {
        episode.other.work(WATCH);
        if episode.other.engine.backlog() == 0 && !episode.other.engine.busy() {
            break;
        }
        let cycles = episode.other.engine.cycles().wrapping_sub(start);
        if cycles > DEADLINE {
            return Err(episode.failed(&RigError::Busy { cycles }));
        }
    }
    let after = episode.other.host.statistics();
    if before == after {
        return Ok(());
    }
    Err(episode.difference(format!("memory {when}"), format!("{before:?}"), format!("{after:?}")))
}

/// The frames that came out of the engine are the first of those that the model sent; if `all` is false, the model may have stopped before.
fn compare_beginnings<E: Engine>(episode: &mut Episode<E>, all: bool) -> Result<(), Box<Difference>> {
    let (model, other) = (outcome(&mut episode.reference, (false, false)), outcome(&mut episode.other, (false, false)));
    for pure in [true, false] {
        let [ours, theirs] = [&model, &other].map(|o: &Outcome| burst::kind(&o.frames, pure));
        let unlike = ours.iter().zip(&theirs).find(|(a, b)| a != b);
        if let Some((ours, theirs)) = unlike {
            return Err(episode.difference("a frame before the end".into(), format!("{ours:02x?}"), format!("{theirs:02x?}")));
        }
        if all && theirs.len() > ours.len() {
            return Err(episode.difference("frames before the end".into(), ours.len().to_string(), theirs.len().to_string()));
        }
    }
    Ok(())
}

fn compare_counters<E: Engine>(episode: &mut Episode<E>, which: impl IntoIterator<Item = usize>, when: &str) -> Result<(), Box<Difference>> {
    for number in which {
        let (model, other) = (episode.reference.counter(number), episode.other.counter(number));
        if model != other {
            return Err(episode.difference(format!("counter {} {when}", COUNTERS[number].name), model.to_string(), other.to_string()));
        }
    }
    Ok(())
}
