//! A guard between server and function, which sees that the server keeps to the letter of their interface.

use std::os::fd::OwnedFd;
use toe_vfio_user::message::{DmaMap, IrqAction, MAX_DATA};
use toe_vfio_user::server::{Backend, Irq, IrqSet, IrqSetData, Region};
use toe_vfio_user::Errno;

/// Calls another, after a look at whether the server may.
pub(crate) struct Checked<'a, B>(pub(crate) &'a mut B);

impl<B: Backend> Checked<'_, B> {
    fn check_access(&self, region: u32, offset: u64, bytes: usize, allowed: impl Fn(&Region) -> bool) {
        let region = &self.0.regions()[region as usize];
        assert!(allowed(region), "access to a region that does not allow it");
        assert!((1..=MAX_DATA as usize).contains(&bytes) && offset.checked_add(bytes as u64).expect("no overflow") <= region.size, "access outside");
    }
}

fn check_range(first: u64, size: u64) {
    assert!(size > 0 && first.checked_add(size - 1).is_some(), "range {first:#x}..+{size:#x}");
}

impl<B: Backend> Backend for Checked<'_, B> {
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
