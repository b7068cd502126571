//! Memory that a device reads and writes while we do.
//!
//! It is never seen as `&[u8]`: the compiler may assume that nobody changes what lies behind a reference. All access is by atomics of the
//! width asked for, so a race with the device gives old or new bytes, never undefined behaviour.
//!
//! A memfd is sealed against shrinking before another process sees it, and one that is not is refused from another: whoever touches a page
//! behind the end of a file is killed by SIGBUS.

use crate::BusError;
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{fcntl_add_seals, fcntl_get_seals, memfd_create, MemfdFlags, SealFlags};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering};
use std::sync::Arc;

/// Pages are this long; sizes are rounded up to it.
pub const PAGE: usize = 4096;

/// Huge pages are this long: one entry of an IOMMU and of its cache instead of 512.
pub const HUGE_PAGE: usize = 2 << 20;

/// Memory in a memfd, or a part of it, so that it can be pinned by the kernel or shared with another process. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory {
    mapped: Arc<Mapped>,
    /// Where it begins in the mapping: a multiple of a page.
    begin: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Mapped {
    file: File,
    /// Where the mapping begins in the file.
    offset: u64,
    map: MmapRaw,
    writable: bool,
}

impl Memory {
    /// At least `bytes` of zeroed memory: from [`HUGE_PAGE`] on in huge pages if the system has enough of them to spare.
    ///
    /// # Errors
    /// The system has none, or does not allow it.
    pub fn new(bytes: usize) -> Result<Memory, BusError> {
        if bytes >= HUGE_PAGE {
            // The system promises the pages when they are mapped: if that goes well, touching them does.
            match Memory::allocate(bytes.next_multiple_of(HUGE_PAGE), MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB) {
                Ok(memory) => return Ok(memory),
                Err(error) => tracing::debug!(%error, "no huge pages"),
            }
        }
        Memory::allocate(bytes.max(1).next_multiple_of(PAGE), MemfdFlags::empty())
    }

    fn allocate(bytes: usize, pages: MemfdFlags) -> Result<Memory, BusError> {
        let system = |what: &str| system(what, bytes);
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | pages;
        let fd = memfd_create("toe-dma", flags).map_err(|e| system("memfd_create")(e.into()))?;
        let file = File::from(fd);
        file.set_len(bytes as u64).map_err(system("allocation"))?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).map_err(|e| system("sealing")(e.into()))?;
        let map = MmapOptions::new().len(bytes).map_raw(&file).map_err(system("mmap"))?;
        Ok(Memory::whole(Mapped { file, offset: 0, map, writable: true }))
    }

    /// `bytes` from `offset` on of somebody else's memfd. Without `writable` it must not be written to.
    ///
    /// # Errors
    /// It is no memfd, not sealed against shrinking, or ends before; the offset is no multiple of a page.
    pub fn shared(fd: OwnedFd, offset: u64, bytes: usize, writable: bool) -> Result<Memory, BusError> {
        let system = |what: &str| system(what, bytes);
        let refuse = |why: String| system("sharing")(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
        let file = File::from(fd);
        let seals = fcntl_get_seals(&file).map_err(|e| refuse(format!("expected a memfd, whose seals can be read: {e}")))?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(refuse("the memfd is not sealed against shrinking (F_SEAL_SHRINK)".into()));
        }
        let end = offset.checked_add(bytes as u64).filter(|_| bytes > 0);
        let length = file.metadata().map_err(system("fstat"))?.len();
        if end.is_none_or(|end| end > length) || !offset.is_multiple_of(PAGE as u64) {
            return Err(refuse(format!("expected whole pages inside {length:#x} bytes of memfd, found {bytes:#x} bytes at {offset:#x}")));
        }
        let mut options = MmapOptions::new();
        options.offset(offset).len(bytes);
        let map = if writable { options.map_raw(&file) } else { options.map_raw_read_only(&file) }.map_err(system("mmap"))?;
        Ok(Memory::whole(Mapped { file, offset, map, writable }))
    }

    fn whole(mapped: Mapped) -> Memory {
        let bytes = mapped.map.len();
        Memory { mapped: Arc::new(mapped), begin: 0, bytes }
    }

    /// `bytes` of it from `offset` on, both whole pages.
    ///
    /// # Panics
    /// Outside the memory, or not whole pages.
    pub fn part(&self, offset: usize, bytes: usize) -> Memory {
        self.check(offset, bytes);
        assert!(offset.is_multiple_of(PAGE) && bytes.is_multiple_of(PAGE), "a part of DMA memory: expected whole pages, found {bytes} bytes at {offset}");
        Memory { mapped: self.mapped.clone(), begin: self.begin + offset, bytes }
    }

    /// Bytes of it.
    pub fn len(&self) -> usize {
        self.bytes
    }
    /// Never: there is at least a page.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether it may be written to.
    pub fn writable(&self) -> bool {
        self.mapped.writable
    }
    /// The memfd behind it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.mapped.file.as_fd()
    }
    /// Where it begins in that memfd.
    pub fn fd_offset(&self) -> u64 {
        self.mapped.offset + self.begin as u64
    }
    /// First byte, for mapping it elsewhere. Valid as long as a clone of this exists.
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapped.map.as_mut_ptr().wrapping_add(self.begin)
    }

    fn check(&self, offset: usize, bytes: usize) {
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= self.len()), "access to bytes {offset}..+{bytes} of {} bytes of DMA memory", self.len());
    }
    fn check_write(&self, offset: usize) {
        assert!(self.mapped.writable, "write at {offset} to DMA memory that is shared for reading");
    }
    fn byte(&self, offset: usize) -> &AtomicU8 {
        self.check(offset, 1);
        // SAFETY: inside the mapping, which lives as long as `self`; atomics are shared with anybody.
        unsafe { AtomicU8::from_ptr(self.as_ptr().add(offset)) }
    }
    fn word32(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4);
        assert!(offset.is_multiple_of(4), "32-bit access to DMA memory at unaligned offset {offset}");
        // SAFETY: inside the mapping and aligned: mappings begin at a page.
        unsafe { AtomicU32::from_ptr(self.as_ptr().add(offset).cast()) }
    }
    fn word64(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8);
        assert!(offset.is_multiple_of(8), "64-bit access to DMA memory at unaligned offset {offset}");
        // SAFETY: inside the mapping and aligned: mappings begin at a page.
        unsafe { AtomicU64::from_ptr(self.as_ptr().add(offset).cast()) }
    }

    /// Reads 32 bits; what the device wrote before them is seen by later reads (acquire).
    ///
    /// # Panics
    /// Outside the memory or unaligned.
    pub fn load32(&self, offset: usize) -> u32 {
        u32::from_le(self.word32(offset).load(Ordering::Acquire))
    }
    /// Writes 32 bits, after all earlier writes (release).
    ///
    /// # Panics
    /// Outside the memory or unaligned; memory that is not writable.
    pub fn store32(&self, offset: usize, value: u32) {
        self.check_write(offset);
        self.word32(offset).store(value.to_le(), Ordering::Release);
    }
    /// Takes 32 bits away and leaves others; what was written before them is seen by later reads (acquire).
    ///
    /// # Panics
    /// Outside the memory or unaligned.
    pub fn swap32(&self, offset: usize, value: u32) -> u32 {
        self.check_write(offset);
        u32::from_le(self.word32(offset).swap(value.to_le(), Ordering::AcqRel))
    }
    /// Writes 64 bits, after all earlier writes (release).
    ///
    /// # Panics
    /// Outside the memory or unaligned; memory that is not writable.
    pub fn store64(&self, offset: usize, value: u64) {
        self.check_write(offset);
        self.word64(offset).store(value.to_le(), Ordering::Release);
    }
    /// Reads 64 bits (acquire).
    ///
    /// # Panics
    /// Outside the memory or unaligned.
    pub fn load64(&self, offset: usize) -> u64 {
        u64::from_le(self.word64(offset).load(Ordering::Acquire))
    }

    /// Copies bytes out of it.
    ///
    /// # Panics
    /// Outside the memory.
    pub fn copy_out(&self, offset: usize, to: &mut [u8]) {
        self.check(offset, to.len());
        let head = (offset.next_multiple_of(8) - offset).min(to.len());
        let (first, rest) = to.split_at_mut(head);
        for (k, b) in first.iter_mut().enumerate() {
            *b = self.byte(offset + k).load(Ordering::Relaxed);
        }
        let mut at = offset + head;
        let mut words = rest.chunks_exact_mut(8);
        for w in &mut words {
            w.copy_from_slice(&self.word64(at).load(Ordering::Relaxed).to_ne_bytes());
            at += 8;
        }
        for (k, b) in words.into_remainder().iter_mut().enumerate() {
            *b = self.byte(at + k).load(Ordering::Relaxed);
        }
    }
    /// Copies bytes into it, in ascending order.
    ///
    /// # Panics
    /// Outside the memory; memory that is not writable.
    pub fn copy_in(&self, offset: usize, from: &[u8]) {
        self.check(offset, from.len());
        self.check_write(offset);
        let head = (offset.next_multiple_of(8) - offset).min(from.len());
        let (first, rest) = from.split_at(head);
        for (k, b) in first.iter().enumerate() {
            self.byte(offset + k).store(*b, Ordering::Relaxed);
        }
        let mut at = offset + head;
        let mut words = rest.chunks_exact(8);
        for w in &mut words {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(w);
            self.word64(at).store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            at += 8;
        }
        for (k, b) in words.remainder().iter().enumerate() {
            self.byte(at + k).store(*b, Ordering::Relaxed);
        }
    }
    /// Zeroes all of it.
    pub fn clear(&self) {
        let zeros = [0; PAGE];
        (0..self.bytes).step_by(PAGE).for_each(|offset| self.copy_in(offset, &zeros));
    }
}

fn system(what: &str, bytes: usize) -> impl FnOnce(std::io::Error) -> BusError {
    let what = format!("{what} of {bytes} bytes of DMA memory");
    move |source| BusError::System { what, source }
}
