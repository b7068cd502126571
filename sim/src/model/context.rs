//! A context: submission, event and raw ring, and the interrupt.

use super::registers::Page;
use crate::root_complex::{Fault, RootComplex};
use toe_contract::command::{self, Command};
use toe_contract::event::{self, Event};
use toe_contract::raw;
use toe_contract::register::{self, Register};

/// The vector of context 0.
const VECTOR: u16 = 0;

/// A ring that the engine fills: how much was written, how much the host has taken.
#[derive(Default)]
struct Produced {
    produced: u32,
    consumed: u32,
}

/// See the [module](self).
pub(super) struct Context {
    page: Page,
    submission: Produced,
    event: Produced,
    raw: Produced,
    raw_fetched: u32,
    armed: bool,
    last_interrupt: Option<u32>,
}

impl Context {
    pub(super) fn new() -> Context {
        Context {
            page: Page::new(register::CONTEXT),
            submission: Produced::default(),
            event: Produced::default(),
            raw: Produced::default(),
            raw_fetched: 0,
            armed: false,
            last_interrupt: None,
        }
    }

    pub(super) fn write(&mut self, offset: u32, value: u32) {
        self.page.put(offset, value);
    }

    pub(super) fn read(&self, offset: u32) -> u32 {
        let is = |register: &Register| offset == register.offset;
        if is(&register::SUBMISSION_CONSUMED) {
            self.submission.consumed
        } else if is(&register::EVENT_PRODUCED) {
            self.event.produced
        } else if is(&register::RAW_PRODUCED) {
            self.raw.produced
        } else if is(&register::RAW_FETCHED) {
            self.raw_fetched
        } else {
            self.page.at(offset)
        }
    }

    /// A doorbell.
    pub(super) fn ring(&mut self, offset: u32, value: u32) {
        let is = |register: &Register| offset == register.offset;
        if is(&register::SUBMISSION_PRODUCED) {
            self.submission.produced = value;
        } else if is(&register::EVENT_CONSUMED) {
            self.event.consumed = value;
        } else if is(&register::RAW_CONSUMED) {
            self.raw.consumed = value;
        } else if is(&register::INTERRUPT_ARM) {
            self.armed = true;
        }
    }

    fn base(&self, low: &Register, high: &Register) -> u64 {
        u64::from(self.page.get(high)) << 32 | u64::from(self.page.get(low))
    }

    fn log2(&self, register: &Register) -> u32 {
        self.page.get(register).min(31)
    }

    pub(super) fn enabled(&self) -> bool {
        register::CONTEXT_ENABLE.get(self.page.get(&register::CONTEXT_CONTROL)) != 0
    }

    /// A command waits.
    pub(super) fn has_command(&self) -> bool {
        self.enabled() && self.submission.produced != self.submission.consumed
    }

    /// The next command.
    pub(super) fn take_command(&mut self, host: &mut RootComplex) -> Result<Command, Fault> {
        let index = self.submission.consumed & ((1 << self.log2(&register::SUBMISSION_LOG2)) - 1);
        let base = self.base(&register::SUBMISSION_BASE_LO, &register::SUBMISSION_BASE_HI);
        let mut bytes = [0; command::SIZE];
        host.read(base.wrapping_add(u64::from(index) * command::SIZE as u64), &mut bytes)?;
        self.submission.consumed = self.submission.consumed.wrapping_add(1);
        Ok(Command::from_bytes(bytes))
    }

    /// The buffer of a RAW or INJECT has been read.
    pub(super) fn fetched(&mut self) {
        self.raw_fetched = self.raw_fetched.wrapping_add(1);
    }

    /// Entries of the event ring that are free; none if the context is off.
    pub(super) fn event_room(&self) -> u32 {
        let used = self.event.produced.wrapping_sub(self.event.consumed);
        (1_u32 << self.log2(&register::EVENT_LOG2)).checked_sub(used).filter(|_| self.enabled()).unwrap_or(0)
    }

    /// The last word of an entry.
    fn closed(&self, event: Event, index: u32, log2: u32) -> Event {
        let phase = u32::from((u64::from(index) >> log2) & 1 == 0);
        event.with(event::PHASE, phase).with(event::SUBMISSION_CONSUMED, self.submission.consumed & 0xffff)
    }

    /// Writes an event; there is room.
    pub(super) fn push_event(&mut self, event: Event, host: &mut RootComplex) -> Result<(), Fault> {
        let log2 = self.log2(&register::EVENT_LOG2);
        let index = self.event.produced;
        let at = u64::from(index & ((1 << log2) - 1)) * event::SIZE as u64;
        let base = self.base(&register::EVENT_BASE_LO, &register::EVENT_BASE_HI);
        host.write(base.wrapping_add(at), &self.closed(event, index, log2).to_bytes())?;
        self.event.produced = index.wrapping_add(1);
        Ok(())
    }

    /// The raw ring has a free slot, and it is long enough.
    pub(super) fn raw_room(&self, length: usize) -> bool {
        let slot = 1_usize << self.log2(&register::RAW_SLOT_LOG2);
        self.enabled() && self.raw.produced.wrapping_sub(self.raw.consumed) < 1 << self.log2(&register::RAW_LOG2) && raw::HEADER + length <= slot
    }

    /// Writes a raw frame, then its header; there is room.
    pub(super) fn push_raw(&mut self, header: Event, frame: &[u8], host: &mut RootComplex) -> Result<(), Fault> {
        let log2 = self.log2(&register::RAW_LOG2);
        let index = self.raw.produced;
        let at = u64::from(index & ((1 << log2) - 1)) << self.log2(&register::RAW_SLOT_LOG2);
        let slot = self.base(&register::RAW_BASE_LO, &register::RAW_BASE_HI).wrapping_add(at);
        host.write(slot.wrapping_add(raw::HEADER as u64), frame)?;
        host.write(slot, &self.closed(header, index, log2).to_bytes())?;
        self.raw.produced = index.wrapping_add(1);
        Ok(())
    }

    /// The interrupt is armed and there is something to tell.
    fn wants_interrupt(&self) -> bool {
        self.armed && (self.event.produced != self.event.consumed || self.raw.produced != self.raw.consumed)
    }

    /// The tick at which an interrupt is to be sent, if one is.
    pub(super) fn interrupt_at(&self, tick: u32) -> Option<u32> {
        let holdoff = self.page.get(&register::HOLDOFF);
        self.wants_interrupt().then(|| match self.last_interrupt {
            Some(last) if tick.wrapping_sub(last) < holdoff => last.wrapping_add(holdoff),
            _ => tick,
        })
    }

    /// Sends the interrupt, if it is armed.
    pub(super) fn interrupt(&mut self, tick: u32, host: &mut RootComplex) -> bool {
        let armed = std::mem::take(&mut self.armed);
        if armed {
            self.last_interrupt = Some(tick);
            host.interrupt(VECTOR);
        }
        armed
    }
}
