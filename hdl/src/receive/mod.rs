//! A frame's way in: taken from the wire or injected, stored, sorted, looked up.
//!
//! ```text
//!  MAC ---> inject ---> parse ------------------------------------> lookup ---> flow core
//!             ^           |  head     masks, sums                     hash
//!  fetch -----+           |  fields   header fields, verdict          table
//!                         |  options  timestamps
//!                         +> store    ring in block RAM -----> write engine
//! ```
//!
//! Area and clock in an ECP5-5G-85F, one placement (`cargo xtask synth --module NAME --seeds 1`):
//!
//! | module | LUT4 | FF | block RAM | MHz |
//! |---|---|---|---|---|
//! | inject | 311 | 116 | 2 | 239 |
//! | parser | 2216 | 1856 | 25 | 188 |
//! | lookup | 1523 | 1170 | 16 | 160 |

pub mod fields;
pub mod hash;
pub mod head;
pub mod inject;
pub mod lookup;
pub mod options;
pub mod parse;
pub mod secret;
pub mod store;
pub mod verdict;
