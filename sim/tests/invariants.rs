//! Every invariant can fail: an engine that breaks it is found out by its number.

#[path = "support/liar.rs"]
mod liar;

use liar::Liar;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event};
use toe_sim::invariants::Watched;
use toe_sim::model::Model;
use toe_sim::rig::{FlowSetup, Piece, Rig, RigError, Settings, EVENT_IOVA};
use toe_sim::root_complex::RootComplex;
use toe_wire::{SeqNumber, TcpFlags, TcpSegment};

const IRS: u32 = 1000;
const ISS: u32 = 5000;

/// A rig with a flow that has received 100 bytes and sent 100, in which nothing is wrong yet.
fn rig(change: fn(&mut TcpSegment<'_>), spoil: fn(&mut RootComplex)) -> (Rig<Watched<Liar>>, FlowSetup) {
    let liar = Liar::new(change);
    let mut rig = Rig::new(Watched::new(liar), Settings::default()).expect("memory");
    let setup = FlowSetup::new(0, IRS, ISS);
    rig.ring_memory(setup.receive_base, 1 << 16).expect("memory");
    rig.ring_memory(setup.send_base, 1 << 16).expect("memory");
    for command in setup.commands() {
        rig.post(command).expect("room");
    }
    rig.check().expect("nothing was sent yet");
    rig.engine.inner_mut().spoil = spoil;
    (rig, setup)
}

/// The violations when data comes, is acknowledged, and data is sent.
fn violations(change: fn(&mut TcpSegment<'_>), spoil: fn(&mut RootComplex)) -> String {
    let (mut rig, setup) = rig(change, spoil);
    let piece = Piece { seq: IRS, ack: ISS, wnd: 1000, flags: 0x10, timestamp: None };
    rig.push(&setup.frame(&piece, &[7; 100]), true);
    let mut found = Vec::new();
    let mut look = |rig: &mut Rig<Watched<Liar>>| match rig.check() {
        Ok(()) => {}
        Err(RigError::Violations(all)) => found.extend(all),
        Err(error) => panic!("{error}"),
    };
    look(&mut rig);
    rig.events();
    for command in [
        Command::new(Opcode::AckNow, 0, command::REARM),
        Command::new(Opcode::Send, 0, 0).with(command::SEND_LIMIT, u64::from(ISS) + 100),
        Command::new(Opcode::AckNow, 0, command::REARM),
    ] {
        rig.post(command).expect("room");
        look(&mut rig);
    }
    let piece = Piece { seq: IRS + 100, ack: ISS + 100, ..piece };
    rig.push(&setup.frame(&piece, &[7; 100]), true);
    look(&mut rig);
    look(&mut rig);
    found.join("\n")
}

fn honest(_: &mut TcpSegment<'_>) {}

fn clean(_: &mut RootComplex) {}

#[test]
fn an_honest_engine_is_not_accused() {
    assert_eq!(violations(honest, clean), "");
}

/// With the whole ring announced, the last segment of the window and the first missing one are neighbours in it: two writes, not one.
#[test]
fn the_end_of_the_window_and_its_beginning_are_neighbours_in_the_ring() {
    let mut rig = Rig::new(Watched::new(Model::default()), Settings::default()).expect("memory");
    let setup = FlowSetup { rcv_wscale: 1, rcv_adv: IRS + (1 << 16), ..FlowSetup::new(0, IRS, ISS) };
    rig.ring_memory(setup.receive_base, 1 << setup.receive_log2).expect("memory");
    for command in setup.commands() {
        rig.post(command).expect("room");
    }
    rig.check().expect("nothing was sent yet");
    for seq in [setup.rcv_adv - 100, IRS] {
        rig.push(&setup.frame(&Piece { seq, ack: ISS, wnd: 1000, flags: 0x10, timestamp: None }, &[7; 100]), true);
    }
    rig.check().expect("both are in the window");
}

fn expect(number: u8, found: &str) {
    assert!(found.contains(&format!("Invariant {number}:")), "expected a violation of invariant {number}, found {found:?}");
}

#[test]
fn invariant_1_writes_outside_rings_and_beyond_the_window() {
    expect(1, &violations(honest, |host| host.write(0x4000_0000, &[1]).expect("mapped")));
    // The window's edge is at 65535 of a ring of 65536: the byte before the first is beyond it.
    expect(1, &violations(honest, |host| host.write(FlowSetup::new(0, 0, 0).receive_base + u64::from(IRS) - 1, &[1]).expect("mapped")));
    expect(1, &violations(|tcp| tcp.window = tcp.window.saturating_add(400), clean));
}

#[test]
fn invariant_2_the_announced_edge_goes_back() {
    expect(2, &violations(|tcp| tcp.window = if tcp.seq.0 > ISS { 100 } else { tcp.window }, clean));
}

/// Writes an event with another RCV.NXT over the one that is there.
fn told(host: &mut RootComplex, change: impl Fn(u32) -> u32) {
    let mut bytes = [0; event::SIZE];
    host.read(EVENT_IOVA, &mut bytes).expect("mapped");
    let told = Event::from_bytes(bytes);
    if told.get(event::KIND) != 0 {
        host.write(EVENT_IOVA, &told.with(event::RCV_NXT, change(told.get(event::RCV_NXT))).to_bytes()).expect("mapped");
    }
}

#[test]
fn invariant_2_rcv_nxt_passes_bytes_that_never_came() {
    expect(2, &violations(honest, |host| told(host, |nxt| nxt.max(IRS + 500))));
}

#[test]
fn invariant_3_bytes_of_no_good_frame_are_placed() {
    expect(3, &violations(honest, |host| host.write(FlowSetup::new(0, 0, 0).receive_base + u64::from(IRS) + 300, &[1]).expect("mapped")));
}

#[test]
fn invariant_4_an_ack_of_what_never_came_or_of_less_than_before() {
    expect(4, &violations(|tcp| tcp.ack = SeqNumber(tcp.ack.0 + 1), clean));
    expect(4, &violations(|tcp| tcp.ack = if tcp.payload.is_empty() { tcp.ack } else { SeqNumber(IRS - 1) }, clean));
    expect(4, &violations(|tcp| tcp.ack = if tcp.seq.0 > ISS { SeqNumber(tcp.ack.0 - 1) } else { tcp.ack }, clean));
}

#[test]
fn invariant_5_more_than_the_window_is_sent() {
    let (mut rig, setup) = rig(honest, clean);
    let closed = Piece { seq: IRS, ack: ISS, wnd: 10, flags: 0x10, timestamp: None };
    rig.push(&setup.frame(&closed, &[]), true);
    rig.check().expect("all is well");
    let cwnd = Command::new(Opcode::Cwnd, 0, 0).with(command::CWND_CWND, 0);
    rig.post(cwnd).expect("room");
    rig.check().expect("all is well");
    let limit = Command::new(Opcode::Send, 0, 0).with(command::SEND_LIMIT, u64::from(ISS) + 100);
    rig.post(limit).expect("room");
    rig.check().expect("all is well");
    rig.engine.inner_mut().change = |tcp| tcp.seq = SeqNumber(ISS + 70_000);
    rig.post(Command::new(Opcode::Resend, 0, command::RESEND_ONE).with(command::RESEND_FROM, u64::from(ISS))).expect("room");
    let found = rig.check().expect_err("sent beyond everything").to_string();
    expect(5, &found);
    expect(6, &found);
}

#[test]
fn invariant_6_what_the_host_did_not_give_is_sent_or_read() {
    expect(6, &violations(|tcp| tcp.flags |= if tcp.payload.is_empty() { TcpFlags::NONE } else { TcpFlags::FIN }, clean));
    let read = |host: &mut RootComplex| host.read(FlowSetup::new(0, 0, 0).send_base + u64::from(ISS) + 4096, &mut [0; 8]).expect("mapped");
    expect(6, &violations(honest, read));
}

#[test]
fn invariant_7_ranges_that_contradict_the_flags() {
    let spoil = |host: &mut RootComplex| {
        let mut bytes = [0; event::SIZE];
        host.read(EVENT_IOVA, &mut bytes).expect("mapped");
        host.write(EVENT_IOVA, &Event::from_bytes(bytes).with(event::RANGES, 3).to_bytes()).expect("mapped");
    };
    expect(7, &violations(honest, spoil));
}
