//! The contract between the engine and its host: registers, commands, events and raw frames, as const data, once.
//!
//! RTL constants (`hdl`), driver accessors (`driver`), the models of `sim` and `docs/registers.md` all come from here. What the engine
//! *does* with them is `docs/engine.md`. Everything in host memory is little-endian; addresses on the wire (IPv4, ports) are held
//! as numbers, so `10.0.0.2` is `0x0a00_0002`.
//!
//! The layout is checked while this crate compiles: no overlap, every register aligned, every record as long as it says.

pub mod command;
pub mod counter;
mod document;
pub mod event;
pub mod pci;
pub mod raw;
pub mod register;

pub use document::document;

/// Value of [`register::ID`]: "TOE1" in ASCII, first letter in the lowest byte.
pub const ID: u32 = u32::from_le_bytes(*b"TOE1");

/// Interface version, `major << 16 | minor`. A driver refuses another major number.
pub const VERSION: u32 = 1 << 16;

/// Flows in the engine as it is built by default (a parameter of `hdl`; software reads [`register::FLOWS`]).
pub const FLOWS: usize = 256;

/// Out-of-order ranges a flow can hold (software reads [`register::CAPABILITIES`]).
pub const RANGES: usize = 4;

/// Contexts (sets of rings with an interrupt) in the engine as it is built by default.
pub const CONTEXTS: usize = 1;

/// Clock of the engine and of XGMII at 10 Gb/s, in hertz.
pub const CLOCK_HZ: u32 = 156_250_000;

/// Flow number that means "no flow" in a raw frame's header and in events that concern none.
pub const NO_FLOW: u16 = 0xffff;

/// Smallest and largest ring of a flow, log2 of bytes.
pub const FLOW_RING_LOG2: core::ops::RangeInclusive<u8> = 12..=30;

/// Longest frame the engine can take or send, without FCS (a jumbo frame with a VLAN tag).
pub const LONGEST_FRAME: u32 = 9618;

/// Nanoseconds a tick, as a shift: `tick = now >> TICK_SHIFT`.
pub const TICK_SHIFT: u32 = 10;

/// Nanoseconds a step of the TCP timestamp clock, as a shift.
pub const TIMESTAMP_SHIFT: u32 = 20;

/// Ticks between two limited ACKs of a flow, log2.
pub const CHALLENGE_LOG2: u32 = 19;
