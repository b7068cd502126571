//! A namespace with a TAP, a `toe device` on it, and a folder to serve.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use toe_sim::command::{run, Running, Signal};
use toe_sim::netns::Namespace;

pub const TOE: &str = env!("CARGO_BIN_EXE_toe");
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace with a TAP, a `toe device` on it, and a folder with a file.
pub struct Scene {
    pub namespace: Namespace,
    pub device: Running,
    folder: TempDir,
    pub hash: String,
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn wait_for(path: &Path) {
    let end = Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(Instant::now() < end, "{} is not there", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Scene {
    /// With a file of so many words. `None`, with the reason printed, where there is no TAP to be had.
    pub fn new(engine: &str, more: &[&str], words: u32) -> Option<Scene> {
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
        let content: Vec<u8> = (0..words).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        std::fs::create_dir(folder.path().join("files")).expect("a folder");
        std::fs::write(folder.path().join("files/file.bin"), &content).expect("a file");
        let mut device = namespace.command(TOE).expect("a command");
        device.arg("device").arg("--socket").arg(folder.path().join("socket")).args(["--wire", "tap:toe0", "--engine", engine, "--checked"]).args(more);
        let device = Running::start(device).expect("the device starts");
        wait_for(&folder.path().join("socket"));
        Some(Scene { namespace, device, folder, hash: hex(&Sha256::digest(&content)) })
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `toe COMMAND` over the device.
    pub fn toe(&self, command: &str) -> Command {
        let mut toe = Command::new(TOE);
        toe.args([command, "--addr", "192.0.2.2/24", "--msl", "0.1", "--device"]).arg(format!("vfio-user:{}", self.at("socket").display()));
        toe
    }

    /// A `toe serve` that listens.
    pub fn serve(&self) -> Running {
        let mut serve = self.toe("serve");
        let control = self.at("control");
        // One that was killed has left its socket behind.
        let _ = std::fs::remove_file(&control);
        serve.arg("--control").arg(&control).arg(self.at("files"));
        let running = Running::start(serve).expect("it starts");
        wait_for(&control);
        running
    }

    /// The kernel's curl fetches the file, and it is the file.
    pub fn curl(&self, header: Option<&str>) {
        let out = self.at("got");
        let mut curl = self.namespace.command("curl").expect("a command");
        curl.args(["--silent", "--show-error", "--max-time", "50", "--output"]).arg(&out);
        curl.args(header.iter().flat_map(|h| ["--header", h]));
        curl.arg("http://192.0.2.2/file.bin");
        run(curl, PATIENCE).expect("curl");
        assert_eq!(hex(&Sha256::digest(std::fs::read(&out).expect("a file"))), self.hash);
    }

    /// Ends the device with SIGTERM; it has removed its socket and says that all was well.
    pub fn end(self) -> String {
        self.device.signal(Signal::TERM).expect("it runs");
        let socket = self.at("socket");
        let finished = self.device.finish(PATIENCE).and_then(toe_sim::command::Finished::success).expect("it ends well");
        assert!(!socket.exists(), "the socket's file has been removed");
        finished.stderr
    }
}
