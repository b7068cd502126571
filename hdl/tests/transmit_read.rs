//! The transmit side behind the real read engine: payload at any place of a ring, over a bus that waits, at the wire's speed.
#![allow(missing_docs, reason = "what the derives write has no comment")]

mod common;
mod host_bus;
mod transmit_world;

use common::{dut_with, random, Random};
use host_bus::{background, Manner, Packed, ReadBus};
use rand::Rng;
use rust_hdl::prelude::*;
use std::collections::VecDeque;
use toe_hdl::host::axi::ReadMaster;
use toe_hdl::host::read::ReadEngine;
use toe_hdl::stream::StreamTx;
use toe_hdl::transmit::Transmit;
use toe_hdl::types::{ChannelRx, ChannelTx, FetchJob, ReadJob, SealRequest, Segment, FLOW_BITS, LENGTH_BITS};
use toe_verilate::Dut;
use transmit_world::Header;

/// The two together.
#[derive(LogicBlock, Default)]
struct Pair {
    clock: Signal<In, Clock>,
    reset: Signal<In, Bit>,
    local_mac: Signal<In, Bits<48>>,
    jobs: ChannelRx<FetchJob>,
    seals: ChannelTx<SealRequest>,
    sealed: ChannelRx<Segment>,
    mac: StreamTx<64, 8>,
    bus: ReadMaster,
    transmit: Transmit,
    engine: ReadEngine,
}

impl Logic for Pair {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, transmit, engine);
        self.transmit.reset.next = self.reset.val();
        self.engine.reset.next = self.reset.val();
        self.engine.halt.next = false;
        self.engine.commands.data.next.base = 0.into();
        self.engine.commands.data.next.log2 = 0.into();
        self.engine.commands.data.next.position = 0.into();
        self.engine.commands.data.next.length = 0.into();
        self.engine.commands.valid.next = false;
        self.engine.command_data.ready.next = true;
        self.transmit.local_mac.next = self.local_mac.val();
        self.transmit.acks.data.next = self.sealed.data.val();
        self.transmit.acks.valid.next = false;
        self.transmit.inject.ready.next = true;
        ChannelRx::<FetchJob>::link(&mut self.jobs, &mut self.transmit.jobs);
        ChannelTx::<SealRequest>::link(&mut self.seals, &mut self.transmit.seals);
        ChannelRx::<Segment>::link(&mut self.sealed, &mut self.transmit.sealed);
        StreamTx::<64, 8>::link(&mut self.mac, &mut self.transmit.mac);
        ReadMaster::link(&mut self.bus, &mut self.engine.bus);
        ChannelTx::<ReadJob>::join(&mut self.transmit.reads, &mut self.engine.payload);
        StreamTx::<64, 8>::join(&mut self.engine.payload_data, &mut self.transmit.bytes);
    }
}

/// Sends segments of one length from consecutive places of a ring; gives the cycles of the frames' last beats.
fn send(dut: &mut Dut, rng: &mut Random, manner: Manner, count: usize, length: u64, tag: bool, stamps: bool) -> Vec<u64> {
    let mut bus = ReadBus::new("bus", manner);
    dut.set("reset", 1);
    for pin in ["jobs.valid", "sealed.valid", "bus.rvalid", "bus.arready"] {
        dut.set(pin, 0);
    }
    dut.set("local_mac", 0x0605_0403_0202);
    dut.tick();
    dut.set("reset", 0);
    dut.set("mac.ready", 1);
    dut.set("seals.ready", 1);
    let log2 = rng.random_range(12..=16);
    let base = (rng.random::<u64>() >> 4) & !((1 << log2) - 1);
    let mut seq: u32 = rng.random();
    let (mut jobs, mut headers, mut frames) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
    for _ in 0..count {
        let job = Packed::default().with(0, 2).with(0, FLOW_BITS).with(base, 64).with(log2, 5).with(seq.into(), 32).with(length, LENGTH_BITS);
        jobs.push_back(job.words);
        let payload: Vec<u8> = (0..length).map(|k| background(base + ((u64::from(seq) + k) & ((1 << log2) - 1)))).collect();
        let header = Header::random(&mut **rng, tag, stamps, length);
        frames.push_back(header.frame([2, 2, 3, 4, 5, 6], &payload));
        headers.push_back(header.packed(&mut **rng));
        seq = seq.wrapping_add(u32::try_from(length).unwrap());
    }
    let (mut waiting, mut frame, mut times) = (VecDeque::new(), Vec::new(), Vec::new());
    let start = dut.cycles();
    while times.len() < count {
        assert!(dut.cycles() - start < (length + 600) * count as u64, "{} of {count} frames", times.len());
        for (name, queue) in [("jobs", &jobs), ("sealed", &waiting)] {
            dut.set(format!("{name}.valid").as_str(), u64::from(!queue.is_empty()));
            if let Some(words) = queue.front() {
                dut.set_wide(format!("{name}.data").as_str(), words);
            }
        }
        bus.before(dut, rng);
        if dut.get("jobs.ready") == 1 {
            jobs.pop_front();
        }
        if dut.get("sealed.ready") == 1 {
            waiting.pop_front();
        }
        if dut.get("seals.valid") == 1 {
            waiting.push_back(headers.pop_front().expect("a header"));
        }
        if dut.get("mac.valid") == 1 {
            let kept = dut.get("mac.keep").count_ones() as usize;
            frame.extend(&dut.get("mac.data").to_le_bytes()[..kept]);
            if dut.get("mac.last") == 1 {
                assert!(frames.pop_front().as_ref() == Some(&frame), "frame {}", times.len());
                frame.clear();
                times.push(dut.cycles());
            }
        } else {
            assert!(frame.is_empty(), "a gap in mid-frame");
        }
        dut.tick();
    }
    times
}

#[test]
fn segments_leave_at_the_speed_of_the_wire() {
    let mut dut = dut_with("pair", Pair::default);
    let mut rng = random(71);
    // IEEE 802.3: preamble, FCS and gap are 24 bytes more; what the wire can take, in cycles of 8 bytes.
    for (length, tag, stamps) in [(1448, false, true), (1460, false, false), (1444, true, true), (8948, false, true), (536, false, false), (100, true, false)] {
        let times = send(&mut dut, &mut rng, Manner { stall: 0, latency: 60 }, 96, length, tag, stamps);
        let cycles = (times[95] - times[31]) as f64 / 64.0;
        let wire = (length + [54, 66][usize::from(stamps)] + if tag { 4 } else { 0 } + 24) as f64 / 8.0;
        println!("payload {length}: {cycles} cycles a frame, {wire} on the wire");
        assert!(cycles <= wire, "{cycles} cycles for a payload of {length}");
    }
}

#[test]
fn any_length_from_any_place() {
    let mut dut = dut_with("pair", Pair::default);
    let mut rng = random(72);
    for round in 0..100 {
        let length = rng.random_range(0..=if round % 2 == 0 { 40 } else { 1460 });
        let manner = Manner { stall: rng.random_range(0..60), latency: rng.random_range(0..100) };
        let (tag, stamps) = (rng.random(), rng.random());
        send(&mut dut, &mut rng, manner, 8, length, tag, stamps);
    }
}
