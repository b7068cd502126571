//! A device that dies under blocked threads, in real time: everybody is told within a deadline, nothing is left, and the stack starts again on it.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use support::liar::Liar;
use support::pair::{assert_same, pattern};
use support::world::config;
use toe_contract::register;
use toe_driver::dma::DmaAllocator;
use toe_driver::{Bus, Nanoseconds, Nic, NicConfig, Wait};
use toe_host_lib::stack::CHECK_INTERVAL;
use toe_host_lib::{Stack, StackThread, TcpListener, TcpStream};
use toe_sim::device::{Device, Threaded};
use toe_sim::model::Model;
use toe_sim::root_complex::Timing;
use toe_sim::time::WallClock;
use toe_sim::wire::{link, LinkEnd};

/// What a busy machine may add to any deadline.
const PATIENCE: Duration = Duration::from_secs(20);
const DEADLINE: Nanoseconds = Nanoseconds::from_millis(500);

type Bad = Liar<Threaded>;

/// A way to die, and what the errors say of it.
struct Death {
    name: &'static str,
    kill: fn(&Bad),
    says: &'static str,
    /// How long until it is found out, at the most.
    within: Nanoseconds,
}

const DEATHS: [Death; 4] = [
    Death {
        name: "pulled out",
        kill: |device| {
            device.deafen();
            device.lie(|_, _| u32::MAX);
        },
        says: "the device is gone: its registers read as all ones",
        within: CHECK_INTERVAL,
    },
    Death { name: "silent", kill: Bad::deafen, says: "the taking of commands did not happen within 500ms", within: Nanoseconds(CHECK_INTERVAL.0 + DEADLINE.0) },
    Death {
        name: "reset",
        kill: |device| device.honest().write32(register::CONTROL.offset, register::CONTROL_RESET.mask()).expect("it is there"),
        says: "the device was reset behind the driver's back: register CONTEXT_CONTROL",
        within: CHECK_INTERVAL,
    },
    Death {
        name: "a DMA fault",
        kill: |device| device.lie(|at, value| if at == register::STATUS.offset { value | register::STATUS_FAULT.mask() } else { value }),
        says: "DMA fault (STATUS.FAULT)",
        within: CHECK_INTERVAL,
    },
];

fn device(clock: WallClock, wire: LinkEnd) -> Arc<Threaded> {
    let device = Device::new(Box::new(Model::default()), Box::new(wire), Timing::default(), 1);
    Arc::new(Threaded::start(clock, device).expect("a thread"))
}

fn start(bus: Arc<dyn Bus>, host: u8, wait: Wait) -> (StackThread, DmaAllocator) {
    let nic = NicConfig { mac: [2, 0, 0, 0, 0, host], hash_key: 9, deadline: DEADLINE, wait, ..NicConfig::default() };
    let nic = Nic::open(bus, nic).expect("the device opens");
    let dma = nic.dma().clone();
    (Stack::new(nic, config(host)).expect("the stack starts").spawn().expect("a thread"), dma)
}

/// Descriptors and threads of this process.
fn held() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).expect("Linux").count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

fn echo(a: &StackThread, b: &StackThread) {
    let listener = TcpListener::bind(&b.handle(), 7).expect("the port is free");
    let mut client = TcpStream::connect_timeout(&a.handle(), listener.local_addr().expect("it listens"), PATIENCE).expect("it connects");
    let (mut server, _) = listener.accept_timeout(PATIENCE).expect("accepted");
    let sent = pattern(100_000, 3);
    let mut heard = vec![0; sent.len()];
    thread::scope(|scope| {
        scope.spawn(|| client.write_all(&sent).expect("room"));
        server.set_read_timeout(Some(PATIENCE)).expect("not zero");
        server.read_exact(&mut heard).expect("bytes");
    });
    assert_same(&heard, &sent, "after the start");
}

/// Threads that block in every call of the sockets; then the device dies.
fn die_under_blocked_threads(a: &StackThread, b: &StackThread, bad: &Bad, death: &Death) {
    let listener = TcpListener::bind(&b.handle(), 80).expect("the port is free");
    let connect = || {
        let client = TcpStream::connect_timeout(&a.handle(), listener.local_addr().expect("it listens"), PATIENCE).expect("it connects");
        (client, listener.accept_timeout(PATIENCE).expect("accepted").0)
    };
    let (_client, server) = connect();
    let (_other, full) = connect();
    let (_third, lingering) = connect();
    let idle = TcpListener::bind(&b.handle(), 81).expect("the port is free");
    lingering.set_linger(Some(PATIENCE)).expect("always");
    // Nobody reads at the other end: this stays in the ring.
    (&lingering).write_all(&pattern(200_000, 4)).expect("room");
    thread::scope(|scope| {
        let told = |call: Box<dyn FnOnce() -> std::io::Error + Send>| scope.spawn(move || (call(), Instant::now()));
        let (reader, second, writer, to_b) = (server.clone(), server.clone(), full.clone(), b.handle());
        let blocked: Vec<(&str, ScopedJoinHandle<'_, (std::io::Error, Instant)>)> = vec![
            ("read", told(Box::new(move || (&reader).read(&mut [0; 4]).expect_err("read")))),
            ("a second read", told(Box::new(move || (&second).read(&mut [0; 4]).expect_err("second read")))),
            ("write", told(Box::new(move || (&writer).write_all(&vec![7; 8 << 20]).expect_err("write")))),
            (
                "accept",
                told(Box::new({
                    let idle = &idle;
                    move || idle.accept().map(|_| ()).expect_err("accept")
                })),
            ),
            ("connect", told(Box::new(move || TcpStream::connect(&to_b, SocketAddrV4::new([10, 0, 0, 99].into(), 9)).expect_err("connect")))),
        ];
        thread::sleep(Duration::from_millis(100));
        assert!(blocked.iter().all(|(_, thread)| !thread.is_finished()), "{}: a call did not block", death.name);
        let begin = Instant::now();
        let closing = scope.spawn(move || {
            drop(lingering);
            Instant::now()
        });
        thread::sleep(Duration::from_millis(20));
        (death.kill)(bad);
        // A silent device is not missed before it is asked for something.
        let _ = full.set_nodelay(true);
        let within = Duration::from(death.within) + Duration::from_secs(5);
        for (call, thread) in blocked {
            let (error, at) = thread.join().expect("no panic");
            assert_eq!(error.kind(), ErrorKind::NetworkDown, "{}, {call}: {error}", death.name);
            assert!(error.to_string().contains(death.says), "{}, {call}: {error}", death.name);
            assert!(at - begin < within, "{}, {call}: told after {:?}", death.name, at - begin);
        }
        assert!(closing.join().expect("no panic") - begin < within, "{}: the last drop lingers", death.name);
    });
    let error = TcpListener::bind(&b.handle(), 82).expect_err("ended");
    assert!(error.kind() == ErrorKind::NetworkDown && error.to_string().contains(death.says), "{}: {error}", death.name);
    let error = TcpStream::connect(&b.handle(), SocketAddrV4::new([10, 0, 0, 1].into(), 9)).expect_err("ended");
    assert!(error.kind() == ErrorKind::NetworkDown && error.to_string().contains(death.says), "{}: {error}", death.name);
}

/// One test, so that descriptors and threads can be counted.
#[test]
fn a_device_that_dies_under_blocked_threads_and_is_started_again() {
    let before = held();
    {
        let clock = WallClock::new();
        let (left, right) = link(Nanoseconds::from_micros(20));
        let bad = Liar::new(device(clock, right));
        let (a, _) = start(device(clock, left), 1, Wait::Interrupt);
        for wait in [Wait::Interrupt, Wait::Poll, Wait::Adaptive { longest: Wait::LONGEST_SPIN }] {
            for death in &DEATHS {
                let (b, dma) = start(bad.clone(), 2, wait);
                echo(&a, &b);
                die_under_blocked_threads(&a, &b, &bad, death);
                let error = b.stop().expect_err("it has stopped").to_string();
                assert!(error.contains(death.says), "{}: {error}", death.name);
                assert_eq!(dma.mapped(), 0, "{}: memory stays with the device", death.name);
                bad.repent();
            }
        }
        let (b, _) = start(bad.clone(), 2, Wait::Interrupt);
        echo(&a, &b);
        b.stop().expect("it worked until now");
        a.stop().expect("an honest device");
    }
    assert_eq!(held(), before, "descriptors and threads");
}
