//! `toe devices`, `toe bind` and `toe unbind`: a real NIC, from the kernel's hands into ours and back.

use anyhow::{Context, Result};
use std::io::Write;
use toe_driver::sysfs::{Function, Sysfs, SysfsError, VFIO_PCI};

/// DMA memory of the stack with a connection on each of 256 flows, two rings of 256 KiB each, and the device's own rings.
const WANTED: u64 = 136 << 20;

/// Lists the NICs of this machine and says what each waits for
#[derive(clap::Args)]
pub(crate) struct DevicesArguments {
    /// All PCI functions, not only our NICs
    #[arg(long)]
    all: bool,
}

/// Gives a NIC to user space, away from the kernel's driver if one has it
#[derive(clap::Args)]
pub(crate) struct BindArguments {
    /// The NIC's PCI address, such as 0000:01:00.0 or 01:00.0
    bdf: String,
    /// The driver it is given to
    #[arg(long, default_value = VFIO_PCI)]
    driver: String,
    /// Even if it is another device than our NIC
    #[arg(long)]
    any: bool,
}

/// Takes a NIC out of user space, and lets the kernel's drivers have it
#[derive(clap::Args)]
pub(crate) struct UnbindArguments {
    /// The NIC's PCI address, such as 0000:01:00.0 or 01:00.0
    bdf: String,
}

/// Prints the list.
pub(crate) fn devices(arguments: &DevicesArguments) -> Result<()> {
    let sysfs = Sysfs::default();
    let functions: Vec<Function> = sysfs.functions()?.into_iter().filter(|f| arguments.all || f.is_ours()).collect();
    if functions.is_empty() {
        println!("no NIC with the ids of this driver; all there is: toe devices --all; after programming a card: echo 1 > /sys/bus/pci/rescan");
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<13} {:<10} {:<5} {:<12} WHAT NEXT", "ADDRESS", "ID", "GROUP", "DRIVER").context("standard output")?;
    for function in &functions {
        let next = if function.is_ours() { next(&sysfs, function) } else { String::new() };
        let (group, driver) = (function.group.map_or_else(|| "-".to_owned(), |g| g.to_string()), function.driver.as_deref().unwrap_or("-"));
        writeln!(out, "{:<13} {:04x}:{:04x}  {group:<5} {driver:<12} {next}", function.bdf, function.vendor, function.device).context("standard output")?;
    }
    warn(&sysfs);
    Ok(())
}

/// What a function waits for.
fn next(sysfs: &Sysfs, function: &Function) -> String {
    match sysfs.openable(&function.bdf) {
        Ok(_) => format!("ready: --device vfio:{}", function.bdf),
        Err(error) => error.to_string(),
    }
}

/// Binds, and says what is next.
pub(crate) fn bind(arguments: &BindArguments) -> Result<()> {
    let sysfs = Sysfs::default();
    let bound = sysfs.bind(&arguments.bdf, &arguments.driver, arguments.any)?;
    let function = sysfs.function(&arguments.bdf)?;
    println!("{} {} {}", function.bdf, if bound { "is now bound to" } else { "was bound already to" }, arguments.driver);
    if arguments.driver != VFIO_PCI {
        return Ok(());
    }
    match sysfs.openable(&function.bdf) {
        Ok(group) => println!("IOMMU group {group}: {}; next: toe serve --device vfio:{} --addr ADDRESS/PREFIX FOLDER", members(&sysfs, group)?, function.bdf),
        Err(error) => println!("before it can be opened: {error}"),
    }
    warn(&sysfs);
    Ok(())
}

/// Releases it.
pub(crate) fn unbind(arguments: &UnbindArguments) -> Result<()> {
    let sysfs = Sysfs::default();
    let was = sysfs.unbind(&arguments.bdf)?;
    let function = sysfs.function(&arguments.bdf)?;
    match (was, function.driver) {
        (None, _) => println!("{} was bound to no driver", function.bdf),
        (Some(was), None) => println!("{} is no longer bound to {was}", function.bdf),
        (Some(was), Some(now)) => println!("{} is no longer bound to {was}: {now} has taken it", function.bdf),
    }
    Ok(())
}

/// Who is in a group, each with its driver.
fn members(sysfs: &Sysfs, group: u32) -> Result<String, SysfsError> {
    let members = sysfs.members(group)?;
    Ok(members.iter().map(|m| format!("{} ({})", m.bdf, m.driver.as_deref().unwrap_or("no driver"))).collect::<Vec<_>>().join(", "))
}

fn warn(sysfs: &Sysfs) {
    for finding in sysfs.findings(WANTED) {
        eprintln!("note: {finding}");
    }
}
