//! The transmitter: frames in, XGMII out.

use super::block_default;
use super::fcs::FcsGenerate;
use super::schedule::{Schedule, Token};
use super::xgmii::{lane_masks, IDLE};
use crate::stream::StreamRx;
use rust_hdl::prelude::*;

/// Tokens and FCS to XGMII words: puts FCS, Terminate and idle behind a frame's octets, and a frame
/// that starts in lane 4 there. Five cycles from token to word.
#[derive(LogicBlock)]
pub struct Assemble {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Synchronous.
    pub reset: Signal<In, Bit>,
    /// What goes out.
    pub token: Signal<In, Token>,
    /// From [`FcsGenerate`], three cycles after a tail.
    pub fcs: Signal<In, Bits<32>>,
    /// XGMII data, lane 0 lowest.
    pub txd: Signal<Out, Bits<64>>,
    /// XGMII control, a bit for each lane.
    pub txc: Signal<Out, Bits<8>>,
    one: DFF<Token>,
    two: DFF<Token>,
    three: DFF<Token>,
    // Which lanes of the token in `three` get FCS octets, and which bits of control characters.
    fcs_lanes: DFF<Bits<8>>,
    bit_0: DFF<Bits<8>>,
    bit_1: DFF<Bits<8>>,
    bit_2: DFF<Bits<8>>,
    bits_7_3: DFF<Bits<8>>,
    control: DFF<Bits<8>>,
    slot_d: DFF<Bits<64>>,
    slot_c: DFF<Bits<8>>,
    slot_upper: DFF<Bit>,
    old_d: DFF<Bits<32>>,
    old_c: DFF<Bits<4>>,
    word_d: DFF<Bits<64>>,
    word_c: DFF<Bits<8>>,
    count: Signal<Local, Bits<4>>,
    fcs_16: Signal<Local, Bits<16>>,
    terminate_16: Signal<Local, Bits<16>>,
    frame_16: Signal<Local, Bits<16>>,
    fcs_8: Signal<Local, Bits<8>>,
    terminate_8: Signal<Local, Bits<8>>,
    idle_8: Signal<Local, Bits<8>>,
    error_8: Signal<Local, Bits<8>>,
    control_8: Signal<Local, Bits<8>>,
    fcs_64: Signal<Local, Bits<64>>,
    d: Signal<Local, Bits<64>>,
    nothing: Constant<Token>,
    none8: Constant<Bits<8>>,
    all8: Constant<Bits<8>>,
    start_control: Constant<Bits<8>>,
    sequence_control: Constant<Bits<8>>,
    idle_word: Constant<Bits<64>>,
    four_octets: Constant<Bits<16>>,
    fifth_octet: Constant<Bits<16>>,
    all_16: Constant<Bits<16>>,
    lane: [Constant<Bits<64>>; 8],
    lane_bit_0: [Constant<Bits<64>>; 8],
    lane_bit_1: [Constant<Bits<64>>; 8],
    lane_bit_2: [Constant<Bits<64>>; 8],
    lane_bits_7_3: [Constant<Bits<64>>; 8],
}
block_default!(Assemble {
    clock, reset, token, fcs, txd, txc, one, two, three, fcs_lanes, bit_0, bit_1, bit_2, bits_7_3, control, slot_d, slot_c, slot_upper,
    old_d, old_c, word_d, word_c, count, fcs_16, terminate_16, frame_16, fcs_8, terminate_8, idle_8, error_8, control_8, fcs_64, d,
}
    nothing: Constant::new(Token::default()),
    none8: Constant::new(bits(0)),
    all8: Constant::new(bits(0xFF)),
    start_control: Constant::new(bits(0x01)),
    sequence_control: Constant::new(bits(0x11)),
    idle_word: Constant::new(u64::from_le_bytes([IDLE; 8]).to_bits()),
    four_octets: Constant::new(bits(0x000F)),
    fifth_octet: Constant::new(bits(0x0010)),
    all_16: Constant::new(bits(0xFFE0)),
    lane: lane_masks(0xFF),
    lane_bit_0: lane_masks(0x01),
    lane_bit_1: lane_masks(0x02),
    lane_bit_2: lane_masks(0x04),
    lane_bits_7_3: lane_masks(0xF8),
);

impl Logic for Assemble {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, one, two, three, fcs_lanes, bit_0, bit_1, bit_2, bits_7_3, control);
        dff_setup!(self, clock, slot_d, slot_c, slot_upper, old_d, old_c, word_d, word_c);
        self.one.d.next = self.token.val();
        self.two.d.next = self.one.q.val();
        self.three.d.next = self.two.q.val();

        // Behind the n octets of a tail come the FCS, Terminate and idle: 16 lanes, those of the tail's slot and of the next.
        self.count.next = self.three.q.val().count;
        if self.two.q.val().tail {
            self.count.next = self.two.q.val().count;
        }
        self.fcs_16.next = self.four_octets.val() << self.count.val();
        self.terminate_16.next = self.fifth_octet.val() << self.count.val();
        self.frame_16.next = self.all_16.val() << self.count.val();
        self.fcs_8.next = self.none8.val();
        self.terminate_8.next = self.none8.val();
        self.idle_8.next = self.all8.val();
        self.error_8.next = self.none8.val();
        if self.two.q.val().tail {
            self.fcs_8.next = self.fcs_16.val().get_bits::<8>(0);
            self.terminate_8.next = self.terminate_16.val().get_bits::<8>(0);
            self.idle_8.next = self.frame_16.val().get_bits::<8>(0);
        } else if self.two.q.val().start | self.two.q.val().body | self.two.q.val().remote {
            self.idle_8.next = self.none8.val();
        } else if self.three.q.val().tail {
            self.fcs_8.next = self.fcs_16.val().get_bits::<8>(8);
            self.terminate_8.next = self.terminate_16.val().get_bits::<8>(8);
            self.idle_8.next = self.frame_16.val().get_bits::<8>(8);
        }
        self.fcs_lanes.d.next = self.fcs_8.val();
        if (self.two.q.val().tail & self.two.q.val().spoilt) | (!self.two.q.val().tail & self.three.q.val().spoilt) {
            self.fcs_lanes.d.next = self.none8.val();
            self.error_8.next = self.fcs_8.val();
        }
        // The characters are 07 (idle), FD (Terminate) and FE (error): bits they have in common are given out together.
        self.control_8.next = self.idle_8.val() | self.terminate_8.val() | self.error_8.val();
        self.bit_0.d.next = self.idle_8.val() | self.terminate_8.val();
        self.bit_1.d.next = self.idle_8.val() | self.error_8.val();
        self.bit_2.d.next = self.control_8.val();
        self.bits_7_3.d.next = self.terminate_8.val() | self.error_8.val();
        self.control.d.next = self.control_8.val();
        if self.two.q.val().start {
            self.control.d.next = self.start_control.val();
        }
        if self.two.q.val().remote {
            self.control.d.next = self.sequence_control.val();
        }

        self.fcs_64.next = bit_cast::<64, 32>(self.fcs.val()) | (bit_cast::<64, 32>(self.fcs.val()) << 32);
        self.d.next = self.three.q.val().data;
        for n in 0..8 {
            if self.fcs_lanes.q.val().get_bit(n) {
                self.d.next = self.d.val() | (self.fcs_64.val() & self.lane[n].val());
            }
            if self.bit_0.q.val().get_bit(n) {
                self.d.next = self.d.val() | self.lane_bit_0[n].val();
            }
            if self.bit_1.q.val().get_bit(n) {
                self.d.next = self.d.val() | self.lane_bit_1[n].val();
            }
            if self.bit_2.q.val().get_bit(n) {
                self.d.next = self.d.val() | self.lane_bit_2[n].val();
            }
            if self.bits_7_3.q.val().get_bit(n) {
                self.d.next = self.d.val() | self.lane_bits_7_3[n].val();
            }
        }
        self.slot_d.d.next = self.d.val();
        self.slot_c.d.next = self.control.q.val();
        self.slot_upper.d.next = self.three.q.val().upper;

        self.old_d.d.next = self.slot_d.q.val().get_bits::<32>(32);
        self.old_c.d.next = self.slot_c.q.val().get_bits::<4>(4);
        self.word_d.d.next = self.slot_d.q.val();
        self.word_c.d.next = self.slot_c.q.val();
        if self.slot_upper.q.val() {
            self.word_d.d.next = bit_cast::<64, 32>(self.old_d.q.val()) | (self.slot_d.q.val() << 32);
            self.word_c.d.next = bit_cast::<8, 4>(self.old_c.q.val()) | (self.slot_c.q.val() << 4);
        }
        self.txd.next = self.word_d.q.val();
        self.txc.next = self.word_c.q.val();
        if self.reset.val() {
            self.one.d.next = self.nothing.val();
            self.two.d.next = self.nothing.val();
            self.three.d.next = self.nothing.val();
            self.fcs_lanes.d.next = self.none8.val();
            self.bit_0.d.next = self.all8.val();
            self.bit_1.d.next = self.all8.val();
            self.bit_2.d.next = self.all8.val();
            self.bits_7_3.d.next = self.none8.val();
            self.control.d.next = self.all8.val();
            self.slot_d.d.next = self.idle_word.val();
            self.slot_c.d.next = self.all8.val();
            self.slot_upper.d.next = false;
            self.word_d.d.next = self.idle_word.val();
            self.word_c.d.next = self.all8.val();
        }
    }
}

/// Sends frames at line rate, with FCS, preamble and gaps, eight octets every cycle.
///
/// - Start is on XGMII 6 cycles after `valid` is seen, if no gap has to be waited for; a frame's first octets follow Start and
///   preamble at once.
/// - A beat is to be there every cycle from the second on (the first waits one cycle). If one is missing, the frame ends with
///   eight octets of zeros and four error characters in the FCS's place, and what is left of it is thrown away.
/// - A frame with `error` is sent whole, with four error characters in the FCS's place: any receiver drops it.
/// - A frame below 60 octets is filled up with zeros. There is no longest frame.
/// - While the link has a fault, frames are taken at the same pace and thrown away; remote fault is sent in answer to local
///   fault, idle in answer to remote fault (IEEE 802.3 clause 46.3.4).
/// - Every frame gives one pulse: sent, underrun, aborted or link down.
#[derive(LogicBlock, Default)]
pub struct XgmiiTx {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Synchronous.
    pub reset: Signal<In, Bit>,
    /// Frames without FCS; every beat has at least one octet.
    pub s: StreamRx<64, 8>,
    /// The link is in local fault.
    pub local_fault: Signal<In, Bit>,
    /// The link is in remote fault.
    pub remote_fault: Signal<In, Bit>,
    /// XGMII data, lane 0 lowest.
    pub txd: Signal<Out, Bits<64>>,
    /// XGMII control, a bit for each lane.
    pub txc: Signal<Out, Bits<8>>,
    /// Pulse: a frame was sent whole.
    pub mac_tx_frames: Signal<Out, Bit>,
    /// With `mac_tx_frames`: its octets, with padding, without FCS, modulo 65536.
    pub mac_tx_bytes: Signal<Out, Bits<16>>,
    /// Pulse: a frame was cut off because a beat was not there in time.
    pub mac_tx_underrun: Signal<Out, Bit>,
    /// Pulse: a frame with `error` was spoilt.
    pub mac_tx_aborted: Signal<Out, Bit>,
    /// Pulse: a frame was thrown away because of a link fault.
    pub mac_tx_link_down: Signal<Out, Bit>,
    schedule: Schedule,
    check: FcsGenerate,
    assemble: Assemble,
}

impl Logic for XgmiiTx {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, schedule, check, assemble);
        self.schedule.reset.next = self.reset.val();
        self.assemble.reset.next = self.reset.val();
        StreamRx::<64, 8>::link(&mut self.s, &mut self.schedule.s);
        self.schedule.local_fault.next = self.local_fault.val();
        self.schedule.remote_fault.next = self.remote_fault.val();
        self.check.data.next = self.schedule.fcs_data.val();
        self.check.valid.next = self.schedule.token.val().body;
        self.check.first.next = self.schedule.fcs_first.val();
        self.check.tail.next = self.schedule.token.val().tail;
        self.check.half.next = self.schedule.fcs_short.val();
        self.check.count.next = self.schedule.token.val().count.get_bits::<2>(0);
        self.assemble.token.next = self.schedule.token.val();
        self.assemble.fcs.next = self.check.fcs.val();
        self.txd.next = self.assemble.txd.val();
        self.txc.next = self.assemble.txc.val();
        self.mac_tx_frames.next = self.schedule.frames.val();
        self.mac_tx_bytes.next = self.schedule.bytes.val();
        self.mac_tx_underrun.next = self.schedule.underrun.val();
        self.mac_tx_aborted.next = self.schedule.aborted.val();
        self.mac_tx_link_down.next = self.schedule.link_down.val();
    }
}
