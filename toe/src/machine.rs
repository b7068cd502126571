//! A whole machine: wire, engine, root complex, driver, stack.

use anyhow::{bail, Context, Result};
use clap::{Args, ValueEnum};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use toe_contract::counter::COUNTERS;
use toe_contract::register;
use toe_driver::{Bus, Nanoseconds, Nic, NicConfig};
use toe_host_lib::tcp::Settings;
use toe_host_lib::{Config, Handle, Stack, StackThread};
use toe_sim::device::{Device, Snapshot, Threaded};
use toe_sim::engine::Engine;
use toe_sim::invariants::Watched as Checked;
use toe_sim::model::Model;
use toe_sim::root_complex::Timing;
use toe_sim::time::WallClock;
use toe_sim::wire::{Capture, Impaired, Impairment, WatchLog, Watched, Wire};

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// The hardware description, in Verilator.
    #[cfg(feature = "rtl")]
    Rtl,
    /// The untimed model of it.
    Model,
}

/// What every command that runs a machine takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The engine: the Verilated hardware, or the untimed model of it
    #[arg(long, value_enum, default_value = DEFAULT_ENGINE)]
    pub(crate) engine: EngineKind,
    /// Maximum segment lifetime in seconds; TIME_WAIT lasts twice as long [default: 60, or 0.5 in the demonstration]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) msl: Option<f64>,
    /// Writes everything that goes over the wire to a pcapng file
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,
    /// Faults of the wire, such as loss=1%,reorder=1%,seed=7 (tx. or rx. before a name: only frames the NIC sends or receives)
    #[arg(long, value_name = "FAULTS")]
    pub(crate) impair: Option<Impairment>,
    /// Writes a waveform of the hardware (VCD) to a file
    #[cfg(feature = "rtl")]
    #[arg(long, value_name = "FILE")]
    pub(crate) wave: Option<PathBuf>,
}

#[cfg(feature = "rtl")]
const DEFAULT_ENGINE: &str = "rtl";
#[cfg(not(feature = "rtl"))]
const DEFAULT_ENGINE: &str = "model";

/// Our place in the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// A running machine.
pub(crate) struct Machine {
    bus: Arc<Threaded>,
    stack: Option<StackThread>,
    /// What went over the wire.
    pub(crate) watch: WatchLog,
}

impl Machine {
    /// Starts one on this wire.
    pub(crate) fn start(wire: impl Wire + 'static, place: Place, options: &Options) -> Result<Machine> {
        let clock = WallClock::new();
        let impaired = Impaired::new(wire, &options.impair.unwrap_or_default());
        let (watched, watch) = Watched::new(impaired);
        let wire: Box<dyn Wire> = match &options.capture {
            Some(path) => Box::new(Capture::create(watched, path, "toe", clock.epoch())?),
            None => Box::new(watched),
        };
        let device = Device::new(engine(options)?, wire, Timing::PCIE, 1);
        let bus = Arc::new(Threaded::start(clock, device)?);
        let nic = NicConfig { hash_key: rand::random(), ..NicConfig::default() };
        let nic = Nic::open(bus.clone(), nic).context("opening the device")?;
        let mut settings = Settings::default();
        if let Some(msl) = options.msl {
            if !(0.001..=3600.0).contains(&msl) {
                bail!("--msl: expected 0.001 to 3600 seconds, found {msl}");
            }
            settings.msl = Nanoseconds::from(std::time::Duration::from_secs_f64(msl));
        }
        let config = Config { address: place.address, prefix: place.prefix, gateway: place.gateway, settings, ..Config::default() };
        let stack = Stack::new(nic, config)?.spawn()?;
        Ok(Machine { bus, stack: Some(stack), watch })
    }

    /// What applications open sockets with.
    pub(crate) fn handle(&self) -> Result<Handle> {
        Ok(self.stack.as_ref().context("the stack has been stopped")?.handle())
    }

    /// The engine's counters, by name.
    pub(crate) fn counters(&self) -> Result<Vec<(&'static str, u64)>> {
        let one = |k: usize| -> Result<u64> {
            let at = register::COUNTERS + 8 * u32::try_from(k)?;
            let low = self.bus.read32(at)?;
            Ok(u64::from(self.bus.read32(at + 4)?) << 32 | u64::from(low))
        };
        COUNTERS.iter().enumerate().map(|(k, c)| Ok((c.name, one(k)?))).collect()
    }

    /// What the simulator counts.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        Ok(self.bus.snapshot()?)
    }

    /// Ends the stack and closes the device.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Some(stack) = self.stack.take() {
            stack.stop()?;
        }
        Ok(())
    }
}

/// The engine, with the invariants checked in everything it does.
fn engine(options: &Options) -> Result<Box<dyn Engine>> {
    Ok(match options.engine {
        #[cfg(feature = "rtl")]
        EngineKind::Rtl => {
            let mut engine = toe_sim::verilated::Verilated::new(1);
            if let Some(path) = &options.wave {
                engine.open_wave(path)?;
            }
            Box::new(Checked::new(engine))
        }
        EngineKind::Model => {
            #[cfg(feature = "rtl")]
            if options.wave.is_some() {
                bail!("--wave: the model has no signals; a waveform needs --engine rtl");
            }
            Box::new(Checked::new(Model::default()))
        }
    })
}
