//! Waiting by interrupt, by polling and by both: what happens at any point of a wait ends it.

mod common;

use common::Fake;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use toe_contract::event::{self, Event, Kind};
use toe_contract::{raw, register};
use toe_driver::{Bus, BusError, Iova, Memory, Nanoseconds, Nic, NicConfig, NicEvent, Wait, Waker};

const ARM: u32 = register::DOORBELLS + register::INTERRUPT_ARM.offset;
/// What a sleep takes beyond what it was for, in nanoseconds.
const WAKE_UP: u64 = 60_000;
const LONGEST: Nanoseconds = Nanoseconds::from_micros(50);
const POLICIES: [Wait; 3] = [Wait::Interrupt, Wait::Poll, Wait::Adaptive { longest: LONGEST }];

/// What happens to somebody who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Event,
    Raw,
    Wake,
}

/// A device of which every access is a step, before or after which something happens once; its interrupt is that of `docs/engine.md`.
struct Stepped {
    fake: Arc<Fake>,
    inside: Mutex<Inside>,
    woken: Arc<AtomicBool>,
    time: AtomicU64,
    /// What a pause takes, in nanoseconds.
    pause: AtomicU64,
}

#[derive(Default)]
struct Inside {
    step: usize,
    plan: Option<(usize, bool, Happening)>,
    /// Or an event, at this time.
    due_at: Option<u64>,
    happened_at: Option<u64>,
    unconsumed: bool,
    armed: bool,
    arms: usize,
    relaxes: usize,
    waits: usize,
    /// The host's waker, for [`Happening::Wake`].
    waker: Option<Waker>,
}

impl Stepped {
    fn new() -> Arc<Stepped> {
        Arc::new(Stepped { fake: Fake::new(), inside: Mutex::default(), woken: Arc::default(), time: AtomicU64::new(0), pause: AtomicU64::new(1000) })
    }
    fn open(self: &Arc<Self>, wait: Wait) -> Nic {
        Nic::open(self.clone(), NicConfig { wait, ..NicConfig::default() }).expect("a good device opens")
    }
    /// From here on steps are counted.
    fn plan(&self, step: usize, before: bool, what: Happening, waker: Waker) {
        *self.inside.lock().unwrap() = Inside { plan: Some((step, before, what)), waker: Some(waker), ..Inside::default() };
    }
    fn happen(&self, what: Happening) {
        let waker = {
            let mut inside = self.inside.lock().unwrap();
            inside.happened_at = Some(self.time.load(Ordering::Relaxed));
            inside.unconsumed |= what != Happening::Wake;
            inside.waker.clone()
        };
        match what {
            Happening::Event => self.fake.event(flow_event()),
            Happening::Raw => self.fake.raw(raw_header(), &[0; 60]),
            Happening::Wake => waker.expect("planned")(),
        }
    }
    fn due(&self, before: bool) {
        let what = {
            let mut inside = self.inside.lock().unwrap();
            let due = inside.plan.filter(|plan| (plan.0, plan.1) == (inside.step, before));
            inside.step += usize::from(!before);
            due.map(|plan| plan.2)
        };
        if let Some(what) = what {
            self.happen(what);
        }
    }
    /// The event whose time has come.
    fn tick(&self) -> bool {
        let now = self.time.load(Ordering::Relaxed);
        let due = self.look(|inside| inside.due_at.take_if(|due| *due <= now).is_some());
        if due {
            self.happen(Happening::Event);
        }
        due
    }
    fn step<T>(&self, access: impl FnOnce() -> T) -> T {
        self.due(true);
        let result = access();
        self.due(false);
        result
    }
    fn look<T>(&self, look: impl FnOnce(&mut Inside) -> T) -> T {
        look(&mut self.inside.lock().unwrap())
    }
}

impl Bus for Stepped {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        self.step(|| self.fake.read32(offset))
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        self.step(|| {
            if offset == ARM {
                self.look(|inside| (inside.armed, inside.arms) = (true, inside.arms + 1));
            }
            self.fake.write32(offset, value)
        })
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        self.fake.map(memory, iova)
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.fake.unmap(iova, bytes)
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        self.fake.iova_ranges()
    }
    fn reset(&self) -> Result<(), BusError> {
        self.fake.reset()
    }
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        self.step(|| {
            self.due(true);
            let interrupt = self.look(|inside| {
                inside.waits += 1;
                inside.armed && inside.unconsumed
            });
            if interrupt || self.woken.swap(false, Ordering::SeqCst) {
                return;
            }
            let due = self.look(|inside| inside.due_at).filter(|due| *due <= until.0);
            self.time.fetch_max(due.unwrap_or(until.0), Ordering::Relaxed);
            if self.tick() {
                self.time.fetch_add(WAKE_UP, Ordering::Relaxed);
            }
        });
        Ok(())
    }
    fn waker(&self) -> Waker {
        let woken = self.woken.clone();
        Arc::new(move || woken.store(true, Ordering::SeqCst))
    }
    fn now(&self) -> Nanoseconds {
        self.step(|| Nanoseconds(self.time.load(Ordering::Relaxed)))
    }
    fn relax(&self) {
        self.step(|| self.time.fetch_add(self.pause.load(Ordering::Relaxed), Ordering::Relaxed));
        self.tick();
        self.look(|inside| inside.relaxes += 1);
    }
}

fn flow_event() -> Event {
    Event::default().with(event::KIND, Kind::Flow as u32).with(event::FLOW, 3)
}
fn raw_header() -> Event {
    Event::default().with(event::KIND, raw::Reason::Other as u32).with(event::FLOW, toe_contract::NO_FLOW.into()).with(event::COMMAND, 60)
}

/// At every access of a wait, before it and after it: an entry or a waker that comes there ends the wait then, and not at its time-out.
#[test]
fn whatever_comes_at_any_point_of_a_wait_ends_it() {
    let mut ended = 0;
    for wait in POLICIES {
        for what in [Happening::Event, Happening::Raw, Happening::Wake] {
            for (step, before) in (0..100).flat_map(|step| [(step, true), (step, false)]) {
                let bus = Stepped::new();
                let mut nic = bus.open(wait);
                bus.plan(step, before, what, nic.waker());
                let until = Nanoseconds(bus.time.load(Ordering::Relaxed)) + Nanoseconds::from_millis(10);
                nic.wait(until).expect("the device is there");
                let place = format!("{wait}, {what:?} {} step {step}", if before { "before" } else { "after" });
                let returned = bus.time.load(Ordering::Relaxed);
                if let Some(at) = bus.look(|inside| inside.happened_at) {
                    // The step at which the wait had ended by its time may be the one.
                    assert!(returned - at <= 2000 || returned >= until.0 && at == returned, "{place}: returned {} ns later", returned - at);
                    ended += 1;
                } else {
                    assert!(returned >= until.0, "{place}: nothing happened, and the wait ended");
                    bus.happen(what);
                    nic.wait(until + Nanoseconds::from_millis(10)).expect("the device is there");
                    assert_eq!(bus.time.load(Ordering::Relaxed), returned, "{place}: it is seen by the next wait");
                }
                let event = nic.poll().expect("a good device");
                match what {
                    Happening::Event => assert!(matches!(event, Some(NicEvent::Flow(_))), "{place}: {event:?}"),
                    Happening::Raw => assert!(matches!(event, Some(NicEvent::Raw(_))), "{place}: {event:?}"),
                    Happening::Wake => assert_eq!(event, None, "{place}"),
                }
            }
        }
    }
    assert!(ended > 400, "only {ended} of the happenings fell into a wait");
}

#[test]
fn polling_never_arms_nor_sleeps_and_reads_no_register() {
    let bus = Stepped::new();
    let mut nic = bus.open(Wait::Poll);
    bus.plan(50, true, Happening::Event, nic.waker());
    let reads = bus.fake.state.lock().unwrap().reads;
    nic.wait(Nanoseconds::from_secs(1)).expect("the device is there");
    assert!(matches!(nic.poll(), Ok(Some(NicEvent::Flow(_)))));
    assert_eq!(bus.look(|inside| (inside.arms, inside.waits)), (0, 0));
    assert_eq!(bus.fake.state.lock().unwrap().reads, reads);
}

/// Waits for events that come `gap` after the wait for each began; gives sleeps and looks of the second half.
fn train(nic: &mut Nic, bus: &Stepped, gap: u64, count: usize) -> (usize, usize) {
    let mut half = (0, 0);
    for k in 0..count {
        if k == count / 2 {
            half = bus.look(|inside| (inside.waits, inside.relaxes));
        }
        let begin = bus.time.load(Ordering::Relaxed);
        bus.look(|inside| inside.due_at = Some(begin + gap));
        nic.wait(Nanoseconds(begin) + Nanoseconds::from_secs(1)).expect("the device is there");
        assert!(matches!(nic.poll(), Ok(Some(NicEvent::Flow(_)))), "event {k}");
        bus.look(|inside| inside.unconsumed = false);
    }
    bus.look(|inside| (inside.waits - half.0, inside.relaxes - half.1))
}

/// Adaptive waiting sleeps through long gaps, spins through short ones, and finds back from either to the other.
#[test]
fn adaptive_waiting_follows_what_arrives() {
    let bus = Stepped::new();
    let mut nic = bus.open(Wait::Adaptive { longest: LONGEST });
    bus.plan(usize::MAX, true, Happening::Event, nic.waker());
    for round in 0..3 {
        let (sleeps, looks) = train(&mut nic, &bus, 1_000_000, 200);
        assert!(sleeps >= 100, "round {round}: {sleeps} sleeps in 100 long gaps");
        assert!(looks <= 100 * 50 / 8, "round {round}: {looks} us of 100 long gaps were spun away");
        let (sleeps, looks) = train(&mut nic, &bus, 8_000, 200);
        assert!(sleeps <= 5, "round {round}: {sleeps} sleeps in 100 short gaps");
        assert!(looks >= 700, "round {round}: {looks} us spun in 100 gaps of 8 us");
    }
}

/// On a machine that has no core to spare a pause takes as long as somebody else's turn: then hardly any wait spins.
#[test]
fn adaptive_waiting_leaves_a_crowded_machine_alone() {
    let bus = Stepped::new();
    let mut nic = bus.open(Wait::Adaptive { longest: LONGEST });
    bus.plan(usize::MAX, true, Happening::Event, nic.waker());
    bus.pause.store(4_000_000, Ordering::Relaxed);
    let (sleeps, looks) = train(&mut nic, &bus, 8_000, 2000);
    assert!(sleeps >= 990, "{sleeps} sleeps in 1000 waits");
    assert!(looks <= 10, "{looks} turns of others were waited for in 1000 waits");
    bus.pause.store(1000, Ordering::Relaxed);
    train(&mut nic, &bus, 8_000, 10_000);
    let (sleeps, _) = train(&mut nic, &bus, 8_000, 200);
    assert!(sleeps <= 5, "{sleeps} sleeps in 100 short gaps, after the crowd has gone");
}

#[test]
fn a_policy_is_read_as_it_is_written() {
    for wait in POLICIES {
        assert_eq!(wait.to_string().parse(), Ok(wait));
    }
    assert_eq!("adaptive".parse(), Ok(Wait::Adaptive { longest: Wait::LONGEST_SPIN }));
    assert_eq!("adaptive:7".parse(), Ok(Wait::Adaptive { longest: Nanoseconds::from_micros(7) }));
    for bad in ["", "Poll", "poll:1", "adaptive:", "adaptive:0", "adaptive:-1", "adaptive:1000001", "adaptive:1us"] {
        let error = bad.parse::<Wait>().expect_err(bad).to_string();
        assert!(error.contains(&format!("{bad:?}")), "{error}");
    }
}

/// A bus on which somebody really sleeps.
struct Sleeper {
    fake: Arc<Fake>,
    signal: Arc<(Mutex<bool>, Condvar)>,
    wakes: Arc<AtomicU64>,
    begin: Instant,
}

impl Bus for Sleeper {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        self.fake.read32(offset)
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        self.fake.write32(offset, value)
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        self.fake.map(memory, iova)
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.fake.unmap(iova, bytes)
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        self.fake.iova_ranges()
    }
    fn reset(&self) -> Result<(), BusError> {
        self.fake.reset()
    }
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        let (signal, changed) = &*self.signal;
        let left = Duration::from(until - self.now());
        let mut woken = changed.wait_timeout_while(signal.lock().unwrap(), left, |woken| !*woken).unwrap().0;
        *woken = false;
        Ok(())
    }
    fn waker(&self) -> Waker {
        let (signal, wakes) = (self.signal.clone(), self.wakes.clone());
        Arc::new(move || {
            wakes.fetch_add(1, Ordering::Relaxed);
            *signal.0.lock().unwrap() = true;
            signal.1.notify_one();
        })
    }
    fn now(&self) -> Nanoseconds {
        self.begin.elapsed().into()
    }
    fn relax(&self) {
        std::thread::yield_now();
    }
}

/// Two threads, thousands of wake-ups: none is lost, with any policy, and polling takes none of the bus.
#[test]
fn no_waker_is_lost_between_threads() {
    const ROUNDS: u64 = 2000;
    for wait in POLICIES {
        let wakes = Arc::new(AtomicU64::new(0));
        let bus = Arc::new(Sleeper { fake: Fake::new(), signal: Arc::default(), wakes: wakes.clone(), begin: Instant::now() });
        let mut nic = Nic::open(bus.clone(), NicConfig { wait, ..NicConfig::default() }).expect("a good device opens");
        let waker = nic.waker();
        let (ask, asked) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let other = std::thread::spawn(move || {
            for k in 0..ROUNDS {
                ask.send(k).expect("it listens");
                waker();
                assert_eq!(answered.recv_timeout(Duration::from_secs(20)), Ok(k), "a waker was lost");
            }
        });
        for k in 0..ROUNDS {
            let found = loop {
                match asked.try_recv() {
                    Ok(found) => break found,
                    Err(_) => nic.wait(bus.now() + Nanoseconds::from_secs(60)).expect("the device is there"),
                }
            };
            assert_eq!(found, k);
            answer.send(k).expect("it listens");
        }
        other.join().expect("no waker was lost");
        if wait == Wait::Poll {
            assert_eq!(wakes.load(Ordering::Relaxed), 0, "the bus's waker was called though nobody slept");
        }
    }
}
