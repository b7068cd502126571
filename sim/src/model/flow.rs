//! The state of one flow, and what keeps its out-of-order ranges in shape.

use super::parse::{flag, sort, Sorted};
use toe_contract::event::{self, Event};

/// The signed distance from `b` to `a` in sequence space (RFC 9293 section 3.4).
pub fn relative(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

/// Local and remote address and port, as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Our address.
    pub local_ip: u32,
    /// The peer's address.
    pub remote_ip: u32,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

/// A flow. The fields have the names and the meaning of `docs/engine.md`, "State of a flow".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are explained in docs/engine.md, and nowhere else")]
pub struct Flow {
    pub active: bool,
    pub generation: u8,
    pub remote_mac: [u8; 6],
    pub vlan: Option<u16>,
    pub tuple: Tuple,
    pub receive_base: u64,
    pub send_base: u64,
    pub receive_log2: u8,
    pub send_log2: u8,
    pub snd_mss: u16,
    pub rcv_mss: u16,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
    pub timestamps: bool,
    pub nodelay: bool,
    pub ts_offset: u32,
    pub rcv_nxt: u32,
    pub rcv_adv: u32,
    pub rcv_consumed: u32,
    pub ranges: Vec<(u32, u32)>,
    pub fin_known: bool,
    pub fin_seq: u32,
    pub fin_received: bool,
    pub ts_recent: u32,
    pub last_ack_sent: u32,
    pub ack_owed: bool,
    pub delack_armed: bool,
    pub delack_deadline: u32,
    pub challenge_at: u32,
    pub challenge_valid: bool,
    pub snd_una: u32,
    pub snd_nxt: u32,
    pub snd_max: u32,
    pub limit: u32,
    pub fin_queued: bool,
    pub snd_wnd: u32,
    pub snd_wl1: u32,
    pub snd_wl2: u32,
    pub max_wnd: u32,
    pub cwnd: u32,
    pub one_pending: bool,
    pub one_seq: u32,
    pub dup_acks: u8,
    pub timed: bool,
    pub timed_seq: u32,
    pub timed_at: u32,
    pub rtt: u32,
    pub rtt_count: u8,
    pub ts_ecr: u32,
    pub armed: bool,
    pub dirty: bool,
    pub quiet: bool,
    pub in_ack: bool,
    pub in_data: bool,
    pub in_report: bool,
    pub in_delack: bool,
}

/// What [`Flow::insert`] did with a piece of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It begins at RCV.NXT, which has moved.
    InOrder,
    /// It is held.
    Held,
    /// There is no range for it.
    NoRange,
}

impl Flow {
    /// Takes the receiving side on to where a frame, if it is a segment of this flow, will have brought it; for who makes up segments ahead.
    pub fn foresee(&mut self, frame: &[u8], tick: u32) {
        let Sorted::Tcp(segment) = sort(frame) else { return };
        if segment.tuple != self.tuple || segment.flags & (flag::SYN | flag::RST | flag::URG | flag::ACK) != flag::ACK {
            return;
        }
        let mut after = self.clone();
        after.segment(&segment, tick);
        self.rcv_nxt = after.rcv_nxt;
        self.ranges = after.ranges;
        (self.fin_known, self.fin_seq, self.fin_received) = (after.fin_known, after.fin_seq, after.fin_received);
        self.ts_recent = after.ts_recent;
    }

    /// Bytes of the receive ring.
    pub fn receive_size(&self) -> u32 {
        1 << self.receive_log2
    }

    /// Bytes of the send ring.
    pub fn send_size(&self) -> u32 {
        1 << self.send_log2
    }

    /// The right edge that the receive ring has room for.
    pub fn rcv_limit(&self) -> u32 {
        self.rcv_consumed.wrapping_add(self.receive_size())
    }

    /// The least step by which the window is opened (RFC 9293 section 3.8.6.2.2).
    pub fn window_step(&self) -> i32 {
        u32::from(self.rcv_mss).min(self.receive_size() / 2).cast_signed()
    }

    /// What will have been sent when there is nothing more to send.
    pub fn send_end(&self) -> u32 {
        self.limit.wrapping_add(u32::from(self.fin_queued))
    }

    /// There may be something to send.
    pub fn pending(&self) -> bool {
        self.one_pending || self.snd_nxt != self.send_end()
    }

    /// Takes the bytes from `start` to `end` (not empty, at or beyond RCV.NXT) into account. The ranges they touch, and they themselves, become one;
    /// if that begins at RCV.NXT, RCV.NXT moves to its end.
    pub fn insert(&mut self, start: u32, end: u32, most: usize) -> Inserted {
        let nxt = self.rcv_nxt;
        let touches = |range: &(u32, u32)| relative(range.0, nxt) <= relative(end, nxt) && relative(range.1, nxt) >= relative(start, nxt);
        let (touched, mut kept): (Vec<_>, Vec<_>) = self.ranges.iter().copied().partition(touches);
        let first = touched.iter().map(|r| r.0).chain([start]).min_by_key(|s| relative(*s, nxt)).unwrap_or(start);
        let last = touched.iter().map(|r| r.1).chain([end]).max_by_key(|e| relative(*e, nxt)).unwrap_or(end);
        if first == nxt {
            self.ranges = kept;
            self.rcv_nxt = last;
            return Inserted::InOrder;
        }
        if kept.len() == most {
            return Inserted::NoRange;
        }
        kept.push((first, last));
        kept.sort_by_key(|r| relative(r.0, nxt));
        self.ranges = kept;
        Inserted::Held
    }

    /// The flags of an event.
    pub fn event_flags(&self) -> u8 {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        flag(self.fin_received, event::FIN_RECEIVED) | flag(self.fin_queued, event::FIN_QUEUED) | flag(!self.ranges.is_empty(), event::OUT_OF_ORDER)
    }

    /// The values that a raw frame's header tells.
    pub fn snapshot(&self) -> Event {
        Event::default()
            .with(event::FLAGS, u32::from(self.event_flags()))
            .with(event::RCV_NXT, self.rcv_nxt)
            .with(event::RCV_ADV, self.rcv_adv)
            .with(event::SND_UNA, self.snd_una)
            .with(event::SND_NXT, self.snd_nxt)
            .with(event::SND_MAX, self.snd_max)
            .with(event::SND_WND, self.snd_wnd)
            .with(event::TS_RECENT, self.ts_recent)
            .with(event::RANGES, u32::try_from(self.ranges.len()).unwrap_or(u32::MAX))
            .with(event::LAST_ACK_SENT, self.last_ack_sent)
    }

    /// The values that an event of the flow tells.
    pub fn event(&self) -> Event {
        self.snapshot()
            .with(event::SND_WL1, self.snd_wl1)
            .with(event::SND_WL2, self.snd_wl2)
            .with(event::TS_ECR, self.ts_ecr)
            .with(event::RTT, self.rtt)
            .with(event::DUP_ACKS, u32::from(self.dup_acks))
            .with(event::RTT_COUNT, u32::from(self.rtt_count))
    }
}
