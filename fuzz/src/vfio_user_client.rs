//! What a vfio-user server may answer to the driver's bus: replies, well made or not, requests of its own, descriptors of all kinds, noise.
//!
//! Checked beside "no panic, no hang": whatever the bus was told, it ends with an error when the server has hung up, and leaves no descriptor open.
//! All answers are sent before the first question, so one thread is enough.

use crate::input::Input;
use crate::session::{memory, pour};
use rustix::event::{eventfd, EventfdFlags};
use rustix::fs::SealFlags;
use std::fs::File;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use toe_contract::register::{BAR_SIZE, DOORBELLS};
use toe_driver::vfio_user::VfioUserBus;
use toe_driver::{Bus, BusError, Iova, Memory};
use toe_vfio_user::client::Client;
use toe_vfio_user::message::{Access, Area, Command, DeviceInfo, Header, IrqInfo, RegionInfo, Version};

/// An answer that is missing is never waited for: the stream has ended.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Answers are in the socket before they are read: so many fit.
const MOST_WRITES: usize = 100;

/// Lets the bus be opened and used on a server that answers what the input says.
///
/// # Panics
/// The bus has done what it must not.
pub fn run(data: &[u8]) {
    let before = File::open("/dev/null").expect("/dev/null").as_raw_fd();
    {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        Answers { stream: &theirs, id: 0, writes: 0 }.send(&mut Input::new(data));
        theirs.shutdown(Shutdown::Write).expect("the client has not hung up");
        if let Ok(client) = Client::new(ours, TIMEOUT) {
            use_bus(client);
        }
    }
    let after: RawFd = File::open("/dev/null").expect("/dev/null").as_raw_fd();
    assert_eq!(before, after, "a descriptor has been left open");
}

/// Does everything that a bus can, twice; then the server's answers are used up.
fn use_bus(client: Client) {
    let Ok(bus) = VfioUserBus::over(client) else { return };
    let memory = Memory::new(4096).expect("memory");
    let all = || -> Result<(), BusError> {
        bus.write32(DOORBELLS, 1)?;
        bus.read32(0)?;
        bus.map(&memory, Iova(0x10_0000))?;
        bus.read32(BAR_SIZE - 4)?;
        bus.unmap(Iova(0x10_0000), 4096)?;
        bus.reset()
    };
    // What they say depends on the answers.
    let _ = (all(), all());
    while !matches!(bus.reset(), Err(BusError::Gone(_))) {}
    // A mapped register needs no server; everything else does.
    assert!(bus.unmap(Iova(0), 4096).is_err() && matches!(bus.wait(bus.now()), Err(BusError::Gone(_))));
}

struct Answers<'a> {
    stream: &'a UnixStream,
    id: u16,
    writes: usize,
}

impl Answers<'_> {
    fn send(&mut self, input: &mut Input<'_>) {
        while !input.is_empty() && self.writes < MOST_WRITES {
            let (what, how) = (input.u8(), input.u8());
            let (command, body) = answer(what, input);
            let fds = descriptors(how, input);
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
            let asked = Header { command, ..Header::command(self.id, Command::Version, 0, true) };
            let mut header = asked.reply(body.len());
            match how >> 4 {
                1 => header.id = input.u16(),
                2 => header.size = input.u32(),
                3 => header.flags = input.u32(),
                4 => (header.flags, header.error) = (0x21, input.u32()),
                5 => (header.command, header.flags) = (input.u8().into(), 0),
                6 => header.command = input.u8().into(),
                _ => {}
            }
            self.id = self.id.wrapping_add(u16::from(header.flags & 0xf == 1));
            let body = if header.flags & 0x20 == 0 { body } else { vec![] };
            pour(self.stream, &[header.encode().as_slice(), &body].concat(), &fds);
            self.writes += 1;
        }
    }
}

/// An answer of some kind, with fields from the input where they matter.
fn answer(what: u8, input: &mut Input<'_>) -> (u16, Vec<u8>) {
    let flag = |byte: u8, bit: u8| byte >> bit & 1 == 0;
    let access = |region: u32, offset: u32, count: u32| Access { offset: offset.into(), region, count };
    let (command, body) = match what % 12 {
        0 => {
            let mut version = Version { major: 0, minor: 1, capabilities: Default::default() };
            (version.capabilities.max_msg_fds, version.capabilities.max_data_xfer_size) = (input.u8().into(), input.u32().into());
            (Command::Version, version.encode())
        }
        1 => (Command::DeviceGetInfo, DeviceInfo { resettable: true, pci: true, regions: input.u8().into(), irqs: input.u8().into() }.encode()),
        2 => {
            let (flags, room, areas) = (input.u8(), input.u8(), input.u8() % 4);
            let areas = (0..areas).map(|_| Area { offset: u64::from(input.u8()) << 12, size: u64::from(input.u8()) << 12 }).collect();
            let size = if flag(flags, 3) { BAR_SIZE.into() } else { input.u64() };
            let offset = if flag(flags, 4) { 0 } else { input.u64() };
            let info = RegionInfo { index: 0, readable: flag(flags, 0), writable: flag(flags, 1), mappable: flag(flags, 2), size, offset, areas };
            (Command::DeviceGetRegionInfo, info.encode(u32::from(room) << 2))
        }
        3 => (Command::DeviceGetIrqInfo, IrqInfo { index: 2, count: input.u8().into(), eventfd: true, maskable: false, fixed: false }.encode()),
        4 => (Command::RegionRead, access(7, 4, 2).reply(input.bytes(2))),
        5 => (Command::RegionWrite, access(7, 4, 2).reply(&[])),
        6 => (Command::DeviceSetIrqs, vec![]),
        7 => (Command::RegionRead, access(0, if input.u8() == 0 { 0 } else { BAR_SIZE - 4 }, 4).reply(input.bytes(4))),
        8 => (Command::DmaMap, vec![]),
        9 => (Command::DmaUnmap, vec![0; 24]),
        10 => (Command::DeviceReset, vec![]),
        _ => {
            let (command, count) = (input.u8(), input.u8());
            return (command.into(), input.bytes(count.into()).to_vec());
        }
    };
    (command as u16, body)
}

/// Up to 3 descriptors, good and bad.
fn descriptors(how: u8, input: &mut Input<'_>) -> Vec<OwnedFd> {
    let kinds = (0..how & 3).map(|_| input.u8());
    kinds
        .map(|kind| match kind % 4 {
            0 => memory(u64::from(BAR_SIZE), SealFlags::SHRINK),
            1 => memory(u64::from(kind) << 10, SealFlags::SHRINK),
            2 => memory(u64::from(BAR_SIZE), SealFlags::empty()),
            _ => eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd"),
        })
        .collect()
}
