//! TCP as RFC 9293 describes it, pure: no device, no clock, no sockets in here.
//!
//! The heart is [`step`]: a control block, an event and the time give the next control block and what is to be done.
//! Everything else is a part of it ([`timer`], [`congestion`]) or stands beside it ([`time_wait`], [`isn`], [`ports`]).
//!
//! ```text
//!              application   segments in software   reports of the engine   timers
//!                        \         |                      |               /
//!                         +--------+------ Event ---------+--------------+
//!                                          |
//!                    ControlBlock ----> step() ----> ControlBlock
//!                                          |
//!                                       Actions
//!                         +----------------+------------------------+
//!                     Transmit      Install, Engine(..)        Fail, TimeWait, Delete
//!                  (a segment made   (commands to the flow)    (the socket's side)
//!                    in software)
//! ```

pub mod action;
mod application;
pub mod congestion;
pub mod control_block;
pub mod event;
pub mod isn;
pub mod options;
pub mod ports;
mod report;
mod segment;
pub mod settings;
pub mod state;
pub mod table;
pub mod time_wait;
mod timeout;
pub mod timer;
pub mod tuple;

pub use action::{Action, Actions, EngineCommand, Failure, Outgoing};
pub use control_block::{ControlBlock, Leaving, Path};
pub use event::{Event, Report, Segment, Snapshot, Unreachable};
pub use segment::reset_for;
pub use settings::Settings;
pub use state::State;
pub use table::step;
pub use tuple::FourTuple;
