//! The one thing the driver knows of the world below it.

use crate::{Iova, Memory, Nanoseconds};
use core::ops::RangeInclusive;
use std::sync::Arc;

/// Ends a [`Bus::wait`] from another thread. Waking when nobody waits ends the next wait at once.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// A PCI function with one BAR of 32-bit registers and one interrupt, as its driver needs it.
///
/// Implemented by kernel VFIO ([`crate::vfio`]) and by the simulator in process. Methods take `&self`: one thread drives the device, others may
/// only map memory and wake it.
pub trait Bus: Send + Sync {
    /// Reads a register of BAR 0.
    ///
    /// # Errors
    /// The device is gone, or did not answer in time.
    fn read32(&self, offset: u32) -> Result<u32, BusError>;

    /// Writes a register of BAR 0, after everything this thread wrote to DMA memory before (release).
    ///
    /// # Errors
    /// The device is gone, or did not answer in time.
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError>;

    /// Lets the device reach `memory`, whole, from bus address `iova` on.
    ///
    /// # Errors
    /// The range is taken or not allowed, or the system refuses to pin the memory.
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError>;

    /// Takes a mapping back: no access of the device to it happens after this returns.
    ///
    /// # Errors
    /// There is no such mapping.
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError>;

    /// Bus addresses that may be mapped, reserved ranges left out.
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>>;

    /// Resets the function (FLR) and lets it be bus master again.
    ///
    /// # Errors
    /// The device is gone or cannot be reset.
    fn reset(&self) -> Result<(), BusError>;

    /// Sleeps until an interrupt, a [`Waker`], or `until`; with a simulated clock, time goes on meanwhile. May return early for no reason.
    ///
    /// # Errors
    /// The device is gone.
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError>;

    /// Something that ends a wait.
    fn waker(&self) -> Waker;

    /// The time on this bus's clock. It never goes back.
    fn now(&self) -> Nanoseconds;

    /// Called between two looks at a register or a ring: a short pause, in which simulated time goes on.
    fn relax(&self);
}

/// What can go wrong on a bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The device does not answer any more.
    #[error("the device is gone: {0}")]
    Gone(String),
    /// The kernel's side is not ready for the device.
    #[error(transparent)]
    NotReady(#[from] crate::sysfs::SysfsError),
    /// An access outside BAR 0, or not aligned.
    #[error("register access at {offset:#x}: expected a multiple of 4 below {size:#x}")]
    Offset {
        /// Offset asked for.
        offset: u32,
        /// Size of the BAR.
        size: u32,
    },
    /// A mapping that cannot be made or taken back.
    #[error("DMA mapping of {bytes} bytes at {iova}: {why}")]
    Mapping {
        /// Bus address asked for.
        iova: Iova,
        /// Bytes asked for.
        bytes: usize,
        /// Why not.
        why: String,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What it said.
        source: std::io::Error,
    },
}
