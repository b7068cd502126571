//! What the kernel tells of PCI functions, IOMMU groups and memory in `/sys` and `/proc`, and binding a function to a driver.
//!
//! Every failure names the command that mends it. The root is a parameter, so that tests run on a tree that they made up.

mod bind;
mod check;

pub use check::Finding;

use crate::transport;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toe_contract::pci;

/// The driver that gives a function to user space.
pub const VFIO_PCI: &str = "vfio-pci";

/// `/sys`, `/proc` and `/dev`, below some root.
#[derive(Clone, Debug)]
pub struct Sysfs {
    root: PathBuf,
    patience: Duration,
}

/// A PCI function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its address, such as `0000:01:00.0`.
    pub bdf: String,
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// The driver that it is bound to.
    pub driver: Option<String>,
    /// Its IOMMU group.
    pub group: Option<u32>,
}

impl Function {
    /// Whether it is the NIC that this driver drives.
    pub fn is_ours(&self) -> bool {
        (self.vendor, self.device) == (pci::VENDOR, pci::DEVICE)
    }
}

/// A process that has something open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name, cut to 15 characters by the kernel.
    pub name: String,
}

/// Why a function cannot be bound, opened or released, and what mends it.
#[derive(Debug, thiserror::Error)]
pub enum SysfsError {
    /// Not an address.
    #[error("a PCI address is expected in the form 0000:01:00.0, found {0:?}; those of our NICs: toe devices")]
    Address(String),
    /// No such function.
    #[error("there is no PCI function {bdf}; those there are: toe devices --all; after programming a card: echo 1 > {rescan}")]
    Missing {
        /// The address.
        bdf: String,
        /// The kernel's file that makes it look again.
        rescan: String,
    },
    /// Somebody else's device.
    #[error("{bdf} is {vendor:04x}:{device:04x}, expected {:04x}:{:04x}; if it is to be bound all the same: toe bind --any {bdf}", pci::VENDOR, pci::DEVICE)]
    NotOurs {
        /// The address.
        bdf: String,
        /// Its vendor ID.
        vendor: u16,
        /// Its device ID.
        device: u16,
    },
    /// The kernel does not use an IOMMU.
    #[error("{bdf} is in no IOMMU group: {mend}")]
    NoIommu {
        /// The address.
        bdf: String,
        /// What switches the IOMMU on.
        mend: String,
    },
    /// The driver is not loaded.
    #[error("the kernel has no driver {driver}: modprobe {driver}")]
    NoDriver {
        /// Its name.
        driver: String,
    },
    /// The kernel was built without iommufd.
    #[error("the kernel has no iommufd (there is no /dev/iommu): expected CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV; without them: vfio:{bdf}")]
    NoIommufd {
        /// The address.
        bdf: String,
    },
    /// Others in the group belong to kernel drivers.
    #[error("IOMMU group {group} of {bdf} is not viable, for it holds {}; {}", members(.others), mend_group(.others))]
    NotViable {
        /// The address.
        bdf: String,
        /// The group.
        group: u32,
        /// Members with kernel drivers, and those drivers.
        others: Vec<(String, String)>,
    },
    /// It is bound to another driver than vfio-pci.
    #[error("{bdf} is expected to be bound to {VFIO_PCI}, found {}: toe bind {bdf}", .driver.as_deref().unwrap_or("no driver"))]
    NotBound {
        /// The address.
        bdf: String,
        /// The driver it is bound to.
        driver: Option<String>,
    },
    /// A process has it open.
    #[error("{bdf} is in use by {}: end it first: kill {}", holders(.by), pids(.by))]
    Held {
        /// The address.
        bdf: String,
        /// Who has it open.
        by: Vec<Holder>,
    },
    /// Somebody whom we cannot see has it open.
    #[error("{path} is in use by another process: fuser -v {path} as root names it; then end that, or use another function than {bdf}")]
    Busy {
        /// The address.
        bdf: String,
        /// The file.
        path: String,
    },
    /// The group's file is not ours to open.
    #[error("{path} may not be opened: as root, or let this user have it: sudo chown $USER {path}")]
    Forbidden {
        /// The file.
        path: String,
    },
    /// The kernel took the request and did nothing.
    #[error("{bdf} is {} {patience:?} after the kernel was asked, expected {}; what it says: dmesg | tail", bound_to(.found.as_deref()), bound_to(.expected.as_deref()))]
    Refused {
        /// The address.
        bdf: String,
        /// The driver it should be bound to, or none.
        expected: Option<String>,
        /// The driver it is bound to.
        found: Option<String>,
        /// How long was waited.
        patience: Duration,
    },
    /// The right to write into sysfs is missing.
    #[error("{what}: permission denied; as root: sudo toe {command}")]
    NotRoot {
        /// What was tried.
        what: String,
        /// The command to run as root.
        command: String,
    },
    /// Something else.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

fn members(list: &[(String, String)]) -> String {
    list.iter().map(|(bdf, driver)| format!("{bdf} (driver {driver})")).collect::<Vec<_>>().join(", ")
}
fn mend_group(list: &[(String, String)]) -> String {
    let lines: Vec<_> = list.iter().map(|(bdf, _)| format!("echo {bdf} > /sys/bus/pci/devices/{bdf}/driver/unbind")).collect();
    format!("release them if nothing needs them: {}; or put the card into a slot with a group of its own", lines.join("; "))
}
fn holders(list: &[Holder]) -> String {
    list.iter().map(|h| format!("{} (process {})", h.name, h.pid)).collect::<Vec<_>>().join(", ")
}
fn pids(list: &[Holder]) -> String {
    list.iter().map(|h| h.pid.to_string()).collect::<Vec<_>>().join(" ")
}
fn bound_to(driver: Option<&str>) -> String {
    driver.map_or_else(|| "bound to no driver".to_owned(), |d| format!("bound to {d}"))
}

impl Default for Sysfs {
    fn default() -> Self {
        Sysfs::below("/", Duration::from_secs(5))
    }
}

impl Sysfs {
    /// Below another root; `patience` is how long the kernel may take to bind.
    pub fn below(root: impl Into<PathBuf>, patience: Duration) -> Sysfs {
        Sysfs { root: root.into(), patience }
    }

    /// The function's folder.
    ///
    /// # Errors
    /// [`SysfsError::Address`] or [`SysfsError::Missing`].
    pub fn folder(&self, bdf: &str) -> Result<PathBuf, SysfsError> {
        let bdf = transport::bdf(bdf).ok_or_else(|| SysfsError::Address(bdf.to_owned()))?;
        let folder = self.at("sys/bus/pci/devices").join(&bdf);
        if folder.exists() {
            return Ok(folder);
        }
        Err(SysfsError::Missing { bdf, rescan: "/sys/bus/pci/rescan".to_owned() })
    }

    /// A function.
    ///
    /// # Errors
    /// There is none at that address, or it cannot be read.
    pub fn function(&self, bdf: &str) -> Result<Function, SysfsError> {
        let folder = self.folder(bdf)?;
        let bdf = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = |file: &str| -> Result<u16, SysfsError> {
            let text = read(&folder.join(file))?;
            u16::from_str_radix(text.trim().trim_start_matches("0x"), 16)
                .map_err(|e| io_error(format!("{}: {text:?}", folder.join(file).display()), io::Error::new(io::ErrorKind::InvalidData, e)))
        };
        let group = link(&folder.join("iommu_group")).and_then(|g| g.parse().ok());
        Ok(Function { bdf, vendor: id("vendor")?, device: id("device")?, driver: link(&folder.join("driver")), group })
    }

    /// All functions, by address.
    ///
    /// # Errors
    /// The kernel's list cannot be read.
    pub fn functions(&self) -> Result<Vec<Function>, SysfsError> {
        let folder = self.at("sys/bus/pci/devices");
        let mut addresses = match names(&folder) {
            Err(SysfsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        addresses.sort();
        addresses.iter().map(|bdf| self.function(bdf)).collect()
    }

    /// The functions of an IOMMU group, by address.
    ///
    /// # Errors
    /// The kernel's list cannot be read.
    pub fn members(&self, group: u32) -> Result<Vec<Function>, SysfsError> {
        let mut addresses = names(&self.at("sys/kernel/iommu_groups").join(group.to_string()).join("devices"))?;
        addresses.sort();
        addresses.iter().map(|bdf| self.function(bdf)).collect()
    }

    /// Who has a function open, as far as the right to look goes: processes with its group's file, or with its own, among theirs.
    pub fn holders(&self, function: &Function) -> Vec<Holder> {
        let mut files: Vec<PathBuf> = function.group.iter().map(|group| PathBuf::from(format!("/dev/vfio/{group}"))).collect();
        let own = names(&self.at("sys/bus/pci/devices").join(&function.bdf).join("vfio-dev")).unwrap_or_default();
        files.extend(own.iter().map(|name| Path::new("/dev/vfio/devices").join(name)));
        let processes = names(&self.at("proc")).unwrap_or_default();
        let mut found: Vec<Holder> = processes.iter().filter_map(|p| self.holds(p.parse().ok()?, &files)).collect();
        found.sort_by_key(|h| h.pid);
        found
    }

    fn holds(&self, pid: u32, files: &[PathBuf]) -> Option<Holder> {
        let process = self.at("proc").join(pid.to_string());
        let open = names(&process.join("fd")).ok()?;
        open.iter().find(|fd| fs::read_link(process.join("fd").join(fd)).is_ok_and(|to| files.contains(&to)))?;
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_owned();
        Some(Holder { pid, name })
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// The last part of where a link leads.
fn link(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.file_name()?.to_string_lossy().into_owned())
}

fn names(folder: &Path) -> Result<Vec<String>, SysfsError> {
    let list = fs::read_dir(folder).map_err(|e| io_error(folder.display(), e))?;
    Ok(list.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect())
}

fn read(path: &Path) -> Result<String, SysfsError> {
    fs::read_to_string(path).map_err(|e| io_error(path.display(), e))
}

fn io_error(what: impl ToString, source: io::Error) -> SysfsError {
    SysfsError::Io { what: what.to_string(), source }
}
