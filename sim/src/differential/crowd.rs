//! Several things at once: what is compared is what cannot depend on their order.
//!
//! Every flow is a stream in each direction between a peer who breaks no window and a host who gives bytes. However an engine mixes them up, in the
//! end the bytes lie where they belong, all of them are acknowledged, and both directions are at the same point.

use super::difference::Difference;
use super::pair::Episode;
use super::stimulus::Stimulus;
use crate::engine::Engine;
use crate::rig::{FlowSetup, Piece};
use rand::seq::SliceRandom;
use rand::Rng;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event;

/// Bytes that the peer sends in a round, at most; far below the window.
const MOST: u32 = 12_000;

/// One flow of a round: how many bytes go each way, and whether a FIN follows them.
struct Streams {
    setup: FlowSetup,
    theirs: u32,
    their_fin: bool,
    ours: u32,
    our_fin: bool,
}

/// A round: some flows are installed, streams go both ways in a crowd of segments and commands, what was lost comes again, the flows are removed.
pub(super) fn round<E: Engine>(episode: &mut Episode<E>) -> Result<(), Box<Difference>> {
    let places = episode.sides.len();
    let mut stimuli = Vec::new();
    let mut all = Vec::new();
    for place in 0..places {
        let setup = setup(episode, place);
        episode.install_as(place, setup)?;
        let random = &mut episode.random;
        let (theirs, ours) = (random.random_range(0..MOST), random.random_range(0..MOST));
        let streams = Streams { setup, theirs, their_fin: random.random(), ours, our_fin: ours > 0 && random.random() };
        stimuli.extend(received(episode, &streams));
        stimuli.extend(sent(episode, &streams, place));
        all.push(streams);
    }
    stimuli.shuffle(&mut episode.random);
    in_order(&mut stimuli);
    for stimulus in &stimuli {
        episode.apply(stimulus)?;
    }
    episode.settle()?;
    all.iter().try_for_each(|streams| mend(episode, streams))?;
    episode.drop_outcomes();
    (0..places).try_for_each(|place| compare(episode, place, &all[place]))
}

/// The peer sends everything once more, in order and without haste (ranges were short, a buffer was full), and acknowledges all.
fn mend<E: Engine>(episode: &mut Episode<E>, streams: &Streams) -> Result<(), Box<Difference>> {
    let setup = &streams.setup;
    let ack = setup.snd_una.wrapping_add(streams.ours).wrapping_add(streams.our_fin.into());
    for at in (0..=streams.theirs).step_by(1400) {
        let length = (streams.theirs - at).min(1400);
        let fin = u8::from(streams.their_fin && at + length == streams.theirs);
        let seq = setup.rcv_nxt.wrapping_add(at);
        let payload: Vec<u8> = (0..length).map(|k| byte(seq.wrapping_add(k))).collect();
        let piece = Piece { seq, ack, wnd: 65535, flags: 0x10 | fin, timestamp: None };
        episode.apply(&Stimulus::Frame(setup.frame(&piece, &payload), true))?;
        episode.settle()?;
    }
    // What was old was not looked at, its ACK field neither.
    let seq = setup.rcv_nxt.wrapping_add(streams.theirs).wrapping_add(streams.their_fin.into());
    let piece = Piece { seq, ack, wnd: 65535, flags: 0x10, timestamp: None };
    episode.apply(&Stimulus::Frame(setup.frame(&piece, &[]), true))?;
    episode.settle()
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
fn received<E: Engine>(episode: &mut Episode<E>, streams: &Streams) -> Vec<Stimulus> {
    let (setup, length) = (&streams.setup, streams.theirs);
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
fn sent<E: Engine>(episode: &mut Episode<E>, streams: &Streams, place: usize) -> Vec<Stimulus> {
    let (setup, length) = (&streams.setup, streams.ours);
    let random = &mut episode.random;
    let (mut stimuli, mut at) = (Vec::new(), 0);
    let command = |opcode, flags| Command::new(opcode, setup.number, flags | command::REARM);
    let bytes = (0..length).map(|_| random.random()).collect();
    stimuli.push(Stimulus::Fill(place, setup.snd_una, bytes));
    while at < length {
        at += random.random_range(1..=3000).min(length - at);
        let fin = if at == length && streams.our_fin { command::FIN } else { 0 };
        stimuli.push(Stimulus::Commands(vec![command(Opcode::Send, fin).with(command::SEND_LIMIT, setup.snd_una.wrapping_add(at).into())]));
        if random.random_ratio(1, 3) {
            let one = Command::new(Opcode::Resend, setup.number, [0, command::RESEND_ONE][random.random_range(0..2)]);
            stimuli.push(Stimulus::Commands(vec![one.with(command::RESEND_FROM, setup.snd_una.into())]));
        }
        if random.random_ratio(1, 3) {
            stimuli.push(Stimulus::Commands(vec![command(Opcode::AckNow, 0)]));
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
fn compare<E: Engine>(episode: &mut Episode<E>, place: usize, streams: &Streams) -> Result<(), Box<Difference>> {
    episode.compare_ring(place)?;
    let removed = episode.removed(place)?;
    let fields = [event::RCV_NXT, event::SND_UNA, event::SND_NXT, event::SND_MAX, event::RANGES, event::FLAGS];
    let flag = |on: bool, bit: u8| if on { u32::from(bit) } else { 0 };
    let sent = streams.setup.snd_una.wrapping_add(streams.ours).wrapping_add(streams.our_fin.into());
    let received = streams.setup.rcv_nxt.wrapping_add(streams.theirs).wrapping_add(streams.their_fin.into());
    let flags = flag(streams.their_fin, event::FIN_RECEIVED) | flag(streams.our_fin, event::FIN_QUEUED);
    let expected = [received, sent, sent, sent, 0, flags];
    for (told, name) in removed.iter().zip(["the model", "the other engine"]) {
        let told = told.map(|e| fields.map(|field| e.get(field)));
        if told != Some(expected) {
            let what = format!("flow {} in {name} at its end: {:?}", streams.setup.number, fields.map(|f| f.name));
            return Err(episode.difference(what, format!("expected {expected:?}"), format!("{told:?}")));
        }
    }
    Ok(())
}
