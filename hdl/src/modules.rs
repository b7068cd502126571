//! The modules that can be printed by name.
//!
//! A module that is to be measured alone (`cargo xtask synth --module NAME`) has its line in [`MODULES`].

use crate::flow::core::FlowCore;
use crate::host::{csr::Csr, read::ReadEngine, submission::Submission, write::WriteEngine};
use crate::mac::{rx::XgmiiRx, tx::XgmiiTx};
use crate::ram::{StreamFifo, StreamSkid};
use crate::receive::{inject::Inject, lookup::Lookup, parse::Parser};
use crate::top::Top;
use crate::transmit::Transmit;
use crate::verilog::{print_with, Error, Verilog};
use rust_hdl::prelude::Block;

/// A module and how to print it.
pub struct Entry {
    /// Name of the Verilog module.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    print: fn(&str) -> Result<Verilog, Error>,
}

impl Entry {
    const fn of<U: Block + Default>(name: &'static str, about: &'static str) -> Self {
        Entry { name, about, print: |name| print_with(name, U::default) }
    }

    /// Prints it.
    ///
    /// # Errors
    /// As [`crate::verilog::print`].
    pub fn print(&self) -> Result<Verilog, Error> {
        (self.print)(self.name)
    }
}

/// Every module that can be named.
#[rustfmt::skip] // a line each
pub const MODULES: &[Entry] = &[
    Entry::of::<Top>("top", "the whole engine"),
    Entry::of::<FlowCore>("flow_core", "one operation at a time on the state of the flows"),
    Entry::of::<XgmiiRx>("mac_rx", "10G MAC, receiver"),
    Entry::of::<XgmiiTx>("mac_tx", "10G MAC, transmitter"),
    Entry::of::<ReadEngine>("host_read", "reads host memory"),
    Entry::of::<WriteEngine>("host_write", "writes host memory: payload, events, raw frames"),
    Entry::of::<Submission>("host_submission", "fetches commands"),
    Entry::of::<Csr>("host_csr", "registers, counters and reset"),
    Entry::of::<Inject>("inject", "frames of the wire and of the host into one stream"),
    Entry::of::<Lookup>("lookup", "flow table"),
    Entry::of::<Parser>("parser", "frames into the receive buffer, checked and taken apart"),
    Entry::of::<StreamFifo<9, 10>>("stream_fifo", "queue of 512 beats"),
    Entry::of::<StreamSkid>("stream_skid", "registers in a stream, both ways"),
    Entry::of::<Transmit>("transmit", "everything between flow core, read engine and MAC on the way out"),
];

/// The module with this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    MODULES.iter().find(|e| e.name == name)
}
