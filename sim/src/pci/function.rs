//! The function, as a server of vfio-user offers it: one client's view of the device.

use super::mappings::Mappings;
use super::{Config, Effect, Msix, SIZE};
use crate::device::{Device, Doorbells, Threaded, Upstream};
use crate::root_complex::{Fault, Permission};
use crate::time::WallClock;
use rustix::event::{eventfd, EventfdFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use toe_contract::{pci, register};
use toe_driver::{Bus, BusError, Memory};
use toe_vfio_user::message::{Area, DmaMap, IrqAction};
use toe_vfio_user::server::{Backend, Irq, IrqSet, IrqSetData, Mapping, Region};
use toe_vfio_user::Errno;
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR2_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS,
};

/// Register writes that may be under way before the device must have taken them.
const MOST_POSTED: u32 = 64;

/// Refusals that are logged for each client.
const LOGGED_REFUSALS: u32 = 16;

/// How a client rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DoorbellMode {
    /// By a message, like every other register.
    #[default]
    Trapped,
    /// By writing to a page that it maps. Nobody hears that: the device keeps looking.
    Mapped,
}

/// What one client has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accesses to configuration space and BARs.
    pub accesses: u64,
    /// DMA ranges mapped.
    pub maps: u64,
    /// DMA accesses that were answered with an error.
    pub faults: u64,
    /// Interrupts sent.
    pub interrupts: u64,
}

/// Kinds of faults since the last look, as bits.
#[derive(Default)]
struct Faults(AtomicU32);

impl Faults {
    const KINDS: [Fault; 2] = [Fault::Unmapped { iova: 0 }, Fault::ReadOnly { iova: 0 }];

    fn note(&self, fault: Fault) {
        let kind = match fault {
            Fault::Unmapped { .. } => 1,
            Fault::ReadOnly { .. } | Fault::WriteOnly { .. } => 2,
            Fault::NotMaster { .. } => 0,
        };
        self.0.fetch_or(kind, Ordering::AcqRel);
    }

    fn take(&self) -> impl Iterator<Item = Fault> {
        let kinds = self.0.swap(0, Ordering::AcqRel);
        Self::KINDS.into_iter().enumerate().filter(move |(k, _)| kinds >> k & 1 != 0).map(|(_, fault)| fault)
    }
}

/// That the device has stopped by itself, and why: readable (as a descriptor) from then on.
pub(super) struct End {
    bell: OwnedFd,
    reason: Mutex<Option<String>>,
}

impl End {
    fn new() -> Result<End, BusError> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let bell = bell.map_err(|error| BusError::System { what: "eventfd".into(), source: error.into() })?;
        Ok(End { bell, reason: Mutex::new(None) })
    }

    fn tell(&self, reason: &str) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        // It is rung once: there is room.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Why, if it has.
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// What the device's thread tells.
struct Sink {
    msix: Msix,
    faults: Arc<Faults>,
    end: Arc<End>,
}

impl Upstream for Sink {
    fn interrupt(&mut self, vector: u16) {
        self.msix.interrupt(vector);
    }

    fn fault(&mut self, fault: Fault) {
        self.faults.note(fault);
    }

    fn stopped(&mut self, reason: &str) {
        self.end.tell(reason);
    }
}

/// The function. Its [`Backend`] is what a client does to it; between two clients it is [powered on](Function::power_on) again.
pub struct Function {
    device: Threaded,
    config: Config,
    msix: Msix,
    faults: Arc<Faults>,
    end: Arc<End>,
    mappings: Mappings,
    regions: Vec<Region>,
    irqs: Vec<Irq>,
    mode: DoorbellMode,
    /// The doorbell pages that this client may map.
    doorbells: Option<Memory>,
    /// The device is bus master.
    master: bool,
    /// The device looks at the doorbell pages.
    listens: bool,
    posted: u32,
    /// Requests of this client that were refused.
    refused: u32,
    counts: Counts,
    /// Faults and interrupts before this client.
    before: Counts,
}

impl Function {
    /// Starts the device, as after power-on.
    ///
    /// # Errors
    /// The system gives no thread or memory, or the engine does not finish its reset.
    pub fn start(clock: WallClock, device: Device, mode: DoorbellMode) -> Result<Function, BusError> {
        let (msix, faults, end) = (Msix::new(pci::VECTORS), Arc::new(Faults::default()), Arc::new(End::new()?));
        let sink = Sink { msix: msix.clone(), faults: faults.clone(), end: end.clone() };
        let device = Threaded::with_upstream(clock, device, Box::new(sink))?;
        let mut function = Function {
            device,
            config: Config::new(),
            msix,
            faults,
            end,
            mappings: Mappings::default(),
            regions: regions(),
            irqs: irqs(),
            mode,
            doorbells: None,
            master: false,
            listens: false,
            posted: 0,
            refused: 0,
            counts: Counts::default(),
            before: Counts::default(),
        };
        function.power_on()?;
        Ok(function)
    }

    /// Everything as after power-on, for the next client: no DMA of the last one's happens after this returns, and nothing of his is kept.
    ///
    /// # Errors
    /// The device is gone, or does not finish its reset.
    pub fn power_on(&mut self) -> Result<(), BusError> {
        // First the engine: what it has under way ends in memory that is still there.
        self.device.reset_function(false)?;
        self.master = false;
        self.device.with(|device| device.host_mut().unmap_all())?;
        self.mappings.clear();
        self.msix.disable();
        self.msix.reset();
        self.config.power_on();
        self.faults.take().for_each(drop);
        self.apply()?;
        self.renew_doorbells()?;
        self.refused = 0;
        self.counts = Counts::default();
        self.before = self.totals()?;
        Ok(())
    }

    /// When the device stops by itself.
    pub(super) fn end(&self) -> Arc<End> {
        self.end.clone()
    }

    /// What this client has done so far.
    ///
    /// # Errors
    /// The device is gone.
    pub fn counts(&self) -> Result<Counts, BusError> {
        let now = self.totals()?;
        Ok(Counts { faults: now.faults - self.before.faults, interrupts: now.interrupts - self.before.interrupts, ..self.counts })
    }

    fn totals(&self) -> Result<Counts, BusError> {
        let faults = self.device.snapshot()?.bus.faults;
        Ok(Counts { faults, interrupts: self.msix.sent(), ..Counts::default() })
    }

    /// New doorbell pages: those of the last client may still be mapped by it.
    fn renew_doorbells(&mut self) -> Result<(), BusError> {
        if self.mode == DoorbellMode::Trapped {
            return Ok(());
        }
        // As long as the BAR, so that a place in it is the same in the file.
        let memory = Memory::new(register::BAR_SIZE as usize)?;
        let fd = memory.fd().try_clone_to_owned().map_err(|source| BusError::System { what: "the doorbells' memory".into(), source })?;
        let area = Area { offset: register::DOORBELLS.into(), size: Doorbells::PLACE.len() as u64 };
        self.regions[VFIO_PCI_BAR0_REGION_INDEX as usize].mapping = Some(Mapping { fd, offset: 0, areas: vec![area] });
        self.doorbells = Some(memory);
        Ok(())
    }

    /// Function level reset: the state after power-on, but for what belongs to the client (its mappings and eventfds) and sticky bits (6.6.2).
    fn reset_function(&mut self) -> Result<(), BusError> {
        self.device.reset_function(false)?;
        self.master = false;
        self.doorbells.iter().for_each(Doorbells::clear);
        self.faults.take().for_each(drop);
        self.config.reset();
        self.msix.reset();
        // As the kernel's VFIO puts interrupts back after a reset that a client has asked for.
        self.config.set_msix_enabled(self.msix.is_used());
        self.apply()
    }

    /// Lets the switches of configuration space take effect.
    fn apply(&mut self) -> Result<(), BusError> {
        let master = self.config.is_master();
        if master != self.master {
            self.device.with(move |device| device.host_mut().set_bus_master(master))?;
            self.master = master;
        }
        self.msix.control(self.config.msix_enabled(), self.config.msix_masked(), master);
        // Where no BAR answers, no doorbell is heard.
        let listens = self.config.answers_memory() && self.doorbells.is_some();
        if listens != self.listens {
            let memory = self.doorbells.clone().filter(|_| listens);
            self.device.set_doorbells(memory.map(Doorbells::new))?;
            self.listens = listens;
        }
        Ok(())
    }

    fn write_config(&mut self, offset: usize, data: &[u8]) -> Result<(), BusError> {
        let mut at = 0;
        while at < data.len() {
            let piece = (4 - (offset + at) % 4).min(data.len() - at);
            match self.config.write(offset + at, &data[at..at + piece]) {
                Effect::None => self.apply()?,
                Effect::Reset => self.reset_function()?,
            }
            at += piece;
        }
        Ok(())
    }

    fn read_register(&mut self, offset: u32, data: &mut [u8]) -> Result<(), BusError> {
        // An access of fewer bytes reads the whole register, as a request with byte enables does; one of 8 bytes reads two, the lower first.
        for (k, piece) in data.chunks_mut(4).enumerate() {
            let at = (offset & !3) + 4 * u32::try_from(k).unwrap_or(0);
            let value = match self.doorbell(at) {
                Some((memory, place)) => memory.load32(place),
                None => self.device.read32(at)?,
            };
            let first = (offset % 4) as usize;
            piece.copy_from_slice(&value.to_le_bytes()[first..first + piece.len()]);
        }
        self.posted = 0;
        Ok(())
    }

    fn write_register(&mut self, offset: u32, data: &[u8]) -> Result<(), BusError> {
        // Less than a whole register is dropped: there are no byte enables behind the BAR.
        for (at, four) in (offset..).step_by(4).zip(data.chunks_exact(4)) {
            let value = four.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            match self.doorbell(at) {
                Some((memory, place)) => {
                    memory.store32(place, value);
                    self.device.wake();
                }
                None => self.device.write32(at, value)?,
            }
            // A reset takes away what was rung before it; what is rung after the answer must not be there yet.
            let resets = at == register::CONTROL.offset && register::CONTROL_RESET.get(value) != 0;
            self.posted += if resets { MOST_POSTED } else { 1 };
        }
        if self.posted >= MOST_POSTED {
            self.posted = 0;
            self.device.with(|_| ())?;
        }
        Ok(())
    }

    /// The place of a doorbell in memory, if it lies there.
    fn doorbell(&self, offset: u32) -> Option<(&Memory, usize)> {
        let at = offset as usize;
        self.doorbells.as_ref().filter(|_| Doorbells::PLACE.contains(&at)).map(|memory| (memory, at))
    }

    /// What is asked of a BAR: its offset, unless the function does not answer.
    fn bar_access(&mut self, offset: u64, bytes: usize, write: bool) -> Option<u32> {
        let offset = u32::try_from(offset).ok().filter(|_| self.config.answers_memory() && is_natural(offset, bytes));
        if offset.is_none() {
            self.config.note_unsupported(write);
        }
        offset
    }

    /// Says why a client is refused something, unless it makes a habit of it, and gives what it is told.
    fn complain(&mut self, error: &impl std::fmt::Display, errno: Errno) -> Errno {
        self.refused += 1;
        if self.refused <= LOGGED_REFUSALS {
            tracing::warn!(%error, "a client's request is refused");
        }
        errno
    }

    fn dma_map_part(&mut self, map: DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno> {
        let added = self.mappings.add(&map, fd).map_err(|error| self.complain(&error, error.errno()))?;
        let Some(part) = added else { return Ok(()) };
        let permission = Permission { read: map.readable, write: map.writable };
        let mapped = self.device.with(move |device| device.host_mut().map_part(map.iova, &part.memory, part.offset, part.size, permission));
        mapped.map_err(gone)?.map_err(|error| {
            self.mappings.undo(map.iova, map.size);
            self.complain(&error, Errno::INVAL)
        })
    }
}

impl Backend for Function {
    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn irqs(&self) -> &[Irq] {
        &self.irqs
    }

    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        self.counts.accesses += 1;
        if region == VFIO_PCI_CONFIG_REGION_INDEX {
            self.faults.take().for_each(|fault| self.config.note_fault(fault));
            self.config.read(usize::try_from(offset).unwrap_or(usize::MAX), data);
            return Ok(());
        }
        match self.bar_access(offset, data.len(), false) {
            Some(at) if region == VFIO_PCI_BAR0_REGION_INDEX => self.read_register(at, data).map_err(gone)?,
            Some(at) => self.msix.read(at as usize, data),
            None => data.fill(0xff),
        }
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.counts.accesses += 1;
        if region == VFIO_PCI_CONFIG_REGION_INDEX {
            self.faults.take().for_each(|fault| self.config.note_fault(fault));
            return self.write_config(usize::try_from(offset).unwrap_or(usize::MAX), data).map_err(gone);
        }
        match self.bar_access(offset, data.len(), true) {
            Some(at) if region == VFIO_PCI_BAR0_REGION_INDEX => self.write_register(at, data).map_err(gone)?,
            Some(at) => self.msix.write(at as usize, data),
            None => {}
        }
        Ok(())
    }

    fn dma_map(&mut self, map: DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno> {
        self.dma_map_part(map, fd)?;
        self.counts.maps += 1;
        Ok(())
    }

    fn dma_unmap(&mut self, iova: u64, size: u64) -> Result<(), Errno> {
        let reached = self.mappings.remove(iova, size)?;
        self.device.with(move |device| reached.into_iter().try_for_each(|(at, size)| device.host_mut().unmap(at, size))).map_err(gone)?.map_err(|error| {
            tracing::error!(%error, "a mapping of the client's that the device did not have");
            Errno::IO
        })
    }

    fn dma_unmap_all(&mut self) -> Result<(), Errno> {
        self.mappings.clear();
        self.device.with(|device| device.host_mut().unmap_all()).map_err(gone)
    }

    fn set_irqs(&mut self, set: IrqSet) -> Result<(), Errno> {
        if set.index != VFIO_PCI_MSIX_IRQ_INDEX {
            return Err(Errno::INVAL);
        }
        let all = || vec![true; set.count as usize];
        let done = match (set.action, set.data) {
            (IrqAction::Trigger, IrqSetData::None) if set.count == 0 => {
                self.msix.disable();
                self.config.set_msix_enabled(false);
                return self.apply().map_err(gone);
            }
            (IrqAction::Trigger, IrqSetData::Eventfds(fds)) => self.msix.set_triggers(set.start, fds).map(|()| self.config.set_msix_enabled(true)),
            (IrqAction::Trigger, IrqSetData::None) => self.msix.fire(set.start, &all()),
            (IrqAction::Trigger, IrqSetData::Bool(which)) => self.msix.fire(set.start, &which),
            (action, IrqSetData::None) => self.msix.mask(set.start, &all(), action == IrqAction::Mask),
            (action, IrqSetData::Bool(which)) => self.msix.mask(set.start, &which, action == IrqAction::Mask),
            // Masking at the sign of an eventfd is for level interrupts.
            (_, IrqSetData::Eventfds(_)) => return Err(Errno::INVAL),
        };
        done.map_err(|error| self.complain(&error, Errno::INVAL))?;
        self.apply().map_err(gone)
    }

    fn reset(&mut self) -> Result<(), Errno> {
        self.reset_function().map_err(gone)
    }
}

/// Regions in VFIO's order: those that are not there are empty.
fn regions() -> Vec<Region> {
    let size_of = |index| match index {
        VFIO_PCI_BAR0_REGION_INDEX => u64::from(register::BAR_SIZE),
        VFIO_PCI_BAR2_REGION_INDEX => u64::from(pci::MSIX_BAR_SIZE),
        VFIO_PCI_CONFIG_REGION_INDEX => SIZE as u64,
        _ => 0,
    };
    let region = |size| Region { size, readable: size > 0, writable: size > 0, mapping: None };
    (0..VFIO_PCI_NUM_REGIONS).map(size_of).map(region).collect()
}

/// Kinds of interrupts in VFIO's order: MSI-X alone.
fn irqs() -> Vec<Irq> {
    let msix = Irq { count: pci::VECTORS.into(), maskable: true };
    (0..VFIO_PCI_NUM_IRQS).map(|index| if index == VFIO_PCI_MSIX_IRQ_INDEX { msix } else { Irq::default() }).collect()
}

/// An access as a root complex sends one: 1, 2, 4 or 8 bytes at a multiple of them.
fn is_natural(offset: u64, bytes: usize) -> bool {
    [1, 2, 4, 8].contains(&bytes) && offset.is_multiple_of(bytes as u64)
}

/// The device does not answer: the client is told that the access failed.
fn gone(error: BusError) -> Errno {
    tracing::warn!(%error, "the device does not answer");
    Errno::IO
}
