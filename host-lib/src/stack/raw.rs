//! Frames that the engine has left to us.

use std::net::Ipv4Addr;

use toe_driver::{FlowReport, NicError};
use toe_wire::{
    build_ipv4_frame, build_tcp_frame, unreachable, ArpPacket, EtherType, EthernetFrame, EthernetRepr, Fragment, IcmpPacket, IcmpRepr, IpProtocol, Ipv4Packet,
    Ipv4Repr, SeqNumber, TcpFlags, TcpSegment,
};

use super::connections::{ConnectionId, Link};
use super::{plausible, Stack};
use crate::log::{Cause, Happening};
use crate::slow_path::icmp::read_error;
use crate::tcp::time_wait::Answer;
use crate::tcp::{reset_for, step, Action, ControlBlock, Event, FourTuple, Outgoing, Path, Segment, Snapshot, State, Unreachable};

/// Bytes of an Ethernet header with an 802.1Q tag; the MTU is MAX_FRAME less these.
const LONGEST_ETHERNET_HEADER: usize = 18;

/// Bytes of a datagram that an ICMP error quotes beyond the header (RFC 792).
const QUOTED: usize = 8;

/// A TCP segment that has come up, and the way back to its sender.
pub(super) struct Arrival<'a> {
    pub(super) tuple: FourTuple,
    pub(super) segment: Segment,
    link: Link,
    eth: EthernetRepr,
    tcp: TcpSegment<'a>,
    /// The frame as it came; `None` if it was put together from fragments or had IPv4 options.
    original: Option<&'a [u8]>,
}

impl Arrival<'_> {
    /// The segment as frames that the engine takes: without URG, without IPv4 options, none longer than `longest`.
    pub(super) fn frames(&self, longest: usize) -> Vec<Vec<u8>> {
        if let Some(original) = self.original.filter(|frame| !self.tcp.flags.urg() && frame.len() <= longest) {
            return vec![original.to_vec()];
        }
        let room = longest.saturating_sub(self.eth.header_len() + Ipv4Repr::HEADER_LEN + self.tcp.wire_len() - self.tcp.payload.len()).max(1);
        let ip = Ipv4Repr::new(*self.tuple.remote.ip(), *self.tuple.local.ip(), IpProtocol::TCP);
        let pieces = self.tcp.payload.chunks(room).count().max(1);
        let piece = |k: usize| {
            let start = k * room;
            let end = (start + room).min(self.tcp.payload.len());
            let cut = if k + 1 == pieces { TcpFlags::URG } else { TcpFlags::URG | TcpFlags::FIN | TcpFlags::PSH };
            let seq = self.tcp.seq + u32::try_from(start).unwrap_or(u32::MAX);
            let segment = TcpSegment { seq, flags: self.tcp.flags.without(cut), urgent: 0, payload: &self.tcp.payload[start..end], ..self.tcp };
            build_tcp_frame(&self.eth, &ip, &segment).ok()
        };
        (0..pieces).filter_map(piece).collect()
    }
}

impl Stack {
    /// A frame, with the flow's values if the engine has one for it.
    pub(super) fn on_frame(&mut self, frame: &[u8], snapshot: Option<&FlowReport>) -> Result<(), NicError> {
        let Ok(eth) = EthernetFrame::parse(frame) else { return Ok(()) };
        match eth.ether_type() {
            EtherType::ARP => match ArpPacket::parse(eth.payload()) {
                Ok(packet) => {
                    let outputs = self.arp.on_packet(&packet.repr(), self.now);
                    self.on_arp_outputs(outputs)
                }
                Err(_) => Ok(()),
            },
            EtherType::IPV4 => self.on_ipv4(frame, &eth.repr(), eth.payload(), snapshot),
            _ => {
                self.counts.unknown_frames += 1;
                Ok(())
            }
        }
    }

    fn on_ipv4(&mut self, frame: &[u8], eth: &EthernetRepr, bytes: &[u8], snapshot: Option<&FlowReport>) -> Result<(), NicError> {
        let Ok(packet) = Ipv4Packet::parse(bytes) else { return Ok(()) };
        // RFC 9293 MUST-57, MUST-63; RFC 1122 section 3.2.1.3
        if !packet.checksum_ok() || packet.dst() != self.config.address || !self.config.is_unicast(packet.src()) || eth.dst.is_multicast() {
            return Ok(());
        }
        if packet.fragment().is_whole() {
            let original = packet.options().is_empty().then_some(frame);
            return self.on_datagram(original, eth, &packet.repr(), packet.payload(), snapshot);
        }
        match self.fragments.on_fragment(&packet, self.now) {
            Some(datagram) => self.on_datagram(None, eth, &datagram.header, &datagram.payload, None),
            None => Ok(()),
        }
    }

    fn on_datagram(
        &mut self,
        original: Option<&[u8]>,
        eth: &EthernetRepr,
        ip: &Ipv4Repr,
        payload: &[u8],
        snapshot: Option<&FlowReport>,
    ) -> Result<(), NicError> {
        match ip.protocol {
            IpProtocol::TCP => {
                let Ok(tcp) = TcpSegment::parse(payload, ip.src, ip.dst) else { return Ok(()) };
                let tuple = FourTuple::new(ip.dst, tcp.dst_port, ip.src, tcp.src_port);
                let link = Link { mac: eth.src, vlan: eth.vlan };
                let snapshot = match snapshot {
                    Some(snapshot) => self.checked(tuple, snapshot)?,
                    None => None,
                };
                let snapshot = snapshot.map(|s| Snapshot {
                    rcv_nxt: SeqNumber(s.rcv_nxt),
                    rcv_adv: SeqNumber(s.rcv_adv),
                    fin_received: s.fin_received,
                    snd_una: SeqNumber(s.snd_una),
                    snd_nxt: SeqNumber(s.snd_nxt),
                    snd_max: SeqNumber(s.snd_max),
                });
                let segment = Segment::new(&tcp, snapshot);
                self.on_segment(&Arrival { tuple, segment, link, eth: *eth, tcp, original })
            }
            IpProtocol::ICMP => self.on_icmp(eth, ip, payload),
            // RFC 1122 section 3.2.2.1
            IpProtocol::UDP => self.send_unreachable(eth, ip, payload, unreachable::PORT),
            _ => self.send_unreachable(eth, ip, payload, unreachable::PROTOCOL),
        }
    }

    /// A snapshot, if its flow number still means this connection: a frame may lie in the ring while the number changes hands.
    fn checked<'a>(&self, tuple: FourTuple, snapshot: &'a FlowReport) -> Result<Option<&'a FlowReport>, NicError> {
        let connection = self.connections.find(tuple).and_then(|id| self.connections.get(id));
        match connection.filter(|connection| connection.flow == Some(snapshot.flow) && connection.block.path != Path::Software) {
            Some(connection) => plausible::snapshot(&connection.block, snapshot).map(|()| Some(snapshot)),
            None => Ok(None),
        }
    }

    /// SEGMENT ARRIVES: to the connection of its tuple, to one in TIME_WAIT, to a listener, or to nobody (S25, S29).
    fn on_segment(&mut self, arrival: &Arrival<'_>) -> Result<(), NicError> {
        let (tuple, segment) = (arrival.tuple, &arrival.segment);
        self.log.push(self.now, tuple, Happening::Received(segment.into()));
        if let Some(id) = self.connections.find(tuple) {
            if !self.may_establish(id, arrival) {
                return Ok(());
            }
            return self.process(id, Event::Segment(*segment), Some(arrival));
        }
        let beyond = match self.time_wait.on_segment(tuple, segment, self.now) {
            Some(Answer::Absorb) => return Ok(()),
            Some(Answer::Acknowledge { segment, .. }) => return self.transmit_to(tuple, Some(arrival.link), &segment),
            Some(Answer::Reopen { beyond }) => {
                self.log.push(self.now, tuple, Happening::State { from: State::TimeWait, to: State::Closed, cause: Cause::Segment });
                Some(beyond)
            }
            None => None,
        };
        if self.listens(tuple.local.port()) {
            return self.on_segment_for_listener(arrival, beyond);
        }
        match reset_for(segment) {
            Some(reset) => self.send_reset(tuple, arrival.link, &reset),
            None => Ok(()),
        }
    }

    /// Answers a segment of no connection, within limits.
    fn send_reset(&mut self, tuple: FourTuple, link: Link, reset: &Outgoing) -> Result<(), NicError> {
        if !self.reset_limit.take(self.now) {
            return Ok(());
        }
        self.counts.resets_sent += 1;
        self.transmit_to(tuple, Some(link), reset)
    }

    /// A segment for a port on which somebody listens: a SYN begins a connection of its own (S24).
    fn on_segment_for_listener(&mut self, arrival: &Arrival<'_>, beyond: Option<SeqNumber>) -> Result<(), NicError> {
        let (tuple, now) = (arrival.tuple, self.now);
        let flags = arrival.segment.flags;
        let is_open = flags.syn() && !flags.ack() && !flags.rst();
        if is_open && !self.has_room_for_syn(tuple.local.port()) {
            self.counts.syns_dropped += 1;
            return Ok(());
        }
        let isn = self.secret.isn(tuple, now);
        // RFC 9293 section 3.6.1, MAY-2: beyond anything the connection in TIME_WAIT has sent
        let iss = beyond.filter(|beyond| isn.le(*beyond + 1)).map_or(isn, |beyond| beyond + 0x1_0000);
        let block = ControlBlock::new(self.settings.clone(), tuple, iss, self.secret.timestamp_offset(tuple));
        let (block, _) = step(block, Event::Listen, now);
        let (block, actions) = step(block, Event::Segment(arrival.segment), now);
        if block.state == State::SynReceived {
            let id = self.connections.insert(block, now);
            if let Some(connection) = self.connections.get_mut(id) {
                connection.link = Some(arrival.link);
            }
            return self.perform(id, State::Listen, Cause::Segment, actions, false, Some(arrival));
        }
        for action in actions {
            if let Action::Transmit(reset) = action {
                self.send_reset(tuple, arrival.link, &reset)?;
            }
        }
        Ok(())
    }

    /// A segment that would end a handshake passively begun is held back while there is no room: dropped if too many wait for `accept`
    /// (the peer sends it again), kept if it is only the engine that is full.
    fn may_establish(&mut self, id: ConnectionId, arrival: &Arrival<'_>) -> bool {
        let flags = arrival.segment.flags;
        let Some(connection) = self.connections.get(id) else { return false };
        let ends_handshake = connection.block.state == State::SynReceived && flags.ack() && !flags.rst() && !flags.syn();
        if !ends_handshake || !connection.block.passive {
            return true;
        }
        if !self.has_room_to_accept(arrival.tuple.local.port()) {
            self.counts.accepts_delayed += 1;
            return false;
        }
        if self.provide(id) {
            return true;
        }
        self.counts.accepts_delayed += 1;
        self.hold(id, Some(arrival));
        if let Some(connection) = self.connections.get_mut(id).filter(|connection| !connection.wants_flow) {
            connection.wants_flow = true;
            self.wanting_flow.push_back(id);
        }
        false
    }

    fn on_icmp(&mut self, eth: &EthernetRepr, ip: &Ipv4Repr, payload: &[u8]) -> Result<(), NicError> {
        let Ok(message) = IcmpPacket::parse(payload) else { return Ok(()) };
        if !message.checksum_ok() {
            return Ok(());
        }
        if let Some(reply) = message.repr().ok().and_then(|repr| repr.echo_reply()) {
            return self.send_icmp(eth, ip.src, ip.dscp_ecn, &reply);
        }
        let Some(error) = read_error(&message, self.config.address) else { return Ok(()) };
        let Some(id) = self.connections.find(error.tuple) else { return Ok(()) };
        let Some(connection) = self.connections.get(id) else { return Ok(()) };
        // RFC 5927 section 4.1: only about what is on its way. What the engine has sent since it last told is within `send_end`.
        let block = &connection.block;
        let end = block.snd_max.max(block.send_end());
        if error.seq.offset_from(block.snd_una) < end.offset_from(block.snd_una).max(1) {
            self.process(id, Event::Unreachable(error.kind), None)
        } else {
            Ok(())
        }
    }

    /// Sends a message, in fragments if it is longer than a frame (RFC 791 section 3.2).
    fn send_icmp(&mut self, eth: &EthernetRepr, to: Ipv4Addr, dscp_ecn: u8, message: &IcmpRepr<'_>) -> Result<(), NicError> {
        if !self.icmp_limit.take(self.now) {
            return Ok(());
        }
        let eth = eth.reply_from(self.mac);
        let mut payload = Vec::new();
        message.emit(&mut payload);
        let room = (self.nic.max_frame() as usize).saturating_sub(LONGEST_ETHERNET_HEADER + Ipv4Repr::HEADER_LEN);
        let whole = Ipv4Repr { dscp_ecn, ..Ipv4Repr::new(self.config.address, to, IpProtocol::ICMP) };
        if payload.len() <= room {
            return self.send_datagram(&eth, &whole, &payload);
        }
        // Every fragment but the last carries a multiple of 8 bytes.
        let (room, identification) = ((room & !7).max(8), rand::random());
        for (k, piece) in payload.chunks(room).enumerate() {
            let more = (k + 1) * room < payload.len();
            let Some(fragment) = u16::try_from(k * room).ok().and_then(|offset| Fragment::new(offset, more)) else { return Ok(()) };
            self.send_datagram(&eth, &Ipv4Repr { fragment, identification, dont_fragment: false, ..whole }, piece)?;
        }
        Ok(())
    }

    fn send_datagram(&mut self, eth: &EthernetRepr, ip: &Ipv4Repr, payload: &[u8]) -> Result<(), NicError> {
        match build_ipv4_frame(eth, ip, payload) {
            Ok(frame) => self.nic.send_frame(&frame, None),
            Err(_) => Ok(()),
        }
    }

    fn send_unreachable(&mut self, eth: &EthernetRepr, ip: &Ipv4Repr, payload: &[u8], code: u8) -> Result<(), NicError> {
        let mut quoted = Vec::with_capacity(Ipv4Repr::HEADER_LEN + QUOTED);
        if ip.emit(payload.len(), &mut quoted).is_err() {
            return Ok(());
        }
        quoted.extend_from_slice(payload.get(..QUOTED).unwrap_or(payload));
        self.send_icmp(eth, ip.src, 0, &IcmpRepr::DestinationUnreachable { code, next_hop_mtu: 0, quoted: &quoted })
    }

    /// A neighbour does not answer: connections that go through it are told.
    pub(super) fn on_neighbour_lost(&mut self, ip: Ipv4Addr) -> Result<(), NicError> {
        for id in self.connections.ids() {
            let remote = self.connections.get(id).map(|connection| *connection.block.tuple.remote.ip());
            if remote.and_then(|remote| self.config.next_hop(remote)) == Some(ip) {
                self.process(id, Event::Unreachable(Unreachable::NoNeighbour), None)?;
            }
        }
        Ok(())
    }

    /// The wait of a connection in TIME_WAIT is over.
    pub(super) fn note_time_wait_over(&self, tuple: FourTuple) {
        self.log.push(self.now, tuple, Happening::State { from: State::TimeWait, to: State::Closed, cause: Cause::Timer });
    }
}
