//! `cargo xtask fuzz`: lets libFuzzer look for inputs that a target cannot stand.
//!
//! On the stable compiler: the instrumentation that libFuzzer is guided by is a pass of LLVM, which needs no sanitizer. A target triple of its own
//! keeps it out of build scripts and procedural macros.

use crate::run::{cargo, step};
use anyhow::{bail, Context, Result};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Target: the name of a program in fuzz/targets
    target: String,
    /// How long to look; then the corpus is cut down to what covers something of its own
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Runs this one input, and looks for nothing
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// An input that takes longer is a hang, in seconds
    #[arg(long, default_value_t = 10)]
    timeout: u32,
}

/// Counters for edges, the table of places that they belong to, and what is compared with what: what `cargo fuzz` passes, too.
const INSTRUMENTATION: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
/// Longest input, and most memory: what takes more has run away.
const LIMITS: &[&str] = &["-max_len=4096", "-rss_limit_mb=2048"];

/// Builds a target, lets it run, and keeps what it found.
///
/// # Errors
/// An input crashed it, hung, or took too much memory; the last line says how to see it again.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.target.as_str();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    if !root.join(format!("fuzz/targets/{target}.rs")).exists() {
        bail!("expected one of {:?}, found {target:?}", targets(&root)?);
    }
    let program = build(&root, target)?;
    let timeout = format!("-timeout={}", arguments.timeout);
    let fuzzer = || {
        let mut fuzzer = Command::new(&program);
        fuzzer.arg(&timeout).args(LIMITS);
        fuzzer
    };
    if let Some(input) = &arguments.input {
        return step("one input", fuzzer().arg(input));
    }
    let place = |what: &str| root.join("target/fuzz").join(what).join(target);
    let (kept, found, crashes, least) = (root.join("fuzz/corpus").join(target), place("found"), place("crashes"), place("least"));
    for folder in [&kept, &found, &crashes] {
        fs::create_dir_all(folder)?;
    }
    let mut search = fuzzer();
    search.arg(format!("-max_total_time={}", arguments.seconds)).arg("-print_final_stats=1");
    search.arg(format!("-artifact_prefix={}/", crashes.display())).args([&found, &kept]);
    if let Err(error) = step(&format!("{target} for {} s", arguments.seconds), &mut search) {
        bail!("{error:#}\n{}", reproduce(target, &crashes));
    }
    keep(fuzzer().args(["-merge=1", "-set_cover_merge=1"]), &least, &found, &kept)
}

/// Builds a target, instrumented.
fn build(root: &Path, target: &str) -> Result<PathBuf> {
    let host = host()?;
    let folder = root.join("target/fuzz/build");
    let mut command = cargo();
    command.args(["build", "--package", "toe-fuzz", "--features", "libfuzzer", "--profile", "fuzz", "--bin", target, "--target", &host]);
    command.arg("--target-dir").arg(&folder).env("RUSTFLAGS", INSTRUMENTATION.join(" ")).current_dir(root);
    step(&format!("build {target}"), &mut command)?;
    Ok(folder.join(&host).join("fuzz").join(target))
}

/// Leaves in the kept corpus the fewest and smallest inputs that reach what all of them reach.
fn keep(merge: &mut Command, least: &Path, found: &Path, kept: &Path) -> Result<()> {
    if least.exists() {
        fs::remove_dir_all(least)?;
    }
    fs::create_dir_all(least)?;
    step("cut down the corpus", merge.args([least, found, kept]))?;
    let names = |folder: &Path| -> Result<Vec<_>> { Ok(fs::read_dir(folder)?.map(|f| Ok(f?.file_name())).collect::<std::io::Result<_>>()?) };
    for name in names(kept)? {
        fs::remove_file(kept.join(name))?;
    }
    let mut bytes = 0;
    let all = names(least)?;
    for name in &all {
        bytes += fs::copy(least.join(name), kept.join(name))?;
    }
    eprintln!("{}: {} inputs, {bytes} bytes", kept.display(), all.len());
    Ok(())
}

/// How to see the last failure again.
fn reproduce(target: &str, crashes: &Path) -> String {
    let newest = fs::read_dir(crashes).ok().and_then(|files| {
        let dated = files.filter_map(|f| f.ok().and_then(|f| Some((f.metadata().ok()?.modified().ok()?, f.path()))));
        dated.max().map(|(_, path)| path)
    });
    match newest {
        Some(path) => format!("to see it again: cargo xtask fuzz {target} --input {}", path.display()),
        None => format!("no input has been left in {}", crashes.display()),
    }
}

fn targets(root: &Path) -> Result<Vec<String>> {
    let files = fs::read_dir(root.join("fuzz/targets"))?;
    let mut names: Vec<String> = files.filter_map(|f| Some(f.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// The triple that the compiler runs on.
fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("-vV").output().context("rustc could not be started")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.lines().find_map(|l| l.strip_prefix("host: ")).map(str::to_owned).context("rustc -vV names no host")
}
