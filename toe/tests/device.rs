//! The three programs as a user runs them: `toe device` with a TAP, `toe serve` and `toe get` over vfio-user, the kernel's curl as the peer.

mod scene;

use scene::{Scene, PATIENCE};
use std::time::{Duration, Instant};
use toe_sim::command::{run, Running};

fn serve_and_get(engine: &str, more: &[&str]) {
    let Some(scene) = Scene::new(engine, more, 1 << 18) else { return };
    // Server: the client closes first, then we do.
    let server = scene.serve();
    scene.curl(None);
    scene.curl(Some("Connection: close"));
    drop(server);
    // The server was killed. The next client of the device finds it as after power-on: our side opens.
    let mut http = scene.namespace.command("python3").expect("a command");
    http.args(["-m", "http.server", "8000", "--bind", "192.0.2.1", "--directory"]).arg(scene.at("files"));
    let http = Running::start(http).expect("python3");
    let end = Instant::now() + PATIENCE;
    while scene.namespace.run(|| std::net::TcpStream::connect("192.0.2.1:8000")).expect("a thread").is_err() {
        assert!(Instant::now() < end, "python3's server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    for closes in [&["--linger"][..], &["--linger", "--server-closes"]] {
        let mut get = scene.toe("get");
        get.args(closes).arg("http://192.0.2.1:8000/file.bin");
        let got = run(get, PATIENCE).expect("toe get");
        assert!(got.stdout.starts_with(&scene.hash), "{}", got.stdout);
    }
    drop(http);
    let said = scene.end();
    assert_eq!(said.matches("the client has gone").count(), 3, "{said}");
}

/// s03, s04, s05, s10, s19, s20: over the model, each doorbell a message.
#[test]
fn s04_s05_three_programs_over_the_model() {
    serve_and_get("model", &[]);
}

/// The same with doorbells in shared memory.
#[test]
fn s04_s05_three_programs_with_mapped_doorbells() {
    serve_and_get("model", &["--doorbells", "mapped"]);
}

/// The same over the hardware.
#[cfg(feature = "rtl")]
#[test]
fn s04_s05_three_programs_over_the_hardware() {
    serve_and_get("rtl", &[]);
}
