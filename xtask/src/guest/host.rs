//! The host's side of the wire: a network namespace with a TAP.

use anyhow::{bail, Context, Result};
use rustix::process::{set_parent_process_death_signal, Signal};
use rustix::thread::{unshare_unsafe, UnshareFlags};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The TAP, and the host's address on it (RFC 5737).
pub(crate) const TAP: &str = "toe0";
/// See [`TAP`].
pub(crate) const HOST: &str = "192.0.2.1";

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
