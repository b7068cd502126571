//! What the guest boots: `toe`, statically linked, busybox, and the kernel's VFIO modules, in an initramfs.

use super::fetch::System;
use crate::run::{cargo, step};
use anyhow::{bail, Context, Result};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Modules, with what they need, in the order of loading.
const MODULES: &[&str] =
    &["virt/lib/irqbypass", "drivers/vfio/vfio", "drivers/vfio/vfio_iommu_type1", "drivers/vfio/pci/vfio-pci-core", "drivers/vfio/pci/vfio-pci"];

/// The first program of the guest: it reads a command a line and says how each ended.
const INIT: &str = include_str!("init.sh");

/// Builds `toe` without the simulator's hardware, statically linked: its path.
///
/// # Errors
/// The build fails.
pub(crate) fn guest_program(folder: &Path) -> Result<PathBuf> {
    let build = folder.join("build");
    let mut command = cargo();
    command.args(["build", "--package", "toe", "--bin", "toe", "--no-default-features", "--target", TARGET, "--target-dir"]).arg(&build);
    step("toe for the guest, statically linked", command.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    Ok(build.join(TARGET).join("debug/toe"))
}

/// Builds `toe` for the host, with the hardware in it unless the model is wanted.
///
/// # Errors
/// The build fails.
pub(crate) fn host_program(engine: &str) -> Result<PathBuf> {
    let features: &[&str] = if engine == "model" { &["--no-default-features"] } else { &[] };
    step("toe for the host", cargo().args(["build", "--package", "toe", "--bin", "toe"]).args(features))?;
    Ok(super::target()?.join("debug/toe"))
}

/// Packs the initramfs and returns its path.
///
/// # Errors
/// Something to pack is missing.
pub(crate) fn initramfs(folder: &Path, system: &System, toe: &Path) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for name in ["bin", "dev", "etc", "lib", "lib/modules", "mnt", "proc", "sys", "tmp", "srv"] {
        archive.folder(name);
    }
    archive.console();
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("bin/busybox", 0o755, &read(&system.busybox())?);
    archive.file("bin/toe", 0o755, &stripped(toe)?);
    let mut list = String::new();
    for module in MODULES {
        let name = module.rsplit('/').next().unwrap_or(module);
        list += &format!("{name}\n");
        archive.file(&format!("lib/modules/{name}.ko"), 0o644, &unpacked(&system.modules.join("kernel").join(format!("{module}.ko.xz")))?);
    }
    archive.file("etc/passwd", 0o644, b"root::0:0:root:/:/bin/sh\nuser::1000:1000:an ordinary user:/tmp:/bin/sh\n");
    archive.file("etc/modules", 0o644, list.as_bytes());
    let path = folder.join("initramfs");
    let mut file = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(&archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A program's bytes without its symbols.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let to = program.with_extension("stripped");
    let status = Command::new("strip").arg("-o").arg(&to).arg(program).status().context("strip could not be started: apt-get install binutils")?;
    if !status.success() {
        bail!("strip {} ended with {status}", program.display());
    }
    read(&to)
}

/// What an .xz file holds.
fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let output = Command::new("xz").arg("-dc").arg(path).output().context("xz could not be started: apt-get install xz-utils")?;
    if !output.status.success() {
        bail!("xz -dc {} ended with {}", path.display(), output.status);
    }
    Ok(output.stdout)
}

/// A cpio archive in the "newc" format (the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, (0, 0), &[]);
    }
    fn file(&mut self, name: &str, permissions: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | permissions, (0, 0), content);
    }
    /// `/dev/console`, which the kernel opens for init before anything is mounted.
    fn console(&mut self) {
        self.entry("dev/console", 0o020_600, (5, 1), &[]);
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let sizes = (content.len(), name.len() + 1);
        // Magic, inode, mode, uid, gid, links, time, size, device (2), special device (2), name's size, checksum: eight hexadecimal digits each.
        let fields = [self.inode, mode, 0, 0, 1, 0].map(|f| format!("{f:08x}")).concat();
        let header = format!("070701{fields}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}", sizes.0, 0, 0, device.0, device.1, sizes.1, 0);
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read back field by field, as the kernel's document has them.
    #[test]
    fn archive_has_headers_of_110_bytes_at_multiples_of_four() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.file("bin/a", 0o755, b"hello");
        archive.console();
        let bytes = archive.finish();
        let mut at = 0;
        let mut names = Vec::new();
        while at < bytes.len() {
            let field = |k: usize| usize::from_str_radix(std::str::from_utf8(&bytes[at + 6 + 8 * k..at + 14 + 8 * k]).unwrap(), 16).unwrap();
            assert_eq!(&bytes[at..at + 6], b"070701", "magic at {at}");
            let (size, name) = (field(6), field(11));
            names.push((String::from_utf8(bytes[at + 110..at + 110 + name - 1].to_vec()).unwrap(), field(1), size));
            at = (at + 110 + name).next_multiple_of(4);
            at = (at + size).next_multiple_of(4);
        }
        let expected = [("bin", 0o040_755, 0), ("bin/a", 0o100_755, 5), ("dev/console", 0o020_600, 0), ("TRAILER!!!", 0, 0)];
        assert_eq!(names, expected.map(|(n, m, s)| (n.to_owned(), m, s)));
    }
}
