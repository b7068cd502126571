//! `toe device`: the simulated NIC as a PCI function, for any process that speaks vfio-user.

use crate::simulated::Simulated;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use toe_sim::pci::{DoorbellMode, Function, Report, Server};
use toe_sim::time::WallClock;
use toe_sim::wire::WireSpec;

/// What a user must know of clients.
const CLIENTS: &str = "\
One client at a time: another `toe` with --device vfio-user:PATH, or QEMU with
-device '{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"PATH\"}}'.

A client that comes while another is served waits for 2 s, and is then refused (EBUSY). When a client goes, in
whatever way, the function is as after power-on: reset, without memory, interrupts and bus mastering. Then the
next one is served.

The memory that a client maps must be a memfd sealed against shrinking (F_SEAL_SHRINK), else the mapping is refused.

  ip tuntap add toe0 mode tap && ip addr add 10.0.0.1/24 dev toe0 && ip link set toe0 up
  toe device --socket /tmp/toe.sock --wire tap:toe0 &
  toe serve --device vfio-user:/tmp/toe.sock --addr 10.0.0.2/24 .";

#[derive(clap::Args)]
#[command(after_long_help = CLIENTS)]
pub(crate) struct Arguments {
    /// Where to listen: a UNIX socket
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// The wire: tap:NAME, udgram:PATH[,PEER] (udgram+fcs: with the FCS behind each frame) or pcap:FILE[,fast]
    #[arg(long)]
    wire: WireSpec,
    #[command(flatten)]
    simulated: Simulated,
    /// How clients ring doorbells. Mapped ones cost a client no message, but nobody hears them: while a client has the
    /// function's memory space enabled, the device looks at them without a pause for 20 us after its last work, and every 50 us when it is idle
    #[arg(long, value_enum, default_value = "trapped")]
    doorbells: Doorbells,
    /// Checks the invariants of the engine in everything it does, and ends when one does not hold: for tests. They presuppose a client that keeps to
    /// the contract (docs/engine.md): one that does not can make the engine look wrong
    #[arg(long)]
    checked: bool,
    /// Ends when the first client has gone
    #[arg(long)]
    once: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Doorbells {
    /// By a message each
    Trapped,
    /// In a page that the client maps
    Mapped,
}

/// Serves clients until a signal ends it, or the device stops.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (stop, signalled) = UnixStream::pair().context("a pair of sockets")?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::low_level::pipe::register(signal, signalled.try_clone()?).context("a signal handler")?;
    }
    let clock = WallClock::new();
    let wire = arguments.simulated.faulty(arguments.wire.open()?);
    let wire = arguments.simulated.captured(wire, &clock)?;
    let mode = match arguments.doorbells {
        Doorbells::Trapped => DoorbellMode::Trapped,
        Doorbells::Mapped => DoorbellMode::Mapped,
    };
    let function = Function::start(clock, arguments.simulated.device_checked(arguments.checked, wire)?, mode)?;
    let server = Server::bind(&arguments.socket)?;
    eprintln!(
        "listening on {}; engine: {:?}, doorbells: {:?}; --device vfio-user:{} opens it",
        arguments.socket.display(),
        arguments.simulated.engine,
        arguments.doorbells,
        arguments.socket.display()
    );
    Ok(server.run(function, stop.as_fd(), arguments.once, tell)?)
}

fn tell(report: Report) {
    match report {
        Report::Came => eprintln!("a client has come"),
        Report::Went { why, counts } => {
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            eprintln!(
                "the client has gone{why}: {} accesses, {} DMA maps, {} DMA faults, {} interrupts",
                counts.accesses, counts.maps, counts.faults, counts.interrupts
            );
        }
        Report::Refused => eprintln!("a client was refused: another one is served"),
    }
}
