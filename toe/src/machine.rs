//! A whole machine: device, driver, stack.

use crate::simulated::Simulated;
use anyhow::{bail, Context, Result};
use clap::Args;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use toe_contract::counter::COUNTERS;
use toe_contract::register;
use toe_driver::transport::Transport;
use toe_driver::{Bus, Nanoseconds, Nic, NicConfig, Wait};
use toe_host_lib::tcp::Settings;
use toe_host_lib::{Config, Handle, Stack, StackThread};
use toe_sim::device::{DeviceProcess, Snapshot, Threaded};
use toe_sim::time::WallClock;
use toe_sim::wire::Wire;

/// Which device a machine has.
#[derive(Clone, Debug)]
pub(crate) enum DeviceName {
    /// A simulated one in this process.
    Simulated,
    /// One behind a transport.
    Behind(Transport),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceName, String> {
        match text {
            "sim" | "sim:" => Ok(DeviceName::Simulated),
            other => other.parse().map(DeviceName::Behind).map_err(|error| format!("{error}; or sim: for a simulated one in this process")),
        }
    }
}

/// What every command that runs a machine takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The device: sim: (simulated in this process), vfio-user:PATH (a `toe device` that listens there) or vfio:BDF (a card bound to vfio-pci)
    #[arg(long, default_value = "sim:")]
    pub(crate) device: DeviceName,
    /// Maximum segment lifetime in seconds; TIME_WAIT lasts twice as long [default: 60, or 0.5 in the demonstration]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) msl: Option<f64>,
    /// How the stack waits for the device: interrupt, poll (costs a core), adaptive or adaptive:MICROSECONDS (looks for at most so long, then sleeps)
    #[arg(long, default_value_t = Wait::Interrupt)]
    pub(crate) wait: Wait,
    /// Least time between two interrupts, in microseconds
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    pub(crate) holdoff: u32,
    #[command(flatten)]
    pub(crate) simulated: Simulated,
}

/// Our place in the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// A running machine.
pub(crate) struct Machine {
    bus: Arc<dyn Bus>,
    stack: Option<StackThread>,
    /// The device, if it is simulated here.
    simulated: Option<Arc<Threaded>>,
    /// The device's process, if it was started here.
    process: Option<DeviceProcess>,
}

/// How long a device in another process may take to end when its client has gone.
const GOODBYE: Duration = Duration::from_secs(10);

impl Machine {
    /// Starts one whose device is simulated in this process, on this wire.
    pub(crate) fn on(wire: Box<dyn Wire>, clock: WallClock, place: Place, options: &Options) -> Result<Machine> {
        let device = options.simulated.device(wire)?;
        let simulated = Arc::new(Threaded::start(clock, device)?);
        Ok(Machine { simulated: Some(simulated.clone()), ..Machine::with(simulated, place, options)? })
    }

    /// Starts one whose device is simulated in another process, on this wire.
    pub(crate) fn beside(wire: Box<dyn Wire>, clock: WallClock, place: Place, options: &Options) -> Result<Machine> {
        let program = std::env::current_exe().context("this program's own path")?;
        let simulated = &options.simulated;
        let engine = format!("--engine={:?}", simulated.engine).to_lowercase();
        let wave: Option<String> = simulated.wave().map(|path| format!("--wave={}", path.display()));
        let arguments: Vec<&str> = [Some(engine.as_str()), wave.as_deref()].into_iter().flatten().collect();
        let process = DeviceProcess::start(&program, &arguments, wire, clock)?;
        let bus = Transport::VfioUser(process.socket().to_owned()).open()?;
        Ok(Machine { process: Some(process), ..Machine::with(bus, place, options)? })
    }

    /// Starts one with the device behind a transport, whose wire is not ours.
    pub(crate) fn behind(transport: &Transport, place: Place, options: &Options) -> Result<Machine> {
        if let Some(option) = options.simulated.first_given() {
            bail!("{option} is for a simulated device in this process: expected --device sim:, found {transport}");
        }
        let bus = transport.open().with_context(|| format!("opening {transport}"))?;
        Machine::with(bus, place, options)
    }

    fn with(bus: Arc<dyn Bus>, place: Place, options: &Options) -> Result<Machine> {
        let holdoff = Nanoseconds::from_micros(options.holdoff.into());
        let nic = NicConfig { hash_key: rand::random(), wait: options.wait, holdoff, ..NicConfig::default() };
        let nic = Nic::open(bus.clone(), nic).context("opening the device")?;
        let mut settings = Settings::default();
        if let Some(msl) = options.msl {
            if !(0.001..=3600.0).contains(&msl) {
                bail!("--msl: expected 0.001 to 3600 seconds, found {msl}");
            }
            settings.msl = Nanoseconds::from(Duration::from_secs_f64(msl));
        }
        let config = Config { address: place.address, prefix: place.prefix, gateway: place.gateway, settings, ..Config::default() };
        let stack = Stack::new(nic, config)?.spawn()?;
        Ok(Machine { bus, stack: Some(stack), simulated: None, process: None })
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

    /// What the simulator counts, if it is here.
    pub(crate) fn snapshot(&self) -> Result<Option<Snapshot>> {
        Ok(self.simulated.as_ref().map(|device| device.snapshot()).transpose()?)
    }

    /// Ends the stack and closes the device.
    pub(crate) fn stop(self) -> Result<()> {
        let Machine { bus, stack, simulated, process } = self;
        if let Some(stack) = stack {
            stack.stop()?;
        }
        drop((bus, simulated));
        if let Some(process) = process {
            process.end(GOODBYE)?;
        }
        Ok(())
    }
}
