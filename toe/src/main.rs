//! `toe`: the TCP offload engine, its stack and a Linux peer, run on one machine.

mod bench;
mod bind;
mod demo;
mod device;
mod follow;
mod get;
mod http;
mod ladder;
mod machine;
mod network;
mod probe;
mod serve;
mod simulated;
mod ss;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// A TCP offload engine for FPGA NICs: the engine simulated, its driver and its TCP stack real.
#[derive(Parser)]
#[command(name = "toe", version, after_help = "Messages of the stack and the driver: RUST_LOG=info, or RUST_LOG=toe_host_lib=debug.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A Linux client fetches a file through the simulated FPGA, and the other way round; shows a connection's life
    Demo(demo::Arguments),
    /// Serves the files of a folder by HTTP/1.1, over the simulated FPGA or a real one
    Serve(serve::Arguments),
    /// Fetches a file by HTTP/1.1, over the device
    Get(get::Arguments),
    /// The simulated FPGA as a PCI function that other processes open by vfio-user
    Device(device::Arguments),
    /// Lists the sockets of a running `toe serve`
    Ss(ss::Arguments),
    /// Lists the NICs of this machine and says what each waits for
    Devices(bind::DevicesArguments),
    /// Gives a NIC to user space, away from the kernel's driver if one has it
    Bind(bind::BindArguments),
    /// Opens a NIC, tells what it is, and shows that it is kept from memory that is not mapped for it
    Probe(probe::Arguments),
    /// Takes a NIC out of user space, and lets the kernel's drivers have it
    Unbind(bind::UnbindArguments),
    /// Measures the engine, in cycles, and its simulation; prints a table and writes JSON
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Get(arguments) => get::run(&arguments),
        Command::Device(arguments) => device::run(&arguments),
        Command::Ss(arguments) => ss::run(&arguments),
        Command::Devices(arguments) => bind::devices(&arguments),
        Command::Bind(arguments) => bind::bind(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Unbind(arguments) => bind::unbind(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
