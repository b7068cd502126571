//! The reference's class COMMAND.

use super::flow::{rel, Flow};
use super::reference::{Moment, Reference};
use super::wire::{Fetch, FetchOf, Table};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_contract::FLOWS;

impl Reference {
    /// `table_ok` is what the flow table will answer, should it be asked.
    pub(crate) fn command(&mut self, c: &Command, now: &Moment, table_ok: bool) {
        if !self.execute(c, now, table_ok) {
            self.count("bad_commands");
            let event = Event::default().with(event::KIND, Kind::BadCommand as u32).with(event::FLOW, c.flow().into()).with(event::COMMAND, c.0[0]);
            self.event(event);
        }
    }

    fn execute(&mut self, c: &Command, now: &Moment, table_ok: bool) -> bool {
        let Some(opcode) = c.opcode() else { return false };
        if matches!(opcode, Opcode::Raw | Opcode::Inject) {
            return self.frame(c, opcode, now);
        }
        let n = c.flow();
        if usize::from(n) >= FLOWS {
            return false;
        }
        let setup = matches!(opcode, Opcode::Address | Opcode::Rings | Opcode::Receive | Opcode::Install);
        if setup == self.flow(n).active {
            return false;
        }
        let done = match opcode {
            Opcode::Address | Opcode::Rings | Opcode::Receive => return self.load(c, opcode),
            Opcode::Install => self.install(c, table_ok),
            Opcode::Remove => {
                self.remove(n, table_ok);
                true
            }
            _ => {
                let owed = self.flow(c.flow()).ack_owed;
                let accepted = self.work(c, opcode);
                if accepted {
                    self.rearm(c, owed);
                }
                accepted
            }
        };
        if done {
            self.want_report(n);
        }
        done
    }

    fn frame(&mut self, c: &Command, opcode: Opcode, now: &Moment) -> bool {
        let length = c.get(command::RAW_LENGTH);
        if length < 14 || length > u64::from(now.max_frame) {
            return false;
        }
        let checksum = c.flags() & command::RAW_CHECKSUM != 0;
        let (start, offset) = (c.get(command::RAW_CHECKSUM_START), c.get(command::RAW_CHECKSUM_OFFSET));
        if opcode == Opcode::Raw && checksum && (start >= length || offset + 2 > length) {
            return false;
        }
        let (base, length) = (c.get(command::RAW_IOVA), length as u16);
        let of = if opcode == Opcode::Inject {
            FetchOf::Inject { base, length }
        } else {
            FetchOf::Raw { base, length, checksum: checksum.then_some((start as u16, offset as u16)) }
        };
        self.fetch.push_back(Fetch { flow: 0, of });
        true
    }

    fn load(&mut self, c: &Command, opcode: Opcode) -> bool {
        let g = |piece| c.get(piece);
        let flags = c.flags();
        let f = self.flow(c.flow());
        match opcode {
            Opcode::Address => {
                f.remote_mac = g(command::ADDRESS_REMOTE_MAC);
                f.vlan_field = g(command::ADDRESS_VLAN_TCI) as u16;
                f.vlan = (flags & command::ADDRESS_VLAN != 0).then_some(f.vlan_field);
                f.local_ip = g(command::ADDRESS_LOCAL_IP) as u32;
                f.remote_ip = g(command::ADDRESS_REMOTE_IP) as u32;
                f.local_port = g(command::ADDRESS_LOCAL_PORT) as u16;
                f.remote_port = g(command::ADDRESS_REMOTE_PORT) as u16;
            }
            Opcode::Rings => {
                if g(command::RINGS_SND_MSS) >= 1 << 14 {
                    return false;
                }
                f.receive_base = g(command::RINGS_RECEIVE_BASE);
                f.send_base = g(command::RINGS_SEND_BASE);
                f.receive_log2 = g(command::RINGS_RECEIVE_LOG2) as u8;
                f.send_log2 = g(command::RINGS_SEND_LOG2) as u8;
                f.snd_wscale = g(command::RINGS_SND_WSCALE) as u8;
                f.rcv_wscale = g(command::RINGS_RCV_WSCALE) as u8;
                f.snd_mss = g(command::RINGS_SND_MSS) as u16;
                f.rcv_mss = g(command::RINGS_RCV_MSS) as u16;
                f.ts_offset = g(command::RINGS_TS_OFFSET) as u32;
                f.timestamps = flags & command::RINGS_TIMESTAMPS != 0;
                f.nodelay = flags & command::RINGS_NODELAY != 0;
            }
            _ => {
                f.rcv_nxt = g(command::RECEIVE_RCV_NXT) as u32;
                f.rcv_adv = g(command::RECEIVE_RCV_ADV) as u32;
                f.rcv_consumed = g(command::RECEIVE_RCV_CONSUMED) as u32;
                f.ts_recent = g(command::RECEIVE_TS_RECENT) as u32;
            }
        }
        true
    }

    fn ask(&mut self, number: u16, insert: bool, generation: u8, ok: bool) {
        let f = self.flow(number);
        let key = u128::from(f.remote_ip) << 64 | u128::from(f.local_ip) << 32 | u128::from(f.remote_port) << 16 | u128::from(f.local_port);
        self.table.push_back((Table { insert, key, flow: number, generation }, ok));
    }

    fn install(&mut self, c: &Command, table_ok: bool) -> bool {
        let n = c.flow();
        let generation = self.flow(n).generation.wrapping_add(1);
        self.ask(n, true, generation, table_ok);
        if !table_ok {
            return false;
        }
        let get = |piece| c.get(piece) as u32;
        let f = self.flow(n);
        *f = Flow {
            active: true,
            armed: true,
            generation,
            last_ack_sent: f.rcv_nxt,
            snd_una: get(command::INSTALL_SND_UNA),
            snd_nxt: get(command::INSTALL_SND_NXT),
            snd_max: get(command::INSTALL_SND_NXT),
            limit: get(command::INSTALL_LIMIT),
            snd_wnd: get(command::INSTALL_SND_WND),
            max_wnd: get(command::INSTALL_SND_WND),
            snd_wl1: get(command::INSTALL_SND_WL1),
            snd_wl2: get(command::INSTALL_SND_WL2),
            cwnd: get(command::INSTALL_CWND),
            fin_queued: c.flags() & command::FIN != 0,
            dirty: c.flags() & command::QUIET != 0,
            quiet: c.flags() & command::QUIET != 0,
            ranges: Vec::new(),
            fin_known: false,
            fin_seq: 0,
            fin_received: false,
            ack_owed: false,
            delack_armed: false,
            delack_deadline: 0,
            challenge_at: None,
            one: None,
            dup_acks: 0,
            timed: None,
            rtt: 0,
            rtt_count: 0,
            ts_ecr: 0,
            ..f.clone()
        };
        self.want_data(n);
        true
    }

    fn remove(&mut self, number: u16, table_ok: bool) {
        let generation = self.flow(number).generation;
        self.ask(number, false, generation, table_ok);
        self.flow(number).active = false;
        self.fetch.push_back(Fetch { flow: number, of: FetchOf::Removed });
    }

    /// The flags REARM and QUIET of a command that was accepted; `owed`: an ACK was, before it.
    fn rearm(&mut self, c: &Command, owed: bool) {
        if c.flags() & command::REARM == 0 {
            return;
        }
        let quiet = c.flags() & command::QUIET != 0;
        let f = self.flow(c.flow());
        f.armed = true;
        if std::mem::replace(&mut f.quiet, quiet) && !quiet && owed {
            self.saw("muted ACK released");
            self.urgent(c.flow());
        }
    }

    fn work(&mut self, c: &Command, opcode: Opcode) -> bool {
        let n = c.flow();
        let f = self.flow(n);
        match opcode {
            Opcode::Send => {
                let limit = c.get(command::SEND_LIMIT) as u32;
                if rel(limit, f.limit) < 0 || rel(limit, f.snd_una) > 1 << f.send_log2 {
                    return false;
                }
                if !f.fin_queued {
                    f.limit = limit;
                    f.fin_queued = c.flags() & command::FIN != 0;
                }
                self.want_data(n);
            }
            Opcode::Consumed => {
                let consumed = c.get(command::CONSUMED_RCV_CONSUMED) as u32;
                if rel(consumed, f.rcv_consumed) < 0 || rel(consumed, f.rcv_nxt) > 0 {
                    return false;
                }
                f.rcv_consumed = consumed;
                if f.opening() && rel(f.rcv_adv, f.rcv_nxt) < f.receive_size() / 2 {
                    self.count("tx_window_updates");
                    self.owed(n);
                }
            }
            Opcode::Cwnd => {
                f.cwnd = c.get(command::CWND_CWND) as u32;
                self.want_data(n);
            }
            Opcode::Resend => {
                let from = c.get(command::RESEND_FROM) as u32;
                if rel(from, f.snd_una) < 0 || rel(from, f.snd_max) > 0 {
                    return false;
                }
                f.timed = None;
                if c.flags() & command::RESEND_ONE != 0 {
                    f.one = Some(from);
                } else {
                    f.snd_nxt = from;
                }
                self.want_data(n);
            }
            Opcode::AckNow => {
                self.urgent(n);
            }
            _ => {}
        }
        true
    }
}
