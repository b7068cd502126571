//! Host memory as a bus model for the benches: AXI4 slaves with random waits, latency and failures, checked against the protocol.
#![allow(dead_code, reason = "each bench uses a part of it")]

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};
use toe_verilate::Dut;

/// Byte of untouched memory at an address: different in neighbours, lines and pages.
pub(crate) fn background(address: u64) -> u8 {
    let x = address.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x.to_be_bytes()[0] ^ address.to_le_bytes()[0]
}

/// How the bus behaves: chances in percent, and cycles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Chance that a channel stalls in a cycle.
    pub(crate) stall: u32,
    /// Cycles from an address to its data or answer, at most.
    pub(crate) latency: u64,
}

/// Bits for a wide port, the first field lowest.
#[derive(Default)]
pub(crate) struct Packed {
    /// For `Dut::set_wide`.
    pub(crate) words: Vec<u64>,
    bits: usize,
}

impl Packed {
    /// Adds a field of at most 64 bits.
    pub(crate) fn with(mut self, value: u64, width: usize) -> Packed {
        assert!(width == 64 || value >> width == 0, "{value:#x} in {width} bits");
        for k in 0..width {
            if self.bits.is_multiple_of(64) {
                self.words.push(0);
            }
            *self.words.last_mut().expect("a word") |= (value >> k & 1) << (self.bits % 64);
            self.bits += 1;
        }
        self
    }
}

/// Slave of the read channels. Call [`ReadBus::before`] when everything else is set, then tick.
pub(crate) struct ReadBus {
    prefix: String,
    manner: Manner,
    waiting: VecDeque<(u64, u64, u64)>,
    beat: u64,
    offered: bool,
    held: Option<(u64, u64)>,
    /// Memory that differs from [`background`].
    pub(crate) memory: BTreeMap<u64, u8>,
    /// Fail the beat with this number.
    pub(crate) fail_at: Option<u64>,
    /// Beats given.
    pub(crate) beats: u64,
    /// Bursts asked for.
    pub(crate) bursts: u64,
    /// Most bursts on their way at once.
    pub(crate) most: usize,
}

impl ReadBus {
    pub(crate) fn new(prefix: &str, manner: Manner) -> ReadBus {
        ReadBus {
            prefix: prefix.to_owned(),
            manner,
            waiting: VecDeque::new(),
            beat: 0,
            offered: false,
            held: None,
            memory: BTreeMap::new(),
            fail_at: None,
            beats: 0,
            bursts: 0,
            most: 0,
        }
    }

    fn pin(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    fn word(&self, address: u64) -> u64 {
        let byte = |a: u64| self.memory.get(&a).copied().unwrap_or_else(|| background(a));
        u64::from_le_bytes(std::array::from_fn(|k| byte(address + k as u64)))
    }

    /// Sets the slave's outputs for this cycle and notes what is handed over at its end.
    pub(crate) fn before(&mut self, dut: &mut Dut, rng: &mut ChaCha8Rng) {
        let now = dut.cycles();
        let ready = rng.random_range(0..100) >= self.manner.stall;
        dut.set(self.pin("arready").as_str(), ready.into());
        self.offered = self.offered || self.waiting.front().is_some_and(|&(_, _, due)| due <= now) && rng.random_range(0..100) >= self.manner.stall;
        dut.set(self.pin("rvalid").as_str(), self.offered.into());
        let failing = self.offered && self.fail_at == Some(self.beats);
        dut.set(self.pin("rresp").as_str(), if failing { 2 } else { 0 });
        if self.offered {
            let (address, length, _) = self.waiting[0];
            dut.set(self.pin("rdata").as_str(), self.word(address + 8 * self.beat));
            dut.set(self.pin("rlast").as_str(), (self.beat == length).into());
        } else {
            dut.set(self.pin("rdata").as_str(), rng.random());
            dut.set(self.pin("rlast").as_str(), rng.random_range(0..2));
        }
        dut.eval();
        let asked = (dut.get(self.pin("araddr").as_str()), dut.get(self.pin("arlen").as_str()));
        let valid = dut.get(self.pin("arvalid").as_str()) == 1;
        if let Some(held) = self.held {
            assert!(valid && held == asked, "AR changed while it waited");
        }
        self.held = (valid && !ready).then_some(asked);
        if valid && ready {
            let (address, length) = asked;
            assert!(address % 8 == 0 && address >> 8 == (address + 8 * length) >> 8, "burst {address:#x} + {length}");
            let due = now + 1 + rng.random_range(0..=self.manner.latency);
            let due = due.max(self.waiting.back().map_or(0, |w| w.2));
            self.waiting.push_back((address, length, due));
            self.bursts += 1;
            self.most = self.most.max(self.waiting.len());
        }
        if self.offered && dut.get(self.pin("rready").as_str()) == 1 {
            self.offered = false;
            self.beats += 1;
            self.beat += 1;
            if self.beat > self.waiting[0].1 {
                self.beat = 0;
                self.waiting.pop_front();
            }
        }
    }
}

/// Slave of the write channels. Call [`WriteBus::before`] when everything else is set, then tick.
pub(crate) struct WriteBus {
    prefix: String,
    manner: Manner,
    addresses: VecDeque<(u64, u64)>,
    beat: u64,
    answers: VecDeque<u64>,
    answering: bool,
    held_aw: Option<(u64, u64)>,
    held_w: Option<(u64, u64, u64)>,
    /// Fail the burst with this number.
    pub(crate) fail_at: Option<u64>,
    /// Every byte written, in order.
    pub(crate) log: Vec<(u64, u8)>,
    /// AW handed over.
    pub(crate) bursts: u64,
    /// Beats on W.
    pub(crate) beats: u64,
    /// B handed over.
    pub(crate) answered: u64,
    /// Cycle of the last beat on W.
    pub(crate) last_beat: u64,
}

impl WriteBus {
    pub(crate) fn new(prefix: &str, manner: Manner) -> WriteBus {
        WriteBus {
            prefix: prefix.to_owned(),
            manner,
            addresses: VecDeque::new(),
            beat: 0,
            answers: VecDeque::new(),
            answering: false,
            held_aw: None,
            held_w: None,
            fail_at: None,
            log: Vec::new(),
            bursts: 0,
            beats: 0,
            answered: 0,
            last_beat: 0,
        }
    }

    fn pin(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Every burst has been answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.addresses.is_empty() && self.answers.is_empty()
    }

    /// Sets the slave's outputs for this cycle and notes what is handed over at its end.
    pub(crate) fn before(&mut self, dut: &mut Dut, rng: &mut ChaCha8Rng) {
        let now = dut.cycles();
        let aw_ready = rng.random_range(0..100) >= self.manner.stall;
        // This slave takes data only for an address it has.
        let w_ready = !self.addresses.is_empty() && rng.random_range(0..100) >= self.manner.stall;
        dut.set(self.pin("awready").as_str(), aw_ready.into());
        dut.set(self.pin("wready").as_str(), w_ready.into());
        self.answering = self.answering || self.answers.front().is_some_and(|&due| due <= now) && rng.random_range(0..100) >= self.manner.stall;
        dut.set(self.pin("bvalid").as_str(), self.answering.into());
        let failing = self.answering && self.fail_at == Some(self.answered);
        dut.set(self.pin("bresp").as_str(), if failing { 3 } else { 0 });
        dut.eval();
        let get = |name: &str| dut.get(self.pin(name).as_str());
        let aw = (get("awaddr"), get("awlen"));
        let w = (get("wdata"), get("wstrb"), get("wlast"));
        let (aw_valid, w_valid, b_ready) = (get("awvalid") == 1, get("wvalid") == 1, get("bready") == 1);
        assert!(self.held_aw.is_none_or(|held| aw_valid && held == aw), "AW changed while it waited");
        assert!(self.held_w.is_none_or(|held| w_valid && held == w), "W changed while it waited");
        self.held_aw = (aw_valid && !aw_ready).then_some(aw);
        self.held_w = (w_valid && !w_ready).then_some(w);
        assert!(!w_valid || aw_valid || !self.addresses.is_empty(), "W without an address");
        if w_valid && w_ready {
            let (address, length) = self.addresses[0];
            let (data, strobe, last) = w;
            for (k, byte) in data.to_le_bytes().into_iter().enumerate() {
                if strobe >> k & 1 == 1 {
                    self.log.push((address + 8 * self.beat + k as u64, byte));
                }
            }
            assert_eq!(last == 1, self.beat == length, "WLAST of {address:#x} + {length}");
            self.beats += 1;
            self.last_beat = now;
            self.beat += 1;
            if last == 1 {
                self.beat = 0;
                self.addresses.pop_front();
                let due = now + 1 + rng.random_range(0..=self.manner.latency);
                self.answers.push_back(due.max(self.answers.back().copied().unwrap_or(0)));
            }
        }
        if aw_valid && aw_ready {
            let (address, length) = aw;
            assert!(address % 8 == 0 && address >> 8 == (address + 8 * length) >> 8, "burst {address:#x} + {length}");
            self.addresses.push_back(aw);
            self.bursts += 1;
        }
        if self.answering && b_ready {
            self.answering = false;
            self.answers.pop_front();
            self.answered += 1;
        }
    }
}
