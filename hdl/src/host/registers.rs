//! The registers: what the host reads and writes. Every address comes from the contract.

#![allow(missing_docs, reason = "what the derives write has no comment")]

pub mod context;
pub mod global;

use super::axi::REGISTER_BITS;
use super::rings::Rings;
use context::Context;
use global::Global;
use rust_hdl::prelude::*;

const _: () = assert!(toe_contract::CONTEXTS == 1 && REGISTER_BITS == 18);

/// What the host has set.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Settings {
    /// CONTROL_RECEIVE.
    pub receive: Bit,
    /// CONTROL_TRANSMIT.
    pub transmit: Bit,
    /// MAC address, first byte on the wire lowest.
    pub local_mac: Bits<48>,
    /// FILTER_PROMISCUOUS.
    pub promiscuous: Bit,
    /// FILTER_MULTICAST.
    pub multicast: Bit,
    /// MAX_FRAME, at most LONGEST_FRAME.
    pub max_frame: Bits<14>,
    /// DELAYED_ACK, ticks.
    pub delayed_ack: Bits<32>,
    /// HASH_KEY.
    pub hash_key: Bits<32>,
    /// HOLDOFF, ticks.
    pub holdoff: Bits<32>,
}

/// What the engine shows.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Status {
    /// STATUS_BUSY.
    pub busy: Bit,
    /// STATUS_FAULT.
    pub fault: Bit,
    /// STATUS_LOCAL_FAULT.
    pub local_fault: Bit,
    /// STATUS_REMOTE_FAULT.
    pub remote_fault: Bit,
    /// SUBMISSION_CONSUMED.
    pub submission_consumed: Bits<32>,
    /// EVENT_PRODUCED.
    pub event_produced: Bits<32>,
    /// RAW_PRODUCED.
    pub raw_produced: Bits<32>,
}

/// The registers of BAR 0 but for the counters.
#[derive(LogicBlock, Default)]
pub struct Registers {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Everything to its value at power-on.
    pub reset: Signal<In, Bit>,
    /// Write `write_data` to `write_address`.
    pub write: Signal<In, Bit>,
    /// Where to.
    pub write_address: Signal<In, Bits<18>>,
    /// What.
    pub write_data: Signal<In, Bits<32>>,
    /// `read_address` is being read: for the latch of TIME_HI.
    pub read: Signal<In, Bit>,
    /// Where from; to be held until `read_data` has come.
    pub read_address: Signal<In, Bits<18>>,
    /// What is there, two cycles later; 0 where there is nothing.
    pub read_data: Signal<Out, Bits<32>>,
    /// Nanoseconds.
    pub now: Signal<In, Bits<64>>,
    /// A reset is under way.
    pub resetting: Signal<In, Bit>,
    /// What is shown.
    pub status: Signal<In, Status>,
    /// A buffer of a RAW or INJECT command has been read.
    pub raw_fetched: Signal<In, Bit>,
    /// A command was refused.
    pub bad_command: Signal<In, Bit>,
    /// What is set.
    pub settings: Signal<Out, Settings>,
    /// What is set of the rings.
    pub rings: Signal<Out, Rings>,
    /// CONTROL_RESET was written.
    pub reset_request: Signal<Out, Bit>,
    /// INTERRUPT_ARM was written.
    pub arm: Signal<Out, Bit>,
    global: Global,
    context: Context,
}

impl Logic for Registers {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, global, context);
        self.global.reset.next = self.reset.val();
        self.context.reset.next = self.reset.val();
        self.global.write.next = self.write.val();
        self.context.write.next = self.write.val();
        self.global.write_address.next = self.write_address.val();
        self.context.write_address.next = self.write_address.val();
        self.global.write_data.next = self.write_data.val();
        self.context.write_data.next = self.write_data.val();
        self.global.read_address.next = self.read_address.val();
        self.context.read_address.next = self.read_address.val();
        self.global.status.next = self.status.val();
        self.context.status.next = self.status.val();
        self.global.read.next = self.read.val();
        self.global.now.next = self.now.val();
        self.global.resetting.next = self.resetting.val();
        self.global.bad_command.next = self.bad_command.val();
        self.context.raw_fetched.next = self.raw_fetched.val();
        self.read_data.next = self.global.read_data.val() | self.context.read_data.val();
        self.settings.next = self.global.settings.val();
        self.settings.next.holdoff = self.context.holdoff_ticks.val();
        self.rings.next = self.context.rings.val();
        self.reset_request.next = self.global.reset_request.val();
        self.arm.next = self.context.arm.val();
    }
}
