//! `cargo xtask`: everything a person types. Each command installs what it lacks (as root, with apt-get) or prints the one line to run.

mod fuzz;
mod guest;
mod run;
mod setup;
mod soak;
mod synth;
mod test;
mod test_vfio;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, shows and measures the TCP offload engine.
#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    after_help = "First time here? `cargo xtask demo` builds everything and lets the system's curl fetch a file through the simulated FPGA."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A Linux client fetches a page through the simulated FPGA; shows the connection's life
    #[command(disable_help_flag = true)]
    Demo {
        /// Passed on to `toe demo` (see `cargo xtask demo --help`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Everything that CI runs: format, lints, unit tests, hardware benches, end to end against the Linux kernel
    Test(test::Arguments),
    /// The driver against the kernel's VFIO and an IOMMU, in a guest of QEMU's; fetches what it needs into target/guest
    TestVfio(test_vfio::Arguments),
    /// Area, clock and critical path of a module in an FPGA, by open tools
    Synth(synth::Arguments),
    /// What is too long for CI: 100 MiB each way over a bad wire, ten million random segments
    Soak(soak::Arguments),
    /// Looks for inputs that a target in fuzz/ cannot stand; keeps those that led to new places
    Fuzz(fuzz::Arguments),
    /// Measures the engine, or with `driver` what the driver costs over each transport; prints a table and writes JSON
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on to `toe bench` (see `cargo xtask bench --help`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo { arguments } => {
            let needs = if run::wants_model(&arguments) { setup::MODEL_DEMO } else { setup::DEMO };
            setup::ensure(needs).and_then(|()| run::toe("demo", &arguments))
        }
        Command::Test(arguments) => setup::ensure(setup::TEST).and_then(|()| setup::ensure(setup::GUEST)).and_then(|()| test::run(&arguments)),
        Command::TestVfio(arguments) => setup::ensure(setup::GUEST).and_then(|()| test_vfio::run(&arguments)),
        Command::Synth(arguments) => setup::ensure(setup::BUILD).and_then(|()| synth::run(&arguments)),
        Command::Soak(arguments) => setup::ensure(setup::TEST).and_then(|()| soak::run(&arguments)),
        Command::Fuzz(arguments) => setup::ensure(setup::FUZZ).and_then(|()| fuzz::run(&arguments)),
        Command::Bench { arguments } => {
            let needs = if run::wants_model(&arguments) { &[] } else { setup::BUILD };
            setup::ensure(needs).and_then(|()| run::toe("bench", &arguments))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
