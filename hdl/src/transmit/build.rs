//! Makes frames: header, payload behind it, or a raw frame as it is.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::header::{Checksums, Layout};
use super::supply::Offer;
use crate::ram::StreamSkid;
use crate::stream::{StreamRx, StreamTx};
use crate::types::{ChannelRx, Segment};
use rust_hdl::prelude::*;

/// What goes out next.
#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
pub enum BuildStep {
    /// Nothing.
    Idle,
    /// Whole beats of the header.
    Header,
    /// What is left of the header or of the beat before, and payload.
    Body,
    /// What is left, and the frame ends.
    Tail,
    /// A raw frame.
    Raw,
}

/// Makes frames for the MAC.
///
/// ```text
///  acks, sealed --> Layout --> slots (9 beats, shifted) --+--> skid --> mac
///              \-> Checksums --------- into beats 3, 6 ---+
///  payload ----------------- behind what is left (rest) --+
/// ```
///
/// A header of 54, 58, 66 or 70 bytes leaves 6 or 2 bytes in its last beat: payload is shifted by so much, and `rest` holds what is left of each beat. At the
/// start of a frame a pure ACK goes first, then a raw frame or a sealed segment in the order in which they were fetched.
///
/// A tag goes in when the header leaves, and moves what comes behind it by half a beat.
///
/// The header of what would be next is laid out in every cycle in which no header is being sent: what is loaded does not depend on whether it is taken.
///
/// First beat at `mac` 2 cycles after `acks.valid` when idle; 8 bytes a cycle, without a gap in a frame or between two.
#[derive(LogicBlock, Default)]
pub struct Build {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Our MAC address, byte 0 of the wire lowest.
    pub local_mac: Signal<In, Bits<48>>,
    /// Headers for the payloads offered, in their order.
    pub sealed: ChannelRx<Segment>,
    /// Segments without payload.
    pub acks: ChannelRx<Segment>,
    /// A payload or raw frame that is ready.
    pub offer: ChannelRx<Offer>,
    /// Its bytes.
    pub payload: StreamRx<64, 8>,
    /// Frames.
    pub mac: StreamTx<64, 8>,
    /// A raw frame has gone out.
    pub tx_raw: Signal<Out, Bit>,
    /// Nothing inside.
    pub idle: Signal<Out, Bit>,
    layout: Layout,
    checksums: Checksums,
    skid: StreamSkid,
    step: DFF<BuildStep>,
    // Of the header that is sent or would be next.
    slots: [DFF<Bits<64>>; 9],
    at: DFF<Bits<3>>,
    top: DFF<Bits<3>>,
    some: DFF<Bit>,
    tagged: DFF<Bit>,
    tag: DFF<Bits<16>>,
    leaves_two: DFF<Bit>,
    // Of the frame that is sent: the tag is out, and moves this; then what is left.
    behind_tag: DFF<Bit>,
    half: DFF<Bits<32>>,
    two: DFF<Bit>,
    rest: DFF<Bits<48>>,
    tail: DFF<Bits<8>>,
    raw_sent: DFF<Bit>,
    segment: Signal<Local, Segment>,
    room: Signal<Local, Bit>,
    header: Signal<Local, Bit>,
    top_now: Signal<Local, Bit>,
    free: Signal<Local, Bit>,
    finish: Signal<Local, Bit>,
    fits: Signal<Local, Bit>,
    take_segment: Signal<Local, Bit>,
    take_raw: Signal<Local, Bit>,
    ip: Signal<Local, Bits<16>>,
    tcp: Signal<Local, Bits<16>>,
    swapped_tag: Signal<Local, Bits<16>>,
    tag_now: Signal<Local, Bit>,
    head: Signal<Local, Bits<64>>,
    present: Signal<Local, Bits<64>>,
    following: Signal<Local, Bits<64>>,
    joined: Signal<Local, Bits<64>>,
    joined_keep: Signal<Local, Bits<8>>,
}

impl Logic for Build {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, step, at, top, some, tagged, tag, leaves_two, behind_tag, half, two, rest, tail, raw_sent);
        for k in 0..9 {
            self.slots[k].clock.next = self.clock.val();
            self.slots[k].d.next = self.slots[k].q.val();
        }
        clock!(self, clock, checksums, skid);
        self.skid.reset.next = self.reset.val();
        self.room.next = self.skid.s.ready.val();
        self.header.next = self.step.q.val() == BuildStep::Header;
        self.top_now.next = self.at.q.val() == self.top.q.val();

        // A header for what would be next, or the next beat of the one that is sent. The checksums come later than the rest: into beat 3 as it leaves, into
        // beat 6 as it becomes the next.
        self.segment.next = self.sealed.data.val();
        self.checksums.payload.next = self.offer.data.val().sum;
        if self.acks.valid.val() {
            self.segment.next = self.acks.data.val();
            self.checksums.payload.next = 0.into();
        }
        self.layout.segment.next = self.segment.val();
        self.layout.local_mac.next = self.local_mac.val();
        self.checksums.segment.next = self.segment.val();
        self.checksums.load.next = !self.header.val();
        self.ip.next = (self.checksums.ip.val() << 8) | (self.checksums.ip.val() >> 8);
        self.tcp.next = (self.checksums.tcp.val() << 8) | (self.checksums.tcp.val() >> 8);
        self.present.next = self.slots[0].q.val();
        if self.at.q.val() == bits::<3>(3) {
            self.present.next = self.slots[0].q.val() | bit_cast::<64, 16>(self.ip.val());
        }
        self.following.next = self.slots[1].q.val();
        if self.at.q.val() == bits::<3>(5) {
            self.following.next = self.slots[1].q.val() | (bit_cast::<64, 16>(self.tcp.val()) << 16);
        }
        self.swapped_tag.next = (self.tag.q.val() << 8) | (self.tag.q.val() >> 8);
        self.tag_now.next = self.tagged.q.val() & (self.at.q.val() == bits::<3>(1));
        self.head.next = self.present.val();
        if self.tag_now.val() {
            self.head.next =
                bit_cast::<64, 32>(self.present.val().get_bits::<32>(0)) | (bits::<64>(0x0081) << 32) | (bit_cast::<64, 16>(self.swapped_tag.val()) << 48);
        }
        if self.behind_tag.q.val() {
            self.head.next = (self.present.val() << 32) | bit_cast::<64, 32>(self.half.q.val());
        }
        if self.header.val() {
            if self.room.val() {
                self.slots[0].d.next = self.following.val();
                for k in 1..8 {
                    self.slots[k].d.next = self.slots[k + 1].q.val();
                }
                self.at.d.next = self.at.q.val() + 1;
                self.half.d.next = self.present.val().get_bits::<32>(32);
                if self.tag_now.val() {
                    self.behind_tag.d.next = true;
                }
            }
        } else {
            for k in 0..9 {
                self.slots[k].d.next = self.layout.beats[k].val();
            }
            self.at.d.next = 0.into();
            self.behind_tag.d.next = false;
            self.tag.d.next = self.segment.val().vlan;
            self.top.d.next = bits::<3>(5);
            if self.segment.val().vlan_present {
                self.top.d.next = bits::<3>(6);
            }
            if self.segment.val().ts_present {
                self.top.d.next = bits::<3>(7);
            }
            self.some.d.next = !self.acks.valid.val() & self.offer.data.val().some;
            self.tagged.d.next = self.segment.val().vlan_present;
            self.leaves_two.d.next = self.segment.val().vlan_present ^ self.segment.val().ts_present;
        }

        // Payload behind the 2 or 6 bytes that are left.
        self.joined.next = (self.payload.data.val() << 48) | bit_cast::<64, 48>(self.rest.q.val());
        self.joined_keep.next = (self.payload.keep.val() << 6) | bits::<8>(0x3f);
        self.fits.next = !self.payload.keep.val().get_bit(2);
        if self.two.q.val() {
            self.joined.next = (self.payload.data.val() << 16) | bit_cast::<64, 16>(self.rest.q.val().get_bits::<16>(0));
            self.joined_keep.next = (self.payload.keep.val() << 2) | bits::<8>(0x03);
            self.fits.next = !self.payload.keep.val().get_bit(6);
        }

        self.finish.next = false;
        self.raw_sent.d.next = false;
        self.payload.ready.next = false;
        self.skid.s.valid.next = false;
        self.skid.s.data.next = self.head.val();
        self.skid.s.keep.next = bits::<8>(0xff);
        self.skid.s.last.next = false;
        self.skid.s.error.next = false;
        match self.step.q.val() {
            BuildStep::Idle => {}
            BuildStep::Header => {
                self.skid.s.valid.next = true;
                self.rest.d.next = self.following.val().get_bits::<48>(0);
                if self.tagged.q.val() {
                    self.rest.d.next = (self.following.val().get_bits::<48>(0) << 32) | bit_cast::<48, 32>(self.present.val().get_bits::<32>(32));
                }
                self.two.d.next = self.leaves_two.q.val();
                self.tail.d.next = bits::<8>(0x3f);
                if self.leaves_two.q.val() {
                    self.tail.d.next = bits::<8>(0x03);
                }
                if self.room.val() & self.top_now.val() {
                    self.step.d.next = BuildStep::Tail;
                    if self.some.q.val() {
                        self.step.d.next = BuildStep::Body;
                    }
                }
            }
            BuildStep::Body => {
                self.payload.ready.next = self.room.val();
                self.skid.s.valid.next = self.payload.valid.val();
                self.skid.s.data.next = self.joined.val();
                self.skid.s.keep.next = self.joined_keep.val();
                self.skid.s.last.next = self.payload.last.val() & self.fits.val();
                if self.room.val() & self.payload.valid.val() {
                    self.rest.d.next = self.payload.data.val().get_bits::<48>(16);
                    self.tail.d.next = self.payload.keep.val() >> 2;
                    if self.two.q.val() {
                        self.rest.d.next = bit_cast::<48, 16>(self.payload.data.val().get_bits::<16>(48));
                        self.tail.d.next = self.payload.keep.val() >> 6;
                    }
                    if self.payload.last.val() {
                        self.step.d.next = BuildStep::Tail;
                        self.finish.next = self.fits.val();
                    }
                }
            }
            BuildStep::Tail => {
                self.skid.s.valid.next = true;
                self.skid.s.data.next = bit_cast::<64, 48>(self.rest.q.val());
                self.skid.s.keep.next = self.tail.q.val();
                self.skid.s.last.next = true;
                self.finish.next = self.room.val();
            }
            BuildStep::Raw => {
                self.payload.ready.next = self.room.val();
                self.skid.s.valid.next = self.payload.valid.val();
                self.skid.s.data.next = self.payload.data.val();
                self.skid.s.keep.next = self.payload.keep.val();
                self.skid.s.last.next = self.payload.last.val();
                self.finish.next = self.room.val() & self.payload.valid.val() & self.payload.last.val();
                self.raw_sent.d.next = self.finish.val();
            }
        }

        self.free.next = self.finish.val() | (self.step.q.val() == BuildStep::Idle);
        self.take_raw.next = self.free.val() & !self.acks.valid.val() & self.offer.valid.val() & self.offer.data.val().raw;
        self.take_segment.next = self.free.val() & !self.acks.valid.val() & self.offer.valid.val() & !self.offer.data.val().raw & self.sealed.valid.val();
        self.acks.ready.next = self.free.val();
        self.sealed.ready.next = self.take_segment.val();
        self.offer.ready.next = self.take_segment.val() | self.take_raw.val();
        if self.free.val() {
            self.step.d.next = BuildStep::Idle;
            if self.take_raw.val() {
                self.step.d.next = BuildStep::Raw;
            }
            if self.take_segment.val() | self.acks.valid.val() {
                self.step.d.next = BuildStep::Header;
            }
        }

        StreamTx::<64, 8>::link(&mut self.mac, &mut self.skid.m);
        self.tx_raw.next = self.raw_sent.q.val();
        self.idle.next = (self.step.q.val() == BuildStep::Idle) & !self.skid.m.valid.val();
        if self.reset.val() {
            self.step.d.next = BuildStep::Idle;
            self.raw_sent.d.next = false;
        }
    }
}
