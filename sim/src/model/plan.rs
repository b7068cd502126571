//! PLAN, and the announcement of the window that every segment carries.

use super::flow::{relative, Flow};

/// A segment that is to be sent: its payload is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    /// SEG.SEQ.
    pub(super) seq: u32,
    /// Payload bytes.
    pub(super) length: u32,
    /// PSH.
    pub(super) psh: bool,
    /// FIN.
    pub(super) fin: bool,
    /// Something of it was sent before.
    pub(super) resent: bool,
}

impl Flow {
    /// Chooses the next segment and takes it as sent.
    pub(super) fn plan(&mut self, tick: u32) -> Option<Planned> {
        let one = std::mem::take(&mut self.one_pending);
        let (seq, length, fin) = if one { self.choose_one() } else { self.choose_next() }?;
        self.ack_owed = false;
        self.delack_armed = false;
        let end = seq.wrapping_add(length).wrapping_add(u32::from(fin));
        let resent = relative(seq, self.snd_max) < 0;
        if relative(end, self.snd_max) > 0 {
            if !self.timed && !one {
                self.timed = true;
                self.timed_seq = end;
                self.timed_at = tick;
            }
            self.snd_max = end;
        }
        if !one {
            self.snd_nxt = end;
        }
        let psh = length > 0 && seq.wrapping_add(length) == self.limit;
        Some(Planned { seq, length, psh, fin, resent })
    }

    /// One segment again, or the probe of a closed window (RFC 9293 section 3.8.6.1).
    fn choose_one(&self) -> Option<(u32, u32, bool)> {
        let q = self.one_seq;
        let usable = relative(self.snd_una.wrapping_add(self.snd_wnd), q);
        let n = i32::from(self.snd_mss).min(relative(self.limit, q)).min(usable.max(1)).max(0);
        let length = n.unsigned_abs();
        let fin = self.fin_queued && q.wrapping_add(length) == self.limit && (usable > n || n == 0);
        (n > 0 || fin).then_some((q, length, fin))
    }

    /// The next segment, if the window, Nagle and the silly-window rule let it go (RFC 9293 sections 3.7.4, 3.8.6.2.1).
    fn choose_next(&self) -> Option<(u32, u32, bool)> {
        let q = self.snd_nxt;
        let edge = self.snd_una.wrapping_add(self.snd_wnd.min(self.cwnd));
        let usable = relative(edge, q).max(0);
        let data = relative(self.limit, q).max(0);
        let n = data.min(usable).min(i32::from(self.snd_mss));
        let length = n.unsigned_abs();
        let fin = self.fin_queued && q.wrapping_add(length) == self.limit && usable > n;
        let full = length == u32::from(self.snd_mss);
        let tail = n == data && (self.nodelay || self.fin_queued || q == self.snd_una || q != self.snd_max);
        let half = u64::from(length) * 2 >= u64::from(self.max_wnd);
        let send = if n > 0 { full || tail || half } else { data == 0 && fin };
        send.then_some((q, length, fin))
    }

    /// Moves the announced window, and takes the ACK as sent; returns the window field.
    pub(super) fn announce(&mut self) -> u16 {
        let limit = self.rcv_limit();
        let edge = if relative(limit, self.rcv_adv) >= self.window_step() { limit } else { self.rcv_adv };
        let window = u16::try_from(edge.wrapping_sub(self.rcv_nxt) >> self.rcv_wscale).unwrap_or(u16::MAX);
        let announced = self.rcv_nxt.wrapping_add(u32::from(window) << self.rcv_wscale);
        if relative(announced, self.rcv_adv) > 0 {
            self.rcv_adv = announced;
        }
        self.last_ack_sent = self.rcv_nxt;
        self.ack_owed = false;
        self.delack_armed = false;
        window
    }
}
