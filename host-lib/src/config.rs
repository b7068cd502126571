//! How a stack is set up.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use toe_wire::VlanTag;

use crate::tcp::ports::EPHEMERAL;
use crate::tcp::Settings;

/// Settings of a stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our address.
    pub address: Ipv4Addr,
    /// Bits of it that name the network, 0 to 32.
    pub prefix: u8,
    /// Where everything outside that network is sent.
    pub gateway: Option<Ipv4Addr>,
    /// The 802.1Q tag of frames that are not answers.
    pub vlan: Option<VlanTag>,
    /// Of the connections.
    pub settings: Settings,
    /// Ports that are given out to whoever names none.
    pub ports: RangeInclusive<u16>,
    /// Most connections that wait for `accept`, and as many again in the handshake, of one listener.
    pub backlog: usize,
    /// RST segments a second, most, that answer segments of no connection.
    pub resets_per_second: u32,
    /// ICMP messages a second, most.
    pub icmp_per_second: u32,
    /// Entries the life log keeps.
    pub log_entries: usize,
    /// The secret behind sequence numbers and ports; a random one unless a test wants to repeat itself.
    pub secret: Option<[u8; 16]>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            address: Ipv4Addr::new(10, 0, 0, 2),
            prefix: 24,
            gateway: None,
            vlan: None,
            settings: Settings::default(),
            ports: EPHEMERAL,
            backlog: 128,
            resets_per_second: 1000,
            icmp_per_second: 1000,
            log_entries: 4096,
            secret: None,
        }
    }
}

impl Config {
    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }

    /// To whom a datagram for this address is handed; `None` if it cannot be sent.
    pub fn next_hop(&self, ip: Ipv4Addr) -> Option<Ipv4Addr> {
        let local = (u32::from(ip) ^ u32::from(self.address)) & self.mask() == 0;
        if local {
            Some(ip)
        } else {
            self.gateway
        }
    }

    /// Whether an address can be a connection's remote (RFC 9293 MUST-46, MUST-57, MUST-63; RFC 1122 section 3.2.1.3).
    pub fn is_unicast(&self, ip: Ipv4Addr) -> bool {
        let host = u32::from(ip) & !self.mask();
        let on_link = self.next_hop(ip) == Some(ip);
        let directed_broadcast = self.prefix < 31 && on_link && (host == !self.mask() || host == 0);
        !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_loopback() || directed_broadcast || ip.octets()[0] >= 240)
    }
}
