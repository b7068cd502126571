//! MSI-X (6.1.4, 7.7.2): table and pending bits in BAR 2, and the eventfds that a client has given for the vectors.
//!
//! ```text
//!   engine ──vector──► enabled? ──no──► lost
//!                         │ yes
//!                      masked, no eventfd, or not bus master? ──yes──► pending bit ──► sent when that ends
//!                         │ no
//!                      eventfd
//! ```
//!
//! Handing over an eventfd does what a kernel does with the real thing: it fills the vector's entry of the table and unmasks it. The message itself
//! (address and data) goes nowhere: who reads the eventfd sends it.

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use toe_contract::pci;

/// Bytes of an entry of the table: message address (64 bits), message data, vector control (7.7.2.5 to 7.7.2.8).
const ENTRY: usize = 16;
/// Mask Bit of Vector Control.
const VECTOR_MASKED: u32 = 1;

/// Where a kernel on x86 has its messages go, so that an entry in use looks like one.
const MESSAGE_ADDRESS: u64 = 0xfee0_0000;

/// Why vectors were not set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IrqError {
    /// There are not so many.
    #[error("vectors {start}..+{count}: expected at most {vectors} in all")]
    Range {
        /// First vector.
        start: u32,
        /// Vectors.
        count: usize,
        /// Vectors that there are.
        vectors: usize,
    },
    /// What was handed over is something else.
    #[error("vector {vector}: expected an eventfd, found {found}")]
    NoEventfd {
        /// The vector.
        vector: usize,
        /// What it is.
        found: String,
    },
}

struct Vector {
    address: u64,
    data: u32,
    masked: bool,
    pending: bool,
    trigger: Option<OwnedFd>,
}

impl Vector {
    /// As after power-on: masked (7.7.2.8).
    fn new() -> Vector {
        Vector { address: 0, data: 0, masked: true, pending: false, trigger: None }
    }

    /// As a kernel sets it up for an eventfd.
    fn with(trigger: OwnedFd, pending: bool) -> Vector {
        Vector { address: MESSAGE_ADDRESS, data: 0, masked: false, pending, trigger: Some(trigger) }
    }
}

struct Inside {
    vectors: Vec<Vector>,
    enabled: bool,
    function_mask: bool,
    master: bool,
    sent: u64,
}

/// The vectors, shared by the thread that serves a client and that of the device.
#[derive(Clone)]
pub struct Msix(Arc<Mutex<Inside>>);

impl Msix {
    /// So many, as after power-on.
    pub fn new(vectors: u16) -> Msix {
        let vectors = (0..vectors).map(|_| Vector::new()).collect();
        Msix(Arc::new(Mutex::new(Inside { vectors, enabled: false, function_mask: false, master: false, sent: 0 })))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine has something to tell.
    pub fn interrupt(&self, vector: u16) {
        self.inside().interrupt(usize::from(vector));
    }

    /// MSI-X Enable, Function Mask and Bus Master Enable are now these; what was pending and no longer has to wait is sent.
    pub fn control(&self, enabled: bool, function_mask: bool, master: bool) {
        let mut inside = self.inside();
        (inside.enabled, inside.function_mask, inside.master) = (enabled, function_mask, master);
        inside.send_pending();
    }

    /// Interrupts sent since the start.
    pub fn sent(&self) -> u64 {
        self.inside().sent
    }

    /// A client has given an eventfd for some vector.
    pub fn is_used(&self) -> bool {
        self.inside().vectors.iter().any(|v| v.trigger.is_some())
    }

    /// A client gives eventfds, or takes one back (`None`), for vectors from `start` on.
    ///
    /// # Errors
    /// There are no such vectors, or that is no eventfd; nothing has changed then.
    pub fn set_triggers(&self, start: u32, triggers: Vec<Option<OwnedFd>>) -> Result<(), IrqError> {
        let mut inside = self.inside();
        let range = inside.range(start, triggers.len())?;
        for (vector, trigger) in range.clone().zip(&triggers) {
            if let Some(found) = trigger.as_ref().and_then(not_eventfd) {
                return Err(IrqError::NoEventfd { vector, found });
            }
        }
        for (vector, trigger) in inside.vectors[range].iter_mut().zip(triggers) {
            let pending = vector.pending;
            *vector = trigger.map_or_else(|| Vector { pending, ..Vector::new() }, |trigger| Vector::with(trigger, pending));
        }
        inside.send_pending();
        Ok(())
    }

    /// A client takes all eventfds back.
    pub fn disable(&self) {
        self.inside().vectors.fill_with(Vector::new);
    }

    /// Sets or clears the Mask Bits of the vectors from `start` on for which `which` is true.
    ///
    /// # Errors
    /// There are no such vectors.
    pub fn mask(&self, start: u32, which: &[bool], masked: bool) -> Result<(), IrqError> {
        let mut inside = self.inside();
        let range = inside.range(start, which.len())?;
        inside.vectors[range].iter_mut().zip(which).filter(|(_, on)| **on).for_each(|(vector, _)| vector.masked = masked);
        inside.send_pending();
        Ok(())
    }

    /// Lets the vectors from `start` on for which `which` is true happen, as if the engine had sent them.
    ///
    /// # Errors
    /// There are no such vectors.
    pub fn fire(&self, start: u32, which: &[bool]) -> Result<(), IrqError> {
        let mut inside = self.inside();
        let range = inside.range(start, which.len())?;
        range.zip(which).filter(|(_, on)| **on).for_each(|(vector, _)| inside.interrupt(vector));
        Ok(())
    }

    /// Function level reset. The eventfds are the client's and stay; their entries are set up again, as a kernel does after a reset.
    pub fn reset(&self) {
        let mut inside = self.inside();
        for vector in &mut inside.vectors {
            *vector = vector.trigger.take().map_or_else(Vector::new, |trigger| Vector::with(trigger, false));
        }
        (inside.enabled, inside.function_mask, inside.master) = (false, false, false);
    }

    /// Reads BAR 2: whole aligned 32 or 64 bits, as 7.7.2 asks for; anything else gives all ones.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        if !is_whole(offset, bytes.len()) {
            return bytes.fill(0xff);
        }
        let inside = self.inside();
        for (k, four) in bytes.chunks_exact_mut(4).enumerate() {
            four.copy_from_slice(&inside.read(offset + 4 * k).to_le_bytes());
        }
    }

    /// Writes BAR 2: whole aligned 32 or 64 bits; anything else is dropped. Pending bits are read-only.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        if !is_whole(offset, bytes.len()) {
            return;
        }
        let mut inside = self.inside();
        for (k, four) in bytes.chunks_exact(4).enumerate() {
            let value = four.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            inside.write(offset + 4 * k, value);
        }
        inside.send_pending();
    }
}

impl Inside {
    fn range(&self, start: u32, count: usize) -> Result<std::ops::Range<usize>, IrqError> {
        let vectors = self.vectors.len();
        let first = usize::try_from(start).unwrap_or(usize::MAX);
        let end = first.checked_add(count).filter(|end| *end <= vectors);
        end.map(|end| first..end).ok_or(IrqError::Range { start, count, vectors })
    }

    fn interrupt(&mut self, vector: usize) {
        if let Some(vector) = self.vectors.get_mut(vector).filter(|_| self.enabled) {
            vector.pending = true;
            self.send_pending();
        }
    }

    fn send_pending(&mut self) {
        if !self.enabled || self.function_mask || !self.master {
            return;
        }
        for vector in self.vectors.iter_mut().filter(|v| v.pending && !v.masked) {
            if let Some(trigger) = &vector.trigger {
                signal(trigger);
                vector.pending = false;
                self.sent += 1;
            }
        }
    }

    fn read(&self, offset: usize) -> u32 {
        let word = |value: u64, high: bool| u32::try_from(if high { value >> 32 } else { value & 0xffff_ffff }).unwrap_or(u32::MAX);
        if let Some(vector) = self.vectors.get(offset / ENTRY) {
            match offset % ENTRY / 4 {
                0 => word(vector.address, false),
                1 => word(vector.address, true),
                2 => vector.data,
                _ => u32::from(vector.masked) * VECTOR_MASKED,
            }
        } else {
            let first = offset.checked_sub(pci::MSIX_PENDING as usize).map_or(self.vectors.len(), |at| at * 8);
            let bits = self.vectors.iter().skip(first).take(32).enumerate();
            bits.fold(0, |bits, (k, vector)| bits | u32::from(vector.pending) << k)
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        let Some(vector) = self.vectors.get_mut(offset / ENTRY) else { return };
        match offset % ENTRY / 4 {
            // Bits 1:0 are zero (7.7.2.5).
            0 => vector.address = vector.address & !0xffff_ffff | u64::from(value & !3),
            1 => vector.address = vector.address & 0xffff_ffff | u64::from(value) << 32,
            2 => vector.data = value,
            _ => vector.masked = value & VECTOR_MASKED != 0,
        }
    }
}

/// A whole, aligned access of 32 or 64 bits inside the BAR.
fn is_whole(offset: usize, bytes: usize) -> bool {
    let inside = offset.checked_add(bytes).is_some_and(|end| end <= pci::MSIX_BAR_SIZE as usize);
    inside && (bytes == 4 || bytes == 8) && offset.is_multiple_of(bytes)
}

/// Counts one in an eventfd. It never waits: one that is full has been told often enough.
fn signal(eventfd: &OwnedFd) {
    let mut fds = [PollFd::from_borrowed_fd(eventfd.as_fd(), PollFlags::OUT)];
    if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0) {
        // Filled meanwhile and non-blocking: told as well.
        let _ = rustix::io::write(eventfd, &1_u64.to_ne_bytes());
    }
}

/// What it is, if it is no eventfd: a pipe, say, could be made to block whoever signals.
fn not_eventfd(fd: &OwnedFd) -> Option<String> {
    match std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())) {
        Ok(target) if target.as_os_str().as_encoded_bytes().starts_with(b"anon_inode:[eventfd") => None,
        Ok(target) => Some(target.display().to_string()),
        Err(error) => Some(error.to_string()),
    }
}
