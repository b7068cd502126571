//! What an `ss` shows, and the accounts that prove that nothing is lost.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::connections::Connection;
use super::Stack;
use crate::tcp::{FourTuple, State};
use crate::time::Nanoseconds;

/// A socket as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    /// Its state.
    pub state: State,
    /// Addresses and ports; the remote of a listener is unspecified.
    pub tuple: FourTuple,
    /// Bytes received and not read; of a listener, connections that wait for `accept`.
    pub receive_queue: usize,
    /// Bytes written and not acknowledged; of a listener, its backlog.
    pub send_queue: usize,
    /// How long it has been there.
    pub age: Nanoseconds,
    /// How long it has been in this state.
    pub in_state: Nanoseconds,
    /// When the retransmission timer runs out.
    pub retransmit_in: Option<Nanoseconds>,
    /// When the state ends by itself.
    pub state_ends_in: Option<Nanoseconds>,
    /// Retransmissions of the same data so far.
    pub retries: u32,
    /// Smoothed round-trip time.
    pub srtt: Option<Nanoseconds>,
    /// Retransmission time-out.
    pub rto: Option<Nanoseconds>,
    /// Congestion window in bytes.
    pub cwnd: Option<u32>,
    /// The engine's flow.
    pub flow: Option<u16>,
    /// The application has no handle any more.
    pub orphan: bool,
}

/// Counts of a stack. Those of the first group are of now, the others since it began.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Sockets by state, in the order of [`State::ALL`].
    pub by_state: [usize; State::ALL.len()],
    /// Flow numbers in use.
    pub flows_used: usize,
    /// Flow numbers there are.
    pub flows: usize,
    /// Pairs of rings in use.
    pub rings_used: usize,
    /// Pairs of rings there are.
    pub rings: usize,
    /// Bytes of DMA memory in use, rings of the driver included.
    pub dma_bytes: u64,
    /// Connections that wait for a flow number.
    pub waiting_for_flow: usize,
    /// Entries of the timer queue, those that have become meaningless included.
    pub timers: usize,
    /// Neighbours known or asked for.
    pub neighbours: usize,
    /// Datagrams of which fragments are missing.
    pub fragments: usize,
    /// Frames the engine handed up.
    pub raw_frames: u64,
    /// Segments made in software.
    pub segments_sent: u64,
    /// RST that answered segments of no connection.
    pub resets_sent: u64,
    /// Frames handed back to the engine.
    pub injected: u64,
    /// Flows installed.
    pub installed: u64,
    /// Connections that a listener got.
    pub accepted: u64,
    /// Connections that ended.
    pub forgotten: u64,
    /// SYN dropped because of a full backlog.
    pub syns_dropped: u64,
    /// Handshakes put off because nobody accepted, or no flow number was free.
    pub accepts_delayed: u64,
    /// Commands the engine refused; a RESEND that came too late is among them.
    pub refused_commands: u64,
    /// Frames of unknown protocols.
    pub unknown_frames: u64,
}

impl Statistics {
    /// Sockets in a state.
    pub fn in_state(&self, state: State) -> usize {
        self.by_state[state.index()]
    }
}

/// The counts that only grow.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) raw_frames: u64,
    pub(super) segments_sent: u64,
    pub(super) resets_sent: u64,
    pub(super) injected: u64,
    pub(super) installed: u64,
    pub(super) accepted: u64,
    pub(super) forgotten: u64,
    pub(super) syns_dropped: u64,
    pub(super) accepts_delayed: u64,
    pub(super) refused_commands: u64,
    pub(super) unknown_frames: u64,
}

impl Stack {
    /// Counts.
    pub fn statistics(&self) -> Statistics {
        let mut by_state = self.connections.by_state();
        by_state[State::Listen.index()] += self.listeners.len();
        by_state[State::TimeWait.index()] += self.time_wait.len();
        let (rings_used, rings) = self.pool.count();
        let c = self.counts;
        Statistics {
            by_state,
            flows_used: self.flows.len() - self.free_flows.len(),
            flows: self.flows.len(),
            rings_used,
            rings,
            dma_bytes: self.nic.dma().used(),
            waiting_for_flow: self.wanting_flow.len(),
            timers: self.timers.len(),
            neighbours: self.arp.len(),
            fragments: self.fragments.len(),
            raw_frames: c.raw_frames,
            segments_sent: c.segments_sent,
            resets_sent: c.resets_sent,
            injected: c.injected,
            installed: c.installed,
            accepted: c.accepted,
            forgotten: c.forgotten,
            syns_dropped: c.syns_dropped,
            accepts_delayed: c.accepts_delayed,
            refused_commands: c.refused_commands,
            unknown_frames: c.unknown_frames,
        }
    }

    /// Every socket: listeners, connections, those in TIME_WAIT.
    pub fn sockets(&self) -> Vec<SocketInfo> {
        let listeners = self.listeners.iter().map(|(port, listener)| {
            let (waiting, backlog) = (listener.queue.lock().sockets.len(), listener.backlog);
            let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
            let tuple = FourTuple { local: SocketAddrV4::new(self.config.address, *port), remote: nobody };
            let age = self.now - listener.since;
            SocketInfo { receive_queue: waiting, send_queue: backlog, age, in_state: age, ..bare(State::Listen, tuple) }
        });
        let connections = self.connections.iter().map(|connection| info(connection, self.now));
        let waiting = self.time_wait.iter().map(|(tuple, expires)| {
            let left = expires - self.now;
            let age = self.settings.time_wait() - left;
            SocketInfo { age, in_state: age, state_ends_in: Some(left), orphan: true, ..bare(State::TimeWait, tuple) }
        });
        let mut all: Vec<SocketInfo> = listeners.chain(connections).chain(waiting).collect();
        all.sort_by_key(|socket| (socket.state, socket.tuple));
        all
    }
}

fn bare(state: State, tuple: FourTuple) -> SocketInfo {
    SocketInfo {
        state,
        tuple,
        receive_queue: 0,
        send_queue: 0,
        age: Nanoseconds(0),
        in_state: Nanoseconds(0),
        retransmit_in: None,
        state_ends_in: None,
        retries: 0,
        srtt: None,
        rto: None,
        cwnd: None,
        flow: None,
        orphan: false,
    }
}

fn info(connection: &Connection, now: Nanoseconds) -> SocketInfo {
    let block = &connection.block;
    let open = block.state.is_synchronised();
    let bytes = |count: u32| if open { count as usize } else { 0 };
    SocketInfo {
        receive_queue: bytes(block.data_end().offset_from(block.consumed)),
        send_queue: bytes(block.queued.offset_from(block.data_una())),
        age: now - connection.created_at,
        in_state: now - connection.entered_at,
        retransmit_in: block.deadlines.retransmit.map(|at| at - now),
        state_ends_in: block.deadlines.state.map(|at| at - now),
        retries: block.retries.count,
        srtt: block.rtt.srtt(),
        rto: Some(block.rtt.rto(&block.settings)),
        cwnd: Some(block.congestion.window()),
        flow: connection.flow,
        orphan: block.orphan,
        ..bare(block.state, block.tuple)
    }
}
