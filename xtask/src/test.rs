//! `cargo xtask test`: what CI runs.

use crate::run::{cargo, step, toe};
use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only format and lints
    #[arg(long)]
    lint: bool,
}

/// The host's tests that have been run with the hardware under them.
const ON_HARDWARE: &[&str] = &["--test", "lifecycle", "--test", "linux", "--test", "linux_life"];

/// Format, lints, every test; then those of the host's tests again with the hardware under them, and the demonstration.
///
/// # Errors
/// The first step that fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    step("lints", cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    if !arguments.lint {
        step("tests", cargo().args(["test", "--workspace", "--no-fail-fast"]))?;
        step(
            "the host's tests on the hardware",
            cargo().args(["test", "--package", "toe-host-lib", "--no-fail-fast"]).args(ON_HARDWARE).env("TOE_ENGINE", "rtl"),
        )?;
        toe("demo", &[])?;
    }
    Ok(())
}
