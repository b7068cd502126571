//! `cargo xtask test`: what CI runs.

use crate::run::{cargo, step, toe};
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::Path;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only format and lints
    #[arg(long)]
    lint: bool,
}

/// Those of the host's test files that touch no engine: pure state machine, timers, tables.
const WITHOUT_ENGINE: &[&str] = &["parts", "table"];

/// Format, lints, every test; then the host's tests again with the hardware under them, and the demonstration.
///
/// # Errors
/// The first step that fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    step("lints", cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    if !arguments.lint {
        step("tests", cargo().args(["test", "--workspace", "--no-fail-fast"]))?;
        let mut hardware = cargo();
        hardware.args(["test", "--package", "toe-host-lib", "--no-fail-fast"]).env("TOE_ENGINE", "rtl");
        for file in files_with_engine()? {
            hardware.args(["--test", &file]);
        }
        step("the host's tests on the hardware", &mut hardware)?;
        toe("demo", &[])?;
    }
    Ok(())
}

/// The host's test files, by name, but for [`WITHOUT_ENGINE`].
fn files_with_engine() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host-lib/tests");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".rs")?.to_owned()));
    let (without, mut with): (Vec<String>, Vec<String>) = names.partition(|name| WITHOUT_ENGINE.contains(&name.as_str()));
    if without.len() != WITHOUT_ENGINE.len() {
        bail!("expected {WITHOUT_ENGINE:?} in {}, found {without:?}", folder.display());
    }
    with.sort();
    Ok(with)
}
