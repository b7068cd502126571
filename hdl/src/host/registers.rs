//! The registers: what the host reads and writes. Every address comes from the contract.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::axi::REGISTER_BITS;
use super::rings::Rings;
use rust_hdl::prelude::*;
use toe_contract::register::{self, Register};

const _: () = assert!(toe_contract::CONTEXTS == 1 && REGISTER_BITS == 18);

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
const _: () = assert!(register::FILTER_PROMISCUOUS.low == 0 && register::FILTER_MULTICAST.low == 1 && register::CONTEXT_ENABLE.low == 0);
const _: () = assert!(register::STATUS_BUSY.low == 0 && register::STATUS_FAULT.low == 1);
const _: () = assert!(register::STATUS_LOCAL_FAULT.low == 2 && register::STATUS_REMOTE_FAULT.low == 3);

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
#[derive(LogicBlock)]
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
    mac_lo: DFF<Bits<32>>,
    mac_hi: DFF<Bits<16>>,
    max_frame: DFF<Bits<16>>,
    delayed_ack: DFF<Bits<32>>,
    hash_key: DFF<Bits<32>>,
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
    receive: DFF<Bit>,
    transmit: DFF<Bit>,
    promiscuous: DFF<Bit>,
    multicast: DFF<Bit>,
    enable: DFF<Bit>,
    submission_produced: DFF<Bits<32>>,
    event_consumed: DFF<Bits<32>>,
    raw_consumed: DFF<Bits<32>>,
    time_high: DFF<Bits<32>>,
    bad_count: DFF<Bits<32>>,
    fetched_count: DFF<Bits<32>>,
    group_global: DFF<Bits<32>>,
    group_context: DFF<Bits<32>>,
    arm_pulse: DFF<Bit>,
    reset_pulse: DFF<Bit>,
    frame_limit: DFF<Bits<14>>,
    global: [Signal<Local, Bits<32>>; 17],
    context: [Signal<Local, Bits<32>>; 16],
    all_global: Signal<Local, Bits<32>>,
    all_context: Signal<Local, Bits<32>>,
    at_mac_lo: Constant<Bits<18>>,
    at_mac_hi: Constant<Bits<18>>,
    at_max_frame: Constant<Bits<18>>,
    at_delayed_ack: Constant<Bits<18>>,
    at_hash_key: Constant<Bits<18>>,
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
    at_control: Constant<Bits<18>>,
    at_filter: Constant<Bits<18>>,
    at_context_control: Constant<Bits<18>>,
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
    at_submission_consumed: Constant<Bits<18>>,
    at_event_produced: Constant<Bits<18>>,
    at_raw_produced: Constant<Bits<18>>,
    at_raw_fetched_count: Constant<Bits<18>>,
    at_submission_produced: Constant<Bits<18>>,
    at_event_consumed: Constant<Bits<18>>,
    at_raw_consumed: Constant<Bits<18>>,
    at_interrupt_arm: Constant<Bits<18>>,
    id: Constant<Bits<32>>,
    version: Constant<Bits<32>>,
    capabilities: Constant<Bits<32>>,
    flows: Constant<Bits<32>>,
    clock_hz: Constant<Bits<32>>,
    longest_frame: Constant<Bits<32>>,
    default_max_frame: Constant<Bits<32>>,
    default_delayed_ack: Constant<Bits<32>>,
}

impl Default for Registers {
    fn default() -> Self {
        let at = |register: Register, page: u32| Constant::new(bits((page + register.offset).into()));
        let global = |register| at(register, 0);
        let context = |register| at(register, register::CONTEXTS);
        let doorbell = |register| at(register, register::DOORBELLS);
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
            raw_fetched: Signal::default(),
            bad_command: Signal::default(),
            settings: Signal::default(),
            rings: Signal::default(),
            reset_request: Signal::default(),
            arm: Signal::default(),
            mac_lo: DFF::default(),
            mac_hi: DFF::default(),
            max_frame: DFF::default(),
            delayed_ack: DFF::default(),
            hash_key: DFF::default(),
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
            receive: DFF::default(),
            transmit: DFF::default(),
            promiscuous: DFF::default(),
            multicast: DFF::default(),
            enable: DFF::default(),
            submission_produced: DFF::default(),
            event_consumed: DFF::default(),
            raw_consumed: DFF::default(),
            time_high: DFF::default(),
            bad_count: DFF::default(),
            fetched_count: DFF::default(),
            group_global: DFF::default(),
            group_context: DFF::default(),
            arm_pulse: DFF::default(),
            reset_pulse: DFF::default(),
            frame_limit: DFF::default(),
            global: Default::default(),
            context: Default::default(),
            all_global: Signal::default(),
            all_context: Signal::default(),
            at_mac_lo: global(register::MAC_LO),
            at_mac_hi: global(register::MAC_HI),
            at_max_frame: global(register::MAX_FRAME),
            at_delayed_ack: global(register::DELAYED_ACK),
            at_hash_key: global(register::HASH_KEY),
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
            at_control: global(register::CONTROL),
            at_filter: global(register::FILTER),
            at_context_control: context(register::CONTEXT_CONTROL),
            at_id: global(register::ID),
            at_version: global(register::VERSION),
            at_capabilities: global(register::CAPABILITIES),
            at_flows: global(register::FLOWS),
            at_clock_hz: global(register::CLOCK),
            at_longest_frame: global(register::LONGEST_FRAME),
            at_status: global(register::STATUS),
            at_time_lo: global(register::TIME_LO),
            at_time_hi: global(register::TIME_HI),
            at_bad_commands: global(register::BAD_COMMANDS),
            at_submission_consumed: context(register::SUBMISSION_CONSUMED),
            at_event_produced: context(register::EVENT_PRODUCED),
            at_raw_produced: context(register::RAW_PRODUCED),
            at_raw_fetched_count: context(register::RAW_FETCHED),
            at_submission_produced: doorbell(register::SUBMISSION_PRODUCED),
            at_event_consumed: doorbell(register::EVENT_CONSUMED),
            at_raw_consumed: doorbell(register::RAW_CONSUMED),
            at_interrupt_arm: doorbell(register::INTERRUPT_ARM),
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
impl Logic for Registers {
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
            receive,
            transmit,
            promiscuous,
            multicast,
            enable,
            submission_produced,
            event_consumed,
            raw_consumed,
            time_high,
            bad_count,
            fetched_count,
            group_global,
            group_context,
            arm_pulse,
            reset_pulse,
            frame_limit
        );

        // Writes.
        self.arm_pulse.d.next = false;
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
            if self.write_address.val() == self.at_control.val() {
                self.reset_pulse.d.next = self.write_data.val().get_bit(0);
                self.receive.d.next = self.write_data.val().get_bit(1);
                self.transmit.d.next = self.write_data.val().get_bit(2);
            }
            if self.write_address.val() == self.at_filter.val() {
                self.promiscuous.d.next = self.write_data.val().get_bit(0);
                self.multicast.d.next = self.write_data.val().get_bit(1);
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

        // What counts.
        if self.raw_fetched.val() {
            self.fetched_count.d.next = self.fetched_count.q.val() + 1;
        }
        if self.bad_command.val() {
            self.bad_count.d.next = self.bad_count.q.val() + 1;
        }

        // Reads: one register answers, the others give 0.
        for k in 0..17 {
            self.global[k].next = 0.into();
        }
        for k in 0..16 {
            self.context[k].next = 0.into();
        }
        if self.read_address.val() == self.at_mac_lo.val() {
            self.global[0].next = self.mac_lo.q.val();
        }
        if self.read_address.val() == self.at_mac_hi.val() {
            self.global[1].next = bit_cast::<32, 16>(self.mac_hi.q.val());
        }
        if self.read_address.val() == self.at_max_frame.val() {
            self.global[2].next = bit_cast::<32, 16>(self.max_frame.q.val());
        }
        if self.read_address.val() == self.at_delayed_ack.val() {
            self.global[3].next = self.delayed_ack.q.val();
        }
        if self.read_address.val() == self.at_hash_key.val() {
            self.global[4].next = self.hash_key.q.val();
        }
        if self.read_address.val() == self.at_submission_base_lo.val() {
            self.context[0].next = self.submission_base_lo.q.val();
        }
        if self.read_address.val() == self.at_submission_base_hi.val() {
            self.context[1].next = self.submission_base_hi.q.val();
        }
        if self.read_address.val() == self.at_submission_log2.val() {
            self.context[2].next = bit_cast::<32, 5>(self.submission_log2.q.val());
        }
        if self.read_address.val() == self.at_event_base_lo.val() {
            self.context[3].next = self.event_base_lo.q.val();
        }
        if self.read_address.val() == self.at_event_base_hi.val() {
            self.context[4].next = self.event_base_hi.q.val();
        }
        if self.read_address.val() == self.at_event_log2.val() {
            self.context[5].next = bit_cast::<32, 5>(self.event_log2.q.val());
        }
        if self.read_address.val() == self.at_raw_base_lo.val() {
            self.context[6].next = self.raw_base_lo.q.val();
        }
        if self.read_address.val() == self.at_raw_base_hi.val() {
            self.context[7].next = self.raw_base_hi.q.val();
        }
        if self.read_address.val() == self.at_raw_log2.val() {
            self.context[8].next = bit_cast::<32, 5>(self.raw_log2.q.val());
        }
        if self.read_address.val() == self.at_raw_slot_log2.val() {
            self.context[9].next = bit_cast::<32, 4>(self.raw_slot_log2.q.val());
        }
        if self.read_address.val() == self.at_holdoff.val() {
            self.context[10].next = self.holdoff.q.val();
        }
        if self.read_address.val() == self.at_control.val() {
            self.global[5].next = self.global[5].val().replace_bit(0, self.resetting.val());
            self.global[5].next = self.global[5].val().replace_bit(1, self.receive.q.val());
            self.global[5].next = self.global[5].val().replace_bit(2, self.transmit.q.val());
        }
        if self.read_address.val() == self.at_filter.val() {
            self.global[6].next = self.global[6].val().replace_bit(0, self.promiscuous.q.val());
            self.global[6].next = self.global[6].val().replace_bit(1, self.multicast.q.val());
        }
        if self.read_address.val() == self.at_context_control.val() {
            self.context[11].next = self.context[11].val().replace_bit(0, self.enable.q.val());
        }
        if self.read_address.val() == self.at_id.val() {
            self.global[7].next = self.id.val();
        }
        if self.read_address.val() == self.at_version.val() {
            self.global[8].next = self.version.val();
        }
        if self.read_address.val() == self.at_capabilities.val() {
            self.global[9].next = self.capabilities.val();
        }
        if self.read_address.val() == self.at_flows.val() {
            self.global[10].next = self.flows.val();
        }
        if self.read_address.val() == self.at_clock_hz.val() {
            self.global[11].next = self.clock_hz.val();
        }
        if self.read_address.val() == self.at_longest_frame.val() {
            self.global[12].next = self.longest_frame.val();
        }
        if self.read_address.val() == self.at_status.val() {
            self.global[13].next = self.global[13].val().replace_bit(0, self.status.val().busy);
            self.global[13].next = self.global[13].val().replace_bit(1, self.status.val().fault);
            self.global[13].next = self.global[13].val().replace_bit(2, self.status.val().local_fault);
            self.global[13].next = self.global[13].val().replace_bit(3, self.status.val().remote_fault);
        }
        if self.read_address.val() == self.at_time_lo.val() {
            self.global[14].next = self.now.val().get_bits::<32>(0);
            if self.read.val() {
                self.time_high.d.next = self.now.val().get_bits::<32>(32);
            }
        }
        if self.read_address.val() == self.at_time_hi.val() {
            self.global[15].next = self.time_high.q.val();
        }
        if self.read_address.val() == self.at_bad_commands.val() {
            self.global[16].next = self.bad_count.q.val();
        }
        if self.read_address.val() == self.at_submission_consumed.val() {
            self.context[12].next = self.status.val().submission_consumed;
        }
        if self.read_address.val() == self.at_event_produced.val() {
            self.context[13].next = self.status.val().event_produced;
        }
        if self.read_address.val() == self.at_raw_produced.val() {
            self.context[14].next = self.status.val().raw_produced;
        }
        if self.read_address.val() == self.at_raw_fetched_count.val() {
            self.context[15].next = self.fetched_count.q.val();
        }
        self.all_global.next = 0.into();
        self.all_context.next = 0.into();
        for k in 0..17 {
            self.all_global.next = self.all_global.val() | self.global[k].val();
        }
        for k in 0..16 {
            self.all_context.next = self.all_context.val() | self.context[k].val();
        }
        self.group_global.d.next = self.all_global.val();
        self.group_context.d.next = self.all_context.val();
        self.read_data.next = self.group_global.q.val() | self.group_context.q.val();

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
        self.settings.next.holdoff = self.holdoff.q.val();
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
        self.reset_request.next = self.reset_pulse.q.val();
        self.arm.next = self.arm_pulse.q.val();

        if self.reset.val() {
            self.mac_lo.d.next = 0.into();
            self.mac_hi.d.next = 0.into();
            self.max_frame.d.next = self.default_max_frame.val().get_bits::<16>(0);
            self.delayed_ack.d.next = self.default_delayed_ack.val();
            self.hash_key.d.next = 0.into();
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
            self.receive.d.next = false;
            self.transmit.d.next = false;
            self.promiscuous.d.next = false;
            self.multicast.d.next = false;
            self.enable.d.next = false;
            self.submission_produced.d.next = 0.into();
            self.event_consumed.d.next = 0.into();
            self.raw_consumed.d.next = 0.into();
            self.time_high.d.next = 0.into();
            self.bad_count.d.next = 0.into();
            self.fetched_count.d.next = 0.into();
            self.arm_pulse.d.next = false;
            self.reset_pulse.d.next = false;
            self.frame_limit.d.next = 0.into();
        }
    }
}
