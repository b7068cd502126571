//! Several things at once: what is compared is what cannot depend on their order.
//!
//! Every flow is a stream in each direction between a peer who breaks no window and a host who gives bytes. However an engine mixes them up, in the
//! end the bytes lie where they belong, all of them are acknowledged, and both directions are at the same point.

use super::pair::{Difference, Episode};
use super::stimulus::Stimulus;
use crate::engine::Engine;
use crate::rig::{FlowSetup, Piece};
use rand::seq::SliceRandom;
use rand::Rng;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event;

/// Bytes that the peer sends in a round, at most; far below the window.
const MOST: u32 = 12_000;

/// A round: some flows are installed, streams go both ways in a crowd of segments and commands, the flows are removed.
pub(super) fn round<E: Engine>(episode: &mut Episode<E>) -> Result<(), Box<Difference>> {
    let places = episode.sides.len();
    let mut stimuli = Vec::new();
    let mut ends = Vec::new();
    for place in 0..places {
        let setup = setup(episode, place);
        episode.install_as(place, setup)?;
        let (theirs, ours) = (episode.random.random_range(0..MOST), episode.random.random_range(0..MOST));
        stimuli.extend(received(episode, &setup, theirs));
        stimuli.extend(sent(episode, &setup, place, ours));
        ends.push((setup, theirs, ours));
    }
    stimuli.shuffle(&mut episode.random);
    // The host's limits must not go back: put each flow's in order again.
    in_order(&mut stimuli);
    for stimulus in &stimuli {
        episode.apply(stimulus)?;
    }
    episode.settle()?;
    // What was sent is acknowledged, as far as it goes.
    for (setup, theirs, ours) in &ends {
        let piece = Piece { seq: setup.rcv_nxt.wrapping_add(*theirs), ack: setup.snd_una.wrapping_add(*ours), wnd: 65535, flags: 0x10, timestamp: None };
        episode.apply(&Stimulus::Frame(setup.frame(&piece, &[]), true))?;
    }
    episode.settle()?;
    episode.drop_outcomes();
    (0..places).try_for_each(|place| compare(episode, place, &ends[place]))
}

fn setup<E: Engine>(episode: &mut Episode<E>, place: usize) -> FlowSetup {
    let random = &mut episode.random;
    let start = |n: u32| 0_u32.wrapping_sub(n);
    let base = FlowSetup::new(episode.sides[place].number, start(random.random_range(0..20_000)), start(random.random_range(0..20_000)));
    FlowSetup {
        receive_base: (1 << 32) + ((place as u64) << 20),
        send_base: (2 << 32) + ((place as u64) << 20),
        remote_port: 40_000 + u16::try_from(place).unwrap_or(0),
        nodelay: true,
        timestamps: random.random(),
        snd_mss: [1460, 536, 100][random.random_range(0..3)],
        ..base
    }
}

/// The peer's stream, cut at random, some of it twice.
fn received<E: Engine>(episode: &mut Episode<E>, setup: &FlowSetup, length: u32) -> Vec<Stimulus> {
    let random = &mut episode.random;
    let mut segments = Vec::new();
    let mut at = 0;
    while at < length {
        let part = random.random_range(1..=1400).min(length - at);
        let back = random.random_range(0..=at.min(100));
        let seq = setup.rcv_nxt.wrapping_add(at - back);
        let payload: Vec<u8> = (0..part + back).map(|k| byte(seq.wrapping_add(k))).collect();
        let piece = Piece { seq, ack: setup.snd_una, wnd: 65535, flags: 0x10, timestamp: None };
        let frame = setup.frame(&piece, &payload);
        if random.random_ratio(1, 8) {
            segments.push(Stimulus::Frame(frame.clone(), false));
        }
        segments.push(Stimulus::Frame(frame, true));
        at += part;
    }
    segments
}

fn byte(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b1) >> 24).to_le_bytes()[0]
}

/// The host's stream in pieces, with resends and other commands between.
fn sent<E: Engine>(episode: &mut Episode<E>, setup: &FlowSetup, place: usize, length: u32) -> Vec<Stimulus> {
    let random = &mut episode.random;
    let (mut stimuli, mut at) = (Vec::new(), 0);
    let command = |opcode| Command::new(opcode, setup.number, command::REARM);
    let bytes = (0..length).map(|_| random.random()).collect();
    stimuli.push(Stimulus::Fill(place, setup.snd_una, bytes));
    while at < length {
        at += random.random_range(1..=3000).min(length - at);
        stimuli.push(Stimulus::Commands(vec![command(Opcode::Send).with(command::SEND_LIMIT, setup.snd_una.wrapping_add(at).into())]));
        if random.random_ratio(1, 3) {
            let one = Command::new(Opcode::Resend, setup.number, [0, command::RESEND_ONE][random.random_range(0..2)]);
            stimuli.push(Stimulus::Commands(vec![one.with(command::RESEND_FROM, setup.snd_una.into())]));
        }
        if random.random_ratio(1, 3) {
            stimuli.push(Stimulus::Commands(vec![command(Opcode::AckNow)]));
        }
    }
    stimuli
}

/// Bytes for the send ring first, and each flow's SEND commands by their limit (as they were made).
fn in_order(stimuli: &mut [Stimulus]) {
    stimuli.sort_by_key(|s| !matches!(s, Stimulus::Fill(..)));
    let is_send = |s: &Stimulus| matches!(s, Stimulus::Commands(c) if c[0].opcode() == Some(Opcode::Send));
    let places: Vec<usize> = (0..stimuli.len()).filter(|&k| is_send(&stimuli[k])).collect();
    let mut sends: Vec<Stimulus> = places.iter().map(|&k| stimuli[k].clone()).collect();
    // The peer's sequence space may wrap: every limit is less than 2^31 from the first byte, below 0 or above.
    sends.sort_by_key(|s| match s {
        Stimulus::Commands(c) => u32::try_from(c[0].get(command::SEND_LIMIT)).unwrap_or(0).cast_signed(),
        _ => 0,
    });
    places.into_iter().zip(sends).for_each(|(k, send)| stimuli[k] = send);
}

/// Both streams of a flow have come to their end in both engines.
fn compare<E: Engine>(episode: &mut Episode<E>, place: usize, (setup, theirs, ours): &(FlowSetup, u32, u32)) -> Result<(), Box<Difference>> {
    episode.compare_ring(place)?;
    let removed = episode.removed(place)?;
    let fields = [event::RCV_NXT, event::SND_UNA, event::SND_NXT, event::SND_MAX, event::RANGES, event::FLAGS];
    let told = |k: usize| removed[k].map(|e| fields.map(|field| e.get(field)));
    if told(0) != told(1) {
        let text = |k| format!("{:?} = {:?}", fields.map(|f| f.name), told(k));
        return Err(episode.difference(format!("flow {} at its end", setup.number), text(0), text(1)));
    }
    let sent = setup.snd_una.wrapping_add(*ours);
    let expected = [setup.rcv_nxt.wrapping_add(*theirs), sent, sent, sent, 0, 0];
    // A peer that sent more holes than there are ranges has lost some bytes for good.
    let lost = told(0).is_some_and(|t| t[0] != expected[0]);
    if !lost && told(0) != Some(expected) {
        return Err(episode.difference(format!("flow {} at its end", setup.number), format!("{:?}", told(0)), format!("expected {expected:?}")));
    }
    Ok(())
}
