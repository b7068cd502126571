//! Bus addresses, and who has which.

use core::fmt;
use core::ops::RangeInclusive;
use std::collections::BTreeMap;

/// An address as the device sends it out: an I/O virtual address behind an IOMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Iova(pub u64);

impl fmt::Display for Iova {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iova {:#x}", self.0)
    }
}

/// Where bus addresses are looked for if nobody tells: below and above the interrupt window, 39 bits wide, as the narrowest IOMMU.
pub(crate) const RANGES: [RangeInclusive<u64>; 2] = [0x10_0000..=0xfedf_ffff, 0x1_0000_0000..=0x7f_ffff_ffff];

/// Gives out aligned ranges of bus addresses, lowest first, and takes them back.
#[derive(Debug)]
pub struct IovaAllocator {
    /// Free ranges: first address -> bytes. Disjoint, not adjacent.
    free: BTreeMap<u64, u64>,
}

impl IovaAllocator {
    /// An allocator over these ranges; the page at address 0 is never given out.
    pub fn new(ranges: &[RangeInclusive<u64>]) -> Self {
        let mut all = IovaAllocator { free: BTreeMap::new() };
        for r in ranges {
            let first = (*r.start()).max(0x1000);
            if *r.end() > first {
                all.give_back(Iova(first), r.end() - first);
            }
        }
        all
    }

    /// An allocator over `bytes` from `first` on.
    pub fn over(first: Iova, bytes: u64) -> Self {
        IovaAllocator { free: BTreeMap::from([(first.0, bytes)]) }
    }

    /// A range of `bytes` whose address is a multiple of `align` (a power of two).
    pub fn take(&mut self, bytes: u64, align: u64) -> Option<Iova> {
        let (first, size, start) = self.free.iter().find_map(|(&first, &size)| {
            let start = first.checked_next_multiple_of(align)?;
            (start.checked_add(bytes)? <= first + size).then_some((first, size, start))
        })?;
        self.free.remove(&first);
        if start > first {
            self.free.insert(first, start - first);
        }
        if start + bytes < first + size {
            self.free.insert(start + bytes, first + size - start - bytes);
        }
        Some(Iova(start))
    }

    /// Takes a range back.
    pub fn give_back(&mut self, iova: Iova, bytes: u64) {
        let (mut first, mut size) = (iova.0, bytes);
        if let Some((&before, &n)) = self.free.range(..first).next_back() {
            if before + n == first {
                self.free.remove(&before);
                (first, size) = (before, n + size);
            }
        }
        if let Some(n) = self.free.remove(&(first + size)) {
            size += n;
        }
        self.free.insert(first, size);
    }

    /// Bytes not given out.
    pub fn free_bytes(&self) -> u64 {
        self.free.values().sum()
    }
}
