//! A network namespace of its own, with a TAP in it: a Linux peer that disturbs nobody and leaves nothing behind.
//!
//! The namespace has no name. It lives as long as something holds it: this object, the TAP's interface and programs
//! started in it; when the program is killed, it is gone too.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::thread::{move_into_link_name_space, unshare_unsafe, LinkNameSpaceType, UnshareFlags};
use thiserror::Error;
use toe_wire::MacAddr;

use crate::command::{run, CommandError};
use crate::wire::{Tap, WireError};

/// How long `ip` may take.
const IP_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no namespace, or nothing in it.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// The right to make one is missing.
    #[error("make a network namespace: {source}\n  CAP_SYS_ADMIN is missing: run as root, or inside: unshare --user --map-root-user --net")]
    Forbidden {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused something else.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// `ip` failed.
    #[error("set up the interface: {0}\n  the program ip must be there: apt-get install iproute2")]
    Ip(#[from] CommandError),
    /// The TAP cannot be opened.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// What the kernel's side of a TAP is to look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapConfig {
    /// The interface's name.
    pub name: String,
    /// Its address, if it is to be other than random.
    pub mac: Option<MacAddr>,
    /// Its IPv4 address and the length of the prefix that is reached through it.
    pub address: (Ipv4Addr, u8),
    /// Most bytes of an IP datagram.
    pub mtu: u16,
    /// Frames that wait for the simulated NIC. More than what it takes in the time of a round trip is lost: that is
    /// how the kernel's congestion control learns how slow it is.
    pub txqueuelen: u32,
}

impl Default for TapConfig {
    /// `toe0`, 192.0.2.1/24 (RFC 5737), MTU 1500.
    fn default() -> TapConfig {
        TapConfig { name: "toe0".to_owned(), mac: None, address: (Ipv4Addr::new(192, 0, 2, 1), 24), mtu: 1500, txqueuelen: 128 }
    }
}

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    handle: OwnedFd,
}

impl Namespace {
    /// Makes a namespace with nothing in it but a loopback interface that is up.
    ///
    /// # Errors
    /// [`NamespaceError::Forbidden`] without CAP_SYS_ADMIN.
    pub fn new() -> Result<Namespace, NamespaceError> {
        let handle = on_a_thread(|| {
            // SAFETY: only this thread's network namespace changes, which no memory depends on; it ends right after.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            Ok(OwnedFd::from(File::open("/proc/thread-self/ns/net")?))
        });
        let handle = handle.map_err(|source: io::Error| match source.kind() {
            ErrorKind::PermissionDenied => NamespaceError::Forbidden { source },
            _ => NamespaceError::Io { what: "make a network namespace", source },
        })?;
        let namespace = Namespace { handle };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Runs `f` on a thread inside. Files and sockets it opens stay in the namespace wherever they are used.
    ///
    /// # Errors
    /// [`NamespaceError::Io`] if the thread cannot enter.
    ///
    /// # Panics
    /// If `f` does.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        let result = on_a_thread(|| {
            move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(f())
        });
        result.map_err(|source| NamespaceError::Io { what: "enter the network namespace", source })
    }

    /// A program that will run inside.
    ///
    /// # Errors
    /// [`NamespaceError::Io`] if no file descriptors are left.
    pub fn command(&self, program: &str) -> Result<Command, NamespaceError> {
        let handle = self.handle.try_clone().map_err(|source| NamespaceError::Io { what: "keep the network namespace", source })?;
        let mut command = Command::new(program);
        let enter = move || Ok(move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))?);
        // SAFETY: between fork and exec the closure makes one system call; it allocates nothing and takes no lock.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }

    /// What to put before a command to run it inside from another terminal, as long as this program runs.
    pub fn nsenter(&self) -> String {
        format!("nsenter --net=/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// Puts a TAP into the namespace, addressed and up, and quiet: without IPv6.
    ///
    /// # Errors
    /// Those of [`Tap::open`]; a failure of `ip`.
    pub fn tap(&self, config: &TapConfig) -> Result<Tap, NamespaceError> {
        let TapConfig { name, mac, address: (address, prefix), mtu, txqueuelen } = config;
        let tap = self.run(|| {
            let tap = Tap::open(name)?;
            let knob = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            match fs::write(knob, "1") {
                // A kernel without IPv6 has nothing to switch off.
                Err(error) if error.kind() != ErrorKind::NotFound => Err(NamespaceError::Io { what: "switch off IPv6", source: error }),
                _ => Ok(tap),
            }
        })??;
        if let Some(mac) = mac {
            self.ip(&["link", "set", name, "address", &mac.to_string()])?;
        }
        self.ip(&["link", "set", name, "mtu", &mtu.to_string(), "txqueuelen", &txqueuelen.to_string()])?;
        self.ip(&["address", "add", &format!("{address}/{prefix}"), "dev", name])?;
        self.ip(&["link", "set", name, "up"])?;
        Ok(tap)
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), NamespaceError> {
        let mut command = self.command("ip")?;
        command.args(arguments);
        run(command, IP_DEADLINE)?;
        Ok(())
    }
}

/// A namespace belongs to a thread: what enters one does so on a thread that ends afterwards.
fn on_a_thread<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| scope.spawn(f).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}
