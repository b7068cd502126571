//! From a connection's actions to the device and the socket.

use std::sync::Arc;

use toe_contract::command::{self, Command, Opcode};
use toe_driver::NicError;
use toe_wire::{build_tcp_frame, EtherType, EthernetRepr, IpProtocol, Ipv4Repr, MacAddr, TcpSegment};

use super::connections::{Connection, ConnectionId, Link};
use super::raw::Arrival;
use super::{Stack, REMOVAL_DEADLINE};
use crate::log::{Cause, Happening};
use crate::socket::shared::{Socket, Values};
use crate::tcp::time_wait::Entry;
use crate::tcp::{step, Action, Actions, ControlBlock, EngineCommand, Event, FourTuple, Outgoing, Path, State};

/// Frames kept for a connection while it waits; a peer sends what is lost again.
const HELD: usize = 32;

/// What is left to do with a connection after its actions.
enum After {
    Keep,
    Forget,
}

impl Stack {
    /// Lets an event happen to a connection, and does what follows. `arrival` is the frame it came with.
    pub(super) fn process(&mut self, id: ConnectionId, event: Event, arrival: Option<&Arrival<'_>>) -> Result<(), NicError> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let (cause, is_report) = (cause(&event), matches!(event, Event::Report(_)));
        let before = connection.block.state;
        let (block, actions) = step(connection.block.clone(), event, self.now);
        let after = block.state;
        connection.block = block;
        self.connections.moved(before, after);
        self.perform(id, before, cause, actions, is_report, arrival)
    }

    /// Does what a step has asked for.
    pub(super) fn perform(
        &mut self,
        id: ConnectionId,
        before: State,
        cause: Cause,
        actions: Actions,
        rearm: bool,
        arrival: Option<&Arrival<'_>>,
    ) -> Result<(), NicError> {
        // First what was received, then what became of the connection: an application reads all bytes before it meets an error (S03).
        self.publish(id)?;
        let mut state = before;
        let mut after = After::Keep;
        for action in actions {
            match action {
                Action::Enter(to) => {
                    self.entered(id, state, to, cause);
                    state = to;
                }
                Action::Delete => after = After::Forget,
                Action::TimeWait => {
                    self.begin_time_wait(id);
                    after = After::Forget;
                }
                action => self.perform_one(id, action, arrival)?,
            }
        }
        self.submit_batch(id, rearm)?;
        match after {
            After::Keep => self.queue_timer(id),
            After::Forget => self.forget(id),
        }
        Ok(())
    }

    fn entered(&mut self, id: ConnectionId, from: State, to: State, cause: Cause) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.entered_at = now;
        let tuple = connection.block.tuple;
        tracing::debug!(%tuple, %from, %to, %cause, "state");
        self.log.push(now, tuple, Happening::State { from, to, cause });
    }

    fn perform_one(&mut self, id: ConnectionId, action: Action, arrival: Option<&Arrival<'_>>) -> Result<(), NicError> {
        match action {
            Action::Transmit(segment) => self.transmit(id, &segment),
            Action::Install => self.install(id),
            Action::Engine(command) => {
                self.queue_command(id, command);
                Ok(())
            }
            Action::Inject => match arrival {
                Some(arrival) => self.inject(id, arrival),
                None => Ok(()),
            },
            Action::Hold => {
                self.hold(id, arrival);
                Ok(())
            }
            Action::Suspect => self.confirm_neighbour(id),
            Action::Fail(failure) => {
                self.note(id, || Happening::Failed(failure));
                self.with_socket(id, |values| values.failure = Some(failure));
                Ok(())
            }
            Action::SoftError => {
                self.with_socket(id, |values| values.soft_error = true);
                Ok(())
            }
            // A SYN in TIME_WAIT is the business of the table of those that wait (`raw.rs`); no control block gets that far here.
            Action::Reopen(_) | Action::Enter(_) | Action::Delete | Action::TimeWait => Ok(()),
        }
    }

    fn with_socket(&mut self, id: ConnectionId, change: impl FnOnce(&mut Values)) {
        if let Some(socket) = self.connections.get(id).and_then(|connection| connection.socket.as_ref()) {
            socket.update(change);
        }
    }

    /// Sends a segment made in software.
    fn transmit(&mut self, id: ConnectionId, segment: &Outgoing) -> Result<(), NicError> {
        let Some(connection) = self.connections.get(id) else { return Ok(()) };
        let (tuple, link) = (connection.block.tuple, connection.link);
        self.transmit_to(tuple, link, segment)
    }

    /// Sends a segment to a known next hop, or to the one that ARP finds.
    pub(super) fn transmit_to(&mut self, tuple: FourTuple, link: Option<Link>, segment: &Outgoing) -> Result<(), NicError> {
        self.log.push(self.now, tuple, Happening::Sent(segment.into()));
        self.counts.segments_sent += 1;
        let to = link.unwrap_or(Link { mac: MacAddr::ZERO, vlan: self.config.vlan });
        let Some(frame) = self.build(tuple, to, &outgoing(tuple, segment)) else { return Ok(()) };
        if link.is_some() {
            return self.nic.send_frame(&frame, None);
        }
        let Some(next_hop) = self.config.next_hop(*tuple.remote.ip()) else { return Ok(()) };
        let outputs = self.arp.send(next_hop, frame, self.now);
        self.on_arp_outputs(outputs)
    }

    fn build(&self, tuple: FourTuple, to: Link, segment: &TcpSegment<'_>) -> Option<Vec<u8>> {
        let eth = EthernetRepr { vlan: to.vlan, ..EthernetRepr::new(to.mac, self.mac, EtherType::IPV4) };
        let ip = Ipv4Repr::new(*tuple.local.ip(), *tuple.remote.ip(), IpProtocol::TCP);
        build_tcp_frame(&eth, &ip, segment).ok()
    }

    /// Hands a connection to the engine: address, rings, receive side, send side (`docs/engine.md`, "COMMAND").
    fn install(&mut self, id: ConnectionId) -> Result<(), NicError> {
        if !self.provide(id) {
            return self.process(id, Event::InstallRefused, None);
        }
        let (now, nic_link) = (self.now, self.neighbour(id));
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        connection.link = connection.link.or(nic_link);
        connection.quiet = connection.block.passive.then_some(connection.block.rcv_nxt);
        let (Some(flow), Some(rings), Some(link)) = (connection.flow, connection.rings.clone(), connection.link) else {
            return self.process(id, Event::InstallRefused, None);
        };
        for command in installation(flow, &connection.block, &rings.place(), link) {
            self.nic.submit(command)?;
        }
        let block = &connection.block;
        let (state, tuple, queued, una, consumed, received) = (block.state, block.tuple, block.queued, block.data_una(), block.consumed, block.data_end());
        let socket = connection.socket.get_or_insert_with(Socket::new).clone();
        let is_new = connection.block.passive;
        socket.connection.store(id.to_u64(), std::sync::atomic::Ordering::Release);
        // All at once: a connected socket that still said CLOSED would be at its end before its first byte.
        socket.update(|values| {
            values.connected = true;
            values.state = state;
            values.tuple = Some(tuple);
            values.rings = Some(rings);
            values.queued = queued;
            values.una = una;
            values.consumed = consumed;
            values.received = received;
        });
        self.log.push(now, tuple, Happening::Installed { flow });
        self.counts.installed += 1;
        if is_new {
            self.offer_to_listener(tuple.local.port(), socket);
        }
        Ok(())
    }

    /// The next hop as ARP knows it.
    fn neighbour(&self, id: ConnectionId) -> Option<Link> {
        let remote = *self.connections.get(id)?.block.tuple.remote.ip();
        let mac = self.arp.lookup(self.config.next_hop(remote)?, self.now)?;
        Some(Link { mac, vlan: self.config.vlan })
    }

    /// Sees to it that a connection has a flow number and rings.
    pub(super) fn provide(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        if connection.flow.is_none() {
            let Some(flow) = self.free_flows.pop_front() else { return false };
            connection.flow = Some(flow);
            self.flows[usize::from(flow)] = Some(id);
        }
        if connection.rings.is_none() {
            match self.pool.take(&self.nic) {
                Ok(rings) => connection.rings = Some(Arc::new(rings)),
                Err(error) => {
                    tracing::warn!(%error, "no memory for a connection's rings");
                    return false;
                }
            }
        }
        true
    }

    fn queue_command(&mut self, id: ConnectionId, engine_command: EngineCommand) {
        let Some(flow) = self.connections.get(id).and_then(|connection| connection.flow) else { return };
        self.note(id, || Happening::Command(engine_command));
        if engine_command == EngineCommand::Remove {
            self.removals.push_back((self.now + REMOVAL_DEADLINE, id));
        }
        let of = |opcode, flags| Command::new(opcode, flow, flags);
        self.batch.push(match engine_command {
            EngineCommand::Send { limit, fin } => of(Opcode::Send, if fin { command::FIN } else { 0 }).with(command::SEND_LIMIT, limit.0.into()),
            EngineCommand::Consumed(to) => of(Opcode::Consumed, 0).with(command::CONSUMED_RCV_CONSUMED, to.0.into()),
            EngineCommand::Cwnd(bytes) => of(Opcode::Cwnd, 0).with(command::CWND_CWND, bytes.into()),
            EngineCommand::ResendFrom(from) => of(Opcode::Resend, 0).with(command::RESEND_FROM, from.0.into()),
            EngineCommand::ResendOne(from) => of(Opcode::Resend, command::RESEND_ONE).with(command::RESEND_FROM, from.0.into()),
            EngineCommand::AckNow => of(Opcode::AckNow, 0),
            EngineCommand::Remove => of(Opcode::Remove, 0),
        });
    }

    /// Submits the commands of a step. After a report the flow is armed again: by a flag on a command that is never refused (a RESEND
    /// may be, and its flag with it), or by a command for nothing else.
    fn submit_batch(&mut self, id: ConnectionId, rearm: bool) -> Result<(), NicError> {
        let armed = self.connections.get(id).filter(|connection| rearm && connection.block.path == Path::Engine);
        if armed.is_some_and(|connection| connection.quiet.is_some()) {
            self.put_off_rearming(id);
        } else if let Some(flow) = armed.and_then(|connection| connection.flow) {
            match self.batch.iter_mut().rev().find(|command| command.opcode() != Some(Opcode::Resend)) {
                Some(command) => command.0[0] |= u32::from(command::REARM) << 8,
                None => self.batch.push(Command::new(Opcode::Rearm, flow, command::REARM)),
            }
        }
        for command in self.batch.drain(..) {
            self.nic.submit(command)?;
        }
        Ok(())
    }

    /// Gives a frame to the engine as if it had just come, behind the commands so far.
    fn inject(&mut self, id: ConnectionId, arrival: &Arrival<'_>) -> Result<(), NicError> {
        self.submit_batch(id, false)?;
        self.await_injected(id, &arrival.segment);
        self.note(id, || Happening::Injected((&arrival.segment).into()));
        self.counts.injected += 1;
        let longest = self.nic.max_frame() as usize;
        for frame in arrival.frames(longest) {
            self.nic.inject(&frame)?;
        }
        Ok(())
    }

    /// Keeps a frame until the connection's wait is over.
    pub(super) fn hold(&mut self, id: ConnectionId, arrival: Option<&Arrival<'_>>) {
        let longest = self.nic.max_frame() as usize;
        if let (Some(connection), Some(arrival)) = (self.connections.get_mut(id), arrival) {
            if connection.held.len() < HELD {
                connection.held.extend(arrival.frames(longest));
            }
        }
    }

    fn confirm_neighbour(&mut self, id: ConnectionId) -> Result<(), NicError> {
        let next_hop = self.connections.get(id).and_then(|connection| self.config.next_hop(*connection.block.tuple.remote.ip()));
        match next_hop {
            Some(ip) => self.on_arp_outputs(vec![self.arp.confirm(ip)]),
            None => Ok(()),
        }
    }

    fn begin_time_wait(&mut self, id: ConnectionId) {
        let Some(Connection { block, .. }) = self.connections.get(id) else { return };
        let until = block.deadlines.state.unwrap_or(self.now);
        self.time_wait.insert(block.tuple, Entry::of(block), until);
    }

    /// Writes a connection's values into its socket, if they have changed.
    fn publish(&mut self, id: ConnectionId) -> Result<(), NicError> {
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let block = &connection.block;
        let values = (block.state, block.data_end(), block.fin_received, block.data_una());
        if connection.published == Some(values) {
            return Ok(());
        }
        connection.published = Some(values);
        let unread = connection.read_shut && block.consumed != block.data_end();
        if let Some(socket) = connection.socket.clone() {
            let (state, received, end_of_stream, una) = values;
            socket.update(|values| {
                values.state = state;
                if values.connected {
                    (values.received, values.end_of_stream, values.una) = (received, end_of_stream, una);
                }
            });
        }
        // shutdown(Read): what comes is thrown away, and the peer's window stays open
        if unread {
            let end = values.1;
            return self.process(id, Event::Consumed(end), None);
        }
        Ok(())
    }

    /// A connection is over, or lives on in TIME_WAIT: everything it held goes back.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(id) else { return };
        if let Some(socket) = &connection.socket {
            socket.update(|values| values.over = true);
        }
        if let Some(flow) = connection.flow {
            self.free_flow(flow);
        }
        self.again.extend(connection.held);
        self.counts.forgotten += 1;
    }
}

fn cause(event: &Event) -> Cause {
    match event {
        Event::Segment(_) => Cause::Segment,
        Event::Report(_) | Event::Removed(_) | Event::InstallRefused => Cause::Report,
        Event::RetransmitTimeout | Event::StateTimeout => Cause::Timer,
        Event::Unreachable(_) => Cause::Network,
        _ => Cause::Application,
    }
}

fn outgoing(tuple: FourTuple, segment: &Outgoing) -> TcpSegment<'static> {
    TcpSegment {
        src_port: tuple.local.port(),
        dst_port: tuple.remote.port(),
        seq: segment.seq,
        ack: segment.ack,
        flags: segment.flags,
        window: segment.window,
        urgent: 0,
        options: segment.options,
        payload: &[],
    }
}

/// The four commands that install a flow.
fn installation(flow: u16, block: &ControlBlock, place: &super::rings::RingPlace, link: Link) -> [Command; 4] {
    let [a, b, c, d, e, f] = link.mac.0;
    let mac = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    let settings = &block.settings;
    let (local, remote) = (block.tuple.local, block.tuple.remote);
    let timestamps = if block.timestamps { command::RINGS_TIMESTAMPS } else { 0 };
    let fin = if block.fin_offered { command::FIN } else { 0 };
    let quiet = if block.passive { command::QUIET } else { 0 };
    let of = |opcode, flags| Command::new(opcode, flow, flags);
    [
        of(Opcode::Address, if link.vlan.is_some() { command::ADDRESS_VLAN } else { 0 })
            .with(command::ADDRESS_REMOTE_MAC, mac)
            .with(command::ADDRESS_VLAN_TCI, link.vlan.map_or(0, |tag| tag.0).into())
            .with(command::ADDRESS_LOCAL_IP, u32::from(*local.ip()).into())
            .with(command::ADDRESS_REMOTE_IP, u32::from(*remote.ip()).into())
            .with(command::ADDRESS_LOCAL_PORT, local.port().into())
            .with(command::ADDRESS_REMOTE_PORT, remote.port().into()),
        // Nagle's algorithm is done by the connection, which can turn it off: see `ControlBlock::offer`.
        of(Opcode::Rings, timestamps | command::RINGS_NODELAY)
            .with(command::RINGS_RECEIVE_BASE, place.receive_base)
            .with(command::RINGS_SEND_BASE, place.send_base)
            .with(command::RINGS_RECEIVE_LOG2, settings.receive_log2.into())
            .with(command::RINGS_SEND_LOG2, settings.send_log2.into())
            .with(command::RINGS_SND_WSCALE, block.snd_wscale.into())
            .with(command::RINGS_RCV_WSCALE, block.rcv_wscale.into())
            .with(command::RINGS_SND_MSS, block.snd_mss.into())
            .with(command::RINGS_RCV_MSS, block.rcv_mss.into())
            .with(command::RINGS_TS_OFFSET, block.ts_offset.into()),
        of(Opcode::Receive, 0)
            .with(command::RECEIVE_RCV_NXT, block.rcv_nxt.0.into())
            .with(command::RECEIVE_RCV_ADV, block.rcv_adv.0.into())
            .with(command::RECEIVE_RCV_CONSUMED, block.consumed.0.into())
            .with(command::RECEIVE_TS_RECENT, block.ts_recent.into()),
        of(Opcode::Install, fin | quiet)
            .with(command::INSTALL_SND_UNA, block.snd_una.0.into())
            .with(command::INSTALL_SND_NXT, block.snd_nxt.0.into())
            .with(command::INSTALL_LIMIT, block.limit.0.into())
            .with(command::INSTALL_SND_WND, block.snd_wnd.into())
            .with(command::INSTALL_SND_WL1, block.snd_wl1.0.into())
            .with(command::INSTALL_SND_WL2, block.snd_wl2.0.into())
            .with(command::INSTALL_CWND, block.congestion.window().into()),
    ]
}
