//! The record of an event or of a raw frame's header, by the layout of `toe_contract::event`.

use super::state::{FlowRange, FlowReceive, FlowTransmit};
use crate::types::RECORD_BITS;
use rust_hdl::prelude::*;
use toe_contract::{event as layout, RANGES};

fn place(field: layout::Field) -> Constant<Bits<10>> {
    let bit = 32 * field.word + field.low as usize;
    Constant::new(bits(bit as LiteralType))
}

macro_rules! record {
    ($($name:ident = $field:ident;)* | $($flag:ident = $mask:ident;)*) => {
        /// Puts a record together; combinational but for the count of ranges, which is right from cycle 4 on.
        #[derive(LogicBlock)]
        pub struct Record {
            /// Clock.
            pub clock: Signal<In, Clock>,
            /// Kind of the event, or reason of the raw frame.
            pub kind: Signal<In, Bits<8>>,
            /// The flow.
            pub flow: Signal<In, Bits<16>>,
            /// The last word but one: the tick, or the command refused.
            pub extra: Signal<In, Bits<32>>,
            /// With the flow's values as a raw frame's header has them.
            pub snapshot: Signal<In, Bit>,
            /// With the rest of the flow's values.
            pub whole: Signal<In, Bit>,
            /// The flow.
            pub receive: Signal<In, FlowReceive>,
            /// Its ranges.
            pub range: [Signal<In, FlowRange>; RANGES],
            /// The flow.
            pub transmit: Signal<In, FlowTransmit>,
            /// The record.
            pub record: Signal<Out, Bits<RECORD_BITS>>,
            held: DFF<Bits<8>>,
            count: Signal<Local, Bits<8>>,
            each: Signal<Local, FlowRange>,
            flags: Signal<Local, Bits<8>>,
            brief: Signal<Local, Bits<RECORD_BITS>>,
            rest: Signal<Local, Bits<RECORD_BITS>>,
            $($name: Constant<Bits<10>>,)*
            $($flag: Constant<Bits<8>>,)*
        }

        impl Default for Record {
            fn default() -> Self {
                Self {
                    clock: Signal::default(),
                    kind: Signal::default(),
                    flow: Signal::default(),
                    extra: Signal::default(),
                    snapshot: Signal::default(),
                    whole: Signal::default(),
                    receive: Signal::default(),
                    range: std::array::from_fn(|_| Signal::default()),
                    transmit: Signal::default(),
                    record: Signal::default(),
                    held: DFF::default(),
                    count: Signal::default(),
                    each: Signal::default(),
                    flags: Signal::default(),
                    brief: Signal::default(),
                    rest: Signal::default(),
                    $($name: place(layout::$field),)*
                    $($flag: Constant::new(bits(layout::$mask.into())),)*
                }
            }
        }
    };
}

record! {
    at_kind = KIND;
    at_flags = FLAGS;
    at_flow = FLOW;
    at_rcv_nxt = RCV_NXT;
    at_rcv_adv = RCV_ADV;
    at_snd_una = SND_UNA;
    at_snd_nxt = SND_NXT;
    at_snd_max = SND_MAX;
    at_snd_wnd = SND_WND;
    at_snd_wl1 = SND_WL1;
    at_snd_wl2 = SND_WL2;
    at_ts_recent = TS_RECENT;
    at_ts_ecr = TS_ECR;
    at_rtt = RTT;
    at_dup_acks = DUP_ACKS;
    at_rtt_count = RTT_COUNT;
    at_ranges = RANGES;
    at_last_ack_sent = LAST_ACK_SENT;
    at_extra = COMMAND;
    |
    flag_fin_received = FIN_RECEIVED;
    flag_fin_queued = FIN_QUEUED;
    flag_out_of_order = OUT_OF_ORDER;
}

impl Logic for Record {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, held);
        self.count.next = bits::<8>(0);
        for k in 0..RANGES {
            self.each.next = self.range[k].val();
            self.count.next = self.count.val() + bit_cast::<8, 1>(self.each.val().held.into());
        }
        self.held.d.next = self.count.val();
        self.flags.next = bits::<8>(0);
        if self.receive.val().fin_received {
            self.flags.next = self.flags.val() | self.flag_fin_received.val();
        }
        if self.transmit.val().fin_queued {
            self.flags.next = self.flags.val() | self.flag_fin_queued.val();
        }
        if self.held.q.val().any() {
            self.flags.next = self.flags.val() | self.flag_out_of_order.val();
        }
        self.brief.next = (bit_cast::<RECORD_BITS, 8>(self.flags.val()) << self.at_flags.val())
            | (bit_cast::<RECORD_BITS, 32>(self.receive.val().rcv_nxt) << self.at_rcv_nxt.val())
            | (bit_cast::<RECORD_BITS, 32>(self.receive.val().rcv_adv) << self.at_rcv_adv.val())
            | (bit_cast::<RECORD_BITS, 32>(self.transmit.val().snd_una) << self.at_snd_una.val())
            | (bit_cast::<RECORD_BITS, 32>(self.transmit.val().snd_nxt) << self.at_snd_nxt.val())
            | (bit_cast::<RECORD_BITS, 32>(self.transmit.val().snd_max) << self.at_snd_max.val())
            | (bit_cast::<RECORD_BITS, 32>(self.transmit.val().snd_wnd) << self.at_snd_wnd.val())
            | (bit_cast::<RECORD_BITS, 32>(self.receive.val().ts_recent) << self.at_ts_recent.val())
            | (bit_cast::<RECORD_BITS, 8>(self.held.q.val()) << self.at_ranges.val())
            | (bit_cast::<RECORD_BITS, 32>(self.receive.val().last_ack_sent) << self.at_last_ack_sent.val());
        self.rest.next = (bit_cast::<RECORD_BITS, 32>(self.transmit.val().snd_wl1) << self.at_snd_wl1.val())
            | (bit_cast::<RECORD_BITS, 32>(self.transmit.val().snd_wl2) << self.at_snd_wl2.val())
            | (bit_cast::<RECORD_BITS, 32>(self.transmit.val().ts_ecr) << self.at_ts_ecr.val())
            | (bit_cast::<RECORD_BITS, 32>(self.transmit.val().rtt) << self.at_rtt.val())
            | (bit_cast::<RECORD_BITS, 8>(self.transmit.val().dup_acks) << self.at_dup_acks.val())
            | (bit_cast::<RECORD_BITS, 8>(self.transmit.val().rtt_count) << self.at_rtt_count.val());
        self.record.next = (bit_cast::<RECORD_BITS, 8>(self.kind.val()) << self.at_kind.val())
            | (bit_cast::<RECORD_BITS, 16>(self.flow.val()) << self.at_flow.val())
            | (bit_cast::<RECORD_BITS, 32>(self.extra.val()) << self.at_extra.val());
        if self.snapshot.val() {
            self.record.next = self.record.val() | self.brief.val();
        }
        if self.whole.val() {
            self.record.next = self.record.val() | self.rest.val();
        }
    }
}
