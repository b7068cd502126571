//! The modules that can be printed by name.
//!
//! A module that is to be measured alone (`cargo xtask synth --module NAME`) has its line in [`MODULES`].

use crate::flow::core::FlowCore;
