//! Timers that have run out, and errors that the network tells of (RFC 9293 sections 3.10.8, 3.9.2.2).

use super::{Action, Actions, ControlBlock, EngineCommand, Failure, Leaving, Path, State, Unreachable};
use crate::time::Nanoseconds;

impl ControlBlock {
    pub(super) fn on_retransmit_timeout(&mut self, now: Nanoseconds, actions: &mut Actions) {
        self.deadlines.retransmit = None;
        match (self.path, self.state) {
            (Path::Software, State::SynSent | State::SynReceived) => {
                self.retries.another(now, self.rtt.rto(&self.settings));
                self.send_syn(now, actions);
                self.back_off(now);
            }
            (Path::Engine, _) if self.snd_una == self.send_end() => {}
            (Path::Engine, _) if self.congestion.in_recovery() && !self.rescued => {
                self.rescued = true;
                actions.push(Action::Engine(EngineCommand::ResendOne(self.snd_una)));
                self.deadlines.retransmit = Some(now + self.rtt.rto(&self.settings));
            }
            (Path::Engine, _) => self.on_data_timeout(now, actions),
            _ => {}
        }
    }

    /// Something the engine has is not acknowledged: sent and lost, or kept back by the peer's window. One timer serves both
    /// (RFC 6298 section 5.4; RFC 9293 sections 3.8.6.1 and 3.8.6.2.1), since the engine does not tell when it sends.
    fn on_data_timeout(&mut self, now: Nanoseconds, actions: &mut Actions) {
        let lasted = self.retries.another(now, self.rtt.rto(&self.settings));
        // R2 (RFC 9293 section 3.8.3, MUST-20)
        if lasted >= self.settings.r2 {
            self.end(Leaving::Failed(Failure::TimedOut), actions);
            return;
        }
        if self.retries.count == self.settings.r1 {
            actions.push(Action::Suspect);
        }
        self.resent_at = now;
        let rest = self.send_end().offset_from(self.snd_una);
        self.probing = self.snd_wnd < u32::from(self.snd_mss).min(rest);
        if self.probing {
            // Closed: the probe of one byte (MUST-35, MUST-36). Nearly closed: the override time-out of the sender's silly window
            // avoidance (section 3.8.6.2.1). A resend of one segment is both, and the window bounds it more than cwnd could.
            actions.push(Action::Engine(EngineCommand::ResendOne(self.snd_una)));
        } else {
            // What the engine may have sent since it last told
            let sent = self.snd_una + rest.min(self.snd_wnd).min(self.congestion.window());
            self.congestion.on_timeout(self.snd_una, self.snd_max.max(sent), self.retries.count == 1);
            actions.push(Action::Engine(EngineCommand::Cwnd(self.congestion.window())));
            actions.push(Action::Engine(EngineCommand::ResendFrom(self.snd_una)));
        }
        self.back_off(now);
    }

    /// RFC 6298 sections 5.5 and 5.6.
    fn back_off(&mut self, now: Nanoseconds) {
        self.rtt.back_off();
        self.deadlines.retransmit = Some(now + self.rtt.rto(&self.settings));
    }

    /// The present state has lasted long enough (S09).
    pub(super) fn on_state_timeout(&mut self, actions: &mut Actions) {
        self.deadlines.state = None;
        match self.state {
            // R2 of a SYN (MUST-23)
            State::SynSent | State::SynReceived => self.fail_handshake(Failure::TimedOut, actions),
            State::FinWait1 => self.end(Leaving::Reset(Failure::TimedOut), actions),
            State::Closing | State::LastAck => self.end(Leaving::Failed(Failure::TimedOut), actions),
            // The peer has not closed in time (S22); if it sends any more, it gets RST
            State::FinWait2 => self.end(Leaving::Closed, actions),
            State::TimeWait if self.path == Path::Software => self.delete(actions),
            // The engine has not let go yet: what is left is done then
            State::TimeWait => self.enter(State::Closed, actions),
            State::Closed | State::Listen | State::Established | State::CloseWait => {}
        }
    }

    fn fail_handshake(&mut self, failure: Failure, actions: &mut Actions) {
        if !self.passive {
            actions.push(Action::Fail(failure));
        }
        self.delete(actions);
    }

    /// RFC 9293 section 3.9.2.2, RFC 5461.
    pub(super) fn on_unreachable(&mut self, kind: Unreachable, actions: &mut Actions) {
        match (self.state, kind) {
            (State::Closed | State::Listen | State::TimeWait, _) => {}
            (State::SynSent | State::SynReceived, Unreachable::Hard) => self.fail_handshake(Failure::Refused, actions),
            (State::SynSent | State::SynReceived, Unreachable::NoNeighbour) => self.fail_handshake(Failure::Unreachable, actions),
            _ => actions.push(Action::SoftError),
        }
    }
}
