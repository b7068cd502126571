//! What has passed the wire, as far as junk is made of it.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use rand::seq::IteratorRandom;
use rand::Rng;
use toe_wire::{parse_tcp_frame, EthernetRepr, SeqNumber, TcpFlags, TcpFrame};

use crate::time::Nanoseconds;

/// Frames kept to make junk of.
const FRAMES: usize = 32;
/// Connections known.
const CONNECTIONS: usize = 64;

/// What passed lately.
pub(super) struct Seen {
    /// The NIC's address.
    pub(super) mac: [u8; 6],
    lifetime: Nanoseconds,
    /// Good frames with a TCP segment, and when they passed: to the NIC, and sent by it; the latest first.
    frames: [VecDeque<(Nanoseconds, Vec<u8>)>; 2],
    connections: VecDeque<Conversation>,
}

/// A connection of the NIC's host, as its segments told.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    /// The Ethernet header of frames to the NIC.
    pub(super) eth: EthernetRepr,
    pub(super) peer: (Ipv4Addr, u16),
    pub(super) own: (Ipv4Addr, u16),
    /// The SYN that came to the NIC, and the one that it sent.
    peer_syn: Option<Syn>,
    own_syn: Option<Syn>,
    /// The number after the last one that the peer has sent, and that the NIC has.
    pub(super) peer_end: SeqNumber,
    pub(super) own_end: SeqNumber,
    /// The NIC's highest ACK number: RCV.NXT was that at least.
    pub(super) acked: SeqNumber,
    /// The right edge that the NIC announced last.
    pub(super) edge: SeqNumber,
    /// One end at least has sent a FIN.
    pub(super) closing: bool,
}

#[derive(Clone, Copy, Debug)]
struct Syn {
    seq: SeqNumber,
    window_scale: Option<u8>,
    /// TSval.
    timestamp: Option<u32>,
}

impl Conversation {
    fn new(sent: bool, frame: &TcpFrame<'_>) -> Conversation {
        let (src, dst) = ((frame.ip.src, frame.tcp.src_port), (frame.ip.dst, frame.tcp.dst_port));
        let (peer, own) = if sent { (dst, src) } else { (src, dst) };
        let eth = if sent { EthernetRepr { dst: frame.eth.src, src: frame.eth.dst, ..frame.eth } } else { frame.eth };
        let zero = SeqNumber(0);
        Conversation { eth, peer, own, peer_syn: None, own_syn: None, peer_end: zero, own_end: zero, acked: zero, edge: zero, closing: false }
    }

    fn is_of(&self, sent: bool, frame: &TcpFrame<'_>) -> bool {
        let (src, dst) = ((frame.ip.src, frame.tcp.src_port), (frame.ip.dst, frame.tcp.dst_port));
        (src, dst) == if sent { (self.own, self.peer) } else { (self.peer, self.own) }
    }

    fn passed(&mut self, sent: bool, frame: &TcpFrame<'_>) {
        let tcp = &frame.tcp;
        let end = tcp.seq + tcp.seg_len();
        if tcp.flags.syn() {
            let syn = Syn { seq: tcp.seq, window_scale: tcp.options.window_scale(), timestamp: tcp.options.timestamps().map(|t| t.value) };
            let (known, last) = if sent { (&mut self.own_syn, &mut self.own_end) } else { (&mut self.peer_syn, &mut self.peer_end) };
            if known.is_none() {
                (*known, *last) = (Some(syn), end);
                if !sent {
                    (self.acked, self.edge) = (end, end);
                }
            }
        }
        let last = if sent { &mut self.own_end } else { &mut self.peer_end };
        *last = last.max(end);
        self.closing |= tcp.flags.fin();
        if sent && tcp.flags.ack() && !tcp.flags.syn() {
            let scale = self.own_syn.zip(self.peer_syn).and_then(|(own, peer)| peer.window_scale.and(own.window_scale));
            self.acked = self.acked.max(tcp.ack);
            self.edge = self.edge.max(tcp.ack + (u32::from(tcp.window) << scale.unwrap_or(0).min(14)));
        }
    }

    /// Both ends are beyond the handshake, as the NIC has shown: it has acknowledged data or FIN, or sent some.
    pub(super) fn is_settled(&self) -> bool {
        self.own_syn.zip(self.peer_syn).is_some_and(|(own, peer)| self.acked.gt(peer.seq + 1) || self.own_end.gt(own.seq + 1))
    }

    /// A TSval older than any that the NIC has taken, if timestamps were agreed on.
    pub(super) fn old_timestamp(&self) -> Option<u32> {
        let (own, peer) = self.own_syn.zip(self.peer_syn)?;
        own.timestamp.and(peer.timestamp).map(|first| first.wrapping_sub(1000))
    }

    /// A number in the window that is not RCV.NXT, whatever of the peer's the NIC has taken by now.
    pub(super) fn inside_window(&self, random: &mut impl Rng) -> Option<SeqNumber> {
        let room = self.edge.0.wrapping_sub(self.peer_end.0);
        // Below 2^31: the edge may be behind what the peer has sent.
        (2..1 << 31).contains(&room).then(|| self.peer_end + random.random_range(1..room))
    }

    /// The NIC's SYN has passed, the peer's has not.
    pub(super) fn is_calling(&self) -> bool {
        self.own_syn.is_some() && self.peer_syn.is_none()
    }

    /// Bytes that the NIC has acknowledged, SYN not among them.
    pub(super) fn taken(&self) -> u32 {
        self.peer_syn.map_or(0, |syn| self.acked.offset_from(syn.seq + 1))
    }
}

impl Seen {
    /// Nothing yet.
    pub(super) fn new(mac: [u8; 6], lifetime: Nanoseconds) -> Seen {
        Seen { mac, lifetime, frames: Default::default(), connections: VecDeque::new() }
    }

    /// Forgets frames that are too old.
    pub(super) fn forget(&mut self, now: Nanoseconds) {
        for kept in &mut self.frames {
            kept.retain(|(at, _)| now - *at <= self.lifetime);
        }
    }

    /// A good frame has passed.
    pub(super) fn passed(&mut self, now: Nanoseconds, sent: bool, bytes: &[u8]) {
        let Ok(frame) = parse_tcp_frame(bytes) else { return };
        let kept = &mut self.frames[usize::from(sent)];
        kept.truncate(FRAMES - 1);
        kept.push_front((now, bytes.to_vec()));
        if frame.tcp.flags.rst() {
            // The answer to junk: its numbers are none of the connection's.
            return;
        }
        let known = self.connections.iter().position(|c| c.is_of(sent, &frame));
        let opens = frame.tcp.flags.syn() && !frame.tcp.flags.ack();
        let at = known.filter(|at| !(opens && self.connections[*at].is_another(sent, frame.tcp.seq)));
        if at.is_none() {
            known.map(|at| self.connections.remove(at));
            if !frame.tcp.flags.contains(TcpFlags::SYN) {
                return;
            }
            self.connections.truncate(CONNECTIONS - 1);
            self.connections.push_front(Conversation::new(sent, &frame));
        }
        if let Some(conversation) = self.connections.get_mut(at.unwrap_or(0)) {
            conversation.passed(sent, &frame);
        }
    }

    /// A connection for which `is` holds.
    pub(super) fn conversation(&self, random: &mut impl Rng, is: impl Fn(&Conversation) -> bool) -> Option<&Conversation> {
        self.connections.iter().filter(|c| is(c)).choose(random)
    }

    /// A frame of those that went this way. A SYN only while its connection lives: later it would begin another one, which is not junk.
    pub(super) fn frame(&self, sent: bool, random: &mut impl Rng) -> Option<Vec<u8>> {
        let (_, bytes) = self.frames[usize::from(sent)].iter().choose(random)?;
        let frame = parse_tcp_frame(bytes).ok()?;
        let lives = || self.connections.iter().any(|c| c.is_of(sent, &frame) && !c.closing);
        (!frame.tcp.flags.syn() || lives()).then(|| bytes.clone())
    }
}

impl Conversation {
    /// Whether a SYN begins another connection of the tuple.
    fn is_another(&self, sent: bool, seq: SeqNumber) -> bool {
        let known = if sent { self.own_syn } else { self.peer_syn };
        known.is_some_and(|syn| syn.seq != seq)
    }
}
