//! Bulk transfers with a Linux kernel as the peer, over a TAP, in real time.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use support::kernel::{bench, Bench, PATIENCE};
use support::pair::{assert_same, pattern};
use toe_sim::wire::{DirectionImpairment, Impairment};

/// Sends bytes both ways at once, each end closing its direction when it is done.
fn exchange(bench: &Bench, we_listen: bool, len: usize) -> Duration {
    let (ours, kernel) = bench.pair(we_listen);
    let begin = Instant::now();
    let (to_kernel, to_us) = (pattern(len, 3), pattern(len, 5));
    let (mut heard_by_kernel, mut heard_by_us) = (Vec::new(), Vec::new());
    for timeout in [
        kernel.set_read_timeout(Some(PATIENCE)),
        kernel.set_write_timeout(Some(PATIENCE)),
        ours.set_read_timeout(Some(PATIENCE)),
        ours.set_write_timeout(Some(PATIENCE)),
    ] {
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
    // `cargo xtask soak` sends 100.
    let mib = std::env::var("TOE_MIB").map_or(4, |n| n.parse().expect("TOE_MIB is a number"));
    for we_listen in [true, false] {
        let took = exchange(&bench, we_listen, mib << 20);
        println!("we listen: {we_listen}; {mib} MiB each way in {took:?}");
    }
    bench.assert_nothing_left();
}
