//! Peers' addresses that fill one corner of the flow table: who knows HASH_KEY can choose them.

use crate::model::{hash, hash_bits, secret, Tuple};
use toe_contract::FLOWS;

/// How many are given.
const MOST: usize = 32;

/// Differences of two addresses that do not show in the hash, 0 among them: the hash is linear.
pub(super) fn differences(key: u32) -> Vec<u32> {
    let (secret, bits) = (secret(key), hash_bits(u16::try_from(FLOWS).unwrap_or(u16::MAX)));
    // Pairs of an address and its hash; each has a highest bit of the hash that no later one has, or hash 0.
    let mut rest: Vec<(u32, u32)> = (0..32).map(|k| 1 << k).map(|ip| (ip, hash(secret, &Tuple { remote_ip: ip, ..Tuple::default() }, bits))).collect();
    for bit in 0..bits {
        let Some(place) = rest.iter().position(|r| r.1 >> bit & 1 == 1) else { continue };
        let taken = rest.swap_remove(place);
        rest.iter_mut().filter(|r| r.1 >> bit & 1 == 1).for_each(|r| *r = (r.0 ^ taken.0, r.1 ^ taken.1));
    }
    let sums = (0..1_usize << rest.len().min(16)).map(|which| rest.iter().enumerate().filter(|(k, _)| which >> k & 1 == 1).fold(0, |sum, (_, r)| sum ^ r.0));
    sums.take(MOST).collect()
}
