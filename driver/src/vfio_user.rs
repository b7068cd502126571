//! vfio-user: the function in another process, behind a UNIX socket.
//!
//! Registers are read by messages, one round trip each; written by messages that nobody answers, as a PCI Express write is posted, or by
//! plain stores where the server lets BAR 0 be mapped (then the messages for the rest of it are answered, to keep the order). DMA memory is shared by its memfd, interrupts come by eventfd. When the server is gone,
//! everything says so at once.

use crate::bus::{Bus, BusError, Waker};
use crate::interrupt::Interrupt;
use crate::window::{check, Windows};
use crate::{Iova, Memory, Nanoseconds};
use core::ops::RangeInclusive;
use rustix::fs::{fcntl_get_seals, fstatfs, FsWord, SealFlags};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};
use toe_contract::register::BAR_SIZE;
use toe_vfio_user::client::{Client, ClientError};
use toe_vfio_user::message::DmaMap;
use vfio_bindings::bindings::vfio::{VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSIX_IRQ_INDEX};

/// The kind of file system that huge pages are (`HUGETLBFS_MAGIC` of Linux).
const HUGE_PAGES: FsWord = 0x9584_58f6;
/// A server may take so long to answer; a simulated device that is waited for in Verilator included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// PCI command register, and its bits for memory space and bus mastering (PCI 3.0 section 6.2.2).
const COMMAND: u64 = 4;
const MEMORY_SPACE_AND_BUS_MASTER: u16 = 0x6;

/// A PCI function behind a vfio-user server.
pub struct VfioUserBus {
    client: Client,
    windows: Windows,
    interrupt: Interrupt,
    opened: Instant,
}

impl VfioUserBus {
    /// Connects to the server at that socket and makes its function ready.
    ///
    /// # Errors
    /// There is no server, it serves another client, or its function is not ours.
    pub fn open(path: &Path) -> Result<VfioUserBus, BusError> {
        let what = || format!("connecting to {} (a server has one client at a time)", path.display());
        let client = Client::connect(path, TIMEOUT).map_err(|e| gone(&what(), &e))?;
        VfioUserBus::over(client)
    }

    /// The same over a connection that exists.
    ///
    /// # Errors
    /// The server's function is not ours.
    pub fn over(client: Client) -> Result<VfioUserBus, BusError> {
        let device = client.device_info().map_err(|e| error("device info", e))?;
        if !device.pci || device.regions <= VFIO_PCI_CONFIG_REGION_INDEX || device.irqs <= VFIO_PCI_MSIX_IRQ_INDEX {
            return Err(BusError::Gone(format!("expected a PCI function with BARs, configuration space and MSI-X, found {device:?}")));
        }
        let windows = map_bar(&client)?;
        let vectors = client.irq_info(VFIO_PCI_MSIX_IRQ_INDEX).map_err(|e| error("MSI-X info", e))?;
        if vectors.count == 0 || !vectors.eventfd {
            return Err(BusError::Gone(format!("expected an MSI-X vector that signals an eventfd, found {vectors:?}")));
        }
        let bus = VfioUserBus { client, windows, interrupt: Interrupt::new()?, opened: Instant::now() };
        bus.enable()?;
        Ok(bus)
    }

    /// Lets the function answer, be bus master and interrupt, as it does not after power-on and reset.
    fn enable(&self) -> Result<(), BusError> {
        let mut bytes = [0; 2];
        let command = |e| error("PCI command register", e);
        self.client.region_read(VFIO_PCI_CONFIG_REGION_INDEX, COMMAND, &mut bytes).map_err(command)?;
        bytes = (u16::from_le_bytes(bytes) | MEMORY_SPACE_AND_BUS_MASTER).to_le_bytes();
        self.client.region_write(VFIO_PCI_CONFIG_REGION_INDEX, COMMAND, &bytes).map_err(command)?;
        self.client.set_eventfds(VFIO_PCI_MSIX_IRQ_INDEX, 0, &[self.interrupt.device_fd()]).map_err(|e| error("enabling MSI-X", e))
    }
}

/// Maps those parts of BAR 0 that the server lets us map.
fn map_bar(client: &Client) -> Result<Windows, BusError> {
    let (bar, fd) = client.region_info(VFIO_PCI_BAR0_REGION_INDEX).map_err(|e| error("BAR 0", e))?;
    if bar.size < u64::from(BAR_SIZE) || !bar.readable || !bar.writable {
        return Err(BusError::Gone(format!("BAR 0: expected at least {BAR_SIZE:#x} bytes to read and write, found {bar:?}")));
    }
    let Some(fd) = fd else { return Ok(Windows::none()) };
    let file = File::from(fd);
    if !stays(&file) {
        tracing::warn!("the file behind BAR 0 is no memfd that is sealed against shrinking: not mapped");
        return Ok(Windows::none());
    }
    let mut areas: Vec<(u64, u64)> = bar.areas.iter().map(|a| (a.offset, a.size)).collect();
    if areas.is_empty() {
        areas.push((0, bar.size));
    }
    let length = file.metadata().map_err(|source| BusError::System { what: "the file behind BAR 0".into(), source })?.len();
    if let Some((offset, bytes)) = areas.iter().find(|(offset, bytes)| bar.offset.saturating_add(*offset).saturating_add(*bytes) > length) {
        return Err(BusError::Gone(format!("BAR 0: expected {bytes:#x} bytes to map at {offset:#x}, found a file of {length:#x} bytes")));
    }
    Windows::map(&file, bar.offset, &areas)
}

/// Whether no page of a file can be taken away: whoever touches one that is missing is killed. It must not shrink, and holes must be filled again, as they
/// are but in huge pages. Messages do without.
fn stays(file: &File) -> bool {
    let sealed = fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
    sealed && fstatfs(file).is_ok_and(|system| system.f_type != HUGE_PAGES)
}

impl Bus for VfioUserBus {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        check(offset)?;
        if let Some(value) = self.windows.read(offset) {
            return Ok(value);
        }
        let mut bytes = [0; 4];
        self.client.region_read(VFIO_PCI_BAR0_REGION_INDEX, offset.into(), &mut bytes).map_err(|e| error("reading a register", e))?;
        Ok(u32::from_le_bytes(bytes))
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        check(offset)?;
        if self.windows.write(offset, value) {
            return Ok(());
        }
        let (bar, bytes) = (VFIO_PCI_BAR0_REGION_INDEX, value.to_le_bytes());
        // A store to a mapped register overtakes a message that nobody has answered.
        let write = if self.windows.is_empty() { Client::region_write_posted } else { Client::region_write };
        write(&self.client, bar, offset.into(), &bytes).map_err(|e| error("writing a register", e))
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        let map = DmaMap { iova: iova.0, size: memory.len() as u64, offset: memory.fd_offset(), readable: true, writable: true };
        self.client.dma_map(map, memory.fd()).map_err(|e| BusError::Mapping { iova, bytes: memory.len(), why: e.to_string() })
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.client.dma_unmap(iova.0, bytes as u64).map_err(|e| match e {
            ClientError::Refused { .. } => BusError::Mapping { iova, bytes, why: e.to_string() },
            other => gone("taking DMA memory back", &other),
        })
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        crate::iova::RANGES.to_vec()
    }
    fn reset(&self) -> Result<(), BusError> {
        self.client.reset().map_err(|e| error("reset", e))?;
        self.enable()
    }
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        match self.interrupt.wait(until - self.now(), Some(self.client.as_fd()))? {
            true => Err(BusError::Gone("the vfio-user server has hung up".into())),
            false => Ok(()),
        }
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

/// A refusal leaves the device there; after everything else it is gone.
fn error(what: &str, error: ClientError) -> BusError {
    match error {
        ClientError::Refused { errno, .. } => BusError::System { what: what.into(), source: errno.into() },
        other => gone(what, &other),
    }
}

fn gone(what: &str, error: &ClientError) -> BusError {
    BusError::Gone(format!("{what}: {error}"))
}
