//! Giving a function to a driver, and taking it away.

use super::{io_error, link, Function, Sysfs, SysfsError};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks at what the kernel has done.
const PAUSE: Duration = Duration::from_millis(10);

impl Sysfs {
    /// Binds a function to `driver`, away from the one that has it; `any` does so for functions that are not our NIC.
    /// Whether it was bound before.
    ///
    /// # Errors
    /// Says what stands in the way: the function, an IOMMU, the driver's module, others in the group, a process, the right to do so.
    pub fn bind(&self, bdf: &str, driver: &str, any: bool) -> Result<bool, SysfsError> {
        let function = self.function(bdf)?;
        let bdf = function.bdf.as_str();
        if !any && !function.is_ours() {
            return Err(SysfsError::NotOurs { bdf: bdf.to_owned(), vendor: function.vendor, device: function.device });
        }
        self.viable(&function)?;
        if function.driver.as_deref() == Some(driver) {
            return Ok(false);
        }
        if !self.at("sys/bus/pci/drivers").join(driver).exists() {
            return Err(SysfsError::NoDriver { driver: driver.to_owned() });
        }
        let again = format!("bind {bdf}");
        self.set_driver(&function, Some(driver), &again)?;
        self.release(&function, &again)?;
        self.write("sys/bus/pci/drivers_probe", bdf, &again)?;
        self.wait_for(bdf, Some(driver)).map(|()| true)
    }

    /// Takes a function away from its driver, and lets the kernel look for one that wants it. The driver it was bound to.
    ///
    /// # Errors
    /// There is no such function, a process uses it, or the right to do so is missing.
    pub fn unbind(&self, bdf: &str) -> Result<Option<String>, SysfsError> {
        let function = self.function(bdf)?;
        let bdf = function.bdf.as_str();
        let by = self.holders(&function);
        if !by.is_empty() {
            // The kernel would make us wait until they have let it go.
            return Err(SysfsError::Held { bdf: bdf.to_owned(), by });
        }
        let again = format!("unbind {bdf}");
        self.set_driver(&function, None, &again)?;
        self.release(&function, &again)?;
        if function.driver.is_some() {
            self.wait_for(bdf, None)?;
            self.write("sys/bus/pci/drivers_probe", bdf, &again)?;
        }
        Ok(function.driver)
    }

    /// Says which driver alone may have the function; without one, any that knows it.
    fn set_driver(&self, function: &Function, driver: Option<&str>, again: &str) -> Result<(), SysfsError> {
        self.write(&format!("sys/bus/pci/devices/{}/driver_override", function.bdf), &format!("{}\n", driver.unwrap_or_default()), again)
    }

    fn release(&self, function: &Function, again: &str) -> Result<(), SysfsError> {
        match &function.driver {
            Some(driver) => self.write(&format!("sys/bus/pci/drivers/{driver}/unbind"), &function.bdf, again),
            None => Ok(()),
        }
    }

    fn write(&self, path: &str, text: &str, again: &str) -> Result<(), SysfsError> {
        let path = self.at(path);
        put(&path, text).map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => SysfsError::NotRoot { what: format!("writing {}", path.display()), command: again.to_owned() },
            _ => io_error(format!("writing {:?} to {}", text.trim(), path.display()), e),
        })
    }

    fn wait_for(&self, bdf: &str, expected: Option<&str>) -> Result<(), SysfsError> {
        let path = self.folder(bdf)?.join("driver");
        let until = Instant::now() + self.patience;
        loop {
            let found = link(&path);
            if found.as_deref() == expected {
                return Ok(());
            }
            if Instant::now() >= until {
                let expected = expected.map(str::to_owned);
                return Err(SysfsError::Refused { bdf: bdf.to_owned(), expected, found, patience: self.patience });
            }
            sleep(PAUSE);
        }
    }
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}
