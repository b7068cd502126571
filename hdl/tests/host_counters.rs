//! The counters: nothing is lost, whatever comes.

mod common;

use common::{dut, random};
use rand::Rng;
use rust_hdl::prelude::{Synth, TypeKind};
use toe_contract::counter::{COUNTERS, MAC_RX_BYTES, MAC_TX_BYTES};
use toe_hdl::host::counters::{Counters, COUNT, LAG};
use toe_hdl::host::pulses::Pulses;
use toe_verilate::Dut;

fn reset(dut: &mut Dut) {
    for input in ["pulses", "rx_bytes", "tx_bytes", "read"] {
        dut.set(input, 0);
    }
    dut.set("reset", 1);
    dut.tick();
    dut.set("reset", 0);
    let start = dut.cycles();
    while dut.get("clearing") == 1 {
        dut.tick();
        assert!(dut.cycles() - start < 100, "cleared");
    }
}

fn read(dut: &mut Dut, number: usize) -> u64 {
    dut.set("read", 1);
    dut.set("number", number as u64);
    dut.tick();
    dut.set("read", 0);
    dut.tick();
    assert_eq!(dut.get("valid"), 1);
    let value = dut.get("value");
    dut.tick();
    assert_eq!(dut.get("valid"), 0);
    dut.tick();
    value
}

#[test]
fn pulses_are_in_the_order_of_the_contract() {
    let TypeKind::Composite(fields) = Pulses::descriptor().kind else { panic!("a struct") };
    let names: Vec<&str> = fields.iter().map(|f| f.fieldname.as_str()).collect();
    let counters: Vec<&str> = COUNTERS.iter().map(|c| c.name).collect();
    assert_eq!(names, counters);
}

#[test]
fn nothing_is_lost() {
    let mut dut = dut("counters", Counters::default());
    let mut rng = random(31);
    let bytes = [MAC_RX_BYTES, MAC_TX_BYTES];
    for density in [100, 50, 3] {
        reset(&mut dut);
        let mut counts = vec![0u64; COUNT];
        let mut lately = std::collections::VecDeque::new();
        let mut reading = 0;
        for cycle in 0..20_000u64 {
            let mut pulses = 0u64;
            for (k, count) in counts.iter_mut().enumerate() {
                if !bytes.contains(&k) && rng.random_range(0..100) < density {
                    pulses |= 1 << k;
                    *count += 1;
                }
            }
            dut.set("pulses", pulses);
            // As many bytes as a wire brings: 9618 at once, then 8 a cycle.
            let rx = if cycle % 1203 == 0 { 9618 } else { 8 };
            let tx = if cycle % 190 == 7 { 1514 } else { 0 };
            dut.set("rx_bytes", rx);
            dut.set("tx_bytes", tx);
            counts[MAC_RX_BYTES] += rx;
            counts[MAC_TX_BYTES] += tx;
            // Reads as often as allowed, so that the sweep is as slow as can be.
            let number = rng.random_range(0..COUNT);
            dut.set("read", (cycle % 4 == 0).into());
            dut.set("number", number as u64);
            dut.tick();
            lately.push_back(counts.clone());
            if cycle % 4 == 0 {
                reading = number;
            }
            if dut.get("valid") == 1 && cycle >= LAG {
                let (value, now) = (dut.get("value"), &counts);
                let before = lately.front().expect("a cycle");
                assert!(before[reading] <= value && value <= now[reading], "{}: {value} not in {}..={}", COUNTERS[reading].name, before[reading], now[reading]);
            }
            if lately.len() > usize::try_from(LAG).unwrap() {
                lately.pop_front();
            }
        }
        for input in ["pulses", "rx_bytes", "tx_bytes", "read"] {
            dut.set(input, 0);
        }
        while dut.get("busy") == 1 {
            dut.tick();
        }
        for (k, count) in counts.iter().enumerate() {
            assert_eq!(read(&mut dut, k), *count, "{}", COUNTERS[k].name);
        }
    }
    reset(&mut dut);
    for (k, counter) in COUNTERS.iter().enumerate() {
        assert_eq!(read(&mut dut, k), 0, "{} after a reset", counter.name);
    }
}

#[test]
fn the_low_half_carries_into_the_high_half() {
    // 64-bit counts take too long to reach: the amount added is made larger than any real one.
    let verilog = toe_hdl::verilog::print("counters", &Counters::default()).unwrap_or_else(|e| panic!("{e}")).to_string();
    let add = "{17'd0, amount2}";
    assert_eq!(verilog.matches(add).count(), 1);
    let mut dut = common::run("counters", &verilog.replace(add, "{1'd0, amount2, 16'd0}"));
    reset(&mut dut);
    for _ in 0..3000 {
        dut.set("rx_bytes", 16_000);
        dut.tick();
        dut.set("rx_bytes", 0);
        for _ in 0..45 {
            dut.tick();
        }
    }
    for _ in 0..100 {
        dut.tick();
    }
    assert_eq!(read(&mut dut, MAC_RX_BYTES), 3000 * (16_000 << 16));
}
