//! SEGMENT, steps 5 and 6: payload into the ranges, and the FIN.
//!
//! Ranges are kept in no order. They are disjoint and not adjacent, so at most one of those that a segment touches begins before it, and at most one
//! ends behind it: the joined range takes its ends from these two, or from the segment. The comparisons are made with the segment as it came: whatever
//! trimming cuts away lies before RCV.NXT, beyond the right edge or beyond the FIN, where no range is.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::state::{FlowRange, FlowReceive};
use crate::types::{Parsed, LENGTH_BITS};
use rust_hdl::prelude::*;
use toe_contract::RANGES;

/// What becomes of a segment's payload and FIN.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Placement {
    /// There is payload that is new or between what is held; it goes to memory.
    pub place: Bit,
    /// It begins at RCV.NXT.
    pub in_order: Bit,
    /// It would need a free range, and there is none.
    pub no_range: Bit,
    /// Payload, and nothing of it inside the window.
    pub duplicate: Bit,
    /// The peer's FIN becomes known, with `fin_seq`.
    pub fin_new: Bit,
    /// RCV.NXT passes the FIN.
    pub fin_passed: Bit,
    /// Two full segments are not acknowledged.
    pub many: Bit,
    /// Less than a full segment's window is left.
    pub narrow: Bit,
    /// Ranges were held before.
    pub held: Bit,
    /// RCV.NXT after it.
    pub rcv_nxt: Bits<32>,
    /// Sequence number of the FIN.
    pub fin_seq: Bits<32>,
    /// First byte of the joined range.
    pub start: Bits<32>,
    /// Byte after its last.
    pub stop: Bits<32>,
    /// Sequence number of the first byte placed.
    pub position: Bits<32>,
    /// Bytes placed.
    pub length: Bits<LENGTH_BITS>,
    /// First byte placed, from the frame's start.
    pub offset: Bits<LENGTH_BITS>,
}

/// Compares a segment with RCV.NXT, the right edge, the FIN and the ranges. Inputs stand still from cycle 3 on; outputs are right from cycle 8 on.
#[derive(LogicBlock, Default)]
pub struct Reassembly {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// The segment.
    pub segment: Signal<In, Parsed>,
    /// SEG.SEQ + payload.
    pub seq_end: Signal<In, Bits<32>>,
    /// Payload of a full segment.
    pub rcv_mss: Signal<In, Bits<16>>,
    /// The flow.
    pub receive: Signal<In, FlowReceive>,
    /// The flow's ranges.
    pub range: [Signal<In, FlowRange>; RANGES],
    /// What is to be done if the segment is taken.
    pub placement: Signal<Out, Placement>,
    /// Out of order: the range that takes the joined one.
    pub takes: [Signal<Out, Bit>; RANGES],
    /// The ranges that are joined.
    pub joined: [Signal<Out, Bit>; RANGES],
    starts: [DFF<Bit>; RANGES],
    stops: [DFF<Bit>; RANGES],
    early: [DFF<Bit>; RANGES],
    late: [DFF<Bit>; RANGES],
    touch: [DFF<Bit>; RANGES],
    near: [DFF<Bit>; RANGES],
    far: [DFF<Bit>; RANGES],
    pick: [DFF<Bit>; RANGES],
    each: Signal<Local, FlowRange>,
    gap: [Signal<Local, Bits<32>>; 4],
    right_gap: Signal<Local, Bits<32>>,
    over_gap: Signal<Local, Bits<32>>,
    fin_gap: Signal<Local, Bits<32>>,
    fin_right_gap: Signal<Local, Bits<32>>,
    stop_gap: Signal<Local, Bits<32>>,
    start_gap: DFF<Bits<32>>,
    double_mss: DFF<Bits<32>>,
    here_next: DFF<Bits<32>>,
    fits: DFF<Bit>,
    over: DFF<Bit>,
    over_fin: DFF<Bit>,
    fin_first: DFF<Bit>,
    reaches: DFF<Bit>,
    behind: DFF<Bit>,
    in_order: DFF<Bit>,
    cut: DFF<Bits<32>>,
    takes_fin: DFF<Bit>,
    held: DFF<Bit>,
    full: DFF<Bit>,
    later: Signal<Local, Bit>,
    any_held: Signal<Local, Bit>,
    all_held: Signal<Local, Bit>,
    one_less: DFF<Bits<32>>,
    found: Signal<Local, Bit>,
    any_touch: Signal<Local, Bit>,
    low: Signal<Local, Bits<32>>,
    high: Signal<Local, Bits<32>>,
    extended: Signal<Local, Bit>,
    lowered: Signal<Local, Bit>,
    joins: DFF<Bit>,
    start: DFF<Bits<32>>,
    stop: DFF<Bits<32>>,
    from_seq: DFF<Bits<32>>,
    from_nxt: DFF<Bits<32>>,
    fin_seq: DFF<Bits<32>>,
    fin_known: DFF<Bit>,
    new_bytes: Signal<Local, Bits<32>>,
    is_new: Signal<Local, Bit>,
    stage: DFF<Placement>,
    stop_next: DFF<Bits<32>>,
    at_fin_stop: DFF<Bit>,
    at_fin_here: DFF<Bit>,
    unacked: DFF<Bits<32>>,
    left: DFF<Bits<32>>,
    moves: Signal<Local, Bit>,
    passes: Signal<Local, Bit>,
    ready: DFF<Placement>,
}

impl Logic for Reassembly {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            start_gap,
            double_mss,
            here_next,
            fits,
            over,
            over_fin,
            fin_first,
            reaches,
            behind,
            in_order,
            cut,
            takes_fin,
            held,
            full,
            one_less,
            joins,
            start,
            stop,
            from_seq,
            from_nxt,
            fin_seq,
            fin_known,
            stage,
            stop_next,
            at_fin_stop,
            at_fin_here,
            unacked,
            left,
            ready
        );
        // Cycle 3: the segment against RCV.NXT, the right edge, the FIN and each range. A sign bit is a comparison.
        for k in 0..RANGES {
            self.each.next = self.range[k].val();
            self.starts[k].clock.next = self.clock.val();
            self.stops[k].clock.next = self.clock.val();
            self.early[k].clock.next = self.clock.val();
            self.late[k].clock.next = self.clock.val();
            self.gap[0].next = self.seq_end.val() - self.each.val().start;
            self.gap[1].next = self.each.val().stop - self.segment.val().seq;
            self.gap[2].next = self.each.val().start - self.segment.val().seq;
            self.gap[3].next = self.seq_end.val() - self.each.val().stop;
            self.starts[k].d.next = !self.gap[0].val().get_bit(31);
            self.stops[k].d.next = !self.gap[1].val().get_bit(31);
            self.early[k].d.next = self.gap[2].val().get_bit(31);
            self.late[k].d.next = self.gap[3].val().get_bit(31);
        }
        self.start_gap.d.next = self.receive.val().rcv_nxt - self.segment.val().seq;
        self.right_gap.next = self.seq_end.val() - self.receive.val().rcv_adv;
        self.over_gap.next = self.receive.val().rcv_adv - self.seq_end.val();
        self.fin_gap.next = self.receive.val().fin_seq - self.seq_end.val();
        self.fin_right_gap.next = self.receive.val().fin_seq - self.receive.val().rcv_adv;
        self.stop_gap.next = self.seq_end.val() - self.receive.val().rcv_nxt;
        self.fits.d.next = self.right_gap.val().get_bit(31);
        self.over.d.next = self.over_gap.val().get_bit(31);
        self.over_fin.d.next = self.fin_gap.val().get_bit(31);
        self.fin_first.d.next = self.fin_right_gap.val().get_bit(31);
        self.reaches.d.next = !self.stop_gap.val().get_bit(31);
        self.double_mss.d.next = bit_cast::<32, 16>(self.rcv_mss.val()) << 1;
        self.here_next.d.next = self.receive.val().rcv_nxt + 1;
        // Cycle 4: which ranges it touches, where its payload is cut, whether its FIN counts.
        self.later.next = false;
        self.any_held.next = false;
        self.all_held.next = true;
        for k in 0..RANGES {
            self.each.next = self.range[k].val();
            self.touch[k].clock.next = self.clock.val();
            self.near[k].clock.next = self.clock.val();
            self.far[k].clock.next = self.clock.val();
            self.touch[k].d.next = self.each.val().held & self.starts[k].q.val() & self.stops[k].q.val();
            self.near[k].d.next = self.each.val().held & self.starts[k].q.val() & self.stops[k].q.val() & self.early[k].q.val();
            self.far[k].d.next = self.each.val().held & self.starts[k].q.val() & self.stops[k].q.val() & self.late[k].q.val();
            self.later.next = self.later.val() | (self.each.val().held & self.late[k].q.val());
            self.any_held.next = self.any_held.val() | self.each.val().held;
            self.all_held.next = self.all_held.val() & self.each.val().held;
        }
        self.held.d.next = self.any_held.val();
        self.full.d.next = self.all_held.val();
        self.behind.d.next = !self.start_gap.q.val().get_bit(31) & self.start_gap.q.val().any();
        self.in_order.d.next = !self.start_gap.q.val().get_bit(31);
        self.cut.d.next = self.seq_end.val();
        if self.over.q.val() {
            self.cut.d.next = self.receive.val().rcv_adv;
        }
        if self.receive.val().fin_known & ((self.over.q.val() & self.fin_first.q.val()) | (!self.over.q.val() & self.over_fin.q.val())) {
            self.cut.d.next = self.receive.val().fin_seq;
        }
        self.takes_fin.d.next =
            self.segment.val().control.get_bit(0) & !self.receive.val().fin_known & self.fits.q.val() & self.reaches.q.val() & !self.later.val();
        self.one_less.d.next = self.double_mss.q.val() - 1;
        // Cycle 5: the joined range; what is left of the payload.
        self.any_touch.next = false;
        self.lowered.next = false;
        self.extended.next = false;
        self.low.next = bits::<32>(0);
        self.high.next = bits::<32>(0);
        for k in 0..RANGES {
            self.each.next = self.range[k].val();
            if self.near[k].q.val() {
                self.low.next = self.low.val() | self.each.val().start;
            }
            if self.far[k].q.val() {
                self.high.next = self.high.val() | self.each.val().stop;
            }
            self.lowered.next = self.lowered.val() | self.near[k].q.val();
            self.extended.next = self.extended.val() | self.far[k].q.val();
            self.any_touch.next = self.any_touch.val() | self.touch[k].q.val();
        }
        self.found.next = false;
        for k in 0..RANGES {
            self.each.next = self.range[k].val();
            self.pick[k].clock.next = self.clock.val();
            self.pick[k].d.next = !self.found.val() & ((self.any_touch.val() & self.touch[k].q.val()) | (!self.any_touch.val() & !self.each.val().held));
            self.found.next = self.found.val() | (self.any_touch.val() & self.touch[k].q.val()) | (!self.any_touch.val() & !self.each.val().held);
        }
        self.joins.d.next = self.any_touch.val();
        self.start.d.next = self.segment.val().seq;
        if self.lowered.val() {
            self.start.d.next = self.low.val();
        }
        self.stop.d.next = self.cut.q.val();
        if self.extended.val() {
            self.stop.d.next = self.high.val();
        }
        self.from_seq.d.next = self.cut.q.val() - self.segment.val().seq;
        self.from_nxt.d.next = self.cut.q.val() - self.receive.val().rcv_nxt;
        self.fin_known.d.next = self.receive.val().fin_known | self.takes_fin.q.val();
        self.fin_seq.d.next = self.receive.val().fin_seq;
        if self.takes_fin.q.val() {
            self.fin_seq.d.next = self.seq_end.val();
        }
        // Cycle 6: is there anything new?
        self.new_bytes.next = self.from_seq.q.val();
        if self.behind.q.val() {
            self.new_bytes.next = self.from_nxt.q.val();
        }
        self.is_new.next = !self.new_bytes.val().get_bit(31) & self.new_bytes.val().any();
        self.stage.d.next.offset = bit_cast::<LENGTH_BITS, 7>(self.segment.val().payload_offset);
        self.stage.d.next.position = self.segment.val().seq;
        if self.behind.q.val() {
            self.stage.d.next.offset = bit_cast::<LENGTH_BITS, 7>(self.segment.val().payload_offset) + self.start_gap.q.val().get_bits::<LENGTH_BITS>(0);
            self.stage.d.next.position = self.receive.val().rcv_nxt;
        }
        self.stage.d.next.length = self.new_bytes.val().get_bits::<LENGTH_BITS>(0);
        self.stage.d.next.in_order = self.in_order.q.val();
        self.stage.d.next.place = self.is_new.val() & (self.in_order.q.val() | self.joins.q.val() | !self.full.q.val());
        self.stage.d.next.no_range = self.is_new.val() & !self.in_order.q.val() & !self.joins.q.val() & self.full.q.val();
        self.stage.d.next.duplicate = !self.is_new.val() & self.segment.val().payload_length.any();
        self.stage.d.next.fin_new = self.takes_fin.q.val();
        self.stage.d.next.fin_passed = self.fin_known.q.val();
        self.stage.d.next.many = false;
        self.stage.d.next.narrow = false;
        self.stage.d.next.held = self.held.q.val();
        self.stage.d.next.rcv_nxt = self.receive.val().rcv_nxt;
        self.stage.d.next.fin_seq = self.fin_seq.q.val();
        self.stage.d.next.start = self.start.q.val();
        self.stage.d.next.stop = self.stop.q.val();
        self.stop_next.d.next = self.stop.q.val() + 1;
        self.at_fin_stop.d.next = self.stop.q.val() == self.fin_seq.q.val();
        self.at_fin_here.d.next = self.receive.val().rcv_nxt == self.fin_seq.q.val();
        self.unacked.d.next = self.stop.q.val() - self.receive.val().last_ack_sent;
        self.left.d.next = self.receive.val().rcv_adv - self.stop.q.val();
        // Cycle 7: RCV.NXT, and past the FIN. `many` and `narrow` count only when it moved over payload.
        self.moves.next = self.stage.q.val().place & self.stage.q.val().in_order;
        self.passes.next = self.stage.q.val().fin_passed
            & !self.receive.val().fin_received
            & !self.stage.q.val().no_range
            & ((self.moves.val() & self.at_fin_stop.q.val()) | (!self.moves.val() & self.at_fin_here.q.val()));
        self.ready.d.next = self.stage.q.val();
        self.ready.d.next.fin_new = self.stage.q.val().fin_new & !self.stage.q.val().no_range;
        self.ready.d.next.fin_passed = self.passes.val();
        if self.moves.val() {
            self.ready.d.next.rcv_nxt = self.stop.q.val();
            if self.at_fin_stop.q.val() & self.passes.val() {
                self.ready.d.next.rcv_nxt = self.stop_next.q.val();
            }
        } else {
            if self.passes.val() {
                self.ready.d.next.rcv_nxt = self.here_next.q.val();
            }
        }
        self.ready.d.next.many = (self.unacked.q.val() >= self.double_mss.q.val())
            | (self.passes.val() & (!self.double_mss.q.val().any() | (self.unacked.q.val() >= self.one_less.q.val())));
        self.ready.d.next.narrow =
            (self.left.q.val() < (self.double_mss.q.val() >> 1)) | (self.passes.val() & (self.left.q.val() <= (self.double_mss.q.val() >> 1)));

        self.placement.next = self.ready.q.val();
        for k in 0..RANGES {
            self.takes[k].next = self.pick[k].q.val();
            self.joined[k].next = self.touch[k].q.val();
        }
    }
}
