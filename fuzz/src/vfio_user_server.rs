//! What a client may send to the vfio-user server: messages with descriptors, well made or not, and noise.
//!
//! Checked beside "no panic, no hang": the function behind the server is only asked for what its interface promises; every command is
//! answered once, in order, with its number, as long as the stream can be followed; no descriptor stays open.

use crate::session::{memory, session};
use rustix::fs::SealFlags;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use toe_vfio_user::message::{Area, DmaMap};
use toe_vfio_user::server::{Backend, Irq, IrqSet, IrqSetData, Mapping, Region};
use toe_vfio_user::Errno;

/// Serves a client that sends what the input says, with a function that only keeps what it is given.
///
/// # Panics
/// The server has done what it must not.
pub fn run(data: &[u8]) {
    let before = lowest_free();
    session(data, &mut Simple::default());
    assert_eq!(lowest_free(), before, "a descriptor has been left open");
}

fn lowest_free() -> RawFd {
    File::open("/dev/null").expect("/dev/null").as_raw_fd()
}

/// Regions of bytes, mappings that are only kept, eventfds too.
struct Simple {
    regions: Vec<Region>,
    bytes: Vec<Vec<u8>>,
    irqs: Vec<Irq>,
    mappings: BTreeMap<u64, (u64, Option<OwnedFd>)>,
    eventfds: BTreeMap<(u32, u32), OwnedFd>,
}

impl Default for Simple {
    fn default() -> Self {
        let region = |size: u64, readable: bool, writable: bool| Region { size, readable, writable, mapping: None };
        let fd = memory(0x6000, SealFlags::SHRINK);
        let mapping = Mapping { fd, offset: 4096, areas: vec![Area { offset: 0x1000, size: 0x1000 }, Area { offset: 0x3000, size: 0x1000 }] };
        let regions = vec![
            Region { mapping: Some(mapping), ..region(0x4000, true, true) },
            region(0, false, false),
            region(0x1001, true, false),
            region(0x800, false, true),
            region(0, true, true),
            region(1, true, true),
            region(0, true, false),
            region(0x1000, true, true),
        ];
        let bytes = regions.iter().map(|r| vec![0; usize::try_from(r.size).unwrap_or(0)]).collect();
        let irqs = [(1, true), (0, false), (20, false), (1, true), (0, true)].map(|(count, maskable)| Irq { count, maskable }).into();
        Simple { regions, bytes, irqs, mappings: BTreeMap::new(), eventfds: BTreeMap::new() }
    }
}

impl Simple {
    fn at(&mut self, region: u32, offset: u64, count: usize) -> &mut [u8] {
        let first = usize::try_from(offset).expect("an offset inside a region");
        &mut self.bytes[region as usize][first..][..count]
    }
}

impl Backend for Simple {
    fn regions(&self) -> &[Region] {
        &self.regions
    }
    fn irqs(&self) -> &[Irq] {
        &self.irqs
    }
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        data.copy_from_slice(self.at(region, offset, data.len()));
        Ok(())
    }
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.at(region, offset, data.len()).copy_from_slice(data);
        // A function may refuse what is written.
        data.first().filter(|b| **b != 0xee).map(|_| ()).ok_or(Errno::IO)
    }
    fn dma_map(&mut self, map: DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno> {
        let last = map.iova + (map.size - 1);
        if self.mappings.range(..=last).next_back().is_some_and(|(first, (size, _))| first + (size - 1) >= map.iova) {
            return Err(Errno::EXIST);
        }
        self.mappings.insert(map.iova, (map.size, fd));
        Ok(())
    }
    fn dma_unmap(&mut self, iova: u64, size: u64) -> Result<(), Errno> {
        match self.mappings.get(&iova) {
            Some((there, _)) if *there == size => {
                self.mappings.remove(&iova);
                Ok(())
            }
            _ => Err(Errno::NOENT),
        }
    }
    fn dma_unmap_all(&mut self) -> Result<(), Errno> {
        self.mappings.clear();
        Ok(())
    }
    fn set_irqs(&mut self, set: IrqSet) -> Result<(), Errno> {
        if let IrqSetData::Eventfds(fds) = set.data {
            for (k, fd) in (set.start..).zip(fds) {
                match fd {
                    Some(fd) => self.eventfds.insert((set.index, k), fd),
                    None => self.eventfds.remove(&(set.index, k)),
                };
            }
        }
        Ok(())
    }
    fn reset(&mut self) -> Result<(), Errno> {
        self.bytes.iter_mut().for_each(|b| b.fill(0));
        self.eventfds.clear();
        Ok(())
    }
}
