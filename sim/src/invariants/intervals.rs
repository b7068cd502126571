//! Sets of byte positions.

/// A set of positions on a stream, as disjoint intervals.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals(Vec<(i64, i64)>);

impl Intervals {
    /// Adds `start..end`.
    pub(super) fn add(&mut self, start: i64, end: i64) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        self.0.retain(|&(s, e)| {
            let apart = e < start || s > end;
            if !apart {
                start = start.min(s);
                end = end.max(e);
            }
            apart
        });
        self.0.push((start, end));
    }

    /// Whether all of `start..end` is in it.
    pub(super) fn holds(&self, start: i64, end: i64) -> bool {
        start >= end || self.0.iter().any(|&(s, e)| s <= start && end <= e)
    }

    /// How far it goes on from `start` without a hole.
    pub(super) fn reach(&self, start: i64) -> i64 {
        self.0.iter().find(|&&(s, e)| s <= start && start < e).map_or(start, |r| r.1)
    }

    /// Forgets what lies below `start`.
    pub(super) fn forget_below(&mut self, start: i64) {
        self.0.retain_mut(|r| {
            r.0 = r.0.max(start);
            r.0 < r.1
        });
    }
}
