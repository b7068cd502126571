//! The open device: what it is told, and what becomes of a device that lies, hangs or goes away.

mod common;

use common::Fake;
use std::sync::Arc;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_contract::register;
use toe_driver::{Nic, NicConfig, NicError, NicEvent};

fn open(fake: &Arc<Fake>) -> Nic {
    Nic::open(fake.clone(), NicConfig::default()).expect("a good device opens")
}
fn flow_event(flow: u32) -> Event {
    Event::default().with(event::KIND, Kind::Flow as u32).with(event::FLOW, flow)
}

#[test]
fn an_opened_device_has_its_address_and_rings_and_is_switched_on_last() {
    let fake = Fake::new();
    let nic = open(&fake);
    assert_eq!((nic.flows(), nic.ranges()), (64, 4));
    let state = fake.state.lock().unwrap();
    assert_eq!(state.registers[&register::MAC_LO.offset], 0x0000_0002);
    assert_eq!(state.registers[&register::MAC_HI.offset], 0x0100);
    let on = register::CONTROL_RECEIVE.mask() | register::CONTROL_TRANSMIT.mask();
    assert_eq!(state.writes.last(), Some(&(register::CONTROL.offset, on)));
    assert_eq!(state.writes[0], (register::CONTROL.offset, register::CONTROL_RESET.mask()), "reset comes first");
}

#[test]
fn closing_resets_the_device_before_its_memory_goes() {
    let fake = Fake::new();
    let nic = open(&fake);
    let mapped = fake.state.lock().unwrap().mapped.len();
    assert_eq!(mapped, 1, "three rings and the buffers are in one slab");
    drop(nic);
    let state = fake.state.lock().unwrap();
    assert_eq!(state.writes.last(), Some(&(register::CONTROL.offset, register::CONTROL_RESET.mask())));
    assert!(state.mapped.is_empty(), "everything is unmapped at close");
}

#[test]
fn an_unknown_device_or_version_is_refused_with_what_was_found() {
    let fake = Fake::new();
    fake.set(register::ID, 0x1234);
    let error = Nic::open(fake.clone(), NicConfig::default()).err().expect("refused").to_string();
    assert!(error.contains("0x31454f54") && error.contains("0x1234"), "{error}");
    fake.set(register::ID, toe_contract::ID);
    fake.set(register::VERSION, 9 << 16);
    let error = Nic::open(fake.clone(), NicConfig::default()).err().expect("refused").to_string();
    assert!(error.contains("version") && error.contains("0x9"), "{error}");
    fake.set(register::VERSION, toe_contract::VERSION);
    fake.set(register::FLOWS, 0);
    assert!(matches!(Nic::open(fake, NicConfig::default()), Err(NicError::Device { what: "FLOWS", .. })));
}

#[test]
fn a_device_that_stays_in_reset_or_takes_no_commands_runs_into_the_deadline() {
    let fake = Fake::new();
    fake.state.lock().unwrap().stuck = true;
    assert!(matches!(Nic::open(fake.clone(), NicConfig::default()), Err(NicError::Deadline { .. })));
    fake.state.lock().unwrap().stuck = false;
    let mut nic = open(&fake);
    fake.state.lock().unwrap().lazy = true;
    let result = (0..5000).try_for_each(|_| nic.submit(Command::new(Opcode::Rearm, 1, 0)));
    assert!(matches!(result, Err(NicError::Deadline { what: "room in the submission ring", .. })), "{result:?}");
}

#[test]
fn commands_reach_the_ring_in_order_over_several_passes_and_the_doorbell_follows() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    let mut seen = 0;
    for batch in 0..50u32 {
        for k in 0..97 {
            nic.submit(Command::new(Opcode::Send, 3, 0).with(command::SEND_LIMIT, u64::from(batch * 97 + k))).expect("taken");
        }
        nic.ring().expect("rung");
        let commands = fake.commands(seen);
        for c in &commands {
            assert_eq!(c.get(command::SEND_LIMIT), u64::from(seen));
            seen += 1;
        }
    }
    assert_eq!(seen, 50 * 97);
}

#[test]
fn events_come_out_in_order_over_several_passes_and_never_twice() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    for k in 0..1000u32 {
        assert_eq!(nic.poll().expect("a good device"), None);
        fake.event(flow_event(k % 64).with(event::RCV_NXT, k));
        match nic.poll().expect("a good device") {
            Some(NicEvent::Flow(r)) => assert_eq!((u32::from(r.flow), r.rcv_nxt), (k % 64, k)),
            other => panic!("event {k} came out as {other:?}"),
        }
        nic.consumed().expect("told");
    }
    let state = fake.state.lock().unwrap();
    assert_eq!(state.registers[&(register::DOORBELLS + register::EVENT_CONSUMED.offset)], 1000);
}

#[test]
fn impossible_events_are_errors_that_name_the_field() {
    for (e, what) in [
        (flow_event(64), "flow number"),
        (flow_event(1).with(event::KIND, 9), "event kind"),
        (flow_event(1).with(event::SUBMISSION_CONSUMED, 5), "submission_consumed"),
    ] {
        let fake = Fake::new();
        let mut nic = open(&fake);
        fake.event(e);
        assert!(matches!(nic.poll(), Err(NicError::Device { what: w, .. }) if w == what), "{what}");
    }
}

#[test]
fn a_device_pulled_out_is_gone() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    fake.state.lock().unwrap().gone = true;
    let error = nic.check_fault().expect_err("gone").to_string();
    assert!(error.contains("gone"), "{error}");
    let result = (0..5000).try_for_each(|_| nic.submit(Command::new(Opcode::Rearm, 1, 0)));
    assert!(matches!(result, Err(NicError::Bus(_))), "{result:?}");
}

#[test]
fn frames_of_an_impossible_length_are_refused() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    for bytes in [0, 13, 1519] {
        assert!(matches!(nic.send_frame(&vec![0; bytes], None), Err(NicError::FrameLength { found, .. }) if found == bytes));
    }
    nic.send_frame(&[7; 1518], Some((34, 50))).expect("the longest frame");
    nic.ring().expect("rung");
    let c = fake.commands(0)[0];
    assert_eq!((c.opcode(), c.get(command::RAW_LENGTH), c.get(command::RAW_CHECKSUM_OFFSET)), (Some(Opcode::Raw), 1518, 50));
}
