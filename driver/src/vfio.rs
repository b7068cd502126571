//! Kernel VFIO: the device bound to `vfio-pci`, its BAR mapped, its MSI-X vector an eventfd.
//!
//! Needs an IOMMU and the right to open `/dev/vfio/<group>`. Facts of the kernel's side that this file is written to:
//! bus mastering is off after open and after every reset; `region_read` of the crate swallows errors, so configuration space is read with
//! `pread`; 0xfee0_0000 to 0xfeef_ffff is the interrupt window of x86 and must not be mapped.

use crate::bus::{Bus, BusError, Waker};
use crate::{Iova, Memory, Nanoseconds};
use core::ops::RangeInclusive;
use memmap2::{MmapOptions, MmapRaw};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{fence, AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Instant;
use toe_contract::register::BAR_SIZE;
use vfio_bindings::bindings::vfio::{VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_REGION_INFO_FLAG_MMAP};
use vfio_ioctls::{VfioContainer, VfioDevice, VfioOps, VfioRegionInfoCap};
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

/// PCI command register, and its bits for memory space and bus mastering (PCI 3.0 section 6.2.2).
const COMMAND: u64 = 4;
const MEMORY_SPACE_AND_BUS_MASTER: u16 = 0x6;

/// A PCI function behind kernel VFIO.
pub struct VfioBus {
    windows: Vec<Window>,
    // Before `ops`: the device must go before its container.
    device: VfioDevice,
    ops: Arc<dyn VfioOps>,
    interrupt: EventFd,
    wake: Arc<EventFd>,
    opened: Instant,
}

/// A part of the BAR that can be mapped.
struct Window {
    offset: u32,
    map: MmapRaw,
}

impl VfioBus {
    /// Opens the function with that address (`0000:01:00.0`), which must be bound to `vfio-pci`.
    ///
    /// # Errors
    /// Says what is missing: the function, its binding, the group's permission, an IOMMU.
    pub fn open(bdf: &str) -> Result<VfioBus, BusError> {
        let path = sysfs(bdf)?;
        let vfio = |what: &'static str| {
            move |e: vfio_ioctls::VfioError| BusError::System { what: format!("{what} of {bdf}"), source: std::io::Error::other(e.to_string()) }
        };
        let ops: Arc<dyn VfioOps> = Arc::new(VfioContainer::new(None).map_err(vfio("opening the VFIO container"))?);
        let device = VfioDevice::new(&path, ops.clone(), true).map_err(vfio("opening the VFIO device"))?;
        let event = || EventFd::new(EFD_NONBLOCK).map_err(|source| BusError::System { what: "eventfd".into(), source });
        let (interrupt, wake) = (event()?, Arc::new(event()?));
        let windows = map_bar(&device)?;
        let bus = VfioBus { windows, device, ops, interrupt, wake, opened: Instant::now() };
        bus.become_master()?;
        bus.device.enable_msix(vec![&bus.interrupt]).map_err(vfio("enabling MSI-X"))?;
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
    /// The register in a mapped window, if it lies in one.
    fn mapped(&self, offset: u32) -> Option<&AtomicU32> {
        let at = |w: &Window| offset.checked_sub(w.offset).map(|at| at as usize).filter(|at| at + 4 <= w.map.len());
        let (window, at) = self.windows.iter().find_map(|w| at(w).map(|at| (w, at)))?;
        // SAFETY: inside the mapping and aligned (checked by the callers); registers are only touched by atomics.
        Some(unsafe { AtomicU32::from_ptr(window.map.as_mut_ptr().add(at).cast()) })
    }
}

/// The function's folder in sysfs.
fn sysfs(bdf: &str) -> Result<PathBuf, BusError> {
    let path = Path::new("/sys/bus/pci/devices").join(bdf);
    let parts: Vec<&str> = bdf.split([':', '.']).collect();
    let hex = |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_hexdigit());
    if !matches!(parts[..], [d, b, s, f] if hex(d, 4) && hex(b, 2) && hex(s, 2) && hex(f, 1)) {
        return Err(BusError::Gone(format!("a PCI address is expected in the form 0000:01:00.0, found {bdf:?}")));
    }
    if !path.exists() {
        return Err(BusError::Gone(format!("there is no PCI function {bdf} ({} does not exist)", path.display())));
    }
    let driver = std::fs::read_link(path.join("driver")).ok().and_then(|d| Some(d.file_name()?.to_string_lossy().into_owned()));
    if driver.as_deref() != Some("vfio-pci") {
        return Err(BusError::Gone(format!("{bdf} is expected to be bound to vfio-pci, found {}", driver.as_deref().unwrap_or("no driver"))));
    }
    Ok(path)
}

/// Maps BAR 0, or those parts of it that the kernel lets us map.
fn map_bar(device: &VfioDevice) -> Result<Vec<Window>, BusError> {
    let size = device.get_region_size(VFIO_PCI_BAR0_REGION_INDEX);
    if size < u64::from(BAR_SIZE) {
        return Err(BusError::Gone(format!("BAR 0: expected at least {BAR_SIZE:#x} bytes, found {size:#x}")));
    }
    if device.get_region_flags(VFIO_PCI_BAR0_REGION_INDEX) & VFIO_REGION_INFO_FLAG_MMAP == 0 {
        return Ok(Vec::new());
    }
    let sparse = device.get_region_caps(VFIO_PCI_BAR0_REGION_INDEX).into_iter().find_map(|c| match c {
        VfioRegionInfoCap::SparseMmap(s) => Some(s.areas.iter().map(|a| (a.offset, a.size)).collect::<Vec<_>>()),
        _ => None,
    });
    // SAFETY: the descriptor is the device's, and duplicated before anything can close it.
    let fd = unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) };
    let system = |source| BusError::System { what: "mapping BAR 0".into(), source };
    let file = File::from(fd.try_clone_to_owned().map_err(system)?);
    let base = device.get_region_offset(VFIO_PCI_BAR0_REGION_INDEX);
    let mut windows = Vec::new();
    for (offset, bytes) in sparse.unwrap_or_else(|| vec![(0, size)]).into_iter().filter(|a| a.1 > 0) {
        let (Ok(at), Ok(len)) = (u32::try_from(offset), usize::try_from(bytes)) else { continue };
        windows.push(Window { offset: at, map: MmapOptions::new().offset(base + offset).len(len).map_raw(&file).map_err(system)? });
    }
    Ok(windows)
}

impl Bus for VfioBus {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        check(offset)?;
        if let Some(register) = self.mapped(offset) {
            return Ok(u32::from_le(register.load(Ordering::Acquire)));
        }
        let mut bytes = [0; 4];
        self.region(VFIO_PCI_BAR0_REGION_INDEX, offset.into(), &mut bytes, false)?;
        Ok(u32::from_le_bytes(bytes))
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        check(offset)?;
        fence(Ordering::SeqCst);
        if let Some(register) = self.mapped(offset) {
            register.store(value.to_le(), Ordering::Release);
            return Ok(());
        }
        self.region(VFIO_PCI_BAR0_REGION_INDEX, offset.into(), &mut value.to_le_bytes(), true)
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        // SAFETY: `Memory` is only accessed by atomics, and a region keeps it mapped until it has been unmapped from the device.
        unsafe { self.ops.vfio_dma_map(iova.0, memory.len(), memory.as_ptr()) }.map_err(|e| BusError::Mapping { iova, bytes: memory.len(), why: e.to_string() })
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.ops.vfio_dma_unmap(iova.0, bytes).map_err(|e| BusError::Mapping { iova, bytes, why: e.to_string() })
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        vec![0x10_0000..=0xfedf_ffff, 0x1_0000_0000..=0x7f_ffff_ffff]
    }
    fn reset(&self) -> Result<(), BusError> {
        self.device.reset();
        self.become_master()
    }
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        let left = until - self.now();
        let timeout = Timespec { tv_sec: i64::try_from(left.0 / 1_000_000_000).unwrap_or(i64::MAX), tv_nsec: (left.0 % 1_000_000_000) as i64 };
        // SAFETY: both descriptors live as long as `self`.
        let (interrupt, wake) = unsafe { (BorrowedFd::borrow_raw(self.interrupt.as_raw_fd()), BorrowedFd::borrow_raw(self.wake.as_raw_fd())) };
        let mut fds = [PollFd::from_borrowed_fd(interrupt.as_fd(), PollFlags::IN), PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(BusError::System { what: "poll".into(), source: e.into() }),
        }
        // Empty both; "would block" is what an empty one says.
        let _ = (self.interrupt.read(), self.wake.read());
        Ok(())
    }
    fn waker(&self) -> Waker {
        let wake = self.wake.clone();
        Arc::new(move || {
            // The counter is full only if it has been woken 2^64 - 2 times: then it is awake.
            let _ = wake.write(1);
        })
    }
    fn now(&self) -> Nanoseconds {
        self.opened.elapsed().into()
    }
    fn relax(&self) {
        std::thread::yield_now();
    }
}

fn check(offset: u32) -> Result<(), BusError> {
    if offset.is_multiple_of(4) && offset < BAR_SIZE {
        return Ok(());
    }
    Err(BusError::Offset { offset, size: BAR_SIZE })
}
