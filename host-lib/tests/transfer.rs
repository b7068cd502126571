//! Bulk data over cables that lose, reorder, duplicate and delay, in virtual time.

mod support;

use std::net::Shutdown;

use support::engine::is_rtl;
use support::pair::{assert_same, connect_with, drain, feed, pattern, Pair};
use support::world::{config, Setup};
use toe_host_lib::tcp::isn::Secret;
use toe_host_lib::tcp::ports::{PortChooser, EPHEMERAL};
use toe_host_lib::tcp::FourTuple;
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::Config;
use toe_sim::wire::{DirectionImpairment, Impairment};

/// Sends bytes both ways at once, and says how long that took.
fn transfer(setup: &Setup, up: usize, down: usize, limit: Nanoseconds) -> Nanoseconds {
    transfer_between(config(1), config(2), setup, up, down, limit)
}

fn transfer_between(a: Config, b: Config, setup: &Setup, up: usize, down: usize, limit: Nanoseconds) -> Nanoseconds {
    let Pair { mut world, client, server, .. } = connect_with(a, b, setup);
    let (to_server, to_client) = (pattern(up, 3), pattern(down, 5));
    let (mut left_up, mut left_down) = (&to_server[..], &to_client[..]);
    let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
    let (mut client_shut, mut server_shut) = (false, false);
    let begin = world.now();
    world.run_until(limit, "the transfer", |_| {
        if feed(&client, &mut left_up) && !client_shut {
            client.shutdown(Shutdown::Write).expect("connected");
            client_shut = true;
        }
        if feed(&server, &mut left_down) && !server_shut {
            server.shutdown(Shutdown::Write).expect("connected");
            server_shut = true;
        }
        let ends = (drain(&server, &mut at_server), drain(&client, &mut at_client));
        ends == (true, true)
    });
    assert_same(&at_server, &to_server, "to the server");
    assert_same(&at_client, &to_client, "to the client");
    world.now() - begin
}

fn lossy(seed: u64, loss: f64) -> Setup {
    let way = DirectionImpairment {
        loss,
        reorder: 0.01,
        duplicate: 0.002,
        delay: Nanoseconds::from_micros(30),
        jitter: Nanoseconds::from_micros(20),
        rate: Some(1_000_000_000),
        ..DirectionImpairment::default()
    };
    Setup { impairment: Impairment { seed, tx: way, rx: way }, ..Setup::default() }
}

/// How many seeds are tried: the hardware takes some hundred times as long as the model.
fn seeds(model: u64) -> std::ops::RangeInclusive<u64> {
    1..=if is_rtl() { 1 } else { model }
}

/// s12, s14: the same bytes come out, whatever the cable does, both ways at once.
#[test]
fn s12_s14_loss_reordering_and_duplication_both_ways() {
    for seed in seeds(4) {
        for host_latency in [0, 50] {
            let setup = Setup { host_latency: Nanoseconds::from_micros(host_latency), ..lossy(seed, 0.01) };
            let took = transfer(&setup, 4 << 20, 4 << 20, Nanoseconds::from_secs(60));
            eprintln!("seed {seed}, host latency {host_latency} us: 4 MiB each way in {took}");
        }
    }
}

#[test]
fn a_clean_cable_is_filled() {
    let way = DirectionImpairment { rate: Some(1_000_000_000), ..DirectionImpairment::default() };
    let setup = Setup { impairment: Impairment { seed: 1, tx: way, rx: way }, ..Setup::default() };
    let took = transfer(&setup, 8 << 20, 0, Nanoseconds::from_secs(10));
    eprintln!("8 MiB one way in {took}");
}

/// Secrets with which both sequence spaces wrap after less than 2 MiB.
fn wrapping_secrets() -> ([u8; 16], [u8; 16]) {
    let (ours, theirs) = (config(1).address, config(2).address);
    let now = Nanoseconds::from_secs(1);
    let wraps_soon = |secret: &Secret, tuple| secret.isn(tuple, now).0 > u32::MAX - (2 << 20) + 2000;
    let key = |k: u32| {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&k.to_le_bytes());
        key
    };
    // The port as the stack will choose it.
    let tuple = |secret: &Secret| {
        let remote = FourTuple::new(ours, 0, theirs, 80);
        let mut ports = PortChooser::new(EPHEMERAL, secret.port_counter(FourTuple::new(ours, 0, ours, 0)));
        let port = ports.choose(secret, remote, |_| true).expect("a port");
        FourTuple::new(ours, port, theirs, 80)
    };
    let client = (0..1_000_000).map(key).find(|key| {
        let secret = Secret::new(*key);
        wraps_soon(&secret, tuple(&secret))
    });
    let client = client.expect("one in two thousand");
    let reversed = tuple(&Secret::new(client)).reversed();
    let server = (0..1_000_000).map(key).find(|key| wraps_soon(&Secret::new(*key), reversed));
    (client, server.expect("one in two thousand"))
}

/// Retransmission and reassembly across the wrap of the sequence space, in both directions.
#[test]
fn s12_s14_the_sequence_space_wraps() {
    let (client, server) = wrapping_secrets();
    for seed in seeds(3) {
        let (mut a, mut b) = (config(1), config(2));
        (a.secret, b.secret) = (Some(client), Some(server));
        transfer_between(a, b, &lossy(seed, 0.02), 3 << 20, 3 << 20, Nanoseconds::from_secs(60));
    }
}
