//! The registers of a context: its rings, its doorbells, its interrupt.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::{Rings, Status};
use rust_hdl::prelude::*;
use toe_contract::register::{self, Register};

// Where the kernel looks for the field.
const _: () = assert!(register::CONTEXT_ENABLE.low == 0);

/// The pages of a context and of its doorbells.
#[derive(LogicBlock)]
pub struct Context {
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
    /// Where from; to be held until `read_data` has come.
    pub read_address: Signal<In, Bits<18>>,
    /// What is there, two cycles later; 0 where there is nothing of these.
    pub read_data: Signal<Out, Bits<32>>,
    /// What is shown.
    pub status: Signal<In, Status>,
    /// A buffer of a RAW or INJECT command has been read.
    pub raw_fetched: Signal<In, Bit>,
    /// What is set of the rings.
    pub rings: Signal<Out, Rings>,
    /// HOLDOFF, ticks.
    pub holdoff_ticks: Signal<Out, Bits<32>>,
    /// INTERRUPT_ARM was written.
    pub arm: Signal<Out, Bit>,
    submission_base_lo: DFF<Bits<32>>,
    submission_base_hi: DFF<Bits<32>>,
    submission_log2: DFF<Bits<5>>,
    event_base_lo: DFF<Bits<32>>,
    event_base_hi: DFF<Bits<32>>,
    event_log2: DFF<Bits<5>>,
    raw_base_lo: DFF<Bits<32>>,
    raw_base_hi: DFF<Bits<32>>,
    raw_log2: DFF<Bits<5>>,
    raw_slot_log2: DFF<Bits<4>>,
    holdoff: DFF<Bits<32>>,
    enable: DFF<Bit>,
    submission_produced: DFF<Bits<32>>,
    event_consumed: DFF<Bits<32>>,
    raw_consumed: DFF<Bits<32>>,
    fetched_count: DFF<Bits<32>>,
    arm_pulse: DFF<Bit>,
    group: DFF<Bits<32>>,
    answers: [Signal<Local, Bits<32>>; 16],
    all: Signal<Local, Bits<32>>,
    at_submission_base_lo: Constant<Bits<18>>,
    at_submission_base_hi: Constant<Bits<18>>,
    at_submission_log2: Constant<Bits<18>>,
    at_event_base_lo: Constant<Bits<18>>,
    at_event_base_hi: Constant<Bits<18>>,
    at_event_log2: Constant<Bits<18>>,
    at_raw_base_lo: Constant<Bits<18>>,
    at_raw_base_hi: Constant<Bits<18>>,
    at_raw_log2: Constant<Bits<18>>,
    at_raw_slot_log2: Constant<Bits<18>>,
    at_holdoff: Constant<Bits<18>>,
    at_context_control: Constant<Bits<18>>,
    at_submission_consumed: Constant<Bits<18>>,
    at_event_produced: Constant<Bits<18>>,
    at_raw_produced: Constant<Bits<18>>,
    at_raw_fetched_count: Constant<Bits<18>>,
    at_submission_produced: Constant<Bits<18>>,
    at_event_consumed: Constant<Bits<18>>,
    at_raw_consumed: Constant<Bits<18>>,
    at_interrupt_arm: Constant<Bits<18>>,
}

impl Default for Context {
    fn default() -> Self {
        let at = |register: Register, page: u32| Constant::new(bits((page + register.offset).into()));
        let context = |register| at(register, register::CONTEXTS);
        let doorbell = |register| at(register, register::DOORBELLS);
        Self {
            clock: Signal::default(),
            reset: Signal::default(),
            write: Signal::default(),
            write_address: Signal::default(),
            write_data: Signal::default(),
            read_address: Signal::default(),
            read_data: Signal::default(),
            status: Signal::default(),
            raw_fetched: Signal::default(),
            rings: Signal::default(),
            holdoff_ticks: Signal::default(),
            arm: Signal::default(),
            submission_base_lo: DFF::default(),
            submission_base_hi: DFF::default(),
            submission_log2: DFF::default(),
            event_base_lo: DFF::default(),
            event_base_hi: DFF::default(),
            event_log2: DFF::default(),
            raw_base_lo: DFF::default(),
            raw_base_hi: DFF::default(),
            raw_log2: DFF::default(),
            raw_slot_log2: DFF::default(),
            holdoff: DFF::default(),
            enable: DFF::default(),
            submission_produced: DFF::default(),
            event_consumed: DFF::default(),
            raw_consumed: DFF::default(),
            fetched_count: DFF::default(),
            arm_pulse: DFF::default(),
            group: DFF::default(),
            answers: Default::default(),
            all: Signal::default(),
            at_submission_base_lo: context(register::SUBMISSION_BASE_LO),
            at_submission_base_hi: context(register::SUBMISSION_BASE_HI),
            at_submission_log2: context(register::SUBMISSION_LOG2),
            at_event_base_lo: context(register::EVENT_BASE_LO),
            at_event_base_hi: context(register::EVENT_BASE_HI),
            at_event_log2: context(register::EVENT_LOG2),
            at_raw_base_lo: context(register::RAW_BASE_LO),
            at_raw_base_hi: context(register::RAW_BASE_HI),
            at_raw_log2: context(register::RAW_LOG2),
            at_raw_slot_log2: context(register::RAW_SLOT_LOG2),
            at_holdoff: context(register::HOLDOFF),
            at_context_control: context(register::CONTEXT_CONTROL),
            at_submission_consumed: context(register::SUBMISSION_CONSUMED),
            at_event_produced: context(register::EVENT_PRODUCED),
            at_raw_produced: context(register::RAW_PRODUCED),
            at_raw_fetched_count: context(register::RAW_FETCHED),
            at_submission_produced: doorbell(register::SUBMISSION_PRODUCED),
            at_event_consumed: doorbell(register::EVENT_CONSUMED),
            at_raw_consumed: doorbell(register::RAW_CONSUMED),
            at_interrupt_arm: doorbell(register::INTERRUPT_ARM),
        }
    }
}

impl Logic for Context {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            submission_base_lo,
            submission_base_hi,
            submission_log2,
            event_base_lo,
            event_base_hi,
            event_log2,
            raw_base_lo,
            raw_base_hi,
            raw_log2,
            raw_slot_log2,
            holdoff,
            enable,
            submission_produced,
            event_consumed,
            raw_consumed,
            fetched_count,
            arm_pulse,
            group
        );

        // Writes.
        self.arm_pulse.d.next = false;
        if self.write.val() {
            if self.write_address.val() == self.at_submission_base_lo.val() {
                self.submission_base_lo.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_submission_base_hi.val() {
                self.submission_base_hi.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_submission_log2.val() {
                self.submission_log2.d.next = self.write_data.val().get_bits::<5>(0);
            }
            if self.write_address.val() == self.at_event_base_lo.val() {
                self.event_base_lo.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_event_base_hi.val() {
                self.event_base_hi.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_event_log2.val() {
                self.event_log2.d.next = self.write_data.val().get_bits::<5>(0);
            }
            if self.write_address.val() == self.at_raw_base_lo.val() {
                self.raw_base_lo.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_raw_base_hi.val() {
                self.raw_base_hi.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_raw_log2.val() {
                self.raw_log2.d.next = self.write_data.val().get_bits::<5>(0);
            }
            if self.write_address.val() == self.at_raw_slot_log2.val() {
                self.raw_slot_log2.d.next = self.write_data.val().get_bits::<4>(0);
            }
            if self.write_address.val() == self.at_holdoff.val() {
                self.holdoff.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_context_control.val() {
                self.enable.d.next = self.write_data.val().get_bit(0);
            }
            if self.write_address.val() == self.at_submission_produced.val() {
                self.submission_produced.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_event_consumed.val() {
                self.event_consumed.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_raw_consumed.val() {
                self.raw_consumed.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_interrupt_arm.val() {
                self.arm_pulse.d.next = true;
            }
        }

        if self.raw_fetched.val() {
            self.fetched_count.d.next = self.fetched_count.q.val() + 1;
        }

        // Reads: one register answers, the others give 0.
        for k in 0..16 {
            self.answers[k].next = 0.into();
        }
        if self.read_address.val() == self.at_submission_base_lo.val() {
            self.answers[0].next = self.submission_base_lo.q.val();
        }
        if self.read_address.val() == self.at_submission_base_hi.val() {
            self.answers[1].next = self.submission_base_hi.q.val();
        }
        if self.read_address.val() == self.at_submission_log2.val() {
            self.answers[2].next = bit_cast::<32, 5>(self.submission_log2.q.val());
        }
        if self.read_address.val() == self.at_event_base_lo.val() {
            self.answers[3].next = self.event_base_lo.q.val();
        }
        if self.read_address.val() == self.at_event_base_hi.val() {
            self.answers[4].next = self.event_base_hi.q.val();
        }
        if self.read_address.val() == self.at_event_log2.val() {
            self.answers[5].next = bit_cast::<32, 5>(self.event_log2.q.val());
        }
        if self.read_address.val() == self.at_raw_base_lo.val() {
            self.answers[6].next = self.raw_base_lo.q.val();
        }
        if self.read_address.val() == self.at_raw_base_hi.val() {
            self.answers[7].next = self.raw_base_hi.q.val();
        }
        if self.read_address.val() == self.at_raw_log2.val() {
            self.answers[8].next = bit_cast::<32, 5>(self.raw_log2.q.val());
        }
        if self.read_address.val() == self.at_raw_slot_log2.val() {
            self.answers[9].next = bit_cast::<32, 4>(self.raw_slot_log2.q.val());
        }
        if self.read_address.val() == self.at_holdoff.val() {
            self.answers[10].next = self.holdoff.q.val();
        }
        if self.read_address.val() == self.at_context_control.val() {
            self.answers[11].next = self.answers[11].val().replace_bit(0, self.enable.q.val());
        }
        if self.read_address.val() == self.at_submission_consumed.val() {
            self.answers[12].next = self.status.val().submission_consumed;
        }
        if self.read_address.val() == self.at_event_produced.val() {
            self.answers[13].next = self.status.val().event_produced;
        }
        if self.read_address.val() == self.at_raw_produced.val() {
            self.answers[14].next = self.status.val().raw_produced;
        }
        if self.read_address.val() == self.at_raw_fetched_count.val() {
            self.answers[15].next = self.fetched_count.q.val();
        }
        self.all.next = 0.into();
        for k in 0..16 {
            self.all.next = self.all.val() | self.answers[k].val();
        }
        self.group.d.next = self.all.val();
        self.read_data.next = self.group.q.val();

        self.rings.next.enable = self.enable.q.val();
        self.rings.next.submission_base = bit_cast::<64, 32>(self.submission_base_lo.q.val()) | (bit_cast::<64, 32>(self.submission_base_hi.q.val()) << 32);
        self.rings.next.submission_log2 = self.submission_log2.q.val();
        self.rings.next.submission_produced = self.submission_produced.q.val();
        self.rings.next.event_base = bit_cast::<64, 32>(self.event_base_lo.q.val()) | (bit_cast::<64, 32>(self.event_base_hi.q.val()) << 32);
        self.rings.next.event_log2 = self.event_log2.q.val();
        self.rings.next.event_consumed = self.event_consumed.q.val();
        self.rings.next.raw_base = bit_cast::<64, 32>(self.raw_base_lo.q.val()) | (bit_cast::<64, 32>(self.raw_base_hi.q.val()) << 32);
        self.rings.next.raw_log2 = self.raw_log2.q.val();
        self.rings.next.raw_slot_log2 = self.raw_slot_log2.q.val();
        self.rings.next.raw_consumed = self.raw_consumed.q.val();
        self.holdoff_ticks.next = self.holdoff.q.val();
        self.arm.next = self.arm_pulse.q.val();

        if self.reset.val() {
            self.submission_base_lo.d.next = 0.into();
            self.submission_base_hi.d.next = 0.into();
            self.submission_log2.d.next = 0.into();
            self.event_base_lo.d.next = 0.into();
            self.event_base_hi.d.next = 0.into();
            self.event_log2.d.next = 0.into();
            self.raw_base_lo.d.next = 0.into();
            self.raw_base_hi.d.next = 0.into();
            self.raw_log2.d.next = 0.into();
            self.raw_slot_log2.d.next = 0.into();
            self.holdoff.d.next = 0.into();
            self.enable.d.next = false;
            self.submission_produced.d.next = 0.into();
            self.event_consumed.d.next = 0.into();
            self.raw_consumed.d.next = 0.into();
            self.fetched_count.d.next = 0.into();
            self.arm_pulse.d.next = false;
        }
    }
}
