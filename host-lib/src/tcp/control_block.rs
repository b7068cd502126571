//! Everything TCP knows of one connection (RFC 9293 section 3.3.1).

use std::sync::Arc;

use toe_wire::{SeqNumber, TcpFlags};

use super::congestion::NewReno;
use super::timer::{Deadlines, Retries, RttEstimator};
use super::{Action, Actions, EngineCommand, Failure, FourTuple, Outgoing, Settings, State};
use crate::time::Nanoseconds;

/// Who handles the segments of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Software: before the handshake is done, and after the engine has let go.
    Software,
    /// The engine.
    Engine,
    /// The engine has been told to let go; what comes meanwhile is kept.
    Leaving(Leaving),
}

/// What follows once the engine has let go of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// TIME_WAIT, in software.
    TimeWait,
    /// Nothing: the connection is over.
    Closed,
    /// RST is sent; the application is told if it is still there.
    Reset(Failure),
    /// The application is told.
    Failed(Failure),
}

/// The state of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlBlock {
    /// What does not change.
    pub settings: Arc<Settings>,
    /// Addresses and ports; the remote of a block in LISTEN is unspecified.
    pub tuple: FourTuple,
    /// The state.
    pub state: State,
    /// Who handles its segments.
    pub path: Path,
    /// The open was passive (RFC 9293 section 3.10.7.4, MUST-11).
    pub passive: bool,
    /// Initial send sequence number.
    pub iss: SeqNumber,
    /// Initial receive sequence number.
    pub irs: SeqNumber,
    /// SND.UNA.
    pub snd_una: SeqNumber,
    /// SND.NXT.
    pub snd_nxt: SeqNumber,
    /// Highest SND.NXT ever.
    pub snd_max: SeqNumber,
    /// SND.WND in bytes.
    pub snd_wnd: u32,
    /// SND.WL1.
    pub snd_wl1: SeqNumber,
    /// SND.WL2.
    pub snd_wl2: SeqNumber,
    /// RCV.NXT; counts the peer's FIN.
    pub rcv_nxt: SeqNumber,
    /// Furthest right edge announced.
    pub rcv_adv: SeqNumber,
    /// Payload bytes a segment, out.
    pub snd_mss: u16,
    /// Payload bytes a segment, in.
    pub rcv_mss: u16,
    /// Shift of the windows the peer announces.
    pub snd_wscale: u8,
    /// Shift of the windows we announce.
    pub rcv_wscale: u8,
    /// Window scaling was agreed on (RFC 7323 section 2.2).
    pub scaling_agreed: bool,
    /// Timestamps were agreed on (RFC 7323 section 3.2).
    pub timestamps: bool,
    /// TS.Recent.
    pub ts_recent: u32,
    /// What is added to the timestamp clock.
    pub ts_offset: u32,
    /// The application has written up to here.
    pub queued: SeqNumber,
    /// The engine may send up to here.
    pub limit: SeqNumber,
    /// The application has read up to here.
    pub consumed: SeqNumber,
    /// Nagle's algorithm is off.
    pub nodelay: bool,
    /// A FIN follows `queued`.
    pub fin_queued: bool,
    /// The engine has been told of the FIN.
    pub fin_offered: bool,
    /// RCV.NXT has passed the peer's FIN.
    pub fin_received: bool,
    /// The application has no handle left.
    pub orphan: bool,
    /// Round-trip time.
    pub rtt: RttEstimator,
    /// Count of the engine's samples that were taken, modulo 256.
    pub rtt_count: u8,
    /// Congestion window.
    pub congestion: NewReno,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// Retransmissions of the same data.
    pub retries: Retries,
    /// When SYN or SYN+ACK was sent first, for its round-trip time.
    pub opened_at: Nanoseconds,
    /// The hole at SND.UNA was sent again twice in this fast recovery.
    pub rescued: bool,
    /// The retransmission timer last probed the peer's window; it did not send anything again that was lost.
    pub probing: bool,
    /// When the retransmission timer last had something sent again.
    pub resent_at: Nanoseconds,
    /// When data was last acknowledged or handed to the engine.
    pub active_at: Nanoseconds,
    /// When the last challenge ACK was asked for (RFC 5961 section 7).
    pub challenged_at: Option<Nanoseconds>,
}

impl ControlBlock {
    /// A block in CLOSED.
    pub fn new(settings: Arc<Settings>, tuple: FourTuple, iss: SeqNumber, ts_offset: u32) -> ControlBlock {
        let (mss, none) = (settings.mss, SeqNumber(0));
        ControlBlock {
            settings,
            tuple,
            state: State::Closed,
            path: Path::Software,
            passive: false,
            iss,
            irs: none,
            snd_una: iss,
            snd_nxt: iss,
            snd_max: iss,
            snd_wnd: 0,
            snd_wl1: none,
            snd_wl2: none,
            rcv_nxt: none,
            rcv_adv: none,
            snd_mss: mss,
            rcv_mss: mss,
            snd_wscale: 0,
            rcv_wscale: 0,
            scaling_agreed: false,
            timestamps: false,
            ts_recent: 0,
            ts_offset,
            queued: iss + 1,
            limit: iss + 1,
            consumed: none,
            nodelay: false,
            fin_queued: false,
            fin_offered: false,
            fin_received: false,
            orphan: false,
            rtt: RttEstimator::new(),
            rtt_count: 0,
            congestion: NewReno::new(u32::from(mss), iss, false),
            deadlines: Deadlines::default(),
            retries: Retries::default(),
            opened_at: Nanoseconds::default(),
            rescued: false,
            probing: false,
            resent_at: Nanoseconds::default(),
            active_at: Nanoseconds::default(),
            challenged_at: None,
        }
    }

    /// One past the last byte of data received in order (without the FIN).
    pub fn data_end(&self) -> SeqNumber {
        self.rcv_nxt - u32::from(self.fin_received)
    }

    /// One past what the engine may send, the FIN included.
    pub fn send_end(&self) -> SeqNumber {
        self.limit + u32::from(self.fin_offered)
    }

    /// Our FIN is acknowledged.
    pub fn fin_acked(&self) -> bool {
        self.fin_offered && self.snd_una == self.limit + 1
    }

    /// SND.UNA as far as it speaks of data: what the application may overwrite ends there.
    pub fn data_una(&self) -> SeqNumber {
        self.snd_una.min(self.queued)
    }

    /// Goes into a state.
    pub(super) fn enter(&mut self, state: State, actions: &mut Actions) {
        if self.state != state {
            self.state = state;
            self.deadlines.state = None;
            actions.push(Action::Enter(state));
        }
    }

    /// The window field for a segment made in software: what was announced already, never less (RFC 9293 SHLD-14).
    pub(super) fn window_field(&self) -> u16 {
        let window = (self.rcv_adv - self.rcv_nxt).max(0).unsigned_abs() >> self.rcv_wscale;
        u16::try_from(window).unwrap_or(u16::MAX)
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`.
    pub(super) fn ack_segment(&self, now: Nanoseconds) -> Outgoing {
        Outgoing { seq: self.snd_max, ack: self.rcv_nxt, flags: TcpFlags::ACK, window: self.window_field(), options: self.plain_options(now) }
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>`. SND.NXT of the RFC is the highest number sent, which is SND.MAX here.
    pub(super) fn reset_segment(&self, now: Nanoseconds) -> Outgoing {
        let flags = TcpFlags::RST | TcpFlags::ACK;
        Outgoing { seq: self.snd_max, ack: self.rcv_nxt, flags, window: 0, options: self.plain_options(now) }
    }

    /// Tells the engine to let go; `then` follows when it has.
    pub(super) fn leave(&mut self, then: Leaving, actions: &mut Actions) {
        self.deadlines.retransmit = None;
        self.path = Path::Leaving(then);
        actions.push(Action::Engine(EngineCommand::Remove));
    }

    /// Whether a challenge ACK may go out now (RFC 5961 section 7). The limit is the connection's own, so its state tells an
    /// attacker nothing of any other connection (CVE-2016-5696).
    pub(super) fn may_challenge(&mut self, now: Nanoseconds) -> bool {
        let early = self.challenged_at.is_some_and(|at| now - at < self.settings.challenge_interval);
        if !early {
            self.challenged_at = Some(now);
        }
        !early
    }
}
