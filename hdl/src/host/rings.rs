//! What the host has told about its rings.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use rust_hdl::prelude::*;

/// The registers and doorbells of the context that the engines work from. Indices run freely modulo 2^32.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Rings {
    /// CONTEXT_ENABLE.
    pub enable: Bit,
    /// Bus address of the submission ring.
    pub submission_base: Bits<64>,
    /// log2 of its entries of 32 bytes.
    pub submission_log2: Bits<5>,
    /// Commands written by the host.
    pub submission_produced: Bits<32>,
    /// Bus address of the event ring.
    pub event_base: Bits<64>,
    /// log2 of its entries of 64 bytes.
    pub event_log2: Bits<5>,
    /// Events taken by the host.
    pub event_consumed: Bits<32>,
    /// Bus address of the raw ring.
    pub raw_base: Bits<64>,
    /// log2 of its slots.
    pub raw_log2: Bits<5>,
    /// log2 of a slot's bytes.
    pub raw_slot_log2: Bits<4>,
    /// Slots given back by the host.
    pub raw_consumed: Bits<32>,
}
