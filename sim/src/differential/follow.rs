//! The model goes where the other engine goes: the same operations in the same order.

use super::difference::Difference;
use super::pair::Episode;
use super::stimulus::Stimulus;
use crate::engine::{Begun, Engine};
use crate::rig::RigError;
use crate::root_complex::Timing;
use rand::Rng;
use std::fmt;
use toe_contract::register;

/// The most cycles until a burst is done.
const DEADLINE: u64 = 4_000_000;

impl<E: Engine> Episode<E> {
    /// What has kept commands from being taken (events that the host does not take, frames held back) ends, until they are: who makes up the next
    /// stimulus goes by the state behind them.
    pub(super) fn let_commands_end(&mut self) -> Result<(), Box<Difference>> {
        self.hold = self.hold.saturating_sub(1);
        if self.hold == 0 && !self.transmits {
            self.let_go()?;
        }
        while self.reference.read_context(&register::SUBMISSION_CONSUMED) != self.reference.posted() {
            if std::mem::take(&mut self.keep_events) == 0 && !self.transmits {
                self.let_go()?;
            }
            self.compare_all()?;
        }
        Ok(())
    }

    /// Sending is switched on.
    pub(super) fn let_go(&mut self) -> Result<(), Box<Difference>> {
        let on = register::CONTROL_TRANSMIT.mask() | register::CONTROL_RECEIVE.mask();
        self.apply(&Stimulus::Register(&register::CONTROL, on))?;
        self.compare_all()
    }

    /// Lets the other engine take some of the frames that wait, so that what is done next comes between them.
    pub(super) fn let_frames_pass(&mut self) {
        let left = self.random.random_range(0..=self.other.engine.backlog());
        while self.other.engine.backlog() > left {
            self.other.engine.advance(self.other.now, 8, &mut self.other.host);
        }
    }

    /// The other engine comes to rest, and the model does what that did, in its order.
    pub(super) fn settle_alike(&mut self) -> Result<(), Box<Difference>> {
        let (operations, held) = self.let_other_rest()?;
        self.stands = held;
        self.follow(operations)?;
        self.held[0] += u64::from(!self.transmits);
        self.held[1] += u64::from(self.reference.event_room() < 2);
        match self.reference.engine.inner().waiting().filter(|_| !held) {
            None => Ok(()),
            Some(waiting) => Err(self.difference("at rest".into(), format!("{waiting:?} waits"), "nothing is done".into())),
        }
    }

    /// Gives what it did, and whether it has something left to do for which the host leaves it no room.
    pub(super) fn let_other_rest(&mut self) -> Result<(Vec<Begun>, bool), Box<Difference>> {
        // Cycles in which everything of a burst that is queued gets into memory, or an engine that can do something does some of it.
        let patience = if self.options.timing == Timing::HOSTILE { 8000 } else { 4000 };
        let (start, mut operations) = (self.other.engine.cycles(), Vec::new());
        loop {
            self.other.work(patience);
            let done = self.other.engine.take_operations();
            let stands = done.is_empty() && self.other.engine.backlog() == 0;
            operations.extend(done);
            let rests = !self.other.engine.busy();
            if rests || stands && (!self.transmits || self.other.event_room() < 2) {
                return Ok((operations, !rests));
            }
            let cycles = self.other.engine.cycles().wrapping_sub(start);
            if cycles > DEADLINE {
                return Err(self.failed(&RigError::Busy { cycles }));
            }
        }
    }

    /// The model does the same operations.
    pub(super) fn follow(&mut self, operations: Vec<Begun>) -> Result<(), Box<Difference>> {
        self.note(format!("{}: {}", self.step, Told(&operations)));
        self.reference.engine.inner_mut().guide(operations);
        self.reference.settle().map_err(|error| self.failed(&error))?;
        let model = self.reference.engine.inner();
        let Some(astray) = model.astray() else { return Ok(()) };
        let instead = model.next_of(astray.operation).map_or("nothing waits for it".into(), |flow| format!("on flow {flow}"));
        Err(self.difference("an operation".into(), instead, format!("{astray:?}")))
    }
}

/// Operations in words.
struct Told<'a>(&'a [Begun]);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|begun| write!(f, "{:?} {}, ", begun.operation, begun.flow))
    }
}
