//! A guest with an IOMMU, in QEMU, in which the kernel's VFIO meets the simulated NIC.
//!
//! ```text
//!   fetch     Debian's QEMU, kernel and busybox, beside the system     image    `toe`, statically linked, and an initramfs
//!   console   the guest's shell: a command in, output and status back  machine  QEMU
//!   host      namespace with a TAP, the device, an HTTP server         cases    what is shown
//! ```

pub(crate) mod cases;
pub(crate) mod console;
pub(crate) mod fetch;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod machine;

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Where cargo builds.
pub(crate) fn target() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    target.canonicalize().with_context(|| format!("cannot find {}", target.display()))
}

/// Everything of the guest's: nothing outside is written.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = target()?.join("guest");
    fs::create_dir_all(folder.join("www")).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
