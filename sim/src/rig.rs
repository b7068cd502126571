//! A scripted host for one engine: rings in memory, commands, events and frames, with nothing of the driver in it.
//!
//! Tests of the engine and the comparison of two engines are written on it: a stimulus goes in ([`Rig::post`], [`Rig::push`]), the engine
//! [settles](Rig::settle), what came out is taken ([`Rig::events`], [`Rig::raws`], [`Rig::frames`]). With the same script two engines see the same
//! addresses in the same order.

mod setup;

pub use setup::{FlowSetup, Piece};

use crate::engine::Engine;
use crate::root_complex::{MapError, RootComplex, Timing};
use crate::time::Nanoseconds;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event};
use toe_contract::raw;
use toe_contract::register::{self, Register};
use toe_driver::{BusError, Memory};

/// Where the rings of the context lie.
pub const SUBMISSION_IOVA: u64 = 0x1000_0000;
/// See [`SUBMISSION_IOVA`].
pub const EVENT_IOVA: u64 = 0x2000_0000;
/// See [`SUBMISSION_IOVA`].
pub const RAW_IOVA: u64 = 0x3000_0000;
/// Where frames for RAW and INJECT lie.
pub const BUFFER_IOVA: u64 = 0x4000_0000;
/// Bytes of a buffer for such a frame.
pub const BUFFER: usize = 16384;
/// Buffers.
const BUFFERS: u32 = 64;

/// What can go wrong in a rig.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// No memory.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// An address twice.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The engine did not come to rest.
    #[error("the engine is still busy after {cycles} cycles")]
    Busy {
        /// Cycles waited.
        cycles: u64,
    },
    /// The reset bit stays.
    #[error("the engine has not finished its reset after {cycles} cycles")]
    Reset {
        /// Cycles waited.
        cycles: u64,
    },
    /// The submission ring stays full.
    #[error("the engine has taken {taken} of {posted} commands: no room for another")]
    Full {
        /// SUBMISSION_CONSUMED.
        taken: u32,
        /// Commands posted.
        posted: u32,
    },
    /// An invariant does not hold.
    #[error("{}", .0.join("; "))]
    Violations(Vec<String>),
}

/// How a rig is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How fast the bus is.
    pub timing: Timing,
    /// Seed of the bus's moods.
    pub seed: u64,
    /// log2 of the commands.
    pub submission_log2: u32,
    /// log2 of the events.
    pub event_log2: u32,
    /// log2 of the raw slots.
    pub raw_log2: u32,
    /// log2 of a slot's bytes.
    pub slot_log2: u32,
    /// Our address.
    pub mac: [u8; 6],
    /// MAX_FRAME.
    pub max_frame: u32,
    /// DELAYED_ACK in ticks.
    pub delayed_ack: u32,
    /// HOLDOFF in ticks.
    pub holdoff: u32,
    /// HASH_KEY.
    pub hash_key: u32,
    /// The time at the beginning.
    pub now: Nanoseconds,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            timing: Timing::default(),
            seed: 1,
            submission_log2: 7,
            event_log2: 7,
            raw_log2: 3,
            slot_log2: 11,
            mac: [2, 0, 0, 0, 0, 1],
            max_frame: 1518,
            delayed_ack: 39063,
            holdoff: 0,
            hash_key: 0x5bd1_e995,
            now: Nanoseconds::from_millis(1),
        }
    }
}

/// See the [module](self).
pub struct Rig<E> {
    /// The engine.
    pub engine: E,
    /// The host's memory as it sees it.
    pub host: RootComplex,
    /// The time that the engine is told.
    pub now: Nanoseconds,
    settings: Settings,
    submission: Memory,
    event: Memory,
    raw: Memory,
    buffers: Memory,
    posted: u32,
    /// SUBMISSION_CONSUMED when it was last read.
    taken: u32,
    event_taken: u32,
    /// EVENT_CONSUMED as the engine was told last.
    event_told: u32,
    raw_taken: u32,
    /// RAW_CONSUMED as the engine was told last.
    raw_told: u32,
    buffers_used: u32,
    sent: Vec<Vec<u8>>,
}

/// The most cycles until an engine has come to rest after one stimulus.
const PATIENCE: u64 = 4_000_000;

impl<E: Engine> Rig<E> {
    /// An engine after a reset, with its rings set and switched on. The time is what it was told last, or later.
    ///
    /// # Errors
    /// No memory, or the reset is not finished.
    pub fn new(engine: E, settings: Settings) -> Result<Rig<E>, RigError> {
        let mut host = RootComplex::new(settings.timing, settings.seed);
        let mut piece = |iova, bytes: usize| -> Result<Memory, RigError> {
            let memory = Memory::new(bytes)?;
            host.map(iova, &memory, true)?;
            Ok(memory)
        };
        let submission = piece(SUBMISSION_IOVA, command::SIZE << settings.submission_log2)?;
        let event = piece(EVENT_IOVA, event::SIZE << settings.event_log2)?;
        let raw = piece(RAW_IOVA, 1 << (settings.raw_log2 + settings.slot_log2))?;
        let buffers = piece(BUFFER_IOVA, BUFFER * BUFFERS as usize)?;
        let now = settings.now;
        let mut rig = Rig {
            engine,
            host,
            now,
            settings,
            submission,
            event,
            raw,
            buffers,
            posted: 0,
            taken: 0,
            event_taken: 0,
            event_told: 0,
            raw_taken: 0,
            raw_told: 0,
            buffers_used: 0,
            sent: Vec::new(),
        };
        rig.reset()?;
        rig.sent.clear();
        rig.switch_on();
        Ok(rig)
    }

    /// Resets the engine, and waits until it has acknowledged it. Frames that it sent until then are kept.
    ///
    /// # Errors
    /// It does not.
    pub fn reset(&mut self) -> Result<(), RigError> {
        let start = self.engine.cycles();
        self.write(&register::CONTROL, register::CONTROL_RESET.mask());
        for _ in 0..PATIENCE / 256 {
            self.work(256);
            if register::CONTROL_RESET.get(self.read(&register::CONTROL)) == 0 {
                self.work(0);
                return Ok(());
            }
        }
        Err(RigError::Reset { cycles: self.engine.cycles().wrapping_sub(start) })
    }

    /// The engine, to be used in another rig.
    pub fn into_engine(self) -> E {
        self.engine
    }

    fn switch_on(&mut self) {
        let s = self.settings;
        let [a, b, c, d, e, f] = s.mac;
        self.write(&register::MAC_LO, u32::from_le_bytes([a, b, c, d]));
        self.write(&register::MAC_HI, u32::from_le_bytes([e, f, 0, 0]));
        self.write(&register::MAX_FRAME, s.max_frame);
        self.write(&register::DELAYED_ACK, s.delayed_ack);
        self.write(&register::HASH_KEY, s.hash_key);
        let rings = [
            (register::SUBMISSION_BASE_LO, register::SUBMISSION_BASE_HI, SUBMISSION_IOVA),
            (register::EVENT_BASE_LO, register::EVENT_BASE_HI, EVENT_IOVA),
            (register::RAW_BASE_LO, register::RAW_BASE_HI, RAW_IOVA),
        ];
        for (low, high, iova) in rings {
            let [a, b, c, d, e, f, g, h] = iova.to_le_bytes();
            self.write_context(&low, u32::from_le_bytes([a, b, c, d]));
            self.write_context(&high, u32::from_le_bytes([e, f, g, h]));
        }
        self.write_context(&register::SUBMISSION_LOG2, s.submission_log2);
        self.write_context(&register::EVENT_LOG2, s.event_log2);
        self.write_context(&register::RAW_LOG2, s.raw_log2);
        self.write_context(&register::RAW_SLOT_LOG2, s.slot_log2);
        self.write_context(&register::HOLDOFF, s.holdoff);
        self.write_context(&register::CONTEXT_CONTROL, register::CONTEXT_ENABLE.mask());
        self.write(&register::CONTROL, register::CONTROL_RECEIVE.mask() | register::CONTROL_TRANSMIT.mask());
    }

    /// Writes a register of the whole engine.
    pub fn write(&mut self, register: &Register, value: u32) {
        self.engine.register_write(register.offset, value, &mut self.host);
    }

    /// Reads a register of the whole engine.
    pub fn read(&mut self, register: &Register) -> u32 {
        self.engine.register_read(register.offset, &mut self.host)
    }

    /// Writes a register of the context.
    pub fn write_context(&mut self, register: &Register, value: u32) {
        self.engine.register_write(register::CONTEXTS + register.offset, value, &mut self.host);
    }

    /// Reads a register of the context.
    pub fn read_context(&mut self, register: &Register) -> u32 {
        self.engine.register_read(register::CONTEXTS + register.offset, &mut self.host)
    }

    /// Rings a doorbell of the context.
    pub fn ring(&mut self, register: &Register, value: u32) {
        self.engine.register_write(register::DOORBELLS + register.offset, value, &mut self.host);
    }

    /// A counter, by its number.
    pub fn counter(&mut self, number: usize) -> u64 {
        let offset = register::COUNTERS + 8 * u32::try_from(number).unwrap_or(u32::MAX);
        let low = self.engine.register_read(offset, &mut self.host);
        let high = self.engine.register_read(offset + 4, &mut self.host);
        u64::from(high) << 32 | u64::from(low)
    }

    /// Memory for a flow's ring.
    ///
    /// # Errors
    /// No memory, or the address is taken.
    pub fn ring_memory(&mut self, iova: u64, bytes: usize) -> Result<Memory, RigError> {
        let memory = Memory::new(bytes)?;
        self.host.map(iova, &memory, true)?;
        Ok(memory)
    }

    /// Puts a command into the submission ring, without telling the engine.
    ///
    /// # Errors
    /// The engine does not take commands away, and the ring is full.
    pub fn write_command(&mut self, command: Command) -> Result<(), RigError> {
        let size = 1 << self.settings.submission_log2;
        if self.posted.wrapping_sub(self.taken) >= size {
            self.taken = self.read_context(&register::SUBMISSION_CONSUMED);
        }
        if self.posted.wrapping_sub(self.taken) >= size {
            self.settle()?;
            self.taken = self.read_context(&register::SUBMISSION_CONSUMED);
        }
        if self.posted.wrapping_sub(self.taken) >= size {
            return Err(RigError::Full { taken: self.taken, posted: self.posted });
        }
        let index = (self.posted & (size - 1)) as usize;
        self.submission.copy_in(index * command::SIZE, &command.to_bytes());
        self.posted = self.posted.wrapping_add(1);
        Ok(())
    }

    /// Commands given so far, modulo 2^32.
    pub fn posted(&self) -> u32 {
        self.posted
    }

    /// Tells the engine of all commands.
    pub fn doorbell(&mut self) {
        self.ring(&register::SUBMISSION_PRODUCED, self.posted);
    }

    /// Gives the engine a command.
    ///
    /// # Errors
    /// As [`write_command`](Rig::write_command).
    pub fn post(&mut self, command: Command) -> Result<(), RigError> {
        self.write_command(command)?;
        self.doorbell();
        Ok(())
    }

    /// Puts a frame where RAW and INJECT find it, and says where that is.
    pub fn buffer(&mut self, frame: &[u8]) -> u64 {
        let at = (self.buffers_used % BUFFERS) as usize * BUFFER;
        self.buffers_used = self.buffers_used.wrapping_add(1);
        self.buffers.copy_in(at, frame);
        BUFFER_IOVA + at as u64
    }

    /// Lets the engine send a frame of the host.
    ///
    /// # Errors
    /// As [`write_command`](Rig::write_command).
    pub fn send_raw(&mut self, frame: &[u8]) -> Result<(), RigError> {
        let iova = self.buffer(frame);
        self.post(Command::new(Opcode::Raw, 0, 0).with(command::RAW_IOVA, iova).with(command::RAW_LENGTH, frame.len() as u64))
    }

    /// Lets the engine receive a frame of the host.
    ///
    /// # Errors
    /// As [`write_command`](Rig::write_command).
    pub fn inject(&mut self, frame: &[u8]) -> Result<(), RigError> {
        let iova = self.buffer(frame);
        self.post(Command::new(Opcode::Inject, 0, 0).with(command::INJECT_IOVA, iova).with(command::INJECT_LENGTH, frame.len() as u64))
    }

    /// A frame comes from the wire.
    pub fn push(&mut self, frame: &[u8], fcs_ok: bool) {
        self.engine.receive(frame, fcs_ok);
    }

    /// Lets the engine work, at this very moment, until it rests.
    ///
    /// # Errors
    /// It does not come to rest.
    pub fn settle(&mut self) -> Result<(), RigError> {
        let start = self.engine.cycles();
        loop {
            self.work(4096);
            if !self.engine.busy() {
                return Ok(());
            }
            let cycles = self.engine.cycles().wrapping_sub(start);
            if cycles > PATIENCE {
                return Err(RigError::Busy { cycles });
            }
        }
    }

    /// Lets the engine work for so many cycles, at this very moment; fewer if it comes to rest.
    pub fn work(&mut self, cycles: u64) {
        self.engine.advance(self.now, cycles, &mut self.host);
        self.sent.extend(std::iter::from_fn(|| self.engine.transmit()));
    }

    /// Lets time pass, deadline by deadline.
    ///
    /// # Errors
    /// The engine does not come to rest.
    pub fn pass(&mut self, time: Nanoseconds) -> Result<(), RigError> {
        let end = self.now + time;
        loop {
            self.settle()?;
            match self.engine.next_deadline() {
                Some(deadline) if deadline <= end && deadline > self.now => self.now = deadline,
                _ => break,
            }
        }
        self.now = end;
        self.settle()
    }

    /// Frames sent since the last call.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent)
    }

    /// The entry of a ring of 64-byte records, if it has been written: phase as in the pass that `taken` is in.
    fn entry(memory: &Memory, offset: usize, taken: u32, log2: u32) -> Option<Event> {
        let mut bytes = [0; event::SIZE];
        memory.copy_out(offset, &mut bytes);
        let event = Event::from_bytes(bytes);
        let phase = u32::from((u64::from(taken) >> log2) & 1 == 0);
        (event.get(event::PHASE) == phase).then_some(event)
    }

    /// Takes the events that are there, without giving their entries back.
    pub fn take_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let log2 = self.settings.event_log2;
        while let Some(event) = {
            let index = (self.event_taken & ((1 << log2) - 1)) as usize;
            Rig::<E>::entry(&self.event, index * event::SIZE, self.event_taken, log2)
        } {
            self.event_taken = self.event_taken.wrapping_add(1);
            events.push(event);
        }
        events
    }

    /// Where the event ring lies, and its bytes in whole pages.
    pub fn event_ring(&self) -> (u64, u64) {
        (EVENT_IOVA, self.event.len() as u64)
    }

    /// Entries of the event ring that the engine may write.
    pub fn event_room(&mut self) -> u32 {
        let used = self.read_context(&register::EVENT_PRODUCED).wrapping_sub(self.event_told);
        (1 << self.settings.event_log2) - used
    }

    /// Gives the entries of all events taken back.
    pub fn give_back_events(&mut self) {
        if self.event_told != self.event_taken {
            self.event_told = self.event_taken;
            self.ring(&register::EVENT_CONSUMED, self.event_taken);
        }
    }

    /// Takes the events that are there, and gives their entries back.
    pub fn events(&mut self) -> Vec<Event> {
        let events = self.take_events();
        self.give_back_events();
        events
    }

    /// Takes the raw frames that are there, without giving their slots back.
    pub fn take_raws(&mut self) -> Vec<(Event, Vec<u8>)> {
        let mut raws = Vec::new();
        let (log2, slot) = (self.settings.raw_log2, self.settings.slot_log2);
        while let Some(header) = {
            let index = (self.raw_taken & ((1 << log2) - 1)) as usize;
            Rig::<E>::entry(&self.raw, index << slot, self.raw_taken, log2)
        } {
            let index = (self.raw_taken & ((1 << log2) - 1)) as usize;
            let length = (header.get(event::COMMAND) as usize).min((1 << slot) - raw::HEADER);
            let mut frame = vec![0; length];
            self.raw.copy_out((index << slot) + raw::HEADER, &mut frame);
            self.raw_taken = self.raw_taken.wrapping_add(1);
            raws.push((header, frame));
        }
        raws
    }

    /// Gives the slots of all raw frames taken back.
    pub fn give_back_raws(&mut self) {
        if self.raw_told != self.raw_taken {
            self.raw_told = self.raw_taken;
            self.ring(&register::RAW_CONSUMED, self.raw_taken);
        }
    }

    /// Takes the raw frames that are there, and gives their slots back.
    pub fn raws(&mut self) -> Vec<(Event, Vec<u8>)> {
        let raws = self.take_raws();
        self.give_back_raws();
        raws
    }

    /// Lets the engine come to rest, and looks whether the invariants hold (if it is [watched](crate::invariants::Watched)).
    ///
    /// # Errors
    /// It does not come to rest, or an invariant does not hold.
    pub fn check(&mut self) -> Result<(), RigError> {
        self.settle()?;
        let violations = self.engine.take_violations();
        if violations.is_empty() {
            return Ok(());
        }
        Err(RigError::Violations(violations.iter().map(ToString::to_string).collect()))
    }
}
