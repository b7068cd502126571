//! Stacks on an engine, in virtual time: deterministic, everything in one thread.

use std::sync::Arc;

use super::engine::engine;
use super::liar::Liar;
use toe_driver::{Nanoseconds, Nic, NicConfig};
use toe_host_lib::{Config, Stack, StackError};
use toe_sim::device::{Device, LockstepNic, World as Devices};
use toe_sim::model::Config as ModelConfig;
use toe_sim::root_complex::Timing;
use toe_sim::time::{Clock, VirtualClock};
use toe_sim::wire::{link, Impaired, Impairment, LinkEnd, Wire};

/// A stack and its device.
pub struct Node {
    pub stack: Stack,
    /// Between the two; honest until it is told otherwise.
    pub liar: Arc<Liar<LockstepNic>>,
    device: Arc<LockstepNic>,
    config: Config,
    nic: NicConfig,
    deadline: Nanoseconds,
    poll_at: Nanoseconds,
}

impl Node {
    /// A frame comes from the cable at this very moment.
    pub fn receive(&self, frame: &[u8]) {
        self.device.with(|device| device.receive(frame));
    }

    /// Lets the device work until it rests. False: there was nothing to do.
    pub fn settle(&self) -> bool {
        self.device.settle().expect("the device works")
    }

    fn next_event(&self) -> Nanoseconds {
        self.device.with(|device| device.next_event()).unwrap_or(self.deadline).min(self.deadline)
    }
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
    /// How long a stack waits for its device.
    pub deadline: Nanoseconds,
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
            deadline: NicConfig::default().deadline,
        }
    }
}

pub struct World {
    clock: VirtualClock,
    pub nodes: Vec<Node>,
    host_latency: Nanoseconds,
}

/// A stack's configuration: 10.0.0.`host`, a MSL short enough for tests, everything written down.
pub fn config(host: u8) -> Config {
    let mut config = Config { address: [10, 0, 0, host].into(), log_entries: 100_000, secret: Some([host; 16]), ..Config::default() };
    config.settings.msl = Nanoseconds::from_millis(500);
    config
}

fn node(config: Config, clock: &VirtualClock, wire: impl Wire + 'static, model: ModelConfig, deadline: Nanoseconds) -> Node {
    let device = Device::new(engine(model), Box::new(wire), Timing::default(), 1);
    // The moment at which a device works is chosen here, between two looks of its stack; so each is alone in its world of devices.
    let device = Arc::new(Devices::new(clock.clone()).add(device));
    let mac = [2, 0, 0, 0, 0, config.address.octets()[3]];
    start(device, config, NicConfig { mac, hash_key: 0x1234_5678, deadline, ..NicConfig::default() })
}

fn start(device: Arc<LockstepNic>, config: Config, nic: NicConfig) -> Node {
    let liar = Liar::new(device.clone());
    let open = Nic::open(liar.clone(), nic.clone()).expect("the device opens");
    let stack = Stack::new(open, config.clone()).expect("the stack starts");
    Node { stack, liar, device, config, nic, deadline: Nanoseconds(0), poll_at: Nanoseconds(0) }
}

impl World {
    /// Two stacks at one cable: 10.0.0.1 and 10.0.0.2 unless the configurations say otherwise.
    pub fn pair(a: Config, b: Config, setup: &Setup) -> World {
        let clock = VirtualClock::new();
        clock.advance(Nanoseconds::from_secs(1));
        let (left, right) = link(setup.latency);
        let left = Impaired::new(left, &setup.impairment);
        let nodes = vec![node(a, &clock, left, setup.model, setup.deadline), node(b, &clock, right, setup.server_model.unwrap_or(setup.model), setup.deadline)];
        World { clock, nodes, host_latency: setup.host_latency }
    }

    /// One stack, and the other end of its cable for a scripted peer.
    pub fn single(config: Config, setup: &Setup) -> (World, LinkEnd) {
        let clock = VirtualClock::new();
        clock.advance(Nanoseconds::from_secs(1));
        let (left, right) = link(setup.latency);
        let nodes = vec![node(config, &clock, left, setup.model, setup.deadline)];
        (World { clock, nodes, host_latency: setup.host_latency }, right)
    }

    pub fn now(&self) -> Nanoseconds {
        self.clock.now()
    }

    /// Moves what is due at this moment; says when something is due next.
    fn settle(&mut self) -> Nanoseconds {
        for node in &mut self.nodes {
            let mut activity = node.settle();
            let now = self.clock.now();
            if now >= node.poll_at {
                node.deadline = node.stack.poll().expect("the device works");
                node.poll_at = now + self.host_latency;
                activity |= node.settle();
            }
            if activity && node.deadline > node.poll_at {
                node.deadline = node.poll_at;
            }
        }
        self.nodes.iter().map(Node::next_event).min().expect("there is a node")
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

    /// Time goes on, and nobody does anything.
    pub fn pass(&mut self, time: Nanoseconds) {
        self.clock.advance(time);
    }

    /// Goes on until the stack of a node fails: how, and after how long.
    pub fn run_until_failure(&mut self, node: usize, limit: Nanoseconds) -> (StackError, Nanoseconds) {
        let begin = self.now();
        while self.now() - begin < limit {
            let node = &mut self.nodes[node];
            node.settle();
            if let Err(error) = node.stack.poll() {
                return (error, self.now() - begin);
            }
            self.clock.advance(Nanoseconds::from_millis(1));
        }
        self.print();
        panic!("the stack goes on for {limit}");
    }

    /// Ends the stack of a node, and starts another on its device.
    pub fn restart(&mut self, node: usize) {
        let Node { stack, device, config, nic, .. } = self.nodes.remove(node);
        drop(stack);
        self.nodes.insert(node, start(device, config, nic));
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
