//! The registers of the engine as a whole.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::{Settings, Status};
use rust_hdl::prelude::*;
use toe_contract::register::{self, Register};

/// CAPABILITIES: what was built.
const CAPABILITIES: u32 = register::CAPABILITY_CONTEXTS.put(low(toe_contract::CONTEXTS))
    | register::CAPABILITY_RANGES.put(low(toe_contract::RANGES))
    | register::CAPABILITY_DATA_BYTES.put(8)
    | register::CAPABILITY_TIMESTAMPS.put(1)
    | register::CAPABILITY_VLAN.put(1);

/// FLOWS.
const FLOWS: u32 = low(toe_contract::FLOWS);

#[allow(clippy::cast_possible_truncation, reason = "checked")]
const fn low(number: usize) -> u32 {
    assert!(number <= 0xffff);
    number as u32
}

// Where the kernel looks for the fields.
const _: () = assert!(register::CONTROL_RESET.low == 0 && register::CONTROL_RECEIVE.low == 1 && register::CONTROL_TRANSMIT.low == 2);
const _: () = assert!(register::FILTER_PROMISCUOUS.low == 0 && register::FILTER_MULTICAST.low == 1);
const _: () = assert!(register::STATUS_BUSY.low == 0 && register::STATUS_FAULT.low == 1);
const _: () = assert!(register::STATUS_LOCAL_FAULT.low == 2 && register::STATUS_REMOTE_FAULT.low == 3);

/// The registers at the start of BAR 0.
#[derive(LogicBlock)]
pub struct Global {
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
    /// What is there, two cycles later; 0 where there is nothing of these.
    pub read_data: Signal<Out, Bits<32>>,
    /// Nanoseconds.
    pub now: Signal<In, Bits<64>>,
    /// A reset is under way.
    pub resetting: Signal<In, Bit>,
    /// What is shown.
    pub status: Signal<In, Status>,
    /// A command was refused.
    pub bad_command: Signal<In, Bit>,
    /// What is set; `holdoff` is none of these and 0.
    pub settings: Signal<Out, Settings>,
    /// CONTROL_RESET was written.
    pub reset_request: Signal<Out, Bit>,
    mac_lo: DFF<Bits<32>>,
    mac_hi: DFF<Bits<16>>,
    max_frame: DFF<Bits<16>>,
    delayed_ack: DFF<Bits<32>>,
    hash_key: DFF<Bits<32>>,
    receive: DFF<Bit>,
    transmit: DFF<Bit>,
    promiscuous: DFF<Bit>,
    multicast: DFF<Bit>,
    time_high: DFF<Bits<32>>,
    bad_count: DFF<Bits<32>>,
    reset_pulse: DFF<Bit>,
    frame_limit: DFF<Bits<14>>,
    group: DFF<Bits<32>>,
    answers: [Signal<Local, Bits<32>>; 17],
    all: Signal<Local, Bits<32>>,
    at_mac_lo: Constant<Bits<18>>,
    at_mac_hi: Constant<Bits<18>>,
    at_max_frame: Constant<Bits<18>>,
    at_delayed_ack: Constant<Bits<18>>,
    at_hash_key: Constant<Bits<18>>,
    at_control: Constant<Bits<18>>,
    at_filter: Constant<Bits<18>>,
    at_id: Constant<Bits<18>>,
    at_version: Constant<Bits<18>>,
    at_capabilities: Constant<Bits<18>>,
    at_flows: Constant<Bits<18>>,
    at_clock_hz: Constant<Bits<18>>,
    at_longest_frame: Constant<Bits<18>>,
    at_status: Constant<Bits<18>>,
    at_time_lo: Constant<Bits<18>>,
    at_time_hi: Constant<Bits<18>>,
    at_bad_commands: Constant<Bits<18>>,
    id: Constant<Bits<32>>,
    version: Constant<Bits<32>>,
    capabilities: Constant<Bits<32>>,
    flows: Constant<Bits<32>>,
    clock_hz: Constant<Bits<32>>,
    longest_frame: Constant<Bits<32>>,
    default_max_frame: Constant<Bits<32>>,
    default_delayed_ack: Constant<Bits<32>>,
}

impl Default for Global {
    fn default() -> Self {
        let at = |register: Register| Constant::new(bits(register.offset.into()));
        let number = |number: u32| Constant::new(bits(number.into()));
        Self {
            clock: Signal::default(),
            reset: Signal::default(),
            write: Signal::default(),
            write_address: Signal::default(),
            write_data: Signal::default(),
            read: Signal::default(),
            read_address: Signal::default(),
            read_data: Signal::default(),
            now: Signal::default(),
            resetting: Signal::default(),
            status: Signal::default(),
            bad_command: Signal::default(),
            settings: Signal::default(),
            reset_request: Signal::default(),
            mac_lo: DFF::default(),
            mac_hi: DFF::default(),
            max_frame: DFF::default(),
            delayed_ack: DFF::default(),
            hash_key: DFF::default(),
            receive: DFF::default(),
            transmit: DFF::default(),
            promiscuous: DFF::default(),
            multicast: DFF::default(),
            time_high: DFF::default(),
            bad_count: DFF::default(),
            reset_pulse: DFF::default(),
            frame_limit: DFF::default(),
            group: DFF::default(),
            answers: Default::default(),
            all: Signal::default(),
            at_mac_lo: at(register::MAC_LO),
            at_mac_hi: at(register::MAC_HI),
            at_max_frame: at(register::MAX_FRAME),
            at_delayed_ack: at(register::DELAYED_ACK),
            at_hash_key: at(register::HASH_KEY),
            at_control: at(register::CONTROL),
            at_filter: at(register::FILTER),
            at_id: at(register::ID),
            at_version: at(register::VERSION),
            at_capabilities: at(register::CAPABILITIES),
            at_flows: at(register::FLOWS),
            at_clock_hz: at(register::CLOCK),
            at_longest_frame: at(register::LONGEST_FRAME),
            at_status: at(register::STATUS),
            at_time_lo: at(register::TIME_LO),
            at_time_hi: at(register::TIME_HI),
            at_bad_commands: at(register::BAD_COMMANDS),
            id: number(register::ID.reset),
            version: number(register::VERSION.reset),
            capabilities: number(CAPABILITIES),
            flows: number(FLOWS),
            clock_hz: number(register::CLOCK.reset),
            longest_frame: number(register::LONGEST_FRAME.reset),
            default_max_frame: number(register::MAX_FRAME.reset),
            default_delayed_ack: number(register::DELAYED_ACK.reset),
        }
    }
}

impl Logic for Global {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            mac_lo,
            mac_hi,
            max_frame,
            delayed_ack,
            hash_key,
            receive,
            transmit,
            promiscuous,
            multicast,
            time_high,
            bad_count,
            reset_pulse,
            frame_limit,
            group
        );

        // Writes.
        self.reset_pulse.d.next = false;
        if self.write.val() {
            if self.write_address.val() == self.at_mac_lo.val() {
                self.mac_lo.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_mac_hi.val() {
                self.mac_hi.d.next = self.write_data.val().get_bits::<16>(0);
            }
            if self.write_address.val() == self.at_max_frame.val() {
                self.max_frame.d.next = self.write_data.val().get_bits::<16>(0);
            }
            if self.write_address.val() == self.at_delayed_ack.val() {
                self.delayed_ack.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_hash_key.val() {
                self.hash_key.d.next = self.write_data.val();
            }
            if self.write_address.val() == self.at_control.val() {
                self.reset_pulse.d.next = self.write_data.val().get_bit(0);
                self.receive.d.next = self.write_data.val().get_bit(1);
                self.transmit.d.next = self.write_data.val().get_bit(2);
            }
            if self.write_address.val() == self.at_filter.val() {
                self.promiscuous.d.next = self.write_data.val().get_bit(0);
                self.multicast.d.next = self.write_data.val().get_bit(1);
            }
        }

        if self.bad_command.val() {
            self.bad_count.d.next = self.bad_count.q.val() + 1;
        }

        // Reads: one register answers, the others give 0.
        for k in 0..17 {
            self.answers[k].next = 0.into();
        }
        if self.read_address.val() == self.at_mac_lo.val() {
            self.answers[0].next = self.mac_lo.q.val();
        }
        if self.read_address.val() == self.at_mac_hi.val() {
            self.answers[1].next = bit_cast::<32, 16>(self.mac_hi.q.val());
        }
        if self.read_address.val() == self.at_max_frame.val() {
            self.answers[2].next = bit_cast::<32, 16>(self.max_frame.q.val());
        }
        if self.read_address.val() == self.at_delayed_ack.val() {
            self.answers[3].next = self.delayed_ack.q.val();
        }
        if self.read_address.val() == self.at_hash_key.val() {
            self.answers[4].next = self.hash_key.q.val();
        }
        if self.read_address.val() == self.at_control.val() {
            self.answers[5].next = self.answers[5].val().replace_bit(0, self.resetting.val());
            self.answers[5].next = self.answers[5].val().replace_bit(1, self.receive.q.val());
            self.answers[5].next = self.answers[5].val().replace_bit(2, self.transmit.q.val());
        }
        if self.read_address.val() == self.at_filter.val() {
            self.answers[6].next = self.answers[6].val().replace_bit(0, self.promiscuous.q.val());
            self.answers[6].next = self.answers[6].val().replace_bit(1, self.multicast.q.val());
        }
        if self.read_address.val() == self.at_id.val() {
            self.answers[7].next = self.id.val();
        }
        if self.read_address.val() == self.at_version.val() {
            self.answers[8].next = self.version.val();
        }
        if self.read_address.val() == self.at_capabilities.val() {
            self.answers[9].next = self.capabilities.val();
        }
        if self.read_address.val() == self.at_flows.val() {
            self.answers[10].next = self.flows.val();
        }
        if self.read_address.val() == self.at_clock_hz.val() {
            self.answers[11].next = self.clock_hz.val();
        }
        if self.read_address.val() == self.at_longest_frame.val() {
            self.answers[12].next = self.longest_frame.val();
        }
        if self.read_address.val() == self.at_status.val() {
            self.answers[13].next = self.answers[13].val().replace_bit(0, self.status.val().busy);
            self.answers[13].next = self.answers[13].val().replace_bit(1, self.status.val().fault);
            self.answers[13].next = self.answers[13].val().replace_bit(2, self.status.val().local_fault);
            self.answers[13].next = self.answers[13].val().replace_bit(3, self.status.val().remote_fault);
        }
        if self.read_address.val() == self.at_time_lo.val() {
            self.answers[14].next = self.now.val().get_bits::<32>(0);
            if self.read.val() {
                self.time_high.d.next = self.now.val().get_bits::<32>(32);
            }
        }
        if self.read_address.val() == self.at_time_hi.val() {
            self.answers[15].next = self.time_high.q.val();
        }
        if self.read_address.val() == self.at_bad_commands.val() {
            self.answers[16].next = self.bad_count.q.val();
        }
        self.all.next = 0.into();
        for k in 0..17 {
            self.all.next = self.all.val() | self.answers[k].val();
        }
        self.group.d.next = self.all.val();
        self.read_data.next = self.group.q.val();

        // What the engine works from.
        self.frame_limit.d.next = self.max_frame.q.val().get_bits::<14>(0);
        if bit_cast::<32, 16>(self.max_frame.q.val()) > self.longest_frame.val() {
            self.frame_limit.d.next = self.longest_frame.val().get_bits::<14>(0);
        }
        self.settings.next.receive = self.receive.q.val();
        self.settings.next.transmit = self.transmit.q.val();
        self.settings.next.local_mac = bit_cast::<48, 32>(self.mac_lo.q.val()) | (bit_cast::<48, 16>(self.mac_hi.q.val()) << 32);
        self.settings.next.promiscuous = self.promiscuous.q.val();
        self.settings.next.multicast = self.multicast.q.val();
        self.settings.next.max_frame = self.frame_limit.q.val();
        self.settings.next.delayed_ack = self.delayed_ack.q.val();
        self.settings.next.hash_key = self.hash_key.q.val();
        self.settings.next.holdoff = 0.into();
        self.reset_request.next = self.reset_pulse.q.val();

        if self.reset.val() {
            self.mac_lo.d.next = 0.into();
            self.mac_hi.d.next = 0.into();
            self.max_frame.d.next = self.default_max_frame.val().get_bits::<16>(0);
            self.delayed_ack.d.next = self.default_delayed_ack.val();
            self.hash_key.d.next = 0.into();
            self.receive.d.next = false;
            self.transmit.d.next = false;
            self.promiscuous.d.next = false;
            self.multicast.d.next = false;
            self.time_high.d.next = 0.into();
            self.bad_count.d.next = 0.into();
            self.reset_pulse.d.next = false;
            self.frame_limit.d.next = 0.into();
        }
    }
}
