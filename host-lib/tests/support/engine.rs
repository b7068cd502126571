//! The engine under the tests: the model, or with `TOE_ENGINE=rtl` the Verilated hardware. Watched, an invariant that does not hold
//! ends the test.

use toe_sim::engine::Engine;
use toe_sim::invariants::Watched;
use toe_sim::model::{Config, Model};
use toe_sim::verilated::Verilated;

/// Whether the hardware is tested.
pub fn is_rtl() -> bool {
    match std::env::var("TOE_ENGINE") {
        Err(_) => false,
        Ok(name) if name == "model" => false,
        Ok(name) if name == "rtl" => true,
        Ok(name) => panic!("TOE_ENGINE: expected model or rtl, found {name:?}"),
    }
}

/// An engine after power-on, watched. The hardware is as it was built; the model as it is asked for.
pub fn engine(model: Config) -> Box<dyn Engine> {
    if is_rtl() {
        Box::new(Watched::new(Verilated::new(1)))
    } else {
        Box::new(Watched::new(Model::new(model)))
    }
}
