//! The FCS modules alone, against the bit-serial division of IEEE 802.3 clause 3.2.9.

mod common;
mod mac_wire;

use common::{dut, random};
use mac_wire::{fcs_bit_by_bit, fcs_of, random_frame};
use rand::{Rng, RngCore};
use toe_hdl::mac::crc::{undo_zeros, zeros};
use toe_hdl::mac::fcs::{FcsCheck, FcsGenerate};

#[test]
fn zeros_are_undone() {
    let mut random = random(1);
    for n in 0..9 {
        for _ in 0..100 {
            let register = random.next_u32();
            assert_eq!(undo_zeros(zeros(register, n), n), register);
        }
    }
}

#[test]
fn the_bit_serial_division_agrees_with_crc32fast() {
    let mut random = random(2);
    for n in 1..300 {
        let frame = random_frame(&mut random, [0; 6], n);
        assert_eq!(fcs_bit_by_bit(&frame), fcs_of(&frame));
    }
}

#[test]
fn fcs_of_every_length_is_made() {
    let mut random = random(3);
    let mut dut = dut("fcs_generate", FcsGenerate::default());
    for length in 9..200 {
        let frame = random_frame(&mut random, [1; 6], length);
        let words = length.div_ceil(8);
        for (k, octets) in frame.chunks(8).enumerate() {
            let (tail, short) = (k + 1 == words, octets.len() <= 4);
            let mut word = [0; 8];
            let at = 4 * usize::from(short);
            word[at..at + octets.len()].copy_from_slice(octets);
            dut.set("data", u64::from_le_bytes(word));
            for (name, value) in [("valid", true), ("first", k == 0), ("tail", tail), ("half", tail && short)] {
                dut.set(name, u64::from(value));
            }
            dut.set("count", octets.len() as u64 % 4);
            dut.tick();
        }
        // Three cycles behind the last word, and then for as long as there is no other.
        for wait in 0..5 {
            dut.set("valid", 0);
            dut.set("tail", 0);
            if wait >= 2 {
                let fcs: [u8; 4] = std::array::from_fn(|i| ((dut.get("fcs") >> (8 * ((length + i) % 4))) & 0xFF) as u8);
                assert_eq!(fcs, fcs_bit_by_bit(&frame), "{length} octets");
            }
            dut.set("data", random.next_u64());
            dut.tick();
        }
    }
}

#[test]
fn fcs_of_every_length_is_checked() {
    let mut random = random(4);
    let mut dut = dut("fcs_check", FcsCheck::default());
    for length in 1..200 {
        for wrong in [false, true] {
            let mut octets = random_frame(&mut random, [1; 6], length);
            octets.extend(fcs_bit_by_bit(&octets));
            if wrong {
                let bit = random.random_range(0..8 * octets.len());
                octets[bit / 8] ^= 1 << (bit % 8);
            }
            for (name, value) in [("start", 1), ("in_frame", 0), ("full", 0), ("count", 0), ("data", random.next_u64())] {
                dut.set(name, value);
            }
            dut.tick();
            // A frame's last slot is never full: Terminate has a place in it.
            for k in 0..=octets.len() / 8 {
                let rest = &octets[8 * k..];
                let mut word = [0; 8];
                let n = rest.len().min(8);
                word[..n].copy_from_slice(&rest[..n]);
                let full = n == 8;
                for (name, value) in [("start", 0), ("in_frame", 1), ("full", u64::from(full)), ("count", n as u64 % 8), ("data", u64::from_le_bytes(word))] {
                    dut.set(name, value);
                }
                dut.tick();
            }
            dut.set("in_frame", 0);
            dut.tick();
            assert_eq!(dut.get("good"), u64::from(!wrong), "{length} octets");
        }
    }
}
