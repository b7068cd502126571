//! XGMII characters (IEEE 802.3 clause 46.3) and the decoder of one column.

use super::block_default;
use rust_hdl::prelude::*;

/// Idle control character.
pub const IDLE: u8 = 0x07;
/// Start control character: takes the place of the first preamble octet.
pub const START: u8 = 0xFB;
/// Terminate control character: follows the last octet of the FCS.
pub const TERMINATE: u8 = 0xFD;
/// Error control character.
pub const ERROR: u8 = 0xFE;
/// Sequence control character: lane 0 of an ordered set.
pub const SEQUENCE: u8 = 0x9C;
/// Start and the rest of the preamble with the SFD, first octet lowest.
pub const PREAMBLE: u64 = u64::from_le_bytes([START, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xD5]);
/// The sequence ordered set for a local fault, as a column.
pub const LOCAL_FAULT: u32 = u32::from_le_bytes([SEQUENCE, 0, 0, 1]);
/// The sequence ordered set for a remote fault, as a column.
pub const REMOTE_FAULT: u32 = u32::from_le_bytes([SEQUENCE, 0, 0, 2]);

/// A mask of octet `lane` of a word.
pub(super) fn lane_masks<const N: usize, const K: usize>(octet: u8) -> [Constant<Bits<N>>; K] {
    std::array::from_fn(|lane| Constant::new((u64::from(octet) << (8 * lane)).to_bits()))
}

/// What there is in one received column.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Contents {
    /// The octets before the first control character; zeros from there.
    pub data: Bits<32>,
    /// No control character.
    pub full: Bit,
    /// Octets before the first control character, 0 to 3, if not `full`.
    pub count: Bits<2>,
    /// The first control character is Terminate.
    pub terminate: Bit,
    /// Start in lane 0.
    pub start: Bit,
    /// Start in lane 0 and three octets of preamble.
    pub preamble: Bit,
    /// Three octets of preamble and the SFD.
    pub sfd: Bit,
}

/// Decodes one received column, one cycle after it. No state of its own.
#[derive(LogicBlock)]
pub struct Column {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Four octets, lane 0 lowest.
    pub d: Signal<In, Bits<32>>,
    /// Which lanes hold a control character.
    pub c: Signal<In, Bits<4>>,
    /// What the column holds of a frame.
    pub contents: Signal<Out, Contents>,
    /// The ordered set for local fault.
    pub local_fault: Signal<Out, Bit>,
    /// The ordered set for remote fault.
    pub remote_fault: Signal<Out, Bit>,
    contents_q: DFF<Contents>,
    local_q: DFF<Bit>,
    remote_q: DFF<Bit>,
    clean: Signal<Local, Bits<4>>,
    terminates: Signal<Local, Bits<4>>,
    first: Signal<Local, Bits<4>>,
    kept: Signal<Local, Bits<32>>,
    only_lane_0: Signal<Local, Bit>,
    starts: Signal<Local, Bit>,
    number: Signal<Local, Bits<2>>,
    found: Signal<Local, Contents>,
    none2: Constant<Bits<2>>,
    none4: Constant<Bits<4>>,
    lane_0: Constant<Bits<4>>,
    none32: Constant<Bits<32>>,
    lane: [Constant<Bits<32>>; 4],
    start_code: Constant<Bits<8>>,
    terminate_code: Constant<Bits<8>>,
    preamble_rest: Constant<Bits<24>>,
    sfd_column: Constant<Bits<32>>,
    local_column: Constant<Bits<32>>,
    remote_column: Constant<Bits<32>>,
}
block_default!(Column {
    clock, d, c, contents, local_fault, remote_fault, contents_q, local_q, remote_q,
    clean, terminates, first, kept, only_lane_0, starts, number, found,
}
    none2: Constant::new(bits(0)),
    none4: Constant::new(bits(0)),
    lane_0: Constant::new(bits(1)),
    none32: Constant::new(bits(0)),
    lane: lane_masks(0xFF),
    start_code: Constant::new(u64::from(START).to_bits()),
    terminate_code: Constant::new(u64::from(TERMINATE).to_bits()),
    preamble_rest: Constant::new(bits(0x55_5555)),
    sfd_column: Constant::new((PREAMBLE >> 32).to_bits()),
    local_column: Constant::new(u64::from(LOCAL_FAULT).to_bits()),
    remote_column: Constant::new(u64::from(REMOTE_FAULT).to_bits()),
);

impl Logic for Column {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, contents_q, local_q, remote_q);
        // `clean` is contiguous from lane 0: no control character up to and with the lane.
        self.clean.next = self.none4.val();
        self.clean.next = self.clean.val().replace_bit(0, !self.c.val().get_bit(0));
        for n in 1..4 {
            self.clean.next = self.clean.val().replace_bit(n, self.clean.val().get_bit(n - 1) & !self.c.val().get_bit(n));
        }
        self.kept.next = self.none32.val();
        self.terminates.next = self.none4.val();
        for n in 0..4 {
            if self.clean.val().get_bit(n) {
                self.kept.next = self.kept.val() | self.lane[n].val();
            }
            self.terminates.next = self.terminates.val().replace_bit(n, self.d.val().get_bits::<8>(n * 8) == self.terminate_code.val());
        }
        self.first.next = ((self.clean.val() << 1) | self.lane_0.val()) & self.c.val();
        self.number.next = self.none2.val();
        self.number.next = self.number.val().replace_bit(0, (self.clean.val().get_bit(0) & !self.clean.val().get_bit(1)) | self.clean.val().get_bit(2));
        self.number.next = self.number.val().replace_bit(1, self.clean.val().get_bit(1));
        self.only_lane_0.next = self.c.val() == self.lane_0.val();
        self.starts.next = self.c.val().get_bit(0) & (self.d.val().get_bits::<8>(0) == self.start_code.val());

        self.found.next.data = self.d.val() & self.kept.val();
        self.found.next.full = self.clean.val().get_bit(3);
        self.found.next.count = self.number.val();
        self.found.next.terminate = (self.first.val() & self.terminates.val()).any();
        self.found.next.start = self.starts.val();
        self.found.next.preamble = self.starts.val() & self.only_lane_0.val() & (self.d.val().get_bits::<24>(8) == self.preamble_rest.val());
        self.found.next.sfd = !self.c.val().any() & (self.d.val() == self.sfd_column.val());
        self.contents_q.d.next = self.found.val();
        self.local_q.d.next = self.only_lane_0.val() & (self.d.val() == self.local_column.val());
        self.remote_q.d.next = self.only_lane_0.val() & (self.d.val() == self.remote_column.val());
        self.contents.next = self.contents_q.q.val();
        self.local_fault.next = self.local_q.q.val();
        self.remote_fault.next = self.remote_q.q.val();
    }
}
