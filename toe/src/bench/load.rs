//! Traffic for an engine: peers at the other end of the cable that send as fast as the wire lets them, and a host that takes events and gives
//! commands. Every byte that comes out is compared with what went in.

use anyhow::{bail, ensure, Context, Result};
use std::time::{Duration, Instant};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::event::{self, Event, Kind};
use toe_contract::{counter, register};
use toe_driver::{Memory, Nanoseconds};
use toe_sim::engine::Engine;
use toe_sim::rig::{FlowSetup, Piece, Rig, Settings};
use toe_sim::root_complex::Timing;
use toe_wire::{parse_tcp_frame, SeqNumber, TcpFlags};

/// Cycles between two looks of peers and host.
const STEP: u64 = 256;
/// Cycles for which frames wait ready on the wire: more than the host ever takes.
const AHEAD: u64 = 8192;
/// log2 of every ring of bytes.
const RING_LOG2: u8 = 18;
const RING: u32 = 1 << RING_LOG2;
const WSCALE: u8 = 7;
/// TSval of every peer.
const TSVAL: u32 = 1000;
/// Cycles without anything new, and deadlines that brought nothing, after which what is still missing is lost.
const PATIENCE: u64 = 1 << 20;
const SKIPS: u32 = 1 << 14;
/// The bytes of every stream repeat with this period, a prime.
const PERIOD: u32 = 65521;

/// What is to go over the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) flows: u16,
    /// Payload bytes of a segment.
    pub(crate) payload: u16,
    pub(crate) timestamps: bool,
    /// Segments to the engine, and from it.
    pub(crate) receive: u32,
    pub(crate) send: u32,
    pub(crate) timing: Timing,
}

/// One flow's peer and host.
struct Flow {
    setup: FlowSetup,
    receive: Memory,
    send: Memory,
    /// The peer: what it sends next, how far it may, what has been acknowledged; what it has got, and how much of that it has not acknowledged.
    snd_nxt: u32,
    edge: u32,
    snd_una: u32,
    rcv_nxt: u32,
    unacknowledged: u32,
    left: u32,
    /// The host: how far it has read, and up to where the engine is to send; where that ends.
    consumed: u32,
    limit: u32,
    end: u32,
}

/// An engine under a load.
pub(crate) struct World<E> {
    pub(crate) rig: Rig<E>,
    load: Load,
    flows: Vec<Flow>,
    turn: usize,
    pattern: Vec<u8>,
    epoch: (Nanoseconds, u64),
    /// Payload bytes of the frames in and out, in order.
    pub(crate) frames_in: Vec<u64>,
    pub(crate) frames_out: Vec<u64>,
    /// What the clock of the machine says of the engine alone.
    pub(crate) engine_time: Duration,
}

impl<E: Engine> World<E> {
    /// Flows installed, nothing on the wire yet.
    ///
    /// # Errors
    /// No memory, or the engine refuses something.
    pub(crate) fn new(engine: E, load: Load) -> Result<World<E>> {
        let mut rig = Rig::new(engine, Settings { timing: load.timing, submission_log2: 9, ..Settings::default() })?;
        let found = rig.read(&register::FLOWS);
        ensure!(u32::from(load.flows) <= found, "flows: expected at least {}, found {found}", load.flows);
        let pattern = (0..2 * PERIOD).map(|k| ((k % PERIOD).wrapping_mul(0x9e37_79b1) >> 24).to_le_bytes()[0]).collect();
        let epoch = (rig.now, 0);
        let mut world = World { rig, load, flows: vec![], turn: 0, pattern, epoch, frames_in: vec![], frames_out: vec![], engine_time: Duration::ZERO };
        for number in 0..load.flows {
            world.install(number)?;
        }
        world.rig.settle()?;
        ensure!(world.rig.events().is_empty(), "the engine refused to install a flow");
        world.epoch = (world.rig.now, world.rig.engine.cycles());
        Ok(world)
    }

    fn install(&mut self, number: u16) -> Result<()> {
        let of = |total: u32| total / u32::from(self.load.flows) + u32::from(u32::from(number) < total % u32::from(self.load.flows));
        let (irs, iss) = (1_000_000 + 7919 * u32::from(number), 500_000_000 + 104_729 * u32::from(number));
        let wnd = u32::from(u16::MAX) << WSCALE;
        let setup = FlowSetup {
            receive_log2: RING_LOG2,
            send_log2: RING_LOG2,
            snd_wscale: WSCALE,
            rcv_wscale: WSCALE,
            snd_mss: self.load.payload,
            timestamps: self.load.timestamps,
            rcv_adv: irs + RING,
            ts_recent: TSVAL,
            snd_wnd: wnd,
            cwnd: wnd,
            ..FlowSetup::new(number, irs, iss)
        };
        let receive = self.rig.ring_memory(setup.receive_base, RING as usize)?;
        let send = self.rig.ring_memory(setup.send_base, RING as usize)?;
        for command in setup.commands() {
            self.rig.post(command)?;
        }
        let end = iss + u32::from(self.load.payload) * of(self.load.send);
        let flow = Flow {
            setup,
            receive,
            send,
            snd_nxt: irs,
            edge: irs + RING,
            snd_una: irs,
            rcv_nxt: iss,
            unacknowledged: 0,
            left: of(self.load.receive),
            consumed: irs,
            limit: iss,
            end,
        };
        self.flows.push(flow);
        Ok(())
    }

    /// Runs until everything has come where it belongs, has been read and acknowledged, or nothing moves any more: `true` if all is there.
    ///
    /// # Errors
    /// A byte is wrong, or the engine did what no engine may.
    pub(crate) fn run(&mut self) -> Result<bool> {
        for number in 0..self.flows.len() {
            self.extend(number, 0)?;
        }
        self.rig.doorbell();
        let (mut moved_at, mut skips) = (self.rig.engine.cycles(), 0);
        loop {
            let fed = self.feed();
            let begin = Instant::now();
            self.tick();
            self.rig.engine.advance(self.rig.now, STEP, &mut self.rig.host);
            self.engine_time += begin.elapsed();
            let answered = self.answer()?;
            let reported = self.serve()?;
            if self.is_done() {
                return Ok(true);
            }
            let cycles = self.rig.engine.cycles();
            if fed || answered || reported || self.rig.engine.backlog() > 0 {
                (moved_at, skips) = (cycles, 0);
            } else if !self.rig.engine.busy() {
                // Idle time is skipped.
                let Some(deadline) = self.rig.engine.next_deadline().filter(|_| skips < SKIPS) else { return Ok(false) };
                skips += 1;
                self.epoch = (deadline.max(self.rig.now), cycles);
            } else if cycles - moved_at > PATIENCE {
                return Ok(false);
            }
        }
    }

    /// Lets the time be that of the cycles: 6.4 ns each.
    fn tick(&mut self) {
        let (epoch, cycles) = self.epoch;
        let span = (self.rig.engine.cycles() - cycles) * 32 / 5;
        self.rig.now = self.rig.now.max(epoch + Nanoseconds(span));
    }

    fn is_done(&self) -> bool {
        let done = |f: &Flow| f.left == 0 && f.snd_una == f.snd_nxt && f.consumed == f.snd_nxt && f.rcv_nxt == f.end;
        self.flows.iter().all(done) && self.rig.engine.backlog() == 0
    }

    /// Payload from a sequence number on.
    fn bytes(&self, seq: u32, length: usize) -> &[u8] {
        &self.pattern[(seq % PERIOD) as usize..][..length]
    }

    /// The peers send: each in turn, while there is room on the wire. Whether one did.
    fn feed(&mut self) -> bool {
        let payload = u32::from(self.load.payload);
        let frame_cycles = wire_cycles(self.load.payload, self.load.timestamps);
        let mut fed = false;
        let mut closed = 0;
        while closed < self.flows.len() && self.rig.engine.backlog() as f64 * frame_cycles < AHEAD as f64 {
            let number = self.turn;
            self.turn = (self.turn + 1) % self.flows.len();
            let flow = &mut self.flows[number];
            if flow.left == 0 || flow.edge.wrapping_sub(flow.snd_nxt.wrapping_add(payload)) > RING {
                closed += 1;
                continue;
            }
            closed = 0;
            let seq = flow.snd_nxt;
            flow.left -= 1;
            flow.snd_nxt += payload;
            self.segment(number, seq, payload);
            fed = true;
        }
        fed
    }

    /// A segment of a peer; it acknowledges everything the peer has got.
    fn segment(&mut self, number: usize, seq: u32, payload: u32) {
        let flow = &mut self.flows[number];
        flow.unacknowledged = 0;
        let timestamp = self.load.timestamps.then_some((TSVAL, 0));
        let piece = Piece { seq, ack: flow.rcv_nxt, wnd: u16::MAX, flags: TcpFlags::ACK.0, timestamp };
        let flow = &self.flows[number];
        let frame = flow.setup.frame(&piece, self.bytes(seq, payload as usize));
        self.rig.push(&frame, true);
        self.frames_in.push(payload.into());
    }

    /// The peers take what the engine sent. Whether there was something.
    fn answer(&mut self) -> Result<bool> {
        let mut frames = self.rig.frames();
        frames.extend(std::iter::from_fn(|| self.rig.engine.transmit()));
        for frame in &frames {
            self.take(frame)?;
        }
        Ok(!frames.is_empty())
    }

    fn take(&mut self, frame: &[u8]) -> Result<()> {
        let parsed = parse_tcp_frame(frame).context("a frame of the engine")?;
        let tcp = parsed.tcp;
        let number = usize::from(tcp.dst_port) - usize::from(self.flows[0].setup.remote_port);
        let length = u32::try_from(tcp.payload.len())?;
        self.frames_out.push(length.into());
        let flow = self.flows.get(number).context("a frame for no peer")?;
        ensure!(SeqNumber(flow.snd_una).le(tcp.ack) && tcp.ack.le(SeqNumber(flow.snd_nxt)), "flow {number} acknowledged {:?}", tcp.ack);
        if length > 0 {
            ensure!(tcp.seq.0 == flow.rcv_nxt, "flow {number}: expected the segment at {}, found {}", flow.rcv_nxt, tcp.seq.0);
            ensure!(tcp.payload == self.bytes(tcp.seq.0, tcp.payload.len()), "flow {number}: wrong bytes sent from {} on", tcp.seq.0);
        }
        let flow = &mut self.flows[number];
        flow.snd_una = tcp.ack.0;
        flow.edge = flow.edge.max(tcp.ack.0 + (u32::from(tcp.window) << WSCALE));
        flow.rcv_nxt += length;
        flow.unacknowledged += u32::from(length > 0);
        // A peer that has data to send acknowledges with that.
        if flow.left == 0 && (flow.unacknowledged >= 2 || flow.unacknowledged > 0 && flow.rcv_nxt == flow.end) {
            let seq = flow.snd_nxt;
            self.segment(number, seq, 0);
        }
        Ok(())
    }

    /// The host takes the events. Whether there were some.
    fn serve(&mut self) -> Result<bool> {
        let events = self.rig.events();
        for event in &events {
            self.report(event)?;
        }
        if !events.is_empty() {
            self.rig.doorbell();
        }
        Ok(!events.is_empty())
    }

    fn report(&mut self, event: &Event) -> Result<()> {
        ensure!(event.get(event::KIND) == Kind::Flow as u32, "an event that is not of a flow: {event:?}");
        let number = usize::try_from(event.get(event::FLOW))?;
        let rcv_nxt = event.get(event::RCV_NXT);
        let flow = self.flows.get(number).context("an event of no flow")?;
        let (from, length) = (flow.consumed, rcv_nxt.wrapping_sub(flow.consumed));
        if length > RING {
            bail!("flow {number}: RCV.NXT {rcv_nxt}, {from} has been consumed");
        }
        if length > 0 {
            self.compare(number, from, length)?;
            self.flows[number].consumed = rcv_nxt;
            self.rig.write_command(Command::new(Opcode::Consumed, flow_number(number), 0).with(command::CONSUMED_RCV_CONSUMED, rcv_nxt.into()))?;
        }
        let una = event.get(event::SND_UNA);
        let una_done = una.wrapping_sub(self.flows[number].setup.snd_una);
        if !self.extend(number, una_done)? {
            self.rig.write_command(Command::new(Opcode::Rearm, flow_number(number), command::REARM))?;
        }
        Ok(())
    }

    /// What has been received is what was sent.
    fn compare(&self, number: usize, from: u32, length: u32) -> Result<()> {
        let flow = &self.flows[number];
        for piece in pieces(from, length) {
            let mut found = vec![0; piece.length];
            flow.receive.copy_out(piece.offset, &mut found);
            ensure!(found == self.bytes(piece.seq, piece.length), "flow {number}: wrong bytes in the receive ring from {} on", piece.seq);
        }
        Ok(())
    }

    /// The application fills the send ring as far as it is free; `acknowledged` bytes are. Whether the engine was told.
    fn extend(&mut self, number: usize, acknowledged: u32) -> Result<bool> {
        let flow = &self.flows[number];
        let from = flow.limit;
        let limit = flow.end.min(flow.setup.snd_una + acknowledged + RING);
        if limit == from {
            return Ok(false);
        }
        for piece in pieces(from, limit - from) {
            flow.send.copy_in(piece.offset, self.bytes(piece.seq, piece.length));
        }
        self.flows[number].limit = limit;
        self.rig.write_command(Command::new(Opcode::Send, flow_number(number), command::REARM).with(command::SEND_LIMIT, limit.into()))?;
        Ok(true)
    }

    /// What the engine dropped, of every kind, and segments whose payload it did not take.
    pub(crate) fn drops(&mut self) -> u64 {
        use counter::*;
        let of_mac = [MAC_RX_BAD_FCS, MAC_RX_RUNT, MAC_RX_OVERSIZE, MAC_RX_ERROR, MAC_RX_BAD_PREAMBLE, MAC_RX_FILTERED];
        let of_parser = [RX_BUFFER_FULL, RX_BAD_IPV4_HEADER, RX_BAD_IPV4_CHECKSUM, RX_BAD_TCP_HEADER, RX_BAD_TCP_CHECKSUM];
        let of_core = [RX_RAW_FULL, RX_NO_ACK, RX_PAWS, RX_UNACCEPTABLE, RX_ACK_BEYOND, RX_ACK_OLD, RX_NO_RANGE, RX_DUPLICATE];
        [&of_mac[..], &of_parser, &of_core].into_iter().flatten().map(|c| self.rig.counter(*c)).sum()
    }

    /// Whether an address lies in a receive ring.
    #[cfg(feature = "rtl")]
    pub(crate) fn is_payload(&self, iova: u64) -> bool {
        self.flows.iter().any(|f| (f.setup.receive_base..f.setup.receive_base + u64::from(RING)).contains(&iova))
    }
}

fn flow_number(number: usize) -> u16 {
    // There are no more than the register FLOWS says, and that has 16 bits.
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Cycles that a frame with so much payload takes on the wire, with preamble, FCS and gap.
pub(crate) fn wire_cycles(payload: u16, timestamps: bool) -> f64 {
    let tcp = if timestamps { 32 } else { 20 };
    let octets = (f64::from(14 + 20 + tcp) + f64::from(payload)).max(60.0);
    (8.0 + octets + 4.0 + 12.0) / 8.0
}

/// A part of a stream that lies in one piece in a ring, no longer than the pattern's period.
struct Part {
    seq: u32,
    offset: usize,
    length: usize,
}

fn pieces(mut seq: u32, mut left: u32) -> impl Iterator<Item = Part> {
    std::iter::from_fn(move || {
        let offset = seq % RING;
        let length = left.min(RING - offset).min(PERIOD);
        let part = Part { seq, offset: offset as usize, length: length as usize };
        (seq, left) = (seq.wrapping_add(length), left - length);
        (length > 0).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use toe_sim::model::Model;

    fn load(flows: u16, payload: u16, receive: u32, send: u32) -> Load {
        Load { flows, payload, timestamps: payload == 1448, receive, send, timing: Timing::PCIE }
    }

    #[test]
    fn everything_arrives_through_the_model() -> Result<()> {
        for load in [load(1, 1448, 500, 0), load(1, 1448, 0, 500), load(5, 1448, 501, 502), load(64, 6, 1000, 0), load(3, 1, 40, 40)] {
            let mut world = World::new(Model::default(), load)?;
            assert!(world.run()?, "{load:?}: something is missing");
            assert!(world.flows.iter().all(|f| f.consumed == f.snd_nxt), "{load:?}: something has not been compared");
            let total = |frames: &[u64]| frames.iter().sum::<u64>();
            let expected = |segments: u32| u64::from(segments) * u64::from(load.payload);
            assert_eq!(total(&world.frames_in), expected(load.receive), "{load:?}");
            assert_eq!(total(&world.frames_out), expected(load.send), "{load:?}");
            assert_eq!((world.drops(), world.rig.counter(counter::RX_IN_ORDER)), (0, load.receive.into()), "{load:?}");
        }
        Ok(())
    }

    /// The design's figures: a frame of 1514 bytes, and a smallest one.
    #[test]
    fn frames_take_as_long_as_on_a_wire_of_ten_gigabits() {
        assert_eq!(wire_cycles(1448, true), 192.25);
        assert_eq!(wire_cycles(6, false), 10.5);
        assert_eq!(wire_cycles(1, false), 10.5);
    }
}
