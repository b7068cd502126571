//! `cargo xtask test-vfio`: the driver against the kernel's VFIO and an IOMMU, in a guest of QEMU's.

use crate::guest::cases::{self, Scene};
use crate::guest::machine::Guest;
use crate::guest::{fetch, folder, host, image};
use anyhow::Result;

/// Everything is fetched, built and kept in target/guest; the system is not touched.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only cases whose name holds this
    only: Vec<String>,
    /// Fetches QEMU, kernel and busybox again, in the versions of today
    #[arg(long)]
    refresh: bool,
}

/// Fetches what is missing, boots the guest, runs the cases.
///
/// # Errors
/// Something is missing and cannot be fetched, or a case fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = folder()?;
    let system = fetch::ensure(&folder, arguments.refresh)?;
    let initramfs = image::initramfs(&folder, &system, &image::programs(&folder)?)?;
    host::enter_namespace()?;
    eprintln!("==> boot {}; the guest's console is kept in {}", system.versions, folder.join("serial.log").display());
    let guest = Guest::boot(&folder, &system, &initramfs, None)?;
    cases::run(&mut Scene { guest }, &arguments.only)
}
