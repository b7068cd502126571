//! Bytes that another thread or process reads and writes at the same time.

use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};

/// Memory shared with a driver: a raw pointer, accessed by atomics only.
pub(super) struct Shared(*mut u8);

// SAFETY: nothing but atomic accesses goes through the pointer, and whoever made it promised that the memory outlives it.
unsafe impl Send for Shared {}

impl Shared {
    /// # Safety
    /// `address` is a multiple of eight, and the memory there is valid as long as the value is used.
    pub(super) unsafe fn new(address: *mut u8) -> Shared {
        Shared(address)
    }

    /// Copies out of the memory, ascending, whole words at once.
    ///
    /// # Safety
    /// `offset..offset + bytes.len()` lies inside the memory.
    pub(super) unsafe fn read(&self, offset: usize, bytes: &mut [u8]) {
        let (head, words) = parts(offset, bytes.len());
        let (first, rest) = bytes.split_at_mut(head);
        // SAFETY: inside, as the caller promised; a single byte is always aligned.
        let byte = |at: usize| unsafe { AtomicU8::from_ptr(self.0.add(at)).load(Ordering::Acquire) };
        first.iter_mut().enumerate().for_each(|(i, b)| *b = byte(offset + i));
        let (middle, last) = rest.split_at_mut(words * 8);
        for (i, chunk) in middle.chunks_exact_mut(8).enumerate() {
            // SAFETY: inside; `parts` makes the offset, and `new` the address, a multiple of eight.
            let word = unsafe { AtomicU64::from_ptr(self.0.add(offset + head + i * 8).cast()).load(Ordering::Acquire) };
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        last.iter_mut().enumerate().for_each(|(i, b)| *b = byte(offset + head + words * 8 + i));
    }

    /// Copies into the memory, ascending, whole words at once, each with Release order.
    ///
    /// # Safety
    /// `offset..offset + bytes.len()` lies inside the memory.
    pub(super) unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        let (head, words) = parts(offset, bytes.len());
        let (first, rest) = bytes.split_at(head);
        // SAFETY: inside, as the caller promised; a single byte is always aligned.
        let store = |at: usize, b: u8| unsafe { AtomicU8::from_ptr(self.0.add(at)).store(b, Ordering::Release) };
        first.iter().enumerate().for_each(|(i, b)| store(offset + i, *b));
        let (middle, last) = rest.split_at(words * 8);
        for (i, chunk) in middle.chunks_exact(8).enumerate() {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            // SAFETY: inside; `parts` makes the offset, and `new` the address, a multiple of eight.
            unsafe { AtomicU64::from_ptr(self.0.add(offset + head + i * 8).cast()).store(u64::from_ne_bytes(word), Ordering::Release) };
        }
        last.iter().enumerate().for_each(|(i, b)| store(offset + head + words * 8 + i, *b));
    }
}

/// Bytes before the first whole word, and whole words, of `length` bytes at `offset`.
fn parts(offset: usize, length: usize) -> (usize, usize) {
    let head = (offset.wrapping_neg() % 8).min(length);
    (head, (length - head) / 8)
}
