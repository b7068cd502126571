//! The RTL engine: the generated Verilog in Verilator, with a cable, a register bus and a memory bus round it.
//!
//! ```text
//!   receive() ──► XGMII encoder ──► rxd ┌─────────┐ axil ◄── register_read/write
//!                                       │   RTL   │
//!   transmit() ◄─ XGMII decoder ◄── txd └─────────┘ axi ───► AXI side ──► root complex
//! ```
//!
//! In each cycle the world round the RTL sets its inputs, without knowing the outputs of that cycle; then both sides see what the rising edge will
//! find, and a handshake whose two parts are shown happens.
//!
//! Only the register bus's outputs depend on inputs within the cycle: on those of the register bus. While there is no access, what the rising edge
//! will find stands at the outputs since the edge before, and one evaluation a cycle is enough. [`Verilated::strict`] makes two, and compares.

mod axi;
mod bare;
mod probe;
mod xgmii;

pub use bare::Bare;
pub use probe::{Sight, Sighting};

use crate::engine::{Begun, Engine, Operation};
use crate::root_complex::RootComplex;
use crate::time::Nanoseconds;
use axi::{Burst, ReadBeat, Reads, Writes};
use probe::Probe;
use std::collections::VecDeque;
use std::path::Path;
use toe_contract::{NO_FLOW, TICK_SHIFT};
use toe_verilate::{Api, Direction, Dut, Port, Recording};
use xgmii::{Column, Decoder, Encoder, Received};

extern "C" {
    fn toe_api_top() -> *const Api;
}

/// Cycles of reset at the beginning.
const RESET_CYCLES: u64 = 16;
/// Cycles in a row without work after which the engine counts as idle: more than the deepest pipeline between two stages that say so.
const QUIET: u32 = 24;
/// Cycles that a register access may take.
const REGISTER_DEADLINE: u64 = 100_000;

macro_rules! ports {
    ($($field:ident $name:literal),* $(,)?) => {
        struct Ports { $($field: Port),* }
        impl Ports {
            fn of(dut: &Dut) -> Ports {
                Ports { $($field: dut.port($name)),* }
            }
        }
    };
}

ports! {
    reset "reset", now "now", rxd "rxd", rxc "rxc", txd "txd", txc "txc",
    axil_awaddr "axil.awaddr", axil_awvalid "axil.awvalid", axil_awready "axil.awready",
    axil_wdata "axil.wdata", axil_wstrb "axil.wstrb", axil_wvalid "axil.wvalid", axil_wready "axil.wready",
    axil_bvalid "axil.bvalid", axil_bready "axil.bready",
    axil_araddr "axil.araddr", axil_arvalid "axil.arvalid", axil_arready "axil.arready",
    axil_rdata "axil.rdata", axil_rvalid "axil.rvalid", axil_rready "axil.rready",
    awaddr "axi.awaddr", awlen "axi.awlen", awvalid "axi.awvalid", awready "axi.awready",
    wdata "axi.wdata", wstrb "axi.wstrb", wlast "axi.wlast", wvalid "axi.wvalid", wready "axi.wready",
    bresp "axi.bresp", bvalid "axi.bvalid", bready "axi.bready",
    araddr "axi.araddr", arlen "axi.arlen", arvalid "axi.arvalid", arready "axi.arready",
    rdata "axi.rdata", rresp "axi.rresp", rlast "axi.rlast", rvalid "axi.rvalid", rready "axi.rready",
    irq_valid "irq.valid", irq_vector "irq.vector", irq_ready "irq.ready",
    begins "begins", operation "operation", begins_on "begins_on", busy "busy", next_deadline "next_deadline", next_deadline_valid "next_deadline_valid",
}

fn model(seed: u32) -> Dut {
    // SAFETY: the function is that of the library that the build script made with `build_static`.
    unsafe { Dut::linked(toe_api_top, seed) }
}

fn outputs(dut: &Dut) -> Vec<u64> {
    dut.ports().iter().filter(|p| p.direction == Direction::Output).map(|p| dut.get(p.name.as_str())).collect()
}

/// What stands at the register bus, and which parts of it have been taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    None,
    Write { offset: u32, value: u32, address_taken: bool, data_taken: bool },
    Read { offset: u32, address_taken: bool },
}

/// What the world shows the RTL in a cycle, beside the data.
#[derive(Clone, Copy)]
struct Shown {
    arready: bool,
    awready: bool,
    wready: bool,
}

/// The RTL engine. See the [module](self).
pub struct Verilated {
    dut: Dut,
    ports: Ports,
    now: Nanoseconds,
    encoder: Encoder,
    decoder: Decoder,
    sent: VecDeque<Vec<u8>>,
    spoiled: u64,
    reads: Reads,
    writes: Writes,
    /// The beat of a read's answer that is offered until it is taken.
    offered: Option<ReadBeat>,
    access: Access,
    answer: Option<u32>,
    posted: VecDeque<(u32, u32)>,
    quiet: u32,
    probe: Option<Probe>,
    recording: Option<Recording>,
    operations: Option<Vec<Begun>>,
    strict: bool,
}

impl Verilated {
    /// The engine after power-on. `seed` is that of what has no initial value, in a build for tests.
    pub fn new(seed: u32) -> Verilated {
        Verilated::start(seed, false)
    }

    /// The same, with its inputs recorded from the first cycle on, for [`Bare`].
    pub fn recorded(seed: u32) -> Verilated {
        Verilated::start(seed, true)
    }

    fn start(seed: u32, record: bool) -> Verilated {
        let dut = model(seed);
        let ports = Ports::of(&dut);
        let mut engine = Verilated {
            dut,
            ports,
            now: Nanoseconds::ZERO,
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            sent: VecDeque::new(),
            spoiled: 0,
            reads: Reads::default(),
            writes: Writes::default(),
            offered: None,
            access: Access::None,
            answer: None,
            posted: VecDeque::new(),
            quiet: 0,
            probe: None,
            recording: None,
            operations: None,
            strict: false,
        };
        engine.recording = record.then(|| Recording::new(&engine.dut));
        engine.power_on();
        engine
    }

    fn power_on(&mut self) {
        let p = &self.ports;
        self.dut.set(p.rxd, Column::IDLE.data);
        self.dut.set(p.rxc, Column::IDLE.control.into());
        self.dut.set(p.irq_ready, 1);
        self.dut.set(p.axil_wstrb, 0xf);
        self.dut.set(p.axil_bready, 1);
        self.dut.set(p.axil_rready, 1);
        self.dut.set(p.reset, 1);
        for _ in 0..RESET_CYCLES {
            self.edge();
        }
        self.dut.set(self.ports.reset, 0);
        self.edge();
    }

    /// Writes a wave (VCD) from here on.
    ///
    /// # Errors
    /// The file cannot be written, or the build has no traces.
    pub fn open_wave(&mut self, path: &Path) -> Result<(), toe_verilate::Error> {
        self.dut.open_wave(path)
    }

    /// Frames that the MAC ended as bad: underruns, or a fault of its own.
    pub fn spoiled(&self) -> u64 {
        self.spoiled
    }

    /// Begins or ends to note what goes over the ports.
    pub fn set_probe(&mut self, on: bool) {
        self.probe = on.then(Probe::default);
    }

    /// Takes what the probe has seen since the last call, in order.
    pub fn take_sightings(&mut self) -> Vec<Sighting> {
        self.probe.as_mut().map(|p| std::mem::take(&mut p.seen)).unwrap_or_default()
    }

    /// Takes the recording of an engine that is [recorded](Verilated::recorded); it ends with that.
    pub fn take_recording(&mut self) -> Option<Recording> {
        self.recording.take()
    }

    /// The same engine, evaluated twice in each cycle, to see that no output depends on an input within the cycle while no register is accessed.
    ///
    /// # Panics
    /// From then on, in a cycle in which one does.
    #[must_use]
    pub fn strict(mut self) -> Verilated {
        self.strict = true;
        self
    }

    /// The values of all outputs, in the order of their declaration.
    pub fn outputs(&self) -> Vec<u64> {
        outputs(&self.dut)
    }

    /// One clock cycle.
    fn cycle(&mut self, host: &mut RootComplex) {
        let cycle = self.dut.cycles();
        let (rx, shown) = self.show(cycle, host);
        if self.access != Access::None {
            self.dut.fall();
        } else if self.strict {
            self.compare();
        }
        let written = self.take_memory(shown, cycle, host);
        self.take_registers();
        if self.dut.get(self.ports.irq_valid) == 1 {
            host.interrupt(u16::from(self.byte(self.ports.irq_vector)));
        }
        if self.dut.get(self.ports.begins) == 1 {
            let flow = u16::try_from(self.dut.get(self.ports.begins_on)).unwrap_or(NO_FLOW);
            let begun = Operation::ALL.get(usize::from(self.byte(self.ports.operation))).map(|&operation| Begun { operation, flow });
            self.operations.iter_mut().for_each(|done| done.extend(begun));
        }
        let tx = Column { data: self.dut.get(self.ports.txd), control: self.byte(self.ports.txc) };
        match self.decoder.column(tx) {
            Some(Received::Frame(frame)) => self.sent.push_back(frame),
            Some(Received::Spoiled) => self.spoiled += 1,
            None => {}
        }
        if let Some(probe) = &mut self.probe {
            probe.cycle(cycle, rx, tx, written);
        }
        let working = self.dut.get(self.ports.busy) == 1 || !self.outside_is_idle();
        self.quiet = if working { 0 } else { self.quiet.saturating_add(1) };
        self.edge();
    }

    /// The rising edge: what was set is sampled, and the outputs are those after it.
    fn edge(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.note(&self.dut);
        }
        self.dut.tick();
    }

    /// Lets the inputs reach what depends on them within the cycle: nothing may.
    fn compare(&mut self) {
        let before = outputs(&self.dut);
        self.dut.fall();
        let after = outputs(&self.dut);
        let names = self.dut.ports().iter().filter(|p| p.direction == Direction::Output).map(|p| &p.name);
        let changed: Vec<_> = names.zip(before.iter().zip(&after)).filter(|(_, (b, a))| b != a).collect();
        assert!(changed.is_empty(), "cycle {}: outputs that depend on inputs: {changed:x?}", self.dut.cycles());
    }

    fn byte(&self, port: Port) -> u8 {
        self.dut.get(port).to_le_bytes()[0]
    }

    /// Everything round the RTL is at rest.
    fn outside_is_idle(&self) -> bool {
        let cable = self.encoder.is_idle() && !self.decoder.is_busy();
        let memory = self.offered.is_none() && self.reads.is_idle() && self.writes.is_idle();
        cable && memory && self.access == Access::None && self.posted.is_empty()
    }

    /// Sets every input for the cycle.
    fn show(&mut self, cycle: u64, host: &mut RootComplex) -> (Column, Shown) {
        let p = &self.ports;
        let column = self.encoder.column();
        self.dut.set(p.rxd, column.data);
        self.dut.set(p.rxc, column.control.into());
        if self.offered.is_none() && !self.reads.is_idle() && !host.stalls() {
            self.offered = self.reads.offer(cycle, host);
        }
        let ReadBeat { data, last, response } = self.offered.unwrap_or_default();
        self.dut.set(p.rvalid, self.offered.is_some().into());
        self.dut.set(p.rdata, data);
        self.dut.set(p.rlast, last.into());
        self.dut.set(p.rresp, response.into());
        self.writes.settle(cycle, host);
        self.dut.set(p.bvalid, self.writes.response().is_some().into());
        self.dut.set(p.bresp, self.writes.response().unwrap_or(0).into());
        let shown = Shown {
            arready: self.reads.ready() && !host.stalls(),
            awready: self.writes.address_ready() && !host.stalls(),
            wready: self.writes.data_ready(cycle) && !host.stalls(),
        };
        self.dut.set(p.arready, shown.arready.into());
        self.dut.set(p.awready, shown.awready.into());
        self.dut.set(p.wready, shown.wready.into());
        self.show_registers();
        (column, shown)
    }

    fn show_registers(&mut self) {
        if self.access == Access::None {
            if let Some((offset, value)) = self.posted.pop_front() {
                self.access = Access::Write { offset, value, address_taken: false, data_taken: false };
            }
        }
        let p = &self.ports;
        let (mut awvalid, mut wvalid, mut arvalid) = (false, false, false);
        match self.access {
            Access::None => {}
            Access::Write { offset, value, address_taken, data_taken } => {
                self.dut.set(p.axil_awaddr, offset.into());
                self.dut.set(p.axil_wdata, value.into());
                (awvalid, wvalid) = (!address_taken, !data_taken);
            }
            Access::Read { offset, address_taken } => {
                self.dut.set(p.axil_araddr, offset.into());
                arvalid = !address_taken;
            }
        }
        self.dut.set(p.axil_awvalid, awvalid.into());
        self.dut.set(p.axil_wvalid, wvalid.into());
        self.dut.set(p.axil_arvalid, arvalid.into());
    }

    /// Handshakes of the memory bus at the coming edge.
    fn take_memory(&mut self, shown: Shown, cycle: u64, host: &mut RootComplex) -> [Option<Burst>; 2] {
        let p = &self.ports;
        let high = |port| self.dut.get(port) == 1;
        if shown.arready && high(p.arvalid) {
            self.reads.request(self.dut.get(p.araddr), self.byte(p.arlen), cycle, host);
        }
        if self.offered.is_some() && high(p.rready) {
            self.offered = None;
            self.reads.taken(cycle, host);
        }
        let mut written = [None; 2];
        if shown.awready && high(p.awvalid) {
            written[0] = self.writes.address(self.dut.get(p.awaddr), self.byte(p.awlen), cycle, host);
        }
        if shown.wready && high(p.wvalid) {
            written[1] = self.writes.beat(self.dut.get(p.wdata), self.byte(p.wstrb), high(p.wlast), cycle, host);
        }
        // The response offered in this cycle is the one that was there when it was shown.
        if self.writes.response().is_some() && high(p.bvalid) && high(p.bready) {
            self.writes.answered();
        }
        written
    }

    /// Handshakes of the register bus at the coming edge. Answers are always taken.
    fn take_registers(&mut self) {
        let p = &self.ports;
        let high = |port| self.dut.get(port) == 1;
        self.access = match self.access {
            Access::Write { address_taken: true, data_taken: true, .. } if high(p.axil_bvalid) => Access::None,
            Access::Write { offset, value, address_taken, data_taken } => {
                Access::Write { offset, value, address_taken: address_taken || high(p.axil_awready), data_taken: data_taken || high(p.axil_wready) }
            }
            Access::Read { address_taken: true, .. } if high(p.axil_rvalid) => {
                self.answer = u32::try_from(self.dut.get(p.axil_rdata)).ok();
                Access::None
            }
            Access::Read { offset, address_taken } => Access::Read { offset, address_taken: address_taken || high(p.axil_arready) },
            Access::None => Access::None,
        };
    }

    /// Runs until `done` says so; `false` if the deadline for register accesses passes first.
    fn run_until(&mut self, host: &mut RootComplex, done: impl Fn(&Verilated) -> bool) -> bool {
        let end = self.dut.cycles() + REGISTER_DEADLINE;
        while !done(self) {
            if self.dut.cycles() >= end {
                return false;
            }
            self.cycle(host);
        }
        true
    }
}

impl Engine for Verilated {
    /// All ones if the engine does not answer, as PCI Express does for a device that is gone.
    fn register_read(&mut self, offset: u32, host: &mut RootComplex) -> u32 {
        if !self.run_until(host, |e| e.access == Access::None && e.posted.is_empty()) {
            return u32::MAX;
        }
        self.access = Access::Read { offset, address_taken: false };
        self.answer = None;
        if !self.run_until(host, |e| e.access == Access::None) {
            self.access = Access::None;
            return u32::MAX;
        }
        self.writes.flush(host);
        self.quiet = 0;
        self.answer.take().unwrap_or(u32::MAX)
    }

    fn register_write(&mut self, offset: u32, value: u32, _: &mut RootComplex) {
        self.posted.push_back((offset, value));
        self.quiet = 0;
    }

    fn receive(&mut self, frame: &[u8], fcs_ok: bool) {
        self.encoder.push(frame, fcs_ok);
        self.quiet = 0;
    }

    fn backlog(&self) -> usize {
        self.encoder.waiting()
    }

    fn transmit(&mut self) -> Option<Vec<u8>> {
        self.sent.pop_front()
    }

    fn advance(&mut self, now: Nanoseconds, cycles: u64, host: &mut RootComplex) {
        if now > self.now {
            self.now = now;
            self.dut.set(self.ports.now, now.0);
            // A timer may be due: let the engine see the time before it is asked whether it is busy.
            self.quiet = 0;
        }
        for _ in 0..cycles {
            if !self.busy() {
                return;
            }
            self.cycle(host);
        }
    }

    fn busy(&self) -> bool {
        self.quiet < QUIET
    }

    fn next_deadline(&self) -> Option<Nanoseconds> {
        if self.dut.get(self.ports.next_deadline_valid) == 0 {
            return None;
        }
        let tick = self.now.0 >> TICK_SHIFT;
        let ahead = self.dut.get(self.ports.next_deadline).wrapping_sub(tick) & u64::from(u32::MAX);
        // Behind the present tick, modulo 2^32: due now.
        let ahead = if ahead >= 1 << 31 { 0 } else { ahead };
        Some(Nanoseconds((tick + ahead) << TICK_SHIFT).max(self.now))
    }

    fn cycles(&self) -> u64 {
        self.dut.cycles()
    }

    fn take_operations(&mut self) -> Vec<Begun> {
        self.operations.replace(Vec::new()).unwrap_or_default()
    }
}
