//! The virtual machine: one processor, a gigabyte, an Intel IOMMU with interrupt remapping, and the NIC behind a root port.

use super::console::{Answer, Console};
use super::fetch::System;
use super::host::{tied, SOCKET};
use anyhow::{bail, Context, Result};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Without KVM, from start to the first command: 8 s on an idle machine.
const BOOT: Duration = Duration::from_secs(180);
/// What a command that does nothing long may take.
pub(crate) const SHORT: Duration = Duration::from_secs(60);

/// QEMU with the guest's kernel, run in the guest's folder.
fn qemu(folder: &Path, system: &System, initramfs: &Path, append: &str) -> Command {
    let mut qemu = system.qemu();
    qemu.current_dir(folder);
    qemu.args("-nodefaults -no-user-config -display none -no-reboot -accel tcg -cpu max -smp 1 -m 1G".split(' '));
    qemu.args("-M q35,kernel-irqchip=split -object memory-backend-memfd,id=m0,size=1G,share=on -machine memory-backend=m0".split(' '));
    qemu.args("-device intel-iommu,intremap=on,caching-mode=on -device pcie-root-port,id=rp0,bus=pcie.0,chassis=1,slot=1".split(' '));
    let socket = serde_json::json!({ "type": "unix", "path": SOCKET });
    // Patience: a hardware description in a simulator answers late on a busy machine, and a late answer ends the connection for good.
    let function = serde_json::json!({ "driver": "vfio-user-pci", "bus": "rp0", "socket": socket, "x-msg-timeout": 60_000 });
    qemu.arg("-device").arg(function.to_string());
    // On a busy machine the timer comes too late for the kernel's check of it, which is taken for an IO-APIC that does not work, and an emulated
    // processor may stand still for longer than the kernel's watchdogs allow.
    let kernel =
        "console=ttyS0 panic=-1 no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1 intel_iommu=on iommu=nopt mitigations=off loglevel=3 hugepages=64";
    qemu.arg("-kernel").arg(&system.kernel).arg("-initrd").arg(initramfs).args(["-append", &format!("{kernel} {append}")]);
    qemu
}

/// Boots the guest with a shell on this terminal, until it is left.
///
/// # Errors
/// QEMU cannot be started, or fails.
pub(crate) fn shell(folder: &Path, system: &System, initramfs: &Path) -> Result<()> {
    let status = qemu(folder, system, initramfs, "toe.shell").args(["-serial", "mon:stdio"]).status().context("QEMU could not be started")?;
    if !status.success() {
        bail!("QEMU ended with {status}");
    }
    Ok(())
}

/// A running guest. It ends with this object.
pub(crate) struct Guest {
    qemu: Child,
    console: Console,
}

impl Guest {
    /// Boots it, and waits until it takes commands. The console is kept in `serial.log`, what QEMU says in `qemu.log`.
    ///
    /// # Errors
    /// QEMU cannot be started, or the guest does not come up.
    pub(crate) fn boot(folder: &Path, system: &System, initramfs: &Path) -> Result<Guest> {
        let file = |name: &str| File::create(folder.join(name)).with_context(|| format!("cannot write {name}"));
        let mut command = qemu(folder, system, initramfs, "");
        command.args(["-serial", "stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file("qemu.log")?);
        let mut qemu = tied(&mut command).spawn().context("QEMU could not be started")?;
        let (Some(stdin), Some(stdout)) = (qemu.stdin.take(), qemu.stdout.take()) else { bail!("QEMU without its console") };
        let console = Console::new(stdin, stdout, file("serial.log")?)?;
        let mut guest = Guest { qemu, console };
        guest.console.answer(BOOT).with_context(|| {
            let said = std::fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
            format!("the guest does not come up; QEMU says: {}", said.trim())
        })?;
        Ok(guest)
    }

    /// Runs a command line in it.
    ///
    /// # Errors
    /// It does not end in time.
    pub(crate) fn run(&mut self, command: &str, patience: Duration) -> Result<Answer> {
        self.console.run(command, patience)
    }

    /// Runs a short command that must succeed: its output.
    ///
    /// # Errors
    /// It fails, or does not end in time.
    pub(crate) fn ok(&mut self, command: &str) -> Result<String> {
        let Answer { text, status } = self.run(command, SHORT)?;
        if status != 0 {
            bail!("in the guest: {command}: ended with {status}: {text}");
        }
        Ok(text)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
