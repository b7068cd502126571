//! Programs that are killed at any moment: `toe serve` in mid-transfer, and the device under it. The other one goes on, or says why it cannot.

mod scene;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scene::{Scene, PATIENCE};
use std::path::Path;
use std::time::{Duration, Instant};
use toe_sim::command::{Running, Signal};

/// Times that the server is killed.
const KILLS: u32 = 6;
/// Words of the file: more than goes over in the time that a server lives.
const WORDS: u32 = 4 << 20;

/// What the device's process holds of memory for DMA, and its own doorbells: descriptors and mappings.
fn memory(device: u32) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{device}/maps")).expect("it runs");
    let links = std::fs::read_dir(format!("/proc/{device}/fd")).expect("it runs").filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let is_memory = |name: &str| name.contains("memfd:toe-dma");
    maps.lines().filter(|line| is_memory(line)).count() + links.filter(|link| link.to_str().is_some_and(is_memory)).count()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A curl that has begun to receive.
fn begin(scene: &Scene) -> Running {
    let out = scene.at("part");
    let _ = std::fs::remove_file(&out);
    let mut curl = scene.namespace.command("curl").expect("a command");
    curl.args(["--silent", "--limit-rate", "20M", "--max-time", "50", "--output"]).arg(&out).arg("http://192.0.2.2/file.bin");
    let mut curl = Running::start(curl).expect("curl starts");
    let begun = || Path::new(&out).metadata().is_ok_and(|file| file.len() > 0);
    wait_until("the transfer does not begin", || begun() || curl.has_ended());
    assert!(begun(), "the transfer has not begun: {:?}", curl.finish(PATIENCE));
    curl
}

/// Killed with -9 in mid-transfer, again and again: the device keeps nothing of it, reaches for nothing, and serves the next one.
fn killed_servers(doorbells: &str) {
    let Some(scene) = Scene::new("model", &["--doorbells", doorbells], WORDS) else { return };
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let device = scene.device.id();
    let idle = memory(device);
    for round in 0..KILLS {
        let server = scene.serve();
        let mut curl = begin(&scene);
        assert!(memory(device) > idle, "the device has the memory of a server that works");
        std::thread::sleep(Duration::from_micros(random.random_range(0..40_000)));
        assert!(!curl.has_ended(), "round {round}: the transfer was over before the server could be killed");
        server.signal(Signal::KILL).expect("it runs");
        let ended = server.finish(PATIENCE).expect("it is dead");
        assert!(!ended.status.success());
        wait_until("the device keeps memory of a dead client", || memory(device) == idle);
        drop(curl);
    }
    let server = scene.serve();
    scene.curl(None);
    drop(server);
    let said = scene.end();
    assert_eq!(said.matches("the client has gone").count(), usize::try_from(KILLS).expect("few") + 1, "{said}");
    assert_eq!(said.matches(" 0 DMA faults").count(), usize::try_from(KILLS).expect("few") + 1, "{said}");
}

#[test]
fn a_killed_server_leaves_the_device_quiet_and_the_next_one_starts_clean() {
    killed_servers("trapped");
}

#[test]
fn a_killed_server_leaves_the_device_quiet_with_mapped_doorbells() {
    killed_servers("mapped");
}

/// The device is killed in mid-transfer: the server ends, and says that its device is gone.
#[test]
fn a_killed_device_ends_the_server_with_the_reason() {
    let Some(scene) = Scene::new("model", &[], WORDS) else { return };
    let server = scene.serve();
    let curl = begin(&scene);
    let begin = Instant::now();
    scene.device.signal(Signal::KILL).expect("it runs");
    let ended = server.finish(PATIENCE).expect("it ends by itself");
    assert!(begin.elapsed() < Duration::from_secs(10), "it took {:?}", begin.elapsed());
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("the network device has failed: the device is gone"), "{}", ended.stderr);
    drop(curl);
}
