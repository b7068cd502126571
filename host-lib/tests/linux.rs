//! A Linux kernel as the peer, over a TAP, in real time.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use support::engine::engine;
use support::pair::{assert_same, pattern};
use toe_driver::{Nic, NicConfig};
use toe_host_lib::tcp::State;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{Config, Handle, Stack, StackThread, TcpListener, TcpStream};
use toe_sim::device::{Device, Threaded};
use toe_sim::netns::{Namespace, TapConfig};
use toe_sim::root_complex::Timing;
use toe_sim::time::WallClock;
use toe_sim::wire::{DirectionImpairment, Impaired, Impairment};

const KERNEL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PATIENCE: Duration = Duration::from_secs(60);

/// Our stack at one end of a TAP, a namespace with the kernel at the other.
struct Bench {
    namespace: Namespace,
    stack: StackThread,
}

/// `None`, with the reason printed, where there is no TAP to be had.
fn bench(impairment: &Impairment) -> Option<Bench> {
    if !std::fs::exists("/dev/net/tun").unwrap_or(false) {
        println!("skipped: there is no /dev/net/tun here");
        return None;
    }
    let namespace = Namespace::new().expect("a namespace");
    let tap = namespace.tap(&TapConfig { address: (KERNEL, 24), ..TapConfig::default() }).expect("a TAP");
    let wire = Impaired::new(tap, impairment);
    let device = Device::new(engine(64), Box::new(wire), Timing::default(), 1);
    let bus = Threaded::start(WallClock::new(), device).expect("a thread");
    let nic = Nic::open(Arc::new(bus), NicConfig { hash_key: 7, ..NicConfig::default() }).expect("the device opens");
    let mut config = Config { address: OURS, ..Config::default() };
    config.settings.msl = Nanoseconds::from_millis(300);
    let stack = Stack::new(nic, config).expect("the stack starts").spawn().expect("a thread");
    Some(Bench { namespace, stack })
}

/// What happened, if something went wrong.
impl Drop for Bench {
    fn drop(&mut self) {
        if thread::panicking() {
            let entries = self.handle().log().entries();
            entries.iter().rev().take(200).rev().for_each(|entry| eprintln!("{entry}"));
            eprintln!("{:?}", self.handle().statistics());
        }
    }
}

impl Bench {
    fn handle(&self) -> Handle {
        self.stack.handle()
    }

    /// A connected pair: our socket and the kernel's.
    fn pair(&self, we_listen: bool) -> (TcpStream, std::net::TcpStream) {
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
    fn assert_nothing_left(&self) {
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

/// Sends bytes both ways at once, each end closing its direction when it is done.
fn exchange(bench: &Bench, we_listen: bool, len: usize) -> Duration {
    let (ours, kernel) = bench.pair(we_listen);
    let begin = Instant::now();
    let (to_kernel, to_us) = (pattern(len, 3), pattern(len, 5));
    let (mut heard_by_kernel, mut heard_by_us) = (Vec::new(), Vec::new());
    for timeout in [kernel.set_read_timeout(Some(PATIENCE)), ours.set_read_timeout(Some(PATIENCE)), ours.set_write_timeout(Some(PATIENCE))] {
        timeout.expect("not zero");
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            (&ours).write_all(&to_kernel).expect("we send");
            ours.shutdown(Shutdown::Write).expect("connected");
        });
        scope.spawn(|| {
            (&kernel).write_all(&to_us).expect("the kernel sends");
            kernel.shutdown(Shutdown::Write).expect("connected");
        });
        scope.spawn(|| (&kernel).read_to_end(&mut heard_by_kernel).expect("the kernel hears"));
        (&ours).read_to_end(&mut heard_by_us).expect("we hear");
    });
    assert_same(&heard_by_kernel, &to_kernel, "to the kernel");
    assert_same(&heard_by_us, &to_us, "to us");
    begin.elapsed()
}

/// s12, s14, s30: the kernel as client and as server, on a clean cable.
#[test]
fn s14_linux_both_ways_clean() {
    let Some(bench) = bench(&Impairment::default()) else { return };
    for we_listen in [true, false] {
        let took = exchange(&bench, we_listen, 8 << 20);
        println!("we listen: {we_listen}; 8 MiB each way in {took:?}");
    }
    bench.assert_nothing_left();
}

/// s12, s14, s30: the same over a cable that loses and reorders one frame of a hundred.
#[test]
fn s14_linux_both_ways_lossy() {
    let way = DirectionImpairment { loss: 0.01, reorder: 0.01, ..DirectionImpairment::default() };
    let Some(bench) = bench(&Impairment { seed: 1, tx: way, rx: way }) else { return };
    for we_listen in [true, false] {
        let took = exchange(&bench, we_listen, 4 << 20);
        println!("we listen: {we_listen}; 4 MiB each way in {took:?}");
    }
    bench.assert_nothing_left();
}

/// s04, s05: whoever closes first, both ends finish.
#[test]
fn s04_s05_linux_closes_first_or_we_do() {
    let Some(bench) = bench(&Impairment::default()) else { return };
    for (we_listen, we_close) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut ours, mut kernel) = bench.pair(we_listen);
        ours.write_all(b"hello").expect("we send");
        let mut buffer = [0; 5];
        kernel.read_exact(&mut buffer).expect("the kernel hears");
        if we_close {
            drop(ours);
            assert_eq!(kernel.read(&mut buffer).expect("the end of the stream"), 0);
            drop(kernel);
        } else {
            drop(kernel);
            ours.set_read_timeout(Some(PATIENCE)).expect("not zero");
            assert_eq!(ours.read(&mut buffer).expect("the end of the stream"), 0);
            drop(ours);
        }
        bench.assert_nothing_left();
    }
}
