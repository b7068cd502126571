//! The header of a segment: its bytes, and its checksums.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use crate::types::{Segment, LENGTH_BITS};
use rust_hdl::prelude::*;

/// Lays a header out in beats, without tag and checksums: Ethernet, IPv4 (RFC 791: no options, DSCP 0, identification 0, DF, TTL 64), TCP (RFC 9293 section
/// 3.1), and if wanted `NOP NOP TS` (RFC 7323 appendix A). What lies behind a shorter header does not count. No state.
#[derive(LogicBlock, Default)]
pub struct Layout {
    /// What is to be in it.
    pub segment: Signal<In, Segment>,
    /// Our MAC address, byte 0 of the wire lowest.
    pub local_mac: Signal<In, Bits<48>>,
    /// The header, byte 0 lowest in beat 0.
    pub beats: [Signal<Out, Bits<64>>; 9],
    total: Signal<Local, Bits<16>>,
    offset: Signal<Local, Bits<16>>,
    number: [Signal<Local, Bits<64>>; 9],
    lower: Signal<Local, Bits<64>>,
}

impl Logic for Layout {
    #[hdl_gen]
    fn update(&mut self) {
        self.total.next = bit_cast::<16, LENGTH_BITS>(self.segment.val().payload_length) + 40;
        self.offset.next = bits::<16>(0x5000);
        if self.segment.val().ts_present {
            self.total.next = bit_cast::<16, LENGTH_BITS>(self.segment.val().payload_length) + 52;
            self.offset.next = bits::<16>(0x8000);
        }
        self.number[0].next = bit_cast::<64, 48>(self.segment.val().remote_mac) | (bit_cast::<64, 48>(self.local_mac.val()) << 48);
        self.number[1].next = bit_cast::<64, 32>(self.local_mac.val().get_bits::<32>(16)) | (bits::<64>(0x0045_0008) << 32);
        // Total length; identification; flags; TTL and protocol.
        self.number[2].next = bit_cast::<64, 16>(self.total.val()) | (bits::<64>(0x4006_4000) << 32);
        // Checksum; addresses.
        self.number[3].next = (bit_cast::<64, 16>(self.segment.val().local_ip.get_bits::<16>(16)) << 16)
            | (bit_cast::<64, 16>(self.segment.val().local_ip.get_bits::<16>(0)) << 32)
            | (bit_cast::<64, 16>(self.segment.val().remote_ip.get_bits::<16>(16)) << 48);
        self.number[4].next = bit_cast::<64, 16>(self.segment.val().remote_ip.get_bits::<16>(0))
            | (bit_cast::<64, 16>(self.segment.val().local_port) << 16)
            | (bit_cast::<64, 16>(self.segment.val().remote_port) << 32)
            | (bit_cast::<64, 16>(self.segment.val().seq.get_bits::<16>(16)) << 48);
        self.number[5].next = bit_cast::<64, 16>(self.segment.val().seq.get_bits::<16>(0))
            | (bit_cast::<64, 16>(self.segment.val().ack.get_bits::<16>(16)) << 16)
            | (bit_cast::<64, 16>(self.segment.val().ack.get_bits::<16>(0)) << 32)
            | (bit_cast::<64, 16>(self.offset.val() | bit_cast::<16, 8>(self.segment.val().control)) << 48);
        // Window; checksum; urgent pointer; NOP NOP.
        self.number[6].next = bit_cast::<64, 16>(self.segment.val().window) | (bits::<64>(0x0101) << 48);
        // Timestamps: kind 8, length 10.
        self.number[7].next = bits::<64>(0x080a)
            | (bit_cast::<64, 16>(self.segment.val().ts_val.get_bits::<16>(16)) << 16)
            | (bit_cast::<64, 16>(self.segment.val().ts_val.get_bits::<16>(0)) << 32)
            | (bit_cast::<64, 16>(self.segment.val().ts_ecr.get_bits::<16>(16)) << 48);
        self.number[8].next = bit_cast::<64, 16>(self.segment.val().ts_ecr.get_bits::<16>(0));
        self.beats[0].next = self.number[0].val();
        self.beats[1].next = self.number[1].val();
        // The rest as 16-bit numbers, now as bytes.
        self.lower.next = (bits::<64>(0x00ff_00ff) << 32) | bits::<64>(0x00ff_00ff);
        for k in 2..9 {
            self.beats[k].next = ((self.number[k].val() & self.lower.val()) << 8) | ((self.number[k].val() >> 8) & self.lower.val());
        }
    }
}

/// The checksums of a segment's header (RFC 791, RFC 9293 section 3.1): `ip` is there 4, `tcp` 6 cycles after the last cycle with `load`, and they stay until
/// the fourth and sixth after the next.
#[derive(LogicBlock, Default)]
pub struct Checksums {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Take `segment` and `payload`.
    pub load: Signal<In, Bit>,
    /// The header.
    pub segment: Signal<In, Segment>,
    /// Sum of the payload, as a number (first byte of each pair high).
    pub payload: Signal<In, Bits<16>>,
    /// IPv4 header checksum, as a number.
    pub ip: Signal<Out, Bits<16>>,
    /// TCP checksum, as a number.
    pub tcp: Signal<Out, Bits<16>>,
    // Sums of two words each.
    local: DFF<Bits<17>>,
    remote: DFF<Bits<17>>,
    ports: DFF<Bits<17>>,
    seq: DFF<Bits<17>>,
    ack: DFF<Bits<17>>,
    window: DFF<Bits<17>>,
    value: DFF<Bits<17>>,
    echo: DFF<Bits<17>>,
    // Everything constant and the length; the rest of the IPv4 header, the pseudo header and the options.
    ip_rest: DFF<Bits<17>>,
    tcp_rest: DFF<Bits<16>>,
    data: DFF<Bits<16>>,
    addresses: DFF<Bits<18>>,
    numbers: DFF<Bits<18>>,
    stamps: DFF<Bits<18>>,
    others: DFF<Bits<18>>,
    rest: DFF<Bits<17>>,
    ip_sum: DFF<Bits<19>>,
    left: DFF<Bits<19>>,
    right: DFF<Bits<19>>,
    rest_2: DFF<Bits<17>>,
    ip_folded: DFF<Bits<17>>,
    tcp_sum: DFF<Bits<21>>,
    tcp_folded: DFF<Bits<17>>,
    ip_out: DFF<Bits<16>>,
    tcp_out: DFF<Bits<16>>,
    stamped: Signal<Local, Bits<32>>,
    echoed: Signal<Local, Bits<32>>,
    ip_fixed: Signal<Local, Bits<16>>,
    tcp_fixed: Signal<Local, Bits<16>>,
    flags: Signal<Local, Bits<16>>,
    wide: Signal<Local, Bits<19>>,
    ip_end: Signal<Local, Bits<16>>,
    tcp_end: Signal<Local, Bits<16>>,
}

impl Logic for Checksums {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, local, remote, ports, seq, ack, window, value, echo, ip_rest, tcp_rest, data);
        dff_setup!(self, clock, addresses, numbers, stamps, others, rest, ip_sum, left, right, rest_2);
        dff_setup!(self, clock, ip_folded, tcp_sum, tcp_folded, ip_out, tcp_out);
        // 0x4500, DF, TTL and protocol, 40 bytes; protocol 6, 20 bytes.
        self.ip_fixed.next = bits::<16>(0xc52e);
        self.tcp_fixed.next = bits::<16>(26);
        self.flags.next = bits::<16>(0x5000) | bit_cast::<16, 8>(self.segment.val().control);
        self.stamped.next = 0.into();
        self.echoed.next = 0.into();
        if self.segment.val().ts_present {
            // 12 bytes more, and NOP NOP, kind 8, length 10.
            self.ip_fixed.next = bits::<16>(0xc53a);
            self.tcp_fixed.next = bits::<16>(0x0931);
            self.flags.next = bits::<16>(0x8000) | bit_cast::<16, 8>(self.segment.val().control);
            self.stamped.next = self.segment.val().ts_val;
            self.echoed.next = self.segment.val().ts_ecr;
        }
        if self.load.val() {
            self.local.d.next =
                bit_cast::<17, 16>(self.segment.val().local_ip.get_bits::<16>(16)) + bit_cast::<17, 16>(self.segment.val().local_ip.get_bits::<16>(0));
            self.remote.d.next =
                bit_cast::<17, 16>(self.segment.val().remote_ip.get_bits::<16>(16)) + bit_cast::<17, 16>(self.segment.val().remote_ip.get_bits::<16>(0));
            self.ports.d.next = bit_cast::<17, 16>(self.segment.val().local_port) + bit_cast::<17, 16>(self.segment.val().remote_port);
            self.seq.d.next = bit_cast::<17, 16>(self.segment.val().seq.get_bits::<16>(16)) + bit_cast::<17, 16>(self.segment.val().seq.get_bits::<16>(0));
            self.ack.d.next = bit_cast::<17, 16>(self.segment.val().ack.get_bits::<16>(16)) + bit_cast::<17, 16>(self.segment.val().ack.get_bits::<16>(0));
            self.window.d.next = bit_cast::<17, 16>(self.segment.val().window) + bit_cast::<17, 16>(self.flags.val());
            self.value.d.next = bit_cast::<17, 16>(self.stamped.val().get_bits::<16>(16)) + bit_cast::<17, 16>(self.stamped.val().get_bits::<16>(0));
            self.echo.d.next = bit_cast::<17, 16>(self.echoed.val().get_bits::<16>(16)) + bit_cast::<17, 16>(self.echoed.val().get_bits::<16>(0));
            self.ip_rest.d.next = bit_cast::<17, 16>(self.ip_fixed.val()) + bit_cast::<17, LENGTH_BITS>(self.segment.val().payload_length);
            self.tcp_rest.d.next = self.tcp_fixed.val() + bit_cast::<16, LENGTH_BITS>(self.segment.val().payload_length);
            self.data.d.next = self.payload.val();
        }

        self.addresses.d.next = bit_cast::<18, 17>(self.local.q.val()) + bit_cast::<18, 17>(self.remote.q.val());
        self.numbers.d.next = bit_cast::<18, 17>(self.seq.q.val()) + bit_cast::<18, 17>(self.ack.q.val());
        self.stamps.d.next = bit_cast::<18, 17>(self.value.q.val()) + bit_cast::<18, 17>(self.echo.q.val());
        self.others.d.next = bit_cast::<18, 17>(self.ports.q.val()) + bit_cast::<18, 17>(self.window.q.val());
        self.rest.d.next = bit_cast::<17, 16>(self.tcp_rest.q.val()) + bit_cast::<17, 16>(self.data.q.val());
        self.wide.next = bit_cast::<19, 17>(self.local.q.val()) + bit_cast::<19, 17>(self.remote.q.val());
        self.ip_sum.d.next = self.wide.val() + bit_cast::<19, 17>(self.ip_rest.q.val());

        self.left.d.next = bit_cast::<19, 18>(self.addresses.q.val()) + bit_cast::<19, 18>(self.numbers.q.val());
        self.right.d.next = bit_cast::<19, 18>(self.stamps.q.val()) + bit_cast::<19, 18>(self.others.q.val());
        self.rest_2.d.next = self.rest.q.val();
        self.ip_folded.d.next = bit_cast::<17, 16>(self.ip_sum.q.val().get_bits::<16>(0)) + bit_cast::<17, 3>(self.ip_sum.q.val().get_bits::<3>(16));

        self.tcp_sum.d.next = bit_cast::<21, 19>(self.left.q.val()) + bit_cast::<21, 19>(self.right.q.val()) + bit_cast::<21, 17>(self.rest_2.q.val());
        self.ip_end.next = self.ip_folded.q.val().get_bits::<16>(0) + self.ip_folded.q.val().get_bit(16);
        self.ip_out.d.next = !self.ip_end.val();

        self.tcp_folded.d.next = bit_cast::<17, 16>(self.tcp_sum.q.val().get_bits::<16>(0)) + bit_cast::<17, 5>(self.tcp_sum.q.val().get_bits::<5>(16));
        self.tcp_end.next = self.tcp_folded.q.val().get_bits::<16>(0) + self.tcp_folded.q.val().get_bit(16);
        self.tcp_out.d.next = !self.tcp_end.val();
        self.ip.next = self.ip_out.q.val();
        self.tcp.next = self.tcp_out.q.val();
    }
}
