//! Clients at a socket, in good order and in bad: whatever one does, the next is served.

mod pci_support;

use pci_support::{function, until, Far, Guest, PATIENCE};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{channel, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use toe_contract::register;
use toe_sim::device::Device;
use toe_sim::model::Model;
use toe_sim::pci::{DoorbellMode, Function, Report, Server, ServerError, GRACE};
use toe_sim::root_complex::Timing;
use toe_sim::time::{Nanoseconds, WallClock};
use toe_sim::wire::{Wire, WireError, WireFrame};
use toe_vfio_user::client::{Client, ClientError};
use toe_vfio_user::Errno;

/// A server with a model behind it.
struct Place {
    path: PathBuf,
    stop: UnixStream,
    reports: Receiver<Report>,
    far: Far,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new(once: bool) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let (stop, stopped) = UnixStream::pair().expect("sockets");
        let (tell, reports) = channel();
        let (function, far) = function(Box::new(Model::default()), DoorbellMode::Trapped);
        let server = Server::bind(&path).expect("a place");
        let run = move || server.run(function, stopped.as_fd(), once, |report| drop(tell.send(report)));
        Place { path, stop, reports, far, thread: Some(std::thread::spawn(run)), _folder: folder }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).expect("a server")
    }

    fn report(&self) -> Report {
        self.reports.recv_timeout(PATIENCE).expect("a report")
    }

    /// The report of an end, behind that of a beginning.
    fn went(&self) -> Option<String> {
        assert!(matches!(self.report(), Report::Came));
        match self.report() {
            Report::Went { why, .. } => why,
            other => panic!("expected an end, found {other:?}"),
        }
    }

    /// A client in good order: frames go both ways.
    fn check(&self) {
        while self.far.receive().is_some() {}
        let mut guest = Guest::over(self.connect());
        guest.start();
        guest.send(&[0x3c; 300]);
        until("a frame sent", || self.far.receive().is_some_and(|frame| frame == [0x3c; 300]));
        self.far.send(vec![0xc3; 300]);
        until("a frame received", || guest.receive(300).is_some_and(|frame| frame == [0xc3; 300]));
        drop(guest);
        assert_eq!(self.went(), None);
    }

    fn end(mut self) -> Result<(), ServerError> {
        self.stop.write_all(&[1]).expect("somebody listens");
        self.join()
    }

    fn join(&mut self) -> Result<(), ServerError> {
        self.thread.take().expect("once").join().expect("no panic")
    }
}

#[test]
fn clients_come_one_after_the_other() {
    let place = Place::new(false);
    for _ in 0..3 {
        place.check();
    }
    let path = place.path.clone();
    place.end().expect("a good end");
    assert!(!path.exists());
}

#[test]
fn a_second_client_waits_for_the_first_to_go() {
    let place = Place::new(false);
    let first = Guest::over(place.connect());
    let waiting = place.connect();
    let second = std::thread::spawn(move || Guest::over(waiting));
    std::thread::sleep(GRACE / 4);
    assert!(!second.is_finished());
    drop(first);
    let mut second = second.join().expect("it is served");
    second.start();
    drop(second);
    assert_eq!((place.went(), place.went()), (None, None));
    place.end().expect("a good end");
}

#[test]
fn a_second_client_that_has_waited_in_vain_is_refused() {
    let place = Place::new(false);
    let first = Guest::over(place.connect());
    let start = Instant::now();
    let error = Client::new(place.connect(), PATIENCE).expect_err("the function is busy");
    assert!(matches!(error, ClientError::Refused { errno: Errno::BUSY, .. }), "{error}");
    assert!(start.elapsed() >= GRACE / 2);
    // One that has not even asked is hung up on.
    let mut third = place.connect();
    third.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert_eq!(third.read(&mut [0]).expect("the end of the stream"), 0);
    assert!(matches!([place.report(), place.report(), place.report()], [Report::Came, Report::Refused, Report::Refused]));
    assert_eq!(first.config(0) & 0xffff, u32::from(toe_contract::pci::VENDOR), "the first is still served");
    place.end().expect("a good end");
}

#[test]
fn a_client_that_vanishes_at_any_point_leaves_nothing_behind() {
    let place = Place::new(false);
    for seed in 0..100 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let stream = place.connect();
        let gone = stream.try_clone().expect("a descriptor");
        let mut guest = Guest::over(stream);
        guest.start();
        for k in 0..random.random_range(0..40_u8) {
            place.far.send(vec![k; random.random_range(60..1500)]);
            let length = random.random_range(60..1500);
            guest.send(&vec![k; length]);
        }
        // In mid-DMA, or in mid-message as well.
        if random.random() {
            let length = random.random_range(1..16);
            (&gone).write_all(&vec![0; length]).expect("room");
        }
        std::thread::sleep(Duration::from_micros(random.random_range(0..500)));
        gone.shutdown(Shutdown::Both).expect("connected");
        let memory = guest.memory.clone();
        place.went();
        let look = || {
            let mut bytes = vec![0; memory.len()];
            memory.copy_out(0, &mut bytes);
            bytes
        };
        let then = look();
        place.far.send(vec![0xee; 60]);
        std::thread::sleep(Duration::from_millis(1));
        assert!(then == look(), "seed {seed}: DMA after the client had gone");
    }
    place.check();
    place.end().expect("a good end");
}

#[test]
fn nonsense_does_not_end_the_server() {
    let place = Place::new(false);
    for seed in 0..100 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let stream = place.connect();
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        let mut bytes = vec![0; random.random_range(0..400)];
        random.fill_bytes(&mut bytes);
        // Sometimes behind a good greeting, sometimes a message that is only too long or unknown.
        let guest = random.random::<bool>().then(|| Guest::over(stream.try_clone().expect("a descriptor")));
        if random.random() && bytes.len() >= 16 {
            let (command, size) = (random.random_range(0..20_u16), u32::try_from(bytes.len()).expect("short"));
            bytes[2..4].copy_from_slice(&command.to_ne_bytes());
            bytes[4..8].copy_from_slice(&size.to_ne_bytes());
            bytes[8..12].copy_from_slice(&0_u32.to_ne_bytes());
        }
        // The server may hang up before it has seen all.
        let _ = (&stream).write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Both);
        drop((guest, stream));
        place.went();
    }
    place.check();
    place.end().expect("a good end");
}

#[test]
fn registers_with_nonsense_do_not_end_the_server() {
    let place = Place::new(false);
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut guest = Guest::over(place.connect());
        guest.start();
        for _ in 0..100 {
            let at = match random.random_range(0..4_u32) {
                0 => random.random_range(0..0x44_u32),
                1 => register::CONTEXTS + random.random_range(0..0x40_u32),
                2 => register::DOORBELLS + random.random_range(0..0x10_u32),
                _ => random.random_range(0..register::BAR_SIZE),
            };
            let value = if random.random() { random.random() } else { random.random_range(0..64_u32) };
            guest.client.region_write(pci_support::BAR0, (at & !3).into(), &value.to_le_bytes()).expect("an access");
            place.far.send(vec![1; 100]);
        }
        for _ in 0..100 {
            let at = random.random_range(0..0x170_u64);
            guest.set_config(at, &random.random::<u32>().to_le_bytes());
        }
        drop(guest);
        place.went();
    }
    place.check();
    place.end().expect("a good end");
}

#[test]
fn once_is_once() {
    let mut place = Place::new(true);
    let path = place.path.clone();
    place.check();
    place.join().expect("a good end");
    assert!(!path.exists());
}

#[test]
fn a_socket_that_nobody_listens_at_is_replaced_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists(), "it stays when its listener goes");
    let server = Server::bind(&path).expect("nobody is there");
    assert!(matches!(Server::bind(&path), Err(ServerError::Taken { .. })));
    drop(server);
    assert!(!path.exists());
    std::fs::write(&path, "precious").expect("a file");
    assert!(matches!(Server::bind(&path), Err(ServerError::Taken { .. })));
    assert_eq!(std::fs::read(&path).expect("a file"), b"precious");
}

/// A wire that breaks at the first frame, one way or the other.
struct Breaks {
    panics: bool,
}

impl Wire for Breaks {
    fn send(&mut self, _: Nanoseconds, _: WireFrame) -> Result<(), WireError> {
        assert!(!self.panics, "a bug in the simulation");
        Err(WireError::Io { what: "sending on a cut wire".into(), source: std::io::ErrorKind::BrokenPipe.into() })
    }
    fn receive(&mut self, _: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        Ok(None)
    }
    fn next_event(&self) -> Option<Nanoseconds> {
        None
    }
}

#[test]
fn the_end_of_the_device_is_that_of_the_server() {
    for (panics, reason) in [(false, "sending on a cut wire"), (true, "panicked")] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let device = Device::new(Box::new(Model::default()), Box::new(Breaks { panics }), Timing::PCIE, 1);
        let function = Function::start(WallClock::new(), device, DoorbellMode::Trapped).expect("a function");
        let server = Server::bind(&path).expect("a place");
        let (_stop, stopped) = UnixStream::pair().expect("sockets");
        let thread = std::thread::spawn(move || server.run(function, stopped.as_fd(), false, |_| {}));
        let mut guest = Guest::over(UnixStream::connect(&path).expect("a server"));
        guest.start();
        // Posted: the answer might not come any more.
        let produced = guest.put(&[1; 60]).to_le_bytes();
        let at = register::DOORBELLS + register::SUBMISSION_PRODUCED.offset;
        guest.client.region_write_posted(pci_support::BAR0, at.into(), &produced).expect("connected");
        let error = thread.join().expect("no panic").expect_err("the device has stopped");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(guest.client.reset().is_err(), "the client has been hung up on");
    }
}
