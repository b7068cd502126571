//! Stacks on an engine, in virtual time: deterministic, everything in one thread.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use super::engine::engine;
use toe_driver::{Bus, BusError, Iova, Memory, Nanoseconds, Nic, NicConfig, Waker};
use toe_host_lib::{Config, Stack};
use toe_sim::engine::Engine;
use toe_sim::model::Config as ModelConfig;
use toe_sim::root_complex::{RootComplex, Timing};
use toe_sim::time::{Clock, VirtualClock};
use toe_sim::wire::{link, Impaired, Impairment, LinkEnd, Wire, WireFrame};

/// A device: the engine, and the host's memory as it sees it.
struct Device {
    engine: Box<dyn Engine>,
    host: RootComplex,
}

/// A device on a bus without time of its own.
pub struct LockstepBus {
    device: Mutex<Device>,
    clock: VirtualClock,
}

impl LockstepBus {
    fn new(clock: VirtualClock, model: ModelConfig) -> Arc<LockstepBus> {
        let device = Device { engine: engine(model), host: RootComplex::new(Timing::default(), 1) };
        Arc::new(LockstepBus { device: Mutex::new(device), clock })
    }

    fn lock(&self) -> MutexGuard<'_, Device> {
        self.device.lock().expect("nobody panics while it holds the device")
    }

    /// A frame comes from the cable at this very moment.
    pub fn receive(&self, frame: &[u8]) {
        self.lock().engine.receive(frame, true);
    }

    /// Lets the engine work until it rests.
    pub fn settle(&self) {
        let device = &mut *self.lock();
        for _ in 0..100_000 {
            device.engine.advance(self.clock.now(), 4096, &mut device.host);
            let violations = device.engine.take_violations();
            assert!(violations.is_empty(), "{violations:?}");
            if !device.engine.busy() {
                return;
            }
        }
        panic!("the engine does not come to rest");
    }
}

impl Bus for LockstepBus {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        let device = &mut *self.lock();
        device.engine.advance(self.clock.now(), 0, &mut device.host);
        Ok(device.engine.register_read(offset, &mut device.host))
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        let device = &mut *self.lock();
        device.engine.register_write(offset, value, &mut device.host);
        Ok(())
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        self.lock().host.map(iova.0, memory, true).map_err(|error| BusError::Mapping { iova, bytes: memory.len(), why: error.to_string() })
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.lock().host.unmap(iova.0, bytes as u64).map_err(|error| BusError::Mapping { iova, bytes, why: error.to_string() })
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        vec![0x1000..=0xffff_ffff_ffff]
    }
    fn reset(&self) -> Result<(), BusError> {
        Ok(())
    }
    fn wait(&self, _until: Nanoseconds) -> Result<(), BusError> {
        Ok(())
    }
    fn waker(&self) -> Waker {
        Arc::new(|| {})
    }
    fn now(&self) -> Nanoseconds {
        self.clock.now()
    }
    fn relax(&self) {
        self.clock.advance(Nanoseconds(100));
        self.settle();
    }
}

/// A stack, its device, and its end of a cable.
pub struct Node {
    pub stack: Stack,
    pub bus: Arc<LockstepBus>,
    pub wire: Box<dyn Wire>,
    deadline: Nanoseconds,
    poll_at: Nanoseconds,
}

/// How a world is made.
#[derive(Clone)]
pub struct Setup {
    /// One way on the cable.
    pub latency: Nanoseconds,
    /// What the cable does to frames; `tx` is from the first node.
    pub impairment: Impairment,
    /// How long a stack takes to look at what has come: events merge meanwhile.
    pub host_latency: Nanoseconds,
    /// Each engine, if it is the model.
    pub model: ModelConfig,
    /// The second one's, if it is to be another.
    pub server_model: Option<ModelConfig>,
}

/// A model with so many flows.
pub fn with_flows(flows: u16) -> ModelConfig {
    ModelConfig { flows, ..ModelConfig::default() }
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            latency: Nanoseconds::from_micros(20),
            impairment: Impairment::default(),
            host_latency: Nanoseconds(0),
            model: with_flows(16),
            server_model: None,
        }
    }
}

pub struct World {
    pub clock: VirtualClock,
    pub nodes: Vec<Node>,
    host_latency: Nanoseconds,
}

/// A stack's configuration: 10.0.0.`host`, a MSL short enough for tests, everything written down.
pub fn config(host: u8) -> Config {
    let mut config = Config { address: [10, 0, 0, host].into(), log_entries: 100_000, secret: Some([host; 16]), ..Config::default() };
    config.settings.msl = Nanoseconds::from_millis(500);
    config
}

fn node(config: Config, clock: &VirtualClock, wire: Box<dyn Wire>, model: ModelConfig) -> Node {
    let bus = LockstepBus::new(clock.clone(), model);
    let mac = [2, 0, 0, 0, 0, config.address.octets()[3]];
    let nic = Nic::open(bus.clone(), NicConfig { mac, hash_key: 0x1234_5678, ..NicConfig::default() }).expect("the model opens");
    let stack = Stack::new(nic, config).expect("the stack starts");
    Node { stack, bus, wire, deadline: Nanoseconds(0), poll_at: Nanoseconds(0) }
}

impl World {
    /// Two stacks at one cable: 10.0.0.1 and 10.0.0.2 unless the configurations say otherwise.
    pub fn pair(a: Config, b: Config, setup: &Setup) -> World {
        let clock = VirtualClock::new();
        clock.advance(Nanoseconds::from_secs(1));
        let (left, right) = link(setup.latency);
        let left = Impaired::new(left, &setup.impairment);
        let nodes = vec![node(a, &clock, Box::new(left), setup.model), node(b, &clock, Box::new(right), setup.server_model.unwrap_or(setup.model))];
        World { clock, nodes, host_latency: setup.host_latency }
    }

    /// One stack, and the other end of its cable for a scripted peer.
    pub fn single(config: Config, setup: &Setup) -> (World, LinkEnd) {
        let clock = VirtualClock::new();
        clock.advance(Nanoseconds::from_secs(1));
        let (left, right) = link(setup.latency);
        let nodes = vec![node(config, &clock, Box::new(left), setup.model)];
        (World { clock, nodes, host_latency: setup.host_latency }, right)
    }

    pub fn now(&self) -> Nanoseconds {
        self.clock.now()
    }

    /// Moves what is due at this moment; says when something is due next.
    fn settle(&mut self) -> Nanoseconds {
        for node in &mut self.nodes {
            let mut activity = exchange(node, self.clock.now());
            let now = self.clock.now();
            if now >= node.poll_at {
                node.deadline = node.stack.poll().expect("the device works");
                node.poll_at = now + self.host_latency;
                activity |= exchange(node, now);
            }
            if activity && node.deadline > node.poll_at {
                node.deadline = node.poll_at;
            }
        }
        self.nodes.iter().map(next_event).min().expect("there is a node")
    }

    /// One moment further.
    pub fn step(&mut self) {
        let next = self.settle();
        let now = self.clock.now();
        // Time never stands still: a stack that wants to be called at once is called a little later.
        self.clock.advance_to(next.max(now + Nanoseconds(500)));
    }

    /// Goes on until `done`, at most for `limit`.
    pub fn run_until(&mut self, limit: Nanoseconds, what: &str, mut done: impl FnMut(&mut World) -> bool) {
        let end = self.now() + limit;
        loop {
            self.settle();
            if done(self) {
                self.settle();
                return;
            }
            if self.now() >= end {
                self.print();
                panic!("{what} did not happen within {limit}");
            }
            self.step();
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Nanoseconds) {
        let end = self.now() + time;
        while self.now() < end {
            let next = self.settle();
            let now = self.clock.now();
            self.clock.advance_to(next.max(now + Nanoseconds(500)).min(end));
        }
        self.settle();
    }

    /// The lives of all connections, for a failed test.
    pub fn print(&self) {
        for (k, node) in self.nodes.iter().enumerate() {
            let entries = node.stack.log().entries();
            for entry in entries.iter().rev().take(120).rev() {
                eprintln!("node {k}: {entry}");
            }
            eprintln!("node {k}: {:?}", node.stack.statistics());
            for (number, counter) in toe_contract::counter::COUNTERS.iter().enumerate() {
                let value = node.stack.nic().counter(number).expect("the device works");
                if value > 0 {
                    eprintln!("node {k}: {} {value}", counter.name);
                }
            }
            for socket in node.stack.sockets() {
                eprintln!("node {k}: {socket:?}");
            }
        }
    }
}

/// Moves frames between engine and cable until neither has any more; says whether there were any.
fn exchange(node: &mut Node, now: Nanoseconds) -> bool {
    let mut activity = false;
    loop {
        node.bus.settle();
        let mut moved = false;
        let sent: Vec<Vec<u8>> = std::iter::from_fn(|| node.bus.lock().engine.transmit()).collect();
        for frame in sent {
            node.wire.send(now, WireFrame::new(frame)).expect("the cable is there");
            moved = true;
        }
        while let Some(frame) = node.wire.receive(now).expect("the cable is there") {
            node.bus.lock().engine.receive(&frame.bytes, frame.fcs_ok());
            moved = true;
        }
        if !moved {
            return activity;
        }
        activity = true;
    }
}

fn next_event(node: &Node) -> Nanoseconds {
    let engine = node.bus.lock().engine.next_deadline();
    let wire = node.wire.next_event();
    [Some(node.deadline), engine, wire].into_iter().flatten().min().unwrap_or(node.deadline)
}
