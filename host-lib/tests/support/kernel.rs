//! Our stack at one end of a TAP, a Linux kernel in a namespace at the other, in real time. With `TOE_DEVICE=vfio-user` the device is a
//! process of its own (`toe device`, which must have been built), and the driver reaches it over vfio-user.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::engine::{engine, is_rtl};
use toe_contract::register;
use toe_driver::transport::Transport;
use toe_driver::{Bus, Nic, NicConfig};
use toe_host_lib::tcp::State;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{Config, Handle, Stack, StackThread, TcpListener, TcpStream};
use toe_sim::device::{Device, DeviceProcess, Threaded};
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
    stack: Option<StackThread>,
    bus: Option<Arc<dyn Bus>>,
    /// The device, if it is one.
    process: Option<DeviceProcess>,
}

/// How long a device in a process of its own may take to end when its client has gone.
const GOODBYE: Duration = Duration::from_secs(20);

/// The device on this wire: in this process, or in one of its own.
fn device(wire: Box<dyn Wire>, clock: WallClock) -> (Arc<dyn Bus>, Option<DeviceProcess>) {
    match std::env::var("TOE_DEVICE").as_deref() {
        Err(_) | Ok("sim") => {
            let device = Device::new(engine(ModelConfig::default()), wire, Timing::default(), 1);
            (Arc::new(Threaded::start(clock, device).expect("a thread")), None)
        }
        Ok("vfio-user") => {
            let engine = if is_rtl() { "--engine=rtl" } else { "--engine=model" };
            let process = DeviceProcess::start(&program(), &[engine], wire, clock).expect("the device starts");
            let bus = Transport::VfioUser(process.socket().to_owned()).open().expect("the device's function opens");
            (bus, Some(process))
        }
        Ok(other) => panic!("TOE_DEVICE: expected sim or vfio-user, found {other:?}"),
    }
}

/// The program `toe`, beside the folder of this test's.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    let program = test.parent().and_then(Path::parent).map(|folder| folder.join("toe")).filter(|path| path.exists());
    program.expect("the program toe beside the tests: cargo build --package toe")
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
    let (bus, process) = device(wire, clock);
    let nic = Nic::open(bus.clone(), NicConfig { hash_key: 7, ..NicConfig::default() }).expect("the device opens");
    let mut config = Config { address: OURS, ..Config::default() };
    config.settings.msl = Nanoseconds::from_millis(300);
    adjust(&mut config);
    let stack = Stack::new(nic, config).expect("the stack starts").spawn().expect("a thread");
    Some(Bench { namespace, stack: Some(stack), bus: Some(bus), process })
}

/// What happened, if something went wrong.
impl Drop for Bench {
    fn drop(&mut self) {
        if thread::panicking() {
            let entries = self.handle().log().entries();
            entries.iter().rev().take(200).rev().for_each(|entry| eprintln!("{entry}"));
            eprintln!("{:?}", self.handle().statistics());
            // Why the device has stopped, if it has.
            eprintln!("{:?}", self.bus().read32(register::ID.offset));
        }
        // In this order: the device in another process ends when its client has gone, and says whether every invariant held.
        drop(self.stack.take());
        drop(self.bus.take());
        let ended = self.process.take().map(|process| process.end(GOODBYE));
        if thread::panicking() {
            eprintln!("{ended:?}");
        } else if let Some(Err(error)) = ended {
            panic!("the device in a process of its own: {error}");
        }
    }
}

impl Bench {
    pub fn handle(&self) -> Handle {
        self.stack.as_ref().expect("there until it is dropped").handle()
    }

    fn bus(&self) -> &dyn Bus {
        &**self.bus.as_ref().expect("there until it is dropped")
    }

    /// One of the engine's counters.
    pub fn counter(&self, number: usize) -> u64 {
        let at = register::COUNTERS + 8 * u32::try_from(number).expect("there are fewer counters");
        let low = self.bus().read32(at).expect("the device answers");
        u64::from(self.bus().read32(at + 4).expect("the device answers")) << 32 | u64::from(low)
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
