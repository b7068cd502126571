//! More connections than the engine has flows, or than its flow table has room for, in virtual time.

mod support;

use std::io::{ErrorKind, Read};
use std::net::Shutdown;

use support::engine::is_rtl;
use support::pair::{accept, connect_in, drain, feed, listen, pattern, server_address, start};
use support::world::{config, with_flows, Setup, World};
use toe_contract::FLOWS;
use toe_host_lib::tcp::State;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{Config, Statistics, TcpStream};
use toe_sim::model::Config as ModelConfig;

const SECOND: Nanoseconds = Nanoseconds::from_secs(1);
const MINUTE: Nanoseconds = Nanoseconds::from_secs(60);
/// The flows of the engine as it is built by default.
#[expect(clippy::cast_possible_truncation, reason = "flow numbers have 16 bits")]
const ALL: u16 = FLOWS as u16;
/// Bytes each way on a connection.
const BYTES: usize = 3000;

/// A stack that gives each connection little memory.
fn small(host: u8) -> Config {
    let mut config = config(host);
    (config.settings.receive_log2, config.settings.send_log2) = (12, 12);
    config
}

fn statistics(world: &World, node: usize) -> Statistics {
    world.nodes[node].stack.statistics()
}

/// Nothing is left but listeners, after TIME_WAIT.
fn run_out(world: &mut World) {
    world.run_for(Nanoseconds::from_secs(3));
    for node in [0, 1] {
        let s = statistics(world, node);
        let left: usize = State::ALL.iter().filter(|state| **state != State::Listen).map(|state| s.in_state(*state)).sum();
        assert_eq!((left, s.flows_used, s.rings_used, s.waiting_for_flow), (0, 0, 0, 0), "{s:?}");
    }
}

/// As [`World::run_until`], with a look every two milliseconds only: there are many to look at.
fn look_until(world: &mut World, limit: Nanoseconds, what: &str, mut done: impl FnMut(&World) -> bool) {
    let mut look_at = world.now();
    world.run_until(limit, what, |world| {
        if world.now() < look_at {
            return false;
        }
        look_at = world.now() + Nanoseconds::from_millis(2);
        done(world)
    });
}

/// A client that speaks as soon as it can, and hears to the end.
struct Client {
    stream: TcpStream,
    /// What it says.
    words: Vec<u8>,
    sent: usize,
    heard: Vec<u8>,
}

impl Client {
    fn start(world: &World, number: u16) -> Client {
        Client { stream: start(world, server_address()), words: pattern(BYTES, number.into()), sent: 0, heard: Vec::new() }
    }

    /// True: at the end of the stream, having heard its own bytes.
    fn go_on(&mut self) -> bool {
        if self.stream.state() != State::Established && self.stream.state() != State::CloseWait {
            return false;
        }
        let mut left = &self.words[self.sent..];
        feed(&self.stream, &mut left);
        self.sent = BYTES - left.len();
        let done = drain(&self.stream, &mut self.heard);
        assert!(!done || self.heard == self.words, "a client hears its own bytes");
        done
    }
}

/// Says back what it hears, then closes. True: it has.
fn echo(stream: &TcpStream, heard: &mut Vec<u8>) -> bool {
    drain(stream, heard);
    if heard.len() == BYTES {
        assert!(feed(stream, &mut &heard[..]), "there is room for so little");
        stream.shutdown(Shutdown::Write).expect("connected");
    }
    heard.len() == BYTES
}

/// More connections than flows: the 257th and its like wait for a number in SYN_RECEIVED with what was sent to them, and lose nothing.
#[test]
fn connections_beyond_the_flows_wait_and_lose_nothing() {
    if is_rtl() {
        println!("skipped: the hardware has as many flows at one end as at the other");
        return;
    }
    const MORE: u16 = 24;
    let setup = Setup { model: with_flows(ALL + MORE), server_model: Some(with_flows(ALL)), ..Setup::default() };
    let mut world = World::pair(small(1), small(2), &setup);
    let listener = listen(&mut world, 1, 80);
    let mut clients: Vec<Client> = (0..ALL + MORE).map(|number| Client::start(&world, number)).collect();
    let mut servers: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    look_until(&mut world, MINUTE, "as many connections as there are flows", |world| {
        clients.iter_mut().for_each(|client| assert!(!client.go_on()));
        servers.extend(accept(&listener).map(|stream| (stream, Vec::new())));
        servers.len() == usize::from(ALL) && statistics(world, 1).waiting_for_flow == usize::from(MORE)
    });
    world.run_for(SECOND);
    let s = statistics(&world, 1);
    assert_eq!((s.flows_used, s.in_state(State::Established), s.in_state(State::SynReceived)), (ALL.into(), ALL.into(), MORE.into()));
    assert!(accept(&listener).is_none(), "without a flow there is no connection");
    let unheard = clients.iter().filter(|client| client.sent == BYTES && client.stream.unacknowledged() == BYTES).count();
    assert_eq!(unheard, usize::from(MORE), "clients that wait have spoken");
    let (mut begun, mut ended) = (servers.len(), 0);
    look_until(&mut world, MINUTE, "everyone has an answer", |_| {
        if let Some(stream) = accept(&listener) {
            servers.push((stream, Vec::new()));
            begun += 1;
        }
        servers.retain_mut(|(stream, heard)| !echo(stream, heard));
        clients.retain_mut(|client| !client.go_on());
        ended = usize::from(ALL + MORE) - clients.len();
        clients.is_empty()
    });
    assert_eq!((begun, ended), (usize::from(ALL + MORE), usize::from(ALL + MORE)));
    assert_eq!(statistics(&world, 1).refused_commands, 0, "the engine was never asked for what it has not");
    run_out(&mut world);
}

/// An application that opens one connection too many is told at once; the others do not notice, and when one has gone there is room.
#[test]
fn one_open_too_many_is_refused_at_once() {
    let setup = Setup { model: with_flows(ALL), ..Setup::default() };
    let mut world = World::pair(small(1), small(2), &setup);
    let listener = listen(&mut world, 1, 80);
    let mut clients: Vec<Client> = (0..ALL).map(|number| Client::start(&world, number)).collect();
    let beyond = start(&world, server_address());
    look_until(&mut world, SECOND, "the refusal", |_| (&beyond).read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy));
    let mut servers: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    look_until(&mut world, MINUTE, "all the others", |_| {
        clients.iter_mut().for_each(|client| assert!(!client.go_on()));
        servers.extend(accept(&listener).map(|stream| (stream, Vec::new())));
        servers.len() == clients.len()
    });
    assert_eq!(statistics(&world, 0).flows_used, usize::from(ALL));
    drop((clients.pop(), beyond));
    look_until(&mut world, MINUTE, "one has gone", |world| {
        servers.retain(|(stream, _)| stream.state() == State::Established);
        statistics(world, 0).flows_used < usize::from(ALL)
    });
    let again = Client::start(&world, ALL);
    clients.push(again);
    look_until(&mut world, MINUTE, "everyone has an answer", |_| {
        servers.extend(accept(&listener).map(|stream| (stream, Vec::new())));
        servers.retain_mut(|(stream, heard)| !echo(stream, heard));
        clients.retain_mut(|client| !client.go_on());
        clients.is_empty()
    });
    run_out(&mut world);
}

/// TIME_WAIT is the host's alone: it holds neither a flow nor rings, and as many connections again have room beside it.
#[test]
fn time_wait_holds_no_flow() {
    const COUNT: usize = 8;
    let mut world = World::pair(config(1), config(2), &Setup { model: with_flows(8), ..Setup::default() });
    let listener = listen(&mut world, 1, 80);
    let pairs: Vec<_> = (0..COUNT).map(|_| connect_in(&mut world, &listener)).collect();
    assert_eq!((statistics(&world, 1).flows_used, statistics(&world, 1).rings_used), (COUNT, COUNT));
    for (client, server) in pairs {
        drop(server);
        look_until(&mut world, SECOND, "the server's FIN", |_| client.state() == State::CloseWait);
    }
    let waits = |world: &World| (statistics(world, 1).in_state(State::TimeWait), statistics(world, 1).flows_used, statistics(world, 1).rings_used);
    look_until(&mut world, SECOND, "all of them wait, and hold nothing", |world| waits(world) == (COUNT, 0, 0));
    let again: Vec<_> = (0..COUNT).map(|_| connect_in(&mut world, &listener)).collect();
    assert_eq!(waits(&world), (COUNT, COUNT, COUNT), "those of before wait still");
    drop(again);
    run_out(&mut world);
}

/// The flow table has no room for a tuple, though there is a number: INSTALL is refused. That connection ends with an error at both ends;
/// the others go on, and nothing is left taken.
#[test]
fn a_tuple_without_room_in_the_table_ends_that_connection_alone() {
    if is_rtl() {
        println!("skipped: the hardware's table has room for every tuple but one in very many");
        return;
    }
    let narrow = ModelConfig { tuples: 4, ..with_flows(8) };
    let mut world = World::pair(config(1), config(2), &Setup { server_model: Some(narrow), ..Setup::default() });
    let listener = listen(&mut world, 1, 80);
    let mut clients: Vec<Client> = (0..4).map(|number| Client::start(&world, number)).collect();
    let mut servers: Vec<(TcpStream, Vec<u8>)> = Vec::new();
    look_until(&mut world, SECOND, "four connections", |_| {
        clients.iter_mut().for_each(|client| assert!(!client.go_on()));
        servers.extend(accept(&listener).map(|stream| (stream, Vec::new())));
        servers.len() == 4
    });
    let fifth = start(&world, server_address());
    let mut unlucky = None;
    look_until(&mut world, SECOND, "the end of the fifth", |_| {
        unlucky = unlucky.take().or_else(|| accept(&listener));
        let at_client = (&fifth).read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        at_client && unlucky.as_ref().is_some_and(|mut server| server.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy))
    });
    assert_eq!((statistics(&world, 1).refused_commands, statistics(&world, 1).flows_used), (1, 4));
    drop((fifth, unlucky));
    look_until(&mut world, SECOND, "the others have their answers", |_| {
        servers.retain_mut(|(stream, heard)| !echo(stream, heard));
        clients.retain_mut(|client| !client.go_on());
        clients.is_empty()
    });
    run_out(&mut world);
}
