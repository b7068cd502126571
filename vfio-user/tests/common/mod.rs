//! A function that notes what it is asked for, and a client of bytes.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use rustix::fs::{ftruncate, memfd_create, MemfdFlags};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use toe_vfio_user::message::{Area, Capabilities, Command, DmaMap, Header, IrqAction, Request, Version, HEADER_SIZE};
use toe_vfio_user::server::{serve, Backend, Ended, Irq, IrqSet, IrqSetData, Mapping, Region};
use toe_vfio_user::socket::{send, SocketError};
use toe_vfio_user::Errno;

/// What a backend was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    Read(u32, u64, usize),
    Write(u32, u64, Vec<u8>),
    Map(DmaMap, bool),
    Unmap(u64, u64),
    UnmapAll,
    /// Kind, start, count, action, data.
    Irqs(u32, u32, u32, IrqAction, String),
    Reset,
}

/// Regions 0 (mappable, 0x4000 bytes), 1 (none), 2 (read only, 4 MiB), 7 (configuration space); interrupts 1, 0, 4.
pub struct Notes {
    pub notes: Vec<Note>,
    pub regions: Vec<Region>,
    pub irqs: Vec<Irq>,
    pub config: Vec<u8>,
    pub eventfds: Vec<OwnedFd>,
    pub fds: Vec<OwnedFd>,
    /// What every call is answered.
    pub refuse: Option<Errno>,
}

pub fn memfd(bytes: u64) -> OwnedFd {
    let fd = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, bytes).unwrap();
    fd
}

impl Default for Notes {
    fn default() -> Self {
        let region = |size, readable, writable| Region { size, readable, writable, mapping: None };
        let areas = vec![Area { offset: 0x1000, size: 0x1000 }, Area { offset: 0x3000, size: 0x1000 }];
        let mut regions: Vec<Region> = (0..8).map(|_| Region::default()).collect();
        regions[0] = Region { mapping: Some(Mapping { fd: memfd(0x5000), offset: 0x1000, areas }), ..region(0x4000, true, true) };
        regions[2] = region(4 << 20, true, false);
        regions[7] = region(0x1000, true, true);
        let irqs = [(1, true), (0, false), (4, false)].map(|(count, maskable)| Irq { count, maskable }).into();
        Notes { notes: vec![], regions, irqs, config: vec![0; 0x1000], eventfds: vec![], fds: vec![], refuse: None }
    }
}

impl Notes {
    fn note(&mut self, note: Note) -> Result<(), Errno> {
        self.notes.push(note);
        self.refuse.map_or(Ok(()), Err)
    }
}

impl Backend for Notes {
    fn regions(&self) -> &[Region] {
        &self.regions
    }
    fn irqs(&self) -> &[Irq] {
        &self.irqs
    }
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        for (at, byte) in (offset..).zip(data.iter_mut()) {
            *byte = if region == 7 { self.config[usize::try_from(at).unwrap()] } else { at.to_le_bytes()[0] };
        }
        self.note(Note::Read(region, offset, data.len()))
    }
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        if region == 7 {
            self.config[usize::try_from(offset).unwrap()..][..data.len()].copy_from_slice(data);
        }
        self.note(Note::Write(region, offset, data.into()))
    }
    fn dma_map(&mut self, map: DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno> {
        let there = fd.is_some();
        self.fds.extend(fd);
        self.note(Note::Map(map, there))
    }
    fn dma_unmap(&mut self, iova: u64, size: u64) -> Result<(), Errno> {
        self.note(Note::Unmap(iova, size))
    }
    fn dma_unmap_all(&mut self) -> Result<(), Errno> {
        self.note(Note::UnmapAll)
    }
    fn set_irqs(&mut self, set: IrqSet) -> Result<(), Errno> {
        let data = match set.data {
            IrqSetData::None => "none".into(),
            IrqSetData::Bool(which) => format!("{which:?}"),
            IrqSetData::Eventfds(fds) => {
                let there: Vec<bool> = fds.iter().map(|f| f.is_some()).collect();
                self.eventfds.extend(fds.into_iter().flatten());
                format!("eventfds {there:?}")
            }
        };
        self.note(Note::Irqs(set.index, set.start, set.count, set.action, data))
    }
    fn reset(&mut self) -> Result<(), Errno> {
        self.note(Note::Reset)
    }
}

/// A server in a thread, and the stream to it.
pub struct Served {
    pub stream: UnixStream,
    server: JoinHandle<(Notes, Result<Ended, SocketError>)>,
    id: u16,
}

impl Served {
    pub fn start(mut backend: Notes) -> Served {
        let (stream, theirs) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let server = std::thread::spawn(move || {
            let ended = serve(&theirs, &mut backend);
            (backend, ended)
        });
        Served { stream, server, id: 0x1000 }
    }
    /// With the version agreed upon.
    pub fn negotiated(backend: Notes) -> Served {
        let mut served = Served::start(backend);
        let version = Version { major: 0, minor: 1, capabilities: Capabilities::ours() };
        assert!(served.ask(&Request::Version(version), &[]).is_ok());
        served
    }
    /// Hangs up.
    pub fn end(self) -> (Notes, Result<Ended, SocketError>) {
        drop(self.stream);
        self.server.join().expect("the server does not panic")
    }
    /// Hangs up, in good order.
    pub fn notes(self) -> Vec<Note> {
        let (backend, ended) = self.end();
        assert_eq!(ended.expect("nothing bad on the stream"), Ended::HungUp);
        backend.notes
    }

    pub fn send(&mut self, command: u16, body: &[u8], fds: &[BorrowedFd<'_>], reply: bool) {
        self.id += 1;
        let header = Header { command, ..Header::command(self.id, Command::Version, body.len(), reply) };
        send(&self.stream, &header, &[body], fds, Instant::now() + Duration::from_secs(20)).unwrap();
    }
    /// The next reply, which must be that to the message sent last.
    pub fn reply(&mut self, command: u16) -> Result<Vec<u8>, Errno> {
        let mut head = [0; HEADER_SIZE];
        self.stream.read_exact(&mut head).expect("a reply");
        let header = Header::decode(&head);
        let mut body = vec![0; header.size as usize - HEADER_SIZE];
        self.stream.read_exact(&mut body).expect("its body");
        assert_eq!((header.id, header.command, header.flags & 0xf), (self.id, command, 1));
        match header.errno() {
            None => Ok(body),
            Some(errno) => {
                assert!(body.is_empty(), "an error reply is only a header");
                Err(errno)
            }
        }
    }
    pub fn raw(&mut self, command: u16, body: &[u8], fds: &[BorrowedFd<'_>]) -> Result<Vec<u8>, Errno> {
        self.send(command, body, fds, true);
        self.reply(command)
    }
    pub fn ask(&mut self, request: &Request<'_>, fds: &[BorrowedFd<'_>]) -> Result<Vec<u8>, Errno> {
        self.raw(request.command() as u16, &request.encode(), fds)
    }
}

/// Files of which kind are open in this process.
pub fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

pub fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(|fd| fd.as_fd()).collect()
}
