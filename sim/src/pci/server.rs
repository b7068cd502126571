//! The socket at which clients ask for the function, one after the other.
//!
//! ```text
//!   accepting (caller's thread)                     serving (a thread of its own)
//!   nobody is served ──stream──────────────────────► vfio_user::server::serve, then power-on
//!   somebody is ──► waits a little ──► is refused ◄── done
//! ```
//!
//! A client that comes while another is served waits for [`GRACE`]: so one that is started again at once meets the end of its predecessor. Then it
//! is told that the function is busy, and its connection is closed. So is that of a client that does not say anything at first.

use super::function::{Counts, End, Function};
use crossbeam_channel::{unbounded, Receiver, Sender};
use rustix::event::{eventfd, poll, EventfdFlags, PollFd, PollFlags, Timespec};
use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use toe_driver::BusError;
use toe_vfio_user::server::{serve, Ended, PATIENCE};
use toe_vfio_user::socket::{receive, send};
use toe_vfio_user::Errno;

/// How long a client waits for the one before it to go.
pub const GRACE: Duration = Duration::from_secs(2);
/// Clients that may wait.
const MOST_WAITING: usize = 8;
/// The pause after the system had no descriptor for a client.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the server has ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Something else is at its place.
    #[error("{path}: {why}")]
    Taken {
        /// The socket's path.
        path: PathBuf,
        /// What is there.
        why: &'static str,
    },
    /// The system says no.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What it said.
        source: io::Error,
    },
    /// The device has stopped.
    #[error(transparent)]
    Device(#[from] BusError),
}

/// What happened to a client.
#[derive(Debug)]
pub enum Report {
    /// It is served.
    Came,
    /// It is not served any more.
    Went {
        /// Why; nothing if it hung up in good order.
        why: Option<String>,
        /// What it did.
        counts: Counts,
    },
    /// Another one is served.
    Refused,
}

/// A socket, and the function behind it.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the socket's file.
    file: (u64, u64),
}

/// What the accepting thread and the serving one tell each other.
struct Clients {
    streams: Sender<UnixStream>,
    gone: Receiver<Result<Report, BusError>>,
    bell: Arc<OwnedFd>,
    /// The device's own end.
    end: Arc<End>,
    thread: JoinHandle<()>,
}

/// Rings when a client has gone, and when the thread that serves them ends.
struct Ringer(Arc<OwnedFd>);

impl Ringer {
    fn ring(&self) {
        // It can fail only when the counter is full, and then it has been rung.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

impl Drop for Ringer {
    fn drop(&mut self) {
        self.ring();
    }
}

impl Server {
    /// Listens at a path. A socket that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// Somebody listens there, something else is there, or the system does not allow it.
    pub fn bind(path: &Path) -> Result<Server, ServerError> {
        let taken = |why| ServerError::Taken { path: path.into(), why };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()) => return Err(taken("expected nothing or a socket there")),
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(taken("somebody listens there")),
            // Nobody does. If somebody has taken it away meanwhile, so much the better.
            Ok(_) => drop(std::fs::remove_file(path)),
            Err(_) => {}
        }
        // Bound beside it, and linked there when it listens: who sees the file can connect, and of two at once one finds it taken.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let beside = path.with_file_name(format!(".toe-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        let what = |source| ServerError::System { what: format!("listening at {}", path.display()), source };
        let listener = UnixListener::bind(&beside).map_err(what)?;
        let linked = std::fs::hard_link(&beside, path);
        let file = std::fs::symlink_metadata(&beside);
        std::fs::remove_file(&beside).map_err(what)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(taken("somebody has put something there just now")),
            linked => linked.map_err(what)?,
        }
        let file = file.map_err(what)?;
        listener.set_nonblocking(true).map_err(what)?;
        Ok(Server { listener, path: path.into(), file: (file.dev(), file.ino()) })
    }

    /// Serves one client after the other until `stop` is readable, or the first one has gone if it is to be `once`.
    ///
    /// # Errors
    /// The device has stopped, or the system does not let us go on.
    pub fn run(self, function: Function, stop: BorrowedFd<'_>, once: bool, mut report: impl FnMut(Report)) -> Result<(), ServerError> {
        let clients = Clients::start(function)?;
        let ended = self.accept(&clients, stop, once, &mut report);
        let Clients { streams, gone, thread, end, .. } = clients;
        drop(streams);
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
        // The last client's end, if it was not its own.
        gone.try_iter().try_for_each(|told| told.map(&mut report))?;
        ended?;
        end.reason().map_or(Ok(()), |reason| Err(BusError::Gone(reason).into()))
    }

    fn accept(&self, clients: &Clients, stop: BorrowedFd<'_>, once: bool, report: &mut impl FnMut(Report)) -> Result<(), ServerError> {
        let mut waiting: VecDeque<(UnixStream, Instant)> = VecDeque::new();
        let mut serving: Option<UnixStream> = None;
        let hang_up = |serving: &Option<UnixStream>| {
            // It may have gone by itself.
            serving.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        };
        loop {
            let now = Instant::now();
            while waiting.front().is_some_and(|(_, until)| *until <= now) {
                waiting.pop_front().iter().for_each(|(stream, _)| refuse(stream));
                report(Report::Refused);
            }
            if serving.is_none() {
                if let Some((stream, _)) = waiting.pop_front() {
                    serving = Some(clients.serve(stream)?);
                    report(Report::Came);
                }
            }
            let until = waiting.front().map(|(_, until)| *until);
            let [stopped, ended, told, came] = self.sleep([stop, clients.end.as_fd(), clients.bell.as_fd()], until)?;
            if stopped || ended {
                hang_up(&serving);
                return Ok(());
            }
            if told {
                clients.answer_bell();
                for told in clients.gone.try_iter() {
                    serving = None;
                    report(told?);
                    if once {
                        return Ok(());
                    }
                }
                if clients.thread.is_finished() {
                    return Ok(());
                }
            }
            if came {
                self.take(&mut waiting, report)?;
            }
        }
    }

    /// Takes the clients that have come.
    fn take(&self, waiting: &mut VecDeque<(UnixStream, Instant)>, report: &mut impl FnMut(Report)) -> Result<(), ServerError> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) if waiting.len() >= MOST_WAITING => {
                    refuse(&stream);
                    report(Report::Refused);
                }
                Ok((stream, _)) => waiting.push_back((stream, Instant::now() + GRACE)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)) => {
                    tracing::warn!(%error, "no room for another client");
                    std::thread::sleep(PAUSE);
                    return Ok(());
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                Err(source) => return Err(ServerError::System { what: "accept".into(), source }),
            }
        }
    }

    /// Until one of these is readable or a client comes: which.
    fn sleep(&self, others: [BorrowedFd<'_>; 3], until: Option<Instant>) -> Result<[bool; 4], ServerError> {
        let [a, b, c] = others;
        let mut fds = [a, b, c, self.listener.as_fd()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(fds.map(|fd| !fd.revents().is_empty())),
            Err(error) => Err(ServerError::System { what: "poll".into(), source: error.into() }),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Unless somebody else has put his there meanwhile.
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.file);
        if ours {
            if let Err(error) = std::fs::remove_file(&self.path) {
                tracing::warn!(%error, path = %self.path.display(), "the socket stays");
            }
        }
    }
}

impl Clients {
    fn start(mut function: Function) -> Result<Clients, ServerError> {
        let system = |what: &str| {
            let what = what.to_string();
            move |source: io::Error| ServerError::System { what, source }
        };
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|error| system("eventfd")(error.into()))?;
        let bell = Arc::new(bell);
        let (streams, coming) = unbounded::<UnixStream>();
        let (tell, gone) = unbounded();
        let (ringer, end) = (Ringer(bell.clone()), function.end());
        let run = move || {
            for stream in coming {
                let why = if speaks(&stream) { serve_one(&stream, &mut function) } else { Some(format!("it says nothing within {PATIENCE:?}")) };
                drop(stream);
                let counts = function.counts();
                let told = counts.and_then(|counts| function.power_on().map(|()| Report::Went { why, counts }));
                // The other side takes them until this thread has ended.
                let _ = tell.send(told);
                ringer.ring();
            }
        };
        let thread = std::thread::Builder::new().name("toe-vfio-user".into()).spawn(run).map_err(system("a thread for clients"))?;
        Ok(Clients { streams, gone, bell, end, thread })
    }

    /// Hands a client over; the clone is for hanging up on it.
    fn serve(&self, stream: UnixStream) -> Result<UnixStream, ServerError> {
        let clone = stream.try_clone().map_err(|source| ServerError::System { what: "a client's socket".into(), source })?;
        // The thread lives as long as `self`; were it gone, the bell would tell.
        let _ = self.streams.send(stream);
        Ok(clone)
    }

    fn answer_bell(&self) {
        let mut rung = [0; 8];
        // Not rung any more: it would block.
        let _ = rustix::io::read(&*self.bell, &mut rung);
    }
}

/// Serves one client to its end, and says why it was one if it was not in good order.
fn serve_one(stream: &UnixStream, function: &mut Function) -> Option<String> {
    match serve(stream, function) {
        Ok(Ended::HungUp) => None,
        Ok(Ended::Refused(why)) => Some(why),
        Err(error) => Some(error.to_string()),
    }
}

/// Whether a client says something soon, or hangs up.
fn speaks(stream: &UnixStream) -> bool {
    let left = Timespec::try_from(PATIENCE).ok();
    // What is wrong with it shows when it is read.
    !matches!(poll(&mut [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)], left.as_ref()), Ok(0))
}

/// Tells a client that it will not be served, if it has asked already.
fn refuse(stream: &UnixStream) {
    let now = Instant::now();
    if let Ok(Some(asked)) = receive(stream, Some(now), Duration::ZERO) {
        // It need not hear it: its connection ends.
        let _ = send(stream, &asked.header.failure(Errno::BUSY), &[], &[], now);
    }
}
