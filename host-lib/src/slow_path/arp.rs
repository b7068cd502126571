//! Who has which address on this link (RFC 826, RFC 1122 section 2.3.2).

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;

use toe_wire::{build_arp_frame, ArpOperation, ArpRepr, MacAddr, VlanTag};

use crate::time::Nanoseconds;

/// How long an answer is believed (RFC 1122 section 2.3.2.1).
const LIFETIME: Nanoseconds = Nanoseconds::from_secs(60);
/// Least time between two requests for an address (RFC 1122 section 2.3.2.1).
const RETRY: Nanoseconds = Nanoseconds::from_secs(1);
/// Requests without an answer before an address counts as unreachable.
const TRIES: u32 = 3;
/// Frames that wait for an answer (RFC 1122 section 2.3.2.2: at least one).
const QUEUE: usize = 16;
/// Addresses remembered; strangers can make us remember some.
const ENTRIES: usize = 1024;

/// What comes out of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArpOutput {
    /// A frame to be sent.
    Frame(Vec<u8>),
    /// This address does not answer; what waited for it is gone.
    Unreachable(Ipv4Addr),
}

enum Entry {
    Known { mac: MacAddr, until: Nanoseconds },
    Asked { waiting: VecDeque<Vec<u8>>, tries: u32, again: Nanoseconds },
}

/// Ethernet addresses of neighbours.
pub struct ArpCache {
    mac: MacAddr,
    ip: Ipv4Addr,
    vlan: Option<VlanTag>,
    entries: HashMap<Ipv4Addr, Entry>,
    conflicts: u64,
}

impl ArpCache {
    /// For a station with these addresses.
    pub fn new(mac: MacAddr, ip: Ipv4Addr, vlan: Option<VlanTag>) -> ArpCache {
        ArpCache { mac, ip, vlan, entries: HashMap::new(), conflicts: 0 }
    }

    /// Tells everybody of our address (RFC 5227 section 2.3).
    pub fn announcement(&self) -> Vec<u8> {
        self.request(self.ip)
    }

    fn request(&self, target: Ipv4Addr) -> Vec<u8> {
        build_arp_frame(self.vlan, &ArpRepr::request(self.mac, self.ip, target))
    }

    /// The address of a neighbour, if it is known.
    pub fn lookup(&self, ip: Ipv4Addr, now: Nanoseconds) -> Option<MacAddr> {
        match self.entries.get(&ip) {
            Some(Entry::Known { mac, until }) if *until > now => Some(*mac),
            _ => None,
        }
    }

    /// Sends a frame to a neighbour: at once, or when it has told its address. The frame's first six bytes are filled in.
    pub fn send(&mut self, ip: Ipv4Addr, mut frame: Vec<u8>, now: Nanoseconds) -> Vec<ArpOutput> {
        if let Some(mac) = self.lookup(ip, now) {
            address(&mut frame, mac);
            return vec![ArpOutput::Frame(frame)];
        }
        if let Some(Entry::Asked { waiting, .. }) = self.entries.get_mut(&ip) {
            if waiting.len() == QUEUE {
                waiting.pop_front();
            }
            waiting.push_back(frame);
            return Vec::new();
        }
        self.make_room(now);
        self.entries.insert(ip, Entry::Asked { waiting: VecDeque::from([frame]), tries: 1, again: now + RETRY });
        vec![ArpOutput::Frame(self.request(ip))]
    }

    /// Asks a neighbour again whose address may have changed (RFC 9293 section 3.8.3, R1). The old one stays in use meanwhile.
    pub fn confirm(&self, ip: Ipv4Addr) -> ArpOutput {
        ArpOutput::Frame(self.request(ip))
    }

    /// An ARP packet has come (RFC 826, "Packet Reception").
    pub fn on_packet(&mut self, packet: &ArpRepr, now: Nanoseconds) -> Vec<ArpOutput> {
        let (sender, mac) = (packet.sender_ip, packet.sender_mac);
        if mac.is_multicast() || mac == MacAddr::ZERO || sender.is_broadcast() || sender.is_multicast() {
            return Vec::new();
        }
        if sender == self.ip {
            // Somebody else has our address (RFC 5227 section 2.4): counted, and defended by going on.
            self.conflicts += u64::from(mac != self.mac);
            return Vec::new();
        }
        let for_us = packet.target_ip == self.ip;
        let mut out = Vec::new();
        if !sender.is_unspecified() && (for_us || self.entries.contains_key(&sender)) {
            out = self.learn(sender, mac, now);
        }
        if for_us && packet.operation == ArpOperation::Request {
            out.push(ArpOutput::Frame(build_arp_frame(self.vlan, &packet.reply_from(self.mac))));
        }
        out
    }

    fn learn(&mut self, ip: Ipv4Addr, mac: MacAddr, now: Nanoseconds) -> Vec<ArpOutput> {
        if !self.entries.contains_key(&ip) {
            self.make_room(now);
        }
        match self.entries.insert(ip, Entry::Known { mac, until: now + LIFETIME }) {
            Some(Entry::Asked { waiting, .. }) => waiting
                .into_iter()
                .map(|mut frame| {
                    address(&mut frame, mac);
                    ArpOutput::Frame(frame)
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Forgets what is out of date, or, if nothing is, anything that is known: it can be asked for again.
    fn make_room(&mut self, now: Nanoseconds) {
        if self.entries.len() < ENTRIES {
            return;
        }
        self.entries.retain(|_, entry| !matches!(entry, Entry::Known { until, .. } if *until <= now));
        if self.entries.len() >= ENTRIES {
            let known = self.entries.iter().find(|(_, entry)| matches!(entry, Entry::Known { .. })).map(|(ip, _)| *ip);
            let victim = known.or_else(|| self.entries.keys().next().copied());
            if let Some(ip) = victim {
                self.entries.remove(&ip);
            }
        }
    }

    /// Asks again, or gives up.
    pub fn expire(&mut self, now: Nanoseconds) -> Vec<ArpOutput> {
        let mut out = Vec::new();
        let mut ask = Vec::new();
        self.entries.retain(|ip, entry| match entry {
            Entry::Asked { tries, again, .. } if *again <= now => {
                if *tries == TRIES {
                    out.push(ArpOutput::Unreachable(*ip));
                    return false;
                }
                *tries += 1;
                *again = now + RETRY;
                ask.push(*ip);
                true
            }
            _ => true,
        });
        out.extend(ask.into_iter().map(|ip| ArpOutput::Frame(self.request(ip))));
        out
    }

    /// When [`expire`](ArpCache::expire) has something to do.
    pub fn next_deadline(&self) -> Option<Nanoseconds> {
        let asked = self.entries.values().filter_map(|entry| match entry {
            Entry::Asked { again, .. } => Some(*again),
            Entry::Known { .. } => None,
        });
        asked.min()
    }

    /// Addresses known or asked for.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How often somebody else was seen to use our address.
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }
}

fn address(frame: &mut [u8], mac: MacAddr) {
    if let Some(destination) = frame.first_chunk_mut::<6>() {
        *destination = mac.0;
    }
}
