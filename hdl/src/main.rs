//! `toe-hdl`: writes the hardware as Verilog.

use anyhow::{bail, Context, Result};
use clap::{Args, Parser, Subcommand};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use toe_hdl::modules::{find, Entry, MODULES};

/// The engine's hardware as Verilog.
#[derive(Parser)]
#[command(name = "toe-hdl", after_help = "Example: cargo run -p toe-hdl -- verilog -o out/verilog")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes one file for each Verilog module
    Verilog(Print),
    /// Lists the modules that can be printed by name
    List,
}

#[derive(Args)]
#[command(after_help = "The files of one top are all that a simulator or a synthesiser needs: `yosys -p 'synth_ecp5 -top NAME' DIR/NAME/*.v`.
For area and clock see `cargo xtask synth --help`.")]
struct Print {
    /// Directory to write to, made if it is not there; each top gets a directory of its own in it
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A module to print, with everything in it (may be given several times); without it, all (see `toe-hdl list`)
    #[arg(short, long = "module", value_name = "NAME")]
    modules: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Verilog(arguments) => print(&arguments),
        Command::List => {
            list();
            Ok(())
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

fn list() {
    for entry in MODULES {
        println!("{:20} {}", entry.name, entry.about);
    }
}

fn print(arguments: &Print) -> Result<()> {
    let chosen: Vec<&Entry> = match arguments.modules.as_slice() {
        [] => MODULES.iter().collect(),
        names => names.iter().map(|name| entry(name)).collect::<Result<_>>()?,
    };
    for entry in chosen {
        let start = Instant::now();
        let verilog = entry.print()?;
        let dir = arguments.output.join(entry.name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut lines = 0;
        for (name, text) in verilog.files() {
            let path = dir.join(name);
            lines += text.lines().count();
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let modules = verilog.modules().len();
        println!("{}: {modules} modules, {lines} lines, {:.1} s", dir.display(), start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn entry(name: &str) -> Result<&'static Entry> {
    let Some(entry) = find(name) else {
        let names: Vec<&str> = MODULES.iter().map(|e| e.name).collect();
        bail!("no module `{name}`; there are {}", names.join(", "));
    };
    Ok(entry)
}
