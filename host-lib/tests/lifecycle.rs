//! How connections live and die: two stacks on two model engines at one cable, in virtual time.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4};

use support::pair::{connect, connect_in, connect_with, drain, feed, listen, pattern, server_address, start, Pair};
use support::world::{config, Setup, World};
use toe_host_lib::tcp::{FourTuple, State};
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{TcpListener, TcpStream};

const SECOND: Nanoseconds = Nanoseconds::from_secs(1);

fn tuple(client: &TcpStream) -> FourTuple {
    FourTuple { local: client.local_addr().expect("it has a port"), remote: client.peer_addr().expect("connected") }
}

/// The states a connection went through at the client's end, and at the server's.
fn walks(world: &World, tuple: FourTuple) -> (Vec<State>, Vec<State>) {
    (world.nodes[0].stack.log().states(tuple), world.nodes[1].stack.log().states(tuple.reversed()))
}

/// Nothing is left but listeners: no flow, no rings, no socket, no timer that means anything.
fn assert_nothing_left(world: &World) {
    for node in &world.nodes {
        let s = node.stack.statistics();
        let left: usize = State::ALL.iter().filter(|state| **state != State::Listen).map(|state| s.in_state(*state)).sum();
        assert_eq!((left, s.flows_used, s.rings_used, s.waiting_for_flow), (0, 0, 0, 0), "{s:?}");
    }
}

/// Both ends have closed; the one that was first waits in TIME_WAIT, then nothing is left.
fn run_out(world: &mut World) {
    world.run_for(Nanoseconds::from_secs(3));
    assert_nothing_left(world);
}

fn close_first(client_first: bool) {
    let Pair { mut world, listener, client, server } = connect(&Setup::default());
    let tuple = tuple(&client);
    let (first, second) = if client_first { (client, server) } else { (server, client) };
    (&first).write_all(b"last words").expect("room");
    drop(first);
    let mut heard = Vec::new();
    world.run_until(SECOND, "the end of the stream", |_| drain(&second, &mut heard));
    assert_eq!(heard, b"last words");
    assert_eq!(second.state(), State::CloseWait);
    drop(second);
    world.run_until(SECOND, "TIME_WAIT alone", |world| {
        let at = |node: usize, state| world.nodes[node].stack.statistics().in_state(state);
        let active = if client_first { 0 } else { 1 };
        at(active, State::TimeWait) == 1 && at(1 - active, State::LastAck) == 0
    });
    let (client_walk, server_walk) = walks(&world, tuple);
    let (active, passive) = if client_first { (client_walk, server_walk) } else { (server_walk, client_walk) };
    assert!(active.ends_with(&[State::Established, State::FinWait1, State::FinWait2, State::TimeWait]), "{active:?}");
    assert!(passive.ends_with(&[State::Established, State::CloseWait, State::LastAck, State::Closed]), "{passive:?}");
    drop(listener);
    run_out(&mut world);
}

/// s01, s04, s06, s19, s20: the server closes first, as a web server does.
#[test]
fn s01_s04_s06_s19_s20_the_server_closes_first() {
    close_first(false);
}

/// s01, s05, s06, s19, s20: the same with the roles exchanged.
#[test]
fn s01_s05_s06_s19_s20_the_client_closes_first() {
    close_first(true);
}

/// s10, s15: SYN, SYN+ACK, ACK, then a byte stream both ways.
#[test]
fn s10_s15_three_way_handshake() {
    let Pair { world, client, .. } = connect(&Setup::default());
    let (client_walk, server_walk) = walks(&world, tuple(&client));
    assert_eq!(client_walk, [State::SynSent, State::Established]);
    assert_eq!(server_walk, [State::SynReceived, State::Established]);
}

/// s02: the FIN is acknowledged without waiting for the application. s03: all bytes come before the end of the stream.
#[test]
fn s02_s03_a_fin_is_acknowledged_at_once_and_read_after_all_bytes() {
    let Pair { mut world, client, server, .. } = connect(&Setup::default());
    let sent = pattern(100_000, 9);
    let mut left = &sent[..];
    assert!(feed(&client, &mut left), "it fits into the ring");
    client.shutdown(Shutdown::Write).expect("connected");
    // The server's application does nothing, and yet the client's FIN is acknowledged.
    world.run_until(SECOND, "FIN_WAIT_2", |_| client.state() == State::FinWait2);
    assert_eq!(server.state(), State::CloseWait);
    let mut heard = Vec::new();
    assert!(drain(&server, &mut heard), "the end of the stream");
    assert!(heard == sent);
}

/// s07: the last ACK is lost; the FIN that comes again is acknowledged from TIME_WAIT, which restarts, and no new socket sees it.
#[test]
fn s07_the_last_ack_is_lost() {
    use toe_sim::wire::{DirectionImpairment, Impairment};
    // From the client, which closes first and waits: a third of all frames is lost.
    let tx = DirectionImpairment { loss: 0.35, ..DirectionImpairment::default() };
    let mut restarted = 0;
    for seed in 0..30 {
        let setup = Setup { impairment: Impairment { seed, tx, rx: DirectionImpairment::default() }, ..Setup::default() };
        let Pair { mut world, client, server, .. } = connect(&setup);
        let tuple = tuple(&client);
        drop(client);
        let mut heard = Vec::new();
        world.run_until(Nanoseconds::from_secs(60), "the end of the stream", |_| drain(&server, &mut heard));
        drop(server);
        world.run_until(Nanoseconds::from_secs(120), "the server's end", |world| world.nodes[1].stack.statistics().flows_used == 0);
        let (client_walk, server_walk) = walks(&world, tuple);
        assert!(client_walk.contains(&State::TimeWait), "seed {seed}: {client_walk:?}");
        assert!(server_walk.ends_with(&[State::LastAck, State::Closed]), "seed {seed}: {server_walk:?}");
        restarted += world.nodes[1].stack.nic().counter(toe_contract::counter::TX_RESENT).expect("the device works");
    }
    assert!(restarted > 5, "seeds 0 to 29 lose last ACKs; only {restarted} segments were sent again");
}

/// s08: TIME_WAIT lasts 2 MSL, as long as the settings say.
#[test]
fn s08_time_wait_lasts_two_msl() {
    for msl in [5, 500, 120_000].map(Nanoseconds::from_millis) {
        let mut settings = config(1);
        settings.settings.msl = msl;
        let Pair { mut world, client, server, .. } = connect_with(settings, config(2), &Setup::default());
        drop(client);
        world.run_until(SECOND, "CLOSE_WAIT", |_| server.state() == State::CloseWait);
        drop(server);
        let waits = |world: &World| world.nodes[0].stack.statistics().in_state(State::TimeWait);
        world.run_until(SECOND, "TIME_WAIT", |world| waits(world) == 1);
        let begin = world.now();
        world.run_until(msl + msl + SECOND, "the end of TIME_WAIT", |world| waits(world) == 0);
        let lasted = world.now() - begin;
        assert!(lasted + Nanoseconds::from_millis(1) >= msl + msl && lasted <= msl + msl + Nanoseconds::from_millis(1), "{msl}: {lasted}");
    }
}

/// s06: while a tuple waits, no new connection of ours gets it.
#[test]
fn s06_the_port_is_not_given_out_while_it_waits() {
    let mut world = World::pair(config(1), config(2), &Setup::default());
    let listener = listen(&mut world, 1, 80);
    let mut ports = std::collections::HashSet::new();
    for _ in 0..50 {
        let (client, server) = connect_in(&mut world, &listener);
        assert!(ports.insert(client.local_addr().expect("a port").port()), "a port came again");
        drop(client);
        world.run_until(SECOND, "CLOSE_WAIT", |_| server.state() == State::CloseWait);
        drop(server);
    }
    world.run_until(SECOND, "50 in TIME_WAIT", |world| world.nodes[0].stack.statistics().in_state(State::TimeWait) == 50);
    run_out(&mut world);
}

/// s13: the window closes when nobody reads, and opens again when somebody does; nothing is lost, though window updates are.
#[test]
fn s13_a_closed_window_opens_again() {
    use toe_sim::wire::{DirectionImpairment, Impairment};
    for seed in 0..6 {
        let loss = DirectionImpairment { loss: 0.2, ..DirectionImpairment::default() };
        let setup = Setup { impairment: Impairment { seed, tx: DirectionImpairment::default(), rx: loss }, ..Setup::default() };
        let Pair { mut world, client, server, .. } = connect(&setup);
        let sent = pattern(1 << 20, 7);
        let mut left = &sent[..];
        // Nobody reads: both rings fill up, and then nothing moves but probes.
        world.run_for(Nanoseconds::from_secs(20));
        feed(&client, &mut left);
        world.run_for(Nanoseconds::from_secs(20));
        feed(&client, &mut left);
        world.run_for(Nanoseconds::from_secs(20));
        assert!(!left.is_empty(), "two rings hold less than it all");
        assert_eq!(client.state(), State::Established, "an open connection with a closed window stays (MUST-36)");
        let mut heard = Vec::new();
        world.run_until(Nanoseconds::from_secs(120), "all bytes", |_| {
            feed(&client, &mut left);
            drain(&server, &mut heard);
            heard.len() == sent.len()
        });
        assert!(heard == sent, "seed {seed}");
    }
}

/// s16: after `shutdown(Write)` this end still receives, for as long as the peer likes, and cannot send.
#[test]
fn s16_half_close() {
    let Pair { mut world, client, server, .. } = connect(&Setup::default());
    client.shutdown(Shutdown::Write).expect("connected");
    assert_eq!((&client).write(b"x").expect_err("shut").kind(), ErrorKind::BrokenPipe);
    world.run_until(SECOND, "FIN_WAIT_2", |_| client.state() == State::FinWait2);
    // Ten minutes of silence: longer than any timer of a closed socket.
    world.run_for(Nanoseconds::from_secs(600));
    assert_eq!((client.state(), server.state()), (State::FinWait2, State::CloseWait));
    let sent = pattern(300_000, 11);
    let mut left = &sent[..];
    let mut heard = Vec::new();
    world.run_until(SECOND, "the peer's bytes", |_| {
        feed(&server, &mut left);
        drain(&client, &mut heard);
        heard.len() == sent.len()
    });
    assert!(heard == sent);
    drop(server);
    world.run_until(SECOND, "the end of the stream", |_| drain(&client, &mut heard));
    drop(client);
    run_out(&mut world);
}

/// s17: `shutdown` of each direction, and its error without a connection.
#[test]
fn s17_shutdown_read_write_both() {
    let Pair { mut world, client, server, .. } = connect(&Setup::default());
    (&server).write_all(b"unheard").expect("room");
    world.run_for(Nanoseconds::from_millis(10));
    client.shutdown(Shutdown::Read).expect("connected");
    assert_eq!((&client).read(&mut [0; 16]).expect("the end of the stream"), 0);
    // What comes is thrown away: the peer is never stopped.
    let sent = pattern(2 << 20, 1);
    let mut left = &sent[..];
    world.run_until(Nanoseconds::from_secs(5), "everything sent", |_| feed(&server, &mut left) && server.unacknowledged() == 0);
    (&client).write_all(b"still here").expect("the other direction is open");
    client.shutdown(Shutdown::Both).expect("connected");
    assert_eq!((&client).write(b"x").expect_err("shut").kind(), ErrorKind::BrokenPipe);
    let mut heard = Vec::new();
    world.run_until(SECOND, "the end of the stream", |_| drain(&server, &mut heard));
    assert_eq!(heard, b"still here");
    drop((client, server));
    run_out(&mut world);
    let nobody = start(&world, SocketAddrV4::new([10, 0, 0, 2].into(), 81));
    assert_eq!(nobody.shutdown(Shutdown::Both).expect_err("not connected").kind(), ErrorKind::NotConnected);
}

/// s18: `close` acts when the last handle goes, `shutdown` at once.
#[test]
fn s18_close_waits_for_the_last_handle_and_shutdown_does_not() {
    let Pair { mut world, client, server, .. } = connect(&Setup::default());
    let other = client.try_clone().expect("always");
    drop(client);
    world.run_for(Nanoseconds::from_secs(5));
    assert_eq!((other.state(), server.state()), (State::Established, State::Established));
    let third = other.try_clone().expect("always");
    other.shutdown(Shutdown::Write).expect("connected");
    world.run_until(SECOND, "the FIN", |_| server.state() == State::CloseWait);
    drop((other, third, server));
    run_out(&mut world);
}

/// s21: both ends close at the same time.
#[test]
fn s21_simultaneous_close() {
    let Pair { mut world, client, server, .. } = connect(&Setup::default());
    let tuple = tuple(&client);
    drop((client, server));
    world.run_until(SECOND, "both in TIME_WAIT", |world| world.nodes.iter().all(|node| node.stack.statistics().in_state(State::TimeWait) == 1));
    let (client_walk, server_walk) = walks(&world, tuple);
    for walk in [client_walk, server_walk] {
        assert!(walk.ends_with(&[State::FinWait1, State::Closing, State::TimeWait]), "{walk:?}");
    }
    run_out(&mut world);
}

/// s22: FIN_WAIT_2 of a closed socket ends by itself.
#[test]
fn s22_fin_wait_2_times_out() {
    let mut settings = config(1);
    settings.settings.fin_timeout = Nanoseconds::from_secs(7);
    let Pair { mut world, client, server, .. } = connect_with(settings, config(2), &Setup::default());
    let tuple = tuple(&client);
    drop(client);
    world.run_for(Nanoseconds::from_secs(6));
    assert_eq!(world.nodes[0].stack.statistics().in_state(State::FinWait2), 1);
    world.run_for(Nanoseconds::from_secs(2));
    assert_eq!(world.nodes[0].stack.statistics().flows_used, 0);
    assert!(walks(&world, tuple).0.ends_with(&[State::FinWait1, State::FinWait2, State::Closed]));
    // The peer, which has not closed, is told so when it speaks.
    (&server).write_all(b"anybody there?").expect("room");
    world.run_until(SECOND, "the reset", |_| matches!((&server).read(&mut [0; 16]), Ok(0)));
    world.run_until(SECOND, "the error", |_| (&server).write(b"x").is_err());
    drop(server);
    run_out(&mut world);
}

/// s23, s31: a CLOSE_WAIT that the application has forgotten is seen, with its queues and its age.
#[test]
fn s23_s31_a_forgotten_close_wait_is_listed() {
    let Pair { mut world, client, server, listener: _listener } = connect(&Setup::default());
    (&client).write_all(b"unread").expect("room");
    drop(client);
    world.run_for(Nanoseconds::from_secs(100));
    let sockets = world.nodes[1].stack.sockets();
    let forgotten: Vec<_> = sockets.iter().filter(|socket| socket.state == State::CloseWait).collect();
    assert_eq!(forgotten.len(), 1, "{sockets:?}");
    assert_eq!(forgotten[0].receive_queue, 6);
    assert!(forgotten[0].in_state >= Nanoseconds::from_secs(99), "{:?}", forgotten[0]);
    assert!(!forgotten[0].orphan);
    assert!(sockets.iter().any(|socket| socket.state == State::Listen && socket.tuple.local == server_address()));
    drop(server);
}

/// s24, s25: many clients of one port at once, each with a socket of its own.
#[test]
fn s24_s25_one_port_many_clients() {
    let mut world = World::pair(config(1), config(2), &Setup::default());
    let listener = listen(&mut world, 1, 80);
    let pairs: Vec<(TcpStream, TcpStream)> = (0..16).map(|_| connect_in(&mut world, &listener)).collect();
    for (k, (client, _)) in pairs.iter().enumerate() {
        (&*client).write_all(&pattern(1000 + k, 1)).expect("room");
    }
    world.run_for(Nanoseconds::from_millis(100));
    for (k, (client, server)) in pairs.iter().enumerate() {
        assert_eq!(client.local_addr().expect("a port"), server.peer_addr().expect("connected"));
        let mut heard = Vec::new();
        drain(server, &mut heard);
        assert_eq!(heard.len(), 1000 + k, "the bytes of this client and of no other");
    }
    drop(pairs);
    run_out(&mut world);
}

/// s29: no listener, so RST; and the port of a dropped listener is closed again.
#[test]
fn s29_nobody_listens() {
    let mut world = World::pair(config(1), config(2), &Setup::default());
    let refused = |world: &mut World| {
        let client = start(world, server_address());
        world.run_until(SECOND, "the refusal", |_| matches!(client.take_error(), Ok(Some(error)) if error.kind() == ErrorKind::ConnectionRefused));
    };
    refused(&mut world);
    let listener = listen(&mut world, 1, 80);
    let (client, server) = connect_in(&mut world, &listener);
    drop((client, server, listener));
    world.run_for(Nanoseconds::from_millis(10));
    refused(&mut world);
    run_out(&mut world);
}

/// The listener goes while connections wait to be accepted: they are reset.
#[test]
fn a_dropped_listener_resets_what_it_did_not_accept() {
    let mut world = World::pair(config(1), config(2), &Setup::default());
    let listener = listen(&mut world, 1, 80);
    let client = start(&world, server_address());
    world.run_until(SECOND, "the handshake", |_| client.state() == State::Established);
    world.run_for(Nanoseconds::from_millis(10));
    drop(listener);
    world.run_until(SECOND, "the reset", |_| matches!((&client).read(&mut [0; 4]), Err(error) if error.kind() == ErrorKind::ConnectionReset));
    drop(client);
    run_out(&mut world);
}

/// RFC 9293 SHLD-3: data that nobody read is lost at close, and the peer is told by RST. MUST-12: an abort is reported.
#[test]
fn unread_data_at_close_and_linger_zero_reset_the_connection() {
    for linger in [false, true] {
        let Pair { mut world, client, server, .. } = connect(&Setup::default());
        (&server).write_all(b"unread").expect("room");
        world.run_for(Nanoseconds::from_millis(10));
        if linger {
            assert_eq!((&client).read(&mut [0; 16]).expect("bytes"), 6);
            client.set_linger(Some(std::time::Duration::ZERO)).expect("always");
        }
        drop(client);
        world.run_until(SECOND, "the reset", |_| matches!((&server).read(&mut [0; 4]), Err(error) if error.kind() == ErrorKind::ConnectionReset));
        assert_eq!(server.state(), State::Closed);
        drop(server);
        run_out(&mut world);
    }
}

/// Open and close, again and again, in every order, over a bad cable: nothing is left behind.
#[test]
fn churn_leaves_nothing_behind() {
    use toe_sim::wire::{DirectionImpairment, Impairment};
    let way = DirectionImpairment { loss: 0.02, reorder: 0.02, duplicate: 0.02, ..DirectionImpairment::default() };
    let setup = Setup { impairment: Impairment { seed: 5, tx: way, rx: way }, ..Setup::default() };
    let mut world = World::pair(config(1), config(2), &setup);
    let listener = listen(&mut world, 1, 80);
    for round in 0..3000 {
        let (client, server) = connect_in(&mut world, &listener);
        one_life(&mut world, round, client, server);
    }
    drop::<TcpListener>(listener);
    world.run_for(Nanoseconds::from_secs(400));
    assert_nothing_left(&world);
    let mapped: Vec<u64> = world.nodes.iter().map(|node| node.stack.statistics().dma_bytes).collect();
    assert!(mapped.iter().all(|bytes| *bytes < 32 << 20), "DMA memory grows: {mapped:?}");
}

fn one_life(world: &mut World, round: u32, client: TcpStream, server: TcpStream) {
    let sent = pattern(1 + (round as usize * 977) % 20_000, round);
    let mut left = &sent[..];
    assert!(feed(&client, &mut left), "it fits into the ring");
    let mut heard = Vec::new();
    match round % 5 {
        // The client closes, the server reads and closes.
        0 => {
            drop(client);
            world.run_until(Nanoseconds::from_secs(100), "the bytes", |_| drain(&server, &mut heard));
            assert!(heard == sent, "round {round}");
        }
        // The server closes first.
        1 => {
            world.run_until(Nanoseconds::from_secs(100), "the bytes", |_| {
                drain(&server, &mut heard);
                heard.len() == sent.len()
            });
            drop(server);
            world.run_until(Nanoseconds::from_secs(100), "the end", |_| drain(&client, &mut Vec::new()));
        }
        // Both at once, the server without having read.
        2 => drop((server, client)),
        // The client aborts.
        3 => {
            client.set_linger(Some(std::time::Duration::ZERO)).expect("always");
            drop(client);
            world.run_for(Nanoseconds::from_millis(5));
        }
        // The server aborts while the bytes are on their way.
        _ => {
            world.run_for(Nanoseconds::from_micros(u64::from(round)));
            server.set_linger(Some(std::time::Duration::ZERO)).expect("always");
        }
    }
}
