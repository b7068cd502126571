//! From the kernel's hands into ours, and back.

use super::Scene;
use anyhow::{ensure, Result};

pub(super) fn shows_up(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bdf()?;
    let class = scene.guest.ok(&format!("cat /sys/bus/pci/devices/{bdf}/class"))?;
    ensure!(class == "0x020000", "class: expected an Ethernet controller, 0x020000, found {class}");
    let members = scene.guest.ok(&format!("ls /sys/bus/pci/devices/{bdf}/iommu_group/devices"))?;
    ensure!(members == bdf, "its IOMMU group: expected {bdf} alone, found {members:?}");
    let kind = scene.guest.ok(&format!("cat /sys/bus/pci/devices/{bdf}/iommu_group/type"))?;
    ensure!(kind.starts_with("DMA"), "its IOMMU group: expected translated DMA, found {kind}");
    Ok(())
}

/// Only on a fresh boot is the module not there.
pub(super) fn names_the_module(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bdf()?;
    let answer = scene.guest.run(&format!("[ -d /sys/bus/pci/drivers/vfio-pci ] || toe bind {bdf}"), super::SHORT)?;
    ensure!(answer.status == 1 && answer.text.contains("modprobe vfio-pci"), "toe bind: status {}: {}", answer.status, answer.text);
    scene.load_modules()
}

pub(super) fn binds(scene: &mut Scene) -> Result<()> {
    scene.load_modules()?;
    let bdf = scene.bdf()?;
    let before = scene.guest.ok("toe devices")?;
    ensure!(before.contains(&bdf) && before.contains(&format!("toe bind {bdf}")), "toe devices, before: {before}");
    let bind = scene.guest.ok(&format!("toe bind {bdf}"))?;
    ensure!(bind.contains("is now bound to vfio-pci") && bind.contains(&format!("{bdf} (vfio-pci)")), "toe bind: {bind}");
    let after = scene.guest.ok("toe devices")?;
    ensure!(after.contains(&format!("ready: --device vfio:{bdf}")), "toe devices, after: {after}");
    scene.guest.ok(&format!("test -c /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/{bdf}/iommu_group))")).map(drop)
}

/// First the group's file, then the memory that may be locked, then all is well.
pub(super) fn ordinary_user(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let file = scene.guest.ok(&format!("echo /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/{bdf}/iommu_group))"))?;
    let probe = format!("su user -c 'toe probe --device vfio:{bdf}'");
    let refused = scene.guest.run(&probe, super::SHORT)?;
    ensure!(refused.status == 1 && refused.text.contains(&format!("sudo chown $USER {file}")), "status {}: {}", refused.status, refused.text);
    scene.guest.ok(&format!("chown user {file}"))?;
    let short = scene.guest.run(&format!("(ulimit -l 1024; {probe})"), super::SHORT)?;
    ensure!(short.status == 1 && short.text.contains("1024 KiB may be locked in all: mend: ulimit -l"), "status {}: {}", short.status, short.text);
    let well = scene.guest.ok(&format!("(ulimit -l unlimited; {probe})"))?;
    ensure!(well.contains("after a reset it works again"), "toe probe: {well}");
    scene.guest.ok(&format!("chown root {file}")).map(drop)
}

pub(super) fn rebinds(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let unbind = scene.guest.ok(&format!("toe unbind {bdf}"))?;
    ensure!(unbind.contains("no longer bound to vfio-pci"), "toe unbind: {unbind}");
    let open = scene.guest.run(&format!("toe get --device vfio:{bdf} --addr 192.0.2.2/24 http://192.0.2.1/"), super::SHORT)?;
    ensure!(open.status == 1 && open.text.contains(&format!("toe bind {bdf}")), "opened although unbound: status {}: {}", open.status, open.text);
    let bind = scene.guest.ok(&format!("toe bind {bdf}"))?;
    ensure!(bind.contains("is now bound"), "toe bind: {bind}");
    super::traffic::small_fetch(scene)
}
