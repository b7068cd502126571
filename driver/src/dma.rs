//! DMA memory on one bus: given out in parts of slabs, each mapped once.
//!
//! A slab has 2 MiB, a huge page if there is one: an IOMMU, and more so one that is itself simulated, is asked once for the rings of several flows instead
//! of once for each 4 KiB. Larger memory is a slab of its own. A slab is unmapped when its last part goes.
//!
//! A slab is a memfd of its own, and whoever holds a mapping of it (the kernel for an IOMMU, the server of a vfio-user device, the simulated root complex)
//! holds its pages: what a device could still write, were it not quiet when it is closed or its mapping not taken back, goes to nobody else.

use crate::iova::IovaAllocator;
use crate::memory::{HUGE_PAGE, PAGE};
use crate::{Bus, BusError, Iova, Memory};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a slab.
pub const SLAB: usize = HUGE_PAGE;

/// Makes [`Region`]s on one bus, and knows how much is out.
#[derive(Clone)]
pub struct DmaAllocator {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    /// `None` once the device is closed.
    bus: Option<Arc<dyn Bus>>,
    iovas: IovaAllocator,
    /// By bus address.
    slabs: BTreeMap<u64, Slab>,
}

struct Slab {
    memory: Memory,
    free: IovaAllocator,
    /// From this address on nothing was ever given out: it is as the system gave it, zeroed.
    fresh_from: u64,
}

impl DmaAllocator {
    /// An allocator over all addresses that the bus allows.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        let iovas = IovaAllocator::new(&bus.iova_ranges());
        DmaAllocator { shared: Arc::new(Shared { state: Mutex::new(State { bus: Some(bus), iovas, slabs: BTreeMap::new() }) }) }
    }

    /// Zeroed memory, mapped for the device at an address that is a multiple of its own size rounded up to a power of two.
    ///
    /// # Errors
    /// No memory, no addresses, the bus refuses the mapping, or the device is closed.
    pub fn allocate(&self, bytes: usize) -> Result<Region, BusError> {
        let bytes = bytes.max(1).next_multiple_of(PAGE);
        let mut state = self.shared.state();
        let (size, align) = (bytes as u64, bytes.next_power_of_two() as u64);
        let found = match state.take(size, align) {
            Some(found) => found,
            None => {
                self.shared.make_slab(&mut state, bytes.max(SLAB))?;
                state.take(size, align).ok_or_else(|| no_addresses(bytes))?
            }
        };
        drop(state);
        let (base, iova, memory, fresh) = found;
        let region = Region { memory, iova, base, shared: self.shared.clone() };
        if !fresh {
            region.memory.clear();
        }
        Ok(region)
    }

    /// Bytes given out.
    pub fn used(&self) -> u64 {
        self.shared.state().slabs.values().map(Slab::used).sum()
    }

    /// Bytes mapped for the device: all slabs.
    pub fn mapped(&self) -> u64 {
        self.shared.state().slabs.values().map(|slab| slab.memory.len() as u64).sum()
    }

    /// Takes everything away from the device, and lets the bus go. Regions that are still held are memory of this process from then on.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state();
        if let Some(bus) = state.bus.take() {
            for (base, slab) in std::mem::take(&mut state.slabs) {
                state.unmap(&*bus, base, slab.memory.len());
            }
        }
    }
}

impl State {
    /// A part of a slab that is there: the slab's address, its own, its memory, and whether it is zeroed as the system gave it.
    fn take(&mut self, bytes: u64, align: u64) -> Option<(u64, Iova, Memory, bool)> {
        self.slabs.iter_mut().find_map(|(&base, slab)| {
            let iova = slab.free.take(bytes, align)?;
            let fresh = iova.0 >= slab.fresh_from;
            slab.fresh_from = slab.fresh_from.max(iova.0 + bytes);
            let (offset, bytes) = (usize::try_from(iova.0 - base).ok()?, usize::try_from(bytes).ok()?);
            Some((base, iova, slab.memory.part(offset, bytes), fresh))
        })
    }
}

impl State {
    /// An address that could not be unmapped is not given out again: the device may still reach it. To one that is gone nothing is mapped.
    fn unmap(&mut self, bus: &dyn Bus, base: u64, bytes: usize) {
        match bus.unmap(Iova(base), bytes) {
            Ok(()) | Err(BusError::Gone(_)) => self.iovas.give_back(Iova(base), bytes as u64),
            Err(error) => tracing::warn!(%error, "DMA memory stays mapped"),
        }
    }
}

fn no_addresses(bytes: usize) -> BusError {
    BusError::Mapping { iova: Iova(0), bytes, why: "no bus addresses left".into() }
}

impl Slab {
    fn used(&self) -> u64 {
        self.memory.len() as u64 - self.free.free_bytes()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty slab, aligned to its size.
    fn make_slab(&self, state: &mut State, bytes: usize) -> Result<(), BusError> {
        let memory = Memory::new(bytes)?;
        let size = memory.len() as u64;
        let iova = state.iovas.take(size, size.next_power_of_two()).ok_or_else(|| no_addresses(bytes))?;
        let mapped = match &state.bus {
            Some(bus) => bus.map(&memory, iova),
            None => Err(BusError::Gone("it was closed".into())),
        };
        if let Err(error) = mapped {
            state.iovas.give_back(iova, size);
            return Err(error);
        }
        state.slabs.insert(iova.0, Slab { memory, free: IovaAllocator::over(iova, size), fresh_from: iova.0 });
        Ok(())
    }

    /// Takes a part back; with the last one the slab goes.
    fn release(&self, base: u64, iova: Iova, bytes: usize) {
        let mut state = self.state();
        let Some(slab) = state.slabs.get_mut(&base) else { return };
        slab.free.give_back(iova, bytes as u64);
        if slab.used() > 0 {
            return;
        }
        let size = slab.memory.len();
        state.slabs.remove(&base);
        if let Some(bus) = state.bus.clone() {
            state.unmap(&*bus, base, size);
        }
    }
}

/// Memory that the device reaches: a part of a slab.
pub struct Region {
    memory: Memory,
    iova: Iova,
    /// Bus address of its slab.
    base: u64,
    shared: Arc<Shared>,
}

impl Region {
    /// Its bus address.
    pub fn iova(&self) -> Iova {
        self.iova
    }
    /// The memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.shared.release(self.base, self.iova, self.memory.len());
    }
}

impl core::fmt::Debug for Region {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Region({} bytes at {})", self.memory.len(), self.iova)
    }
}
