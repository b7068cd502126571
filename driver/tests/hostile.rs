//! A device that lies, hangs, or goes away, at the level of registers and rings: each lie by name.

mod common;

use common::{Fake, Refuses};
use proptest::prelude::*;
use std::sync::Arc;
use toe_contract::command::{Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_contract::raw::Reason;
use toe_contract::register::{self, Register};
use toe_contract::{counter, NO_FLOW};
use toe_driver::{BusError, Nanoseconds, Nic, NicConfig, NicError, NicEvent};

fn open(fake: &Arc<Fake>) -> Nic {
    Nic::open(fake.clone(), NicConfig::default()).expect("a good device opens")
}

fn context(fake: &Fake, register: Register, value: u32) {
    fake.state.lock().unwrap().registers.insert(register::CONTEXTS + register.offset, value);
}

fn flow_event() -> Event {
    Event::default().with(event::KIND, Kind::Flow as u32).with(event::FLOW, 3)
}

fn raw_header() -> Event {
    Event::default().with(event::KIND, Reason::Other as u32).with(event::FLOW, NO_FLOW.into()).with(event::COMMAND, 60)
}

/// The field that an error of a lying device names.
fn field<T>(result: Result<T, NicError>) -> &'static str {
    match result {
        Err(NicError::Device { what, .. }) => what,
        Err(NicError::Reset { what, .. }) => what,
        Err(NicError::Fault) => "fault",
        Err(NicError::Bus(BusError::Gone(_))) => "gone",
        Err(NicError::Deadline { what, .. }) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => "nothing",
    }
}

#[test]
fn a_device_that_cannot_be_is_not_opened() {
    let cases: [(Register, u32, &str); 6] = [
        (register::ID, 0, "register ID: expected 0x31454f54, found 0x0"),
        (register::ID, u32::MAX, "register ID: expected 0x31454f54, found 0xffffffff"),
        (register::VERSION, 0x2_0000, "major interface version: expected 0x1, found 0x2"),
        (register::FLOWS, 0, "impossible FLOWS: expected 1 to 16384, found 0x0"),
        (register::FLOWS, 0x4001, "impossible FLOWS: expected 1 to 16384, found 0x4001"),
        (register::FLOWS, u32::MAX, "impossible FLOWS: expected 1 to 16384, found 0xffffffff"),
    ];
    for (register, value, text) in cases {
        let fake = Fake::new();
        fake.set(register, value);
        let error = Nic::open(fake.clone(), NicConfig::default()).err().expect("refused").to_string();
        assert!(error.contains(text), "{}: {error}", register.name);
        assert!(fake.state.lock().unwrap().mapped.is_empty(), "{}: memory stays with the device", register.name);
    }
}

type Lie = Box<dyn Fn(&Fake)>;

/// What the checks now and then find: each lie by the register it is in.
#[test]
fn registers_that_lie_are_found_by_the_checks() {
    let at = |register, value| move |fake: &Fake| context(fake, register, value);
    let global = |register, value| move |fake: &Fake| fake.set(register, value);
    let lies: [(&str, Lie); 12] = [
        ("gone", Box::new(|fake| fake.state.lock().unwrap().gone = true)),
        ("gone", Box::new(global(register::STATUS, u32::MAX))),
        ("fault", Box::new(global(register::STATUS, register::STATUS_FAULT.mask()))),
        ("CONTEXT_CONTROL", Box::new(at(register::CONTEXT_CONTROL, 0))),
        ("SUBMISSION_BASE_LO", Box::new(at(register::SUBMISSION_BASE_LO, 0))),
        ("EVENT_BASE_LO", Box::new(at(register::EVENT_BASE_LO, 0))),
        ("RAW_BASE_LO", Box::new(at(register::RAW_BASE_LO, 0x5000_0000))),
        ("device time", Box::new(global(register::TIME_LO, 999))),
        ("device time", Box::new(global(register::TIME_HI, 20))),
        ("RAW_FETCHED", Box::new(at(register::RAW_FETCHED, 3))),
        ("EVENT_PRODUCED", Box::new(at(register::EVENT_PRODUCED, 1))),
        ("RAW_PRODUCED", Box::new(at(register::RAW_PRODUCED, 1 << 20))),
    ];
    for (k, (what, lie)) in lies.iter().enumerate() {
        let fake = Fake::new();
        fake.set(register::TIME_LO, 1000);
        let mut nic = open(&fake);
        nic.send_frame(&[0; 60], None).expect("there is room");
        nic.send_frame(&[0; 60], None).expect("there is room");
        nic.ring().expect("the doorbell");
        context(&fake, register::RAW_FETCHED, 1);
        for _ in 0..6 {
            nic.check().unwrap_or_else(|error| panic!("an honest device, case {k}: {error}"));
        }
        lie(&fake);
        let found = (0..3).map(|_| nic.check()).find(Result::is_err).map_or("nothing", field);
        assert_eq!(found, *what, "case {k}");
    }
}

/// A device whose counter of events is late by some looks is not one that lies.
#[test]
fn a_counter_may_be_late() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    fake.event(flow_event());
    assert!(matches!(nic.poll(), Ok(Some(NicEvent::Flow(_)))));
    fake.late(register::CONTEXTS + register::EVENT_PRODUCED.offset, 5, 1);
    for _ in 0..3 {
        nic.check().expect("an honest device");
    }
    assert_eq!(fake.state.lock().unwrap().late.map(|late| late.1), Some(0), "it was asked again");
}

#[test]
fn commands_and_frames_that_are_not_taken_are_late_after_the_deadline_and_not_before() {
    for (lazy, what) in [(true, "the taking of commands"), (false, "the fetch of a frame to send")] {
        let fake = Fake::new();
        let mut nic = open(&fake);
        nic.send_frame(&[0; 60], None).expect("there is room");
        nic.ring().expect("the doorbell");
        fake.state.lock().unwrap().lazy = lazy;
        if lazy {
            context(&fake, register::RAW_FETCHED, 1);
        }
        let begin = fake.now_ns();
        let found = loop {
            match nic.check() {
                Ok(_) => fake.pass(Nanoseconds::from_millis(100)),
                Err(error) => break field::<()>(Err(error)),
            }
            assert!(fake.now_ns() - begin < 4_000_000_000, "{what}: never told");
        };
        assert_eq!(found, what);
        assert!(fake.now_ns() - begin >= 1_900_000_000, "{what}: {} ns are not two seconds", fake.now_ns() - begin);
    }
}

/// What was asked for just before a look is not late, however long ago the look before was.
#[test]
fn what_was_just_asked_for_is_not_late() {
    let fake = Fake::new();
    let config = NicConfig { deadline: Nanoseconds::from_millis(50), ..NicConfig::default() };
    let mut nic = Nic::open(fake.clone(), config).expect("a good device opens");
    for k in 0..10 {
        nic.check().expect("an honest device");
        fake.pass(Nanoseconds::from_millis(100));
        nic.send_frame(&[0; 60], None).expect("there is room");
        nic.check().unwrap_or_else(|error| panic!("frame {k}, sent at this moment: {error}"));
        nic.ring().expect("the doorbell");
        context(&fake, register::RAW_FETCHED, k + 1);
    }
}

/// A process that was stopped for a minute finds its device where it was: that is no minute of silence.
#[test]
fn a_pause_of_the_process_is_not_counted_against_the_device() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    nic.check().expect("an honest device");
    nic.submit(Command::new(Opcode::Rearm, 1, 0)).expect("there is room");
    nic.ring().expect("the doorbell");
    fake.state.lock().unwrap().lazy = true;
    nic.check().expect("it had no time");
    fake.pass(Nanoseconds::from_secs(60));
    nic.check().expect("it had no time either");
    fake.state.lock().unwrap().lazy = false;
    nic.check().expect("an honest device");
}

#[test]
fn counters_and_times_that_go_back_are_errors() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    let at = register::COUNTERS + 8 * u32::try_from(counter::EVENTS).unwrap();
    let set = |low, high| {
        let mut state = fake.state.lock().unwrap();
        state.registers.insert(at, low);
        state.registers.insert(at + 4, high);
    };
    set(7, 1);
    assert_eq!(nic.counter(counter::EVENTS).expect("honest"), (1 << 32) + 7);
    set(8, 0);
    assert_eq!(field(nic.counter(counter::EVENTS)), "counter");
    let error = nic.counter(counter::EVENTS).expect_err("it goes back").to_string();
    assert!(error.contains("events 4294967303 at least"), "{error}");
    fake.set(register::TIME_HI, 2);
    assert_eq!(nic.device_time().expect("honest").0, 2 << 32);
    fake.set(register::TIME_HI, 1);
    assert_eq!(field(nic.device_time()), "device time");
    fake.state.lock().unwrap().gone = true;
    assert_eq!(field(nic.counter(counter::EVENTS)), "gone");
    assert_eq!(field(nic.device_time()), "gone");
}

/// An entry with the phase of the pass before is not new, whatever else is in it; one that is written twice is seen once.
#[test]
fn a_stale_phase_is_no_entry() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    let size = 1 << fake.state.lock().unwrap().registers[&(register::CONTEXTS + register::EVENT_LOG2.offset)];
    for pass in 0..3 {
        for k in 0..size {
            fake.event_with_phase(flow_event(), true);
            assert_eq!(nic.poll().expect("nothing new"), None, "pass {pass}, entry {k}");
            fake.event(flow_event());
            assert!(matches!(nic.poll(), Ok(Some(NicEvent::Flow(_)))), "pass {pass}, entry {k}");
            assert_eq!(nic.poll().expect("nothing new"), None, "pass {pass}, entry {k}");
            nic.consumed().expect("told");
        }
    }
}

/// An event that was written before a raw frame is told before it, even if the frame is seen first.
#[test]
fn events_come_before_the_raw_frames_behind_them() {
    let fake = Fake::new();
    let mut nic = open(&fake);
    fake.event(flow_event());
    fake.raw(raw_header(), &[0; 60]);
    fake.event(flow_event());
    let kinds: Vec<bool> = std::iter::from_fn(|| nic.poll().expect("honest")).map(|e| matches!(e, NicEvent::Raw(_))).collect();
    assert_eq!(kinds, [false, false, true]);
}

/// A reset that nobody acknowledges: the function is reset instead, and the device is left without memory either way.
#[test]
fn a_device_that_hangs_at_close_keeps_no_memory() {
    for gone in [false, true] {
        let fake = Fake::new();
        let nic = open(&fake);
        let dma = nic.dma().clone();
        let held = nic.allocate_ring(16).expect("memory");
        held.memory().store32(0, 0x1234_5678);
        let resets = {
            let mut state = fake.state.lock().unwrap();
            (state.stuck, state.gone) = (true, gone);
            state.resets
        };
        drop(nic);
        let state = fake.state.lock().unwrap();
        assert_eq!(state.resets, resets + usize::from(!gone), "a reset of the function, if it is there");
        assert!(state.mapped.is_empty() && dma.mapped() == 0, "memory stays with the device");
        assert_eq!(held.memory().load32(0), 0x1234_5678, "what is held is memory still");
        assert!(matches!(dma.allocate(4096), Err(BusError::Gone(_))), "a closed device has no memory");
        drop(state);
        drop(held);
        assert_eq!(Arc::strong_count(&fake), 1, "somebody holds the bus");
    }
}

/// Memory that could not be taken back: its address is not given out again, and the next device gets other memory.
#[test]
fn an_address_that_stays_mapped_is_not_used_again() {
    let fake = Fake::new();
    let nic = open(&fake);
    let ring = nic.allocate_ring(22).expect("memory");
    let iova = ring.iova();
    fake.state.lock().unwrap().refuses = Refuses::Unmapping;
    drop(ring);
    fake.state.lock().unwrap().refuses = Refuses::Nothing;
    assert_ne!(nic.allocate_ring(22).expect("memory").iova(), iova);
}

proptest! {
    /// Whatever lies in the rings, the driver comes to an end with it: an error, or nothing more to say. Nothing it says is beyond its bounds.
    #[test]
    fn any_bytes_in_the_rings_come_to_an_end(
        entries in proptest::collection::vec((any::<bool>(), any::<[u32; event::WORDS]>(), any::<bool>()), 1..40),
    ) {
        let fake = Fake::new();
        let mut nic = open(&fake);
        for (raw, words, small) in entries {
            let mut e = Event(words);
            if small {
                // Likely to get past the first checks.
                e = e.with(event::KIND, words[0] % 5).with(event::FLOW, words[1] % 70).with(event::COMMAND, words[2] % 1600);
                e = e.with(event::RANGES, words[3] % 6).with(event::SUBMISSION_CONSUMED, 0);
            }
            if raw {
                fake.raw(e, &[0; 64]);
            } else {
                fake.event(e);
            }
        }
        for _ in 0..50 {
            match nic.poll() {
                Ok(Some(NicEvent::Flow(flow) | NicEvent::Removed(flow))) => prop_assert!(flow.flow < 64 && flow.ranges <= 4),
                Ok(Some(NicEvent::BadCommand { flow, .. })) => prop_assert!(flow < 64),
                Ok(Some(NicEvent::Raw(frame))) => prop_assert!((14..=1518).contains(&frame.bytes.len())),
                Ok(None) | Err(_) => break,
            }
        }
    }
}
