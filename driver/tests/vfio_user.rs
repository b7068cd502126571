//! The bus over vfio-user, against a function that notes what is done to it.

use rustix::fs::{fcntl_add_seals, ftruncate, memfd_create, MemfdFlags, SealFlags};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use toe_contract::register::{BAR_SIZE, DOORBELLS, PAGE};
use toe_driver::vfio_user::VfioUserBus;
use toe_driver::{Bus, BusError, Iova, Memory, Nanoseconds};
use toe_vfio_user::client::Client;
use toe_vfio_user::message::{Area, DmaMap};
use toe_vfio_user::server::{serve, Backend, Irq, IrqSet, IrqSetData, Mapping, Region};
use toe_vfio_user::Errno;

const LONG: Duration = Duration::from_secs(20);
const CONFIG: u32 = 7;
const MSIX: u32 = 2;

/// What the function has seen.
#[derive(Default)]
struct Seen {
    command: [u8; 2],
    eventfds: Vec<OwnedFd>,
    writes: Vec<(u64, Vec<u8>)>,
    mappings: Vec<(DmaMap, Memory)>,
    resets: u32,
}

struct Function {
    seen: Arc<Mutex<Seen>>,
    regions: Vec<Region>,
    irqs: Vec<Irq>,
}

impl Function {
    fn new() -> Function {
        let mut regions: Vec<Region> = (0..9).map(|_| Region::default()).collect();
        regions[0] = Region { size: BAR_SIZE.into(), readable: true, writable: true, mapping: None };
        regions[7] = Region { size: 4096, readable: true, writable: true, mapping: None };
        let irqs = vec![Irq::default(), Irq::default(), Irq { count: 1, maskable: false }, Irq::default(), Irq::default()];
        Function { seen: Arc::default(), regions, irqs }
    }
    /// With the doorbells in a file of that length that may be mapped.
    fn mapped(length: u64, pages: MemfdFlags, seals: SealFlags) -> (Function, OwnedFd) {
        let fd = memfd_create("bar", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | pages).unwrap();
        ftruncate(&fd, length).unwrap();
        fcntl_add_seals(&fd, seals).unwrap();
        let mut function = Function::new();
        let area = Area { offset: DOORBELLS.into(), size: PAGE.into() };
        function.regions[0].mapping = Some(Mapping { fd: fd.try_clone().unwrap(), offset: 0, areas: vec![area] });
        (function, fd)
    }
    /// Serves one client; the answer tells when it has gone.
    fn serve(mut self) -> (Client, Arc<Mutex<Seen>>, UnixStream, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (seen, hang_up) = (self.seen.clone(), theirs.try_clone().unwrap());
        let server = std::thread::spawn(move || {
            let _ = serve(&theirs, &mut self);
        });
        (Client::new(ours, LONG).unwrap(), seen, hang_up, server)
    }
}

/// The command register, and how many eventfds there are.
fn ready(seen: &Mutex<Seen>) -> ([u8; 2], usize) {
    let seen = seen.lock().unwrap();
    (seen.command, seen.eventfds.len())
}

impl Backend for Function {
    fn regions(&self) -> &[Region] {
        &self.regions
    }
    fn irqs(&self) -> &[Irq] {
        &self.irqs
    }
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        match (region, offset, data.len()) {
            (CONFIG, 4, 2) => data.copy_from_slice(&self.seen.lock().unwrap().command),
            (0, _, 4) => data.copy_from_slice(&u32::try_from(offset).unwrap().to_le_bytes()),
            _ => return Err(Errno::IO),
        }
        Ok(())
    }
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let mut seen = self.seen.lock().unwrap();
        match (region, offset, data) {
            (CONFIG, 4, [low, high]) => seen.command = [*low, *high],
            _ => seen.writes.push((offset, data.into())),
        }
        Ok(())
    }
    fn dma_map(&mut self, map: DmaMap, fd: Option<OwnedFd>) -> Result<(), Errno> {
        let memory = Memory::shared(fd.ok_or(Errno::INVAL)?, map.offset, usize::try_from(map.size).unwrap(), map.writable).map_err(|_| Errno::INVAL)?;
        let mut seen = self.seen.lock().unwrap();
        if seen.mappings.iter().any(|(m, _)| m.iova == map.iova) {
            return Err(Errno::EXIST);
        }
        seen.mappings.push((map, memory));
        Ok(())
    }
    fn dma_unmap(&mut self, iova: u64, size: u64) -> Result<(), Errno> {
        let mut seen = self.seen.lock().unwrap();
        let found = seen.mappings.iter().position(|(m, _)| (m.iova, m.size) == (iova, size)).ok_or(Errno::NOENT)?;
        seen.mappings.remove(found);
        Ok(())
    }
    fn dma_unmap_all(&mut self) -> Result<(), Errno> {
        Err(Errno::NOTSUP)
    }
    fn set_irqs(&mut self, set: IrqSet) -> Result<(), Errno> {
        match set.data {
            IrqSetData::Eventfds(fds) if set.index == MSIX => self.seen.lock().unwrap().eventfds = fds.into_iter().flatten().collect(),
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }
    fn reset(&mut self) -> Result<(), Errno> {
        let mut seen = self.seen.lock().unwrap();
        (seen.command, seen.eventfds) = ([0; 2], vec![]);
        seen.resets += 1;
        Ok(())
    }
}

#[test]
fn registers_memory_and_reset_go_over_the_socket() {
    let (client, seen, _hang_up, server) = Function::new().serve();
    let bus = VfioUserBus::over(client).unwrap();
    assert_eq!(ready(&seen), ([6, 0], 1), "bus master, with an interrupt");
    assert_eq!(bus.read32(0x1234).unwrap(), 0x1234);
    assert!(matches!(bus.read32(BAR_SIZE), Err(BusError::Offset { .. })));
    assert!(matches!(bus.write32(2, 0), Err(BusError::Offset { .. })));
    let memory = Memory::new(8192).unwrap();
    bus.map(&memory, Iova(0x10_0000)).unwrap();
    assert!(matches!(bus.map(&memory, Iova(0x10_0000)), Err(BusError::Mapping { .. })), "it is taken");
    memory.store32(4096, 0xfeed_beef);
    bus.write32(0x40, 7).unwrap();
    // A read comes back after the posted write before it.
    assert_eq!(bus.read32(0).unwrap(), 0);
    {
        let seen = seen.lock().unwrap();
        assert_eq!(seen.writes, [(0x40, vec![7, 0, 0, 0])]);
        let (map, theirs) = &seen.mappings[0];
        assert_eq!((map.iova, map.size, map.readable, map.writable, theirs.load32(4096)), (0x10_0000, 8192, true, true, 0xfeed_beef));
    }
    bus.unmap(Iova(0x10_0000), 8192).unwrap();
    assert!(bus.unmap(Iova(0x10_0000), 8192).is_err());
    bus.reset().unwrap();
    assert_eq!(ready(&seen), ([6, 0], 1), "bus master and interrupt again");
    assert_eq!(seen.lock().unwrap().resets, 1);
    drop(bus);
    server.join().unwrap();
}

#[test]
fn a_wait_ends_by_an_interrupt_a_waker_or_the_time() {
    let (client, seen, _hang_up, server) = Function::new().serve();
    let bus = VfioUserBus::over(client).unwrap();
    let long = || bus.now() + Nanoseconds::from(LONG);
    rustix::io::write(&seen.lock().unwrap().eventfds[0], &1u64.to_ne_bytes()).unwrap();
    let begun = Instant::now();
    bus.wait(long()).unwrap();
    bus.waker()();
    bus.wait(long()).unwrap();
    std::thread::scope(|s| {
        let waker = bus.waker();
        s.spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            waker();
        });
        bus.wait(long()).unwrap();
    });
    assert!(begun.elapsed() < LONG / 2);
    // Nothing is left of them: this one ends by the time.
    let until = bus.now() + Nanoseconds::from(Duration::from_millis(5));
    bus.wait(until).unwrap();
    assert!(bus.now() >= until);
    drop(bus);
    server.join().unwrap();
}

#[test]
fn when_the_server_hangs_up_who_waits_is_told_and_everybody_else() {
    let (client, _seen, hang_up, server) = Function::new().serve();
    let bus = VfioUserBus::over(client).unwrap();
    let begun = Instant::now();
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            hang_up.shutdown(std::net::Shutdown::Both).unwrap();
            done.store(true, Ordering::SeqCst);
        });
        let error = bus.wait(bus.now() + Nanoseconds::from(LONG)).expect_err("it has hung up");
        assert!(matches!(error, BusError::Gone(_)), "{error}");
    });
    assert!(done.load(Ordering::SeqCst) && begun.elapsed() < LONG / 2);
    server.join().unwrap();
    for _ in 0..2 {
        assert!(matches!(bus.read32(0), Err(BusError::Gone(_))));
        assert!(matches!(bus.write32(0, 0), Err(BusError::Gone(_))));
        assert!(matches!(bus.wait(bus.now()), Err(BusError::Gone(_))));
        assert!(matches!(bus.reset(), Err(BusError::Gone(_))));
    }
}

#[test]
fn a_doorbell_that_is_mapped_costs_no_message() {
    let (function, fd) = Function::mapped(BAR_SIZE.into(), MemfdFlags::empty(), SealFlags::SHRINK);
    let (client, seen, _hang_up, server) = function.serve();
    let bus = VfioUserBus::over(client).unwrap();
    bus.write32(DOORBELLS + 4, 0x1234).unwrap();
    bus.write32(DOORBELLS + PAGE, 5).unwrap();
    assert_eq!(bus.read32(DOORBELLS + 4).unwrap(), 0x1234, "out of the page");
    assert_eq!(bus.read32(DOORBELLS - 4).unwrap(), DOORBELLS - 4, "by a message");
    assert_eq!(seen.lock().unwrap().writes, [(u64::from(DOORBELLS + PAGE), vec![5, 0, 0, 0])]);
    let mut bytes = [0; 4];
    rustix::io::pread(&fd, &mut bytes, u64::from(DOORBELLS) + 4).unwrap();
    assert_eq!(u32::from_le_bytes(bytes), 0x1234);
    drop(bus);
    server.join().unwrap();
}

#[test]
fn a_window_that_could_lose_a_page_is_not_mapped_and_one_beyond_its_file_is_refused() {
    // One may shrink; into the other a hole can be punched that is not filled again.
    let huge = MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
    for (length, pages, seals) in [(BAR_SIZE.into(), MemfdFlags::empty(), SealFlags::GROW), (2 << 20, huge, SealFlags::SHRINK)] {
        let (function, _fd) = Function::mapped(length, pages, seals);
        let (client, seen, _hang_up, server) = function.serve();
        let bus = VfioUserBus::over(client).unwrap();
        bus.write32(DOORBELLS, 1).unwrap();
        assert_eq!(bus.read32(0).unwrap(), 0);
        assert_eq!(seen.lock().unwrap().writes, [(u64::from(DOORBELLS), vec![1, 0, 0, 0])], "by a message");
        drop(bus);
        server.join().unwrap();
    }
    let (function, _fd) = Function::mapped(DOORBELLS.into(), MemfdFlags::empty(), SealFlags::SHRINK);
    let (client, _seen, _hang_up, server) = function.serve();
    let error = VfioUserBus::over(client).err().expect("the page is not there").to_string();
    assert!(error.contains("found a file of 0x20000 bytes"), "{error}");
    server.join().unwrap();
}

#[test]
fn a_function_that_is_not_ours_is_refused() {
    let refused = |change: fn(&mut Function)| {
        let mut function = Function::new();
        change(&mut function);
        let (client, _seen, _hang_up, server) = function.serve();
        let error = VfioUserBus::over(client).err().expect("it is not ours").to_string();
        server.join().unwrap();
        error
    };
    assert!(refused(|f| f.regions.truncate(7)).contains("expected a PCI function with BARs"));
    assert!(refused(|f| f.regions[0].size -= 1).contains("BAR 0: expected at least 0x40000 bytes"));
    assert!(refused(|f| f.regions[0].writable = false).contains("to read and write"));
    assert!(refused(|f| f.irqs[2].count = 0).contains("expected an MSI-X vector"));
}
