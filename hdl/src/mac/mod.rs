//! 10 Gigabit Ethernet MAC on XGMII, 64 bits at 156.25 MHz (IEEE 802.3 clauses 3, 4 and 46).
//!
//! ```text
//!  rxd, rxc -> Column x2 -> Align -> Deframe -> stream without preamble and FCS
//!                  |          +----> FcsCheck ----^
//!                  |          +----> AddressFilter ^
//!                  +-> LinkFault -> local_fault, remote_fault
//!
//!  stream -> Schedule -> FcsGenerate -> Assemble -> txd, txc
//!                +----------------------^
//! ```
//!
//! A *column* is four octets, what XGMII carries on one clock edge; eight octets, two columns, move each
//! cycle. A *slot* is eight octets of a frame counted from its Start, whichever column that was in.

#![allow(missing_docs, reason = "what the derives write has no comment")]

pub mod align;
pub mod crc;
pub mod fault;
pub mod fcs;
pub mod filter;
pub mod frame;
pub mod rx;
pub mod schedule;
pub mod tx;
pub mod xgmii;

/// `Default` for a block that has [`rust_hdl::prelude::Constant`]s, which have none: the other fields, then the constants.
macro_rules! block_default {
    ($block:ident { $($field:ident),* $(,)? } $($constant:ident: $value:expr),* $(,)?) => {
        impl Default for $block {
            fn default() -> Self {
                Self { $($field: Default::default(),)* $($constant: $value,)* }
            }
        }
    };
}
use block_default;
