//! `toe bench`: its JSON is well formed, and what is counted in cycles is the same at every run.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs it with few segments; gives the JSON and what it printed.
fn bench(json: &Path, more: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toe"));
    let output = command.args(["bench", "--segments", "40", "--json"]).arg(json).args(more).output().expect("it starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    (std::fs::read_to_string(json).expect("the JSON has been written"), printed)
}

#[test]
fn the_json_has_every_figure_of_the_table_with_its_target() {
    let folder = tempfile::tempdir().expect("a folder");
    let (json, printed) = bench(&folder.path().join("figures.json"), &[]);
    let figures: Vec<Value> = serde_json::from_str(&json).expect("an array");
    let rtl = cfg!(feature = "rtl");
    assert_eq!(figures.len(), if rtl { 33 } else { 1 }, "{json}");
    for figure in &figures {
        let keys: Vec<&str> = figure.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["holds", "name", "target", "unit", "value"]);
        let name = figure["name"].as_str().expect("a name");
        assert!(figure["value"].is_f64() && figure["unit"].is_string(), "{figure}");
        assert_eq!(figure["target"].is_f64(), figure["holds"].is_boolean(), "{figure}");
        assert!(figure["target"].is_f64() || figure["target"].is_null(), "{figure}");
        assert!(printed.contains(&format!("| {name} ")), "{name} is not in the table:\n{printed}");
    }
    let hold = figures.iter().filter(|f| f["holds"] == true).count();
    let targets = figures.iter().filter(|f| !f["target"].is_null()).count();
    let last = format!("bench: {hold} of {targets} targets hold, {} figures for information\n", figures.len() - targets);
    assert!(printed.ends_with(&last), "expected at the end: {last}{printed}");
}

#[cfg(feature = "rtl")]
#[test]
fn cycles_are_the_same_at_every_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = ["first.json", "second.json"].map(|name| bench(&folder.path().join(name), &["--cycles-only"]));
    assert_eq!(first, second);
    let figures: Vec<Value> = serde_json::from_str(&first.0).expect("an array");
    // A wire of 64 bits a cycle carries no more, and nothing is faster than the wire; smallest segments are as fast.
    for figure in &figures {
        let (name, unit, value) = (figure["name"].as_str().unwrap_or(""), figure["unit"].as_str().unwrap_or(""), figure["value"].as_f64().unwrap_or(0.0));
        match unit {
            "payload bytes/cycle" => assert!(value > 0.0 && value <= 1448.0 / 192.0, "{name}: {value}"),
            "cycles/segment" => assert!((10.4..=10.5).contains(&value), "{name}: {value}"),
            "cycles" => assert!(value >= 1.0, "{name}: {value}"),
            _ => {}
        }
    }
}

/// `toe bench driver`: every transport and way to wait, in the table and in the JSON. How long anything takes is nobody's failure.
#[test]
fn the_driver_is_measured_over_every_transport() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("driver.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_toe"));
    let output = command.args(["bench", "driver", "--rounds", "3", "--seconds", "0.05", "--json"]).arg(&json).output().expect("it starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let figures: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(json).expect("it has been written")).expect("an array");
    let value = |name: &str| figures.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("{name} is missing:\n{printed}"))["value"].clone();
    for transport in ["sim", "vfio_user_trapped", "vfio_user_mapped"] {
        for what in
            ["submit", "doorbell", "event", "batch_1", "batch_64", "command_to_event_interrupt", "requests_interrupt", "requests_poll", "requests_adaptive"]
        {
            let value = value(&format!("{transport}_{what}"));
            assert!(value.as_f64().is_some_and(|v| v > 0.0), "{transport}_{what}: {value}");
        }
    }
    for figure in &figures {
        assert!(printed.contains(&format!("| {} ", figure["name"].as_str().expect("a name"))), "{figure} is not in the table:\n{printed}");
    }
    assert!(value("doorbell_trapped_by_mapped").is_f64());
}
