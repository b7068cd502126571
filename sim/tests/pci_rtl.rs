//! The function with the Verilated engine behind it.

#![cfg(feature = "rtl")]

mod pci_support;

use pci_support::{function, until, with_client, BAR0};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use toe_contract::register;
use toe_sim::invariants::Watched;
use toe_sim::pci::DoorbellMode;
use toe_sim::verilated::Verilated;

#[test]
fn frames_and_resets_over_the_hardware() {
    for mode in [DoorbellMode::Trapped, DoorbellMode::Mapped] {
        let (mut function, far) = function(Box::new(Watched::new(Verilated::new(1))), mode);
        for round in 0..3_u8 {
            let ((), counts) = with_client(&mut function, |mut guest| {
                guest.start();
                for k in 0..20_u8 {
                    let frame = vec![k ^ round; 100 + usize::from(k)];
                    guest.send(&frame);
                    until("a frame sent", || far.receive().is_some_and(|found| found == frame));
                    far.send(frame.clone());
                    until("a frame received", || guest.receive(frame.len()).is_some_and(|found| found == frame));
                }
                for _ in 0..50 {
                    far.send(vec![round; 1000]);
                    guest.send(&[round; 1000]);
                }
                guest.set_config(0x69, &[0x80]);
                let then = guest.all();
                std::thread::sleep(Duration::from_millis(5));
                assert!(then == guest.all(), "DMA after FLR");
                while far.receive().is_some() {}

                guest.enable(true);
                guest.set_up();
                guest.send(&[0x99; 60]);
                until("a frame after FLR", || far.receive().is_some_and(|found| found == [0x99; 60]));
            });
            assert_eq!(counts.faults, 0, "nothing but what was mapped");
        }
        with_client(&mut function, |mut guest| {
            guest.start();
            guest.submit_at(0x8000_0000);
            until("a fault", || register::STATUS_FAULT.get(guest.register(register::STATUS)) != 0);
            assert_ne!(guest.config(4) >> 29 & 1, 0, "Received Master Abort");
        });
    }
}

#[test]
fn registers_with_nonsense_do_not_stop_the_hardware() {
    // Not watched: a host that breaks the contract makes any engine look wrong.
    let (mut function, far) = function(Box::new(Verilated::new(1)), DoorbellMode::Trapped);
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        with_client(&mut function, |mut guest| {
            guest.start();
            for _ in 0..200 {
                let at = match random.random_range(0..4_u32) {
                    0 => random.random_range(0..0x44_u32),
                    1 => register::CONTEXTS + random.random_range(0..0x40_u32),
                    2 => register::DOORBELLS + random.random_range(0..0x10_u32),
                    _ => random.random_range(0..register::BAR_SIZE),
                };
                let value = if random.random() { random.random() } else { random.random_range(0..64_u32) };
                guest.client.region_write(BAR0, (at & !3).into(), &value.to_le_bytes()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                far.send(vec![1; 100]);
            }
        });
    }
    with_client(&mut function, |mut guest| {
        while far.receive().is_some() {}
        guest.start();
        guest.send(&[0x99; 60]);
        until("a frame", || far.receive().is_some_and(|found| found == [0x99; 60]));
    });
}

#[test]
fn a_client_that_vanishes_in_mid_dma_leaves_the_hardware_quiet() {
    let (mut function, far) = function(Box::new(Watched::new(Verilated::new(1))), DoorbellMode::Trapped);
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (memory, _) = with_client(&mut function, |mut guest| {
            guest.start();
            for k in 0..random.random_range(0..60_u8) {
                far.send(vec![k; random.random_range(60..1500)]);
                let length = random.random_range(60..1500);
                guest.send(&vec![k; length]);
            }
            std::thread::sleep(Duration::from_micros(random.random_range(0..500)));
            guest.memory.clone()
        });
        let look = || {
            let mut bytes = vec![0; memory.len()];
            memory.copy_out(0, &mut bytes);
            bytes
        };
        let then = look();
        far.send(vec![0xee; 60]);
        std::thread::sleep(Duration::from_millis(2));
        assert!(then == look(), "seed {seed}: DMA after the client had gone");
    }
}
