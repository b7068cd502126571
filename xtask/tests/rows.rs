//! No row of `docs/lifecycle.md` is without a test that is named after it.

use std::fs;
use std::path::{Path, PathBuf};

/// Rust files below a folder, the build's own left out.
fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, all);
        } else if name.ends_with(".rs") {
            all.push(path);
        }
    }
}

#[test]
fn every_row_of_the_lifecycle_is_named_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = fs::read_to_string(root.join("docs/lifecycle.md")).expect("docs/lifecycle.md is there");
    let rows: Vec<String> = document.lines().filter_map(|l| l.strip_prefix("| S")?.split_whitespace().next().map(|n| format!("s{n}"))).collect();
    assert_eq!(rows.len(), 31, "docs/lifecycle.md has 31 rows");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let text: String = files.iter().map(|f| fs::read_to_string(f).expect("a source can be read")).collect();
    let functions: Vec<&str> = text.split("fn ").skip(1).collect();
    let missing: Vec<&String> = rows
        .iter()
        .filter(|id| !functions.iter().any(|f| f.starts_with(&format!("{id}_")) || f.split(['(', '<']).next().is_some_and(|n| n.contains(&format!("_{id}_")))))
        .collect();
    assert!(missing.is_empty(), "rows without a test `sNN_...`: {missing:?}");
}
