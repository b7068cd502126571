//! The root complex against a plain array: alignment, bounds, rights, faults, record.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use toe_driver::Memory;
use toe_sim::root_complex::{Access, Fault, MapError, RootComplex, Timing, PAGE};

/// Zeroed memory of so many bytes, mapped there.
fn mapped(host: &mut RootComplex, iova: u64, bytes: usize, writable: bool) -> Memory {
    let memory = Memory::new(bytes).expect("memory");
    host.map(iova, &memory, writable).expect("mapped");
    memory
}

fn quiet() -> RootComplex {
    RootComplex::new(Timing::default(), 1)
}

fn copy(memory: &Memory, offset: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    memory.copy_out(offset, &mut bytes);
    bytes
}

#[test]
fn every_alignment_reads_back_what_was_written() {
    let seed = 0x5eed_0001;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut host = quiet();
    let memory = mapped(&mut host, 0x1_0000, 8192, true);
    let mut expected = vec![0u8; 8192];
    for step in 0..4000 {
        let length = random.random_range(0..100);
        let offset = random.random_range(0..8192 - length);
        let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
        host.write(0x1_0000 + offset as u64, &bytes).expect("inside");
        expected[offset..offset + length].copy_from_slice(&bytes);
        let length = random.random_range(0..100);
        let offset = random.random_range(0..8192 - length);
        let mut found = vec![0; length];
        host.read(0x1_0000 + offset as u64, &mut found).expect("inside");
        assert_eq!(found, expected[offset..offset + length], "seed {seed:#x} step {step}");
    }
    assert_eq!(copy(&memory, 0, 8192), expected, "seed {seed:#x}");
}

#[test]
fn an_access_runs_over_adjacent_regions_and_stops_at_a_hole() {
    let mut host = quiet();
    let a = mapped(&mut host, PAGE, 4096, true);
    let b = mapped(&mut host, 2 * PAGE, 4096, true);
    host.write(2 * PAGE - 3, &[1, 2, 3, 4, 5]).expect("over both");
    assert_eq!((copy(&a, 4093, 3), copy(&b, 0, 2)), (vec![1, 2, 3], vec![4, 5]));
    assert_eq!(host.write(3 * PAGE - 2, &[9; 4]), Err(Fault::Unmapped { iova: 3 * PAGE }));
    assert_eq!(host.read(PAGE - 1, &mut [0; 2]), Err(Fault::Unmapped { iova: PAGE - 1 }));
    assert_eq!(host.last_fault(), Some(Fault::Unmapped { iova: PAGE - 1 }));
    assert_eq!(host.statistics().faults, 2);
}

#[test]
fn memory_mapped_read_only_is_not_written() {
    let mut host = quiet();
    mapped(&mut host, 0, 4096, false).copy_in(0, &[7; 16]);
    assert_eq!(host.write(8, &[1; 8]), Err(Fault::ReadOnly { iova: 8 }));
    let mut found = [0; 16];
    host.read(0, &mut found).expect("readable");
    assert_eq!(found, [7; 16]);
}

#[test]
fn nothing_is_reached_while_bus_mastering_is_off_or_after_unmap() {
    let mut host = quiet();
    let memory = mapped(&mut host, PAGE, 4096, true);
    host.set_bus_master(false);
    assert_eq!(host.read(PAGE, &mut [0; 8]), Err(Fault::NotMaster { iova: PAGE }));
    host.set_bus_master(true);
    host.write(PAGE, &[1]).expect("mastering");
    assert_eq!(host.unmap(PAGE, 8192), Err(MapError::NotMapped { iova: PAGE, length: 8192 }));
    host.unmap(PAGE, 4096).expect("was mapped");
    assert_eq!(host.write(PAGE, &[2]), Err(Fault::Unmapped { iova: PAGE }));
    assert_eq!(copy(&memory, 0, 1), [1]);
}

#[test]
fn mappings_are_pages_and_do_not_meet() {
    let mut host = quiet();
    mapped(&mut host, 4 * PAGE, 2 * 4096, true);
    let (one, two) = (Memory::new(4096).expect("memory"), Memory::new(8192).expect("memory"));
    assert_eq!(host.map(5 * PAGE, &one, true), Err(MapError::Overlap { iova: 5 * PAGE, length: 4096, found: 4 * PAGE }));
    assert_eq!(host.map(3 * PAGE, &two, true), Err(MapError::Overlap { iova: 3 * PAGE, length: 8192, found: 4 * PAGE }));
    assert_eq!(host.map(100, &one, true), Err(MapError::NotPages { iova: 100, length: 4096 }));
    assert_eq!(host.map(u64::MAX - 4095, &one, true), Err(MapError::NotPages { iova: u64::MAX - 4095, length: 4096 }));
    host.map(3 * PAGE, &one, true).expect("free");
    host.map(6 * PAGE, &two, true).expect("free");
}

#[test]
fn the_record_keeps_accesses_apart() {
    let mut host = quiet();
    mapped(&mut host, 0, 4096, true);
    host.set_record(true);
    for iova in [0, 8] {
        host.write(iova, &[0; 8]).expect("inside");
    }
    host.read(40, &mut [0; 8]).expect("inside");
    let access = |iova, length, write| Access { iova, length, write };
    assert_eq!(host.take_record(), [access(0, 8, true), access(8, 8, true), access(40, 8, false)]);
    assert_eq!(host.take_record(), []);
}

#[test]
fn moods_of_the_bus_come_from_the_seed() {
    let draw = |seed| {
        let mut host = RootComplex::new(Timing::HOSTILE, seed);
        (0..200).map(|_| (host.stalls(), host.jitter())).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    assert!(draw(7).iter().any(|d| d.0) && draw(7).iter().any(|d| !d.0) && draw(7).iter().all(|d| d.1 <= Timing::HOSTILE.jitter));
    let mut calm = RootComplex::new(Timing::default(), 7);
    assert!((0..200).all(|_| !calm.stalls() && calm.jitter() == 0));
}
