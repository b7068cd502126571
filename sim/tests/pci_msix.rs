//! Vectors: what masks them, what becomes of those that come meanwhile.

use rustix::event::{eventfd, EventfdFlags};
use std::os::fd::OwnedFd;
use toe_sim::pci::{IrqError, Msix};

const VECTORS: u16 = 40;
/// Vector Control of an entry, and the first of the pending bits, in BAR 2.
const CONTROL: usize = 12;
const PENDING: usize = 0x1000;

fn event() -> (OwnedFd, OwnedFd) {
    let ours = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
    (ours.try_clone().expect("a descriptor"), ours)
}

fn count(eventfd: &OwnedFd) -> u64 {
    let mut bytes = [0; 8];
    match rustix::io::read(eventfd, &mut bytes) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(error) => {
            assert_eq!(error, rustix::io::Errno::AGAIN);
            0
        }
    }
}

fn read(msix: &Msix, at: usize) -> u32 {
    let mut bytes = [0; 4];
    msix.read(at, &mut bytes);
    u32::from_le_bytes(bytes)
}

/// All vectors with an eventfd, and everything on.
fn ready() -> (Msix, Vec<OwnedFd>) {
    let msix = Msix::new(VECTORS);
    let (theirs, ours): (Vec<_>, Vec<_>) = (0..VECTORS).map(|_| event()).map(|(a, b)| (Some(a), b)).unzip();
    msix.set_triggers(0, theirs).expect("vectors");
    msix.control(true, false, true);
    (msix, ours)
}

#[test]
fn a_vector_goes_to_its_eventfd() {
    let (msix, events) = ready();
    msix.interrupt(3);
    msix.interrupt(3);
    msix.interrupt(39);
    let counts: Vec<u64> = events.iter().map(count).collect();
    assert_eq!((counts[3], counts[39], counts.iter().sum::<u64>(), msix.sent()), (2, 1, 3, 3));
    msix.interrupt(40);
    assert_eq!(msix.sent(), 3, "there is no such vector");
}

#[test]
fn what_comes_under_a_mask_pends_and_is_sent_once_when_it_ends() {
    type Mask = fn(&Msix, bool);
    let masks: [(&str, Mask); 4] = [
        ("table", |msix, on| msix.write(16 * 33 + CONTROL, &u32::from(on).to_le_bytes())),
        ("message", |msix, on| msix.mask(33, &[true], on).expect("a vector")),
        ("function mask", |msix, on| msix.control(true, on, true)),
        ("bus master", |msix, on| msix.control(true, false, !on)),
    ];
    for (what, mask) in masks {
        let (msix, events) = ready();
        mask(&msix, true);
        msix.interrupt(33);
        msix.interrupt(33);
        assert_eq!((count(&events[33]), read(&msix, PENDING), read(&msix, PENDING + 4)), (0, 0, 0b10), "{what}");
        mask(&msix, false);
        assert_eq!((count(&events[33]), read(&msix, PENDING + 4)), (1, 0), "{what}");
    }
}

#[test]
fn without_enable_nothing_is_sent_nor_kept() {
    let (msix, events) = ready();
    msix.control(false, false, true);
    msix.interrupt(0);
    msix.control(true, false, true);
    assert_eq!((count(&events[0]), read(&msix, PENDING)), (0, 0));
}

#[test]
fn a_vector_without_eventfd_waits_for_one() {
    let (msix, _events) = ready();
    msix.set_triggers(7, vec![None]).expect("a vector");
    msix.interrupt(7);
    assert_eq!(read(&msix, PENDING), 1 << 7);
    let (theirs, ours) = event();
    msix.set_triggers(7, vec![Some(theirs)]).expect("a vector");
    assert_eq!((count(&ours), read(&msix, PENDING)), (1, 0));
}

#[test]
fn the_table_reads_as_written_and_odd_accesses_do_nothing() {
    let msix = Msix::new(VECTORS);
    assert_eq!(read(&msix, 16 * 5 + CONTROL), 1, "masked after power-on");
    msix.write(16 * 5, &0xfee0_1007_u64.to_le_bytes());
    msix.write(16 * 5 + 8, &0x4321_u32.to_le_bytes());
    msix.write(16 * 5 + 12, &0xffff_fffe_u32.to_le_bytes());
    let entry: Vec<u32> = (0..4).map(|k| read(&msix, 16 * 5 + 4 * k)).collect();
    assert_eq!(entry, [0xfee0_1004, 0, 0x4321, 0]);
    for (at, bytes) in [(80, 1), (80, 2), (82, 4), (84, 8), (80, 16), (0x1ffc, 8), (usize::MAX - 3, 4)] {
        let mut read = vec![0; bytes];
        msix.read(at, &mut read);
        assert!(read.iter().all(|b| *b == 0xff), "{bytes} bytes at {at:#x}");
        msix.write(at, &vec![0x55; bytes]);
    }
    assert_eq!(read(&msix, 80), 0xfee0_1004);
    msix.write(PENDING, &[0xff; 8]);
    assert_eq!(read(&msix, PENDING), 0, "pending bits are read-only");
    assert_eq!(read(&msix, 16 * usize::from(VECTORS)), 0, "behind the last entry");
}

#[test]
fn a_reset_forgets_masks_and_pending_bits_but_not_whose_eventfds_they_are() {
    let (msix, events) = ready();
    msix.mask(0, &[true, true], true).expect("vectors");
    msix.interrupt(1);
    msix.reset();
    assert_eq!((read(&msix, PENDING), read(&msix, 16 + CONTROL)), (0, 0));
    msix.interrupt(1);
    msix.control(true, false, true);
    assert_eq!(count(&events[1]), 0, "off after the reset");
    msix.interrupt(1);
    assert_eq!(count(&events[1]), 1);
    msix.disable();
    assert!(!msix.is_used());
    msix.interrupt(1);
    assert_eq!((count(&events[1]), read(&msix, 16 + CONTROL)), (0, 1));
}

#[test]
fn a_client_can_fire_vectors_itself() {
    let (msix, events) = ready();
    msix.fire(8, &[true, false, true]).expect("vectors");
    assert_eq!([8, 9, 10].map(|v| count(&events[v])), [1, 0, 1]);
}

#[test]
fn what_is_not_there_or_no_eventfd_is_refused_and_changes_nothing() {
    let (msix, events) = ready();
    for (start, many) in [(40, 1), (39, 2), (u32::MAX, 1), (0, 41)] {
        assert!(matches!(msix.mask(start, &vec![true; many], true), Err(IrqError::Range { .. })), "{start}..+{many}");
        assert!(matches!(msix.fire(start, &vec![true; many]), Err(IrqError::Range { .. })), "{start}..+{many}");
    }
    let (pipe, _other) = std::io::pipe().expect("a pipe");
    let refused = msix.set_triggers(0, vec![None, Some(pipe.into())]);
    assert!(matches!(refused, Err(IrqError::NoEventfd { vector: 1, .. })), "{refused:?}");
    msix.interrupt(0);
    assert_eq!(count(&events[0]), 1);
}

#[test]
fn a_full_eventfd_does_not_hold_the_device() {
    let (msix, events) = ready();
    // One that would block whoever counts on.
    let full = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
    rustix::io::write(&full, &(u64::MAX - 1).to_ne_bytes()).expect("room");
    msix.set_triggers(0, vec![Some(full)]).expect("a vector");
    let (done, finished) = std::sync::mpsc::channel();
    let device = msix.clone();
    std::thread::spawn(move || {
        device.interrupt(0);
        device.interrupt(1);
        done.send(()).expect("somebody waits");
    });
    finished.recv_timeout(std::time::Duration::from_secs(10)).expect("the device goes on");
    assert_eq!(count(&events[1]), 1);
}
