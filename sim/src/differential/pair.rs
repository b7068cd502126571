//! One episode with both engines.

use super::difference::{event_text, failure, frame_text, Difference};
use super::end::{self, End};
use super::stimulus::{self, Stimulus};
use super::{burst, collide, crowd, Mode, Options, Report};
use crate::engine::Engine;
use crate::invariants::Watched;
use crate::model::{relative, Flow, Model};
use crate::rig::{FlowSetup, Rig, RigError, Settings};
use crate::root_complex::Timing;
use crate::time::Nanoseconds;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::counter::COUNTERS;
use toe_contract::event::{self, Event, Kind};
use toe_contract::{register, LONGEST_FRAME, TICK_SHIFT};
use toe_driver::Memory;

/// Bytes of memory for each ring.
pub(super) const RING: usize = 1 << 16;
/// Flows used in an episode, at most; in bursts.
const MOST_SIDES: (u64, u64) = (5, 24);
/// Steps between two looks at the counters, and at the whole of large rings.
const LOOK: u32 = 64;
/// Stimuli that a difference tells of.
const TRACE: usize = 2 * LOOK as usize;
/// Steps for which frames may be held back.
const HOLD: u32 = 8;
/// Steps for which rings may be left to fill up.
const PATIENCE: u32 = 50;

/// A place for a flow: a number, and memory for its rings on both sides.
pub(super) struct Side {
    pub(super) number: u16,
    pub(super) setup: Option<FlowSetup>,
    pub(super) iovas: (u64, u64),
    receive: [Memory; 2],
    send: [Memory; 2],
}

/// What came out of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) events: Vec<Event>,
    raws: Vec<(Event, Vec<u8>)>,
    pub(super) interrupts: Vec<u16>,
}

/// Both engines, and the host's side of the flows.
pub(super) struct Episode<E> {
    pub(super) reference: Rig<Watched<Model>>,
    pub(super) other: Rig<Watched<E>>,
    pub(super) sides: Vec<Side>,
    pub(super) random: ChaCha8Rng,
    pub(super) options: Options,
    pub(super) seed: u64,
    pub(super) step: u32,
    pub(super) delayed_ack: u32,
    pub(super) max_frame: u32,
    /// TRANSMIT is on, or off for so many steps.
    pub(super) transmits: bool,
    pub(super) hold: u32,
    /// It could not rest: segments may be planned whose payload is still to be read.
    pub(super) stands: bool,
    /// See [`Report::held`].
    pub(super) held: [u64; 4],
    /// What the addresses of peers differ by, if all are to meet in the flow table.
    collisions: Vec<u32>,
    keep_raws: u32,
    pub(super) keep_events: u32,
    trace: VecDeque<String>,
    pub(super) frames: u64,
    /// The flows when both were last at rest.
    before: BTreeMap<u16, Event>,
}

impl<E: Engine> Episode<E> {
    pub(super) fn new(engine: E, seed: u64, after: Nanoseconds, options: &Options) -> Result<Episode<E>, Box<Difference>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let settings = settings(&mut random, seed, after, options);
        let failed = |error: RigError| failure(seed, options, &error);
        let bursts = options.mode == Mode::Burst;
        let mut model = Model::default();
        if bursts {
            model.guide([]);
        }
        let mut reference = Rig::new(Watched::when(!bursts, model), Settings { timing: Timing::default(), ..settings }).map_err(failed)?;
        let mut other = Rig::new(Watched::when(!bursts, engine), settings).map_err(failed)?;
        // What the engine did before its reset was done is nobody's.
        other.engine.take_operations();
        other.host.take_interrupts();
        let collisions = if bursts && random.random_ratio(1, 8) { collide::differences(settings.hash_key) } else { Vec::new() };
        let mut sides = Vec::new();
        let mut numbers: Vec<u16> = (0..u16::try_from(toe_contract::FLOWS).unwrap_or(1)).collect();
        for place in 0..random.random_range(1..=if bursts { MOST_SIDES.1 } else { MOST_SIDES.0 }) {
            let number = numbers.swap_remove(random.random_range(0..numbers.len()));
            let iovas = ((1 << 32) + (place << 20), (2 << 32) + (place << 20));
            let mut both = |iova| -> Result<[Memory; 2], RigError> { Ok([reference.ring_memory(iova, RING)?, other.ring_memory(iova, RING)?]) };
            let (receive, send) = (both(iovas.0).map_err(failed)?, both(iovas.1).map_err(failed)?);
            sides.push(Side { number, setup: None, iovas, receive, send });
        }
        let Settings { delayed_ack, max_frame, .. } = settings;
        let trace = VecDeque::new();
        Ok(Episode {
            reference,
            other,
            sides,
            random,
            options: *options,
            seed,
            step: 0,
            delayed_ack,
            max_frame,
            transmits: true,
            hold: 0,
            stands: false,
            held: [0; 4],
            collisions,
            keep_raws: 0,
            keep_events: 0,
            trace,
            frames: 0,
            before: BTreeMap::new(),
        })
    }

    /// The engine, and the time it was told last.
    pub(super) fn into_engine(self) -> (E, Nanoseconds) {
        let now = self.other.now;
        (self.other.into_engine().into_inner(), now)
    }

    /// All steps, and the end: every flow is removed and tells its state.
    pub(super) fn run(&mut self, report: &mut Report) -> Result<(), Box<Difference>> {
        while self.step < self.options.steps {
            self.step += 1;
            match self.options.mode {
                Mode::Single => self.single()?,
                Mode::Crowded => crowd::round(self)?,
                Mode::Burst => burst::step(self)?,
            }
            if self.step.is_multiple_of(self.look()) {
                self.look_closely()?;
            }
        }
        (self.keep_events, self.keep_raws) = (0, 0);
        report.steps += u64::from(self.step);
        let model = self.reference.engine.inner();
        report.segments += model.counter(toe_contract::counter::RX_SEGMENTS);
        report.counters.resize(COUNTERS.len(), 0);
        report.counters.iter_mut().enumerate().for_each(|(k, total)| *total += model.counter(k));
        report.frames += self.frames;
        report.held.iter_mut().zip(self.held).for_each(|(total, held)| *total += held);
        if self.options.mode == Mode::Burst {
            let end = End::of(&mut self.random);
            report.ends[end as usize] += 1;
            match end {
                End::Removal => {}
                End::Reset => return end::reset(self),
                End::Fault => return end::fault(self),
            }
        }
        for place in 0..self.sides.len() {
            if self.sides[place].setup.take().is_some() {
                let remove = Command::new(Opcode::Remove, self.sides[place].number, 0);
                self.apply(&Stimulus::Commands(vec![remove]))?;
                self.compare_all()?;
            }
        }
        self.look_closely()?;
        Ok(())
    }

    /// Steps between two close looks.
    fn look(&self) -> u32 {
        if self.options.mode == Mode::Burst {
            LOOK / 4
        } else {
            LOOK
        }
    }

    /// The state of a flow in the reference.
    pub(super) fn flow(&self, place: usize) -> Flow {
        self.reference.engine.inner().flow(self.sides[place].number).cloned().unwrap_or_default()
    }

    /// One stimulus, and a look at everything it does.
    fn single(&mut self) -> Result<(), Box<Difference>> {
        let place = self.random.random_range(0..self.sides.len());
        let Some(setup) = self.sides[place].setup else { return self.install(place) };
        let flow = self.flow(place);
        let longest = self.max_frame;
        let random = &mut self.random;
        let stimuli = match random.random_range(0..1000) {
            0..700 => vec![stimulus::segment(&flow, &setup, longest, random)],
            700..870 => stimulus::command(&flow, &setup, place, random),
            870..890 => vec![stimulus::wrong_command(&flow, &setup, longest, random)],
            890..905 => vec![stimulus::buffered(&flow, &setup, longest, random)],
            905..930 => vec![stimulus::stray(&setup, random)],
            930..990 => vec![stimulus::surroundings(self.delayed_ack, false, random)],
            _ => {
                self.sides[place].setup = None;
                vec![Stimulus::Commands(vec![Command::new(Opcode::Remove, setup.number, 0)])]
            }
        };
        for stimulus in &stimuli {
            self.apply(stimulus)?;
        }
        self.compare_all()?;
        self.compare_ring(place)
    }

    pub(super) fn install(&mut self, place: usize) -> Result<(), Box<Difference>> {
        let stimuli = self.new_flow(place);
        stimuli.iter().try_for_each(|stimulus| self.apply(stimulus))?;
        self.compare_all()
    }

    pub(super) fn install_as(&mut self, place: usize, setup: FlowSetup) -> Result<(), Box<Difference>> {
        let stimuli = self.flow_of(place, setup);
        stimuli.iter().try_for_each(|stimulus| self.apply(stimulus))?;
        self.compare_all()
    }

    /// What installs a random flow in that place.
    pub(super) fn new_flow(&mut self, place: usize) -> Vec<Stimulus> {
        let side = &self.sides[place];
        let port = 40_000 + u16::try_from(place).unwrap_or(0);
        let mut setup = stimulus::setup(&mut self.random, side.number, port, side.iovas, self.max_frame);
        if let Some(difference) = self.collisions.get(place) {
            (setup.remote_ip, setup.remote_port, setup.local_port) = (setup.remote_ip ^ difference, 40_000, 80);
        }
        self.flow_of(place, setup)
    }

    fn flow_of(&mut self, place: usize, setup: FlowSetup) -> Vec<Stimulus> {
        self.sides[place].setup = Some(setup);
        let data = (0..4096).map(|_| self.random.random()).collect();
        vec![Stimulus::Fill(place, setup.snd_una, data), Stimulus::Commands(setup.commands().to_vec())]
    }

    /// Does something to both, without waiting for what comes of it (but for time that passes).
    pub(super) fn apply(&mut self, stimulus: &Stimulus) -> Result<(), Box<Difference>> {
        self.note(format!("{}: {stimulus:?}", self.step));
        match stimulus {
            Stimulus::Pass(time) => return self.pass(*time),
            Stimulus::KeepRaws(keep) => self.keep_raws = if *keep { PATIENCE } else { 0 },
            Stimulus::KeepEvents(keep) => self.keep_events = if *keep { PATIENCE } else { 0 },
            Stimulus::Register(r, value) if r.offset == register::CONTROL.offset => {
                self.transmits = register::CONTROL_TRANSMIT.get(*value) != 0;
                self.hold = HOLD;
            }
            _ => {}
        }
        let done = apply(&mut self.reference, &self.sides, 0, stimulus).and_then(|()| apply(&mut self.other, &self.sides, 1, stimulus));
        done.map_err(|error| self.failed(&error))
    }

    pub(super) fn note(&mut self, what: String) {
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        self.trace.push_back(what);
    }

    pub(super) fn failed(&self, error: &RigError) -> Box<Difference> {
        let trace = self.trace.iter().cloned().collect();
        Box::new(Difference { step: self.step, trace, ..*failure(self.seed, &self.options, error) })
    }

    pub(super) fn difference(&self, what: String, reference: String, other: String) -> Box<Difference> {
        let trace = self.trace.iter().cloned().collect();
        Box::new(Difference { step: self.step, what, reference, other, trace, seed: self.seed, mode: self.options.mode, timing: self.options.timing })
    }

    /// Both come to rest, with the invariants holding.
    pub(super) fn settle(&mut self) -> Result<(), Box<Difference>> {
        if self.options.mode == Mode::Burst {
            return self.settle_alike();
        }
        let model = self.reference.check();
        model.map_err(|error| self.difference("the model".into(), error.to_string(), "not asked".into()))?;
        let other = self.other.check();
        other.map_err(|error| self.difference("the other engine".into(), "all is well".into(), error.to_string()))
    }

    /// Time passes for both, from deadline to deadline of either.
    fn pass(&mut self, time: Nanoseconds) -> Result<(), Box<Difference>> {
        let end = self.reference.now + time;
        loop {
            self.settle()?;
            let now = self.reference.now;
            let deadlines = [self.reference.engine.next_deadline(), self.other.engine.next_deadline()];
            let next = deadlines.into_iter().flatten().filter(|due| *due > now && *due < end).min().unwrap_or(end);
            (self.reference.now, self.other.now) = (next, next);
            if next == end {
                return self.settle();
            }
        }
    }

    /// Both come to rest, and what came out is compared.
    pub(super) fn compare_all(&mut self) -> Result<(), Box<Difference>> {
        self.settle()?;
        (self.keep_raws, self.keep_events) = (self.keep_raws.saturating_sub(1), self.keep_events.saturating_sub(1));
        let keep = (self.keep_raws > 0, self.keep_events > 0);
        let (model, mut other) = (outcome(&mut self.reference, keep), outcome(&mut self.other, keep));
        self.frames += model.frames.len() as u64;
        if self.options.mode == Mode::Burst {
            let posted = self.reference.posted();
            let headers = other.raws.iter_mut().map(|r| &mut r.0);
            let records = model.events.iter().zip(&mut other.events).chain(model.raws.iter().map(|r| &r.0).zip(headers));
            records.for_each(|(ours, theirs)| burst::allow_consumed(ours, theirs, posted));
            self.held[3] += u64::from(burst::bring_into_order(&model, &mut other));
            return if model == other { Ok(()) } else { self.tell_all(&model, &other) };
        }
        let after = self.positions();
        for (ours, theirs) in model.events.iter().zip(&mut other.events) {
            allow_order(ours, theirs, &self.before, &after);
        }
        self.before = after;
        if model == other {
            return Ok(());
        }
        self.tell_all(&model, &other)
    }

    /// What an event tells of each flow that sending changes, as it is in the reference.
    fn positions(&self) -> BTreeMap<u16, Event> {
        let model = self.reference.engine.inner();
        self.sides.iter().filter_map(|side| Some((side.number, model.flow(side.number)?.event()))).collect()
    }

    fn tell_all(&mut self, model: &Outcome, other: &Outcome) -> Result<(), Box<Difference>> {
        let (ours, theirs) = self.unlike_counters();
        self.note(format!("{}: counters: model {ours}, other {theirs}", self.step));
        Err(self.tell(model, other))
    }

    fn tell(&self, model: &Outcome, other: &Outcome) -> Box<Difference> {
        let pick = |all: Vec<String>, at: usize| all.get(at).cloned().unwrap_or_else(|| format!("none after {at}"));
        let first = |a: Vec<String>, b: Vec<String>, what: &str| {
            let at = (0..a.len().max(b.len())).find(|&k| a.get(k) != b.get(k))?;
            Some(self.difference(format!("{what} {at} differs"), pick(a, at), pick(b, at)))
        };
        let frames = |o: &Outcome| o.frames.iter().map(|f| frame_text(f)).collect::<Vec<_>>();
        let events = |o: &Outcome| o.events.iter().map(event_text).collect::<Vec<_>>();
        let raws = |o: &Outcome| o.raws.iter().map(|r| format!("{}{}", event_text(&r.0), frame_text(&r.1))).collect::<Vec<_>>();
        first(frames(model), frames(other), "frame sent")
            .or_else(|| first(events(model), events(other), "event"))
            .or_else(|| first(raws(model), raws(other), "raw frame"))
            .unwrap_or_else(|| self.difference("interrupts".into(), format!("{:?}", model.interrupts), format!("{:?}", other.interrupts)))
    }

    /// The receive ring of a flow, if it is small; large ones are compared now and then.
    pub(super) fn compare_ring(&self, place: usize) -> Result<(), Box<Difference>> {
        let side = &self.sides[place];
        let small = side.setup.is_some_and(|s| s.receive_log2 <= 12);
        let length = if small { 1 << 12 } else { RING };
        if !small && !self.step.is_multiple_of(self.look()) {
            return Ok(());
        }
        let (mut a, mut b) = (vec![0; length], vec![0; length]);
        side.receive[0].copy_out(0, &mut a);
        side.receive[1].copy_out(0, &mut b);
        match a.iter().zip(&b).position(|(a, b)| a != b) {
            None => Ok(()),
            Some(at) => {
                let end = (at + 16).min(length);
                Err(self.difference(
                    format!("receive ring of flow {} from byte {at}", side.number),
                    format!("{:02x?}", &a[at..end]),
                    format!("{:02x?}", &b[at..end]),
                ))
            }
        }
    }

    /// Counters that differ, in the model and in the other engine.
    fn unlike_counters(&mut self) -> (String, String) {
        let mut unlike = (String::new(), String::new());
        for (number, counter) in COUNTERS.iter().enumerate() {
            let (a, b) = (self.reference.counter(number), self.other.counter(number));
            if a != b {
                unlike.0 += &format!("{} {a} ", counter.name);
                unlike.1 += &format!("{} {b} ", counter.name);
            }
        }
        unlike
    }

    /// Every counter and every ring.
    fn look_closely(&mut self) -> Result<(), Box<Difference>> {
        // What was given back may have set something going. Frames held back are counted when they go.
        self.settle()?;
        let unlike = if self.options.mode == Mode::Crowded || !self.transmits { Default::default() } else { self.unlike_counters() };
        if !unlike.0.is_empty() {
            return Err(self.difference(format!("counters, which are looked at every {LOOK} steps"), unlike.0, unlike.1));
        }
        (0..self.sides.len()).try_for_each(|place| self.compare_ring(place))
    }

    /// What has been received and sent by a flow when it is removed, in words; told by the engines themselves.
    pub(super) fn removed(&mut self, place: usize) -> Result<[Option<Event>; 2], Box<Difference>> {
        self.sides[place].setup = None;
        self.apply(&Stimulus::Commands(vec![Command::new(Opcode::Remove, self.sides[place].number, 0)]))?;
        self.settle()?;
        let last = |o: Outcome| o.events.last().copied();
        Ok([last(outcome(&mut self.reference, (false, false))), last(outcome(&mut self.other, (false, false)))])
    }

    /// Takes what came out, without comparing it.
    pub(super) fn drop_outcomes(&mut self) {
        self.frames += outcome(&mut self.reference, (false, false)).frames.len() as u64;
        outcome(&mut self.other, (false, false));
    }
}

/// How both are set up. Ticks, which are 32 bits, begin where the seed says, at a time behind `after`.
fn settings(random: &mut ChaCha8Rng, seed: u64, after: Nanoseconds, options: &Options) -> Settings {
    const TICKS: u32 = 32 + TICK_SHIFT;
    let near_wrap = random.random_ratio(1, 4);
    let bursts = options.mode == Mode::Burst;
    let jumbo = random.random_ratio(1, if bursts { 10 } else { 3 });
    let max_frame = if jumbo { *[9000, LONGEST_FRAME].choose(random).unwrap_or(&9000) } else { 1518 };
    let ticks = if near_wrap { u64::from(u32::MAX) - random.random_range(0..2_000_000) } else { random.random_range(0..1 << 31) };
    Settings {
        timing: options.timing,
        seed,
        // Two bursts: the model takes commands when the other engine has.
        submission_log2: if bursts { 10 } else { 7 },
        event_log2: if bursts && random.random_ratio(1, 4) { random.random_range(2..=5) } else { 6 },
        max_frame,
        slot_log2: if max_frame > 1518 && random.random() { 14 } else { 11 },
        raw_log2: random.random_range(1..4),
        delayed_ack: *[39063, 1000, 1, 0].choose(random).unwrap_or(&1),
        holdoff: *[0, 0, 100].choose(random).unwrap_or(&0),
        hash_key: random.random(),
        now: Nanoseconds((((after.0 >> TICKS) + 1) << TICKS) + (ticks << TICK_SHIFT)),
        ..Settings::default()
    }
}

fn apply<E: Engine>(rig: &mut Rig<E>, sides: &[Side], which: usize, stimulus: &Stimulus) -> Result<(), RigError> {
    match stimulus {
        Stimulus::Frame(frame, fcs_ok) => rig.push(frame, *fcs_ok),
        Stimulus::Fill(place, seq, bytes) => {
            let size = 1 << sides[*place].setup.map_or(12, |s| s.send_log2);
            let start = *seq as usize % size;
            let (first, rest) = bytes.split_at(bytes.len().min(size - start));
            sides[*place].send[which].copy_in(start, first);
            sides[*place].send[which].copy_in(0, &rest[..rest.len().min(size)]);
        }
        Stimulus::Commands(commands) => {
            commands.iter().try_for_each(|c| rig.write_command(*c))?;
            rig.doorbell();
        }
        Stimulus::Buffered(frame, c) => {
            let iova = rig.buffer(frame);
            rig.post(c.with(command::RAW_IOVA, iova))?;
        }
        Stimulus::Register(register, value) => rig.write(register, *value),
        Stimulus::Arm => rig.ring(&register::INTERRUPT_ARM, 1),
        Stimulus::Pass(_) | Stimulus::KeepRaws(_) | Stimulus::KeepEvents(_) => {}
    }
    Ok(())
}

/// A report waits for room to write it, and meanwhile the next segment may go: what sending changes may be told as it was before or after.
fn allow_order(model: &Event, other: &mut Event, before: &BTreeMap<u16, Event>, after: &BTreeMap<u16, Event>) {
    if model.get(event::KIND) != Kind::Flow as u32 || other.get(event::KIND) != Kind::Flow as u32 {
        return;
    }
    let Ok(number) = u16::try_from(model.get(event::FLOW)) else { return };
    let (Some(before), Some(after)) = (before.get(&number), after.get(&number)) else { return };
    for field in [event::SND_NXT, event::SND_MAX, event::RCV_ADV, event::LAST_ACK_SENT] {
        let far = |e: &Event| relative(e.get(field), model.get(field));
        let (first, last) = (far(before).min(far(after)).min(0), far(before).max(far(after)).max(0));
        if (first..=last).contains(&far(other)) {
            *other = other.with(field, model.get(field));
        }
    }
}

/// Takes what came out of an engine; raw slots and events may be kept from it.
pub(super) fn outcome<E: Engine>(rig: &mut Rig<E>, (keep_raws, keep_events): (bool, bool)) -> Outcome {
    let (events, raws) = (rig.take_events(), rig.take_raws());
    if !keep_events {
        rig.give_back_events();
    }
    if !keep_raws {
        rig.give_back_raws();
    }
    Outcome { frames: rig.frames(), events, raws, interrupts: rig.host.take_interrupts() }
}
