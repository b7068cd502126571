//! What must be so before a function can be opened, and what should.

use super::{read, Function, Sysfs, SysfsError, VFIO_PCI};
use core::fmt;
use std::fs::OpenOptions;
use std::io;

/// Drivers under which a member of a group does no DMA of its own: they do not stand in the way of the others.
const HARMLESS: [&str; 3] = [VFIO_PCI, "pcieport", "pci-stub"];
/// CAP_IPC_LOCK: RLIMIT_MEMLOCK does not count (`linux/capability.h`).
const IPC_LOCK: u32 = 14;
const MEND_MEMLOCK: &str = "mend: ulimit -l unlimited, or as root: prlimit --memlock=unlimited --pid $$";
const HUGE_PAGES: &str = "sys/kernel/mm/hugepages/hugepages-2048kB";

/// What does not stop the driver, but makes it slow, or may stop it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The kernel has no free huge pages of 2 MiB.
    NoHugePages {
        /// How many it has in all; none if it does not know them.
        total: Option<u64>,
    },
    /// Less memory may be locked than the driver wants, in bytes.
    Memlock {
        /// What may be locked.
        limit: u64,
        /// What is wanted.
        wanted: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NoHugePages { total: None } => write!(f, "this kernel has no huge pages of 2 MiB: DMA memory is mapped in pages of 4 KiB"),
            Finding::NoHugePages { total: Some(total) } => {
                write!(
                    f,
                    "none of {total} huge pages is free: DMA memory is mapped in pages of 4 KiB, which is slow; mend: echo {} > /{HUGE_PAGES}/nr_hugepages",
                    total + 64
                )
            }
            Finding::Memlock { limit, wanted } => {
                write!(f, "{} KiB of memory may be locked, and the driver wants up to {} KiB; {MEND_MEMLOCK}", limit / 1024, wanted / 1024)
            }
        }
    }
}

impl Sysfs {
    /// Checks that a function can be opened by VFIO: its group, its driver, the group's file. Returns the group.
    ///
    /// # Errors
    /// Says what stands in the way.
    pub fn openable(&self, bdf: &str) -> Result<u32, SysfsError> {
        let group = self.free(bdf)?;
        for path in ["dev/vfio/vfio".to_owned(), format!("dev/vfio/{group}")] {
            match OpenOptions::new().read(true).write(true).open(self.at(&path)) {
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return Err(SysfsError::Forbidden { path: format!("/{path}") }),
                Err(e) if e.kind() == io::ErrorKind::NotFound && path.ends_with("/vfio") => {
                    return Err(SysfsError::NoDriver { driver: "vfio_iommu_type1".to_owned() });
                }
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) => return Err(SysfsError::Busy { bdf: bdf.to_owned(), path: format!("/{path}") }),
                Err(source) => return Err(SysfsError::Io { what: format!("opening /{path}"), source }),
                Ok(_) => {}
            }
        }
        Ok(group)
    }

    /// Checks that a function can be opened by iommufd: its driver, and that the kernel has iommufd.
    ///
    /// # Errors
    /// Says what stands in the way.
    pub fn openable_by_iommufd(&self, bdf: &str) -> Result<(), SysfsError> {
        self.free(bdf)?;
        match OpenOptions::new().read(true).write(true).open(self.at("dev/iommu")) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(SysfsError::NoIommufd { bdf: bdf.to_owned() }),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(SysfsError::Forbidden { path: "/dev/iommu".to_owned() }),
            Err(source) => Err(SysfsError::Io { what: "opening /dev/iommu".to_owned(), source }),
        }
    }

    /// The group of a function that is bound to vfio-pci and that nobody uses.
    fn free(&self, bdf: &str) -> Result<u32, SysfsError> {
        let function = self.function(bdf)?;
        let group = self.viable(&function)?;
        if function.driver.as_deref() != Some(VFIO_PCI) {
            return Err(SysfsError::NotBound { bdf: function.bdf, driver: function.driver });
        }
        let by = self.holders(&function);
        if !by.is_empty() {
            return Err(SysfsError::Held { bdf: function.bdf, by });
        }
        Ok(group)
    }

    /// The group of a function, if nothing in it stands in the way of VFIO.
    ///
    /// # Errors
    /// There is no IOMMU, or kernel drivers hold other members.
    pub(super) fn viable(&self, function: &Function) -> Result<u32, SysfsError> {
        let bdf = function.bdf.clone();
        let Some(group) = function.group else { return Err(SysfsError::NoIommu { bdf, mend: self.switch_on_iommu() }) };
        let members = self.members(group)?.into_iter().filter(|m| m.bdf != function.bdf);
        let others: Vec<_> = members.filter_map(|m| Some((m.bdf, m.driver.filter(|d| !HARMLESS.contains(&d.as_str()))?))).collect();
        if others.is_empty() {
            return Ok(group);
        }
        Err(SysfsError::NotViable { bdf, group, others })
    }

    /// What switches the IOMMU on, on this machine.
    fn switch_on_iommu(&self) -> String {
        let has = |path: &str, what: &str| read(&self.at(path)).is_ok_and(|text| text.contains(what));
        let amd = has("proc/cpuinfo", "AuthenticAMD");
        let (name, parameter) = if amd { ("AMD-Vi (IOMMU)", "amd_iommu=force_enable") } else { ("VT-d", "intel_iommu=on") };
        let units = std::fs::read_dir(self.at("sys/class/iommu")).is_ok_and(|mut list| list.next().is_some());
        if units {
            return "there is an IOMMU, but not for this function: put the card into another slot".to_owned();
        }
        if has("proc/cmdline", parameter) {
            return format!("{parameter} is given, yet the kernel has found no IOMMU: switch {name} on in the firmware's setup; what it says: dmesg | grep -e DMAR -e AMD-Vi");
        }
        format!("switch {name} on in the firmware's setup, add {parameter} to GRUB_CMDLINE_LINUX in /etc/default/grub, then: update-grub && reboot")
    }

    /// What should be mended, with a driver that wants `wanted` bytes of DMA memory.
    pub fn findings(&self, wanted: u64) -> Vec<Finding> {
        let mut all = Vec::new();
        let number = |file: &str| read(&self.at(HUGE_PAGES).join(file)).ok()?.trim().parse::<u64>().ok();
        if number("free_hugepages").unwrap_or(0) == 0 {
            all.push(Finding::NoHugePages { total: number("nr_hugepages") });
        }
        if let Some(limit) = self.memlock().filter(|limit| *limit < wanted) {
            all.push(Finding::Memlock { limit, wanted });
        }
        all
    }

    /// Why the kernel may have refused to lock memory, and what mends it, as the end of a message.
    pub(crate) fn why_not_locked(&self) -> String {
        self.memlock().map_or_else(String::new, |limit| format!("; {} KiB may be locked in all: {MEND_MEMLOCK}", limit / 1024))
    }

    /// Bytes that this process may lock, if there is a limit.
    fn memlock(&self) -> Option<u64> {
        if self.may_lock_all() {
            return None;
        }
        let limits = read(&self.at("proc/self/limits")).ok()?;
        limits.lines().find_map(|l| l.strip_prefix("Max locked memory"))?.split_whitespace().next()?.parse().ok()
    }

    fn may_lock_all(&self) -> bool {
        let status = read(&self.at("proc/self/status")).unwrap_or_default();
        let effective = status.lines().find_map(|l| u64::from_str_radix(l.strip_prefix("CapEff:")?.trim(), 16).ok());
        effective.is_some_and(|set| set >> IPC_LOCK & 1 == 1)
    }
}
