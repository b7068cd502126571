//! What goes over the ports of the RTL, with the cycle in which it was there: for measuring.

use super::axi::Burst;
use super::xgmii::Column;

/// Something at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// `rxd` holds the Start of a frame: its first byte in.
    StartIn,
    /// `rxd` holds the Terminate of a frame: its last byte in.
    EndIn,
    /// `txd` holds the Start of a frame: its first byte out.
    StartOut,
    /// `txd` holds the Terminate of a frame: its last byte out.
    EndOut,
    /// The last part of a write burst goes over the memory bus.
    Written {
        /// Address of the first byte.
        iova: u64,
        /// Bytes, from the first that is written to the last.
        bytes: u64,
        /// Beats of the data channel.
        beats: u64,
    },
}

/// A [`Sight`] and its cycle, counted from power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The cycle.
    pub cycle: u64,
    /// What was seen.
    pub sight: Sight,
}

/// Looks at the ports, once a cycle.
#[derive(Debug, Default)]
pub(super) struct Probe {
    pub(super) seen: Vec<Sighting>,
}

impl Probe {
    pub(super) fn cycle(&mut self, cycle: u64, rx: Column, tx: Column, written: [Option<Burst>; 2]) {
        let mut see = |sight| self.seen.push(Sighting { cycle, sight });
        // In one column, a frame ends before the next begins.
        for (column, end, start) in [(rx, Sight::EndIn, Sight::StartIn), (tx, Sight::EndOut, Sight::StartOut)] {
            if column.terminates() {
                see(end);
            }
            if column.starts() {
                see(start);
            }
        }
        for Burst { iova, bytes, beats } in written.into_iter().flatten() {
            see(Sight::Written { iova, bytes, beats });
        }
    }
}
