//! What a driver does: registers by their names, rings in shared memory, commands, all with the fields that the input says.

use crate::input::Input;
use crate::session::client::{fields, memory, Sending};
use rustix::event::{eventfd, EventfdFlags};
use rustix::fs::SealFlags;
use rustix::io::pwrite;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use toe_contract::{command, register};
use toe_vfio_user::message::Command;

/// Regions and kinds of interrupts of VFIO's PCI functions.
const BAR_0: u32 = 0;
const CONFIG: u32 = 7;
const MSIX: u32 = 2;
/// The command register, and what switches memory space and bus mastering on.
const COMMAND_REGISTER: u64 = 4;
const MASTER: u16 = 6;
/// The submission ring has 2^7 entries and is a page long; the event ring, and two raw slots, have a page each behind it.
const RING_LOG2: [(register::Register, u32); 4] =
    [(register::SUBMISSION_LOG2, 7), (register::EVENT_LOG2, 6), (register::RAW_LOG2, 1), (register::RAW_SLOT_LOG2, 11)];
const PAGE: usize = 4096;
/// Bytes of a memfd.
const MEMORY: u64 = 64 << 10;

/// The memory that the client shares, and how far its rings are.
pub(super) struct Driver {
    shared: OwnedFd,
    /// Bus address of the shared memory.
    base: u64,
    commands: u32,
}

impl Driver {
    pub(super) fn new() -> Driver {
        Driver { shared: memory(MEMORY, SealFlags::SHRINK | SealFlags::GROW), base: 0, commands: 0 }
    }

    /// Descriptors of all kinds, good and bad.
    pub(super) fn descriptors(&self, input: &mut Input<'_>) -> Vec<OwnedFd> {
        let count = input.u8() % 32;
        let kinds = (0..count).map(|_| input.u8());
        kinds
            .map(|kind| match kind % 5 {
                0 => self.shared.try_clone().expect("a descriptor"),
                1 => an_eventfd(),
                2 => memory(MEMORY, SealFlags::empty()),
                3 => memory(MEMORY, SealFlags::SHRINK),
                _ => File::open("/dev/null").expect("/dev/null").into(),
            })
            .collect()
    }

    fn put(&self, offset: u64, bytes: &[u8]) {
        let put = pwrite(&self.shared, bytes, offset.min(MEMORY - bytes.len() as u64));
        assert_eq!(put.expect("room in the memory"), bytes.len());
    }
}

fn an_eventfd() -> OwnedFd {
    eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("an eventfd")
}

impl Sending<'_> {
    /// One step of a driver.
    pub(super) fn drive(&mut self, what: u8, how: u8, input: &mut Input<'_>) {
        match what % 18 {
            12 => {
                let (at, value) = (register(input), value(input, self.driver.base));
                self.write(how, BAR_0, at, &value.to_le_bytes());
            }
            13 => {
                let (at, bytes, value) = (input.u16(), input.u8(), input.u32());
                self.write(how, CONFIG, (at & 0xfff).into(), &value.to_le_bytes()[..1 << (bytes % 3)]);
            }
            14 => {
                let (at, count) = (input.u16(), input.u8());
                self.driver.put(at.into(), input.bytes(count.into()));
            }
            15 => self.bring_up(how, input),
            16 => self.command(how, input),
            _ => {
                let at = register(input);
                self.message(how, Command::RegionRead as u16, &[fields(&[], &[at]), fields(&[BAR_0, 4], &[])].concat(), &[]);
            }
        }
    }

    fn write(&mut self, how: u8, region: u32, offset: u64, bytes: &[u8]) {
        let count = u32::try_from(bytes.len()).expect("a few bytes");
        let body = [fields(&[], &[offset]), fields(&[region, count], &[]), bytes.to_vec()].concat();
        self.message(how, Command::RegionWrite as u16, &body, &[]);
    }

    fn register(&mut self, how: u8, page: u32, register: register::Register, value: u32) {
        self.write(how, BAR_0, (page + register.offset).into(), &value.to_le_bytes());
    }

    /// What a driver does after power-on; the input says where its memory is, and what the device may do to it.
    fn bring_up(&mut self, how: u8, input: &mut Input<'_>) {
        let (place, rights) = (input.u8(), input.u8());
        self.driver.base = u64::from(place) << 16;
        let base = self.driver.base;
        self.write(how, CONFIG, COMMAND_REGISTER, &MASTER.to_le_bytes());
        let shared = self.driver.shared.try_clone().expect("a descriptor");
        self.message(how, Command::DmaMap as u16, &fields(&[32, u32::from(rights % 4)], &[0, base, MEMORY]), &[shared.as_fd()]);
        let eventfd = an_eventfd();
        self.message(how, Command::DeviceSetIrqs as u16, &fields(&[20, 0x24, MSIX, 0, 1], &[]), &[eventfd.as_fd()]);
        let rings = [register::SUBMISSION_BASE_LO, register::EVENT_BASE_LO, register::RAW_BASE_LO];
        for (low, at) in rings.into_iter().zip((base..).step_by(PAGE)) {
            let [low_half, high_half] = [at & 0xffff_ffff, at >> 32].map(|half| u32::try_from(half).expect("32 bits"));
            self.register(how, register::CONTEXTS, low, low_half);
            self.write(how, BAR_0, u64::from(register::CONTEXTS + low.offset + 4), &high_half.to_le_bytes());
        }
        for (register, log2) in RING_LOG2 {
            self.register(how, register::CONTEXTS, register, log2);
        }
        self.register(how, 0, register::FILTER, register::FILTER_PROMISCUOUS.put(1));
        self.register(how, register::CONTEXTS, register::CONTEXT_CONTROL, register::CONTEXT_ENABLE.put(1));
        self.register(how, 0, register::CONTROL, register::CONTROL_RECEIVE.put(1) | register::CONTROL_TRANSMIT.put(1));
        self.register(how, register::DOORBELLS, register::INTERRUPT_ARM, 1);
        self.register(how, register::DOORBELLS, register::RAW_CONSUMED, input.u8().into());
    }

    /// A command into the next place of the submission ring, and the doorbell.
    fn command(&mut self, how: u8, input: &mut Input<'_>) {
        let (opcode, flags, flow) = (input.u8() % 16, input.u8(), input.u8() % 4);
        let mut bytes = vec![opcode, flags, flow, 0];
        for _ in 1..command::WORDS {
            bytes.extend(value(input, self.driver.base).to_le_bytes());
        }
        let place = u64::from(self.driver.commands % 128) * command::SIZE as u64;
        self.driver.put(place, &bytes);
        self.driver.commands = self.driver.commands.wrapping_add(1);
        let produced = self.driver.commands;
        self.register(how, register::DOORBELLS, register::SUBMISSION_PRODUCED, produced);
    }
}

/// The place of a register that there is.
fn register(input: &mut Input<'_>) -> u64 {
    let (which, index) = (input.u8(), usize::from(input.u8()));
    let (page, table) = match which % 3 {
        0 => (0, register::GLOBAL),
        1 => (register::CONTEXTS, register::CONTEXT),
        _ => (register::DOORBELLS, register::DOORBELL),
    };
    (page + table[index % table.len()].offset).into()
}

/// A number: small, a place in the shared memory, or any.
fn value(input: &mut Input<'_>, base: u64) -> u32 {
    let kind = input.u8();
    match kind {
        0..0x80 => kind.into(),
        0x80..0xc0 => u32::try_from(base & 0xffff_ffff).expect("32 bits").wrapping_add(u32::from(kind & 0x3f) << 10),
        _ => input.u32(),
    }
}
