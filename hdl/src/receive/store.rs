//! The receive buffer: a ring of beats in block RAM, frame behind frame.

use super::verdict::Verdict;
use crate::ram::Ram;
use crate::types::{Parsed, BUFFER_BITS};
use rust_hdl::prelude::*;

/// Bits of a pointer into the ring: one more than an address, so that full and empty differ.
const POINTER_BITS: usize = BUFFER_BITS + 1;

/// Writes frames into the buffer, keeps or takes back each when its verdict is there, and hands on the good ones.
///
/// ```text
///        freed          start            head
///   ------|###############|==============|--------   # kept  = coming in
/// ```
///
/// A frame that is dropped takes no room. `verdict` comes with the frame's last beat; when the verdict of a segment has to wait for
/// its options, no beat may come before `settled`.
#[derive(LogicBlock, Default)]
pub struct Store {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties the buffer.
    pub reset: Signal<In, Bit>,
    /// A beat is to be written.
    pub valid: Signal<In, Bit>,
    /// It.
    pub data: Signal<In, Bits<64>>,
    /// A frame ends with this beat.
    pub done: Signal<In, Bit>,
    /// What it is worth. Holds until `settled`.
    pub verdict: Signal<In, Verdict>,
    /// What is in it, without `start`. Holds until a cycle behind `settled`, `ts_present` until `settled`.
    pub parsed: Signal<In, Parsed>,
    /// The options are still being walked.
    pub busy: Signal<In, Bit>,
    /// The frame is kept or taken back.
    pub settled: Signal<Out, Bit>,
    /// A frame is handed on (there is always room for it).
    pub hand_on: Signal<Out, Bit>,
    /// It.
    pub handed: Signal<Out, Parsed>,
    /// Pulse: so many beats are free again, those of the oldest frame kept.
    pub free: Signal<In, Bit>,
    /// How many.
    pub free_beats: Signal<In, Bits<BUFFER_BITS>>,
    /// Beat to read.
    pub read_address: Signal<In, Bits<BUFFER_BITS>>,
    /// Read it.
    pub read_enable: Signal<In, Bit>,
    /// The beat, in the next cycle; holds without `read_enable`.
    pub read_data: Signal<Out, Bits<64>>,
    /// Pulse: a frame dropped for lack of room.
    pub rx_buffer_full: Signal<Out, Bit>,
    /// Pulse: IPv4 header or total length impossible.
    pub rx_bad_ipv4_header: Signal<Out, Bit>,
    /// Pulse: IPv4 header checksum wrong.
    pub rx_bad_ipv4_checksum: Signal<Out, Bit>,
    /// Pulse: TCP data offset impossible.
    pub rx_bad_tcp_header: Signal<Out, Bit>,
    /// Pulse: TCP checksum wrong.
    pub rx_bad_tcp_checksum: Signal<Out, Bit>,
    /// Pulse: a good segment.
    pub rx_checksum_good: Signal<Out, Bit>,
    ram: Ram<Bits<64>, BUFFER_BITS>,
    head: DFF<Bits<POINTER_BITS>>,
    start: DFF<Bits<POINTER_BITS>>,
    freed: DFF<Bits<POINTER_BITS>>,
    full: DFF<Bit>,
    overflow: DFF<Bit>,
    keeping: DFF<Bit>,
    kept_start: DFF<Bits<BUFFER_BITS>>,
    kept_ts: DFF<Bit>,
    waiting: DFF<Bit>,
    full_pulse: DFF<Bit>,
    pulses: DFF<Verdict>,
    good_pulse: DFF<Bit>,
    ahead: Signal<Local, Bits<POINTER_BITS>>,
    here: Signal<Local, Bits<POINTER_BITS>>,
    beyond: Signal<Local, Bits<POINTER_BITS>>,
    back: Signal<Local, Bits<POINTER_BITS>>,
    full_here: Signal<Local, Bit>,
    full_beyond: Signal<Local, Bit>,
    full_back: Signal<Local, Bit>,
    write: Signal<Local, Bit>,
    lost: Signal<Local, Bit>,
    settle: Signal<Local, Bit>,
    keep: Signal<Local, Bit>,
    after: Signal<Local, Bits<POINTER_BITS>>,
}

impl Logic for Store {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, head, start, freed, full, overflow, keeping, kept_start, kept_ts, waiting, full_pulse, pulses, good_pulse);
        clock!(self, clock, ram);
        self.write.next = self.valid.val() & !self.full.q.val() & !self.overflow.q.val();
        self.lost.next = self.overflow.q.val() | (self.valid.val() & self.full.q.val());
        self.ram.write_enable.next = self.write.val();
        self.ram.write_address.next = bit_cast::<BUFFER_BITS, POINTER_BITS>(self.head.q.val());
        self.ram.write_data.next = self.data.val();
        self.ram.read_enable.next = self.read_enable.val();
        self.ram.read_address.next = self.read_address.val();
        self.read_data.next = self.ram.read_data.val();

        self.ahead.next = self.head.q.val() + 1;
        self.after.next = self.head.q.val();
        if self.write.val() {
            self.after.next = self.ahead.val();
        }
        self.overflow.d.next = self.lost.val();
        self.head.d.next = self.after.val();
        if self.free.val() {
            self.freed.d.next = self.freed.q.val() + bit_cast::<POINTER_BITS, BUFFER_BITS>(self.free_beats.val());
        }

        // A segment waits for its options; what is dropped or raw does not.
        self.settle.next = (self.done.val() | self.waiting.q.val()) & !(self.busy.val() & self.verdict.val().good & self.parsed.val().fast & !self.lost.val());
        self.waiting.d.next = (self.done.val() | self.waiting.q.val()) & !self.settle.val();
        self.keep.next = self.settle.val() & self.verdict.val().good & !self.lost.val();
        self.full_pulse.d.next = false;
        self.good_pulse.d.next = false;
        self.pulses.d.next.good = false;
        self.pulses.d.next.bad_ipv4_header = false;
        self.pulses.d.next.bad_ipv4_checksum = false;
        self.pulses.d.next.bad_tcp_header = false;
        self.pulses.d.next.bad_tcp_checksum = false;
        if self.settle.val() {
            self.overflow.d.next = false;
            if self.keep.val() {
                self.start.d.next = self.after.val();
            } else {
                self.head.d.next = self.start.q.val();
            }
            if self.lost.val() {
                self.full_pulse.d.next = true;
            } else {
                self.pulses.d.next = self.verdict.val();
                self.good_pulse.d.next = self.keep.val() & self.parsed.val().fast;
            }
        }
        // Whether there is room in the next cycle, but for what is freed in this one.
        self.here.next = self.head.q.val() ^ self.freed.q.val();
        self.beyond.next = self.ahead.val() ^ self.freed.q.val();
        self.back.next = self.start.q.val() ^ self.freed.q.val();
        // One turn: the bounds of a loop are values in the kernel language.
        for top in BUFFER_BITS..POINTER_BITS {
            self.full_here.next = self.here.val().get_bit(top) & !self.here.val().get_bits::<BUFFER_BITS>(0).any();
            self.full_beyond.next = self.beyond.val().get_bit(top) & !self.beyond.val().get_bits::<BUFFER_BITS>(0).any();
            self.full_back.next = self.back.val().get_bit(top) & !self.back.val().get_bits::<BUFFER_BITS>(0).any();
        }
        self.full.d.next = self.full_here.val();
        if self.write.val() {
            self.full.d.next = self.full_beyond.val();
        }
        if self.settle.val() & !self.keep.val() {
            self.full.d.next = self.full_back.val();
        }
        self.settled.next = self.settle.val();
        self.keeping.d.next = self.keep.val();
        self.kept_start.d.next = bit_cast::<BUFFER_BITS, POINTER_BITS>(self.start.q.val());
        self.kept_ts.d.next = self.parsed.val().ts_present;
        self.hand_on.next = self.keeping.q.val();
        self.handed.next = self.parsed.val();
        self.handed.next.start = self.kept_start.q.val();
        self.handed.next.ts_present = self.kept_ts.q.val();
        self.rx_buffer_full.next = self.full_pulse.q.val();
        self.rx_bad_ipv4_header.next = self.pulses.q.val().bad_ipv4_header;
        self.rx_bad_ipv4_checksum.next = self.pulses.q.val().bad_ipv4_checksum;
        self.rx_bad_tcp_header.next = self.pulses.q.val().bad_tcp_header;
        self.rx_bad_tcp_checksum.next = self.pulses.q.val().bad_tcp_checksum;
        self.rx_checksum_good.next = self.good_pulse.q.val();
        if self.reset.val() {
            self.head.d.next = 0.into();
            self.start.d.next = 0.into();
            self.freed.d.next = 0.into();
            self.full.d.next = false;
            self.overflow.d.next = false;
            self.keeping.d.next = false;
            self.waiting.d.next = false;
            self.full_pulse.d.next = false;
            self.good_pulse.d.next = false;
            self.pulses.d.next.bad_ipv4_header = false;
            self.pulses.d.next.bad_ipv4_checksum = false;
            self.pulses.d.next.bad_tcp_header = false;
            self.pulses.d.next.bad_tcp_checksum = false;
        }
    }
}
