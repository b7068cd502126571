//! The device, opened: registers behind names, rings behind `submit` and `poll`.

mod config;
mod error;
mod frames;
mod health;
mod report;
mod wait;

pub use config::NicConfig;
pub use error::NicError;
pub use report::{FlowReport, NicEvent, RawFrame};
pub use wait::Wait;

use crate::dma::{DmaAllocator, Region};
use crate::ring::{EventRing, RawRing, SubmissionRing};
use crate::{Bus, BusError, Nanoseconds};
use std::cell::Cell;
use std::sync::Arc;
use toe_contract::command::Command;
use toe_contract::register::{self, Register};
use toe_contract::{counter, FLOW_RING_LOG2};

/// log2 of the commands in the submission ring.
const SUBMISSION_LOG2: u8 = 10;
/// log2 of the slots in the raw ring.
const RAW_LOG2: u8 = 9;
/// log2 of the buffers for frames to send.
const SEND_LOG2: u8 = 8;
/// Bytes of the shortest frame that a command may name, which is what may come up again: an Ethernet header.
const SHORTEST_FRAME: usize = 14;

/// An open device.
pub struct Nic {
    bus: Arc<dyn Bus>,
    dma: DmaAllocator,
    config: NicConfig,
    flows: u16,
    ranges: u8,
    submission: SubmissionRing,
    events: EventRing,
    raws: RawRing,
    /// Buffers of frames to send, `2^SEND_LOG2` of `2^buffer_log2` bytes; used in ring order.
    frames: Region,
    buffer_log2: u8,
    frames_sent: u32,
    frames_fetched: u32,
    waiting: wait::Waiting,
    health: health::Health,
    /// The counters as they were last read: they never go back.
    counters: [Cell<u64>; counter::COUNTERS.len()],
}

impl Nic {
    /// Resets a device, checks that it is one this driver knows, gives it its rings and switches it on.
    ///
    /// # Errors
    /// It is unknown, does not come out of reset, or memory is short.
    pub fn open(bus: Arc<dyn Bus>, config: NicConfig) -> Result<Nic, NicError> {
        bus.reset()?;
        identify(&*bus)?;
        reset(&*bus, config.deadline)?;
        let found = bus.read32(register::FLOWS.offset)?;
        let flows = u16::try_from(found).ok().filter(|f| (1..=0x4000).contains(f));
        let flows = flows.ok_or(NicError::Device { what: "FLOWS", expected: "1 to 16384".into(), found })?;
        let ranges = register::CAPABILITY_RANGES.get(bus.read32(register::CAPABILITIES.offset)?).to_le_bytes()[0];
        let dma = DmaAllocator::new(bus.clone());
        let event_log2 = (2 * u32::from(flows) + 64).next_power_of_two().trailing_zeros().to_le_bytes()[0];
        let buffer_log2 = config.max_frame.next_power_of_two().trailing_zeros().max(11).to_le_bytes()[0];
        let slot_log2 = (config.max_frame + 64).next_power_of_two().trailing_zeros().clamp(11, 14).to_le_bytes()[0];
        let mut nic = Nic {
            submission: SubmissionRing::new(&dma, SUBMISSION_LOG2)?,
            events: EventRing::new(&dma, event_log2)?,
            raws: RawRing::new(&dma, RAW_LOG2, slot_log2)?,
            frames: dma.allocate(1 << (SEND_LOG2 + buffer_log2))?,
            buffer_log2,
            frames_sent: 0,
            frames_fetched: 0,
            waiting: wait::Waiting::new(&*bus, config.wait),
            health: health::Health::default(),
            counters: std::array::from_fn(|_| Cell::new(0)),
            bus,
            dma,
            config,
            flows,
            ranges,
        };
        nic.configure()?;
        tracing::info!(flows, ranges, "device open");
        Ok(nic)
    }

    fn configure(&mut self) -> Result<(), NicError> {
        let mac = self.config.mac;
        let ticks = |t: Nanoseconds| u32::try_from(t.0 >> toe_contract::TICK_SHIFT).unwrap_or(u32::MAX);
        for (r, value) in [
            (register::MAC_LO, u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]])),
            (register::MAC_HI, u32::from_le_bytes([mac[4], mac[5], 0, 0])),
            (register::FILTER, register::FILTER_PROMISCUOUS.put(u32::from(self.config.promiscuous))),
            (register::MAX_FRAME, self.config.max_frame),
            (register::DELAYED_ACK, ticks(self.config.delayed_ack)),
            (register::HASH_KEY, self.config.hash_key),
        ] {
            self.write(r, value)?;
        }
        let (submission, submission_log2) = self.submission.place();
        let (events, events_log2) = self.events.place();
        let (raws, raw_log2, slot_log2) = self.raws.place();
        for (low, high, iova) in [
            (register::SUBMISSION_BASE_LO, register::SUBMISSION_BASE_HI, submission),
            (register::EVENT_BASE_LO, register::EVENT_BASE_HI, events),
            (register::RAW_BASE_LO, register::RAW_BASE_HI, raws),
        ] {
            self.context(low, (iova.0 & 0xffff_ffff) as u32)?;
            self.context(high, (iova.0 >> 32) as u32)?;
        }
        self.context(register::SUBMISSION_LOG2, submission_log2.into())?;
        self.context(register::EVENT_LOG2, events_log2.into())?;
        self.context(register::RAW_LOG2, raw_log2.into())?;
        self.context(register::RAW_SLOT_LOG2, slot_log2.into())?;
        self.context(register::HOLDOFF, ticks(self.config.holdoff))?;
        self.context(register::CONTEXT_CONTROL, register::CONTEXT_ENABLE.put(1))?;
        self.write(register::CONTROL, register::CONTROL_RECEIVE.put(1) | register::CONTROL_TRANSMIT.put(1))
    }

    fn write(&self, r: Register, value: u32) -> Result<(), NicError> {
        Ok(self.bus.write32(r.offset, value)?)
    }
    fn context(&self, r: Register, value: u32) -> Result<(), NicError> {
        Ok(self.bus.write32(register::CONTEXTS + r.offset, value)?)
    }
    fn doorbell(&self, r: Register, value: u32) -> Result<(), NicError> {
        Ok(self.bus.write32(register::DOORBELLS + r.offset, value)?)
    }

    /// Flows that can be installed; numbers go from 0.
    pub fn flows(&self) -> u16 {
        self.flows
    }
    /// Out-of-order ranges a flow can hold.
    pub fn ranges(&self) -> u8 {
        self.ranges
    }
    /// The device's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.config.mac
    }
    /// Longest frame, in bytes without FCS.
    pub fn max_frame(&self) -> u32 {
        self.config.max_frame
    }
    /// Makes DMA memory on this device's bus.
    pub fn dma(&self) -> &DmaAllocator {
        &self.dma
    }
    /// Zeroed DMA memory for a flow's ring of `2^log2` bytes, aligned to its size.
    ///
    /// # Errors
    /// No memory.
    ///
    /// # Panics
    /// A size that no flow's ring can have (2^12 to 2^30).
    pub fn allocate_ring(&self, log2: u8) -> Result<Region, NicError> {
        assert!(FLOW_RING_LOG2.contains(&log2), "a flow's ring of 2^{log2} bytes: expected 2^12 to 2^30");
        Ok(self.dma.allocate(1 << log2)?)
    }
    /// The time on the bus's clock.
    pub fn now(&self) -> Nanoseconds {
        self.bus.now()
    }
    /// A counter of [`toe_contract::counter`].
    ///
    /// # Errors
    /// The device is gone, or the counter goes back.
    pub fn counter(&self, number: usize) -> Result<u64, NicError> {
        let number = number.min(counter::COUNTERS.len() - 1);
        let at = register::COUNTERS + 8 * u32::try_from(number).unwrap_or(0);
        let low = self.bus.read32(at)?;
        let high = self.bus.read32(at + 4)?;
        let (value, before) = (u64::from(high) << 32 | u64::from(low), &self.counters[number]);
        if value < before.get() || (low, high) == (u32::MAX, u32::MAX) {
            return Err(self.lie("counter", format!("{} {} at least", counter::COUNTERS[number].name, before.get()), low));
        }
        before.set(value);
        Ok(value)
    }

    /// Queues a command; [`Nic::ring`] tells the device. Waits, up to the deadline, when the ring is full.
    ///
    /// # Errors
    /// The device does not take commands any more.
    pub fn submit(&mut self, command: Command) -> Result<(), NicError> {
        if !self.submission.push(command) {
            self.ring()?;
            self.wait_for_room()?;
            let _ = self.submission.push(command);
        }
        Ok(())
    }
    /// Asks how many commands the device has taken.
    fn read_consumed(&mut self) -> Result<(), NicError> {
        let index = self.bus.read32(register::CONTEXTS + register::SUBMISSION_CONSUMED.offset)?;
        if self.submission.consumed_to(index) {
            return Ok(());
        }
        Err(self.lie("SUBMISSION_CONSUMED", "an index between the last one and the doorbell's".into(), index))
    }
    fn wait_for_room(&mut self) -> Result<(), NicError> {
        let end = self.bus.now() + self.config.deadline;
        loop {
            self.read_consumed()?;
            if self.submission.room() > 0 {
                return Ok(());
            }
            self.check_fault()?;
            if self.bus.now() >= end {
                return Err(NicError::Deadline { what: "room in the submission ring", deadline: self.config.deadline });
            }
            self.bus.relax();
        }
    }
    /// Tells the device of everything submitted.
    ///
    /// # Errors
    /// The device is gone.
    pub fn ring(&mut self) -> Result<(), NicError> {
        match self.submission.doorbell() {
            Some(index) => self.doorbell(register::SUBMISSION_PRODUCED, index),
            None => Ok(()),
        }
    }

    /// The next thing the device has to say. An event comes before the raw frames that were written after it.
    ///
    /// # Errors
    /// The device wrote something impossible: it should be reset.
    pub fn poll(&mut self) -> Result<Option<NicEvent>, NicError> {
        if let Some(e) = self.events.pop() {
            return self.event(&e).map(Some);
        }
        // A raw frame that is there was perhaps written after an event that was not there yet.
        if let Some(e) = self.raws.ready().then(|| self.events.pop()).flatten() {
            return self.event(&e).map(Some);
        }
        match self.raws.pop() {
            None => Ok(None),
            Some(Ok((header, bytes))) => self.raw(&header, bytes).map(Some),
            Some(Err(found)) => Err(NicError::Device { what: "raw frame's length", expected: "a slot's size at most".into(), found }),
        }
    }
    /// Gives back to the device the entries taken by [`Nic::poll`]. Call it after a batch.
    ///
    /// # Errors
    /// The device is gone.
    pub fn consumed(&mut self) -> Result<(), NicError> {
        if let Some(index) = self.events.doorbell() {
            self.doorbell(register::EVENT_CONSUMED, index)?;
        }
        if let Some(index) = self.raws.doorbell() {
            self.doorbell(register::RAW_CONSUMED, index)?;
        }
        Ok(())
    }
}

impl Drop for Nic {
    /// Stops the device, by its own reset or else by that of the function, and takes all memory away from it: no DMA happens after a reset's
    /// acknowledgement, and none of one that acknowledges nothing gets through once its mappings are gone.
    fn drop(&mut self) {
        if let Err(error) = reset(&*self.bus, self.config.deadline) {
            tracing::warn!(%error, "the device could not be reset at close");
            if !matches!(error, NicError::Bus(BusError::Gone(_))) {
                let _ = self.bus.reset().inspect_err(|error| tracing::warn!(%error, "nor could its function"));
            }
        }
        self.dma.close();
    }
}

/// Refuses what is not our device, or has an interface this driver does not know.
fn identify(bus: &dyn Bus) -> Result<(), NicError> {
    let found = bus.read32(register::ID.offset)?;
    if found != toe_contract::ID {
        return Err(NicError::Unknown { what: "register ID", expected: toe_contract::ID, found });
    }
    let version = bus.read32(register::VERSION.offset)?;
    let (expected, found) = (register::VERSION_MAJOR.get(toe_contract::VERSION), register::VERSION_MAJOR.get(version));
    if found != expected {
        return Err(NicError::Unknown { what: "major interface version", expected, found });
    }
    Ok(())
}

/// Brings the device back to its power-on state.
fn reset(bus: &dyn Bus, deadline: Nanoseconds) -> Result<(), NicError> {
    bus.write32(register::CONTROL.offset, register::CONTROL_RESET.put(1))?;
    let end = bus.now() + deadline;
    loop {
        let control = bus.read32(register::CONTROL.offset)?;
        if control == u32::MAX {
            return Err(BusError::Gone("its registers read as all ones".into()).into());
        }
        if register::CONTROL_RESET.get(control) == 0 {
            return Ok(());
        }
        if bus.now() >= end {
            return Err(NicError::Deadline { what: "the end of the device's reset", deadline });
        }
        bus.relax();
    }
}
