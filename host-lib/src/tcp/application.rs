//! Calls of the application (RFC 9293 sections 3.10.1 to 3.10.5).

use toe_wire::{SeqNumber, TcpFlags};

use super::{Action, Actions, ControlBlock, EngineCommand, Failure, Leaving, Outgoing, Path, State};
use crate::time::Nanoseconds;

impl ControlBlock {
    /// OPEN, active.
    pub(super) fn on_connect(&mut self, now: Nanoseconds, actions: &mut Actions) {
        if self.state != State::Closed || self.path != Path::Software {
            return;
        }
        self.passive = false;
        self.begin_handshake(State::SynSent, now, actions);
    }

    /// OPEN, passive.
    pub(super) fn on_listen(&mut self, actions: &mut Actions) {
        if self.state == State::Closed && self.path == Path::Software {
            self.passive = true;
            self.enter(State::Listen, actions);
        }
    }

    /// Sends SYN or SYN+ACK for the first time, and starts both timers (RFC 9293 section 3.8.3, MUST-23).
    pub(super) fn begin_handshake(&mut self, state: State, now: Nanoseconds, actions: &mut Actions) {
        self.enter(state, actions);
        self.snd_nxt = self.iss + 1;
        self.snd_max = self.snd_nxt;
        self.opened_at = now;
        self.send_syn(now, actions);
        self.deadlines.state = Some(now + self.settings.syn_r2);
        self.deadlines.retransmit = Some(now + self.rtt.rto(&self.settings));
    }

    /// `<SEQ=ISS><CTL=SYN>`, or with what the peer's SYN has told, `<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>`. Its window is never scaled
    /// (RFC 7323 section 2.2).
    pub(super) fn send_syn(&self, now: Nanoseconds, actions: &mut Actions) {
        let answer = self.state == State::SynReceived;
        let (ack, flags) = if answer { (self.rcv_nxt, TcpFlags::SYN | TcpFlags::ACK) } else { (SeqNumber(0), TcpFlags::SYN) };
        let options = self.syn_options(answer, now);
        actions.push(Action::Transmit(Outgoing { seq: self.iss, ack, flags, window: self.syn_window(), options }));
    }

    /// The window of a SYN or SYN+ACK.
    pub(super) fn syn_window(&self) -> u16 {
        u16::try_from(self.settings.receive_size()).unwrap_or(u16::MAX)
    }

    /// SEND. In the states before ESTABLISHED it is kept; after the application's FIN it is an error the caller tells of.
    pub(super) fn on_queued(&mut self, to: SeqNumber, now: Nanoseconds, actions: &mut Actions) {
        if self.fin_queued || !self.state.may_send() || to.le(self.queued) {
            return;
        }
        self.queued = to;
        self.offer(now, actions);
    }

    /// Nagle's algorithm on or off (RFC 9293 section 3.7.4, MUST-17).
    pub(super) fn on_nodelay(&mut self, on: bool, now: Nanoseconds, actions: &mut Actions) {
        self.nodelay = on;
        self.offer(now, actions);
    }

    /// Lets the engine send what the application has written. Nagle's algorithm is here and not in the engine, since it can be
    /// turned off at any time here: with data unacknowledged, only whole segments are handed over (RFC 9293 section 3.7.4, SHLD-7).
    pub(super) fn offer(&mut self, now: Nanoseconds, actions: &mut Actions) {
        if self.path != Path::Engine {
            return;
        }
        let waiting = self.queued.offset_from(self.limit);
        let all = self.nodelay || self.fin_queued || self.snd_una == self.limit;
        let take = if all { waiting } else { waiting - waiting % u32::from(self.snd_mss) };
        if take == 0 && self.fin_offered == self.fin_queued {
            return;
        }
        // RFC 5681 section 4.1: after a pause the old window says nothing of the path
        if self.snd_una == self.limit && now - self.active_at > self.rtt.rto(&self.settings) {
            self.restart_after_idle(actions);
        }
        self.active_at = now;
        self.limit += take;
        self.fin_offered = self.fin_queued;
        actions.push(Action::Engine(EngineCommand::Send { limit: self.limit, fin: self.fin_offered }));
        // RFC 6298 section 5.1
        if self.deadlines.retransmit.is_none() {
            self.deadlines.retransmit = Some(now + self.rtt.rto(&self.settings));
        }
    }

    fn restart_after_idle(&mut self, actions: &mut Actions) {
        let before = self.congestion.window();
        self.congestion.on_idle();
        if self.congestion.window() != before {
            actions.push(Action::Engine(EngineCommand::Cwnd(self.congestion.window())));
        }
    }

    /// RECEIVE: the window update is the engine's affair (RFC 9293 section 3.8.6.2.2).
    pub(super) fn on_consumed(&mut self, to: SeqNumber, actions: &mut Actions) {
        if to.le(self.consumed) || to.gt(self.data_end()) {
            return;
        }
        self.consumed = to;
        // After the FIN the peer needs no window.
        if self.path == Path::Engine && !self.fin_received {
            actions.push(Action::Engine(EngineCommand::Consumed(to)));
        }
    }

    /// CLOSE of our direction (RFC 9293 section 3.10.4, and MAY-1).
    pub(super) fn on_shutdown_write(&mut self, now: Nanoseconds, actions: &mut Actions) {
        match self.state {
            // "Queue this until the connection is established."
            State::SynReceived => self.fin_queued = true,
            State::Established => self.finish(State::FinWait1, now, actions),
            State::CloseWait => self.finish(State::LastAck, now, actions),
            _ => {}
        }
    }

    fn finish(&mut self, next: State, now: Nanoseconds, actions: &mut Actions) {
        self.fin_queued = true;
        self.enter(next, actions);
        self.arm_state_timer(now);
        self.offer(now, actions);
    }

    /// The application lets go of the socket.
    pub(super) fn on_close(&mut self, unread: bool, now: Nanoseconds, actions: &mut Actions) {
        self.orphan = true;
        match self.state {
            State::Listen | State::SynSent => self.delete(actions),
            State::Closed if self.path == Path::Software => self.delete(actions),
            // RFC 9293 section 3.6.1, SHLD-3: received data that nobody will read is lost, and the peer is told so
            State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait if unread => self.on_abort(now, actions),
            _ => {
                self.on_shutdown_write(now, actions);
                self.arm_state_timer(now);
            }
        }
    }

    /// ABORT (RFC 9293 section 3.10.5).
    pub(super) fn on_abort(&mut self, now: Nanoseconds, actions: &mut Actions) {
        match (self.state, self.path) {
            (_, Path::Leaving(_)) | (State::TimeWait, _) => {}
            (State::SynReceived, _) => {
                actions.push(Action::Transmit(self.reset_segment(now)));
                self.delete(actions);
            }
            (_, Path::Software) => self.delete(actions),
            // Both directions are finished already: nothing to tell the peer.
            (State::Closing | State::LastAck, Path::Engine) => self.end(Leaving::Closed, actions),
            (_, Path::Engine) => self.end(Leaving::Reset(Failure::Aborted), actions),
        }
    }

    /// The connection is over; the engine is to let go of it.
    pub(super) fn end(&mut self, then: Leaving, actions: &mut Actions) {
        self.enter(State::Closed, actions);
        self.leave(then, actions);
    }

    /// The connection is over, and the engine does not have it.
    pub(super) fn delete(&mut self, actions: &mut Actions) {
        self.enter(State::Closed, actions);
        self.deadlines = Default::default();
        actions.push(Action::Delete);
    }

    /// Starts the timer that ends the present state, if it has one. A half-closed socket that still has a handle stays in FIN_WAIT_1
    /// and FIN_WAIT_2 as long as the application likes (S16); everything else on the way down ends by itself (S09).
    pub(super) fn arm_state_timer(&mut self, now: Nanoseconds) {
        let lasts = match self.state {
            State::FinWait1 if self.orphan => self.settings.orphan_timeout,
            State::FinWait2 if self.orphan => self.settings.fin_timeout,
            State::Closing | State::LastAck => self.settings.orphan_timeout,
            _ => return,
        };
        self.deadlines.state = Some(now + lasts);
    }
}
