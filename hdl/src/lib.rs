//! The engine's hardware, described in RustHDL, and the back end that prints it as Verilog.

pub mod checksum;
pub mod flow;
pub mod gate;
pub mod host;
pub mod mac;
pub mod modules;
pub mod ram;
pub mod receive;
pub mod stream;
pub mod top;
pub mod transmit;
pub mod types;
pub mod verilog;
