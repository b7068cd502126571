//! The three programs as a user runs them: `toe device` with a TAP, `toe serve` and `toe get` over vfio-user, the kernel's curl as the peer.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use toe_sim::command::{run, Running};
use toe_sim::netns::Namespace;

const TOE: &str = env!("CARGO_BIN_EXE_toe");
const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace with a TAP, a `toe device` on it, and a folder with a file.
struct Scene {
    namespace: Namespace,
    device: Running,
    folder: TempDir,
    hash: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn wait_for(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < end, "{} is not there", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Scene {
    /// `None`, with the reason printed, where there is no TAP to be had.
    fn new(engine: &str, more: &[&str]) -> Option<Scene> {
        if !Path::new("/dev/net/tun").exists() {
            println!("skipped: there is no /dev/net/tun here");
            return None;
        }
        let namespace = Namespace::new().expect("a namespace");
        for line in ["tuntap add toe0 mode tap", "address add 192.0.2.1/24 dev toe0", "link set toe0 up"] {
            let mut ip = namespace.command("ip").expect("a command");
            ip.args(line.split(' '));
            run(ip, PATIENCE).expect("ip");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let content: Vec<u8> = (0..1_u32 << 18).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        std::fs::create_dir(folder.path().join("files")).expect("a folder");
        std::fs::write(folder.path().join("files/file.bin"), &content).expect("a file");
        let mut device = namespace.command(TOE).expect("a command");
        device.arg("device").arg("--socket").arg(folder.path().join("socket")).args(["--wire", "tap:toe0", "--engine", engine, "--checked"]).args(more);
        let device = Running::start(device).expect("the device starts");
        wait_for(&folder.path().join("socket"));
        Some(Scene { namespace, device, folder, hash: hex(&Sha256::digest(&content)) })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `toe COMMAND` over the device.
    fn toe(&self, command: &str) -> Command {
        let mut toe = Command::new(TOE);
        toe.args([command, "--addr", "192.0.2.2/24", "--msl", "0.1", "--device"]).arg(format!("vfio-user:{}", self.at("socket").display()));
        toe
    }

    /// A `toe serve` that listens.
    fn serve(&self) -> Running {
        let mut serve = self.toe("serve");
        let control = self.at("control");
        serve.arg("--control").arg(&control).arg(self.at("files"));
        let running = Running::start(serve).expect("it starts");
        wait_for(&control);
        running
    }

    /// The kernel's curl fetches the file, and it is the file.
    fn curl(&self, header: Option<&str>) {
        let out = self.at("got");
        let mut curl = self.namespace.command("curl").expect("a command");
        curl.args(["--silent", "--show-error", "--max-time", "50", "--output"]).arg(&out);
        curl.args(header.iter().flat_map(|h| ["--header", h]));
        curl.arg("http://192.0.2.2/file.bin");
        run(curl, PATIENCE).expect("curl");
        assert_eq!(hex(&Sha256::digest(std::fs::read(&out).expect("a file"))), self.hash);
    }

    /// Ends the device with SIGTERM; it has removed its socket and says that all was well.
    fn end(self) -> String {
        let id = self.device.id();
        run(terminate(id), PATIENCE).expect("kill");
        let socket = self.at("socket");
        let finished = self.device.finish(PATIENCE).and_then(toe_sim::command::Finished::success).expect("it ends well");
        assert!(!socket.exists(), "the socket's file has been removed");
        finished.stderr
    }
}

fn terminate(id: u32) -> Command {
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &id.to_string()]);
    kill
}

fn serve_and_get(engine: &str, more: &[&str]) {
    let Some(scene) = Scene::new(engine, more) else { return };
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
