//! The server's side: what a function must offer, and the loop that serves one client.

use crate::message::{
    Access, Area, Capabilities, Command, DecodeError, DeviceInfo, DmaMap, DmaUnmap, Header, IrqAction, IrqData, IrqInfo, Kind, RegionInfo, Request, SetIrqs,
    SmallWrite, Version, MAJOR, MAX_DATA, MINOR, REGION_INFO_SIZE,
};
use crate::socket::{receive, send, Message, SocketError};
use crate::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A message that has begun must be complete after this, and a reply taken: a client that stops in between is not waited for.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A region of the function, with the number of its place in [`Backend::regions`].
#[derive(Debug, Default)]
pub struct Region {
    /// Bytes; 0 if there is no such region.
    pub size: u64,
    /// It may be read.
    pub readable: bool,
    /// It may be written.
    pub writable: bool,
    /// What a client may map of it.
    pub mapping: Option<Mapping>,
}

/// How a client maps parts of a region.
#[derive(Debug)]
pub struct Mapping {
    /// What to map.
    pub fd: OwnedFd,
    /// Where the region's first byte lies in it.
    pub offset: u64,
    /// The parts; at least one.
    pub areas: Vec<Area>,
}

/// A kind of interrupts, with the number of its place in [`Backend::irqs`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Irq {
    /// Interrupts of this kind.
    pub count: u32,
    /// Whether messages may mask them.
    pub maskable: bool,
}

/// Sets up interrupts `start` to `start + count - 1` of the kind `index`. They exist: the server has checked it.
#[derive(Debug)]
pub struct IrqSet {
    /// Kind of interrupts.
    pub index: u32,
    /// First of them.
    pub start: u32,
    /// How many.
    pub count: u32,
    /// What to do.
    pub action: IrqAction,
    /// Which of them, or where to signal them.
    pub data: IrqSetData,
}

/// Which interrupts are meant.
#[derive(Debug)]
pub enum IrqSetData {
    /// All; with a count of 0 (and [`IrqAction::Trigger`]) the whole kind is switched off.
    None,
    /// Those with `true`; as many as the count.
    Bool(Vec<bool>),
    /// Where to signal each, or nowhere any more; as many as the count.
    Eventfds(Vec<Option<OwnedFd>>),
}

/// A function that can be served. The server has checked every range before it calls.
///
/// An error number goes to the client as it is. The stream goes on.
pub trait Backend {
    /// Regions, in the order of VFIO's indices (for PCI: BAR 0 to 5, ROM, configuration space).
    fn regions(&self) -> &[Region];
    /// Kinds of interrupts, in the order of VFIO's indices (for PCI: INTx, MSI, MSI-X, error, request).
    fn irqs(&self) -> &[Irq];
    /// Reads `data.len()` bytes, at least 1, inside a readable region.
    ///
    /// # Errors
    /// What the client is told.
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno>;
    /// Writes `data.len()` bytes, at least 1, inside a writable region.
    ///
    /// # Errors
    /// What the client is told.
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno>;
    /// The client shows memory: neither the range of bus addresses nor that of the file is empty or runs over the end of 64 bits. Without a
    /// descriptor the memory cannot be reached.
    ///
    /// # Errors
    /// What the client is told; [`Errno::EXIST`] if a mapping overlaps.
    fn dma_map(&mut self, map: DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno>;
    /// Takes a mapping back: there is no access to it after this returns. The range is not empty and does not run over the end of 64 bits.
    ///
    /// # Errors
    /// What the client is told.
    fn dma_unmap(&mut self, iova: u64, size: u64) -> Result<(), Errno>;
    /// Takes every mapping back.
    ///
    /// # Errors
    /// What the client is told.
    fn dma_unmap_all(&mut self) -> Result<(), Errno>;
    /// Sets up interrupts.
    ///
    /// # Errors
    /// What the client is told.
    fn set_irqs(&mut self, set: IrqSet) -> Result<(), Errno>;
    /// Resets the function.
    ///
    /// # Errors
    /// What the client is told.
    fn reset(&mut self) -> Result<(), Errno>;
}

/// How a client's time ended in good order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It hung up between two messages.
    HungUp,
    /// It and the server do not understand each other; it has been told.
    Refused(String),
}

/// Serves one client until it hangs up. Whoever wants to end it from outside shuts the stream down.
///
/// A request that cannot be granted gets an error reply, and the next one is taken; only what leaves no way to find the next message ends it.
///
/// # Errors
/// The client hung up in mid-message, stopped in one for longer than [`PATIENCE`], or sent a header with an impossible size.
pub fn serve(stream: &UnixStream, backend: &mut dyn Backend) -> Result<Ended, SocketError> {
    let Some(first) = take(stream)? else { return Ok(Ended::HungUp) };
    if let Err(refusal) = negotiate(stream, &first)? {
        return Ok(Ended::Refused(refusal));
    }
    while let Some(message) = take(stream)? {
        let header = message.header;
        if header.kind() != Some(Kind::Command) {
            tracing::debug!(?header, "not a command, and nothing was asked");
            continue;
        }
        match execute(backend, message) {
            Ok(answer) => reply(stream, &header, &header.reply(answer.body.len()), &answer)?,
            Err(refusal) => {
                tracing::debug!(?header, %refusal, "refused");
                reply(stream, &header, &header.failure(refusal.errno()), &Answer::default())?;
            }
        }
    }
    Ok(Ended::HungUp)
}

/// Why a request is not granted.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{0:?} with {1} descriptors")]
    Descriptors(Command, usize),
    #[error(transparent)]
    Errno(#[from] Errno),
}

impl Refusal {
    fn errno(&self) -> Errno {
        match self {
            Refusal::Decode(e) => e.errno(),
            Refusal::Descriptors(..) => Errno::INVAL,
            Refusal::Errno(errno) => *errno,
        }
    }
}

/// What an answer consists of.
#[derive(Default)]
struct Answer<'a> {
    body: Vec<u8>,
    fd: Option<BorrowedFd<'a>>,
}

impl Answer<'_> {
    fn body(body: Vec<u8>) -> Self {
        Answer { body, fd: None }
    }
}

fn take(stream: &UnixStream) -> Result<Option<Message>, SocketError> {
    let received = receive(stream, None, PATIENCE);
    if let Err(SocketError::Size(header)) = &received {
        // There is no way to find the next message, but the client may learn why.
        reply(stream, header, &header.failure(Errno::MSGSIZE), &Answer::default())?;
    }
    received
}

fn reply(stream: &UnixStream, request: &Header, reply: &Header, answer: &Answer<'_>) -> Result<(), SocketError> {
    if request.no_reply() || request.kind() != Some(Kind::Command) {
        return Ok(());
    }
    let fds: Vec<BorrowedFd<'_>> = answer.fd.into_iter().collect();
    send(stream, reply, &[&answer.body], &fds, Instant::now() + PATIENCE)
}

/// The first message must be the client's version. The inner error is why it was refused.
fn negotiate(stream: &UnixStream, message: &Message) -> Result<Result<(), String>, SocketError> {
    let header = &message.header;
    let refusal = match Request::decode(header.command, &message.body) {
        _ if header.kind() != Some(Kind::Command) || header.no_reply() => "the first message wants no reply".into(),
        Ok(Request::Version(theirs)) if theirs.major == MAJOR => {
            let ours = Capabilities::ours();
            let capabilities = Capabilities { write_multiple: ours.write_multiple && theirs.capabilities.write_multiple, ..ours };
            let body = Version { major: MAJOR, minor: MINOR.min(theirs.minor), capabilities }.encode();
            reply(stream, header, &header.reply(body.len()), &Answer::body(body))?;
            return Ok(Ok(()));
        }
        Ok(Request::Version(theirs)) => format!("version {}.{}: expected {MAJOR}.x", theirs.major, theirs.minor),
        Ok(other) => format!("the first message is {:?}: expected Version", other.command()),
        Err(e) => e.to_string(),
    };
    reply(stream, header, &header.failure(Errno::INVAL), &Answer::default())?;
    Ok(Err(refusal))
}

/// Does what a message asks for.
fn execute(backend: &mut dyn Backend, mut message: Message) -> Result<Answer<'_>, Refusal> {
    let mut fds = std::mem::take(&mut message.fds);
    let request = Request::decode(message.header.command, &message.body)?;
    let allowed = match request {
        Request::DmaMap(_) => 1,
        Request::DeviceSetIrqs(SetIrqs { data: IrqData::Eventfds, .. }) => fds.len(),
        _ => 0,
    };
    if message.surplus > 0 || fds.len() > allowed {
        return Err(Refusal::Descriptors(request.command(), fds.len() + message.surplus));
    }
    let done = |done: Result<(), Errno>| Ok(done.map(|()| Answer::default())?);
    match request {
        Request::Version(_) | Request::DmaRead { .. } | Request::DmaWrite { .. } => Err(Errno::INVAL.into()),
        Request::DeviceGetRegionIoFds { .. } => Err(Errno::NOTSUP.into()),
        Request::DmaMap(map) => done(dma_map(backend, map, fds.pop())),
        Request::DmaUnmap(unmap) => Ok(dma_unmap(backend, unmap)?),
        Request::DeviceGetInfo { argsz } => Ok(device_info(backend, argsz)?),
        Request::DeviceGetRegionInfo { argsz, index } => Ok(region_info(backend, argsz, index)?),
        Request::DeviceGetIrqInfo { argsz, index } => Ok(irq_info(backend, argsz, index)?),
        Request::DeviceSetIrqs(set) => done(set_irqs(backend, &set, fds)),
        Request::RegionRead(access) => Ok(region_read(backend, access)?),
        Request::RegionWrite(access, data) => {
            region_write(backend, access, data)?;
            Ok(Answer::body(access.reply(&[])))
        }
        Request::DeviceReset => done(backend.reset()),
        Request::RegionWriteMulti(writes) => Ok(write_multiple(backend, &writes)),
    }
}

/// Whether a range has bytes, and none beyond the end of 64 bits.
fn check_range(first: u64, size: u64) -> Result<(), Errno> {
    match size.checked_sub(1).and_then(|last| first.checked_add(last)) {
        Some(_) => Ok(()),
        None => Err(Errno::INVAL),
    }
}

fn dma_map(backend: &mut dyn Backend, map: DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno> {
    check_range(map.iova, map.size)?;
    check_range(map.offset, map.size)?;
    backend.dma_map(map, fd)
}

fn dma_unmap(backend: &mut dyn Backend, unmap: DmaUnmap) -> Result<Answer<'_>, Errno> {
    if unmap.all {
        backend.dma_unmap_all()?;
    } else {
        check_range(unmap.iova, unmap.size)?;
        backend.dma_unmap(unmap.iova, unmap.size)?;
    }
    Ok(Answer::body(unmap.reply()))
}

fn device_info(backend: &mut dyn Backend, argsz: u32) -> Result<Answer<'_>, Errno> {
    if argsz < DeviceInfo::SIZE {
        return Err(Errno::INVAL);
    }
    let count = |n: usize| u32::try_from(n).map_err(|_| Errno::OVERFLOW);
    let info = DeviceInfo { resettable: true, pci: true, regions: count(backend.regions().len())?, irqs: count(backend.irqs().len())? };
    Ok(Answer::body(info.encode()))
}

fn region_info(backend: &mut dyn Backend, argsz: u32, index: u32) -> Result<Answer<'_>, Errno> {
    let region = backend.regions().get(index as usize).filter(|_| argsz >= REGION_INFO_SIZE).ok_or(Errno::INVAL)?;
    let mapping = region.mapping.as_ref();
    let info = RegionInfo {
        index,
        readable: region.readable,
        writable: region.writable,
        mappable: mapping.is_some(),
        size: region.size,
        offset: mapping.map_or(0, |m| m.offset),
        areas: mapping.map(|m| m.areas.clone()).unwrap_or_default(),
    };
    Ok(Answer { body: info.encode(argsz), fd: mapping.map(|m| m.fd.as_fd()) })
}

fn irq_info(backend: &mut dyn Backend, argsz: u32, index: u32) -> Result<Answer<'_>, Errno> {
    let irq = backend.irqs().get(index as usize).filter(|_| argsz >= IrqInfo::SIZE).ok_or(Errno::INVAL)?;
    Ok(Answer::body(IrqInfo { index, count: irq.count, eventfd: irq.count > 0, maskable: irq.maskable, fixed: false }.encode()))
}

fn set_irqs(backend: &mut dyn Backend, set: &SetIrqs<'_>, fds: Vec<OwnedFd>) -> Result<(), Errno> {
    let SetIrqs { index, start, count, action, data } = *set;
    let irq = backend.irqs().get(index as usize).ok_or(Errno::INVAL)?;
    let off = count == 0 && start == 0 && data == IrqData::None && action == IrqAction::Trigger;
    let inside = count > 0 && start.checked_add(count).is_some_and(|end| end <= irq.count);
    if !(off || inside) || (action != IrqAction::Trigger && !irq.maskable) {
        return Err(Errno::INVAL);
    }
    let data = match data {
        IrqData::None => IrqSetData::None,
        IrqData::Bool(bytes) => IrqSetData::Bool(bytes.iter().map(|b| *b != 0).collect()),
        IrqData::Eventfds if fds.is_empty() => IrqSetData::Eventfds((0..count).map(|_| None).collect()),
        IrqData::Eventfds if fds.len() == count as usize => IrqSetData::Eventfds(fds.into_iter().map(Some).collect()),
        IrqData::Eventfds => return Err(Errno::INVAL),
    };
    backend.set_irqs(IrqSet { index, start, count, action, data })
}

/// Whether there is anything to do: bytes, in a region that allows it.
fn check_access(backend: &dyn Backend, access: Access, allowed: impl Fn(&Region) -> bool) -> Result<bool, Errno> {
    let region = backend.regions().get(access.region as usize).ok_or(Errno::INVAL)?;
    let inside = access.offset.checked_add(access.count.into()).is_some_and(|end| end <= region.size);
    if !inside || access.count > MAX_DATA {
        return Err(Errno::INVAL);
    }
    if !allowed(region) {
        return Err(Errno::PERM);
    }
    Ok(access.count > 0)
}

fn region_read(backend: &mut dyn Backend, access: Access) -> Result<Answer<'_>, Errno> {
    let any = check_access(backend, access, |r| r.readable)?;
    let mut data = vec![0; access.count as usize];
    if any {
        backend.region_read(access.region, access.offset, &mut data)?;
    }
    Ok(Answer::body(access.reply(&data)))
}

fn region_write(backend: &mut dyn Backend, access: Access, data: &[u8]) -> Result<(), Errno> {
    match check_access(backend, access, |r| r.writable)? {
        true => backend.region_write(access.region, access.offset, data),
        false => Ok(()),
    }
}

/// Does the writes up to the first that fails, and says how many there were.
fn write_multiple<'a>(backend: &mut dyn Backend, writes: &[SmallWrite]) -> Answer<'a> {
    let done = writes.iter().take_while(|w| region_write(backend, w.access, w.bytes()).is_ok()).count();
    Answer::body((done as u64).to_ne_bytes().into())
}
