//! `cargo xtask soak`: what is too long for CI.

use crate::run::{cargo, step};
use anyhow::Result;

/// Takes most of an hour of one core; progress is printed as it goes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// MiB each way with the Linux kernel over a wire that loses and reorders 1%; none: the transfer is left out
    #[arg(long, default_value_t = 100)]
    mib: u32,
    /// Random segments given to the model and to the hardware
    #[arg(long, default_value_t = 10_000_000)]
    segments: u64,
    /// Seed of the first part; each has its own
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Mode, bus, and of a hundred segments how many. One stimulus at a time takes ten times the cycles of a burst; it alone shows the order of operations.
const PARTS: [(&str, &str, u64); 8] = [
    ("burst", "instant", 30),
    ("burst", "instant", 30),
    ("burst", "pcie", 20),
    ("burst", "hostile", 15),
    ("single", "instant", 1),
    ("single", "pcie", 1),
    ("single", "hostile", 1),
    ("crowded", "hostile", 2),
];

/// The long transfer, then the long comparison of model and hardware.
///
/// # Errors
/// The first that fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.mib > 0 {
        let transfer = ["test", "--package", "toe-host-lib", "--test", "linux", "s14_linux_both_ways_lossy", "--", "--nocapture"];
        let title = format!("{} MiB each way over the hardware, 1% lost and 1% reordered", arguments.mib);
        step(&title, cargo().args(transfer).env("TOE_ENGINE", "rtl").env("TOE_MIB", arguments.mib.to_string()))?;
    }
    for (seed, (mode, bus, percent)) in (arguments.seed..).zip(PARTS) {
        let (segments, seed) = ((arguments.segments * percent / 100).max(1).to_string(), seed.to_string());
        let title = format!("{segments} random segments, model against hardware: {mode}, bus {bus}, seed {seed}");
        let comparison = ["run", "--quiet", "--package", "toe-sim", "--example", "differential", "--", "--coverage"];
        step(&title, cargo().args(comparison).args(["--mode", mode, "--bus", bus, "--segments", &segments, "--seed", &seed]))?;
    }
    Ok(())
}
