//! `cargo xtask synth`: what a module costs in an FPGA, and how fast it runs there. Everything by open tools from PyPI.

mod area;
mod clock;
mod document;
mod tools;
mod wrapper;

use crate::run::{cargo, step};
use anyhow::{bail, Context, Result};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tools::Tools;

/// Area, clock and critical path of a module
#[derive(clap::Args)]
#[command(after_help = "\
What it does: prints the module as Verilog, checks it (no latch, no second driver, no loop), maps it to ECP5 with `synth_ecp5 -abc9`, counts cells
per module, then places and routes it with registers round every port, once for each seed. Yosys and nextpnr come from PyPI into target/tools on
the first call, which also compiles them (about a minute). Everything that was made stays in target/synth/NAME.

How to read it: `own` counts a module without what is in it; a LUT4 count has the two LUTs of each carry cell. The critical path is that of the
slowest seed, from register to register, with the names of the source where they survived. What nextpnr says while it works is in place-SEED.log.

The whole engine takes some 25 minutes of one core for each seed.

Examples:
    cargo xtask synth                              the whole engine
    cargo xtask synth --module mac_rx              one module (`cargo run -p toe-hdl -- list` names them)
    cargo xtask synth --module mac_rx --area       cells only, in seconds
    cargo xtask synth --module inject --module parser --document docs/synthesis.md
                                                   two modules, and their rows in the table of a document
    cargo xtask synth --module core --xilinx       LUT6 of a Xilinx 7-series device (no timing: no open tool has it)")]
pub(crate) struct Arguments {
    /// Module to measure (may be given several times)
    #[arg(short, long = "module", value_name = "NAME", default_value = "top")]
    modules: Vec<String>,
    /// Count cells only: no placement, no clock
    #[arg(long)]
    area: bool,
    /// Count the cells of a Xilinx 7-series device instead
    #[arg(long)]
    xilinx: bool,
    /// Placements to try
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    seeds: u32,
    /// Clock asked of the placer, in MHz
    #[arg(long, value_name = "MHZ", default_value_t = 156.25)]
    clock: f64,
    /// The plain ECP5-85F instead of the ECP5-5G-85F
    #[arg(long)]
    plain: bool,
    /// Passed on to nextpnr, as in `--nextpnr=--router=router2`; told with the result
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    nextpnr: Vec<String>,
    /// Puts a row for each module, once it has been placed, into the table of a document (`docs/synthesis.md`)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["area", "xilinx", "plain"])]
    document: Option<PathBuf>,
}

/// Measures the modules, one after the other.
///
/// # Errors
/// A tool cannot be fetched, or refuses a module.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = target()?;
    let tools = Tools::fetch(&root.join("tools"))?;
    arguments.modules.iter().try_for_each(|module| measure(&tools, &root.join("synth"), module, arguments).with_context(|| module.clone()))
}

fn measure(tools: &Tools, synth: &Path, module: &str, arguments: &Arguments) -> Result<()> {
    let dir = synth.join(module);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let mut print = cargo();
    print.args(["run", "--quiet", "--package", "toe-hdl", "--", "verilog", "--module", module, "--output"]);
    step("print Verilog", print.arg(synth))?;

    let area = area::measure(tools, &dir, module, arguments.xilinx)?;
    println!("{area}");
    let mut report = json!({ "module": module, "area": area.json() });
    if !arguments.area && !arguments.xilinx {
        let clock = clock::measure(tools, &dir, module, arguments)?;
        println!("{clock}");
        report["clock"] = clock.json();
        if let Some(path) = &arguments.document {
            document::enter(path, module, &area, &clock).with_context(|| path.display().to_string())?;
        }
    }
    let path = dir.join("report.json");
    let text = serde_json::to_string_pretty(&report)?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("in full: {}", path.display());
    Ok(())
}

/// Cargo's target directory.
fn target() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(std::path::absolute(dir)?);
    }
    let program = std::env::current_exe()?;
    let found = program.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists()).map(Path::to_path_buf);
    found.with_context(|| format!("{} is not below cargo's target directory", program.display()))
}

/// Reads a JSON file that a tool wrote.
fn read(path: &Path) -> Result<serde_json::Value> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// The files of a module's Verilog.
fn sources(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let mut files: Vec<String> = names.filter(|n| n.ends_with(".v") && n != wrapper::FILE).collect();
    files.sort();
    if files.is_empty() {
        bail!("no Verilog in {}", dir.display());
    }
    Ok(files)
}
