//! The simulated world round the engine: the engine itself (Verilated, or an untimed model), the host's memory as the device sees it, clocks,
//! what is at the other end of the cable, and namespaces with a Linux peer.

pub mod command;
pub mod device;
pub mod differential;
pub mod engine;
pub mod invariants;
pub mod model;
pub mod netns;
pub mod pci;
pub mod rig;
pub mod root_complex;
pub mod time;
#[cfg(feature = "rtl")]
pub mod verilated;
pub mod wire;
