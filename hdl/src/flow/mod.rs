//! The flow core and its stages: see [`core`].

pub mod acceptance;
pub mod acknowledge;
pub mod announce;
pub mod arbiter;
pub mod command;
pub mod control_next;
pub mod core;
pub mod decode;
pub mod emit;
pub mod outcome;
pub mod outputs;
pub mod queues;
pub mod reassembly;
pub mod receive_next;
pub mod record;
pub mod schedule;
pub mod state;
pub mod store;
pub mod transmit_next;
pub mod verdict;
