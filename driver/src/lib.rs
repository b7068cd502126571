//! User-space driver of the TCP offload engine.
//!
//! ```text
//!  host-lib                       submit(Command)  poll() -> NicEvent   send_frame(bytes)
//!  ------------------------------------------------------------------------------------
//!  nic       opens, checks and resets the device; owns the rings; checks what it writes
//!  ring      submission, event and raw ring: indices, phase, doorbells
//!  dma       memory given out in parts of slabs, each mapped once; IOVA allocator
//!  memory    memfds, by atomic access
//!  bus       one trait: registers, DMA mappings, interrupts, time
//!  ------------------------------------------------------------------------------------
//!  vfio (kernel VFIO)     vfio_user (another process)       sim (in process, elsewhere)
//! ```
//!
//! [`Nic`] is the same line for line whatever [`Bus`] is below it. It trusts the device with nothing: every index, length, flow number and
//! kind that it writes is checked, and every wait has a deadline.

pub mod bus;
pub mod dma;
mod interrupt;
pub mod iova;
pub mod memory;
pub mod nic;
pub mod ring;
pub mod sysfs;
pub mod time;
pub mod transport;
pub mod vfio;
pub mod vfio_user;
mod window;

pub use bus::{Bus, BusError, Waker};
pub use dma::Region;
pub use iova::Iova;
pub use memory::Memory;
pub use nic::{FlowReport, Nic, NicConfig, NicError, NicEvent, RawFrame, Wait};
pub use time::Nanoseconds;
