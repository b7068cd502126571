//! Which bits are certainly assigned at a point of a kernel: against latches, and reading too early.

use super::value::ones;
use num_bigint::BigUint;
use std::collections::{BTreeSet, HashMap};

/// For each signal the bits assigned on every path to this point. A signal assigned on some paths only is
/// here too, with the bits that are on all.
#[derive(Debug, Clone, Default)]
pub(super) struct Coverage(HashMap<String, BigUint>);

impl Coverage {
    pub(super) fn assign(&mut self, key: &str, at: usize, width: usize) {
        match self.0.get_mut(key) {
            Some(bits) => *bits |= ones(width) << at,
            None => {
                self.0.insert(key.to_owned(), ones(width) << at);
            }
        }
    }

    /// Whether a slice is assigned on every path.
    pub(super) fn covers(&self, key: &str, at: usize, width: usize) -> bool {
        let needed = ones(width) << at;
        self.0.get(key).is_some_and(|bits| bits & &needed == needed)
    }

    /// Whether it is assigned on some path.
    pub(super) fn touches(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// What holds after a choice between these ways.
    pub(super) fn merge(ways: &[Coverage]) -> Coverage {
        let keys: BTreeSet<&String> = ways.iter().flat_map(|w| w.0.keys()).collect();
        let common = |key: &String| {
            let bits = ways.iter().map(|w| w.0.get(key).cloned().unwrap_or_default());
            bits.reduce(|a, b| a & b).unwrap_or_default()
        };
        Coverage(keys.into_iter().map(|key| (key.clone(), common(key))).collect())
    }
}
