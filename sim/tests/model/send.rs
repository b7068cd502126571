//! PLAN and SEAL: what is sent, when, and how it looks.

use crate::bench::{bytes_at, Bench, ACK, FIN, IRS, ISS, PSH};
use toe_contract::command::{self, Opcode};
use toe_contract::{counter, TIMESTAMP_SHIFT};
use toe_sim::rig::Piece;

fn resend(b: &mut Bench, from: u32, flags: u8) {
    b.command(Opcode::Resend, flags, Some((command::RESEND_FROM, from)));
}

fn cwnd(b: &mut Bench, bytes: u32) {
    b.command(Opcode::Cwnd, 0, Some((command::CWND_CWND, bytes)));
}

#[test]
fn data_is_cut_into_segments_with_psh_on_the_last() {
    let mut b = Bench::new();
    b.send_to(ISS + 3000, 0);
    let sent = b.sent();
    let shape: Vec<_> = sent.iter().map(|s| (s.seq, s.ack, s.payload.len(), s.flags)).collect();
    assert_eq!(shape, [(ISS, IRS, 1460, ACK), (ISS + 1460, IRS, 1460, ACK)], "the rest waits for an ACK (Nagle)");
    assert_eq!(sent[1].payload, bytes_at(ISS + 1460, 1460));
    b.ack(ISS + 2920, 65535);
    let sent = b.sent();
    assert_eq!((sent[0].seq, sent[0].payload.clone(), sent[0].flags), (ISS + 2920, bytes_at(ISS + 2920, 80), ACK | PSH));
    assert_eq!((b.count(counter::TX_SEGMENTS), b.count(counter::TX_RESENT)), (3, 0));
}

#[test]
fn nagle_a_small_segment_waits_while_data_is_out() {
    let mut b = Bench::new();
    b.send_to(ISS + 10, 0);
    b.send_to(ISS + 20, 0);
    b.send_to(ISS + 30, 0);
    assert_eq!(b.sent_lengths(), [(ISS, 10)]);
    b.ack(ISS + 10, 65535);
    assert_eq!(b.sent_lengths(), [(ISS + 10, 20)]);
}

#[test]
fn nodelay_and_a_fin_that_follows_switch_nagle_off() {
    let mut b = Bench::with(|f| f.nodelay = true);
    b.send_to(ISS + 10, 0);
    b.send_to(ISS + 20, 0);
    assert_eq!(b.sent_lengths(), [(ISS, 10), (ISS + 10, 10)]);
    let mut b = Bench::new();
    b.send_to(ISS + 10, 0);
    b.send_to(ISS + 20, command::FIN);
    let sent = b.sent();
    assert_eq!((sent[1].seq, sent[1].payload.len(), sent[1].flags), (ISS + 10, 10, ACK | PSH | FIN));
}

#[test]
fn sender_silly_window_waits_for_a_segment_or_half_the_largest_window() {
    let mut b = Bench::with(|f| {
        f.snd_wnd = 1000;
        f.snd_mss = 800;
    });
    b.send_to(ISS + 3000, 0);
    assert_eq!(b.sent_lengths(), [(ISS, 800)], "200 bytes of window are no 800, nor half of 1000");
    b.ack(ISS, 1299);
    assert_eq!(b.sent_lengths(), [], "499 are not");
    b.ack(ISS, 1450);
    assert_eq!(b.sent_lengths(), [], "650 are half of 1000, but not of 1450");
    b.ack(ISS + 800, 725);
    assert_eq!(b.sent_lengths(), [(ISS + 800, 725)], "725 are half of 1450");
}

#[test]
fn the_smaller_of_both_windows_counts() {
    let mut b = Bench::new();
    cwnd(&mut b, 2000);
    b.send_to(ISS + 10000, 0);
    assert_eq!(b.sent_lengths(), [(ISS, 1460)]);
    cwnd(&mut b, 2920);
    assert_eq!(b.sent_lengths(), [(ISS + 1460, 1460)]);
    b.ack(ISS, 4380);
    cwnd(&mut b, 1 << 20);
    assert_eq!(b.sent_lengths(), [(ISS + 2920, 1460)]);
    b.ack(ISS + 1460, 1459);
    assert_eq!(b.sent_lengths(), [], "the window shrank: nothing fits");
    b.ack(ISS + 1460, 4380);
    assert_eq!(b.sent_lengths(), [(ISS + 4380, 1460)]);
}

#[test]
fn a_closed_window_sends_nothing_and_an_ack_owed_is_handed_on() {
    let mut b = Bench::with(|f| f.snd_wnd = 0);
    b.send_to(ISS + 100, 0);
    assert_eq!(b.sent(), []);
    b.data(IRS, 1460);
    b.data(IRS + 1460, 1460);
    assert_eq!(b.acked(), IRS + 2920);
}

#[test]
fn the_probe_of_a_closed_window_is_one_byte() {
    let mut b = Bench::with(|f| f.snd_wnd = 0);
    b.send_to(ISS + 100, 0);
    resend(&mut b, ISS, command::RESEND_ONE);
    let sent = b.sent();
    assert_eq!((sent[0].seq, sent[0].payload.clone(), sent[0].flags), (ISS, bytes_at(ISS, 1), ACK));
    assert_eq!((b.flow().snd_nxt, b.flow().snd_max, b.flow().timed), (ISS, ISS + 1, false));
    b.ack(ISS + 1, 65535);
    assert_eq!(b.sent_lengths(), [(ISS + 1, 99)]);
    assert_eq!(b.count(counter::TX_RESENT), 0);
}

#[test]
fn resend_of_one_segment_leaves_snd_nxt_and_ignores_cwnd() {
    let mut b = Bench::new();
    b.send_to(ISS + 4380, 0);
    b.sent();
    cwnd(&mut b, 0);
    resend(&mut b, ISS + 1460, command::RESEND_ONE);
    assert_eq!(b.sent_lengths(), [(ISS + 1460, 1460)]);
    assert_eq!((b.flow().snd_nxt, b.flow().one_pending, b.count(counter::TX_RESENT)), (ISS + 4380, false, 1));
}

#[test]
fn resend_of_one_segment_carries_the_fin_if_it_comes_next() {
    let mut b = Bench::new();
    b.send_to(ISS + 100, command::FIN);
    b.sent();
    resend(&mut b, ISS + 50, command::RESEND_ONE);
    resend(&mut b, ISS + 100, command::RESEND_ONE);
    let shape: Vec<_> = b.sent().iter().map(|s| (s.seq, s.payload.len(), s.flags)).collect();
    assert_eq!(shape, [(ISS + 50, 50, ACK | PSH | FIN), (ISS + 100, 0, ACK | FIN)]);
    resend(&mut b, ISS + 101, command::RESEND_ONE);
    assert_eq!(b.sent(), [], "there is nothing beyond the FIN");
}

#[test]
fn go_back_sends_everything_again_and_an_ack_up_to_snd_max_is_good() {
    let mut b = Bench::new();
    b.send_to(ISS + 4380, 0);
    b.sent();
    cwnd(&mut b, 1460);
    resend(&mut b, ISS, 0);
    assert_eq!(b.sent_lengths(), [(ISS, 1460)]);
    assert_eq!((b.flow().snd_nxt, b.flow().snd_max, b.count(counter::TX_RESENT)), (ISS + 1460, ISS + 4380, 1));
    b.ack(ISS + 4380, 65535);
    assert_eq!((b.flow().snd_una, b.flow().snd_nxt, b.sent()), (ISS + 4380, ISS + 4380, vec![]));
}

#[test]
fn nagle_does_not_hold_back_what_is_sent_again() {
    let mut b = Bench::new();
    b.send_to(ISS + 1460, 0);
    b.ack(ISS, 65535);
    b.send_to(ISS + 1470, 0);
    b.ack(ISS + 1460, 65535);
    assert_eq!(b.sent_lengths(), [(ISS, 1460), (ISS + 1460, 10)]);
    b.send_to(ISS + 1480, 0);
    resend(&mut b, ISS + 1460, 0);
    assert_eq!(b.sent_lengths(), [(ISS + 1460, 20)]);
}

#[test]
fn fin_alone_follows_data_that_is_out() {
    let mut b = Bench::new();
    b.send_to(ISS + 100, 0);
    b.sent();
    b.send_to(ISS + 100, command::FIN);
    let sent = b.sent();
    assert_eq!((sent[0].seq, sent[0].payload.len(), sent[0].flags), (ISS + 100, 0, ACK | FIN));
    assert_eq!((b.flow().snd_nxt, b.flow().pending()), (ISS + 101, false));
    b.ack(ISS + 101, 65535);
    assert_eq!((b.flow().snd_una, b.sent()), (ISS + 101, vec![]));
}

#[test]
fn fin_needs_a_place_in_the_window_too() {
    let mut b = Bench::with(|f| f.snd_wnd = 100);
    b.send_to(ISS + 100, command::FIN);
    let sent = b.sent();
    assert_eq!((sent[0].payload.len(), sent[0].flags), (100, ACK | PSH));
    b.ack(ISS + 100, 0);
    assert_eq!(b.sent(), []);
    b.ack(ISS + 100, 1);
    assert_eq!(b.sent()[0].flags, ACK | FIN);
}

#[test]
fn a_data_segment_carries_the_ack() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    assert!(b.flow().delack_armed);
    b.send_to(ISS + 10, 0);
    let sent = b.sent();
    assert_eq!((sent.len(), sent[0].ack, sent[0].payload.len()), (1, IRS + 10, 10));
    assert!(!b.flow().delack_armed && b.flow().last_ack_sent == IRS + 10);
    b.pass(toe_sim::time::Nanoseconds::from_millis(100)).expect("at rest");
    assert_eq!(b.sent(), []);
}

#[test]
fn an_ack_that_opens_the_window_rides_on_the_data() {
    let mut b = Bench::with(|f| f.snd_wnd = 0);
    b.send_to(ISS + 10, 0);
    b.data(IRS, 1460);
    let opens = Piece { wnd: 1000, ..b.segment(IRS + 1460) };
    b.peer(&opens, 1460);
    let sent = b.sent();
    assert_eq!(sent.len(), 2, "the flow was not yet in the data queue when the ACK became owed: {sent:?}");
    assert_eq!((sent[0].payload.len(), sent[1].payload.len()), (0, 10));
}

#[test]
fn the_payload_runs_over_the_end_of_the_ring_and_of_sequence_space() {
    let start = u32::MAX - 99;
    let mut b = Bench::with(|f| {
        f.send_log2 = 12;
        f.snd_una = start;
        f.snd_nxt = start;
        f.limit = start;
        f.snd_wl2 = start;
    });
    b.send_to(start.wrapping_add(300), command::FIN);
    let sent = b.sent();
    assert_eq!((sent[0].seq, sent[0].payload.clone(), sent[0].flags), (start, bytes_at(start, 300), ACK | PSH | FIN));
    b.ack(201, 65535);
    assert_eq!((b.flow().snd_una, b.flow().snd_nxt), (201, 201));
}

#[test]
fn headers_are_as_documented() {
    let mut b = Bench::with(|f| {
        f.vlan = Some(0x2064);
        f.timestamps = true;
        f.ts_offset = 1000;
        f.ts_recent = 77;
    });
    b.now = toe_sim::time::Nanoseconds(5 << TIMESTAMP_SHIFT);
    b.send_to(ISS + 3, 0);
    let frame = b.frames().remove(0);
    let expected = "020000000002 020000000001 8100 2064 0800\
        4500 0037 0000 4000 40 06 26bf 0a000001 0a000002\
        0050 9c40 0007a120 000186a0 80 18 ffff .... 0000 0101080a 000003ed 0000004d";
    let expected: String = expected.split_whitespace().collect();
    let found: String = frame.iter().map(|b| format!("{b:02x}")).collect();
    for (k, (e, f)) in expected.chars().zip(found.chars()).enumerate() {
        assert!(e == '.' || e == f, "digit {k} of {found}: expected {e}");
    }
    assert_eq!(frame[70..], bytes_at(ISS, 3));
    assert_eq!(b.sent(), [], "taken");
}

#[test]
fn short_frames_are_padded_with_zeros() {
    let mut b = Bench::new();
    b.command(Opcode::AckNow, 0, None);
    let frame = b.frames().remove(0);
    assert_eq!((frame.len(), &frame[54..]), (60, &[0; 6][..]));
    assert_eq!((b.count(counter::MAC_TX_FRAMES), b.count(counter::MAC_TX_BYTES), b.count(counter::TX_ACKS)), (1, 60, 1));
}
