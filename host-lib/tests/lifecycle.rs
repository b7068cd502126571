//! Connections between two stacks, on two model engines at one cable.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddrV4};

use support::world::{config, Setup, World};
use toe_host_lib::tcp::State;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{TcpListener, TcpStream};

const SECOND: Nanoseconds = Nanoseconds::from_secs(1);

/// Client on node 0, server on node 1, established.
struct Pair {
    world: World,
    _listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

fn connect(setup: &Setup) -> Pair {
    let mut world = World::pair(config(1), config(2), setup);
    let listener = world.nodes[1].stack.bind(80).expect("the port is free");
    listener.set_nonblocking(true).expect("always");
    let client = TcpStream::start_connect(&world.nodes[0].stack.handle(), "10.0.0.2:80".parse::<SocketAddrV4>().expect("an address"));
    client.set_nonblocking(true).expect("always");
    let mut server = None;
    world.run_until(Nanoseconds::from_secs(30), "the connection", |_| {
        server = server.take().or_else(|| listener.accept().ok().map(|(stream, _)| stream));
        server.is_some() && client.state() == State::Established
    });
    let server = server.expect("accepted");
    server.set_nonblocking(true).expect("always");
    Pair { world, _listener: listener, client, server }
}

/// Reads what is there.
fn drain(mut stream: &TcpStream, into: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(n) => into.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("read: {error}"),
        }
    }
}

#[test]
fn s10_three_way_handshake_and_bytes_both_ways() {
    let Pair { mut world, mut client, mut server, .. } = connect(&Setup::default());
    client.write_all(b"request").expect("room");
    server.write_all(b"response").expect("room");
    let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
    world.run_until(SECOND, "the exchange", |_| {
        drain(&server, &mut at_server);
        drain(&client, &mut at_client);
        at_server == b"request" && at_client == b"response"
    });
    client.shutdown(Shutdown::Write).expect("connected");
    world.run_until(SECOND, "half close", |_| drain(&server, &mut at_server));
    world.print();
}
