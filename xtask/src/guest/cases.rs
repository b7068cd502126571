//! What is shown in the guest, in one boot.

mod binding;
mod faults;
mod traffic;

use super::host::{Background, GUEST};
use super::machine::{Guest, SHORT};
use anyhow::{bail, ensure, Context, Result};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the cases have at hand.
pub(crate) struct Scene {
    /// The guest.
    pub(crate) guest: Guest,
    /// The device that it sees.
    pub(crate) device: Background,
    /// Where the host keeps files.
    pub(crate) folder: PathBuf,
}

type Case = fn(&mut Scene) -> Result<()>;

/// In this order; each makes what it needs of the ones before, so that it can be run alone.
const CASES: &[(&str, Case)] = &[
    ("the NIC shows up in an IOMMU group of its own", binding::shows_up),
    ("without its module, bind names the modprobe", binding::names_the_module),
    ("toe devices and toe bind", binding::binds),
    ("an ordinary user is told what is missing, and then gets it", binding::ordinary_user),
    ("HTTP to the host, 10 MiB, closed by the client first", traffic::client_closes),
    ("HTTP to the host, 10 MiB, closed by the server first, TIME_WAIT to its end", traffic::server_closes),
    ("HTTP from the host, 10 MiB", traffic::fetches),
    ("the guest's kernel counts MSI-X interrupts", traffic::interrupts),
    ("DMA memory is of huge pages, given back at the end", traffic::huge_pages),
    ("unbind is refused while a program has the NIC, and says who", faults::held),
    ("DMA outside the mapped pages is refused and reported", faults::dma_refused),
    ("killed with -9 in mid-transfer, and started again", faults::killed),
    ("FLR in mid-transfer, and started again", faults::function_reset),
    ("unbind and rebind", binding::rebinds),
    ("what the driver costs here is measured", traffic::costs),
    ("the kernel has nothing to complain of", faults::kernel_is_content),
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
        let done = case(scene).and_then(|()| scene.device_lives());
        let word = if done.is_ok() { "ok    " } else { "FAILED" };
        println!("{word}  {:6.1} s  {name}", begin.elapsed().as_secs_f64());
        if let Err(error) = done {
            println!("                  {error:#}");
            failed.push(*name);
            scene.clean_up();
        }
    }
    println!("{} of {} cases in {:.0} s", chosen.len() - failed.len(), chosen.len(), begin.elapsed().as_secs_f64());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join("; "));
    }
    Ok(())
}

/// Where the stack in the guest answers `toe ss`.
const CONTROL: &str = "/tmp/control";

impl Scene {
    /// The NIC's PCI address.
    fn bdf(&mut self) -> Result<String> {
        let found = self.guest.ok("for d in /sys/bus/pci/devices/*; do [ $(cat $d/vendor):$(cat $d/device) = 0x1234:0x70e1 ] && basename $d; done; true")?;
        ensure!(
            !found.is_empty(),
            "no function with the NIC's ids; there are: {}",
            self.guest.ok("cat /sys/bus/pci/devices/*/uevent | grep -e PCI_ID -e SLOT")?
        );
        Ok(found)
    }

    /// Loads the kernel's VFIO modules, if that has not been done.
    fn load_modules(&mut self) -> Result<()> {
        self.guest.ok("[ -d /sys/bus/pci/drivers/vfio-pci ] || for m in $(cat /etc/modules); do insmod /lib/modules/$m.ko || break; done")?;
        self.guest.ok("test -d /sys/bus/pci/drivers/vfio-pci && test -c /dev/vfio/vfio").map(drop)
    }

    /// The NIC's PCI address, once it is bound to vfio-pci.
    fn bound(&mut self) -> Result<String> {
        self.load_modules()?;
        let bdf = self.bdf()?;
        self.guest.ok(&format!("toe bind {bdf}"))?;
        Ok(bdf)
    }

    /// Starts `toe serve` for the files of /srv in the guest: its process number.
    fn serve(&mut self) -> Result<u32> {
        self.serve_with("")
    }

    /// The same with further options.
    fn serve_with(&mut self, options: &str) -> Result<u32> {
        let bdf = self.bound()?;
        self.guest.ok("[ -f /srv/big.bin ] || dd if=/dev/urandom of=/srv/big.bin bs=1M count=10 2>/dev/null; echo small >/srv/small.txt")?;
        self.guest.ok("rm -f /tmp/serve.log")?;
        let serve = format!("toe serve --device vfio:{bdf} --addr {GUEST}/24 --msl 1 --control {CONTROL} {options} /srv");
        let pid = self.guest.ok(&format!("{serve} </dev/null >/tmp/serve.log 2>&1 & echo $!"))?.parse().context("a process number")?;
        let wait = format!("until grep -q 'serving /srv' /tmp/serve.log; do kill -0 {pid} || break; usleep 50000; done; cat /tmp/serve.log");
        let said = self.guest.ok(&wait)?;
        ensure!(said.contains("serving /srv"), "toe serve: {said}");
        Ok(pid)
    }

    /// Ends a program in the guest, and waits until it is gone.
    fn stop(&mut self, pid: u32, signal: &str) -> Result<()> {
        self.guest.ok(&format!("kill -{signal} {pid}; wait {pid} 2>/dev/null; true")).map(drop)
    }

    /// The sockets of the stack in the guest.
    fn sockets(&mut self) -> Result<String> {
        self.guest.ok(&format!("toe ss --control {CONTROL}"))
    }

    /// Asks again and again until `holds` says yes.
    fn until(&mut self, what: &str, patience: Duration, mut holds: impl FnMut(&mut Scene) -> Result<bool>) -> Result<()> {
        let end = Instant::now() + patience;
        while !holds(self)? {
            ensure!(Instant::now() < end, "{what}: not within {patience:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn device_lives(&mut self) -> Result<()> {
        ensure!(!self.device.ended(), "the device has ended; it says: {}", self.device.said());
        Ok(())
    }

    /// After a case that failed: nothing of it runs on.
    fn clean_up(&mut self) {
        if let Ok(answer) = self.guest.run("cat /tmp/serve.log 2>/dev/null | tail -5; killall -9 toe 2>/dev/null; wait; true", SHORT) {
            println!("                  toe serve said: {}", answer.text.trim().replace('\n', "\n                  "));
        }
    }
}
