//! The engine's hardware, described in RustHDL, and the back end that prints it as Verilog.

pub mod checksum;
pub mod flow;
