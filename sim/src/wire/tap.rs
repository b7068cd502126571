//! A Linux TAP interface: the kernel's network stack as the other end of the cable.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::{Count, Wire, WireError, WireFrame};
use crate::time::Nanoseconds;

const DEVICE: &str = "/dev/net/tun";
/// The longest frame the kernel can hand over: no offloads are on, so its MTU and a header.
const MAX_FRAME: usize = 65_536 + 18;

/// A TAP interface, opened without packet information and without a virtio header: frames have real checksums, and
/// the kernel drops those that it gets with bad ones. There is no FCS: a frame with a bad one is dropped here.
#[derive(Debug)]
pub struct Tap {
    file: File,
    name: String,
    buffer: Vec<u8>,
    bad_fcs: u64,
    lost: u64,
}

impl Tap {
    /// Opens the interface `name` in the network namespace of the calling thread, making it if there is none; one
    /// that it made goes away when it is dropped. The interface's address and state are left alone.
    ///
    /// # Errors
    /// [`WireError::Missing`] without `/dev/net/tun` or the right to use it; [`WireError::Io`] if the name is too
    /// long or taken.
    pub fn open(name: &str) -> Result<Tap, WireError> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE);
        let file = file.map_err(|source| explain_open(name, source))?;
        attach(&file, name).map_err(|source| explain_attach(name, source))?;
        Ok(Tap { file, name: name.to_owned(), buffer: vec![0; MAX_FRAME], bad_fcs: 0, lost: 0 })
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// `TUNSETIFF`: makes the open file the other side of the interface.
fn attach(file: &File, name: &str) -> io::Result<()> {
    // SAFETY: `ifreq` is plain data, for which all zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.contains(['/', '\0', ' ']) {
        let what = format!("an interface name has 1 to {} characters, no space, no slash", request.ifr_name.len() - 1);
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // Both flags are small constants: 0x0002 and 0x1000.
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TAP | libc::IFF_NO_PI).unwrap_or_default();
    // SAFETY: the descriptor is open, and the request is an `ifreq` that outlives the call, as TUNSETIFF asks.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn explain_open(name: &str, source: io::Error) -> WireError {
    let mend = match source.kind() {
        ErrorKind::NotFound => {
            "the kernel's TUN/TAP device is missing: modprobe tun; in a container, start it with --device /dev/net/tun, or \
             mkdir -p /dev/net && mknod /dev/net/tun c 10 200"
        }
        ErrorKind::PermissionDenied => "run as root, or open the device to your user: chmod 666 /dev/net/tun",
        _ => "is the module there? modprobe tun",
    };
    WireError::Missing { what: format!("TAP {name}: open {DEVICE}"), source, mend: mend.to_owned() }
}

fn explain_attach(name: &str, source: io::Error) -> WireError {
    let what = format!("TAP {name}: attach");
    let mend = match source.raw_os_error() {
        Some(libc::EPERM) => format!("CAP_NET_ADMIN is missing: run as root, or have root make it for you: ip tuntap add dev {name} mode tap user $USER"),
        Some(libc::EBUSY) => format!("another program has it open: choose another name, or see: ip -details link show {name}"),
        Some(libc::EINVAL) => format!("{name} exists and is no plain TAP: choose another name, or see: ip -details link show {name}"),
        _ => return WireError::Io { what, source },
    };
    WireError::Missing { what, source, mend }
}

impl Wire for Tap {
    fn send(&mut self, _now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        if !frame.fcs_ok() {
            self.bad_fcs += 1;
            return Ok(());
        }
        match self.file.write(&frame.bytes) {
            Ok(_) => Ok(()),
            // The interface is down, the kernel is short of memory, or it is no frame: lost, as on a cable.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINVAL)) => {
                self.lost += 1;
                Ok(())
            }
            Err(source) => Err(WireError::io(format!("TAP {}: write", self.name), source)),
        }
    }

    fn receive(&mut self, _now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        match self.file.read(&mut self.buffer) {
            Ok(len) => Ok(Some(WireFrame::padded(self.buffer.get(..len).unwrap_or_default().to_vec()))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(source) => Err(WireError::io(format!("TAP {}: read", self.name), source)),
        }
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        None
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn counts(&self) -> Vec<Count> {
        vec![("tap: bad FCS", self.bad_fcs), ("tap: lost", self.lost)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each message says what is missing and the command that mends it.
    #[test]
    fn errors_say_what_mends_them() {
        let os = io::Error::from_raw_os_error;
        for (error, missing, command) in [
            (explain_open("t", os(libc::ENOENT)), "device is missing", "modprobe tun"),
            (explain_open("t", os(libc::EACCES)), "run as root", "chmod 666 /dev/net/tun"),
            (explain_attach("t", os(libc::EPERM)), "CAP_NET_ADMIN is missing", "ip tuntap add dev t mode tap user $USER"),
            (explain_attach("t", os(libc::EBUSY)), "another program", "ip -details link show t"),
            (explain_attach("t", os(libc::EINVAL)), "is no plain TAP", "ip -details link show t"),
        ] {
            let text = error.to_string();
            assert!(text.starts_with("TAP t: ") && text.contains(missing) && text.contains(command), "{text}");
        }
    }
}
