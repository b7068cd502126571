//! The whole engine, from its pins: reset, rings, raw frames, a flow, its end.

mod common;
mod frames;
mod host_bus;
mod mac_wire;

use common::{dut_with, random, Random};
use frames::Spec;
use host_bus::{Manner, ReadBus, WriteBus};
use mac_wire::{characters, read, Character, Line, Sent, IDLE, START, TERMINATE};
use rand::RngCore;
use std::collections::VecDeque;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_contract::raw::{Reason, HEADER};
use toe_contract::{counter, register, FLOWS};
use toe_hdl::top::Top;
use toe_verilate::Dut;

const SUBMISSION: u64 = 0x1_0000_1000;
const EVENTS: u64 = 0x2_0000_3000;
const RAW: u64 = 0x3_0000_0000;
const RECEIVE_RING: u64 = 0x12_0001_0000;
const SEND_RING: u64 = 0x13_0002_0000;
const RING_LOG2: u64 = 16;
const SLOT_LOG2: u32 = 11;
const FLOW: u16 = 5;

/// The engine and everything round it.
struct World {
    dut: Dut,
    rng: Random,
    reads: ReadBus,
    writes: WriteBus,
    line: VecDeque<(u64, u8)>,
    out: Vec<Character>,
    frames: usize,
    now: u64,
    commands: u32,
    events: u32,
    raws: u32,
    interrupts: u64,
    last_in: u64,
    in_reset: bool,
}

impl World {
    fn new(stall: u32, latency: u64) -> World {
        let manner = Manner { stall, latency };
        let mut world = World {
            dut: dut_with("top", Top::default),
            rng: random(81),
            reads: ReadBus::new("axi", manner),
            writes: WriteBus::new("axi", manner),
            line: VecDeque::new(),
            out: vec![],
            frames: 0,
            now: 1_000_000_000,
            commands: 0,
            events: 0,
            raws: 0,
            interrupts: 0,
            last_in: 0,
            in_reset: true,
        };
        for input in ["axil.awvalid", "axil.wvalid", "axil.arvalid"] {
            world.dut.set(input, 0);
        }
        for input in ["axil.bready", "axil.rready", "irq.ready", "reset"] {
            world.dut.set(input, 1);
        }
        for _ in 0..4 {
            world.cycle();
        }
        world.dut.set("reset", 0);
        world.cycle();
        world.in_reset = false;
        // The flows are cleared one a cycle.
        world.wait(136 + FLOWS as u64, "the reset after power-on", |w| w.read(register::CONTROL.offset) == 0);
        world
    }

    fn cycle(&mut self) {
        let (data, control) = self.line.pop_front().unwrap_or((0x0707_0707_0707_0707, 0xff));
        if control != 0xff || data != 0x0707_0707_0707_0707 {
            self.last_in = self.dut.cycles();
        }
        self.now += 6;
        self.dut.set("now", self.now);
        self.dut.set("rxd", data);
        self.dut.set("rxc", control.into());
        self.reads.before(&mut self.dut, &mut self.rng);
        self.writes.before(&mut self.dut, &mut self.rng);
        let out = characters(self.dut.get("txd"), self.dut.get("txc"));
        self.out.extend(if self.in_reset { [IDLE; 8] } else { out });
        self.interrupts += self.dut.get("irq.valid");
        self.dut.tick();
        for (address, byte) in self.writes.log.drain(..) {
            self.reads.memory.insert(address, byte);
        }
    }

    /// Until the flow table, which begins to clear itself at the reset, is clear, and commands that have waited for it are done.
    fn rest(&mut self) {
        for _ in 0..4 * FLOWS + 500 {
            self.cycle();
        }
    }

    fn wait(&mut self, limit: u64, what: &str, mut done: impl FnMut(&mut World) -> bool) {
        let start = self.dut.cycles();
        while !done(self) {
            assert!(self.dut.cycles() - start < limit, "{what} does not come");
            self.cycle();
        }
    }

    fn write(&mut self, address: u32, value: u32) {
        self.dut.set("axil.awaddr", address.into());
        self.dut.set("axil.wdata", value.into());
        self.dut.set("axil.wstrb", 0xf);
        self.dut.set("axil.awvalid", 1);
        self.dut.set("axil.wvalid", 1);
        let mut taken = false;
        while !taken {
            self.dut.eval();
            taken = self.dut.get("axil.awready") == 1;
            self.cycle();
        }
        self.dut.set("axil.awvalid", 0);
        self.dut.set("axil.wvalid", 0);
        self.cycle();
        self.cycle();
    }

    fn read(&mut self, address: u32) -> u32 {
        self.dut.set("axil.araddr", address.into());
        self.dut.set("axil.arvalid", 1);
        let mut taken = false;
        while !taken {
            self.dut.eval();
            taken = self.dut.get("axil.arready") == 1;
            self.cycle();
        }
        self.dut.set("axil.arvalid", 0);
        let mut value = None;
        while value.is_none() {
            self.dut.eval();
            value = (self.dut.get("axil.rvalid") == 1).then(|| self.dut.get("axil.rdata"));
            self.cycle();
        }
        u32::try_from(value.unwrap()).unwrap()
    }

    fn count(&mut self, number: usize) -> u32 {
        self.read(register::COUNTERS + 8 * u32::try_from(number).unwrap())
    }

    fn memory(&self, address: u64, length: usize) -> Vec<u8> {
        (address..).take(length).map(|a| self.reads.memory.get(&a).copied().unwrap_or(0)).collect()
    }

    fn store(&mut self, address: u64, bytes: &[u8]) {
        self.reads.memory.extend((address..).zip(bytes.iter().copied()));
    }

    fn start(&mut self) {
        let c = |r: register::Register| register::CONTEXTS + r.offset;
        for (low, high, base) in [
            (register::SUBMISSION_BASE_LO, register::SUBMISSION_BASE_HI, SUBMISSION),
            (register::EVENT_BASE_LO, register::EVENT_BASE_HI, EVENTS),
            (register::RAW_BASE_LO, register::RAW_BASE_HI, RAW),
        ] {
            self.write(c(low), (base & 0xffff_ffff) as u32);
            self.write(c(high), (base >> 32) as u32);
        }
        self.write(c(register::SUBMISSION_LOG2), 7);
        self.write(c(register::EVENT_LOG2), 7);
        self.write(c(register::RAW_LOG2), 4);
        self.write(c(register::RAW_SLOT_LOG2), SLOT_LOG2);
        self.write(c(register::CONTEXT_CONTROL), register::CONTEXT_ENABLE.mask());
        self.write(register::MAC_LO.offset, 0x0000_0002);
        self.write(register::MAC_HI.offset, 0x0200);
        self.write(register::HASH_KEY.offset, 0x1234_5678);
        self.write(register::CONTROL.offset, register::CONTROL_RECEIVE.mask() | register::CONTROL_TRANSMIT.mask());
        // A new key clears the table of flows: what comes before that is done comes up raw.
        for _ in 0..600 {
            self.cycle();
        }
        // Rings are clear before the engine writes them.
        self.store(EVENTS, &[0; 64 << 7]);
        self.store(RAW, &[0; 1 << (4 + SLOT_LOG2)]);
    }

    fn submit(&mut self, commands: &[Command]) {
        for command in commands {
            let at = SUBMISSION + u64::from(self.commands % 128) * 32;
            self.store(at, &command.to_bytes());
            self.commands += 1;
        }
        self.write(register::DOORBELLS + register::SUBMISSION_PRODUCED.offset, self.commands);
    }

    fn record(&self, at: u64) -> Event {
        Event::from_bytes(self.memory(at, event::SIZE).try_into().unwrap())
    }

    fn event(&mut self) -> Event {
        let at = EVENTS + u64::from(self.events % 128) * 64;
        self.wait(3000, "an event", |w| w.record(at).get(event::PHASE) == 1);
        self.events += 1;
        self.write(register::DOORBELLS + register::EVENT_CONSUMED.offset, self.events);
        self.record(at)
    }

    fn raw(&mut self) -> (Event, Vec<u8>) {
        let slot = RAW + (u64::from(self.raws % 16) << SLOT_LOG2);
        self.wait(3000, "a raw frame", |w| w.record(slot).get(event::PHASE) == 1);
        self.raws += 1;
        self.write(register::DOORBELLS + register::RAW_CONSUMED.offset, self.raws);
        let header = self.record(slot);
        let length = usize::try_from(header.get(event::COMMAND)).unwrap();
        (header, self.memory(slot + HEADER as u64, length))
    }

    fn receive(&mut self, frame: &[u8]) {
        let mut line = Line::default();
        line.idle_to(12, 0).frame(&frames::padded(frame.to_vec(), 0));
        self.line.extend(line.words());
        self.wait(5000, "the end of the line", |w| w.line.is_empty());
    }

    /// The next frame sent, when it has been sent.
    fn sent(&mut self) -> Sent {
        let next = self.frames;
        let start = self.dut.cycles();
        loop {
            // Whole frames only: what ends in the middle is not read.
            let ended = self.out.iter().rposition(|c| *c == TERMINATE).map_or(0, |k| k + 1);
            let frames = read(&self.out[..ended]);
            if let Some(frame) = frames.get(next) {
                assert!(frame.good, "frame {next}");
                self.frames += 1;
                return frame.clone();
            }
            assert!(self.dut.cycles() - start < 5000, "frame {next} does not come");
            for _ in 0..20 {
                self.cycle();
            }
        }
    }

    /// Nothing more comes out.
    fn silent(&mut self) {
        for _ in 0..600 {
            self.cycle();
        }
        let ended = self.out.iter().rposition(|c| *c == TERMINATE).map_or(0, |k| k + 1);
        assert_eq!(read(&self.out[..ended]).len(), self.frames);
        assert!(self.out[ended..].iter().all(|c| *c == IDLE));
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

/// The peer of the flow, 10.0.0.1:40000 to 10.0.0.2:80.
const RCV_NXT: u32 = 0xffff_fa00;
const SND_NXT: u32 = 0x7fff_ff00;
const MSS: u32 = 1448;

fn install() -> [Command; 4] {
    [
        Command::new(Opcode::Address, FLOW, 0)
            .with(command::ADDRESS_REMOTE_MAC, 0x0100_0000_0002)
            .with(command::ADDRESS_LOCAL_IP, 0x0a00_0002)
            .with(command::ADDRESS_REMOTE_IP, 0x0a00_0001)
            .with(command::ADDRESS_LOCAL_PORT, 80)
            .with(command::ADDRESS_REMOTE_PORT, 40_000),
        Command::new(Opcode::Rings, FLOW, command::RINGS_TIMESTAMPS)
            .with(command::RINGS_RECEIVE_BASE, RECEIVE_RING)
            .with(command::RINGS_SEND_BASE, SEND_RING)
            .with(command::RINGS_RECEIVE_LOG2, RING_LOG2)
            .with(command::RINGS_SEND_LOG2, RING_LOG2)
            .with(command::RINGS_SND_MSS, MSS.into())
            .with(command::RINGS_RCV_MSS, MSS.into()),
        Command::new(Opcode::Receive, FLOW, 0)
            .with(command::RECEIVE_RCV_NXT, RCV_NXT.into())
            .with(command::RECEIVE_RCV_ADV, RCV_NXT.wrapping_add(50_000).into())
            .with(command::RECEIVE_RCV_CONSUMED, RCV_NXT.into())
            .with(command::RECEIVE_TS_RECENT, 100),
        Command::new(Opcode::Install, FLOW, 0)
            .with(command::INSTALL_SND_UNA, SND_NXT.into())
            .with(command::INSTALL_SND_NXT, SND_NXT.into())
            .with(command::INSTALL_LIMIT, SND_NXT.into())
            .with(command::INSTALL_SND_WND, 60_000)
            .with(command::INSTALL_SND_WL1, RCV_NXT.wrapping_sub(1).into())
            .with(command::INSTALL_SND_WL2, SND_NXT.into())
            .with(command::INSTALL_CWND, 14_480),
    ]
}

fn timestamps(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat()
}

fn segment(seq: u32, ack: u32, payload: Vec<u8>) -> Spec {
    Spec { seq, ack, window: 60_000, ..Spec::new(timestamps(200, 0), payload) }
}

/// What a frame of the flow must be: but for what the engine chooses.
fn answer(seq: u32, ack: u32, window: u16, value: u32, payload: Vec<u8>, push: bool) -> Vec<u8> {
    let spec = Spec {
        destination_mac: [2, 0, 0, 0, 0, 1],
        source_mac: [2, 0, 0, 0, 0, 2],
        source: [10, 0, 0, 2],
        destination: [10, 0, 0, 1],
        source_port: 80,
        destination_port: 40_000,
        seq,
        ack,
        window,
        control: if push { 0x18 } else { 0x10 },
        ..Spec::new(timestamps(value, 200), payload)
    };
    spec.frame()
}

/// Bytes of a big-endian field of a frame.
fn number(frame: &[u8], at: usize, length: usize) -> u32 {
    frame[at..at + length].iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

#[test]
fn a_raw_frame_each_way() {
    let mut world = World::new(0, 40);
    assert_eq!(world.read(register::ID.offset), u32::from_le_bytes(*b"TOE1"));
    world.start();
    let mut up = world.bytes(77);
    up[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    up[12..14].copy_from_slice(&[8, 6]);
    world.receive(&up);
    let (header, frame) = world.raw();
    assert_eq!(frame, up);
    assert_eq!((header.get(event::KIND), header.get(event::FLOW)), (Reason::Other as u32, 0xffff));

    let down = world.bytes(333);
    world.store(0x55_0000_1003, &down);
    let raw = Command::new(Opcode::Raw, 0, 0).with(command::RAW_IOVA, 0x55_0000_1003).with(command::RAW_LENGTH, 333);
    world.submit(&[raw]);
    assert_eq!(world.sent().payload(), down);
    assert_eq!(world.read(register::CONTEXTS + register::RAW_FETCHED.offset), 1);
    assert_eq!(world.read(register::CONTEXTS + register::SUBMISSION_CONSUMED.offset), 1);

    // Injected, it comes up again.
    world.submit(&[Command::new(Opcode::Inject, 0, 0).with(command::INJECT_IOVA, 0x55_0000_1003).with(command::INJECT_LENGTH, 333)]);
    assert_eq!(world.raw().1, down);
    world.silent();
    assert_eq!(world.read(register::CONTEXTS + register::RAW_PRODUCED.offset), 2);
    for (number, count) in [(counter::MAC_RX_FRAMES, 1), (counter::MAC_RX_BYTES, 77), (counter::RX_RAW, 2), (counter::TX_RAW, 1), (counter::INJECTED, 1)] {
        assert_eq!(world.count(number), count, "{}", counter::COUNTERS[number].name);
    }
    assert_eq!((world.count(counter::MAC_TX_FRAMES), world.count(counter::MAC_TX_BYTES)), (1, 333));
}

#[test]
fn a_flow_from_installation_to_removal() {
    let mut world = World::new(0, 40);
    world.start();
    world.write(register::DOORBELLS + register::INTERRUPT_ARM.offset, 1);
    world.submit(&install());
    world.wait(3000, "the installation", |w| w.read(register::CONTEXTS + register::SUBMISSION_CONSUMED.offset) == 4);
    for _ in 0..100 {
        world.cycle();
    }

    // Two segments: payload in the ring, an event and an interrupt, an ACK for both.
    let payload = world.bytes(2 * MSS as usize);
    let (first, second) = payload.split_at(MSS as usize);
    world.receive(&segment(RCV_NXT, SND_NXT, first.to_vec()).frame());
    let event = world.event();
    assert_eq!((event.get(event::KIND), event.get(event::FLOW)), (Kind::Flow as u32, u32::from(FLOW)));
    assert_eq!(event.get(event::RCV_NXT), RCV_NXT.wrapping_add(MSS));
    assert_eq!(event.get(event::SUBMISSION_CONSUMED), 4);
    world.silent();
    assert_eq!(world.interrupts, 1);
    world.receive(&segment(RCV_NXT.wrapping_add(MSS), SND_NXT, second.to_vec()).frame());
    let ack = world.sent();
    let after = RCV_NXT.wrapping_add(2 * MSS);
    let value = number(ack.payload(), 14 + 20 + 24, 4);
    let window = u16::try_from(number(ack.payload(), 14 + 20 + 14, 2)).unwrap();
    assert_eq!(ack.payload(), answer(SND_NXT, after, window, value, vec![], false));
    assert_eq!(u64::from(value), world.now >> 20);
    assert_eq!(u32::from(window), (1 << RING_LOG2) - 2 * MSS, "the whole ring is announced");
    // The ACK does not wait for the bus.
    world.silent();
    for (k, byte) in payload.iter().enumerate() {
        let at = RECEIVE_RING + u64::from(RCV_NXT.wrapping_add(u32::try_from(k).unwrap())) % (1 << RING_LOG2);
        assert_eq!(world.reads.memory[&at], *byte, "byte {k}");
    }

    // What the host sends: full segments and a rest, from the ring.
    let data = world.bytes(2 * MSS as usize + 100);
    for (k, byte) in data.iter().enumerate() {
        let at = SEND_RING + u64::from(SND_NXT.wrapping_add(u32::try_from(k).unwrap())) % (1 << RING_LOG2);
        world.store(at, &[*byte]);
    }
    let limit = SND_NXT.wrapping_add(2 * MSS + 100);
    world.submit(&[Command::new(Opcode::Send, FLOW, command::FIN).with(command::SEND_LIMIT, limit.into())]);
    for (k, chunk) in data.chunks(MSS as usize).enumerate() {
        let (segment, seq) = (world.sent(), SND_NXT.wrapping_add(MSS * u32::try_from(k).unwrap()));
        let value = number(segment.payload(), 14 + 20 + 24, 4);
        let mut expected = answer(seq, after, window, value, chunk.to_vec(), k == 2);
        if k == 2 {
            // With the FIN: by its control bits and the checksum over them.
            expected[14 + 20 + 13] |= 1;
            let sum = number(&expected, 14 + 20 + 16, 2);
            let sum = u16::try_from(if sum == 0 { 0xfffe } else { sum - 1 }).unwrap();
            expected[14 + 20 + 16..14 + 20 + 18].copy_from_slice(&sum.to_be_bytes());
        }
        assert_eq!(segment.payload(), expected, "segment {k}");
    }
    world.receive(&segment(after, limit.wrapping_add(1), vec![]).frame());
    world.submit(&[Command::new(Opcode::Rearm, FLOW, command::REARM)]);
    let event = world.event();
    assert_eq!((event.get(event::SND_UNA), event.get(event::SND_MAX)), (limit.wrapping_add(1), limit.wrapping_add(1)));

    // An RST comes up raw, with a snapshot.
    world.receive(&Spec { control: 0x14, ..segment(after, limit.wrapping_add(1), vec![]) }.frame());
    let (header, _) = world.raw();
    assert_eq!((header.get(event::KIND), header.get(event::FLOW), header.get(event::RCV_NXT)), (Reason::Flagged as u32, FLOW.into(), after));
    world.submit(&[Command::new(Opcode::Remove, FLOW, 0)]);
    let event = world.event();
    assert_eq!((event.get(event::KIND), event.get(event::RCV_NXT)), (Kind::Removed as u32, after));
    world.receive(&segment(after, limit.wrapping_add(1), vec![1]).frame());
    assert_eq!(world.raw().0.get(event::KIND), Reason::NoFlow as u32);
    world.silent();
    for (number, count) in
        [(counter::TX_ACKS, 1), (counter::TX_SEGMENTS, 3), (counter::RX_IN_ORDER, 2), (counter::EVENTS, 3), (counter::INTERRUPTS, 1), (counter::RX_RAW, 2)]
    {
        assert_eq!(world.count(number), count, "{}", counter::COUNTERS[number].name);
    }
    world.wait(200, "rest", |w| w.dut.get("busy") == 0);
}

#[test]
fn turns_an_ack_round_quickly() {
    let mut world = World::new(0, 40);
    world.start();
    world.submit(&install());
    world.rest();
    for (k, length) in [MSS, MSS, 1].into_iter().enumerate() {
        // Beyond a gap, so that each is acknowledged at once.
        let seq = RCV_NXT.wrapping_add(1 + 2000 * u32::try_from(k).unwrap());
        let payload = world.bytes(length as usize);
        world.receive(&segment(seq, SND_NXT, payload).frame());
        let ack = world.sent();
        assert_eq!(number(ack.payload(), 14 + 20 + 8, 4), RCV_NXT);
        // Both in words of the line: `out` has eight characters a cycle, from cycle 0 on.
        assert_eq!(world.out[ack.start], START);
        let turn = ack.start as u64 / 8 - world.last_in;
        println!("payload {length}: {turn} cycles from the last word in to the first word out");
        assert!(turn <= 60, "{turn} cycles");
    }
}

/// Segments in order, one behind the other with the smallest gap; gives the cycles from the first word to the last byte's write.
fn flood(world: &mut World, count: u32, options: &[u8], length: u32) -> u64 {
    let data = world.bytes((count * length) as usize);
    let mut line = Line::default();
    for (k, payload) in data.chunks(length as usize).enumerate() {
        let seq = RCV_NXT.wrapping_add(length * u32::try_from(k).unwrap());
        line.frame(&frames::padded(Spec { options: options.to_vec(), ..segment(seq, SND_NXT, payload.to_vec()) }.frame(), 0));
        // Terminate is the first character of the gap.
        line.put(&[IDLE; 11]);
        while line.0.len() % 4 != 0 {
            line.put(&[IDLE]);
        }
    }
    world.line.extend(line.words());
    let start = world.dut.cycles();
    world.wait(100_000, "the end of the line", |w| w.line.is_empty());
    for _ in 0..500 {
        world.cycle();
    }
    let cycles = world.writes.last_beat - start;
    for (k, byte) in data.iter().enumerate() {
        let at = RECEIVE_RING + u64::from(RCV_NXT.wrapping_add(u32::try_from(k).unwrap())) % (1 << RING_LOG2);
        assert_eq!(world.reads.memory.get(&at), Some(byte), "byte {k}");
    }
    assert_eq!((world.count(counter::RX_IN_ORDER), world.count(counter::RX_BUFFER_FULL)), (count, 0));
    cycles
}

#[test]
fn receives_at_the_speed_of_the_wire() {
    for (count, options, length) in [(30, timestamps(200, 0), MSS), (400, vec![], 6)] {
        let mut world = World::new(0, 40);
        world.start();
        world.submit(&install());
        world.rest();
        let cycles = flood(&mut world, count, &options, length);
        let each = cycles as f64 / f64::from(count);
        println!("payload {length}: {each:.2} cycles a segment, {:.3} bytes a cycle", f64::from(length) / each);
        // What the wire takes for a segment, and the way through the engine once.
        let wire = f64::from((8 + length.max(6) + 20 + 20 + 14 + u32::try_from(options.len()).unwrap() + 4 + 12).div_ceil(4)) / 2.0;
        assert!(cycles as f64 <= f64::from(count) * wire + 300.0, "{cycles} cycles, the wire takes {wire} each");
    }
}

#[test]
fn sends_at_the_speed_of_the_wire() {
    let mut world = World::new(0, 40);
    world.start();
    world.submit(&install());
    let count = 10;
    let data = world.bytes((count * MSS) as usize);
    for (k, byte) in data.iter().enumerate() {
        let at = SEND_RING + u64::from(SND_NXT.wrapping_add(u32::try_from(k).unwrap())) % (1 << RING_LOG2);
        world.store(at, &[*byte]);
    }
    world.submit(&[Command::new(Opcode::Send, FLOW, 0).with(command::SEND_LIMIT, SND_NXT.wrapping_add(count * MSS).into())]);
    let segments: Vec<Sent> = (0..count).map(|_| world.sent()).collect();
    let sent: Vec<u8> = segments.iter().flat_map(|s| s.payload()[66..].to_vec()).collect();
    assert!(sent == data, "the bytes of the ring");
    let characters = segments[9].start - segments[0].start;
    let rate = f64::from(9 * MSS) / (characters as f64 / 8.0);
    println!("payload {MSS}: {rate:.3} bytes a cycle, {} characters a segment", characters / 9);
    // 8 of preamble, 66 of headers, 4 of FCS and a gap of 12 on the average.
    assert!(rate >= 0.99 * 8.0 * f64::from(MSS) / f64::from(MSS + 90), "{rate}");
}

#[test]
fn resets_on_command() {
    let mut world = World::new(0, 40);
    world.start();
    let up = world.bytes(1500);
    let mut line = Line::default();
    for _ in 0..4 {
        line.idle_to(12, 0).frame(&[&[2, 0, 0, 0, 0, 2][..], &up].concat());
    }
    world.line.extend(line.words());
    // In the middle of everything.
    for _ in 0..500 {
        world.cycle();
    }
    world.write(register::CONTROL.offset, register::CONTROL_RESET.mask());
    world.wait(5000, "the end of the reset", |w| w.read(register::CONTROL.offset) == 0);
    assert!(world.reads.is_idle() && world.writes.is_idle());
    let (bursts, beats) = (world.writes.bursts, world.reads.bursts);
    world.wait(2000, "the end of the line", |w| w.line.is_empty());
    for _ in 0..500 {
        world.cycle();
    }
    assert_eq!((world.writes.bursts, world.reads.bursts), (bursts, beats), "DMA after the reset");
    assert_eq!(world.count(counter::RX_RAW), 0);
    (world.commands, world.events, world.raws) = (0, 0, 0);
    world.start();
    let up = [&[2, 0, 0, 0, 0, 2][..], &up].concat();
    world.receive(&up);
    assert_eq!(world.raw().1, up);
}

#[test]
fn a_fault_of_the_bus_stops_everything() {
    let mut world = World::new(0, 40);
    world.start();
    let down = world.bytes(300);
    world.store(0x55_0000_1000, &down);
    world.reads.fail_at = Some(20);
    world.write(register::DOORBELLS + register::INTERRUPT_ARM.offset, 1);
    let raw = Command::new(Opcode::Raw, 0, 0).with(command::RAW_IOVA, 0x55_0000_1000).with(command::RAW_LENGTH, 300);
    world.submit(&[raw, raw, raw]);
    world.wait(2000, "the fault", |w| w.read(register::STATUS.offset) & register::STATUS_FAULT.mask() != 0);
    let (writes, reads) = (world.writes.bursts, world.reads.bursts);
    let mut up = world.bytes(77);
    up[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    world.receive(&up);
    world.submit(&[raw]);
    world.silent();
    assert_eq!((world.writes.bursts, world.reads.bursts, world.interrupts), (writes, reads, 1));
    world.reads.fail_at = None;
    world.write(register::CONTROL.offset, register::CONTROL_RESET.mask());
    world.wait(5000, "the end of the reset", |w| w.read(register::CONTROL.offset) == 0);
    (world.commands, world.events, world.raws) = (0, 0, 0);
    world.start();
    world.submit(&[raw]);
    assert_eq!(world.sent().payload(), down);
}
