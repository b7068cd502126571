//! The simulated NIC: which engine, and what lies round its wire.

use anyhow::Result;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use toe_sim::device::Device;
use toe_sim::engine::Engine;
use toe_sim::invariants::Watched as Checked;
use toe_sim::model::Model;
use toe_sim::root_complex::Timing;
use toe_sim::time::WallClock;
use toe_sim::wire::{Capture, Impaired, Impairment, Wire};

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// The hardware description, in Verilator.
    #[cfg(feature = "rtl")]
    Rtl,
    /// The untimed model of it.
    Model,
}

#[cfg(feature = "rtl")]
const DEFAULT_ENGINE: &str = "rtl";
#[cfg(not(feature = "rtl"))]
const DEFAULT_ENGINE: &str = "model";

/// What every command that simulates a NIC takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Simulated {
    /// The engine: the Verilated hardware, or the untimed model of it
    #[arg(long, value_enum, default_value = DEFAULT_ENGINE)]
    pub(crate) engine: EngineKind,
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

impl Simulated {
    /// The wire with its faults.
    pub(crate) fn faulty<W: Wire>(&self, wire: W) -> Impaired<W> {
        Impaired::new(wire, &self.impair.unwrap_or_default())
    }

    /// The wire with its capture, if one is asked for.
    pub(crate) fn captured(&self, wire: impl Wire + 'static, clock: &WallClock) -> Result<Box<dyn Wire>> {
        Ok(match &self.capture {
            Some(path) => Box::new(Capture::create(wire, path, "toe", clock.epoch())?),
            None => Box::new(wire),
        })
    }

    /// The file for the waveform.
    pub(crate) fn wave(&self) -> Option<&Path> {
        #[cfg(feature = "rtl")]
        return self.wave.as_deref();
        #[cfg(not(feature = "rtl"))]
        None
    }

    /// The first option here that was given, but for the engine, which has a default.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let given = [(self.capture.is_some(), "--capture"), (self.impair.is_some(), "--impair"), (self.wave().is_some(), "--wave")];
        given.into_iter().find_map(|(is, name)| is.then_some(name))
    }

    /// The device on a wire, with the invariants checked in everything the engine does.
    pub(crate) fn device(&self, wire: Box<dyn Wire>) -> Result<Device> {
        self.device_checked(true, wire)
    }

    /// The device on a wire, with the invariants checked, or not.
    pub(crate) fn device_checked(&self, checked: bool, wire: Box<dyn Wire>) -> Result<Device> {
        Ok(Device::new(self.build(checked)?, wire, Timing::PCIE, 1))
    }

    fn build(&self, checked: bool) -> Result<Box<dyn Engine>> {
        Ok(match self.engine {
            #[cfg(feature = "rtl")]
            EngineKind::Rtl => {
                let mut engine = toe_sim::verilated::Verilated::new(1);
                if let Some(path) = &self.wave {
                    engine.open_wave(path)?;
                }
                Box::new(Checked::when(checked, engine))
            }
            EngineKind::Model => {
                #[cfg(feature = "rtl")]
                if self.wave.is_some() {
                    anyhow::bail!("--wave: the model has no signals; a waveform needs --engine rtl");
                }
                Box::new(Checked::when(checked, Model::default()))
            }
        })
    }
}
