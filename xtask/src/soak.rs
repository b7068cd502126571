//! `cargo xtask soak`: what is too long for CI.

use crate::run::{cargo, step};
use anyhow::Result;

/// Takes hours; progress is printed as it goes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// MiB each way with the Linux kernel over a wire that loses and reorders 1%
    #[arg(long, default_value_t = 100)]
    mib: u32,
    /// Random segments given to the model and to the hardware
    #[arg(long, default_value_t = 10_000_000)]
    segments: u64,
    /// Seed of the first episode
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The long transfer, then the long comparison of model and hardware.
///
/// # Errors
/// The first that fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let transfer = ["test", "--package", "toe-host-lib", "--test", "linux", "s14_linux_both_ways_lossy", "--", "--nocapture"];
    let title = format!("{} MiB each way over the hardware, 1% lost and 1% reordered", arguments.mib);
    step(&title, cargo().args(transfer).env("TOE_ENGINE", "rtl").env("TOE_MIB", arguments.mib.to_string()))?;
    let comparison = ["run", "--release", "--package", "toe-sim", "--example", "differential", "--", "--segments"];
    let title = format!("{} random segments, model against hardware", arguments.segments);
    step(&title, cargo().args(comparison).args([arguments.segments.to_string(), "--seed".into(), arguments.seed.to_string()]))
}
