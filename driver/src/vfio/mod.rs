//! Kernel VFIO: the device bound to `vfio-pci`, its BAR mapped, its MSI-X vector an eventfd.
//!
//! Needs an IOMMU and the right to open `/dev/vfio/<group>`; or, with the cargo feature `iommufd`, `/dev/iommu` and `/dev/vfio/devices/vfioN`. Facts of the kernel's side that this file is written to:
//! bus mastering is off after open and after every reset; `region_read` of the crate swallows errors, so configuration space is read with
//! `pread`; so does its `reset`; 0xfee0_0000 to 0xfeef_ffff is the interrupt window of x86 and must not be mapped.

mod kernel;

use crate::bus::{Bus, BusError, Waker};
use crate::interrupt::Interrupt;
use crate::sysfs::Sysfs;
use crate::window::{check, Windows};
use crate::{Iova, Memory, Nanoseconds};
use core::ops::RangeInclusive;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;
use toe_contract::register::BAR_SIZE;
use vfio_bindings::bindings::vfio::{VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_REGION_INFO_FLAG_MMAP};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioError, VfioOps, VfioRegionInfoCap};

/// PCI command register, and its bits for memory space and bus mastering (PCI 3.0 section 6.2.2).
const COMMAND: u64 = 4;
const MEMORY_SPACE_AND_BUS_MASTER: u16 = 0x6;

/// A PCI function behind kernel VFIO.
pub struct VfioBus {
    windows: Windows,
    // Before `ops`: the device must go before its container.
    device: VfioDevice,
    ops: Arc<dyn VfioOps>,
    interrupt: Interrupt,
    opened: Instant,
    ranges: Vec<RangeInclusive<u64>>,
    bdf: String,
}

impl VfioBus {
    /// Opens the function with that address (`0000:01:00.0`), which must be bound to `vfio-pci`, by its group.
    ///
    /// # Errors
    /// Says what is missing: the function, its binding, the group's permission, an IOMMU.
    pub fn open(bdf: &str) -> Result<VfioBus, BusError> {
        let sysfs = Sysfs::default();
        let group = sysfs.openable(bdf)?;
        let container = Arc::new(VfioContainer::new(None).map_err(vfio("opening the VFIO container", bdf))?);
        let device = VfioDevice::new(&sysfs.folder(bdf)?, container.clone(), true).map_err(vfio("opening the VFIO device", bdf))?;
        let ranges = kernel::iova_ranges(&*container).map_err(asking_for_ranges)?.unwrap_or_else(|| crate::iova::RANGES.to_vec());
        tracing::info!(bdf, group, ?ranges, "VFIO device open");
        VfioBus::over(bdf, device, container, ranges)
    }

    /// The same by iommufd (Linux 6.2), without a group.
    ///
    /// # Errors
    /// Says what is missing: the function, its binding, iommufd.
    #[cfg(feature = "iommufd")]
    pub fn open_by_iommufd(bdf: &str) -> Result<VfioBus, BusError> {
        let sysfs = Sysfs::default();
        sysfs.openable_by_iommufd(bdf)?;
        let error =
            |e: iommufd_ioctls::IommufdError| BusError::System { what: format!("opening iommufd for {bdf}"), source: std::io::Error::other(e.to_string()) };
        let iommufd = Arc::new(iommufd_ioctls::IommuFd::new().map_err(error)?);
        let space = Arc::new(vfio_ioctls::VfioIommufd::new(iommufd.clone(), None, None).map_err(vfio("an address space for DMA", bdf))?);
        let device = VfioDevice::new(&sysfs.folder(bdf)?, space.clone(), true).map_err(vfio("opening the VFIO device", bdf))?;
        let ranges = kernel::iommufd_ranges(&*iommufd, space.ioas().id()).map_err(asking_for_ranges)?;
        tracing::info!(bdf, ?ranges, "VFIO device open by iommufd");
        VfioBus::over(bdf, device, space, ranges)
    }

    fn over(bdf: &str, device: VfioDevice, ops: Arc<dyn VfioOps>, ranges: Vec<RangeInclusive<u64>>) -> Result<VfioBus, BusError> {
        let windows = map_bar(&device)?;
        let bus = VfioBus { windows, device, ops, interrupt: Interrupt::new()?, opened: Instant::now(), ranges, bdf: bdf.to_owned() };
        bus.become_master()?;
        bus.device.enable_msix(vec![bus.interrupt.device()]).map_err(vfio("enabling MSI-X", bdf))?;
        Ok(bus)
    }

    fn become_master(&self) -> Result<(), BusError> {
        let mut bytes = [0; 2];
        self.config(COMMAND, &mut bytes, false)?;
        bytes = (u16::from_le_bytes(bytes) | MEMORY_SPACE_AND_BUS_MASTER).to_le_bytes();
        self.config(COMMAND, &mut bytes, true)
    }
    fn config(&self, at: u64, bytes: &mut [u8], write: bool) -> Result<(), BusError> {
        self.region(VFIO_PCI_CONFIG_REGION_INDEX, at, bytes, write)
    }
    fn region(&self, region: u32, at: u64, bytes: &mut [u8], write: bool) -> Result<(), BusError> {
        let offset = self.device.get_region_offset(region) + at;
        // SAFETY: the descriptor is the device's, open as long as `self`.
        let fd = unsafe { BorrowedFd::borrow_raw(self.device.as_raw_fd()) };
        let done = if write { rustix::io::pwrite(fd, bytes, offset) } else { rustix::io::pread(fd, &mut *bytes, offset) };
        match done {
            Ok(n) if n == bytes.len() => Ok(()),
            Ok(n) => Err(BusError::Gone(format!("access to region {region} at {at:#x}: expected {} bytes, found {n}", bytes.len()))),
            Err(e) => Err(BusError::System { what: format!("access to region {region} at {at:#x}"), source: e.into() }),
        }
    }
}

fn vfio<'a>(what: &'static str, bdf: &'a str) -> impl Fn(vfio_ioctls::VfioError) -> BusError + 'a {
    move |e| BusError::System { what: format!("{what} of {bdf}"), source: std::io::Error::other(e.to_string()) }
}

fn asking_for_ranges(source: std::io::Error) -> BusError {
    BusError::System { what: "asking the IOMMU for its bus addresses".into(), source }
}

/// Maps BAR 0, or those parts of it that the kernel lets us map.
fn map_bar(device: &VfioDevice) -> Result<Windows, BusError> {
    let size = device.get_region_size(VFIO_PCI_BAR0_REGION_INDEX);
    if size < u64::from(BAR_SIZE) {
        return Err(BusError::Gone(format!("BAR 0: expected at least {BAR_SIZE:#x} bytes, found {size:#x}")));
    }
    if device.get_region_flags(VFIO_PCI_BAR0_REGION_INDEX) & VFIO_REGION_INFO_FLAG_MMAP == 0 {
        return Ok(Windows::none());
    }
    let sparse = device.get_region_caps(VFIO_PCI_BAR0_REGION_INDEX).into_iter().find_map(|c| match c {
        VfioRegionInfoCap::SparseMmap(s) => Some(s.areas.iter().map(|a| (a.offset, a.size)).collect::<Vec<_>>()),
        _ => None,
    });
    // SAFETY: the descriptor is the device's, and duplicated before anything can close it.
    let fd = unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) };
    let file = File::from(fd.try_clone_to_owned().map_err(|source| BusError::System { what: "mapping BAR 0".into(), source })?);
    let base = device.get_region_offset(VFIO_PCI_BAR0_REGION_INDEX);
    Windows::map(&file, base, &sparse.unwrap_or_else(|| vec![(0, size)]))
}

impl Bus for VfioBus {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        check(offset)?;
        if let Some(value) = self.windows.read(offset) {
            return Ok(value);
        }
        let mut bytes = [0; 4];
        self.region(VFIO_PCI_BAR0_REGION_INDEX, offset.into(), &mut bytes, false)?;
        Ok(u32::from_le_bytes(bytes))
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        check(offset)?;
        if self.windows.write(offset, value) {
            return Ok(());
        }
        self.region(VFIO_PCI_BAR0_REGION_INDEX, offset.into(), &mut value.to_le_bytes(), true)
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        // SAFETY: `Memory` is only accessed by atomics, and a region keeps it mapped until it has been unmapped from the device.
        unsafe { self.ops.vfio_dma_map(iova.0, memory.len(), memory.as_ptr()) }.map_err(|error| {
            let refused = matches!(&error, VfioError::IommuDmaMap(e) if e.errno() == libc::ENOMEM);
            let mend = if refused { Sysfs::default().why_not_locked() } else { String::new() };
            BusError::Mapping { iova, bytes: memory.len(), why: format!("{error}{mend}") }
        })
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.ops.vfio_dma_unmap(iova.0, bytes).map_err(|e| BusError::Mapping { iova, bytes, why: e.to_string() })
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        self.ranges.clone()
    }
    fn reset(&self) -> Result<(), BusError> {
        kernel::reset(&self.device).map_err(|source| BusError::System { what: format!("reset of {}", self.bdf), source })?;
        self.become_master()
    }
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        self.interrupt.wait(until - self.now(), None).map(|_| ())
    }
    fn waker(&self) -> Waker {
        self.interrupt.waker()
    }
    fn now(&self) -> Nanoseconds {
        self.opened.elapsed().into()
    }
    fn relax(&self) {
        std::thread::yield_now();
    }
}
