//! A client that is no driver: it sets up the rings by hand, in one piece of memory, and can stop at any point.

#![allow(dead_code)] // Not every test needs all of it.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::register::{self, Register};
use toe_contract::{event, raw};
use toe_driver::Memory;
use toe_sim::device::Device;
use toe_sim::engine::Engine;
use toe_sim::pci::{Counts, DoorbellMode, Function};
use toe_sim::root_complex::Timing;
use toe_sim::time::{Clock, Nanoseconds, WallClock};
use toe_sim::wire::{link, LinkEnd, Wire, WireFrame};
use toe_vfio_user::client::{Client, ClientError};
use toe_vfio_user::message::DmaMap;
use toe_vfio_user::server::serve;

/// VFIO's indices.
pub(crate) const BAR0: u32 = 0;
pub(crate) const BAR2: u32 = 2;
pub(crate) const CONFIG: u32 = 7;
pub(crate) const MSIX: u32 = 2;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Bus address of the client's memory, and the places in it.
pub(crate) const IOVA: u64 = 0x40_0000;
pub(crate) const BYTES: usize = 0x20_0000;
const EVENTS: u64 = 0x1_0000;
pub(crate) const RAWS: u64 = 0x10_0000;
const FRAMES: u64 = 0x8_0000;
const RAW_LOG2: u32 = 8;
const SLOT_LOG2: u32 = 11;

/// The other end of the function's wire.
#[derive(Clone)]
pub(crate) struct Far(Arc<Mutex<LinkEnd>>, WallClock);

impl Far {
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        self.0.lock().expect("no panic").send(self.1.now(), WireFrame::padded(bytes)).expect("a link");
    }

    pub(crate) fn receive(&self) -> Option<Vec<u8>> {
        self.0.lock().expect("no panic").receive(self.1.now()).expect("a link").map(|frame| frame.bytes)
    }
}

pub(crate) fn function(engine: Box<dyn Engine>, mode: DoorbellMode) -> (Function, Far) {
    let clock = WallClock::new();
    let (near, far) = link(Nanoseconds::ZERO);
    let device = Device::new(engine, Box::new(near), Timing::PCIE, 1);
    (Function::start(clock, device, mode).expect("a function"), Far(Arc::new(Mutex::new(far)), clock))
}

/// Serves a client in a thread: the client does what it likes, then the function is looked at.
pub(crate) fn with_client<T>(function: &mut Function, client: impl FnOnce(Guest) -> T) -> (T, Counts) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let ended = serve(&theirs, function);
            drop(theirs);
            let counts = function.counts().expect("the device is there");
            function.power_on().expect("a reset");
            (ended, counts)
        });
        let done = client(Guest::over(ours));
        let (ended, counts) = serving.join().expect("the server does not panic");
        ended.expect("a good end");
        (done, counts)
    })
}

/// Asks again and again until it is so.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A client with its memory.
pub(crate) struct Guest {
    pub(crate) client: Client,
    pub(crate) stream: UnixStream,
    pub(crate) memory: Memory,
    sent: u32,
    taken: u32,
}

impl Guest {
    pub(crate) fn over(stream: UnixStream) -> Guest {
        let clone = stream.try_clone().expect("a descriptor");
        let client = Client::new(stream, PATIENCE).expect("a server");
        Guest { client, stream: clone, memory: Memory::new(BYTES).expect("memory"), sent: 0, taken: 0 }
    }

    pub(crate) fn config(&self, at: u64) -> u32 {
        self.read(CONFIG, at)
    }

    pub(crate) fn set_config(&self, at: u64, bytes: &[u8]) {
        self.client.region_write(CONFIG, at, bytes).expect("configuration space");
    }

    pub(crate) fn read(&self, region: u32, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.client.region_read(region, at, &mut bytes).expect("a region");
        u32::from_le_bytes(bytes)
    }

    pub(crate) fn register(&self, register: Register) -> u32 {
        self.read(BAR0, register.offset.into())
    }

    pub(crate) fn set(&self, base: u32, register: Register, value: u32) {
        self.client.region_write(BAR0, (base + register.offset).into(), &value.to_le_bytes()).expect("BAR 0");
    }

    /// Command register: memory space and, or not, bus mastering.
    pub(crate) fn enable(&self, master: bool) {
        self.set_config(4, &[if master { 6 } else { 2 }, 0]);
    }

    pub(crate) fn map(&self, iova: u64, memory: &Memory, readable: bool, writable: bool) -> Result<(), ClientError> {
        let map = DmaMap { iova, size: memory.len() as u64, offset: memory.fd_offset(), readable, writable };
        self.client.dma_map(map, memory.fd())
    }

    pub(crate) fn eventfd(&self) -> OwnedFd {
        let ours = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK).expect("an eventfd");
        self.client.set_eventfds(MSIX, 0, &[ours.as_fd()]).expect("vectors");
        ours
    }

    /// Rings at these places in the memory, everything received.
    pub(crate) fn set_up(&mut self) {
        let context = |register, value| self.set(register::CONTEXTS, register, value);
        let base = |low, high, at: u64| {
            context(low, u32::try_from((IOVA + at) & 0xffff_ffff).expect("32 bits"));
            context(high, u32::try_from((IOVA + at) >> 32).expect("32 bits"));
        };
        base(register::SUBMISSION_BASE_LO, register::SUBMISSION_BASE_HI, 0);
        base(register::EVENT_BASE_LO, register::EVENT_BASE_HI, EVENTS);
        base(register::RAW_BASE_LO, register::RAW_BASE_HI, RAWS);
        context(register::SUBMISSION_LOG2, 7);
        context(register::EVENT_LOG2, 9);
        context(register::RAW_LOG2, RAW_LOG2);
        context(register::RAW_SLOT_LOG2, SLOT_LOG2);
        context(register::CONTEXT_CONTROL, register::CONTEXT_ENABLE.put(1));
        self.set(0, register::FILTER, register::FILTER_PROMISCUOUS.put(1));
        self.set(0, register::CONTROL, register::CONTROL_RECEIVE.put(1) | register::CONTROL_TRANSMIT.put(1));
        (self.sent, self.taken) = (0, 0);
    }

    /// Everything that it takes until frames go both ways.
    pub(crate) fn start(&mut self) {
        self.enable(true);
        self.map(IOVA, &self.memory, true, true).expect("mapped");
        self.set_up();
    }

    pub(crate) fn doorbell(&self, register: Register, value: u32) {
        self.set(register::DOORBELLS, register, value);
    }

    /// Puts a command for a raw frame into the ring, and gives the number to ring with.
    pub(crate) fn put(&mut self, frame: &[u8]) -> u32 {
        let at = FRAMES + u64::from(self.sent % 128) * 2048;
        self.memory.copy_in(usize::try_from(at).expect("inside"), frame);
        let command = Command::new(Opcode::Raw, 0, 0).with(command::RAW_IOVA, IOVA + at).with(command::RAW_LENGTH, frame.len() as u64);
        self.memory.copy_in((self.sent % 128) as usize * command::SIZE, &command.to_bytes());
        self.sent += 1;
        self.sent
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        let produced = self.put(frame);
        self.doorbell(register::SUBMISSION_PRODUCED, produced);
    }

    /// The next frame in the raw ring.
    pub(crate) fn receive(&mut self, length: usize) -> Option<Vec<u8>> {
        if self.read(BAR0, (register::CONTEXTS + register::RAW_PRODUCED.offset).into()) == self.taken {
            return None;
        }
        let slot = usize::try_from(RAWS).expect("inside") + ((self.taken % (1 << RAW_LOG2)) as usize) * (1 << SLOT_LOG2);
        let mut frame = vec![0; length];
        self.memory.copy_out(slot + raw::HEADER, &mut frame);
        self.taken += 1;
        self.doorbell(register::RAW_CONSUMED, self.taken);
        Some(frame)
    }

    /// All that the device could have written.
    pub(crate) fn all(&self) -> Vec<u8> {
        let mut bytes = vec![0; BYTES];
        self.memory.copy_out(0, &mut bytes);
        bytes
    }

    /// Memory of a thing that is read or written at once when commands come: the first entry of a ring.
    pub(crate) fn submit_at(&self, iova: u64) {
        self.set(register::CONTEXTS, register::CONTEXT_CONTROL, 0);
        self.set(register::CONTEXTS, register::SUBMISSION_BASE_LO, u32::try_from(iova).expect("32 bits"));
        self.set(register::CONTEXTS, register::CONTEXT_CONTROL, register::CONTEXT_ENABLE.put(1));
        self.doorbell(register::SUBMISSION_PRODUCED, 1);
    }
}

const _: () = assert!((event::SIZE as u64) << 9 <= FRAMES - EVENTS);
