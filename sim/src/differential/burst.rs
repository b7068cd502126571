//! Many stimuli back to back, at the pace of the wire, and everything compared behind them.
//!
//! What an engine does under load depends on time in one thing: the order of operations. So the model is told that order and does the same operations
//! ([`Model::guide`](crate::model::Model::guide)); what comes of each, and that there is one to do, is its own finding. Then events, raw frames,
//! memory, interrupts and counters are the same to the last bit, and so are frames, but that a pure ACK may overtake segments that wait.
//!
//! Not determined, so kept out of a burst: a lookup at the moment in which its flow is installed, the order of injected frames and those from the wire,
//! registers that change while frames are under way. They are done one at a time between bursts; and nothing is injected while the engine stands, for then
//! the frame waits before the receive path, and those of the next burst pass it.

use super::difference::Difference;
use super::pair::{Episode, Outcome};
use super::stimulus::{self, Stimulus};
use crate::engine::Engine;
use crate::model::{relative, Flow};
use crate::rig::FlowSetup;
use crate::time::Nanoseconds;
use rand::Rng;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event};
use toe_contract::TICK_SHIFT;
use toe_wire::{parse_tcp_frame, TcpFlags};

/// Stimuli of a burst, at most.
const MOST: usize = 160;
/// Bytes of the frames of a burst, at most: no bus is so slow that the receive buffer fills up.
const MOST_BYTES: usize = 20 << 10;

/// What a burst has done to a flow so far.
#[derive(Default)]
struct Hand {
    /// The flow as it may be by then.
    ahead: Option<Flow>,
    installs: bool,
    /// What it was installed with, if it is removed.
    removed: Option<FlowSetup>,
}

/// A burst, or something that is done by itself.
pub(super) fn step<E: Engine>(episode: &mut Episode<E>) -> Result<(), Box<Difference>> {
    if episode.random.random_ratio(1, 8) {
        alone(episode)?;
    } else {
        burst(episode)?;
    }
    episode.let_commands_end()?;
    // There was no room in the flow table: it is tried again.
    for place in 0..episode.sides.len() {
        if episode.sides[place].setup.is_some() && !episode.flow(place).active {
            episode.held[2] += 1;
            episode.sides[place].setup = None;
        }
    }
    Ok(())
}

fn burst<E: Engine>(episode: &mut Episode<E>) -> Result<(), Box<Difference>> {
    let touched = begin(episode)?;
    episode.compare_all()?;
    touched.into_iter().try_for_each(|place| episode.compare_ring(place))
}

/// Does everything to both, and waits for nothing; gives the places of the flows.
pub(super) fn begin<E: Engine>(episode: &mut Episode<E>) -> Result<Vec<usize>, Box<Difference>> {
    let mut hands: Vec<Hand> = episode.sides.iter().map(|_| Hand::default()).collect();
    let (mut bytes, mut place) = (0, 0);
    for _ in 0..episode.random.random_range(1..=MOST) {
        if episode.random.random_ratio(2, 3) {
            place = episode.random.random_range(0..episode.sides.len());
        }
        for stimulus in choose(episode, place, &mut hands[place]) {
            match &stimulus {
                Stimulus::Frame(frame, _) => bytes += frame.len(),
                _ => episode.let_frames_pass(),
            }
            episode.apply(&stimulus)?;
        }
        if bytes > MOST_BYTES {
            break;
        }
    }
    Ok((0..hands.len()).filter(|place| hands[*place].ahead.is_some()).collect())
}

/// What is exact only by itself.
fn alone<E: Engine>(episode: &mut Episode<E>) -> Result<(), Box<Difference>> {
    let place = episode.random.random_range(0..episode.sides.len());
    let (delayed_ack, longest) = (episode.delayed_ack, episode.max_frame);
    let flow = episode.flow(place);
    let stimulus = match episode.sides[place].setup {
        Some(setup) if episode.random.random_ratio(1, 4) && !episode.stands => stimulus::inject(&flow, &setup, longest, &mut episode.random),
        _ => stimulus::surroundings(delayed_ack, true, &mut episode.random),
    };
    episode.apply(&stimulus)?;
    episode.compare_all()
}

fn choose<E: Engine>(episode: &mut Episode<E>, place: usize, hand: &mut Hand) -> Vec<Stimulus> {
    let longest = episode.max_frame;
    let Some(setup) = hand.removed.or(episode.sides[place].setup).filter(|_| !hand.installs) else {
        if std::mem::replace(&mut hand.installs, true) {
            return Vec::new();
        }
        return episode.new_flow(place);
    };
    let flow = hand.ahead.get_or_insert_with(|| episode.flow(place));
    let random = &mut episode.random;
    let tick = tick(episode.reference.now);
    let kind = if hand.removed.is_some() { 0 } else { random.random_range(0..1000) };
    match kind {
        0..800 => {
            let stimulus = stimulus::segment(flow, &setup, longest, random);
            if let Stimulus::Frame(frame, true) = &stimulus {
                flow.foresee(frame, tick);
            }
            vec![stimulus]
        }
        800..965 => {
            let wrong = kind >= 950;
            let mut stimuli = if wrong { vec![stimulus::wrong_command(flow, &setup, longest, random)] } else { stimulus::command(flow, &setup, place, random) };
            // A segment that was planned, and acknowledged since, goes out with what its bytes are overwritten with: when, nobody says.
            stimuli.retain(|s| !episode.stands || !matches!(s, Stimulus::Fill(..)));
            if let Some(Stimulus::Commands(commands)) = stimuli.last() {
                commands.iter().filter(|c| c.opcode() == Some(Opcode::Send) && c.flow() == setup.number).for_each(|c| foresee_send(flow, c));
            }
            stimuli
        }
        965..975 => vec![stimulus::raw(longest, random)],
        975..993 => vec![stimulus::stray(&setup, random)],
        _ => {
            // The number is used again when the removal has been told: not in this burst.
            hand.removed = episode.sides[place].setup.take();
            vec![Stimulus::Commands(vec![Command::new(Opcode::Remove, setup.number, 0)])]
        }
    }
}

/// Bytes are put into the send ring behind those of the command before, which may not have been taken yet, or may have been refused.
fn foresee_send(flow: &mut Flow, send: &Command) {
    let limit = u32::try_from(send.get(command::SEND_LIMIT)).unwrap_or(flow.limit);
    if !flow.fin_queued && relative(limit, flow.limit) >= 0 {
        flow.limit = limit;
        flow.fin_queued = send.flags() & command::FIN != 0;
    }
}

fn tick(now: Nanoseconds) -> u32 {
    let [a, b, c, d, ..] = (now.0 >> TICK_SHIFT).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Frames of both in an order that both allow: pure ACKs among themselves, all others among themselves, and no segment before an ACK that was made
/// before it. True: they were in another. What differs otherwise stays as it is.
pub(super) fn bring_into_order(model: &Outcome, other: &mut Outcome) -> bool {
    if model.frames == other.frames {
        return false;
    }
    let same = |pure| kind(&model.frames, pure) == kind(&other.frames, pure);
    let places = |frames: &[Vec<u8>]| -> Vec<usize> { (0..frames.len()).filter(|k| !is_pure(&frames[*k])).collect() };
    // ACKs before a segment: as many as its place, less the segments before it.
    let (ours, theirs) = (places(&model.frames), places(&other.frames));
    let behind = ours.iter().zip(theirs).filter(|(a, _)| parse_tcp_frame(&model.frames[**a]).is_ok()).all(|(a, b)| *a <= b);
    let allowed = same(true) && same(false) && behind;
    if allowed {
        other.frames.clone_from(&model.frames);
    }
    allowed
}

/// Pure ACKs, or everything else, in their order.
pub(super) fn kind(frames: &[Vec<u8>], pure: bool) -> Vec<&Vec<u8>> {
    frames.iter().filter(|frame| is_pure(frame) == pure).collect()
}

fn is_pure(frame: &[u8]) -> bool {
    parse_tcp_frame(frame).is_ok_and(|t| t.tcp.payload.is_empty() && t.tcp.flags == TcpFlags::ACK)
}

/// How many commands were taken is told as of the moment in which a record is written: as many as the model says at least, `posted` at most.
pub(super) fn allow_consumed(model: &Event, other: &mut Event, posted: u32) {
    let [least, found] = [model.get(event::SUBMISSION_CONSUMED), other.get(event::SUBMISSION_CONSUMED)];
    let far = |count: u32| count.wrapping_sub(least) & 0xffff;
    if far(found) <= far(posted) {
        *other = other.with(event::SUBMISSION_CONSUMED, least);
    }
}
