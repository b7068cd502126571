//! Bodies of replies.

use crate::message::{Body, Command, DecodeError, Fields};
use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_MASKABLE, VFIO_IRQ_INFO_NORESIZE, VFIO_REGION_INFO_CAP_SPARSE_MMAP,
    VFIO_REGION_INFO_FLAG_CAPS, VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
};

/// Bytes of a region's description without capabilities: the least that a client must have room for.
pub const REGION_INFO_SIZE: u32 = 32;
/// The number of the sparse-mmap capability, as its field is wide.
const SPARSE_MMAP: u16 = 1;
const _: () = assert!(SPARSE_MMAP as u32 == VFIO_REGION_INFO_CAP_SPARSE_MMAP);
/// Bytes of a capability's header, and of the sparse-mmap capability before its areas.
const CAPABILITY_HEADER: u32 = 8;
const SPARSE_HEADER: u32 = 16;
/// Bytes of one area.
const AREA_SIZE: u32 = 16;

/// What the function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Whether it can be reset.
    pub resettable: bool,
    /// Whether it is a PCI function.
    pub pci: bool,
    /// Regions.
    pub regions: u32,
    /// Kinds of interrupts.
    pub irqs: u32,
}

impl DeviceInfo {
    /// Bytes of it.
    pub const SIZE: u32 = 16;

    /// As a body.
    pub fn encode(&self) -> Vec<u8> {
        let flags = if self.resettable { VFIO_DEVICE_FLAGS_RESET } else { 0 } | if self.pci { VFIO_DEVICE_FLAGS_PCI } else { 0 };
        Body::default().u32(Self::SIZE).u32(flags).u32(self.regions).u32(self.irqs).0
    }
    /// Out of a body.
    ///
    /// # Errors
    /// Too short.
    pub fn decode(body: &[u8]) -> Result<DeviceInfo, DecodeError> {
        let mut f = Fields::new(Command::DeviceGetInfo, body);
        let (_argsz, flags) = (f.u32()?, f.u32()?);
        let (resettable, pci) = (flags & VFIO_DEVICE_FLAGS_RESET != 0, flags & VFIO_DEVICE_FLAGS_PCI != 0);
        Ok(DeviceInfo { resettable, pci, regions: f.u32()?, irqs: f.u32()? })
    }
}

/// A part of a region that a client may map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First byte in the region.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// A region as its description says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    /// Region.
    pub index: u32,
    /// It may be read.
    pub readable: bool,
    /// It may be written.
    pub writable: bool,
    /// Parts of it may be mapped, by the descriptor that comes with the reply.
    pub mappable: bool,
    /// Bytes of the region.
    pub size: u64,
    /// Where the region begins in that descriptor.
    pub offset: u64,
    /// The parts that may be mapped; none said means the whole region, if it is mappable.
    pub areas: Vec<Area>,
}

impl RegionInfo {
    /// Bytes of the whole description.
    pub fn argsz(&self) -> u32 {
        if self.areas.is_empty() {
            return REGION_INFO_SIZE;
        }
        let areas = u32::try_from(self.areas.len()).unwrap_or(u32::MAX).saturating_mul(AREA_SIZE);
        areas.saturating_add(REGION_INFO_SIZE + SPARSE_HEADER)
    }

    /// As a body of at most `room` bytes, as the kernel does it: if capabilities do not fit, the description goes without them, and says
    /// how much room the whole one takes.
    pub fn encode(&self, room: u32) -> Vec<u8> {
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        let whole = !self.areas.is_empty() && self.argsz() <= room;
        let flags = flag(self.readable, VFIO_REGION_INFO_FLAG_READ)
            | flag(self.writable, VFIO_REGION_INFO_FLAG_WRITE)
            | flag(self.mappable, VFIO_REGION_INFO_FLAG_MMAP)
            | flag(whole, VFIO_REGION_INFO_FLAG_CAPS);
        let body = Body::default().u32(self.argsz()).u32(flags).u32(self.index).u32(flag(whole, REGION_INFO_SIZE)).u64(self.size).u64(self.offset);
        if !whole {
            return body.0;
        }
        // One capability, the last: its header says that no other follows.
        let count = u32::try_from(self.areas.len()).unwrap_or(u32::MAX);
        let body = body.u16(SPARSE_MMAP).u16(1).u32(0).u32(count).u32(0);
        self.areas.iter().fold(body, |body, area| body.u64(area.offset).u64(area.size)).0
    }

    /// Out of a body, with the bytes that the whole description takes: if they are more than the body has, capabilities may be missing.
    ///
    /// # Errors
    /// Too short, or a capability that is not where it is said to be.
    pub fn decode(body: &[u8]) -> Result<(RegionInfo, u32), DecodeError> {
        let mut f = Fields::new(Command::DeviceGetRegionInfo, body);
        let (argsz, flags, index, first, size, offset) = (f.u32()?, f.u32()?, f.u32()?, f.u32()?, f.u64()?, f.u64()?);
        let areas = if flags & VFIO_REGION_INFO_FLAG_CAPS != 0 { sparse_areas(body, first)? } else { Vec::new() };
        let (readable, writable) = (flags & VFIO_REGION_INFO_FLAG_READ != 0, flags & VFIO_REGION_INFO_FLAG_WRITE != 0);
        Ok((RegionInfo { index, readable, writable, mappable: flags & VFIO_REGION_INFO_FLAG_MMAP != 0, size, offset, areas }, argsz))
    }
}

/// Walks the list of capabilities to the areas that may be mapped. Each must lie behind the one before it, so the walk ends.
fn sparse_areas(body: &[u8], first: u32) -> Result<Vec<Area>, DecodeError> {
    let (mut at, mut least) = (first, REGION_INFO_SIZE);
    // A place of 0 ends the list.
    while at != 0 {
        let mut f = Fields::new(Command::DeviceGetRegionInfo, body);
        f.field("place of a capability", at.into(), at >= least)?;
        f.bytes(at as usize)?;
        let (id, _version, next) = (f.u16()?, f.u16()?, f.u32()?);
        if id == SPARSE_MMAP {
            let (count, _reserved) = (f.u32()?, f.u32()?);
            let there = f.clone().rest().len() / AREA_SIZE as usize;
            f.field("count of areas", count.into(), count as usize <= there)?;
            return (0..count).map(|_| Ok(Area { offset: f.u64()?, size: f.u64()? })).collect();
        }
        least = at.saturating_add(CAPABILITY_HEADER);
        at = next;
    }
    Ok(Vec::new())
}

/// A kind of interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqInfo {
    /// Kind.
    pub index: u32,
    /// Interrupts of this kind; 0 means that there is no such kind.
    pub count: u32,
    /// They may be signalled by eventfds.
    pub eventfd: bool,
    /// They may be masked and unmasked by messages.
    pub maskable: bool,
    /// They are set up all at once.
    pub fixed: bool,
}

impl IrqInfo {
    /// Bytes of it.
    pub const SIZE: u32 = 16;

    /// As a body.
    pub fn encode(&self) -> Vec<u8> {
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        let flags = flag(self.eventfd, VFIO_IRQ_INFO_EVENTFD) | flag(self.maskable, VFIO_IRQ_INFO_MASKABLE) | flag(self.fixed, VFIO_IRQ_INFO_NORESIZE);
        Body::default().u32(Self::SIZE).u32(flags).u32(self.index).u32(self.count).0
    }
    /// Out of a body.
    ///
    /// # Errors
    /// Too short.
    pub fn decode(body: &[u8]) -> Result<IrqInfo, DecodeError> {
        let mut f = Fields::new(Command::DeviceGetIrqInfo, body);
        let (_argsz, flags, index, count) = (f.u32()?, f.u32()?, f.u32()?, f.u32()?);
        let flag = |flag: u32| flags & flag != 0;
        Ok(IrqInfo { index, count, eventfd: flag(VFIO_IRQ_INFO_EVENTFD), maskable: flag(VFIO_IRQ_INFO_MASKABLE), fixed: flag(VFIO_IRQ_INFO_NORESIZE) })
    }
}
