//! Other programs, run with a deadline and never left behind.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{kill_process, kill_process_group, Pid};
use thiserror::Error;

/// How often a running program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// Why a program gave no result.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It did not end in time, and was killed.
    #[error("{program} did not end within {after:?}; it said {output}")]
    Deadline {
        /// The program.
        program: String,
        /// How long it was given.
        after: Duration,
        /// What it had said.
        output: String,
    },
    /// It ended with something else than success.
    #[error("{program} ended with {status}; it said {output}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
}

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Finished {
    program: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Itself, if it ended with success.
    ///
    /// # Errors
    /// [`CommandError::Failed`] otherwise.
    pub fn success(self) -> Result<Finished, CommandError> {
        match self.status.success() {
            true => Ok(self),
            false => Err(CommandError::Failed { output: quoted(&self.stdout, &self.stderr), program: self.program, status: self.status }),
        }
    }
}

fn quoted(stdout: &str, stderr: &str) -> String {
    format!("{:?}", [stdout.trim(), stderr.trim()].join("\n").trim())
}

/// A program that runs; it is killed, with all it started, when this is dropped.
#[derive(Debug)]
pub struct Running {
    program: String,
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a program with nothing to read, in a process group of its own.
    ///
    /// # Errors
    /// [`CommandError::Start`].
    pub fn start(mut command: Command) -> Result<Running, CommandError> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|source| CommandError::Start { program: program.clone(), source })?;
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Ok(Running { program, child, stdout, stderr })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(id, signal)?)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`CommandError::Deadline`] if it is still there after so long; it is killed then.
    pub fn finish(mut self, within: Duration) -> Result<Finished, CommandError> {
        let deadline = Instant::now() + within;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => break None,
                Err(source) => return Err(CommandError::Start { program: self.program.clone(), source }),
            }
        };
        // What it started may hold its output open.
        self.kill();
        let said = |reader: &mut Option<JoinHandle<String>>| reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let (stdout, stderr) = (said(&mut self.stdout), said(&mut self.stderr));
        match status {
            Some(status) => Ok(Finished { program: self.program.clone(), status, stdout, stderr }),
            None => Err(CommandError::Deadline { program: self.program.clone(), after: within, output: quoted(&stdout, &stderr) }),
        }
    }

    fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // All of it may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a program to its end.
///
/// # Errors
/// It does not start, does not end in time, or does not succeed.
pub fn run(command: Command, within: Duration) -> Result<Finished, CommandError> {
    Running::start(command)?.finish(within)?.success()
}
