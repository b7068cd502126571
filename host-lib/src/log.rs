//! The life of connections, written down: every change of state, every segment that software sees, every report and command.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use toe_wire::{SeqNumber, TcpFlags};

use crate::tcp::{EngineCommand, Failure, FourTuple, Outgoing, Report, Segment, State};
use crate::time::Nanoseconds;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub at: Nanoseconds,
    /// Which connection.
    pub tuple: FourTuple,
    /// What happened.
    pub what: Happening,
}

/// What can be seen of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It went from one state into another.
    State {
        /// The old one.
        from: State,
        /// The new one.
        to: State,
        /// What brought it there.
        cause: Cause,
    },
    /// A segment made in software was sent.
    Sent(Header),
    /// A segment came to software.
    Received(Header),
    /// A segment that came to software was handed to the engine.
    Injected(Header),
    /// The flow was installed in the engine.
    Installed {
        /// Its number.
        flow: u16,
    },
    /// The engine told of the flow.
    Report(Report),
    /// The engine let go of the flow.
    Removed(Report),
    /// A command to the flow.
    Command(EngineCommand),
    /// The connection failed.
    Failed(Failure),
}

/// What brings a connection from one state into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A call of the application.
    Application,
    /// A segment.
    Segment,
    /// A report of the engine.
    Report,
    /// A timer.
    Timer,
    /// ICMP or ARP.
    Network,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Application => "application",
            Cause::Segment => "segment",
            Cause::Report => "report",
            Cause::Timer => "timer",
            Cause::Network => "network",
        })
    }
}

/// The header of a segment, as a ladder diagram shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// SEG.ACK; of no meaning without ACK.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: TcpFlags,
    /// The window field.
    pub window: u16,
    /// Payload bytes.
    pub len: u32,
}

impl From<&Segment> for Header {
    fn from(segment: &Segment) -> Header {
        Header { seq: segment.seq, ack: segment.ack, flags: segment.flags, window: segment.window, len: segment.len }
    }
}

impl From<&Outgoing> for Header {
    fn from(segment: &Outgoing) -> Header {
        Header { seq: segment.seq, ack: segment.ack, flags: segment.flags, window: segment.window, len: 0 }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<SEQ={}>", self.seq)?;
        if self.flags.ack() {
            write!(f, "<ACK={}>", self.ack)?;
        }
        write!(f, "<CTL={}>", self.flags)?;
        if self.len > 0 {
            write!(f, "<LEN={}>", self.len)?;
        }
        Ok(())
    }
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.at, self.tuple)?;
        match &self.what {
            Happening::State { from, to, cause } => write!(f, "{from} -> {to} ({cause})"),
            Happening::Sent(header) => write!(f, "sent {header}"),
            Happening::Received(header) => write!(f, "received {header}"),
            Happening::Injected(header) => write!(f, "injected {header}"),
            Happening::Installed { flow } => write!(f, "installed as flow {flow}"),
            Happening::Report(report) => write!(f, "reported {}", Values(report)),
            Happening::Removed(report) => write!(f, "removed {}", Values(report)),
            Happening::Command(command) => write!(f, "command {command:?}"),
            Happening::Failed(failure) => write!(f, "failed: {failure}"),
        }
    }
}

struct Values<'a>(&'a Report);

impl fmt::Display for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        let fin = if r.fin_received { " FIN" } else { "" };
        write!(f, "RCV.NXT={}{fin} SND.UNA={} SND.NXT={} SND.MAX={} SND.WND={}", r.rcv_nxt, r.snd_una, r.snd_nxt, r.snd_max, r.snd_wnd)?;
        if r.dup_acks > 0 {
            write!(f, " {} duplicate ACKs", r.dup_acks)?;
        }
        if r.ranges > 0 {
            write!(f, " {} ranges", r.ranges)?;
        }
        Ok(())
    }
}

/// The log itself: the latest entries of a stack. Clones share it.
#[derive(Clone)]
pub struct LifeLog {
    shared: Arc<Mutex<Entries>>,
}

struct Entries {
    entries: VecDeque<LogEntry>,
    /// Entries that are no longer kept.
    forgotten: u64,
    capacity: usize,
}

impl LifeLog {
    pub(crate) fn new(capacity: usize) -> LifeLog {
        LifeLog { shared: Arc::new(Mutex::new(Entries { entries: VecDeque::new(), forgotten: 0, capacity })) }
    }

    pub(crate) fn push(&self, at: Nanoseconds, tuple: FourTuple, what: Happening) {
        let mut log = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if log.capacity == 0 {
            return;
        }
        if log.entries.len() == log.capacity {
            log.entries.pop_front();
            log.forgotten += 1;
        }
        log.entries.push_back(LogEntry { at, tuple, what });
    }

    /// Entries from number `first` on (the first ever has number 0), and the number to go on from. What is no longer kept is left out.
    pub fn since(&self, first: u64) -> (Vec<LogEntry>, u64) {
        let log = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = usize::try_from(first.saturating_sub(log.forgotten)).unwrap_or(usize::MAX);
        let entries = log.entries.iter().skip(skip).cloned().collect();
        (entries, log.forgotten + log.entries.len() as u64)
    }

    /// All that is kept.
    pub fn entries(&self) -> Vec<LogEntry> {
        self.since(0).0
    }

    /// The states a connection went through, in order.
    pub fn states(&self, tuple: FourTuple) -> Vec<State> {
        let of = |entry: LogEntry| match entry.what {
            Happening::State { to, .. } if entry.tuple == tuple => Some(to),
            _ => None,
        };
        self.entries().into_iter().filter_map(of).collect()
    }
}
