//! Wire formats: Ethernet II (with or without one 802.1Q tag), ARP, IPv4, ICMP and TCP.
//!
//! Each format has two sides:
//!
//! - a **view** over bytes somebody else made ([`EthernetFrame`], [`ArpPacket`], [`Ipv4Packet`], [`IcmpPacket`],
//!   [`TcpPacket`]). `parse` checks the lengths once; after that no accessor can panic or read outside the bytes,
//!   whatever they are. A view does not judge checksums: ask it (`checksum_ok`).
//! - a **representation** that can only be legal ([`EthernetRepr`], [`ArpRepr`], [`Ipv4Repr`], [`IcmpRepr`],
//!   [`TcpSegment`]). It is what a program works with, and what is emitted, checksums filled in.
//!
//! [`parse_tcp_frame`], [`build_tcp_frame`] and their neighbours in [`frame`] do all layers in one step.
//!
//! Frames here begin at the destination address and end with the payload: no preamble, no FCS, and no padding to the
//! 60 bytes of IEEE 802.3: those are the MAC's. Views tolerate padding.
//!
//! ```
//! use toe_wire::*;
//! let eth = EthernetRepr::new(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]), EtherType::IPV4);
//! let ip = Ipv4Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::TCP);
//! let syn = TcpSegment {
//!     src_port: 40000,
//!     dst_port: 80,
//!     seq: SeqNumber(1000),
//!     flags: TcpFlags::SYN,
//!     window: 65535,
//!     options: TcpOptions::new().with_mss(1460).with_window_scale(7),
//!     ..TcpSegment::default()
//! };
//! let frame = build_tcp_frame(&eth, &ip, &syn)?;
//! assert_eq!(parse_tcp_frame(&frame)?.tcp, syn);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Neither of the kept crates gives all of this, so it is written here: `etherparse` stops at the first TCP option it
//! does not know, and `smoltcp` has no 802.1Q and loses combinations of TCP flags. `etherparse` is the independent
//! reader in this crate's tests.

mod arp;
mod error;
mod ethernet;
mod icmp;
mod ipv4;
mod mac;
mod options;
mod seq;
mod tcp;

pub mod checksum;
pub mod frame;

pub use arp::{ArpOperation, ArpPacket, ArpRepr};
pub use error::{EmitError, ParseError};
pub use ethernet::{EtherType, EthernetFrame, EthernetRepr, VlanTag};
pub use frame::{build_arp_frame, build_icmp_echo_reply, build_icmp_frame, build_ipv4_frame, build_tcp_frame, parse_tcp_frame, TcpFrame};
pub use icmp::{unreachable, IcmpPacket, IcmpRepr, QuotedDatagram, QuotedTcp};
pub use ipv4::{Fragment, IpProtocol, Ipv4Packet, Ipv4Repr};
pub use mac::{MacAddr, MacAddrError};
pub use options::{SackBlock, SackBlocks, TcpOption, TcpOptionIter, TcpOptions, TcpTimestamps};
pub use seq::SeqNumber;
pub use tcp::{TcpFlags, TcpPacket, TcpSegment};
