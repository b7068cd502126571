//! A frame's way in: taken from the wire or injected, stored, sorted, looked up.
//!
//! ```text
//!  MAC ---> inject ---> parse ------------------------------------> lookup ---> flow core
//!             ^           |  head     masks, sums                     hash
//!  fetch -----+           |  fields   header fields, verdict          table
//!                         |  options  timestamps
//!                         +> store    ring in block RAM -----> write engine
//! ```

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
