//! From Verilog to a shared or a static library.

use crate::cache;
use crate::error::Error;
use crate::shim;
use crate::tools::{run, Tools};
use std::fs;
use std::path::{Path, PathBuf};

/// How a design is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Options {
    /// Waves can be written.
    pub trace: bool,
    /// Assertions in the Verilog are checked.
    pub assertions: bool,
    /// What has no initial value starts with random bits, and so does what Verilog calls unknown.
    pub x_unique: bool,
    /// Compile for speed: slower to build, for runs of many million cycles. A static library always is.
    pub optimise: bool,
}

/// Warnings about style. Every other one is an error: UNOPTFLAT, LATCH, MULTIDRIVEN, PROCASSWIRE, WIDTH...
const STYLE: &[&str] = &["DECLFILENAME", "UNUSEDSIGNAL", "UNUSEDPARAM", "PINCONNECTEMPTY", "UNSIGNED", "CMPCONST", "VARHIDDEN", "SYMRSVDWORD"];

/// Part of a cached library's name: to be raised when what is made from the same input changes.
const FORMAT: &str = "3";

/// The shared library of a design.
pub(crate) fn shared(top: &str, verilog: &str, options: &Options) -> Result<PathBuf, Error> {
    let tools = Tools::find()?;
    let dir = cache::directory("verilated", &key(&tools, "shared", top, verilog, options), |dir| {
        let sources = verilate(&tools, top, verilog, options, "toe_verilated_api", None, dir)?;
        let runtime = runtime(&tools, options)?;
        let unit = unity(&sources, &dir.join("all.cpp"))?;
        let mut compiler = compiler(&tools, options, dir);
        let library = dir.join("model.so");
        run(compiler.args(["-shared", "-o"]).arg(library).arg(unit).arg(runtime.join("runtime.o")).arg("-pthread"))?;
        Ok(())
    })?;
    Ok(dir.join("model.so"))
}

/// Compiles a design into a static library and tells cargo to link it: for a build script. The program then
/// declares `extern "C" { fn toe_api_TOP() -> *const toe_verilate::Api; }` and hands it to [`crate::Dut::linked`]; `toe_api_TOP_replay` is for
/// [`crate::Dut::replay`]. Gives the library's path.
///
/// # Errors
/// What Verilator or the compiler said.
pub fn build_static(top: &str, verilog: &str, options: &Options) -> Result<PathBuf, Error> {
    let tools = Tools::find()?;
    let options = &Options { optimise: true, ..*options };
    let dir = cache::directory("verilated", &key(&tools, &format!("static {REPLAY}"), top, verilog, options), |dir| {
        let sources = verilate(&tools, top, verilog, options, &format!("toe_api_{top}"), Some(REPLAY), dir)?;
        let runtime = runtime(&tools, options)?;
        let objects = parallel(&tools, options, dir, &sources)?;
        let archive = dir.join(format!("lib{top}_model.a"));
        run(std::process::Command::new("ar").arg("crs").arg(&archive).args(&objects).arg(runtime.join("runtime.o")))?;
        Ok(())
    })?;
    println!("cargo:rustc-link-search=native={}", dir.display());
    println!("cargo:rustc-link-lib=static={top}_model");
    println!("cargo:rustc-link-lib=dylib=stdc++");
    println!("cargo:rustc-link-lib=dylib=pthread");
    println!("cargo:rerun-if-env-changed=TOE_VERILATOR");
    println!("cargo:rerun-if-env-changed=CXX");
    Ok(dir.join(format!("lib{top}_model.a")))
}

/// The bare loop, in static libraries only.
const REPLAY: &str = include_str!("replay.cpp");

fn key(tools: &Tools, kind: &str, top: &str, verilog: &str, options: &Options) -> String {
    let (root, shim) = (tools.root.display().to_string(), include_str!("shim.cpp"));
    cache::key(&[FORMAT, kind, top, verilog, &format!("{options:?}"), &root, &tools.compiler, shim])
}

/// Runs Verilator and writes the shim; gives the C++ files.
fn verilate(tools: &Tools, top: &str, verilog: &str, options: &Options, symbol: &str, replay: Option<&str>, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let name = format!("{top}.v");
    let source = dir.join(&name);
    fs::write(&source, verilog).map_err(Error::file(&source))?;
    let prefix = format!("V{top}");
    let mut command = tools.verilator();
    // Relative names: the directory is still to get its final one.
    command.current_dir(dir).args(["--cc", "-O3", "-Wall", "--top-module", top, "--prefix", &prefix, "--Mdir", "."]);
    command.args(STYLE.iter().map(|w| format!("-Wno-{w}")));
    let x = if options.x_unique { "unique" } else { "fast" };
    command.args(["--x-assign", if options.x_unique { "unique" } else { "fast" }, "--x-initial", x]);
    command.arg(if options.assertions { "--assert" } else { "--no-assert" });
    if options.trace {
        command.arg("--trace");
    }
    run(command.arg(name))?;
    let header = |suffix: &str| {
        let path = dir.join(format!("{prefix}{suffix}.h"));
        fs::read_to_string(&path).map_err(Error::file(path))
    };
    let (ports, root) = (shim::ports(&header("")?)?, header("___024root")?);
    let previous_clock = shim::previous_clock(&root, verilog);
    let shim = dir.join("shim.cpp");
    let text = shim::text(&shim::Model { prefix: &prefix, symbol, ports: &ports, trace: options.trace, previous_clock, replay });
    fs::write(&shim, text).map_err(Error::file(&shim))?;
    sources(dir)
}

fn sources(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(dir).map_err(Error::file(dir))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "cpp")).collect();
    files.sort();
    Ok(files)
}

/// One file that includes all: for a small design the quickest to compile.
fn unity(sources: &[PathBuf], file: &Path) -> Result<PathBuf, Error> {
    let names = sources.iter().filter_map(|s| s.file_name());
    let text: String = names.map(|n| format!("#include \"{}\"\n", n.display())).collect();
    fs::write(file, text).map_err(Error::file(file))?;
    Ok(file.to_path_buf())
}

fn compiler(tools: &Tools, options: &Options, dir: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(&tools.compiler);
    let include = tools.root.join("include");
    command.args(["-std=c++17", "-fPIC", "-w", if options.optimise { "-O3" } else { "-O2" }]);
    command.args([format!("-DVM_TRACE={}", u8::from(options.trace)), format!("-DVM_TRACE_VCD={}", u8::from(options.trace))]);
    command.args(["-DVM_COVERAGE=0", "-DVM_SC=0", "-DVL_TIME_CONTEXT"]);
    command.arg("-I").arg(dir).arg("-I").arg(&include).arg("-I").arg(include.join("vltstd"));
    command
}

/// Verilator's own runtime, compiled once for all designs.
fn runtime(tools: &Tools, options: &Options) -> Result<PathBuf, Error> {
    let options = Options { optimise: true, ..*options };
    let name = cache::key(&[FORMAT, &tools.root.display().to_string(), &tools.compiler, &options.trace.to_string()]);
    cache::directory("verilated", &format!("runtime-{name}"), |dir| {
        let include = tools.root.join("include");
        let traced: &[&str] = if options.trace { &["verilated_vcd_c.cpp"] } else { &[] };
        let files = ["verilated.cpp", "verilated_threads.cpp"].iter().chain(traced);
        let files: Vec<PathBuf> = files.map(|f| include.join(f)).filter(|f| f.exists()).collect();
        let objects = parallel(tools, &options, dir, &files)?;
        run(std::process::Command::new("ld").arg("-r").arg("-o").arg(dir.join("runtime.o")).args(objects)).map(drop)
    })
}

/// Compiles files, two at a time.
fn parallel(tools: &Tools, options: &Options, dir: &Path, sources: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let object = |s: &PathBuf| dir.join(s.file_name().unwrap_or_default()).with_extension("o");
    for pair in sources.chunks(2) {
        std::thread::scope(|scope| {
            let jobs: Vec<_> = pair.iter().map(|s| scope.spawn(move || run(compiler(tools, options, dir).arg("-c").arg("-o").arg(object(s)).arg(s)))).collect();
            jobs.into_iter().try_for_each(|j| j.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(drop))
        })?;
    }
    Ok(sources.iter().map(object).collect())
}
