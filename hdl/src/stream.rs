//! The stream between modules: a frame, eight bytes a cycle, with `valid`/`ready` flow control.
//!
//! ```text
//! clock   __/--\__/--\__/--\__/--\__/--\__/--\__
//! data    --<  A  ><  B        ><  C  >---------
//! valid   __/-----------------------\__________
//! ready   --------\_____/----------------------
//! last    _______________________/-\___________      A, B and C move; B waits one cycle
//! ```
//!
//! - Byte 0 of a frame is in `data[7:0]` of its first beat.
//! - `keep` has a bit for each byte, contiguous from bit 0, all ones but in the last beat.
//! - `error` is meaningful with `last`: the whole frame is to be thrown away.
//! - `valid` does not depend on `ready`; once high it stays, with everything beside it, until `ready`.
//!
//! Connect a port of a parent to one of its child with `StreamRx::<64, 8>::link(&mut self.s, &mut
//! self.child.s)`, and two children with `StreamTx::<64, 8>::join(&mut self.a.m, &mut self.b.s)`.

#![allow(missing_docs, reason = "what the derives write has no comment")]

use rust_hdl::prelude::*;

/// The side of a stream that sends: `W` data bits, `K = W / 8` byte enables.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "StreamRx"]
pub struct StreamTx<const W: usize, const K: usize> {
    /// Data of this beat, the first byte lowest.
    pub data: Signal<Out, Bits<W>>,
    /// Which bytes of `data` count: contiguous from bit 0.
    pub keep: Signal<Out, Bits<K>>,
    /// This beat ends the frame.
    pub last: Signal<Out, Bit>,
    /// With `last`: the frame is to be thrown away.
    pub error: Signal<Out, Bit>,
    /// A beat is offered.
    pub valid: Signal<Out, Bit>,
    /// The beat offered is taken at this clock edge.
    pub ready: Signal<In, Bit>,
}

/// The side of a stream that receives: [`StreamTx`] with every direction turned round.
#[derive(Clone, Debug, LogicInterface, Default)]
#[join = "StreamTx"]
pub struct StreamRx<const W: usize, const K: usize> {
    /// Data of this beat, the first byte lowest.
    pub data: Signal<In, Bits<W>>,
    /// Which bytes of `data` count: contiguous from bit 0.
    pub keep: Signal<In, Bits<K>>,
    /// This beat ends the frame.
    pub last: Signal<In, Bit>,
    /// With `last`: the frame is to be thrown away.
    pub error: Signal<In, Bit>,
    /// A beat is offered.
    pub valid: Signal<In, Bit>,
    /// The beat offered is taken at this clock edge.
    pub ready: Signal<Out, Bit>,
}

/// A beat of a stream of eight bytes as one word, for a queue or a register.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Beat {
    /// Data, the first byte lowest.
    pub data: Bits<64>,
    /// Which bytes count.
    pub keep: Bits<8>,
    /// The frame ends.
    pub last: Bit,
    /// The frame is to be thrown away.
    pub error: Bit,
}
