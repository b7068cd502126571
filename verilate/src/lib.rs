//! Runs Verilog in Verilator: finds the tool, compiles a design, and drives it from Rust.
//!
//! ```no_run
//! use toe_verilate::{Dut, Options};
//!
//! let verilog = "module half(input wire clock, input wire [7:0] a, output reg [7:0] o);
//!     always @(posedge clock) o <= a >> 1;
//! endmodule";
//! let mut dut = Dut::build("half", verilog, &Options::default())?;
//! dut.set("a", 6);
//! dut.tick();
//! assert_eq!(dut.get("o"), 3);
//! # Ok::<(), toe_verilate::Error>(())
//! ```
//!
//! A compiled design is kept below `target/verilated/` by the hash of everything it is made of, so a test that
//! runs again starts at once. A build script links one statically with [`build_static`], and the program
//! drives it with the same [`Dut`].

mod cache;
mod compile;
mod dut;
mod error;
mod recording;
mod shim;
mod tools;

pub use compile::{build_static, Options};
pub use dut::{Api, Direction, Dut, Pin, Port, PortInfo};
pub use error::Error;
pub use recording::{Change, Recording, Replay};
pub use tools::Tools;
