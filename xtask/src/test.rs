//! `cargo xtask test`: what CI runs.

use crate::run::{cargo, step, toe};
use crate::test_vfio;
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only format and lints
    #[arg(long)]
    lint: bool,
}

/// Those of the host's test files that touch no engine: pure state machine, timers, tables.
const WITHOUT_ENGINE: &[&str] = &["parts", "table"];

/// Format, lints, every test; then the host's tests again with the hardware under them, those against the kernel once more with the hardware in a
/// process of its own behind vfio-user, the demonstration, and the driver over the kernel's VFIO in a guest.
///
/// # Errors
/// The first step that fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    step("lints", cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    step("lints of what no kernel here has", cargo().args(["clippy", "--package", "toe-driver", "--features", "iommufd", "--", "--deny", "warnings"]))?;
    if !arguments.lint {
        step("tests", cargo().args(["test", "--workspace", "--no-fail-fast"]))?;
        let files = files_with_engine()?;
        step("the host's tests on the hardware", host_tests(&files).env("TOE_ENGINE", "rtl"))?;
        let linux: Vec<String> = files.into_iter().filter(|file| file.starts_with("linux")).collect();
        step("build toe", cargo().args(["build", "--package", "toe"]))?;
        let title = "the tests against the Linux kernel, the hardware in a process of its own behind vfio-user";
        step(title, host_tests(&linux).env("TOE_ENGINE", "rtl").env("TOE_DEVICE", "vfio-user"))?;
        toe("demo", &[])?;
        test_vfio::run(&test_vfio::Arguments::whole())?;
    }
    Ok(())
}

/// Tests of the host, by file.
fn host_tests(files: &[String]) -> Command {
    let mut tests = cargo();
    tests.args(["test", "--package", "toe-host-lib", "--no-fail-fast"]).args(files.iter().flat_map(|file| ["--test", file]));
    tests
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
