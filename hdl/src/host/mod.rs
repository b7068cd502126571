//! The side of the host: registers, rings, and the engines that read and write its memory.

pub mod axi;
pub mod burst;
pub mod counters;
pub mod csr;
pub mod interrupt;
pub mod pulses;
pub mod read;
pub mod registers;
pub mod rings;
pub mod submission;
pub mod write;
pub mod write_data;
pub mod write_intake;
pub mod write_plan;
