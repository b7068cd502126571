//! `cargo xtask test-vfio`: the driver against the kernel's VFIO and an IOMMU, in a guest of QEMU's.

use crate::guest::cases::{self, Scene};
use crate::guest::machine::{self, Guest};
use crate::guest::{fetch, folder, host, image};
use anyhow::{Context, Result};
use std::fs;
use std::io::Read;
use std::path::Path;

/// Everything is fetched, built and kept in target/guest; the system is not touched.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only cases whose name holds this
    only: Vec<String>,
    /// What the device is: the Verilated hardware, or the untimed model of it
    #[arg(long, default_value = "rtl", value_parser = ["rtl", "model"])]
    engine: String,
    /// Boots the guest with a shell on this terminal instead of the cases
    #[arg(long)]
    shell: bool,
    /// Fetches QEMU, kernel and busybox again, in the versions of today
    #[arg(long)]
    refresh: bool,
}

impl Arguments {
    /// Every case, over the hardware.
    pub(crate) fn whole() -> Arguments {
        Arguments { only: Vec::new(), engine: "rtl".into(), shell: false, refresh: false }
    }
}

/// Fetches what is missing, boots the guest, runs the cases.
///
/// # Errors
/// Something is missing and cannot be fetched, or a case fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = folder()?;
    let system = fetch::ensure(&folder, arguments.refresh)?;
    let toe = image::host_program(&arguments.engine)?;
    let initramfs = image::initramfs(&folder, &system, &image::guest_program(&folder)?)?;
    host::enter_namespace()?;
    let device = host::device(&folder, &toe, &arguments.engine)?;
    make_file(&folder.join("www/big.bin"), 10 << 20)?;
    let _server = host::http_server(&folder, &folder.join("www"))?;
    if arguments.shell {
        eprintln!("==> the host's side, from another terminal: nsenter --net=/proc/{}/ns/net curl http://{}/", std::process::id(), host::GUEST);
        return machine::shell(&folder, &system, &initramfs);
    }
    let log = folder.join("serial.log");
    eprintln!("==> boot {}; the guest's console is kept in {}", system.versions, log.display());
    let guest = Guest::boot(&folder, &system, &initramfs)?;
    cases::run(&mut Scene { guest, device, folder }, &arguments.only)
}

/// A file of so many random bytes.
fn make_file(path: &Path, bytes: u64) -> Result<()> {
    let mut content = Vec::new();
    fs::File::open("/dev/urandom").context("/dev/urandom")?.take(bytes).read_to_end(&mut content).context("/dev/urandom")?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
