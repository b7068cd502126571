//! What a client lets the function reach: ranges of bus addresses, each a part of a file that it has handed over.
//!
//! A file is mapped into our memory once, whole, however many ranges show parts of it: a vIOMMU shows a guest's memory page by page.

use rustix::fs::fstat;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use toe_driver::{BusError, Memory};
use toe_vfio_user::message::DmaMap;
use toe_vfio_user::Errno;

/// The most ranges of one client, as many as the kernel's VFIO allows by default (`dma_entry_limit`).
const MOST: usize = 65_535;

/// Device and number of a file, and whether it is mapped for writing.
type FileKey = (u64, u64, bool);

struct File {
    memory: Memory,
    ranges: usize,
}

struct Range {
    size: u64,
    file: Option<FileKey>,
}

/// What is to be mapped for the device: `memory` from `offset` on.
pub(super) struct Part {
    pub(super) memory: Memory,
    pub(super) offset: usize,
    pub(super) size: usize,
}

/// The table of one client.
#[derive(Default)]
pub(super) struct Mappings {
    ranges: BTreeMap<u64, Range>,
    files: BTreeMap<FileKey, File>,
}

/// Why a file cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub(super) enum MappingError {
    /// What the client is told is all there is to say.
    #[error("{0}")]
    Errno(#[from] Errno),
    /// It ends too early.
    #[error("expected a file of {end:#x} bytes at least, found {length:#x}")]
    Short {
        /// Bytes of it.
        length: i64,
        /// Where the range ends in it.
        end: usize,
    },
    /// It is not to be mapped.
    #[error(transparent)]
    Refused(#[from] BusError),
}

impl MappingError {
    /// What the client is told.
    pub(super) fn errno(&self) -> Errno {
        match self {
            MappingError::Errno(errno) => *errno,
            MappingError::Short { .. } | MappingError::Refused(_) => Errno::INVAL,
        }
    }
}

impl Mappings {
    /// Takes a range into the table. `None`: it cannot be reached, as memory behind another device cannot; accesses to it fault.
    pub(super) fn add(&mut self, map: &DmaMap, fd: Option<OwnedFd>) -> Result<Option<Part>, MappingError> {
        let last = map.size.checked_sub(1).and_then(|more| map.iova.checked_add(more)).ok_or(Errno::INVAL)?;
        if self.ranges.range(..=last).next_back().is_some_and(|(iova, range)| iova + (range.size - 1) >= map.iova) {
            return Err(Errno::EXIST.into());
        }
        if self.ranges.len() >= MOST {
            return Err(Errno::NOSPC.into());
        }
        let found = match fd {
            Some(fd) => Some(self.part(map, fd)?),
            None => None,
        };
        let (file, part) = found.unzip();
        self.ranges.insert(map.iova, Range { size: map.size, file });
        Ok(part)
    }

    fn part(&mut self, map: &DmaMap, fd: OwnedFd) -> Result<(FileKey, Part), MappingError> {
        let pages = [map.iova, map.size, map.offset].iter().all(|at| at.is_multiple_of(crate::root_complex::PAGE));
        let (Ok(offset), Ok(size), true) = (usize::try_from(map.offset), usize::try_from(map.size), pages) else { return Err(Errno::INVAL.into()) };
        let end = offset.checked_add(size).ok_or(Errno::INVAL)?;
        let stat = fstat(&fd)?;
        let key = (stat.st_dev, stat.st_ino, map.writable);
        let memory = match self.files.get(&key).filter(|file| file.memory.len() >= end) {
            Some(file) => file.memory.clone(),
            // The first part of this file, or it has grown: what is mapped of it stays as it is.
            None => whole(fd, stat.st_size, end, map.writable)?,
        };
        let file = self.files.entry(key).or_insert_with(|| File { memory: memory.clone(), ranges: 0 });
        file.memory = memory.clone();
        file.ranges += 1;
        Ok((key, Part { memory, offset, size }))
    }

    /// Takes all ranges inside this one out of the table, and gives those that could be reached. As the kernel's VFIO does (`VFIO_IOMMU_UNMAP_DMA`),
    /// it takes any number of them, none as well, but does not cut one.
    pub(super) fn remove(&mut self, iova: u64, size: u64) -> Result<Vec<(u64, u64)>, Errno> {
        let last = size.checked_sub(1).and_then(|more| iova.checked_add(more)).ok_or(Errno::INVAL)?;
        let end_of = |(at, range): (&u64, &Range)| at + (range.size - 1);
        let before = self.ranges.range(..iova).next_back().map(end_of);
        let behind = self.ranges.range(iova..=last).next_back().map(end_of);
        if before.is_some_and(|end| end >= iova) || behind.is_some_and(|end| end > last) {
            return Err(Errno::INVAL);
        }
        let inside: Vec<u64> = self.ranges.range(iova..=last).map(|(at, _)| *at).collect();
        let removed = inside.into_iter().filter_map(|at| self.ranges.remove(&at).map(|range| (at, range)));
        let mut reached = Vec::new();
        for (at, range) in removed {
            let Some(key) = range.file else { continue };
            reached.push((at, range.size));
            if let Some(file) = self.files.get_mut(&key) {
                file.ranges -= 1;
                if file.ranges == 0 {
                    self.files.remove(&key);
                }
            }
        }
        Ok(reached)
    }

    /// Takes the range back that has just been added.
    pub(super) fn undo(&mut self, iova: u64, size: u64) {
        // It is there, and whole: it has just been put there.
        let _ = self.remove(iova, size);
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) {
        *self = Mappings::default();
    }
}

/// A file, whole, that reaches to `end` at least.
fn whole(fd: OwnedFd, length: i64, end: usize, writable: bool) -> Result<Memory, MappingError> {
    let found = usize::try_from(length).ok().filter(|length| *length >= end).ok_or(MappingError::Short { length, end })?;
    // A part of a page at the end is nobody's.
    Ok(Memory::shared(fd, 0, found - found % toe_driver::memory::PAGE, writable)?)
}
