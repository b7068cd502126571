//! The memory of the flows: a block RAM for each part of the state, and the registers that hold the flow of the operation.

use super::state::{FlowAddress, FlowControl, FlowRange, FlowReceive, FlowRings, FlowTransmit};
use crate::ram::Ram;
use crate::types::FLOW_BITS;
use rust_hdl::prelude::*;
use toe_contract::RANGES;

/// Reads a flow in two cycles, writes what is enabled of it in one.
#[derive(LogicBlock, Default)]
pub struct Store {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Read `read_flow` (cycle 1).
    pub take: Signal<In, Bit>,
    /// Which flow to read.
    pub read_flow: Signal<In, Bits<FLOW_BITS>>,
    /// What was read goes into the registers (cycle 2).
    pub load: Signal<In, Bit>,
    /// The flow to write.
    pub write_flow: Signal<In, Bits<FLOW_BITS>>,
    /// Write the control part.
    pub write_control: Signal<In, Bit>,
    /// Write the two halves and the ranges.
    pub write_state: Signal<In, Bit>,
    /// Write the address.
    pub write_address: Signal<In, Bit>,
    /// Write rings and options.
    pub write_rings: Signal<In, Bit>,
    /// What to write.
    pub next_control: Signal<In, FlowControl>,
    /// What to write.
    pub next_receive: Signal<In, FlowReceive>,
    /// What to write.
    pub next_range: [Signal<In, FlowRange>; RANGES],
    /// What to write.
    pub next_transmit: Signal<In, FlowTransmit>,
    /// What to write.
    pub next_address: Signal<In, FlowAddress>,
    /// What to write.
    pub next_rings: Signal<In, FlowRings>,
    /// The flow read: from cycle 3 on.
    pub control: Signal<Out, FlowControl>,
    /// The flow read: from cycle 3 on.
    pub receive: Signal<Out, FlowReceive>,
    /// The flow read: from cycle 3 on.
    pub range: [Signal<Out, FlowRange>; RANGES],
    /// The flow read: from cycle 3 on.
    pub transmit: Signal<Out, FlowTransmit>,
    /// The flow read: from cycle 3 on.
    pub rings: Signal<Out, FlowRings>,
    /// The flow read: straight from the RAM, from cycle 2 on.
    pub address: Signal<Out, FlowAddress>,
    control_ram: Ram<FlowControl, FLOW_BITS>,
    receive_ram: Ram<FlowReceive, FLOW_BITS>,
    range_ram: [Ram<FlowRange, FLOW_BITS>; RANGES],
    transmit_ram: Ram<FlowTransmit, FLOW_BITS>,
    address_ram: Ram<FlowAddress, FLOW_BITS>,
    rings_ram: Ram<FlowRings, FLOW_BITS>,
    control_now: DFF<FlowControl>,
    receive_now: DFF<FlowReceive>,
    range_now: [DFF<FlowRange>; RANGES],
    transmit_now: DFF<FlowTransmit>,
    rings_now: DFF<FlowRings>,
}

impl Logic for Store {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, control_now, receive_now, transmit_now, rings_now);
        clock!(self, clock, control_ram, receive_ram, transmit_ram, address_ram, rings_ram);
        self.control_ram.read_enable.next = self.take.val();
        self.receive_ram.read_enable.next = self.take.val();
        self.transmit_ram.read_enable.next = self.take.val();
        self.address_ram.read_enable.next = self.take.val();
        self.rings_ram.read_enable.next = self.take.val();
        self.control_ram.read_address.next = self.read_flow.val();
        self.receive_ram.read_address.next = self.read_flow.val();
        self.transmit_ram.read_address.next = self.read_flow.val();
        self.address_ram.read_address.next = self.read_flow.val();
        self.rings_ram.read_address.next = self.read_flow.val();
        self.control_ram.write_address.next = self.write_flow.val();
        self.receive_ram.write_address.next = self.write_flow.val();
        self.transmit_ram.write_address.next = self.write_flow.val();
        self.address_ram.write_address.next = self.write_flow.val();
        self.rings_ram.write_address.next = self.write_flow.val();
        self.control_ram.write_enable.next = self.write_control.val();
        self.receive_ram.write_enable.next = self.write_state.val();
        self.transmit_ram.write_enable.next = self.write_state.val();
        self.address_ram.write_enable.next = self.write_address.val();
        self.rings_ram.write_enable.next = self.write_rings.val();
        self.control_ram.write_data.next = self.next_control.val();
        self.receive_ram.write_data.next = self.next_receive.val();
        self.transmit_ram.write_data.next = self.next_transmit.val();
        self.address_ram.write_data.next = self.next_address.val();
        self.rings_ram.write_data.next = self.next_rings.val();
        if self.load.val() {
            self.control_now.d.next = self.control_ram.read_data.val();
            self.receive_now.d.next = self.receive_ram.read_data.val();
            self.transmit_now.d.next = self.transmit_ram.read_data.val();
            self.rings_now.d.next = self.rings_ram.read_data.val();
        }
        for k in 0..RANGES {
            self.range_ram[k].clock.next = self.clock.val();
            self.range_ram[k].read_enable.next = self.take.val();
            self.range_ram[k].read_address.next = self.read_flow.val();
            self.range_ram[k].write_address.next = self.write_flow.val();
            self.range_ram[k].write_enable.next = self.write_state.val();
            self.range_ram[k].write_data.next = self.next_range[k].val();
            self.range_now[k].clock.next = self.clock.val();
            self.range_now[k].d.next = self.range_now[k].q.val();
            if self.load.val() {
                self.range_now[k].d.next = self.range_ram[k].read_data.val();
            }
            self.range[k].next = self.range_now[k].q.val();
        }
        self.control.next = self.control_now.q.val();
        self.receive.next = self.receive_now.q.val();
        self.transmit.next = self.transmit_now.q.val();
        self.rings.next = self.rings_now.q.val();
        self.address.next = self.address_ram.read_data.val();
    }
}
