//! A device that lies: an honest one, behind a bus that changes what the driver reads, keeps back what it writes, and forges what lies in its rings.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use toe_contract::event::{self, Event};
use toe_contract::raw;
use toe_contract::register::{self, Register};
use toe_driver::{Bus, BusError, Iova, Memory, Nanoseconds, Waker};

type Lie = Box<dyn FnMut(u32, u32) -> u32 + Send>;

/// The bus.
pub struct Liar<B> {
    inner: Arc<B>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mapped: BTreeMap<u64, Memory>,
    lie: Option<Lie>,
    deaf: bool,
}

impl<B: Bus> Liar<B> {
    pub fn new(inner: Arc<B>) -> Arc<Liar<B>> {
        Arc::new(Liar { inner, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics in here")
    }

    /// From now on a register at an offset with a value reads as this.
    pub fn lie(&self, lie: impl FnMut(u32, u32) -> u32 + Send + 'static) {
        self.state().lie = Some(Box::new(lie));
    }

    /// From now on nothing that is written reaches the device.
    pub fn deafen(&self) {
        self.state().deaf = true;
    }

    /// The truth again, both ways.
    pub fn repent(&self) {
        let mut state = self.state();
        (state.lie, state.deaf) = (None, false);
    }

    /// The honest device.
    pub fn honest(&self) -> &Arc<B> {
        &self.inner
    }

    fn context(&self, register: Register) -> u32 {
        self.inner.read32(register::CONTEXTS + register.offset).expect("the device is there")
    }

    /// Memory at an address of the bus.
    fn memory(&self, iova: u64) -> (Memory, usize) {
        let state = self.state();
        let (base, memory) = state.mapped.range(..=iova).next_back().expect("mapped");
        (memory.clone(), usize::try_from(iova - base).expect("in memory"))
    }

    /// Where entry `index` of a ring lies, and the phase it has.
    fn entry(&self, base: [Register; 2], log2: u32, entry_log2: u32, index: u32) -> (Memory, usize, u32) {
        let [low, high] = base.map(|register| u64::from(self.context(register)));
        let (memory, offset) = self.memory(high << 32 | low);
        let at = offset + (((index & ((1 << log2) - 1)) as usize) << entry_log2);
        (memory, at, !(index >> log2) & 1)
    }

    fn event_entry(&self, index: u32) -> (Memory, usize, u32) {
        self.entry([register::EVENT_BASE_LO, register::EVENT_BASE_HI], self.context(register::EVENT_LOG2), event::SIZE.trailing_zeros(), index)
    }

    /// What the device wrote last into the event ring.
    pub fn last_event(&self) -> Event {
        let (memory, at, _) = self.event_entry(self.context(register::EVENT_PRODUCED).wrapping_sub(1));
        let mut last = Event::default();
        for (k, word) in last.0.iter_mut().enumerate() {
            *word = memory.load32(at + 4 * k);
        }
        last
    }

    /// Writes an event where the device would write its next.
    pub fn forge_event(&self, forged: Event) {
        let (memory, at, phase) = self.event_entry(self.context(register::EVENT_PRODUCED));
        memory.copy_in(at, &forged.with(event::PHASE, phase).to_bytes());
    }

    /// Takes back what the device wrote last into the event ring: its phase is that of the pass before.
    pub fn erase_event(&self) {
        let (memory, at, phase) = self.event_entry(self.context(register::EVENT_PRODUCED).wrapping_sub(1));
        memory.copy_in(at, &Event::default().with(event::PHASE, phase ^ 1).to_bytes());
    }

    /// Writes a raw frame where the device would write its next. Its header says how long it is.
    pub fn forge_raw(&self, header: Event, frame: &[u8]) {
        let (log2, slot_log2) = (self.context(register::RAW_LOG2), self.context(register::RAW_SLOT_LOG2));
        let index = self.context(register::RAW_PRODUCED);
        let (memory, at, phase) = self.entry([register::RAW_BASE_LO, register::RAW_BASE_HI], log2, slot_log2, index);
        memory.copy_in(at + raw::HEADER, frame);
        memory.copy_in(at, &header.with(event::PHASE, phase).to_bytes());
    }
}

impl<B: Bus> Bus for Liar<B> {
    fn read32(&self, offset: u32) -> Result<u32, BusError> {
        let truth = self.inner.read32(offset)?;
        Ok(self.state().lie.as_mut().map_or(truth, |lie| lie(offset, truth)))
    }
    fn write32(&self, offset: u32, value: u32) -> Result<(), BusError> {
        if self.state().deaf {
            return Ok(());
        }
        self.inner.write32(offset, value)
    }
    fn map(&self, memory: &Memory, iova: Iova) -> Result<(), BusError> {
        self.inner.map(memory, iova)?;
        self.state().mapped.insert(iova.0, memory.clone());
        Ok(())
    }
    fn unmap(&self, iova: Iova, bytes: usize) -> Result<(), BusError> {
        self.inner.unmap(iova, bytes)?;
        self.state().mapped.remove(&iova.0);
        Ok(())
    }
    fn iova_ranges(&self) -> Vec<RangeInclusive<u64>> {
        self.inner.iova_ranges()
    }
    fn reset(&self) -> Result<(), BusError> {
        self.inner.reset()
    }
    fn wait(&self, until: Nanoseconds) -> Result<(), BusError> {
        self.inner.wait(until)
    }
    fn waker(&self) -> Waker {
        self.inner.waker()
    }
    fn now(&self) -> Nanoseconds {
        self.inner.now()
    }
    fn relax(&self) {
        self.inner.relax();
    }
}
