//! A device made of a register file: it does what a test tells it to, lies included.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use toe_contract::event::{self, Event};
use toe_contract::{command, raw, register};
use toe_driver::{Bus, BusError, Iova, Memory, Nanoseconds, Waker};

/// What a test may change.
pub struct State {
    pub registers: HashMap<u32, u32>,
    pub mapped: HashMap<u64, Memory>,
    pub writes: Vec<(u32, u32)>,
    /// Reads as all ones, as if it had been pulled out.
    pub gone: bool,
    /// Never comes out of reset.
    pub stuck: bool,
    /// Takes no commands.
    pub lazy: bool,
    events: u32,
    raws: u32,
    /// Register reads so far.
    pub reads: usize,
    /// Resets of the function so far.
    pub resets: usize,
    pub refuses: Refuses,
    /// Reads of that register that still give less by so much.
    pub late: Option<(u32, usize, u32)>,
}

/// What a bus refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    Nothing,
    Unmapping,
}

/// The device.
pub struct Fake {
    pub state: Mutex<State>,
    time: AtomicU64,
}

impl Fake {
    pub fn new() -> Arc<Fake> {
        let registers = HashMap::from([
            (register::ID.offset, toe_contract::ID),
            (register::VERSION.offset, toe_contract::VERSION),
            (register::FLOWS.offset, 64),
            (register::CAPABILITIES.offset, register::CAPABILITY_RANGES.put(4)),
        ]);
        let state = State {
            registers,
            mapped: HashMap::new(),
            writes: Vec::new(),
            gone: false,
            stuck: false,
            lazy: false,
            events: 0,
            raws: 0,
            reads: 0,
            resets: 0,
            refuses: Refuses::Nothing,
            late: None,
        };
        Arc::new(Fake { state: Mutex::new(state), time: AtomicU64::new(0) })
    }
    pub fn set(&self, r: register::Register, value: u32) {
        self.state.lock().unwrap().registers.insert(r.offset, value);
    }
    fn ring(state: &State, low: register::Register, log2: register::Register) -> (Memory, u32) {
        let at = |r: register::Register| state.registers.get(&(register::CONTEXTS + r.offset)).copied().unwrap_or(0);
        let iova = u64::from(at(low));
        let (base, memory) = state.mapped.iter().find(|(base, memory)| iova.wrapping_sub(**base) < memory.len() as u64).expect("mapped");
        let offset = usize::try_from(iova - base).unwrap();
        (memory.part(offset, memory.len() - offset), at(log2))
    }
    /// Writes an event as the engine does.
    pub fn event(&self, e: Event) {
        self.event_with_phase(e, false);
        let mut state = self.state.lock().unwrap();
        state.events += 1;
        let events = state.events;
        state.registers.insert(register::CONTEXTS + register::EVENT_PRODUCED.offset, events);
    }
    /// Writes an event where the next one belongs, perhaps with the phase of the pass before, and does not count it.
    pub fn event_with_phase(&self, e: Event, stale: bool) {
        let state = self.state.lock().unwrap();
        let (memory, log2) = Self::ring(&state, register::EVENT_BASE_LO, register::EVENT_LOG2);
        let index = state.events;
        let e = e.with(event::PHASE, (!(index >> log2) & 1) ^ u32::from(stale));
        memory.copy_in(((index & ((1 << log2) - 1)) as usize) * event::SIZE, &e.to_bytes());
    }
    /// So many reads of a register give less by so much.
    pub fn late(&self, offset: u32, reads: usize, by: u32) {
        self.state.lock().unwrap().late = Some((offset, reads, by));
    }
    /// Time goes on.
    pub fn pass(&self, time: Nanoseconds) {
        self.time.fetch_add(time.0, Ordering::Relaxed);
    }
    pub fn now_ns(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }
    /// Writes a raw frame as the engine does: its header last.
    pub fn raw(&self, header: Event, frame: &[u8]) {
        let mut state = self.state.lock().unwrap();
        let (memory, log2) = Self::ring(&state, register::RAW_BASE_LO, register::RAW_LOG2);
        let slot_log2 = state.registers[&(register::CONTEXTS + register::RAW_SLOT_LOG2.offset)];
        let index = state.raws;
        let at = ((index & ((1 << log2) - 1)) as usize) << slot_log2;
        memory.copy_in(at + raw::HEADER, frame);
        memory.copy_in(at, &header.with(event::PHASE, !(index >> log2) & 1).to_bytes());
        state.raws += 1;
        let raws = state.raws;
        state.registers.insert(register::CONTEXTS + register::RAW_PRODUCED.offset, raws);
    }
    /// The commands the driver has told of by its doorbell, from `from` on.
    pub fn commands(&self, from: u32) -> Vec<command::Command> {
        let state = self.state.lock().unwrap();
        let (memory, log2) = Self::ring(&state, register::SUBMISSION_BASE_LO, register::SUBMISSION_LOG2);
        let end = state.registers.get(&(register::DOORBELLS + register::SUBMISSION_PRODUCED.offset)).copied().unwrap_or(0);
        (from..end)
            .map(|i| {
                let mut bytes = [0; command::SIZE];
                memory.copy_out(((i & ((1 << log2) - 1)) as usize) * command::SIZE, &mut bytes);
                command::Command::from_bytes(bytes)
            })
            .collect()
    }
}

impl Bus for Fake {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        let mut state = self.state.lock().unwrap();
        state.reads += 1;
        if state.gone {
            return Ok(u32::MAX);
        }
        let mut value = state.registers.get(&offset).copied().unwrap_or(0);
        if let Some((at, left, by)) = &mut state.late {
            if *at == offset && *left > 0 {
                *left -= 1;
                value = value.wrapping_sub(*by);
            }
        }
        if offset == register::CONTROL.offset && !state.stuck {
            return Ok(value & !register::CONTROL_RESET.mask());
        }
        if offset == register::CONTEXTS + register::SUBMISSION_CONSUMED.offset && !state.lazy {
            return Ok(state.registers.get(&(register::DOORBELLS + register::SUBMISSION_PRODUCED.offset)).copied().unwrap_or(0));
        }
        Ok(value)
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        let mut state = self.state.lock().unwrap();
        state.registers.insert(offset, value);
        state.writes.push((offset, value));
        Ok(())
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        self.state.lock().unwrap().mapped.insert(iova.0, memory.clone());
        Ok(())
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        let mut state = self.state.lock().unwrap();
        if state.refuses == Refuses::Unmapping {
            return Err(BusError::Mapping { iova, bytes, why: "the test says so".into() });
        }
        let gone = state.mapped.remove(&iova.0);
        gone.map(|_| ()).ok_or_else(|| BusError::Mapping { iova, bytes, why: "not mapped".into() })
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        vec![0..=0x3fff_ffff]
    }
    fn reset(&self) -> Result<(), BusError> {
        self.state.lock().unwrap().resets += 1;
        Ok(())
    }
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        self.time.fetch_max(until.0, Ordering::Relaxed);
        Ok(())
    }
    fn waker(&self) -> Waker {
        Arc::new(|| ())
    }
    fn now(&self) -> Nanoseconds {
        Nanoseconds(self.time.load(Ordering::Relaxed))
    }
    fn relax(&self) {
        self.time.fetch_add(1_000_000, Ordering::Relaxed);
    }
}
