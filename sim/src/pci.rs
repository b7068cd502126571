//! The NIC as a PCI Express function: what a client of another process sees of it.
//!
//! ```text
//!   client ──config──► config    type 0 header, capabilities             (serving thread)
//!          ──BAR 2───► msix      table, pending bits ──► eventfds         (both threads)
//!          ──BAR 0───► device::Threaded ──DMA──► root complex ──► the client's memory
//!          ──maps────► mappings  which parts of which files
//! ```
//!
//! [`Function`] is all of that for one client after the other; [`Server`] accepts them at a socket. Section numbers are those of the PCI Express
//! Base Specification, revision 5.0.

pub mod capability;
mod config;
mod function;
mod mappings;
mod msix;
mod server;

pub use config::{Config, Effect, SIZE};
pub use function::{Counts, DoorbellMode, Function};
pub use msix::{IrqError, Msix};
pub use server::{Report, Server, ServerError, GRACE};
