//! The host's side of the wire: a network namespace with a TAP, the device on it, and an HTTP server.

use anyhow::{bail, Context, Result};
use rustix::process::{set_parent_process_death_signal, Signal};
use rustix::thread::{unshare_unsafe, UnshareFlags};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The TAP, and the host's address on it (RFC 5737).
const TAP: &str = "toe0";
/// See [`TAP`].
pub(crate) const HOST: &str = "192.0.2.1";
/// The guest's address on the same wire.
pub(crate) const GUEST: &str = "192.0.2.2";
/// Where the host's HTTP server listens.
pub(crate) const PORT: u16 = 8000;
/// The device's socket, in the guest's folder.
pub(crate) const SOCKET: &str = "device.sock";
/// How long a program may take until it listens.
const START: Duration = Duration::from_secs(60);

/// Moves this thread, and with it every program that it starts from now on, into a network namespace with a TAP in it.
/// The namespace goes away with the last of them.
///
/// # Errors
/// The right to make one, `ip`, or the kernel's TAP is missing.
pub(crate) fn enter_namespace() -> Result<()> {
    // SAFETY: only this thread's network namespace changes, which no memory depends on.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .context("a network namespace cannot be made: run as root, or inside: unshare --user --map-root-user --net")?;
    for line in [
        "link set lo up".to_owned(),
        format!("tuntap add dev {TAP} mode tap"),
        format!("link set {TAP} txqueuelen 128"),
        format!("address add {HOST}/24 dev {TAP}"),
        format!("link set {TAP} up"),
    ] {
        let status = Command::new("ip").args(line.split(' ')).status().context("ip could not be started: apt-get install iproute2")?;
        if !status.success() {
            bail!("ip {line} ended with {status}; is the module there? modprobe tun");
        }
    }
    Ok(())
}

/// Makes a program end with us, however we end.
pub(crate) fn tied(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec the closure makes one system call; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) }
}

/// A program in the background. It ends with this object.
pub(crate) struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts it with its output in `log`, and waits until `ready` says so.
    fn start(command: &mut Command, log: PathBuf, ready: impl Fn() -> bool) -> Result<Background> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = command.get_program().to_owned();
        let also = file.try_clone().context("a second descriptor of the log")?;
        let child = tied(command.stdin(Stdio::null()).stdout(also).stderr(file)).spawn().with_context(|| format!("{program:?} could not be started"))?;
        let mut background = Background { child, log };
        let until = Instant::now() + START;
        while !ready() {
            if background.ended() || Instant::now() > until {
                bail!("{program:?} does not come up; it says: {}", background.said());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(background)
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default().trim().to_owned()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The device: `toe device` on the TAP, at [`SOCKET`].
///
/// # Errors
/// It does not come up.
pub(crate) fn device(folder: &Path, toe: &Path, engine: &str) -> Result<Background> {
    // A socket's path has at most 107 bytes: it is named from where both its ends run.
    let _ = fs::remove_file(folder.join(SOCKET));
    let mut command = Command::new(toe);
    command.current_dir(folder).env("NO_COLOR", "1").args(["device", "--socket", SOCKET, "--wire", &format!("tap:{TAP}"), "--engine", engine, "--checked"]);
    let log = folder.join("device.log");
    let listens = || fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on"));
    Background::start(&mut command, log.clone(), listens)
}

/// An HTTP server for the files of a folder.
///
/// # Errors
/// It does not come up.
pub(crate) fn http_server(folder: &Path, files: &Path) -> Result<Background> {
    let mut command = Command::new("python3");
    command.args(["-u", "-m", "http.server", &PORT.to_string(), "--bind", HOST, "--directory"]).arg(files);
    let listens = || std::net::TcpStream::connect((HOST, PORT)).is_ok();
    Background::start(&mut command, folder.join("server.log"), listens)
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// It cannot be read.
pub(crate) fn sha256(file: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(file).output().context("sha256sum could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().map(str::to_owned).with_context(|| format!("sha256sum {}: {}", file.display(), String::from_utf8_lossy(&output.stderr)))
}
