//! From the handshake in software to the engine: what a peer sent in the meantime goes back first.
//!
//! A peer sends data right behind its ACK of our SYN. Segments that come before the flow is installed go up as raw frames and are injected; those
//! behind them find the flow, and are placed beyond a hole that nobody has lost. So a connection that was accepted is installed quiet
//! (`docs/engine.md`, "COMMAND"): no duplicate ACK speaks of that hole. It is quiet until the engine has taken everything that was injected.

use toe_contract::command::{self, Command, Opcode};
use toe_driver::NicError;

use super::connections::ConnectionId;
use super::Stack;
use crate::tcp::{Path, Segment};

impl Stack {
    /// A segment goes back to the engine: a quiet flow waits for it, if it goes on where the last one ended.
    pub(super) fn await_injected(&mut self, id: ConnectionId, segment: &Segment) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let end = segment.seq + segment.seg_len();
        if connection.quiet.is_some_and(|awaited| segment.seq.le(awaited) && awaited.lt(end)) {
            connection.quiet = Some(end);
        }
    }

    /// A report of a quiet flow has come. It is armed again when all raw frames before that report have been seen.
    pub(super) fn put_off_rearming(&mut self, id: ConnectionId) {
        if !self.quiet.contains(&id) {
            self.quiet.push(id);
        }
    }

    /// The rings are empty: arms the flows that were put off, which are not quiet any more if they have caught up.
    pub(super) fn rearm_quiet(&mut self) -> Result<(), NicError> {
        for id in std::mem::take(&mut self.quiet) {
            let Some(connection) = self.connections.get_mut(id).filter(|connection| connection.block.path == Path::Engine) else { continue };
            connection.quiet = connection.quiet.filter(|awaited| connection.block.rcv_nxt.lt(*awaited));
            let flags = command::REARM | if connection.quiet.is_some() { command::QUIET } else { 0 };
            if let Some(flow) = connection.flow {
                self.nic.submit(Command::new(Opcode::Rearm, flow, flags))?;
            }
        }
        Ok(())
    }
}
