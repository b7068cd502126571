//! Gates in a stream that open and close between frames only.

use crate::stream::{StreamRx, StreamTx};
use rust_hdl::prelude::*;

/// A gate: a frame whose first beat finds it closed waits (`DROP` is 0) or is thrown away (1); a frame that has begun is not stopped.
///
/// No delay: `open` is looked at in the cycle of the first beat.
#[derive(LogicBlock)]
pub struct Gate<const DROP: usize> {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset.
    pub reset: Signal<In, Bit>,
    /// Frames may begin.
    pub open: Signal<In, Bit>,
    /// In.
    pub s: StreamRx<64, 8>,
    /// Out.
    pub m: StreamTx<64, 8>,
    /// A frame has begun and not ended.
    pub begun: Signal<Out, Bit>,
    within: DFF<Bit>,
    dropping: DFF<Bit>,
    pass: Signal<Local, Bit>,
    drop: Signal<Local, Bit>,
    moved: Signal<Local, Bit>,
    throws: Constant<Bit>,
}

/// Closed, it holds frames back.
pub type HoldGate = Gate<0>;
/// Closed, it throws frames away.
pub type DropGate = Gate<1>;

impl<const DROP: usize> Default for Gate<DROP> {
    fn default() -> Self {
        Self {
            clock: Signal::default(),
            reset: Signal::default(),
            open: Signal::default(),
            s: StreamRx::default(),
            m: StreamTx::default(),
            begun: Signal::default(),
            within: DFF::default(),
            dropping: DFF::default(),
            pass: Signal::default(),
            drop: Signal::default(),
            moved: Signal::default(),
            throws: Constant::new(DROP == 1),
        }
    }
}

impl<const DROP: usize> Logic for Gate<DROP> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, within, dropping);
        self.drop.next = self.dropping.q.val();
        self.pass.next = !self.dropping.q.val();
        if !self.within.q.val() {
            self.pass.next = self.open.val();
            self.drop.next = !self.open.val() & self.throws.val();
        }
        self.m.data.next = self.s.data.val();
        self.m.keep.next = self.s.keep.val();
        self.m.last.next = self.s.last.val();
        self.m.error.next = self.s.error.val();
        self.m.valid.next = self.s.valid.val() & self.pass.val();
        self.s.ready.next = (self.m.ready.val() & self.pass.val()) | self.drop.val();
        self.moved.next = self.s.valid.val() & ((self.m.ready.val() & self.pass.val()) | self.drop.val());
        // A frame that has been offered has begun: an offer is not taken back.
        if self.s.valid.val() & (self.pass.val() | self.drop.val()) {
            self.within.d.next = true;
            self.dropping.d.next = self.drop.val();
        }
        if self.moved.val() & self.s.last.val() {
            self.within.d.next = false;
            self.dropping.d.next = false;
        }
        self.begun.next = self.within.q.val();
        if self.reset.val() {
            self.within.d.next = false;
            self.dropping.d.next = false;
        }
    }
}
