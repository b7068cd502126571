//! What can be set about a connection.

use crate::time::Nanoseconds;

/// Settings of a stack's connections. They do not change during a connection's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Maximum segment lifetime (RFC 9293 section 3.4.2); TIME_WAIT lasts twice as long.
    pub msl: Nanoseconds,
    /// How long a closed socket stays in FIN_WAIT_2 without hearing the peer's FIN.
    pub fin_timeout: Nanoseconds,
    /// How long a closed socket may go without progress in FIN_WAIT_1, CLOSING and LAST_ACK.
    pub orphan_timeout: Nanoseconds,
    /// RTO before there is a sample (RFC 6298 section 2.1).
    pub rto_initial: Nanoseconds,
    /// Smallest RTO. RFC 6298 section 2.4 says 1 s; Linux has 200 ms.
    pub rto_min: Nanoseconds,
    /// Largest RTO after backing off (RFC 6298 section 2.5).
    pub rto_max: Nanoseconds,
    /// R1: retransmissions after which the path is looked at again (RFC 9293 section 3.8.3, SHLD-10).
    pub r1: u32,
    /// R2: how long the same data is retransmitted before the connection is given up (RFC 9293 section 3.8.3, SHLD-11).
    pub r2: Nanoseconds,
    /// R2 of a SYN (MUST-23: at least 3 minutes).
    pub syn_r2: Nanoseconds,
    /// Least time between two challenge ACKs of a connection (RFC 5961 section 7).
    pub challenge_interval: Nanoseconds,
    /// log2 of the receive ring's bytes, 12 to 30.
    pub receive_log2: u8,
    /// log2 of the send ring's bytes, 12 to 30.
    pub send_log2: u8,
    /// Largest segment we can receive, in bytes of payload: the MTU less 40 (RFC 9293 section 3.7.1, RFC 6691).
    pub mss: u16,
    /// Whether to offer and accept window scaling (RFC 7323 section 2).
    pub window_scaling: bool,
    /// Whether to offer and accept timestamps (RFC 7323 section 3).
    pub timestamps: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            msl: Nanoseconds::from_secs(60),
            fin_timeout: Nanoseconds::from_secs(60),
            orphan_timeout: Nanoseconds::from_secs(120),
            rto_initial: Nanoseconds::from_secs(1),
            rto_min: Nanoseconds::from_millis(200),
            rto_max: Nanoseconds::from_secs(60),
            r1: 3,
            r2: Nanoseconds::from_secs(120),
            syn_r2: Nanoseconds::from_secs(180),
            challenge_interval: Nanoseconds::from_millis(500),
            receive_log2: 18,
            send_log2: 18,
            mss: 1460,
            window_scaling: true,
            timestamps: true,
        }
    }
}

impl Settings {
    /// How long TIME_WAIT lasts (RFC 9293 section 3.6.1, MUST-13).
    pub fn time_wait(&self) -> Nanoseconds {
        self.msl + self.msl
    }

    /// Bytes of the receive ring.
    pub fn receive_size(&self) -> u32 {
        1 << self.receive_log2
    }

    /// Bytes of the send ring.
    pub fn send_size(&self) -> u32 {
        1 << self.send_log2
    }

    /// The shift that lets a 16-bit window speak of the whole receive ring (RFC 7323 section 2.3: at most 14).
    pub fn rcv_wscale(&self) -> u8 {
        self.receive_log2.saturating_sub(15).min(14)
    }
}
