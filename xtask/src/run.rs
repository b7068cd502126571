//! Running other programs, with a line that says what is going on.

use anyhow::{bail, Context, Result};
use std::process::Command;
use std::time::Instant;

/// Runs a program with its output on ours; fails if it does.
///
/// # Errors
/// It cannot be started, or ends with another code than 0.
pub(crate) fn step(title: &str, command: &mut Command) -> Result<()> {
    eprintln!("==> {title}");
    let begin = Instant::now();
    let status = command.status().with_context(|| format!("{:?} could not be started", command.get_program()))?;
    if !status.success() {
        bail!("{title}: {:?} ended with {status}", command.get_program());
    }
    eprintln!("    {title}: {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds the program `toe` and runs it.
///
/// # Errors
/// Building or running fails.
pub(crate) fn toe(command: &str, arguments: &[String]) -> Result<()> {
    step("build toe", cargo().args(["build", "--package", "toe"]))?;
    step(command, cargo().args(["run", "--quiet", "--package", "toe", "--", command]).args(arguments))
}
