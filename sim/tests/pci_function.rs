//! The function behind vfio-user, driven by hand: what it answers, what it reaches, what is left of a client.

mod pci_support;

use pci_support::{function, until, with_client, Guest, BAR0, BAR2, BYTES, CONFIG, IOVA, MSIX};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use toe_contract::{pci, register};
use toe_driver::vfio_user::VfioUserBus;
use toe_driver::{Bus, Memory};
use toe_sim::invariants::Watched;
use toe_sim::model::Model;
use toe_sim::pci::{DoorbellMode, Function};
use toe_vfio_user::client::ClientError;
use toe_vfio_user::message::DmaMap;
use toe_vfio_user::Errno;

/// Status of the configuration space, as the upper half of the register at 4.
const RECEIVED_TARGET_ABORT: u32 = 1 << 28;
const RECEIVED_MASTER_ABORT: u32 = 1 << 29;
/// Device Control and Status, Power Management Control/Status.
const DEVICE_CONTROL: u64 = 0x68;
const POWER_CONTROL: u64 = 0x44;

fn model(mode: DoorbellMode) -> (Function, pci_support::Far) {
    function(Box::new(Watched::new(Model::default())), mode)
}

fn refused(result: Result<(), ClientError>) -> Errno {
    match result {
        Err(ClientError::Refused { errno, .. }) => errno,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn fault(guest: &Guest) -> bool {
    register::STATUS_FAULT.get(guest.register(register::STATUS)) != 0
}

/// Frames go out and in.
fn exchange(guest: &mut Guest, far: &pci_support::Far, tag: u8) {
    let sent: Vec<u8> = (0..100).map(|k| k ^ tag).collect();
    guest.send(&sent);
    let mut found = None;
    until("a frame sent", || {
        found = far.receive();
        found.is_some()
    });
    assert_eq!(found.as_deref(), Some(&sent[..]));
    let come = vec![tag; 200];
    far.send(come.clone());
    until("a frame received", || {
        found = guest.receive(come.len());
        found.is_some()
    });
    assert_eq!(found, Some(come));
}

#[test]
fn it_says_who_it_is_and_answers_when_it_is_told_to() {
    let (mut function, _far) = model(DoorbellMode::Trapped);
    with_client(&mut function, |guest| {
        let info = guest.client.device_info().expect("info");
        assert!(info.resettable && info.pci && info.regions == 9 && info.irqs == 5, "{info:?}");
        let sizes: Vec<u64> = (0..9).map(|k| guest.client.region_info(k).expect("a region").0.size).collect();
        assert_eq!(sizes, [register::BAR_SIZE.into(), 0, pci::MSIX_BAR_SIZE.into(), 0, 0, 0, 0, 4096, 0]);
        let irqs: Vec<u32> = (0..5).map(|k| guest.client.irq_info(k).expect("a kind").count).collect();
        assert_eq!(irqs, [0, 0, pci::VECTORS.into(), 0, 0]);
        assert_eq!(guest.config(0), u32::from(pci::DEVICE) << 16 | u32::from(pci::VENDOR));

        assert_eq!(guest.register(register::ID), u32::MAX, "Memory Space Enable is off");
        assert_ne!(guest.config(DEVICE_CONTROL) & 1 << 19, 0, "Unsupported Request Detected");
        guest.enable(false);
        assert_eq!((guest.register(register::ID), guest.register(register::VERSION)), (toe_contract::ID, toe_contract::VERSION));
        let mut all = vec![0; 4096];
        guest.client.region_read(CONFIG, 0, &mut all).expect("all of it at once");
        assert_eq!(all[..2], pci::VENDOR.to_le_bytes());
    });
}

#[test]
fn registers_are_read_by_whole_ones_and_written_only_so() {
    let (mut function, _far) = model(DoorbellMode::Trapped);
    with_client(&mut function, |guest| {
        guest.enable(false);
        let id = toe_contract::ID.to_le_bytes();
        let read = |at, bytes| {
            let mut data = vec![0; bytes];
            guest.client.region_read(BAR0, at, &mut data).expect("an access");
            data
        };
        for (at, byte) in (0..).zip(id) {
            assert_eq!(read(at, 1), [byte]);
        }
        assert_eq!((read(0, 2), read(2, 2)), (id[..2].to_vec(), id[2..].to_vec()));
        assert_eq!(read(0, 8), [id, toe_contract::VERSION.to_le_bytes()].concat());
        for (at, bytes) in [(1, 2), (1, 4), (4, 8), (0, 3), (0, 16)] {
            assert_eq!(read(at, bytes), vec![0xff; bytes], "{bytes} bytes at {at}");
        }
        let at = register::MAC_LO.offset.into();
        let write = |at, data: &[u8]| guest.client.region_write(BAR0, at, data).expect("an access");
        write(at, &[1, 2, 3, 4, 5, 6, 0, 0]);
        assert_eq!((guest.register(register::MAC_LO), guest.register(register::MAC_HI)), (0x0403_0201, 0x0605));
        write(at, &[9]);
        write(at, &[9, 9]);
        write(at + 2, &[9, 9, 9, 9]);
        assert_eq!(guest.register(register::MAC_LO), 0x0403_0201);
    });
}

#[test]
fn frames_go_both_ways_with_an_interrupt() {
    let (mut function, far) = model(DoorbellMode::Trapped);
    let ((), counts) = with_client(&mut function, |mut guest| {
        guest.start();
        let eventfd = guest.eventfd();
        exchange(&mut guest, &far, 0x5a);
        guest.doorbell(register::INTERRUPT_ARM, 1);
        far.send(vec![7; 60]);
        until("an interrupt", || read_eventfd(&eventfd) == 1);
        assert_eq!(guest.config(0x50) >> 31, 1, "handing over an eventfd is what enables MSI-X");
    });
    assert_eq!((counts.maps, counts.faults, counts.interrupts), (1, 0, 1));
    assert!(counts.accesses > 15, "{counts:?}");
}

fn read_eventfd(eventfd: &OwnedFd) -> u64 {
    let mut bytes = [0; 8];
    rustix::io::read(eventfd, &mut bytes).map_or(0, |_| u64::from_ne_bytes(bytes))
}

#[test]
fn a_masked_vector_pends_in_bar_2() {
    let (mut function, far) = model(DoorbellMode::Trapped);
    with_client(&mut function, |mut guest| {
        guest.start();
        let eventfd = guest.eventfd();
        guest.client.region_write(BAR2, 12, &1_u32.to_le_bytes()).expect("vector control");
        guest.doorbell(register::INTERRUPT_ARM, 1);
        far.send(vec![7; 60]);
        until("a pending bit", || guest.read(BAR2, pci::MSIX_PENDING.into()) == 1);
        assert_eq!(read_eventfd(&eventfd), 0);
        guest.client.region_write(BAR2, 12, &0_u32.to_le_bytes()).expect("vector control");
        assert_eq!((read_eventfd(&eventfd), guest.read(BAR2, pci::MSIX_PENDING.into())), (1, 0));
        guest.client.disable_irqs(MSIX).expect("off");
        assert_eq!(guest.config(0x50) >> 31, 0);
    });
}

#[test]
fn without_bus_mastering_nothing_is_reached_and_it_is_counted() {
    let (mut function, _far) = model(DoorbellMode::Trapped);
    let ((), counts) = with_client(&mut function, |mut guest| {
        guest.start();
        guest.enable(false);
        let before = guest.all();
        guest.send(&[1; 60]);
        until("a fault", || fault(&guest));
        assert_eq!(guest.config(4) >> 16 & 0x3000, 0, "what is not sent is not answered");
        let after = guest.all();
        assert!(before[0x1_0000..0x8_0000] == after[0x1_0000..0x8_0000], "an event was written");
    });
    assert_eq!(counts.faults, 1);
}

#[test]
fn an_address_that_is_not_mapped_faults_and_a_reset_mends_it() {
    let (mut function, far) = model(DoorbellMode::Trapped);
    let ((), counts) = with_client(&mut function, |mut guest| {
        guest.start();
        guest.submit_at(0x8000_0000);
        until("a fault", || fault(&guest));
        assert_ne!(guest.config(4) & RECEIVED_MASTER_ABORT, 0);
        guest.set_config(6, &[0, 0x20]);
        assert_eq!(guest.config(4) & RECEIVED_MASTER_ABORT, 0);
        guest.client.reset().expect("a reset");
        guest.enable(true);
        assert!(!fault(&guest));
        guest.set_up();
        exchange(&mut guest, &far, 1);
    });
    assert_eq!(counts.faults, 1);
}

#[test]
fn memory_is_read_and_written_only_as_it_was_mapped() {
    for (readable, writable) in [(true, false), (false, true)] {
        let (mut function, far) = model(DoorbellMode::Trapped);
        let ((), counts) = with_client(&mut function, |mut guest| {
            guest.enable(true);
            guest.map(IOVA, &guest.memory, readable, writable).expect("mapped");
            guest.set_up();
            let before = guest.all();
            if writable {
                guest.doorbell(register::SUBMISSION_PRODUCED, 1);
            } else {
                far.send(vec![3; 60]);
            }
            until("a fault", || fault(&guest));
            assert_ne!(guest.config(4) & RECEIVED_TARGET_ABORT, 0);
            assert!(before == guest.all());
        });
        assert_eq!(counts.faults, 1, "readable {readable}, writable {writable}");
    }
}

#[test]
fn what_cannot_be_mapped_is_refused_and_changes_nothing() {
    let (mut function, far) = model(DoorbellMode::Trapped);
    with_client(&mut function, |mut guest| {
        guest.start();
        let map = |iova, size, offset, fd: &OwnedFd| guest.client.dma_map(DmaMap { iova, size, offset, readable: true, writable: true }, fd.as_fd());
        let sealed = guest.memory.fd().try_clone_to_owned().expect("a descriptor");
        assert_eq!(refused(guest.map(IOVA + 0x1000, &guest.memory, true, true)), Errno::EXIST);
        assert_eq!(refused(guest.map(IOVA - 0x1000, &guest.memory, true, true)), Errno::EXIST);

        let unsealed = rustix::fs::memfd_create("unsealed", rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING).expect("a memfd");
        rustix::fs::ftruncate(&unsealed, 0x1000).expect("its length");
        assert_eq!(refused(map(0x1000, 0x1000, 0, &unsealed)), Errno::INVAL);
        let length = guest.memory.len() as u64;
        for (iova, size, offset) in [(0x1000, 0x1000, length), (0x1000, length, 0x1000), (0x1000, 0x1000, 0x800), (0x800, 0x1000, 0), (0x1000, 0x800, 0)] {
            assert_eq!(refused(map(iova, size, offset, &sealed)), Errno::INVAL, "{size:#x} bytes at {offset:#x} to {iova:#x}");
        }
        let (pipe, _other) = std::io::pipe().expect("a pipe");
        assert_eq!(refused(map(0x1000, 0x1000, 0, &pipe.into())), Errno::INVAL);
        // None of them is in the way of this one.
        map(0x1000, 0x1000, 0, &sealed).expect("a page of the same file");
        assert_eq!(refused(guest.client.dma_unmap(0x1000, 0x800)), Errno::INVAL, "a mapping is not cut");
        guest.client.dma_unmap(0, 0x10000).expect("a range that holds it");
        exchange(&mut guest, &far, 2);
    });
}

#[test]
fn after_an_unmap_nothing_is_reached_there() {
    let (mut function, far) = model(DoorbellMode::Trapped);
    with_client(&mut function, |mut guest| {
        guest.start();
        for k in 0..50_u8 {
            far.send(vec![k; 1000]);
        }
        guest.client.dma_unmap(IOVA, BYTES as u64).expect("mapped");
        let then = guest.all();
        std::thread::sleep(Duration::from_millis(20));
        assert!(then == guest.all());
    });
}

#[test]
fn a_reset_in_the_middle_of_traffic_stops_it_and_the_mappings_stay() {
    type Reset = fn(&Guest);
    let resets: [(&str, Reset); 3] = [
        ("FLR", |guest| guest.set_config(DEVICE_CONTROL + 1, &[0x80])),
        ("DEVICE_RESET", |guest| guest.client.reset().expect("a reset")),
        ("D3hot", |guest| {
            guest.set_config(POWER_CONTROL, &[3]);
            assert_eq!(guest.register(register::ID), u32::MAX, "no BAR in D3hot");
            guest.set_config(POWER_CONTROL, &[0]);
        }),
    ];
    let (mut function, far) = model(DoorbellMode::Trapped);
    for (what, reset) in resets {
        with_client(&mut function, |mut guest| {
            guest.start();
            let eventfd = guest.eventfd();
            for k in 0..100_u8 {
                far.send(vec![k; 1000]);
                guest.send(&[k; 1000]);
            }
            guest.doorbell(register::INTERRUPT_ARM, 1);
            reset(&guest);
            let then = guest.all();
            read_eventfd(&eventfd);
            far.send(vec![9; 60]);
            std::thread::sleep(Duration::from_millis(10));
            assert!(then == guest.all(), "{what}: DMA after it");
            assert_eq!(read_eventfd(&eventfd), 0, "{what}: an interrupt after it");
            assert_eq!((guest.config(4) & 0xffff, guest.config(0x10)), (0, 4), "{what}: Command and BAR 0");
            while far.receive().is_some() {}

            guest.enable(true);
            guest.set_up();
            exchange(&mut guest, &far, 3);
            guest.doorbell(register::INTERRUPT_ARM, 1);
            far.send(vec![7; 60]);
            until("an interrupt", || read_eventfd(&eventfd) == 1);
        });
        while far.receive().is_some() {}
    }
}

#[test]
fn the_next_client_finds_the_function_as_after_power_on() {
    let (mut function, far) = model(DoorbellMode::Trapped);
    let fresh = with_client(&mut function, |guest| {
        let mut all = vec![0; 4096];
        guest.client.region_read(CONFIG, 0, &mut all).expect("configuration space");
        all
    });
    let (memory, _) = with_client(&mut function, |mut guest| {
        guest.start();
        let _eventfd = guest.eventfd();
        guest.set_config(0x108, &[0xff; 4]);
        far.send(vec![1; 60]);
        guest.memory.clone()
    });
    let mut then = vec![0; BYTES];
    memory.copy_out(0, &mut then);
    with_client(&mut function, |mut guest| {
        let mut all = vec![0; 4096];
        guest.client.region_read(CONFIG, 0, &mut all).expect("configuration space");
        assert!(all == fresh.0);
        guest.enable(true);
        assert_eq!(guest.register(register::CONTROL), 0);
        // The old client's memory is not reached by the new one's rings at the same place.
        guest.set_up();
        guest.doorbell(register::SUBMISSION_PRODUCED, 1);
        until("a fault", || fault(&guest));
    });
    let mut now = vec![0; BYTES];
    memory.copy_out(0, &mut now);
    assert!(then == now);
}

#[test]
fn a_map_without_a_file_is_taken_and_faults() {
    use toe_vfio_user::message::{Header, Request};
    use toe_vfio_user::socket::{receive, send};
    let (mut function, _far) = model(DoorbellMode::Trapped);
    with_client(&mut function, |mut guest| {
        guest.start();
        let request = Request::DmaMap(DmaMap { iova: 0xf000_0000, size: 0x1000, offset: 0, readable: true, writable: true });
        let body = request.encode();
        let header = Header::command(77, request.command(), body.len(), true);
        send(&guest.stream, &header, &[&body], &[], std::time::Instant::now() + pci_support::PATIENCE).expect("sent");
        let reply = receive(&guest.stream, None, pci_support::PATIENCE).expect("a reply").expect("a reply");
        assert_eq!(reply.header.errno(), None);
        assert_eq!(refused(guest.map(0xf000_0000, &Memory::new(4096).expect("memory"), true, true)), Errno::EXIST);
        guest.submit_at(0xf000_0000);
        until("a fault", || fault(&guest));
        assert_ne!(guest.config(4) & RECEIVED_MASTER_ABORT, 0);
        guest.client.dma_unmap(0xf000_0000, 0x1000).expect("mapped");
    });
}

#[test]
fn mapped_doorbells_ring_without_a_message() {
    let (mut function, far) = model(DoorbellMode::Mapped);
    for _ in 0..2 {
        with_client(&mut function, |mut guest| {
            let (info, fd) = guest.client.region_info(BAR0).expect("BAR 0");
            assert_eq!(info.areas.iter().map(|a| (a.offset, a.size)).collect::<Vec<_>>(), [(register::DOORBELLS.into(), register::PAGE.into())]);
            let page = Memory::shared(fd.expect("a file"), info.offset + info.areas[0].offset, register::PAGE as usize, true).expect("sealed");
            let store = |register: register::Register, value| page.store32(register.offset as usize, value);
            assert_eq!(page.load32(0), 0);
            guest.start();
            let eventfd = guest.eventfd();
            let produced = guest.put(&[0x77; 99]);
            store(register::SUBMISSION_PRODUCED, produced);
            until("a frame", || far.receive().is_some_and(|frame| frame == [0x77; 99]));
            // Trapped writes go to the same place.
            exchange(&mut guest, &far, 8);
            assert_eq!(page.load32(register::SUBMISSION_PRODUCED.offset as usize), 2);
            store(register::INTERRUPT_ARM, 1);
            far.send(vec![5; 60]);
            until("an interrupt", || read_eventfd(&eventfd) == 1);
            assert_eq!(page.load32(register::INTERRUPT_ARM.offset as usize), 0, "armed once");
            guest.client.reset().expect("a reset");
            assert_eq!(page.load32(register::SUBMISSION_PRODUCED.offset as usize), 0);
            guest.enable(true);
            guest.set_up();
            exchange(&mut guest, &far, 9);
        });
    }
}

#[test]
fn a_mapped_doorbell_does_not_overtake_a_register_that_was_written_before() {
    let (mut function, _far) = model(DoorbellMode::Mapped);
    with_client(&mut function, |guest| {
        let bus = VfioUserBus::over(guest.client).expect("our function");
        let doorbell = register::DOORBELLS + register::SUBMISSION_PRODUCED.offset;
        for k in 1..20 {
            bus.write32(register::CONTROL.offset, register::CONTROL_RESET.mask()).expect("a register");
            bus.write32(doorbell, k).expect("a doorbell");
            bus.read32(register::CONTROL.offset).expect("a register");
            assert_eq!(bus.read32(doorbell).expect("a doorbell"), k, "the reset came behind the doorbell, and took it away");
        }
    });
}
