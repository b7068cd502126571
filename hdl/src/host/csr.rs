//! The host's way to the registers: an AXI4-Lite slave, the registers and counters behind it, and the reset that the host can ask for.
//!
//! A write is taken when address and data are both there, and is in its register two cycles later. Only whole words are written; others are answered and
//! ignored. A read is answered after 4 cycles. Reads see the writes answered before.
//!
//! ```text
//!  CONTROL_RESET = 1 --> Drain: halt; until no DMA is on its way and no frame half sent
//!                   --> Clear: 16 cycles of `clear`, the reset of everything but this and the transmitter
//!                   --> Settle: until every memory that clears itself has done so --> Run
//! ```
//!
//! Writes in Drain are ignored; in Clear they wait.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::axi::LiteSlave;
use super::counters::{Counters, COUNT};
use super::pulses::Pulses;
use super::registers::{Registers, Settings, Status};
use super::rings::Rings;
use rust_hdl::prelude::*;
use toe_contract::register;

const _: () = assert!(register::COUNTERS.is_multiple_of(register::PAGE) && register::PAGE == 1 << 12);

/// Where a reset is.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum ResetStep {
    /// None is under way.
    Run,
    /// DMA comes to its end.
    Drain,
    /// Everything is reset.
    Clear,
    /// Memories are cleared.
    Settle,
}

/// Where a read is.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum LookStep {
    /// Waits for an address.
    Idle,
    /// Looks it up.
    Look,
    /// A register has it.
    Take,
    /// A counter has it.
    Count,
    /// Answers.
    Answer,
}

/// Registers, counters, reset.
#[derive(LogicBlock)]
pub struct Csr {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset at power-on.
    pub reset: Signal<In, Bit>,
    /// The host.
    pub axil: LiteSlave,
    /// Nanoseconds.
    pub now: Signal<In, Bits<64>>,
    /// What the registers show.
    pub status: Signal<In, Status>,
    /// A buffer of a RAW or INJECT command has been read.
    pub raw_fetched: Signal<In, Bit>,
    /// What is counted.
    pub pulses: Signal<In, Pulses>,
    /// Bytes received in this cycle.
    pub rx_bytes: Signal<In, Bits<14>>,
    /// Bytes sent in this cycle.
    pub tx_bytes: Signal<In, Bits<16>>,
    /// What is set.
    pub settings: Signal<Out, Settings>,
    /// What is set of the rings.
    pub rings: Signal<Out, Rings>,
    /// Doorbell: arm the interrupt.
    pub arm: Signal<Out, Bit>,
    /// DMA is on its way, or a frame half sent.
    pub draining: Signal<In, Bit>,
    /// A memory is being cleared after `clear`.
    pub clearing: Signal<In, Bit>,
    /// Begin nothing on the bus, begin no frame.
    pub halt: Signal<Out, Bit>,
    /// Reset of everything else.
    pub clear: Signal<Out, Bit>,
    /// An access or a reset is under way, or a counter not yet true.
    pub busy: Signal<Out, Bit>,
    registers: Registers,
    counters: Counters,
    step: DFF<ResetStep>,
    patience: DFF<Bits<4>>,
    halted: DFF<Bit>,
    cleared: DFF<Bit>,
    write: DFF<Bit>,
    write_address: DFF<Bits<18>>,
    write_data: DFF<Bits<32>>,
    answer: DFF<Bit>,
    look: DFF<LookStep>,
    read_address: DFF<Bits<18>>,
    read_data: DFF<Bits<32>>,
    count_high: DFF<Bits<32>>,
    accept: Signal<Local, Bit>,
    is_count: Signal<Local, Bit>,
    word_mask: Constant<Bits<18>>,
    counters_page: Constant<Bits<6>>,
    count: Constant<Bits<9>>,
}

impl Default for Csr {
    fn default() -> Self {
        Self {
            clock: Signal::default(),
            reset: Signal::default(),
            axil: LiteSlave::default(),
            now: Signal::default(),
            status: Signal::default(),
            raw_fetched: Signal::default(),
            pulses: Signal::default(),
            rx_bytes: Signal::default(),
            tx_bytes: Signal::default(),
            settings: Signal::default(),
            rings: Signal::default(),
            arm: Signal::default(),
            draining: Signal::default(),
            clearing: Signal::default(),
            halt: Signal::default(),
            clear: Signal::default(),
            busy: Signal::default(),
            registers: Registers::default(),
            counters: Counters::default(),
            step: DFF::default(),
            patience: DFF::default(),
            halted: DFF::default(),
            cleared: DFF::default(),
            write: DFF::default(),
            write_address: DFF::default(),
            write_data: DFF::default(),
            answer: DFF::default(),
            look: DFF::default(),
            read_address: DFF::default(),
            read_data: DFF::default(),
            count_high: DFF::default(),
            accept: Signal::default(),
            is_count: Signal::default(),
            word_mask: Constant::new(bits((register::BAR_SIZE - 4).into())),
            counters_page: Constant::new(bits((register::COUNTERS / register::PAGE).into())),
            count: Constant::new(bits(COUNT as LiteralType)),
        }
    }
}

impl Logic for Csr {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, step, patience, halted, cleared, write, write_address, write_data, answer, look, read_address, read_data, count_high);
        clock!(self, clock, registers, counters);

        // Reset.
        match self.step.q.val() {
            ResetStep::Run => {
                if self.registers.reset_request.val() {
                    self.step.d.next = ResetStep::Drain;
                }
            }
            ResetStep::Drain => {
                // `halted` is a register, and so is what it stops: some cycles must pass before nothing is on its way for good.
                self.patience.d.next = self.patience.q.val() + 1;
                if self.draining.val() {
                    self.patience.d.next = 0.into();
                }
                if self.patience.q.val().all() & !self.draining.val() {
                    self.step.d.next = ResetStep::Clear;
                }
            }
            ResetStep::Clear => {
                self.patience.d.next = self.patience.q.val() + 1;
                if self.patience.q.val().all() {
                    self.step.d.next = ResetStep::Settle;
                }
            }
            ResetStep::Settle => {
                // `cleared` falls one cycle from here, and what begins to clear itself says so in the next.
                if !self.patience.q.val().all() {
                    self.patience.d.next = self.patience.q.val() + 1;
                } else {
                    if !self.clearing.val() & !self.counters.clearing.val() {
                        self.step.d.next = ResetStep::Run;
                        self.patience.d.next = 0.into();
                    }
                }
            }
        }
        self.halted.d.next = (self.step.q.val() == ResetStep::Drain) | (self.step.q.val() == ResetStep::Clear);
        self.cleared.d.next = self.step.q.val() == ResetStep::Clear;
        self.halt.next = self.halted.q.val();
        self.clear.next = self.cleared.q.val();

        // Writes.
        self.accept.next = self.axil.awvalid.val() & self.axil.wvalid.val() & !self.answer.q.val() & (self.step.q.val() != ResetStep::Clear);
        self.axil.awready.next = self.accept.val();
        self.axil.wready.next = self.accept.val();
        self.axil.bresp.next = 0.into();
        self.axil.bvalid.next = self.answer.q.val();
        if self.axil.bready.val() {
            self.answer.d.next = false;
        }
        if self.accept.val() {
            self.answer.d.next = true;
        }
        self.write.d.next = self.accept.val() & self.axil.wstrb.val().all() & (self.step.q.val() != ResetStep::Drain);
        self.write_address.d.next = self.axil.awaddr.val() & self.word_mask.val();
        self.write_data.d.next = self.axil.wdata.val();
        self.registers.write.next = self.write.q.val();
        self.registers.write_address.next = self.write_address.q.val();
        self.registers.write_data.next = self.write_data.q.val();

        // Reads.
        self.is_count.next = self.read_address.q.val().get_bits::<6>(12) == self.counters_page.val();
        self.axil.arready.next = false;
        self.registers.read.next = false;
        self.registers.read_address.next = self.read_address.q.val();
        self.counters.read.next = false;
        self.counters.number.next = self.read_address.q.val().get_bits::<6>(3);
        match self.look.q.val() {
            LookStep::Idle => {
                self.axil.arready.next = true;
                self.read_address.d.next = self.axil.araddr.val() & self.word_mask.val();
                if self.axil.arvalid.val() {
                    self.look.d.next = LookStep::Look;
                }
            }
            LookStep::Look => {
                self.registers.read.next = true;
                self.look.d.next = LookStep::Take;
                if self.is_count.val() {
                    self.read_data.d.next = 0.into();
                    self.look.d.next = LookStep::Answer;
                    if self.read_address.q.val().get_bits::<9>(3) < self.count.val() {
                        if self.read_address.q.val().get_bit(2) {
                            self.read_data.d.next = self.count_high.q.val();
                        } else {
                            self.counters.read.next = true;
                            self.look.d.next = LookStep::Count;
                        }
                    }
                }
            }
            LookStep::Take => {
                self.read_data.d.next = self.registers.read_data.val();
                self.look.d.next = LookStep::Answer;
            }
            LookStep::Count => {
                self.read_data.d.next = self.counters.value.val().get_bits::<32>(0);
                if self.counters.valid.val() {
                    self.count_high.d.next = self.counters.value.val().get_bits::<32>(32);
                    self.look.d.next = LookStep::Answer;
                }
            }
            LookStep::Answer => {
                if self.axil.rready.val() {
                    self.look.d.next = LookStep::Idle;
                }
            }
        }
        self.axil.rvalid.next = self.look.q.val() == LookStep::Answer;
        self.axil.rdata.next = self.read_data.q.val();
        self.axil.rresp.next = 0.into();

        // What is inside.
        self.registers.reset.next = self.cleared.q.val();
        self.registers.now.next = self.now.val();
        self.registers.resetting.next = self.step.q.val() != ResetStep::Run;
        self.registers.status.next = self.status.val();
        self.registers.raw_fetched.next = self.raw_fetched.val();
        self.registers.bad_command.next = self.pulses.val().bad_commands;
        self.counters.reset.next = self.cleared.q.val();
        self.counters.pulses.next = self.pulses.val();
        self.counters.rx_bytes.next = self.rx_bytes.val();
        self.counters.tx_bytes.next = self.tx_bytes.val();
        self.settings.next = self.registers.settings.val();
        self.rings.next = self.registers.rings.val();
        self.arm.next = self.registers.arm.val();
        self.busy.next = self.axil.awvalid.val()
            | self.axil.wvalid.val()
            | self.axil.arvalid.val()
            | self.answer.q.val()
            | self.write.q.val()
            | (self.look.q.val() != LookStep::Idle)
            | (self.step.q.val() != ResetStep::Run)
            | self.registers.reset_request.val()
            | self.registers.arm.val()
            | self.counters.busy.val();

        if self.reset.val() {
            self.step.d.next = ResetStep::Clear;
            self.patience.d.next = 0.into();
            self.halted.d.next = true;
            self.cleared.d.next = true;
            self.write.d.next = false;
            self.answer.d.next = false;
            self.look.d.next = LookStep::Idle;
        }
    }
}
