//! An engine that is not what it should be.

use toe_sim::engine::{Begun, Engine};
use toe_sim::model::Model;
use toe_sim::root_complex::RootComplex;
use toe_sim::time::Nanoseconds;
use toe_wire::{build_tcp_frame, parse_tcp_frame, TcpSegment};

/// The model, but for what it does to frames it sends and to memory after it has worked.
pub(crate) struct Liar {
    model: Model,
    /// What becomes of a segment.
    pub(crate) change: fn(&mut TcpSegment<'_>),
    /// What becomes of memory.
    pub(crate) spoil: fn(&mut RootComplex),
}

impl Liar {
    pub(crate) fn new(change: fn(&mut TcpSegment<'_>)) -> Liar {
        Liar { model: Model::default(), change, spoil: |_| {} }
    }
}

impl Engine for Liar {
    fn register_read(&mut self, offset: u32, host: &mut RootComplex) -> u32 {
        self.model.register_read(offset, host)
    }
    fn register_write(&mut self, offset: u32, value: u32, host: &mut RootComplex) {
        self.model.register_write(offset, value, host);
    }
    fn receive(&mut self, frame: &[u8], fcs_ok: bool) {
        self.model.receive(frame, fcs_ok);
    }
    fn backlog(&self) -> usize {
        self.model.backlog()
    }
    fn transmit(&mut self) -> Option<Vec<u8>> {
        let frame = self.model.transmit()?;
        let Ok(mut tcp) = parse_tcp_frame(&frame) else { return Some(frame) };
        (self.change)(&mut tcp.tcp);
        let mut changed = build_tcp_frame(&tcp.eth, &tcp.ip, &tcp.tcp).expect("short");
        changed.resize(frame.len(), 0);
        Some(changed)
    }
    fn advance(&mut self, now: Nanoseconds, cycles: u64, host: &mut RootComplex) {
        let busy = self.model.busy();
        self.model.advance(now, cycles, host);
        if busy {
            (self.spoil)(host);
        }
    }
    fn busy(&self) -> bool {
        self.model.busy()
    }
    fn next_deadline(&self) -> Option<Nanoseconds> {
        self.model.next_deadline()
    }
    fn cycles(&self) -> u64 {
        self.model.cycles()
    }
    fn take_operations(&mut self) -> Vec<Begun> {
        self.model.take_operations()
    }
}
