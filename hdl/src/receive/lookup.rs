//! The flow table: which flow a segment belongs to.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::hash::Toeplitz;
use super::secret::Secret;
use crate::ram::Ram;
use crate::types::{ChannelRx, ChannelTx, LookedUp, Parsed, TableReply, TableRequest, FLOW_BITS, KEY_BITS};
use rust_hdl::prelude::*;

/// Slots of one of the four memories, log2: four times as many as there are flows.
pub const INDEX_BITS: usize = FLOW_BITS + 2;
/// Bits of the hash: a first index and a step.
pub const HASH_BITS: usize = 2 * INDEX_BITS;

const INDEX_END: usize = INDEX_BITS + 1;

/// A slot of the table.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Slot {
    /// A flow is here.
    pub used: Bit,
    /// Its 4-tuple.
    pub key: Bits<KEY_BITS>,
    /// Its number.
    pub flow: Bits<FLOW_BITS>,
    /// Its generation.
    pub generation: Bits<8>,
}

/// Looks segments up, and keeps the table, both in constant time.
///
/// ```text
/// cycle   0       1       2       3        4      5         6        7       8
///         s       hash    hash    indices  read   entries   compare  select  m
///         hash                                                       reply +1
/// ```
///
/// Four memories; a tuple may lie in one slot of each: at `a + k b` in memory `k` (`a` and odd `b` from the hash), and goes into the first
/// that is free. Someone who does not know HASH_KEY can do no better than chance (see [`Toeplitz`]). With all 256 flows in use and tuples that
/// come and go at random, one insertion in 350 million finds its four slots taken (`hdl/tests/receive_lookup.rs` computes it); it would be
/// one in 870 thousand with half as many slots, and with twice as many one in 10^11, for nearly twice the block RAM. Such an INSTALL is
/// refused (`docs/engine.md`, "The flow table").
///
/// - A segment every 6 cycles, every 7 while requests are served, one behind every other segment; `m` gives every frame that came, in order. What is not
///   `fast` is not looked up.
/// - Requests do not wait for `m` to be taken. The reply comes in the cycle after a request is taken.
/// - After a reset, and when `hash_key` changes, the table is empty; until it is cleared, 1024 cycles, nothing is taken.
#[derive(LogicBlock, Default)]
pub struct Lookup {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties the table.
    pub reset: Signal<In, Bit>,
    /// Secret of the hash.
    pub hash_key: Signal<In, Bits<32>>,
    /// Frames from the parser.
    pub s: ChannelRx<Parsed>,
    /// Frames with their flow.
    pub m: ChannelTx<LookedUp>,
    /// Orders from the flow core.
    pub request: ChannelRx<TableRequest>,
    /// Their answers.
    pub reply: Signal<Out, TableReply>,
    secret: Secret,
    toeplitz: Toeplitz<HASH_BITS>,
    memory: [Ram<Slot, INDEX_BITS>; 4],
    // The sweep.
    sweeping: DFF<Bit>,
    sweep_at: DFF<Bits<INDEX_BITS>>,
    // The hash.
    step: DFF<Bits<2>>,
    hashed: DFF<Bit>,
    turn: DFF<Bit>,
    // The table.
    reading: DFF<Bit>,
    entering: DFF<Bit>,
    comparing: DFF<Bit>,
    acting: DFF<Bit>,
    of_request: DFF<Bit>,
    key: DFF<Bits<KEY_BITS>>,
    index: [DFF<Bits<INDEX_BITS>>; 4],
    entry: [DFF<Slot>; 4],
    hits: DFF<Bits<4>>,
    vacant: DFF<Bits<4>>,
    answer: DFF<TableReply>,
    // What goes out.
    loaded: DFF<Bit>,
    out_valid: DFF<Bit>,
    out: DFF<LookedUp>,
    open: Signal<Local, Bit>,
    idle: Signal<Local, Bit>,
    table_free: Signal<Local, Bit>,
    still: Signal<Local, Bit>,
    ask: Signal<Local, Bit>,
    tuple: Signal<Local, Bits<KEY_BITS>>,
    begins: Signal<Local, Bit>,
    next_step: Signal<Local, Bits<2>>,
    pass: Signal<Local, Bit>,
    go: Signal<Local, Bit>,
    first: Signal<Local, Bits<INDEX_BITS>>,
    stride: Signal<Local, Bits<INDEX_BITS>>,
    place: Signal<Local, Bits<4>>,
    same: Signal<Local, Bits<4>>,
    empty: Signal<Local, Bits<4>>,
    slot: Signal<Local, Slot>,
    one: Signal<Local, Slot>,
    hit: Signal<Local, Slot>,
    act_request: Signal<Local, Bit>,
    ok: Signal<Local, Bit>,
}

impl Logic for Lookup {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self, clock, sweeping, sweep_at, step, hashed, turn, reading, entering, comparing, acting, of_request, key, hits, vacant, answer, loaded,
            out_valid, out
        );
        clock!(self, clock, secret, toeplitz);
        for k in 0..4 {
            self.memory[k].clock.next = self.clock.val();
            self.index[k].clock.next = self.clock.val();
            self.index[k].d.next = self.index[k].q.val();
            self.entry[k].clock.next = self.clock.val();
            self.entry[k].d.next = self.entry[k].q.val();
        }

        // The secret, and the sweep of the table that goes with it. It waits until nothing is under way.
        self.idle.next =
            !self.step.q.val().any() & !self.hashed.q.val() & !self.reading.q.val() & !self.entering.q.val() & !self.comparing.q.val() & !self.acting.q.val();
        self.secret.reset.next = self.reset.val();
        self.secret.key.next = self.hash_key.val();
        self.secret.allow.next = self.idle.val();
        self.open.next = self.secret.ready.val() & !self.sweeping.q.val();
        if self.sweeping.q.val() {
            self.sweep_at.d.next = self.sweep_at.q.val() + 1;
            self.sweeping.d.next = !self.sweep_at.q.val().all();
        }
        if self.secret.restart.val() {
            self.sweeping.d.next = true;
            self.sweep_at.d.next = 0.into();
        }

        // The hash: of a request or of the next segment, whose turn it is. A segment that cannot go on makes way.
        self.table_free.next = !self.reading.q.val() & !self.entering.q.val() & !self.comparing.q.val();
        self.still.next = !self.step.q.val().any() & !self.hashed.q.val();
        self.ask.next = self.request.valid.val() & !(self.of_request.q.val() & !(self.table_free.val() & !self.acting.q.val()));
        self.toeplitz.secret.next = self.secret.long.val();
        self.toeplitz.step.next = self.step.q.val();
        self.toeplitz.advance.next = !self.hashed.q.val();
        if self.turn.q.val() {
            self.tuple.next = self.request.data.val().key;
            self.begins.next = self.open.val() & self.still.val() & self.ask.val();
        } else {
            self.tuple.next = self.s.data.val().key;
            self.begins.next = self.open.val() & self.still.val() & self.s.valid.val() & self.s.data.val().fast;
        }
        self.toeplitz.tuple.next = self.tuple.val();
        if self.still.val() & !self.begins.val() {
            self.turn.d.next = self.ask.val();
        }
        if self.hashed.q.val() & !self.turn.q.val() & self.out_valid.q.val() & !self.m.ready.val() & self.ask.val() {
            self.turn.d.next = true;
            self.hashed.d.next = false;
        }
        self.next_step.next = 0.into();
        if self.begins.val() {
            self.next_step.next = 1.into();
        }
        if self.step.q.val() == 1 {
            self.next_step.next = 2.into();
        }
        if self.step.q.val() == 2 {
            self.hashed.d.next = true;
        }
        self.step.d.next = self.next_step.val();
        self.toeplitz.next_step.next = self.next_step.val();

        // Into the table.
        self.go.next = self.hashed.q.val() & self.table_free.val() & (self.turn.q.val() | !self.loaded.q.val());
        self.pass.next = self.open.val() & self.still.val() & !self.turn.q.val() & self.s.valid.val() & !self.s.data.val().fast & !self.loaded.q.val();
        self.first.next = self.toeplitz.hash.val().get_bits::<INDEX_BITS>(0);
        // One turn: the bounds of a loop are values in the kernel language.
        for high in INDEX_BITS..INDEX_END {
            self.stride.next = self.toeplitz.hash.val().get_bits::<INDEX_BITS>(high) | 1;
        }
        if self.go.val() {
            self.hashed.d.next = false;
            self.turn.d.next = !self.turn.q.val() & self.ask.val();
            self.of_request.d.next = self.turn.q.val();
            self.key.d.next = self.tuple.val();
            self.index[0].d.next = self.first.val();
            self.index[1].d.next = self.first.val() + self.stride.val();
            self.index[2].d.next = self.first.val() + (self.stride.val() << 1);
            self.index[3].d.next = self.first.val() + (self.stride.val() << 1) + self.stride.val();
        }
        self.s.ready.next = (self.go.val() & !self.turn.q.val()) | self.pass.val();
        self.reading.d.next = self.go.val();
        self.entering.d.next = self.reading.q.val();
        self.comparing.d.next = self.entering.q.val();
        self.acting.d.next = self.comparing.q.val();
        self.same.next = 0.into();
        self.empty.next = 0.into();
        for k in 0..4 {
            self.memory[k].read_enable.next = self.reading.q.val();
            self.memory[k].read_address.next = self.index[k].q.val();
            if self.entering.q.val() {
                self.entry[k].d.next = self.memory[k].read_data.val();
            }
            self.one.next = self.entry[k].q.val();
            self.same.next = self.same.val().replace_bit(k, self.one.val().used & (self.one.val().key == self.key.q.val()));
            self.empty.next = self.empty.val().replace_bit(k, !self.one.val().used);
        }
        if self.comparing.q.val() {
            self.hits.d.next = self.same.val();
            self.vacant.d.next = self.empty.val();
        }

        // Requests: into the first vacant slot, or out of the one that has it.
        self.act_request.next = self.acting.q.val() & self.of_request.q.val();
        self.ok.next = self.hits.q.val().any();
        self.place.next = self.hits.q.val();
        self.slot.next.used = false;
        self.slot.next.key = self.request.data.val().key;
        self.slot.next.flow = self.request.data.val().flow;
        self.slot.next.generation = self.request.data.val().generation;
        if self.request.data.val().insert {
            self.ok.next = !self.hits.q.val().any() & self.vacant.q.val().any();
            // The lowest bit alone.
            self.place.next = self.vacant.q.val() & ((!self.vacant.q.val()) + 1);
            self.slot.next.used = !self.sweeping.q.val();
        }
        for k in 0..4 {
            self.memory[k].write_enable.next = self.sweeping.q.val() | (self.act_request.val() & self.ok.val() & self.place.val().get_bit(k));
            self.memory[k].write_address.next = self.index[k].q.val();
            self.memory[k].write_data.next = self.slot.val();
            if self.sweeping.q.val() {
                self.memory[k].write_address.next = self.sweep_at.q.val();
            }
        }
        self.request.ready.next = self.act_request.val();
        self.answer.d.next.valid = self.act_request.val();
        self.answer.d.next.ok = self.ok.val();
        self.reply.next = self.answer.q.val();

        // Segments.
        self.hit.next = self.entry[0].q.val();
        for k in 1..4 {
            if self.hits.q.val().get_bit(k) {
                self.hit.next = self.entry[k].q.val();
            }
        }
        if self.out_valid.q.val() & self.m.ready.val() {
            self.out_valid.d.next = false;
            self.loaded.d.next = false;
        }
        if self.acting.q.val() & !self.of_request.q.val() {
            self.out_valid.d.next = true;
            self.out.d.next.hit = self.hits.q.val().any();
            self.out.d.next.flow = self.hit.val().flow;
            self.out.d.next.generation = self.hit.val().generation;
        }
        if self.s.valid.val() & self.s.ready.val() {
            self.loaded.d.next = true;
            self.out.d.next.parsed = self.s.data.val();
        }
        if self.pass.val() {
            self.out_valid.d.next = true;
            self.out.d.next.hit = false;
            self.out.d.next.flow = 0.into();
            self.out.d.next.generation = 0.into();
        }
        self.m.data.next = self.out.q.val();
        self.m.valid.next = self.out_valid.q.val();
        if self.reset.val() {
            self.sweeping.d.next = true;
            self.sweep_at.d.next = 0.into();
            self.step.d.next = 0.into();
            self.hashed.d.next = false;
            self.turn.d.next = false;
            self.reading.d.next = false;
            self.entering.d.next = false;
            self.comparing.d.next = false;
            self.acting.d.next = false;
            self.of_request.d.next = false;
            self.answer.d.next.valid = false;
            self.loaded.d.next = false;
            self.out_valid.d.next = false;
        }
    }
}
