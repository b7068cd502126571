//! The receiver: XGMII in, frames without preamble and FCS out.

use super::align::Align;
use super::fault::LinkFault;
use super::fcs::FcsCheck;
use super::filter::AddressFilter;
use super::frame::{Deliver, Follow};
use crate::stream::StreamTx;
use rust_hdl::prelude::*;

/// Receives frames that start in lane 0 or 4, with gaps from 5 octets on, eight octets every cycle.
///
/// - The last beat of a frame is on `m` 5 or 6 cycles after the word with its Terminate: 6 if that is the sixth to eighth octet of
///   its slot, or if the frame started in lane 4 and Terminate is in lanes 4 to 7.
/// - `m.ready` is not looked at: what is behind must take a beat every cycle.
/// - A frame for another station gives no beats. One that turns out bad has `error` with its last beat; one that is too long
///   ends so after at most `max_frame` + 4 octets; one that ends before its first eight octets are there gives no beats.
/// - Every Start gives one pulse, of the first that fits: bad preamble, error, oversize, runt, bad FCS, filtered, frames. Only a
///   Start in lane 4 with another in the next column gives none.
/// - A gap below 5 octets (Terminate among them) may turn the frame before it into an error; the frame after it is not hurt.
#[derive(LogicBlock, Default)]
pub struct XgmiiRx {
    /// 156.25 MHz.
    pub clock: Signal<In, Clock>,
    /// Synchronous.
    pub reset: Signal<In, Bit>,
    /// XGMII data, lane 0 lowest.
    pub rxd: Signal<In, Bits<64>>,
    /// XGMII control, a bit for each lane.
    pub rxc: Signal<In, Bits<8>>,
    /// One's own address, its first octet on the wire lowest.
    pub local_mac: Signal<In, Bits<48>>,
    /// Take every frame.
    pub promiscuous: Signal<In, Bit>,
    /// Take all multicast frames.
    pub multicast: Signal<In, Bit>,
    /// Longest frame without FCS, in octets, at most 16379.
    pub max_frame: Signal<In, Bits<14>>,
    /// Frames.
    pub m: StreamTx<64, 8>,
    /// The link is in local fault (IEEE 802.3 clause 46.3.4).
    pub local_fault: Signal<Out, Bit>,
    /// The link is in remote fault.
    pub remote_fault: Signal<Out, Bit>,
    /// Pulse: a frame without fault, for this station.
    pub mac_rx_frames: Signal<Out, Bit>,
    /// With `mac_rx_frames`: its octets, without FCS.
    pub mac_rx_bytes: Signal<Out, Bits<14>>,
    /// Pulse: a frame with a wrong FCS.
    pub mac_rx_bad_fcs: Signal<Out, Bit>,
    /// Pulse: a frame below 64 octets with FCS.
    pub mac_rx_runt: Signal<Out, Bit>,
    /// Pulse: a frame beyond `max_frame`.
    pub mac_rx_oversize: Signal<Out, Bit>,
    /// Pulse: a frame whose first control character was not Terminate: an error, idle or another Start.
    pub mac_rx_error: Signal<Out, Bit>,
    /// Pulse: a Start without a good preamble and SFD.
    pub mac_rx_bad_preamble: Signal<Out, Bit>,
    /// Pulse: a frame without fault, for another station.
    pub mac_rx_filtered: Signal<Out, Bit>,
    align: Align,
    fault: LinkFault,
    follow: Follow,
    fcs: FcsCheck,
    filter: AddressFilter,
    deliver: Deliver,
}

impl Logic for XgmiiRx {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, align, fault, follow, fcs, filter, deliver);
        self.align.reset.next = self.reset.val();
        self.fault.reset.next = self.reset.val();
        self.follow.reset.next = self.reset.val();
        self.deliver.reset.next = self.reset.val();
        self.align.rxd.next = self.rxd.val();
        self.align.rxc.next = self.rxc.val();

        self.fault.local_set.next = self.align.local_set.val();
        self.fault.remote_set.next = self.align.remote_set.val();
        self.local_fault.next = self.fault.local_fault.val();
        self.remote_fault.next = self.fault.remote_fault.val();

        self.follow.slot.next = self.align.slot.val();
        self.follow.max_frame.next = self.max_frame.val();

        self.fcs.data.next = self.align.slot.val().data;
        self.fcs.full.next = self.align.slot.val().full;
        self.fcs.count.next = self.align.slot.val().count;
        self.fcs.start.next = self.align.slot.val().start;
        self.fcs.in_frame.next = self.follow.in_frame.val();

        self.filter.data.next = self.align.slot.val().data;
        self.filter.start.next = self.align.slot.val().start;
        self.filter.local_mac.next = self.local_mac.val();
        self.filter.promiscuous.next = self.promiscuous.val();
        self.filter.multicast.next = self.multicast.val();

        self.deliver.piece.next = self.follow.piece.val();
        self.deliver.fcs_good.next = self.fcs.good.val();
        self.deliver.accept.next = self.filter.accept.val();
        StreamTx::<64, 8>::link(&mut self.m, &mut self.deliver.m);
        self.mac_rx_frames.next = self.deliver.frames.val();
        self.mac_rx_bytes.next = self.deliver.bytes.val();
        self.mac_rx_bad_fcs.next = self.deliver.bad_fcs.val();
        self.mac_rx_runt.next = self.deliver.runt.val();
        self.mac_rx_oversize.next = self.deliver.oversize.val();
        self.mac_rx_error.next = self.deliver.broken.val();
        self.mac_rx_bad_preamble.next = self.follow.bad_preamble.val();
        self.mac_rx_filtered.next = self.deliver.filtered.val();
    }
}
