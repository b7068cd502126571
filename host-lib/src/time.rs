//! Points in time and distances, as the engine's clock counts them.

pub use toe_driver::Nanoseconds;

use toe_contract::TIMESTAMP_SHIFT;

/// The value of the TCP timestamp clock, before a connection's offset (RFC 7323 section 5.4): 1.048576 ms a step.
pub fn timestamp(now: Nanoseconds) -> u32 {
    let [a, b, c, d, ..] = (now.0 >> TIMESTAMP_SHIFT).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The time that a number of steps of the TCP timestamp clock takes.
pub fn timestamp_steps(count: u32) -> Nanoseconds {
    Nanoseconds(u64::from(count) << TIMESTAMP_SHIFT)
}
