//! What the benches of the modules share: a module in Verilator, and random numbers whose seed is told.
#![allow(dead_code, reason = "each bench uses a part of it")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rust_hdl::prelude::Block;
use std::ops::{Deref, DerefMut};
use toe_verilate::{Dut, Options};

/// Prints a module with our printer and runs it in Verilator. `TOE_WAVE=DIR` writes `DIR/NAME.vcd`.
pub(crate) fn dut<U: Block + Sync>(name: &str, uut: U) -> Dut {
    let verilog = toe_hdl::verilog::print(name, &uut).unwrap_or_else(|e| panic!("{e}"));
    run(name, &verilog.to_string())
}

/// As [`dut`], for a module too large for this thread's stack.
pub(crate) fn dut_with<U: Block>(name: &str, build: impl FnOnce() -> U + Send) -> Dut {
    let verilog = toe_hdl::verilog::print_with(name, build).unwrap_or_else(|e| panic!("{e}"));
    run(name, &verilog.to_string())
}

/// Runs Verilog in Verilator, with what has no initial value random.
pub(crate) fn run(name: &str, verilog: &str) -> Dut {
    let wave = std::env::var_os("TOE_WAVE");
    let options = Options { trace: wave.is_some(), assertions: true, x_unique: true, optimise: false };
    let mut dut = Dut::build(name, verilog, &options).unwrap_or_else(|e| panic!("{e}"));
    if let Some(dir) = wave {
        let path = std::path::Path::new(&dir).join(format!("{name}.vcd"));
        dut.open_wave(&path).unwrap_or_else(|e| panic!("{e}"));
    }
    dut
}

/// Random numbers for a test. The seed is `TOE_SEED`, or the one given; it is printed when the test panics.
pub(crate) struct Random {
    rng: ChaCha8Rng,
    seed: u64,
}

/// See [`Random`].
pub(crate) fn random(seed: u64) -> Random {
    let seed = std::env::var("TOE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(seed);
    Random { rng: ChaCha8Rng::seed_from_u64(seed), seed }
}

impl Deref for Random {
    type Target = ChaCha8Rng;
    fn deref(&self) -> &ChaCha8Rng {
        &self.rng
    }
}

impl DerefMut for Random {
    fn deref_mut(&mut self) -> &mut ChaCha8Rng {
        &mut self.rng
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed: run again with TOE_SEED={}", self.seed);
        }
    }
}
