//! Operations in the order in which another engine did them.
//!
//! Which operation is next depends on time where several wait: when a payload comes, when a queue has room. What each of them does, does not. So an
//! engine under load is compared by doing the same operations in the order that it tells ([`Engine::take_operations`](crate::engine::Engine::take_operations)). The queues are the model's
//! own: an operation for which nothing waits is a difference, and so is one that still waits when the other engine rests.

use super::operation::Class;
use super::Model;
use crate::engine::{Begun, Operation};
use crate::root_complex::RootComplex;
use std::collections::VecDeque;

/// What is still to be done.
#[derive(Default)]
pub(super) struct Guide {
    ahead: VecDeque<Begun>,
    astray: Option<Begun>,
}

impl Model {
    /// From now on does not choose by itself what is next, but does these operations, and then those of the next call.
    pub fn guide(&mut self, operations: impl IntoIterator<Item = Begun>) {
        self.guide.get_or_insert_default().ahead.extend(operations);
    }

    /// The first operation that it was told to do while nothing waited for it, or another flow. No later one was done.
    pub fn astray(&self) -> Option<Begun> {
        self.guide.as_ref()?.astray
    }

    /// The flow that an operation of this class would be on, if one waits.
    pub fn next_of(&self, operation: Operation) -> Option<u16> {
        self.head(operation.into()).filter(|_| self.waits(operation.into()))
    }

    /// What it would do next by itself.
    pub fn waiting(&self) -> Option<Operation> {
        self.next()?.operation()
    }

    /// Free entries of the event ring that an operation which may write one waits for. One that another engine had chosen already may use the last.
    pub(super) fn event_room_wanted(&self) -> u32 {
        if self.guide.as_ref().is_some_and(|guide| !guide.ahead.is_empty()) {
            1
        } else {
            2
        }
    }

    /// There is more to do of what it was told, or of what goes on by itself.
    pub(super) fn is_guided_on(&self, guide: &Guide) -> bool {
        guide.astray.is_none() && !guide.ahead.is_empty() || self.waits(Class::Frame) || !self.arrivals.is_empty() || self.waits(Class::Interrupt)
    }

    /// One step on the way. False: it is at its end.
    pub(super) fn step_guided(&mut self, host: &mut RootComplex) -> bool {
        if let Some(arrival) = self.arrivals.pop_front() {
            self.sift(arrival);
        } else if self.waits(Class::Frame) {
            self.perform(Class::Frame, host);
        } else if let Some(begun) = self.guide.as_ref().and_then(|g| g.ahead.front().copied()) {
            self.do_as_told(begun, host);
            self.guide.as_mut().map(|g| g.ahead.pop_front());
        } else if self.waits(Class::Interrupt) {
            self.perform(Class::Interrupt, host);
        } else {
            return false;
        }
        true
    }

    fn do_as_told(&mut self, begun: Begun, host: &mut RootComplex) {
        let class = begun.operation.into();
        if self.waits(class) && self.head(class).is_none_or(|flow| flow == begun.flow) {
            return self.perform(class, host);
        }
        // After a fault the other engine may go on for a while; nothing comes of it.
        if let Some(guide) = self.guide.as_mut().filter(|_| !self.global.fault) {
            guide.ahead.clear();
            guide.astray = Some(begun);
        }
    }
}
