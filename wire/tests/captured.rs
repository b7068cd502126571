//! Frames a Linux kernel sent to another over TAP, byte for byte, and the examples of RFC 1071 section 3.

use std::error::Error;

use toe_wire::*;

type Outcome = Result<(), Box<dyn Error>>;

const ARP_REQUEST: &str = "ffffffffffff02000000000108060001080006040001020000000001c0000201000000000000c0000202";
const ARP_REPLY: &str = "02000000000102000000000208060001080006040002020000000002c0000202020000000001c0000201";
const SYN: &str =
    "02000000000202000000000108004500003c8198400040063520c0000201c00002028fce0050c9a51c3c00000000a002faf091360000020405b40402080ad947e889000000000103030a";
const SYN_ACK: &str =
    "02000000000102000000000208004500003c000040004006b6b8c0000202c000020100508fce11058d5dc9a51c3da012fe8879d60000020405b40402080a869ceeb7d947e8890103030a";
const ACK: &str = "0200000000020200000000010800450000348199400040063527c0000201c00002028fce0050c9a51c3d11058d5e8010003fa6ee00000101080ad947e88a869ceeb7";
const GET: &str = "020000000002020000000001080045000037819a400040063523c0000201c00002028fce0050c9a51c3d11058d5e8018003f0b9e00000101080ad947e88a869ceeb7474554";
const SACK: &str = "02000000000102000000000208004500004064b64000400651fec0000202c000020100508fce11058d5ec9a51d6cb01000409d2b00000101080a869cef27d947e8ee0101050ac9a51e98c9a51fc4";
const RST: &str = "020000000001020000000002080045000028000040004006b6ccc0000202c00002010051eb7200000000e53c12ca5014000048020000";
const FIN: &str = "02000000000202000000000108004500003481a240004006351ec0000201c00002028fce0050c9a5234811058d5e8011003f9cec00000101080ad947eb01869cef36";
const PORT_UNREACHABLE: &str =
    "020000000001020000000002080045c0003d428000004001b37cc0000202c00002010303811f00000000450000211d32400040119996c0000201c0000202c2c10009000d753368656c6c6f";
const ECHO_REQUEST: &str = "02000000000202000000000108004500002cda9340004001dc39c0000201c00002020800b6931234000130313233343536373839616263646566";
const ECHO_REPLY: &str = "02000000000102000000000208004500002c429100004001b43cc0000202c00002010000be931234000130313233343536373839616263646566";

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const IP_A: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 1);
const IP_B: std::net::Ipv4Addr = std::net::Ipv4Addr::new(192, 0, 2, 2);

#[test]
fn rfc_1071_section_3() {
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(checksum::ones_complement_sum(&bytes), 0xddf2);
    assert_eq!(checksum::checksum(&bytes), 0x220d);
    // An odd last byte counts as if a zero followed; then the sums of the example step by step.
    assert_eq!(checksum::ones_complement_sum(&bytes[..3]), 0xf201);
    assert_eq!(checksum::combine(0x0001, 0xf203), 0xf204);
    assert_eq!(checksum::combine(0xf204, 0xf4f5), 0xe6fa);
    assert_eq!(checksum::combine(0xe6fa, 0xf6f7), 0xddf2);
    assert_eq!(checksum::ones_complement_sum(&[]), 0);
    assert_eq!(checksum::ones_complement_sum(&[0xff; 0x1_0001]), 0xff00);
}

/// Every TCP frame reads without complaint, and the same bytes come out when it is built again.
#[test]
fn tcp_frames_survive_the_round_trip() -> Outcome {
    for text in [SYN, SYN_ACK, ACK, GET, SACK, RST, FIN] {
        let bytes = hex::decode(text)?;
        let frame = parse_tcp_frame(&bytes)?;
        assert_eq!(hex::encode(build_tcp_frame(&frame.eth, &frame.ip, &frame.tcp)?), text);
    }
    Ok(())
}

#[test]
fn handshake_fields() -> Outcome {
    let bytes = hex::decode(SYN)?;
    let TcpFrame { eth, ip, tcp } = parse_tcp_frame(&bytes)?;
    assert_eq!((eth.dst, eth.src, eth.vlan, eth.ether_type), (B, A, None, EtherType::IPV4));
    assert_eq!((ip.src, ip.dst, ip.ttl, ip.identification, ip.dont_fragment), (IP_A, IP_B, 64, 0x8198, true));
    assert_eq!((tcp.src_port, tcp.dst_port, tcp.window), (36814, 80, 64240));
    assert_eq!((tcp.seq, tcp.ack, tcp.flags), (SeqNumber(0xc9a5_1c3c), SeqNumber(0), TcpFlags::SYN));
    let options = TcpOptions::new().with_mss(1460).with_sack_permitted().with_timestamps(0xd947_e889, 0).with_window_scale(10);
    assert_eq!(tcp.options, options);
    assert_eq!((tcp.seg_len(), tcp.payload), (1, &[][..]));

    let bytes = hex::decode(SYN_ACK)?;
    let tcp = parse_tcp_frame(&bytes)?.tcp;
    assert_eq!((tcp.flags, tcp.ack), (TcpFlags::SYN | TcpFlags::ACK, SeqNumber(0xc9a5_1c3d)));

    let bytes = hex::decode(GET)?;
    let tcp = parse_tcp_frame(&bytes)?.tcp;
    assert_eq!((tcp.flags.to_string().as_str(), tcp.payload, tcp.seg_len()), ("PSH+ACK", &b"GET"[..], 3));

    let bytes = hex::decode(SACK)?;
    let tcp = parse_tcp_frame(&bytes)?.tcp;
    assert_eq!(tcp.options.sack(), [SackBlock { left: SeqNumber(0xc9a5_1e98), right: SeqNumber(0xc9a5_1fc4) }]);
    assert_eq!(tcp.options.timestamps(), Some(TcpTimestamps { value: 0x869c_ef27, echo_reply: 0xd947_e8ee }));
    Ok(())
}

/// One bit flipped anywhere from the IPv4 header on is noticed.
#[test]
fn every_flipped_bit_is_noticed() -> Outcome {
    let bytes = hex::decode(SACK)?;
    for bit in 14 * 8..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(parse_tcp_frame(&bad).is_err(), "bit {bit}");
    }
    Ok(())
}

#[test]
fn arp() -> Outcome {
    let bytes = hex::decode(ARP_REQUEST)?;
    let request = ArpPacket::parse(EthernetFrame::parse(&bytes)?.payload())?.repr();
    assert_eq!(request, ArpRepr::request(A, IP_A, IP_B));
    assert_eq!(hex::encode(build_arp_frame(None, &request)), ARP_REQUEST);
    assert_eq!(hex::encode(build_arp_frame(None, &request.reply_from(B))), ARP_REPLY);
    Ok(())
}

#[test]
fn echo() -> Outcome {
    // As Linux answered, but for the identification and DF of its own.
    let ours = build_icmp_echo_reply(&hex::decode(ECHO_REQUEST)?)?;
    let linux = hex::decode(ECHO_REPLY)?;
    let (ours_eth, linux_eth) = (EthernetFrame::parse(&ours)?, EthernetFrame::parse(&linux)?);
    assert_eq!(ours_eth.repr(), linux_eth.repr());
    let (ours_ip, linux_ip) = (Ipv4Packet::parse(ours_eth.payload())?, Ipv4Packet::parse(linux_eth.payload())?);
    assert!(ours_ip.checksum_ok() && linux_ip.checksum_ok());
    assert_eq!((ours_ip.src(), ours_ip.dst(), ours_ip.payload()), (IP_B, IP_A, linux_ip.payload()));
    assert!(build_icmp_echo_reply(&linux).is_err(), "a reply gets no reply");
    Ok(())
}

#[test]
fn quoted_datagram() -> Outcome {
    let bytes = hex::decode(PORT_UNREACHABLE)?;
    let ip = Ipv4Packet::parse(EthernetFrame::parse(&bytes)?.payload())?;
    let icmp = IcmpPacket::parse(ip.payload())?;
    assert!(icmp.checksum_ok());
    let repr = icmp.repr()?;
    assert!(matches!(repr, IcmpRepr::DestinationUnreachable { code: unreachable::PORT, next_hop_mtu: 0, .. }));
    let quoted = repr.quoted_datagram().ok_or("nothing quoted")?;
    assert_eq!((quoted.src, quoted.dst, quoted.protocol, quoted.payload.len()), (IP_A, IP_B, IpProtocol::UDP, 13));
    assert_eq!(quoted.tcp(), None, "UDP");

    // RFC 792: the header and 8 bytes are all that need be quoted.
    let syn = hex::decode(SYN)?;
    let repr = IcmpRepr::DestinationUnreachable { code: unreachable::FRAGMENTATION_NEEDED, next_hop_mtu: 1280, quoted: &syn[14..14 + 28] };
    let quoted = repr.quoted_datagram().ok_or("nothing quoted")?;
    assert_eq!(quoted.tcp(), Some(QuotedTcp { src_port: 36814, dst_port: 80, seq: SeqNumber(0xc9a5_1c3c) }));
    assert_eq!(QuotedDatagram { payload: &quoted.payload[..7], ..quoted }.tcp(), None, "too short");
    Ok(())
}

#[test]
fn options_that_are_wrong_do_no_harm() {
    let mss = TcpOptions::new().with_mss(1460);
    // Length 0 and 1 would never end; one past the end would read outside; nothing after them counts.
    for bad in [0, 1, 9, 255] {
        assert_eq!(TcpOptions::parse(&[2, 4, 5, 180, 254, bad, 4, 2, 3, 3, 7, 0]), mss, "length {bad}");
    }
    // An unknown kind and a known one of the wrong length are passed over.
    assert_eq!(TcpOptions::parse(&[254, 5, 9, 9, 9, 2, 4, 5, 180]), mss);
    assert_eq!(TcpOptions::parse(&[2, 3, 9, 5, 9, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 180]), mss);
    // A kind with no length; the end-of-list option hides what follows.
    assert_eq!(TcpOptions::parse(&[2, 4, 5, 180, 3]), mss);
    assert_eq!(TcpOptions::parse(&[2, 4, 5, 180, 1, 1, 0, 4, 2]), mss);
    // RFC 7323 section 2.3: more than 14 is 14.
    assert_eq!(TcpOptions::parse(&[3, 3, 200]).window_scale(), Some(14));
}

#[test]
fn tagged_frames() -> Outcome {
    let mut bytes = hex::decode(SYN)?;
    bytes.splice(12..12, [0x81, 0x00, 0x60, 0x64]);
    let frame = parse_tcp_frame(&bytes)?;
    let tag = frame.eth.vlan.ok_or("no tag")?;
    assert_eq!((tag.id(), tag.priority()), (100, 3));
    assert_eq!(build_tcp_frame(&frame.eth, &frame.ip, &frame.tcp)?, bytes);
    bytes.splice(12..12, [0x81, 0x00, 0x60, 0x64]);
    assert!(matches!(EthernetFrame::parse(&bytes), Err(ParseError::Field { field: "EtherType", found: 0x8100, .. })));
    Ok(())
}

#[test]
fn padding_is_not_payload() -> Outcome {
    let mut bytes = hex::decode(RST)?;
    bytes.resize(60, 0xaa);
    assert_eq!(parse_tcp_frame(&bytes)?.tcp.payload, []);
    Ok(())
}

/// An echo request that is damaged, a fragment, or something else, gets no reply; a fragment is no segment.
#[test]
fn what_is_not_whole_is_refused() -> Outcome {
    let request = hex::decode(ECHO_REQUEST)?;
    let mut damaged = request.clone();
    damaged[50] ^= 4;
    assert_eq!(build_icmp_echo_reply(&damaged), Err(ParseError::Checksum { what: "ICMP message" }));
    assert!(matches!(build_icmp_echo_reply(&hex::decode(SYN)?), Err(ParseError::Field { field: "protocol", found: 6, .. })));
    assert!(matches!(parse_tcp_frame(&request), Err(ParseError::Field { field: "protocol", found: 1, .. })));
    assert!(matches!(parse_tcp_frame(&hex::decode(ARP_REQUEST)?), Err(ParseError::Field { field: "EtherType", found: 0x0806, .. })));

    let bytes = hex::decode(GET)?;
    let frame = parse_tcp_frame(&bytes)?;
    for (offset, more) in [(0, true), (8, false), (65528, true)] {
        let ip = Ipv4Repr { fragment: Fragment::new(offset, more).ok_or("no multiple of 8")?, ..frame.ip };
        let bytes = build_tcp_frame(&frame.eth, &ip, &frame.tcp)?;
        let expected = Err(ParseError::Field { what: "IPv4 header", field: "fragment offset", found: u32::from(offset) });
        assert_eq!(parse_tcp_frame(&bytes), expected, "{offset} {more}");
    }
    assert_eq!(Fragment::new(7, false), None);
    Ok(())
}

/// Lengths and versions that contradict the bytes, by RFC 791 section 3.1; options are passed over.
#[test]
fn ipv4_headers_that_are_wrong() -> Outcome {
    let bytes = &hex::decode(GET)?[14..];
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let field = |bytes: &[u8]| match Ipv4Packet::parse(bytes) {
        Err(ParseError::Field { field, found, .. }) => Some((field, found)),
        _ => None,
    };
    assert_eq!(field(&with(0, 0x65)), Some(("version", 6)));
    assert_eq!(field(&with(0, 0x44)), Some(("header length", 4)));
    assert_eq!(field(&with(3, 19)), Some(("total length", 19)));
    assert_eq!(Ipv4Packet::parse(&with(3, 56)).err(), Some(ParseError::Truncated { what: "IPv4 datagram", expected: 56, found: 55 }));
    assert_eq!(Ipv4Packet::parse(&bytes[..19]).err(), Some(ParseError::Truncated { what: "IPv4 header", expected: 20, found: 19 }));
    let long = with(0, 0x4f);
    assert_eq!(Ipv4Packet::parse(&long[..55]).err(), Some(ParseError::Truncated { what: "IPv4 header", expected: 60, found: 55 }));
    let long = with(0, 0x46);
    let long = Ipv4Packet::parse(&long)?;
    assert_eq!((long.header().len(), long.options(), long.payload()), (24, &bytes[20..24], &bytes[24..]));
    Ok(())
}

/// Data offsets that contradict the bytes, by RFC 9293 section 3.1.
#[test]
fn tcp_headers_that_are_wrong() -> Outcome {
    let bytes = &hex::decode(GET)?[34..];
    let with_offset = |words: u8, len: usize| {
        let mut bytes = bytes[..len].to_vec();
        bytes[12] = words << 4;
        TcpPacket::parse(&bytes).map(|tcp| (tcp.header_len(), tcp.payload().len())).map_err(|error| error.to_string())
    };
    assert_eq!(with_offset(8, 35), Ok((32, 3)));
    assert_eq!(with_offset(5, 20), Ok((20, 0)));
    assert_eq!(with_offset(4, 35), Err("TCP header: data offset is 4, which is not legal or not supported".to_owned()));
    assert_eq!(with_offset(9, 35), Err("TCP header: expected at least 36 bytes, found 35".to_owned()));
    assert_eq!(with_offset(5, 19), Err("TCP header: expected at least 20 bytes, found 19".to_owned()));
    Ok(())
}

#[test]
fn arp_of_another_kind_is_refused() -> Outcome {
    let bytes = &hex::decode(ARP_REQUEST)?[14..];
    for (at, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 3), (7, 0), (6, 1)] {
        let mut other = bytes.to_vec();
        other[at] = value;
        assert!(matches!(ArpPacket::parse(&other), Err(ParseError::Field { .. })), "byte {at} is {value}");
    }
    assert!(matches!(ArpPacket::parse(&bytes[..27]), Err(ParseError::Truncated { .. })));
    Ok(())
}

/// RFC 2018 section 3: four blocks, three beside timestamps; and no more is dropped than must be.
#[test]
fn sack_blocks_that_fit() {
    let blocks: Vec<_> = (0..5).map(|i| SackBlock { left: SeqNumber(i * 10), right: SeqNumber(i * 10 + 5) }).collect();
    let plain = TcpOptions::new().with_sack(&blocks);
    assert_eq!((plain.sack(), plain.wire_len()), (&blocks[..4], 36));
    let timestamps = plain.with_timestamps(1, 2);
    assert_eq!((timestamps.sack(), timestamps.wire_len()), (&blocks[..3], 40));
    // 4 + 10 + 2 + 3 * 8 are 40 without padding, and with another 3 not.
    let full = timestamps.with_mss(1460);
    assert_eq!((full.sack(), full.wire_len()), (&blocks[..3], 40));
    let over = full.with_window_scale(7);
    assert_eq!((over.sack(), over.wire_len()), (&blocks[..2], 40));
    assert_eq!(over.with_sack(&[]).with_sack_permitted().wire_len(), 20, "as Linux's SYN");
}

/// `left =< x < right` at the edges, across the wrap; an empty range holds nothing.
#[test]
fn between_at_the_edges() {
    let (left, right) = (SeqNumber(0xffff_fffe), SeqNumber(2));
    let inside: Vec<_> = (0..8).map(|i| SeqNumber(0xffff_fffc) + i).map(|x| x.between(left, right)).collect();
    assert_eq!(inside, [false, false, true, true, true, true, false, false]);
    assert!(!left.between(left, left) && !right.between(left, left));
    // All but one number.
    assert!(SeqNumber(0).between(SeqNumber(2), SeqNumber(1)) && !SeqNumber(1).between(SeqNumber(2), SeqNumber(1)));
}

#[test]
fn addresses_in_text() {
    assert_eq!("02:00:00:00:00:0a".parse(), Ok(MacAddr([2, 0, 0, 0, 0, 10])));
    assert_eq!(MacAddr([2, 0, 0, 0, 0xab, 10]).to_string(), "02:00:00:00:ab:0a");
    for bad in ["", "02:00:00:00:00", "02:00:00:00:00:0a:", "02:00:00:00:00:0a:01", "2:0:0:0:0:1", "+2:00:00:00:00:01", "02-00-00-00-00-01"] {
        let error = bad.parse::<MacAddr>().map_err(|error| error.to_string());
        assert_eq!(error, Err(format!("expected an Ethernet address like 02:00:00:00:00:01, found {bad:?}")));
    }
}
