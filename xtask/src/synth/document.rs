//! The table of a document: a row for each module, written when the module has been measured.

use super::area::Area;
use super::clock::Clock;
use super::tools::PACKAGES;
use anyhow::{ensure, Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

const BEGIN: &str = "<!-- synthesis: begin -->";
const END: &str = "<!-- synthesis: end -->";
const COLUMNS: usize = 7;
const HEAD: [&str; COLUMNS] = ["module", "LUT4", "FF", "block RAM", "MHz by seed", "critical path of the slowest", "measured"];

/// Enters what was measured of a module, in the place of its row or below the last.
///
/// # Errors
/// The document cannot be read or written, or has no table.
pub(crate) fn enter(path: &Path, module: &str, area: &Area, clock: &Clock) -> Result<()> {
    let date = Command::new("date").args(["-u", "+%F"]).output().context("`date` could not be started")?;
    let [luts, flip_flops, rams] = area.totals();
    let limit = clock.limit().unwrap_or_default();
    let row = [format!("`{module}`"), luts, flip_flops, rams, clock.speeds(), limit, String::from_utf8(date.stdout)?.trim().to_owned()];
    let text = fs::read_to_string(path)?;
    fs::write(path, with_row(&text, row)?)?;
    Ok(())
}

fn with_row(text: &str, row: [String; COLUMNS]) -> Result<String> {
    let (head, rest) = text.split_once(BEGIN).with_context(|| format!("no line `{BEGIN}`"))?;
    let (table, tail) = rest.split_once(END).with_context(|| format!("no line `{END}`"))?;
    let lines = table.lines().filter(|l| l.starts_with('|')).skip(2);
    let mut rows: Vec<Vec<String>> = lines.map(|l| l.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect();
    ensure!(rows.iter().all(|r| r.len() == COLUMNS), "a row of the table has not {COLUMNS} columns");
    match rows.iter_mut().find(|r| r[0] == row[0]) {
        Some(old) => *old = row.to_vec(),
        None => rows.push(row.to_vec()),
    }
    rows.insert(0, HEAD.map(str::to_owned).to_vec());
    let width: Vec<usize> = (0..COLUMNS).map(|k| rows.iter().map(|r| r[k].chars().count()).max().unwrap_or(0)).collect();
    let mut written: Vec<String> = rows
        .iter()
        .map(|r| {
            let cells: Vec<String> = r.iter().zip(&width).map(|(cell, width)| format!("{cell:width$}")).collect();
            format!("| {} |", cells.join(" | "))
        })
        .collect();
    written.insert(1, format!("|{}|", width.iter().map(|w| "-".repeat(w + 2)).collect::<Vec<_>>().join("|")));
    let tools = PACKAGES.map(|p| format!("`{p}`")).join(" and ");
    Ok(format!("{head}{BEGIN}\n\n{}\n\nBy {tools}.\n\n{END}{tail}", written.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(module: &str, luts: &str) -> [String; COLUMNS] {
        [module, luts, "5", "0", "200.0", "`a` to `b`, 2 cells, 5.00 ns", "2026-01-01"].map(str::to_owned)
    }

    #[test]
    fn a_row_takes_the_place_of_the_one_before_and_others_stay() -> Result<()> {
        let text = format!("before\n{BEGIN}\n{END}\nafter\n");
        let one = with_row(&text, row("`m`", "7"))?;
        let two = with_row(&one, row("`longer`", "8"))?;
        let three = with_row(&two, row("`m`", "12345"))?;
        let rows: Vec<&str> = three.lines().filter(|l| l.starts_with("| `")).collect();
        assert_eq!(rows.len(), 2, "{three}");
        assert!(rows[0].starts_with("| `m`      | 12345 |") && rows[1].starts_with("| `longer` | 8     |"), "{three}");
        assert!(three.starts_with("before\n") && three.ends_with(&format!("{END}\nafter\n")), "{three}");
        assert_eq!(with_row(&three, row("`m`", "12345"))?, three);
        assert!(with_row("no table", row("`m`", "7")).is_err());
        Ok(())
    }
}
