//! SEGMENT: payload, ranges, FIN, and the decision about an ACK.

use crate::bench::{bytes_at, Bench, ACK, FIN, IRS};
use toe_contract::command::Opcode;
use toe_contract::{counter, event, RANGES, TICK_SHIFT};
use toe_sim::engine::Engine;
use toe_sim::rig::Piece;
use toe_sim::time::Nanoseconds;

fn fin(b: &mut Bench, seq: u32, length: usize) {
    let piece = Piece { flags: ACK | FIN, ..b.segment(seq) };
    b.peer(&piece, length);
}

#[test]
fn bytes_in_order_are_placed_and_told() {
    let mut b = Bench::new();
    b.data(IRS, 100);
    assert_eq!(b.received(IRS, 100), bytes_at(IRS, 100));
    let told = b.only_event();
    assert_eq!((told.get(event::RCV_NXT), told.get(event::FLAGS), b.count(counter::RX_IN_ORDER)), (IRS + 100, 0, 1));
}

#[test]
fn a_segment_that_begins_early_is_trimmed() {
    let mut b = Bench::new();
    b.data(IRS, 100);
    b.data(IRS + 50, 100);
    assert_eq!((b.flow().rcv_nxt, b.count(counter::RX_IN_ORDER)), (IRS + 150, 2));
    assert_eq!(b.received(IRS, 150), bytes_at(IRS, 150));
}

#[test]
fn out_of_order_bytes_are_held_and_joined() {
    let mut b = Bench::new();
    b.data(IRS + 100, 100);
    assert_eq!((b.flow().ranges.clone(), b.acked(), b.count(counter::RX_OUT_OF_ORDER)), (vec![(IRS + 100, IRS + 200)], IRS, 1));
    assert_eq!(b.events(), [], "RCV.NXT has not moved");
    b.data(IRS, 100);
    assert_eq!((b.flow().rcv_nxt, b.flow().ranges.len(), b.acked()), (IRS + 200, 0, IRS + 200));
    assert_eq!(b.received(IRS, 200), bytes_at(IRS, 200));
}

#[test]
fn ranges_join_on_both_sides_and_by_touching() {
    let at = |a: u32, e: u32| (IRS + a, IRS + e);
    for (third, expected) in [
        ((300, 100), vec![at(200, 500)]),                            // touches both
        ((250, 100), vec![at(200, 350), at(400, 500)]),              // overlaps the left one
        ((350, 100), vec![at(200, 300), at(350, 500)]),              // overlaps the right one
        ((100, 100), vec![at(100, 300), at(400, 500)]),              // touches the left one from below
        ((500, 50), vec![at(200, 300), at(400, 550)]),               // touches the right one from above
        ((150, 600), vec![at(150, 750)]),                            // covers both
        ((220, 20), vec![at(200, 300), at(400, 500)]),               // is inside
        ((301, 98), vec![at(200, 300), at(301, 399), at(400, 500)]), // touches neither
    ] {
        let mut b = Bench::new();
        b.data(IRS + 400, 100);
        b.data(IRS + 200, 100);
        b.data(IRS + third.0, third.1);
        assert_eq!(b.flow().ranges, expected, "third segment {third:?}");
        assert_eq!(b.acked_all(), vec![IRS; 3]);
    }
}

#[test]
fn a_segment_in_order_swallows_the_ranges_that_it_reaches() {
    let mut b = Bench::new();
    b.data(IRS + 300, 100);
    b.data(IRS + 100, 100);
    b.data(IRS, 150);
    assert_eq!((b.flow().rcv_nxt, b.flow().ranges.clone()), (IRS + 200, vec![(IRS + 300, IRS + 400)]));
    b.data(IRS + 150, 400);
    assert_eq!((b.flow().rcv_nxt, b.flow().ranges.len()), (IRS + 550, 0));
    assert_eq!(b.received(IRS, 550), bytes_at(IRS, 550));
}

#[test]
fn without_a_free_range_payload_and_fin_are_not_taken() {
    let mut b = Bench::new();
    for k in 1..=u32::try_from(RANGES).expect("few") {
        b.data(IRS + 100 * k, 50);
    }
    let full = b.flow().ranges.clone();
    b.sent();
    fin(&mut b, IRS + 1000, 50);
    assert_eq!((b.flow().ranges.clone(), b.flow().fin_known, b.count(counter::RX_NO_RANGE)), (full, false, 1));
    assert_eq!((b.acked(), b.received(IRS + 1000, 50)), (IRS, vec![0; 50]));
    // What touches a range, and what is in order, needs none.
    b.data(IRS + 150, 10);
    b.data(IRS, 10);
    assert_eq!((b.flow().ranges[0], b.flow().rcv_nxt, b.count(counter::RX_NO_RANGE)), ((IRS + 100, IRS + 160), IRS + 10, 1));
}

#[test]
fn every_byte_of_a_piece_is_placed_also_those_held() {
    let mut b = Bench::new();
    b.data(IRS + 100, 100);
    let other = b.setup.frame(&b.segment(IRS + 50), &[0xee; 100]);
    b.push(&other, true);
    b.run();
    assert_eq!(b.received(IRS + 50, 100), [0xee; 100]);
    assert_eq!(b.received(IRS + 150, 50), bytes_at(IRS + 150, 50));
}

#[test]
fn nothing_new_is_a_duplicate_and_acknowledged_at_once() {
    let mut b = Bench::new();
    b.data(IRS, 100);
    fin(&mut b, IRS + 100, 0);
    b.sent();
    // Begins at the FIN: acceptable only by what lies beyond it, which is cut off.
    b.data(IRS + 90, 50);
    assert_eq!((b.count(counter::RX_DUPLICATE), b.acked(), b.flow().rcv_nxt), (1, IRS + 101, IRS + 101));
}

#[test]
fn fin_in_order_is_counted_and_acknowledged_at_once() {
    let mut b = Bench::new();
    fin(&mut b, IRS, 100);
    assert_eq!((b.flow().rcv_nxt, b.flow().fin_received, b.acked()), (IRS + 101, true, IRS + 101));
    let told = b.only_event();
    assert_eq!((told.get(event::RCV_NXT), told.get(event::FLAGS)), (IRS + 101, event::FIN_RECEIVED.into()));
}

#[test]
fn fin_before_the_data_it_follows_is_remembered() {
    let mut b = Bench::new();
    fin(&mut b, IRS + 100, 0);
    assert_eq!((b.flow().fin_known, b.flow().fin_received, b.acked(), b.events()), (true, false, IRS, vec![]));
    b.data(IRS, 100);
    assert_eq!((b.flow().rcv_nxt, b.flow().fin_received, b.only_event().get(event::FLAGS)), (IRS + 101, true, event::FIN_RECEIVED.into()));
}

#[test]
fn fin_with_data_that_half_overlaps() {
    let mut b = Bench::new();
    b.data(IRS, 100);
    fin(&mut b, IRS + 50, 100);
    assert_eq!((b.flow().rcv_nxt, b.flow().fin_seq, b.flow().fin_received), (IRS + 151, IRS + 150, true));
    assert_eq!(b.received(IRS, 150), bytes_at(IRS, 150));
}

#[test]
fn fin_retransmitted_is_acknowledged_again_and_moves_nothing() {
    let mut b = Bench::new();
    fin(&mut b, IRS, 100);
    b.sent();
    fin(&mut b, IRS, 100);
    assert_eq!((b.flow().rcv_nxt, b.acked()), (IRS + 101, IRS + 101));
    fin(&mut b, IRS + 100, 0);
    assert_eq!((b.flow().rcv_nxt, b.acked()), (IRS + 101, IRS + 101));
}

#[test]
fn data_beyond_a_known_fin_is_cut_off() {
    let mut b = Bench::new();
    fin(&mut b, IRS + 100, 0);
    b.data(IRS + 50, 200);
    assert_eq!(b.flow().ranges, [(IRS + 50, IRS + 100)]);
    assert_eq!(b.received(IRS + 100, 50), [0; 50]);
    b.data(IRS, 60);
    assert_eq!((b.flow().rcv_nxt, b.flow().fin_received), (IRS + 101, true));
}

#[test]
fn a_fin_before_bytes_that_are_held_is_not_believed() {
    let mut b = Bench::new();
    b.data(IRS + 200, 100);
    fin(&mut b, IRS + 100, 50);
    assert!(!b.flow().fin_known, "bytes are held beyond it");
    fin(&mut b, IRS, 250);
    assert_eq!((b.flow().fin_known, b.flow().rcv_nxt), (false, IRS + 300), "it joined a range that goes on beyond it");
    fin(&mut b, IRS + 300, 0);
    assert_eq!((b.flow().fin_seq, b.flow().rcv_nxt), (IRS + 300, IRS + 301));
}

#[test]
fn a_fin_outside_the_window_is_not_taken() {
    let mut b = Bench::new();
    let edge = b.flow().rcv_adv;
    fin(&mut b, edge - 10, 10);
    assert_eq!((b.flow().fin_known, b.flow().ranges.clone()), (false, vec![(edge - 10, edge)]));
}

#[test]
fn one_segment_waits_for_the_delayed_ack_two_full_ones_do_not() {
    let mut b = Bench::new();
    b.data(IRS, 1460);
    assert_eq!((b.sent(), b.flow().delack_armed), (vec![], true));
    b.data(IRS + 1460, 1459);
    assert_eq!(b.sent(), [], "one byte less than two full segments");
    b.data(IRS + 2919, 1);
    assert_eq!((b.acked(), b.flow().delack_armed), (IRS + 2920, false));
}

#[test]
fn the_delayed_ack_comes_when_its_tick_has_come() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    let deadline = Nanoseconds(u64::from(b.flow().delack_deadline) << TICK_SHIFT);
    assert_eq!(b.engine.next_deadline(), Some(deadline));
    let now = b.now;
    b.pass(deadline - now - Nanoseconds(1)).expect("at rest");
    assert_eq!(b.sent(), []);
    b.pass(Nanoseconds(1)).expect("at rest");
    assert_eq!((b.acked(), b.flow().in_delack), (IRS + 10, false));
}

#[test]
fn a_delayed_ack_that_went_out_otherwise_is_not_sent_and_its_timer_starts_anew() {
    let mut b = Bench::new();
    b.data(IRS, 10);
    b.pass(Nanoseconds::from_millis(30)).expect("at rest");
    b.command(Opcode::AckNow, 0, None);
    assert_eq!((b.acked(), b.flow().delack_armed, b.flow().in_delack), (IRS + 10, false, true));
    b.data(IRS + 10, 10);
    b.pass(Nanoseconds::from_millis(20)).expect("at rest");
    assert_eq!(b.sent(), [], "the first deadline has passed, the second not");
    b.pass(Nanoseconds::from_millis(21)).expect("at rest");
    assert_eq!(b.acked(), IRS + 20);
}

#[test]
fn while_ranges_are_held_every_segment_with_text_is_acknowledged_at_once() {
    let mut b = Bench::new();
    b.data(IRS + 1000, 10);
    b.data(IRS, 10);
    b.data(IRS + 10, 10);
    assert_eq!(b.acked_all(), [IRS, IRS + 10, IRS + 20]);
}

#[test]
fn text_that_leaves_a_window_below_a_segment_is_acknowledged_at_once() {
    let mut b = Bench::with(|f| {
        f.receive_log2 = 12;
        f.rcv_adv = IRS + 4096;
    });
    b.data(IRS, 1000);
    assert_eq!(b.sent(), []);
    b.data(IRS + 1000, 1636);
    assert_eq!(b.sent(), [], "1460 bytes are left");
    b.data(IRS + 2636, 1);
    assert_eq!(b.acked(), IRS + 2637);
}

#[test]
fn payload_runs_over_the_end_of_the_ring() {
    let mut b = Bench::with(|f| {
        f.receive_log2 = 12;
        f.rcv_nxt = 4096 * 3 - 100;
        f.rcv_consumed = f.rcv_nxt;
        f.rcv_adv = f.rcv_nxt + 4096;
        f.snd_wl1 = f.rcv_nxt;
    });
    let start = b.flow().rcv_nxt;
    b.data(start, 300);
    assert_eq!(b.received(start, 300), bytes_at(start, 300));
    let mut head = [0; 200];
    b.receive.copy_out(0, &mut head);
    assert_eq!(head.to_vec(), bytes_at(start + 100, 200));
}

#[test]
fn sequence_numbers_wrap_in_the_middle_of_everything() {
    let mut b = Bench::with(|f| {
        f.rcv_nxt = u32::MAX - 99;
        f.rcv_consumed = f.rcv_nxt;
        f.rcv_adv = f.rcv_nxt.wrapping_add(65535);
        f.snd_wl1 = f.rcv_nxt;
    });
    let start = b.flow().rcv_nxt;
    b.data(start.wrapping_add(50), 100);
    b.data(start.wrapping_add(200), 100);
    assert_eq!(b.flow().ranges, [(u32::MAX - 49, 50), (100, 200)]);
    fin(&mut b, start.wrapping_add(150), 150);
    assert_eq!((b.flow().ranges.clone(), b.flow().fin_seq), (vec![(u32::MAX - 49, 200)], 200));
    b.data(start, 60);
    assert_eq!((b.flow().rcv_nxt, b.flow().fin_received), (201, true));
    assert_eq!(b.received(start, 300), bytes_at(start, 300));
}
