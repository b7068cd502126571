//! Raw frames: what the engine writes into a slot of the raw ring. A header in the layout of an [`Event`](crate::event::Event) (64 bytes), then the
//! frame without FCS. The header is written after the frame.
//!
//! Of the event's fields, a header has `flags`, `flow` ([`NO_FLOW`](crate::NO_FLOW) if none), the snapshot `rcv_nxt`, `rcv_adv`, `snd_una`, `snd_nxt`, `snd_max`,
//! `snd_wnd`, `ts_recent`, `ranges`, `last_ack_sent` (zero if no flow), `phase` and `submission_consumed`; `kind` is a [`Reason`], and `command` is the frame's length.

/// Bytes of the header in front of a frame.
pub const HEADER: usize = crate::event::SIZE;

/// Why a frame came up raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Not TCP over IPv4, or a fragment, or an unusual header.
    Other = 1,
    /// A good TCP segment of no installed flow.
    NoFlow = 2,
    /// SYN, RST or URG on an installed flow.
    Flagged = 3,
}

impl Reason {
    /// The reason with that number.
    pub fn from_u8(number: u8) -> Option<Reason> {
        [Reason::Other, Reason::NoFlow, Reason::Flagged].into_iter().find(|r| *r as u8 == number)
    }
}
