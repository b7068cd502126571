//! Sleeping until an interrupt: one eventfd that the device signals, one that a [`Waker`] does.

use crate::bus::{BusError, Waker};
use crate::Nanoseconds;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use vmm_sys_util::eventfd::{EventFd, EFD_CLOEXEC, EFD_NONBLOCK};

/// The two eventfds of a bus.
pub(crate) struct Interrupt {
    device: EventFd,
    wake: Arc<EventFd>,
}

impl Interrupt {
    pub(crate) fn new() -> Result<Interrupt, BusError> {
        let event = || EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(|source| BusError::System { what: "eventfd".into(), source });
        Ok(Interrupt { device: event()?, wake: Arc::new(event()?) })
    }

    /// What the device is to signal.
    pub(crate) fn device(&self) -> &EventFd {
        &self.device
    }

    /// The same, to be sent to another process.
    pub(crate) fn device_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.device)
    }

    /// Ends a wait of this or of a later time.
    pub(crate) fn waker(&self) -> Waker {
        let wake = self.wake.clone();
        Arc::new(move || {
            // The counter is full only if it has been woken 2^64 - 2 times: then it is awake.
            let _ = wake.write(1);
        })
    }

    /// Sleeps until an interrupt, a waker, for `left`, or until the `peer` hangs up; tells whether that is so.
    pub(crate) fn wait(&self, left: Nanoseconds, peer: Option<BorrowedFd<'_>>) -> Result<bool, BusError> {
        let timeout = Timespec { tv_sec: i64::try_from(left.0 / 1_000_000_000).unwrap_or(i64::MAX), tv_nsec: i64::from((left.0 % 1_000_000_000) as u32) };
        let (device, wake) = (borrow(&self.device), borrow(&self.wake));
        let mut fds = vec![PollFd::from_borrowed_fd(device, PollFlags::IN), PollFd::from_borrowed_fd(wake, PollFlags::IN)];
        fds.extend(peer.map(|peer| PollFd::from_borrowed_fd(peer, PollFlags::RDHUP)));
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(BusError::System { what: "poll".into(), source: e.into() }),
        }
        let gone = fds.get(2).is_some_and(|peer| peer.revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR));
        // Empty both; "would block" is what an empty one says.
        let _ = (self.device.read(), self.wake.read());
        Ok(gone)
    }
}

fn borrow(event: &EventFd) -> BorrowedFd<'_> {
    // SAFETY: open as long as the event that it is borrowed from.
    unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) }
}
