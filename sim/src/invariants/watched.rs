//! An engine with an observer round it.

use super::observer::Observer;
use super::Violation;
use crate::engine::{Begun, Engine};
use crate::root_complex::RootComplex;
use crate::time::Nanoseconds;
use std::collections::VecDeque;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event};
use toe_contract::register::{self, Register};
use toe_wire::checksum;

/// An engine that is watched: every call goes through, and what was seen is held against the [invariants](super).
///
/// It learns the rings from the registers, reads commands as the doorbell rings and events as they are written, whoever the host is.
pub struct Watched<E> {
    engine: E,
    watches: bool,
    observer: Observer,
    /// What was written to the registers of the context, by offset.
    context: Vec<u32>,
    mac: [u32; 2],
    commands: u32,
    events: u32,
    sent: VecDeque<Vec<u8>>,
}

impl<E: Engine> Watched<E> {
    /// Watches an engine just after power on.
    pub fn new(engine: E) -> Watched<E> {
        Watched::when(true, engine)
    }

    /// Watches an engine just after power on, or lets every call through.
    pub fn when(watches: bool, engine: E) -> Watched<E> {
        Watched { engine, watches, observer: Observer::default(), context: context(), mac: [0; 2], commands: 0, events: 0, sent: VecDeque::new() }
    }

    /// The engine.
    pub fn inner(&self) -> &E {
        &self.engine
    }

    /// The engine; what is done to it here is not seen.
    pub fn inner_mut(&mut self) -> &mut E {
        &mut self.engine
    }

    /// The engine, not watched any more.
    pub fn into_inner(self) -> E {
        self.engine
    }

    fn get(&self, register: &Register) -> u32 {
        self.context[register.offset as usize / 4]
    }

    fn base(&self, low: &Register, high: &Register) -> u64 {
        u64::from(self.get(high)) << 32 | u64::from(self.get(low))
    }

    /// The place of an entry of a ring, and the phase of that pass.
    fn entry(&self, base: u64, log2: &Register, index: u32, size: usize) -> (u64, u32) {
        let log2 = self.get(log2).min(31);
        let at = base.wrapping_add(u64::from(index & ((1 << log2) - 1)) * size as u64);
        (at, u32::from((u64::from(index) >> log2) & 1 == 0))
    }

    fn written(&mut self, offset: u32, value: u32, host: &mut RootComplex) {
        let at = offset.wrapping_sub(register::CONTEXTS);
        if let Some(kept) = self.context.get_mut(at as usize / 4).filter(|_| at < register::PAGE) {
            *kept = value;
            if at == register::CONTEXT_CONTROL.offset && register::CONTEXT_ENABLE.get(value) != 0 {
                self.observer.accesses(&host.take_record());
                self.observer.restart();
            }
            self.set_rings();
        } else if offset == register::DOORBELLS + register::SUBMISSION_PRODUCED.offset {
            self.doorbell(value, host);
        } else if offset == register::MAC_LO.offset || offset == register::MAC_HI.offset {
            self.mac[usize::from(offset == register::MAC_HI.offset)] = value;
            let [a, b, c, d] = self.mac[0].to_le_bytes();
            let [e, f, ..] = self.mac[1].to_le_bytes();
            self.observer.set_mac([a, b, c, d, e, f]);
        } else if offset == register::FILTER.offset {
            self.observer.set_filter(register::FILTER_PROMISCUOUS.get(value) != 0, register::FILTER_MULTICAST.get(value) != 0);
        } else if offset == register::CONTROL.offset && register::CONTROL_RESET.get(value) != 0 {
            self.observer.reset();
            (self.context, self.commands, self.events) = (context(), 0, 0);
        }
    }

    /// Where events and raw frames may be written.
    fn set_rings(&mut self) {
        let events = self.base(&register::EVENT_BASE_LO, &register::EVENT_BASE_HI);
        let raws = self.base(&register::RAW_BASE_LO, &register::RAW_BASE_HI);
        let log2 = |register| self.get(register).min(31);
        let (event_bytes, raw_bytes) = (64 << log2(&register::EVENT_LOG2), 1_u64 << (log2(&register::RAW_LOG2) + log2(&register::RAW_SLOT_LOG2)));
        self.observer.set_writable(vec![events..events.saturating_add(event_bytes), raws..raws.saturating_add(raw_bytes)]);
    }

    /// Reads the commands that the host now tells of.
    fn doorbell(&mut self, produced: u32, host: &mut RootComplex) {
        let base = self.base(&register::SUBMISSION_BASE_LO, &register::SUBMISSION_BASE_HI);
        let size = 1_u32 << self.get(&register::SUBMISSION_LOG2).min(31);
        while self.commands != produced && produced.wrapping_sub(self.commands) <= size {
            let (at, _) = self.entry(base, &register::SUBMISSION_LOG2, self.commands, command::SIZE);
            let mut bytes = [0; command::SIZE];
            if !host.peek(at, &mut bytes) {
                break;
            }
            self.commands = self.commands.wrapping_add(1);
            self.command(&Command::from_bytes(bytes), host);
        }
        self.commands = produced;
    }

    fn command(&mut self, c: &Command, host: &mut RootComplex) {
        self.observer.command(c);
        let inject = match c.opcode() {
            Some(Opcode::Raw) => false,
            Some(Opcode::Inject) => true,
            _ => return,
        };
        let short = |piece| usize::try_from(c.get(piece)).unwrap_or(usize::MAX);
        let mut frame = vec![0; short(command::RAW_LENGTH)];
        // Too short to be taken, and it would look like any frame.
        if frame.len() < 14 || !host.peek(c.get(command::RAW_IOVA), &mut frame) {
            return;
        }
        if inject {
            return self.observer.frame_in(&frame, true, true);
        }
        if c.flags() & command::RAW_CHECKSUM != 0 {
            let (start, offset) = (short(command::RAW_CHECKSUM_START), short(command::RAW_CHECKSUM_OFFSET));
            if start < frame.len() && offset + 2 <= frame.len() {
                let sum = checksum::checksum(&frame[start..]);
                frame[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
            }
        }
        self.observer.raw(frame);
    }

    /// What the engine has done since the last call: first to memory, then to the wire, then told.
    fn look(&mut self, host: &mut RootComplex) {
        self.observer.accesses(&host.take_record());
        while let Some(frame) = self.engine.transmit() {
            self.observer.frame_out(&frame);
            self.sent.push_back(frame);
        }
        let base = self.base(&register::EVENT_BASE_LO, &register::EVENT_BASE_HI);
        while register::CONTEXT_ENABLE.get(self.get(&register::CONTEXT_CONTROL)) != 0 {
            let (at, phase) = self.entry(base, &register::EVENT_LOG2, self.events, event::SIZE);
            let mut bytes = [0; event::SIZE];
            let there = host.peek(at, &mut bytes);
            let event = Event::from_bytes(bytes);
            if !there || event.get(event::PHASE) != phase {
                break;
            }
            self.events = self.events.wrapping_add(1);
            self.observer.event(&event);
        }
    }
}

/// The registers of a context after reset.
fn context() -> Vec<u32> {
    let mut values = vec![0; register::PAGE as usize / 4];
    register::CONTEXT.iter().for_each(|r| values[r.offset as usize / 4] = r.reset);
    values
}

impl<E: Engine> Engine for Watched<E> {
    fn register_read(&mut self, offset: u32, host: &mut RootComplex) -> u32 {
        if !self.watches {
            return self.engine.register_read(offset, host);
        }
        host.set_record(true);
        let value = self.engine.register_read(offset, host);
        self.look(host);
        value
    }

    fn register_write(&mut self, offset: u32, value: u32, host: &mut RootComplex) {
        if !self.watches {
            return self.engine.register_write(offset, value, host);
        }
        host.set_record(true);
        self.written(offset, value, host);
        self.engine.register_write(offset, value, host);
    }

    fn receive(&mut self, frame: &[u8], fcs_ok: bool) {
        if self.watches {
            self.observer.frame_in(frame, fcs_ok, false);
        }
        self.engine.receive(frame, fcs_ok);
    }

    fn backlog(&self) -> usize {
        self.engine.backlog()
    }

    fn transmit(&mut self) -> Option<Vec<u8>> {
        if self.watches {
            self.sent.pop_front()
        } else {
            self.engine.transmit()
        }
    }

    fn advance(&mut self, now: Nanoseconds, cycles: u64, host: &mut RootComplex) {
        if !self.watches {
            return self.engine.advance(now, cycles, host);
        }
        host.set_record(true);
        self.engine.advance(now, cycles, host);
        self.look(host);
        if !self.engine.busy() {
            self.observer.at_rest();
        }
    }

    fn busy(&self) -> bool {
        self.engine.busy()
    }

    fn next_deadline(&self) -> Option<Nanoseconds> {
        self.engine.next_deadline()
    }

    fn cycles(&self) -> u64 {
        self.engine.cycles()
    }

    fn take_operations(&mut self) -> Vec<Begun> {
        self.engine.take_operations()
    }

    fn take_violations(&mut self) -> Vec<Violation> {
        self.observer.take_violations()
    }
}
