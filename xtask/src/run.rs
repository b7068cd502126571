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

/// Builds the program `toe` and runs it. With `--engine model` neither Verilator nor a C++ compiler is needed.
///
/// # Errors
/// Building or running fails.
pub(crate) fn toe(command: &str, arguments: &[String]) -> Result<()> {
    let features: &[&str] = if wants_model(arguments) { &["--no-default-features"] } else { &[] };
    step("build toe", cargo().args(["build", "--package", "toe"]).args(features))?;
    step(command, cargo().args(["run", "--quiet", "--package", "toe"]).args(features).args(["--", command]).args(arguments))
}

/// Whether the arguments of a command ask for the model, or for `bench driver`, which has no other engine.
pub(crate) fn wants_model(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|a| a == "driver")
        || arguments.iter().any(|a| a == "--engine=model")
        || arguments.windows(2).any(|w| w[0] == "--engine" && w[1] == "model")
}
