//! One device, one thread: who is who, what is due, what goes where.
//!
//! ```text
//!   requests (channel)        events, raw frames (rings)        timers
//!            \                        |                        /
//!             +------------------- poll() -------------------+
//!                                     |
//!                        tcp::step, slow_path (both pure)
//!                                     |
//!          sockets (values)     commands, frames (rings)     next deadline
//! ```
//!
//! [`Stack::poll`] does what is to be done now and says when it wants to be called again; it never waits. [`Stack::run`] is the loop
//! round it for a thread of its own. A test calls `poll` itself, and so drives two stacks in step.

pub(crate) mod accept;
pub(crate) mod connections;
mod handover;
mod inspect;
mod perform;
mod plausible;
mod raw;
pub(crate) mod request;
pub(crate) mod rings;
mod run;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use toe_contract::command::{Command, Opcode};
use toe_driver::{FlowReport, Nic, NicError, NicEvent};
use toe_wire::{MacAddr, SeqNumber};

pub use accept::ListenError;
pub use inspect::{SocketInfo, Statistics};
pub use request::Handle;
pub use run::StackThread;

use crate::config::Config;
use crate::log::{Happening, LifeLog};
use crate::slow_path::{ArpCache, ArpOutput, RateLimit, Reassembler};
use crate::tcp::isn::Secret;
use crate::tcp::ports::PortChooser;
use crate::tcp::time_wait::TimeWaitTable;
use crate::tcp::{ControlBlock, Event, FourTuple, Path, Report, Settings};
use crate::time::Nanoseconds;
use accept::Listener;
use connections::{ConnectionId, Connections};
use request::Request;
use rings::RingPool;
use timers::TimerQueue;

/// What is done at most before [`Stack::poll`] returns, so that nothing is starved by a flood of one kind.
const BATCH: usize = 512;
/// How often the device is asked for its time and its health. So whoever waits for a socket is told within that time of a device that was pulled out, was
/// reset or has stopped by a fault; of one that takes no commands any more, `NicConfig::deadline` later.
pub const CHECK_INTERVAL: Nanoseconds = Nanoseconds::from_millis(100);
/// How long the engine may take to remove a flow: what of it is under way must be sent.
pub const REMOVAL_DEADLINE: Nanoseconds = Nanoseconds::from_secs(10);

/// Why a stack has stopped.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The device does not work any more.
    #[error(transparent)]
    Nic(#[from] NicError),
    /// The configuration cannot be.
    #[error("{what}: expected {expected}, found {found}")]
    Config {
        /// Which setting.
        what: &'static str,
        /// What would have been possible.
        expected: String,
        /// What it was.
        found: String,
    },
    /// The system gives no thread.
    #[error("no thread for the stack: {0}")]
    Thread(std::io::Error),
}

/// A TCP/IPv4 stack on one device.
pub struct Stack {
    nic: Nic,
    config: Config,
    settings: Arc<Settings>,
    mac: MacAddr,
    /// The device's time less the bus's, modulo 2^64.
    clock_offset: u64,
    now: Nanoseconds,
    check_at: Nanoseconds,
    secret: Secret,
    ports: PortChooser,
    connections: Connections,
    /// Whose a flow number is.
    flows: Vec<Option<ConnectionId>>,
    free_flows: VecDeque<u16>,
    wanting_flow: VecDeque<ConnectionId>,
    listeners: HashMap<u16, Listener>,
    time_wait: TimeWaitTable,
    timers: TimerQueue,
    arp: ArpCache,
    fragments: Reassembler,
    reset_limit: RateLimit,
    icmp_limit: RateLimit,
    pool: RingPool,
    log: LifeLog,
    /// Frames to be looked at again.
    again: VecDeque<Vec<u8>>,
    /// Quiet connections that have reported.
    quiet: Vec<ConnectionId>,
    /// Flows that the engine was told to remove, and by when.
    removals: VecDeque<(Nanoseconds, ConnectionId)>,
    /// Commands of the step under way.
    batch: Vec<Command>,
    counts: inspect::Counts,
    requests: Receiver<Request>,
    handle: Handle,
    stopping: bool,
}

impl Stack {
    /// A stack on an open device.
    ///
    /// # Errors
    /// The configuration cannot be, or the device does not answer.
    pub fn new(nic: Nic, mut config: Config) -> Result<Stack, StackError> {
        check(&mut config, &nic)?;
        let key = config.secret.unwrap_or_else(rand::random);
        let secret = Secret::new(key);
        let mac = MacAddr(nic.mac());
        let flows = nic.flows();
        let settings = Arc::new(config.settings.clone());
        let log = LifeLog::new(config.log_entries);
        let (sender, requests): (Sender<Request>, _) = crossbeam_channel::unbounded();
        let handle = Handle::new(sender, nic.waker(), log.clone(), config.address);
        let now = nic.now();
        let seed = secret.port_counter(FourTuple::new(config.address, 0, config.address, 0));
        let mut stack = Stack {
            mac,
            clock_offset: 0,
            now,
            check_at: now,
            ports: PortChooser::new(config.ports.clone(), seed),
            secret,
            connections: Connections::default(),
            flows: vec![None; usize::from(flows)],
            free_flows: (0..flows).collect(),
            wanting_flow: VecDeque::new(),
            listeners: HashMap::new(),
            time_wait: TimeWaitTable::new(config.address, settings.time_wait()),
            timers: TimerQueue::default(),
            arp: ArpCache::new(mac, config.address, config.vlan),
            fragments: Reassembler::new(),
            reset_limit: RateLimit::new(config.resets_per_second, now),
            icmp_limit: RateLimit::new(config.icmp_per_second, now),
            pool: RingPool::new(settings.receive_log2, settings.send_log2),
            log,
            again: VecDeque::new(),
            quiet: Vec::new(),
            removals: VecDeque::new(),
            batch: Vec::new(),
            counts: inspect::Counts::default(),
            requests,
            handle,
            stopping: false,
            nic,
            config,
            settings,
        };
        stack.read_clock()?;
        let announcement = stack.arp.announcement();
        stack.nic.send_frame(&announcement, None)?;
        stack.nic.ring()?;
        Ok(stack)
    }

    /// What applications open sockets with.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The life log.
    pub fn log(&self) -> LifeLog {
        self.log.clone()
    }

    /// The device below.
    pub fn nic(&self) -> &Nic {
        &self.nic
    }

    /// Does what is to be done now; gives the time, on the bus's clock, at which it wants to be called again at the latest. A new
    /// event, raw frame or request is a reason to call it earlier.
    ///
    /// # Errors
    /// The device does not work any more: every socket has been told why, and nothing else will help.
    pub fn poll(&mut self) -> Result<Nanoseconds, StackError> {
        self.work().inspect_err(|error| self.fail(&error.to_string())).map_err(StackError::from)
    }

    fn work(&mut self) -> Result<Nanoseconds, NicError> {
        self.read_time();
        let mut budget = BATCH;
        while let Some(request) = self.next_request(&mut budget) {
            self.on_request(request)?;
        }
        while budget > 0 {
            let Some(event) = self.nic.poll()? else { break };
            budget -= 1;
            self.on_nic_event(event)?;
            self.look_again()?;
        }
        // What has come is dealt with before what has not: a report that lies in the ring may have put a timer off.
        if budget > 0 {
            self.rearm_quiet()?;
            self.on_time()?;
            self.look_again()?;
        }
        self.nic.ring()?;
        self.nic.consumed()?;
        let wait = if budget == 0 { Nanoseconds(0) } else { self.next_deadline() - self.now };
        Ok(self.nic.now() + wait)
    }

    fn next_request(&mut self, budget: &mut usize) -> Option<Request> {
        if *budget == 0 {
            return None;
        }
        *budget -= 1;
        self.requests.try_recv().ok()
    }

    fn look_again(&mut self) -> Result<(), NicError> {
        while let Some(frame) = self.again.pop_front() {
            self.on_frame(&frame, None)?;
        }
        Ok(())
    }

    /// The device's time: TCP timestamps made here and there must agree. Between two looks at the register the bus's clock is used.
    fn read_time(&mut self) {
        let device = Nanoseconds(self.nic.now().0.wrapping_add(self.clock_offset));
        self.now = self.now.max(device);
    }

    fn read_clock(&mut self) -> Result<(), NicError> {
        let device = self.nic.device_time()?;
        self.clock_offset = device.0.wrapping_sub(self.nic.now().0);
        self.now = device;
        Ok(())
    }

    fn check_device(&mut self) -> Result<(), NicError> {
        self.check_at = self.now + CHECK_INTERVAL;
        let device = self.nic.check()?;
        self.clock_offset = device.0.wrapping_sub(self.nic.now().0);
        self.check_removals()
    }

    /// A flow that is never removed would keep its number, its rings and whoever waits for the end.
    fn check_removals(&mut self) -> Result<(), NicError> {
        while let Some((at, id)) = self.removals.front().copied() {
            let leaving = self.connections.get(id).is_some_and(|connection| matches!(connection.block.path, Path::Leaving(_)));
            if leaving && at > self.now {
                break;
            }
            if leaving {
                return Err(NicError::Deadline { what: "the removal of a flow", deadline: REMOVAL_DEADLINE });
            }
            self.removals.pop_front();
        }
        Ok(())
    }

    fn on_nic_event(&mut self, event: NicEvent) -> Result<(), NicError> {
        match event {
            NicEvent::Flow(flow) => {
                let id = self.reporting(&flow, plausible::report)?;
                let report = report(&flow);
                self.note(id, || Happening::Report(report));
                self.process(id, Event::Report(report), None)
            }
            NicEvent::Removed(flow) => self.on_removed(&flow),
            NicEvent::BadCommand { flow, command } => self.on_bad_command(flow, command),
            NicEvent::Raw(frame) => {
                self.counts.raw_frames += 1;
                self.on_frame(&frame.bytes, frame.snapshot.as_ref())
            }
        }
    }

    fn owner(&self, flow: u16) -> Option<ConnectionId> {
        self.flows.get(usize::from(flow)).copied().flatten()
    }

    /// The connection that a report is of, if it can be true.
    fn reporting(&mut self, flow: &FlowReport, check: fn(&ControlBlock, &FlowReport, Nanoseconds) -> Result<(), NicError>) -> Result<ConnectionId, NicError> {
        let nobody = NicError::Device { what: "flow of a report", expected: "an installed one".into(), found: flow.flow.into() };
        let id = self.owner(flow.flow);
        let (Some(id), Some(connection)) = (id, id.and_then(|id| self.connections.get_mut(id))) else { return Err(nobody) };
        check(&connection.block, flow, self.now - connection.created_at)?;
        connection.reported = true;
        Ok(id)
    }

    fn on_removed(&mut self, flow: &FlowReport) -> Result<(), NicError> {
        let id = self.reporting(flow, plausible::removal)?;
        let report = report(flow);
        self.note(id, || Happening::Removed(report));
        // The engine has let go: number and rings are free from here on.
        if let Some(connection) = self.connections.get_mut(id) {
            connection.flow = None;
            connection.rings = None;
        }
        self.free_flow(flow.flow);
        self.process(id, Event::Removed(report), None)
    }

    /// A RESEND that came too late is refused as a matter of course: SND.UNA has passed it. A refused INSTALL ends the connection, and what was sent to
    /// its flow before that was known is refused as well; but a flow that has reported is there, and takes everything else.
    fn on_bad_command(&mut self, flow: u16, command: u32) -> Result<(), NicError> {
        self.counts.refused_commands += 1;
        let opcode = Opcode::from_u8(command.to_le_bytes()[0]);
        if opcode == Some(Opcode::Resend) {
            return Ok(());
        }
        let owner = self.owner(flow);
        let reported = owner.and_then(|id| self.connections.get(id)).is_some_and(|connection| connection.reported);
        if reported || matches!(opcode, Some(Opcode::Raw | Opcode::Inject)) {
            let expected = "a command that can be refused".into();
            return Err(NicError::Device { what: "refused command", expected, found: command });
        }
        tracing::warn!(flow, ?opcode, "the engine has refused a command");
        match (opcode, owner) {
            (Some(Opcode::Install), Some(id)) => self.process(id, Event::InstallRefused, None),
            _ => Ok(()),
        }
    }

    /// Gives a flow number back, and lets those who wait for one try again.
    fn free_flow(&mut self, flow: u16) {
        self.flows[usize::from(flow)] = None;
        self.free_flows.push_back(flow);
        while let Some(id) = self.wanting_flow.pop_front() {
            let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.wants_flow) else { continue };
            connection.wants_flow = false;
            self.again.extend(connection.held.drain(..));
            break;
        }
    }

    /// Timers of connections, TIME_WAIT, ARP, fragments, and the device's health.
    fn on_time(&mut self) -> Result<(), NicError> {
        while let Some((at, id)) = self.timers.expired(self.now) {
            self.on_timer(at, id)?;
        }
        while let Some(tuple) = self.time_wait.expire(self.now) {
            self.note_time_wait_over(tuple);
        }
        let outputs = self.arp.expire(self.now);
        self.on_arp_outputs(outputs)?;
        self.fragments.expire(self.now);
        if self.now >= self.check_at {
            self.check_device()?;
        }
        Ok(())
    }

    fn on_timer(&mut self, at: Nanoseconds, id: ConnectionId) -> Result<(), NicError> {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.queued_at == Some(at)) else { return Ok(()) };
        connection.queued_at = None;
        let deadlines = connection.block.deadlines;
        if deadlines.retransmit.is_some_and(|at| at <= now) {
            self.process(id, Event::RetransmitTimeout, None)?;
        }
        if deadlines.state.is_some_and(|at| at <= now) {
            self.process(id, Event::StateTimeout, None)?;
        }
        self.queue_timer(id);
        Ok(())
    }

    /// Sees to it that the connection is looked at when its next deadline comes.
    fn queue_timer(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(deadline) = connection.block.deadlines.next() else { return };
        if connection.queued_at.is_none_or(|queued| deadline < queued) {
            connection.queued_at = Some(deadline);
            self.timers.push(deadline, id);
        }
    }

    fn next_deadline(&self) -> Nanoseconds {
        let candidates = [self.timers.next(), self.time_wait.next_deadline(), self.arp.next_deadline(), self.fragments.next_deadline(), Some(self.check_at)];
        candidates.into_iter().flatten().min().unwrap_or(self.check_at)
    }

    fn on_arp_outputs(&mut self, outputs: Vec<ArpOutput>) -> Result<(), NicError> {
        for output in outputs {
            match output {
                ArpOutput::Frame(frame) => self.nic.send_frame(&frame, None)?,
                ArpOutput::Unreachable(ip) => self.on_neighbour_lost(ip)?,
            }
        }
        Ok(())
    }

    fn note(&self, id: ConnectionId, what: impl FnOnce() -> Happening) {
        if let Some(connection) = self.connections.get(id) {
            self.log.push(self.now, connection.block.tuple, what());
        }
    }
}

/// Refuses what cannot be, and fits the segment size to the device's frames.
fn check(config: &mut Config, nic: &Nic) -> Result<(), StackError> {
    let error = |what, expected: &str, found: String| Err(StackError::Config { what, expected: expected.to_owned(), found });
    if !config.is_unicast(config.address) {
        return error("address", "a unicast address", config.address.to_string());
    }
    if config.prefix > 32 {
        return error("prefix", "0 to 32", config.prefix.to_string());
    }
    let settings = &mut config.settings;
    for (what, log2) in [("receive_log2", settings.receive_log2), ("send_log2", settings.send_log2)] {
        if !toe_contract::FLOW_RING_LOG2.contains(&log2) {
            return error(what, "12 to 30", log2.to_string());
        }
    }
    // S08: at most 240 s of TIME_WAIT
    if settings.time_wait() > Nanoseconds::from_secs(240) {
        return error("msl", "at most 120 s", settings.msl.to_string());
    }
    // 18 bytes of Ethernet with a tag, 40 of IPv4 and TCP (RFC 6691)
    let longest = u16::try_from(nic.max_frame().saturating_sub(58)).unwrap_or(u16::MAX);
    settings.mss = settings.mss.min(longest);
    Ok(())
}

/// The driver's report in the types of `tcp`.
fn report(flow: &FlowReport) -> Report {
    Report {
        rcv_nxt: SeqNumber(flow.rcv_nxt),
        rcv_adv: SeqNumber(flow.rcv_adv),
        fin_received: flow.fin_received,
        snd_una: SeqNumber(flow.snd_una),
        snd_nxt: SeqNumber(flow.snd_nxt),
        snd_max: SeqNumber(flow.snd_max),
        snd_wnd: flow.snd_wnd,
        snd_wl1: SeqNumber(flow.snd_wl1),
        snd_wl2: SeqNumber(flow.snd_wl2),
        ts_recent: flow.ts_recent,
        ts_ecr: flow.ts_ecr,
        rtt: flow.rtt,
        rtt_count: flow.rtt_count,
        dup_acks: flow.dup_acks,
        ranges: flow.ranges,
        last_ack_sent: SeqNumber(flow.last_ack_sent),
    }
}
