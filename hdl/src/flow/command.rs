//! COMMAND: is it to be refused, and what does it ask for?

use super::decode::{Opcodes, RawFrame};
use super::state::{FlowReceive, FlowTransmit};
use rust_hdl::prelude::*;
use toe_contract::FLOWS;

/// Checks a command against the flow. Inputs stand still from cycle 3 on; outputs are right from cycle 6 on.
#[derive(LogicBlock)]
pub struct Check {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// What the command is.
    pub opcodes: Signal<In, Opcodes>,
    /// The flow it names.
    pub flow: Signal<In, Bits<16>>,
    /// INSTALL's send state.
    pub installed: Signal<In, FlowTransmit>,
    /// RINGS' snd_mss.
    pub snd_mss: Signal<In, Bits<16>>,
    /// SEND's limit.
    pub limit: Signal<In, Bits<32>>,
    /// CONSUMED's position.
    pub rcv_consumed: Signal<In, Bits<32>>,
    /// RESEND's start.
    pub from: Signal<In, Bits<32>>,
    /// The frame of RAW and INJECT.
    pub raw: Signal<In, RawFrame>,
    /// Longest frame in bytes.
    pub max_frame: Signal<In, Bits<16>>,
    /// The flow is installed.
    pub active: Signal<In, Bit>,
    /// log2 of its send ring.
    pub send_log2: Signal<In, Bits<5>>,
    /// The flow.
    pub receive: Signal<In, FlowReceive>,
    /// The flow.
    pub transmit: Signal<In, FlowTransmit>,
    /// It is refused.
    pub refused: Signal<Out, Bit>,
    /// The flow table must be asked (INSTALL, REMOVE).
    pub asks: Signal<Out, Bit>,
    /// The command may make the flow send, and there is something.
    pub wants_data: Signal<Out, Bit>,
    limit_gap: DFF<Bits<32>>,
    limit_span: DFF<Bits<32>>,
    send_size: DFF<Bits<32>>,
    consumed_gap: DFF<Bits<32>>,
    unread: DFF<Bits<32>>,
    from_una: DFF<Bits<32>>,
    to_max: DFF<Bits<32>>,
    field_stop: DFF<Bits<17>>,
    nxt: DFF<Bits<32>>,
    goal: DFF<Bits<32>>,
    fin: DFF<Bit>,
    one: DFF<Bit>,
    late_nxt: DFF<Bits<32>>,
    late_goal: DFF<Bits<32>>,
    no_flow: DFF<Bit>,
    bad_send: DFF<Bit>,
    bad_consumed: DFF<Bit>,
    bad_resend: DFF<Bit>,
    bad_length: DFF<Bit>,
    bad_checksum: DFF<Bit>,
    bad_rings: DFF<Bit>,
    setup: Signal<Local, Bit>,
    working: Signal<Local, Bit>,
    framed: Signal<Local, Bit>,
    refuse: Signal<Local, Bit>,
    verdict: DFF<Bit>,
    table: DFF<Bit>,
    sends: DFF<Bit>,
    flows: Constant<Bits<16>>,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            clock: Signal::default(),
            opcodes: Signal::default(),
            flow: Signal::default(),
            installed: Signal::default(),
            snd_mss: Signal::default(),
            limit: Signal::default(),
            rcv_consumed: Signal::default(),
            from: Signal::default(),
            raw: Signal::default(),
            max_frame: Signal::default(),
            active: Signal::default(),
            send_log2: Signal::default(),
            receive: Signal::default(),
            transmit: Signal::default(),
            refused: Signal::default(),
            asks: Signal::default(),
            wants_data: Signal::default(),
            limit_gap: DFF::default(),
            limit_span: DFF::default(),
            send_size: DFF::default(),
            consumed_gap: DFF::default(),
            unread: DFF::default(),
            from_una: DFF::default(),
            to_max: DFF::default(),
            field_stop: DFF::default(),
            nxt: DFF::default(),
            goal: DFF::default(),
            fin: DFF::default(),
            one: DFF::default(),
            late_nxt: DFF::default(),
            late_goal: DFF::default(),
            no_flow: DFF::default(),
            bad_send: DFF::default(),
            bad_consumed: DFF::default(),
            bad_resend: DFF::default(),
            bad_length: DFF::default(),
            bad_checksum: DFF::default(),
            bad_rings: DFF::default(),
            setup: Signal::default(),
            working: Signal::default(),
            framed: Signal::default(),
            refuse: Signal::default(),
            verdict: DFF::default(),
            table: DFF::default(),
            sends: DFF::default(),
            flows: Constant::new(bits(FLOWS as LiteralType)),
        }
    }
}

impl Logic for Check {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            limit_gap,
            limit_span,
            send_size,
            consumed_gap,
            unread,
            from_una,
            to_max,
            field_stop,
            nxt,
            goal,
            fin,
            one,
            late_nxt,
            late_goal,
            no_flow,
            bad_send,
            bad_consumed,
            bad_resend,
            bad_length,
            bad_checksum,
            bad_rings,
            verdict,
            table,
            sends
        );
        // Cycle 3.
        self.limit_gap.d.next = self.limit.val() - self.transmit.val().limit;
        self.limit_span.d.next = self.limit.val() - self.transmit.val().snd_una;
        self.send_size.d.next = bits::<32>(1) << self.send_log2.val();
        self.consumed_gap.d.next = self.rcv_consumed.val() - self.receive.val().rcv_consumed;
        self.unread.d.next = self.receive.val().rcv_nxt - self.rcv_consumed.val();
        self.from_una.d.next = self.from.val() - self.transmit.val().snd_una;
        self.to_max.d.next = self.transmit.val().snd_max - self.from.val();
        self.field_stop.d.next = bit_cast::<17, 16>(self.raw.val().checksum_offset) + 2;
        self.nxt.d.next = self.transmit.val().snd_nxt;
        self.goal.d.next = self.transmit.val().limit;
        self.fin.d.next = self.transmit.val().fin_queued;
        self.one.d.next = self.transmit.val().one_pending;
        if self.opcodes.val().install {
            self.nxt.d.next = self.installed.val().snd_nxt;
            self.goal.d.next = self.installed.val().limit;
            self.fin.d.next = self.installed.val().fin_queued;
            self.one.d.next = false;
        }
        if self.opcodes.val().resend {
            if self.opcodes.val().flag {
                self.one.d.next = true;
            } else {
                self.nxt.d.next = self.from.val();
            }
        }
        if self.opcodes.val().send & !self.transmit.val().fin_queued {
            self.goal.d.next = self.limit.val();
            self.fin.d.next = self.opcodes.val().flag;
        }
        // Cycle 4.
        self.no_flow.d.next = self.flow.val() >= self.flows.val();
        self.bad_send.d.next = self.limit_gap.q.val().get_bit(31) | (!self.limit_span.q.val().get_bit(31) & (self.limit_span.q.val() > self.send_size.q.val()));
        self.bad_consumed.d.next = self.consumed_gap.q.val().get_bit(31) | self.unread.q.val().get_bit(31);
        self.bad_resend.d.next = self.from_una.q.val().get_bit(31) | self.to_max.q.val().get_bit(31);
        self.bad_length.d.next = (self.raw.val().length < bits::<16>(14)) | (self.raw.val().length > self.max_frame.val());
        self.bad_checksum.d.next = self.raw.val().checksum
            & ((self.raw.val().checksum_start >= self.raw.val().length) | (self.field_stop.q.val() > bit_cast::<17, 16>(self.raw.val().length)));
        self.bad_rings.d.next = self.snd_mss.val().get_bits::<2>(14).any();
        self.late_nxt.d.next = self.nxt.q.val();
        self.late_goal.d.next = self.goal.q.val() + bit_cast::<32, 1>(self.fin.q.val().into());
        // Cycle 5.
        self.setup.next = self.opcodes.val().address | self.opcodes.val().rings | self.opcodes.val().receive | self.opcodes.val().install;
        self.working.next = self.opcodes.val().send
            | self.opcodes.val().consumed
            | self.opcodes.val().cwnd
            | self.opcodes.val().resend
            | self.opcodes.val().ack_now
            | self.opcodes.val().rearm
            | self.opcodes.val().remove;
        self.framed.next = self.opcodes.val().raw | self.opcodes.val().inject;
        self.refuse.next = !(self.setup.val() | self.working.val() | self.framed.val())
            | ((self.setup.val() | self.working.val()) & self.no_flow.q.val())
            | (self.setup.val() & self.active.val())
            | (self.working.val() & !self.active.val())
            | (self.opcodes.val().rings & self.bad_rings.q.val())
            | (self.opcodes.val().send & self.bad_send.q.val())
            | (self.opcodes.val().consumed & self.bad_consumed.q.val())
            | (self.opcodes.val().resend & self.bad_resend.q.val())
            | (self.framed.val() & self.bad_length.q.val())
            | (self.opcodes.val().raw & self.bad_checksum.q.val());
        self.verdict.d.next = self.refuse.val();
        self.table.d.next = !self.refuse.val() & (self.opcodes.val().install | self.opcodes.val().remove);
        self.sends.d.next = !self.refuse.val()
            & (self.opcodes.val().install | self.opcodes.val().send | self.opcodes.val().cwnd | self.opcodes.val().resend)
            & (self.one.q.val() | (self.late_nxt.q.val() != self.late_goal.q.val()));
        self.refused.next = self.verdict.q.val();
        self.asks.next = self.table.q.val();
        self.wants_data.next = self.sends.q.val();
    }
}
