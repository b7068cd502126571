//! What is done to both engines, chosen at random with an eye on the reference's state.

use super::craft::{junk, options, spoil, Crafted};
use crate::model::{relative, Flow};
use crate::rig::FlowSetup;
use crate::time::Nanoseconds;
use rand::seq::IndexedRandom;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::fmt;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::{register, CHALLENGE_LOG2, FLOWS, TICK_SHIFT};

const FIN: u8 = 0x01;
const ACK: u8 = 0x10;

/// One thing done to both engines.
#[derive(Clone)]
pub(super) enum Stimulus {
    /// A frame from the wire.
    Frame(Vec<u8>, bool),
    /// Bytes into the send ring of the flow in that place, from a sequence number on.
    Fill(usize, u32, Vec<u8>),
    /// Commands, told by one doorbell.
    Commands(Vec<Command>),
    /// A frame in host memory, and the command for it (its address is put in).
    Buffered(Vec<u8>, Command),
    /// Time passes.
    Pass(Nanoseconds),
    /// A register of the whole engine is written.
    Register(&'static register::Register, u32),
    /// The interrupt is armed.
    Arm,
    /// Raw slots are given back from now on, or not.
    KeepRaws(bool),
    /// Events are taken from now on, or not.
    KeepEvents(bool),
}

impl fmt::Debug for Stimulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stimulus::Frame(frame, fcs_ok) => {
                let told = toe_wire::parse_tcp_frame(frame);
                write!(f, "frame of {} bytes, FCS {}: ", frame.len(), if *fcs_ok { "good" } else { "bad" })?;
                match told {
                    Ok(t) => {
                        let (seq, ack, wnd, len) = (t.tcp.seq.0, t.tcp.ack.0, t.tcp.window, t.tcp.payload.len());
                        let stamps = t.tcp.options.timestamps().map(|t| (t.value, t.echo_reply));
                        write!(f, "to {} port {} seq {seq} ack {ack} wnd {wnd} len {len} {} ts {stamps:?}", t.eth.dst, t.tcp.src_port, t.tcp.flags)
                    }
                    Err(error) => {
                        write!(f, "{error}: ")?;
                        frame.iter().try_for_each(|b| write!(f, "{b:02x}"))
                    }
                }
            }
            Stimulus::Fill(flow, seq, bytes) => write!(f, "{} bytes into the send ring of flow {flow} from {seq}", bytes.len()),
            Stimulus::Commands(commands) => {
                commands.iter().try_for_each(|c| write!(f, "[{:?} flow {} flags {:#x} {:x?}] ", c.opcode(), c.flow(), c.flags(), &c.0[1..]))
            }
            Stimulus::Buffered(frame, c) => write!(f, "{:?} {:x?} of {:?}", c.opcode(), &c.0[..], Stimulus::Frame(frame.clone(), true)),
            Stimulus::Pass(time) => write!(f, "{time} pass"),
            Stimulus::Register(register, value) => write!(f, "{} = {value:#x}", register.name),
            Stimulus::Arm => f.write_str("interrupt armed"),
            Stimulus::KeepRaws(keep) => write!(f, "raw slots kept: {keep}"),
            Stimulus::KeepEvents(keep) => write!(f, "events kept: {keep}"),
        }
    }
}

/// One of these, with these weights.
fn choose<T: Copy>(random: &mut ChaCha8Rng, of: &[(u32, T)]) -> T {
    of.choose_weighted(random, |c| c.0).map_or(of[0].1, |c| c.1)
}

/// A number near another.
fn near(random: &mut ChaCha8Rng, n: u32) -> u32 {
    n.wrapping_add(random.random_range(0..7)).wrapping_sub(3)
}

fn distance(a: u32, b: u32) -> u32 {
    relative(a, b).max(0).unsigned_abs()
}

/// Bytes of headers that a frame of the peer has at most, with a tag, all options and padding.
const HEADERS: u32 = 118;

/// A flow as random as it can be, whose rings are small; `longest` is MAX_FRAME.
pub(super) fn setup(random: &mut ChaCha8Rng, number: u16, port: u16, rings: (u64, u64), longest: u32) -> FlowSetup {
    let start = |random: &mut ChaCha8Rng| {
        let wraps = 0_u32.wrapping_sub(random.random_range(0..6000));
        choose(random, &[(3, wraps), (1, 0x8000_0000_u32.wrapping_sub(1000)), (1, 12345)]).wrapping_add(random.random_range(0..100))
    };
    let (irs, iss) = (start(random), start(random));
    let receive_log2 = choose(random, &[(6, 12), (2, 13), (1, 16)]);
    let rcv_wscale = choose(random, &[(4, 0), (1, 1), (1, 3), (1, 7), (1, 12)]);
    let size = 1_u32 << receive_log2;
    let announced = choose(random, &[(4, size), (1, 0), (1, size / 2), (1, 1)]).min(65535 << rcv_wscale);
    let jumbo = u16::try_from(longest - HEADERS).unwrap_or(1400);
    let snd_mss = choose(random, &[(20, 1440), (10, jumbo), (20, 536), (8, 100), (1, 7)]);
    let outstanding = choose(random, &[(4, 0), (1, 1000)]);
    let snd_wnd = choose(random, &[(4, 4000), (2, 65535), (1, 0), (1, 100), (1, 1 << 20)]);
    let base = FlowSetup::new(number, irs, iss);
    FlowSetup {
        vlan: random.random_ratio(1, 4).then(|| random.random()),
        remote_port: port,
        local_port: choose(random, &[(1, 80), (1, 443)]),
        receive_base: rings.0,
        send_base: rings.1,
        receive_log2,
        send_log2: choose(random, &[(6, 12), (2, 13), (1, 16)]),
        snd_wscale: choose(random, &[(4, 0), (1, 2), (1, 7), (1, 14)]),
        rcv_wscale,
        snd_mss,
        rcv_mss: choose(random, &[(3, 1460), (2, 536), (1, 100), (1, 9000)]),
        timestamps: random.random(),
        nodelay: random.random(),
        ts_offset: random.random(),
        rcv_adv: irs.wrapping_add(announced),
        ts_recent: choose(random, &[(1, 0), (1, u32::MAX - 3), (1, 0x7fff_ffff)]),
        snd_nxt: iss.wrapping_add(outstanding),
        limit: iss.wrapping_add(outstanding).wrapping_add(choose(random, &[(3, 0), (1, 500)])),
        fin: random.random_ratio(1, 16),
        quiet: random.random_ratio(1, 4),
        snd_wnd,
        cwnd: choose(random, &[(3, 1 << 20), (2, 3000), (1, 0)]),
        ..base
    }
}

/// A segment for the flow, good or not.
pub(super) fn segment(flow: &Flow, setup: &FlowSetup, longest: u32, random: &mut ChaCha8Rng) -> Stimulus {
    let mut crafted = crafted(flow, setup, longest, random);
    if random.random_ratio(1, 24) {
        crafted.padding = random.random_range(1..30);
    }
    if random.random_ratio(1, 200) {
        // A byte too long, or just not.
        crafted.padding = (longest as usize + random.random_range(0..2)).saturating_sub(crafted.frame(setup).len());
    }
    let mut frame = crafted.frame(setup);
    let fcs_ok = !random.random_ratio(1, 64);
    if random.random_ratio(1, 20) {
        spoil(&mut frame, random);
    }
    Stimulus::Frame(frame, fcs_ok)
}

fn crafted(flow: &Flow, setup: &FlowSetup, longest: u32, random: &mut ChaCha8Rng) -> Crafted {
    let (seq, length) = place(flow, longest - HEADERS, random);
    let timestamp = timestamp(flow, random);
    let fin = random.random_ratio(1, 20);
    let rare = choose(random, &[(94, 0), (1, 0x02), (2, 0x04), (1, 0x20), (2, 0x40 | 0x80)]);
    let psh = u8::from(random.random::<bool>()) << 3;
    let ack_flag = if random.random_ratio(1, 64) { 0 } else { ACK };
    let tags = match setup.vlan {
        Some(tag) if !random.random_ratio(1, 16) => vec![tag],
        None if random.random_ratio(1, 32) => vec![random.random()],
        _ => vec![],
    };
    Crafted {
        seq,
        ack: acknowledgement(flow, random),
        wnd: window(flow, random),
        flags: ack_flag | rare | psh | if fin { FIN } else { 0 },
        options: options(timestamp, random),
        payload: (0..length).map(|_| random.random()).collect(),
        tags,
        padding: 0,
    }
}

/// Where a segment begins and how long it is.
fn place(flow: &Flow, most: u32, random: &mut ChaCha8Rng) -> (u32, usize) {
    let nxt = flow.rcv_nxt;
    let room = distance(flow.rcv_adv, nxt);
    let edges: Vec<u32> = flow.ranges.iter().flat_map(|r| [r.0, r.1]).chain([nxt, flow.rcv_adv]).collect();
    let edge = edges.choose(random).copied().unwrap_or(nxt);
    let inside = nxt.wrapping_add(random.random_range(0..=room));
    let before = nxt.wrapping_sub(random.random_range(1..2000));
    let seq = match random.random_range(0..100) {
        0..35 => nxt,
        35..60 => inside,
        60..75 => edge,
        75..85 => near(random, edge),
        85..93 => before,
        93..96 => near(random, flow.fin_seq),
        96..98 => near(random, nxt.wrapping_sub(flow.receive_size())),
        _ => random.random(),
    };
    let target = edges.choose(random).copied().unwrap_or(nxt);
    let to_target = distance(target, seq).min(most);
    let any = random.random_range(0..=most);
    let small = random.random_range(1..=16);
    let medium = random.random_range(1..=300);
    let length = choose(random, &[(25, 0), (20, small), (25, medium), (5, any), (15, to_target), (5, to_target + 1), (5, 1)]);
    (seq, length.min(most) as usize)
}

fn acknowledgement(flow: &Flow, random: &mut ChaCha8Rng) -> u32 {
    let una = flow.snd_una;
    let out = distance(flow.snd_max, una);
    match random.random_range(0..100) {
        0..30 => una,
        30..50 => flow.snd_max,
        50..75 => una.wrapping_add(random.random_range(0..=out)),
        75..82 => near(random, flow.snd_nxt),
        82..88 => near(random, flow.snd_max),
        88..92 => una.wrapping_sub(random.random_range(1..3000)),
        92..96 => near(random, una.wrapping_sub(flow.max_wnd)),
        _ => random.random(),
    }
}

fn window(flow: &Flow, random: &mut ChaCha8Rng) -> u16 {
    let same = u16::try_from(flow.snd_wnd >> flow.snd_wscale).unwrap_or(u16::MAX);
    let small = random.random_range(0..3000);
    let any = random.random();
    choose(random, &[(50, same), (8, 0), (20, small), (12, 4000), (10, any)])
}

fn timestamp(flow: &Flow, random: &mut ChaCha8Rng) -> Option<(u32, u32)> {
    if flow.timestamps == random.random_ratio(1, 10) {
        return None;
    }
    let recent = flow.ts_recent;
    let val = match random.random_range(0..20) {
        0..14 => recent.wrapping_add(random.random_range(0..4)),
        14..17 => recent.wrapping_sub(random.random_range(1..4)),
        17 => recent.wrapping_add(1 << 31),
        18 => recent.wrapping_add((1 << 31) - 1),
        _ => random.random(),
    };
    Some((val, random.random()))
}

/// A command for an active flow that the driver could give.
pub(super) fn command(flow: &Flow, setup: &FlowSetup, place: usize, random: &mut ChaCha8Rng) -> Vec<Stimulus> {
    let quiet = if random.random_ratio(1, 4) { command::QUIET } else { 0 };
    let rearm = quiet | if random.random_ratio(2, 3) { command::REARM } else { 0 };
    let make = |opcode, flags: u8| Command::new(opcode, setup.number, flags | rearm);
    let one = |c: Command| vec![Stimulus::Commands(vec![c])];
    match random.random_range(0..100) {
        0..30 => send(flow, setup, place, rearm, random),
        30..50 => {
            let read = distance(flow.rcv_nxt, flow.rcv_consumed);
            let part = random.random_range(0..=read);
            let consumed = flow.rcv_consumed.wrapping_add(choose(random, &[(2, read), (2, part), (1, part.min(100))]));
            one(make(Opcode::Consumed, 0).with(command::CONSUMED_RCV_CONSUMED, consumed.into()))
        }
        50..62 => {
            let any = random.random_range(0..5000);
            let cwnd = choose(random, &[(3, 1 << 20), (3, any), (1, 0), (1, u32::MAX)]);
            one(make(Opcode::Cwnd, 0).with(command::CWND_CWND, cwnd.into()))
        }
        62..80 => {
            let out = distance(flow.snd_max, flow.snd_una);
            let part = random.random_range(0..=out);
            let from = flow.snd_una.wrapping_add(choose(random, &[(2, 0), (2, part), (1, out)]));
            let flags = if random.random() { command::RESEND_ONE } else { 0 };
            one(make(Opcode::Resend, flags).with(command::RESEND_FROM, from.into()))
        }
        80..86 => one(make(Opcode::AckNow, 0)),
        _ => one(make(Opcode::Rearm, 0)),
    }
}

/// More bytes in the send ring, and the command that tells of them.
fn send(flow: &Flow, setup: &FlowSetup, place: usize, rearm: u8, random: &mut ChaCha8Rng) -> Vec<Stimulus> {
    // Some 40 segments at once are enough.
    let most = (40 * u32::from(setup.snd_mss)).min(20_000);
    let room = flow.send_size().saturating_sub(distance(flow.limit, flow.snd_una)).min(most);
    let part = random.random_range(0..=room);
    let more = choose(random, &[(5, part.min(200)), (3, part.min(3000)), (2, part), (1, room.min(20_000))]);
    let fin = if random.random_ratio(1, 24) { command::FIN } else { 0 };
    let bytes = (0..more).map(|_| random.random()).collect();
    let limit = flow.limit.wrapping_add(more);
    let send = Command::new(Opcode::Send, setup.number, fin | rearm).with(command::SEND_LIMIT, limit.into());
    if flow.fin_queued {
        return vec![Stimulus::Commands(vec![send])];
    }
    vec![Stimulus::Fill(place, flow.limit, bytes), Stimulus::Commands(vec![send])]
}

/// A command that is wrong in some way, or may be.
pub(super) fn wrong_command(flow: &Flow, setup: &FlowSetup, longest: u32, random: &mut ChaCha8Rng) -> Stimulus {
    let flows = u16::try_from(FLOWS).unwrap_or(u16::MAX);
    let command = match random.random_range(0..7) {
        0 => Command([u32::from(choose(random, &[(1, 0_u8), (1, 14), (1, 255)])) | u32::from(setup.number) << 16, 1, 2, 3, 4, 5, 6, 7]),
        1 => {
            let opcode = Opcode::ALL.choose(random).copied().unwrap_or(Opcode::Rearm);
            let beyond = random.random_range(flows..=u16::MAX);
            Command::new(opcode, choose(random, &[(1, flows), (1, beyond)]), random.random())
        }
        2 => {
            let limit = near(random, flow.limit).wrapping_sub(2);
            Command::new(Opcode::Send, setup.number, 0)
                .with(command::SEND_LIMIT, choose(random, &[(1, limit), (1, flow.snd_una.wrapping_add(flow.send_size() + 1))]).into())
        }
        3 => {
            let at = choose(random, &[(1, flow.rcv_nxt.wrapping_add(1)), (1, flow.rcv_consumed.wrapping_sub(1))]);
            Command::new(Opcode::Consumed, setup.number, command::REARM).with(command::CONSUMED_RCV_CONSUMED, at.into())
        }
        4 => {
            let at = choose(random, &[(1, flow.snd_una.wrapping_sub(1)), (1, flow.snd_max.wrapping_add(1))]);
            Command::new(Opcode::Resend, setup.number, random.random_range(0..2)).with(command::RESEND_FROM, at.into())
        }
        5 => setup.commands().choose(random).copied().unwrap_or_default(),
        _ => {
            let opcode = [Opcode::Raw, Opcode::Inject].choose(random).copied().unwrap_or(Opcode::Raw);
            Command::new(opcode, 0, 0).with(command::RAW_LENGTH, choose(random, &[(1, 0), (1, 13), (1, u64::from(longest) + 1), (1, 65535)]))
        }
    };
    Stimulus::Commands(vec![command])
}

/// A frame of the host: to be sent, or to be received.
pub(super) fn buffered(flow: &Flow, setup: &FlowSetup, longest: u32, random: &mut ChaCha8Rng) -> Stimulus {
    if random.random() {
        inject(flow, setup, longest, random)
    } else {
        raw(longest, random)
    }
}

/// A frame of the host to be received.
pub(super) fn inject(flow: &Flow, setup: &FlowSetup, longest: u32, random: &mut ChaCha8Rng) -> Stimulus {
    let frame = if random.random() { crafted(flow, setup, longest, random).frame(setup) } else { junk(setup, random) };
    let c = Command::new(Opcode::Inject, 0, 0).with(command::INJECT_LENGTH, frame.len() as u64);
    Stimulus::Buffered(frame, c)
}

/// A frame of the host to be sent.
pub(super) fn raw(longest: u32, random: &mut ChaCha8Rng) -> Stimulus {
    let length: usize = choose(random, &[(1, 14), (1, 59), (2, 60), (1, longest as usize), (3, 100), (1, 15)]);
    let frame: Vec<u8> = (0..length).map(|_| random.random()).collect();
    let mut c = Command::new(Opcode::Raw, 0, 0).with(command::RAW_LENGTH, length as u64);
    if random.random() {
        let start = random.random_range(0..length);
        let offset = random.random_range(0..length - 1);
        c = Command::new(Opcode::Raw, 0, command::RAW_CHECKSUM)
            .with(command::RAW_LENGTH, length as u64)
            .with(command::RAW_CHECKSUM_START, start as u64)
            .with(command::RAW_CHECKSUM_OFFSET, offset as u64);
    }
    Stimulus::Buffered(frame, c)
}

/// A frame that concerns no flow.
pub(super) fn stray(setup: &FlowSetup, random: &mut ChaCha8Rng) -> Stimulus {
    let mut frame = junk(setup, random);
    if random.random_ratio(1, 4) {
        spoil(&mut frame, random);
    }
    Stimulus::Frame(frame, !random.random_ratio(1, 16))
}

/// Time, interrupts, rings that fill up, filters; TRANSMIT off only if it `holds` (what is held back depends on time).
pub(super) fn surroundings(delayed_ack: u32, holds: bool, random: &mut ChaCha8Rng) -> Stimulus {
    let tick = 1_u64 << TICK_SHIFT;
    let little = random.random_range(0..3_000_000);
    let filter = random.random_range(0..4);
    let transmit = register::CONTROL_TRANSMIT.put(random.random_range(0..3).min(1));
    match random.random_range(0..20) {
        0..12 => Stimulus::Pass(Nanoseconds(choose(random, &[(10, little), (5, u64::from(delayed_ack) * tick), (2, tick << CHALLENGE_LOG2), (1, tick)]))),
        12..16 => Stimulus::Arm,
        16 if random.random() => {
            let transmit = if holds { transmit } else { register::CONTROL_TRANSMIT.mask() };
            Stimulus::Register(&register::CONTROL, transmit | register::CONTROL_RECEIVE.put(random.random_range(0..4).min(1)))
        }
        16 => Stimulus::KeepRaws(random.random()),
        17 => Stimulus::KeepEvents(random.random()),
        _ => Stimulus::Register(&register::FILTER, choose(random, &[(4, 0), (1, filter)])),
    }
}
