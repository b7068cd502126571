//! The registers as the contract tells of them, over AXI4-Lite with random timing.

mod common;

use common::{dut, random, Random};
use rand::Rng;
use toe_contract::register::{self, Access, Register};
use toe_contract::{counter, CONTEXTS, FLOWS, RANGES};
use toe_hdl::host::csr::Csr;
use toe_verilate::Dut;

struct Bench {
    dut: Dut,
    rng: Random,
    clears: u32,
}

impl Bench {
    fn new(seed: u64) -> Bench {
        let mut dut = dut("csr", Csr::default());
        for input in
            ["axil.awvalid", "axil.wvalid", "axil.arvalid", "axil.bready", "axil.rready", "raw_fetched", "rx_bytes", "tx_bytes", "draining", "clearing"]
        {
            dut.set(input, 0);
        }
        dut.set_wide("status", &[0]);
        dut.set("pulses", 0);
        dut.set("now", 0);
        dut.set("reset", 1);
        dut.tick();
        dut.set("reset", 0);
        let mut bench = Bench { dut, rng: random(seed), clears: 0 };
        bench.wait_for_reset();
        bench
    }

    fn tick(&mut self) {
        self.dut.tick();
        self.clears += u32::try_from(self.dut.get("clear")).unwrap();
    }

    fn chance(&mut self) -> bool {
        self.rng.random_range(0..3) == 0
    }

    fn strobed(&mut self, address: u32, data: u32, strobe: u64) {
        let (mut address_sent, mut data_sent, start) = (false, false, self.dut.cycles());
        self.dut.set("axil.awaddr", address.into());
        self.dut.set("axil.wdata", data.into());
        self.dut.set("axil.wstrb", strobe);
        let (mut awvalid, mut wvalid) = (false, false);
        loop {
            assert!(self.dut.cycles() - start < 500, "write of {address:#x}");
            // Once offered, an offer stays.
            awvalid = !address_sent && (awvalid || self.chance());
            wvalid = !data_sent && (wvalid || self.chance());
            let ready = self.chance();
            self.dut.set("axil.awvalid", awvalid.into());
            self.dut.set("axil.wvalid", wvalid.into());
            self.dut.set("axil.bready", ready.into());
            self.dut.eval();
            address_sent |= awvalid && self.dut.get("axil.awready") == 1;
            data_sent |= wvalid && self.dut.get("axil.wready") == 1;
            let answered = self.dut.get("axil.bvalid") == 1;
            assert!(!answered || address_sent && data_sent, "an answer to nothing");
            if answered {
                assert_eq!(self.dut.get("axil.bresp"), 0);
            }
            self.tick();
            if answered && ready {
                break;
            }
        }
        self.dut.set("axil.bready", 0);
    }

    fn write(&mut self, address: u32, data: u32) {
        self.strobed(address, data, 0xf);
    }

    fn read(&mut self, address: u32) -> u32 {
        let (mut sent, mut offered, start) = (false, false, self.dut.cycles());
        self.dut.set("axil.araddr", address.into());
        loop {
            assert!(self.dut.cycles() - start < 500, "read of {address:#x}");
            offered = !sent && (offered || self.chance());
            let ready = self.chance();
            self.dut.set("axil.arvalid", offered.into());
            self.dut.set("axil.rready", ready.into());
            self.dut.eval();
            let valid = self.dut.get("axil.rvalid") == 1;
            assert!(!valid || sent, "an answer to nothing");
            sent |= offered && self.dut.get("axil.arready") == 1;
            let (data, answer) = (self.dut.get("axil.rdata"), self.dut.get("axil.rresp"));
            self.tick();
            if valid && ready {
                self.dut.set("axil.rready", 0);
                assert_eq!(answer, 0);
                return u32::try_from(data).unwrap();
            }
        }
    }

    fn wait_for_reset(&mut self) {
        let start = self.dut.cycles();
        while self.read(register::CONTROL.offset) & register::CONTROL_RESET.mask() != 0 {
            assert!(self.dut.cycles() - start < 2000, "the reset does not end");
        }
    }

    /// Bits of a field inside a struct port.
    fn field(&self, port: &str, low: usize, width: usize) -> u64 {
        let words = self.dut.get_wide(port);
        (0..width).fold(0, |v, k| v | (words[(low + k) / 64] >> ((low + k) % 64) & 1) << k)
    }
}

/// Address, register, and the bits that software may set.
fn table() -> Vec<(u32, &'static Register, u32)> {
    let all = register::GLOBAL.iter().map(|r| (r.offset, r)).chain(register::CONTEXT.iter().map(|r| (register::CONTEXTS + r.offset, r)));
    let bits = |r: &Register| match r.name {
        "CONTROL" => 0b110,
        "SUBMISSION_LOG2" | "EVENT_LOG2" | "RAW_LOG2" => 0x1f,
        "RAW_SLOT_LOG2" => 0xf,
        _ if r.fields.is_empty() => u32::MAX,
        _ => r.fields.iter().fold(0, |m, f| m | f.mask()),
    };
    all.map(|(at, r)| (at, r, bits(r))).collect()
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}

/// What a register reads after a reset, with nothing going on.
fn power_on(r: &Register) -> u32 {
    match r.name {
        "CAPABILITIES" => small(CONTEXTS) | small(RANGES) << 8 | 8 << 16 | 0b011 << 24,
        "FLOWS" => small(FLOWS),
        _ => r.reset,
    }
}

#[test]
fn every_register_of_the_contract() {
    let mut bench = Bench::new(61);
    let table = table();
    for (at, r, _) in &table {
        assert_eq!(bench.read(*at), power_on(r), "{} after a reset", r.name);
    }
    let mut model: Vec<u32> = table.iter().map(|(_, r, _)| power_on(r)).collect();
    for _ in 0..600 {
        let k = bench.rng.random_range(0..table.len());
        let ((at, r, bits), value) = (table[k], bench.rng.random::<u32>());
        let value = if r.name == "CONTROL" { value & !1 } else { value };
        let whole = bench.rng.random_range(0..4) != 0;
        let strobe = if whole { 0xf } else { bench.rng.random_range(0..0xf) };
        bench.strobed(at | bench_low(value), value, strobe);
        if r.access == Access::ReadWrite && whole {
            model[k] = value & bits;
        }
        let j = bench.rng.random_range(0..table.len());
        for k in [j, k] {
            assert_eq!(bench.read(table[k].0), model[k], "{}", table[k].1.name);
        }
    }
    for at in [0x44, 0xffc, register::CONTEXTS + 0x40, register::CONTEXTS + register::PAGE, register::DOORBELLS, register::BAR_SIZE - 4] {
        assert_eq!(bench.read(at), 0, "{at:#x}");
    }
}

/// The two lowest bits of an address do not count.
fn bench_low(value: u32) -> u32 {
    value & 3
}

#[test]
fn what_is_set_comes_out() {
    let mut bench = Bench::new(62);
    for round in 0..20 {
        let v: Vec<u32> = (0..16).map(|_| bench.rng.random()).collect();
        let c = |r: Register| register::CONTEXTS + r.offset;
        let d = |r: Register| register::DOORBELLS + r.offset;
        bench.write(register::MAC_LO.offset, v[0]);
        bench.write(register::MAC_HI.offset, v[1] & 0xffff);
        bench.write(register::MAX_FRAME.offset, if round == 0 { 60_000 } else { 1000 + round });
        bench.write(register::DELAYED_ACK.offset, v[2]);
        bench.write(register::HASH_KEY.offset, v[3]);
        bench.write(register::FILTER.offset, round & 3);
        bench.write(register::CONTROL.offset, (round & 3) << 1);
        bench.write(c(register::HOLDOFF), v[4]);
        bench.write(c(register::SUBMISSION_BASE_LO), v[5]);
        bench.write(c(register::SUBMISSION_BASE_HI), v[6]);
        bench.write(c(register::SUBMISSION_LOG2), 7 + round % 9);
        bench.write(c(register::EVENT_BASE_LO), v[7]);
        bench.write(c(register::EVENT_BASE_HI), v[8]);
        bench.write(c(register::EVENT_LOG2), 6 + round % 9);
        bench.write(c(register::RAW_BASE_LO), v[9]);
        bench.write(c(register::RAW_BASE_HI), v[10]);
        bench.write(c(register::RAW_LOG2), 1 + round % 9);
        bench.write(c(register::RAW_SLOT_LOG2), 11 + round % 4);
        bench.write(c(register::CONTEXT_CONTROL), round & 1);
        bench.write(d(register::SUBMISSION_PRODUCED), v[11]);
        bench.write(d(register::EVENT_CONSUMED), v[12]);
        bench.write(d(register::RAW_CONSUMED), v[13]);
        for _ in 0..4 {
            bench.tick();
        }
        let longest = u64::from(if round == 0 { 9618 } else { 1000 + round });
        let wide = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let r = u64::from(round);
        let settings = [
            (r & 1, 1),
            (r >> 1 & 1, 1),
            (wide(v[1] & 0xffff, v[0]), 48),
            (r & 1, 1),
            (r >> 1 & 1, 1),
            (longest, 14),
            (v[2].into(), 32),
            (v[3].into(), 32),
            (v[4].into(), 32),
        ];
        let rings = [
            (r & 1, 1),
            (wide(v[6], v[5]), 64),
            (7 + r % 9, 5),
            (v[11].into(), 32),
            (wide(v[8], v[7]), 64),
            (6 + r % 9, 5),
            (v[12].into(), 32),
            (wide(v[10], v[9]), 64),
            (1 + r % 9, 5),
            (11 + r % 4, 4),
            (v[13].into(), 32),
        ];
        for (port, fields) in [("settings", &settings[..]), ("rings", &rings[..])] {
            let mut low = 0;
            for (k, (value, width)) in fields.iter().enumerate() {
                assert_eq!(bench.field(port, low, *width), *value, "field {k} of {port}");
                low += width;
            }
        }
    }
}

#[test]
fn latches_and_arms() {
    let mut bench = Bench::new(63);
    bench.dut.set("now", 0x1111_2222_ffff_fff0);
    assert_eq!(bench.read(register::TIME_LO.offset), 0xffff_fff0);
    bench.dut.set("now", 0x3333_4444_0000_0010);
    assert_eq!(bench.read(register::TIME_HI.offset), 0x1111_2222);
    assert_eq!(bench.read(register::TIME_LO.offset), 0x10);
    assert_eq!(bench.read(register::TIME_HI.offset), 0x3333_4444);

    for (k, c) in counter::COUNTERS.iter().enumerate() {
        if ![counter::MAC_RX_BYTES, counter::MAC_TX_BYTES].contains(&k) {
            bench.dut.set("pulses", 1 << k);
            for _ in 0..=k {
                bench.tick();
            }
            bench.dut.set("pulses", 0);
            for _ in 0..130 {
                bench.tick();
            }
            let low = register::COUNTERS + 8 * u32::try_from(k).unwrap();
            assert_eq!((bench.read(low), bench.read(low + 4)), (u32::try_from(k + 1).unwrap(), 0), "{}", c.name);
        }
    }
    assert_eq!(bench.read(register::BAD_COMMANDS.offset), u32::try_from(counter::BAD_COMMANDS + 1).unwrap());
    assert_eq!(bench.read(register::COUNTERS + 8 * u32::try_from(counter::COUNTERS.len()).unwrap()), 0);

    let armed = |bench: &mut Bench, at: u32| {
        let mut arms = 0;
        bench.dut.set("axil.awaddr", at.into());
        bench.dut.set("axil.wdata", 0);
        bench.dut.set("axil.wstrb", 0xf);
        bench.dut.set("axil.bready", 1);
        for k in 0..8 {
            bench.dut.set("axil.awvalid", (k == 0).into());
            bench.dut.set("axil.wvalid", (k == 0).into());
            bench.tick();
            arms += bench.dut.get("arm");
        }
        arms
    };
    assert_eq!(armed(&mut bench, register::DOORBELLS + register::INTERRUPT_ARM.offset), 1);
    assert_eq!(armed(&mut bench, register::DOORBELLS + register::RAW_CONSUMED.offset), 0);
}

#[test]
fn resets_when_all_is_quiet() {
    let mut bench = Bench::new(64);
    let holdoff = register::CONTEXTS + register::HOLDOFF.offset;
    for drain in [0u32, 3, 700] {
        bench.write(holdoff, 77);
        bench.dut.set("pulses", 1 << counter::RX_RAW);
        for _ in 0..10 {
            bench.tick();
        }
        bench.dut.set("pulses", 0);
        bench.dut.set("draining", u64::from(drain != 0));
        bench.clears = 0;
        bench.write(register::CONTROL.offset, 0b111);
        for _ in 0..drain {
            bench.tick();
            assert_eq!(bench.dut.get("clear"), 0, "DMA is on its way");
        }
        if drain > 10 {
            assert_eq!(bench.dut.get("halt"), 1);
            assert_eq!(bench.read(register::CONTROL.offset) & 1, 1);
            bench.write(holdoff, 99);
            assert_eq!(bench.read(holdoff), 77, "ignored");
        }
        bench.dut.set("draining", 0);
        bench.dut.set("clearing", 1);
        for _ in 0..300 {
            bench.tick();
        }
        assert_eq!(bench.read(register::CONTROL.offset), 1, "a memory is being cleared");
        assert_eq!(bench.clears, 16);
        bench.dut.set("clearing", 0);
        bench.wait_for_reset();
        assert_eq!((bench.dut.get("halt"), bench.dut.get("busy")), (0, 0));
        for (at, r, _) in table() {
            assert_eq!(bench.read(at), power_on(r), "{} after a reset", r.name);
        }
        assert_eq!(bench.read(register::COUNTERS + 8 * u32::try_from(counter::RX_RAW).unwrap()), 0);
    }
}
