//! What the function shows on PCI Express: identity, BARs, vectors.
//!
//! A board's PCIe core is configured with these; the simulated function has the same.

use crate::register;

/// Vendor ID. Not one assigned by the PCI-SIG: a board that is sold carries its maker's.
pub const VENDOR: u16 = 0x1234;
/// Device ID.
pub const DEVICE: u16 = 0x70e1;
/// Revision ID.
pub const REVISION: u8 = 1;
/// Class code: network controller, Ethernet (PCI Code and ID Assignment, 02h 00h 00h).
pub const CLASS: u32 = 0x02_00_00;
/// MSI-X vectors: one a context.
#[allow(clippy::cast_possible_truncation, reason = "checked below to be below 2048")]
pub const VECTORS: u16 = crate::CONTEXTS as u16;
/// BAR with the registers ([`crate::register`]), 64 bits wide, not prefetchable.
pub const REGISTER_BAR: u8 = 0;
/// BAR with the MSI-X table and pending bits, 64 bits wide, not prefetchable: a BAR of its own, so that the whole of BAR 0 may be mapped.
pub const MSIX_BAR: u8 = 2;
/// Bytes of the BAR with the MSI-X table.
pub const MSIX_BAR_SIZE: u32 = 2 * register::PAGE;
/// Offset of the MSI-X table in its BAR.
pub const MSIX_TABLE: u32 = 0;
/// Offset of the pending bits in the same BAR.
pub const MSIX_PENDING: u32 = register::PAGE;

const _: () = assert!(VECTORS >= 1 && 16 * VECTORS as u32 <= MSIX_PENDING && crate::CONTEXTS < 2048);
