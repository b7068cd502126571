//! A command's words taken apart, by the layout of `toe_contract::command`.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::state::{FlowAddress, FlowReceive, FlowRings, FlowTransmit};
use crate::types::COMMAND_BITS;
use rust_hdl::prelude::*;
use toe_contract::command::{self as layout, Opcode, Piece};

/// A frame named by RAW or INJECT.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct RawFrame {
    /// Bus address.
    pub iova: Bits<64>,
    /// Bytes.
    pub length: Bits<16>,
    /// Fill in a checksum.
    pub checksum: Bit,
    /// First byte summed.
    pub checksum_start: Bits<16>,
    /// Where the checksum goes.
    pub checksum_offset: Bits<16>,
}

/// What a command is: at most one of the first thirteen.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Opcodes {
    /// ADDRESS.
    pub address: Bit,
    /// RINGS.
    pub rings: Bit,
    /// RECEIVE.
    pub receive: Bit,
    /// INSTALL.
    pub install: Bit,
    /// SEND.
    pub send: Bit,
    /// CONSUMED.
    pub consumed: Bit,
    /// CWND.
    pub cwnd: Bit,
    /// RESEND.
    pub resend: Bit,
    /// ACK_NOW.
    pub ack_now: Bit,
    /// REARM.
    pub rearm: Bit,
    /// REMOVE.
    pub remove: Bit,
    /// RAW.
    pub raw: Bit,
    /// INJECT.
    pub inject: Bit,
    /// The flag FIN (INSTALL, SEND) or ONE (RESEND).
    pub flag: Bit,
    /// The flag REARM.
    pub rearm_flag: Bit,
    /// The flag QUIET.
    pub quiet_flag: Bit,
}

/// Where the pieces lie, bit numbers in the command.
struct Places;

impl Places {
    fn bit(piece: Piece) -> Constant<Bits<8>> {
        let bit = 32 * piece.word + piece.low as usize;
        Constant::new(bits(bit as LiteralType))
    }
    fn opcode(opcode: Opcode) -> Constant<Bits<8>> {
        Constant::new(bits(opcode as LiteralType))
    }
    fn mask(mask: u8) -> Constant<Bits<8>> {
        Constant::new(bits(mask.into()))
    }
}

macro_rules! decode {
    ($($name:ident = $piece:ident;)* | $($opcode:ident = $variant:ident;)* | $($flag:ident = $mask:ident;)*) => {
        /// Takes a command apart; combinational.
        #[derive(LogicBlock)]
        pub struct Decode {
            /// The command.
            pub command: Signal<In, Bits<COMMAND_BITS>>,
            /// What it is.
            pub opcodes: Signal<Out, Opcodes>,
            /// The flow named.
            pub flow: Signal<Out, Bits<16>>,
            /// ADDRESS.
            pub address: Signal<Out, FlowAddress>,
            /// RINGS.
            pub rings: Signal<Out, FlowRings>,
            /// RECEIVE; other fields as after an installation.
            pub receive: Signal<Out, FlowReceive>,
            /// INSTALL, as after the installation.
            pub transmit: Signal<Out, FlowTransmit>,
            /// SEND, CONSUMED, CWND, RESEND.
            pub limit: Signal<Out, Bits<32>>,
            /// CONSUMED.
            pub rcv_consumed: Signal<Out, Bits<32>>,
            /// CWND.
            pub cwnd: Signal<Out, Bits<32>>,
            /// RESEND.
            pub from: Signal<Out, Bits<32>>,
            /// RAW, INJECT.
            pub raw: Signal<Out, RawFrame>,
            opcode: Signal<Local, Bits<8>>,
            flags: Signal<Local, Bits<8>>,
            $($name: Constant<Bits<8>>,)*
            $($opcode: Constant<Bits<8>>,)*
            $($flag: Constant<Bits<8>>,)*
        }

        impl Default for Decode {
            fn default() -> Self {
                Self {
                    command: Signal::default(),
                    opcodes: Signal::default(),
                    flow: Signal::default(),
                    address: Signal::default(),
                    rings: Signal::default(),
                    receive: Signal::default(),
                    transmit: Signal::default(),
                    limit: Signal::default(),
                    rcv_consumed: Signal::default(),
                    cwnd: Signal::default(),
                    from: Signal::default(),
                    raw: Signal::default(),
                    opcode: Signal::default(),
                    flags: Signal::default(),
                    $($name: Places::bit(layout::$piece),)*
                    $($opcode: Places::opcode(Opcode::$variant),)*
                    $($flag: Places::mask(layout::$mask),)*
                }
            }
        }
    };
}

decode! {
    at_remote_mac = ADDRESS_REMOTE_MAC;
    at_vlan = ADDRESS_VLAN_TCI;
    at_local_ip = ADDRESS_LOCAL_IP;
    at_remote_ip = ADDRESS_REMOTE_IP;
    at_local_port = ADDRESS_LOCAL_PORT;
    at_remote_port = ADDRESS_REMOTE_PORT;
    at_receive_base = RINGS_RECEIVE_BASE;
    at_send_base = RINGS_SEND_BASE;
    at_receive_log2 = RINGS_RECEIVE_LOG2;
    at_send_log2 = RINGS_SEND_LOG2;
    at_snd_wscale = RINGS_SND_WSCALE;
    at_rcv_wscale = RINGS_RCV_WSCALE;
    at_snd_mss = RINGS_SND_MSS;
    at_rcv_mss = RINGS_RCV_MSS;
    at_ts_offset = RINGS_TS_OFFSET;
    at_rcv_nxt = RECEIVE_RCV_NXT;
    at_rcv_adv = RECEIVE_RCV_ADV;
    at_rcv_consumed = RECEIVE_RCV_CONSUMED;
    at_ts_recent = RECEIVE_TS_RECENT;
    at_snd_una = INSTALL_SND_UNA;
    at_snd_nxt = INSTALL_SND_NXT;
    at_first_limit = INSTALL_LIMIT;
    at_snd_wnd = INSTALL_SND_WND;
    at_snd_wl1 = INSTALL_SND_WL1;
    at_snd_wl2 = INSTALL_SND_WL2;
    at_first_cwnd = INSTALL_CWND;
    at_limit = SEND_LIMIT;
    at_consumed = CONSUMED_RCV_CONSUMED;
    at_cwnd = CWND_CWND;
    at_from = RESEND_FROM;
    at_iova = RAW_IOVA;
    at_length = RAW_LENGTH;
    at_checksum_start = RAW_CHECKSUM_START;
    at_checksum_offset = RAW_CHECKSUM_OFFSET;
    |
    is_address = Address;
    is_rings = Rings;
    is_receive = Receive;
    is_install = Install;
    is_send = Send;
    is_consumed = Consumed;
    is_cwnd = Cwnd;
    is_resend = Resend;
    is_ack_now = AckNow;
    is_rearm = Rearm;
    is_remove = Remove;
    is_raw = Raw;
    is_inject = Inject;
    |
    flag_rearm = REARM;
    flag_quiet = QUIET;
    flag_vlan = ADDRESS_VLAN;
    flag_timestamps = RINGS_TIMESTAMPS;
    flag_nodelay = RINGS_NODELAY;
    flag_checksum = RAW_CHECKSUM;
}

// FIN and ONE are one bit in the flags.
const _: () = assert!(layout::FIN == 1 && layout::RESEND_ONE == 1);
// INJECT has its pieces where RAW has them.
const _: () = assert!(layout::INJECT_IOVA.word == layout::RAW_IOVA.word && layout::INJECT_LENGTH.word == layout::RAW_LENGTH.word);

impl Logic for Decode {
    #[hdl_gen]
    fn update(&mut self) {
        self.opcode.next = self.command.val().get_bits::<8>(0);
        self.flags.next = self.command.val().get_bits::<8>(8);
        self.flow.next = self.command.val().get_bits::<16>(16);

        self.opcodes.next.address = self.opcode.val() == self.is_address.val();
        self.opcodes.next.rings = self.opcode.val() == self.is_rings.val();
        self.opcodes.next.receive = self.opcode.val() == self.is_receive.val();
        self.opcodes.next.install = self.opcode.val() == self.is_install.val();
        self.opcodes.next.send = self.opcode.val() == self.is_send.val();
        self.opcodes.next.consumed = self.opcode.val() == self.is_consumed.val();
        self.opcodes.next.cwnd = self.opcode.val() == self.is_cwnd.val();
        self.opcodes.next.resend = self.opcode.val() == self.is_resend.val();
        self.opcodes.next.ack_now = self.opcode.val() == self.is_ack_now.val();
        self.opcodes.next.rearm = self.opcode.val() == self.is_rearm.val();
        self.opcodes.next.remove = self.opcode.val() == self.is_remove.val();
        self.opcodes.next.raw = self.opcode.val() == self.is_raw.val();
        self.opcodes.next.inject = self.opcode.val() == self.is_inject.val();
        self.opcodes.next.flag = self.flags.val().get_bit(0);
        self.opcodes.next.rearm_flag = (self.flags.val() & self.flag_rearm.val()).any();
        self.opcodes.next.quiet_flag = (self.flags.val() & self.flag_quiet.val()).any();

        self.address.next.remote_mac = self.command.val().get_bits::<48>(self.at_remote_mac.val().index());
        self.address.next.vlan = self.command.val().get_bits::<16>(self.at_vlan.val().index());
        self.address.next.vlan_present = (self.flags.val() & self.flag_vlan.val()).any();
        self.address.next.local_ip = self.command.val().get_bits::<32>(self.at_local_ip.val().index());
        self.address.next.remote_ip = self.command.val().get_bits::<32>(self.at_remote_ip.val().index());
        self.address.next.local_port = self.command.val().get_bits::<16>(self.at_local_port.val().index());
        self.address.next.remote_port = self.command.val().get_bits::<16>(self.at_remote_port.val().index());

        self.rings.next.receive_base = self.command.val().get_bits::<64>(self.at_receive_base.val().index());
        self.rings.next.send_base = self.command.val().get_bits::<64>(self.at_send_base.val().index());
        self.rings.next.receive_log2 = self.command.val().get_bits::<5>(self.at_receive_log2.val().index());
        self.rings.next.send_log2 = self.command.val().get_bits::<5>(self.at_send_log2.val().index());
        self.rings.next.snd_wscale = self.command.val().get_bits::<4>(self.at_snd_wscale.val().index());
        self.rings.next.rcv_wscale = self.command.val().get_bits::<4>(self.at_rcv_wscale.val().index());
        self.rings.next.snd_mss = self.command.val().get_bits::<16>(self.at_snd_mss.val().index());
        self.rings.next.rcv_mss = self.command.val().get_bits::<16>(self.at_rcv_mss.val().index());
        self.rings.next.timestamps = (self.flags.val() & self.flag_timestamps.val()).any();
        self.rings.next.nodelay = (self.flags.val() & self.flag_nodelay.val()).any();
        self.rings.next.ts_offset = self.command.val().get_bits::<32>(self.at_ts_offset.val().index());

        self.receive.next.rcv_nxt = self.command.val().get_bits::<32>(self.at_rcv_nxt.val().index());
        self.receive.next.rcv_adv = self.command.val().get_bits::<32>(self.at_rcv_adv.val().index());
        self.receive.next.rcv_consumed = self.command.val().get_bits::<32>(self.at_rcv_consumed.val().index());
        self.receive.next.ts_recent = self.command.val().get_bits::<32>(self.at_ts_recent.val().index());
        self.receive.next.last_ack_sent = self.command.val().get_bits::<32>(self.at_rcv_nxt.val().index());
        self.receive.next.fin_seq = bits::<32>(0);
        self.receive.next.delack_deadline = bits::<32>(0);
        self.receive.next.challenge_at = bits::<32>(0);
        self.receive.next.fin_known = false;
        self.receive.next.fin_received = false;
        self.receive.next.ack_owed = false;
        self.receive.next.delack_armed = false;
        self.receive.next.challenge_valid = false;

        self.transmit.next.snd_una = self.command.val().get_bits::<32>(self.at_snd_una.val().index());
        self.transmit.next.snd_nxt = self.command.val().get_bits::<32>(self.at_snd_nxt.val().index());
        self.transmit.next.snd_max = self.command.val().get_bits::<32>(self.at_snd_nxt.val().index());
        self.transmit.next.limit = self.command.val().get_bits::<32>(self.at_first_limit.val().index());
        self.transmit.next.snd_wnd = self.command.val().get_bits::<32>(self.at_snd_wnd.val().index());
        self.transmit.next.snd_wl1 = self.command.val().get_bits::<32>(self.at_snd_wl1.val().index());
        self.transmit.next.snd_wl2 = self.command.val().get_bits::<32>(self.at_snd_wl2.val().index());
        self.transmit.next.max_wnd = self.command.val().get_bits::<32>(self.at_snd_wnd.val().index());
        self.transmit.next.cwnd = self.command.val().get_bits::<32>(self.at_first_cwnd.val().index());
        self.transmit.next.one_seq = bits::<32>(0);
        self.transmit.next.timed_seq = bits::<32>(0);
        self.transmit.next.timed_at = bits::<32>(0);
        self.transmit.next.rtt = bits::<32>(0);
        self.transmit.next.ts_ecr = bits::<32>(0);
        self.transmit.next.rtt_count = bits::<8>(0);
        self.transmit.next.dup_acks = bits::<8>(0);
        self.transmit.next.fin_queued = self.flags.val().get_bit(0);
        self.transmit.next.one_pending = false;
        self.transmit.next.timed = false;

        self.limit.next = self.command.val().get_bits::<32>(self.at_limit.val().index());
        self.rcv_consumed.next = self.command.val().get_bits::<32>(self.at_consumed.val().index());
        self.cwnd.next = self.command.val().get_bits::<32>(self.at_cwnd.val().index());
        self.from.next = self.command.val().get_bits::<32>(self.at_from.val().index());
        self.raw.next.iova = self.command.val().get_bits::<64>(self.at_iova.val().index());
        self.raw.next.length = self.command.val().get_bits::<16>(self.at_length.val().index());
        self.raw.next.checksum = (self.flags.val() & self.flag_checksum.val()).any();
        self.raw.next.checksum_start = self.command.val().get_bits::<16>(self.at_checksum_start.val().index());
        self.raw.next.checksum_offset = self.command.val().get_bits::<16>(self.at_checksum_offset.val().index());
    }
}
