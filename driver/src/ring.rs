//! The three rings of a context. Indices run freely modulo 2^32; a ring's slot is the index modulo its size.

use crate::dma::{DmaAllocator, Region};
use crate::{BusError, Iova, Memory};
use toe_contract::{command, event, raw};

/// Commands to the device.
///
/// ```text
///      consumed          produced        (device follows the doorbell up to `produced`)
///         v                  v
///  | free | taken by device  | free |
/// ```
pub struct SubmissionRing {
    region: Region,
    log2: u8,
    produced: u32,
    consumed: u32,
    /// `produced` as of the last doorbell.
    rung: u32,
}

impl SubmissionRing {
    /// An empty ring of `2^log2` commands.
    ///
    /// # Errors
    /// No DMA memory.
    pub fn new(dma: &DmaAllocator, log2: u8) -> Result<Self, BusError> {
        Ok(SubmissionRing { region: dma.allocate(command::SIZE << log2)?, log2, produced: 0, consumed: 0, rung: 0 })
    }
    /// The same ring with its indices somewhere else, for tests of their wrap.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(mut self, index: u32) -> Self {
        (self.produced, self.consumed, self.rung) = (index, index, index);
        self
    }
    /// Bus address, and log2 of the commands.
    pub fn place(&self) -> (Iova, u8) {
        (self.region.iova(), self.log2)
    }
    /// Commands that fit now.
    pub fn room(&self) -> u32 {
        (1 << self.log2) - self.produced.wrapping_sub(self.consumed)
    }
    /// Commands taken by the device, modulo 2^32, as far as is known.
    pub fn consumed(&self) -> u32 {
        self.consumed
    }
    /// Whether the device has taken all that it was told of.
    pub fn is_taken(&self) -> bool {
        self.consumed == self.rung
    }
    /// Writes a command; `false` if there is no room. The device sees it at the next doorbell.
    #[must_use]
    pub fn push(&mut self, command: command::Command) -> bool {
        if self.room() == 0 {
            return false;
        }
        self.region.memory().copy_in(slot(self.produced, self.log2) * command::SIZE, &command.to_bytes());
        self.produced = self.produced.wrapping_add(1);
        true
    }
    /// What to write to the doorbell, if anything is new.
    pub fn doorbell(&mut self) -> Option<u32> {
        (self.rung != self.produced).then(|| {
            self.rung = self.produced;
            self.produced
        })
    }
    /// A record of the device says that it had consumed up to an index with these low 16 bits. `false`: it cannot have. Records of two rings, and the
    /// register, are read in another order than they were written: an index behind the last one is only old.
    #[must_use]
    pub fn consumed_low16(&mut self, low: u16) -> bool {
        let ahead = low.wrapping_sub((self.consumed & 0xffff) as u16);
        ahead >= 0x8000 || self.consumed_to(self.consumed.wrapping_add(u32::from(ahead)))
    }
    /// The device says that it has consumed up to here. `false`: it cannot be.
    #[must_use]
    pub fn consumed_to(&mut self, index: u32) -> bool {
        let ahead = index.wrapping_sub(self.consumed);
        let possible = ahead <= self.rung.wrapping_sub(self.consumed);
        if possible {
            self.consumed = index;
        }
        possible
    }
}

/// Events from the device. An entry is new when its phase bit is that of this pass through the ring.
pub struct EventRing {
    region: Region,
    log2: u8,
    consumed: u32,
    rung: u32,
}

impl EventRing {
    /// An empty ring of `2^log2` events.
    ///
    /// # Errors
    /// No DMA memory.
    pub fn new(dma: &DmaAllocator, log2: u8) -> Result<Self, BusError> {
        Ok(EventRing { region: dma.allocate(event::SIZE << log2)?, log2, consumed: 0, rung: 0 })
    }
    /// Bus address, and log2 of the events.
    pub fn place(&self) -> (Iova, u8) {
        (self.region.iova(), self.log2)
    }
    /// Entries it has.
    pub fn size(&self) -> u32 {
        1 << self.log2
    }
    /// Entries taken, modulo 2^32.
    pub fn consumed(&self) -> u32 {
        self.consumed
    }
    /// Whether there is an event to take.
    pub fn ready(&self) -> bool {
        is_new(self.region.memory(), slot(self.consumed, self.log2) * event::SIZE, phase(self.consumed, self.log2))
    }
    /// The next event, if there is one.
    pub fn pop(&mut self) -> Option<event::Event> {
        let entry = record(self.region.memory(), slot(self.consumed, self.log2) * event::SIZE, phase(self.consumed, self.log2))?;
        self.consumed = self.consumed.wrapping_add(1);
        Some(entry)
    }
    /// What to write to the doorbell, if anything is new.
    pub fn doorbell(&mut self) -> Option<u32> {
        (self.rung != self.consumed).then(|| {
            self.rung = self.consumed;
            self.consumed
        })
    }
}

/// Frames from the device that are no installed flow's business: fixed slots of a header and a frame.
pub struct RawRing {
    region: Region,
    log2: u8,
    slot_log2: u8,
    consumed: u32,
    rung: u32,
}

impl RawRing {
    /// An empty ring of `2^log2` slots of `2^slot_log2` bytes.
    ///
    /// # Errors
    /// No DMA memory.
    pub fn new(dma: &DmaAllocator, log2: u8, slot_log2: u8) -> Result<Self, BusError> {
        Ok(RawRing { region: dma.allocate(1 << (log2 + slot_log2))?, log2, slot_log2, consumed: 0, rung: 0 })
    }
    /// Bus address, log2 of the slots, log2 of a slot's bytes.
    pub fn place(&self) -> (Iova, u8, u8) {
        (self.region.iova(), self.log2, self.slot_log2)
    }
    /// Entries it has.
    pub fn size(&self) -> u32 {
        1 << self.log2
    }
    /// Entries taken, modulo 2^32.
    pub fn consumed(&self) -> u32 {
        self.consumed
    }
    /// Whether there is a frame to take.
    pub fn ready(&self) -> bool {
        is_new(self.region.memory(), slot(self.consumed, self.log2) << self.slot_log2, phase(self.consumed, self.log2))
    }
    /// The next header and frame. `Err(length)`: the header names a length that the slot cannot hold; the slot is skipped.
    pub fn pop(&mut self) -> Option<Result<(event::Event, Vec<u8>), u32>> {
        let at = slot(self.consumed, self.log2) << self.slot_log2;
        let header = record(self.region.memory(), at, phase(self.consumed, self.log2))?;
        self.consumed = self.consumed.wrapping_add(1);
        let length = header.get(event::COMMAND);
        Some(match usize::try_from(length) {
            Ok(bytes) if bytes <= (1 << self.slot_log2) - raw::HEADER => {
                let mut frame = vec![0; bytes];
                self.region.memory().copy_out(at + raw::HEADER, &mut frame);
                Ok((header, frame))
            }
            _ => Err(length),
        })
    }
    /// What to write to the doorbell, if anything is new.
    pub fn doorbell(&mut self) -> Option<u32> {
        (self.rung != self.consumed).then(|| {
            self.rung = self.consumed;
            self.consumed
        })
    }
}

fn slot(index: u32, log2: u8) -> usize {
    (index & ((1 << log2) - 1)) as usize
}
/// 1 in the first pass through a ring, 0 in the second, and so on.
fn phase(index: u32, log2: u8) -> u32 {
    !(index >> log2) & 1
}
/// Whether the phase of the sixteen words at `offset` is the one expected. What is read after it is at least as new (acquire).
fn is_new(memory: &Memory, offset: usize, phase: u32) -> bool {
    let mut last = event::Event::default();
    last.0[event::PHASE.word] = memory.load32(offset + 4 * event::PHASE.word);
    last.get(event::PHASE) == phase
}
/// Sixteen words at `offset`, if their phase is the one expected.
fn record(memory: &Memory, offset: usize, phase: u32) -> Option<event::Event> {
    if !is_new(memory, offset, phase) {
        return None;
    }
    let mut words = [0; event::WORDS];
    for (k, word) in words.iter_mut().enumerate() {
        *word = memory.load32(offset + 4 * k);
    }
    Some(event::Event(words))
}
