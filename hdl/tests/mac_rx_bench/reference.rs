//! XGMII read as a station reads it, from IEEE 802.3 clauses 3, 4 and 46.

use crate::mac_wire::Character::{self, Data};
use crate::mac_wire::{fcs_of, Line, START, TERMINATE};

pub(crate) const OWN: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
pub(crate) const OTHER: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x54];
pub(crate) const GROUP: [u8; 6] = [0x01, 0x00, 0x5E, 0x00, 0x00, 0x01];
pub(crate) const BROADCAST: [u8; 6] = [0xFF; 6];

/// What becomes of a Start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Filtered,
    BadFcs,
    Runt,
    Oversize,
    Error,
    BadPreamble,
}
pub(crate) const PULSES: [(Verdict, &str); 7] = [
    (Verdict::Good, "mac_rx_frames"),
    (Verdict::Filtered, "mac_rx_filtered"),
    (Verdict::BadFcs, "mac_rx_bad_fcs"),
    (Verdict::Runt, "mac_rx_runt"),
    (Verdict::Oversize, "mac_rx_oversize"),
    (Verdict::Error, "mac_rx_error"),
    (Verdict::BadPreamble, "mac_rx_bad_preamble"),
];

/// How the receiver is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Station {
    pub(crate) max_frame: usize,
    pub(crate) promiscuous: bool,
    pub(crate) multicast: bool,
}
pub(crate) const USUAL: Station = Station { max_frame: 1518, promiscuous: false, multicast: false };
pub(crate) const JUMBO: Station = Station { max_frame: 9618, ..USUAL };

impl Station {
    pub(crate) fn takes(&self, octets: &[u8]) -> bool {
        let to: [u8; 6] = std::array::from_fn(|k| octets.get(k).copied().unwrap_or(0));
        self.promiscuous || to == OWN || to == BROADCAST || (self.multicast && to[0] & 1 == 1)
    }
}

/// A Start on the line and what is to come of it.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) verdict: Verdict,
    /// Octets behind the SFD, with FCS.
    pub(crate) octets: Vec<u8>,
    /// Beats are given out.
    pub(crate) beats: bool,
    /// Words until the one with the frame's end, and lanes of that, counted from Start: for the latency.
    pub(crate) end: usize,
}

/// Reads a line as a station.
pub(crate) fn expected(line: &[Character], station: &Station) -> Vec<Expected> {
    let mut all = vec![];
    let mut at = 0;
    while at + 8 <= line.len() {
        if line[at] != START {
            at += 4;
            continue;
        }
        let mut good = Line::default();
        if line[at..at + 8] != good.preamble().0[..] {
            all.push(Expected { verdict: Verdict::BadPreamble, octets: vec![], beats: false, end: at });
            at += 4;
            continue;
        }
        let octets: Vec<u8> = line[at + 8..].iter().map_while(|c| if let Data(o) = c { Some(*o) } else { None }).collect();
        let (n, end) = (octets.len(), at + 8 + octets.len());
        let Some(last) = line.get(end) else { break };
        // Too long is seen at the first word of eight octets that cannot belong to the frame any more, or at its end.
        let limit = station.max_frame + 4;
        let verdict = if n / 8 > limit / 8 {
            Verdict::Oversize
        } else if *last != TERMINATE {
            Verdict::Error
        } else if n > limit {
            Verdict::Oversize
        } else if n < 64 {
            Verdict::Runt
        } else if !octets.ends_with(&fcs_of(&octets[..n - 4])) {
            Verdict::BadFcs
        } else {
            Verdict::Good
        };
        let takes = station.takes(if n < 8 { &octets[..n] } else { &octets });
        let beats = takes && (n >= 8 || (*last == TERMINATE && n > 4));
        let verdict = if verdict == Verdict::Good && !takes { Verdict::Filtered } else { verdict };
        all.push(Expected { verdict, octets, beats, end });
        at = end.div_ceil(4) * 4;
    }
    all
}
