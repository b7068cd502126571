//! Functions behind the server: one that keeps to the interface's letter, and a guard that sees that the server does.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use toe_vfio_user::message::{Area, DmaMap, IrqAction, MAX_DATA};
use toe_vfio_user::server::{Backend, Irq, IrqSet, IrqSetData, Mapping, Region};
use toe_vfio_user::Errno;

/// Calls another, after a look at whether the server may.
pub(crate) struct Checked<B>(pub(crate) B);

impl<B: Backend> Checked<B> {
    fn check_access(&self, region: u32, offset: u64, bytes: usize, allowed: impl Fn(&Region) -> bool) {
        let region = &self.0.regions()[region as usize];
        assert!(allowed(region), "access to a region that does not allow it");
        assert!((1..=MAX_DATA as usize).contains(&bytes) && offset.checked_add(bytes as u64).expect("no overflow") <= region.size, "access outside");
    }
}

fn check_range(first: u64, size: u64) {
    assert!(size > 0 && first.checked_add(size - 1).is_some(), "range {first:#x}..+{size:#x}");
}

impl<B: Backend> Backend for Checked<B> {
    fn regions(&self) -> &[Region] {
        self.0.regions()
    }
    fn irqs(&self) -> &[Irq] {
        self.0.irqs()
    }
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        self.check_access(region, offset, data.len(), |r| r.readable);
        self.0.region_read(region, offset, data)
    }
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.check_access(region, offset, data.len(), |r| r.writable);
        self.0.region_write(region, offset, data)
    }
    fn dma_map(&mut self, map: DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno> {
        check_range(map.iova, map.size);
        check_range(map.offset, map.size);
        self.0.dma_map(map, fd)
    }
    fn dma_unmap(&mut self, iova: u64, size: u64) -> Result<(), Errno> {
        check_range(iova, size);
        self.0.dma_unmap(iova, size)
    }
    fn dma_unmap_all(&mut self) -> Result<(), Errno> {
        self.0.dma_unmap_all()
    }
    fn set_irqs(&mut self, set: IrqSet) -> Result<(), Errno> {
        let irq = self.0.irqs()[set.index as usize];
        let end = set.start.checked_add(set.count).expect("no overflow");
        let entries = match &set.data {
            IrqSetData::None => set.count as usize,
            IrqSetData::Bool(which) => which.len(),
            IrqSetData::Eventfds(fds) => fds.len(),
        };
        assert!(end <= irq.count && entries == set.count as usize);
        assert!(set.count > 0 || set.start == 0 && matches!((set.action, &set.data), (IrqAction::Trigger, IrqSetData::None)));
        assert!(irq.maskable || set.action == IrqAction::Trigger);
        self.0.set_irqs(set)
    }
    fn reset(&mut self) -> Result<(), Errno> {
        self.0.reset()
    }
}

/// Regions of bytes, mappings that are only kept, eventfds too.
pub(crate) struct Simple {
    regions: Vec<Region>,
    bytes: Vec<Vec<u8>>,
    irqs: Vec<Irq>,
    mappings: BTreeMap<u64, (u64, Option<OwnedFd>)>,
    eventfds: BTreeMap<(u32, u32), OwnedFd>,
}

impl Default for Simple {
    fn default() -> Self {
        let region = |size: u64, readable: bool, writable: bool| Region { size, readable, writable, mapping: None };
        let fd = super::client::memory(rustix::fs::SealFlags::SHRINK);
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
