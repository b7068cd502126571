//! What is not a segment of an installed flow: ARP, ICMP, IPv4 fragments. Pure as `tcp` is: frames and the time in, frames out.

pub mod arp;
pub mod fragment;
pub mod icmp;
pub mod limit;

pub use arp::{ArpCache, ArpOutput};
pub use fragment::{Datagram, Reassembler};
pub use limit::RateLimit;
