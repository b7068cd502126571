//! Devices behind the driver: two models back to back, in virtual time and in real time.

use std::sync::Arc;
use std::time::{Duration, Instant};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::register;
use toe_driver::{Bus, BusError, Iova, Memory, Nic, NicConfig, NicEvent, Region};
use toe_sim::device::{Device, LockstepNic, Stopped, Threaded, World};
use toe_sim::invariants::Watched;
use toe_sim::model::Model;
use toe_sim::rig::FlowSetup;
use toe_sim::root_complex::Timing;
use toe_sim::time::{Clock, Nanoseconds, VirtualClock, WallClock};
use toe_sim::wire::{link, DirectionImpairment, Impaired, Impairment, LinkEnd, Wire};

const BYTES: u32 = 300_000;

fn device(wire: impl Wire + 'static) -> Device {
    Device::new(Box::new(Watched::new(Model::default())), Box::new(wire), Timing::default(), 1)
}

/// The byte at a place of the stream.
fn byte(at: u32) -> u8 {
    (at.wrapping_mul(0x9e37_79b1) >> 24).to_le_bytes()[0]
}

/// One end: a device with one flow, that sends a stream and takes one, and starts again from the oldest byte when nothing moves.
struct End {
    nic: Nic,
    setup: FlowSetup,
    receive: Region,
    send: Region,
    una: u32,
    received: u32,
    told: u32,
    moved: Nanoseconds,
}

impl End {
    fn open(bus: Arc<dyn Bus>, local: u8, remote: u8) -> End {
        let mac = [2, 0, 0, 0, 0, local];
        let mut nic = Nic::open(bus, NicConfig { mac, ..NicConfig::default() }).expect("the device opens");
        let (receive, send) = (nic.allocate_ring(16).expect("memory"), nic.allocate_ring(16).expect("memory"));
        let (irs, iss) = (u32::from(remote) << 24, u32::from(local) << 24);
        let setup = FlowSetup {
            local_mac: mac,
            remote_mac: [2, 0, 0, 0, 0, remote],
            local_ip: 0x0a00_0000 + u32::from(local),
            remote_ip: 0x0a00_0000 + u32::from(remote),
            local_port: 1000 + u16::from(local),
            remote_port: 1000 + u16::from(remote),
            receive_base: receive.iova().0,
            send_base: send.iova().0,
            cwnd: 20_000,
            snd_mss: 1448,
            rcv_mss: 1448,
            timestamps: true,
            ..FlowSetup::new(0, irs, iss)
        };
        for command in setup.commands() {
            nic.submit(command).expect("room");
        }
        nic.ring().expect("the doorbell");
        let moved = nic.now();
        let mut end = End { nic, setup, receive, send, una: iss, received: irs, told: irs, moved };
        end.fill(iss);
        end
    }

    fn total(&self) -> u32 {
        self.setup.snd_una.wrapping_add(BYTES)
    }

    fn done(&self) -> bool {
        self.una == self.total().wrapping_add(1) && self.received == self.setup.rcv_nxt.wrapping_add(BYTES + 1)
    }

    fn submit(&mut self, opcode: Opcode, flags: u8, piece: command::Piece, value: u32) {
        self.nic.submit(Command::new(opcode, 0, flags | command::REARM).with(piece, value.into())).expect("room");
    }

    /// Puts bytes into the send ring up to where it is full.
    fn fill(&mut self, from: u32) {
        let end = self.una.wrapping_add(self.setup.snd_una.wrapping_add(BYTES).wrapping_sub(self.una).min(65536));
        let mut at = from;
        while at != end {
            let from = self.setup.snd_una;
            self.send.memory().copy_in((at & 0xffff) as usize, &[byte(at.wrapping_sub(from))]);
            at = at.wrapping_add(1);
        }
        let flags = if end == self.total() { command::FIN } else { 0 };
        self.submit(Opcode::Send, flags, command::SEND_LIMIT, end);
    }

    /// Takes what the device says; true if there was something.
    fn poll(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.nic.poll().expect("a sane device") {
            any = true;
            let NicEvent::Flow(flow) = event else { panic!("unexpected {event:?}") };
            self.moved = self.nic.now();
            if flow.snd_una != self.una {
                let filled = self.una.wrapping_add(65536);
                self.una = flow.snd_una;
                if self.total().wrapping_sub(filled).cast_signed() > 0 {
                    self.fill(filled);
                }
            }
            self.take(flow.rcv_nxt.wrapping_sub(u32::from(flow.fin_received)));
            self.received = flow.rcv_nxt;
        }
        if self.nic.now() - self.moved > Nanoseconds::from_millis(20) && !self.done() {
            self.moved = self.nic.now();
            let una = self.una;
            self.submit(Opcode::Resend, 0, command::RESEND_FROM, una);
            self.nic.submit(Command::new(Opcode::AckNow, 0, command::REARM)).expect("room");
        }
        self.nic.ring().expect("the doorbell");
        any
    }

    /// Compares bytes with what was sent, and lets the window open again.
    fn take(&mut self, end: u32) {
        while self.told != end {
            let mut found = [0];
            self.receive.memory().copy_out((self.told & 0xffff) as usize, &mut found);
            let at = self.told.wrapping_sub(self.setup.rcv_nxt);
            assert_eq!(found[0], byte(at), "byte {at} of the stream");
            self.told = self.told.wrapping_add(1);
        }
        self.submit(Opcode::Consumed, 0, command::CONSUMED_RCV_CONSUMED, end);
    }
}

fn faults(seed: u64) -> Impairment {
    let bad = DirectionImpairment { loss: 0.02, duplicate: 0.02, corrupt: 0.01, reseal: 0.01, reorder: 0.05, ..DirectionImpairment::default() };
    Impairment { seed, tx: bad, rx: bad }
}

/// Two ends of a wire in one world, and how many frames the device of the first sent, when all was done.
fn both_ways(wire: impl Fn(LinkEnd) -> Box<dyn Wire>) -> (Nanoseconds, u64) {
    let world = World::new(VirtualClock::new());
    let (a, b) = link(Nanoseconds::from_micros(50));
    let (a, b) = (Arc::new(world.add(device(wire(a)))), Arc::new(world.add(device(b))));
    let mut ends = [End::open(a.clone(), 1, 2), End::open(b.clone(), 2, 1)];
    let deadline = Nanoseconds::from_secs(60);
    while !ends.iter().all(End::done) {
        assert!(world.now() < deadline, "not done after {}: {:?}", world.now(), ends.each_ref().map(|e| (e.una, e.received)));
        for end in &mut ends {
            end.poll();
            end.nic.consumed().expect("the doorbell");
        }
        world.pass_until(world.now() + Nanoseconds::from_micros(20)).expect("invariants hold");
    }
    let sent = ends[0].nic.counter(toe_contract::counter::MAC_TX_FRAMES).expect("a counter");
    (world.now(), sent)
}

#[test]
fn lockstep_streams_cross_a_clean_wire_in_a_few_round_trips() {
    let (time, frames) = both_ways(|end| Box::new(end));
    // 15 windows of 20,000 bytes at 100 us a round trip take 1.5 ms; ACKs and the host's turns the rest.
    assert!(time > Nanoseconds::from_micros(1500) && time < Nanoseconds::from_millis(60), "{time}");
    assert!((206..500).contains(&frames), "{frames} frames for 206 full segments and their ACKs");
}

#[test]
fn lockstep_streams_cross_a_bad_wire_the_same_way_every_time() {
    for seed in 1..4 {
        let run = || both_ways(|end| Box::new(Impaired::new(end, &faults(seed))));
        assert_eq!(run(), run(), "seed {seed}");
    }
}

fn quiet_world() -> (World, LockstepNic) {
    let world = World::new(VirtualClock::new());
    let nic = world.add(device(link(Nanoseconds::ZERO).0));
    (world, nic)
}

#[test]
fn lockstep_idle_time_is_skipped() {
    let (world, nic) = quiet_world();
    let start = Instant::now();
    nic.wait(Nanoseconds::from_secs(100_000)).expect("alive");
    assert_eq!(world.now(), Nanoseconds::from_secs(100_000));
    assert!(start.elapsed() < Duration::from_secs(5), "100,000 s took {:?}", start.elapsed());
}

#[test]
fn lockstep_a_device_settles_at_one_moment() {
    let (near, mut far) = link(Nanoseconds::ZERO);
    let world = World::new(VirtualClock::new());
    let bus = Arc::new(world.add(device(near)));
    let mut nic = Nic::open(bus.clone(), NicConfig::default()).expect("the device opens");
    bus.settle().expect("all holds");
    assert!(!bus.settle().expect("all holds"), "there is nothing left to do");
    let before = world.now();
    far.send(before, toe_sim::wire::WireFrame::new(vec![0xff; 60])).expect("a link");
    assert!(nic.poll().expect("sane").is_none());
    assert!(bus.settle().expect("all holds"), "there was a frame");
    let found = nic.poll().expect("sane");
    assert!(matches!(&found, Some(NicEvent::Raw(raw)) if raw.bytes == [0xff; 60]), "{found:?}");
    assert_eq!(world.now(), before);
}

#[test]
fn lockstep_a_waker_ends_one_wait() {
    let (world, nic) = quiet_world();
    nic.waker()();
    assert_eq!(world.run_until(Nanoseconds(5)).expect("alive"), Stopped::Interrupt);
    nic.wait(Nanoseconds(1000)).expect("alive");
    assert_eq!(nic.now(), Nanoseconds::ZERO);
    nic.wait(Nanoseconds(1000)).expect("alive");
    assert_eq!(nic.now(), Nanoseconds(1000));
    assert_eq!(world.run_until(Nanoseconds(2000)).expect("alive"), Stopped::Time);
}

/// What every bus must do alike.
fn bus_basics(bus: &dyn Bus) {
    assert_eq!(bus.read32(register::ID.offset).expect("alive"), toe_contract::ID);
    for offset in [2, register::BAR_SIZE] {
        assert!(matches!(bus.read32(offset), Err(BusError::Offset { .. })) && matches!(bus.write32(offset, 0), Err(BusError::Offset { .. })));
    }
    bus.write32(register::MAC_LO.offset, 7).expect("alive");
    assert_eq!(bus.read32(register::MAC_LO.offset).expect("alive"), 7, "a read comes after the writes before it");
    bus.reset().expect("alive");
    assert_eq!(bus.read32(register::MAC_LO.offset).expect("alive"), 0);
    let memory = Memory::new(8192).expect("memory");
    bus.map(&memory, Iova(0x10000)).expect("free");
    assert!(matches!(bus.map(&memory, Iova(0x11000)), Err(BusError::Mapping { .. })));
    assert!(matches!(bus.unmap(Iova(0x10000), 4096), Err(BusError::Mapping { .. })));
    bus.unmap(Iova(0x10000), 8192).expect("mapped");
    assert!(bus.iova_ranges().iter().all(|r| !r.contains(&0xfee0_0000)), "the interrupt window is no memory");
    let now = bus.now();
    bus.relax();
    bus.wait(now + Nanoseconds::from_millis(1)).expect("alive");
    assert!(bus.now() >= now + Nanoseconds::from_millis(1));
}

#[test]
fn the_lockstep_bus_does_what_a_bus_does() {
    bus_basics(&quiet_world().1);
}

#[test]
fn the_threaded_bus_does_what_a_bus_does() {
    let bus = Threaded::start(WallClock::new(), device(link(Nanoseconds::ZERO).0)).expect("a thread");
    bus_basics(&bus);
    assert!(bus.snapshot().expect("alive").wire.is_empty());
}

#[test]
fn threaded_streams_cross_the_wire_in_real_time() {
    let clock = WallClock::new();
    let (a, b) = link(Nanoseconds::from_micros(50));
    let start = |wire, local, remote| {
        let bus = Threaded::start(clock, device(wire)).expect("a thread");
        End::open(Arc::new(bus), local, remote)
    };
    let mut ends = [start(a, 1, 2), start(b, 2, 1)];
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ends.iter().all(End::done) {
        assert!(Instant::now() < deadline, "not done: {:?}", ends.each_ref().map(|e| (e.una, e.received)));
        for end in &mut ends {
            if !end.poll() {
                end.nic.wait(clock.now() + Nanoseconds::from_millis(1)).expect("alive");
            }
        }
    }
}

#[test]
fn threaded_an_interrupt_and_a_waker_end_a_wait() {
    let (near, mut far) = link(Nanoseconds::ZERO);
    let clock = WallClock::new();
    let bus = Arc::new(Threaded::start(clock, device(near)).expect("a thread"));
    let mut nic = Nic::open(bus.clone(), NicConfig::default()).expect("the device opens");
    let waker = nic.waker();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        waker();
    });
    let start = Instant::now();
    nic.wait(clock.now() + Nanoseconds::from_secs(30)).expect("alive");
    thread.join().expect("joined");
    far.send(clock.now(), toe_sim::wire::WireFrame::new(vec![0xff; 60])).expect("a link");
    let found = loop {
        nic.wait(clock.now() + Nanoseconds::from_secs(30)).expect("alive");
        if let Some(event) = nic.poll().expect("sane") {
            break event;
        }
        assert!(start.elapsed() < Duration::from_secs(25), "nothing came");
    };
    assert!(matches!(&found, NicEvent::Raw(raw) if raw.bytes == [0xff; 60]), "{found:?}");
    assert!(start.elapsed() < Duration::from_secs(25), "a wait ended by its deadline only");
}

#[test]
fn a_violation_stops_the_device_and_says_why() {
    let world = World::new(VirtualClock::new());
    let bus = Arc::new(world.add(device(link(Nanoseconds::ZERO).0)));
    let mut end = End::open(bus.clone(), 1, 2);
    world.pass_until(Nanoseconds::from_millis(1)).expect("holds");
    // As if the engine did it.
    bus.with(|device| device.host_mut().write(end.send.iova().0, &[1]).expect("mapped"));
    let error = world.pass_until(Nanoseconds::from_millis(2)).expect_err("a write to the send ring");
    assert!(error.to_string().contains("Invariant 1"), "{error}");
    assert!(matches!(bus.read32(0), Err(BusError::Gone(_))));
    assert!(bus.settle().is_err());
    assert!(end.nic.wait(Nanoseconds::from_secs(1)).is_err());
}
