//! The registers behind which the core hands out jobs, segments and counts.

use super::emit::Counts;
use super::outcome::Outcome;
use crate::types::{ChannelTx, FetchJob, Segment, WriteJob};
use rust_hdl::prelude::*;

/// One register for each channel. An operation begins only when that of its channel is free. Those that limit the pace, `write` and `fetch`, also count as
/// free in the cycle in which they are emptied: their `ready` comes almost straight from registers, and what an operation hands out comes five
/// cycles later at the earliest.
#[derive(LogicBlock, Default)]
pub struct Outputs {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties them.
    pub reset: Signal<In, Bit>,
    /// The results of the operation are there.
    pub commit: Signal<In, Bit>,
    /// What it hands out.
    pub outcome: Signal<In, Outcome>,
    /// If there is one.
    pub write_job: Signal<In, WriteJob>,
    /// If there is one.
    pub fetch_job: Signal<In, FetchJob>,
    /// If there is one.
    pub segment: Signal<In, Segment>,
    /// What is counted.
    pub counts: Signal<In, Counts>,
    /// To the write engine.
    pub write: ChannelTx<WriteJob>,
    /// To the fetch stage.
    pub fetch: ChannelTx<FetchJob>,
    /// Pure ACKs.
    pub acks: ChannelTx<Segment>,
    /// Sealed segments.
    pub sealed: ChannelTx<Segment>,
    /// Pulses, a cycle after the commit.
    pub pulses: Signal<Out, Counts>,
    /// `write` is free from the next cycle on.
    pub write_room: Signal<Out, Bit>,
    /// `fetch` is free from the next cycle on.
    pub fetch_room: Signal<Out, Bit>,
    /// `acks` is free.
    pub ack_room: Signal<Out, Bit>,
    /// `sealed` is free.
    pub sealed_room: Signal<Out, Bit>,
    /// All four are empty.
    pub empty: Signal<Out, Bit>,
    write_now: DFF<WriteJob>,
    write_valid: DFF<Bit>,
    fetch_now: DFF<FetchJob>,
    fetch_valid: DFF<Bit>,
    ack_now: DFF<Segment>,
    ack_valid: DFF<Bit>,
    sealed_now: DFF<Segment>,
    sealed_valid: DFF<Bit>,
    counted: DFF<Counts>,
}

impl Logic for Outputs {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, write_now, write_valid, fetch_now, fetch_valid, ack_now, ack_valid, sealed_now, sealed_valid, counted);
        self.write.data.next = self.write_now.q.val();
        self.write.valid.next = self.write_valid.q.val();
        self.fetch.data.next = self.fetch_now.q.val();
        self.fetch.valid.next = self.fetch_valid.q.val();
        self.acks.data.next = self.ack_now.q.val();
        self.acks.valid.next = self.ack_valid.q.val();
        self.sealed.data.next = self.sealed_now.q.val();
        self.sealed.valid.next = self.sealed_valid.q.val();
        self.write_room.next = !self.write_valid.q.val() | self.write.ready.val();
        self.fetch_room.next = !self.fetch_valid.q.val() | self.fetch.ready.val();
        self.ack_room.next = !self.ack_valid.q.val();
        self.sealed_room.next = !self.sealed_valid.q.val();
        self.empty.next = !(self.write_valid.q.val() | self.fetch_valid.q.val() | self.ack_valid.q.val() | self.sealed_valid.q.val());

        // A register that is free follows its input all the time: its contents count with `valid` alone.
        if !self.write_valid.q.val() {
            self.write_now.d.next = self.write_job.val();
        }
        if !self.fetch_valid.q.val() {
            self.fetch_now.d.next = self.fetch_job.val();
        }
        if !self.ack_valid.q.val() {
            self.ack_now.d.next = self.segment.val();
        }
        if !self.sealed_valid.q.val() {
            self.sealed_now.d.next = self.segment.val();
        }
        self.write_valid.d.next = (self.write_valid.q.val() & !self.write.ready.val()) | (self.commit.val() & self.outcome.val().writes);
        self.fetch_valid.d.next = (self.fetch_valid.q.val() & !self.fetch.ready.val()) | (self.commit.val() & self.outcome.val().fetches);
        self.ack_valid.d.next = (self.ack_valid.q.val() & !self.acks.ready.val()) | (self.commit.val() & self.outcome.val().acks);
        self.sealed_valid.d.next = (self.sealed_valid.q.val() & !self.sealed.ready.val()) | (self.commit.val() & self.outcome.val().seals);

        self.counted.d.next = self.counts.val();
        self.pulses.next = self.counted.q.val();
        if self.reset.val() {
            self.write_valid.d.next = false;
            self.fetch_valid.d.next = false;
            self.ack_valid.d.next = false;
            self.sealed_valid.d.next = false;
        }
    }
}
