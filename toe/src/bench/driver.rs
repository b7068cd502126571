//! `toe bench driver`: what the driver costs over each transport. The engine behind is the model, so that the driver is what is measured.
//!
//! ```text
//!   sim                 driver ── channel ──► engine's thread            one process
//!   vfio_user_trapped   driver ── a message a doorbell ──► toe device    two processes
//!   vfio_user_mapped    driver ── a store a doorbell ────► toe device    two processes
//!   vfio                driver ── the kernel's VFIO ─────► a card        with --device
//! ```
//!
//! Times of different machines, or of one at different hours, cannot be compared; those of one run can, and the last rows do.

mod cost;
mod requests;

use super::figure::{self, Figure};
use anyhow::{ensure, Context, Result};
use cost::Cost;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use toe_driver::transport::Transport;
use toe_driver::{Bus, Wait};
use toe_sim::command::Running;
use toe_sim::device::{Device, Threaded};
use toe_sim::model::Model;
use toe_sim::root_complex::Timing;
use toe_sim::time::WallClock;
use toe_sim::wire::{Datagram, Framing};

/// Measures what the driver costs over each transport: commands, doorbells, events, interrupts; requests a second by each way to wait
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Writes the figures as JSON: an array of {name, value, unit, target, holds}
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// One more device to measure, but for requests (its wire is not known here): vfio:BDF or vfio-user:PATH
    #[arg(long)]
    device: Option<Transport>,
    /// How long each way of waiting is measured with requests, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds of each measurement of a cost
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    rounds: u32,
}

/// How long a device in another process may take until it listens.
const START: Duration = Duration::from_secs(10);

/// Runs it.
///
/// # Errors
/// A device does not work, or a file cannot be written. No time is an error.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    ensure!((0.01..=600.0).contains(&arguments.seconds), "--seconds: expected 0.01 to 600, found {}", arguments.seconds);
    let figures = measure(arguments).context("bench driver: FAILED")?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)? + "\n").with_context(|| path.display().to_string())?;
    }
    print!("{}", figure::table(&figures));
    println!("bench driver: {}", figure::summary(&figures));
    Ok(())
}

/// The transports that need nothing but this program.
const BUILT_IN: [&str; 3] = ["sim", "vfio_user_trapped", "vfio_user_mapped"];

fn measure(arguments: &Arguments) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut costs = Vec::new();
    for name in BUILT_IN {
        let bench = Bench::new(name).with_context(|| name.to_owned())?;
        let cost = Cost::measure(&bench.bus, arguments.rounds).with_context(|| name.to_owned())?;
        figures.extend(cost.figures(name)?);
        costs.push(cost);
        for (policy, wait) in [("interrupt", Wait::Interrupt), ("poll", Wait::Poll), ("adaptive", Wait::Adaptive { longest: Wait::LONGEST_SPIN })] {
            let duration = Duration::from_secs_f64(arguments.seconds);
            let rate = requests::measure(&bench, wait, duration).with_context(|| format!("{name}, {policy}"))?;
            figures.push(Figure::timed(&format!("{name}_requests_{policy}"), rate, "requests/s", None)?);
        }
    }
    if let Some(transport) = &arguments.device {
        let bus = transport.open().with_context(|| transport.to_string())?;
        figures.extend(Cost::measure(&bus, arguments.rounds).with_context(|| transport.to_string())?.figures("device")?);
    }
    figures.extend(ratios(&figures, &costs)?);
    Ok(figures)
}

/// What one way costs as so many times another, in this run.
fn ratios(figures: &[Figure], costs: &[Cost]) -> Result<Vec<Figure>> {
    let mut ratios = Vec::new();
    let mut push = |name: String, value: f64| Figure::timed(&name, value, "times", None).map(|figure| ratios.push(figure));
    if let [_, trapped, mapped] = costs {
        push("doorbell_trapped_by_mapped".into(), trapped.doorbell / mapped.doorbell)?;
    }
    for (name, cost) in BUILT_IN.iter().zip(costs) {
        push(format!("{name}_batch_1_by_64"), cost.batch(1) / cost.batch(64))?;
        push(format!("{name}_interrupt_by_poll"), cost.by_interrupt / cost.by_polling)?;
        let rate = |policy: &str| figures.iter().find(|f| f.name == format!("{name}_requests_{policy}")).map_or(f64::NAN, |f| f.value);
        for policy in ["poll", "adaptive"] {
            push(format!("{name}_requests_{policy}_by_interrupt"), rate(policy) / rate("interrupt"))?;
        }
    }
    Ok(ratios)
}

/// A device with the model in it behind a transport, and one in this process at the other end of its wire.
struct Bench {
    bus: Arc<dyn Bus>,
    peer: Arc<dyn Bus>,
    _process: Option<Running>,
    _folder: TempDir,
}

impl Bench {
    fn new(name: &str) -> Result<Bench> {
        let folder = tempfile::Builder::new().prefix("toe-bench-").tempdir().context("a folder for sockets")?;
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        let clock = WallClock::new();
        let simulated = |from: &Path, to: &Path| -> Result<Arc<dyn Bus>> {
            let wire = Datagram::bind(from, Some(to), Framing::Bare)?;
            let device = Device::new(Box::new(Model::default()), Box::new(wire), Timing::PCIE, 1);
            Ok(Arc::new(Threaded::start(clock, device)?))
        };
        let (bus, process) = match name {
            "sim" => (simulated(&here, &there)?, None),
            _ => {
                let socket = folder.path().join("device");
                let wire = format!("udgram:{},{}", here.display(), there.display());
                let doorbells = if name == "vfio_user_mapped" { "mapped" } else { "trapped" };
                let mut command = Command::new(std::env::current_exe().context("this program's own path")?);
                command.args(["device", "--engine", "model", "--doorbells", doorbells, "--wire", &wire, "--socket"]).arg(&socket);
                let process = listening(Running::start(command)?, &socket)?;
                (Transport::VfioUser(socket).open()?, Some(process))
            }
        };
        let peer = simulated(&there, &here)?;
        Ok(Bench { bus, peer, _process: process, _folder: folder })
    }
}

fn listening(mut process: Running, socket: &Path) -> Result<Running> {
    let end = Instant::now() + START;
    while !socket.exists() {
        if process.has_ended() || Instant::now() >= end {
            process.finish(Duration::ZERO)?.success()?;
            anyhow::bail!("the device does not listen within {START:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(process)
}
