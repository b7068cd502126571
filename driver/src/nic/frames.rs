//! Frames to send, and to receive again, through buffers in ring order.

use super::{Nic, NicError, SEND_LOG2, SHORTEST_FRAME};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::register;

impl Nic {
    /// Sends a frame (without FCS; shorter than 60 bytes is padded by the MAC). With `checksum`, `(start, offset)`: the engine writes the
    /// one's-complement checksum of the bytes from `start` on at `offset`, where the pseudo header's sum stands.
    ///
    /// # Errors
    /// Too long or too short, or the device takes no frames any more.
    pub fn send_frame(&mut self, frame: &[u8], checksum: Option<(u16, u16)>) -> Result<(), NicError> {
        let flags = if checksum.is_some() { command::RAW_CHECKSUM } else { 0 };
        let (start, offset) = checksum.unwrap_or((0, 0));
        let (iova, length) = self.stage(frame)?;
        let c = Command::new(Opcode::Raw, 0, flags).with(command::RAW_IOVA, iova).with(command::RAW_LENGTH, length);
        self.submit(c.with(command::RAW_CHECKSUM_START, start.into()).with(command::RAW_CHECKSUM_OFFSET, offset.into()))
    }
    /// Lets the engine receive a frame as if it had come from the wire now.
    ///
    /// # Errors
    /// As [`Nic::send_frame`].
    pub fn inject(&mut self, frame: &[u8]) -> Result<(), NicError> {
        let (iova, length) = self.stage(frame)?;
        let c = Command::new(Opcode::Inject, 0, 0);
        self.submit(c.with(command::INJECT_IOVA, iova).with(command::INJECT_LENGTH, length))
    }
    /// Copies a frame into the next buffer that the device has done with.
    fn stage(&mut self, frame: &[u8]) -> Result<(u64, u64), NicError> {
        if frame.len() < SHORTEST_FRAME || frame.len() > self.config.max_frame as usize {
            return Err(NicError::FrameLength { longest: self.config.max_frame, found: frame.len() });
        }
        if self.frames_sent.wrapping_sub(self.frames_fetched) == 1 << SEND_LOG2 {
            self.ring()?;
            self.wait_for_buffer()?;
        }
        let at = ((self.frames_sent & ((1 << SEND_LOG2) - 1)) as usize) << self.buffer_log2;
        self.frames.memory().copy_in(at, frame);
        self.frames_sent = self.frames_sent.wrapping_add(1);
        Ok((self.frames.iova().0 + at as u64, frame.len() as u64))
    }
    /// Asks how many buffers the device has read.
    pub(super) fn read_fetched(&mut self) -> Result<(), NicError> {
        let index = self.bus.read32(register::CONTEXTS + register::RAW_FETCHED.offset)?;
        if index.wrapping_sub(self.frames_fetched) > self.frames_sent.wrapping_sub(self.frames_fetched) {
            return Err(self.lie("RAW_FETCHED", format!("{} to {}", self.frames_fetched, self.frames_sent), index));
        }
        self.frames_fetched = index;
        Ok(())
    }
    fn wait_for_buffer(&mut self) -> Result<(), NicError> {
        let end = self.bus.now() + self.config.deadline;
        let before = self.frames_fetched;
        loop {
            self.read_fetched()?;
            if self.frames_fetched != before {
                return Ok(());
            }
            self.check_fault()?;
            if self.bus.now() >= end {
                return Err(NicError::Deadline { what: "a free buffer for a frame", deadline: self.config.deadline });
            }
            self.bus.relax();
        }
    }
}
