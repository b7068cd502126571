//! What every engine is to the simulated world: registers on one side, a wire on the other, memory behind.

use crate::invariants::Violation;
use crate::root_complex::RootComplex;
use crate::time::Nanoseconds;

/// The classes of operations of the flow core (docs/engine.md, "One operation at a time"), in the order of their priority; the RTL counts them from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The header of a planned segment, or the end of a removal.
    Seal,
    /// A segment or a raw frame.
    Segment,
    /// A pure ACK.
    Ack,
    /// A look at the delayed ACK that is due first.
    Timer,
    /// An event.
    Report,
    /// The next segment of a flow.
    Plan,
    /// A command.
    Command,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 7] =
        [Operation::Seal, Operation::Segment, Operation::Ack, Operation::Timer, Operation::Report, Operation::Plan, Operation::Command];
}

/// An operation that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its class.
    pub operation: Operation,
    /// Its flow, if it had one.
    pub flow: u16,
}

/// An engine behind the registers and rings of `toe-contract`: the Verilated RTL, or the untimed model.
///
/// All methods return without waiting for anything outside. A caller that finds the engine not [`busy`](Engine::busy) may
/// let time jump to [`next_deadline`](Engine::next_deadline), or to the next frame or register access.
pub trait Engine: Send {
    /// Reads a register at a byte offset of BAR 0. It may take cycles, in which the engine goes on working with `host`. As a completion on PCI
    /// Express does, the answer pushes what the engine wrote before it into memory.
    fn register_read(&mut self, offset: u32, host: &mut RootComplex) -> u32;

    /// Writes a register. Posted: takes effect before any later access, at the latest in the next [`advance`](Engine::advance).
    fn register_write(&mut self, offset: u32, value: u32, host: &mut RootComplex);

    /// A frame comes from the wire, without its FCS (and padded, if it should not be a runt). It waits behind the frames given before.
    fn receive(&mut self, frame: &[u8], fcs_ok: bool);

    /// Frames given to [`receive`](Engine::receive) that the engine has not begun to take.
    fn backlog(&self) -> usize;

    /// The next frame that has been sent to the wire, padded, without its FCS.
    fn transmit(&mut self) -> Option<Vec<u8>>;

    /// Works for at most `cycles` clock cycles, less if it becomes idle, all at the time `now` (which never goes back).
    fn advance(&mut self, now: Nanoseconds, cycles: u64, host: &mut RootComplex);

    /// There is something to do before any deadline.
    fn busy(&self) -> bool;

    /// When the engine will have something to do though nothing happens outside.
    fn next_deadline(&self) -> Option<Nanoseconds>;

    /// Clock cycles since the start; operations, in the model.
    fn cycles(&self) -> u64;

    /// Takes the operations done since the last call; the first call begins the record. An engine that keeps none gives none.
    fn take_operations(&mut self) -> Vec<Begun> {
        Vec::new()
    }

    /// Takes the violations of invariants found since the last call, if the engine is [watched](crate::invariants::Watched).
    fn take_violations(&mut self) -> Vec<Violation> {
        Vec::new()
    }
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    fn register_read(&mut self, offset: u32, host: &mut RootComplex) -> u32 {
        (**self).register_read(offset, host)
    }
    fn register_write(&mut self, offset: u32, value: u32, host: &mut RootComplex) {
        (**self).register_write(offset, value, host);
    }
    fn receive(&mut self, frame: &[u8], fcs_ok: bool) {
        (**self).receive(frame, fcs_ok);
    }
    fn backlog(&self) -> usize {
        (**self).backlog()
    }
    fn transmit(&mut self) -> Option<Vec<u8>> {
        (**self).transmit()
    }
    fn advance(&mut self, now: Nanoseconds, cycles: u64, host: &mut RootComplex) {
        (**self).advance(now, cycles, host);
    }
    fn busy(&self) -> bool {
        (**self).busy()
    }
    fn next_deadline(&self) -> Option<Nanoseconds> {
        (**self).next_deadline()
    }
    fn cycles(&self) -> u64 {
        (**self).cycles()
    }
    fn take_operations(&mut self) -> Vec<Begun> {
        (**self).take_operations()
    }
    fn take_violations(&mut self) -> Vec<Violation> {
        (**self).take_violations()
    }
}
