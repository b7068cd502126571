//! The flow table: which flow a 4-tuple belongs to, and whether there is room for another (docs/engine.md, "The flow table").

use super::flow::Tuple;
use std::collections::{HashMap, HashSet};

/// Memories of the table; a tuple lies in one slot of one of them.
const MEMORIES: u32 = 4;
/// Steps of the secret, of which the last 128 each give a bit.
const STEPS: u32 = 192;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Table {
    secret: u128,
    /// Bits of a slot's number in its memory.
    bits: u32,
    flows: HashMap<Tuple, (u16, Slot)>,
    used: HashSet<Slot>,
}

/// A memory, and the number in it.
type Slot = (u32, u32);

/// The secret that a key makes.
pub fn secret(key: u32) -> u128 {
    let (mut x, mut y, mut bits) = (0x243f_6a88_u32, 0x85a3_08d3_u32, 0_u128);
    for left in (1..=STEPS).rev() {
        bits = bits << 1 | u128::from(x >> 31);
        (x, y) = (y ^ (x.rotate_left(1) & x.rotate_left(8)) ^ x.rotate_left(2) ^ key ^ left, x);
    }
    bits
}

/// A tuple's hash: bit `j` is the parity of the tuple and the secret from its bit `j` on, highest bit first.
pub fn hash(secret: u128, tuple: &Tuple, bits: u32) -> u32 {
    let (remote, local) = (u128::from(tuple.remote_ip), u128::from(tuple.local_ip));
    let word = remote << 64 | local << 32 | u128::from(tuple.remote_port) << 16 | u128::from(tuple.local_port);
    (0..bits).fold(0, |hash, j| hash | ((secret >> (32 - j) & word).count_ones() & 1) << j)
}

impl Table {
    /// An empty one for so many flows.
    pub(super) fn new(flows: u16, key: u32) -> Table {
        Table { secret: secret(key), bits: hash_bits(flows) / 2, ..Table::default() }
    }

    pub(super) fn get(&self, tuple: &Tuple) -> Option<u16> {
        self.flows.get(tuple).map(|found| found.0)
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// False: it is there already, or has no room.
    pub(super) fn insert(&mut self, tuple: Tuple, n: u16) -> bool {
        if self.flows.contains_key(&tuple) {
            return false;
        }
        let hash = hash(self.secret, &tuple, 2 * self.bits);
        let (mask, stride) = ((1 << self.bits) - 1, hash >> self.bits | 1);
        let mut slots = (0..MEMORIES).map(|k| (k, (hash & mask).wrapping_add(k * stride) & mask));
        let Some(slot) = slots.find(|slot| !self.used.contains(slot)) else { return false };
        self.used.insert(slot);
        self.flows.insert(tuple, (n, slot));
        true
    }

    pub(super) fn remove(&mut self, tuple: &Tuple) {
        if let Some((_, slot)) = self.flows.remove(tuple) {
            self.used.remove(&slot);
        }
    }
}

/// Bits of the hash with so many flows: twice those of a slot's number.
pub fn hash_bits(flows: u16) -> u32 {
    2 * (u32::from(flows).next_power_of_two().ilog2() + 2)
}
