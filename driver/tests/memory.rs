//! DMA memory, its addresses, and the submission ring across the wrap of its indices.

mod common;

use common::Fake;
use proptest::prelude::*;
use rustix::fs::{fcntl_add_seals, ftruncate, memfd_create, MemfdFlags, SealFlags};
use std::os::fd::OwnedFd;
use toe_contract::command::{Command, Opcode};
use toe_driver::dma::{DmaAllocator, SLAB};
use toe_driver::iova::IovaAllocator;
use toe_driver::memory::{HUGE_PAGE, PAGE};
use toe_driver::ring::SubmissionRing;
use toe_driver::{Iova, Memory};

proptest! {
    #[test]
    fn copies_at_any_alignment_touch_what_they_should_and_nothing_else(offset in 0usize..64, data in proptest::collection::vec(any::<u8>(), 0..100)) {
        let memory = Memory::new(4096).unwrap();
        let before = vec![0xa5; 4096];
        memory.copy_in(0, &before);
        memory.copy_in(offset, &data);
        let mut expected = before;
        expected[offset..offset + data.len()].copy_from_slice(&data);
        let mut whole = vec![0; 4096];
        memory.copy_out(0, &mut whole);
        prop_assert_eq!(&whole, &expected);
        let mut part = vec![0; data.len()];
        memory.copy_out(offset, &mut part);
        prop_assert_eq!(part, data);
    }

    #[test]
    fn addresses_given_out_are_aligned_disjoint_and_all_come_back(orders in proptest::collection::vec((0u32..9, 1u64..5, any::<prop::sample::Index>()), 1..60)) {
        let mut all = IovaAllocator::new(&[0..=0xf_ffff, 0x20_0000..=0x2f_ffff]);
        let whole = all.free_bytes();
        let mut out: Vec<(Iova, u64)> = vec![];
        for (align, pages, which) in orders {
            if pages == 4 && !out.is_empty() {
                let (iova, bytes) = out.swap_remove(which.index(out.len()));
                all.give_back(iova, bytes);
            } else if let Some(iova) = all.take(pages * 4096, 4096 << align) {
                prop_assert_eq!(iova.0 % (4096 << align), 0);
                prop_assert!(out.iter().all(|(o, n)| iova.0 + pages * 4096 <= o.0 || o.0 + n <= iova.0), "{} overlaps", iova);
                out.push((iova, pages * 4096));
            }
        }
        for (iova, bytes) in out {
            all.give_back(iova, bytes);
        }
        prop_assert_eq!(all.free_bytes(), whole);
        prop_assert!(all.take(0x10_0000 - 0x1000, 4096).is_some(), "free ranges have been joined again");
    }

    #[test]
    fn a_submission_ring_counts_right_from_any_index(start in any::<u32>(), steps in proptest::collection::vec((0u32..40, 0u32..40), 1..40)) {
        let dma = DmaAllocator::new(Fake::new());
        let mut ring = SubmissionRing::new(&dma, 4).unwrap().starting_at(start);
        let (mut produced, mut consumed) = (0u32, 0u32);
        for (push, take) in steps {
            for _ in 0..push {
                let taken = ring.push(Command::new(Opcode::Rearm, 0, 0));
                prop_assert_eq!(taken, produced - consumed < 16);
                produced += u32::from(taken);
            }
            let _ = ring.doorbell();
            let take = take.min(produced - consumed);
            consumed += take;
            let index = start.wrapping_add(consumed);
            prop_assert!(ring.consumed_low16((index & 0xffff) as u16));
            prop_assert!(ring.consumed_low16(((index.wrapping_sub(1)) & 0xffff) as u16), "an old index is no lie");
            prop_assert!(!ring.consumed_to(start.wrapping_add(produced).wrapping_add(1)), "beyond the doorbell");
            prop_assert_eq!(ring.room(), 16 - (produced - consumed));
        }
    }
}

#[test]
#[should_panic(expected = "access to bytes 4090..+7 of 4096")]
fn an_access_beyond_the_end_is_a_bug_and_says_where() {
    Memory::new(1).unwrap().copy_in(4090, &[0; 7]);
}

#[test]
fn memory_is_mapped_aligned_to_its_size_and_unmapped_when_dropped() {
    let fake = Fake::new();
    let dma = DmaAllocator::new(fake.clone());
    let small = dma.allocate(4096).unwrap();
    let big = dma.allocate(1 << 20).unwrap();
    assert_eq!(big.iova().0 % (1 << 20), 0);
    let maps = || fake.state.lock().unwrap().mapped.len();
    assert_eq!((dma.used(), dma.mapped(), maps()), ((1 << 20) + 4096, SLAB as u64, 1), "both in one slab");
    let other = dma.allocate(1 << 20).unwrap();
    let huge = dma.allocate(2 * SLAB).unwrap();
    assert_eq!((dma.mapped(), maps()), (4 * SLAB as u64, 3), "no room for a second MiB; too big for any");
    assert_eq!(huge.iova().0 % (2 * SLAB as u64), 0);
    big.memory().store32(0, 1);
    let iova = big.iova();
    drop(big);
    let again = dma.allocate(1 << 20).unwrap();
    assert_eq!((again.iova(), again.memory().load32(0), maps()), (iova, 0, 3), "the same place, zeroed, and nothing mapped for it");
    drop((small, again));
    assert_eq!(maps(), 2, "the first slab has gone");
    drop((other, huge));
    assert_eq!((dma.used(), dma.mapped(), maps()), (0, 0, 0));
    assert!(dma.allocate(1 << 31).is_err(), "there are not so many bus addresses");
}

#[test]
fn nobody_can_shrink_memory_under_whoever_maps_it() {
    let memory = Memory::new(8192).unwrap();
    assert_eq!(ftruncate(memory.fd(), 4096), Err(rustix::io::Errno::PERM));
    assert_eq!(ftruncate(memory.fd(), 16384), Err(rustix::io::Errno::PERM));
    let other = Memory::shared(memory.fd().try_clone_to_owned().unwrap(), 4096, 4096, true).unwrap();
    memory.store32(4096 + 8, 0x1234_5678);
    other.store32(12, 0x9abc_def0);
    assert_eq!((other.load32(8), memory.load32(4096 + 12)), (0x1234_5678, 0x9abc_def0));
}

/// With huge pages and without (`echo 4 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages` for the former): whole pages, zeroed, sealed, shared.
#[test]
fn large_memory_is_made_of_huge_pages_or_of_others() {
    let memory = Memory::new(HUGE_PAGE + 1).unwrap();
    assert!([HUGE_PAGE + PAGE, 2 * HUGE_PAGE].contains(&memory.len()), "{} bytes", memory.len());
    assert_eq!(ftruncate(memory.fd(), 0), Err(rustix::io::Errno::PERM));
    let other = Memory::shared(memory.fd().try_clone_to_owned().unwrap(), 0, memory.len(), true).unwrap();
    let last = memory.len() - 8;
    assert_eq!((memory.load64(0), memory.load64(last)), (0, 0));
    memory.store64(last, 7);
    assert_eq!(other.load64(last), 7);
}

fn memfd(bytes: u64, seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, bytes).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

#[test]
fn memory_of_others_is_refused_with_the_reason() {
    let why = |fd: OwnedFd, offset, bytes| Memory::shared(fd, offset, bytes, true).expect_err("refused").to_string();
    assert!(why(memfd(8192, SealFlags::GROW), 0, 4096).contains("not sealed against shrinking"));
    let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    assert!(why(file, 0, 4096).contains("expected a memfd"));
    for (offset, bytes) in [(4096, 8192), (8192, 1), (100, 4096), (0, 0), (u64::MAX - 4095, 4096)] {
        assert!(why(memfd(8192, SealFlags::SHRINK), offset, bytes).contains("whole pages inside 0x2000 bytes"), "{offset:#x} {bytes:#x}");
    }
}

#[test]
#[should_panic(expected = "shared for reading")]
fn what_is_shared_for_reading_is_not_written() {
    let memory = Memory::shared(memfd(4096, SealFlags::SHRINK), 0, 4096, false).unwrap();
    assert!(!memory.writable() && memory.load64(8) == 0);
    memory.copy_in(0, &[1]);
}
