//! State of a flow, as the reference keeps it.

use toe_contract::event::{self, Event, Kind};

/// `a` relative to `b`.
pub(crate) fn rel(a: u32, b: u32) -> i64 {
    i64::from(a.wrapping_sub(b).cast_signed())
}

/// `base` moved by a relative distance.
pub(crate) fn moved(base: u32, by: i64) -> u32 {
    base.wrapping_add(by as u32)
}

/// Bytes held beyond RCV.NXT: `[start, stop)`.
pub(crate) type Range = (u32, u32);

/// State of a flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) active: bool,
    pub(crate) generation: u8,
    pub(crate) remote_mac: u64,
    pub(crate) vlan: Option<u16>,
    pub(crate) local_ip: u32,
    pub(crate) remote_ip: u32,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) vlan_field: u16,
    pub(crate) receive_base: u64,
    pub(crate) send_base: u64,
    pub(crate) receive_log2: u8,
    pub(crate) send_log2: u8,
    pub(crate) snd_mss: u16,
    pub(crate) rcv_mss: u16,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    pub(crate) timestamps: bool,
    pub(crate) nodelay: bool,
    pub(crate) ts_offset: u32,
    pub(crate) rcv_nxt: u32,
    pub(crate) rcv_adv: u32,
    pub(crate) rcv_consumed: u32,
    pub(crate) ranges: Vec<Range>,
    pub(crate) fin_known: bool,
    pub(crate) fin_seq: u32,
    pub(crate) fin_received: bool,
    pub(crate) ts_recent: u32,
    pub(crate) last_ack_sent: u32,
    pub(crate) ack_owed: bool,
    pub(crate) delack_armed: bool,
    pub(crate) delack_deadline: u32,
    pub(crate) challenge_at: Option<u32>,
    pub(crate) snd_una: u32,
    pub(crate) snd_nxt: u32,
    pub(crate) snd_max: u32,
    pub(crate) limit: u32,
    pub(crate) fin_queued: bool,
    pub(crate) snd_wnd: u32,
    pub(crate) snd_wl1: u32,
    pub(crate) snd_wl2: u32,
    pub(crate) max_wnd: u32,
    pub(crate) cwnd: u32,
    pub(crate) one: Option<u32>,
    pub(crate) dup_acks: u8,
    pub(crate) timed: Option<(u32, u32)>,
    pub(crate) rtt: u32,
    pub(crate) rtt_count: u8,
    pub(crate) ts_ecr: u32,
    pub(crate) armed: bool,
    pub(crate) dirty: bool,
    pub(crate) quiet: bool,
    pub(crate) in_ack: bool,
    pub(crate) in_data: bool,
    pub(crate) in_report: bool,
    pub(crate) in_delack: bool,
}

impl Flow {
    pub(crate) fn receive_size(&self) -> i64 {
        1 << self.receive_log2
    }

    pub(crate) fn pending(&self) -> bool {
        self.one.is_some() || self.snd_nxt != self.limit.wrapping_add(u32::from(self.fin_queued))
    }

    /// How far the window can be opened beyond `rcv_adv`, and whether that is worth it.
    pub(crate) fn opening(&self) -> bool {
        let rcv_limit = moved(self.rcv_consumed, self.receive_size());
        rel(rcv_limit, self.rcv_adv) >= i64::from(self.rcv_mss).min(self.receive_size() / 2)
    }

    /// "Announce": gives the window field.
    pub(crate) fn announce(&mut self) -> u16 {
        let edge = if self.opening() { moved(self.rcv_consumed, self.receive_size()) } else { self.rcv_adv };
        let w = (rel(edge, self.rcv_nxt) >> self.rcv_wscale).min(65535);
        let announced = w << self.rcv_wscale;
        if announced > rel(self.rcv_adv, self.rcv_nxt) {
            self.rcv_adv = moved(self.rcv_nxt, announced);
        }
        self.last_ack_sent = self.rcv_nxt;
        self.ack_owed = false;
        self.delack_armed = false;
        u16::try_from(w).expect("a window field of 16 bits")
    }

    pub(crate) fn snapshot(&self, number: u16) -> Event {
        let mut flags = 0;
        if self.fin_received {
            flags |= event::FIN_RECEIVED;
        }
        if self.fin_queued {
            flags |= event::FIN_QUEUED;
        }
        if !self.ranges.is_empty() {
            flags |= event::OUT_OF_ORDER;
        }
        Event::default()
            .with(event::FLOW, number.into())
            .with(event::FLAGS, flags.into())
            .with(event::RCV_NXT, self.rcv_nxt)
            .with(event::RCV_ADV, self.rcv_adv)
            .with(event::SND_UNA, self.snd_una)
            .with(event::SND_NXT, self.snd_nxt)
            .with(event::SND_MAX, self.snd_max)
            .with(event::SND_WND, self.snd_wnd)
            .with(event::TS_RECENT, self.ts_recent)
            .with(event::RANGES, self.ranges.len() as u32)
            .with(event::LAST_ACK_SENT, self.last_ack_sent)
    }

    pub(crate) fn event(&self, kind: Kind, number: u16, tick: u32) -> Event {
        self.snapshot(number)
            .with(event::KIND, kind as u32)
            .with(event::SND_WL1, self.snd_wl1)
            .with(event::SND_WL2, self.snd_wl2)
            .with(event::TS_ECR, self.ts_ecr)
            .with(event::RTT, self.rtt)
            .with(event::DUP_ACKS, self.dup_acks.into())
            .with(event::RTT_COUNT, self.rtt_count.into())
            .with(event::COMMAND, tick)
    }
}
