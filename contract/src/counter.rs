//! Counters: 64 bits each, of everything that is taken, sent and dropped. Cleared by reset only.

/// A counter's name and meaning; its number is its place in [`COUNTERS`].
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// Name in tools and in the RTL's pulse.
    pub name: &'static str,
    /// What it counts.
    pub doc: &'static str,
}

macro_rules! counters {
    ($($name:ident $text:literal $doc:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Number { $($name),* }
        $(#[doc = $doc] pub const $name: usize = Number::$name as usize;)*
        /// Every counter, by number.
        pub const COUNTERS: &[Counter] = &[$(Counter { name: $text, doc: $doc }),*];
    };
}

counters! {
    MAC_RX_FRAMES "mac_rx_frames" "Frames received without fault.";
    MAC_RX_BYTES "mac_rx_bytes" "Bytes of those, without FCS.";
    MAC_RX_BAD_FCS "mac_rx_bad_fcs" "Frames with a wrong FCS.";
    MAC_RX_RUNT "mac_rx_runt" "Frames below 64 bytes with FCS.";
    MAC_RX_OVERSIZE "mac_rx_oversize" "Frames beyond MAX_FRAME.";
    MAC_RX_ERROR "mac_rx_error" "Frames with an error character, or cut off.";
    MAC_RX_BAD_PREAMBLE "mac_rx_bad_preamble" "Starts without a good preamble and SFD.";
    MAC_RX_FILTERED "mac_rx_filtered" "Good frames to another address.";
    MAC_TX_FRAMES "mac_tx_frames" "Frames sent.";
    MAC_TX_BYTES "mac_tx_bytes" "Bytes of those, with padding, without FCS.";
    MAC_TX_UNDERRUN "mac_tx_underrun" "Frames cut off because their bytes did not come in time.";
    MAC_TX_ABORTED "mac_tx_aborted" "Frames spoilt on the wire because their source gave them up.";
    MAC_TX_LINK_DOWN "mac_tx_link_down" "Frames thrown away while the link had a fault.";
    RX_BUFFER_FULL "rx_buffer_full" "Frames dropped: no room in the receive buffer.";
    RX_BAD_IPV4_HEADER "rx_bad_ipv4_header" "Dropped: IPv4 header or total length impossible.";
    RX_BAD_IPV4_CHECKSUM "rx_bad_ipv4_checksum" "Dropped: IPv4 header checksum wrong.";
    RX_BAD_TCP_HEADER "rx_bad_tcp_header" "Dropped: TCP data offset impossible.";
    RX_BAD_TCP_CHECKSUM "rx_bad_tcp_checksum" "Dropped: TCP checksum wrong.";
    RX_CHECKSUM_GOOD "rx_checksum_good" "TCP segments whose checksums were verified.";
    RX_RAW "rx_raw" "Frames handed up raw.";
    RX_RAW_FULL "rx_raw_full" "Dropped: no free slot in the raw ring, or the frame is longer than a slot.";
    RX_SEGMENTS "rx_segments" "Segments of installed flows.";
    RX_NO_ACK "rx_no_ack" "Dropped: segment of a flow without ACK flag.";
    RX_PAWS "rx_paws" "Not taken: timestamp older than TS.Recent.";
    RX_UNACCEPTABLE "rx_unacceptable" "Not taken: outside the window.";
    RX_ACK_BEYOND "rx_ack_beyond" "Not taken: acknowledges what was never sent.";
    RX_ACK_OLD "rx_ack_old" "Not taken: acknowledgement older than any window.";
    RX_IN_ORDER "rx_in_order" "Segments placed at RCV.NXT.";
    RX_OUT_OF_ORDER "rx_out_of_order" "Segments placed beyond RCV.NXT.";
    RX_NO_RANGE "rx_no_range" "Payload not taken: all ranges in use.";
    RX_DUPLICATE "rx_duplicate" "Segments with nothing new.";
    TX_ACKS "tx_acks" "Pure ACKs made by the engine.";
    TX_SEGMENTS "tx_segments" "Segments with data or FIN cut by the engine.";
    TX_RESENT "tx_resent" "Of those, sent before.";
    TX_WINDOW_UPDATES "tx_window_updates" "Window updates asked for by CONSUMED.";
    TX_RAW "tx_raw" "Frames sent for the host.";
    INJECTED "injected" "Frames received for the host.";
    EVENTS "events" "Events written.";
    INTERRUPTS "interrupts" "Interrupts sent.";
    BAD_COMMANDS "bad_commands" "Commands refused.";
}
