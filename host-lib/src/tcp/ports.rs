//! The choice of a local port (RFC 6056).

use std::ops::RangeInclusive;

use super::isn::Secret;
use super::FourTuple;

/// Ports that are given out unless set otherwise (Linux's `ip_local_port_range`).
pub const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;
/// Counters (RFC 6056 section 3.3.4, "TABLE_LENGTH").
const COUNTERS: usize = 256;

/// Chooses local ports for active opens: RFC 6056 section 3.3.4, algorithm 4 (double hash). An outsider cannot foresee the port,
/// and ports for one remote go up one by one, so that one is used again as late as can be.
#[derive(Clone)]
pub struct PortChooser {
    range: RangeInclusive<u16>,
    counters: [u32; COUNTERS],
}

impl PortChooser {
    /// Of ports in this range, with counters that begin anywhere.
    pub fn new(range: RangeInclusive<u16>, seed: u32) -> PortChooser {
        let mut counters = [0; COUNTERS];
        let mut value = seed;
        for counter in &mut counters {
            value = value.wrapping_mul(0x9e37_79b9).wrapping_add(0x7f4a_7c15);
            *counter = value >> 8;
        }
        PortChooser { range, counters }
    }

    /// A port for a connection to this remote (the local port of `tuple` is not looked at) for which `free` says yes; `None` if there
    /// is none.
    pub fn choose(&mut self, secret: &Secret, tuple: FourTuple, free: impl Fn(u16) -> bool) -> Option<u16> {
        // An empty range has nothing to give: no step is taken.
        let (first, span) = (*self.range.start(), u32::try_from(self.range.len()).unwrap_or(0));
        let offset = secret.port_offset(tuple);
        let index = secret.port_counter(tuple) as usize % COUNTERS;
        let counter = &mut self.counters[index];
        for _ in 0..span {
            let step = offset.wrapping_add(*counter) % span;
            *counter = counter.wrapping_add(1);
            let port = u16::try_from(step).ok().and_then(|step| first.checked_add(step));
            if let Some(port) = port.filter(|port| free(*port)) {
                return Some(port);
            }
        }
        None
    }
}
