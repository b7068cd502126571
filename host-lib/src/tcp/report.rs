//! What the engine tells of its flow.

use super::{Action, Actions, ControlBlock, EngineCommand, Failure, Leaving, Path, Report, State};
use crate::time::{timestamp_steps, Nanoseconds};

impl ControlBlock {
    /// The flow's values have changed. A report stands for any number of segments since the one before.
    pub(super) fn on_report(&mut self, report: &Report, now: Nanoseconds, actions: &mut Actions) {
        if self.path != Path::Engine || report.snd_una.lt(self.snd_una) {
            return;
        }
        let (una_before, window_before, data_before, fin_before) = (self.snd_una, self.snd_wnd, self.data_end(), self.fin_received);
        self.measure(report, now);
        let (cwnd_before, recovery_before) = (self.congestion.window(), self.congestion.in_recovery());
        let resend = self.congestion.on_report(una_before, report);
        self.take(report);
        if self.congestion.window() != cwnd_before {
            actions.push(Action::Engine(EngineCommand::Cwnd(self.congestion.window())));
        }
        actions.extend(resend.filter(|_| self.snd_una != self.send_end()).map(|from| Action::Engine(EngineCommand::ResendOne(from))));
        // RFC 9293 section 3.6.1, SHLD-3: data for an application that is gone
        if self.orphan && self.data_end().gt(data_before) {
            self.on_abort(now, actions);
            return;
        }
        let advanced = self.snd_una != una_before;
        self.rescued &= !advanced;
        if self.congestion.in_recovery() && !recovery_before {
            self.rescued = false;
            self.deadlines.retransmit = None;
        }
        self.on_progress(advanced, window_before, now);
        self.offer(now, actions);
        // RFC 9293 section 3.10.7.4: fifth, the ACK field, then eighth, the FIN bit
        if self.fin_acked() && advanced {
            self.on_fin_acked(now, actions);
        }
        if self.fin_received && !fin_before {
            self.on_fin(now, actions);
        }
    }

    /// Takes a round-trip sample.
    fn measure(&mut self, report: &Report, now: Nanoseconds) {
        if report.rtt_count != self.rtt_count {
            self.rtt_count = report.rtt_count;
            self.rtt.sample(report.rtt);
        } else if self.timestamps && self.rtt.backoff() > 0 && report.snd_una.gt(self.snd_una) {
            self.measure_resent(report.ts_ecr, now);
        }
    }

    /// RFC 6298 section 3: with timestamps a resent segment can be measured as well, if the echoed one is not older than the resending.
    /// An older one comes with a resent segment whose first copy had arrived and whose ACK was lost: it says nothing of the path but
    /// that it is there. To measure it would double the time-out with every lost ACK.
    fn measure_resent(&mut self, ts_ecr: u32, now: Nanoseconds) {
        let tsval = self.tsval(now);
        let (age, since_resent) = (tsval.wrapping_sub(ts_ecr), tsval.wrapping_sub(self.tsval(self.resent_at)));
        if age <= since_resent {
            self.rtt.sample(timestamp_steps(age));
        } else {
            self.rtt.restart();
        }
    }

    fn take(&mut self, report: &Report) {
        self.rcv_nxt = report.rcv_nxt;
        self.rcv_adv = report.rcv_adv;
        self.fin_received = report.fin_received;
        self.snd_una = report.snd_una;
        self.snd_nxt = report.snd_nxt;
        self.snd_max = report.snd_max;
        self.snd_wnd = report.snd_wnd;
        self.snd_wl1 = report.snd_wl1;
        self.snd_wl2 = report.snd_wl2;
        self.ts_recent = report.ts_recent;
    }

    /// Sets the retransmission timer by what is still unacknowledged (RFC 6298 sections 5.2 and 5.3).
    fn on_progress(&mut self, advanced: bool, window_before: u32, now: Nanoseconds) {
        let opened = window_before == 0 && self.snd_wnd > 0;
        // What was acknowledged had not been sent before: nothing is ambiguous, as it is after a loss (Karn)
        if opened || advanced && self.probing {
            self.rtt.restart();
        }
        if advanced || opened {
            self.retries.clear();
            self.active_at = now;
        } else if self.snd_wnd == 0 {
            // RFC 9293 section 3.8.6.1, MUST-36, MUST-37: the peer answers our probes, so it is alive however long its window stays closed
            self.retries.clear();
        }
        if self.snd_una == self.send_end() {
            self.deadlines.retransmit = None;
        } else if advanced || opened || self.deadlines.retransmit.is_none() {
            let rescue = self.congestion.in_recovery() && !self.rescued;
            let wait = if rescue { self.rtt.rescue(&self.settings) } else { self.rtt.rto(&self.settings) };
            self.deadlines.retransmit = Some(now + wait);
        }
        if advanced && self.deadlines.state.is_some() {
            self.arm_state_timer(now);
        }
    }

    fn on_fin_acked(&mut self, now: Nanoseconds, actions: &mut Actions) {
        match self.state {
            State::FinWait1 => {
                self.enter(State::FinWait2, actions);
                self.arm_state_timer(now);
            }
            State::Closing => self.wait(now, actions),
            State::LastAck => self.end(Leaving::Closed, actions),
            _ => {}
        }
    }

    fn on_fin(&mut self, now: Nanoseconds, actions: &mut Actions) {
        match self.state {
            State::Established => self.enter(State::CloseWait, actions),
            State::FinWait1 => {
                self.enter(State::Closing, actions);
                self.arm_state_timer(now);
            }
            State::FinWait2 => self.wait(now, actions),
            _ => {}
        }
    }

    /// TIME_WAIT begins (RFC 9293 section 3.6.1, MUST-13).
    fn wait(&mut self, now: Nanoseconds, actions: &mut Actions) {
        self.enter(State::TimeWait, actions);
        self.leave(Leaving::TimeWait, actions);
        self.deadlines.state = Some(now + self.settings.time_wait());
    }

    /// The engine has let go: its values are the last word, and software goes on from them.
    pub(super) fn on_removed(&mut self, report: &Report, now: Nanoseconds, actions: &mut Actions) {
        let Path::Leaving(then) = self.path else { return };
        self.take(report);
        self.path = Path::Software;
        // An ACK that the engine owed when it was stopped
        let owed = report.last_ack_sent != report.rcv_nxt;
        match then {
            Leaving::TimeWait | Leaving::Closed if owed => actions.push(Action::Transmit(self.ack_segment(now))),
            Leaving::Reset(_) => actions.push(Action::Transmit(self.reset_segment(now))),
            _ => {}
        }
        match then {
            Leaving::Reset(failure) | Leaving::Failed(failure) => actions.push(Action::Fail(failure)),
            Leaving::TimeWait | Leaving::Closed => {}
        }
        if self.state == State::TimeWait {
            actions.push(Action::TimeWait);
        } else {
            self.delete(actions);
        }
    }

    /// The engine has no room for the flow.
    pub(super) fn on_install_refused(&mut self, now: Nanoseconds, actions: &mut Actions) {
        if self.path == Path::Software {
            return;
        }
        self.path = Path::Software;
        actions.push(Action::Transmit(self.reset_segment(now)));
        actions.push(Action::Fail(Failure::NoFlow));
        self.delete(actions);
    }
}
