//! What a device says of a flow, held against what the host has told it: a device that lies is not believed.
//!
//! Only what no peer can bring about is refused. A peer's segments move a flow's values within the window and what was handed over to be sent;
//! whoever is outside of that is the device. `TS.Recent`, `TSecr` and the duplicate ACKs are a peer's, and may be anything.
//!
//! ```text
//!   consumed <= rcv_nxt before <= rcv_nxt <= rcv_adv <= consumed + ring       rcv_adv before <= rcv_adv
//!   snd_una before <= snd_una <= snd_nxt <= snd_max <= limit (+ FIN)          snd_max before <= snd_max
//! ```

use toe_driver::{FlowReport, NicError};
use toe_wire::SeqNumber;

use crate::tcp::{ControlBlock, Path};
use crate::time::Nanoseconds;

/// How far the clocks of host and device may have drifted apart, between two looks, at the most.
const DRIFT: Nanoseconds = Nanoseconds::from_secs(60);

fn lie<T>(what: &'static str, expected: impl Into<String>, found: u32) -> Result<T, NicError> {
    Err(NicError::Device { what, expected: expected.into(), found })
}

fn ensure(holds: bool, what: &'static str, expected: impl FnOnce() -> String, found: u32) -> Result<(), NicError> {
    if holds {
        Ok(())
    } else {
        lie(what, expected(), found)
    }
}

/// A report of a flow of that connection, which is `age` old.
pub(super) fn report(block: &ControlBlock, flow: &FlowReport, age: Nanoseconds) -> Result<(), NicError> {
    ensure(block.path != Path::Software, "flow of a report", || "an installed one".into(), flow.flow.into())?;
    received(block, flow)?;
    sent(block, flow)?;
    let most = 65535 << block.snd_wscale;
    ensure(flow.snd_wnd <= most, "snd_wnd", || format!("{most} at most"), flow.snd_wnd)?;
    let timed = flow.rtt_count != block.rtt_count;
    ensure(!timed || flow.rtt <= age + DRIFT, "rtt", || format!("{age} at most"), u32::try_from(flow.rtt.0 >> 10).unwrap_or(u32::MAX))
}

fn received(block: &ControlBlock, flow: &FlowReport) -> Result<(), NicError> {
    let size = block.settings.receive_size();
    let at = |seq: SeqNumber| seq.offset_from(block.consumed);
    let (nxt, adv) = (at(SeqNumber(flow.rcv_nxt)), at(SeqNumber(flow.rcv_adv)));
    let within = |low: SeqNumber, high: SeqNumber| move || format!("{low} to {high}");
    ensure((at(block.rcv_adv)..=size).contains(&adv), "rcv_adv", within(block.rcv_adv, block.consumed + size), flow.rcv_adv)?;
    ensure((at(block.rcv_nxt)..=adv).contains(&nxt), "rcv_nxt", within(block.rcv_nxt, SeqNumber(flow.rcv_adv)), flow.rcv_nxt)?;
    let moved = nxt - at(block.rcv_nxt);
    let fin = match (block.fin_received, flow.fin_received) {
        (true, now) => now && moved == 0,
        (false, now) => !now || moved > 0,
    };
    ensure(fin, "flag FIN_RECEIVED", || format!("one FIN, and nothing behind it; rcv_nxt was {}", block.rcv_nxt), flow.rcv_nxt)?;
    let unacknowledged = flow.rcv_nxt.wrapping_sub(flow.last_ack_sent);
    ensure(unacknowledged <= size, "last_ack_sent", || format!("{} at most", flow.rcv_nxt), flow.last_ack_sent)
}

fn sent(block: &ControlBlock, flow: &FlowReport) -> Result<(), NicError> {
    let at = |seq: SeqNumber| seq.offset_from(block.snd_una);
    let (una, nxt, max) = (at(SeqNumber(flow.snd_una)), at(SeqNumber(flow.snd_nxt)), at(SeqNumber(flow.snd_max)));
    let within = |low: SeqNumber, high: SeqNumber| move || format!("{low} to {high}");
    ensure((at(block.snd_max)..=at(block.send_end())).contains(&max), "snd_max", within(block.snd_max, block.send_end()), flow.snd_max)?;
    ensure(una <= max, "snd_una", within(block.snd_una, SeqNumber(flow.snd_max)), flow.snd_una)?;
    ensure((una..=max).contains(&nxt), "snd_nxt", within(SeqNumber(flow.snd_una), SeqNumber(flow.snd_max)), flow.snd_nxt)?;
    ensure(!flow.fin_queued || block.fin_offered, "flag FIN_QUEUED", || "no FIN, as none was queued".into(), 1)
}

/// The last report of a flow.
pub(super) fn removal(block: &ControlBlock, flow: &FlowReport, age: Nanoseconds) -> Result<(), NicError> {
    ensure(matches!(block.path, Path::Leaving(_)), "flow removed", || "one that is to be removed".into(), flow.flow.into())?;
    report(block, flow, age)
}

/// A flow's values when a frame of it came. It may have waited while later reports were taken: then nothing in it is later than what they said.
pub(super) fn snapshot(block: &ControlBlock, flow: &FlowReport) -> Result<(), NicError> {
    let old = [(flow.rcv_nxt, block.rcv_nxt), (flow.rcv_adv, block.rcv_adv), (flow.snd_una, block.snd_una), (flow.snd_max, block.snd_max)];
    if old.iter().all(|(then, now)| SeqNumber(*then).le(*now)) {
        return Ok(());
    }
    report(block, &FlowReport { rtt_count: block.rtt_count, ..*flow }, Nanoseconds::ZERO)
}
