//! Every input that a fuzzer has kept runs through its target again, one target after the other.

use std::path::Path;
use toe_fuzz::TARGETS;

#[test]
fn the_kept_corpus_does_no_harm() {
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(&folder).expect("a folder of kept inputs").map(|f| f.expect("a file").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name}: nothing has been kept");
        for file in files {
            println!("{}", file.display());
            run(&std::fs::read(&file).expect("an input"));
        }
    }
}
