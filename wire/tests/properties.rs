//! Random representations survive the wire; random and mutated bytes never make anything panic; `etherparse` reads
//! the same out of what is emitted.

use etherparse::{NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};
use proptest::prelude::*;
use toe_wire::*;

fn any_seq() -> impl Strategy<Value = SeqNumber> {
    any::<u32>().prop_map(SeqNumber)
}

fn any_options() -> impl Strategy<Value = TcpOptions> {
    let blocks = prop::collection::vec((any_seq(), any_seq()).prop_map(|(left, right)| SackBlock { left, right }), 0..6);
    let timestamps = prop::option::of(any::<(u32, u32)>());
    (prop::option::of(any::<u16>()), prop::option::of(any::<u8>()), any::<bool>(), timestamps, blocks).prop_map(
        |(mss, scale, permitted, timestamps, blocks)| {
            // SACK blocks first: later options must push them out where they do not fit.
            let mut options = TcpOptions::new().with_sack(&blocks);
            if let Some(mss) = mss {
                options = options.with_mss(mss);
            }
            if let Some(scale) = scale {
                options = options.with_window_scale(scale);
            }
            if permitted {
                options = options.with_sack_permitted();
            }
            if let Some((value, echo_reply)) = timestamps {
                options = options.with_timestamps(value, echo_reply);
            }
            options
        },
    )
}

prop_compose! {
    fn any_segment()(
        (src_port, dst_port, window, urgent) in any::<(u16, u16, u16, u16)>(),
        (seq, ack, flags) in (any_seq(), any_seq(), any::<u8>().prop_map(TcpFlags)),
        options in any_options(),
        payload in prop::collection::vec(any::<u8>(), 0..1600),
    ) -> TcpSegment<'static> {
        TcpSegment { src_port, dst_port, seq, ack, flags, window, urgent, options, payload: payload.leak() }
    }
}

prop_compose! {
    fn any_ethernet()(dst: [u8; 6], src: [u8; 6], tag: Option<u16>) -> EthernetRepr {
        EthernetRepr { vlan: tag.map(VlanTag), ..EthernetRepr::new(MacAddr(dst), MacAddr(src), EtherType::IPV4) }
    }
}

prop_compose! {
    fn any_ipv4()(
        (src, dst, protocol) in any::<([u8; 4], [u8; 4], u8)>(),
        (ttl, dscp_ecn, identification, dont_fragment) in any::<(u8, u8, u16, bool)>(),
        (offset, more) in any::<(u16, bool)>(),
    ) -> Ipv4Repr {
        let fragment = Fragment::new(offset & !7, more).unwrap_or_default();
        Ipv4Repr { ttl, dscp_ecn, identification, dont_fragment, fragment, ..Ipv4Repr::new(src.into(), dst.into(), IpProtocol(protocol)) }
    }
}

fn any_icmp() -> impl Strategy<Value = IcmpRepr<'static>> {
    let data = prop::collection::vec(any::<u8>(), 0..100).prop_map(|data| &*data.leak());
    (0..5, any::<(u8, u16, u16)>(), data).prop_map(|(kind, (byte, high, low), data)| match kind {
        0 => IcmpRepr::EchoRequest { ident: high, sequence: low, data },
        1 => IcmpRepr::EchoReply { ident: high, sequence: low, data },
        2 => IcmpRepr::DestinationUnreachable { code: byte, next_hop_mtu: high, quoted: data },
        3 => IcmpRepr::TimeExceeded { code: byte, quoted: data },
        _ => IcmpRepr::ParameterProblem { code: byte, pointer: low.to_be_bytes()[1], quoted: data },
    })
}

/// Calls every accessor of every view that accepts the bytes, each format at the outermost place too.
fn read_everything(bytes: &[u8]) -> usize {
    let mut read = 0;
    let mut layers = vec![bytes];
    while let Some(bytes) = layers.pop() {
        if let Ok(eth) = EthernetFrame::parse(bytes) {
            read += format!("{:?}{:?}{:?}", eth.repr(), eth.vlan().map(VlanTag::id), eth.vlan().map(VlanTag::priority)).len();
            // Not from inside an ICMP message again: the layers must become fewer.
            layers.extend(Some(eth.payload()).filter(|payload| payload.len() < bytes.len()));
        }
        read += ArpPacket::parse(bytes).map_or(0, |arp| format!("{:?}", arp.repr()).len());
        if let Ok(ip) = Ipv4Packet::parse(bytes) {
            read += format!("{:?}{}{}", ip.repr(), ip.checksum_ok(), ip.total_len()).len() + ip.header().len() + ip.options().len();
            let _ = TcpSegment::parse(ip.payload(), ip.src(), ip.dst());
            layers.push(ip.payload());
        }
        if let Ok(tcp) = TcpPacket::parse(bytes) {
            read += format!("{:?}", tcp.repr()).len() + tcp.options().count() + tcp.header_len() + tcp.repr().seg_len() as usize;
        }
        if let Ok(icmp) = IcmpPacket::parse(bytes) {
            read += usize::from(icmp.kind()) + usize::from(icmp.code()) + usize::from(icmp.checksum_ok()) + icmp.data().len();
            let quoted = icmp.repr().ok().and_then(|repr| repr.quoted_datagram());
            read += quoted.map_or(0, |quoted| format!("{quoted:?}{:?}", quoted.tcp()).len());
        }
        let _ = (parse_tcp_frame(bytes), build_icmp_echo_reply(bytes));
    }
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn segments_survive_the_wire(tcp in any_segment(), src: [u8; 4], dst: [u8; 4]) {
        let (src, dst) = (src.into(), dst.into());
        let mut bytes = Vec::new();
        tcp.emit(src, dst, &mut bytes)?;
        prop_assert_eq!(bytes.len(), tcp.wire_len());
        prop_assert_eq!(TcpSegment::parse(&bytes, src, dst)?, tcp);
    }

    #[test]
    fn headers_survive_the_wire(eth in any_ethernet(), ip in any_ipv4(), payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut bytes = build_ipv4_frame(&eth, &ip, &payload)?;
        bytes.resize(bytes.len().max(60), 0);
        let read_eth = EthernetFrame::parse(&bytes)?;
        prop_assert_eq!(read_eth.repr(), eth);
        let read_ip = Ipv4Packet::parse(read_eth.payload())?;
        prop_assert!(read_ip.checksum_ok());
        prop_assert_eq!((read_ip.repr(), read_ip.payload()), (ip, payload.as_slice()));
    }

    #[test]
    fn icmp_survives_the_wire(icmp in any_icmp()) {
        let mut bytes = Vec::new();
        icmp.emit(&mut bytes);
        let packet = IcmpPacket::parse(&bytes)?;
        prop_assert!(packet.checksum_ok());
        prop_assert_eq!(packet.repr()?, icmp);
    }

    #[test]
    fn arp_survives_the_wire(request: bool, macs: [[u8; 6]; 2], ips: [[u8; 4]; 2]) {
        let operation = if request { ArpOperation::Request } else { ArpOperation::Reply };
        let [sender_mac, target_mac] = macs.map(MacAddr);
        let [sender_ip, target_ip] = ips.map(Into::into);
        let arp = ArpRepr { operation, sender_mac, sender_ip, target_mac, target_ip };
        let bytes = build_arp_frame(None, &arp);
        prop_assert_eq!(ArpPacket::parse(EthernetFrame::parse(&bytes)?.payload())?.repr(), arp);
    }

    /// SACK blocks give way, the first stay; nothing else is ever lost, and it always fits.
    #[test]
    fn options_always_fit(options in any_options(), unknown in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = Vec::new();
        options.emit(&mut bytes);
        prop_assert!(bytes.len() <= 40 && bytes.len() % 4 == 0 && bytes.len() == options.wire_len());
        prop_assert_eq!(TcpOptions::parse(&bytes), options);
        // Whatever fitted into a header once fits again.
        let read = TcpOptions::parse(&unknown);
        bytes.clear();
        read.emit(&mut bytes);
        prop_assert_eq!(TcpOptions::parse(&bytes), read);
        // An unknown option in front changes nothing.
        let mut prefixed = vec![253, 4, 0xde, 0xad];
        prefixed.extend(&bytes);
        prop_assert_eq!(TcpOptions::parse(&prefixed), read);
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    #[test]
    fn mutated_frames_do_no_harm(
        (eth, ip, tcp) in (any_ethernet(), any_ipv4(), any_segment()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = build_tcp_frame(&eth, &Ipv4Repr { protocol: IpProtocol::TCP, ..ip }, &tcp)?;
        for (at, value) in changes {
            let at = at.index(bytes.len().min(80));
            bytes[at] = value;
        }
        prop_assert!(read_everything(&bytes) > 0 || EthernetFrame::parse(&bytes).is_err());
        bytes.truncate(cut.index(bytes.len()));
        read_everything(&bytes);
    }

    /// An independent reader finds the same fields, and its own checksums agree.
    #[test]
    fn etherparse_agrees((eth, ip, tcp) in (any_ethernet(), any_ipv4(), any_segment())) {
        let ip = Ipv4Repr { protocol: IpProtocol::TCP, fragment: Fragment::default(), ..ip };
        let bytes = build_tcp_frame(&eth, &ip, &tcp)?;
        let sliced = SlicedPacket::from_ethernet(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (Some(NetSlice::Ipv4(their_ip)), Some(TransportSlice::Tcp(their_tcp))) = (&sliced.net, &sliced.transport) else {
            return Err(TestCaseError::fail(format!("{sliced:?}")));
        };
        let header = their_ip.header();
        prop_assert_eq!((header.source_addr(), header.destination_addr(), header.ttl()), (ip.src, ip.dst, ip.ttl));
        prop_assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        prop_assert_eq!(sliced.vlan_ids().first().map(|id| id.value()), eth.vlan.map(VlanTag::id));
        prop_assert_eq!((their_tcp.source_port(), their_tcp.destination_port()), (tcp.src_port, tcp.dst_port));
        prop_assert_eq!((their_tcp.sequence_number(), their_tcp.acknowledgment_number()), (tcp.seq.0, tcp.ack.0));
        prop_assert_eq!((their_tcp.window_size(), their_tcp.urgent_pointer(), their_tcp.payload()), (tcp.window, tcp.urgent, tcp.payload));
        let flags = [their_tcp.fin(), their_tcp.syn(), their_tcp.rst(), their_tcp.psh(), their_tcp.ack(), their_tcp.urg(), their_tcp.ece(), their_tcp.cwr()];
        prop_assert_eq!(flags, [0, 1, 2, 3, 4, 5, 6, 7].map(|bit| tcp.flags.0 >> bit & 1 == 1));
        let checksum = their_tcp.calc_checksum_ipv4(ip.src.octets(), ip.dst.octets());
        prop_assert_eq!(checksum.ok(), Some(their_tcp.checksum()));
        let mut theirs = TcpOptions::new();
        for option in their_tcp.options_iterator() {
            theirs = match option.map_err(|error| TestCaseError::fail(error.to_string()))? {
                TcpOptionElement::Noop => theirs,
                TcpOptionElement::MaximumSegmentSize(mss) => theirs.with_mss(mss),
                TcpOptionElement::WindowScale(scale) => theirs.with_window_scale(scale),
                TcpOptionElement::SelectiveAcknowledgementPermitted => theirs.with_sack_permitted(),
                TcpOptionElement::Timestamp(value, echo_reply) => theirs.with_timestamps(value, echo_reply),
                TcpOptionElement::SelectiveAcknowledgement(first, rest) => {
                    let blocks = std::iter::once(Some(first)).chain(rest).flatten();
                    let blocks: Vec<_> = blocks.map(|(left, right)| SackBlock { left: left.into(), right: right.into() }).collect();
                    theirs.with_sack(&blocks)
                }
            };
        }
        prop_assert_eq!(theirs, tcp.options);
    }

    /// RFC 1071 section 2: the sum does not depend on grouping, nor on where it is cut (at an even place).
    #[test]
    fn sum_against_the_plain_loop(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
        let mut plain = 0u32;
        for pair in bytes.chunks(2) {
            plain += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            plain = (plain & 0xffff) + (plain >> 16);
        }
        prop_assert_eq!(u32::from(checksum::ones_complement_sum(&bytes)), plain);
        let (left, right) = bytes.split_at(cut.index(bytes.len() + 1) & !1);
        let both = checksum::combine(checksum::ones_complement_sum(left), checksum::ones_complement_sum(right));
        prop_assert_eq!(u32::from(both), plain);
    }

    /// RFC 9293 section 3.4: everything holds around any point of the circle.
    #[test]
    fn sequence_numbers(base in any_seq(), a in -0x3fff_ffffi64..0x4000_0000, b in -0x3fff_ffffi64..0x4000_0000, far: u32) {
        // Two's complement: adding the low 32 bits of a negative number goes back.
        let at = |offset: i64| base + u32::try_from(offset.rem_euclid(1 << 32)).unwrap_or_default();
        let (x, y) = (at(a), at(b));
        prop_assert_eq!(i64::from(x - y), a - b);
        prop_assert_eq!((x.lt(y), x.le(y), x.gt(y), x.ge(y)), (a < b, a <= b, a > b, a >= b));
        prop_assert_eq!((x.max(y), x.min(y)), (at(a.max(b)), at(a.min(b))));
        prop_assert_eq!(base.between(x, y), if a <= b { a <= 0 && 0 < b } else { !(b <= 0 && 0 < a) });
        prop_assert_eq!(x.offset_from(base), u32::try_from(a.rem_euclid(1 << 32)).unwrap_or_default());
        prop_assert_eq!((base + far) - far, base);
        // Nothing panics for numbers any distance apart, and =< is the opposite of >, but half the circle away.
        let z = base + far;
        prop_assert_eq!(base.le(z), !base.gt(z) || far == 0x8000_0000);
        prop_assert_eq!(base.ge(z), !base.lt(z) || far == 0x8000_0000);
    }
}

#[test]
fn half_the_circle_apart() {
    let (a, b) = (SeqNumber(5), SeqNumber(0x8000_0005));
    assert_eq!((a - b, b - a), (i32::MIN, i32::MIN));
    assert!(a.lt(b) && b.lt(a) && a.gt(b) && a.le(b) && a.ge(b));
}

#[test]
fn too_long_for_ipv4() {
    let ip = Ipv4Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::TCP);
    let eth = EthernetRepr::new(MacAddr::ZERO, MacAddr::ZERO, EtherType::IPV4);
    let payload = vec![7; 65496];
    let fits = TcpSegment { payload: &payload[..65495], ..TcpSegment::default() };
    assert_eq!(build_tcp_frame(&eth, &ip, &fits).map(|frame| frame.len()), Ok(14 + 65535));
    let tcp = TcpSegment { payload: &payload, ..fits };
    assert_eq!(tcp.emit(ip.src, ip.dst, &mut Vec::new()), Err(EmitError::TooLong { what: "TCP segment", max: 65515, found: 65516 }));
    assert!(build_tcp_frame(&eth, &ip, &tcp).is_err());
}
