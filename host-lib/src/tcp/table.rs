//! The state x event table.
//!
//! Rows are states, columns are events; each handler named here is one column (RFC 9293 section 3.10 is ordered the same way), and
//! looks at the state. Every cell is in the snapshot `tests/snapshots/table__cells.snap`, and the graph in `docs/tcp-states.md` is
//! drawn by running them.

use super::{Actions, ControlBlock, Event};
use crate::time::Nanoseconds;

/// What an event does to a connection: the control block after it, and what is to be done. A pure function.
pub fn step(mut block: ControlBlock, event: Event, now: Nanoseconds) -> (ControlBlock, Actions) {
    let mut actions = Actions::new();
    let a = &mut actions;
    match event {
        // RFC 9293 section 3.10.1
        Event::Connect => block.on_connect(now, a),
        Event::Listen => block.on_listen(a),
        // RFC 9293 section 3.10.2
        Event::Queued(to) => block.on_queued(to, now, a),
        Event::NoDelay(on) => block.on_nodelay(on, now, a),
        // RFC 9293 section 3.10.3
        Event::Consumed(to) => block.on_consumed(to, a),
        // RFC 9293 section 3.10.4
        Event::ShutdownWrite => block.on_shutdown_write(now, a),
        Event::Close { unread } => block.on_close(unread, now, a),
        // RFC 9293 section 3.10.5
        Event::Abort => block.on_abort(now, a),
        // RFC 9293 section 3.10.7
        Event::Segment(segment) => block.on_segment(&segment, now, a),
        Event::Report(report) => block.on_report(&report, now, a),
        Event::Removed(report) => block.on_removed(&report, now, a),
        Event::InstallRefused => block.on_install_refused(now, a),
        // RFC 9293 section 3.10.8
        Event::RetransmitTimeout => block.on_retransmit_timeout(now, a),
        Event::StateTimeout => block.on_state_timeout(a),
        // RFC 9293 section 3.9.2.2
        Event::Unreachable(kind) => block.on_unreachable(kind, a),
    }
    (block, actions)
}
