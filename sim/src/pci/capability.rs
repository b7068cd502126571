//! The registers of configuration space, as data: where each is, what it resets to, what software may do to which bits.
//!
//! ```text
//!   000 header, type 0        7.5.1.2
//!   040 power management      7.5.2     ─┐
//!   050 MSI-X                 7.7.2      ├ capability list
//!   060 PCI Express           7.5.3     ─┘
//!   100 error reporting (AER) 7.8.4     ─┐ extended capability list
//!   150 serial number         7.9.3     ─┘
//! ```

use toe_contract::{pci, register};

/// Status in its upper half, Command in its lower (7.5.1.1.3, 7.5.1.1.4).
pub const COMMAND: usize = 0x04;
/// Memory Space Enable.
pub const COMMAND_MEMORY: u32 = 1 << 1;
/// Bus Master Enable.
pub const COMMAND_MASTER: u32 = 1 << 2;
/// Interrupt Disable.
pub const COMMAND_INTERRUPT_DISABLE: u32 = 1 << 10;
/// Received Target Abort: a request of ours was answered with Completer Abort.
pub const STATUS_RECEIVED_TARGET_ABORT: u32 = 1 << 28;
/// Received Master Abort: a request of ours was answered with Unsupported Request.
pub const STATUS_RECEIVED_MASTER_ABORT: u32 = 1 << 29;
/// The first Base Address Register (7.5.1.2.1).
pub const BARS: usize = 0x10;
/// Capabilities Pointer (7.5.1.1.11).
pub const CAPABILITIES_POINTER: usize = 0x34;

/// Power Management capability (7.5.2).
pub const POWER: usize = 0x40;
/// Power Management Control/Status (7.5.2.2).
pub const POWER_CONTROL: usize = POWER + 4;
/// Power State.
pub const POWER_STATE: u32 = 3;
/// Power State of D3hot; D0 is 0.
pub const POWER_D3_HOT: u32 = 3;

/// MSI-X capability (7.7.2); Message Control in the upper half of its first register.
pub const MSIX: usize = 0x50;
/// MSI-X Enable.
pub const MSIX_ENABLE: u32 = 1 << 31;
/// Function Mask.
pub const MSIX_FUNCTION_MASK: u32 = 1 << 30;

/// PCI Express capability (7.5.3).
pub const EXPRESS: usize = 0x60;
/// Device Status in its upper half, Device Control in its lower (7.5.3.4, 7.5.3.5).
pub const DEVICE_CONTROL: usize = EXPRESS + 8;
/// Initiate Function Level Reset.
pub const DEVICE_CONTROL_FLR: u32 = 1 << 15;
/// Correctable Error Detected.
pub const DEVICE_STATUS_CORRECTABLE: u32 = 1 << 16;
/// Non-Fatal Error Detected.
pub const DEVICE_STATUS_NON_FATAL: u32 = 1 << 17;
/// Fatal Error Detected.
pub const DEVICE_STATUS_FATAL: u32 = 1 << 18;
/// Unsupported Request Detected.
pub const DEVICE_STATUS_UNSUPPORTED: u32 = 1 << 19;

/// Advanced Error Reporting (7.8.4).
pub const ERRORS: usize = 0x100;
/// Uncorrectable Error Status (7.8.4.2).
pub const UNCORRECTABLE_STATUS: usize = ERRORS + 4;
/// Uncorrectable Error Mask (7.8.4.3).
pub const UNCORRECTABLE_MASK: usize = ERRORS + 8;
/// Uncorrectable Error Severity (7.8.4.4): 1 is fatal.
pub const UNCORRECTABLE_SEVERITY: usize = ERRORS + 0x0c;
/// Unsupported Request Error, in status, mask and severity.
pub const UNSUPPORTED_REQUEST: u32 = 1 << 20;
/// Correctable Error Status (7.8.4.5).
pub const CORRECTABLE_STATUS: usize = ERRORS + 0x10;
/// Correctable Error Mask (7.8.4.6).
pub const CORRECTABLE_MASK: usize = ERRORS + 0x14;
/// Advisory Non-Fatal Error, in status and mask.
pub const ADVISORY_NON_FATAL: u32 = 1 << 13;
/// Advanced Error Capabilities and Control (7.8.4.7); First Error Pointer in its lowest five bits.
pub const ERROR_CONTROL: usize = ERRORS + 0x18;

/// Device Serial Number (7.9.3).
pub const SERIAL: usize = 0x150;

/// 32 bits of configuration space. What is in no mask is read-only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dword {
    /// Its address.
    pub(super) at: usize,
    /// After power-on.
    pub(super) reset: u32,
    /// Read-write bits.
    pub(super) write: u32,
    /// Bits that a 1 written clears.
    pub(super) clear: u32,
    /// Bits that a function level reset leaves alone (6.6.2): the sticky ones, and those it names.
    pub(super) keep: u32,
}

const fn fixed(at: usize, reset: u32) -> Dword {
    Dword { at, reset, write: 0, clear: 0, keep: 0 }
}

const fn writable(at: usize, reset: u32, write: u32) -> Dword {
    Dword { at, reset, write, clear: 0, keep: 0 }
}

/// Two 16-bit registers in one.
const fn pair(low: u16, high: u16) -> u32 {
    (high as u32) << 16 | low as u32
}

/// The first register of a capability, its identity, the next one's address, and 16 bits of its own.
const fn capability(id: u8, next: usize, own: u16) -> u32 {
    (own as u32) << 16 | address(next) << 8 | id as u32
}

/// An address as it stands in a list.
#[allow(clippy::cast_possible_truncation)] // Asserted.
const fn address(at: usize) -> u32 {
    assert!(at < super::SIZE);
    at as u32
}

/// The first register of an extended capability (7.6.3).
const fn extended(id: u16, version: u32, next: usize) -> u32 {
    address(next) << 20 | version << 16 | id as u32
}

/// A 64-bit memory BAR, not prefetchable: its type, and the address bits above its size.
const fn bar(size: u32) -> (u32, u32) {
    assert!(size.is_power_of_two() && size >= 128);
    (0b100, !(size - 1))
}

const BAR_REGISTERS: (u32, u32) = bar(register::BAR_SIZE);
const BAR_MSIX: (u32, u32) = bar(pci::MSIX_BAR_SIZE);
const _: () = assert!(pci::REGISTER_BAR == 0 && pci::MSIX_BAR == 2, "the BARs below are laid out for these");

/// Detected and signalled errors: Master Data Parity Error, the four aborts and errors, Detected Parity Error.
const STATUS_CLEAR: u32 = 0xf900_0000;
/// Capabilities List.
const STATUS_LIST: u32 = 1 << 20;
/// Parity Error Response and SERR# Enable.
const COMMAND_ERRORS: u32 = 1 << 6 | 1 << 8;

const HEADER: &[Dword] = &[
    fixed(0x00, pair(pci::VENDOR, pci::DEVICE)),
    Dword {
        at: COMMAND,
        reset: STATUS_LIST,
        write: COMMAND_MEMORY | COMMAND_MASTER | COMMAND_ERRORS | COMMAND_INTERRUPT_DISABLE,
        clear: STATUS_CLEAR,
        keep: 0,
    },
    fixed(0x08, pci::CLASS << 8 | pci::REVISION as u32),
    // Cache Line Size: writable for old software, without effect (7.5.1.1.7). Header Type 0, one function.
    writable(0x0c, 0, 0xff),
    writable(BARS, BAR_REGISTERS.0, BAR_REGISTERS.1),
    writable(BARS + 4, 0, u32::MAX),
    writable(BARS + 8, BAR_MSIX.0, BAR_MSIX.1),
    writable(BARS + 12, 0, u32::MAX),
    // Subsystem: a board's maker puts his own.
    fixed(0x2c, pair(pci::VENDOR, pci::DEVICE)),
    fixed(CAPABILITIES_POINTER, address(POWER)),
    // Interrupt Pin 0: no INTx. Interrupt Line means nothing then.
    fixed(0x3c, 0),
];

/// Version 3 of the interface: D0 and D3hot, no PME, and no No_Soft_Reset: the way back from D3hot resets the function.
const POWER_MANAGEMENT: &[Dword] = &[fixed(POWER, capability(0x01, MSIX, 3)), writable(POWER_CONTROL, 0, POWER_STATE)];

const MESSAGES: &[Dword] = &[
    writable(MSIX, capability(0x11, EXPRESS, pci::VECTORS - 1), MSIX_ENABLE | MSIX_FUNCTION_MASK),
    fixed(MSIX + 4, pci::MSIX_TABLE | pci::MSIX_BAR as u32),
    fixed(MSIX + 8, pci::MSIX_PENDING | pci::MSIX_BAR as u32),
];

/// 256-byte payloads, extended tags, role-based error reporting, Function Level Reset.
const DEVICE_CAPABILITIES: u32 = 1 | 1 << 5 | 1 << 15 | 1 << 28;
/// Relaxed ordering and no-snoop allowed, Max_Read_Request_Size 512 bytes.
const DEVICE_CONTROL_RESET: u16 = 1 << 4 | 1 << 11 | 2 << 12;
/// The four error reporting enables, relaxed ordering, Max_Payload_Size, extended tags, no-snoop, Max_Read_Request_Size.
const DEVICE_CONTROL_WRITE: u32 = 0x1ff | 0xf << 11;
/// Max_Payload_Size.
const DEVICE_CONTROL_KEEP: u32 = 7 << 5;
/// 8 GT/s, four lanes, no ASPM, ASPM Optionality Compliance.
const LINK_CAPABILITIES: u32 = 3 | 4 << 4 | 1 << 22;
/// ASPM control, read completion boundary, common clock, extended synch; the link's state: 8 GT/s, four lanes, slot clock.
const LINK_CONTROL_WRITE: u32 = 3 | 1 << 3 | 1 << 6 | 1 << 7;
const LINK_STATUS: u16 = 3 | 4 << 4 | 1 << 12;
/// Completion Timeout Disable, supported and set.
const COMPLETION_TIMEOUT_DISABLE: u32 = 1 << 4;
/// 2.5, 5 and 8 GT/s.
const LINK_SPEEDS: u32 = 0b111 << 1;
/// Equalization complete with its three phases.
const LINK_STATUS_2: u16 = 0b1111 << 1;

const PCI_EXPRESS: &[Dword] = &[
    // Version 2, endpoint (type 0), no slot, message 0.
    fixed(EXPRESS, capability(0x10, 0, 2)),
    fixed(EXPRESS + 0x04, DEVICE_CAPABILITIES),
    Dword { at: DEVICE_CONTROL, reset: pair(DEVICE_CONTROL_RESET, 0), write: DEVICE_CONTROL_WRITE, clear: 0xf << 16, keep: DEVICE_CONTROL_KEEP },
    fixed(EXPRESS + 0x0c, LINK_CAPABILITIES),
    Dword { at: EXPRESS + 0x10, reset: pair(0, LINK_STATUS), write: LINK_CONTROL_WRITE, clear: 0, keep: LINK_CONTROL_WRITE },
    fixed(EXPRESS + 0x24, COMPLETION_TIMEOUT_DISABLE),
    writable(EXPRESS + 0x28, 0, COMPLETION_TIMEOUT_DISABLE),
    fixed(EXPRESS + 0x2c, LINK_SPEEDS),
    // Target Link Speed: sticky.
    Dword { at: EXPRESS + 0x30, reset: pair(3, LINK_STATUS_2), write: 0xf, clear: 0, keep: 0xf },
];

/// Data link protocol, poisoned, flow control, timeout, completer abort, unexpected completion, overflow, malformed, ECRC, unsupported, internal.
const UNCORRECTABLE: u32 = 1 << 4 | 0x1ff << 12 | 1 << 22;
/// Those that are fatal if nobody says otherwise (7.8.4.4).
const FATAL: u32 = 1 << 4 | 1 << 13 | 1 << 17 | 1 << 18 | 1 << 22;
/// Internal errors are masked at first (7.8.4.3).
const UNCORRECTABLE_MASKED: u32 = 1 << 22;
/// Receiver, bad TLP, bad DLLP, replay number, replay timer, advisory non-fatal, internal, header log overflow.
const CORRECTABLE: u32 = 1 | 0b111 << 6 | 0b1111 << 12;
/// Advisory non-fatal, internal and header log overflow are masked at first (7.8.4.6).
const CORRECTABLE_MASKED: u32 = 0b111 << 13;

/// All of it is sticky.
const fn sticky(at: usize, reset: u32, write: u32, clear: u32) -> Dword {
    Dword { at, reset, write, clear, keep: u32::MAX }
}

const ERROR_REPORTING: &[Dword] = &[
    fixed(ERRORS, extended(0x0001, 2, SERIAL)),
    sticky(UNCORRECTABLE_STATUS, 0, 0, UNCORRECTABLE),
    sticky(UNCORRECTABLE_MASK, UNCORRECTABLE_MASKED, UNCORRECTABLE, 0),
    sticky(UNCORRECTABLE_SEVERITY, FATAL, UNCORRECTABLE, 0),
    sticky(CORRECTABLE_STATUS, 0, 0, CORRECTABLE),
    sticky(CORRECTABLE_MASK, CORRECTABLE_MASKED, CORRECTABLE, 0),
    // Neither ECRC nor more than one header: nothing to switch on.
    sticky(ERROR_CONTROL, 0, 0, 0),
];

/// An EUI-64 of no vendor: locally administered.
const SERIAL_NUMBER: u64 = 0x0200_00ff_fe00_0000 | pci::DEVICE as u64;

const SERIAL_NUMBER_REGISTERS: &[Dword] =
    &[fixed(SERIAL, extended(0x0003, 1, 0)), fixed(SERIAL + 4, (SERIAL_NUMBER & 0xffff_ffff) as u32), fixed(SERIAL + 8, (SERIAL_NUMBER >> 32) as u32)];

/// Everything that is not zero and read-only.
pub(super) const REGISTERS: &[&[Dword]] = &[HEADER, POWER_MANAGEMENT, MESSAGES, PCI_EXPRESS, ERROR_REPORTING, SERIAL_NUMBER_REGISTERS];
