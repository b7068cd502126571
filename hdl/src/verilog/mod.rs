//! Verilog for a RustHDL design.
//!
//! RustHDL elaborates a design and hands out what it found: `Block::accept` walks the instances, `Atom`
//! tells of each signal, `Logic::hdl` gives a kernel's syntax tree. Its own printer turns that into Verilog
//! that means something else in several places (see `hdl/tests/forms.rs`), so this module does the printing.
//!
//! ```text
//! accept ──> tree ──> scope (names, widths) ──> kernel (expressions, statements, coverage)
//!                                                  │ chunks
//!                                                  v
//!                               process (independent always blocks) ──> module text, shared when equal
//! ```
//!
//! Every printed expression is a Verilog primary of exactly the width and the sign its Rust value has, and
//! it is put only where that very width is expected; so Verilog's rules for widening an operand by its
//! context never apply. What RustHDL's tree has lost (the value of a constant, the width of a cast) is
//! refused with the instance and the expression: see [`Refusal`].
//!
//! ```
//! use rust_hdl::prelude::*;
//!
//! #[derive(LogicBlock, Default)]
//! struct Half {
//!     a: Signal<In, Bits<8>>,
//!     o: Signal<Out, Bits<4>>,
//! }
//! impl Logic for Half {
//!     #[hdl_gen]
//!     fn update(&mut self) {
//!         self.o.next = (self.a.val() + 1).get_bits::<4>(4);
//!     }
//! }
//! let verilog = toe_hdl::verilog::print("half", &Half::default())?;
//! assert!(verilog.to_string().contains("module half("));
//! # Ok::<(), toe_hdl::verilog::Error>(())
//! ```

mod coverage;
mod error;
mod expression;
mod kernel;
mod link;
mod module;
mod process;
mod scope;
pub mod source_check;
mod statement;
mod tree;
mod value;

use rust_hdl::prelude::Block;
use std::fmt;

pub use error::{Error, Refusal};

/// Stack for elaborating a design: its blocks lie inline in one another, and the walk over them recurses.
const STACK: usize = 512 << 20;

/// A printed design: one text for each module, the ones it is made of first, the top last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verilog {
    modules: Vec<Module>,
}

/// One printed module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// From `module` to `endmodule`.
    pub text: String,
}

impl Verilog {
    /// The modules, the ones used before their users.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// One file for each module: its name (`NAME.v`) and its text.
    pub fn files(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.modules.iter().map(|m| (format!("{}.v", m.name), format!("{HEAD}{}", m.text)))
    }
}

/// First line of what is printed.
const HEAD: &str = "// Generated from the RustHDL sources by `toe-hdl verilog`. Do not edit.\n";

impl fmt::Display for Verilog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for m in &self.modules {
            write!(f, "\n{}", m.text)?;
        }
        Ok(())
    }
}

/// Prints a design whose top module is to be called `top`. `connect_all` need not have been called.
///
/// A module is named after the field that holds it, with as much of the path before it as it takes to be
/// unique; modules of equal text are one module.
///
/// # Errors
/// [`Error`] names the instance and what in it cannot be printed, or would not mean the same in Verilog.
pub fn print<U: Block + Sync>(top: &str, uut: &U) -> Result<Verilog, Error> {
    on_big_stack(|| module::print(top, uut))
}

/// Builds a design and prints it, both on a big stack: for designs too large for the caller's.
///
/// # Errors
/// As [`print`].
pub fn print_with<U: Block>(top: &str, build: impl FnOnce() -> U + Send) -> Result<Verilog, Error> {
    on_big_stack(|| module::print(top, &build()))
}

fn on_big_stack<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(e) => Err(Error::Thread(e.to_string())),
        }
    })
}
