//! The counters' pulses by name.

#![allow(missing_docs, reason = "a field's meaning is in `toe_contract::counter`; what the derives write has no comment")]

use rust_hdl::prelude::*;

/// One pulse for each counter, in the order of the contract (a test compares the names), number 0 lowest: counted once in every cycle it is high. The two counters of bytes
/// are not counted here; theirs stay low.
#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
pub struct Pulses {
    pub mac_rx_frames: Bit,
    pub mac_rx_bytes: Bit,
    pub mac_rx_bad_fcs: Bit,
    pub mac_rx_runt: Bit,
    pub mac_rx_oversize: Bit,
    pub mac_rx_error: Bit,
    pub mac_rx_bad_preamble: Bit,
    pub mac_rx_filtered: Bit,
    pub mac_tx_frames: Bit,
    pub mac_tx_bytes: Bit,
    pub mac_tx_underrun: Bit,
    pub mac_tx_aborted: Bit,
    pub mac_tx_link_down: Bit,
    pub rx_buffer_full: Bit,
    pub rx_bad_ipv4_header: Bit,
    pub rx_bad_ipv4_checksum: Bit,
    pub rx_bad_tcp_header: Bit,
    pub rx_bad_tcp_checksum: Bit,
    pub rx_checksum_good: Bit,
    pub rx_raw: Bit,
    pub rx_raw_full: Bit,
    pub rx_segments: Bit,
    pub rx_no_ack: Bit,
    pub rx_paws: Bit,
    pub rx_unacceptable: Bit,
    pub rx_ack_beyond: Bit,
    pub rx_ack_old: Bit,
    pub rx_in_order: Bit,
    pub rx_out_of_order: Bit,
    pub rx_no_range: Bit,
    pub rx_duplicate: Bit,
    pub tx_acks: Bit,
    pub tx_segments: Bit,
    pub tx_resent: Bit,
    pub tx_window_updates: Bit,
    pub tx_raw: Bit,
    pub injected: Bit,
    pub events: Bit,
    pub interrupts: Bit,
    pub bad_commands: Bit,
}
