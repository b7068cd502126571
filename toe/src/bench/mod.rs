//! `toe bench`: what the engine does in how many cycles, and how fast it is simulated.

#[cfg(feature = "rtl")]
mod cycles;
mod driver;
mod figure;
mod load;
mod speed;

use anyhow::{ensure, Context, Result};
use figure::Figure;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measures the engine and its simulation, prints a table, and writes JSON. Figures in cycles are the same at every run
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Writes the figures as JSON: an array of {name, value, unit, target, holds}
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Replaces the table of a document by that of the figures in cycles (`docs/figures.md`)
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Segments of full size in each direction
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    segments: u32,
    /// Only what is counted in cycles, nothing that a clock measures
    #[arg(long)]
    cycles_only: bool,
}

/// What else there is to measure.
#[derive(clap::Subcommand)]
enum What {
    /// Measures the driver over each transport: commands, doorbells, events, interrupts, requests a second
    Driver(driver::Arguments),
}

/// Where the table of a document is.
const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// Runs it. The last line says how many targets hold.
///
/// # Errors
/// The engine lost or spoiled something, or a file cannot be written. A target that does not hold is no error.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(What::Driver(arguments)) = &arguments.what {
        return driver::run(arguments);
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    let measured = measure(arguments, &|what| bar.set_message(what.to_owned()));
    bar.finish_and_clear();
    let figures = measured.context("bench: FAILED")?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)? + "\n").with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &arguments.document {
        let exact: Vec<Figure> = figures.iter().filter(|f| f.exact).cloned().collect();
        document(path, &exact).with_context(|| path.display().to_string())?;
    }
    print!("{}", figure::table(&figures));
    println!("bench: {}", figure::summary(&figures));
    Ok(())
}

/// Puts the table between the two marks of a document.
fn document(path: &Path, figures: &[Figure]) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let (head, rest) = text.split_once(BEGIN).with_context(|| format!("no line `{BEGIN}`"))?;
    let (_, tail) = rest.split_once(END).with_context(|| format!("no line `{END}`"))?;
    ensure!(!figures.is_empty(), "nothing was counted in cycles: the program has no hardware in it");
    std::fs::write(path, format!("{head}{BEGIN}\n\n{}\n{}.\n\n{END}{tail}", figure::table(figures), figure::summary(figures)))?;
    Ok(())
}

fn measure(arguments: &Arguments, progress: &dyn Fn(&str)) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    #[cfg(feature = "rtl")]
    figures.extend(cycles::measure(arguments.segments, progress)?);
    if !arguments.cycles_only {
        #[cfg(feature = "rtl")]
        {
            progress("the simulation against a bare loop");
            figures.extend(speed::simulation(arguments.segments)?);
        }
        progress("the model");
        figures.push(speed::model(arguments.segments)?);
    }
    Ok(figures)
}
