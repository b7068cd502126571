//! One kernel on its way from RustHDL's tree to chunks of Verilog.

use super::coverage::Coverage;
use super::error::Refusal;
use super::process::Chunk;
use super::scope::{Loops, Scope};
use rust_hdl::prelude::ast::VerilogBlock;
use std::collections::{BTreeMap, BTreeSet};

/// What is known while the statements of a kernel are printed, in their order.
pub(super) struct Kernel<'a> {
    pub(super) scope: &'a Scope,
    pub(super) loops: Loops,
    pub(super) assigned: Coverage,
    /// The statement at the outermost level that is being printed.
    pub(super) chunk: Chunk,
    pub(super) chunks: Vec<Chunk>,
    /// How deep in `if` and `match`.
    pub(super) depth: usize,
    /// Helper functions: a part-select of an expression is not legal Verilog, one of an argument is.
    pub(super) functions: BTreeMap<String, String>,
    /// Constants and enum variants that are named.
    pub(super) named: BTreeSet<String>,
    /// Inputs of submodules that were read.
    pub(super) read_back: BTreeSet<String>,
    /// Signals of which a field is used by itself.
    pub(super) by_field: BTreeSet<String>,
}

/// A kernel in Verilog.
pub(super) struct Printed {
    pub(super) chunks: Vec<Chunk>,
    pub(super) functions: BTreeMap<String, String>,
    pub(super) named: BTreeSet<String>,
    pub(super) by_field: BTreeSet<String>,
}

impl<'a> Kernel<'a> {
    /// Prints the statements of a kernel.
    pub(super) fn print(scope: &'a Scope, block: &VerilogBlock) -> Result<Printed, Refusal> {
        let mut kernel = Kernel {
            scope,
            loops: Loops::default(),
            assigned: Coverage::default(),
            chunk: Chunk::default(),
            chunks: vec![],
            depth: 0,
            functions: BTreeMap::new(),
            named: BTreeSet::new(),
            read_back: BTreeSet::new(),
            by_field: BTreeSet::new(),
        };
        kernel.block(block)?;
        kernel.end_chunk();
        for key in &scope.order {
            let symbol = scope.symbol(key)?;
            if kernel.assigned.touches(key) && !kernel.assigned.covers(key, 0, symbol.width) {
                return Err(Refusal::Latch(symbol.net.clone()));
            }
        }
        let Kernel { chunks, functions, named, by_field, .. } = kernel;
        Ok(Printed { chunks, functions, named, by_field })
    }

    /// Ends a statement of the outermost level.
    pub(super) fn end_chunk(&mut self) {
        if !self.chunk.writes.is_empty() {
            self.chunks.push(std::mem::take(&mut self.chunk));
        }
    }
}
