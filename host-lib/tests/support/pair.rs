//! A client on node 0 and a server on node 1, connected.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;

use toe_host_lib::tcp::State;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{Config, TcpListener, TcpStream};

use super::world::{config, Setup, World};

/// The server's address.
pub fn server_address() -> SocketAddrV4 {
    SocketAddrV4::new([10, 0, 0, 2].into(), 80)
}

pub struct Pair {
    pub world: World,
    pub listener: TcpListener,
    pub client: TcpStream,
    pub server: TcpStream,
}

pub fn connect(setup: &Setup) -> Pair {
    connect_with(config(1), config(2), setup)
}

pub fn connect_with(a: Config, b: Config, setup: &Setup) -> Pair {
    let mut world = World::pair(a, b, setup);
    let listener = listen(&mut world, 1, 80);
    let (client, server) = connect_in(&mut world, &listener);
    Pair { world, listener, client, server }
}

/// Listens, without blocking.
pub fn listen(world: &mut World, node: usize, port: u16) -> TcpListener {
    let listener = world.nodes[node].stack.bind(port).expect("the port is free");
    listener.set_nonblocking(true).expect("always");
    listener
}

/// Begins to connect from node 0, without blocking.
pub fn start(world: &World, to: SocketAddrV4) -> TcpStream {
    let client = TcpStream::start_connect(&world.nodes[0].stack.handle(), to);
    client.set_nonblocking(true).expect("always");
    client
}

/// One more connection.
pub fn connect_in(world: &mut World, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = start(world, listener.local_addr().expect("it listens"));
    let mut server = None;
    world.run_until(Nanoseconds::from_secs(60), "the connection", |_| {
        server = server.take().or_else(|| accept(listener));
        server.is_some() && client.state() == State::Established
    });
    (client, server.expect("accepted"))
}

pub fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).expect("always");
    Some(stream)
}

/// Reads what is there; true at the end of the stream.
pub fn drain(mut stream: &TcpStream, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(n) => into.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("read: {error}"),
        }
    }
}

/// Writes as much as there is room for; true if that was all.
pub fn feed(mut stream: &TcpStream, from: &mut &[u8]) -> bool {
    while !from.is_empty() {
        match stream.write(from) {
            Ok(n) => *from = &from[n..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("write: {error}"),
        }
    }
    true
}

/// Bytes that differ everywhere.
pub fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut value = seed | 1;
    (0..len)
        .map(|_| {
            value ^= value << 13;
            value ^= value >> 17;
            value ^= value << 5;
            value.to_le_bytes()[1]
        })
        .collect()
}

/// Compares what came with what was sent; says where they differ.
pub fn assert_same(heard: &[u8], sent: &[u8], what: &str) {
    if let Some(at) = heard.iter().zip(sent).position(|(a, b)| a != b) {
        let end = heard.iter().zip(sent).rposition(|(a, b)| a != b).unwrap_or(at);
        let wrong = heard.iter().zip(sent).filter(|(a, b)| a != b).count();
        panic!("{what}: {wrong} bytes from {at} to {end} differ, of {}", sent.len());
    }
    assert_eq!(heard.len(), sent.len(), "{what}: bytes");
}
