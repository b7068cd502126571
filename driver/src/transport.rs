//! Which way to a device, by name.

use crate::vfio::VfioBus;
use crate::vfio_user::VfioUserBus;
use crate::{Bus, BusError};
use core::fmt;
use core::str::FromStr;
use std::path::PathBuf;
use std::sync::Arc;

/// A way to a device outside this process, as it is written on a command line.
///
/// ```
/// use toe_driver::transport::Transport;
/// let card: Transport = "vfio:01:00.0".parse()?;
/// assert_eq!(card.to_string(), "vfio:0000:01:00.0");
/// # Ok::<(), toe_driver::transport::TransportError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `vfio:BDF`: the function with that address, bound to `vfio-pci`. Without a domain, domain 0000 is meant.
    Vfio(String),
    /// `iommufd:BDF`: the same without groups, by the kernel's iommufd; only with the cargo feature `iommufd`.
    Iommufd(String),
    /// `vfio-user:PATH`: the function behind the vfio-user server that listens there.
    VfioUser(PathBuf),
}

/// A name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected vfio:BDF such as vfio:0000:01:00.0, or vfio-user:PATH such as vfio-user:/tmp/toe.sock, found {0:?}")]
pub struct TransportError(String);

impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Transport, TransportError> {
        let wrong = || TransportError(text.to_owned());
        match text.split_once(':') {
            Some(("vfio", address)) => bdf(address).map(Transport::Vfio).ok_or_else(wrong),
            Some(("iommufd", address)) => bdf(address).map(Transport::Iommufd).ok_or_else(wrong),
            Some(("vfio-user", path)) if !path.is_empty() => Ok(Transport::VfioUser(path.into())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Vfio(address) => write!(f, "vfio:{address}"),
            Transport::Iommufd(address) => write!(f, "iommufd:{address}"),
            Transport::VfioUser(path) => write!(f, "vfio-user:{}", path.display()),
        }
    }
}

impl Transport {
    /// Opens the device.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn open(&self) -> Result<Arc<dyn Bus>, BusError> {
        Ok(match self {
            Transport::Vfio(address) => Arc::new(VfioBus::open(address)?),
            #[cfg(feature = "iommufd")]
            Transport::Iommufd(address) => Arc::new(VfioBus::open_by_iommufd(address)?),
            #[cfg(not(feature = "iommufd"))]
            Transport::Iommufd(address) => {
                return Err(BusError::Gone(format!("this program was built without iommufd: cargo build --features iommufd, or vfio:{address}")))
            }
            Transport::VfioUser(path) => Arc::new(VfioUserBus::open(path)?),
        })
    }
}

/// A PCI address with its domain: `01:00.0` and `0000:01:00.0` are the same.
pub(crate) fn bdf(text: &str) -> Option<String> {
    let hex = |s: &str, digits: usize| s.len() == digits && s.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let whole = match parts[..] {
        [b, s, f] if hex(b, 2) && hex(s, 2) && hex(f, 1) => format!("0000:{b}:{s}.{f}"),
        [d, b, s, f] if hex(d, 4) && hex(b, 2) && hex(s, 2) && hex(f, 1) => format!("{d}:{b}:{s}.{f}"),
        _ => return None,
    };
    (text == whole || format!("0000:{text}") == whole).then(|| whole.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        for (text, whole) in [
            ("vfio:0000:01:00.0", "vfio:0000:01:00.0"),
            ("vfio:0A:1f.7", "vfio:0000:0a:1f.7"),
            ("vfio:1234:01:00.0", "vfio:1234:01:00.0"),
            ("iommufd:01:00.0", "iommufd:0000:01:00.0"),
            ("vfio-user:/tmp/toe.sock", "vfio-user:/tmp/toe.sock"),
            ("vfio-user:a:b", "vfio-user:a:b"),
        ] {
            assert_eq!(text.parse::<Transport>().map(|t| t.to_string()), Ok(whole.to_owned()));
        }
        for bad in [
            "",
            "vfio",
            "vfio:",
            "vfio:01",
            "vfio:01.00.0",
            "vfio:01:00:0",
            "vfio:1:0.0",
            "pci:01:00.0",
            "iommufd:01",
            "vfio:01:00.0 ",
            "vfio-user",
            "vfio-user:",
        ] {
            let error = bad.parse::<Transport>().expect_err(bad).to_string();
            assert!(error.contains("expected") && error.contains(&format!("{bad:?}")), "{error}");
        }
    }
}
