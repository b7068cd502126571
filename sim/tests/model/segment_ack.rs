//! SEGMENT: PAWS, acceptability, TS.Recent, and the ACK field.

use crate::bench::{bytes_at, Bench, ACK, FIN, IRS, ISS};
use toe_contract::command::Opcode;
use toe_contract::{counter, event, CHALLENGE_LOG2, TICK_SHIFT};
use toe_sim::engine::{Begun, Operation};
use toe_sim::rig::{Piece, Settings};
use toe_sim::time::Nanoseconds;

#[test]
fn paws_refuses_an_older_timestamp_and_acknowledges_at_once() {
    let mut b = Bench::with(|f| {
        f.timestamps = true;
        f.ts_recent = 5;
    });
    let old = Piece { timestamp: Some((4, 0)), ..b.segment(IRS) };
    b.peer(&old, 10);
    assert_eq!((b.count(counter::RX_PAWS), b.flow().rcv_nxt, b.acked()), (1, IRS, IRS));
    // The clock of timestamps wraps: 5 - 2^31 - 1 is later.
    let later = Piece { timestamp: Some((5_u32.wrapping_add(1 << 31).wrapping_sub(1), 0)), ..b.segment(IRS) };
    b.peer(&later, 10);
    assert_eq!((b.count(counter::RX_PAWS), b.flow().rcv_nxt), (1, IRS + 10));
}

#[test]
fn a_missing_timestamp_is_tolerated() {
    let mut b = Bench::with(|f| {
        f.timestamps = true;
        f.ts_recent = 5;
    });
    b.data(IRS, 10);
    assert_eq!((b.flow().rcv_nxt, b.flow().ts_recent), (IRS + 10, 5));
}

#[test]
fn ts_recent_is_taken_only_from_what_last_ack_sent_covers() {
    let mut b = Bench::with(|f| f.timestamps = true);
    let beyond = Piece { timestamp: Some((7, 0)), ..b.segment(IRS + 100) };
    b.peer(&beyond, 10);
    assert_eq!(b.flow().ts_recent, 0, "SEG.SEQ is beyond Last.ACK.sent");
    let at = Piece { timestamp: Some((9, 0)), ..b.segment(IRS) };
    b.peer(&at, 10);
    assert_eq!(b.flow().ts_recent, 9);
    // Last.ACK.sent has moved (there is a hole, so an ACK went out): the next in order counts again.
    let next = Piece { timestamp: Some((11, 0)), ..b.segment(IRS + 10) };
    b.peer(&next, 10);
    assert_eq!(b.flow().ts_recent, 11);
}

#[test]
fn segments_without_text_are_acceptable_up_to_the_right_edge_itself() {
    let mut b = Bench::new();
    let edge = b.flow().rcv_adv;
    for (seq, unacceptable) in [(IRS, 0), (edge, 0), (edge + 1, 1), (IRS - 1, 2)] {
        let piece = b.segment(seq);
        b.peer(&piece, 0);
        assert_eq!(b.count(counter::RX_UNACCEPTABLE), unacceptable, "at {seq}");
    }
}

#[test]
fn segments_with_text_need_one_byte_inside_the_window() {
    let mut b = Bench::new();
    let edge = b.flow().rcv_adv;
    for (seq, length, unacceptable) in [(edge - 1, 10, 0), (edge, 10, 1), (IRS - 10, 10, 2), (IRS - 9, 10, 2)] {
        b.data(seq, length);
        assert_eq!(b.count(counter::RX_UNACCEPTABLE), unacceptable, "{length} bytes at {seq}");
    }
    assert_eq!(b.flow().rcv_nxt, IRS + 1);
    assert_eq!(b.flow().ranges, [(edge - 1, edge)], "what lies beyond the edge is cut off");
}

#[test]
fn a_probe_of_a_closed_window_is_acknowledged_and_its_ack_counts() {
    let mut b = Bench::with(|f| {
        f.receive_log2 = 12;
        f.rcv_adv = IRS;
        f.rcv_consumed = IRS - 4096;
        f.snd_wnd = 1000;
    });
    b.send_to(ISS + 100, 0);
    b.sent();
    let probe = Piece { ack: ISS + 100, ..b.segment(IRS) };
    b.peer(&probe, 1);
    assert_eq!((b.count(counter::RX_UNACCEPTABLE), b.flow().snd_una, b.flow().rcv_nxt), (1, ISS + 100, IRS));
    assert_eq!(b.acked(), IRS);
    // Beyond RCV.NXT it is no probe, and its ACK field says nothing.
    b.send_to(ISS + 200, 0);
    b.sent();
    let other = Piece { ack: ISS + 200, ..b.segment(IRS + 1) };
    b.peer(&other, 1);
    assert_eq!((b.flow().snd_una, b.acked()), (ISS + 100, IRS));
}

#[test]
fn an_unacceptable_segment_without_text_is_answered_once_in_half_a_second() {
    let mut b = Bench::new();
    for _ in 0..3 {
        let piece = b.segment(IRS - 1);
        b.peer(&piece, 0);
    }
    assert_eq!((b.count(counter::RX_UNACCEPTABLE), b.acked()), (3, IRS));
    b.pass(Nanoseconds(1 << (CHALLENGE_LOG2 + TICK_SHIFT))).expect("at rest");
    let piece = b.segment(IRS - 1);
    b.peer(&piece, 0);
    assert_eq!(b.acked(), IRS);
}

#[test]
fn duplicates_with_text_are_never_limited() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    for _ in 0..5 {
        b.data(IRS, 10);
        assert_eq!(b.acked(), IRS + 10);
    }
    assert_eq!(b.count(counter::RX_UNACCEPTABLE), 5);
}

#[test]
fn an_ack_of_what_was_never_sent_is_refused_with_its_data() {
    let mut b = Bench::new();
    b.send_to(ISS + 100, 0);
    b.sent();
    let beyond = Piece { ack: ISS + 101, ..b.segment(IRS) };
    b.peer(&beyond, 10);
    assert_eq!((b.count(counter::RX_ACK_BEYOND), b.flow().snd_una, b.flow().rcv_nxt), (1, ISS, IRS));
    assert_eq!(b.acked(), IRS, "answered");
    b.peer(&beyond, 10);
    assert_eq!(b.sent(), [], "but not again at once");
}

#[test]
fn an_ack_older_than_any_window_is_refused_and_one_less_old_is_not() {
    let mut b = Bench::with(|f| f.snd_wnd = 1000);
    let old = Piece { ack: ISS - 1001, ..b.segment(IRS) };
    b.peer(&old, 10);
    assert_eq!((b.count(counter::RX_ACK_OLD), b.flow().rcv_nxt, b.acked()), (1, IRS, IRS));
    let less = Piece { ack: ISS - 1000, ..b.segment(IRS) };
    b.peer(&less, 10);
    assert_eq!((b.count(counter::RX_ACK_OLD), b.flow().rcv_nxt), (1, IRS + 10));
}

#[test]
fn an_ack_moves_snd_una_and_pulls_snd_nxt_and_a_resend_along() {
    let mut b = Bench::with(|f| f.nodelay = true);
    b.send_to(ISS + 3000, 0);
    b.command(Opcode::Cwnd, 0, Some((toe_contract::command::CWND_CWND, 0)));
    b.command(Opcode::Resend, 0, Some((toe_contract::command::RESEND_FROM, ISS)));
    assert_eq!((b.flow().snd_nxt, b.flow().snd_max), (ISS, ISS + 3000));
    b.ack(ISS + 2000, 65535);
    assert_eq!((b.flow().snd_una, b.flow().snd_nxt, b.flow().snd_max), (ISS + 2000, ISS + 2000, ISS + 3000));
    let told = b.only_event();
    assert_eq!((told.get(event::SND_UNA), told.get(event::SND_MAX)), (ISS + 2000, ISS + 3000));
}

#[test]
fn duplicate_acks_are_counted_and_told_from_the_third_on() {
    let mut b = Bench::new();
    b.send_to(ISS + 100, 0);
    b.sent();
    let mut told = Vec::new();
    for _ in 0..4 {
        b.ack(ISS, 65535);
        told.extend(b.events().iter().map(|e| e.get(event::DUP_ACKS)));
        b.command(Opcode::Rearm, toe_contract::command::REARM, None);
    }
    assert_eq!((b.flow().dup_acks, told), (4, vec![3, 4]));
    assert_eq!(b.sent(), [], "a duplicate ACK is not answered");
    b.ack(ISS + 100, 65535);
    assert_eq!(b.flow().dup_acks, 0);
}

#[test]
fn text_a_fin_another_window_or_nothing_outstanding_make_no_duplicate_ack() {
    let mut b = Bench::new();
    b.ack(ISS, 65535);
    assert_eq!(b.flow().dup_acks, 0, "nothing is outstanding");
    b.send_to(ISS + 100, 0);
    b.ack(ISS, 65534);
    assert_eq!(b.flow().dup_acks, 0, "the window is another");
    b.data(IRS, 10);
    let fin = Piece { flags: ACK | FIN, ..b.segment(IRS + 10) };
    b.peer(&fin, 0);
    assert_eq!(b.flow().dup_acks, 0, "text and FIN");
}

#[test]
fn the_window_is_taken_from_newer_segments_only() {
    let mut b = Bench::new();
    b.data(IRS, 100);
    let newer = Piece { wnd: 500, ..b.segment(IRS + 100) };
    b.peer(&newer, 0);
    assert_eq!((b.flow().snd_wnd, b.flow().snd_wl1), (500, IRS + 100));
    // SND.WL1 is beyond this one: its window is old, its bytes are not.
    let older = Piece { wnd: 60000, ..b.segment(IRS + 50) };
    b.peer(&older, 200);
    assert_eq!((b.flow().snd_wnd, b.flow().rcv_nxt), (500, IRS + 250));
    assert_eq!(b.flow().max_wnd, 65535);
}

#[test]
fn an_old_ack_does_not_change_the_window() {
    let mut b = Bench::new();
    b.send_to(ISS + 100, 0);
    b.ack(ISS + 100, 65535);
    let old = Piece { ack: ISS + 50, wnd: 1, ..b.segment(IRS) };
    b.peer(&old, 0);
    assert_eq!((b.flow().snd_wnd, b.flow().dup_acks), (65535, 0));
}

#[test]
fn the_window_is_scaled() {
    let mut b = Bench::with(|f| f.snd_wscale = 7);
    let piece = Piece { wnd: 1000, ..b.segment(IRS) };
    b.peer(&piece, 0);
    assert_eq!(b.flow().snd_wnd, 128_000);
}

#[test]
fn a_round_trip_is_timed_once_a_window_and_the_echo_is_kept() {
    let mut b = Bench::with(|f| {
        f.timestamps = true;
        f.nodelay = true;
    });
    b.send_to(ISS + 3000, 0);
    assert_eq!((b.flow().timed, b.flow().timed_seq), (true, ISS + 1460), "the first segment");
    b.pass(Nanoseconds(100 << TICK_SHIFT)).expect("at rest");
    let half = Piece { ack: ISS + 1459, timestamp: Some((1, 77)), ..b.segment(IRS) };
    b.peer(&half, 0);
    assert_eq!((b.flow().rtt_count, b.flow().ts_ecr), (0, 77), "not the whole of it");
    let whole = Piece { ack: ISS + 3000, timestamp: Some((1, 78)), ..b.segment(IRS) };
    b.peer(&whole, 0);
    assert_eq!((b.flow().rtt, b.flow().rtt_count, b.flow().timed, b.flow().ts_ecr), (100, 1, false, 78));
}

#[test]
fn karn_a_resent_segment_is_not_timed() {
    let mut b = Bench::new();
    b.send_to(ISS + 1000, 0);
    assert!(b.flow().timed);
    b.command(Opcode::Resend, 0, Some((toe_contract::command::RESEND_FROM, ISS)));
    assert!(!b.flow().timed, "RESEND stops the clock, and what is below SND.MAX does not start it");
    b.send_to(ISS + 1100, 0);
    assert_eq!((b.flow().timed, b.flow().snd_max), (false, ISS + 1000), "held back by Nagle");
    b.ack(ISS + 1000, 65535);
    assert_eq!((b.flow().rtt_count, b.flow().timed_seq), (0, ISS + 1100), "what is new is timed");
}

/// RFC 7323 section 3.2: a timestamp on a connection that did not negotiate it is ignored.
#[test]
fn a_timestamp_that_was_not_negotiated_is_ignored() {
    let mut b = Bench::new();
    b.send_to(ISS + 100, 0);
    let piece = Piece { ack: ISS + 100, timestamp: Some((7, 9)), ..b.segment(IRS) };
    b.peer(&piece, 10);
    assert_eq!((b.flow().rcv_nxt, b.flow().snd_una), (IRS + 10, ISS + 100));
    assert_eq!((b.flow().ts_recent, b.flow().ts_ecr), (0, 0));
    let mut b = Bench::with(|f| f.timestamps = true);
    b.send_to(ISS + 100, 0);
    b.peer(&piece, 10);
    assert_eq!((b.flow().ts_recent, b.flow().ts_ecr), (7, 9));
}

/// Due, a delayed ACK is owed and stays armed: a segment that comes before the ACK goes out does not arm it again.
#[test]
fn a_delayed_ack_that_is_due_stays_armed_until_it_goes_out() {
    let mut b = Bench::with_settings(Settings { delayed_ack: 0, ..Settings::default() }, |_| {});
    let frames = [(IRS, 10), (IRS + 10, 10)].map(|(seq, length)| b.setup.frame(&b.segment(seq), &bytes_at(seq, length)));
    frames.iter().for_each(|frame| b.push(frame, true));
    let order = [Operation::Segment, Operation::Timer, Operation::Segment, Operation::Ack, Operation::Report];
    b.engine.inner_mut().guide(order.map(|operation| Begun { operation, flow: 0 }));
    b.run();
    assert_eq!(b.acked(), IRS + 20);
    let model = b.engine.inner();
    assert_eq!((model.astray(), model.waiting()), (None, None));
}
