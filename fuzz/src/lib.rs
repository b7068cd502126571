//! Fuzz targets, each a function over bytes that panics if something is wrong.
//!
//! `cargo xtask fuzz TARGET` lets libFuzzer look for bytes; those that led to new places are kept in `corpus/TARGET`, and `tests/corpus.rs` runs
//! them all again in every `cargo test`. How to add a target: `README.md`.

pub mod driver_device;
mod input;
pub mod pci_function;
mod session;
pub mod vfio_user_client;
pub mod vfio_user_server;

/// A target: its name (that of its folder under `corpus`, too), and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("driver_device", driver_device::run),
    ("pci_function", pci_function::run),
    ("vfio_user_client", vfio_user_client::run),
    ("vfio_user_server", vfio_user_server::run),
];
