//! When the flow table has no room for a tuple: by chance, and by intent.

use crate::common::Random;
use rand::Rng;
use toe_hdl::receive::lookup::HASH_BITS;

/// Differences of two tuples that do not show in their hash: the hash is linear, so there are many for who knows the secret.
pub(crate) fn unseen_differences(secret: u128, count: usize) -> Vec<u128> {
    let window = |j: usize| secret >> (32 - j) & ((1 << 96) - 1);
    let hash = |tuple: u128| (0..HASH_BITS).fold(0u32, |hash, j| hash << 1 | (window(j) & tuple).count_ones() & 1);
    // Gauss: hashes with different leading bits, and what gives them.
    let mut rows: Vec<(u32, u128)> = vec![];
    let mut unseen = vec![];
    for bit in 0..96 {
        let mut row = (hash(1 << bit), 1u128 << bit);
        for known in &rows {
            if row.0 ^ known.0 < row.0 {
                row = (row.0 ^ known.0, row.1 ^ known.1);
            }
        }
        if row.0 == 0 {
            unseen.push(row.1);
        } else {
            rows.push(row);
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
        }
    }
    unseen.truncate(count);
    unseen
}

/// The chance that an insertion finds its four slots taken, with all flows in use and tuples that come and go at random. A slot of memory `k`
/// is taken with `p_k = r q_k / (1 + r q_k)`, where `r` is flows a slot and `q_k` the share of insertions that get as far as that memory; besides, a
/// tuple whose hash is that of one in the last memory finds the other three still taken once in four.
pub(crate) fn chance_of_refusal(index_bits: usize, flows: usize) -> f64 {
    let slots = (1u64 << index_bits) as f64;
    let (mut reach, mut last) = (1.0, 0.0);
    for _ in 0..4 {
        let load = flows as f64 / slots * reach;
        last = load / (1.0 + load);
        reach *= last;
    }
    reach + last * slots / 4.0 / (1u64 << (2 * index_bits - 1)) as f64
}

/// Insertions of so many that are refused by a table in plain Rust, kept full.
pub(crate) fn refusals(index_bits: usize, flows: usize, insertions: u32, random: &mut Random) -> u32 {
    let slots = 1 << index_bits;
    let (mut taken, mut used, mut refused) = (vec![false; 4 * slots], Vec::<usize>::new(), 0);
    for _ in 0..insertions {
        if used.len() == flows {
            taken[used.swap_remove(random.random_range(0..flows))] = false;
        }
        let (first, stride) = (random.random_range(0..slots), random.random_range(0..slots) | 1);
        match (0..4).map(|k| k * slots + (first + k * stride) % slots).find(|slot| !taken[*slot]) {
            Some(slot) => {
                taken[slot] = true;
                used.push(slot);
            }
            None => refused += 1,
        }
    }
    refused
}
