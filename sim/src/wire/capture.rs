//! Writes down what goes over a wire, as pcapng.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::{DataLink, PcapError};

use super::{Count, Wire, WireError, WireFrame};
use crate::time::Nanoseconds;

/// The direction bits of pcapng's `epb_flags`, and their values.
pub(super) const DIRECTION: u32 = 3;
const INBOUND: u32 = 1;
pub(super) const OUTBOUND: u32 = 2;
/// The bit of `epb_flags` for a frame with a bad FCS.
pub(super) const CRC_ERROR: u32 = 1 << 24;

/// Bytes collected before they are written although frames keep coming.
const BATCH: usize = 64 * 1024;

/// A wire that writes what passes, in both directions, to a pcapng file: nanoseconds, direction as the NIC sees it
/// (inbound is received by it), and whether the FCS was bad.
///
/// What was collected is written whenever nothing is there to be received, and when 64 KiB have come together; always
/// whole blocks. A program that is killed loses at most that, and leaves a file that can be read.
#[derive(Debug)]
pub struct Capture<W> {
    inner: W,
    writer: Blocks,
    epoch: Nanoseconds,
    frames: u64,
}

/// The file, and the blocks not yet written to it.
struct Blocks {
    path: PathBuf,
    file: File,
    pending: PcapNgWriter<Vec<u8>>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("path", &self.path).field("pending", &self.pending.get_ref().len()).finish_non_exhaustive()
    }
}

impl Blocks {
    fn error(&self, error: PcapError) -> WireError {
        WireError::Capture { path: self.path.clone(), reason: error.to_string() }
    }

    fn flush(&mut self) -> Result<(), WireError> {
        let pending = self.pending.get_mut();
        let written = self.file.write_all(pending);
        pending.clear();
        written.map_err(|source| WireError::io(format!("write capture {}", self.path.display()), source))
    }
}

impl<W: Wire> Capture<W> {
    /// Starts a new file. `interface` is the name it gives the NIC; `epoch` is when simulated time was zero, after
    /// 1970-01-01 UTC ([`crate::time::WallClock::epoch`], or zero in virtual time).
    ///
    /// # Errors
    /// [`WireError::Io`] if the file cannot be made or written.
    pub fn create(inner: W, path: &Path, interface: &str, epoch: Nanoseconds) -> Result<Capture<W>, WireError> {
        let error = |reason: PcapError| WireError::Capture { path: path.to_owned(), reason: reason.to_string() };
        let io_error = |source: io::Error| WireError::io(format!("create capture {}", path.display()), source);
        let section = SectionHeaderBlock { options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed("toe"))], ..Default::default() };
        let mut pending = PcapNgWriter::with_section_header(Vec::new(), section).map_err(error)?;
        // 10^-9 seconds.
        let options = vec![InterfaceDescriptionOption::IfName(Cow::Owned(interface.to_owned())), InterfaceDescriptionOption::IfTsResol(9)];
        let description = InterfaceDescriptionBlock { linktype: DataLink::ETHERNET, snaplen: 0, options };
        pending.write_pcapng_block(description).map_err(error)?;
        let file = File::create(path).map_err(io_error)?;
        let mut writer = Blocks { path: path.to_owned(), file, pending };
        writer.flush()?;
        Ok(Capture { inner, writer, epoch, frames: 0 })
    }

    fn record(&mut self, now: Nanoseconds, frame: &WireFrame, direction: u32) -> Result<(), WireError> {
        let crc_error = if frame.fcs_ok() { 0 } else { CRC_ERROR };
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: (now + self.epoch).into(),
            original_len: u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(&frame.bytes),
            options: vec![EnhancedPacketOption::Flags(direction | crc_error)],
        };
        self.writer.pending.write_pcapng_block(block).map_err(|error| self.writer.error(error))?;
        self.frames += 1;
        if self.writer.pending.get_ref().len() >= BATCH {
            self.writer.flush()?;
        }
        Ok(())
    }

    /// The wire inside.
    pub fn inner(&self) -> &W {
        &self.inner
    }
}

impl<W: Wire> Wire for Capture<W> {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        self.record(now, &frame, OUTBOUND)?;
        self.inner.send(now, frame)
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        let frame = self.inner.receive(now)?;
        match &frame {
            Some(frame) => self.record(now, frame, INBOUND)?,
            None if self.writer.pending.get_ref().is_empty() => {}
            None => self.writer.flush()?,
        }
        Ok(frame)
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        self.inner.next_event()
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }

    fn counts(&self) -> Vec<Count> {
        let mut counts = vec![("capture: frames", self.frames)];
        counts.extend(self.inner.counts());
        counts
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // The last words of a capture: an error has nowhere to go.
        let _ = self.flush();
    }
}
