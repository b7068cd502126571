//! The counters: 64 bits each, in a block RAM.
//!
//! ```text
//!  pulses -> pending (one small number a counter) -> sweep: one counter a cycle -> RAM: read, add, write
//!                                                                                   ^ read by the registers
//! ```
//!
//! What comes while a counter waits for its turn is kept in its pending number, so nothing is ever lost: 40 turns make a sweep, a read takes one turn, and a
//! pending number holds 63. A counter is at most [`LAG`] cycles behind.

use super::pulses::Pulses;
use crate::ram::Ram;
use rust_hdl::prelude::*;
use toe_contract::counter::{COUNTERS, MAC_RX_BYTES, MAC_TX_BYTES};

/// Counters.
pub const COUNT: usize = COUNTERS.len();
// The widths below are for these: 6 bits of number, pending numbers of 6 bits, a kernel with the last turn in it.
const _: () = assert!(COUNT == 40 && MAC_RX_BYTES < COUNT && MAC_TX_BYTES < COUNT);

const RX_END: usize = MAC_RX_BYTES + 1;
const TX_END: usize = MAC_TX_BYTES + 1;

/// Cycles after which a pulse is in its counter, if the counters are read no more than every fourth cycle.
pub const LAG: u64 = 64;

/// Eight pending numbers.
#[derive(LogicBlock, Default)]
pub struct Pending {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// What comes.
    pub pulses: Signal<In, Bits<8>>,
    /// Whose turn it is, if anybody's.
    pub turn: Signal<In, Bits<8>>,
    /// Its number, which starts again.
    pub amount: Signal<Out, Bits<6>>,
    count: [DFF<Bits<6>>; 8],
    part: [Signal<Local, Bits<6>>; 8],
}

impl Logic for Pending {
    #[hdl_gen]
    fn update(&mut self) {
        for k in 0..8 {
            self.count[k].clock.next = self.clock.val();
            self.count[k].d.next = self.count[k].q.val() + self.pulses.val().get_bit(k);
            self.part[k].next = 0.into();
            if self.turn.val().get_bit(k) {
                self.count[k].d.next = bits::<6>(0) + self.pulses.val().get_bit(k);
                self.part[k].next = self.count[k].q.val();
            }
            if self.reset.val() {
                self.count[k].d.next = 0.into();
            }
        }
        self.amount.next = 0.into();
        for k in 0..8 {
            self.amount.next = self.amount.val() | self.part[k].val();
        }
    }
}

/// The counters.
#[derive(LogicBlock, Default)]
pub struct Counters {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset: every counter to 0, which takes a sweep.
    pub reset: Signal<In, Bit>,
    /// One pulse for each counter of things.
    pub pulses: Signal<In, Pulses>,
    /// Bytes received in this cycle.
    pub rx_bytes: Signal<In, Bits<14>>,
    /// Bytes sent in this cycle.
    pub tx_bytes: Signal<In, Bits<16>>,
    /// Read the counter with this number (below [`COUNT`]); no more than every fourth cycle.
    pub read: Signal<In, Bit>,
    /// Its number.
    pub number: Signal<In, Bits<6>>,
    /// What it counted, ...
    pub value: Signal<Out, Bits<64>>,
    /// ... valid in this cycle: the second after `read`.
    pub valid: Signal<Out, Bit>,
    /// The counters are being cleared.
    pub clearing: Signal<Out, Bit>,
    /// Something may still be pending.
    pub busy: Signal<Out, Bit>,
    ram: Ram<Bits<64>, 6>,
    pending: [Pending; 5],
    rx_pending: DFF<Bits<16>>,
    tx_pending: DFF<Bits<16>>,
    turn: DFF<Bits<40>>,
    number0: DFF<Bits<6>>,
    clear: DFF<Bit>,
    add1: DFF<Bit>,
    read1: DFF<Bit>,
    number1: DFF<Bits<6>>,
    amount1: DFF<Bits<16>>,
    add2: DFF<Bit>,
    read2: DFF<Bit>,
    number2: DFF<Bits<6>>,
    amount2: DFF<Bits<16>>,
    value2: DFF<Bits<64>>,
    add3: DFF<Bit>,
    number3: DFF<Bits<6>>,
    low3: DFF<Bits<33>>,
    high3: DFF<Bits<32>>,
    linger: DFF<Bits<7>>,
    all: Signal<Local, Bits<40>>,
    sweep: Signal<Local, Bit>,
    turns: Signal<Local, Bits<40>>,
    count: Signal<Local, Bits<6>>,
    amount: Signal<Local, Bits<16>>,
}

impl Logic for Counters {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self, clock, rx_pending, tx_pending, turn, number0, clear, add1, read1, number1, amount1, add2, read2, number2, amount2, value2, add3, number3,
            low3, high3, linger
        );
        clock!(self, clock, ram);
        self.all.next = self.pulses.val().into();
        self.sweep.next = !self.read.val() & !self.clear.q.val();

        // Pending numbers; the one whose turn it is goes on its way.
        self.rx_pending.d.next = self.rx_pending.q.val() + bit_cast::<16, 14>(self.rx_bytes.val());
        self.tx_pending.d.next = self.tx_pending.q.val() + self.tx_bytes.val();
        self.turns.next = 0.into();
        if self.sweep.val() {
            self.turns.next = self.turn.q.val();
        }
        self.count.next = 0.into();
        for k in 0..5 {
            self.pending[k].clock.next = self.clock.val();
            self.pending[k].reset.next = self.reset.val();
            self.pending[k].pulses.next = self.all.val().get_bits::<8>(8 * k);
            self.pending[k].turn.next = self.turns.val().get_bits::<8>(8 * k);
        }
        for k in 0..5 {
            self.count.next = self.count.val() | self.pending[k].amount.val();
        }
        self.amount.next = bit_cast::<16, 6>(self.count.val());
        for k in MAC_RX_BYTES..RX_END {
            if self.turns.val().get_bit(k) {
                self.rx_pending.d.next = bit_cast::<16, 14>(self.rx_bytes.val());
                self.amount.next = self.amount.val() | self.rx_pending.q.val();
            }
        }
        for k in MAC_TX_BYTES..TX_END {
            if self.turns.val().get_bit(k) {
                self.tx_pending.d.next = self.tx_bytes.val();
                self.amount.next = self.amount.val() | self.tx_pending.q.val();
            }
        }
        if !self.read.val() {
            self.turn.d.next = (self.turn.q.val() << 1) | bit_cast::<40, 1>(self.turn.q.val().get_bits::<1>(39));
            self.number0.d.next = self.number0.q.val() + 1;
            if self.turn.q.val().get_bit(39) {
                self.number0.d.next = 0.into();
                self.clear.d.next = false;
            }
        }

        // Cycle 1: the RAM reads. Cycle 2: its word is in a register. Cycle 3: the low half has been added. Then it is written back.
        self.add1.d.next = self.sweep.val();
        self.read1.d.next = self.read.val();
        self.number1.d.next = self.number0.q.val();
        self.amount1.d.next = self.amount.val();
        self.ram.read_enable.next = true;
        self.ram.read_address.next = self.number0.q.val();
        if self.read.val() {
            self.ram.read_address.next = self.number.val();
        }
        self.add2.d.next = self.add1.q.val();
        self.read2.d.next = self.read1.q.val();
        self.number2.d.next = self.number1.q.val();
        self.amount2.d.next = self.amount1.q.val();
        self.value2.d.next = self.ram.read_data.val();
        self.add3.d.next = self.add2.q.val();
        self.number3.d.next = self.number2.q.val();
        self.low3.d.next = bit_cast::<33, 32>(self.value2.q.val().get_bits::<32>(0)) + bit_cast::<33, 16>(self.amount2.q.val());
        self.high3.d.next = self.value2.q.val().get_bits::<32>(32);
        self.ram.write_enable.next = self.add3.q.val();
        self.ram.write_address.next = self.number3.q.val();
        self.ram.write_data.next = bit_cast::<64, 32>(self.low3.q.val().get_bits::<32>(0))
            | (bit_cast::<64, 32>(self.high3.q.val() + bit_cast::<32, 1>(self.low3.q.val().get_bits::<1>(32))) << 32);
        if self.clear.q.val() {
            self.ram.write_enable.next = true;
            self.ram.write_address.next = self.number0.q.val();
            self.ram.write_data.next = 0.into();
        }
        self.value.next = self.value2.q.val();
        self.valid.next = self.read2.q.val();
        self.clearing.next = self.clear.q.val();

        if self.linger.q.val().any() {
            self.linger.d.next = self.linger.q.val() - 1;
        }
        if self.all.val().any() | self.rx_bytes.val().any() | self.tx_bytes.val().any() {
            self.linger.d.next = bits::<7>(127);
        }
        self.busy.next = self.linger.q.val().any();

        if self.reset.val() {
            self.rx_pending.d.next = 0.into();
            self.tx_pending.d.next = 0.into();
            self.turn.d.next = 1.into();
            self.number0.d.next = 0.into();
            self.clear.d.next = true;
            self.add1.d.next = false;
            self.read1.d.next = false;
            self.add2.d.next = false;
            self.read2.d.next = false;
            self.add3.d.next = false;
            self.linger.d.next = 0.into();
        }
    }
}
