//! What every command takes that joins a network: a device, its wire if that is ours, and our address.

use crate::machine::{DeviceName, Machine, Options, Place};
use anyhow::{bail, Context, Result};
use clap::Args;
use std::net::Ipv4Addr;
use toe_sim::time::WallClock;
use toe_sim::wire::WireSpec;

/// See the [module](self).
#[derive(Args, Clone, Debug)]
pub(crate) struct Network {
    /// The wire of a simulated device: tap:NAME, udgram:PATH[,PEER] (udgram+fcs: with the FCS behind each frame) or pcap:FILE[,fast]
    #[arg(long)]
    wire: Option<WireSpec>,
    /// Our address and its network, such as 10.0.0.2/24
    #[arg(long, value_parser = network)]
    addr: (Ipv4Addr, u8),
    /// Where everything outside that network is sent
    #[arg(long)]
    gateway: Option<Ipv4Addr>,
    #[command(flatten)]
    options: Options,
}

/// An address with the length of its network's prefix.
fn network(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let wrong = || format!("expected an address and a prefix such as 10.0.0.2/24, found {text:?}");
    let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let prefix = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(wrong)?;
    Ok((address.parse().map_err(|_| wrong())?, prefix))
}

impl Network {
    /// Our address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.addr.0
    }

    /// The device, for messages.
    pub(crate) fn device(&self) -> String {
        match &self.options.device {
            DeviceName::Simulated => format!("simulated, engine {:?}", self.options.simulated.engine).to_lowercase(),
            DeviceName::Behind(transport) => transport.to_string(),
        }
    }

    /// Starts the machine.
    pub(crate) fn join(&self) -> Result<Machine> {
        let (address, prefix) = self.addr;
        let place = Place { address, prefix, gateway: self.gateway };
        match &self.options.device {
            DeviceName::Simulated => {
                let wire = self.wire.as_ref().context("--wire: a simulated device needs one, such as tap:toe0")?.open()?;
                let clock = WallClock::new();
                let simulated = &self.options.simulated;
                Machine::on(simulated.captured(simulated.faulty(wire), &clock)?, clock, place, &self.options)
            }
            DeviceName::Behind(transport) => {
                if self.wire.is_some() {
                    bail!("--wire: the wire of {transport} is not ours; give it to `toe device`");
                }
                Machine::behind(transport, place, &self.options)
            }
        }
    }
}
