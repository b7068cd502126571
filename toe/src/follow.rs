//! Which state an endpoint is in, told from outside by the segments it sends and receives (RFC 9293 section 3.3.2).

use toe_host_lib::tcp::State;
use toe_wire::{SeqNumber, TcpFlags};

/// What matters of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) seq: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) flags: TcpFlags,
    pub(crate) len: u32,
}

/// Follows one endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follower {
    state: State,
    /// Number after its own FIN.
    fin_sent: Option<SeqNumber>,
    /// Number of the other's FIN, and all before it has been acknowledged by this end.
    fin_received: Option<SeqNumber>,
}

/// The states that a segment led through, in order.
pub(crate) type Walked = Vec<State>;

impl Follower {
    /// An endpoint that listens, or that has not been heard of.
    pub(crate) fn new(listens: bool) -> Follower {
        Follower { state: if listens { State::Listen } else { State::Closed }, fin_sent: None, fin_received: None }
    }
    fn go(&mut self, to: State, walked: &mut Walked) {
        if self.state != to {
            self.state = to;
            walked.push(to);
        }
    }

    /// It sends a segment.
    pub(crate) fn sends(&mut self, s: &Seen) -> Walked {
        let mut walked = Walked::new();
        if s.flags.rst() {
            self.go(State::Closed, &mut walked);
            return walked;
        }
        match self.state {
            State::Closed if s.flags.syn() => self.go(State::SynSent, &mut walked),
            State::Listen if s.flags.syn() => self.go(State::SynReceived, &mut walked),
            _ => {}
        }
        // It takes note of a FIN when it acknowledges it: until then data before it may be missing.
        if self.fin_received.is_some_and(|fin| s.flags.ack() && s.ack.gt(fin)) {
            let to = match self.state {
                State::Established | State::SynReceived => State::CloseWait,
                State::FinWait1 => State::Closing,
                State::FinWait2 => State::TimeWait,
                other => other,
            };
            self.go(to, &mut walked);
        }
        if s.flags.fin() && self.fin_sent.is_none() {
            self.fin_sent = Some(s.seq + s.len + 1);
            let to = match self.state {
                State::CloseWait => State::LastAck,
                State::Established | State::SynReceived => State::FinWait1,
                other => other,
            };
            self.go(to, &mut walked);
        }
        walked
    }

    /// It receives a segment.
    pub(crate) fn receives(&mut self, s: &Seen) -> Walked {
        let mut walked = Walked::new();
        if s.flags.rst() {
            self.go(State::Closed, &mut walked);
            return walked;
        }
        match self.state {
            State::SynSent if s.flags.syn() && s.flags.ack() => self.go(State::Established, &mut walked),
            State::SynReceived if s.flags.ack() && !s.flags.syn() => self.go(State::Established, &mut walked),
            _ => {}
        }
        if self.fin_sent.is_some_and(|end| s.flags.ack() && s.ack.ge(end)) {
            let to = match self.state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => State::Closed,
                other => other,
            };
            self.go(to, &mut walked);
        }
        if s.flags.fin() {
            self.fin_received = Some(s.seq + s.len);
        }
        walked
    }
}
