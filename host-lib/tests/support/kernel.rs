//! Our stack at one end of a TAP, a Linux kernel in a namespace at the other, in real time.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::engine::engine;
use toe_contract::register;
use toe_driver::{Bus, Nic, NicConfig};
use toe_host_lib::tcp::State;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{Config, Handle, Stack, StackThread, TcpListener, TcpStream};
use toe_sim::device::{Device, Threaded};
use toe_sim::model::Config as ModelConfig;
use toe_sim::netns::{Namespace, TapConfig};
use toe_sim::root_complex::Timing;
use toe_sim::time::WallClock;
use toe_sim::wire::{Capture, Impaired, Impairment, Tap, Wire};

pub const KERNEL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Our stack at one end of a TAP, a namespace with the kernel at the other.
pub struct Bench {
    pub namespace: Namespace,
    stack: StackThread,
    bus: Arc<Threaded>,
}

/// `None`, with the reason printed, where there is no TAP to be had.
pub fn bench(impairment: &Impairment) -> Option<Bench> {
    captured(impairment, None)
}

/// The same, with everything that goes over the wire written to a file.
pub fn captured(impairment: &Impairment, capture: Option<&Path>) -> Option<Bench> {
    let wire = |tap: Tap, clock: &WallClock| -> Box<dyn Wire> {
        let wire = Impaired::new(tap, impairment);
        match capture {
            Some(path) => Box::new(Capture::create(wire, path, "toe", clock.epoch()).expect("a file")),
            None => Box::new(wire),
        }
    };
    over(wire, |_| {})
}

/// The same over any wire, with settings of one's own.
pub fn over(wire: impl FnOnce(Tap, &WallClock) -> Box<dyn Wire>, adjust: impl FnOnce(&mut Config)) -> Option<Bench> {
    if !std::fs::exists("/dev/net/tun").unwrap_or(false) {
        println!("skipped: there is no /dev/net/tun here");
        return None;
    }
    let namespace = Namespace::new().expect("a namespace");
    let tap = namespace.tap(&TapConfig { address: (KERNEL, 24), ..TapConfig::default() }).expect("a TAP");
    let clock = WallClock::new();
    let wire = wire(tap, &clock);
    let device = Device::new(engine(ModelConfig::default()), wire, Timing::default(), 1);
    let bus = Arc::new(Threaded::start(clock, device).expect("a thread"));
    let nic = Nic::open(bus.clone(), NicConfig { hash_key: 7, ..NicConfig::default() }).expect("the device opens");
    let mut config = Config { address: OURS, ..Config::default() };
    config.settings.msl = Nanoseconds::from_millis(300);
    adjust(&mut config);
    let stack = Stack::new(nic, config).expect("the stack starts").spawn().expect("a thread");
    Some(Bench { namespace, stack, bus })
}

/// What happened, if something went wrong.
impl Drop for Bench {
    fn drop(&mut self) {
        if thread::panicking() {
            let entries = self.handle().log().entries();
            entries.iter().rev().take(200).rev().for_each(|entry| eprintln!("{entry}"));
            eprintln!("{:?}", self.handle().statistics());
            // Why the device has stopped, if it has.
            eprintln!("{:?}", self.bus.read32(register::ID.offset));
        }
    }
}

impl Bench {
    pub fn handle(&self) -> Handle {
        self.stack.handle()
    }

    /// One of the engine's counters.
    pub fn counter(&self, number: usize) -> u64 {
        let at = register::COUNTERS + 8 * u32::try_from(number).expect("there are fewer counters");
        let low = self.bus.read32(at).expect("the device answers");
        u64::from(self.bus.read32(at + 4).expect("the device answers")) << 32 | u64::from(low)
    }

    /// A connected pair: our socket and the kernel's.
    pub fn pair(&self, we_listen: bool) -> (TcpStream, std::net::TcpStream) {
        if we_listen {
            let listener = TcpListener::bind(&self.handle(), 80).expect("the port is free");
            let kernel = self.namespace.run(|| std::net::TcpStream::connect_timeout(&SocketAddrV4::new(OURS, 80).into(), PATIENCE)).expect("a thread");
            let kernel = kernel.expect("the kernel connects");
            let (ours, peer) = listener.accept_timeout(PATIENCE).expect("accepted");
            assert_eq!(std::net::SocketAddr::from(peer), kernel.local_addr().expect("an address"));
            return (ours, kernel);
        }
        let listener = self.namespace.run(|| std::net::TcpListener::bind((KERNEL, 8080))).expect("a thread").expect("the port is free");
        let ours = TcpStream::connect_timeout(&self.handle(), SocketAddrV4::new(KERNEL, 8080), PATIENCE).expect("we connect");
        let (kernel, _) = listener.accept().expect("accepted");
        (ours, kernel)
    }

    /// Everything has gone within a little more than TIME_WAIT.
    pub fn assert_nothing_left(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let s = self.handle().statistics().expect("the stack works");
            let left: usize = State::ALL.iter().filter(|state| **state != State::Listen).map(|state| s.in_state(*state)).sum();
            if (left, s.flows_used, s.rings_used) == (0, 0, 0) {
                return;
            }
            assert!(Instant::now() < end, "{s:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
