//! SEGMENT: what the steps say, put together (steps 1 to 8 in their order), and the ACK decision (step 7).

#![allow(missing_docs, reason = "what the derives write has no comment")]

use super::acknowledge::AckField;
use super::reassembly::Placement;
use super::state::{FlowControl, FlowReceive};
use crate::types::LookedUp;
use rust_hdl::prelude::*;
use toe_contract::CHALLENGE_LOG2;

/// What is to be done with a segment.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Verdict {
    /// It goes up raw.
    pub raw: Bit,
    /// It is a TCP segment, but of no flow (or one that is gone).
    pub no_flow: Bit,
    /// It is a segment of an installed flow.
    pub own: Bit,
    /// Of those: without ACK flag.
    pub no_ack: Bit,
    /// Stopped by step 1.
    pub paws: Bit,
    /// Stopped by step 2.
    pub unacceptable: Bit,
    /// TS.Recent is set to TSval.
    pub moves_ts_recent: Bit,
    /// Stopped by step 4: acknowledges what was not sent.
    pub beyond: Bit,
    /// Stopped by step 4: too old.
    pub old: Bit,
    /// Payload and FIN are looked at.
    pub taken: Bit,
    /// Payload is placed.
    pub place: Bit,
    /// Out of order: it goes into a range.
    pub holds: Bit,
    /// RCV.NXT may move.
    pub moves: Bit,
    /// The FIN becomes known.
    pub fin_new: Bit,
    /// The FIN is received.
    pub fin_passed: Bit,
    /// SND.UNA moves.
    pub advances: Bit,
    /// A round-trip sample was taken.
    pub sample: Bit,
    /// TSecr is kept.
    pub keeps_ecr: Bit,
    /// A duplicate ACK is counted.
    pub duplicate: Bit,
    /// The send window is set.
    pub updates: Bit,
    /// The send window is the largest so far.
    pub widest: Bit,
    /// An ACK that is limited goes out now.
    pub challenge: Bit,
    /// An ACK, at once.
    pub urgent: Bit,
    /// An ACK, when the flow is not quiet any more.
    pub muted: Bit,
    /// An ACK, if no data goes out soon.
    pub owed: Bit,
    /// The delayed-ACK timer is to be armed.
    pub arms: Bit,
    /// There is something to tell.
    pub dirty: Bit,
    /// There may be something to send.
    pub wants_data: Bit,
}

/// Puts the verdict together. Inputs are right from cycle 8 on at the latest; the verdict is from cycle 9 on.
#[derive(LogicBlock)]
pub struct Decide {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// The operation is a SEGMENT; nothing is true if not.
    pub enabled: Signal<In, Bit>,
    /// The segment.
    pub looked_up: Signal<In, LookedUp>,
    /// Tick of this operation.
    pub now: Signal<In, Bits<32>>,
    /// The flow.
    pub control: Signal<In, FlowControl>,
    /// The flow.
    pub receive: Signal<In, FlowReceive>,
    /// The flow uses timestamps.
    pub timestamps: Signal<In, Bit>,
    /// Step 1 stops it.
    pub paws: Signal<In, Bit>,
    /// Step 2 lets it pass.
    pub acceptable: Signal<In, Bit>,
    /// Step 2: a window probe.
    pub probe: Signal<In, Bit>,
    /// Step 3.
    pub moves_ts_recent: Signal<In, Bit>,
    /// It has payload or FIN.
    pub occupies: Signal<In, Bit>,
    /// Step 4.
    pub field: Signal<In, AckField>,
    /// Steps 5 and 6.
    pub placement: Signal<In, Placement>,
    /// The verdict.
    pub verdict: Signal<Out, Verdict>,
    since_challenge: DFF<Bits<32>>,
    own: DFF<Bit>,
    flagged: DFF<Bit>,
    allowed: DFF<Bit>,
    go: Signal<Local, Bit>,
    paws_stops: DFF<Bit>,
    unacceptable: DFF<Bit>,
    fine: DFF<Bit>,
    ack_reached: DFF<Bit>,
    beyond: DFF<Bit>,
    old: DFF<Bit>,
    applies: DFF<Bit>,
    limited: DFF<Bit>,
    stops_urgent: DFF<Bit>,
    has_payload: DFF<Bit>,
    taken: Signal<Local, Bit>,
    moves: Signal<Local, Bit>,
    urgent: Signal<Local, Bit>,
    muted: Signal<Local, Bit>,
    ready: DFF<Verdict>,
    challenge_log2: Constant<Bits<5>>,
}

impl Default for Decide {
    fn default() -> Self {
        Self {
            clock: Signal::default(),
            enabled: Signal::default(),
            looked_up: Signal::default(),
            now: Signal::default(),
            control: Signal::default(),
            receive: Signal::default(),
            timestamps: Signal::default(),
            paws: Signal::default(),
            acceptable: Signal::default(),
            probe: Signal::default(),
            moves_ts_recent: Signal::default(),
            occupies: Signal::default(),
            field: Signal::default(),
            placement: Signal::default(),
            verdict: Signal::default(),
            since_challenge: DFF::default(),
            own: DFF::default(),
            flagged: DFF::default(),
            allowed: DFF::default(),
            go: Signal::default(),
            paws_stops: DFF::default(),
            unacceptable: DFF::default(),
            fine: DFF::default(),
            ack_reached: DFF::default(),
            beyond: DFF::default(),
            old: DFF::default(),
            applies: DFF::default(),
            limited: DFF::default(),
            stops_urgent: DFF::default(),
            has_payload: DFF::default(),
            taken: Signal::default(),
            moves: Signal::default(),
            urgent: Signal::default(),
            muted: Signal::default(),
            ready: DFF::default(),
            challenge_log2: Constant::new(bits(CHALLENGE_LOG2.into())),
        }
    }
}

impl Logic for Decide {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            since_challenge,
            own,
            flagged,
            allowed,
            paws_stops,
            unacceptable,
            fine,
            ack_reached,
            beyond,
            old,
            applies,
            limited,
            stops_urgent,
            has_payload,
            ready
        );
        // Cycle 3: whose is it? Control bits: FIN 0, SYN 1, RST 2, ACK 4, URG 5.
        self.since_challenge.d.next = self.now.val() - self.receive.val().challenge_at;
        self.own.d.next = self.enabled.val()
            & self.looked_up.val().parsed.fast
            & self.looked_up.val().hit
            & self.control.val().active
            & (self.looked_up.val().generation == self.control.val().generation);
        self.flagged.d.next =
            self.looked_up.val().parsed.control.get_bit(1) | self.looked_up.val().parsed.control.get_bit(2) | self.looked_up.val().parsed.control.get_bit(5);
        self.has_payload.d.next = self.looked_up.val().parsed.payload_length.any();
        // Cycle 4.
        self.allowed.d.next = !self.receive.val().challenge_valid | (self.since_challenge.q.val() >> self.challenge_log2.val()).any();
        // Cycle 6: steps 1 and 2.
        self.go.next = self.own.q.val() & !self.flagged.q.val() & self.looked_up.val().parsed.control.get_bit(4);
        self.paws_stops.d.next = self.go.val() & self.paws.val();
        self.unacceptable.d.next = self.go.val() & !self.paws.val() & !self.acceptable.val();
        self.fine.d.next = self.go.val() & !self.paws.val() & self.acceptable.val();
        self.ack_reached.d.next = self.go.val() & !self.paws.val() & (self.acceptable.val() | self.probe.val());
        // Cycle 7: step 4.
        self.beyond.d.next = self.ack_reached.q.val() & self.field.val().beyond;
        self.old.d.next = self.ack_reached.q.val() & self.field.val().old;
        self.applies.d.next = self.ack_reached.q.val() & !self.field.val().beyond & !self.field.val().old;
        self.limited.d.next =
            (self.ack_reached.q.val() & (self.field.val().beyond | self.field.val().old)) | (self.unacceptable.q.val() & !self.occupies.val());
        self.stops_urgent.d.next = self.paws_stops.q.val() | (self.unacceptable.q.val() & self.occupies.val());
        // Cycle 8: steps 5 to 8.
        self.taken.next = self.fine.q.val() & self.applies.q.val();
        self.moves.next = self.placement.val().place & self.placement.val().in_order;
        self.urgent.next = (self.placement.val().place & !self.placement.val().in_order)
            | self.placement.val().no_range
            | self.placement.val().duplicate
            | (self.placement.val().held & self.has_payload.q.val())
            | self.looked_up.val().parsed.control.get_bit(0)
            | (self.moves.val() & self.placement.val().narrow);
        self.muted.next = self.control.val().quiet & self.placement.val().place & !self.placement.val().in_order;
        self.ready.d.next.raw = self.enabled.val() & (!self.own.q.val() | self.flagged.q.val());
        self.ready.d.next.no_flow = self.enabled.val() & self.looked_up.val().parsed.fast & !self.own.q.val();
        self.ready.d.next.own = self.own.q.val();
        self.ready.d.next.no_ack = self.own.q.val() & !self.flagged.q.val() & !self.looked_up.val().parsed.control.get_bit(4);
        self.ready.d.next.paws = self.paws_stops.q.val();
        self.ready.d.next.unacceptable = self.unacceptable.q.val();
        self.ready.d.next.moves_ts_recent = self.fine.q.val() & self.moves_ts_recent.val();
        self.ready.d.next.beyond = self.beyond.q.val();
        self.ready.d.next.old = self.old.q.val();
        self.ready.d.next.taken = self.taken.val();
        self.ready.d.next.place = self.taken.val() & self.placement.val().place;
        self.ready.d.next.holds = self.taken.val() & self.placement.val().place & !self.placement.val().in_order;
        self.ready.d.next.moves = self.taken.val() & (self.moves.val() | self.placement.val().fin_passed);
        self.ready.d.next.fin_new = self.taken.val() & self.placement.val().fin_new;
        self.ready.d.next.fin_passed = self.taken.val() & self.placement.val().fin_passed;
        self.ready.d.next.advances = self.applies.q.val() & self.field.val().advances;
        self.ready.d.next.sample = self.applies.q.val() & self.field.val().advances & self.field.val().sample;
        self.ready.d.next.keeps_ecr = self.applies.q.val() & self.field.val().advances & self.looked_up.val().parsed.ts_present & self.timestamps.val();
        self.ready.d.next.duplicate = self.applies.q.val() & self.field.val().duplicate;
        self.ready.d.next.updates = self.applies.q.val() & self.field.val().updates;
        self.ready.d.next.widest = self.applies.q.val() & self.field.val().updates & self.field.val().widest;
        self.ready.d.next.challenge = self.limited.q.val() & self.allowed.q.val();
        self.ready.d.next.urgent =
            self.stops_urgent.q.val() | (self.limited.q.val() & self.allowed.q.val()) | (self.taken.val() & self.urgent.val() & !self.muted.val());
        self.ready.d.next.muted = self.taken.val() & self.muted.val();
        self.ready.d.next.owed = self.taken.val() & !self.urgent.val() & self.moves.val() & self.placement.val().many;
        self.ready.d.next.arms = self.taken.val() & !self.urgent.val() & self.moves.val() & !self.placement.val().many & !self.receive.val().delack_armed;
        self.ready.d.next.dirty = (self.applies.q.val()
            & (self.field.val().advances | (self.field.val().duplicate & self.field.val().third) | (self.field.val().updates & self.field.val().differs)))
            | (self.taken.val() & (self.moves.val() | self.placement.val().fin_passed));
        self.ready.d.next.wants_data = self.ack_reached.q.val() & self.field.val().pending;
        self.verdict.next = self.ready.q.val();
    }
}
