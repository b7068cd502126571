//! Random segments and commands, aimed at the edges of the state that the flow has at that moment.

use super::bench::Bench;
use super::flow::{moved, rel, Flow};
use super::wire::LookedUp;
use rand::seq::IndexedRandom;
use rand::Rng;
use toe_contract::command::{self, Command, Opcode};
use toe_contract::FLOWS;

/// How a flow is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) rcv_nxt: u32,
    pub(crate) window: u32,
    pub(crate) snd_una: u32,
    pub(crate) limit: u32,
    pub(crate) snd_wnd: u32,
    pub(crate) cwnd: u32,
    pub(crate) snd_mss: u16,
    pub(crate) rcv_mss: u16,
    pub(crate) snd_wscale: u8,
    pub(crate) rcv_wscale: u8,
    pub(crate) log2: u8,
    pub(crate) flags: u8,
    pub(crate) fin: bool,
    pub(crate) quiet: bool,
}

/// The four commands of an installation.
pub(crate) fn installation(flow: u16, s: &Setup, salt: u64) -> [Command; 4] {
    [
        Command::new(Opcode::Address, flow, (salt & 1) as u8)
            .with(command::ADDRESS_REMOTE_MAC, salt ^ 0x1234_5678_9abc)
            .with(command::ADDRESS_VLAN_TCI, salt >> 3)
            .with(command::ADDRESS_LOCAL_IP, 0x0a00_0001 ^ salt)
            .with(command::ADDRESS_REMOTE_IP, 0x0a00_0002 ^ (salt >> 7))
            .with(command::ADDRESS_LOCAL_PORT, salt >> 11)
            .with(command::ADDRESS_REMOTE_PORT, salt >> 13),
        Command::new(Opcode::Rings, flow, s.flags)
            .with(command::RINGS_RECEIVE_BASE, salt << s.log2)
            .with(command::RINGS_SEND_BASE, (salt ^ 0x5555) << s.log2)
            .with(command::RINGS_RECEIVE_LOG2, s.log2.into())
            .with(command::RINGS_SEND_LOG2, s.log2.into())
            .with(command::RINGS_SND_WSCALE, s.snd_wscale.into())
            .with(command::RINGS_RCV_WSCALE, s.rcv_wscale.into())
            .with(command::RINGS_SND_MSS, s.snd_mss.into())
            .with(command::RINGS_RCV_MSS, s.rcv_mss.into())
            .with(command::RINGS_TS_OFFSET, salt.rotate_left(17)),
        Command::new(Opcode::Receive, flow, 0)
            .with(command::RECEIVE_RCV_NXT, s.rcv_nxt.into())
            .with(command::RECEIVE_RCV_ADV, s.rcv_nxt.wrapping_add(s.window).into())
            .with(command::RECEIVE_RCV_CONSUMED, s.rcv_nxt.into())
            .with(command::RECEIVE_TS_RECENT, 0xffff_fff8),
        Command::new(Opcode::Install, flow, (u8::from(s.fin) * command::FIN) | (u8::from(s.quiet) * command::QUIET))
            .with(command::INSTALL_SND_UNA, s.snd_una.into())
            .with(command::INSTALL_SND_NXT, s.snd_una.into())
            .with(command::INSTALL_LIMIT, s.limit.into())
            .with(command::INSTALL_SND_WND, s.snd_wnd.into())
            .with(command::INSTALL_SND_WL1, s.rcv_nxt.into())
            .with(command::INSTALL_SND_WL2, s.snd_una.into())
            .with(command::INSTALL_CWND, s.cwnd.into()),
    ]
}

impl Bench {
    /// Gives every flow an address and rings, since the RAMs hold anything at first.
    pub(crate) fn load_all(&mut self) {
        let pressure = std::mem::replace(&mut self.pressure, super::bench::Pressure { ready: 100, event_room: 100, fetched: 100 });
        for flow in 0..FLOWS as u16 {
            let setup = self.any_setup();
            self.commands.extend(&installation(flow, &setup, u64::from(flow))[0..3]);
        }
        self.quiesce();
        self.pressure = pressure;
    }

    fn percent(&mut self, p: u32) -> bool {
        self.random.random_ratio(p, 100)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut *self.random).expect("something to choose from")
    }

    pub(crate) fn any_flow(&mut self) -> u16 {
        // Few flows, so that operations meet on one; now and then any.
        if self.percent(90) {
            self.random.random_range(0..6)
        } else {
            self.random.random_range(0..FLOWS as u16)
        }
    }

    fn flow_now(&self, number: u16) -> Flow {
        self.reference.flows[usize::from(number)].clone()
    }

    /// A random setup: near wraps, small windows and segments as often as large ones.
    pub(crate) fn any_setup(&mut self) -> Setup {
        let near = [0u32, 1, 0xffff_fff0, 0xffff_f000, 0x7fff_fff0, 0x8000_0000];
        let log2 = self.pick(&[12u8, 12, 13, 16, 20]);
        let size = 1u32 << log2;
        let rcv_nxt = self.pick(&near).wrapping_sub(self.random.random_range(0..3000));
        let snd_una = self.pick(&near).wrapping_sub(self.random.random_range(0..3000));
        let (mut snd_wscale, mut rcv_wscale) = (self.random.random_range(0..15), self.random.random_range(0..15));
        if self.percent(60) {
            (snd_wscale, rcv_wscale) = (self.random.random_range(0..3), self.random.random_range(0..3));
        }
        let data = [0, 1, 5, 700, size / 2, size];
        let wnd = [0, 1, 10, 536, 3000, 65535, 1 << 20];
        let snd_mss = self.pick(&[1, 5, 100, 536, 1448, 1460, 8960]);
        let queued = self.pick(&data).min(40 * u32::from(snd_mss));
        Setup {
            rcv_nxt,
            window: self.pick(&[0, 1, 20, 1000, size / 2, size, size]),
            snd_una,
            limit: snd_una.wrapping_add(queued),
            snd_wnd: self.pick(&wnd),
            cwnd: self.pick(&[1, 10, 1000, 4000, 1 << 16, u32::MAX]),
            snd_mss,
            rcv_mss: self.pick(&[1, 5, 100, 536, 1448, 1460, 8960]),
            snd_wscale,
            rcv_wscale,
            log2,
            flags: self.random.random_range(0..4),
            fin: self.percent(5),
            quiet: self.percent(30),
        }
    }

    /// A segment for a flow.
    pub(crate) fn any_segment(&mut self, flow: u16) -> LookedUp {
        let f = self.flow_now(flow);
        let s = self.any_seq(&f);
        let right = rel(f.rcv_adv, f.rcv_nxt);
        let len = match self.random.random_range(0..10) {
            0..3 => 0,
            3..6 => self.random.random_range(1..40),
            6 => i64::from(f.rcv_mss),
            7 => (right - s + self.random.random_range(-2..3)).clamp(0, 9000),
            8 => {
                let edges: Vec<i64> = f.ranges.iter().flat_map(|(a, b)| [rel(*a, f.rcv_nxt), rel(*b, f.rcv_nxt)]).collect();
                let edge = edges.choose(&mut *self.random).copied().unwrap_or(right / 2);
                (edge - s + self.random.random_range(-2..3)).clamp(0, 9000)
            }
            _ => self.random.random_range(0..1500),
        };
        let mut control = 0x10;
        for (bit, percent) in [(0, 8), (1, 1), (2, 1), (3, 30), (5, 1)] {
            control |= u8::from(self.percent(percent)) << bit;
        }
        if self.percent(2) {
            control &= !0x10;
        }
        let window = match self.random.random_range(0..10) {
            0..6 => (f.snd_wnd >> f.snd_wscale).min(65535) as u16,
            6 => 0,
            7 => self.random.random_range(0..10),
            _ => self.random.random(),
        };
        let near = self.pick(&[-1i64, 0, 0, 0, 1, 5, 1000, -1000, i64::from(i32::MAX)]);
        let ts = self.percent(70).then(|| (moved(f.ts_recent, near), self.random.random()));
        let generation = if self.percent(2) { f.generation.wrapping_add(1) } else { f.generation };
        let payload_offset = self.random.random_range(54..=118);
        LookedUp {
            start: self.random.random_range(0..4096),
            length: u16::from(payload_offset) + len as u16,
            fast: self.percent(97),
            payload_offset,
            payload_length: len as u16,
            key: self.random.random::<u128>() >> 32,
            seq: moved(f.rcv_nxt, s),
            ack: self.any_ack(&f),
            control,
            window,
            ts,
            hit: self.percent(97),
            flow,
            generation,
        }
    }

    /// Where a segment begins, relative to RCV.NXT.
    fn any_seq(&mut self, f: &Flow) -> i64 {
        let right = rel(f.rcv_adv, f.rcv_nxt);
        let small = self.random.random_range(-3..4);
        match self.random.random_range(0..20) {
            0..7 => 0,
            7..9 => small,
            9 => right + small,
            10 => -self.random.random_range(0..3000),
            11 if f.fin_known => rel(f.fin_seq, f.rcv_nxt) + small,
            12 => i64::from(self.random.random::<i32>()),
            13..16 => {
                let edges: Vec<i64> = f.ranges.iter().flat_map(|(a, b)| [rel(*a, f.rcv_nxt), rel(*b, f.rcv_nxt)]).collect();
                edges.choose(&mut *self.random).map_or(small, |e| e + small)
            }
            _ => self.random.random_range(0..right.clamp(1, 5000) + 1),
        }
    }

    fn any_ack(&mut self, f: &Flow) -> u32 {
        let flight = rel(f.snd_max, f.snd_una).max(0);
        let by = match self.random.random_range(0..20) {
            0..6 => 0,
            6..12 => flight,
            12..15 => self.random.random_range(0..=flight),
            15 => flight + 1,
            16 => -1,
            17 => -i64::from(f.max_wnd) - self.random.random_range(0..2),
            18 => f.timed.map_or(0, |(seq, _)| rel(seq, f.snd_una) + self.random.random_range(-1..2)),
            _ => {
                if self.percent(20) {
                    i64::from(self.random.random::<i32>())
                } else {
                    rel(f.snd_nxt, f.snd_una)
                }
            }
        };
        moved(f.snd_una, by)
    }

    /// Commands: mostly of use, now and then nonsense.
    pub(crate) fn any_commands(&mut self) -> Vec<Command> {
        let flow = self.any_flow();
        let f = self.flow_now(flow);
        if self.percent(3) {
            let mut words: [u32; 8] = self.random.random();
            // Any opcode, but those that would install a state that no host has.
            let opcode = self.pick(&[0, 1, 6, 7, 8, 9, 10, 12, 13, 14, 16, 0x84, 255]);
            let number = if self.percent(70) { u32::from(flow) } else { words[0] >> 16 };
            words[0] = opcode | words[0] & 0xff00 | number << 16;
            return vec![Command(words)];
        }
        if self.percent(8) {
            return vec![self.any_frame()];
        }
        if !f.active && self.percent(85) {
            if self.removing(flow) {
                return vec![];
            }
            let (setup, salt) = (self.any_setup(), self.random.random());
            let mut all = installation(flow, &setup, salt).to_vec();
            if self.percent(5) {
                all[1] = all[1].with(command::RINGS_SND_MSS, 1 << 14);
            }
            return all;
        }
        let quiet = if self.percent(30) { command::QUIET } else { 0 };
        let rearm = quiet | if self.percent(70) { command::REARM } else { 0 };
        vec![self.any_work(flow, &f, rearm)]
    }

    /// A removal has begun and is not yet announced.
    fn removing(&self, flow: u16) -> bool {
        let begun = |c: &Command| c.opcode() == Some(Opcode::Remove) && c.flow() == flow;
        self.commands.iter().any(begun)
            || self.seals.iter().any(|s| s.flow == flow)
            || self.reference.fetch.iter().any(|j| j.flow == flow && !matches!(j.of, super::wire::FetchOf::Raw { .. } | super::wire::FetchOf::Inject { .. }))
    }

    fn any_frame(&mut self) -> Command {
        let opcode = self.pick(&[Opcode::Raw, Opcode::Inject]);
        let max = u64::from(self.now.max_frame);
        let length = self.pick(&[0, 13, 14, 15, 60, 1000, max, max + 1, 65535]);
        let (start, offset) = (self.pick(&[0, 14, 34, length.wrapping_sub(1), length]), self.pick(&[0, 50, length.wrapping_sub(2), length.wrapping_sub(1)]));
        let flow = self.random.random();
        Command::new(opcode, flow, self.random.random::<u8>() & 0x81)
            .with(command::RAW_IOVA, self.random.random())
            .with(command::RAW_LENGTH, length)
            .with(command::RAW_CHECKSUM_START, start)
            .with(command::RAW_CHECKSUM_OFFSET, offset)
    }

    fn any_work(&mut self, flow: u16, f: &Flow, rearm: u8) -> Command {
        let small: i64 = self.random.random_range(-1..2);
        match self.random.random_range(0..100) {
            0..30 => {
                let size = 1i64 << f.send_log2;
                let target = match self.random.random_range(0..10) {
                    0 if small > 0 || size <= 100 * i64::from(f.snd_mss) => moved(f.snd_una, size + small),
                    1 => moved(f.limit, small),
                    2 => moved(f.limit, self.random.random_range(0..10)),
                    _ => {
                        let room = (size - rel(f.limit, f.snd_una)).max(0);
                        moved(f.limit, self.random.random_range(0..=room.min(6000).min(40 * i64::from(f.snd_mss) + 1)))
                    }
                };
                let fin = u8::from(self.percent(4));
                Command::new(Opcode::Send, flow, rearm | fin).with(command::SEND_LIMIT, target.into())
            }
            30..55 => {
                let unread = rel(f.rcv_nxt, f.rcv_consumed);
                let target = match self.random.random_range(0..10) {
                    0 => moved(f.rcv_nxt, small),
                    1 => moved(f.rcv_consumed, small),
                    2..6 => f.rcv_nxt,
                    _ => moved(f.rcv_consumed, self.random.random_range(0..=unread.max(0))),
                };
                Command::new(Opcode::Consumed, flow, rearm).with(command::CONSUMED_RCV_CONSUMED, target.into())
            }
            55..65 => {
                let cwnd = self.pick(&[0, 1, 100, 1000, 5000, 1 << 20, u32::MAX]);
                Command::new(Opcode::Cwnd, flow, rearm).with(command::CWND_CWND, cwnd.into())
            }
            65..80 => {
                let flight = rel(f.snd_max, f.snd_una).max(0);
                let by = self.random.random_range(-1..=flight + 1);
                let from = if self.percent(50) { f.snd_una } else { moved(f.snd_una, by) };
                let one = u8::from(self.percent(60));
                Command::new(Opcode::Resend, flow, rearm | one).with(command::RESEND_FROM, from.into())
            }
            80..88 => Command::new(Opcode::AckNow, flow, rearm),
            88..96 => Command::new(Opcode::Rearm, flow, rearm),
            _ => Command::new(Opcode::Remove, flow, rearm),
        }
    }
}
