//! The read engine against memory whose every byte is known by its address.

mod common;
mod host_bus;

use common::{dut, random};
use host_bus::{background, Manner, Packed, ReadBus};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use toe_hdl::host::read::{ReadEngine, OUTSTANDING};
use toe_verilate::Dut;

#[derive(Clone, Copy, Debug)]
struct Job {
    base: u64,
    log2: u32,
    position: u32,
    length: u64,
}

impl Job {
    fn random(rng: &mut ChaCha8Rng, longest: u64) -> Job {
        let length = match rng.random_range(0..4) {
            0 => rng.random_range(0..=24),
            1 => rng.random_range(0..=longest),
            2 => 32 * rng.random_range(1..=8),
            _ => rng.random_range(0..=300),
        }
        .min(longest);
        let mut job = Job { base: rng.random::<u64>() >> rng.random_range(1..30), log2: 0, position: rng.random(), length };
        if rng.random_range(0..3) != 0 {
            job.log2 = rng.random_range(12..=30);
            job.base &= !((1 << job.log2) - 1);
            if rng.random_range(0..2) == 0 {
                // Just before the end of the ring, or of the sequence numbers.
                job.position = (rng.random_range(0..=1u32) << job.log2.min(31)).wrapping_sub(rng.random_range(0..2000));
            }
        } else if rng.random_range(0..2) == 0 {
            job.base = (job.base | 0xffff_ffff) - rng.random_range(0..2000);
        }
        job
    }

    fn bytes(self) -> Vec<u8> {
        let at = |k: u64| match self.log2 {
            0 => self.base + k,
            n => self.base + ((u64::from(self.position) + k) & ((1 << n) - 1)),
        };
        (0..self.length).map(|k| background(at(k))).collect()
    }

    fn packed(self) -> Vec<u64> {
        Packed::default().with(self.base, 64).with(self.log2.into(), 5).with(self.position.into(), 32).with(self.length, 14).words
    }
}

/// A client: jobs to hand over, and what must come back.
struct Client {
    jobs: &'static str,
    data: &'static str,
    stall: u32,
    queue: VecDeque<Job>,
    expected: VecDeque<Vec<u8>>,
    got: Vec<u8>,
    held: Option<(u64, u64, u64)>,
    done: usize,
}

impl Client {
    fn new(jobs: &'static str, data: &'static str, stall: u32) -> Client {
        Client { jobs, data, stall, queue: VecDeque::new(), expected: VecDeque::new(), got: Vec::new(), held: None, done: 0 }
    }
    fn push(&mut self, job: Job) {
        self.queue.push_back(job);
        if job.length != 0 {
            self.expected.push_back(job.bytes());
        }
    }
    fn drive(&mut self, dut: &mut Dut, rng: &mut ChaCha8Rng) -> (bool, bool) {
        let offer = !self.queue.is_empty() && rng.random_range(0..100) >= self.stall;
        dut.set(format!("{}.valid", self.jobs).as_str(), offer.into());
        if let Some(job) = self.queue.front() {
            dut.set_wide(format!("{}.data", self.jobs).as_str(), &job.packed());
        }
        let ready = rng.random_range(0..100) >= self.stall;
        dut.set(format!("{}.ready", self.data).as_str(), ready.into());
        (offer, ready)
    }
    fn sample(&mut self, dut: &Dut, (offer, ready): (bool, bool)) {
        if offer && dut.get(format!("{}.ready", self.jobs).as_str()) == 1 {
            self.queue.pop_front();
        }
        let get = |name: &str| dut.get(format!("{}.{name}", self.data).as_str());
        let now = (get("data"), get("keep"), get("last"));
        let valid = get("valid") == 1;
        if let Some(held) = self.held {
            assert!(valid && held == now, "a beat changed while it waited");
        }
        self.held = (valid && !ready).then_some(now);
        if !valid || !ready {
            return;
        }
        let (data, keep, last) = now;
        let bytes = usize::try_from(keep.count_ones()).unwrap();
        assert_eq!(keep, (1u64 << bytes) - 1, "keep is contiguous");
        assert!(bytes == 8 || last == 1, "a short beat is the last");
        self.got.extend(&data.to_le_bytes()[..bytes]);
        if last == 1 {
            let expected = self.expected.pop_front().expect("a job is open");
            assert_eq!(self.got, expected, "{}: job {}", self.jobs, self.done);
            self.got.clear();
            self.done += 1;
        }
    }
    fn is_done(&self) -> bool {
        self.queue.is_empty() && self.expected.is_empty()
    }
}

fn reset(dut: &mut Dut) {
    dut.set("reset", 1);
    dut.set("halt", 0);
    dut.tick();
    dut.tick();
    dut.set("reset", 0);
}

/// Runs until both clients have everything; gives the cycles it took.
fn run(dut: &mut Dut, bus: &mut ReadBus, clients: &mut [Client; 2], rng: &mut ChaCha8Rng, limit: u64) -> u64 {
    let start = dut.cycles();
    while !clients.iter().all(Client::is_done) {
        assert!(dut.cycles() - start < limit, "not done: {} and {} jobs", clients[0].done, clients[1].done);
        let driven = [clients[0].drive(dut, rng), clients[1].drive(dut, rng)];
        bus.before(dut, rng);
        for (client, driven) in clients.iter_mut().zip(driven) {
            client.sample(dut, driven);
        }
        dut.tick();
    }
    dut.cycles() - start
}

fn clients(stall: u32) -> [Client; 2] {
    [Client::new("commands", "command_data", stall), Client::new("payload", "payload_data", stall)]
}

#[test]
fn every_alignment_length_and_ring() {
    let mut dut = dut("read_engine", ReadEngine::default());
    let mut rng = random(11);
    for (stall, latency) in [(0, 0), (0, 40), (30, 20), (70, 100)] {
        reset(&mut dut);
        let mut bus = ReadBus::new("bus", Manner { stall, latency });
        let mut clients = clients(stall);
        for _ in 0..300 {
            clients[0].push(Job::random(&mut rng, 256));
            clients[1].push(Job::random(&mut rng, 10_000));
        }
        let cycles = run(&mut dut, &mut bus, &mut clients, &mut rng, 3_000_000);
        println!("stall {stall}%, latency {latency}: {} beats in {cycles} cycles, {} bursts, {} at once", bus.beats, bus.bursts, bus.most);
        assert!(bus.is_idle() && dut.get("outstanding") == 0);
        for _ in 0..4 {
            dut.tick();
        }
        assert_eq!((dut.get("busy"), dut.get("fault")), (0, 0));
    }
}

#[test]
fn keeps_the_bus_full() {
    let mut dut = dut("read_engine", ReadEngine::default());
    let mut rng = random(12);
    reset(&mut dut);
    let mut bus = ReadBus::new("bus", Manner { stall: 0, latency: 100 });
    let mut clients = clients(0);
    let mut position = rng.random();
    for _ in 0..200 {
        clients[1].push(Job { base: 0x10_0000, log2: 20, position, length: 1448 });
        position = position.wrapping_add(1448);
    }
    let cycles = run(&mut dut, &mut bus, &mut clients, &mut rng, 100_000);
    let rate = 200.0 * 1448.0 / cycles as f64;
    println!("{rate:.3} bytes a cycle, {} bursts at once", bus.most);
    assert!(rate > 7.7, "{rate} bytes a cycle");
    assert!(bus.most as u64 >= 8 && bus.most as u64 <= OUTSTANDING, "{} bursts at once", bus.most);
}

#[test]
fn halts_drains_and_starts_again() {
    let mut dut = dut("read_engine", ReadEngine::default());
    let mut rng = random(13);
    for round in 0..60 {
        reset(&mut dut);
        let mut bus = ReadBus::new("bus", Manner { stall: 20, latency: 30 });
        let mut clients = clients(20);
        for _ in 0..20 {
            clients[0].push(Job::random(&mut rng, 256));
            clients[1].push(Job::random(&mut rng, 3000));
        }
        let fail = round % 2 == 1;
        let at = rng.random_range(1..400);
        if fail {
            bus.fail_at = Some(at);
        }
        let (mut bursts, mut quiet) = (0, 0);
        for cycle in 0..3000 {
            if cycle == at && !fail {
                dut.set("halt", 1);
                bursts = bus.bursts + 1;
            }
            let driven = [clients[0].drive(&mut dut, &mut rng), clients[1].drive(&mut dut, &mut rng)];
            bus.before(&mut dut, &mut rng);
            if !fail && cycle >= at {
                assert!(bus.bursts <= bursts, "a burst after the halt");
            } else if !fail || bus.beats <= at {
                for (client, driven) in clients.iter_mut().zip(driven) {
                    client.sample(&dut, driven);
                }
            }
            dut.tick();
            if dut.get("outstanding") == 0 {
                quiet = cycle;
            }
        }
        assert!(bus.is_idle() && quiet == 2999, "drained");
        assert_eq!(dut.get("fault") == 1, fail, "round {round}");
    }
    reset(&mut dut);
    let mut bus = ReadBus::new("bus", Manner { stall: 0, latency: 5 });
    let mut clients = clients(0);
    clients[1].push(Job { base: 0x1003, log2: 0, position: 0, length: 77 });
    run(&mut dut, &mut bus, &mut clients, &mut rng, 1000);
}
