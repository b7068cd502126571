//! A device in a process of its own, with its wire in this one.
//!
//! ```text
//!  this process                                       toe device
//!  driver::vfio_user ── UNIX socket (vfio-user) ──► function, engine
//!  wire ◄─ bridge ── UNIX datagrams, with FCS ────► its wire
//! ```
//!
//! So a wire of any kind, with the handles that tests hold on it, can be that of a device elsewhere.

use crate::command::{CommandError, Finished, Running};
use crate::time::{Clock, Nanoseconds, WallClock};
use crate::wire::{wait, Datagram, Framing, Wire, WireError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use thiserror::Error;

/// How long a device may take until it listens: the Verilated engine has to be built up first.
const START: Duration = Duration::from_secs(30);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(5);
/// The longest sleep of the bridge: it looks whether it is to stop.
const LONGEST_SLEEP: Nanoseconds = Nanoseconds::from_millis(20);
/// The same with a wire that cannot wake us.
const DEAF_SLEEP: Nanoseconds = Nanoseconds::from_millis(1);
/// Frames on their way to the device before the wire is asked for more.
const MOST_BACKLOG: usize = 16;

/// Why there is no device in a process, or no more.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// Its program.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Its wire.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The system.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// It did not begin to listen.
    #[error("the device does not listen at {socket} within {START:?}: {output}")]
    Silent {
        /// Where it should.
        socket: PathBuf,
        /// What it said instead.
        output: String,
    },
}

/// A running `toe device`. It is killed when this is dropped.
pub struct DeviceProcess {
    program: Option<Running>,
    bridge: Option<JoinHandle<Result<(), WireError>>>,
    stop: Arc<AtomicBool>,
    socket: PathBuf,
    _folder: TempDir,
}

impl DeviceProcess {
    /// Starts `program device --once --checked` with these further arguments, and waits until it listens.
    ///
    /// # Errors
    /// It does not start, or does not listen.
    pub fn start(program: &Path, arguments: &[&str], wire: Box<dyn Wire>, clock: WallClock) -> Result<DeviceProcess, ProcessError> {
        let io = |what| move |source| ProcessError::Io { what, source };
        let folder = tempfile::Builder::new().prefix("toe-device-").tempdir().map_err(io("a folder for sockets"))?;
        let at = |name: &str| folder.path().join(name);
        let (socket, here, there) = (at("device"), at("wire"), at("nic"));
        let near = Datagram::bind(&here, Some(&there), Framing::WithFcs)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut command = Command::new(program);
        command.arg("device").arg("--socket").arg(&socket).args(["--once", "--checked"]);
        command.arg("--wire").arg(format!("udgram+fcs:{},{}", there.display(), here.display())).args(arguments);
        let mut process = DeviceProcess { program: Some(Running::start(command)?), bridge: None, stop: stop.clone(), socket, _folder: folder };
        process.listens()?;
        let mut bridge = Bridge { near, wire, clock, stop };
        let thread = std::thread::Builder::new().name("toe-bridge".into()).spawn(move || bridge.run());
        process.bridge = Some(thread.map_err(io("a thread for the wire"))?);
        Ok(process)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.program.as_ref().map(Running::id)
    }

    /// Waits for its end, which comes when its client goes; it must be a good one.
    ///
    /// # Errors
    /// It goes on, or ended with a failure: an invariant that does not hold is one.
    pub fn end(mut self, within: Duration) -> Result<Option<Finished>, ProcessError> {
        let finished = self.program.take().map(|program| program.finish(within)?.success()).transpose()?;
        self.unplug()?;
        Ok(finished)
    }

    fn listens(&mut self) -> Result<(), ProcessError> {
        let deadline = Instant::now() + START;
        while !self.socket.exists() {
            let ended = self.program.as_mut().is_none_or(Running::has_ended);
            if ended || Instant::now() >= deadline {
                let said = self.program.take().map(|program| program.finish(Duration::ZERO));
                let output = match said {
                    Some(Ok(finished)) => format!("{} {}", finished.status, finished.stderr.trim()),
                    Some(Err(error)) => error.to_string(),
                    None => String::new(),
                };
                return Err(ProcessError::Silent { socket: self.socket.clone(), output });
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn unplug(&mut self) -> Result<(), WireError> {
        self.stop.store(true, Ordering::Release);
        match self.bridge.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for DeviceProcess {
    fn drop(&mut self) {
        if let Err(error) = self.unplug() {
            tracing::warn!(%error, "the wire of a device in another process had stopped");
        }
    }
}

/// Carries frames between a wire and the device's socket.
struct Bridge {
    near: Datagram,
    wire: Box<dyn Wire>,
    clock: WallClock,
    stop: Arc<AtomicBool>,
}

impl Bridge {
    fn run(&mut self) -> Result<(), WireError> {
        while !self.stop.load(Ordering::Acquire) {
            if !self.carry()? {
                self.sleep()?;
            }
        }
        Ok(())
    }

    /// Carries what is there; false: nothing.
    fn carry(&mut self) -> Result<bool, WireError> {
        let now = self.clock.now();
        let mut moved = false;
        while self.near.backlog() < MOST_BACKLOG {
            let Some(frame) = self.wire.receive(now)? else { break };
            self.near.send(now, frame)?;
            moved = true;
        }
        while let Some(frame) = self.near.receive(now)? {
            self.wire.send(now, frame)?;
            moved = true;
        }
        Ok(moved)
    }

    fn sleep(&self) -> Result<(), WireError> {
        let wire = self.wire.poll_fd().filter(|_| self.near.backlog() < MOST_BACKLOG);
        let longest = if self.wire.poll_fd().is_some() { LONGEST_SLEEP } else { DEAF_SLEEP };
        let due = [self.near.next_event(), self.wire.next_event()].into_iter().flatten().min();
        let left = due.map_or(longest, |due| due - self.clock.now()).min(longest);
        let fds: Vec<_> = [self.near.poll_fd(), wire].into_iter().flatten().collect();
        wait(&fds, left).map_err(|source| WireError::Io { what: "poll".into(), source })?;
        Ok(())
    }
}
