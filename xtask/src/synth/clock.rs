//! The clock after place and route, and the path that limits it.

use super::tools::Tools;
use super::{read, sources, wrapper, Arguments};
use anyhow::{Context, Result};
use serde_json::{json, Value};
use std::fmt;
use std::path::Path;

/// Placements at a time.
const PARALLEL: usize = 2;

/// One placement.
struct Placement {
    seed: u32,
    mhz: f64,
    path: Vec<Hop>,
}

/// A step on a path, or several inside one net's logic.
struct Hop {
    name: String,
    /// LUTs passed before it.
    logic: u32,
    /// Nanoseconds from the start.
    at: f64,
}

pub(crate) struct Clock {
    asked: f64,
    /// What nextpnr was told besides.
    options: Vec<String>,
    placements: Vec<Placement>,
}

/// Places and routes a module in its wrapper, for each seed.
///
/// # Errors
/// A tool refuses it, or it does not fit.
pub(crate) fn measure(tools: &Tools, dir: &Path, module: &str, arguments: &Arguments) -> Result<Clock> {
    let text = wrapper::verilog(&read(&dir.join("ports.json"))?, module)?;
    let path = dir.join(wrapper::FILE);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("==> map with registers round the ports");
    let (files, top) = (sources(dir)?.join(" "), wrapper::NAME);
    let script = format!("read_verilog {files} {}; synth_ecp5 -abc9 -top {top} -json netlist.json", wrapper::FILE);
    tools.yosys(dir, "map.log", &script)?;

    let mut placements = vec![];
    let seeds: Vec<u32> = (1..=arguments.seeds.max(1)).collect();
    for some in seeds.chunks(PARALLEL) {
        eprintln!("==> place and route, seeds {some:?} of {}", seeds.len());
        let done: Vec<Result<Placement>> = std::thread::scope(|scope| {
            let jobs: Vec<_> = some.iter().map(|seed| scope.spawn(move || place(tools, dir, arguments, *seed))).collect();
            jobs.into_iter().map(|job| job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        for placement in done {
            placements.push(placement?);
        }
    }
    Ok(Clock { asked: arguments.clock, options: arguments.nextpnr.clone(), placements })
}

fn place(tools: &Tools, dir: &Path, arguments: &Arguments, seed: u32) -> Result<Placement> {
    let (clock, number, report) = (arguments.clock.to_string(), seed.to_string(), format!("place-{seed}.json"));
    let device = if arguments.plain { "--85k" } else { "--um5g-85k" };
    let speed = [device, "--speed", "8", "--package", "CABGA756", "--freq", &clock, "--seed", &number, "--timing-allow-fail"];
    let files = ["--json", "netlist.json", "--report", &report];
    let more: Vec<&str> = arguments.nextpnr.iter().map(String::as_str).collect();
    tools.nextpnr(dir, &format!("place-{seed}.log"), &[&speed[..], &files[..], &more[..]].concat())?;
    let report = read(&dir.join(report))?;
    let achieved = report["fmax"].as_object().and_then(|all| all.values().filter_map(|c| c["achieved"].as_f64()).reduce(f64::min));
    let mhz = achieved.context("nextpnr found no path from register to register")?;
    Ok(Placement { seed, mhz, path: critical(&report) })
}

/// The path from clock edge to clock edge.
fn critical(report: &Value) -> Vec<Hop> {
    let paths = report["critical_paths"].as_array().into_iter().flatten();
    let is_clock = |end: &Value| end.as_str().is_some_and(|e| e.starts_with("posedge"));
    let delay = |p: &Value| p["path"].as_array().into_iter().flatten().filter_map(|s| s["delay"].as_f64()).sum::<f64>();
    let longest = paths.filter(|p| is_clock(&p["from"]) && is_clock(&p["to"])).max_by(|a, b| delay(a).total_cmp(&delay(b)));
    let steps = longest.and_then(|p| p["path"].as_array()).into_iter().flatten();
    let (mut hops, mut at, mut logic) = (vec![], 0.0, 0);
    for step in steps {
        at += step["delay"].as_f64().unwrap_or(0.0);
        let cell = step["to"]["cell"].as_str().unwrap_or_default();
        match step["type"].as_str() {
            Some("logic") => logic += 1,
            Some("setup") => hops.push(Hop { name: source_name(cell).unwrap_or(cell).to_owned(), logic, at }),
            Some("routing") => {
                if let Some(name) = step["net"].as_str().and_then(source_name).filter(|n| hops.last().is_none_or(|h: &Hop| h.name != *n)) {
                    hops.push(Hop { name: name.to_owned(), logic, at });
                    logic = 0;
                }
            }
            _ => {}
        }
    }
    hops
}

/// The name in the source, of a net or a cell; `None` for a net that mapping made up.
fn source_name(net: &str) -> Option<&str> {
    const MADE_UP: [&str; 6] = ["_LUT4_", "_PFUMX_", "_L6MUX21_", "_CCU2C_", "$abc", "$auto"];
    let name = net.find("_TRELLIS_FF_").or_else(|| net.find("_DP16KD_")).map_or(net, |end| &net[..end]);
    (!MADE_UP.iter().any(|m| name.contains(m))).then(|| name.strip_prefix("uut.").unwrap_or(name))
}

impl Clock {
    /// The clock of each seed in MHz, and with what options.
    pub(crate) fn speeds(&self) -> String {
        let all: Vec<String> = self.placements.iter().map(|p| format!("{:.1}", p.mhz)).collect();
        let options = if self.options.is_empty() { String::new() } else { format!(" (`{}`)", self.options.join(" ")) };
        all.join(", ") + &options
    }

    /// Where the critical path begins and ends, how many LUTs or carry cells it passes, and how long it takes.
    pub(crate) fn limit(&self) -> Option<String> {
        let slowest = self.slowest()?;
        let (first, last) = (slowest.path.first()?, slowest.path.last()?);
        let logic: u32 = slowest.path.iter().map(|h| h.logic).sum();
        Some(format!("`{}` to `{}`, {logic} cells, {:.2} ns", first.name, last.name, 1000.0 / slowest.mhz))
    }

    fn slowest(&self) -> Option<&Placement> {
        self.placements.iter().min_by(|a, b| a.mhz.total_cmp(&b.mhz))
    }

    pub(crate) fn json(&self) -> Value {
        let hop = |h: &Hop| json!({ "name": h.name, "luts_before": h.logic, "ns": h.at });
        let placement = |p: &Placement| json!({ "seed": p.seed, "mhz": p.mhz, "critical_path": p.path.iter().map(hop).collect::<Vec<_>>() });
        json!({ "asked_mhz": self.asked, "nextpnr": self.options, "placements": self.placements.iter().map(placement).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nclock: {} MHz ({:.2} asked)", self.speeds(), self.asked)?;
        let Some(slowest) = self.slowest() else { return Ok(()) };
        writeln!(f, "critical path of seed {}, {:.2} ns:", slowest.seed, 1000.0 / slowest.mhz)?;
        for hop in &slowest.path {
            let logic = if hop.logic > 0 { format!("({} LUT)", hop.logic) } else { String::new() };
            writeln!(f, "{:8.2} ns {logic:>9} {}", hop.at, hop.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_source_are_told_from_made_up_ones() {
        assert_eq!(source_name("uut.fifo.stored[7]"), Some("fifo.stored[7]"));
        assert_eq!(source_name("uut.fifo.stored_TRELLIS_FF_Q_7"), Some("fifo.stored"));
        assert_eq!(source_name("s$valid_LUT4_D_Z_L6MUX21_Z_SD[6]"), None);
    }

    #[test]
    fn the_longest_path_between_registers_is_told_by_its_names() {
        let step = |kind: &str, delay: f64, net: &str, cell: &str| json!({"type": kind, "delay": delay, "net": net, "to": {"cell": cell}});
        let path = [
            step("clk-to-q", 0.5, "", "a_TRELLIS_FF_Q"),
            step("routing", 1.0, "uut.a", "x"),
            step("logic", 0.25, "", "x"),
            step("routing", 1.0, "uut.a_LUT4_Z", "y"),
            step("logic", 0.25, "", "y"),
            step("routing", 1.0, "uut.b", "c_TRELLIS_FF_Q"),
            step("setup", 0.0, "", "uut.c_TRELLIS_FF_Q"),
        ];
        let report = json!({"critical_paths": [
            {"from": "async", "to": "posedge clock", "path": [step("routing", 9.0, "pin", "z")]},
            {"from": "posedge clock", "to": "posedge clock", "path": path},
        ]});
        let hops: Vec<_> = critical(&report).into_iter().map(|h| (h.name, h.logic, h.at)).collect();
        assert_eq!(hops, [("a".to_owned(), 0, 1.5), ("b".to_owned(), 2, 4.0), ("c".to_owned(), 0, 4.0)]);
    }
}
