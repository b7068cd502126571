//! Compares an engine with the model under random stimulus, for as many segments as wanted.

use clap::{Parser, ValueEnum};
use std::process::ExitCode;
use std::time::Instant;
use toe_contract::counter::COUNTERS;
use toe_sim::differential::{run, Difference, Mode, Options, Report};
use toe_sim::engine::Engine;
use toe_sim::model::Model;
use toe_sim::root_complex::Timing;

/// Compares an engine with the model: same stimulus, same outcome.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo run --release -p toe-sim --features rtl --example differential -- --segments 100000
  cargo run --release -p toe-sim --features rtl --example differential -- --seed 0x5eed --steps 263 --segments 1 --wave out.vcd")]
struct Arguments {
    /// Segments to be given to both engines, at least
    #[arg(short = 'n', long, default_value_t = 100_000)]
    segments: u64,
    /// Seed of the first episode
    #[arg(short, long, default_value = "1", value_parser = number)]
    seed: u64,
    /// Steps of an episode; 400 if one stimulus is a step, 80 if a burst is, 20 if a crowd is
    #[arg(long)]
    steps: Option<u32>,
    /// What is compared, and when
    #[arg(short, long, value_enum, default_value_t = Kinds::Burst)]
    mode: Kinds,
    /// How fast the engine's bus is
    #[arg(long, value_enum, default_value_t = Bus::Instant)]
    bus: Bus,
    /// The engine to be compared
    #[arg(long, value_enum, default_value_t = Kind::Rtl)]
    engine: Kind,
    /// Writes a wave of the RTL
    #[arg(long, value_name = "FILE")]
    wave: Option<std::path::PathBuf>,
    /// Prints what the run has come by
    #[arg(long)]
    coverage: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kinds {
    /// Bursts at the pace of the wire; everything, with the operations of the model in the same order
    Burst,
    /// One stimulus at a time; everything, the order of operations too
    Single,
    /// Whole streams at once; what cannot depend on the order of operations
    Crowded,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bus {
    /// No delay
    Instant,
    /// Latencies of PCI Express
    Pcie,
    /// Everything delayed and held back at random
    Hostile,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The Verilated engine
    Rtl,
    /// The model itself
    Model,
}

/// A number, decimal or hexadecimal.
fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16))
}

fn compare<E: Engine>(engine: E, options: &Options) -> Result<Report, Box<Difference>> {
    let start = Instant::now();
    let mut told = start;
    run(engine, options, |report| {
        if told.elapsed().as_secs() >= 10 {
            told = Instant::now();
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{} segments, {} cycles, {seconds:.0} s", report.segments, report.cycles);
        }
    })
}

#[cfg(feature = "rtl")]
fn compare_rtl(arguments: &Arguments, options: &Options) -> anyhow::Result<Report> {
    let seed = options.seed.to_le_bytes();
    let mut engine = toe_sim::verilated::Verilated::new(u32::from_le_bytes([seed[0], seed[1], seed[2], seed[3]]));
    if let Some(path) = &arguments.wave {
        engine.open_wave(path)?;
    }
    Ok(compare(engine, options)?)
}

#[cfg(not(feature = "rtl"))]
fn compare_rtl(_: &Arguments, _: &Options) -> anyhow::Result<Report> {
    anyhow::bail!("built without the RTL: add `--features rtl`, or compare the model with itself by `--engine model`")
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (mode, steps) = match arguments.mode {
        Kinds::Burst => (Mode::Burst, 80),
        Kinds::Single => (Mode::Single, 400),
        Kinds::Crowded => (Mode::Crowded, 20),
    };
    let options = Options {
        seed: arguments.seed,
        segments: arguments.segments,
        steps: arguments.steps.unwrap_or(steps),
        mode,
        timing: match arguments.bus {
            Bus::Instant => Timing::default(),
            Bus::Pcie => Timing::PCIE,
            Bus::Hostile => Timing::HOSTILE,
        },
    };
    let start = Instant::now();
    let done = match arguments.engine {
        Kind::Model => compare(Model::default(), &options).map_err(Into::into),
        Kind::Rtl => compare_rtl(&arguments, &options),
    };
    match done {
        Ok(report) => {
            let Report { episodes, steps, segments, frames, cycles, counters, ends, held } = report;
            println!(
                "alike: {segments} segments, {steps} steps, {episodes} episodes, {frames} frames sent, {cycles} cycles, {:.1} s",
                start.elapsed().as_secs_f64()
            );
            if arguments.coverage {
                let more = [
                    "ends: flows removed",
                    "ends: reset under load",
                    "ends: fault of the bus",
                    "transmit off",
                    "event ring full",
                    "flow table full",
                    "ACKs overtook segments",
                ];
                more.iter().zip(ends.into_iter().chain(held)).for_each(|(name, n)| println!("{name:24} {n}"));
                COUNTERS.iter().zip(counters).for_each(|(c, n)| println!("{:24} {n}", c.name));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
