//! A bus with a device of few lines behind it, in virtual time.

use super::engine::{Flow, Staged};
use super::peer::Syn;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use toe_contract::event::{self, Event};
use toe_contract::raw;
use toe_contract::register::{self, Register};
use toe_driver::{Bus, BusError, Iova, Memory, Nanoseconds, Waker};

/// Flows it has.
pub(super) const FLOWS: u16 = 4;
/// Calls of the driver that one step may take: a lie may be waited for, but not for ever.
const MOST_CALLS: usize = 100_000;
/// Virtual time of a short pause.
const RELAX: u64 = 20_000;

/// The bus.
pub(super) struct Puppet {
    inside: Mutex<Inside>,
    woken: Arc<AtomicBool>,
}

/// The device.
pub(super) struct Inside {
    pub(super) now: u64,
    /// What the device's own time is ahead.
    pub(super) skew: u64,
    calls: usize,
    registers: HashMap<u32, u32>,
    pub(super) mapped: BTreeMap<u64, Memory>,
    pub(super) taken: u32,
    pub(super) fetched: u32,
    events: Ring,
    raws: Ring,
    pub(super) flows: Vec<Flow>,
    pub(super) staged: Vec<Staged>,
    /// Handshake segments that the host has sent, the latest last.
    pub(super) syns: VecDeque<Syn>,
    pub(super) refuse_install: bool,
    /// An interrupt for no reason.
    pub(super) signal: bool,
    armed: bool,
    /// It has said or done what an honest device does not.
    pub(super) lied: bool,
    /// Registers that read as something else: offset, kept bits, added, reads left.
    pub(super) wrong: Vec<(u32, u32, u32, u8)>,
    /// What is done to the next record: word, changed bits.
    pub(super) spoil: Vec<(usize, u32)>,
    pub(super) deaf: bool,
    pub(super) gone: bool,
    pub(super) refuse_map: bool,
}

#[derive(Default)]
struct Ring {
    produced: u32,
    consumed: u32,
}

impl Inside {
    fn new() -> Inside {
        Inside {
            now: 1_000_000_000,
            skew: 0,
            calls: 0,
            registers: HashMap::new(),
            mapped: BTreeMap::new(),
            taken: 0,
            fetched: 0,
            events: Ring::default(),
            raws: Ring::default(),
            flows: vec![Flow::default(); FLOWS.into()],
            staged: vec![Staged::default(); FLOWS.into()],
            syns: VecDeque::new(),
            refuse_install: false,
            signal: false,
            armed: false,
            lied: false,
            wrong: Vec::new(),
            spoil: Vec::new(),
            deaf: false,
            gone: false,
            refuse_map: false,
        }
    }

    /// The power-on state; mappings are the bus's, and lies stay.
    pub(super) fn reset(&mut self) {
        self.registers.clear();
        (self.taken, self.fetched) = (0, 0);
        (self.events, self.raws) = (Ring::default(), Ring::default());
        self.flows.fill(Flow::default());
        self.armed = false;
    }

    pub(super) fn context(&self, register: Register) -> u32 {
        self.registers.get(&(register::CONTEXTS + register.offset)).copied().unwrap_or(0)
    }

    fn base(&self, low: Register, high: Register) -> u64 {
        u64::from(self.context(high)) << 32 | u64::from(self.context(low))
    }

    /// Memory that the host has named, or nothing if the device has forgotten where it is.
    pub(super) fn memory(&self, iova: u64, bytes: usize) -> Option<(Memory, usize)> {
        let (base, memory) = self.mapped.range(..=iova).next_back()?;
        let offset = usize::try_from(iova - base).ok()?;
        (offset.checked_add(bytes)? <= memory.len()).then(|| (memory.clone(), offset))
    }

    fn enabled(&self) -> bool {
        self.context(register::CONTEXT_CONTROL) != 0
    }

    pub(super) fn event_room(&self) -> bool {
        self.enabled() && self.events.produced.wrapping_sub(self.events.consumed) < 1 << self.context(register::EVENT_LOG2)
    }

    pub(super) fn raw_room(&self) -> bool {
        self.enabled() && self.raws.produced.wrapping_sub(self.raws.consumed) < 1 << self.context(register::RAW_LOG2)
    }

    /// The last word of a record, and what is to be spoilt of it.
    fn closed(&mut self, record: Event, index: u32, log2: u32) -> Event {
        let mut record = record.with(event::PHASE, !(index >> log2) & 1).with(event::SUBMISSION_CONSUMED, self.taken & 0xffff);
        for (word, bits) in self.spoil.drain(..) {
            record.0[word % event::WORDS] ^= bits;
        }
        record
    }

    /// Writes an event, if there is room.
    pub(super) fn push_event(&mut self, record: Event) {
        let (index, log2) = (self.events.produced, self.context(register::EVENT_LOG2));
        if !self.event_room() {
            return;
        }
        let record = self.closed(record, index, log2);
        let at = self.base(register::EVENT_BASE_LO, register::EVENT_BASE_HI) + u64::from(index & ((1 << log2) - 1)) * event::SIZE as u64;
        if let Some((memory, offset)) = self.memory(at, event::SIZE) {
            memory.copy_in(offset, &record.to_bytes());
            self.events.produced = index.wrapping_add(1);
        }
    }

    /// Writes a raw frame, if there is room.
    pub(super) fn push_raw(&mut self, header: Event, frame: &[u8]) {
        let (index, log2, slot_log2) = (self.raws.produced, self.context(register::RAW_LOG2), self.context(register::RAW_SLOT_LOG2));
        if !self.raw_room() || raw::HEADER + frame.len() > 1 << slot_log2 {
            return;
        }
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let header = self.closed(header.with(event::COMMAND, length), index, log2);
        let at = self.base(register::RAW_BASE_LO, register::RAW_BASE_HI) + (u64::from(index & ((1 << log2) - 1)) << slot_log2);
        if let Some((memory, offset)) = self.memory(at, 1 << slot_log2) {
            memory.copy_in(offset + raw::HEADER, frame);
            memory.copy_in(offset, &header.to_bytes());
            self.raws.produced = index.wrapping_add(1);
        }
    }

    fn interrupts(&mut self) -> bool {
        let pending = self.events.produced != self.events.consumed || self.raws.produced != self.raws.consumed;
        std::mem::take(&mut self.signal) || pending && std::mem::take(&mut self.armed)
    }

    fn call(&mut self) {
        self.calls += 1;
        assert!(self.calls <= MOST_CALLS, "the driver asks on and on");
    }

    fn read(&self, offset: u32) -> u32 {
        let is = |register: Register| offset == register.offset;
        let of_context = |register: Register| offset == register::CONTEXTS + register.offset;
        if is(register::ID) {
            toe_contract::ID
        } else if is(register::VERSION) {
            toe_contract::VERSION
        } else if is(register::CAPABILITIES) {
            register::CAPABILITY_CONTEXTS.put(1) | register::CAPABILITY_RANGES.put(4)
        } else if is(register::FLOWS) {
            FLOWS.into()
        } else if is(register::TIME_LO) {
            (self.now.wrapping_add(self.skew) & 0xffff_ffff) as u32
        } else if is(register::TIME_HI) {
            (self.now.wrapping_add(self.skew) >> 32) as u32
        } else if of_context(register::SUBMISSION_CONSUMED) {
            self.taken
        } else if of_context(register::EVENT_PRODUCED) {
            self.events.produced
        } else if of_context(register::RAW_PRODUCED) {
            self.raws.produced
        } else if of_context(register::RAW_FETCHED) {
            self.fetched
        } else {
            self.registers.get(&offset).copied().unwrap_or(0)
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        let rung = |register: Register| offset == register::DOORBELLS + register.offset;
        if rung(register::SUBMISSION_PRODUCED) {
            self.take_commands(value);
        } else if rung(register::EVENT_CONSUMED) {
            self.events.consumed = value;
        } else if rung(register::RAW_CONSUMED) {
            self.raws.consumed = value;
        } else if rung(register::INTERRUPT_ARM) {
            self.armed = true;
        } else if offset == register::CONTROL.offset && register::CONTROL_RESET.get(value) != 0 {
            self.reset();
        } else {
            self.registers.insert(offset, value);
        }
    }
}

impl Puppet {
    pub(super) fn new() -> Arc<Puppet> {
        Arc::new(Puppet { inside: Mutex::new(Inside::new()), woken: Arc::default() })
    }

    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_step(&self) {
        let mut inside = self.inside();
        inside.calls = 0;
        inside.remove_overdue();
    }

    pub(super) fn pass(&self, time: Nanoseconds) {
        let mut inside = self.inside();
        inside.now = inside.now.saturating_add(time.0);
    }

    /// An honest device again.
    pub(super) fn repent(&self) {
        let mut inside = self.inside();
        inside.reset();
        inside.wrong.clear();
        inside.spoil.clear();
        (inside.lied, inside.deaf, inside.gone, inside.refuse_map, inside.refuse_install) = (false, false, false, false, false);
        (inside.calls, inside.skew) = (0, 0);
    }
}

impl Bus for Puppet {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        let mut inside = self.inside();
        inside.call();
        if inside.gone {
            return Err(BusError::Gone("the input says so".into()));
        }
        let mut value = inside.read(offset);
        for (at, keep, add, left) in &mut inside.wrong {
            if *at == offset && *left > 0 {
                *left -= 1;
                value = (value & *keep).wrapping_add(*add);
            }
        }
        Ok(value)
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        let mut inside = self.inside();
        inside.call();
        if !inside.deaf {
            inside.write(offset, value);
        }
        Ok(())
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        let mut inside = self.inside();
        if inside.refuse_map {
            return Err(BusError::Mapping { iova, bytes: memory.len(), why: "the input says so".into() });
        }
        assert!(inside.mapped.insert(iova.0, memory.clone()).is_none(), "mapped twice");
        Ok(())
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        let gone = self.inside().mapped.remove(&iova.0);
        assert!(gone.is_some_and(|memory| memory.len() == bytes), "unmapped what is not mapped");
        Ok(())
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        vec![0..=0xffff_ffff]
    }
    fn reset(&self) -> Result<(), BusError> {
        self.inside().reset();
        Ok(())
    }
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        let mut inside = self.inside();
        inside.call();
        if !inside.interrupts() && !self.woken.swap(false, Ordering::AcqRel) {
            inside.now = inside.now.max(until.0);
        }
        Ok(())
    }
    fn waker(&self) -> Waker {
        let woken = self.woken.clone();
        Arc::new(move || woken.store(true, Ordering::Release))
    }
    fn now(&self) -> Nanoseconds {
        let mut inside = self.inside();
        inside.call();
        Nanoseconds(inside.now)
    }
    fn relax(&self) {
        let mut inside = self.inside();
        inside.call();
        inside.now = inside.now.saturating_add(RELAX);
    }
}
