//! The FCS of IEEE 802.3 clause 3.2.9 as matrices over GF(2).
//!
//! The CRC register is kept bit-reversed, as octets come least significant bit first: bit 31 is the coefficient
//! of x^0. Taking an octet in is linear in the register and the octet, so eight octets are one matrix over
//! their 64 bits and one over the register, and each result bit is an exclusive-or of some of both.

use rust_hdl::prelude::*;

/// The generator polynomial without x^32, bit-reversed.
const GENERATOR: u32 = 0xEDB8_8320;
/// The register before the first octet, which also complements the first 32 bits of the frame.
pub const INITIAL: u32 = u32::MAX;

/// The register after one octet.
fn octet(register: u32, octet: u8) -> u32 {
    (0..8).fold(register ^ u32::from(octet), |r, _| if r & 1 == 1 { (r >> 1) ^ GENERATOR } else { r >> 1 })
}
/// The register after some octets.
fn octets(register: u32, all: &[u8]) -> u32 {
    all.iter().fold(register, |r, o| octet(r, *o))
}
/// The register after `n` octets of zeros.
#[must_use]
pub fn zeros(register: u32, n: usize) -> u32 {
    (0..n).fold(register, |r, _| octet(r, 0))
}
/// The register before `n` octets of zeros came: the inverse of [`zeros`].
#[must_use]
pub fn undo_zeros(register: u32, n: usize) -> u32 {
    (0..8 * n).fold(register, |r, _| if r >> 31 == 1 { ((r ^ GENERATOR) << 1) | 1 } else { r << 1 })
}

/// Rows of a linear map from `N` bits to 32: bit `i` of row `k` is set where result bit `k` depends on input bit `i`.
fn rows<const N: usize>(map: impl Fn(u64) -> u32) -> [Constant<Bits<N>>; 32] {
    let columns: Vec<u32> = (0..N).map(|i| map(1 << i)).collect();
    std::array::from_fn(|k| {
        let row = columns.iter().enumerate().fold(0, |row, (i, column)| row | u64::from(column >> k & 1) << i);
        Constant::new(row.to_bits())
    })
}
/// What eight octets add to a register of zeros.
#[must_use]
pub fn data_rows() -> [Constant<Bits<64>>; 32] {
    rows(|d| octets(0, &d.to_le_bytes()))
}
/// What a register becomes through a linear map of 32 bits, such as [`zeros`].
#[must_use]
pub fn register_rows(map: impl Fn(u32) -> u32) -> [Constant<Bits<32>>; 32] {
    rows(|d| map(u32::try_from(d).unwrap_or(0)))
}
