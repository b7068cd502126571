//! SEGMENT ARRIVES, for the segments that software sees (RFC 9293 section 3.10.7).
//!
//! Those are: all of a connection that the engine does not have, and of one that it has, those with SYN, RST or URG.

use toe_wire::{SeqNumber, TcpFlags, TcpOptions};

use super::congestion::NewReno;
use super::time_wait::{Answer, Entry};
use super::{Action, Actions, ControlBlock, EngineCommand, Failure, Leaving, Outgoing, Path, Report, Segment, Snapshot, State};
use crate::time::Nanoseconds;

/// The answer to a segment of no connection (RFC 9293 section 3.10.7.1); `None` for a RST.
pub fn reset_for(segment: &Segment) -> Option<Outgoing> {
    let reset = |seq, ack, flags| Outgoing { seq, ack, flags, window: 0, options: TcpOptions::new() };
    if segment.flags.rst() {
        None
    } else if segment.flags.ack() {
        Some(reset(segment.ack, SeqNumber(0), TcpFlags::RST))
    } else {
        Some(reset(SeqNumber(0), segment.seq + segment.seg_len(), TcpFlags::RST | TcpFlags::ACK))
    }
}

impl ControlBlock {
    pub(super) fn on_segment(&mut self, segment: &Segment, now: Nanoseconds, actions: &mut Actions) {
        match (self.path, self.state) {
            (Path::Leaving(_), _) => actions.push(Action::Hold),
            (Path::Engine, _) => self.on_segment_of_flow(segment, now, actions),
            (Path::Software, State::Listen) => self.on_segment_in_listen(segment, now, actions),
            (Path::Software, State::SynSent) => self.on_segment_in_syn_sent(segment, now, actions),
            (Path::Software, State::SynReceived) => self.on_segment_in_syn_received(segment, now, actions),
            (Path::Software, State::TimeWait) => self.on_segment_in_time_wait(segment, now, actions),
            (Path::Software, _) => actions.extend(reset_for(segment).map(Action::Transmit)),
        }
    }

    /// RFC 9293 section 3.10.7.2. The caller gives a block of its own, with the tuple, to every SYN.
    fn on_segment_in_listen(&mut self, segment: &Segment, now: Nanoseconds, actions: &mut Actions) {
        // First, RST; second, ACK; third, SYN
        if segment.flags.rst() {
            return;
        }
        if segment.flags.ack() {
            actions.extend(reset_for(segment).map(Action::Transmit));
        } else if segment.flags.syn() {
            self.take_syn(segment);
            self.begin_handshake(State::SynReceived, now, actions);
        }
    }

    /// RFC 9293 section 3.10.7.3.
    fn on_segment_in_syn_sent(&mut self, segment: &Segment, now: Nanoseconds, actions: &mut Actions) {
        // First, the ACK bit
        if segment.flags.ack() && segment.ack != self.snd_nxt {
            actions.extend(reset_for(segment).map(Action::Transmit));
            return;
        }
        // Second, the RST bit: only one that acknowledges our SYN (RFC 5961 section 3.2)
        if segment.flags.rst() {
            if segment.flags.ack() {
                actions.push(Action::Fail(Failure::Refused));
                self.delete(actions);
            }
            return;
        }
        // Fourth, the SYN bit
        if !segment.flags.syn() {
            return;
        }
        self.take_syn(segment);
        if segment.flags.ack() {
            self.establish(segment, u32::from(segment.window), now, actions);
            actions.push(Action::Engine(EngineCommand::AckNow));
        } else {
            // Simultaneous open (RFC 9293 section 3.5, figure 8; MUST-10)
            let deadline = self.deadlines.state;
            self.begin_handshake(State::SynReceived, now, actions);
            self.deadlines.state = deadline;
        }
    }

    /// Takes IRS, the options and the window we announce from the peer's SYN. Data and FIN in it are left: the peer sends them again.
    fn take_syn(&mut self, segment: &Segment) {
        self.irs = segment.seq;
        self.rcv_nxt = segment.seq + 1;
        self.consumed = self.rcv_nxt;
        self.rcv_adv = self.rcv_nxt + u32::from(self.syn_window());
        self.snd_wnd = u32::from(segment.window);
        self.negotiate(segment);
    }

    /// RFC 9293 section 3.10.7.4 in SYN_RECEIVED.
    fn on_segment_in_syn_received(&mut self, segment: &Segment, now: Nanoseconds, actions: &mut Actions) {
        let (flags, first) = (segment.flags, segment.seq == self.irs);
        if flags.syn() && first && !flags.rst() {
            self.on_syn_again(segment, now, actions);
            return;
        }
        // First, the sequence number (and RFC 7323 section 5.3, R1)
        if !self.is_acceptable(segment) || self.is_old_duplicate(segment) {
            if !flags.rst() {
                self.challenge_in_software(now, actions);
            }
            return;
        }
        // Second, the RST bit (RFC 5961 section 3.2)
        if flags.rst() {
            if segment.seq != self.rcv_nxt {
                self.challenge_in_software(now, actions);
                return;
            }
            if !self.passive {
                actions.push(Action::Fail(Failure::Refused));
            }
            self.delete(actions);
            return;
        }
        // Fourth, the SYN bit: back to LISTEN if the open was passive, for which this block is forgotten
        if flags.syn() {
            if self.passive {
                self.delete(actions);
            } else {
                self.challenge_in_software(now, actions);
            }
            return;
        }
        // Fifth, the ACK field
        if !flags.ack() {
            return;
        }
        if segment.ack != self.snd_nxt {
            actions.extend(reset_for(segment).map(Action::Transmit));
            return;
        }
        let window = u32::from(segment.window) << self.snd_wscale;
        self.establish(segment, window, now, actions);
        // Sixth to eighth: data and FIN are the engine's (and URG is data in line, RFC 6093)
        if segment.seg_len() > 0 {
            actions.push(Action::Inject);
        }
    }

    /// The peer's SYN again: our SYN+ACK was lost. Or its SYN+ACK, in a simultaneous open, which begins at IRS and is good all the same.
    fn on_syn_again(&mut self, segment: &Segment, now: Nanoseconds, actions: &mut Actions) {
        if !segment.flags.ack() {
            self.send_syn(now, actions);
        } else if segment.ack != self.snd_nxt {
            actions.extend(reset_for(segment).map(Action::Transmit));
        } else if !self.passive {
            self.establish(segment, u32::from(segment.window), now, actions);
        }
    }

    /// Our SYN is acknowledged: into ESTABLISHED, and over to the engine.
    fn establish(&mut self, segment: &Segment, window: u32, now: Nanoseconds, actions: &mut Actions) {
        let lossy = self.retries.count > 0;
        // RFC 6298 section 3: only if it was sent once (Karn)
        if !lossy {
            self.rtt.sample(now - self.opened_at);
        }
        self.retries.clear();
        self.rtt.restart();
        self.snd_una = segment.ack;
        self.snd_wnd = window;
        self.snd_wl1 = segment.seq;
        self.snd_wl2 = segment.ack;
        self.congestion = NewReno::new(u32::from(self.snd_mss), self.iss, lossy);
        self.deadlines.retransmit = None;
        self.active_at = now;
        self.limit = self.queued;
        self.fin_offered = self.fin_queued;
        self.path = Path::Engine;
        self.enter(State::Established, actions);
        actions.push(Action::Install);
        if self.fin_queued {
            self.enter(State::FinWait1, actions);
            self.arm_state_timer(now);
        }
        if self.snd_una != self.send_end() {
            self.deadlines.retransmit = Some(now + self.rtt.rto(&self.settings));
        }
    }

    /// A segment of a connection that the engine has. With a snapshot, it has SYN, RST or URG; without one, it came up before the
    /// flow was installed.
    fn on_segment_of_flow(&mut self, segment: &Segment, now: Nanoseconds, actions: &mut Actions) {
        let snapshot = segment.snapshot.unwrap_or_else(|| self.as_snapshot());
        self.catch_up(&snapshot, now, actions);
        if self.path != Path::Engine {
            actions.push(Action::Hold);
        } else if segment.flags.rst() {
            self.on_reset(segment, snapshot, now, actions);
        } else if segment.flags.syn() {
            // RFC 5961 section 4.2, whatever the sequence number. It also answers a SYN+ACK that came again because our ACK was lost.
            self.challenge(now, actions);
        } else {
            // RFC 9293 section 3.8.5, RFC 6093: urgent data is data in line
            actions.push(Action::Inject);
        }
    }

    /// What the engine knew when the segment came counts before the segment does. A peer in LAST_ACK answers the second of two ACKs of
    /// its FIN with RST: if that FIN has not been reported yet, the RST would seem to cut the connection off in FIN_WAIT_2.
    fn catch_up(&mut self, snapshot: &Snapshot, now: Nanoseconds, actions: &mut Actions) {
        if *snapshot == self.as_snapshot() || snapshot.rcv_nxt.lt(self.rcv_nxt) {
            return;
        }
        let Snapshot { rcv_nxt, rcv_adv, fin_received, snd_una, snd_nxt, snd_max } = *snapshot;
        let report = Report {
            rcv_nxt,
            rcv_adv,
            fin_received,
            snd_una,
            snd_nxt,
            snd_max,
            snd_wnd: self.snd_wnd,
            snd_wl1: self.snd_wl1,
            snd_wl2: self.snd_wl2,
            ts_recent: self.ts_recent,
            rtt_count: self.rtt_count,
            ..Report::default()
        };
        self.on_report(&report, now, actions);
    }

    /// RFC 5961 section 3.2: only a RST at exactly RCV.NXT counts.
    fn on_reset(&mut self, segment: &Segment, snapshot: Snapshot, now: Nanoseconds, actions: &mut Actions) {
        if segment.seq == snapshot.rcv_nxt {
            let then = match self.state {
                State::Closing | State::LastAck => Leaving::Closed,
                _ => Leaving::Failed(Failure::Reset),
            };
            self.end(then, actions);
        } else if segment.seq.between(snapshot.rcv_nxt, snapshot.rcv_adv) {
            self.challenge(now, actions);
        }
    }

    fn as_snapshot(&self) -> Snapshot {
        Snapshot {
            rcv_nxt: self.rcv_nxt,
            rcv_adv: self.rcv_adv,
            fin_received: self.fin_received,
            snd_una: self.snd_una,
            snd_nxt: self.snd_nxt,
            snd_max: self.snd_max,
        }
    }

    /// A challenge ACK with the engine's numbers.
    fn challenge(&mut self, now: Nanoseconds, actions: &mut Actions) {
        if self.may_challenge(now) {
            actions.push(Action::Engine(EngineCommand::AckNow));
        }
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>` from software, with the same limit.
    fn challenge_in_software(&mut self, now: Nanoseconds, actions: &mut Actions) {
        if self.may_challenge(now) {
            actions.push(Action::Transmit(self.ack_segment(now)));
        }
    }

    fn on_segment_in_time_wait(&mut self, segment: &Segment, now: Nanoseconds, actions: &mut Actions) {
        match Entry::of(self).on_segment(segment, now) {
            Answer::Absorb => {}
            Answer::Acknowledge { segment, restart } => {
                actions.push(Action::Transmit(segment));
                if restart {
                    self.deadlines.state = Some(now + self.settings.time_wait());
                }
            }
            Answer::Reopen { beyond } => actions.push(Action::Reopen(beyond)),
        }
    }

    /// The four cases of RFC 9293 section 3.10.7.4, table 6.
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let window = self.rcv_adv.offset_from(self.rcv_nxt);
        let within = |seq: SeqNumber| seq.offset_from(self.rcv_nxt) < window;
        match (segment.seg_len(), window) {
            (0, 0) => segment.seq == self.rcv_nxt,
            (0, _) => within(segment.seq),
            (_, 0) => false,
            (len, _) => within(segment.seq) || within(segment.seq + (len - 1)),
        }
    }

    /// PAWS (RFC 7323 section 5.3, R1). A segment without the option is tolerated; RST is not subject to it (section 5.2).
    fn is_old_duplicate(&self, segment: &Segment) -> bool {
        let timestamps = segment.options.timestamps().filter(|_| self.timestamps && !segment.flags.rst());
        timestamps.is_some_and(|t| SeqNumber(t.value).lt(SeqNumber(self.ts_recent)))
    }
}
