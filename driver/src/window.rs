//! Parts of BAR 0 that are mapped into this process.

use crate::bus::BusError;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::sync::atomic::{fence, AtomicU32, Ordering};
use toe_contract::register::BAR_SIZE;

/// The parts of BAR 0 that could be mapped.
pub(crate) struct Windows(Vec<Window>);

struct Window {
    offset: u32,
    map: MmapRaw,
}

impl Windows {
    /// Maps these parts (offset and bytes) of BAR 0, which begins at `base` in `file`.
    pub(crate) fn map(file: &File, base: u64, areas: &[(u64, u64)]) -> Result<Windows, BusError> {
        let mut windows = Vec::new();
        for &(offset, bytes) in areas.iter().filter(|a| a.1 > 0) {
            let (Ok(at), Ok(len), Some(place)) = (u32::try_from(offset), usize::try_from(bytes), base.checked_add(offset)) else { continue };
            let map = MmapOptions::new().offset(place).len(len).map_raw(file);
            windows.push(Window { offset: at, map: map.map_err(|source| BusError::System { what: "mapping BAR 0".into(), source })? });
        }
        Ok(Windows(windows))
    }

    /// None.
    pub(crate) fn none() -> Windows {
        Windows(Vec::new())
    }

    /// Whether nothing could be mapped.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a register (acquire), if it lies in one of them.
    pub(crate) fn read(&self, offset: u32) -> Option<u32> {
        Some(u32::from_le(self.register(offset)?.load(Ordering::Acquire)))
    }

    /// Writes a register, after everything this thread wrote to DMA memory before; false if it lies in none of them.
    pub(crate) fn write(&self, offset: u32, value: u32) -> bool {
        fence(Ordering::SeqCst);
        self.register(offset).map(|register| register.store(value.to_le(), Ordering::Release)).is_some()
    }

    /// The register at that offset (a multiple of 4), if it lies in one of them.
    fn register(&self, offset: u32) -> Option<&AtomicU32> {
        let at = |w: &Window| offset.checked_sub(w.offset).map(|at| at as usize).filter(|at| at + 4 <= w.map.len());
        let (window, at) = self.0.iter().find_map(|w| at(w).map(|at| (w, at)))?;
        let register = window.map.as_mut_ptr().wrapping_add(at).cast::<u32>();
        // SAFETY: inside the mapping, and aligned if it is given out at all; registers are only touched by atomics.
        register.is_aligned().then(|| unsafe { AtomicU32::from_ptr(register) })
    }
}

/// That an offset is that of a register of BAR 0.
pub(crate) fn check(offset: u32) -> Result<(), BusError> {
    if offset.is_multiple_of(4) && offset < BAR_SIZE {
        return Ok(());
    }
    Err(BusError::Offset { offset, size: BAR_SIZE })
}
