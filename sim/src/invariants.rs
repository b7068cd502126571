//! What must hold in every run, checked from outside.
//!
//! An [`Observer`] stands between an engine and its world. It sees frames, commands, events and accesses to memory, nothing inside, so it is the same
//! for every engine. What it cannot see at that very moment it bounds: a value is between what has surely been processed and what may have been.
//!
//! 1. No byte is written outside the rings, none of a receive ring beyond the window announced, and no more is announced than there is room for.
//! 2. RCV.NXT does not go back and does not pass a byte that was not placed; the right edge announced does not go back.
//! 3. Nothing of a frame with a bad FCS or checksum gets anywhere: every byte placed came in a good one.
//! 4. An ACK number names what has been received, and does not go back.
//! 5. Nothing is sent beyond SND.UNA + min(SND.WND, cwnd), but for what RESEND of one segment allows.
//! 6. SND.UNA <= SND.NXT <= SND.MAX <= the limit; no byte is fetched or sent that the host did not give, or that was acknowledged.
//! 7. Not more ranges are held than there are, and some exactly if bytes are out of order.
//! 8. The engine comes to rest (whoever runs it sees to that).

mod intervals;
mod watch;

use crate::root_complex::Access;
use std::collections::BTreeMap;
use std::ops::Range;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_wire::{parse_tcp_frame, TcpFlags, TcpFrame};
use watch::Watch;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invariant {invariant}: flow {flow}: {what}")]
pub struct Violation {
    /// Its number.
    pub invariant: u8,
    /// The flow; 0xffff if none.
    pub flow: u16,
    /// What was expected and what was found.
    pub what: String,
}

/// See the [module](self).
pub struct Observer {
    mac: [u8; 6],
    promiscuous: bool,
    /// Where the engine may write beside receive rings.
    writable: Vec<Range<u64>>,
    loaded: BTreeMap<u16, [Command; 4]>,
    watches: BTreeMap<u16, Watch>,
    raws: Vec<Vec<u8>>,
    violations: Vec<Violation>,
}

impl Observer {
    /// Watches an engine with that MAC address and these rings to write events and raw frames to.
    pub fn new(mac: [u8; 6], writable: Vec<Range<u64>>) -> Observer {
        Observer { mac, promiscuous: false, writable, loaded: BTreeMap::new(), watches: BTreeMap::new(), raws: Vec::new(), violations: Vec::new() }
    }

    /// Takes what was found since the last call.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// Frames to every address are taken, or not any more.
    pub fn set_promiscuous(&mut self, on: bool) {
        self.promiscuous = on;
    }

    /// A frame that the host sends by itself, as it will be on the wire.
    pub fn raw(&mut self, frame: &[u8]) {
        self.raws.push(frame.to_vec());
    }

    /// A command goes into the ring.
    pub fn command(&mut self, c: &Command) {
        let (n, Some(opcode)) = (c.flow(), c.opcode()) else { return };
        match opcode {
            Opcode::Address | Opcode::Rings | Opcode::Receive | Opcode::Install => {
                let parts = self.loaded.entry(n).or_default();
                parts[opcode as usize - Opcode::Address as usize] = *c;
                if opcode == Opcode::Install {
                    let watch = Watch::new(parts);
                    if let Some(active) = self.watches.get_mut(&n) {
                        active.refuse_install();
                    } else if !self.watches.values().any(|w| w.same_tuple(&watch)) {
                        self.watches.insert(n, watch);
                    }
                }
            }
            _ => {
                if let Some(watch) = self.watches.get_mut(&n) {
                    watch.command(c, opcode);
                }
            }
        }
    }

    /// A frame goes to the engine, from the wire or injected.
    pub fn frame_in(&mut self, frame: &[u8], fcs_ok: bool) {
        let Some(tcp) = fcs_ok.then(|| parse_tcp_frame(frame).ok()).flatten() else { return };
        let ours = self.promiscuous || tcp.eth.dst.0 == self.mac || tcp.eth.dst.0 == [0xff; 6];
        let flags = tcp.tcp.flags;
        if !ours || !flags.ack() || flags.intersects(TcpFlags::SYN | TcpFlags::RST | TcpFlags::URG) {
            return;
        }
        if let Some(watch) = self.watches.values_mut().find(|w| w.is_peer(&tcp)) {
            watch.frame_in(&tcp.tcp);
        }
    }

    /// A frame came from the engine.
    pub fn frame_out(&mut self, frame: &[u8]) {
        if let Some(i) = self.raws.iter().position(|raw| frame.starts_with(raw)) {
            self.raws.swap_remove(i);
            return;
        }
        let Ok(tcp) = parse_tcp_frame(frame) else { return };
        let Some((&n, watch)) = self.watches.iter_mut().find(|(_, w)| w.is_own(&tcp)) else { return };
        let mut found = Vec::new();
        watch.frame_out(&tcp.tcp, &mut found);
        self.keep(n, found);
    }

    /// What the engine did to memory.
    pub fn accesses(&mut self, accesses: &[Access]) {
        for access in accesses {
            let mut found = Vec::new();
            let range = access.iova..access.iova.wrapping_add(access.length);
            let inside = |r: &Range<u64>| r.start <= range.start && range.end <= r.end;
            let flow = self.watches.iter_mut().find(|(_, w)| inside(&w.ring(access.write)));
            match flow {
                Some((_, watch)) if access.write => watch.placed(&range, &mut found),
                Some((_, watch)) => watch.fetched(&range, &mut found),
                None if access.write && !self.writable.iter().any(inside) => {
                    found.push((1, format!("expected a write to a ring, found one to {:#x}..{:#x}", range.start, range.end)));
                }
                None => {}
            }
            let n = self.watches.iter().find(|(_, w)| inside(&w.ring(access.write))).map_or(toe_contract::NO_FLOW, |f| *f.0);
            self.keep(n, found);
        }
    }

    /// An event was taken.
    pub fn event(&mut self, event: &Event) {
        let n = u16::try_from(event.get(event::FLOW)).unwrap_or(toe_contract::NO_FLOW);
        let kind = Kind::from_u8(event.get(event::KIND).to_le_bytes()[0]);
        let Some(watch) = self.watches.get_mut(&n) else { return };
        let mut found = Vec::new();
        match kind {
            Some(Kind::BadCommand) => {
                let opcode = event.get(event::COMMAND).to_le_bytes()[0];
                if opcode == Opcode::Install as u8 && !watch.expects_refusal() {
                    self.watches.remove(&n);
                }
            }
            Some(Kind::Flow) => watch.event(event, &mut found),
            Some(Kind::Removed) => {
                watch.event(event, &mut found);
                self.watches.remove(&n);
            }
            None => {}
        }
        self.keep(n, found);
    }

    /// The engine is at rest, and all it sent has been seen.
    pub fn at_rest(&mut self) {
        let mut all = Vec::new();
        for (n, watch) in &mut self.watches {
            let mut found = Vec::new();
            watch.at_rest(&mut found);
            all.push((*n, found));
        }
        all.into_iter().for_each(|(n, found)| self.keep(n, found));
    }

    fn keep(&mut self, flow: u16, found: Vec<(u8, String)>) {
        self.violations.extend(found.into_iter().map(|(invariant, what)| Violation { invariant, flow, what }));
    }
}

/// A piece of a command that fits 32 bits.
fn word(c: &Command, piece: command::Piece) -> u32 {
    u32::try_from(c.get(piece)).unwrap_or(u32::MAX)
}

/// Local and remote address and port.
fn tuple(frame: &TcpFrame<'_>, own: bool) -> (u32, u32, u16, u16) {
    let (src, dst) = (u32::from(frame.ip.src), u32::from(frame.ip.dst));
    let (from, to) = (frame.tcp.src_port, frame.tcp.dst_port);
    if own {
        (src, dst, from, to)
    } else {
        (dst, src, to, from)
    }
}
