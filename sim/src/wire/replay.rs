//! Frames out of a capture file.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::vec::IntoIter;

use pcap_file::pcap::PcapParser;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::{Block, PcapNgParser};
use pcap_file::{DataLink, PcapError};

use super::capture::{CRC_ERROR, DIRECTION, OUTBOUND};
use super::{Count, Wire, WireError, WireFrame};
use crate::time::Nanoseconds;

/// When the frames of a capture come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pacing {
    /// With the gaps they were captured with; the first when the NIC first looks.
    #[default]
    Original,
    /// As fast as the NIC takes them.
    Fast,
}

/// What the NIC sends.
#[derive(Debug)]
enum Sent {
    Counted(u64),
    Recorded(Vec<(Nanoseconds, WireFrame)>),
}

/// A wire out of which the frames of a pcap or pcapng file come. Frames that the file says were sent by the NIC
/// (pcapng's `epb_flags`, as [`super::Capture`] writes them) are left out, so that a session can be played to a NIC
/// again. What the NIC sends is counted, and kept if it is asked for.
#[derive(Debug)]
pub struct Replay {
    frames: IntoIter<(Nanoseconds, WireFrame)>,
    pacing: Pacing,
    /// Simulated time less time in the capture, once the first frame was asked for.
    offset: Option<Nanoseconds>,
    sent: Sent,
}

impl Replay {
    /// Reads a pcap or pcapng file, whole. A last frame that is not all there, as in the file of a program that was
    /// killed, is left out.
    ///
    /// # Errors
    /// A file that cannot be read, holds anything but Ethernet, or was captured with a snap length that cut frames.
    pub fn open(path: &Path, pacing: Pacing) -> Result<Replay, WireError> {
        let bytes = fs::read(path).map_err(|source| WireError::io(format!("read capture {}", path.display()), source))?;
        let frames = match bytes.first_chunk() {
            Some([0x0a, 0x0d, 0x0d, 0x0a]) => read_pcapng(&bytes),
            _ => read_pcap(&bytes),
        };
        let mut frames = frames.map_err(|reason| WireError::Capture { path: path.to_owned(), reason })?;
        // Captures of several interfaces are not quite in order.
        frames.sort_by_key(|(time, _)| *time);
        let first = frames.first().map_or(Nanoseconds::ZERO, |(time, _)| *time);
        for (time, _) in &mut frames {
            *time = *time - first;
        }
        Ok(Replay { frames: frames.into_iter(), pacing, offset: None, sent: Sent::Counted(0) })
    }

    /// Keeps what the NIC sends, with the times.
    pub fn recording(mut self) -> Replay {
        self.sent = Sent::Recorded(Vec::new());
        self
    }

    /// What the NIC has sent so far; empty unless [`Replay::recording`].
    pub fn sent(&self) -> &[(Nanoseconds, WireFrame)] {
        match &self.sent {
            Sent::Counted(_) => &[],
            Sent::Recorded(frames) => frames,
        }
    }

    /// How many frames are still to come.
    pub fn remaining(&self) -> usize {
        self.frames.len()
    }

    /// When the next frame comes, if time is known yet.
    fn due(&self) -> Option<Nanoseconds> {
        let (time, _) = self.frames.as_slice().first()?;
        match (self.pacing, self.offset) {
            (Pacing::Original, Some(offset)) => Some(*time + offset),
            _ => Some(Nanoseconds::ZERO),
        }
    }
}

fn read_pcapng(mut bytes: &[u8]) -> Result<Vec<(Nanoseconds, WireFrame)>, String> {
    let mut frames = Vec::new();
    let (rest, mut parser) = PcapNgParser::new(bytes).map_err(|error| error.to_string())?;
    bytes = rest;
    while !bytes.is_empty() {
        let (rest, block) = match parser.next_block(bytes) {
            Ok(next) => next,
            Err(PcapError::IncompleteBuffer) => break,
            Err(error) => return Err(format!("block after frame {}: {error}", frames.len())),
        };
        bytes = rest;
        if let Block::EnhancedPacket(packet) = block {
            let interface = parser.packet_interface(&packet).ok_or_else(|| format!("frame {}: no such interface", frames.len() + 1))?;
            frames.extend(pcapng_frame(frames.len(), interface, packet)?);
        }
    }
    Ok(frames)
}

/// A frame of a pcapng file; `None` if the NIC sent it.
fn pcapng_frame(index: usize, interface: &InterfaceDescriptionBlock<'_>, packet: EnhancedPacketBlock<'_>) -> Result<Option<(Nanoseconds, WireFrame)>, String> {
    let flags = packet.options.iter().find_map(|option| match option {
        EnhancedPacketOption::Flags(flags) => Some(*flags),
        _ => None,
    });
    let flags = flags.unwrap_or(0);
    if flags & DIRECTION == OUTBOUND {
        return Ok(None);
    }
    let resolution = interface.options.iter().find_map(|option| match option {
        InterfaceDescriptionOption::IfTsResol(resolution) => Some(*resolution),
        _ => None,
    });
    // The library takes the number for nanoseconds whatever the interface says.
    let time = to_nanoseconds(packet.timestamp.as_nanos(), resolution.unwrap_or(6));
    let mut frame = checked(index, interface.linktype, packet.data, packet.original_len)?;
    if flags & CRC_ERROR != 0 {
        frame.fcs_xor = u32::MAX;
    }
    Ok(Some((time, frame)))
}

/// A number of units of pcapng's `if_tsresol`: 10^-n seconds, or 2^-n with the top bit set.
fn to_nanoseconds(units: u128, resolution: u8) -> Nanoseconds {
    let exponent = u32::from(resolution & 0x7f);
    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
    let per_second = base.checked_pow(exponent).unwrap_or(u128::MAX);
    Nanoseconds(u64::try_from(units.saturating_mul(1_000_000_000) / per_second).unwrap_or(u64::MAX))
}

fn read_pcap(bytes: &[u8]) -> Result<Vec<(Nanoseconds, WireFrame)>, String> {
    let mut frames = Vec::new();
    let (mut bytes, parser) = PcapParser::new(bytes).map_err(|_| "expected a pcap or pcapng file, found something else".to_owned())?;
    while !bytes.is_empty() {
        let (rest, packet) = match parser.next_packet(bytes) {
            Ok(next) => next,
            Err(PcapError::IncompleteBuffer) => break,
            Err(error) => return Err(format!("frame {}: {error}", frames.len() + 1)),
        };
        bytes = rest;
        let frame = checked(frames.len(), parser.header().datalink, packet.data, packet.orig_len)?;
        frames.push((packet.timestamp.into(), frame));
    }
    Ok(frames)
}

fn checked(index: usize, link: DataLink, data: Cow<'_, [u8]>, original_len: u32) -> Result<WireFrame, String> {
    if link != DataLink::ETHERNET {
        return Err(format!("frame {}: expected link type Ethernet, found {link:?}", index + 1));
    }
    let cut = usize::try_from(original_len).is_ok_and(|original| original > data.len());
    if cut {
        return Err(format!("frame {}: only {} of {original_len} bytes were captured; capture without a snap length", index + 1, data.len()));
    }
    Ok(WireFrame::padded(data.into_owned()))
}

impl Wire for Replay {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        match &mut self.sent {
            Sent::Counted(count) => *count += 1,
            Sent::Recorded(frames) => frames.push((now, frame)),
        }
        Ok(())
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        self.offset.get_or_insert(now);
        Ok(self.due().filter(|due| *due <= now).and_then(|_| self.frames.next()).map(|(_, frame)| frame))
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        self.due()
    }

    fn counts(&self) -> Vec<Count> {
        let sent = match &self.sent {
            Sent::Counted(count) => *count,
            Sent::Recorded(frames) => u64::try_from(frames.len()).unwrap_or(u64::MAX),
        };
        vec![("replay: sent by the NIC", sent)]
    }
}
