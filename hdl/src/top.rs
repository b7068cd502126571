//! The whole engine: XGMII on one side, the host's buses on the other.
//!
//! ```text
//!  rxd, rxc -> MAC -> gate -> inject -> parser -> lookup -> flow core -> write engine -> axi (AW, W, B)
//!                               ^         +- receive buffer ------------------^
//!                               |                             |  ^
//!  txd, txc <- MAC <- gate <- transmit <----------------------+  +-- submission <- read engine <- axi (AR, R)
//!                                 +---------------------------------------------------^
//!  axil -> registers, counters, reset                                  interrupt -> irq
//! ```

use crate::flow::core::FlowCore;
use crate::flow::state::Class;
use crate::gate::{DropGate, HoldGate};
use crate::host::axi::{InterruptTx, LiteSlave, Master};
use crate::host::csr::Csr;
use crate::host::interrupt::Interrupt;
use crate::host::read::ReadEngine;
use crate::host::submission::Submission;
use crate::host::write::WriteEngine;
use crate::mac::{rx::XgmiiRx, tx::XgmiiTx};
use crate::receive::{inject::Inject, lookup::Lookup, parse::Parser};
use crate::stream::StreamTx;
use crate::transmit::Transmit;
use crate::types::{ChannelTx, FetchJob, LookedUp, Parsed, ReadJob, SealRequest, Segment, TableRequest, WriteJob, COMMAND_BITS, FLOW_BITS};
use rust_hdl::prelude::*;
use toe_contract::{TICK_SHIFT, TIMESTAMP_SHIFT};

// The kernel takes the ticks and the timestamps from these bits of `now`.
const _: () = assert!(TICK_SHIFT == 10 && TIMESTAMP_SHIFT == 20);

/// The TCP offload engine for 10 Gb/s: 64-bit XGMII at 156.25 MHz.
#[derive(LogicBlock, Default)]
pub struct Top {
    /// 156.25 MHz; everything is on its rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset at power-on, high.
    pub reset: Signal<In, Bit>,
    /// Time in nanoseconds; it does not go back.
    pub now: Signal<In, Bits<64>>,
    /// XGMII from the PHY: eight octets, the first lowest.
    pub rxd: Signal<In, Bits<64>>,
    /// Which of them are control characters.
    pub rxc: Signal<In, Bits<8>>,
    /// XGMII to the PHY.
    pub txd: Signal<Out, Bits<64>>,
    /// Which octets are control characters.
    pub txc: Signal<Out, Bits<8>>,
    /// Registers: AXI4-Lite.
    pub axil: LiteSlave,
    /// Host memory: AXI4.
    pub axi: Master,
    /// Interrupts: one for each context.
    pub irq: InterruptTx,
    /// Something is on its way inside: the clock must not stop.
    pub busy: Signal<Out, Bit>,
    /// Tick at which something will happen by itself.
    pub next_deadline: Signal<Out, Bits<32>>,
    /// There is one.
    pub next_deadline_valid: Signal<Out, Bit>,
    /// The flow core takes up an operation in this cycle: for observers.
    pub begins: Signal<Out, Bit>,
    /// Which: for observers.
    pub operation: Signal<Out, Class>,
    /// On which flow, where it is on one: for observers.
    pub begins_on: Signal<Out, Bits<FLOW_BITS>>,
    csr: Csr,
    submission: Submission,
    read: ReadEngine,
    write: WriteEngine,
    interrupt: Interrupt,
    mac_rx: XgmiiRx,
    rx_gate: DropGate,
    inject: Inject,
    parser: Parser,
    lookup: Lookup,
    core: FlowCore,
    transmit: Transmit,
    tx_gate: HoldGate,
    mac_tx: XgmiiTx,
    tick: DFF<Bits<32>>,
    timestamp: DFF<Bits<32>>,
    fault: DFF<Bit>,
    halt: DFF<Bit>,
    working: DFF<Bit>,
    linger: DFF<Bits<6>>,
    full_again: DFF<Bit>,
    clear: Signal<Local, Bit>,
    until_ack: Signal<Local, Bits<32>>,
}

impl Logic for Top {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, tick, timestamp, fault, halt, working, linger, full_again);
        clock!(self, clock, csr, submission, read, write, interrupt, mac_rx, rx_gate, inject, parser, lookup, core, transmit, tx_gate, mac_tx);
        self.tick.d.next = self.now.val().get_bits::<32>(10);
        self.timestamp.d.next = self.now.val().get_bits::<32>(20);

        // Reset and halt. The transmitter is not reset with the rest, so that no frame ends in the middle.
        self.clear.next = self.csr.clear.val();
        self.fault.d.next = self.read.fault.val() | self.write.fault.val();
        self.halt.d.next = self.csr.halt.val() | self.read.fault.val() | self.write.fault.val();
        self.csr.reset.next = self.reset.val();
        self.mac_tx.reset.next = self.reset.val();
        self.submission.reset.next = self.clear.val();
        self.read.reset.next = self.clear.val();
        self.write.reset.next = self.clear.val();
        self.interrupt.reset.next = self.clear.val();
        self.mac_rx.reset.next = self.clear.val();
        self.rx_gate.reset.next = self.clear.val();
        self.inject.reset.next = self.clear.val();
        self.parser.reset.next = self.clear.val();
        self.lookup.reset.next = self.clear.val();
        self.core.reset.next = self.clear.val();
        self.transmit.reset.next = self.clear.val();
        self.tx_gate.reset.next = self.clear.val();
        self.submission.halt.next = self.halt.q.val();
        self.read.halt.next = self.halt.q.val();
        self.write.halt.next = self.halt.q.val();
        self.interrupt.halt.next = self.csr.halt.val();
        self.csr.draining.next = self.read.outstanding.val() | self.write.outstanding.val() | self.tx_gate.begun.val();
        self.csr.clearing.next = !self.core.idle.val();

        // The host's registers.
        LiteSlave::link(&mut self.axil, &mut self.csr.axil);
        self.csr.now.next = self.now.val();
        self.csr.status.next.busy = self.working.q.val();
        self.csr.status.next.fault = self.fault.q.val();
        self.csr.status.next.local_fault = self.mac_rx.local_fault.val();
        self.csr.status.next.remote_fault = self.mac_rx.remote_fault.val();
        self.csr.status.next.submission_consumed = self.submission.consumed.val();
        self.csr.status.next.event_produced = self.write.event_produced.val();
        self.csr.status.next.raw_produced = self.write.raw_produced.val();
        self.csr.raw_fetched.next = self.transmit.raw_fetched.val();
        self.csr.rx_bytes.next = 0.into();
        if self.mac_rx.mac_rx_frames.val() {
            self.csr.rx_bytes.next = self.mac_rx.mac_rx_bytes.val();
        }
        self.csr.tx_bytes.next = 0.into();
        if self.mac_tx.mac_tx_frames.val() {
            self.csr.tx_bytes.next = self.mac_tx.mac_tx_bytes.val();
        }
        self.csr.pulses.next.mac_rx_frames = self.mac_rx.mac_rx_frames.val();
        self.csr.pulses.next.mac_rx_bytes = false;
        self.csr.pulses.next.mac_rx_bad_fcs = self.mac_rx.mac_rx_bad_fcs.val();
        self.csr.pulses.next.mac_rx_runt = self.mac_rx.mac_rx_runt.val();
        self.csr.pulses.next.mac_rx_oversize = self.mac_rx.mac_rx_oversize.val();
        self.csr.pulses.next.mac_rx_error = self.mac_rx.mac_rx_error.val();
        self.csr.pulses.next.mac_rx_bad_preamble = self.mac_rx.mac_rx_bad_preamble.val();
        self.csr.pulses.next.mac_rx_filtered = self.mac_rx.mac_rx_filtered.val();
        self.csr.pulses.next.mac_tx_frames = self.mac_tx.mac_tx_frames.val();
        self.csr.pulses.next.mac_tx_bytes = false;
        self.csr.pulses.next.mac_tx_underrun = self.mac_tx.mac_tx_underrun.val();
        self.csr.pulses.next.mac_tx_aborted = self.mac_tx.mac_tx_aborted.val();
        self.csr.pulses.next.mac_tx_link_down = self.mac_tx.mac_tx_link_down.val();
        self.csr.pulses.next.rx_buffer_full = self.inject.rx_buffer_full.val() | self.parser.rx_buffer_full.val() | self.full_again.q.val();
        self.csr.pulses.next.rx_bad_ipv4_header = self.parser.rx_bad_ipv4_header.val();
        self.csr.pulses.next.rx_bad_ipv4_checksum = self.parser.rx_bad_ipv4_checksum.val();
        self.csr.pulses.next.rx_bad_tcp_header = self.parser.rx_bad_tcp_header.val();
        self.csr.pulses.next.rx_bad_tcp_checksum = self.parser.rx_bad_tcp_checksum.val();
        self.csr.pulses.next.rx_checksum_good = self.parser.rx_checksum_good.val();
        self.csr.pulses.next.rx_raw = self.write.raw_written.val();
        self.csr.pulses.next.rx_raw_full = self.write.raw_full.val();
        self.csr.pulses.next.rx_segments = self.core.rx_segments.val();
        self.csr.pulses.next.rx_no_ack = self.core.rx_no_ack.val();
        self.csr.pulses.next.rx_paws = self.core.rx_paws.val();
        self.csr.pulses.next.rx_unacceptable = self.core.rx_unacceptable.val();
        self.csr.pulses.next.rx_ack_beyond = self.core.rx_ack_beyond.val();
        self.csr.pulses.next.rx_ack_old = self.core.rx_ack_old.val();
        self.csr.pulses.next.rx_in_order = self.core.rx_in_order.val();
        self.csr.pulses.next.rx_out_of_order = self.core.rx_out_of_order.val();
        self.csr.pulses.next.rx_no_range = self.core.rx_no_range.val();
        self.csr.pulses.next.rx_duplicate = self.core.rx_duplicate.val();
        self.csr.pulses.next.tx_acks = self.core.tx_acks.val();
        self.csr.pulses.next.tx_segments = self.core.tx_segments.val();
        self.csr.pulses.next.tx_resent = self.core.tx_resent.val();
        self.csr.pulses.next.tx_window_updates = self.core.tx_window_updates.val();
        self.csr.pulses.next.tx_raw = self.transmit.tx_raw.val();
        self.csr.pulses.next.injected = self.inject.injected_frame.val();
        self.csr.pulses.next.events = self.write.event_written.val();
        self.csr.pulses.next.interrupts = self.interrupt.sent.val();
        self.csr.pulses.next.bad_commands = self.core.bad_commands.val();

        // Two modules may drop a frame in the same cycle: one of the pulses then comes later.
        self.full_again.d.next = (self.inject.rx_buffer_full.val() & self.parser.rx_buffer_full.val())
            | (self.full_again.q.val() & (self.inject.rx_buffer_full.val() | self.parser.rx_buffer_full.val()));

        // The host's memory.
        self.submission.rings.next = self.csr.rings.val();
        ChannelTx::<ReadJob>::join(&mut self.submission.job, &mut self.read.commands);
        StreamTx::<64, 8>::join(&mut self.read.command_data, &mut self.submission.data);
        ChannelTx::<Bits<COMMAND_BITS>>::join(&mut self.submission.commands, &mut self.core.command);
        ChannelTx::<ReadJob>::join(&mut self.transmit.reads, &mut self.read.payload);
        StreamTx::<64, 8>::join(&mut self.read.payload_data, &mut self.transmit.bytes);
        self.axi.araddr.next = self.read.bus.araddr.val();
        self.axi.arlen.next = self.read.bus.arlen.val();
        self.axi.arvalid.next = self.read.bus.arvalid.val();
        self.axi.rready.next = self.read.bus.rready.val();
        self.read.bus.arready.next = self.axi.arready.val();
        self.read.bus.rdata.next = self.axi.rdata.val();
        self.read.bus.rresp.next = self.axi.rresp.val();
        self.read.bus.rlast.next = self.axi.rlast.val();
        self.read.bus.rvalid.next = self.axi.rvalid.val();
        ChannelTx::<WriteJob>::join(&mut self.core.write, &mut self.write.jobs);
        self.write.rings.next = self.csr.rings.val();
        self.write.submission_consumed.next = self.submission.consumed.val().get_bits::<16>(0);
        self.core.event_room.next = self.write.event_room.val();
        self.axi.awaddr.next = self.write.bus.awaddr.val();
        self.axi.awlen.next = self.write.bus.awlen.val();
        self.axi.awvalid.next = self.write.bus.awvalid.val();
        self.axi.wdata.next = self.write.bus.wdata.val();
        self.axi.wstrb.next = self.write.bus.wstrb.val();
        self.axi.wlast.next = self.write.bus.wlast.val();
        self.axi.wvalid.next = self.write.bus.wvalid.val();
        self.axi.bready.next = self.write.bus.bready.val();
        self.write.bus.awready.next = self.axi.awready.val();
        self.write.bus.wready.next = self.axi.wready.val();
        self.write.bus.bresp.next = self.axi.bresp.val();
        self.write.bus.bvalid.next = self.axi.bvalid.val();
        self.interrupt.tick.next = self.tick.q.val();
        self.interrupt.holdoff.next = self.csr.settings.val().holdoff;
        self.interrupt.arm.next = self.csr.arm.val();
        self.interrupt.rings.next = self.csr.rings.val();
        self.interrupt.event_produced.next = self.write.event_produced.val();
        self.interrupt.raw_produced.next = self.write.raw_produced.val();
        self.interrupt.fault.next = self.fault.q.val();
        self.irq.valid.next = self.interrupt.irq.valid.val();
        self.irq.vector.next = self.interrupt.irq.data.val();
        self.interrupt.irq.ready.next = self.irq.ready.val();

        // In.
        self.mac_rx.rxd.next = self.rxd.val();
        self.mac_rx.rxc.next = self.rxc.val();
        self.mac_rx.local_mac.next = self.csr.settings.val().local_mac;
        self.mac_rx.promiscuous.next = self.csr.settings.val().promiscuous;
        self.mac_rx.multicast.next = self.csr.settings.val().multicast;
        self.mac_rx.max_frame.next = self.csr.settings.val().max_frame;
        StreamTx::<64, 8>::join(&mut self.mac_rx.m, &mut self.rx_gate.s);
        self.rx_gate.open.next = self.csr.settings.val().receive & !self.halt.q.val();
        StreamTx::<64, 8>::join(&mut self.rx_gate.m, &mut self.inject.mac);
        StreamTx::<64, 8>::join(&mut self.transmit.inject, &mut self.inject.injected);
        StreamTx::<64, 8>::join(&mut self.inject.m, &mut self.parser.s);
        ChannelTx::<Parsed>::join(&mut self.parser.m, &mut self.lookup.s);
        self.parser.free.next = self.write.freed.val().any();
        self.parser.free_beats.next = self.write.freed.val();
        self.parser.read_address.next = self.write.buffer_address.val();
        self.parser.read_enable.next = true;
        self.write.buffer_data.next = self.parser.read_data.val();
        self.lookup.hash_key.next = self.csr.settings.val().hash_key;
        ChannelTx::<LookedUp>::join(&mut self.lookup.m, &mut self.core.looked_up);
        ChannelTx::<TableRequest>::join(&mut self.core.table, &mut self.lookup.request);
        self.core.table_reply.next = self.lookup.reply.val();
        self.core.tick.next = self.tick.q.val();
        self.core.timestamp.next = self.timestamp.q.val();
        self.core.delayed_ack.next = self.csr.settings.val().delayed_ack;
        self.core.max_frame.next = bit_cast::<16, 14>(self.csr.settings.val().max_frame);

        // Out.
        ChannelTx::<FetchJob>::join(&mut self.core.fetch, &mut self.transmit.jobs);
        ChannelTx::<SealRequest>::join(&mut self.transmit.seals, &mut self.core.seal);
        ChannelTx::<Segment>::join(&mut self.core.sealed, &mut self.transmit.sealed);
        ChannelTx::<Segment>::join(&mut self.core.acks, &mut self.transmit.acks);
        self.transmit.local_mac.next = self.csr.settings.val().local_mac;
        StreamTx::<64, 8>::join(&mut self.transmit.mac, &mut self.tx_gate.s);
        self.tx_gate.open.next = self.csr.settings.val().transmit & !self.halt.q.val();
        StreamTx::<64, 8>::join(&mut self.tx_gate.m, &mut self.mac_tx.s);
        self.mac_tx.local_fault.next = self.mac_rx.local_fault.val();
        self.mac_tx.remote_fault.next = self.mac_rx.remote_fault.val();
        self.txd.next = self.mac_tx.txd.val();
        self.txc.next = self.mac_tx.txc.val();

        // Whether the clock is needed. What lies in a register between two modules is not told by either: so it lasts a little longer.
        self.working.d.next = self.submission.busy.val()
            | self.read.busy.val()
            | self.write.busy.val()
            | self.interrupt.busy.val()
            | self.rx_gate.s.valid.val()
            | self.inject.m.valid.val()
            | self.parser.m.valid.val()
            | self.lookup.m.valid.val()
            | !self.core.idle.val()
            | !self.transmit.idle.val()
            | self.tx_gate.s.valid.val();
        if self.linger.q.val().any() {
            self.linger.d.next = self.linger.q.val() - 1;
        }
        if (self.working.q.val() & !self.fault.q.val()) | self.csr.busy.val() {
            self.linger.d.next = bits::<6>(63);
        }
        self.busy.next = self.linger.q.val().any();
        self.until_ack.next = self.interrupt.deadline.val() - self.core.next_deadline.val();
        self.next_deadline.next = self.core.next_deadline.val();
        if self.interrupt.deadline_valid.val() & (!self.core.next_deadline_valid.val() | self.until_ack.val().get_bit(31)) {
            self.next_deadline.next = self.interrupt.deadline.val();
        }
        self.next_deadline_valid.next = self.interrupt.deadline_valid.val() | self.core.next_deadline_valid.val();
        self.begins.next = self.core.begins.val();
        self.operation.next = self.core.operation.val();
        self.begins_on.next = self.core.begins_on.val();

        if self.reset.val() {
            self.fault.d.next = false;
            self.halt.d.next = true;
            self.linger.d.next = bits::<6>(63);
        }
    }
}
