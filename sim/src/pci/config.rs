//! Configuration space of the function: 4 KiB of registers, each bit read-only, read-write or cleared by a 1.

use super::capability::{self as cap, Dword};
use crate::root_complex::Fault;

/// Bytes of the configuration space of a PCI Express function (7.2.2).
pub const SIZE: usize = 4096;

/// What a write does beyond the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The function is to be reset: Initiate FLR was written (6.6.2), or it came back from D3hot (5.3.1.4).
    Reset,
}

/// See the [module](self).
pub struct Config {
    /// By dword.
    rules: Vec<Dword>,
    now: Vec<u32>,
}

impl Default for Config {
    fn default() -> Config {
        Config::new()
    }
}

impl Config {
    /// As after power-on.
    pub fn new() -> Config {
        let mut rules = vec![Dword::default(); SIZE / 4];
        for dword in cap::REGISTERS.iter().copied().flatten() {
            rules[dword.at / 4] = *dword;
        }
        let now = rules.iter().map(|rule| rule.reset).collect();
        Config { rules, now }
    }

    /// Back to the state after power-on.
    pub fn power_on(&mut self) {
        self.now = self.rules.iter().map(|rule| rule.reset).collect();
    }

    /// Function level reset (6.6.2): sticky bits and those that belong to the link stay.
    pub fn reset(&mut self) {
        for (now, rule) in self.now.iter_mut().zip(&self.rules) {
            *now = *now & rule.keep | rule.reset & !rule.keep;
        }
    }

    /// Reads bytes; all ones beyond the end.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        for (k, byte) in bytes.iter_mut().enumerate() {
            let at = offset.saturating_add(k);
            *byte = self.now.get(at / 4).map_or(0xff, |dword| dword.to_le_bytes()[at % 4]);
        }
    }

    /// Writes bytes within one dword; anything else is dropped, as a root complex never sends it.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Effect {
        let (at, shift) = (offset / 4, offset % 4);
        let (Some(rule), Some(&old)) = (self.rules.get(at), self.now.get(at)) else { return Effect::None };
        if bytes.is_empty() || bytes.len() > 4 - shift {
            return Effect::None;
        }
        let (mut value, mut enabled) = ([0; 4], [0; 4]);
        value[shift..shift + bytes.len()].copy_from_slice(bytes);
        enabled[shift..shift + bytes.len()].fill(0xff);
        let (value, enabled) = (u32::from_le_bytes(value), u32::from_le_bytes(enabled));
        let write = rule.write & enabled & !self.refused(offset & !3, value);
        self.now[at] = old & !write & !(value & rule.clear & enabled) | value & write;
        let flr = at == cap::DEVICE_CONTROL / 4 && value & enabled & cap::DEVICE_CONTROL_FLR != 0;
        let state = |dword: u32| dword & cap::POWER_STATE;
        let woken = at == cap::POWER_CONTROL / 4 && state(old) == cap::POWER_D3_HOT && state(self.now[at]) == 0;
        if flr || woken {
            Effect::Reset
        } else {
            Effect::None
        }
    }

    /// Bits that keep their value because this one is not supported: D1 and D2 (7.5.2.2: the write is discarded).
    fn refused(&self, at: usize, value: u32) -> u32 {
        let known = [0, cap::POWER_D3_HOT].contains(&(value & cap::POWER_STATE));
        if at == cap::POWER_CONTROL && !known {
            cap::POWER_STATE
        } else {
            0
        }
    }

    fn dword(&self, at: usize) -> u32 {
        self.now[at / 4]
    }

    fn is_awake(&self) -> bool {
        self.dword(cap::POWER_CONTROL) & cap::POWER_STATE == 0
    }

    /// The BARs answer: Memory Space Enable, in D0.
    pub fn answers_memory(&self) -> bool {
        self.is_awake() && self.dword(cap::COMMAND) & cap::COMMAND_MEMORY != 0
    }

    /// The function may send requests, interrupts among them: Bus Master Enable, in D0.
    pub fn is_master(&self) -> bool {
        self.is_awake() && self.dword(cap::COMMAND) & cap::COMMAND_MASTER != 0
    }

    /// MSI-X Enable.
    pub fn msix_enabled(&self) -> bool {
        self.dword(cap::MSIX) & cap::MSIX_ENABLE != 0
    }

    /// Function Mask of MSI-X.
    pub fn msix_masked(&self) -> bool {
        self.dword(cap::MSIX) & cap::MSIX_FUNCTION_MASK != 0
    }

    /// Sets MSI-X Enable, as the host's kernel does when a client hands over eventfds.
    pub fn set_msix_enabled(&mut self, on: bool) {
        self.set(cap::MSIX, cap::MSIX_ENABLE, on);
    }

    /// A request of ours was answered with an error (7.5.1.1.4): Unsupported Request where nothing is mapped, Completer Abort where it is not allowed.
    /// What was never sent, for want of Bus Master Enable, leaves no trace.
    pub fn note_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Unmapped { .. } => self.set(cap::COMMAND, cap::STATUS_RECEIVED_MASTER_ABORT, true),
            Fault::ReadOnly { .. } | Fault::WriteOnly { .. } => self.set(cap::COMMAND, cap::STATUS_RECEIVED_TARGET_ABORT, true),
            Fault::NotMaster { .. } => {}
        }
    }

    /// A memory request came that we do not support (6.2.3.1, table 6-5). A read is advisory, since its completion tells the requester (6.2.3.2.4.1).
    pub fn note_unsupported(&mut self, write: bool) {
        self.set(cap::DEVICE_CONTROL, cap::DEVICE_STATUS_UNSUPPORTED, true);
        let fatal = self.dword(cap::UNCORRECTABLE_SEVERITY) & cap::UNSUPPORTED_REQUEST != 0;
        if write || fatal {
            self.set(cap::DEVICE_CONTROL, if fatal { cap::DEVICE_STATUS_FATAL } else { cap::DEVICE_STATUS_NON_FATAL }, true);
        } else {
            self.set(cap::DEVICE_CONTROL, cap::DEVICE_STATUS_CORRECTABLE, true);
            self.set(cap::CORRECTABLE_STATUS, cap::ADVISORY_NON_FATAL, true);
            if self.dword(cap::CORRECTABLE_MASK) & cap::ADVISORY_NON_FATAL != 0 {
                return;
            }
        }
        let status = self.dword(cap::UNCORRECTABLE_STATUS);
        self.set(cap::UNCORRECTABLE_STATUS, cap::UNSUPPORTED_REQUEST, true);
        if status == 0 && self.dword(cap::UNCORRECTABLE_MASK) & cap::UNSUPPORTED_REQUEST == 0 {
            self.now[cap::ERROR_CONTROL / 4] = cap::UNSUPPORTED_REQUEST.trailing_zeros();
        }
    }

    fn set(&mut self, at: usize, bits: u32, on: bool) {
        let dword = &mut self.now[at / 4];
        *dword = if on { *dword | bits } else { *dword & !bits };
    }
}
