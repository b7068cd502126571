//! Blocking sockets, from several threads, in real time: two stacks with a thread each, two model engines at one cable.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use support::pair::{assert_same, pattern};
use support::world::config;
use toe_driver::{Nic, NicConfig};
use toe_host_lib::tcp::State;
use toe_host_lib::{Handle, Stack, StackThread, TcpListener, TcpStream};
use toe_sim::device::{Device, Threaded};
use toe_sim::model::Model;
use toe_sim::root_complex::Timing;
use toe_sim::time::WallClock;
use toe_sim::wire::{link, LinkEnd};

const PATIENCE: Duration = Duration::from_secs(20);

fn stack(host: u8, clock: WallClock, wire: LinkEnd) -> StackThread {
    let device = Device::new(Box::new(Model::default()), Box::new(wire), Timing::default(), 1);
    let bus = Threaded::start(clock, device).expect("a thread");
    let nic = NicConfig { mac: [2, 0, 0, 0, 0, host], hash_key: 9, ..NicConfig::default() };
    let nic = Nic::open(Arc::new(bus), nic).expect("the device opens");
    Stack::new(nic, config(host)).expect("the stack starts").spawn().expect("a thread")
}

/// 10.0.0.1 and 10.0.0.2.
fn stacks() -> (StackThread, StackThread) {
    let clock = WallClock::new();
    let (a, b) = link(toe_host_lib::time::Nanoseconds::from_micros(50));
    (stack(1, clock, a), stack(2, clock, b))
}

fn address(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new([10, 0, 0, 2].into(), port)
}

fn pair(client: &Handle, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect_timeout(client, listener.local_addr().expect("it listens"), PATIENCE).expect("it connects");
    let (server, peer) = listener.accept_timeout(PATIENCE).expect("accepted");
    assert_eq!(peer, client.local_addr().expect("connected"));
    (client, server)
}

/// s10, s14, s24: an echo server with a thread for each client, as anybody would write it.
#[test]
fn s10_s14_s24_an_echo_server_with_threads() {
    let (a, b) = stacks();
    let listener = TcpListener::bind(&b.handle(), 7).expect("the port is free");
    thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().take(8) {
                let mut stream = stream.expect("a connection");
                scope.spawn(move || {
                    let mut buffer = [0; 10_000];
                    loop {
                        match stream.read(&mut buffer).expect("bytes") {
                            0 => return,
                            n => stream.write_all(&buffer[..n]).expect("room"),
                        }
                    }
                });
            }
        });
        for k in 0..8 {
            let handle = a.handle();
            scope.spawn(move || {
                let mut stream = TcpStream::connect_timeout(&handle, address(7), PATIENCE).expect("it connects");
                stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
                let sent = pattern(300_000 + k * 1000, 5);
                let mut writer = stream.try_clone().expect("always");
                let copy = sent.clone();
                let writing = thread::spawn(move || {
                    writer.write_all(&copy).expect("room");
                    writer.shutdown(Shutdown::Write).expect("connected");
                });
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).expect("bytes");
                writing.join().expect("it writes");
                assert_same(&heard, &sent, "echo");
            });
        }
    });
}

/// Two threads that read one socket get every byte once.
#[test]
fn two_readers_of_one_socket() {
    let (a, b) = stacks();
    let listener = TcpListener::bind(&b.handle(), 0).expect("a port is free");
    let (client, server) = pair(&a.handle(), &listener);
    let total = 400_000;
    let counts = thread::scope(|scope| {
        let read = || {
            let (mut bytes, mut sum, mut buffer) = (0usize, 0u64, [0; 3000]);
            loop {
                match (&server).read(&mut buffer).expect("bytes") {
                    0 => return (bytes, sum),
                    n => {
                        bytes += n;
                        sum += buffer[..n].iter().map(|b| u64::from(*b)).sum::<u64>();
                    }
                }
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        let sent = pattern(total, 21);
        (&client).write_all(&sent).expect("room");
        client.shutdown(Shutdown::Write).expect("connected");
        let counts = readers.map(|reader| reader.join().expect("it reads"));
        (counts, sent.iter().map(|b| u64::from(*b)).sum::<u64>())
    });
    let ([one, two], sum) = counts;
    assert_eq!((one.0 + two.0, one.1 + two.1), (total, sum));
}

/// Time-outs, non-blocking mode, and what `std` says in these cases.
#[test]
fn timeouts_and_non_blocking() {
    let (a, b) = stacks();
    let listener = TcpListener::bind(&b.handle(), 80).expect("the port is free");
    assert_eq!(TcpListener::bind(&b.handle(), 80).expect_err("in use").kind(), ErrorKind::AddrInUse);
    listener.set_nonblocking(true).expect("always");
    assert_eq!(listener.accept().expect_err("nobody").kind(), ErrorKind::WouldBlock);
    let (mut client, _server) = pair(&a.handle(), &listener);
    client.set_read_timeout(Some(Duration::from_millis(50))).expect("not zero");
    assert_eq!(client.set_read_timeout(Some(Duration::ZERO)).expect_err("zero").kind(), ErrorKind::InvalidInput);
    let begin = Instant::now();
    assert_eq!(client.read(&mut [0; 4]).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    assert!(begin.elapsed() >= Duration::from_millis(50));
    // Nobody reads at the other end: both rings fill up.
    client.set_write_timeout(Some(Duration::from_millis(50))).expect("not zero");
    let error = client.write_all(&pattern(4 << 20, 1)).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    // Nobody is there at all.
    let nobody = SocketAddrV4::new([10, 0, 0, 99].into(), 80);
    let begin = Instant::now();
    let error = TcpStream::connect_timeout(&a.handle(), nobody, Duration::from_millis(100)).expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(begin.elapsed() < Duration::from_secs(2));
    for bad in [[10, 0, 0, 255], [224, 0, 0, 1], [0, 0, 0, 0], [10, 0, 0, 1]] {
        let error = TcpStream::connect(&a.handle(), SocketAddrV4::new(bad.into(), 80)).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{bad:?}");
    }
}

/// s18, linger: the last drop waits until the peer has acknowledged everything.
#[test]
fn s18_linger_waits() {
    let (a, b) = stacks();
    let listener = TcpListener::bind(&b.handle(), 80).expect("the port is free");
    let (mut client, mut server) = pair(&a.handle(), &listener);
    let sent = pattern(200_000, 2);
    client.write_all(&sent).expect("room");
    client.set_linger(Some(PATIENCE)).expect("always");
    drop(client);
    // All of it is in the peer's ring by now, or was acknowledged into it.
    server.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).expect("bytes");
    assert_same(&heard, &sent, "everything");
}

/// A stack that ends leaves nobody waiting.
#[test]
fn the_end_of_a_stack_wakes_everybody() {
    let (a, b) = stacks();
    let listener = TcpListener::bind(&b.handle(), 80).expect("the port is free");
    let (client, server) = pair(&a.handle(), &listener);
    thread::scope(|scope| {
        let accepting = scope.spawn(|| listener.accept().err().map(|error| error.kind()));
        let reading = scope.spawn(|| (&server).read(&mut [0; 4]).err().map(|error| error.kind()));
        thread::sleep(Duration::from_millis(50));
        b.stop().expect("it worked until now");
        assert_eq!(accepting.join().expect("no panic"), Some(ErrorKind::NotConnected));
        assert_eq!(reading.join().expect("no panic"), Some(ErrorKind::ConnectionAborted));
    });
    assert_eq!((&server).write(b"x").expect_err("ended").kind(), ErrorKind::BrokenPipe);
    assert_eq!(server.state(), State::Closed);
    drop((client, server, listener));
}
