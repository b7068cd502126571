//! The place where `toe device` listens, and how it ends.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use toe_sim::command::{Running, Signal};

const PATIENCE: Duration = Duration::from_secs(60);

fn device(folder: &Path) -> Running {
    let mut device = Command::new(env!("CARGO_BIN_EXE_toe"));
    device.args(["device", "--engine", "model", "--socket"]).arg(folder.join("socket"));
    device.arg("--wire").arg(format!("udgram:{}", folder.join("wire").display()));
    Running::start(device).expect("it starts")
}

fn connect(path: &Path) -> UnixStream {
    let end = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn each_signal_ends_it_well_with_a_client_or_without() {
    for (signal, client) in [(Signal::INT, true), (Signal::TERM, false)] {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        // What a predecessor has left.
        drop(UnixListener::bind(&socket).expect("a socket"));
        let running = device(folder.path());
        let stream = connect(&socket);
        if !client {
            drop(stream);
        }
        running.signal(signal).expect("it runs");
        let finished = running.finish(PATIENCE).expect("it ends").success().expect("and well");
        assert!(finished.stderr.contains("listening on") && !socket.exists(), "{}", finished.stderr);
    }
}

#[test]
fn two_do_not_listen_at_one_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let finished = device(folder.path()).finish(PATIENCE).expect("it ends");
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains("somebody listens there"), "{}", finished.stderr);
    assert!(socket.exists(), "the other's socket stays");
    drop(listener);
}
