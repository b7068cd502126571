//! The flow core: one operation at a time, atomic on one flow, as `docs/engine.md` says.
//!
//! ```text
//!  looked_up --+                     +------------------------------- queues <------------------------------+
//!  seal -------+--> arbiter --> store (RAMs -> registers)                                                   |
//!  command ----+                     |                                                                      |
//!                                    +-> acceptance -+                                                      |
//!                                    +-> acknowledge +-> verdict -+                                         |
//!                                    +-> reassembly -+            +-> next state, emit --> store, queues ---+
//!                                    +-> announce, schedule ------+        |
//!                                    +-> command -----------------+        +--> write, fetch, acks, sealed, counters
//! ```
//!
//! The stages between the store and the results hold registers that are always clocked: the state stands still while an operation runs, so each value
//! is right a fixed number of cycles after the load, and only the last cycle writes.
//!
//! | cycle | all | SEGMENT | SEAL, ACK | PLAN | COMMAND |
//! |---|---|---|---|---|---|
//! | 0 | choose the class | | | | |
//! | 1 | take the input, address the RAMs | | | | |
//! | 2 | load the flow | SEG.SEQ + payload | | | |
//! | 3 | | differences to the state; each range's four comparisons | limits, left | both starts against the windows | differences |
//! | 4 | | comparisons; touched ranges; trimmed end | gain | U, D | comparisons |
//! | 5 | | acceptable; ACK decided; joined range | open or not | clamped | refused or not |
//! | 6 | | anything new? pending? | scaled | comparisons | |
//! | 7 | | RCV.NXT, FIN | saturated | n, FIN, send or not | |
//! | 8 | | verdict | new edge | new SND.NXT | |
//! | 9 | write state, queues, outputs | | | | (10, 11: the flow table first, for INSTALL and REMOVE) |
//!
//! So an operation takes 10 cycles, TIMER and REPORT 6, INSTALL and REMOVE 2 and the table's time more. The table must answer while `looked_up` waits.

use super::acceptance::Acceptance;
use super::acknowledge::Acknowledge;
use super::announce::Announce;
use super::arbiter::Arbiter;
use super::command::Check;
use super::control_next::ControlNext;
use super::decode::Decode;
use super::emit::Emit;
use super::outcome::Settle;
use super::outputs::Outputs;
use super::queues::Queues;
use super::reassembly::Reassembly;
use super::receive_next::ReceiveNext;
use super::record::Record;
use super::schedule::Schedule;
use super::state::Class;
use super::store::Store;
use super::transmit_next::TransmitNext;
use super::verdict::Decide;
use crate::types::{
    ChannelRx, ChannelTx, FetchJob, LookedUp, SealRequest, Segment, TableReply, TableRequest, WriteJob, COMMAND_BITS, FLOW_BITS, KEY_BITS, LENGTH_BITS,
};
use rust_hdl::prelude::*;
use toe_contract::RANGES;

/// The flow core.
#[derive(LogicBlock, Default)]
pub struct FlowCore {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset: all flows are cleared, which takes as many cycles as there are flows.
    pub reset: Signal<In, Bit>,
    /// Segments and raw frames.
    pub looked_up: ChannelRx<LookedUp>,
    /// Commands, in ring order.
    pub command: ChannelRx<Bits<COMMAND_BITS>>,
    /// Planned segments whose payload has come, and markers of removals.
    pub seal: ChannelRx<SealRequest>,
    /// Time in ticks.
    pub tick: Signal<In, Bits<32>>,
    /// Time in steps of the timestamp clock.
    pub timestamp: Signal<In, Bits<32>>,
    /// Register DELAYED_ACK: ticks.
    pub delayed_ack: Signal<In, Bits<32>>,
    /// Register MAX_FRAME: bytes.
    pub max_frame: Signal<In, Bits<16>>,
    /// The event ring has room for at least two more events than are queued.
    pub event_room: Signal<In, Bit>,
    /// To the flow table.
    pub table: ChannelTx<TableRequest>,
    /// From the flow table.
    pub table_reply: Signal<In, TableReply>,
    /// To the write engine.
    pub write: ChannelTx<WriteJob>,
    /// To the fetch stage.
    pub fetch: ChannelTx<FetchJob>,
    /// Pure ACKs.
    pub acks: ChannelTx<Segment>,
    /// Headers of segments whose payload is in the transmit buffer, in its order.
    pub sealed: ChannelTx<Segment>,
    /// Nothing is queued, nothing under way. Delayed ACKs that are not due do not count.
    pub idle: Signal<Out, Bit>,
    /// Tick of the next delayed ACK.
    pub next_deadline: Signal<Out, Bits<32>>,
    /// There is one.
    pub next_deadline_valid: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_raw: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_segments: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_no_ack: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_paws: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_unacceptable: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_ack_beyond: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_ack_old: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_in_order: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_out_of_order: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_no_range: Signal<Out, Bit>,
    /// Counter pulse.
    pub rx_duplicate: Signal<Out, Bit>,
    /// Counter pulse.
    pub tx_acks: Signal<Out, Bit>,
    /// Counter pulse.
    pub tx_segments: Signal<Out, Bit>,
    /// Counter pulse.
    pub tx_resent: Signal<Out, Bit>,
    /// Counter pulse.
    pub tx_window_updates: Signal<Out, Bit>,
    /// Counter pulse.
    pub events: Signal<Out, Bit>,
    /// Counter pulse.
    pub bad_commands: Signal<Out, Bit>,
    /// An operation takes its input in this cycle: for observers.
    pub begins: Signal<Out, Bit>,
    /// An operation writes its results in this cycle: for observers.
    pub ends: Signal<Out, Bit>,
    /// The operation under way: for observers.
    pub operation: Signal<Out, Class>,
    /// The flow that is read for it in the cycle in which it begins; of no meaning where it has none: for observers.
    pub begins_on: Signal<Out, Bits<FLOW_BITS>>,

    arbiter: Arbiter,
    store: Store,
    acceptance: Acceptance,
    acknowledge: Acknowledge,
    reassembly: Reassembly,
    decide: Decide,
    announce: Announce,
    schedule: Schedule,
    decode: Decode,
    peek: Decode,
    check: Check,
    settle: Settle,
    receive_next: ReceiveNext,
    transmit_next: TransmitNext,
    control_next: ControlNext,
    record: Record,
    emit: Emit,
    queues: Queues,
    outputs: Outputs,

    segment: DFF<LookedUp>,
    seal_request: DFF<SealRequest>,
    order: DFF<Bits<COMMAND_BITS>>,
    flow: DFF<Bits<FLOW_BITS>>,
    now: DFF<Bits<32>>,
    time: DFF<Bits<32>>,
    seq_end: DFF<Bits<32>>,
    ts_val: DFF<Bits<32>>,
    deadline: DFF<Bits<32>>,
    delack_gap: DFF<Bits<32>>,
    command_seen: DFF<Bit>,
    command_fetches: DFF<Bit>,
    next_flow: Signal<Local, Bits<FLOW_BITS>>,
    commit: Signal<Local, Bit>,
}

impl Logic for FlowCore {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, segment, seal_request, order, flow, now, time, seq_end, ts_val, deadline, delack_gap, command_seen, command_fetches);
        clock!(self, clock, arbiter, store, acceptance, acknowledge, reassembly, decide, announce, schedule, check, settle, record);
        clock!(self, clock, queues, outputs);
        ChannelTx::<WriteJob>::link(&mut self.write, &mut self.outputs.write);
        ChannelTx::<FetchJob>::link(&mut self.fetch, &mut self.outputs.fetch);
        ChannelTx::<Segment>::link(&mut self.acks, &mut self.outputs.acks);
        ChannelTx::<Segment>::link(&mut self.sealed, &mut self.outputs.sealed);
        self.arbiter.reset.next = self.reset.val();
        self.queues.reset.next = self.reset.val();
        self.outputs.reset.next = self.reset.val();
        self.commit.next = self.arbiter.commit.val();
        self.begins.next = self.arbiter.take.val();
        self.ends.next = self.arbiter.commit.val();
        self.operation.next = self.arbiter.operation.val();

        // Cycle 0: what waits and has room.
        self.queues.tick.next = self.tick.val();
        self.peek.command.next = self.command.data.val();
        self.command_seen.d.next = self.command.valid.val() & !(self.arbiter.take.val() & self.arbiter.classes.val().command);
        self.command_fetches.d.next = self.peek.opcodes.val().raw | self.peek.opcodes.val().inject | self.peek.opcodes.val().remove;
        self.arbiter.seal.next = self.seal.valid.val()
            & ((!self.seal.data.val().removed & self.outputs.sealed_room.val())
                | (self.seal.data.val().removed & self.outputs.write_room.val() & self.event_room.val()));
        self.arbiter.segment.next = self.looked_up.valid.val() & self.outputs.write_room.val();
        self.arbiter.ack.next = self.queues.ack_valid.val() & self.outputs.ack_room.val();
        self.arbiter.timer.next = self.queues.due.val();
        self.arbiter.report.next = self.queues.report_valid.val() & self.outputs.write_room.val() & self.event_room.val();
        self.arbiter.plan.next = self.queues.data_valid.val() & self.outputs.fetch_room.val();
        self.arbiter.command.next = self.command_seen.q.val()
            & self.event_room.val()
            & self.outputs.write_room.val()
            & !(self.command_fetches.q.val() & !self.outputs.fetch_room.val());

        // Cycle 1: take it, and read its flow.
        self.looked_up.ready.next = self.arbiter.take.val() & self.arbiter.classes.val().segment;
        self.command.ready.next = self.arbiter.take.val() & self.arbiter.classes.val().command;
        self.seal.ready.next = self.arbiter.take.val() & self.arbiter.classes.val().seal;
        self.queues.take.next = self.arbiter.take.val();
        self.queues.classes.next = self.arbiter.classes.val();
        match self.arbiter.operation.val() {
            Class::Seal => {
                self.next_flow.next = self.seal.data.val().flow;
            }
            Class::Segment => {
                self.next_flow.next = self.looked_up.data.val().flow;
            }
            Class::Ack => {
                self.next_flow.next = self.queues.ack.val();
            }
            Class::Timer => {
                self.next_flow.next = self.queues.delack.val().flow;
            }
            Class::Report => {
                self.next_flow.next = self.queues.report.val();
            }
            Class::Plan => {
                self.next_flow.next = self.queues.data.val();
            }
            _ => {
                self.next_flow.next = self.command.data.val().get_bits::<FLOW_BITS>(16);
            }
        }
        if self.arbiter.take.val() {
            self.flow.d.next = self.next_flow.val();
            self.segment.d.next = self.looked_up.data.val();
            self.seal_request.d.next = self.seal.data.val();
            self.order.d.next = self.command.data.val();
            self.now.d.next = self.tick.val();
            self.time.d.next = self.timestamp.val();
        }
        self.begins_on.next = self.next_flow.val();
        self.store.take.next = self.arbiter.take.val();
        self.store.read_flow.next = self.next_flow.val();
        self.store.load.next = self.arbiter.load.val();

        // Cycles 2 and 3.
        self.seq_end.d.next = self.segment.q.val().parsed.seq + bit_cast::<32, LENGTH_BITS>(self.segment.q.val().parsed.payload_length);
        self.deadline.d.next = self.now.q.val() + self.delayed_ack.val();
        self.ts_val.d.next = self.time.q.val() + self.store.rings.val().ts_offset;
        self.delack_gap.d.next = self.now.q.val() - self.store.receive.val().delack_deadline;

        // Cycles 3 to 8: the stages.
        self.acceptance.segment.next = self.segment.q.val().parsed;
        self.acceptance.seq_end.next = self.seq_end.q.val();
        self.acceptance.timestamps.next = self.store.rings.val().timestamps;
        self.acceptance.receive.next = self.store.receive.val();
        self.acknowledge.segment.next = self.segment.q.val().parsed;
        self.acknowledge.occupies.next = self.acceptance.occupies.val();
        self.acknowledge.snd_wscale.next = self.store.rings.val().snd_wscale;
        self.acknowledge.transmit.next = self.store.transmit.val();
        self.acknowledge.now.next = self.now.q.val();
        self.reassembly.segment.next = self.segment.q.val().parsed;
        self.reassembly.seq_end.next = self.seq_end.q.val();
        self.reassembly.rcv_mss.next = self.store.rings.val().rcv_mss;
        self.reassembly.receive.next = self.store.receive.val();
        self.decide.enabled.next = self.arbiter.classes.val().segment;
        self.decide.looked_up.next = self.segment.q.val();
        self.decide.now.next = self.now.q.val();
        self.decide.control.next = self.store.control.val();
        self.decide.receive.next = self.store.receive.val();
        self.decide.timestamps.next = self.store.rings.val().timestamps;
        self.decide.paws.next = self.acceptance.paws.val();
        self.decide.acceptable.next = self.acceptance.acceptable.val();
        self.decide.probe.next = self.acceptance.probe.val();
        self.decide.moves_ts_recent.next = self.acceptance.moves_ts_recent.val();
        self.decide.occupies.next = self.acceptance.occupies.val();
        self.decide.field.next = self.acknowledge.field.val();
        self.decide.placement.next = self.reassembly.placement.val();
        self.announce.rings.next = self.store.rings.val();
        self.announce.receive.next = self.store.receive.val();
        self.announce.consumed.next = self.store.receive.val().rcv_consumed;
        if self.arbiter.classes.val().command {
            self.announce.consumed.next = self.decode.rcv_consumed.val();
        }
        self.schedule.rings.next = self.store.rings.val();
        self.schedule.transmit.next = self.store.transmit.val();
        self.decode.command.next = self.order.q.val();
        self.check.opcodes.next = self.decode.opcodes.val();
        self.check.flow.next = self.decode.flow.val();
        self.check.installed.next = self.decode.transmit.val();
        self.check.snd_mss.next = self.decode.rings.val().snd_mss;
        self.check.limit.next = self.decode.limit.val();
        self.check.rcv_consumed.next = self.decode.rcv_consumed.val();
        self.check.from.next = self.decode.from.val();
        self.check.raw.next = self.decode.raw.val();
        self.check.max_frame.next = self.max_frame.val();
        self.check.active.next = self.store.control.val().active;
        self.check.send_log2.next = self.store.rings.val().send_log2;
        self.check.receive.next = self.store.receive.val();
        self.check.transmit.next = self.store.transmit.val();

        // Cycles 10 and 11: the flow table.
        self.arbiter.asks.next = self.check.asks.val();
        self.arbiter.asked.next = self.table.ready.val();
        self.arbiter.answered.next = self.table_reply.val().valid;
        self.table.valid.next = self.arbiter.ask.val();
        self.table.data.next.insert = self.decode.opcodes.val().install;
        self.table.data.next.key = (bit_cast::<KEY_BITS, 32>(self.store.address.val().remote_ip) << 64)
            | (bit_cast::<KEY_BITS, 32>(self.store.address.val().local_ip) << 32)
            | (bit_cast::<KEY_BITS, 16>(self.store.address.val().remote_port) << 16)
            | bit_cast::<KEY_BITS, 16>(self.store.address.val().local_port);
        self.table.data.next.flow = self.flow.q.val();
        self.table.data.next.generation = self.store.control.val().generation;
        if self.decode.opcodes.val().install {
            self.table.data.next.generation = self.store.control.val().generation + 1;
        }

        // Cycle 8 (4, 11): what the operation does, if it is not a SEGMENT.
        self.settle.classes.next = self.arbiter.classes.val();
        self.settle.control.next = self.store.control.val();
        self.settle.receive.next = self.store.receive.val();
        self.settle.fin_queued.next = self.store.transmit.val().fin_queued;
        self.settle.marker.next = self.seal_request.q.val().removed;
        self.settle.early.next = self.delack_gap.q.val().get_bit(31);
        self.settle.sends.next = self.schedule.sends.val();
        self.settle.opcodes.next = self.decode.opcodes.val();
        self.settle.refused.next = self.check.refused.val();
        self.settle.wants_data.next = self.check.wants_data.val();
        self.settle.opens.next = self.announce.opens.val();
        self.settle.table_reply.next = self.table_reply.val();

        // Cycle 9: the flow after the operation.
        self.receive_next.outcome.next = self.settle.outcome.val();
        self.receive_next.receive.next = self.store.receive.val();
        self.receive_next.verdict.next = self.decide.verdict.val();
        self.receive_next.placement.next = self.reassembly.placement.val();
        self.receive_next.ts_val.next = self.segment.q.val().parsed.ts_val;
        self.receive_next.now.next = self.now.q.val();
        self.receive_next.deadline.next = self.deadline.q.val();
        self.receive_next.rcv_adv.next = self.announce.rcv_adv.val();
        self.receive_next.loaded.next = self.decode.receive.val();
        self.receive_next.rcv_consumed.next = self.decode.rcv_consumed.val();
        self.transmit_next.outcome.next = self.settle.outcome.val();
        self.transmit_next.fin.next = self.decode.opcodes.val().flag;
        self.transmit_next.transmit.next = self.store.transmit.val();
        self.transmit_next.verdict.next = self.decide.verdict.val();
        self.transmit_next.field.next = self.acknowledge.field.val();
        self.transmit_next.seq.next = self.segment.q.val().parsed.seq;
        self.transmit_next.ack.next = self.segment.q.val().parsed.ack;
        self.transmit_next.ts_ecr.next = self.segment.q.val().parsed.ts_ecr;
        self.transmit_next.plan.next = self.schedule.plan.val();
        self.transmit_next.now.next = self.now.q.val();
        self.transmit_next.loaded.next = self.decode.transmit.val();
        self.transmit_next.limit.next = self.decode.limit.val();
        self.transmit_next.cwnd.next = self.decode.cwnd.val();
        self.transmit_next.from.next = self.decode.from.val();
        self.control_next.classes.next = self.arbiter.classes.val();
        self.control_next.outcome.next = self.settle.outcome.val();
        self.control_next.pending.next = self.schedule.plan.val().pending;
        self.control_next.one.next = self.schedule.plan.val().one;
        self.control_next.control.next = self.store.control.val();
        self.control_next.verdict.next = self.decide.verdict.val();
        for k in 0..RANGES {
            self.reassembly.range[k].next = self.store.range[k].val();
            self.record.range[k].next = self.store.range[k].val();
            self.receive_next.range[k].next = self.store.range[k].val();
            self.receive_next.takes[k].next = self.reassembly.takes[k].val();
            self.receive_next.joined[k].next = self.reassembly.joined[k].val();
            self.store.next_range[k].next = self.receive_next.next_range[k].val();
        }
        self.store.next_control.next = self.control_next.next_control.val();
        self.store.write_flow.next = self.flow.q.val();
        self.store.write_control.next = self.commit.val();
        if self.arbiter.sweep.val() {
            self.store.next_control.next.active = false;
            self.store.next_control.next.generation = bits::<8>(0);
            self.store.next_control.next.armed = false;
            self.store.next_control.next.dirty = false;
            self.store.next_control.next.quiet = false;
            self.store.next_control.next.in_ack = false;
            self.store.next_control.next.in_data = false;
            self.store.next_control.next.in_report = false;
            self.store.next_control.next.in_delack = false;
            self.store.write_flow.next = self.arbiter.sweep_flow.val();
            self.store.write_control.next = true;
        }
        self.store.next_receive.next = self.receive_next.next_receive.val();
        self.store.next_transmit.next = self.transmit_next.next_transmit.val();
        self.store.write_state.next = self.commit.val();
        self.store.next_address.next = self.decode.address.val();
        self.store.write_address.next = self.commit.val() & self.settle.outcome.val().address;
        self.store.next_rings.next = self.decode.rings.val();
        self.store.write_rings.next = self.commit.val() & self.settle.outcome.val().rings;

        // Cycle 9: the queues.
        self.queues.flow.next = self.flow.q.val();
        self.queues.deadline.next = self.deadline.q.val();
        if self.arbiter.classes.val().timer {
            self.queues.deadline.next = self.store.receive.val().delack_deadline;
        }
        self.queues.push_ack.next = self.commit.val() & self.control_next.push_ack.val();
        self.queues.push_data.next = self.commit.val() & self.control_next.push_data.val();
        self.queues.push_report.next = self.commit.val() & self.control_next.push_report.val();
        self.queues.push_delack.next = self.commit.val() & self.control_next.push_delack.val();

        // Cycle 9: the outputs.
        self.record.kind.next = self.emit.record_kind.val();
        self.record.flow.next = self.emit.record_flow.val();
        self.record.extra.next = self.emit.record_extra.val();
        self.record.snapshot.next = self.emit.record_snapshot.val();
        self.record.whole.next = self.emit.record_whole.val();
        self.record.receive.next = self.store.receive.val();
        self.record.transmit.next = self.store.transmit.val();
        self.emit.classes.next = self.arbiter.classes.val();
        self.emit.outcome.next = self.settle.outcome.val();
        self.emit.commit.next = self.commit.val();
        self.emit.flow.next = self.flow.q.val();
        self.emit.now.next = self.now.q.val();
        self.emit.ts_val.next = self.ts_val.q.val();
        self.emit.receive.next = self.store.receive.val();
        self.emit.transmit.next = self.store.transmit.val();
        self.emit.rings.next = self.store.rings.val();
        self.emit.address.next = self.store.address.val();
        self.emit.looked_up.next = self.segment.q.val();
        self.emit.verdict.next = self.decide.verdict.val();
        self.emit.placement.next = self.reassembly.placement.val();
        self.emit.seal.next = self.seal_request.q.val();
        self.emit.window.next = self.announce.window.val();
        self.emit.plan.next = self.schedule.plan.val();
        self.emit.command.next = self.order.q.val().get_bits::<32>(0);
        self.emit.opcodes.next = self.decode.opcodes.val();
        self.emit.raw.next = self.decode.raw.val();
        self.emit.record.next = self.record.record.val();
        self.outputs.commit.next = self.commit.val();
        self.outputs.outcome.next = self.settle.outcome.val();
        self.outputs.write_job.next = self.emit.write.val();
        self.outputs.fetch_job.next = self.emit.fetch.val();
        self.outputs.segment.next = self.emit.segment.val();
        self.outputs.counts.next = self.emit.counts.val();

        // What others look at.
        self.rx_raw.next = self.outputs.pulses.val().rx_raw;
        self.rx_segments.next = self.outputs.pulses.val().rx_segments;
        self.rx_no_ack.next = self.outputs.pulses.val().rx_no_ack;
        self.rx_paws.next = self.outputs.pulses.val().rx_paws;
        self.rx_unacceptable.next = self.outputs.pulses.val().rx_unacceptable;
        self.rx_ack_beyond.next = self.outputs.pulses.val().rx_ack_beyond;
        self.rx_ack_old.next = self.outputs.pulses.val().rx_ack_old;
        self.rx_in_order.next = self.outputs.pulses.val().rx_in_order;
        self.rx_out_of_order.next = self.outputs.pulses.val().rx_out_of_order;
        self.rx_no_range.next = self.outputs.pulses.val().rx_no_range;
        self.rx_duplicate.next = self.outputs.pulses.val().rx_duplicate;
        self.tx_acks.next = self.outputs.pulses.val().tx_acks;
        self.tx_segments.next = self.outputs.pulses.val().tx_segments;
        self.tx_resent.next = self.outputs.pulses.val().tx_resent;
        self.tx_window_updates.next = self.outputs.pulses.val().tx_window_updates;
        self.events.next = self.outputs.pulses.val().events;
        self.bad_commands.next = self.outputs.pulses.val().bad_commands;
        self.next_deadline.next = self.queues.delack.val().deadline;
        self.next_deadline_valid.next = self.queues.delack_valid.val();
        self.idle.next = !self.arbiter.busy.val()
            & !self.looked_up.valid.val()
            & !self.command.valid.val()
            & !self.seal.valid.val()
            & self.queues.idle.val()
            & self.outputs.empty.val();
        if self.reset.val() {
            self.command_seen.d.next = false;
        }
    }
}
