//! The device's flows: what an honest engine does with commands and tells of them, and how it lies.

use super::peer::place;
use super::puppet::{Inside, FLOWS};
use super::{pattern, RING_LOG2};
use crate::input::Input;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_contract::register;
use toe_wire::SeqNumber;

/// The longest that a removal takes, in nanoseconds.
const LONGEST_REMOVAL: u64 = 1_000_000_000;
/// Bytes of a flow's ring.
const RING: u32 = 1 << RING_LOG2;

/// Addresses and ports, as ADDRESS has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) local_port: u16,
    pub(super) remote_ip: u32,
    pub(super) remote_port: u16,
}

/// What the three commands before INSTALL have brought.
#[derive(Clone, Copy, Default)]
pub(super) struct Staged {
    tuple: Tuple,
    receive_base: u64,
    send_base: u64,
    snd_wscale: u32,
    rcv_nxt: u32,
    rcv_adv: u32,
    consumed: u32,
}

/// A flow; names are those of `docs/engine.md`.
#[derive(Clone, Copy, Default)]
pub(super) struct Flow {
    pub(super) active: bool,
    /// REMOVE has come, and REMOVED has not gone.
    removing: bool,
    removed_by: u64,
    armed: bool,
    dirty: bool,
    staged: Staged,
    irs: u32,
    iss: u32,
    pub(super) rcv_nxt: u32,
    rcv_adv: u32,
    consumed: u32,
    fin_received: bool,
    pub(super) snd_una: u32,
    snd_nxt: u32,
    snd_max: u32,
    limit: u32,
    fin_queued: bool,
    snd_wnd: u32,
    rtt: u32,
    rtt_count: u8,
    dup_acks: u8,
    ranges: u8,
    installed_at: u64,
}

impl Flow {
    pub(super) fn tuple(&self) -> Tuple {
        self.staged.tuple
    }

    fn end(&self) -> u32 {
        self.limit.wrapping_add(self.fin_queued.into())
    }

    /// A record with the flow's values.
    pub(super) fn record(&self, number: u16) -> Event {
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let flags = flag(self.fin_received, event::FIN_RECEIVED) | flag(self.fin_queued, event::FIN_QUEUED) | flag(self.ranges > 0, event::OUT_OF_ORDER);
        Event::default()
            .with(event::FLOW, number.into())
            .with(event::FLAGS, flags.into())
            .with(event::RCV_NXT, self.rcv_nxt)
            .with(event::RCV_ADV, self.rcv_adv)
            .with(event::SND_UNA, self.snd_una)
            .with(event::SND_NXT, self.snd_nxt)
            .with(event::SND_MAX, self.snd_max)
            .with(event::SND_WND, self.snd_wnd)
            .with(event::RTT, self.rtt)
            .with(event::RTT_COUNT, self.rtt_count.into())
            .with(event::DUP_ACKS, self.dup_acks.into())
            .with(event::RANGES, self.ranges.into())
            .with(event::LAST_ACK_SENT, self.rcv_nxt)
    }
}

impl Inside {
    /// Takes the commands up to there.
    pub(super) fn take_commands(&mut self, produced: u32) {
        let log2 = self.context(register::SUBMISSION_LOG2);
        while self.taken != produced {
            let index = u64::from(self.taken & ((1 << log2) - 1));
            self.taken = self.taken.wrapping_add(1);
            let base = u64::from(self.context(register::SUBMISSION_BASE_HI)) << 32 | u64::from(self.context(register::SUBMISSION_BASE_LO));
            let Some((memory, offset)) = self.memory(base + index * command::SIZE as u64, command::SIZE) else { return };
            let mut bytes = [0; command::SIZE];
            memory.copy_out(offset, &mut bytes);
            self.command(&Command::from_bytes(bytes));
        }
    }

    fn command(&mut self, c: &Command) {
        // One that has miscounted reads what was never written.
        let known = c.opcode().filter(|_| c.flow() < FLOWS);
        assert!(self.lied || known.is_some(), "a command there is not, or to a flow there is not");
        let Some(opcode) = known else { return };
        if matches!(opcode, Opcode::Raw | Opcode::Inject) {
            let injected = opcode == Opcode::Inject;
            let (iova, length) = if injected { (command::INJECT_IOVA, command::INJECT_LENGTH) } else { (command::RAW_IOVA, command::RAW_LENGTH) };
            let mut frame = vec![0; usize::try_from(c.get(length)).unwrap_or(0)];
            let found = self.memory(c.get(iova), frame.len());
            assert!(self.lied || found.is_some(), "a frame in memory that the device does not have");
            if let Some((memory, offset)) = found {
                memory.copy_out(offset, &mut frame);
            }
            self.fetched = self.fetched.wrapping_add(1);
            return if injected { self.inject(&frame) } else { self.sent(&frame) };
        }
        let n = usize::from(c.flow());
        let word = |piece| (c.get(piece) & 0xffff_ffff) as u32;
        let short = |piece| (c.get(piece) & 0xffff) as u16;
        let (active, staged) = (self.flows[n].active, &mut self.staged[n]);
        match opcode {
            Opcode::Address if !active => {
                let (local_port, remote_port) = (short(command::ADDRESS_LOCAL_PORT), short(command::ADDRESS_REMOTE_PORT));
                staged.tuple = Tuple { local_port, remote_ip: word(command::ADDRESS_REMOTE_IP), remote_port };
            }
            Opcode::Rings if !active => {
                (staged.receive_base, staged.send_base) = (c.get(command::RINGS_RECEIVE_BASE), c.get(command::RINGS_SEND_BASE));
                staged.snd_wscale = word(command::RINGS_SND_WSCALE);
                let logs = (c.get(command::RINGS_RECEIVE_LOG2), c.get(command::RINGS_SEND_LOG2));
                assert!(self.lied || logs == (RING_LOG2.into(), RING_LOG2.into()), "log2 of the rings: {logs:?}");
            }
            Opcode::Receive if !active => {
                (staged.rcv_nxt, staged.rcv_adv) = (word(command::RECEIVE_RCV_NXT), word(command::RECEIVE_RCV_ADV));
                staged.consumed = word(command::RECEIVE_RCV_CONSUMED);
            }
            Opcode::Install if !active && !std::mem::take(&mut self.refuse_install) => self.install(n, c),
            _ if !active || matches!(opcode, Opcode::Address | Opcode::Rings | Opcode::Receive | Opcode::Install) => self.refuse(c),
            _ => self.flow_command(n, opcode, c),
        }
    }

    fn refuse(&mut self, c: &Command) {
        let told = Event::default().with(event::KIND, Kind::BadCommand as u32).with(event::FLOW, c.flow().into());
        self.push_event(told.with(event::COMMAND, c.0[0]));
    }

    fn install(&mut self, n: usize, c: &Command) {
        let word = |piece| (c.get(piece) & 0xffff_ffff) as u32;
        let staged = self.staged[n];
        for base in [staged.receive_base, staged.send_base] {
            assert!(self.lied || self.memory(base, RING as usize).is_some(), "a ring that is not mapped");
        }
        let snd_una = word(command::INSTALL_SND_UNA);
        self.flows[n] = Flow {
            active: true,
            armed: true,
            dirty: c.flags() & command::QUIET != 0,
            staged,
            irs: staged.rcv_nxt.wrapping_sub(1),
            iss: snd_una.wrapping_sub(1),
            rcv_nxt: staged.rcv_nxt,
            rcv_adv: staged.rcv_adv,
            consumed: staged.consumed,
            snd_una,
            snd_nxt: word(command::INSTALL_SND_NXT),
            snd_max: word(command::INSTALL_SND_NXT),
            limit: word(command::INSTALL_LIMIT),
            fin_queued: c.flags() & command::FIN != 0,
            snd_wnd: word(command::INSTALL_SND_WND),
            installed_at: self.now,
            ..Flow::default()
        };
        self.tell(n);
    }

    fn flow_command(&mut self, n: usize, opcode: Opcode, c: &Command) {
        let (honest, now, flow) = (!self.lied, self.now, &mut self.flows[n]);
        let value = |piece| (c.get(piece) & 0xffff_ffff) as u32;
        match opcode {
            Opcode::Send => {
                let limit = value(command::SEND_LIMIT);
                assert!(!honest || limit.wrapping_sub(flow.snd_una) <= RING, "SEND beyond the ring");
                assert!(!honest || limit.wrapping_sub(flow.limit) <= RING, "SEND goes back");
                flow.limit = limit;
                flow.fin_queued |= c.flags() & command::FIN != 0;
            }
            Opcode::Consumed => {
                let consumed = value(command::CONSUMED_RCV_CONSUMED);
                let most = flow.rcv_nxt.wrapping_sub(flow.consumed);
                assert!(!honest || consumed.wrapping_sub(flow.consumed) <= most, "CONSUMED beyond what was received");
                flow.consumed = consumed;
                flow.rcv_adv = consumed.wrapping_add(RING);
            }
            Opcode::Resend => {
                let from = value(command::RESEND_FROM);
                if from.wrapping_sub(flow.snd_una) > flow.snd_max.wrapping_sub(flow.snd_una) {
                    self.refuse(c);
                } else if c.flags() & command::RESEND_ONE == 0 {
                    flow.snd_nxt = from;
                }
            }
            Opcode::Remove => (flow.active, flow.removing, flow.removed_by) = (false, true, now + LONGEST_REMOVAL),
            _ => {}
        }
        if c.flags() & command::REARM != 0 {
            self.flows[n].armed = true;
        }
        self.tell(n);
    }

    /// An event of a flow, if there is something to tell and the host takes it.
    pub(super) fn tell(&mut self, n: usize) {
        let flow = self.flows[n];
        if flow.active && flow.dirty && flow.armed && self.event_room() {
            (self.flows[n].dirty, self.flows[n].armed) = (false, false);
            let number = u16::try_from(n).unwrap_or(u16::MAX);
            self.push_event(flow.record(number).with(event::KIND, Kind::Flow as u32));
        }
    }

    /// An honest device does not put removals off for ever.
    pub(super) fn remove_overdue(&mut self) {
        if self.flows.iter().any(|flow| flow.removing && flow.removed_by <= self.now) {
            self.remove();
        }
    }

    /// A flow that was to be removed is.
    pub(super) fn remove(&mut self) {
        let Some(n) = self.flows.iter().position(|flow| flow.removing) else { return };
        if self.event_room() {
            let record = self.flows[n].record(u16::try_from(n).unwrap_or(u16::MAX));
            self.flows[n].removing = false;
            self.push_event(record.with(event::KIND, Kind::Removed as u32));
        }
    }

    /// A peer's segments and our own do something for a flow: bytes in, bytes out, acknowledgements, windows.
    pub(super) fn progress(&mut self, which: u8, received: u16, sent: u16, what: u8) {
        let n = usize::from(which % 4);
        if !self.flows[n].active {
            return;
        }
        if which & 4 != 0 {
            self.receive(n, received.into(), what & 1 != 0);
        }
        self.check_sent(n, sent.into());
        let (now, flow) = (self.now, &mut self.flows[n]);
        let outstanding = flow.snd_max.wrapping_sub(flow.snd_una);
        if which & 8 != 0 {
            flow.snd_una = flow.snd_una.wrapping_add(u32::from(received).min(outstanding));
            let rest = flow.snd_max.wrapping_sub(flow.snd_una);
            flow.snd_nxt = flow.snd_una.wrapping_add(if what & 2 != 0 { rest } else { u32::from(sent).min(rest) });
        }
        if what & 4 != 0 {
            flow.snd_wnd = u32::from(sent) << flow.staged.snd_wscale;
        }
        if what & 8 != 0 {
            flow.rtt_count = flow.rtt_count.wrapping_add(1);
            flow.rtt = u32::try_from((now - flow.installed_at) >> 10).unwrap_or(u32::MAX).min(received.into());
        }
        (flow.dup_acks, flow.ranges) = (what >> 4, (what >> 6) % 5);
        flow.dirty = true;
        self.tell(n);
    }

    /// Payload comes in order, and perhaps a FIN behind it.
    pub(super) fn receive(&mut self, n: usize, bytes: u32, fin: bool) {
        let flow = self.flows[n];
        let count = if flow.fin_received { 0 } else { bytes.min(flow.rcv_adv.wrapping_sub(flow.rcv_nxt)) };
        let ring = self.memory(flow.staged.receive_base, RING as usize);
        if let Some((memory, offset)) = ring {
            for k in 0..count {
                let seq = flow.rcv_nxt.wrapping_add(k);
                memory.copy_in(offset + (seq % RING) as usize, &[pattern(seq.wrapping_sub(flow.irs).wrapping_sub(1))]);
            }
        }
        let flow = &mut self.flows[n];
        flow.rcv_nxt = flow.rcv_nxt.wrapping_add(count);
        if fin && !flow.fin_received && flow.rcv_nxt != flow.rcv_adv {
            flow.rcv_nxt = flow.rcv_nxt.wrapping_add(1);
            flow.fin_received = true;
        }
        flow.dirty |= count > 0 || fin;
    }

    /// More of the send ring goes out: it must be what the application has written.
    fn check_sent(&mut self, n: usize, bytes: u32) {
        let (honest, flow) = (!self.lied, self.flows[n]);
        let room = flow.end().wrapping_sub(flow.snd_max);
        let count = bytes.min(room);
        let data = count.min(flow.limit.wrapping_sub(flow.snd_max));
        if let Some((memory, offset)) = self.memory(flow.staged.send_base, RING as usize).filter(|_| honest) {
            for k in 0..data {
                let seq = flow.snd_max.wrapping_add(k);
                let mut byte = [0];
                memory.copy_out(offset + (seq % RING) as usize, &mut byte);
                assert_eq!(byte[0], pattern(seq.wrapping_sub(flow.iss).wrapping_sub(1)), "a byte in the send ring is not what was written");
            }
        }
        self.flows[n].snd_max = flow.snd_max.wrapping_add(count);
    }

    /// A frame of the host's is received as if it came from the wire.
    fn inject(&mut self, frame: &[u8]) {
        let Some((tuple, tcp)) = place(frame) else { return };
        let Some(n) = self.flows.iter().position(|flow| flow.active && flow.tuple() == tuple) else { return };
        let flow = self.flows[n];
        // What is not in order is thrown away here: the peer sends it again.
        if tcp.seq == SeqNumber(flow.rcv_nxt) {
            let all = u32::try_from(tcp.payload.len()).unwrap_or(0);
            let fits = all <= flow.rcv_adv.wrapping_sub(flow.rcv_nxt);
            self.receive(n, all, fits && tcp.flags.fin());
            self.tell(n);
        }
    }

    /// Says or does what an honest device does not.
    pub(super) fn lie(&mut self, code: u8, input: &mut Input<'_>) {
        self.lied = true;
        match code {
            80..=95 => self.spoil.push((input.u8().into(), input.u32())),
            96..=99 => self.spoil.push((input.u8().into(), 1 << (input.u8() % 32))),
            100..=105 => self.scribble(input),
            106..=110 => self.lie_in_register(input),
            111 => self.deaf = true,
            112 => self.deaf = false,
            113 => self.gone = true,
            114 => self.reset(),
            115 => self.refuse_map = !self.refuse_map,
            116 => self.taken = self.taken.wrapping_sub(input.u8().into()),
            117 => self.skew = input.u64() >> (input.u8() % 64),
            118..=121 => {
                let mut record = Event::default();
                record.0.iter_mut().for_each(|word| *word = input.u32());
                self.push_event(record.with(event::FLOW, u32::from(input.u8() % 5)));
            }
            _ => {
                let length = usize::from(input.u16()) % 1600;
                let frame = input.bytes(length);
                let mut header = Event::default().with(event::KIND, u32::from(input.u8() % 5)).with(event::FLOW, input.u16().into());
                header = header.with(event::RCV_NXT, input.u32()).with(event::SND_UNA, input.u32());
                self.push_raw(header, frame);
            }
        }
    }

    /// Bytes anywhere in the memory that the device has.
    fn scribble(&mut self, input: &mut Input<'_>) {
        let which = usize::from(input.u8()) % self.mapped.len().max(1);
        let Some(memory) = self.mapped.values().nth(which).cloned() else { return };
        let at = (input.u32() as usize) % memory.len();
        let length = input.u8();
        let bytes = input.bytes(length.into());
        memory.copy_in(at, &bytes[..bytes.len().min(memory.len() - at)]);
    }

    fn lie_in_register(&mut self, input: &mut Input<'_>) {
        let global = register::GLOBAL.iter().map(|r| r.offset);
        let all: Vec<u32> = global.chain(register::CONTEXT.iter().map(|r| register::CONTEXTS + r.offset)).collect();
        let offset = all[usize::from(input.u8()) % all.len()];
        let keep = if input.u8().is_multiple_of(2) { u32::MAX } else { 0 };
        self.wrong.push((offset, keep, input.u32(), input.u8()));
    }
}
