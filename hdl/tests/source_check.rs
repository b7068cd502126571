//! What RustHDL's macro drops before there is a tree: nothing of it may be in our sources.

use std::path::{Path, PathBuf};
use toe_hdl::verilog::source_check::check;

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { rust_files(&p) } else { vec![p] }).filter(|p| p.extension().is_some_and(|e| e == "rs")).collect()
}

#[test]
fn our_kernels_mean_what_they_say() {
    let files = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 15, "the sources are there");
    let mut found = vec![];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for finding in check(&text).unwrap() {
            found.push(format!("{}:{}: {}", file.display(), finding.line, finding.what));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_trap_is_found_in_a_kernel_and_nowhere_else() {
    let body = "{
        match self.phase.val() {
            Phase::Idle if self.x.val() => {}
            _ => {}
        }
        for k in 0..=3 {
            self.o.next = self.a.val();
        }
        for k in 0..WIDTH {
            self.o.next = self.a.val().get_bits::<WIDTH>(k);
        }
        self.o.next = LIMIT.into();
        self.o.next = bits_reversed(self.a.val());
        self.itself.next = self.a.val();
        self.o.next = toe::LIMIT.into();
    }";
    let source = |attribute: &str| format!("impl Logic for T {{\n{attribute}\nfn update(&mut self) {body}\n}}");
    let found = check(&source("#[hdl_gen]")).unwrap();
    let seen: Vec<(usize, &str)> = found.iter().map(|f| (f.line, f.what.split(':').next().unwrap())).collect();
    let expected = [(5, "match guard"), (8, "`..=`"), (14, "`LIMIT`"), (15, "`bits_reversed`"), (16, "`itself`"), (17, "`LIMIT`")];
    assert_eq!(seen, expected);
    assert_eq!(check(&source("")).unwrap(), []);
}
