//! `toe probe`: the first look at a NIC, and at what keeps it from memory that is not its own.

use anyhow::{bail, Context, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::register;
use toe_driver::transport::Transport;
use toe_driver::{Nanoseconds, Nic, NicConfig, NicError};

/// How long the device may take to report a fault.
const DEADLINE: Nanoseconds = Nanoseconds::from_secs(30);
/// Status of a PCI function (PCI Express 7.5.1.1.4), and its bit Received Master Abort: a request went where nothing is.
const STATUS: u64 = 6;
const MASTER_ABORT: u16 = 1 << 13;
/// The last of the bus addresses; the stack takes the first.
const FAR: u64 = 0x10000;

/// Opens a NIC, tells what it is, and shows that it is kept from memory that is not mapped for it
///
/// It is told of a frame at a bus address where nothing is. The access must be refused and reported, and a reset must mend it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The device: vfio:BDF, or vfio-user:PATH
    #[arg(long)]
    device: Transport,
}

/// Prints a line for each thing that holds.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let bus = arguments.device.open()?;
    let mut nic = Nic::open(bus.clone(), NicConfig::default()).context("opening the device")?;
    let version = bus.read32(register::VERSION.offset)?;
    println!("interface version {version:#x}, {} flows, {} ranges out of order each", nic.flows(), nic.ranges());
    let nowhere = bus.iova_ranges().last().map(|range| (range.end() - FAR) & !(FAR - 1)).context("no bus addresses")?;
    println!("a frame at bus address {nowhere:#x}, where nothing is mapped:");
    nic.submit(Command::new(Opcode::Raw, 0, 0).with(command::RAW_IOVA, nowhere).with(command::RAW_LENGTH, 64))?;
    nic.ring()?;
    match wait_for_fault(&mut nic)? {
        Some(fault) => println!("refused and reported: {fault}"),
        None => bail!("no fault within {DEADLINE}: the access was not refused, or the device does not report it"),
    }
    if let Transport::Vfio(bdf) = &arguments.device {
        let path = format!("/sys/bus/pci/devices/{bdf}/config");
        let mut status = [0; 2];
        File::open(&path).and_then(|file| file.read_exact_at(&mut status, STATUS)).context(path)?;
        let status = u16::from_le_bytes(status);
        println!("PCI status {status:#06x}: Received Master Abort is {}", if status & MASTER_ABORT != 0 { "set" } else { "not set" });
    }
    drop(nic);
    let nic = Nic::open(bus, NicConfig::default()).context("opening the device again")?;
    nic.check_fault()?;
    println!("after a reset it works again");
    Ok(())
}

/// Waits for the device's report.
fn wait_for_fault(nic: &mut Nic) -> Result<Option<NicError>> {
    let end = nic.now() + DEADLINE;
    while nic.now() < end {
        match nic.check_fault() {
            Err(fault @ NicError::Fault) => return Ok(Some(fault)),
            other => other?,
        }
        nic.wait((nic.now() + Nanoseconds::from_millis(10)).min(end))?;
    }
    Ok(None)
}
