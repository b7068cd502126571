//! Cells per module.

use super::tools::Tools;
use super::{read, sources};
use anyhow::{Context, Result};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, Mul};
use std::path::Path;

/// Cells of a kind that matters, without those of submodules.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Cells {
    luts: u64,
    flip_flops: u64,
    /// Halves of a block RAM, since Xilinx counts by halves.
    half_rams: u64,
    multipliers: u64,
}

impl Add for Cells {
    type Output = Cells;
    fn add(self, o: Cells) -> Cells {
        Cells {
            luts: self.luts + o.luts,
            flip_flops: self.flip_flops + o.flip_flops,
            half_rams: self.half_rams + o.half_rams,
            multipliers: self.multipliers + o.multipliers,
        }
    }
}

impl Mul<u64> for Cells {
    type Output = Cells;
    fn mul(self, n: u64) -> Cells {
        Cells { luts: self.luts * n, flip_flops: self.flip_flops * n, half_rams: self.half_rams * n, multipliers: self.multipliers * n }
    }
}

/// What one cell of a type counts for.
fn weight(cell: &str) -> Option<Cells> {
    let (luts, flip_flops, half_rams, multipliers) = match cell {
        "LUT4" => (1, 0, 0, 0),
        "CCU2C" => (2, 0, 0, 0),
        // Four LUTs hold the bits, two more make the write port.
        "TRELLIS_DPR16X4" => (6, 0, 0, 0),
        "TRELLIS_FF" => (0, 1, 0, 0),
        "DP16KD" => (0, 0, 2, 0),
        "MULT18X18D" => (0, 0, 0, 1),
        "LUT1" | "LUT2" | "LUT3" | "LUT5" | "LUT6" | "SRL16E" | "SRLC32E" | "RAM32X1D" => (1, 0, 0, 0),
        "RAM64X1D" => (2, 0, 0, 0),
        "RAM32M" | "RAM64M" => (4, 0, 0, 0),
        "FDRE" | "FDSE" | "FDCE" | "FDPE" => (0, 1, 0, 0),
        "RAMB18E1" => (0, 0, 1, 0),
        "RAMB36E1" => (0, 0, 2, 0),
        "DSP48E1" => (0, 0, 0, 1),
        _ => return None,
    };
    Some(Cells { luts, flip_flops, half_rams, multipliers })
}

/// A line of the table.
struct Row {
    name: String,
    depth: usize,
    count: u64,
    own: Cells,
    total: Cells,
}

/// The table.
pub(crate) struct Area {
    lut: &'static str,
    rows: Vec<Row>,
    /// With the borders between modules dissolved.
    flat: Cells,
}

/// Maps a module and counts.
///
/// # Errors
/// Yosys refuses it: a latch, a second driver, a loop.
pub(crate) fn measure(tools: &Tools, dir: &Path, module: &str, xilinx: bool) -> Result<Area> {
    let files = sources(dir)?.join(" ");
    let (keep, flatten) = if xilinx {
        ("synth_xilinx -family xc7 -noiopad -abc9", "synth_xilinx -family xc7 -noiopad -abc9 -flatten")
    } else {
        ("synth_ecp5 -abc9 -noflatten", "synth_ecp5 -abc9")
    };
    let read_in = format!("read_verilog {files}; hierarchy -check -top {module}");
    let latches = "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr";
    eprintln!("==> check, map and count");
    tools.yosys(
        dir,
        "area.log",
        &format!("{read_in}; proc; check -assert; {latches}; write_json ports.json; {keep} -top {module}; tee -q -o area.json stat -json"),
    )?;
    tools.yosys(dir, "flat.log", &format!("{read_in}; {flatten} -top {module}; tee -q -o flat.json stat -json"))?;
    let hierarchy = read(&dir.join("area.json"))?;
    let flat = read(&dir.join("flat.json"))?;
    let mut area = Area { lut: if xilinx { "LUT6" } else { "LUT4" }, rows: vec![], flat: own(module_of(&flat, module)?).0 };
    area.walk(&hierarchy, module, 0, 1)?;
    Ok(area)
}

fn module_of<'a>(stat: &'a Value, name: &str) -> Result<&'a Value> {
    stat["modules"].get(format!("\\{name}")).with_context(|| format!("Yosys counted no module `{name}`"))
}

/// A module's own cells, and the submodules in it.
fn own(module: &Value) -> (Cells, BTreeMap<String, u64>) {
    let (mut cells, mut children) = (Cells::default(), BTreeMap::new());
    for (kind, count) in module["num_cells_by_type"].as_object().into_iter().flatten() {
        let count = count.as_u64().unwrap_or(0);
        match weight(kind) {
            Some(one) => cells = cells + one * count,
            None => {
                children.insert(kind.clone(), count);
            }
        }
    }
    (cells, children)
}

impl Area {
    /// Adds a module and those in it; gives the cells of one.
    fn walk(&mut self, stat: &Value, name: &str, depth: usize, count: u64) -> Result<Cells> {
        let (own, children) = own(module_of(stat, name)?);
        let at = self.rows.len();
        self.rows.push(Row { name: name.to_owned(), depth, count, own, total: own });
        let mut total = own;
        for (child, count) in children {
            // What is no module is a cell that costs nothing (a multiplexer between LUTs, a buffer).
            if stat["modules"].get(format!("\\{child}")).is_some() {
                total = total + self.walk(stat, &child, depth + 1, count)? * count;
            }
        }
        self.rows[at].total = total;
        Ok(total)
    }

    /// LUTs, flip-flops and block RAMs of the whole.
    pub(crate) fn totals(&self) -> [String; 3] {
        [self.flat.luts.to_string(), self.flat.flip_flops.to_string(), half(self.flat.half_rams)]
    }

    pub(crate) fn json(&self) -> Value {
        let cells = |c: Cells| json!({ "luts": c.luts, "flip_flops": c.flip_flops, "half_rams": c.half_rams, "multipliers": c.multipliers });
        let row = |r: &Row| json!({ "module": r.name, "depth": r.depth, "count": r.count, "own": cells(r.own), "total": cells(r.total) });
        json!({ "lut": self.lut, "flat": cells(self.flat), "modules": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:32} {:>5} {:>9} {:>9} {:>9} {:>9} {:>6}", "module", "count", self.lut, "own", "FF", "block RAM", "mult")?;
        for r in &self.rows {
            let name = format!("{:1$}{2}", "", 2 * r.depth, r.name);
            let t = r.total;
            let rams = half(t.half_rams);
            writeln!(f, "{name:32} {:>5} {:>9} {:>9} {:>9} {rams:>9} {:>6}", r.count, t.luts, r.own.luts, t.flip_flops, t.multipliers)?;
        }
        let (t, rams) = (self.flat, half(self.flat.half_rams));
        write!(f, "{:32} {:>5} {:>9} {:>9} {:>9} {rams:>9} {:>6}", "flattened", "", t.luts, "", t.flip_flops, t.multipliers)
    }
}

fn half(halves: u64) -> String {
    format!("{}{}", halves / 2, if halves % 2 == 1 { ".5" } else { "" })
}
