//! The device, opened: registers behind names, rings behind `submit` and `poll`.

use crate::memory::{DmaAllocator, Region};
use crate::ring::{EventRing, RawRing, SubmissionRing};
use crate::{Bus, BusError, Nanoseconds, Waker};
use std::sync::Arc;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_contract::raw::Reason;
use toe_contract::register::{self, Register};
use toe_contract::{counter, FLOW_RING_LOG2};

/// How to open a device.
#[derive(Clone, Debug)]
pub struct NicConfig {
    /// MAC address, as on the wire.
    pub mac: [u8; 6],
    /// Take frames for everybody.
    pub promiscuous: bool,
    /// Longest frame without FCS, with a tag, in bytes.
    pub max_frame: u32,
    /// Delay of delayed ACKs; RFC 9293 MUST-40 wants less than 0.5 s.
    pub delayed_ack: Nanoseconds,
    /// Least time between two interrupts.
    pub holdoff: Nanoseconds,
    /// Key of the flow table's hash; a random number.
    pub hash_key: u32,
    /// How long a register or a ring may keep us waiting.
    pub deadline: Nanoseconds,
}

impl Default for NicConfig {
    fn default() -> Self {
        NicConfig {
            mac: [0x02, 0, 0, 0, 0, 1],
            promiscuous: false,
            max_frame: 1518,
            delayed_ack: Nanoseconds::from_millis(40),
            holdoff: Nanoseconds(0),
            hash_key: 0,
            deadline: Nanoseconds::from_secs(2),
        }
    }
}

/// What can go wrong with a device.
#[derive(Debug, thiserror::Error)]
pub enum NicError {
    /// The bus below.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Not our device, or one we do not know.
    #[error("{what}: expected {expected:#x}, found {found:#x}")]
    Unknown {
        /// Which register.
        what: &'static str,
        /// Its value in a device that this driver drives.
        expected: u32,
        /// What it was.
        found: u32,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {deadline}")]
    Deadline {
        /// What was waited for.
        what: &'static str,
        /// How long.
        deadline: Nanoseconds,
    },
    /// The device wrote something that cannot be.
    #[error("the device wrote an impossible {what}: expected {expected}, found {found:#x}")]
    Device {
        /// Which field.
        what: &'static str,
        /// What would have been possible.
        expected: String,
        /// What it was.
        found: u32,
    },
    /// A DMA access of the device was refused: it has stopped for good.
    #[error("the device reports a DMA fault (STATUS.FAULT): it has stopped, and needs a reset")]
    Fault,
    /// A frame that cannot be sent.
    #[error("a frame of {found} bytes cannot be sent: expected 14 to {longest}")]
    FrameLength {
        /// The longest that can.
        longest: u32,
        /// Its length.
        found: usize,
    },
}

/// A flow's values, as the engine reported them. Names are RFC 9293's; see `docs/engine.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names are the documentation; see contract::event")]
pub struct FlowReport {
    pub flow: u16,
    pub fin_received: bool,
    pub fin_queued: bool,
    pub out_of_order: bool,
    pub rcv_nxt: u32,
    pub rcv_adv: u32,
    pub snd_una: u32,
    pub snd_nxt: u32,
    pub snd_max: u32,
    pub snd_wnd: u32,
    pub snd_wl1: u32,
    pub snd_wl2: u32,
    pub ts_recent: u32,
    pub ts_ecr: u32,
    /// Last round-trip sample.
    pub rtt: Nanoseconds,
    /// Samples taken, modulo 256: a new value means a new sample.
    pub rtt_count: u8,
    pub dup_acks: u8,
    pub ranges: u8,
    pub last_ack_sent: u32,
}

impl FlowReport {
    fn new(e: &Event) -> FlowReport {
        let byte = |f| e.get(f).to_le_bytes()[0];
        let flags = byte(event::FLAGS);
        FlowReport {
            flow: flow(e),
            fin_received: flags & event::FIN_RECEIVED != 0,
            fin_queued: flags & event::FIN_QUEUED != 0,
            out_of_order: flags & event::OUT_OF_ORDER != 0,
            rcv_nxt: e.get(event::RCV_NXT),
            rcv_adv: e.get(event::RCV_ADV),
            snd_una: e.get(event::SND_UNA),
            snd_nxt: e.get(event::SND_NXT),
            snd_max: e.get(event::SND_MAX),
            snd_wnd: e.get(event::SND_WND),
            snd_wl1: e.get(event::SND_WL1),
            snd_wl2: e.get(event::SND_WL2),
            ts_recent: e.get(event::TS_RECENT),
            ts_ecr: e.get(event::TS_ECR),
            rtt: Nanoseconds(u64::from(e.get(event::RTT)) << toe_contract::TICK_SHIFT),
            rtt_count: byte(event::RTT_COUNT),
            dup_acks: byte(event::DUP_ACKS),
            ranges: byte(event::RANGES),
            last_ack_sent: e.get(event::LAST_ACK_SENT),
        }
    }
}

fn flow(e: &Event) -> u16 {
    (e.get(event::FLOW) & 0xffff) as u16
}

/// A frame that the engine left to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// Why.
    pub reason: Reason,
    /// The installed flow it belongs to, and that flow's values when it came.
    pub snapshot: Option<FlowReport>,
    /// The frame, without FCS.
    pub bytes: Vec<u8>,
}

/// What a device has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NicEvent {
    /// A flow's values changed. No further report of it comes before a command with `REARM`.
    Flow(FlowReport),
    /// A flow was removed: its last values. Its number and rings are free.
    Removed(FlowReport),
    /// A command was refused.
    BadCommand {
        /// Its flow.
        flow: u16,
        /// Its first word.
        command: u32,
    },
    /// A frame for the host.
    Raw(RawFrame),
}

/// log2 of the commands in the submission ring.
const SUBMISSION_LOG2: u8 = 10;
/// log2 of the slots in the raw ring.
const RAW_LOG2: u8 = 9;
/// log2 of the buffers for frames to send.
const SEND_LOG2: u8 = 8;

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
        let flows = u16::try_from(bus.read32(register::FLOWS.offset)?).ok().filter(|f| (1..=0x4000).contains(f));
        let flows = flows.ok_or(NicError::Device { what: "FLOWS", expected: "1 to 16384".into(), found: bus.read32(register::FLOWS.offset)? })?;
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
    /// The device's own time, from which it makes TCP timestamps.
    ///
    /// # Errors
    /// The device is gone.
    pub fn device_time(&self) -> Result<Nanoseconds, NicError> {
        let low = self.bus.read32(register::TIME_LO.offset)?;
        let high = self.bus.read32(register::TIME_HI.offset)?;
        Ok(Nanoseconds(u64::from(high) << 32 | u64::from(low)))
    }
    /// A counter of [`toe_contract::counter`].
    ///
    /// # Errors
    /// The device is gone.
    pub fn counter(&self, number: usize) -> Result<u64, NicError> {
        let at = register::COUNTERS + 8 * u32::try_from(number.min(counter::COUNTERS.len() - 1)).unwrap_or(0);
        let low = self.bus.read32(at)?;
        let high = self.bus.read32(at + 4)?;
        Ok(u64::from(high) << 32 | u64::from(low))
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
    fn wait_for_room(&mut self) -> Result<(), NicError> {
        let end = self.bus.now() + self.config.deadline;
        loop {
            let index = self.bus.read32(register::CONTEXTS + register::SUBMISSION_CONSUMED.offset)?;
            if !self.submission.consumed_to(index) {
                return Err(self.gone_or("SUBMISSION_CONSUMED", "an index between the last one and the doorbell's".into(), index));
            }
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
        if frame.len() < 14 || frame.len() > self.config.max_frame as usize {
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
    fn wait_for_buffer(&mut self) -> Result<(), NicError> {
        let end = self.bus.now() + self.config.deadline;
        loop {
            let index = self.bus.read32(register::CONTEXTS + register::RAW_FETCHED.offset)?;
            let ahead = index.wrapping_sub(self.frames_fetched);
            if ahead > 1 << SEND_LOG2 {
                return Err(self.gone_or("RAW_FETCHED", format!("up to {}", self.frames_sent), index));
            }
            self.frames_fetched = index;
            if ahead > 0 {
                return Ok(());
            }
            self.check_fault()?;
            if self.bus.now() >= end {
                return Err(NicError::Deadline { what: "a free buffer for a frame", deadline: self.config.deadline });
            }
            self.bus.relax();
        }
    }

    /// The next thing the device has to say. Events come before raw frames, as they were written.
    ///
    /// # Errors
    /// The device wrote something impossible: it should be reset.
    pub fn poll(&mut self) -> Result<Option<NicEvent>, NicError> {
        if let Some(e) = self.events.pop() {
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
    /// Arms the interrupt and sleeps until it comes, until a [`Waker`], or until `until`.
    ///
    /// # Errors
    /// The device is gone, or has stopped by a DMA fault.
    pub fn wait(&mut self, until: Nanoseconds) -> Result<(), NicError> {
        self.ring()?;
        self.consumed()?;
        self.doorbell(register::INTERRUPT_ARM, 1)?;
        self.bus.wait(until)?;
        Ok(())
    }
    /// Ends [`Nic::wait`] from another thread.
    pub fn waker(&self) -> Waker {
        self.bus.waker()
    }
    /// A short pause while polling.
    pub fn relax(&self) {
        self.bus.relax();
    }
    /// Looks whether the device is there and works: to be called now and then, and when something is late.
    ///
    /// # Errors
    /// It is gone, or has stopped by a DMA fault.
    pub fn check_fault(&self) -> Result<(), NicError> {
        let status = self.bus.read32(register::STATUS.offset)?;
        if status == u32::MAX {
            return Err(BusError::Gone("its registers read as all ones".into()).into());
        }
        if register::STATUS_FAULT.get(status) == 1 {
            return Err(NicError::Fault);
        }
        Ok(())
    }

    fn event(&mut self, e: &Event) -> Result<NicEvent, NicError> {
        self.submission_consumed(e)?;
        let kind = e.get(event::KIND);
        let kind = Kind::from_u8(kind.to_le_bytes()[0]).ok_or(NicError::Device { what: "event kind", expected: "1 to 3".into(), found: kind })?;
        if kind == Kind::BadCommand {
            return Ok(NicEvent::BadCommand { flow: flow(e), command: e.get(event::COMMAND) });
        }
        let report = self.report(e)?;
        Ok(if kind == Kind::Flow { NicEvent::Flow(report) } else { NicEvent::Removed(report) })
    }
    fn raw(&mut self, header: &Event, bytes: Vec<u8>) -> Result<NicEvent, NicError> {
        self.submission_consumed(header)?;
        let reason = header.get(event::KIND);
        let reason = Reason::from_u8(reason.to_le_bytes()[0]).ok_or(NicError::Device { what: "raw reason", expected: "1 to 3".into(), found: reason })?;
        let snapshot = if flow(header) == toe_contract::NO_FLOW { None } else { Some(self.report(header)?) };
        Ok(NicEvent::Raw(RawFrame { reason, snapshot, bytes }))
    }
    fn report(&self, e: &Event) -> Result<FlowReport, NicError> {
        if flow(e) >= self.flows {
            return Err(NicError::Device { what: "flow number", expected: format!("below {}", self.flows), found: flow(e).into() });
        }
        Ok(FlowReport::new(e))
    }
    fn submission_consumed(&mut self, e: &Event) -> Result<(), NicError> {
        let low = e.get(event::SUBMISSION_CONSUMED);
        if self.submission.consumed_low16((low & 0xffff) as u16) {
            return Ok(());
        }
        Err(NicError::Device { what: "submission_consumed", expected: "an index between the last one and the doorbell's".into(), found: low })
    }
    /// All ones is what a device that was pulled out reads as; anything else is a lie.
    fn gone_or(&self, what: &'static str, expected: String, found: u32) -> NicError {
        if found == u32::MAX {
            if let Err(e) = self.check_fault() {
                return e;
            }
        }
        NicError::Device { what, expected, found }
    }
}

impl Drop for Nic {
    /// Stops the device before its memory goes: no DMA happens after the reset's acknowledgement.
    fn drop(&mut self) {
        if let Err(error) = reset(&*self.bus, self.config.deadline) {
            tracing::warn!(%error, "the device could not be reset at close");
        }
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
