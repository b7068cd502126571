//! One flow of the model, and short ways to speak to it.

use std::ops::{Deref, DerefMut};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event};
use toe_driver::Memory;
use toe_sim::invariants::Watched;
use toe_sim::model::{Flow, Model};
use toe_sim::rig::{FlowSetup, Piece, Rig, Settings};
use toe_wire::parse_tcp_frame;

/// The peer's first byte.
pub(crate) const IRS: u32 = 100_000;
/// Our first byte.
pub(crate) const ISS: u32 = 500_000;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;

/// A segment that the engine sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) wnd: u16,
    pub(crate) flags: u8,
    pub(crate) timestamp: Option<(u32, u32)>,
    pub(crate) payload: Vec<u8>,
}

/// A rig with the model and flow 0 installed; every check is made with the invariants.
pub(crate) struct Bench {
    rig: Rig<Watched<Model>>,
    pub(crate) setup: FlowSetup,
    pub(crate) receive: Memory,
    pub(crate) send: Memory,
}

impl Deref for Bench {
    type Target = Rig<Watched<Model>>;
    fn deref(&self) -> &Rig<Watched<Model>> {
        &self.rig
    }
}

impl DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut Rig<Watched<Model>> {
        &mut self.rig
    }
}

/// The byte that the peer, or the host, puts at a sequence number.
pub(crate) fn byte_at(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b1) >> 24).to_le_bytes()[0]
}

pub(crate) fn bytes_at(seq: u32, length: usize) -> Vec<u8> {
    (0..u32::try_from(length).expect("short")).map(|i| byte_at(seq.wrapping_add(i))).collect()
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut FlowSetup)) -> Bench {
        Bench::with_settings(Settings { max_frame: 9000, ..Settings::default() }, change)
    }

    pub(crate) fn with_settings(settings: Settings, change: impl FnOnce(&mut FlowSetup)) -> Bench {
        let mut setup = FlowSetup::new(0, IRS, ISS);
        change(&mut setup);
        let mut rig = Rig::new(Watched::new(Model::default()), settings).expect("memory");
        let receive = rig.ring_memory(setup.receive_base, 1 << setup.receive_log2).expect("memory");
        let send = rig.ring_memory(setup.send_base, 1 << setup.send_log2).expect("memory");
        for command in setup.commands() {
            rig.post(command).expect("room");
        }
        let mut bench = Bench { rig, setup, receive, send };
        bench.run();
        assert!(bench.flow().active, "installed");
        bench
    }

    pub(crate) fn flow(&self) -> &Flow {
        self.engine.inner().flow(0).expect("flow 0")
    }

    /// To rest, with the invariants holding.
    pub(crate) fn run(&mut self) {
        self.rig.check().expect("at rest, invariants holding");
    }

    /// A segment with ACK of nothing new and the window last told.
    pub(crate) fn segment(&self, seq: u32) -> Piece {
        let wnd = u16::try_from(self.flow().snd_wnd >> self.setup.snd_wscale).expect("16 bits");
        Piece { seq, ack: self.flow().snd_una, wnd, flags: ACK, timestamp: None }
    }

    /// The peer sends a segment whose payload is [`bytes_at`] its place.
    pub(crate) fn peer(&mut self, piece: &Piece, length: usize) {
        let frame = self.setup.frame(piece, &bytes_at(piece.seq, length));
        self.rig.push(&frame, true);
        self.run();
    }

    /// The peer sends data.
    pub(crate) fn data(&mut self, seq: u32, length: usize) {
        let piece = self.segment(seq);
        self.peer(&piece, length);
    }

    /// The peer acknowledges.
    pub(crate) fn ack(&mut self, ack: u32, wnd: u16) {
        let piece = Piece { ack, wnd, ..self.segment(self.flow().rcv_nxt) };
        self.peer(&piece, 0);
    }

    pub(crate) fn command(&mut self, opcode: Opcode, flags: u8, value: Option<(command::Piece, u32)>) {
        let command = Command::new(opcode, 0, flags);
        let command = value.map_or(command, |(piece, value)| command.with(piece, value.into()));
        self.rig.post(command).expect("room");
        self.run();
    }

    /// The host has put bytes into the send ring, up to there.
    pub(crate) fn send_to(&mut self, limit: u32, flags: u8) {
        let size = self.send.len();
        let from = self.flow().limit;
        for seq in (0..limit.wrapping_sub(from)).map(|i| from.wrapping_add(i)) {
            self.send.copy_in(seq as usize % size, &[byte_at(seq)]);
        }
        self.command(Opcode::Send, flags, Some((command::SEND_LIMIT, limit)));
    }

    /// Segments sent since the last call, every checksum checked.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let frames = self.rig.frames();
        frames
            .iter()
            .map(|frame| {
                let tcp = parse_tcp_frame(frame).expect("a segment").tcp;
                let timestamp = tcp.options.timestamps().map(|t| (t.value, t.echo_reply));
                Sent { seq: tcp.seq.0, ack: tcp.ack.0, wnd: tcp.window, flags: tcp.flags.0, timestamp, payload: tcp.payload.to_vec() }
            })
            .collect()
    }

    /// Sequence numbers and lengths of what was sent.
    pub(crate) fn sent_lengths(&mut self) -> Vec<(u32, usize)> {
        self.sent().iter().map(|s| (s.seq, s.payload.len())).collect()
    }

    /// The only segment sent, which must be a pure ACK: its ACK number.
    pub(crate) fn acked(&mut self) -> u32 {
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "one segment sent: {sent:?}");
        assert!(sent[0].payload.is_empty() && sent[0].flags == ACK, "a pure ACK: {:?}", sent[0]);
        sent[0].ack
    }

    /// The ACK numbers of the segments sent, which must be pure ACKs.
    pub(crate) fn acked_all(&mut self) -> Vec<u32> {
        let sent = self.sent();
        assert!(sent.iter().all(|s| s.payload.is_empty() && s.flags == ACK), "pure ACKs: {sent:?}");
        sent.iter().map(|s| s.ack).collect()
    }

    /// What lies in the receive ring at a place of the stream.
    pub(crate) fn received(&self, seq: u32, length: usize) -> Vec<u8> {
        let size = self.receive.len();
        let mut bytes = vec![0; length];
        for (i, byte) in bytes.iter_mut().enumerate() {
            self.receive.copy_out((seq as usize + i) % size, std::slice::from_mut(byte));
        }
        bytes
    }

    /// The kinds of the events that are there.
    pub(crate) fn kinds(&mut self) -> Vec<u32> {
        self.rig.events().iter().map(|e| e.get(event::KIND)).collect()
    }

    /// The only event that is there.
    pub(crate) fn only_event(&mut self) -> Event {
        let events = self.rig.events();
        assert_eq!(events.len(), 1, "one event: {events:?}");
        events[0]
    }

    pub(crate) fn count(&self, number: usize) -> u64 {
        self.engine.inner().counter(number)
    }
}
