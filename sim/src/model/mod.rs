//! The untimed model: the engine in plain Rust behind the same registers and rings, written from `docs/engine.md`.
//!
//! It does one operation at a time in the order that the page gives, and knows no latency: a payload is fetched the moment it is planned, what is written
//! is in memory at once. So each of its runs is one of those that the page allows; the RTL's may be another one where several things
//! happen at once. It shares no code with `hdl`, and has its own parser and checksums.
//!
//! ```text
//!  receive() ─► arrivals ─► SEGMENT ─┬─► ack ──► ACK ─────────────► out ─► transmit()
//!                                    ├─► report ► REPORT ─► event ring
//!  doorbell ──► COMMAND ─────────────┴─► data ─► PLAN ─► fetched ─► SEAL ─► out
//! ```

mod command;
mod context;
mod flow;
mod frame;
mod guide;
mod operation;
mod parse;
mod plan;
mod registers;
mod segment;
mod table;

pub use table::{hash, hash_bits, secret};

pub use flow::{relative, Flow, Inserted, Tuple};

use crate::engine::{Begun, Engine};
use crate::root_complex::RootComplex;
use crate::time::Nanoseconds;
use context::Context;
use guide::Guide;
use parse::Sorted;
use plan::Planned;
use registers::Global;
use std::collections::VecDeque;
use table::Table;
use toe_contract::{counter, register, CONTEXTS, FLOWS, TICK_SHIFT};

/// How the model is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Flows.
    pub flows: u16,
    /// 4-tuples that the flow table has room for. The hardware's has room for every flow's, but for one case in very many.
    pub tuples: u16,
}

impl Default for Config {
    fn default() -> Config {
        Config { flows: u16::try_from(FLOWS).unwrap_or(u16::MAX), tuples: u16::MAX }
    }
}

/// A frame on its way in.
enum Arrival {
    Wire { frame: Vec<u8>, fcs_ok: bool },
    Injected(Vec<u8>),
}

/// What the fetch queue has brought.
enum Fetched {
    Segment {
        flow: u16,
        planned: Planned,
        payload: Vec<u8>,
    },
    Raw(Vec<u8>),
    Inject(Vec<u8>),
    /// Everything fetched for the flow before has been sealed: its removal ends.
    Removed(u16),
}

/// See the [module](self).
pub struct Model {
    config: Config,
    global: Global,
    context: Context,
    flows: Vec<Flow>,
    table: Table,
    arrivals: VecDeque<Arrival>,
    /// Frames that go on from the parser.
    sorted: VecDeque<(Vec<u8>, Sorted)>,
    fetched: VecDeque<Fetched>,
    acks: VecDeque<u16>,
    data: VecDeque<u16>,
    reports: VecDeque<u16>,
    delayed: VecDeque<(u16, u32)>,
    /// PLAN had an operation since COMMAND had one.
    planned: bool,
    out: VecDeque<Vec<u8>>,
    now: Nanoseconds,
    operations: u64,
    done: Option<Vec<Begun>>,
    guide: Option<Guide>,
}

impl Default for Model {
    fn default() -> Model {
        Model::new(Config::default())
    }
}

impl Model {
    /// As it is after power on.
    pub fn new(config: Config) -> Model {
        Model {
            config,
            global: Global::new(config.flows),
            context: Context::new(),
            flows: vec![Flow::default(); config.flows.into()],
            table: Table::new(config.flows, register::HASH_KEY.reset),
            arrivals: VecDeque::new(),
            sorted: VecDeque::new(),
            fetched: VecDeque::new(),
            acks: VecDeque::new(),
            data: VecDeque::new(),
            reports: VecDeque::new(),
            delayed: VecDeque::new(),
            planned: false,
            out: VecDeque::new(),
            now: Nanoseconds::ZERO,
            operations: 0,
            done: None,
            guide: None,
        }
    }

    /// A flow's state, for observers; `None` if there is no such number.
    pub fn flow(&self, number: u16) -> Option<&Flow> {
        self.flows.get(usize::from(number))
    }

    /// A counter's value, by its number in `toe_contract::counter`.
    ///
    /// # Panics
    /// If there is no such counter.
    pub fn counter(&self, number: usize) -> u64 {
        self.global.counter(number)
    }

    /// The time in ticks.
    fn tick(&self) -> u32 {
        registers::half(self.now.0 >> TICK_SHIFT, false)
    }

    fn reset(&mut self) {
        let (now, operations, done) = (self.now, self.operations, self.done.take());
        let guide = self.guide.take().map(|_| Guide::default());
        *self = Model { now, operations, done, guide, ..Model::new(self.config) };
    }
}

/// Which page of BAR 0, and the offset in it.
enum Page {
    Global(u32),
    Context(u32),
    Doorbell(u32),
    Nothing,
}

fn page(offset: u32) -> Page {
    let own = |first: u32| offset.checked_sub(first).filter(|at| usize::try_from(at / register::PAGE).is_ok_and(|c| c < CONTEXTS));
    if let Some(at) = own(register::CONTEXTS) {
        Page::Context(at)
    } else if let Some(at) = own(register::DOORBELLS) {
        Page::Doorbell(at)
    } else if offset < register::CONTEXTS {
        Page::Global(offset)
    } else {
        Page::Nothing
    }
}

impl Engine for Model {
    fn register_read(&mut self, offset: u32, _: &mut RootComplex) -> u32 {
        let busy = self.busy();
        match page(offset) {
            Page::Global(at) => self.global.read(at, self.now.0, busy),
            Page::Context(at) => self.context.read(at),
            Page::Doorbell(_) | Page::Nothing => 0,
        }
    }

    fn register_write(&mut self, offset: u32, value: u32, _: &mut RootComplex) {
        match page(offset) {
            Page::Global(at) if at == register::CONTROL.offset && register::CONTROL_RESET.get(value) != 0 => self.reset(),
            Page::Global(at) => {
                let key = self.global.get(&register::HASH_KEY);
                self.global.write(at, value);
                if self.global.get(&register::HASH_KEY) != key {
                    self.table = Table::new(self.config.flows, value);
                }
            }
            Page::Context(at) => self.context.write(at, value),
            Page::Doorbell(at) => self.context.ring(at, value),
            Page::Nothing => {}
        }
    }

    fn receive(&mut self, frame: &[u8], fcs_ok: bool) {
        self.arrivals.push_back(Arrival::Wire { frame: frame.to_vec(), fcs_ok });
    }

    fn backlog(&self) -> usize {
        self.arrivals.len()
    }

    fn transmit(&mut self) -> Option<Vec<u8>> {
        // Where another engine is followed, it may have sent by then what was made before a fault.
        let stopped = self.global.fault && self.guide.is_none();
        if stopped || !self.global.transmitting() {
            return None;
        }
        let frame = self.out.pop_front()?;
        self.global.count(counter::MAC_TX_FRAMES);
        self.global.add(counter::MAC_TX_BYTES, frame.len() as u64);
        Some(frame)
    }

    fn advance(&mut self, now: Nanoseconds, cycles: u64, host: &mut RootComplex) {
        self.now = self.now.max(now);
        for _ in 0..cycles {
            if !(if self.guide.is_some() { self.step_guided(host) } else { self.operate(host) }) {
                break;
            }
            self.operations += 1;
        }
    }

    fn busy(&self) -> bool {
        self.guide.as_ref().map_or_else(|| self.next().is_some(), |guide| self.is_guided_on(guide))
    }

    fn next_deadline(&self) -> Option<Nanoseconds> {
        if self.global.fault {
            return None;
        }
        let tick = self.tick();
        let timer = self.delayed.front().map(|d| d.1);
        let soonest = [timer, self.context.interrupt_at(tick)].into_iter().flatten().map(|at| relative(at, tick).max(0)).min()?;
        let deadline = ((self.now.0 >> TICK_SHIFT) + u64::from(soonest.unsigned_abs())) << TICK_SHIFT;
        Some(self.now.max(Nanoseconds(deadline)))
    }

    fn cycles(&self) -> u64 {
        self.operations
    }

    fn take_operations(&mut self) -> Vec<Begun> {
        self.done.replace(Vec::new()).unwrap_or_default()
    }
}
