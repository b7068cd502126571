//! The flow core in Verilator, followed operation by operation by the reference.
//!
//! The core shows which operation begins in a cycle; the reference then does the same operation on the same input, and everything that comes out
//! afterwards must be what the reference put out, channel by channel, in order. So back-pressure may change the order of operations, but
//! not what an operation does. That the order follows the priorities is checked apart ([`Bench::check_order`]).

use super::common;
use super::flow::rel;
use super::reference::{Moment, Reference};
use super::wire::{Fetch, FetchOf, LookedUp, Seal, Segment, Table, Write};
use rand::Rng;
use std::collections::{BTreeMap, VecDeque};
use toe_contract::command::Command;
use toe_hdl::flow::core::FlowCore;
use toe_verilate::Dut;

/// Counters that the core pulses.
pub(crate) const COUNTERS: [&str; 17] = [
    "rx_raw",
    "rx_segments",
    "rx_no_ack",
    "rx_paws",
    "rx_unacceptable",
    "rx_ack_beyond",
    "rx_ack_old",
    "rx_in_order",
    "rx_out_of_order",
    "rx_no_range",
    "rx_duplicate",
    "tx_acks",
    "tx_segments",
    "tx_resent",
    "tx_window_updates",
    "events",
    "bad_commands",
];

/// Classes in the order of their priority, as the core numbers them.
pub(crate) const CLASSES: [&str; 7] = ["SEAL", "SEGMENT", "ACK", "TIMER", "REPORT", "PLAN", "COMMAND"];
const SEAL: usize = 0;
pub(crate) const SEGMENT: usize = 1;
const ACK: usize = 2;
const TIMER: usize = 3;
const REPORT: usize = 4;
pub(crate) const PLAN: usize = 5;
const COMMAND: usize = 6;

/// A class that waited for so many cycles with room is seen by the arbiter.
const SEEN: u64 = 6;

/// How hard the surroundings press.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    /// Percent of cycles in which an output is taken.
    pub(crate) ready: u32,
    /// Percent of cycles in which the event ring has room.
    pub(crate) event_room: u32,
    /// Percent of cycles in which a fetched segment comes back.
    pub(crate) fetched: u32,
}

/// The core and its reference.
pub(crate) struct Bench {
    pub(crate) dut: Dut,
    pub(crate) reference: Reference,
    pub(crate) random: common::Random,
    pub(crate) pressure: Pressure,
    /// Settings and time; the tick is set by the test.
    pub(crate) now: Moment,
    pub(crate) segments: VecDeque<LookedUp>,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) seals: VecDeque<Seal>,
    counted: BTreeMap<&'static str, u64>,
    waiting: [u64; 7],
    plan_went: bool,
    table_ok: bool,
    reply: Option<(u32, bool)>,
    /// Cycle of the last begin, and its class.
    last: Option<(u64, usize)>,
    /// Shortest and longest distance from a class's begin to the next begin while something waited.
    pub(crate) cycles: BTreeMap<usize, (u64, u64)>,
    /// Flows whose removal is announced.
    pub(crate) removed: Vec<u16>,
    /// Readings of `idle`.
    pub(crate) idle: bool,
    offers: [bool; 3],
}

impl Bench {
    pub(crate) fn new(seed: u64, pressure: Pressure) -> Bench {
        let dut = common::dut_with("flow_core", FlowCore::default);
        let now = Moment { tick: 0xffff_8000, timestamp: 0xffff_fff0, delayed_ack: 400, max_frame: 1518 };
        let mut bench = Bench {
            dut,
            reference: Reference::new(),
            random: common::random(seed),
            pressure,
            now,
            segments: VecDeque::new(),
            commands: VecDeque::new(),
            seals: VecDeque::new(),
            counted: BTreeMap::new(),
            waiting: [0; 7],
            plan_went: false,
            table_ok: true,
            reply: None,
            last: None,
            cycles: BTreeMap::new(),
            removed: Vec::new(),
            idle: false,
            offers: [false; 3],
        };
        bench.reset();
        bench.load_all();
        bench
    }

    /// Resets core and reference.
    pub(crate) fn reset(&mut self) {
        for port in ["looked_up.valid", "command.valid", "seal.valid"] {
            self.dut.set(port, 0);
        }
        self.dut.set_wide("table_reply", &[0]);
        self.dut.set("reset", 1);
        self.dut.tick();
        self.dut.tick();
        self.dut.set("reset", 0);
        self.reference.reset();
        self.segments.clear();
        self.commands.clear();
        self.seals.clear();
        self.counted.clear();
        self.waiting = [0; 7];
        self.plan_went = false;
        self.reply = None;
        self.last = None;
        self.offers = [false; 3];
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent.min(100), 100)
    }

    /// One cycle.
    pub(crate) fn cycle(&mut self) {
        self.drive();
        self.dut.eval();
        self.observe_waiting();
        if self.dut.get("begins") == 1 {
            self.begin();
        }
        self.outputs();
        self.dut.tick();
        for name in COUNTERS {
            *self.counted.entry(name).or_default() += self.dut.get(name);
        }
        self.idle = self.dut.get("idle") == 1;
    }

    fn drive(&mut self) {
        self.dut.set("tick", self.now.tick.into());
        self.dut.set("timestamp", self.now.timestamp.into());
        self.dut.set("delayed_ack", self.now.delayed_ack.into());
        self.dut.set("max_frame", self.now.max_frame.into());
        let room = self.chance(self.pressure.event_room);
        self.dut.set("event_room", room.into());
        // What was offered stays offered.
        let fetched = self.chance(self.pressure.fetched);
        self.offers[0] |= !self.segments.is_empty();
        self.offers[1] |= !self.commands.is_empty();
        self.offers[2] |= !self.seals.is_empty() && fetched;
        if let Some(s) = self.segments.front() {
            self.dut.set_wide("looked_up.data", &s.bits());
        }
        if let Some(c) = self.commands.front() {
            let words: Vec<u64> = c.0.chunks(2).map(|w| u64::from(w[0]) | u64::from(w[1]) << 32).collect();
            self.dut.set_wide("command.data", &words);
        }
        if let Some(s) = self.seals.front() {
            self.dut.set_wide("seal.data", &s.bits());
        }
        self.dut.set("looked_up.valid", self.offers[0].into());
        self.dut.set("command.valid", self.offers[1].into());
        self.dut.set("seal.valid", self.offers[2].into());
        for port in ["write.ready", "fetch.ready", "acks.ready", "sealed.ready", "table.ready"] {
            let ready = self.chance(self.pressure.ready);
            self.dut.set(port, ready.into());
        }
        let reply = match &mut self.reply {
            Some((0, ok)) => {
                let ok = *ok;
                self.reply = None;
                1 | u64::from(ok) << 1
            }
            Some((left, _)) => {
                *left -= 1;
                0
            }
            None => 0,
        };
        self.dut.set_wide("table_reply", &[reply]);
    }

    /// Which classes could run in this cycle, as far as can be seen from outside.
    fn observe_waiting(&mut self) {
        let port = |name: &str| self.dut.get(name) == 1;
        let free = |channel: &str| !port(&format!("{channel}.valid"));
        let freed = |channel: &str| free(channel) || port(&format!("{channel}.ready"));
        let room = port("event_room");
        let removal = self.seals.front().is_some_and(|s| s.removed);
        let r = &self.reference;
        let due = r.delack_queue.front().is_some_and(|(_, tick)| rel(self.now.tick, *tick) >= 0);
        let fetches = self.commands.front().is_some_and(|c| matches!(c.0[0] & 0xff, 11..=13));
        let able = [
            self.offers[2] && if removal { room && freed("write") } else { free("sealed") },
            self.offers[0] && freed("write"),
            !r.ack_queue.is_empty() && free("acks"),
            due,
            !r.report_queue.is_empty() && freed("write") && room,
            !r.data_queue.is_empty() && freed("fetch"),
            self.offers[1] && freed("write") && room && (!fetches || freed("fetch")),
        ];
        for (waiting, able) in self.waiting.iter_mut().zip(able) {
            *waiting = if able { *waiting + 1 } else { 0 };
        }
    }

    /// The order of the classes: none begins while one before it has waited, with room, for longer than the arbiter needs to see it.
    fn check_order(&mut self, class: usize) {
        let waited = |c: usize| self.waiting[c] > 10 + SEEN;
        let passed = (0..class).find(|c| waited(*c) && !(*c == PLAN && class == COMMAND));
        assert_eq!(passed.map(|c| CLASSES[c]), None, "passed over by {}", CLASSES[class]);
        if class == PLAN {
            assert!(!(self.plan_went && waited(COMMAND)), "COMMAND waits behind two PLANs");
            self.plan_went = true;
        }
        if class == COMMAND {
            assert!(self.plan_went || !waited(PLAN), "COMMAND before PLAN, twice");
            self.plan_went = false;
        }
        self.waiting[class] = 0;
    }

    fn begin(&mut self) {
        let class = usize::try_from(self.dut.get("operation")).expect("a class");
        let at = self.dut.cycles();
        if let Some((before, last)) = self.last {
            let distance = at - before;
            let busy = self.waiting.iter().any(|w| *w >= distance);
            let entry = self.cycles.entry(last).or_insert((distance, 0));
            entry.0 = entry.0.min(distance);
            if busy {
                entry.1 = entry.1.max(distance);
            }
        }
        self.last = Some((at, class));
        self.check_order(class);
        let (now, r) = (self.now, &mut self.reference);
        match class {
            SEAL => {
                let s = self.seals.pop_front().expect("SEAL without a request");
                self.offers[2] = false;
                r.seal(&s, &now);
                if s.removed {
                    self.removed.push(s.flow);
                }
            }
            SEGMENT => {
                let s = self.segments.pop_front().expect("SEGMENT without a segment");
                self.offers[0] = false;
                r.segment(&s, &now);
            }
            COMMAND => {
                let c = self.commands.pop_front().expect("COMMAND without a command");
                self.offers[1] = false;
                self.table_ok = self.random.random_ratio(9, 10);
                r.command(&c, &now, self.table_ok);
            }
            ACK => _ = r.ack(&now),
            TIMER => _ = r.timer(&now),
            REPORT => _ = r.report(&now),
            _ => _ = r.plan(&now),
        }
        let taken = [("looked_up.ready", SEGMENT), ("command.ready", COMMAND), ("seal.ready", SEAL)];
        for (port, of) in taken {
            assert_eq!(self.dut.get(port) == 1, class == of, "{port} in a {}", CLASSES[class]);
        }
    }

    fn moves(&self, channel: &str) -> bool {
        self.dut.get(format!("{channel}.valid").as_str()) == 1 && self.dut.get(format!("{channel}.ready").as_str()) == 1
    }

    fn outputs(&mut self) {
        if self.moves("write") {
            let got = Write::of(&self.dut.get_wide("write.data"));
            assert_eq!(Some(got), self.reference.write.pop_front(), "write job");
        }
        if self.moves("fetch") {
            let got = Fetch::of(&self.dut.get_wide("fetch.data"));
            assert_eq!(Some(&got), self.reference.fetch.front(), "fetch job");
            self.reference.fetch.pop_front();
            match got.of {
                FetchOf::Segment { seq, length, fin, psh, .. } => {
                    self.seals.push_back(Seal { removed: false, flow: got.flow, seq, length, fin, psh });
                }
                FetchOf::Removed => {
                    self.seals.push_back(Seal { removed: true, flow: got.flow, seq: 0, length: 0, fin: false, psh: false });
                }
                FetchOf::Raw { .. } | FetchOf::Inject { .. } => {}
            }
        }
        if self.moves("acks") {
            let got = Segment::of(&self.dut.get_wide("acks.data"));
            assert_eq!(Some(got), self.reference.acks.pop_front(), "pure ACK");
        }
        if self.moves("sealed") {
            let got = Segment::of(&self.dut.get_wide("sealed.data"));
            assert_eq!(Some(got), self.reference.sealed.pop_front(), "sealed segment");
        }
        if self.moves("table") {
            let got = Table::of(&self.dut.get_wide("table.data"));
            let (expected, ok) = self.reference.table.pop_front().expect("a request to the table");
            assert_eq!(got, expected, "request to the table");
            let delay = self.random.random_range(0..4);
            self.reply = Some((delay, ok));
        }
    }

    /// Runs until nothing is left to do, then compares the counters and the queues.
    pub(crate) fn quiesce(&mut self) {
        for _ in 0..2_000_000 {
            self.cycle();
            if self.idle && self.seals.is_empty() && self.segments.is_empty() && self.commands.is_empty() {
                return self.settled();
            }
        }
        let inputs = (self.segments.len(), self.commands.front(), self.seals.front());
        panic!("not idle after 2000000 cycles: idle {}, inputs {inputs:?}, waiting {:?}, last begun {:?}", self.idle, self.waiting, self.last);
    }

    fn settled(&mut self) {
        self.cycle();
        let r = &self.reference;
        assert_eq!((r.write.front(), r.fetch.front(), r.acks.front(), r.sealed.front()), (None, None, None, None), "left to be put out");
        assert!(r.table.is_empty() && r.ack_queue.is_empty() && r.data_queue.is_empty() && r.report_queue.is_empty(), "left to be done");
        for name in COUNTERS {
            let expected = r.counts.get(name).copied().unwrap_or(0);
            assert_eq!(self.counted.get(name).copied().unwrap_or(0), expected, "counter {name}");
        }
        let head = r.delack_queue.front();
        assert_eq!(self.dut.get("next_deadline_valid") == 1, head.is_some(), "next_deadline_valid");
        if let Some((_, tick)) = head {
            assert_eq!(self.dut.get("next_deadline"), u64::from(*tick), "next_deadline");
        }
    }
}
