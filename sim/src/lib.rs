//! The simulated world round the engine: clocks, what is at the other end of the cable, namespaces with a Linux peer.

pub mod command;
pub mod netns;
pub mod time;
pub mod wire;
