//! Who watches all flows of an engine.

use super::watch::Watch;
use super::Violation;
use crate::root_complex::Access;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use toe_contract::command::{Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_wire::{parse_tcp_frame, TcpFlags};

/// Bytes of the shortest frame on a wire.
const SHORTEST: usize = 60;
/// Frames sent by the host that may still come out, at most.
const MOST_RAWS: usize = 1024;
/// Frames that an engine holds before it looks for their flow, at most.
const MOST_EARLY: usize = 1024;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Observer {
    mac: [u8; 6],
    promiscuous: bool,
    multicast: bool,
    /// Where the engine may write beside receive rings.
    writable: Vec<Range<u64>>,
    /// Where it may end what was under way when it was reset.
    draining: Vec<Range<u64>>,
    loaded: BTreeMap<u16, [Command; 4]>,
    watches: BTreeMap<u16, Watch>,
    /// Segments of no flow, which the engine may still hold when their flow is installed.
    early: VecDeque<Vec<u8>>,
    raws: VecDeque<Vec<u8>>,
    violations: Vec<Violation>,
}

impl Observer {
    /// The engine's own address.
    pub(super) fn set_mac(&mut self, mac: [u8; 6]) {
        self.mac = mac;
    }

    /// The engine is being reset: nothing is installed any more, but what is on its way to memory may still get there.
    pub(super) fn reset(&mut self) {
        let mut draining = std::mem::take(&mut self.draining);
        draining.append(&mut self.writable);
        draining.extend(self.watches.values().map(|watch| watch.ring(true)));
        let violations = std::mem::take(&mut self.violations);
        *self = Observer { draining, violations, ..Observer::default() };
    }

    /// The host uses the engine again, so the last reset is done.
    pub(super) fn restart(&mut self) {
        self.draining.clear();
    }

    /// Where events and raw frames are written.
    pub(super) fn set_writable(&mut self, writable: Vec<Range<u64>>) {
        self.writable = writable;
    }

    /// Takes what was found since the last call.
    pub(super) fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// Frames to every address, and to every group, are taken, or not any more.
    pub(super) fn set_filter(&mut self, promiscuous: bool, multicast: bool) {
        (self.promiscuous, self.multicast) = (promiscuous, multicast);
    }

    /// A frame that the host sends by itself, as it will be on the wire.
    pub(super) fn raw(&mut self, frame: Vec<u8>) {
        self.raws.truncate(MOST_RAWS);
        self.raws.push_front(frame);
    }

    /// A command goes into the ring.
    pub(super) fn command(&mut self, c: &Command) {
        let (n, Some(opcode)) = (c.flow(), c.opcode()) else { return };
        match opcode {
            Opcode::Address | Opcode::Rings | Opcode::Receive | Opcode::Install => {
                let parts = self.loaded.entry(n).or_default();
                parts[opcode as usize - Opcode::Address as usize] = *c;
                if opcode == Opcode::Install {
                    let mut watch = Watch::new(parts);
                    let early = self.early.iter().filter_map(|frame| parse_tcp_frame(frame).ok());
                    early.filter(|tcp| watch.is_peer(tcp)).collect::<Vec<_>>().iter().for_each(|tcp| watch.frame_in(&tcp.tcp));
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
    pub(super) fn frame_in(&mut self, frame: &[u8], fcs_ok: bool, injected: bool) {
        let Some(tcp) = fcs_ok.then(|| parse_tcp_frame(frame).ok()).flatten() else { return };
        let to = tcp.eth.dst.0;
        let group = self.multicast && to[0] & 1 == 1;
        let ours = injected || self.promiscuous || group || to == self.mac || to == [0xff; 6];
        let flags = tcp.tcp.flags;
        if !ours || !flags.ack() || flags.intersects(TcpFlags::SYN | TcpFlags::RST | TcpFlags::URG) {
            return;
        }
        match self.watches.values_mut().find(|w| w.is_peer(&tcp)) {
            Some(watch) => watch.frame_in(&tcp.tcp),
            None => {
                self.early.truncate(MOST_EARLY);
                self.early.push_front(frame.to_vec());
            }
        }
    }

    /// A frame came from the engine.
    pub(super) fn frame_out(&mut self, frame: &[u8]) {
        if let Some(i) = self.raws.iter().position(|raw| frame.len() == raw.len().max(SHORTEST) && frame.starts_with(raw)) {
            self.raws.remove(i);
            return;
        }
        let Ok(tcp) = parse_tcp_frame(frame) else { return };
        let Some((&n, watch)) = self.watches.iter_mut().find(|(_, w)| w.is_own(&tcp)) else { return };
        let mut found = Vec::new();
        watch.frame_out(&tcp.tcp, &mut found);
        self.keep(n, found);
    }

    /// What the engine did to memory.
    pub(super) fn accesses(&mut self, accesses: &[Access]) {
        for access in accesses {
            let mut found = Vec::new();
            let range = access.iova..access.iova.wrapping_add(access.length);
            let inside = |r: &Range<u64>| r.start <= range.start && range.end <= r.end;
            let flow = self.watches.iter_mut().find(|(_, w)| inside(&w.ring(access.write)));
            match flow {
                Some((_, watch)) if access.write => watch.placed(&range, &mut found),
                Some((_, watch)) => watch.fetched(&range, &mut found),
                None if access.write && !self.writable.iter().chain(&self.draining).any(inside) => {
                    found.push((1, format!("expected a write to a ring, found one to {:#x}..{:#x}", range.start, range.end)));
                }
                None => {}
            }
            let n = self.watches.iter().find(|(_, w)| inside(&w.ring(access.write))).map_or(toe_contract::NO_FLOW, |f| *f.0);
            self.keep(n, found);
        }
    }

    /// An event was taken.
    pub(super) fn event(&mut self, event: &Event) {
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
    pub(super) fn at_rest(&mut self) {
        self.early.clear();
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
