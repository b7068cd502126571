//! Registers behind BAR 0: 32 bits each, at 32-bit aligned byte offsets.
//!
//! A 64-bit value is two registers, low half first. Reading a low half of [`TIME_LO`] or of a counter latches its high half.

/// What software may do with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only; writes are ignored.
    ReadOnly,
    /// Reads give what was written last.
    ReadWrite,
    /// Write only (doorbells); reads give 0.
    WriteOnly,
}

/// A field of a register.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name in the document.
    pub name: &'static str,
    /// Lowest bit.
    pub low: u32,
    /// Bits.
    pub width: u32,
    /// What it means.
    pub doc: &'static str,
}

impl Field {
    /// The field's bits, in place.
    pub const fn mask(&self) -> u32 {
        u32::MAX >> (32 - self.width) << self.low
    }
    /// The field's value out of a register's.
    pub const fn get(&self, register: u32) -> u32 {
        (register & self.mask()) >> self.low
    }
    /// A value in the field's place; bits that do not fit are cut off.
    pub const fn put(&self, value: u32) -> u32 {
        (value << self.low) & self.mask()
    }
}

/// A register.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// Name in the document and in generated Verilog.
    pub name: &'static str,
    /// Byte offset: in BAR 0 for [`GLOBAL`], in the context's page for [`CONTEXT`], in the doorbell page for [`DOORBELL`].
    pub offset: u32,
    /// What software may do.
    pub access: Access,
    /// Value after reset (of registers whose value does not depend on how the engine was built).
    pub reset: u32,
    /// Fields; none if the register is one number.
    pub fields: &'static [Field],
    /// What it is for.
    pub doc: &'static str,
}

/// Bytes of a page: registers of one kind, or of one context.
pub const PAGE: u32 = 0x1000;
/// Offset of the counters' page: counter `k` has its low half at `COUNTERS + 8 * k`.
pub const COUNTERS: u32 = 0x1000;
/// Offset of context 0's page of registers; context `c` is at `CONTEXTS + c * PAGE`.
pub const CONTEXTS: u32 = 0x1_0000;
/// Offset of context 0's doorbell page; context `c` is at `DOORBELLS + c * PAGE`. A page of its own, so that it can be mapped alone.
pub const DOORBELLS: u32 = 0x2_0000;
/// Bytes of BAR 0.
pub const BAR_SIZE: u32 = 0x4_0000;

macro_rules! registers {
    ($table:ident, $what:literal: $($name:ident @ $offset:literal, $access:ident, reset $reset:expr, [$($field:ident $low:literal +$width:literal $fdoc:literal),*], $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub const $name: Register = Register {
                name: stringify!($name), offset: $offset, access: Access::$access, reset: $reset, doc: $doc,
                fields: &[$(Field { name: stringify!($field), low: $low, width: $width, doc: $fdoc }),*],
            };
            $(
                #[doc = $fdoc]
                pub const $field: Field = Field { name: stringify!($field), low: $low, width: $width, doc: $fdoc };
            )*
        )*
        #[doc = $what]
        pub const $table: &[Register] = &[$($name),*];
        const _: () = check($table);
    };
}

registers! { GLOBAL, "Registers of the whole engine.":
    ID @ 0x000, ReadOnly, reset crate::ID, [], "Says that this is the engine: ASCII \"TOE1\".";
    VERSION @ 0x004, ReadOnly, reset crate::VERSION, [VERSION_MINOR 0 +16 "Added to without breaking drivers.", VERSION_MAJOR 16 +16 "Changed when a driver must change."], "Version of this interface.";
    CAPABILITIES @ 0x008, ReadOnly, reset 0, [CAPABILITY_CONTEXTS 0 +8 "Contexts.", CAPABILITY_RANGES 8 +8 "Out-of-order ranges a flow.", CAPABILITY_DATA_BYTES 16 +8 "Bytes a beat of the data path.", CAPABILITY_TIMESTAMPS 24 +1 "TCP timestamps.", CAPABILITY_VLAN 25 +1 "802.1Q tags.", CAPABILITY_SACK 26 +1 "Selective acknowledgement."], "What was built.";
    FLOWS @ 0x00c, ReadOnly, reset 0, [], "Flows; numbers go from 0 to one less.";
    CLOCK @ 0x010, ReadOnly, reset crate::CLOCK_HZ, [], "Clock in hertz.";
    LONGEST_FRAME @ 0x014, ReadOnly, reset crate::LONGEST_FRAME, [], "Longest frame without FCS that MAX_FRAME may name, in bytes.";
    CONTROL @ 0x018, ReadWrite, reset 0, [CONTROL_RESET 0 +1 "Write 1: stop all DMA, then back to the power-on state. Reads 1 until that is done; no DMA happens after it reads 0.", CONTROL_RECEIVE 1 +1 "Take frames from the wire.", CONTROL_TRANSMIT 2 +1 "Send frames."], "Switches.";
    STATUS @ 0x01c, ReadOnly, reset 0, [STATUS_BUSY 0 +1 "Something is on its way inside.", STATUS_FAULT 1 +1 "A DMA access was answered with an error; all DMA has stopped.", STATUS_LOCAL_FAULT 2 +1 "Local fault on XGMII (IEEE 802.3 clause 46.3.4).", STATUS_REMOTE_FAULT 3 +1 "Remote fault on XGMII."], "State.";
    TIME_LO @ 0x020, ReadOnly, reset 0, [], "`now` in nanoseconds, bits 31:0; latches TIME_HI.";
    TIME_HI @ 0x024, ReadOnly, reset 0, [], "`now`, bits 63:32, as of the last read of TIME_LO.";
    MAC_LO @ 0x028, ReadWrite, reset 0, [], "Bytes 0 to 3 of the MAC address as on the wire, byte 0 lowest.";
    MAC_HI @ 0x02c, ReadWrite, reset 0, [MAC_HI_BYTES 0 +16 "Bytes 4 and 5, byte 4 lowest."], "The rest of the MAC address.";
    FILTER @ 0x030, ReadWrite, reset 0, [FILTER_PROMISCUOUS 0 +1 "Take every frame.", FILTER_MULTICAST 1 +1 "Take all multicast frames."], "Address filter. Frames to the MAC address and to broadcast are always taken.";
    MAX_FRAME @ 0x034, ReadWrite, reset 1518, [MAX_FRAME_BYTES 0 +16 "Bytes without FCS, with the tag."], "Longest frame taken and sent, at most LONGEST_FRAME.";
    DELAYED_ACK @ 0x038, ReadWrite, reset 39063, [], "Delay of a delayed ACK in ticks of 1.024 us; below 0.5 s (RFC 9293 MUST-40).";
    HASH_KEY @ 0x03c, ReadWrite, reset 0, [], "Key of the flow table's hash: written with a random number before the first INSTALL. A change empties the table.";
    BAD_COMMANDS @ 0x040, ReadOnly, reset 0, [], "Commands refused, modulo 2^32.";
}

registers! { CONTEXT, "Registers of a context. Bases and sizes are written while CONTEXT_CONTROL.ENABLE is 0.":
    SUBMISSION_BASE_LO @ 0x000, ReadWrite, reset 0, [], "Submission ring, bus address, bits 31:0; aligned to 4096.";
    SUBMISSION_BASE_HI @ 0x004, ReadWrite, reset 0, [], "Bits 63:32.";
    SUBMISSION_LOG2 @ 0x008, ReadWrite, reset 0, [], "log2 of its entries of 32 bytes, 7 to 16.";
    SUBMISSION_CONSUMED @ 0x00c, ReadOnly, reset 0, [], "Commands taken, modulo 2^32. An entry may be overwritten once this has passed it.";
    EVENT_BASE_LO @ 0x010, ReadWrite, reset 0, [], "Event ring, bits 31:0; aligned to 4096.";
    EVENT_BASE_HI @ 0x014, ReadWrite, reset 0, [], "Bits 63:32.";
    EVENT_LOG2 @ 0x018, ReadWrite, reset 0, [], "log2 of its entries of 64 bytes, 6 to 16; with two entries a flow it never makes the engine wait.";
    EVENT_PRODUCED @ 0x01c, ReadOnly, reset 0, [], "Events written, modulo 2^32.";
    RAW_BASE_LO @ 0x020, ReadWrite, reset 0, [], "Raw ring, bits 31:0; aligned to 4096.";
    RAW_BASE_HI @ 0x024, ReadWrite, reset 0, [], "Bits 63:32.";
    RAW_LOG2 @ 0x028, ReadWrite, reset 0, [], "log2 of its slots, 1 to 16.";
    RAW_SLOT_LOG2 @ 0x02c, ReadWrite, reset 0, [], "log2 of a slot's bytes, 11 to 14: 64 of header and the frame. A longer frame is dropped and counted.";
    RAW_PRODUCED @ 0x030, ReadOnly, reset 0, [], "Raw frames written, modulo 2^32.";
    RAW_FETCHED @ 0x034, ReadOnly, reset 0, [], "RAW and INJECT commands whose buffers have been read, modulo 2^32, in order: their memory may be used again.";
    CONTEXT_CONTROL @ 0x038, ReadWrite, reset 0, [CONTEXT_ENABLE 0 +1 "The rings are set; the context works."], "Switch of the context.";
    HOLDOFF @ 0x03c, ReadWrite, reset 0, [], "Least time between two interrupts, in ticks of 1.024 us.";
}

registers! { DOORBELL, "Doorbells of a context: one page, nothing else in it. Indices run freely modulo 2^32. Where the page is shared memory, it reads as it was written.":
    SUBMISSION_PRODUCED @ 0x000, WriteOnly, reset 0, [], "Commands written by the host.";
    EVENT_CONSUMED @ 0x004, WriteOnly, reset 0, [], "Events taken by the host.";
    RAW_CONSUMED @ 0x008, WriteOnly, reset 0, [], "Raw slots given back by the host.";
    INTERRUPT_ARM @ 0x00c, WriteOnly, reset 0, [], "Any value but 0: arm the interrupt once. It is sent at once if something is unconsumed.";
}

/// Fails the build on registers that overlap, are unaligned or lie outside their page, and on fields that overlap.
const fn check(table: &[Register]) {
    let mut i = 0;
    while i < table.len() {
        let r = &table[i];
        assert!(r.offset.is_multiple_of(4) && r.offset < PAGE, "a register is unaligned or outside its page");
        let mut j = 0;
        while j < i {
            assert!(table[j].offset != r.offset, "two registers overlap");
            j += 1;
        }
        let (mut seen, mut k) = (0u32, 0);
        while k < r.fields.len() {
            let f = &r.fields[k];
            assert!(f.low + f.width <= 32 && seen & f.mask() == 0, "two fields overlap");
            seen |= f.mask();
            k += 1;
        }
        i += 1;
    }
}
const _: () = {
    let (contexts, counters) = (crate::CONTEXTS, crate::counter::COUNTERS.len());
    assert!(CONTEXTS as usize >= COUNTERS as usize + 8 * counters, "the counters' page runs into the contexts'");
    assert!(DOORBELLS as usize >= CONTEXTS as usize + PAGE as usize * contexts, "the contexts' pages run into the doorbells'");
    assert!(BAR_SIZE as usize >= DOORBELLS as usize + PAGE as usize * contexts, "the doorbells' pages run out of the BAR");
};
