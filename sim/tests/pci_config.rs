//! Configuration space, read as software that has never seen our tables reads it. All numbers are the specification's (PCI Express Base 5.0).

use proptest::prelude::*;
use toe_contract::{pci, register};
use toe_sim::pci::{Config, Effect, SIZE};
use toe_sim::root_complex::Fault;

fn read(config: &Config, at: usize, bytes: usize) -> u32 {
    let mut data = [0; 4];
    config.read(at, &mut data[..bytes]);
    u32::from_le_bytes(data)
}

fn dword(config: &Config, at: usize) -> u32 {
    read(config, at, 4)
}

fn write(config: &mut Config, at: usize, value: u32) -> Effect {
    config.write(at, &value.to_le_bytes())
}

/// Address, identity and version of each entry of both lists, in order.
fn walk(config: &Config) -> Vec<(usize, u32, u32)> {
    assert_ne!(read(config, 0x06, 2) & 0x10, 0, "Status says that there is a list");
    let mut found = Vec::new();
    let mut at = read(config, 0x34, 1) as usize;
    while at != 0 {
        assert!(at >= 0x40 && at.is_multiple_of(4) && found.len() < 48, "{at:#x} after {found:x?}");
        found.push((at, read(config, at, 1), 0));
        at = read(config, at + 1, 1) as usize;
    }
    at = 0x100;
    while at != 0 {
        assert!(at >= 0x100 && at.is_multiple_of(4) && found.len() < 1000, "{at:#x} after {found:x?}");
        let head = dword(config, at);
        found.push((at, head & 0xffff, head >> 16 & 0xf));
        at = (head >> 20) as usize;
    }
    found
}

#[test]
fn the_lists_hold_what_an_endpoint_needs_and_nothing_overlaps() {
    let config = Config::new();
    let found = walk(&config);
    let identities: Vec<_> = found.iter().map(|f| (f.1, f.2)).collect();
    assert_eq!(identities, [(0x01, 0), (0x11, 0), (0x10, 0), (0x0001, 2), (0x0003, 1)]);
    // Lengths of 7.5.2, 7.7.2, 7.5.3 (version 2), 7.8.4 (with the TLP prefix log) and 7.9.3.
    let lengths = [8, 12, 0x3c, 0x48, 12];
    for (k, (at, length)) in found.iter().map(|f| f.0).zip(lengths).enumerate() {
        let limit = if at < 0x100 { 0x100 } else { SIZE };
        assert!(at + length <= limit);
        for (other, length_of_other) in found.iter().map(|f| f.0).zip(lengths).skip(k + 1) {
            assert!(at + length <= other || other + length_of_other <= at, "{at:#x} and {other:#x}");
        }
    }
}

#[test]
fn the_header_says_who_this_is() {
    let config = Config::new();
    assert_eq!(dword(&config, 0x00), u32::from(pci::DEVICE) << 16 | u32::from(pci::VENDOR));
    assert_eq!(dword(&config, 0x08), pci::CLASS << 8 | u32::from(pci::REVISION));
    assert_eq!(read(&config, 0x0e, 1), 0, "header type 0, one function");
    assert_eq!(read(&config, 0x3d, 1), 0, "no INTx");
    assert_eq!(dword(&config, 0x30), 0, "no expansion ROM");
    assert_eq!(read(&config, 0x04, 2), 0, "nothing is on after power-on");
    assert_eq!(dword(&config, SIZE), u32::MAX, "nothing lies behind");
}

#[test]
fn msi_x_points_into_its_bar() {
    let config = Config::new();
    assert_eq!(read(&config, 0x52, 2), u32::from(pci::VECTORS) - 1);
    assert_eq!((dword(&config, 0x54), dword(&config, 0x58)), (pci::MSIX_TABLE | 2, pci::MSIX_PENDING | 2));
}

#[test]
fn the_link_is_gen_3_of_four_lanes_and_the_function_can_be_reset() {
    let config = Config::new();
    assert_eq!(read(&config, 0x62, 2), 0x0002, "version 2, endpoint");
    assert_ne!(dword(&config, 0x64) & 1 << 28, 0, "FLR");
    assert_ne!(dword(&config, 0x64) & 1 << 15, 0, "role-based error reporting");
    assert_eq!((dword(&config, 0x6c) & 0x3ff, read(&config, 0x72, 2) & 0x3ff), (0x43, 0x43));
    assert_eq!(read(&config, 0x68, 2), 0x2810, "512 byte reads, no-snoop, relaxed ordering (7.5.3.4)");
}

#[test]
fn bars_are_sized_by_writing_ones() {
    let mut config = Config::new();
    let mut size = |at: usize| -> (u32, u64) {
        write(&mut config, at, u32::MAX);
        write(&mut config, at + 4, u32::MAX);
        let both = u64::from(dword(&config, at + 4)) << 32 | u64::from(dword(&config, at));
        (dword(&config, at) & 0xf, (!(both & !0xf)).wrapping_add(1))
    };
    assert_eq!(size(0x10), (0b0100, register::BAR_SIZE.into()));
    assert_eq!(size(0x18), (0b0100, pci::MSIX_BAR_SIZE.into()));
    write(&mut config, 0x20, u32::MAX);
    assert_eq!(dword(&config, 0x20), 0, "BAR 4 is not there");
}

#[test]
fn bytes_and_words_are_written_alone() {
    let mut config = Config::new();
    write(&mut config, 0x10, 0xabcd_0000);
    config.write(0x13, &[0x12]);
    config.write(0x11, &[0xff, 0x34]);
    assert_eq!(dword(&config, 0x10), 0x1234_0004, "the size of BAR 0 leaves bits 31:18");
    config.write(0x12, &[0xff, 0xff, 0xff]);
    assert_eq!(dword(&config, 0x10), 0x1234_0004, "an access never crosses a dword");
}

#[test]
fn flr_and_the_way_back_from_d3_reset_but_sticky_bits_stay() {
    let reset = |config: &mut Config| {
        assert_eq!(write(config, 0x04, 0x0006), Effect::None);
        write(config, 0x108, 0x0010_0000);
        write(config, 0x10, 0xf000_0000);
    };
    let check = |config: &Config| {
        assert_eq!((read(config, 0x04, 2), dword(config, 0x10), dword(config, 0x44)), (0, 4, 0));
        assert_eq!(dword(config, 0x108), 0x0010_0000, "the mask of errors is sticky");
    };
    let mut config = Config::new();
    reset(&mut config);
    assert_eq!(write(&mut config, 0x68, 0x8000), Effect::Reset);
    assert_eq!(read(&config, 0x68, 2) & 0x8000, 0, "Initiate FLR reads 0");
    config.reset();
    check(&config);

    reset(&mut config);
    assert!(config.answers_memory() && config.is_master());
    assert_eq!(write(&mut config, 0x44, 1), Effect::None);
    assert_eq!(dword(&config, 0x44) & 3, 0, "there is no D1");
    assert_eq!(write(&mut config, 0x44, 3), Effect::None);
    assert!(!config.answers_memory() && !config.is_master(), "D3hot");
    assert_eq!(write(&mut config, 0x44, 0), Effect::Reset);
    config.reset();
    check(&config);
    config.power_on();
    assert_eq!(dword(&config, 0x108), 1 << 22);
}

#[test]
fn errors_show_and_a_one_clears_them() {
    let mut config = Config::new();
    config.note_fault(Fault::NotMaster { iova: 0 });
    assert_eq!(read(&config, 0x06, 2), 0x10, "what was not sent was not answered");
    config.note_fault(Fault::Unmapped { iova: 0 });
    assert_eq!(read(&config, 0x06, 2), 0x2010, "Received Master Abort");
    config.note_fault(Fault::ReadOnly { iova: 0 });
    assert_eq!(read(&config, 0x06, 2), 0x3010, "Received Target Abort");
    config.write(0x06, &[0, 0x20]);
    assert_eq!(read(&config, 0x06, 2), 0x1010);

    config.note_unsupported(false);
    assert_eq!(read(&config, 0x6a, 2), 0x9, "correctable, since advisory, and unsupported");
    assert_eq!((dword(&config, 0x110), dword(&config, 0x104)), (0x2000, 0), "masked at first: not in the uncorrectable status");
    config.note_unsupported(true);
    assert_eq!((read(&config, 0x6a, 2), dword(&config, 0x104)), (0xb, 0x0010_0000));
    assert_eq!(dword(&config, 0x118) & 0x1f, 20, "First Error Pointer");
    write(&mut config, 0x104, 0x0010_0000);
    assert_eq!(dword(&config, 0x104), 0);
}

/// Read-write bits and bits cleared by a one, by the specification; everything else is read-only.
fn masks(at: usize) -> (u32, u32) {
    match at {
        0x04 => (0x0546, 0xf900_0000),
        0x0c => (0xff, 0),
        0x10 => (0xfffc_0000, 0),
        0x14 | 0x1c => (u32::MAX, 0),
        0x18 => (0xffff_e000, 0),
        0x44 => (3, 0),
        0x50 => (0xc000_0000, 0),
        0x68 => (0x79ff, 0x000f_0000),
        0x70 => (0xcb, 0),
        0x88 => (0x10, 0),
        0x90 => (0xf, 0),
        0x104 => (0, 0x005f_f010),
        0x108 | 0x10c => (0x005f_f010, 0),
        0x110 => (0, 0xf1c1),
        0x114 => (0xf1c1, 0),
        _ => (0, 0),
    }
}

proptest! {
    #[test]
    fn only_what_is_writable_changes(writes in prop::collection::vec((0..SIZE, 1_usize..=4, any::<u32>()), 1..200)) {
        let mut config = Config::new();
        // Something to be cleared.
        config.note_fault(Fault::Unmapped { iova: 0 });
        config.note_unsupported(true);
        for (at, bytes, value) in writes {
            // Most of the space is empty: half of the writes go where something is.
            let at = if value & 1 == 0 { at % 0x160 } else { at };
            let before: Vec<u32> = (0..SIZE).step_by(4).map(|at| dword(&config, at)).collect();
            config.write(at, &value.to_le_bytes()[..bytes]);
            let inside = at % 4 + bytes <= 4;
            let enabled = if inside { (u32::MAX >> (32 - 8 * bytes)) << (8 * (at % 4)) } else { 0 };
            let put = value << [0, 8, 16, 24][at % 4];
            for (k, old) in before.iter().enumerate() {
                let now = dword(&config, 4 * k);
                let (writable, clearable) = if at / 4 == k { masks(4 * k) } else { (0, 0) };
                let mut expected = old & !(writable & enabled) | put & writable & enabled;
                expected &= !(put & clearable & enabled);
                if 4 * k == 0x44 && [1, 2].contains(&(put & 3)) {
                    expected = *old;
                }
                prop_assert_eq!(now, expected, "{:#x} after {} bytes {:#x} at {:#x}; it was {:#x}", 4 * k, bytes, value, at, old);
            }
        }
    }
}
