//! What can go wrong with a device.

use crate::{BusError, Nanoseconds};

/// What can go wrong with a device.
#[derive(Debug, thiserror::Error)]
pub enum NicError {
    /// The bus below.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Not our device, or one we do not know.
    #[error("{what}: expected {expected:#x}, found {found:#x}")]
    Unknown {
        /// Which register.
        what: &'static str,
        /// Its value in a device that this driver drives.
        expected: u32,
        /// What it was.
        found: u32,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {deadline}")]
    Deadline {
        /// What was waited for.
        what: &'static str,
        /// How long.
        deadline: Nanoseconds,
    },
    /// The device wrote something that cannot be.
    #[error("the device wrote an impossible {what}: expected {expected}, found {found:#x}")]
    Device {
        /// Which field.
        what: &'static str,
        /// What would have been possible.
        expected: String,
        /// What it was.
        found: u32,
    },
    /// It is not any more as this driver has set it up.
    #[error("the device was reset behind the driver's back: register {what}: expected {expected:#x}, found {found:#x}")]
    Reset {
        /// Which register.
        what: &'static str,
        /// What was written to it.
        expected: u32,
        /// What it is.
        found: u32,
    },
    /// A DMA access of the device was refused: it has stopped for good.
    #[error("the device reports a DMA fault (STATUS.FAULT): it has stopped, and needs a reset")]
    Fault,
    /// A frame that cannot be sent.
    #[error("a frame of {found} bytes cannot be sent: expected 14 to {longest}")]
    FrameLength {
        /// The longest that can.
        longest: u32,
        /// Its length.
        found: usize,
    },
}
