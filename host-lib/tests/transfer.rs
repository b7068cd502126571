//! Bulk data over cables that lose, reorder, duplicate and delay, in virtual time.

mod support;

use std::net::Shutdown;

use support::pair::{connect_with, drain, feed, pattern, Pair};
use support::world::{config, Setup};
use toe_host_lib::time::Nanoseconds;
use toe_sim::wire::{DirectionImpairment, Impairment};

/// Sends bytes both ways at once, and says how long that took.
fn transfer(setup: &Setup, up: usize, down: usize, limit: Nanoseconds) -> Nanoseconds {
    let Pair { mut world, client, server, .. } = connect_with(config(1), config(2), setup);
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
    assert!(at_server == to_server, "bytes to the server");
    assert!(at_client == to_client, "bytes to the client");
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

/// s12, s14: the same bytes come out, whatever the cable does, both ways at once.
#[test]
fn s12_s14_loss_reordering_and_duplication_both_ways() {
    for seed in 1..=4 {
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
