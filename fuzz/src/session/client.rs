//! What the client sends, and what comes back.
//!
//! An input is a byte (0: no version first), then for each message two bytes, what it is and how it is sent, and its fields. It is all sent before
//! the server begins to read; what is written to shared memory is there from the beginning.

use crate::input::Input;
use crate::session::driver::Driver;
use rustix::fs::{fcntl_add_seals, ftruncate, memfd_create, MemfdFlags, SealFlags};
use rustix::net::{sendmsg, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use toe_vfio_user::message::{Command, Header, Request, Version};

/// Replies that must come: number and command of each.
pub(crate) type Expected = Vec<(u16, u16)>;

/// All is sent before the server begins to read: so much fits into a socket.
const MOST_WRITES: usize = 100;
const MOST_BYTES: usize = 64 << 10;

/// Bits of the byte before each message.
const NO_REPLY: u8 = 1;
const IN_TWO: u8 = 2;
const WRONG_SIZE: u8 = 4;
const STRANGE_FLAGS: u8 = 8;

/// A thread that takes replies while the server runs in the caller's.
pub(crate) struct Client {
    streams: Sender<UnixStream>,
    replies: Receiver<Vec<u8>>,
}

impl Client {
    /// The thread is started by the first call.
    pub(crate) fn the_one() -> MutexGuard<'static, Client> {
        static CLIENT: OnceLock<Mutex<Client>> = OnceLock::new();
        CLIENT.get_or_init(|| Mutex::new(Client::start())).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start() -> Client {
        let (streams, new) = channel::<UnixStream>();
        let (done, replies) = channel();
        thread::spawn(move || {
            for mut stream in new {
                let mut bytes = Vec::new();
                // Without room for ancillary data, descriptors are closed by the kernel.
                let read = stream.read_to_end(&mut bytes);
                drop(stream);
                // A server that gives up leaves bytes unread, which resets the stream; what it had answered came first.
                assert!(read.is_ok() || read.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset), "reading replies");
                if done.send(bytes).is_err() {
                    break;
                }
            }
        });
        Client { streams, replies }
    }

    pub(crate) fn read_replies(&self, stream: UnixStream) {
        self.streams.send(stream).expect("the reading thread runs");
    }

    /// Everything up to the server's hanging up.
    pub(crate) fn replies(&self) -> Vec<u8> {
        self.replies.recv().expect("the reading thread runs")
    }

    /// Sends what the input says, and nothing after it. Tells which replies must come, if the server can follow to the end.
    pub(crate) fn send(&self, stream: &UnixStream, data: &[u8]) -> Option<Expected> {
        let mut sender = Sending { stream, bytes: 0, writes: 0, id: 0, expected: Some(Expected::new()), driver: Driver::new() };
        let mut input = Input::new(data);
        if input.u8() == 0 {
            sender.expected = None;
        } else {
            let ours = Version { major: 0, minor: 1, capabilities: Default::default() };
            sender.message(0, Command::Version as u16, &Request::Version(ours).encode(), &[]);
        }
        while !input.is_empty() && sender.bytes < MOST_BYTES && sender.writes < MOST_WRITES {
            sender.one(&mut input);
        }
        stream.shutdown(Shutdown::Write).expect("the server has not hung up yet");
        sender.expected
    }
}

pub(super) struct Sending<'a> {
    stream: &'a UnixStream,
    bytes: usize,
    writes: usize,
    id: u16,
    expected: Option<Expected>,
    pub(super) driver: Driver,
}

impl Sending<'_> {
    /// One message, or noise.
    fn one(&mut self, input: &mut Input<'_>) {
        let (what, how) = (input.u8(), input.u8());
        let number = |c: Command| c as u16;
        let page = |input: &mut Input<'_>| u64::from(input.u8()) << 12;
        let (command, body, fds) = match what % 18 {
            0 => (u16::from(input.u8()) % 24, bytes(input), self.driver.descriptors(input)),
            1 => return self.noise(input),
            2 => (number(Command::RegionRead), access(input), vec![]),
            3 => {
                let (mut body, count) = (place(input), input.u8());
                body.extend(u32::from(count).to_ne_bytes());
                body.extend(padded(input.bytes(count.into()), count.into()));
                (number(Command::RegionWrite), body, vec![])
            }
            4 => {
                let (flags, offset, iova, size) = (input.u8(), page(input), page(input), page(input));
                (number(Command::DmaMap), fields(&[32, flags.into()], &[offset, iova, size]), self.driver.descriptors(input))
            }
            5 => {
                let (flags, iova, size) = (input.u8(), page(input), page(input));
                (number(Command::DmaUnmap), fields(&[24, flags.into()], &[iova, size]), vec![])
            }
            6 => {
                let (flags, index, start, count) = (input.u8(), input.u8(), input.u8(), input.u8());
                let mut body = fields(&[20, flags.into(), u32::from(index) % 8, start.into(), count.into()], &[]);
                body.extend(bytes(input));
                (number(Command::DeviceSetIrqs), body, self.driver.descriptors(input))
            }
            7 => (number(Command::DeviceReset), vec![], vec![]),
            8 => {
                let (command, argsz, index) = (input.u8(), input.u8(), input.u8());
                let command =
                    [Command::DeviceGetInfo, Command::DeviceGetRegionInfo, Command::DeviceGetIrqInfo, Command::DeviceGetRegionIoFds][usize::from(command % 4)];
                (number(command), fields(&[argsz.into(), 0, u32::from(index) % 12, 0], &[0, 0]), vec![])
            }
            9 => {
                let count = input.u8() % 8;
                let mut body = u64::from(count).to_ne_bytes().to_vec();
                for _ in 0..count {
                    body.extend(place(input));
                    body.extend((u32::from(input.u8()) % 10).to_ne_bytes());
                    body.extend(padded(input.bytes(8), 8));
                }
                (number(Command::RegionWriteMulti), body, vec![])
            }
            10 => (number(Command::RegionWrite), long_write(input), vec![]),
            11 => (number(Command::Version), bytes(input), vec![]),
            other => return self.drive(other, how, input),
        };
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        if how & (WRONG_SIZE | STRANGE_FLAGS) != 0 {
            self.strange(how, input, command, &body, &fds);
        } else {
            self.message(how, command, &body, &fds);
        }
    }

    /// A message whose header is right.
    pub(super) fn message(&mut self, how: u8, command: u16, body: &[u8], fds: &[BorrowedFd<'_>]) {
        let reply = how & NO_REPLY == 0;
        let header = Header { command, ..Header::command(self.id, Command::Version, body.len(), reply) };
        if let Some(expected) = self.expected.as_mut().filter(|_| reply) {
            expected.push((header.id, command));
        }
        self.put(how, &header, body, fds);
    }

    /// A message whose header has another size, or flags that mean something else.
    fn strange(&mut self, how: u8, input: &mut Input<'_>, command: u16, body: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut header = Header { command, ..Header::command(self.id, Command::Version, body.len(), how & NO_REPLY == 0) };
        header.error = input.u8().into();
        if how & STRANGE_FLAGS != 0 {
            header.flags |= input.u32();
        }
        if how & WRONG_SIZE != 0 {
            header.size = input.u32();
        }
        self.expected = None;
        self.put(how, &header, body, fds);
    }

    fn noise(&mut self, input: &mut Input<'_>) {
        self.expected = None;
        let count = input.u8();
        self.pour(input.bytes(count.into()), &[]);
    }

    fn put(&mut self, how: u8, header: &Header, body: &[u8], fds: &[BorrowedFd<'_>]) {
        self.id = self.id.wrapping_add(1);
        let whole = [&header.encode(), body].concat();
        // Descriptors may come with the first part, or with the second.
        let cut = if how & IN_TWO == 0 { 0 } else { usize::from(how >> 4) * 2 };
        let (first, second) = whole.split_at(cut.min(whole.len() - 1));
        self.pour(first, &[]);
        self.pour(second, fds);
    }

    fn pour(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        if !bytes.is_empty() {
            pour(self.stream, bytes, fds);
            self.bytes += bytes.len();
            self.writes += 1;
        }
    }
}

/// Puts bytes and descriptors into a socket that has room for them.
pub(crate) fn pour(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let sent = sendmsg(stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    assert_eq!(sent.expect("room in the socket"), bytes.len());
}

/// Up to 255 bytes.
fn bytes(input: &mut Input<'_>) -> Vec<u8> {
    let count = input.u8();
    input.bytes(count.into()).to_vec()
}

fn padded(bytes: &[u8], count: usize) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(count, 0);
    padded
}

pub(super) fn fields(words: &[u32], longs: &[u64]) -> Vec<u8> {
    let words = words.iter().flat_map(|w| w.to_ne_bytes());
    words.chain(longs.iter().flat_map(|l| l.to_ne_bytes())).collect()
}

/// Offset and region.
fn place(input: &mut Input<'_>) -> Vec<u8> {
    let region = input.u8();
    let offset = if region & 0x80 == 0 { input.u32().into() } else { input.u64() };
    [offset.to_ne_bytes().as_slice(), (u32::from(region) % 12).to_ne_bytes().as_slice()].concat()
}

fn access(input: &mut Input<'_>) -> Vec<u8> {
    let (mut body, count) = (place(input), input.u8());
    let count = if count < 0xf0 { count.into() } else { input.u32() };
    body.extend(count.to_ne_bytes());
    body
}

fn long_write(input: &mut Input<'_>) -> Vec<u8> {
    let (mut body, count) = (place(input), input.u16());
    body.extend(u32::from(count).to_ne_bytes());
    body.resize(body.len() + usize::from(count), input.u8());
    body
}

pub(crate) fn memory(bytes: u64, seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("fuzz", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
    ftruncate(&fd, bytes).expect("memory");
    fcntl_add_seals(&fd, seals).expect("seals");
    fd
}
