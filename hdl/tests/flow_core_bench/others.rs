//! The reference's operations but SEGMENT and COMMAND: SEAL, ACK, TIMER, REPORT, PLAN.

use super::flow::{moved, rel};
use super::reference::{Moment, Reference};
use super::wire::{Fetch, FetchOf, Seal, Segment, Write, WriteOf};
use toe_contract::event::{Event, Kind};

impl Reference {
    fn built(&mut self, number: u16, now: &Moment) -> Segment {
        let f = self.flow(number);
        let (ack, ts_ecr) = (f.rcv_nxt, f.ts_recent);
        let window = f.announce();
        Segment {
            remote_mac: f.remote_mac,
            vlan_present: f.vlan.is_some(),
            vlan: f.vlan_field,
            local_ip: f.local_ip,
            remote_ip: f.remote_ip,
            local_port: f.local_port,
            remote_port: f.remote_port,
            seq: f.snd_nxt,
            ack,
            control: 0x10,
            window,
            ts: f.timestamps,
            ts_val: now.timestamp.wrapping_add(f.ts_offset),
            ts_ecr,
            payload_length: 0,
        }
    }

    pub(crate) fn ack(&mut self, now: &Moment) -> u16 {
        let n = self.ack_queue.pop_front().expect("ACK with an empty queue");
        let f = self.flow(n);
        f.in_ack = false;
        if f.active && f.ack_owed {
            let segment = self.built(n, now);
            self.acks.push_back(segment);
            self.count("tx_acks");
        }
        n
    }

    pub(crate) fn timer(&mut self, now: &Moment) -> u16 {
        let (n, tick) = self.delack_queue.pop_front().expect("TIMER with an empty queue");
        assert!(rel(now.tick, tick) >= 0, "TIMER before the head's tick");
        let f = self.flow(n);
        f.in_delack = false;
        if f.active && f.delack_armed {
            if rel(now.tick, f.delack_deadline) >= 0 {
                self.owed(n);
                self.saw("delayed ACK due");
            } else {
                f.in_delack = true;
                let deadline = f.delack_deadline;
                self.delack_queue.push_back((n, deadline));
                self.saw("delayed ACK put off");
            }
        }
        n
    }

    pub(crate) fn report(&mut self, now: &Moment) -> u16 {
        let n = self.report_queue.pop_front().expect("REPORT with an empty queue");
        let f = self.flow(n);
        f.in_report = false;
        if f.active && f.dirty && f.armed {
            f.dirty = false;
            f.armed = false;
            let event = f.event(Kind::Flow, n, now.tick);
            self.event(event);
        }
        n
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.count("events");
        self.write.push_back(Write { start: 0, frame_length: 0, of: WriteOf::Event(event) });
    }

    pub(crate) fn plan(&mut self, now: &Moment) -> u16 {
        let n = self.data_queue.pop_front().expect("PLAN with an empty queue");
        let f = self.flow(n);
        f.in_data = false;
        if !f.active {
            return n;
        }
        let one = f.one.take();
        let mss = i64::from(f.snd_mss);
        let (q, count, fin, send);
        if let Some(seq) = one {
            q = seq;
            let usable = rel(moved(f.snd_una, f.snd_wnd.into()), q);
            count = mss.min(rel(f.limit, q)).min(usable.max(1)).max(0);
            fin = f.fin_queued && rel(f.limit, q) == count && (usable > count || count == 0);
            send = count > 0 || fin;
        } else {
            q = f.snd_nxt;
            let usable = rel(moved(f.snd_una, f.snd_wnd.min(f.cwnd).into()), q).max(0);
            let data = rel(f.limit, q).max(0);
            count = data.min(usable).min(mss);
            fin = f.fin_queued && rel(f.limit, q) == count && usable > count;
            let whole = count == data && (f.nodelay || f.fin_queued || q == f.snd_una || q != f.snd_max);
            send = if count > 0 { count == mss || whole || 2 * count >= i64::from(f.max_wnd) } else { data == 0 && fin };
        }
        if !send {
            if f.ack_owed {
                self.urgent(n);
                self.saw("PLAN hands the ACK on");
            }
            if one.is_some() {
                self.want_data(n);
            }
            return n;
        }
        f.ack_owed = false;
        f.delack_armed = false;
        let after = moved(q, count + i64::from(fin));
        let resent = rel(q, f.snd_max) < 0;
        let fetch = Fetch {
            flow: n,
            of: FetchOf::Segment {
                base: f.send_base,
                log2: f.send_log2,
                seq: q,
                length: u16::try_from(count).expect("at most an MSS"),
                fin,
                psh: count > 0 && moved(q, count) == f.limit,
            },
        };
        if rel(after, f.snd_max) > 0 {
            f.snd_max = after;
            if f.timed.is_none() && one.is_none() {
                f.timed = Some((after, now.tick));
            }
        }
        if one.is_none() {
            f.snd_nxt = after;
        } else if count == 1 && rel(moved(f.snd_una, f.snd_wnd.into()), q) <= 0 {
            self.saw("window probe sent");
        }
        self.fetch.push_back(fetch);
        self.count("tx_segments");
        if resent {
            self.count("tx_resent");
        }
        self.want_data(n);
        n
    }

    pub(crate) fn seal(&mut self, s: &Seal, now: &Moment) {
        if s.removed {
            let event = self.flow(s.flow).event(Kind::Removed, s.flow, now.tick);
            return self.event(event);
        }
        let segment = self.built(s.flow, now);
        let control = 0x10 | u8::from(s.fin) | u8::from(s.psh) << 3;
        self.sealed.push_back(Segment { seq: s.seq, control, payload_length: s.length, ..segment });
    }
}
