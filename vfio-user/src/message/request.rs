//! Bodies of commands.

use crate::message::{Body, Command, DecodeError, Fields, Version};
use vfio_bindings::bindings::vfio::{
    VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_DMA_UNMAP_FLAG_ALL, VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER,
    VFIO_IRQ_SET_ACTION_TYPE_MASK, VFIO_IRQ_SET_ACTION_UNMASK, VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
    VFIO_IRQ_SET_DATA_TYPE_MASK,
};

/// A command with what belongs to it. `argsz` is the most bytes that the reply's body may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Version and capabilities of the client.
    Version(Version),
    /// A DMA mapping; its descriptor comes with the message.
    DmaMap(DmaMap),
    /// Takes mappings back.
    DmaUnmap(DmaUnmap),
    /// Asks for a [`super::DeviceInfo`].
    DeviceGetInfo {
        /// Room for the reply, in bytes.
        argsz: u32,
    },
    /// Asks for a [`super::RegionInfo`].
    DeviceGetRegionInfo {
        /// Room for the reply, in bytes.
        argsz: u32,
        /// Region.
        index: u32,
    },
    /// Asks for descriptors of a region.
    DeviceGetRegionIoFds {
        /// Room for the reply, in bytes.
        argsz: u32,
        /// Region.
        index: u32,
    },
    /// Asks for an [`super::IrqInfo`].
    DeviceGetIrqInfo {
        /// Room for the reply, in bytes.
        argsz: u32,
        /// Kind of interrupt.
        index: u32,
    },
    /// Sets up interrupts; eventfds come with the message.
    DeviceSetIrqs(SetIrqs<'a>),
    /// Reads from a region.
    RegionRead(Access),
    /// Writes to a region; the data are as long as the access says.
    RegionWrite(Access, &'a [u8]),
    /// From the server: reads the client's memory.
    DmaRead {
        /// Bus address.
        iova: u64,
        /// Bytes.
        count: u64,
    },
    /// From the server: writes the client's memory.
    DmaWrite {
        /// Bus address.
        iova: u64,
        /// What to write.
        data: &'a [u8],
    },
    /// Resets the function.
    DeviceReset,
    /// Small writes, in this order.
    RegionWriteMulti(Vec<SmallWrite>),
}

/// A range of bus addresses, and where it lies in the descriptor that comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaMap {
    /// First bus address.
    pub iova: u64,
    /// Bytes.
    pub size: u64,
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// The device may read.
    pub readable: bool,
    /// The device may write.
    pub writable: bool,
}

/// A range of bus addresses that was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaUnmap {
    /// Room for the reply, in bytes.
    pub argsz: u32,
    /// First bus address.
    pub iova: u64,
    /// Bytes.
    pub size: u64,
    /// Every mapping there is, whatever the range.
    pub all: bool,
}

/// A part of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// First byte in the region.
    pub offset: u64,
    /// Region.
    pub region: u32,
    /// Bytes.
    pub count: u32,
}

/// One of several writes in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallWrite {
    /// Where; up to 8 bytes.
    pub access: Access,
    /// The bytes, then zeros.
    pub data: [u8; 8],
}

/// What is to be done with interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqAction {
    /// Signal them, or say where they are signalled.
    Trigger,
    /// Mask them.
    Mask,
    /// Unmask them.
    Unmask,
}

/// Sets up interrupts `start` to `start + count - 1` of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetIrqs<'a> {
    /// Kind of interrupt.
    pub index: u32,
    /// First interrupt.
    pub start: u32,
    /// Interrupts.
    pub count: u32,
    /// What to do.
    pub action: IrqAction,
    /// With which data.
    pub data: IrqData<'a>,
}

/// Which of the interrupts are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqData<'a> {
    /// All of them; with a count of 0, the whole kind is switched off.
    None,
    /// Those whose byte is not 0; one byte for each.
    Bool(&'a [u8]),
    /// Eventfds come with the message, one for each; none means that they are taken away.
    Eventfds,
}

impl<'a> Request<'a> {
    /// Out of a header's command number and a body.
    ///
    /// # Errors
    /// No such command, a body too short for it, or a field with a value that means nothing.
    pub fn decode(command: u16, body: &'a [u8]) -> Result<Request<'a>, DecodeError> {
        let command = Command::from_number(command)?;
        let mut f = Fields::new(command, body);
        Ok(match command {
            Command::Version => Request::Version(Version::decode(body)?),
            Command::DmaMap => Request::DmaMap(DmaMap::decode(f)?),
            Command::DmaUnmap => Request::DmaUnmap(DmaUnmap::decode(f)?),
            Command::DeviceGetInfo => Request::DeviceGetInfo { argsz: f.u32()? },
            Command::DeviceGetRegionInfo | Command::DeviceGetRegionIoFds | Command::DeviceGetIrqInfo => {
                let (argsz, _flags, index) = (f.u32()?, f.u32()?, f.u32()?);
                match command {
                    Command::DeviceGetRegionInfo => Request::DeviceGetRegionInfo { argsz, index },
                    Command::DeviceGetRegionIoFds => Request::DeviceGetRegionIoFds { argsz, index },
                    _ => Request::DeviceGetIrqInfo { argsz, index },
                }
            }
            Command::DeviceSetIrqs => Request::DeviceSetIrqs(SetIrqs::decode(f)?),
            Command::RegionRead => Request::RegionRead(Access::decode(&mut f)?),
            Command::RegionWrite => {
                let access = Access::decode(&mut f)?;
                Request::RegionWrite(access, f.bytes(access.count as usize)?)
            }
            Command::DmaRead => Request::DmaRead { iova: f.u64()?, count: f.u64()? },
            Command::DmaWrite => {
                let (iova, count) = (f.u64()?, f.u64()?);
                Request::DmaWrite { iova, data: f.bytes(usize::try_from(count).unwrap_or(usize::MAX))? }
            }
            Command::DeviceReset => Request::DeviceReset,
            Command::RegionWriteMulti => Request::RegionWriteMulti(SmallWrite::decode_all(f)?),
        })
    }

    /// Its command.
    pub fn command(&self) -> Command {
        match self {
            Request::Version(_) => Command::Version,
            Request::DmaMap(_) => Command::DmaMap,
            Request::DmaUnmap(_) => Command::DmaUnmap,
            Request::DeviceGetInfo { .. } => Command::DeviceGetInfo,
            Request::DeviceGetRegionInfo { .. } => Command::DeviceGetRegionInfo,
            Request::DeviceGetRegionIoFds { .. } => Command::DeviceGetRegionIoFds,
            Request::DeviceGetIrqInfo { .. } => Command::DeviceGetIrqInfo,
            Request::DeviceSetIrqs(_) => Command::DeviceSetIrqs,
            Request::RegionRead(_) => Command::RegionRead,
            Request::RegionWrite(..) => Command::RegionWrite,
            Request::DmaRead { .. } => Command::DmaRead,
            Request::DmaWrite { .. } => Command::DmaWrite,
            Request::DeviceReset => Command::DeviceReset,
            Request::RegionWriteMulti(_) => Command::RegionWriteMulti,
        }
    }

    /// Its body.
    pub fn encode(&self) -> Vec<u8> {
        let body = Body::default();
        match self {
            Request::Version(version) => return version.encode(),
            Request::DmaMap(map) => map.encode(body),
            Request::DmaUnmap(unmap) => unmap.encode(body),
            // The fields that the reply fills in are zero here.
            Request::DeviceGetInfo { argsz } => body.u32(*argsz).u32(0).u32(0).u32(0),
            Request::DeviceGetRegionInfo { argsz, index } => body.u32(*argsz).u32(0).u32(*index).u32(0).u64(0).u64(0),
            Request::DeviceGetRegionIoFds { argsz, index } | Request::DeviceGetIrqInfo { argsz, index } => body.u32(*argsz).u32(0).u32(*index).u32(0),
            Request::DeviceSetIrqs(set) => set.encode(body),
            Request::RegionRead(access) => access.encode(body),
            Request::RegionWrite(access, data) => access.encode(body).bytes(data),
            Request::DmaRead { iova, count } => body.u64(*iova).u64(*count),
            Request::DmaWrite { iova, data } => body.u64(*iova).u64(data.len() as u64).bytes(data),
            Request::DeviceReset => body,
            Request::RegionWriteMulti(writes) => writes.iter().fold(body.u64(writes.len() as u64), |body, w| w.access.encode(body).bytes(&w.data)),
        }
        .0
    }
}

impl DmaMap {
    /// Bytes of the body.
    const SIZE: u32 = 32;

    fn decode(mut f: Fields<'_>) -> Result<DmaMap, DecodeError> {
        let (_argsz, flags, offset, iova, size) = (f.u32()?, f.u32()?, f.u64()?, f.u64()?, f.u64()?);
        f.field("flags", flags.into(), flags & !(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE) == 0)?;
        Ok(DmaMap { iova, size, offset, readable: flags & VFIO_DMA_MAP_FLAG_READ != 0, writable: flags & VFIO_DMA_MAP_FLAG_WRITE != 0 })
    }
    fn encode(&self, body: Body) -> Body {
        let read = if self.readable { VFIO_DMA_MAP_FLAG_READ } else { 0 };
        let write = if self.writable { VFIO_DMA_MAP_FLAG_WRITE } else { 0 };
        body.u32(Self::SIZE).u32(read | write).u64(self.offset).u64(self.iova).u64(self.size)
    }
}

impl DmaUnmap {
    fn decode(mut f: Fields<'_>) -> Result<DmaUnmap, DecodeError> {
        let (argsz, flags, iova, size) = (f.u32()?, f.u32()?, f.u64()?, f.u64()?);
        f.field("flags", flags.into(), flags & !VFIO_DMA_UNMAP_FLAG_ALL == 0)?;
        Ok(DmaUnmap { argsz, iova, size, all: flags != 0 })
    }
    fn encode(&self, body: Body) -> Body {
        body.u32(self.argsz).u32(if self.all { VFIO_DMA_UNMAP_FLAG_ALL } else { 0 }).u64(self.iova).u64(self.size)
    }
    /// The reply's body: the request's own fields.
    pub fn reply(&self) -> Vec<u8> {
        self.encode(Body::default()).0
    }
}

impl Access {
    fn decode(f: &mut Fields<'_>) -> Result<Access, DecodeError> {
        Ok(Access { offset: f.u64()?, region: f.u32()?, count: f.u32()? })
    }
    fn encode(&self, body: Body) -> Body {
        body.u64(self.offset).u32(self.region).u32(self.count)
    }
    /// The body of a reply to a read (with the data) or to a write (without).
    pub fn reply(&self, data: &[u8]) -> Vec<u8> {
        self.encode(Body::default()).bytes(data).0
    }
    /// Out of the body of a reply to `command`, with the data behind it.
    ///
    /// # Errors
    /// Too short.
    pub fn decode_reply(command: Command, body: &[u8]) -> Result<(Access, &[u8]), DecodeError> {
        let mut f = Fields::new(command, body);
        let access = Access::decode(&mut f)?;
        Ok((access, f.rest()))
    }
}

impl SmallWrite {
    fn decode_all(mut f: Fields<'_>) -> Result<Vec<SmallWrite>, DecodeError> {
        let count = f.u64()?;
        // By the bytes that are there, not by what was said: that bounds the allocation.
        let there = f.clone().rest().len() / 24;
        f.field("count of writes", count, count <= there as u64)?;
        let mut writes = Vec::with_capacity(there);
        for _ in 0..count {
            let access = Access::decode(&mut f)?;
            f.field("size of a small write", access.count.into(), access.count <= 8)?;
            writes.push(SmallWrite { access, data: f.array()? });
        }
        Ok(writes)
    }
    /// The bytes to write.
    pub fn bytes(&self) -> &[u8] {
        &self.data[..(self.access.count as usize).min(8)]
    }
}

impl<'a> SetIrqs<'a> {
    /// Bytes of the body without data.
    const SIZE: u32 = 20;

    fn decode(mut f: Fields<'a>) -> Result<SetIrqs<'a>, DecodeError> {
        let (_argsz, flags, index, start, count) = (f.u32()?, f.u32()?, f.u32()?, f.u32()?, f.u32()?);
        f.field("flags", flags.into(), flags & !(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK) == 0)?;
        let action = match flags & VFIO_IRQ_SET_ACTION_TYPE_MASK {
            VFIO_IRQ_SET_ACTION_TRIGGER => Some(IrqAction::Trigger),
            VFIO_IRQ_SET_ACTION_MASK => Some(IrqAction::Mask),
            VFIO_IRQ_SET_ACTION_UNMASK => Some(IrqAction::Unmask),
            _ => None,
        };
        let field = |what| DecodeError::Field { command: Command::DeviceSetIrqs, what, found: flags.into() };
        let data = match flags & VFIO_IRQ_SET_DATA_TYPE_MASK {
            VFIO_IRQ_SET_DATA_NONE => IrqData::None,
            VFIO_IRQ_SET_DATA_BOOL => IrqData::Bool(f.bytes(count as usize)?),
            VFIO_IRQ_SET_DATA_EVENTFD => IrqData::Eventfds,
            _ => return Err(field("kind of data in flags")),
        };
        Ok(SetIrqs { index, start, count, action: action.ok_or(field("action in flags"))?, data })
    }

    fn encode(&self, body: Body) -> Body {
        let action = match self.action {
            IrqAction::Trigger => VFIO_IRQ_SET_ACTION_TRIGGER,
            IrqAction::Mask => VFIO_IRQ_SET_ACTION_MASK,
            IrqAction::Unmask => VFIO_IRQ_SET_ACTION_UNMASK,
        };
        let (kind, bytes): (u32, &[u8]) = match self.data {
            IrqData::None => (VFIO_IRQ_SET_DATA_NONE, &[]),
            IrqData::Bool(bytes) => (VFIO_IRQ_SET_DATA_BOOL, bytes),
            IrqData::Eventfds => (VFIO_IRQ_SET_DATA_EVENTFD, &[]),
        };
        let argsz = Self::SIZE.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        body.u32(argsz).u32(action | kind).u32(self.index).u32(self.start).u32(self.count).bytes(bytes)
    }
}
