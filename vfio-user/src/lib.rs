//! The vfio-user protocol: a PCI function in one process, its driver in another, a UNIX socket between them.
//!
//! ```text
//!  server   serve(stream, &mut dyn Backend): negotiates, checks, calls, answers         client   registers, DMA maps, interrupts, reset
//!  ------------------------------------------------------------------------------------------------------------------------------------
//!  socket   exactly one message with its file descriptors, each wait with its deadline
//!  message  header, requests, replies: typed, decoding is total
//! ```
//!
//! The protocol is that of QEMU's `docs/interop/vfio-user.rst`, version 0.1; numbers that it shares with the kernel's VFIO come from
//! `vfio-bindings`. All fields are in the byte order of the machine. Neither side trusts the other: whatever bytes come in, nothing here
//! panics, allocates without bound or waits for ever in mid-message.

pub mod client;
pub mod message;
pub mod server;
pub mod socket;

pub use rustix::io::Errno;
