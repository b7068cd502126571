//! The announcement, window updates, and their silly windows.

use crate::bench::{Bench, IRS};
use toe_contract::command::{self, Opcode};
use toe_contract::counter;

/// A ring of 4096 bytes, all of it announced.
fn small(rcv_mss: u16) -> Bench {
    Bench::with(|f| {
        f.receive_log2 = 12;
        f.rcv_mss = rcv_mss;
        f.rcv_adv = IRS + 4096;
    })
}

fn consumed(b: &mut Bench, seq: u32) {
    b.command(Opcode::Consumed, 0, Some((command::CONSUMED_RCV_CONSUMED, seq)));
}

fn windows(b: &mut Bench) -> Vec<(u32, u16)> {
    b.sent().iter().map(|s| (s.ack, s.wnd)).collect()
}

#[test]
fn the_window_shrinks_as_bytes_come_and_its_edge_stays() {
    let mut b = small(1460);
    b.data(IRS, 2000);
    b.data(IRS + 2000, 2096);
    assert_eq!(windows(&mut b), [(IRS + 4096, 0)]);
    assert_eq!(b.flow().rcv_adv, IRS + 4096);
}

#[test]
fn receiver_silly_window_the_edge_moves_by_a_segment_at_least() {
    let mut b = small(1000);
    b.data(IRS, 4096);
    b.sent();
    consumed(&mut b, IRS + 999);
    assert_eq!((windows(&mut b), b.count(counter::TX_WINDOW_UPDATES)), (vec![], 0));
    b.command(Opcode::AckNow, 0, None);
    assert_eq!(windows(&mut b), [(IRS + 4096, 0)], "999 bytes are not announced");
    consumed(&mut b, IRS + 1000);
    assert_eq!((windows(&mut b), b.count(counter::TX_WINDOW_UPDATES)), (vec![(IRS + 4096, 1000)], 1));
    assert_eq!(b.flow().rcv_adv, IRS + 5096);
}

#[test]
fn receiver_silly_window_half_a_small_ring_is_enough() {
    let mut b = small(60000);
    b.data(IRS, 4096);
    b.sent();
    consumed(&mut b, IRS + 2047);
    assert_eq!(windows(&mut b), []);
    consumed(&mut b, IRS + 2048);
    assert_eq!(windows(&mut b), [(IRS + 4096, 2048)]);
}

#[test]
fn no_window_update_while_half_the_ring_is_announced() {
    let mut b = small(1000);
    b.data(IRS, 2048);
    b.sent();
    consumed(&mut b, IRS + 2048);
    assert_eq!((windows(&mut b), b.count(counter::TX_WINDOW_UPDATES)), (vec![], 0), "2048 bytes are left of what was announced");
    b.data(IRS + 2048, 1);
    assert!(b.flow().delack_armed);
    b.command(Opcode::AckNow, 0, None);
    assert_eq!(windows(&mut b), [(IRS + 2049, 4095)], "the next segment announces it");
}

#[test]
fn the_scale_rounds_down_and_the_edge_does_not_shrink_for_a_sender() {
    let mut b = Bench::with(|f| {
        f.rcv_wscale = 7;
        f.rcv_adv = IRS + 65536;
    });
    b.data(IRS, 100);
    b.command(Opcode::AckNow, 0, None);
    // 65436 bytes are left: 511 units of 128 are 65408.
    assert_eq!(windows(&mut b), [(IRS + 100, 511)]);
    assert_eq!(b.flow().rcv_adv, IRS + 65536, "what was announced stays so");
    let edge = IRS + 65536;
    b.data(edge - 10, 10);
    assert_eq!(b.flow().ranges, [(edge - 10, edge)], "and its last bytes are taken");
}

#[test]
fn a_window_beyond_16_bits_is_announced_as_the_largest() {
    let mut b = Bench::with(|f| {
        f.receive_log2 = 18;
        f.rcv_adv = IRS + 1000;
    });
    b.command(Opcode::AckNow, 0, None);
    assert_eq!(windows(&mut b), [(IRS, 65535)]);
    assert_eq!(b.flow().rcv_adv, IRS + 65535);
}

#[test]
fn the_largest_scaled_window_is_a_gigabyte() {
    let mut b = Bench::with(|f| {
        f.receive_log2 = 20;
        f.rcv_wscale = 14;
        f.rcv_adv = IRS;
    });
    b.command(Opcode::AckNow, 0, None);
    assert_eq!((windows(&mut b), b.flow().rcv_adv), (vec![(IRS, 64)], IRS + (1 << 20)));
}

#[test]
fn a_window_closed_by_rounding_opens_again() {
    let mut b = Bench::with(|f| {
        f.receive_log2 = 12;
        f.rcv_wscale = 12;
        f.rcv_mss = 1000;
        f.rcv_adv = IRS + 4096;
    });
    b.data(IRS, 1000);
    b.command(Opcode::AckNow, 0, None);
    assert_eq!(windows(&mut b), [(IRS + 1000, 0)], "3096 bytes are no unit of 4096");
    b.data(IRS + 1000, 3096);
    b.sent();
    consumed(&mut b, IRS + 4096);
    assert_eq!(windows(&mut b), [(IRS + 4096, 1)]);
}
