//! COMMAND: what the host asks for.

use super::flow::{relative, Flow, Tuple};
use super::frame::fill_checksum;
use super::segment::Ack;
use super::{Fetched, Model};
use crate::root_complex::RootComplex;
use toe_contract::command::{self, Command, Opcode, Piece};
use toe_contract::event::{self, Event, Kind};
use toe_contract::{counter, register};

/// No segment has so many bytes of payload.
const SND_MSS_END: u64 = 1 << 14;

/// The command was refused.
struct Refused;

fn word(c: &Command, piece: Piece) -> u32 {
    u32::try_from(c.get(piece)).unwrap_or(u32::MAX)
}

fn short(c: &Command, piece: Piece) -> u16 {
    u16::try_from(c.get(piece)).unwrap_or(u16::MAX)
}

fn byte(c: &Command, piece: Piece) -> u8 {
    u8::try_from(c.get(piece)).unwrap_or(u8::MAX)
}

impl Flow {
    fn load_address(&mut self, c: &Command) {
        let mac = c.get(command::ADDRESS_REMOTE_MAC).to_le_bytes();
        self.remote_mac.copy_from_slice(&mac[..6]);
        self.vlan = (c.flags() & command::ADDRESS_VLAN != 0).then(|| short(c, command::ADDRESS_VLAN_TCI));
        self.tuple = Tuple {
            local_ip: word(c, command::ADDRESS_LOCAL_IP),
            remote_ip: word(c, command::ADDRESS_REMOTE_IP),
            local_port: short(c, command::ADDRESS_LOCAL_PORT),
            remote_port: short(c, command::ADDRESS_REMOTE_PORT),
        };
    }

    fn load_rings(&mut self, c: &Command) {
        self.receive_base = c.get(command::RINGS_RECEIVE_BASE);
        self.send_base = c.get(command::RINGS_SEND_BASE);
        self.receive_log2 = byte(c, command::RINGS_RECEIVE_LOG2);
        self.send_log2 = byte(c, command::RINGS_SEND_LOG2);
        self.snd_wscale = byte(c, command::RINGS_SND_WSCALE);
        self.rcv_wscale = byte(c, command::RINGS_RCV_WSCALE);
        self.snd_mss = short(c, command::RINGS_SND_MSS);
        self.rcv_mss = short(c, command::RINGS_RCV_MSS);
        self.ts_offset = word(c, command::RINGS_TS_OFFSET);
        self.timestamps = c.flags() & command::RINGS_TIMESTAMPS != 0;
        self.nodelay = c.flags() & command::RINGS_NODELAY != 0;
    }

    fn load_receive(&mut self, c: &Command) {
        self.rcv_nxt = word(c, command::RECEIVE_RCV_NXT);
        self.rcv_adv = word(c, command::RECEIVE_RCV_ADV);
        self.rcv_consumed = word(c, command::RECEIVE_RCV_CONSUMED);
        self.ts_recent = word(c, command::RECEIVE_TS_RECENT);
    }

    /// The last part: what was loaded before stays, everything else begins anew.
    fn install(&mut self, c: &Command) {
        let old = std::mem::take(self);
        *self = Flow {
            active: true,
            armed: true,
            generation: old.generation.wrapping_add(1),
            last_ack_sent: old.rcv_nxt,
            snd_una: word(c, command::INSTALL_SND_UNA),
            snd_nxt: word(c, command::INSTALL_SND_NXT),
            snd_max: word(c, command::INSTALL_SND_NXT),
            limit: word(c, command::INSTALL_LIMIT),
            fin_queued: c.flags() & command::FIN != 0,
            snd_wnd: word(c, command::INSTALL_SND_WND),
            max_wnd: word(c, command::INSTALL_SND_WND),
            snd_wl1: word(c, command::INSTALL_SND_WL1),
            snd_wl2: word(c, command::INSTALL_SND_WL2),
            cwnd: word(c, command::INSTALL_CWND),
            ranges: Vec::new(),
            fin_known: false,
            fin_seq: 0,
            fin_received: false,
            ack_owed: false,
            delack_armed: false,
            delack_deadline: 0,
            challenge_at: 0,
            challenge_valid: false,
            one_pending: false,
            one_seq: 0,
            dup_acks: 0,
            timed: false,
            timed_seq: 0,
            timed_at: 0,
            rtt: 0,
            rtt_count: 0,
            ts_ecr: 0,
            quiet: c.flags() & command::QUIET != 0,
            dirty: c.flags() & command::QUIET != 0,
            ..old
        };
    }

    fn send(&mut self, c: &Command) -> Result<(), Refused> {
        let limit = word(c, command::SEND_LIMIT);
        if relative(limit, self.limit) < 0 || i64::from(relative(limit, self.snd_una)) > i64::from(self.send_size()) {
            return Err(Refused);
        }
        if !self.fin_queued {
            self.limit = limit;
            self.fin_queued = c.flags() & command::FIN != 0;
        }
        Ok(())
    }

    /// True: a window update is to go out.
    fn consumed(&mut self, c: &Command) -> Result<bool, Refused> {
        let consumed = word(c, command::CONSUMED_RCV_CONSUMED);
        if relative(consumed, self.rcv_consumed) < 0 || relative(consumed, self.rcv_nxt) > 0 {
            return Err(Refused);
        }
        self.rcv_consumed = consumed;
        let half = (self.receive_size() / 2).cast_signed();
        Ok(relative(self.rcv_limit(), self.rcv_adv) >= self.window_step() && relative(self.rcv_adv, self.rcv_nxt) < half)
    }

    fn resend(&mut self, c: &Command) -> Result<(), Refused> {
        let from = word(c, command::RESEND_FROM);
        if relative(from, self.snd_una) < 0 || relative(from, self.snd_max) > 0 {
            return Err(Refused);
        }
        self.timed = false;
        if c.flags() & command::RESEND_ONE != 0 {
            self.one_pending = true;
            self.one_seq = from;
        } else {
            self.snd_nxt = from;
        }
        Ok(())
    }
}

impl Model {
    /// Takes the next command.
    pub(super) fn op_command(&mut self, host: &mut RootComplex) {
        let taken = self.context.take_command(host);
        let Some(c) = self.without_fault(taken, host) else { return };
        if self.command(&c, host).is_err() {
            self.global.count(counter::BAD_COMMANDS);
            let told = Event::default().with(event::KIND, Kind::BadCommand as u32).with(event::FLOW, c.flow().into()).with(event::COMMAND, c.0[0]);
            self.push_event(told, host);
        }
    }

    fn command(&mut self, c: &Command, host: &mut RootComplex) -> Result<(), Refused> {
        let n = c.flow();
        let opcode = c.opcode().ok_or(Refused)?;
        if matches!(opcode, Opcode::Raw | Opcode::Inject) {
            return self.fetch_frame(c, opcode, host);
        }
        let active = self.flows.get(usize::from(n)).ok_or(Refused)?.active;
        match opcode {
            Opcode::Address | Opcode::Rings | Opcode::Receive | Opcode::Install => {
                if active {
                    return Err(Refused);
                }
                self.load(c, n, opcode)?;
            }
            _ if !active => return Err(Refused),
            _ => self.command_of_flow(c, n, opcode)?,
        }
        self.touch(n);
        Ok(())
    }

    fn load(&mut self, c: &Command, n: u16, opcode: Opcode) -> Result<(), Refused> {
        let flow = &mut self.flows[usize::from(n)];
        match opcode {
            Opcode::Address => flow.load_address(c),
            Opcode::Rings if c.get(command::RINGS_SND_MSS) >= SND_MSS_END => return Err(Refused),
            Opcode::Rings => flow.load_rings(c),
            Opcode::Receive => flow.load_receive(c),
            _ => {
                if self.table.len() >= usize::from(self.config.tuples) || !self.table.insert(flow.tuple, n) {
                    return Err(Refused);
                }
                flow.install(c);
                self.want_data(n);
            }
        }
        Ok(())
    }

    fn command_of_flow(&mut self, c: &Command, n: u16, opcode: Opcode) -> Result<(), Refused> {
        // A flow that is refused must not have been armed: work on a copy, and keep it when all went well.
        let place = usize::from(n);
        let mut flow = self.flows[place].clone();
        let mut ack = Ack::None;
        if c.flags() & command::REARM != 0 && opcode != Opcode::Remove {
            flow.armed = true;
            let woken = flow.quiet && c.flags() & command::QUIET == 0;
            flow.quiet = c.flags() & command::QUIET != 0;
            ack = if woken && flow.ack_owed { Ack::Urgent } else { Ack::None };
        }
        match opcode {
            Opcode::Send => flow.send(c)?,
            Opcode::Consumed if flow.consumed(c)? => {
                ack = ack.max(Ack::Owed);
                self.global.count(counter::TX_WINDOW_UPDATES);
            }
            Opcode::Cwnd => flow.cwnd = word(c, command::CWND_CWND),
            Opcode::Resend => flow.resend(c)?,
            Opcode::AckNow => ack = Ack::Urgent,
            _ => {}
        }
        self.flows[place] = flow;
        if opcode == Opcode::Remove {
            self.remove(n);
        } else if matches!(opcode, Opcode::Send | Opcode::Cwnd | Opcode::Resend) {
            self.want_data(n);
        }
        self.want_ack(n, ack);
        Ok(())
    }

    /// Takes the flow out of the table. It is told when everything fetched for it has been sealed; a placement is written here before the next operation.
    fn remove(&mut self, n: u16) {
        let flow = &mut self.flows[usize::from(n)];
        flow.active = false;
        self.table.remove(&flow.tuple);
        self.fetched.push_back(Fetched::Removed(n));
    }

    /// RAW and INJECT.
    fn fetch_frame(&mut self, c: &Command, opcode: Opcode, host: &mut RootComplex) -> Result<(), Refused> {
        let length = word(c, command::RAW_LENGTH);
        let fill = opcode == Opcode::Raw && c.flags() & command::RAW_CHECKSUM != 0;
        let (start, offset) = (word(c, command::RAW_CHECKSUM_START), word(c, command::RAW_CHECKSUM_OFFSET));
        let longest = register::MAX_FRAME_BYTES.get(self.global.get(&register::MAX_FRAME));
        if length < 14 || length > longest || fill && (start >= length || offset + 2 > length) {
            return Err(Refused);
        }
        let mut frame = vec![0; length as usize];
        let read = host.read(c.get(command::RAW_IOVA), &mut frame);
        if self.without_fault(read, host).is_none() {
            return Ok(());
        }
        self.context.fetched();
        if fill {
            fill_checksum(&mut frame, start as usize, offset as usize);
        }
        self.fetched.push_back(if opcode == Opcode::Raw { Fetched::Raw(frame) } else { Fetched::Inject(frame) });
        Ok(())
    }
}
