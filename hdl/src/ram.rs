//! Memories and what is made of them: block RAM, a queue, a skid buffer.

use crate::stream::{Beat, StreamRx, StreamTx};
use crate::types::{ChannelRx, ChannelTx};
use rust_hdl::prelude::*;

/// Memory of `2^A` words with one write port and one read port on one clock.
///
/// A read takes one cycle: `read_data` has the word of the cycle in which `read_enable` was high, and keeps it while
/// `read_enable` is low. **Reading the word that is written in the same cycle is undefined** in hardware
/// (`no_rw_check` spares the logic that would define it); in simulation it gives the old word. The contents
/// at power-on are undefined.
///
/// This is a cell: the Verilog is given as such, and `update` is a model of it for RustHDL's simulator.
#[derive(LogicBlock, Default)]
pub struct Ram<T: Synth, const A: usize> {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Write `write_data` to `write_address`.
    pub write_enable: Signal<In, Bit>,
    /// Where to.
    pub write_address: Signal<In, Bits<A>>,
    /// What.
    pub write_data: Signal<In, T>,
    /// Read the word at `read_address`.
    pub read_enable: Signal<In, Bit>,
    /// Where from.
    pub read_address: Signal<In, Bits<A>>,
    /// The word read last.
    pub read_data: Signal<Out, T>,
    _words: Vec<T>,
}

impl<T: Synth, const A: usize> Logic for Ram<T, A> {
    fn update(&mut self) {
        if self.clock.pos_edge() {
            self._words.resize(1 << A, T::default());
            if self.read_enable.val() {
                self.read_data.next = self._words[self.read_address.val().index()];
            }
            if self.write_enable.val() {
                self._words[self.write_address.val().index()] = self.write_data.val();
            }
        }
    }

    fn connect(&mut self) {
        self.read_data.connect();
    }

    fn hdl(&self) -> Verilog {
        let (high, last) = (T::BITS - 1, (1_usize << A) - 1);
        Verilog::Custom(format!(
            "\
(* no_rw_check *)
reg [{high}:0] words [0:{last}];
always @(posedge clock) begin
    if (write_enable) words[write_address] <= write_data;
    if (read_enable) read_data <= words[read_address];
end"
        ))
    }
}

/// A queue of `2^A` words; `L = A + 1`.
///
/// ```text
///            +--------------- straight through when empty --------------+
///  s ------->|                                                          v
///            +--> words (RAM) --> read_data (RAM's register) --> out (register) --> m
/// ```
///
/// A word offered to an empty queue is at `m` one cycle later, and one goes in and out in every cycle. `s.ready`
/// depends on registers alone.
#[derive(LogicBlock)]
pub struct Fifo<T: Synth, const A: usize, const L: usize> {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties it.
    pub reset: Signal<In, Bit>,
    /// In.
    pub s: ChannelRx<T>,
    /// Out, the oldest word first.
    pub m: ChannelTx<T>,
    /// Words inside, 0 to `2^A`.
    pub level: Signal<Out, Bits<L>>,
    ram: Ram<T, A>,
    write_at: DFF<Bits<A>>,
    read_at: DFF<Bits<A>>,
    inside: DFF<Bits<L>>,
    stored: DFF<Bits<L>>,
    read_valid: DFF<Bit>,
    out: DFF<T>,
    out_valid: DFF<Bit>,
    full: Signal<Local, Bit>,
    accept: Signal<Local, Bit>,
    deliver: Signal<Local, Bit>,
    room: Signal<Local, Bit>,
    straight: Signal<Local, Bit>,
    fetch: Signal<Local, Bit>,
}

impl<T: Synth, const A: usize, const L: usize> Default for Fifo<T, A, L> {
    fn default() -> Self {
        const { assert!(L == A + 1, "a level of A + 1 bits") };
        Self {
            clock: Signal::default(),
            reset: Signal::default(),
            s: ChannelRx::default(),
            m: ChannelTx::default(),
            level: Signal::default(),
            ram: Ram::default(),
            write_at: DFF::default(),
            read_at: DFF::default(),
            inside: DFF::default(),
            stored: DFF::default(),
            read_valid: DFF::default(),
            out: DFF::default(),
            out_valid: DFF::default(),
            full: Signal::default(),
            accept: Signal::default(),
            deliver: Signal::default(),
            room: Signal::default(),
            straight: Signal::default(),
            fetch: Signal::default(),
        }
    }
}

impl<T: Synth, const A: usize, const L: usize> Logic for Fifo<T, A, L> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, write_at, read_at, inside, stored, read_valid, out, out_valid);
        clock!(self, clock, ram);
        self.level.next = self.inside.q.val();
        self.m.data.next = self.out.q.val();
        self.m.valid.next = self.out_valid.q.val();

        // One turn: the bounds of a loop are values in the kernel language, where a const parameter is not.
        for top in A..L {
            self.full.next = self.inside.q.val().get_bit(top);
        }
        self.s.ready.next = !self.full.val();
        self.accept.next = self.s.valid.val() & !self.full.val();
        self.deliver.next = self.out_valid.q.val() & self.m.ready.val();
        self.room.next = self.m.ready.val() | !self.out_valid.q.val();
        self.straight.next = self.accept.val() & self.room.val() & !self.stored.q.val().any() & !self.read_valid.q.val();
        self.fetch.next = self.stored.q.val().any() & (self.room.val() | !self.read_valid.q.val());

        self.ram.write_enable.next = self.accept.val() & !self.straight.val();
        self.ram.write_address.next = self.write_at.q.val();
        self.ram.write_data.next = self.s.data.val();
        self.ram.read_enable.next = self.fetch.val();
        self.ram.read_address.next = self.read_at.q.val();

        if self.accept.val() & !self.straight.val() {
            self.write_at.d.next = self.write_at.q.val() + 1;
        }
        if self.fetch.val() {
            self.read_at.d.next = self.read_at.q.val() + 1;
        }
        if self.accept.val() & !self.straight.val() & !self.fetch.val() {
            self.stored.d.next = self.stored.q.val() + 1;
        }
        if self.fetch.val() & !(self.accept.val() & !self.straight.val()) {
            self.stored.d.next = self.stored.q.val() - 1;
        }
        if self.accept.val() & !self.deliver.val() {
            self.inside.d.next = self.inside.q.val() + 1;
        }
        if self.deliver.val() & !self.accept.val() {
            self.inside.d.next = self.inside.q.val() - 1;
        }
        self.read_valid.d.next = self.fetch.val() | (self.read_valid.q.val() & !self.room.val());
        if self.room.val() {
            self.out_valid.d.next = self.read_valid.q.val() | self.straight.val();
            if self.read_valid.q.val() {
                self.out.d.next = self.ram.read_data.val();
            } else {
                self.out.d.next = self.s.data.val();
            }
        }
        if self.reset.val() {
            self.write_at.d.next = 0.into();
            self.read_at.d.next = 0.into();
            self.inside.d.next = 0.into();
            self.stored.d.next = 0.into();
            self.read_valid.d.next = false;
            self.out_valid.d.next = false;
        }
    }
}

/// Cuts a channel with registers both ways: one cycle of delay, a word in every cycle, and neither `valid` nor `ready` goes
/// through.
#[derive(LogicBlock, Default)]
pub struct Skid<T: Synth> {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties it.
    pub reset: Signal<In, Bit>,
    /// In.
    pub s: ChannelRx<T>,
    /// Out.
    pub m: ChannelTx<T>,
    out: DFF<T>,
    out_valid: DFF<Bit>,
    spare: DFF<T>,
    spare_valid: DFF<Bit>,
    accept: Signal<Local, Bit>,
    room: Signal<Local, Bit>,
}

impl<T: Synth> Logic for Skid<T> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, out, out_valid, spare, spare_valid);
        self.m.data.next = self.out.q.val();
        self.m.valid.next = self.out_valid.q.val();
        self.s.ready.next = !self.spare_valid.q.val();
        self.accept.next = self.s.valid.val() & !self.spare_valid.q.val();
        self.room.next = self.m.ready.val() | !self.out_valid.q.val();
        if self.room.val() {
            self.out_valid.d.next = self.spare_valid.q.val() | self.accept.val();
            self.spare_valid.d.next = false;
            if self.spare_valid.q.val() {
                self.out.d.next = self.spare.q.val();
            } else {
                self.out.d.next = self.s.data.val();
            }
        } else {
            if self.accept.val() {
                self.spare_valid.d.next = true;
            }
        }
        if !self.spare_valid.q.val() {
            self.spare.d.next = self.s.data.val();
        }
        if self.reset.val() {
            self.out_valid.d.next = false;
            self.spare_valid.d.next = false;
        }
    }
}

/// [`Skid`] for a stream.
#[derive(LogicBlock, Default)]
pub struct StreamSkid {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties it.
    pub reset: Signal<In, Bit>,
    /// In.
    pub s: StreamRx<64, 8>,
    /// Out.
    pub m: StreamTx<64, 8>,
    skid: Skid<Beat>,
}

impl Logic for StreamSkid {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, skid);
        self.skid.reset.next = self.reset.val();
        self.skid.s.data.next.data = self.s.data.val();
        self.skid.s.data.next.keep = self.s.keep.val();
        self.skid.s.data.next.last = self.s.last.val();
        self.skid.s.data.next.error = self.s.error.val();
        self.skid.s.valid.next = self.s.valid.val();
        self.s.ready.next = self.skid.s.ready.val();
        self.m.data.next = self.skid.m.data.val().data;
        self.m.keep.next = self.skid.m.data.val().keep;
        self.m.last.next = self.skid.m.data.val().last;
        self.m.error.next = self.skid.m.data.val().error;
        self.m.valid.next = self.skid.m.valid.val();
        self.skid.m.ready.next = self.m.ready.val();
    }
}

/// [`Fifo`] for a stream.
#[derive(LogicBlock, Default)]
pub struct StreamFifo<const A: usize, const L: usize> {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Empties it.
    pub reset: Signal<In, Bit>,
    /// In.
    pub s: StreamRx<64, 8>,
    /// Out.
    pub m: StreamTx<64, 8>,
    /// Beats inside, 0 to `2^A`.
    pub level: Signal<Out, Bits<L>>,
    fifo: Fifo<Beat, A, L>,
}

impl<const A: usize, const L: usize> Logic for StreamFifo<A, L> {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, fifo);
        self.fifo.reset.next = self.reset.val();
        self.level.next = self.fifo.level.val();
        self.fifo.s.data.next.data = self.s.data.val();
        self.fifo.s.data.next.keep = self.s.keep.val();
        self.fifo.s.data.next.last = self.s.last.val();
        self.fifo.s.data.next.error = self.s.error.val();
        self.fifo.s.valid.next = self.s.valid.val();
        self.s.ready.next = self.fifo.s.ready.val();
        self.m.data.next = self.fifo.m.data.val().data;
        self.m.keep.next = self.fifo.m.data.val().keep;
        self.m.last.next = self.fifo.m.data.val().last;
        self.m.error.next = self.fifo.m.data.val().error;
        self.m.valid.next = self.fifo.m.valid.val();
        self.fifo.m.ready.next = self.m.ready.val();
    }
}
