//! Doorbells in memory: the pages of BAR 0 that another process has mapped, where it writes without anybody noticing.

use super::Device;
use std::ops::Range;
use toe_contract::register::{self, Register};
use toe_driver::Memory;

/// Registers that hold an index.
const INDICES: [&Register; 3] = [&register::SUBMISSION_PRODUCED, &register::EVENT_CONSUMED, &register::RAW_CONSUMED];

/// What a context's page held at the last look, and what of it the engine knows.
#[derive(Clone, Copy, Default)]
struct Page {
    found: [u32; INDICES.len()],
    known: [u32; INDICES.len()],
    armed: bool,
}

/// The doorbell pages of all contexts. Whoever writes there is seen at the next [`look`](Doorbells::look).
///
/// An interrupt is armed by any number but 0, and armed once: the number is taken away. It is taken before the indices are read, and given to the
/// engine after them, so that what the host consumed before it armed does not interrupt it.
pub struct Doorbells {
    memory: Memory,
    pages: [Page; toe_contract::CONTEXTS],
}

impl Doorbells {
    /// Where they lie in BAR 0, and in the memory.
    pub const PLACE: Range<usize> = register::DOORBELLS as usize..register::DOORBELLS as usize + toe_contract::CONTEXTS * register::PAGE as usize;

    /// Those in that memory, which is as long as the BAR; what it holds is news to the engine.
    pub fn new(memory: Memory) -> Doorbells {
        Doorbells { memory, pages: Default::default() }
    }

    /// Sees what is written there.
    pub fn look(&mut self) {
        for (page, base) in self.pages.iter_mut().zip(Self::PLACE.step_by(register::PAGE as usize)) {
            page.armed |= self.memory.swap32(base + register::INTERRUPT_ARM.offset as usize, 0) != 0;
            for (found, index) in page.found.iter_mut().zip(INDICES) {
                *found = self.memory.load32(base + index.offset as usize);
            }
        }
    }

    /// Tells the engine what has changed; true if something has.
    pub fn ring(&mut self, device: &mut Device) -> bool {
        let mut rung = false;
        for (page, base) in self.pages.iter_mut().zip((register::DOORBELLS..).step_by(register::PAGE as usize)) {
            for ((found, known), index) in page.found.iter().zip(&mut page.known).zip(INDICES) {
                if found != known {
                    device.write(base + index.offset, *found);
                    *known = *found;
                    rung = true;
                }
            }
            if std::mem::take(&mut page.armed) {
                device.write(base + register::INTERRUPT_ARM.offset, 1);
                rung = true;
            }
        }
        rung
    }

    /// The engine has been reset, and knows nothing any more.
    pub fn reset(&mut self) {
        self.pages = Default::default();
        Doorbells::clear(&self.memory);
    }

    /// Takes away what is written in that memory.
    pub fn clear(memory: &Memory) {
        Self::PLACE.step_by(8).for_each(|at| memory.store64(at, 0));
    }
}
