//! What a device may say to the driver and the stack: events, raw frames, registers, time, interrupts; honest, a little wrong, or noise.
//!
//! ```text
//!   input --+--> the application's calls ---> sockets, Stack, Nic
//!           |                                       |  Bus
//!           +--> what happens, what is a lie ---> Puppet: an engine of few lines, in virtual time
//! ```
//!
//! Checked beside "no panic, no hang, no run-away memory": a device that has not lied is believed, whatever its peers send, and every byte arrives as it
//! was sent; after a lie nobody is left waiting, nothing stays mapped, and the stack starts again on the same device.

mod engine;
mod peer;
mod puppet;

use crate::input::Input;
use puppet::Puppet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use toe_driver::dma::{DmaAllocator, SLAB};
use toe_driver::{Nanoseconds, Nic, NicConfig, Wait};
use toe_host_lib::{Config, Stack, TcpListener, TcpStream};

/// What an input may ask for at most.
const STEPS: usize = 400;
const SOCKETS: usize = 12;
const RESTARTS: usize = 3;
/// log2 of a flow's rings.
const RING_LOG2: u8 = 12;
const PORT: u16 = 80;

/// Byte `position` of every stream, in both directions.
fn pattern(position: u32) -> u8 {
    (position.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

/// A socket, and how much has gone through it.
struct Socket {
    stream: TcpStream,
    read: u32,
    written: u32,
}

/// A stack on the puppet, and its application.
struct Host {
    stack: Stack,
    dma: DmaAllocator,
    listener: Option<TcpListener>,
    sockets: Vec<Socket>,
}

/// Lets an input happen to a stack.
///
/// # Panics
/// The driver or the stack has done what it must not.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let wait = match input.u8() % 3 {
        0 => Wait::Interrupt,
        1 => Wait::Poll,
        _ => Wait::Adaptive { longest: Nanoseconds::from_micros(50) },
    };
    let puppet = Puppet::new();
    let mut host = start(&puppet, wait);
    let mut restarts = 0;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        puppet.begin_step();
        let code = input.u8();
        step(&mut host, &puppet, &mut input, code & 0x7f);
        let polled = if code & 0x80 == 0 { host.stack.poll().map(drop) } else { Ok(()) };
        if let Err(error) = polled {
            assert!(puppet.inside().lied, "an honest device was not believed: {error}");
            end(host, &puppet, true);
            if restarts == RESTARTS {
                return;
            }
            restarts += 1;
            puppet.repent();
            host = start(&puppet, wait);
        }
        assert!(host.dma.mapped() <= 8 * SLAB as u64, "{} bytes are mapped for four flows", host.dma.mapped());
    }
    puppet.begin_step();
    end(host, &puppet, false);
}

fn start(puppet: &Arc<Puppet>, wait: Wait) -> Host {
    let nic = NicConfig { mac: peer::HOST_MAC.0, hash_key: 1, deadline: Nanoseconds::from_millis(2), wait, ..NicConfig::default() };
    let nic = Nic::open(puppet.clone(), nic).expect("an honest device opens");
    let dma = nic.dma().clone();
    let mut config = Config { address: peer::HOST_IP, log_entries: 64, secret: Some([7; 16]), backlog: 3, ..Config::default() };
    (config.settings.receive_log2, config.settings.send_log2) = (RING_LOG2, RING_LOG2);
    config.settings.msl = Nanoseconds::from_millis(100);
    let mut stack = Stack::new(nic, config).expect("the stack starts");
    let listener = stack.bind(PORT).expect("nobody else listens");
    listener.set_nonblocking(true).expect("always");
    Host { stack, dma, listener: Some(listener), sockets: Vec::new() }
}

/// The stack goes; nobody may be left waiting, and nothing mapped.
fn end(mut host: Host, puppet: &Puppet, failed: bool) {
    if failed {
        for socket in &mut host.sockets {
            assert_over(socket);
        }
    }
    let Host { stack, dma, listener, mut sockets } = host;
    drop(stack);
    assert_eq!((dma.mapped(), puppet.inside().mapped.len()), (0, 0), "memory stays with the device");
    for socket in &mut sockets {
        assert_over(socket);
    }
    if let Some(listener) = listener {
        let waiting = std::iter::from_fn(|| listener.accept().ok()).count();
        assert!(waiting <= SOCKETS, "{waiting} connections wait");
        assert_ne!(listener.accept().expect_err("nobody comes").kind(), ErrorKind::WouldBlock, "accept would wait for a stack that has ended");
    }
}

/// What was received can be read; then there is an end, and nothing can be written.
fn assert_over(socket: &mut Socket) {
    let mut buffer = [0; 1 << RING_LOG2];
    for _ in 0..4 {
        match socket.stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "read would wait for a stack that has ended"),
        }
    }
    let error = socket.stream.write(&[0]).expect_err("nobody sends it");
    assert_ne!(error.kind(), ErrorKind::WouldBlock, "write would wait for a stack that has ended");
}

/// One thing that happens.
fn step(host: &mut Host, puppet: &Puppet, input: &mut Input<'_>, code: u8) {
    match code {
        0..=15 => puppet.inside().progress(code, input.u16(), input.u16(), input.u8()),
        16..=31 => puppet.inside().segment(code, input),
        32..=63 => application(host, puppet, input, code - 32),
        64..=71 => puppet.pass(Nanoseconds(u64::from(input.u16()) << (2 * (code - 64)))),
        72 => puppet.inside().remove(),
        73 => puppet.inside().refuse_install = true,
        74 => puppet.inside().other_frame(input),
        75 => host.stack.nic().relax(),
        76 => puppet.inside().signal = true,
        77..=79 => {
            let until = host.stack.nic().now() + Nanoseconds(u64::from(input.u16()) << 8);
            let _ = host.stack.wait(until);
        }
        _ => puppet.inside().lie(code, input),
    }
}

fn application(host: &mut Host, puppet: &Puppet, input: &mut Input<'_>, code: u8) {
    let which = usize::from(input.u8());
    let amount = usize::from(input.u16()) % 5000;
    if code < 4 {
        return open(host, code, which);
    }
    let count = host.sockets.len();
    let Some(socket) = host.sockets.get_mut(which % count.max(1)) else { return };
    match code {
        4..=12 => read(socket, amount, !puppet.inside().lied),
        13..=21 => write(socket, amount),
        22 => drop(socket.stream.shutdown(Shutdown::Write)),
        23 => drop(socket.stream.shutdown(Shutdown::Read)),
        24 => drop(socket.stream.set_nodelay(amount % 2 == 0)),
        25 => drop(socket.stream.take_error()),
        26 => drop(socket.stream.set_linger(Some(Duration::ZERO))),
        27 | 28 => drop(host.sockets.swap_remove(which % count)),
        29 => host.listener = None,
        _ => {
            let _ = (socket.stream.state(), socket.stream.peer_addr(), host.stack.statistics(), host.stack.sockets());
        }
    }
}

fn open(host: &mut Host, code: u8, which: usize) {
    if host.sockets.len() == SOCKETS {
        return;
    }
    let stream = match code {
        0 | 1 => host.listener.as_ref().and_then(|listener| listener.accept().ok()).map(|(stream, _)| stream),
        _ => {
            let port = 1000 + u16::try_from(which % 8).unwrap_or(0);
            Some(TcpStream::start_connect(&host.stack.handle(), SocketAddrV4::new(peer::ips()[which % 3], port)))
        }
    };
    if let Some(stream) = stream {
        stream.set_nonblocking(true).expect("always");
        host.sockets.push(Socket { stream, read: 0, written: 0 });
    }
}

fn read(socket: &mut Socket, amount: usize, honest: bool) {
    let mut buffer = [0; 5000];
    if let Ok(count) = socket.stream.read(&mut buffer[..amount]) {
        for byte in &buffer[..count] {
            assert!(!honest || *byte == pattern(socket.read), "byte {} of a stream is not what was sent", socket.read);
            socket.read = socket.read.wrapping_add(1);
        }
    }
}

fn write(socket: &mut Socket, amount: usize) {
    let bytes: Vec<u8> = (0..amount).map(|k| pattern(socket.written.wrapping_add(u32::try_from(k).unwrap_or(0)))).collect();
    if let Ok(count) = socket.stream.write(&bytes) {
        socket.written = socket.written.wrapping_add(u32::try_from(count).unwrap_or(0));
    }
}
