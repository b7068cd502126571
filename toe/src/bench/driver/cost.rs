//! What each thing costs that the driver does, over one transport.

use super::super::figure::Figure;
use anyhow::{bail, ensure, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};
use toe_contract::command::{self, Command, Opcode};
use toe_contract::register;
use toe_driver::{Bus, Nanoseconds, Nic, NicConfig, NicEvent, Region};
use toe_sim::rig::FlowSetup;

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Commands a doorbell.
const BATCHES: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Commands of a round of one batch size.
const COMMANDS: u32 = 64;
/// Commands that are written between two looks of the device; fewer than the ring has.
const RING: u32 = 512;
/// Looks of a round.
const LOOKS: u32 = 100;

/// Times in nanoseconds, each the median of its rounds: a machine that others use as well spoils every mean.
pub(super) struct Cost {
    submit: f64,
    pub(super) doorbell: f64,
    register_read: f64,
    look: f64,
    event: f64,
    batches: Vec<(u32, f64)>,
    pub(super) by_polling: f64,
    pub(super) by_interrupt: f64,
}

impl Cost {
    /// Measures them; the device is opened and closed.
    ///
    /// # Errors
    /// The device does not work.
    pub(super) fn measure(bus: &Arc<dyn Bus>, rounds: u32) -> Result<Cost> {
        let mut bench = Bench::new(bus.clone(), rounds)?;
        Ok(Cost {
            submit: bench.submit()?,
            doorbell: bench.doorbell()?,
            register_read: bench.register_read()?,
            look: bench.look()?,
            event: bench.event()?,
            batches: BATCHES.iter().map(|n| Ok((*n, bench.batch(*n)?))).collect::<Result<_>>()?,
            by_polling: bench.round_trip(false)?,
            by_interrupt: bench.round_trip(true)?,
        })
    }

    /// Of a command in batches of so many a doorbell.
    pub(super) fn batch(&self, commands: u32) -> f64 {
        self.batches.iter().find(|(n, _)| *n == commands).map_or(f64::NAN, |(_, time)| *time)
    }

    pub(super) fn figures(&self, name: &str) -> Result<Vec<Figure>> {
        let figure = |what: &str, value: f64, unit| Figure::timed(&format!("{name}_{what}"), value, unit, None);
        let mut figures = vec![
            figure("submit", self.submit, "ns/command")?,
            figure("doorbell", self.doorbell, "ns")?,
            figure("register_read", self.register_read, "ns")?,
            figure("look", self.look, "ns")?,
            figure("event", self.event, "ns/event")?,
        ];
        for (n, time) in &self.batches {
            figures.push(figure(&format!("batch_{n}"), *time, "ns/command")?);
        }
        figures.push(figure("command_to_event_polling", self.by_polling / 1000.0, "us")?);
        figures.push(figure("command_to_event_interrupt", self.by_interrupt / 1000.0, "us")?);
        Ok(figures)
    }
}

struct Bench {
    bus: Arc<dyn Bus>,
    nic: Nic,
    rounds: u32,
    /// Commands submitted so far.
    produced: u32,
    _rings: [Region; 2],
}

impl Bench {
    /// A device with one flow, whose commands do nothing that is seen.
    fn new(bus: Arc<dyn Bus>, rounds: u32) -> Result<Bench> {
        let mut nic = Nic::open(bus.clone(), NicConfig::default())?;
        let rings = [nic.allocate_ring(16)?, nic.allocate_ring(16)?];
        let setup = FlowSetup { receive_base: rings[0].iova().0, send_base: rings[1].iova().0, ..FlowSetup::new(0, 1, 1) };
        let commands = setup.commands();
        let produced = u32::try_from(commands.len())?;
        for command in commands {
            nic.submit(command)?;
        }
        nic.ring()?;
        let mut bench = Bench { bus, nic, rounds, produced, _rings: rings };
        bench.drain()?;
        while bench.nic.poll()?.is_some() {}
        Ok(bench)
    }

    /// A command that does nothing that is seen; or one that is refused, which is told by an event.
    fn submit_one(&mut self, refused: bool) -> Result<()> {
        self.produced = self.produced.wrapping_add(1);
        let command = Command::new(Opcode::Cwnd, u16::from(refused), 0).with(command::CWND_CWND, 14480);
        Ok(self.nic.submit(command)?)
    }

    /// Waits until the device has taken every command.
    fn drain(&mut self) -> Result<()> {
        self.nic.ring()?;
        let end = Instant::now() + PATIENCE;
        while self.bus.read32(register::CONTEXTS + register::SUBMISSION_CONSUMED.offset)? != self.produced {
            ensure!(Instant::now() < end, "the device takes no commands");
            self.bus.relax();
        }
        Ok(())
    }

    /// What one of `count` takes, in nanoseconds: the median of the rounds. Each round gives its own time, so that it can prepare before and clear up behind.
    fn median(&mut self, count: u32, mut round: impl FnMut(&mut Bench) -> Result<Duration>) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..self.rounds {
            times.push(round(self)?.as_secs_f64() * 1e9 / f64::from(count));
        }
        Ok(super::requests::median(&mut times))
    }

    /// Writing a command into the ring.
    fn submit(&mut self) -> Result<f64> {
        self.median(RING, |bench| {
            let begin = Instant::now();
            for _ in 0..RING {
                bench.submit_one(false)?;
            }
            let time = begin.elapsed();
            bench.drain()?;
            Ok(time)
        })
    }

    /// Ringing, as the driver's thread sees it.
    fn doorbell(&mut self) -> Result<f64> {
        self.median(1, |bench| {
            bench.submit_one(false)?;
            let begin = Instant::now();
            bench.nic.ring()?;
            let time = begin.elapsed();
            bench.drain()?;
            Ok(time)
        })
    }

    fn register_read(&mut self) -> Result<f64> {
        self.median(1, |bench| {
            let begin = Instant::now();
            bench.nic.check_fault()?;
            Ok(begin.elapsed())
        })
    }

    /// Looking at rings in which nothing is.
    fn look(&mut self) -> Result<f64> {
        self.median(LOOKS, |bench| {
            let begin = Instant::now();
            for _ in 0..LOOKS {
                ensure!(bench.nic.poll()?.is_none(), "an event from nowhere");
            }
            Ok(begin.elapsed())
        })
    }

    /// Taking an event that is there.
    fn event(&mut self) -> Result<f64> {
        self.median(COMMANDS, |bench| {
            for _ in 0..COMMANDS {
                bench.submit_one(true)?;
            }
            // The answer to a read comes behind everything that was written before.
            bench.drain()?;
            let begin = Instant::now();
            for _ in 0..COMMANDS {
                bench.refusal()?;
            }
            let time = begin.elapsed();
            bench.nic.consumed()?;
            Ok(time)
        })
    }

    /// The event of a refused command, for which the driver looks.
    fn refusal(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.nic.poll()? {
                Some(NicEvent::BadCommand { .. }) => return Ok(()),
                Some(other) => bail!("expected a refused command, found {other:?}"),
                None => ensure!(Instant::now() < end, "an event does not come"),
            }
            self.bus.relax();
        }
    }

    /// From the first command until the device has taken the last and told of it, in batches of so many a doorbell.
    fn batch(&mut self, commands: u32) -> Result<f64> {
        self.median(COMMANDS, |bench| {
            let begin = Instant::now();
            for k in 1..=COMMANDS {
                bench.submit_one(k == COMMANDS)?;
                if k % commands == 0 {
                    bench.nic.ring()?;
                }
            }
            bench.refusal()?;
            let time = begin.elapsed();
            bench.nic.consumed()?;
            Ok(time)
        })
    }

    /// From a command to its event, by polling or by an interrupt.
    fn round_trip(&mut self, interrupt: bool) -> Result<f64> {
        self.median(1, |bench| {
            let begin = Instant::now();
            bench.submit_one(true)?;
            bench.nic.ring()?;
            loop {
                match bench.nic.poll()? {
                    Some(_) => break,
                    None if interrupt => bench.nic.wait(bench.bus.now() + Nanoseconds::from_secs(1))?,
                    None => bench.bus.relax(),
                }
                ensure!(begin.elapsed() < PATIENCE, "an event does not come");
            }
            let time = begin.elapsed();
            bench.nic.consumed()?;
            Ok(time)
        })
    }
}
