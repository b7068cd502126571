//! A device that lies, in virtual time: each lie by name. It stops the stack with an error that names it, and every socket is told why.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use support::pair::{connect, drain, feed, pattern, Pair};
use support::peer::ACK;
use support::world::Setup;
use toe_contract::command::{Command, Opcode};
use toe_contract::event::{self, Event, Field, Kind};
use toe_contract::raw::Reason;
use toe_contract::register::{self, Register};
use toe_contract::NO_FLOW;
use toe_driver::{Bus, BusError, Nanoseconds, NicError};
use toe_host_lib::stack::{CHECK_INTERVAL, REMOVAL_DEADLINE};
use toe_host_lib::StackError;
use toe_wire::{build_tcp_frame, EtherType, EthernetRepr, IpProtocol, Ipv4Repr, MacAddr, SeqNumber, TcpFlags, TcpSegment};

/// How long the driver waits for a device in these tests.
const DEADLINE: Nanoseconds = Nanoseconds::from_millis(1);
/// One look at the device, with the time that polling it takes here.
const LOOK: Nanoseconds = Nanoseconds(CHECK_INTERVAL.0 + 2_000_000);

/// A connection over which bytes have gone both ways, all of them acknowledged; node 1 is the one whose device will lie.
fn scene() -> Pair {
    let mut pair = connect(&Setup { deadline: DEADLINE, ..Setup::default() });
    let sent = pattern(3000, 1);
    for (from, to) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        let (mut rest, mut heard) = (&sent[..], Vec::new());
        assert!(feed(from, &mut rest), "the rings have room");
        pair.world.run_until(Nanoseconds::from_secs(5), "the bytes", |_| {
            drain(to, &mut heard);
            heard.len() == sent.len() && from.unacknowledged() == 0
        });
    }
    pair.world.run_for(Nanoseconds::from_millis(300));
    pair
}

/// The honest last event of the connection.
fn base(pair: &Pair) -> Event {
    let last = pair.world.nodes[1].liar.last_event();
    assert_eq!(last.get(event::KIND), Kind::Flow as u32, "the last event is the flow's");
    last
}

fn add(field: Field, amount: u32) -> impl Fn(Event) -> Event {
    move |e| e.with(field, e.get(field).wrapping_add(amount))
}

fn set(field: Field, value: u32) -> impl Fn(Event) -> Event {
    move |e| e.with(field, value)
}

/// Everybody who has to do with the failed stack is told of it, as often as he asks.
fn assert_told(pair: &Pair, why: &str) {
    for _ in 0..2 {
        let errors = [
            (&pair.server).read(&mut [0; 10]).expect_err("no bytes, and no end either"),
            (&pair.server).write(&[0; 10]).expect_err("nobody sends it"),
            pair.server.shutdown(std::net::Shutdown::Write).expect_err("nobody sends it"),
            pair.listener.accept().map(|_| ()).expect_err("nobody comes"),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NetworkDown, "{error}");
            assert!(error.to_string().contains(why), "expected {why:?}, found {error}");
        }
    }
}

/// A lie about a flow, and the field that the error names.
type Lie = (&'static str, Box<dyn Fn(Event) -> Event>, &'static str);

fn lie(name: &'static str, change: impl Fn(Event) -> Event + 'static, what: &'static str) -> Lie {
    (name, Box::new(change), what)
}

fn flow_lies() -> Vec<Lie> {
    let command = |opcode, flow| Command::new(opcode, flow, 0).0[0];
    let refusal = move |opcode, flow| move |e: Event| e.with(event::KIND, Kind::BadCommand as u32).with(event::COMMAND, command(opcode, flow));
    vec![
        lie("no kind", set(event::KIND, 0), "event kind"),
        lie("a kind there is not", set(event::KIND, 4), "event kind"),
        lie("a flow there is not", set(event::FLOW, 0xfffe), "flow number"),
        lie("no flow", set(event::FLOW, NO_FLOW.into()), "flow number"),
        lie("a flow that is not installed", |e| e.with(event::FLOW, e.get(event::FLOW) ^ 1), "flow of a report"),
        lie("a removal nobody asked for", set(event::KIND, Kind::Removed as u32), "flow removed"),
        lie("rcv_nxt goes back", add(event::RCV_NXT, u32::MAX), "rcv_nxt"),
        lie("rcv_nxt beyond what was announced", |e| e.with(event::RCV_NXT, e.get(event::RCV_ADV).wrapping_add(1)), "rcv_nxt"),
        lie("rcv_nxt far away", add(event::RCV_NXT, 1 << 31), "rcv_nxt"),
        lie("rcv_adv goes back", add(event::RCV_ADV, u32::MAX), "rcv_adv"),
        lie("rcv_adv beyond the ring", add(event::RCV_ADV, 1 << 20), "rcv_adv"),
        lie("a FIN that takes no number", set(event::FLAGS, event::FIN_RECEIVED.into()), "flag FIN_RECEIVED"),
        lie("a FIN that was never queued", set(event::FLAGS, event::FIN_QUEUED.into()), "flag FIN_QUEUED"),
        lie("snd_una goes back", add(event::SND_UNA, u32::MAX), "snd_una"),
        lie("snd_una beyond what was sent", add(event::SND_UNA, 1), "snd_una"),
        lie("snd_una beyond what was queued", |e| add(event::SND_MAX, 1)(add(event::SND_NXT, 1)(add(event::SND_UNA, 1)(e))), "snd_max"),
        lie("snd_max goes back", add(event::SND_MAX, u32::MAX), "snd_max"),
        lie("snd_nxt below snd_una", add(event::SND_NXT, u32::MAX), "snd_nxt"),
        lie("snd_nxt beyond snd_max", add(event::SND_NXT, 1), "snd_nxt"),
        lie("a window no header holds", set(event::SND_WND, u32::MAX), "snd_wnd"),
        lie("more ranges than there are", |e| e.with(event::RANGES, 255).with(event::FLAGS, event::OUT_OF_ORDER.into()), "number of ranges"),
        lie("bytes out of order in no range", set(event::FLAGS, event::OUT_OF_ORDER.into()), "flag OUT_OF_ORDER"),
        lie("an ACK of what was not received", add(event::LAST_ACK_SENT, 1), "last_ack_sent"),
        lie("a round trip longer than the connection", |e| add(event::RTT_COUNT, 1)(e.with(event::RTT, u32::MAX)), "rtt"),
        lie("commands taken that were not given", add(event::SUBMISSION_CONSUMED, 1000), "submission_consumed"),
        lie("refused: a command there is not", |e| e.with(event::KIND, Kind::BadCommand as u32).with(event::COMMAND, 0), "refused command"),
        lie("refused: another flow's", refusal(Opcode::Send, 5), "refused command"),
        lie("refused: SEND of a flow that has reported", refusal(Opcode::Send, 0), "refused command"),
        lie("refused: INSTALL of a flow that has reported", refusal(Opcode::Install, 0), "refused command"),
        lie("refused: a raw frame", refusal(Opcode::Raw, 0), "refused command"),
    ]
}

#[test]
fn a_lie_about_a_flow_stops_the_stack_with_its_name() {
    for (name, change, what) in flow_lies() {
        let mut pair = scene();
        let node = &mut pair.world.nodes[1];
        let dma = node.stack.nic().dma().clone();
        let honest = node.liar.last_event();
        assert_eq!((honest.get(event::KIND), honest.get(event::FLOW)), (Kind::Flow as u32, 0));
        node.liar.forge_event(change(honest));
        match node.stack.poll() {
            Err(StackError::Nic(NicError::Device { what: found, .. })) => assert_eq!(found, what, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        assert_told(&pair, what);
        drop(pair.world);
        assert_eq!(dma.mapped(), 0, "{name}: memory stays with the device");
    }
}

type Change = fn(Event) -> Event;

/// What is no lie passes: the same event once more, and whatever a peer can bring about.
#[test]
fn what_a_peer_can_bring_about_is_no_lie() {
    let harmless: [(&str, Change); 6] = [
        ("once more", |e| e),
        ("a closed window", |e| e.with(event::SND_WND, 0)),
        ("any timestamps", |e| e.with(event::TS_RECENT, 0x8000_0000).with(event::TS_ECR, 0x7fff_ffff)),
        ("duplicate ACKs", |e| e.with(event::DUP_ACKS, 255)),
        ("a window's numbers far away", |e| e.with(event::SND_WL1, 1).with(event::SND_WL2, 0x8000_0001)),
        ("bytes out of order", |e| e.with(event::RANGES, 1).with(event::FLAGS, event::OUT_OF_ORDER.into())),
    ];
    for (name, change) in harmless {
        let mut pair = scene();
        let forged = change(base(&pair));
        let node = &mut pair.world.nodes[1];
        node.liar.forge_event(forged);
        assert!(node.stack.poll().is_ok(), "{name}");
    }
}

/// A FIN that was told of is not taken back.
#[test]
fn a_fin_is_not_taken_back() {
    let mut pair = scene();
    pair.client.shutdown(std::net::Shutdown::Write).expect("connected");
    pair.world.run_for(Nanoseconds::from_millis(300));
    let told = base(&pair);
    assert_eq!(told.get(event::FLAGS), u32::from(event::FIN_RECEIVED));
    let node = &mut pair.world.nodes[1];
    node.liar.forge_event(told.with(event::FLAGS, 0));
    let error = node.stack.poll().expect_err("a lie");
    assert!(matches!(error, StackError::Nic(NicError::Device { what: "flag FIN_RECEIVED", .. })), "{error}");
}

/// A RST from the client as a frame.
fn reset(pair: &Pair, seq: SeqNumber) -> Vec<u8> {
    let eth = EthernetRepr::new(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]), EtherType::IPV4);
    let (from, to) = (pair.client.local_addr().expect("connected"), pair.server.local_addr().expect("connected"));
    let tcp = TcpSegment { src_port: from.port(), dst_port: to.port(), seq, flags: TcpFlags::RST | ACK, ..TcpSegment::default() };
    let mut frame = build_tcp_frame(&eth, &Ipv4Repr::new(*from.ip(), *to.ip(), IpProtocol::TCP), &tcp).expect("it fits");
    frame.resize(60, 0);
    frame
}

#[test]
fn a_lie_about_a_raw_frame_stops_the_stack_with_its_name() {
    let other = |e: Event| e.with(event::KIND, Reason::Other as u32).with(event::FLOW, NO_FLOW.into());
    let lies = vec![
        lie("no reason", set(event::KIND, 0), "raw reason"),
        lie("a reason there is not", set(event::KIND, 4), "raw reason"),
        lie("no frame", set(event::COMMAND, 0), "raw frame's length"),
        lie("less than a header", set(event::COMMAND, 13), "raw frame's length"),
        lie("longer than any frame", set(event::COMMAND, 1519), "raw frame's length"),
        lie("longer than its slot", set(event::COMMAND, 2048 - 63), "raw frame's length"),
        lie("longer than memory", set(event::COMMAND, u32::MAX), "raw frame's length"),
        lie("a flow's frame of no flow", set(event::FLOW, NO_FLOW.into()), "raw frame's flow"),
        lie("of no flow, with a flow", move |e| other(e).with(event::FLOW, 0), "raw frame's flow"),
        lie("a flow there is not", set(event::FLOW, 0x4000), "flow number"),
        lie("commands taken that were not given", add(event::SUBMISSION_CONSUMED, 1000), "submission_consumed"),
        lie("rcv_nxt beyond what was announced", |e| e.with(event::RCV_NXT, e.get(event::RCV_ADV).wrapping_add(1)), "rcv_nxt"),
        lie("rcv_adv beyond the ring", add(event::RCV_ADV, 1 << 20), "rcv_adv"),
        lie("snd_una beyond what was sent", add(event::SND_UNA, 1), "snd_una"),
        lie("snd_max beyond what was queued", add(event::SND_MAX, 1), "snd_max"),
        lie("partly old, partly new", |e| add(event::RCV_NXT, 1)(add(event::SND_UNA, u32::MAX)(e)), "snd_una"),
    ];
    for (name, change, what) in lies {
        let mut pair = scene();
        let flow = base(&pair);
        let frame = reset(&pair, SeqNumber(flow.get(event::RCV_NXT)));
        let header = flow.with(event::KIND, Reason::Flagged as u32).with(event::COMMAND, 60);
        let node = &mut pair.world.nodes[1];
        node.liar.forge_raw(change(header), &frame);
        match node.stack.poll() {
            Err(StackError::Nic(NicError::Device { what: found, .. })) => assert_eq!(found, what, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        assert_told(&pair, what);
    }
}

/// The same frame with an honest header ends the connection, as a RST does: so it is the header that was refused above.
#[test]
fn an_honest_raw_frame_is_believed() {
    let mut pair = scene();
    let flow = base(&pair);
    let frame = reset(&pair, SeqNumber(flow.get(event::RCV_NXT)));
    let node = &mut pair.world.nodes[1];
    node.liar.forge_raw(flow.with(event::KIND, Reason::Flagged as u32).with(event::COMMAND, 60), &frame);
    node.stack.poll().expect("an honest frame");
    assert_eq!(pair.server.state(), toe_host_lib::tcp::State::Closed);
}

/// What a register at an offset with a value reads as.
type RegisterLie = Box<dyn FnMut(u32, u32) -> u32 + Send>;
type Check = Box<dyn Fn(&NicError) -> bool>;

/// A register of the context, or of the whole engine, and what it is said to be.
fn at(register: Register, lie: impl Fn(u32) -> u32 + Send + 'static) -> RegisterLie {
    let global = register::GLOBAL.iter().any(|r| r.name == register.name);
    let offset = if global { register.offset } else { register::CONTEXTS + register.offset };
    Box::new(move |at, truth| if at == offset { lie(truth) } else { truth })
}

/// Registers that lie: the error, and how long after the lie began it comes at the latest.
#[test]
fn a_register_that_lies_stops_the_stack_in_time() {
    let is = |what: &'static str| move |error: &NicError| matches!(error, NicError::Device { what: found, .. } if *found == what);
    // The rings are looked at in turn, and a counter that may be late is given the driver's deadline.
    let turn = Nanoseconds(3 * LOOK.0);
    let rings = turn + DEADLINE + DEADLINE;
    let gone = |error: &NicError| matches!(error, NicError::Bus(BusError::Gone(_)));
    let mut cases: Vec<(&str, RegisterLie, Check, Nanoseconds)> = vec![
        ("pulled out", Box::new(|_, _| u32::MAX), Box::new(gone), LOOK),
        ("a DMA fault", at(register::STATUS, |v| v | register::STATUS_FAULT.mask()), Box::new(|e| matches!(e, NicError::Fault)), LOOK),
        ("switched off", at(register::CONTEXT_CONTROL, |_| 0), Box::new(|e| matches!(e, NicError::Reset { what: "CONTEXT_CONTROL", .. })), LOOK),
        ("rings forgotten", at(register::EVENT_BASE_LO, |_| 0), Box::new(|e| matches!(e, NicError::Reset { what: "EVENT_BASE_LO", .. })), turn),
        ("time stands far back", at(register::TIME_LO, |v| v.wrapping_sub(1 << 29)), Box::new(is("device time")), LOOK),
        ("time leaps", at(register::TIME_HI, |v| v + 15), Box::new(is("device time")), LOOK),
        ("time at its end", at(register::TIME_HI, |_| u32::MAX), Box::new(is("device time")), LOOK),
        ("commands taken that were not given", at(register::SUBMISSION_CONSUMED, |v| v + 1), Box::new(is("SUBMISSION_CONSUMED")), LOOK),
        ("commands not taken that were", at(register::SUBMISSION_CONSUMED, |v| v.wrapping_sub(1)), Box::new(is("SUBMISSION_CONSUMED")), LOOK),
    ];
    for (name, amount) in [("ahead", 1), ("behind", u32::MAX), ("far away", 1 << 31)] {
        cases.push((name, at(register::EVENT_PRODUCED, move |v| v.wrapping_add(amount)), Box::new(is("EVENT_PRODUCED")), rings));
        cases.push((name, at(register::RAW_PRODUCED, move |v| v.wrapping_add(amount)), Box::new(is("RAW_PRODUCED")), rings));
    }
    for (name, lie, check, limit) in cases {
        let mut pair = scene();
        pair.world.nodes[1].liar.lie(lie);
        let (error, after) = pair.world.run_until_failure(1, Nanoseconds::from_secs(5));
        let StackError::Nic(nic) = &error else { panic!("{name}: {error}") };
        assert!(check(nic), "{name}: {nic}");
        assert!(after <= limit, "{name}: told after {after}, expected {limit} at most");
        assert_told(&pair, &nic.to_string());
    }
}

/// A device that does not hear any more: commands are not taken.
#[test]
fn a_device_that_takes_no_commands_is_given_up_in_time() {
    let mut pair = scene();
    pair.world.nodes[1].liar.deafen();
    (&pair.server).write_all(b"hello").expect("there is room");
    let (error, after) = pair.world.run_until_failure(1, Nanoseconds::from_secs(5));
    assert!(matches!(error, StackError::Nic(NicError::Deadline { what: "the taking of commands", .. })), "{error}");
    assert!(after <= Nanoseconds(2 * LOOK.0) + DEADLINE, "{after}");
    assert_told(&pair, "the taking of commands");
}

/// An event that the device counts and nobody finds.
#[test]
fn an_event_that_is_nowhere_is_missed() {
    let mut pair = scene();
    (&pair.client).write_all(b"hello").expect("there is room");
    let before = pair.world.nodes[1].liar.last_event();
    for _ in 0..1000 {
        // Only the client's node goes on; the server's device works, and its stack does not look yet.
        pair.world.nodes[0].stack.poll().expect("an honest device");
        for node in &pair.world.nodes {
            node.settle();
        }
        if pair.world.nodes[1].liar.last_event() != before {
            break;
        }
        pair.world.pass(Nanoseconds::from_micros(10));
    }
    pair.world.nodes[1].liar.erase_event();
    let (error, after) = pair.world.run_until_failure(1, Nanoseconds::from_secs(5));
    assert!(matches!(error, StackError::Nic(NicError::Device { what: "EVENT_PRODUCED", .. })), "{error}");
    assert!(after <= Nanoseconds(3 * LOOK.0) + DEADLINE, "{after}");
}

/// A device that says nothing of a flow it was told to remove, and does not count it either.
#[test]
fn a_flow_that_is_never_removed_is_given_up_in_time() {
    let Pair { mut world, client: _client, server, listener: _listener } = scene();
    server.set_linger(Some(Duration::ZERO)).expect("always");
    drop(server);
    let node = &mut world.nodes[1];
    node.stack.poll().expect("an honest device");
    node.settle();
    assert_eq!(node.liar.last_event().get(event::KIND), Kind::Removed as u32);
    node.liar.erase_event();
    node.liar.lie(at(register::EVENT_PRODUCED, |v| v.wrapping_sub(1)));
    let (error, after) = world.run_until_failure(1, Nanoseconds::from_secs(60));
    assert!(matches!(error, StackError::Nic(NicError::Deadline { what: "the removal of a flow", .. })), "{error}");
    assert!((REMOVAL_DEADLINE..=REMOVAL_DEADLINE + LOOK + LOOK).contains(&after), "{after}");
}

/// A device that was reset behind the driver's back; and the stack started again on it.
#[test]
fn after_a_reset_behind_its_back_the_stack_starts_again() {
    let mut pair = scene();
    let dma = pair.world.nodes[1].stack.nic().dma().clone();
    let device = pair.world.nodes[1].liar.clone();
    device.honest().write32(register::CONTROL.offset, register::CONTROL_RESET.mask()).expect("it is there");
    let (error, after) = pair.world.run_until_failure(1, Nanoseconds::from_secs(5));
    assert!(matches!(error, StackError::Nic(NicError::Reset { .. })), "{error}");
    assert!(after <= LOOK, "{after}");
    assert_told(&pair, "reset");
    pair.world.restart(1);
    assert_eq!(dma.mapped(), 0, "the old stack's memory stays with the device");
    // The old sockets are still held, and still say why.
    assert_told(&pair, "reset");
    pair.listener = support::pair::listen(&mut pair.world, 1, 80);
    let (client, server) = support::pair::connect_in(&mut pair.world, &pair.listener);
    let (sent, mut heard) = (pattern(5000, 2), Vec::new());
    assert!(feed(&client, &mut &sent[..]));
    pair.world.run_until(Nanoseconds::from_secs(5), "the bytes", |_| {
        drain(&server, &mut heard);
        heard.len() == sent.len()
    });
    assert_eq!(heard, sent);
}
