//! The registers of the whole engine, and the counters.

use toe_contract::counter::{self, COUNTERS};
use toe_contract::register::{self, Access, Register};
use toe_contract::{CONTEXTS, LONGEST_FRAME, RANGES};

/// Half of a 64-bit number.
pub(super) fn half(value: u64, high: bool) -> u32 {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    u32::from_le_bytes(if high { [e, f, g, h] } else { [a, b, c, d] })
}

/// A table's registers that keep what is written.
pub(super) struct Page {
    table: &'static [Register],
    values: Vec<u32>,
}

impl Page {
    pub(super) fn new(table: &'static [Register]) -> Page {
        Page { table, values: table.iter().map(|r| r.reset).collect() }
    }

    fn place(&self, offset: u32) -> Option<usize> {
        self.table.iter().position(|r| r.offset == offset)
    }

    /// A register's value; 0 where there is none.
    pub(super) fn get(&self, register: &Register) -> u32 {
        self.at(register.offset)
    }

    /// The value at an offset; 0 where there is no register.
    pub(super) fn at(&self, offset: u32) -> u32 {
        self.place(offset).map_or(0, |i| self.values[i])
    }

    /// Keeps a value, if the register may be written; bits outside its fields stay 0.
    pub(super) fn put(&mut self, offset: u32, value: u32) {
        let Some(i) = self.place(offset).filter(|&i| self.table[i].access == Access::ReadWrite) else { return };
        let mask = if self.table[i].fields.is_empty() { u32::MAX } else { self.table[i].fields.iter().fold(0, |m, f| m | f.mask()) };
        self.values[i] = value & mask;
    }
}

/// The registers of the whole engine.
pub(super) struct Global {
    flows: u16,
    page: Page,
    counters: Vec<u64>,
    counter_high: u32,
    time_high: u32,
    /// STATUS.FAULT.
    pub(super) fault: bool,
}

impl Global {
    pub(super) fn new(flows: u16) -> Global {
        Global { flows, page: Page::new(register::GLOBAL), counters: vec![0; COUNTERS.len()], counter_high: 0, time_high: 0, fault: false }
    }

    pub(super) fn count(&mut self, counter: usize) {
        self.add(counter, 1);
    }

    pub(super) fn add(&mut self, counter: usize, amount: u64) {
        self.counters[counter] = self.counters[counter].wrapping_add(amount);
    }

    pub(super) fn counter(&self, counter: usize) -> u64 {
        self.counters[counter]
    }

    pub(super) fn get(&self, register: &Register) -> u32 {
        self.page.get(register)
    }

    /// Our MAC address.
    pub(super) fn mac(&self) -> [u8; 6] {
        let [a, b, c, d] = self.get(&register::MAC_LO).to_le_bytes();
        let [e, f, ..] = self.get(&register::MAC_HI).to_le_bytes();
        [a, b, c, d, e, f]
    }

    pub(super) fn receiving(&self) -> bool {
        register::CONTROL_RECEIVE.get(self.get(&register::CONTROL)) != 0
    }

    pub(super) fn transmitting(&self) -> bool {
        register::CONTROL_TRANSMIT.get(self.get(&register::CONTROL)) != 0
    }

    /// A frame to this address is taken.
    pub(super) fn takes(&self, destination: &[u8]) -> bool {
        let filter = self.get(&register::FILTER);
        let multicast = register::FILTER_MULTICAST.get(filter) != 0 && destination[0] & 1 != 0;
        register::FILTER_PROMISCUOUS.get(filter) != 0 || multicast || destination == self.mac() || destination == [0xff; 6]
    }

    pub(super) fn write(&mut self, offset: u32, value: u32) {
        self.page.put(offset, value);
    }

    pub(super) fn read(&mut self, offset: u32, now: u64, busy: bool) -> u32 {
        let is = |register: &Register| offset == register.offset;
        if let Some(at) = offset.checked_sub(register::COUNTERS) {
            return self.read_counter(at);
        }
        if is(&register::CAPABILITIES) {
            let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            register::CAPABILITY_CONTEXTS.put(small(CONTEXTS))
                | register::CAPABILITY_RANGES.put(small(RANGES))
                | register::CAPABILITY_DATA_BYTES.put(8)
                | register::CAPABILITY_TIMESTAMPS.put(1)
                | register::CAPABILITY_VLAN.put(1)
        } else if is(&register::FLOWS) {
            self.flows.into()
        } else if is(&register::LONGEST_FRAME) {
            LONGEST_FRAME
        } else if is(&register::STATUS) {
            register::STATUS_BUSY.put(busy.into()) | register::STATUS_FAULT.put(self.fault.into())
        } else if is(&register::TIME_LO) {
            self.time_high = half(now, true);
            half(now, false)
        } else if is(&register::TIME_HI) {
            self.time_high
        } else if is(&register::BAD_COMMANDS) {
            half(self.counter(counter::BAD_COMMANDS), false)
        } else {
            self.page.at(offset)
        }
    }

    fn read_counter(&mut self, at: u32) -> u32 {
        let Some(&value) = usize::try_from(at / 8).ok().and_then(|k| self.counters.get(k)) else { return 0 };
        if !at.is_multiple_of(4) {
            0
        } else if at.is_multiple_of(8) {
            self.counter_high = half(value, true);
            half(value, false)
        } else {
            self.counter_high
        }
    }
}
