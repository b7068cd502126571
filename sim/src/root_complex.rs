//! The host as the device sees it: memory behind an IOVA table, and interrupts.
//!
//! Memory belongs to the driver and is shared with it, maybe across processes; it is read and written by atomic accesses only, 64-bit
//! words where they are whole, ascending, each store with Release order. A reader that finds the last word of an entry finds all before it.
//!
//! ```text
//!   engine ──read/write(iova)──► table ──► region ──► the driver's memory
//!          ──interrupt(vector)─► pending, taken by the device's owner
//! ```
//!
//! Latency, bandwidth and back-pressure ([`Timing`]) are kept here and applied by the bus the engine is on; the untimed model ignores them.

mod memory;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use toe_driver::Memory;

/// Bytes of a page of the IOVA table.
pub const PAGE: u64 = 4096;

/// Faults that are logged each; later ones at every power of two.
const LOGGED_FAULTS: u64 = 16;

/// Why memory was not mapped or unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// An IOVA or a length is not a multiple of [`PAGE`], or zero, or too large.
    #[error("region {iova:#x}+{length:#x}: expected whole pages of {PAGE} bytes")]
    NotPages {
        /// First address.
        iova: u64,
        /// Bytes.
        length: u64,
    },
    /// The memory does not begin at a multiple of eight.
    #[error("memory at {address:#x}: expected a multiple of 8")]
    Unaligned {
        /// The driver's address.
        address: usize,
    },
    /// Something is mapped there already.
    #[error("region {iova:#x}+{length:#x} meets one at {found:#x}")]
    Overlap {
        /// First address.
        iova: u64,
        /// Bytes.
        length: u64,
        /// First address of the region in the way.
        found: u64,
    },
    /// No region of that address and length.
    #[error("no region {iova:#x}+{length:#x}")]
    NotMapped {
        /// First address.
        iova: u64,
        /// Bytes.
        length: u64,
    },
}

/// Why an access of the device was answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No memory there.
    #[error("no memory is mapped at {iova:#x}")]
    Unmapped {
        /// First address without memory.
        iova: u64,
    },
    /// The device may not write there.
    #[error("memory at {iova:#x} is read-only")]
    ReadOnly {
        /// First address refused.
        iova: u64,
    },
    /// The device may not read there.
    #[error("memory at {iova:#x} is write-only")]
    WriteOnly {
        /// First address refused.
        iova: u64,
    },
    /// Bus mastering is off.
    #[error("access to {iova:#x} while bus mastering is off")]
    NotMaster {
        /// Address.
        iova: u64,
    },
}

/// How fast the bus is, in cycles of the engine. [`Timing::default`] is a bus without any delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Cycles from a read request to its first beat.
    pub read_latency: u32,
    /// Cycles from the last beat of a write until it is in memory and answered.
    pub write_latency: u32,
    /// Up to so many cycles more, at random, for each request.
    pub jitter: u32,
    /// Cycles a beat of 8 bytes takes beyond one, in 256ths, in each direction.
    pub extra_per_beat: u32,
    /// Chance, of 256, that a handshake is held back in a cycle.
    pub stall: u8,
}

impl Timing {
    /// Gen3 x4 behind a usual root complex, seen at 156.25 MHz: a read takes 0.6 us.
    pub const PCIE: Timing = Timing { read_latency: 94, write_latency: 30, jitter: 20, extra_per_beat: 0, stall: 4 };
    /// Everything delayed, everything at random: for tests.
    pub const HOSTILE: Timing = Timing { read_latency: 3, write_latency: 2, jitter: 60, extra_per_beat: 64, stall: 96 };
}

/// What the device did to the host, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Read accesses.
    pub reads: u64,
    /// Bytes of those.
    pub read_bytes: u64,
    /// Write accesses.
    pub writes: u64,
    /// Bytes of those.
    pub written_bytes: u64,
    /// Accesses answered with an error.
    pub faults: u64,
    /// Interrupts.
    pub interrupts: u64,
}

/// An access of the device, as recorded for observers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// First address.
    pub iova: u64,
    /// Bytes.
    pub length: u64,
    /// It was a write.
    pub write: bool,
}

/// What the device may do to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// It may read there.
    pub read: bool,
    /// It may write there.
    pub write: bool,
}

struct Region {
    iova: u64,
    length: u64,
    memory: memory::Shared,
    permission: Permission,
    _owner: Option<Memory>,
}

/// See the [module](self).
pub struct RootComplex {
    table: BTreeMap<u64, usize>,
    regions: Vec<Option<Region>>,
    /// Places in `regions` without one.
    free: Vec<usize>,
    last: usize,
    bus_master: bool,
    timing: Timing,
    random: ChaCha8Rng,
    statistics: Statistics,
    interrupts: Vec<u16>,
    record: Option<Vec<Access>>,
    last_fault: Option<Fault>,
}

impl RootComplex {
    /// No memory, bus mastering on. `seed` is that of the bus's moods.
    pub fn new(timing: Timing, seed: u64) -> RootComplex {
        RootComplex {
            table: BTreeMap::new(),
            regions: Vec::new(),
            free: Vec::new(),
            last: 0,
            bus_master: true,
            timing,
            random: ChaCha8Rng::seed_from_u64(seed),
            statistics: Statistics::default(),
            interrupts: Vec::new(),
            record: None,
            last_fault: None,
        }
    }

    /// Lets the device reach a driver's memory, whole, from `iova` on. It is kept alive until it is unmapped.
    ///
    /// # Errors
    /// `iova` is not a multiple of a page, or something is mapped there already.
    pub fn map(&mut self, iova: u64, memory: &Memory, writable: bool) -> Result<(), MapError> {
        self.map_part(iova, memory, 0, memory.len(), Permission { read: true, write: writable })
    }

    /// Lets the device reach `length` bytes from `offset` on of somebody's memory, and do there what it may.
    ///
    /// # Errors
    /// Not whole pages, a part that runs over the memory's end, or something mapped there already.
    pub fn map_part(&mut self, iova: u64, memory: &Memory, offset: usize, length: usize, permission: Permission) -> Result<(), MapError> {
        let length64 = length as u64;
        if offset.checked_add(length).is_none_or(|end| end > memory.len()) {
            return Err(MapError::NotPages { iova, length: length64 });
        }
        // SAFETY: `offset` lies inside the memory.
        let address = unsafe { memory.as_ptr().add(offset) };
        let permission = Permission { write: permission.write && memory.writable(), ..permission };
        // SAFETY: the part lies inside the memory, which is accessed by atomics only, and the clone kept in the region keeps it alive.
        unsafe { self.map_region(iova, address, length64, permission, Some(memory.clone())) }
    }

    /// Lets the device reach `length` bytes at `address` from `iova` on.
    ///
    /// # Safety
    /// The memory stays valid until [`unmap`](RootComplex::unmap) or until `self` is dropped, and until then nobody holds a reference to it (it is
    /// accessed through raw pointers and atomics only).
    ///
    /// # Errors
    /// Not whole pages, an address that is not a multiple of eight, or something mapped there already.
    pub unsafe fn map_raw(&mut self, iova: u64, address: *mut u8, length: u64, writable: bool) -> Result<(), MapError> {
        // SAFETY: promised by the caller.
        unsafe { self.map_region(iova, address, length, Permission { read: true, write: writable }, None) }
    }

    /// # Safety
    /// As [`map_raw`](RootComplex::map_raw), or `owner` sees to it.
    unsafe fn map_region(&mut self, iova: u64, address: *mut u8, length: u64, permission: Permission, owner: Option<Memory>) -> Result<(), MapError> {
        let end = iova.checked_add(length);
        if !iova.is_multiple_of(PAGE) || !length.is_multiple_of(PAGE) || length == 0 || end.is_none() || usize::try_from(length).is_err() {
            return Err(MapError::NotPages { iova, length });
        }
        if !address.addr().is_multiple_of(8) {
            return Err(MapError::Unaligned { address: address.addr() });
        }
        let last = iova + (length - 1);
        if let Some(&found) = self.table.range(..=last).next_back().map(|(_, slot)| slot) {
            if let Some(region) = &self.regions[found] {
                if region.iova + (region.length - 1) >= iova {
                    return Err(MapError::Overlap { iova, length, found: region.iova });
                }
            }
        }
        // SAFETY: the caller promises what `Shared` asks for.
        let memory = unsafe { memory::Shared::new(address) };
        let region = Region { iova, length, memory, permission, _owner: owner };
        let slot = self.free.pop().unwrap_or(self.regions.len());
        if slot == self.regions.len() {
            self.regions.push(None);
        }
        self.regions[slot] = Some(region);
        self.table.insert(iova, slot);
        Ok(())
    }

    /// Takes a region away; no access reaches it afterwards.
    ///
    /// # Errors
    /// There is no region of exactly that address and length.
    pub fn unmap(&mut self, iova: u64, length: u64) -> Result<(), MapError> {
        let slot = self.table.get(&iova).copied().filter(|&slot| self.regions[slot].as_ref().is_some_and(|r| r.length == length));
        let slot = slot.ok_or(MapError::NotMapped { iova, length })?;
        self.table.remove(&iova);
        self.regions[slot] = None;
        self.free.push(slot);
        Ok(())
    }

    /// Takes every region away.
    pub fn unmap_all(&mut self) {
        self.table.clear();
        self.regions.clear();
        self.free.clear();
    }

    /// Bus Master Enable of the PCI command register.
    pub fn set_bus_master(&mut self, on: bool) {
        self.bus_master = on;
    }

    /// How fast the bus is.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Makes the bus faster or slower.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// Whether a handshake is to be held back in this cycle.
    pub fn stalls(&mut self) -> bool {
        self.timing.stall != 0 && self.random.random::<u8>() < self.timing.stall
    }

    /// Extra cycles for one request.
    pub fn jitter(&mut self) -> u32 {
        if self.timing.jitter == 0 {
            0
        } else {
            self.random.random_range(0..=self.timing.jitter)
        }
    }

    /// Reads as the device.
    ///
    /// # Errors
    /// See [`Fault`]; what lies before the address at fault has been read.
    pub fn read(&mut self, iova: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.statistics.reads += 1;
        self.statistics.read_bytes += bytes.len() as u64;
        let mut done = 0;
        while done < bytes.len() {
            let at = iova.wrapping_add(done as u64);
            let (region, offset, room) = self.find(at, false)?;
            let part = room.min(bytes.len() - done);
            // SAFETY: `find` gives an offset with `room` bytes inside the region.
            unsafe { region.memory.read(offset, &mut bytes[done..done + part]) };
            done += part;
        }
        self.note(iova, bytes.len() as u64, false);
        Ok(())
    }

    /// Writes as the device.
    ///
    /// # Errors
    /// See [`Fault`]; what lies before the address at fault has been written.
    pub fn write(&mut self, iova: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.statistics.writes += 1;
        self.statistics.written_bytes += bytes.len() as u64;
        let mut done = 0;
        while done < bytes.len() {
            let at = iova.wrapping_add(done as u64);
            let (region, offset, room) = self.find(at, true)?;
            let part = room.min(bytes.len() - done);
            // SAFETY: `find` gives an offset with `room` bytes inside the region.
            unsafe { region.memory.write(offset, &bytes[done..done + part]) };
            done += part;
        }
        self.note(iova, bytes.len() as u64, true);
        Ok(())
    }

    /// Reads as an observer does: no fault, no statistics, no record. False: not all of it is mapped.
    pub fn peek(&self, iova: u64, bytes: &mut [u8]) -> bool {
        let mut done = 0;
        while done < bytes.len() {
            let at = iova.wrapping_add(done as u64);
            let region = self.table.range(..=at).next_back().and_then(|(_, &slot)| self.regions[slot].as_ref());
            let Some(region) = region.filter(|r| at - r.iova < r.length) else { return false };
            let (offset, room) = (at - region.iova, region.length - (at - region.iova));
            let (Ok(offset), Ok(room)) = (usize::try_from(offset), usize::try_from(room)) else { return false };
            let part = room.min(bytes.len() - done);
            // SAFETY: `offset` has `room` bytes behind it inside the region.
            unsafe { region.memory.read(offset, &mut bytes[done..done + part]) };
            done += part;
        }
        true
    }

    /// Sends an interrupt to the host, behind everything written.
    pub fn interrupt(&mut self, vector: u16) {
        self.statistics.interrupts += 1;
        self.interrupts.push(vector);
    }

    /// Takes the interrupts that came since the last call.
    pub fn take_interrupts(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.interrupts)
    }

    /// Begins or ends to record accesses; what was recorded and not taken stays while it is on.
    pub fn set_record(&mut self, on: bool) {
        self.record = on.then(|| self.record.take().unwrap_or_default());
    }

    /// Takes the accesses recorded since the last call.
    pub fn take_record(&mut self) -> Vec<Access> {
        self.record.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What the device did so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The last access that was answered with an error.
    pub fn last_fault(&self) -> Option<Fault> {
        self.last_fault
    }

    /// The region that holds `iova`, the offset in it, and how many bytes follow there.
    fn find(&mut self, iova: u64, write: bool) -> Result<(&Region, usize, usize), Fault> {
        if !self.bus_master {
            return Err(self.fault(Fault::NotMaster { iova }));
        }
        let holds = |region: &Option<Region>| region.as_ref().is_some_and(|r| iova.wrapping_sub(r.iova) < r.length);
        if !self.regions.get(self.last).is_some_and(holds) {
            let slot = self.table.range(..=iova).next_back().map(|(_, &slot)| slot).filter(|&slot| holds(&self.regions[slot]));
            self.last = slot.ok_or(Fault::Unmapped { iova }).map_err(|fault| self.fault(fault))?;
        }
        let may = self.regions[self.last].as_ref().map_or(Permission { read: false, write: false }, |region| region.permission);
        match write {
            true if !may.write => return Err(self.fault(Fault::ReadOnly { iova })),
            false if !may.read => return Err(self.fault(Fault::WriteOnly { iova })),
            _ => {}
        }
        let region = self.regions[self.last].as_ref().ok_or(Fault::Unmapped { iova })?;
        let within = |bytes: u64| usize::try_from(bytes).map_err(|_| Fault::Unmapped { iova });
        Ok((region, within(iova - region.iova)?, within(region.length - (iova - region.iova))?))
    }

    fn fault(&mut self, fault: Fault) -> Fault {
        self.statistics.faults += 1;
        let faults = self.statistics.faults;
        // A device may be made to fault as often as anybody likes; the log is not filled by it.
        if faults <= LOGGED_FAULTS || faults.is_power_of_two() {
            tracing::warn!(%fault, faults, "DMA fault");
        }
        self.last_fault = Some(fault);
        fault
    }

    fn note(&mut self, iova: u64, length: u64, write: bool) {
        if let Some(record) = &mut self.record {
            record.push(Access { iova, length, write });
        }
    }
}
