//! The kinds of junk, and how each is made.
//!
//! Junk may be anything that a network or a blind attacker can put on a wire. It is not what only an attacker who reads along can do, and
//! what TCP without authentication cannot tell from its peer: a RST at exactly RCV.NXT; other bytes, a FIN or an acknowledgement within the
//! window under a good checksum; a TSval of the future; a window that closes; a SYN where the connection is opening or has ended.

use rand::seq::IndexedRandom;
use rand::Rng;
use std::net::Ipv4Addr;
use toe_wire::checksum::{checksum, tcp_checksum};
use toe_wire::{
    build_icmp_frame, build_ipv4_frame, build_tcp_frame, unreachable, EthernetFrame, Fragment, IcmpRepr, IpProtocol, Ipv4Packet, Ipv4Repr, SeqNumber, TcpFlags,
    TcpOptions, TcpSegment,
};

use super::track::{Conversation, Seen};
use crate::wire::WireFrame;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// So far beside a window that none reaches there.
const FAR: u32 = 1 << 28;

macro_rules! kinds {
    ($($kind:ident $name:literal $doc:literal;)*) => {
        /// What is wrong with a frame of junk.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum JunkKind {
            $(#[doc = $doc] $kind),*
        }
        impl JunkKind {
            /// Every kind.
            pub const ALL: [JunkKind; [$($name),*].len()] = [$(JunkKind::$kind),*];
            /// Its name in counts.
            pub fn name(self) -> &'static str {
                match self { $(JunkKind::$kind => $name),* }
            }
        }
    };
}

kinds! {
    Noise "junk: noise" "Random bytes to us, to everyone, to a group or to nobody here.";
    BadFcs "junk: bad FCS" "A copy with a wrong FCS.";
    Runt "junk: runt" "The beginning of a frame, shorter than any frame may be, with a good FCS.";
    Oversize "junk: oversize" "A copy with more behind it than a frame may have.";
    Truncated "junk: truncated" "The beginning of a frame, padded.";
    Misaddressed "junk: misaddressed" "A copy for another station.";
    OtherType "junk: other EtherType" "A copy with another EtherType.";
    Tagged "junk: tagged" "A copy with one or two VLAN tags.";
    Spoilt "junk: spoilt" "A copy with one byte changed under a good FCS.";
    Echo "junk: echo" "What the NIC has sent, sent back to it.";
    Arp "junk: ARP" "An ARP packet of random bytes.";
    Header "junk: IPv4 header" "A copy whose IPv4 version, header length or total length cannot be, or whose header checksum is wrong.";
    Protocol "junk: protocol" "A copy with another protocol number.";
    IpOptions "junk: IPv4 options" "A copy with IPv4 options.";
    Fragments "junk: fragments" "Some of the fragments of a copy, in any order, some of them twice.";
    Icmp "junk: ICMP" "An echo request; an error about what was never sent; a wrong checksum.";
    Offset "junk: data offset" "A copy with an impossible data offset under a good checksum.";
    Replay "junk: replay" "A copy.";
    OldData "junk: old data" "Other bytes for what has been acknowledged, with options that make no sense.";
    Outside "junk: outside" "A segment far outside the window, with any flags but SYN.";
    OldTimestamp "junk: old timestamp" "Other bytes in the window with a timestamp from before the connection.";
    AckBeyond "junk: ACK beyond" "An acknowledgement of what was never sent.";
    AckOld "junk: ACK old" "An acknowledgement from long ago.";
    NoAck "junk: no ACK" "Other bytes in the window without the ACK flag.";
    RstInside "junk: RST inside" "RST in the window, but not at RCV.NXT.";
    RstOutside "junk: RST outside" "RST far outside the window.";
    SynInside "junk: SYN inside" "SYN, with or without ACK, in the window.";
    Handshake "junk: handshake" "During the handshake: a segment or RST with a wrong acknowledgement or number.";
    Stranger "junk: stranger" "A segment of a connection that is not there.";
}

impl Seen {
    /// Some junk: its kind, and frames. What there is nothing to be made of yet is noise.
    pub(super) fn craft(&self, random: &mut impl Rng) -> (JunkKind, Vec<WireFrame>) {
        let kind = *JunkKind::ALL.choose(random).unwrap_or(&JunkKind::Noise);
        match self.craft_kind(kind, random) {
            Some(frames) => (kind, frames),
            None => (JunkKind::Noise, vec![self.noise(random)]),
        }
    }

    fn craft_kind(&self, kind: JunkKind, random: &mut impl Rng) -> Option<Vec<WireFrame>> {
        use JunkKind::{
            AckBeyond, AckOld, Arp, BadFcs, Echo, Fragments, Handshake, Header, Icmp, IpOptions, Misaddressed, NoAck, Noise, Offset, OldData, OldTimestamp,
            OtherType, Outside, Oversize, Protocol, Replay, RstInside, RstOutside, Runt, Spoilt, Stranger, SynInside, Tagged, Truncated,
        };
        let frame = match kind {
            Noise => self.noise(random),
            Arp => self.arp(random),
            BadFcs | Runt | Oversize | Truncated | Misaddressed | OtherType | Tagged | Spoilt | Replay => spoil(kind, self.frame(false, random)?, random),
            Echo => {
                let mut bytes = self.frame(true, random)?;
                bytes[..6].copy_from_slice(&self.mac);
                WireFrame::padded(bytes)
            }
            Header | Protocol | Offset => WireFrame::padded(spoil_datagram(kind, self.frame(false, random)?, random)?),
            IpOptions => WireFrame::padded(with_ip_options(&self.frame(false, random)?, random)?),
            Fragments => return fragments(&self.frame(false, random)?, random),
            Icmp => WireFrame::padded(icmp(self.conversation(random, |_| true)?, random)?),
            Handshake => WireFrame::padded(handshake(self.conversation(random, |c| !c.is_settled() && !c.closing)?, random)?),
            Stranger => WireFrame::padded(stranger(self.conversation(random, |_| true)?, random)?),
            OldData | Outside | OldTimestamp | AckBeyond | AckOld | NoAck | RstInside | RstOutside | SynInside => {
                WireFrame::padded(segment_of(kind, self.conversation(random, Conversation::is_settled)?, random)?)
            }
        };
        Some(vec![frame])
    }

    fn address(&self, random: &mut impl Rng) -> [u8; 6] {
        let (mut group, mut other) = ([1, 0, 0x5e, 0, 0, 0], self.mac);
        group[5] = random.random();
        other[5] ^= random.random_range(1..=255);
        *[self.mac, self.mac, [0xff; 6], group, other].choose(random).unwrap_or(&self.mac)
    }

    fn noise(&self, random: &mut impl Rng) -> WireFrame {
        let mut bytes = self.address(random).to_vec();
        bytes.extend((0..6).map(|_| random.random::<u8>()));
        let any: [u8; 2] = random.random();
        bytes.extend([[8, 0], [0x81, 0], [0x86, 0xdd], any].choose(random).unwrap_or(&any));
        let most = *[46, 100, 1500].choose(random).unwrap_or(&46);
        let length = random.random_range(0..=most);
        bytes.extend((0..length).map(|_| random.random::<u8>()));
        WireFrame::padded(bytes)
    }

    fn arp(&self, random: &mut impl Rng) -> WireFrame {
        let mut bytes = self.address(random).to_vec();
        bytes.extend((0..6).map(|_| random.random::<u8>()));
        bytes.extend([8, 6]);
        // Of another kind of hardware, so that nobody's neighbours are mistaken for others.
        bytes.extend([0, random.random_range(2..=255)]);
        let length = random.random_range(0..60);
        bytes.extend((0..length).map(|_| random.random::<u8>()));
        WireFrame::padded(bytes)
    }
}

/// Spoils a frame from outside.
fn spoil(kind: JunkKind, mut bytes: Vec<u8>, random: &mut impl Rng) -> WireFrame {
    match kind {
        JunkKind::BadFcs => return WireFrame { bytes, fcs_xor: random.random_range(1..=u32::MAX) },
        JunkKind::Runt => {
            bytes.truncate(random.random_range(ETHERNET..crate::wire::MIN_FRAME));
            return WireFrame::new(bytes);
        }
        JunkKind::Oversize => bytes.resize(random.random_range(1519..=4000), 0x5a),
        JunkKind::Truncated => bytes.truncate(random.random_range(ETHERNET..bytes.len())),
        JunkKind::Misaddressed => bytes[5] ^= random.random_range(1..=255),
        JunkKind::OtherType => bytes[12..ETHERNET].copy_from_slice(&random.random_range(0x0801..=0xffff_u16).to_be_bytes()),
        JunkKind::Tagged => {
            for _ in 0..random.random_range(1..=2) {
                let [a, b] = random.random::<u16>().to_be_bytes();
                bytes.splice(12..12, [0x81, 0, a, b]);
            }
        }
        JunkKind::Spoilt => {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= random.random_range(1..=255);
        }
        _ => {}
    }
    WireFrame::padded(bytes)
}

/// Makes the IPv4 header checksum right; `length` bytes are the header.
fn mend_header(frame: &mut [u8], length: usize) -> Option<()> {
    let header = frame.get_mut(ETHERNET..ETHERNET + length)?;
    header.get_mut(10..12)?.fill(0);
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// Spoils a datagram, and makes the checksums right again that would give it away too early. The frame is a good one, without a tag.
fn spoil_datagram(kind: JunkKind, mut frame: Vec<u8>, random: &mut impl Rng) -> Option<Vec<u8>> {
    let eth = EthernetFrame::parse(&frame).ok().filter(|eth| eth.vlan().is_none())?;
    let ip = Ipv4Packet::parse(eth.payload()).ok()?;
    let (src, dst, total, header) = (ip.src(), ip.dst(), ip.total_len(), ip.header().len());
    match kind {
        JunkKind::Protocol => {
            let other = *[0, 1, 2, 4, 17, 41, 132, 255].choose(random)?;
            frame[ETHERNET + 9] = other;
            mend_header(&mut frame, header)?;
        }
        JunkKind::Offset => {
            let tcp = frame.get_mut(ETHERNET + header..ETHERNET + usize::from(total))?;
            let words = u8::try_from(tcp.len().div_ceil(4)).ok().filter(|words| *words < 15);
            let beyond = words.map(|words| random.random_range(words + 1..=15));
            let offset = beyond.filter(|_| random.random()).unwrap_or(random.random_range(0..5));
            tcp[12] = offset << 4 | tcp[12] & 15;
            tcp[16..18].fill(0);
            let sum = tcp_checksum(src, dst, tcp)?;
            tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        }
        _ => {
            let room = u16::try_from(frame.len() - ETHERNET).ok()?;
            let (mut length, mut checked) = (total, header);
            match random.random_range(0..6) {
                0 => frame[ETHERNET] = random.random_range(0..4) << 4 | 5,
                1 => frame[ETHERNET] = 0x40 | random.random_range(0..5),
                2 => length = random.random_range(0..20),
                3 => length = random.random_range(room + 1..=u16::MAX),
                4 => {
                    let words = random.random_range(6..=15);
                    frame[ETHERNET] = 0x40 | words;
                    checked = usize::from(words) * 4;
                }
                // TTL, and no mending.
                _ => {
                    frame[ETHERNET + 8] ^= random.random_range(1..=255);
                    return Some(frame);
                }
            }
            frame[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&length.to_be_bytes());
            mend_header(&mut frame, checked.min(usize::from(room)))?;
        }
    }
    Some(frame)
}

/// The same datagram with NOP and a few other options in its header.
fn with_ip_options(frame: &[u8], random: &mut impl Rng) -> Option<Vec<u8>> {
    let eth = EthernetFrame::parse(frame).ok().filter(|eth| eth.vlan().is_none())?;
    let ip = Ipv4Packet::parse(eth.payload()).ok().filter(|ip| ip.options().is_empty() && usize::from(ip.total_len()) + 40 <= 1500)?;
    let words = random.random_range(1..=10);
    let options: Vec<u8> = (0..words * 4).map(|_| *[1_u8, 1, 1, 0x94, 0].choose(random).unwrap_or(&1)).collect();
    let header = ETHERNET + Ipv4Repr::HEADER_LEN;
    let mut out = frame.get(..ETHERNET + usize::from(ip.total_len()))?.to_vec();
    out.splice(header..header, options);
    out[ETHERNET] = 0x45 + u8::try_from(words).ok()?;
    let total = ip.total_len() + u16::try_from(words * 4).ok()?;
    out[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&total.to_be_bytes());
    mend_header(&mut out, Ipv4Repr::HEADER_LEN + words * 4)?;
    Some(out)
}

fn fragments(frame: &[u8], random: &mut impl Rng) -> Option<Vec<WireFrame>> {
    let eth = EthernetFrame::parse(frame).ok()?;
    let ip = Ipv4Packet::parse(eth.payload()).ok()?;
    let (identification, size) = (random.random(), 8 * random.random_range(1..=90));
    let pieces = ip.payload().chunks(size).count();
    let mut frames = Vec::new();
    for (k, bytes) in ip.payload().chunks(size).enumerate() {
        let fragment = Fragment::new(u16::try_from(k * size).ok()?, k + 1 < pieces || pieces == 1)?;
        let header = Ipv4Repr { fragment, identification, dont_fragment: false, ..ip.repr() };
        let made = WireFrame::padded(build_ipv4_frame(&eth.repr(), &header, bytes).ok()?);
        let times = *[0, 1, 1, 1, 1, 1, 2].choose(random)?;
        for _ in 0..times {
            frames.insert(random.random_range(0..=frames.len()), made.clone());
        }
    }
    Some(frames)
}

fn icmp(of: &Conversation, random: &mut impl Rng) -> Option<Vec<u8>> {
    let ip = Ipv4Repr::new(of.peer.0, of.own.0, IpProtocol::ICMP);
    let payload: Vec<u8> = (0..random.random_range(0..200)).map(|_| random.random()).collect();
    let mut quoted = Vec::new();
    Ipv4Repr::new(of.own.0, of.peer.0, IpProtocol::TCP).emit(Ipv4Repr::HEADER_LEN, &mut quoted).ok()?;
    quoted.extend(of.own.1.to_be_bytes());
    quoted.extend(of.peer.1.to_be_bytes());
    quoted.extend((of.own_end + FAR + random.random_range(0..FAR)).0.to_be_bytes());
    let code = *[unreachable::PORT, unreachable::PROTOCOL, 1, 4].choose(random)?;
    let message = match random.random() {
        true => IcmpRepr::EchoRequest { ident: random.random(), sequence: random.random(), data: &payload },
        false => IcmpRepr::DestinationUnreachable { code, next_hop_mtu: random.random(), quoted: &quoted },
    };
    let mut frame = build_icmp_frame(&of.eth, &ip, &message).ok()?;
    if random.random_range(0..4) == 0 {
        frame[ETHERNET + Ipv4Repr::HEADER_LEN + 2] ^= random.random_range(1..=255);
    }
    Some(frame)
}

/// A segment of this connection's peer with a good checksum.
fn tcp(of: &Conversation, seq: SeqNumber, ack: SeqNumber, flags: TcpFlags, options: TcpOptions, payload: &[u8], random: &mut impl Rng) -> Option<Vec<u8>> {
    let segment = TcpSegment { src_port: of.peer.1, dst_port: of.own.1, seq, ack, flags, window: random.random(), urgent: random.random(), options, payload };
    build_tcp_frame(&of.eth, &Ipv4Repr::new(of.peer.0, of.own.0, IpProtocol::TCP), &segment).ok()
}

fn bytes(random: &mut impl Rng, range: std::ops::RangeInclusive<usize>) -> Vec<u8> {
    let length = random.random_range(range);
    (0..length).map(|_| random.random()).collect()
}

/// Some of these flags.
fn some(random: &mut impl Rng, of: &[TcpFlags]) -> TcpFlags {
    of.iter().filter(|_| random.random_range(0..4) == 0).fold(TcpFlags::NONE, |all, flag| all | *flag)
}

/// A segment of a connection beyond its handshake; `None` if the connection does not lend itself to it.
fn segment_of(kind: JunkKind, of: &Conversation, random: &mut impl Rng) -> Option<Vec<u8>> {
    let (ack, rst, fin, psh, urg) = (TcpFlags::ACK, TcpFlags::RST, TcpFlags::FIN, TcpFlags::PSH, TcpFlags::URG);
    let none = TcpOptions::new();
    let old = of.old_timestamp().map(|value| none.with_timestamps(value, random.random()));
    let far = FAR + random.random_range(0..(1 << 31) - 2 * FAR);
    let far = if random.random() { of.acked + far } else { of.acked - far };
    let any = SeqNumber(random.random());
    match kind {
        JunkKind::OldData => {
            let most = of.taken().min(1000);
            let payload = bytes(random, 1..=usize::try_from(most).ok().filter(|most| *most > 0)?);
            let length = u32::try_from(payload.len()).ok()?;
            let back = random.random_range(0..=(of.taken() - length).min(1 << 18));
            let flags = ack | some(random, &[psh, urg, TcpFlags::ECE, TcpFlags::CWR]);
            let flags = if back > 2 { flags | some(random, &[fin]) } else { flags };
            let frame = tcp(of, of.acked - back - length, any, flags, none.with_mss(0).with_window_scale(0).with_timestamps(0, 0), &payload, random)?;
            Some(with_odd_options(frame, payload.len(), random))
        }
        JunkKind::Outside => {
            let flags = ack | some(random, &[psh, urg, fin, rst, TcpFlags::ECE, TcpFlags::CWR]);
            let payload = bytes(random, 0..=500);
            tcp(of, far, any, flags, none, &payload, random)
        }
        JunkKind::OldTimestamp => {
            let flags = ack | some(random, &[psh, fin]);
            let payload = bytes(random, 1..=1000);
            tcp(of, of.acked, of.own_end, flags, old?, &payload, random)
        }
        JunkKind::AckBeyond => tcp(of, of.acked, of.own_end + FAR + random.random_range(0..FAR), ack, none, &[], random),
        JunkKind::AckOld => tcp(of, of.acked, of.own_end - FAR - random.random_range(0..FAR), ack, none, &[], random),
        JunkKind::NoAck => {
            let flags = some(random, &[psh, fin]);
            let payload = bytes(random, 1..=500);
            tcp(of, of.acked, any, flags, none, &payload, random)
        }
        JunkKind::RstInside => tcp(of, of.inside_window(random)?, any, rst | some(random, &[ack, ack, psh]), none, &[], random),
        JunkKind::RstOutside => tcp(of, far, any, rst | some(random, &[ack, ack]), none, &[], random),
        JunkKind::SynInside if !of.closing => {
            let options = old.unwrap_or(none).with_mss(1460);
            tcp(of, of.inside_window(random)?, any, TcpFlags::SYN | some(random, &[ack, ack]), options, &[], random)
        }
        _ => None,
    }
}

/// Writes nonsense over the options of a frame whose payload has this length: no timestamps that could be taken for good.
fn with_odd_options(mut frame: Vec<u8>, payload: usize, random: &mut impl Rng) -> Vec<u8> {
    let tcp = ETHERNET + Ipv4Repr::HEADER_LEN;
    let end = frame.len() - payload;
    for byte in &mut frame[tcp + 20..end] {
        *byte = *[0, 1, 2, 3, 4, 5, 8, 253, 255].choose(random).unwrap_or(&1);
    }
    frame[tcp + 16..tcp + 18].fill(0);
    let address = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let sum = tcp_checksum(address(ETHERNET + 12), address(ETHERNET + 16), &frame[tcp..]);
    frame[tcp + 16..tcp + 18].copy_from_slice(&sum.unwrap_or(0).to_be_bytes());
    frame
}

/// While a connection is opening: what does not acknowledge our SYN, or is not where the peer is.
fn handshake(of: &Conversation, random: &mut impl Rng) -> Option<Vec<u8>> {
    let (ack, rst) = (TcpFlags::ACK, TcpFlags::RST);
    let wrong = of.own_end + FAR + random.random_range(0..FAR);
    let (seq, flags) = match (of.is_calling(), random.random_range(0..3)) {
        (true, 0) => (SeqNumber(random.random()), TcpFlags::SYN | ack),
        (true, 1) => (SeqNumber(random.random()), ack),
        (true, _) => (SeqNumber(random.random()), rst | ack),
        (false, 0) => (of.peer_end, ack),
        (false, _) => (of.peer_end + random.random_range(1..1000), rst | some(random, &[ack, ack])),
    };
    tcp(of, seq, wrong, flags, TcpOptions::new(), &[], random)
}

/// From a port of the peer that has no connection: below those that are given out.
fn stranger(of: &Conversation, random: &mut impl Rng) -> Option<Vec<u8>> {
    let port = random.random_range(1024..30_000);
    let flags = *[TcpFlags::SYN, TcpFlags::ACK, TcpFlags::FIN | TcpFlags::ACK, TcpFlags::RST, TcpFlags::NONE, TcpFlags::SYN | TcpFlags::ACK].choose(random)?;
    let own = if random.random() { of.own.1 } else { random.random() };
    let mut other = of.clone();
    (other.peer.1, other.own.1) = (port, own);
    let payload = if flags.syn() { Vec::new() } else { bytes(random, 0..=100) };
    tcp(&other, SeqNumber(random.random()), SeqNumber(random.random()), flags, TcpOptions::new(), &payload, random)
}
