//! What is shown in the guest, in one boot.

use super::machine::Guest;
use anyhow::{bail, ensure, Result};
use std::time::Instant;

/// What the cases have at hand.
pub(crate) struct Scene {
    /// The guest.
    pub(crate) guest: Guest,
}

type Case = fn(&mut Scene) -> Result<()>;

/// In this order: each finds the guest as the one before leaves it.
const CASES: &[(&str, Case)] = &[
    ("the guest has an IOMMU", has_iommu),
    ("the guest has huge pages", has_huge_pages),
    ("the kernel's VFIO modules load", modules_load),
    ("the statically linked program runs", program_runs),
];

/// Runs those cases whose name holds one of `only` (all if there is none), and prints how each went.
///
/// # Errors
/// A case failed.
pub(crate) fn run(scene: &mut Scene, only: &[String]) -> Result<()> {
    let begin = Instant::now();
    let chosen: Vec<_> = CASES.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| name.contains(o.as_str()))).collect();
    ensure!(!chosen.is_empty(), "no case is named so; there are: {}", CASES.iter().map(|c| c.0).collect::<Vec<_>>().join("; "));
    let mut failed = Vec::new();
    for (name, case) in &chosen {
        let begin = Instant::now();
        let done = case(scene);
        let word = if done.is_ok() { "ok    " } else { "FAILED" };
        println!("{word}  {:6.1} s  {name}", begin.elapsed().as_secs_f64());
        if let Err(error) = done {
            println!("                  {error:#}");
            failed.push(*name);
        }
    }
    println!("{} of {} cases in {:.0} s", chosen.len() - failed.len(), chosen.len(), begin.elapsed().as_secs_f64());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join("; "));
    }
    Ok(())
}

fn has_iommu(scene: &mut Scene) -> Result<()> {
    let units = scene.guest.ok("ls /sys/class/iommu")?;
    ensure!(units.contains("dmar0"), "/sys/class/iommu: expected dmar0, found {units:?}");
    Ok(())
}

fn has_huge_pages(scene: &mut Scene) -> Result<()> {
    let free = scene.guest.ok("cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")?;
    ensure!(free == "64", "free huge pages: expected 64, found {free}");
    Ok(())
}

fn modules_load(scene: &mut Scene) -> Result<()> {
    scene.guest.ok("for m in $(cat /etc/modules); do insmod /lib/modules/$m.ko || break; done")?;
    scene.guest.ok("test -d /sys/bus/pci/drivers/vfio-pci && test -c /dev/vfio/vfio")?;
    Ok(())
}

fn program_runs(scene: &mut Scene) -> Result<()> {
    let version = scene.guest.ok("toe --version")?;
    ensure!(version.starts_with("toe "), "toe --version: {version}");
    Ok(())
}
