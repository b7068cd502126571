//! Bench of the flow core: the reference, the bits, the stimulus.
#![allow(clippy::cast_possible_truncation, reason = "bits are cut to the width of their field")]

pub(crate) mod bench;
pub(crate) mod commands;
pub(crate) mod flow;
pub(crate) mod others;
pub(crate) mod reference;
pub(crate) mod stimulus;
pub(crate) mod wire;

pub(crate) use super::common;
