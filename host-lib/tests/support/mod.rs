//! What several tests share.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

pub mod blocks;
pub mod engine;
pub mod kernel;
pub mod liar;
pub mod pair;
pub mod peer;
pub mod scene;
pub mod world;
