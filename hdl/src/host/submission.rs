//! Fetches commands from the submission ring.
//!
//! ```text
//!  doorbell -> ask (up to 8 entries a read) -> read engine -> beats fifo -> four beats a command -> commands
//! ```
//!
//! It asks only for commands that it has room for, so that the read engine never waits for it. A read stays within a group of 8 entries (256 bytes), so it never
//! crosses the ring's end.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::rings::Rings;
use crate::ram::Fifo;
use crate::stream::StreamRx;
use crate::types::{ChannelTx, ReadJob, COMMAND_BITS, LENGTH_BITS};
use rust_hdl::prelude::*;
use toe_contract::command;

const _: () = assert!(command::SIZE == 32 && command::SIZE * 8 == COMMAND_BITS);

/// Where the asking side is.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum AskStep {
    /// Looks for commands.
    Idle,
    /// Finds their address.
    Place,
    /// Asks for them.
    Ask,
}

/// The submission ring's reader.
#[derive(LogicBlock, Default)]
pub struct Submission {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Asks for no more.
    pub halt: Signal<In, Bit>,
    /// Rings.
    pub rings: Signal<In, Rings>,
    /// To the read engine.
    pub job: ChannelTx<ReadJob>,
    /// From it.
    pub data: StreamRx<64, 8>,
    /// The commands, in the order of the ring.
    pub commands: ChannelTx<Bits<COMMAND_BITS>>,
    /// SUBMISSION_CONSUMED: commands handed over, modulo 2^32.
    pub consumed: Signal<Out, Bits<32>>,
    /// Commands are waiting or on their way.
    pub busy: Signal<Out, Bit>,
    beats: Fifo<Bits<64>, 7, 8>,
    step: DFF<AskStep>,
    asked: DFF<Bits<32>>,
    waiting: DFF<Bits<32>>,
    reserved: DFF<Bits<6>>,
    number: DFF<Bits<4>>,
    index: DFF<Bits<32>>,
    address: DFF<Bits<64>>,
    command: DFF<Bits<COMMAND_BITS>>,
    words: DFF<Bits<2>>,
    whole: DFF<Bit>,
    taken: DFF<Bits<32>>,
    room: Signal<Local, Bit>,
    group: Signal<Local, Bits<4>>,
    most: Signal<Local, Bits<4>>,
    take: Signal<Local, Bit>,
    pop: Signal<Local, Bit>,
}

impl Logic for Submission {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, step, asked, waiting, reserved, number, index, address, command, words, whole, taken);
        clock!(self, clock, beats);
        self.beats.reset.next = self.reset.val();

        // How many: to the end of the group, but no more than there are.
        self.waiting.d.next = self.rings.val().submission_produced - self.asked.q.val();
        self.room.next = self.reserved.q.val() <= 24;
        self.group.next = bits::<4>(8) - bit_cast::<4, 3>(self.asked.q.val().get_bits::<3>(0));
        self.most.next = self.group.val();
        if !self.waiting.q.val().get_bits::<28>(4).any() & (self.waiting.q.val().get_bits::<4>(0) < self.group.val()) {
            self.most.next = self.waiting.q.val().get_bits::<4>(0);
        }
        self.take.next = self.whole.q.val() & self.commands.ready.val();
        if self.take.val() {
            self.reserved.d.next = self.reserved.q.val() - 1;
        }
        self.job.valid.next = false;
        self.job.data.next.base = self.address.q.val();
        self.job.data.next.log2 = 0.into();
        self.job.data.next.position = 0.into();
        self.job.data.next.length = bit_cast::<LENGTH_BITS, 4>(self.number.q.val()) << 5;
        match self.step.q.val() {
            AskStep::Idle => {
                self.number.d.next = self.most.val();
                self.index.d.next = self.asked.q.val() & !((!bits::<32>(0)) << self.rings.val().submission_log2);
                if self.rings.val().enable & self.waiting.q.val().any() & self.room.val() & !self.halt.val() {
                    self.step.d.next = AskStep::Place;
                }
            }
            AskStep::Place => {
                self.address.d.next = self.rings.val().submission_base + (bit_cast::<64, 32>(self.index.q.val()) << 5);
                self.asked.d.next = self.asked.q.val() + bit_cast::<32, 4>(self.number.q.val());
                self.reserved.d.next = self.reserved.q.val() + bit_cast::<6, 4>(self.number.q.val());
                if self.take.val() {
                    self.reserved.d.next = self.reserved.q.val() + bit_cast::<6, 4>(self.number.q.val()) - 1;
                }
                self.step.d.next = AskStep::Ask;
            }
            AskStep::Ask => {
                self.job.valid.next = true;
                if self.job.ready.val() {
                    self.step.d.next = AskStep::Idle;
                }
            }
        }

        // Four beats are a command.
        self.beats.s.data.next = self.data.data.val();
        self.beats.s.valid.next = self.data.valid.val();
        self.data.ready.next = self.beats.s.ready.val();
        self.pop.next = self.beats.m.valid.val() & (!self.whole.q.val() | self.take.val());
        self.beats.m.ready.next = self.pop.val();
        if self.take.val() {
            self.whole.d.next = false;
            self.taken.d.next = self.taken.q.val() + 1;
        }
        if self.pop.val() {
            self.command.d.next = (self.command.q.val() >> 64) | (bit_cast::<COMMAND_BITS, 64>(self.beats.m.data.val()) << 192);
            self.words.d.next = self.words.q.val() + 1;
            self.whole.d.next = self.words.q.val().all();
        }
        self.commands.data.next = self.command.q.val();
        self.commands.valid.next = self.whole.q.val();
        self.consumed.next = self.taken.q.val();
        self.busy.next = (self.step.q.val() != AskStep::Idle) | self.reserved.q.val().any() | (self.rings.val().enable & self.waiting.q.val().any());

        if self.reset.val() {
            self.step.d.next = AskStep::Idle;
            self.asked.d.next = 0.into();
            self.waiting.d.next = 0.into();
            self.reserved.d.next = 0.into();
            self.words.d.next = 0.into();
            self.whole.d.next = false;
            self.taken.d.next = 0.into();
        }
    }
}
