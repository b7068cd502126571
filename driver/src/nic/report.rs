//! What a device has to say, checked.

use super::{Nic, NicError, SHORTEST_FRAME};
use crate::Nanoseconds;
use toe_contract::command::Opcode;
use toe_contract::event::{self, Event, Kind};
use toe_contract::raw::Reason;

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

impl Nic {
    pub(super) fn event(&mut self, e: &Event) -> Result<NicEvent, NicError> {
        self.submission_consumed(e)?;
        let kind = e.get(event::KIND);
        let kind = Kind::from_u8(kind.to_le_bytes()[0]).ok_or(NicError::Device { what: "event kind", expected: "1 to 3".into(), found: kind })?;
        if kind == Kind::BadCommand {
            return self.refusal(e);
        }
        let report = self.report(e)?;
        Ok(if kind == Kind::Flow { NicEvent::Flow(report) } else { NicEvent::Removed(report) })
    }
    pub(super) fn raw(&mut self, header: &Event, bytes: Vec<u8>) -> Result<NicEvent, NicError> {
        self.submission_consumed(header)?;
        let reason = header.get(event::KIND);
        let reason = Reason::from_u8(reason.to_le_bytes()[0]).ok_or(NicError::Device { what: "raw reason", expected: "1 to 3".into(), found: reason })?;
        let longest = self.config.max_frame as usize;
        if !(SHORTEST_FRAME..=longest).contains(&bytes.len()) {
            let found = header.get(event::COMMAND);
            return Err(NicError::Device { what: "raw frame's length", expected: format!("{SHORTEST_FRAME} to {longest}"), found });
        }
        let has_flow = flow(header) != toe_contract::NO_FLOW;
        if has_flow != (reason == Reason::Flagged) {
            let expected = if has_flow { "a frame of no flow" } else { "a flow's frame" };
            return Err(NicError::Device { what: "raw frame's flow", expected: format!("{expected}, by its reason"), found: flow(header).into() });
        }
        let snapshot = if has_flow { Some(self.report(header)?) } else { None };
        Ok(NicEvent::Raw(RawFrame { reason, snapshot, bytes }))
    }
    fn report(&self, e: &Event) -> Result<FlowReport, NicError> {
        self.flow_number(e)?;
        let report = FlowReport::new(e);
        if report.ranges > self.ranges {
            return Err(NicError::Device { what: "number of ranges", expected: format!("{} at most", self.ranges), found: report.ranges.into() });
        }
        if report.out_of_order != (report.ranges > 0) {
            return Err(NicError::Device { what: "flag OUT_OF_ORDER", expected: (report.ranges > 0).to_string(), found: report.out_of_order.into() });
        }
        Ok(report)
    }
    fn flow_number(&self, e: &Event) -> Result<(), NicError> {
        if flow(e) < self.flows {
            return Ok(());
        }
        Err(NicError::Device { what: "flow number", expected: format!("below {}", self.flows), found: flow(e).into() })
    }
    /// The flow is that of the command, and the command is one that there is.
    fn refusal(&self, e: &Event) -> Result<NicEvent, NicError> {
        self.flow_number(e)?;
        let command = e.get(event::COMMAND);
        if Opcode::from_u8(command.to_le_bytes()[0]).is_none() || command >> 16 != e.get(event::FLOW) {
            return Err(NicError::Device { what: "refused command", expected: format!("a command to flow {}", flow(e)), found: command });
        }
        Ok(NicEvent::BadCommand { flow: flow(e), command })
    }
    fn submission_consumed(&mut self, e: &Event) -> Result<(), NicError> {
        let low = e.get(event::SUBMISSION_CONSUMED);
        if self.submission.consumed_low16((low & 0xffff) as u16) {
            return Ok(());
        }
        Err(NicError::Device { what: "submission_consumed", expected: "an index between the last one and the doorbell's".into(), found: low })
    }
}
