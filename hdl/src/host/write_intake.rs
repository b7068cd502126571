//! Takes [`WriteJob`]s apart: the record of eight words, and the rest.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use crate::types::{ChannelRx, ChannelTx, WriteJob, WriteKind, BUFFER_BITS, LENGTH_BITS};
use rust_hdl::prelude::*;

/// A [`WriteJob`] without its record.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct QueuedJob {
    /// What to do.
    pub kind: WriteKind,
    /// Beat of the receive buffer where the frame begins.
    pub start: Bits<BUFFER_BITS>,
    /// Bytes of the frame.
    pub frame_length: Bits<LENGTH_BITS>,
    /// Byte of the frame to begin with.
    pub offset: Bits<LENGTH_BITS>,
    /// Bytes.
    pub length: Bits<LENGTH_BITS>,
    /// Ring.
    pub base: Bits<64>,
    /// log2 of its bytes.
    pub log2: Bits<5>,
    /// Place in it.
    pub position: Bits<32>,
}

/// A job's record goes into its queue word by word, the rest beside the first word. A job without record takes one cycle, one with it eight.
#[derive(LogicBlock, Default)]
pub struct WriteIntake {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Begins with a first word.
    pub reset: Signal<In, Bit>,
    /// What to do.
    pub jobs: ChannelRx<WriteJob>,
    /// To the planner's queue.
    pub queue: ChannelTx<QueuedJob>,
    /// To the queue of records.
    pub records: ChannelTx<Bits<64>>,
    /// The last word of an event goes into its queue.
    pub event_taken: Signal<Out, Bit>,
    word: DFF<Bits<3>>,
    is_record: Signal<Local, Bit>,
    put: Signal<Local, Bit>,
}

impl Logic for WriteIntake {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, word);
        self.is_record.next = (self.jobs.data.val().kind == WriteKind::Event) | (self.jobs.data.val().kind == WriteKind::Raw);
        self.queue.data.next.kind = self.jobs.data.val().kind;
        self.queue.data.next.start = self.jobs.data.val().start;
        self.queue.data.next.frame_length = self.jobs.data.val().frame_length;
        self.queue.data.next.offset = self.jobs.data.val().offset;
        self.queue.data.next.length = self.jobs.data.val().length;
        self.queue.data.next.base = self.jobs.data.val().base;
        self.queue.data.next.log2 = self.jobs.data.val().log2;
        self.queue.data.next.position = self.jobs.data.val().position;
        self.queue.valid.next = self.jobs.valid.val() & !self.word.q.val().any() & (!self.is_record.val() | self.records.ready.val());
        self.records.data.next = 0.into();
        for k in 0..8 {
            if self.word.q.val().index() == k {
                self.records.data.next = self.jobs.data.val().record.get_bits::<64>(64 * k);
            }
        }
        self.put.next = self.jobs.valid.val() & self.is_record.val() & self.records.ready.val() & (self.word.q.val().any() | self.queue.ready.val());
        self.records.valid.next = self.jobs.valid.val() & self.is_record.val() & (self.word.q.val().any() | self.queue.ready.val());
        self.jobs.ready.next = !self.is_record.val() & self.queue.ready.val();
        if self.is_record.val() {
            self.jobs.ready.next = self.word.q.val().all() & self.records.ready.val();
        }
        if self.put.val() {
            self.word.d.next = self.word.q.val() + 1;
        }
        self.event_taken.next = self.put.val() & self.word.q.val().all() & (self.jobs.data.val().kind == WriteKind::Event);
        if self.reset.val() {
            self.word.d.next = 0.into();
        }
    }
}
