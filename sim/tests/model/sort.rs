//! Sorting frames: the MAC's checks, IPv4, TCP, options, and what goes up raw.

use crate::bench::{bytes_at, Bench, ACK, IRS, RST, SYN, URG};
use toe_contract::raw::Reason;
use toe_contract::{counter, event, register, NO_FLOW};
use toe_sim::rig::{Piece, Settings};

/// A good segment of the flow, of 100 bytes.
fn good(b: &Bench) -> Vec<u8> {
    b.setup.frame(&b.segment(IRS), &bytes_at(IRS, 100))
}

/// The counter goes up by one, and nothing else happens.
fn dropped(b: &mut Bench, frame: &[u8], fcs_ok: bool, number: usize) {
    let before = (b.flow().clone(), b.count(number));
    b.push(frame, fcs_ok);
    b.run();
    assert_eq!((b.flow(), b.count(number)), (&before.0, before.1 + 1), "counter {number}");
    assert_eq!((b.sent(), b.events(), b.raws()), (vec![], vec![], vec![]));
}

/// The frame comes up, for that reason.
fn raw(b: &mut Bench, frame: &[u8], reason: Reason, flow: u16) {
    b.push(frame, true);
    b.run();
    let raws = b.raws();
    assert_eq!(raws.len(), 1, "{reason:?}");
    let (header, bytes) = &raws[0];
    assert_eq!((header.get(event::KIND), header.get(event::FLOW)), (reason as u32, flow.into()));
    assert_eq!((header.get(event::COMMAND) as usize, &bytes[..]), (frame.len(), frame));
}

/// Puts the right IPv4 header checksum in.
fn mend_ip(frame: &mut [u8], at: usize) {
    frame[at + 10..at + 12].fill(0);
    let words = usize::from(frame[at] & 15) * 2;
    let sum: u32 = (0..words).map(|k| u32::from(frame[at + 2 * k]) << 8 | u32::from(frame[at + 2 * k + 1])).sum();
    let checksum = !(sum % 0xffff);
    frame[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes()[2..]);
}

#[test]
fn the_mac_drops_bad_short_long_and_strange_frames() {
    let mut b = Bench::with_settings(Settings::default(), |_| {});
    let frame = good(&b);
    dropped(&mut b, &frame, false, counter::MAC_RX_BAD_FCS);
    dropped(&mut b, &frame[..59], true, counter::MAC_RX_RUNT);
    dropped(&mut b, &[0xff; 1519], true, counter::MAC_RX_OVERSIZE);
    let mut other = frame.clone();
    other[5] ^= 1;
    dropped(&mut b, &other, true, counter::MAC_RX_FILTERED);
    b.write(&register::FILTER, register::FILTER_PROMISCUOUS.mask());
    b.push(&other, true);
    b.run();
    assert_eq!((b.flow().rcv_nxt, b.events().len()), (IRS + 100, 1));
    b.write(&register::FILTER, 0);
    let group = [[1; 14], [0; 14], [0; 14], [0; 14], [0; 14]].concat();
    dropped(&mut b, &group, true, counter::MAC_RX_FILTERED);
    b.write(&register::FILTER, register::FILTER_MULTICAST.mask());
    raw(&mut b, &group, Reason::Other, NO_FLOW);
    b.sent();
    assert_eq!((b.count(counter::MAC_RX_FRAMES), b.count(counter::MAC_RX_BYTES)), (2, 154 + 70));
}

#[test]
fn what_is_not_ipv4_goes_up() {
    let mut b = Bench::new();
    let mut frame = good(&b);
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    raw(&mut b, &frame, Reason::Other, NO_FLOW);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14] = 0x65;
    raw(&mut b, &frame, Reason::Other, NO_FLOW);
}

#[test]
fn another_protocol_a_fragment_or_ip_options_go_up() {
    let mut b = Bench::new();
    for (at, value) in [(23, 17), (20, 0x20), (21, 1)] {
        let mut frame = good(&b);
        frame[at] = value;
        mend_ip(&mut frame, 14);
        raw(&mut b, &frame, Reason::Other, NO_FLOW);
    }
    let mut frame = good(&b);
    frame[14] = 0x46;
    mend_ip(&mut frame, 14);
    raw(&mut b, &frame, Reason::Other, NO_FLOW);
    assert_eq!(b.flow().rcv_nxt, IRS);
}

#[test]
fn impossible_ipv4_headers_are_dropped() {
    let mut b = Bench::new();
    for (at, value) in [(14, 0x44), (16, 1), (17, 141)] {
        let mut frame = good(&b);
        frame[at] = value;
        mend_ip(&mut frame, 14);
        dropped(&mut b, &frame, true, counter::RX_BAD_IPV4_HEADER);
    }
    let mut frame = good(&b);
    frame[16..18].copy_from_slice(&[0, 19]);
    mend_ip(&mut frame, 14);
    dropped(&mut b, &frame, true, counter::RX_BAD_IPV4_HEADER);
}

#[test]
fn a_wrong_ipv4_checksum_drops_tcp_and_everything_else() {
    let mut b = Bench::new();
    let mut frame = good(&b);
    frame[22] -= 1;
    dropped(&mut b, &frame, true, counter::RX_BAD_IPV4_CHECKSUM);
    frame[23] = 17;
    dropped(&mut b, &frame, true, counter::RX_BAD_IPV4_CHECKSUM);
}

#[test]
fn impossible_tcp_headers_are_dropped() {
    let mut b = Bench::new();
    let mut frame = good(&b);
    frame[46] = 0x40;
    dropped(&mut b, &frame, true, counter::RX_BAD_TCP_HEADER);
    let mut short = b.setup.frame(&b.segment(IRS), &[]);
    short[46] = 0x60;
    dropped(&mut b, &short, true, counter::RX_BAD_TCP_HEADER);
    let mut cut = good(&b);
    cut[16..18].copy_from_slice(&39_u16.to_be_bytes());
    mend_ip(&mut cut, 14);
    dropped(&mut b, &cut, true, counter::RX_BAD_TCP_HEADER);
}

#[test]
fn a_wrong_tcp_checksum_drops_whatever_byte_is_wrong() {
    let mut b = Bench::new();
    for at in [34, 38, 50, 60, 153] {
        let mut frame = good(&b);
        frame[at] ^= 0x10;
        dropped(&mut b, &frame, true, counter::RX_BAD_TCP_CHECKSUM);
    }
    assert_eq!(b.count(counter::RX_CHECKSUM_GOOD), 0);
}

#[test]
fn padding_behind_the_datagram_is_not_payload() {
    let mut b = Bench::new();
    let frame = b.setup.frame(&b.segment(IRS), &[7]);
    assert_eq!(frame.len(), 60);
    b.push(&frame, true);
    b.run();
    assert_eq!((b.flow().rcv_nxt, b.count(counter::RX_CHECKSUM_GOOD)), (IRS + 1, 1));
}

#[test]
fn one_tag_is_looked_through_and_two_are_not() {
    let mut b = Bench::new();
    let frame = good(&b);
    let tagged = |tags: usize| [&frame[..12], &[0x81, 0, 0, 5].repeat(tags), &frame[12..]].concat();
    raw(&mut b, &tagged(2), Reason::Other, NO_FLOW);
    b.push(&tagged(1), true);
    b.run();
    assert_eq!(b.flow().rcv_nxt, IRS + 100, "the flow is found whatever the tag");
}

#[test]
fn timestamps_are_found_at_the_start_and_by_a_walk() {
    for (options, expected) in [
        (&[1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9][..], 7),
        (&[8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 0], 7),
        (&[1, 3, 3, 2, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 0], 7),
        (&[8, 4, 0, 0, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0], 7),
        (&[0, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9], 0),
        (&[5, 0, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9], 0),
        (&[5, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9], 0),
        (&[1, 1, 1, 1, 1, 1, 8, 10, 0, 0, 0, 7], 0),
    ] {
        let mut b = Bench::with(|f| f.timestamps = true);
        let frame = with_options(&b.setup.frame(&b.segment(IRS), &[1, 2, 3, 4, 5, 6]), options);
        b.push(&frame, true);
        b.run();
        assert_eq!((b.flow().rcv_nxt, b.flow().ts_recent), (IRS + 6, expected), "options {options:?}");
    }
}

/// Puts options into a segment of 60 bytes with 6 of payload, and mends lengths and checksums.
fn with_options(frame: &[u8], options: &[u8]) -> Vec<u8> {
    let mut frame = [&frame[..54], options, &frame[54..]].concat();
    let ip_length = 40 + options.len() + 6;
    frame[16..18].copy_from_slice(&u16::try_from(ip_length).expect("short").to_be_bytes());
    mend_ip(&mut frame, 14);
    frame[46] = u8::try_from((20 + options.len()) / 4 * 16).expect("at most 40 bytes");
    frame[50..52].fill(0);
    let tcp_length = ip_length - 20;
    let sum: u32 = frame[26..34 + tcp_length].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum();
    let checksum = !((sum + 6 + u32::try_from(tcp_length).expect("short")) % 0xffff);
    frame[50..52].copy_from_slice(&checksum.to_be_bytes()[2..]);
    frame
}

#[test]
fn syn_rst_and_urg_go_up_with_a_snapshot() {
    let mut b = Bench::new();
    b.data(IRS, 100);
    b.data(IRS + 200, 100);
    b.sent();
    b.events();
    for flag in [SYN, RST, URG, SYN | RST | URG] {
        let piece = Piece { flags: ACK | flag, ..b.segment(IRS + 100) };
        let frame = b.setup.frame(&piece, &[9; 30]);
        b.push(&frame, true);
        b.run();
        let raws = b.raws();
        let header = raws[0].0;
        assert_eq!((header.get(event::KIND), header.get(event::FLOW)), (Reason::Flagged as u32, 0));
        let flow = b.flow();
        assert_eq!((header.get(event::RCV_NXT), header.get(event::RCV_ADV)), (IRS + 100, flow.rcv_adv));
        assert_eq!((header.get(event::SND_UNA), header.get(event::SND_NXT), header.get(event::SND_MAX)), (flow.snd_una, flow.snd_nxt, flow.snd_max));
        assert_eq!((header.get(event::RANGES), header.get(event::FLAGS)), (1, event::OUT_OF_ORDER.into()));
        assert_eq!(raws[0].1, frame);
    }
    assert_eq!((b.flow().rcv_nxt, b.sent(), b.events()), (IRS + 100, vec![], vec![]));
}

#[test]
fn a_segment_of_no_flow_goes_up() {
    let mut b = Bench::new();
    let mut other = b.setup;
    other.remote_port += 1;
    let frame = other.frame(&b.segment(IRS), &[1; 30]);
    raw(&mut b, &frame, Reason::NoFlow, NO_FLOW);
    assert_eq!((b.count(counter::RX_CHECKSUM_GOOD), b.count(counter::RX_SEGMENTS)), (1, 0));
}

#[test]
fn a_segment_without_ack_is_dropped() {
    let mut b = Bench::new();
    let piece = Piece { flags: 0, ..b.segment(IRS) };
    let frame = b.setup.frame(&piece, &[1; 30]);
    dropped(&mut b, &frame, true, counter::RX_NO_ACK);
}
