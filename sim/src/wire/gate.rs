//! A wire with a gate that someone else works: frames are passed on, lost, held back or exchanged for others, one by one.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Count, Wire, WireError, WireFrame};
use crate::time::Nanoseconds;

/// How often a gate is looked at: it may be worked at any time.
const LOOK: Nanoseconds = Nanoseconds::from_millis(1);

/// What is to become of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is lost.
    Lose,
    /// It waits until there is another judge, who is asked again, in order.
    Hold,
    /// These come in its place.
    Instead(Vec<WireFrame>),
}

/// Decides about a frame; `true` if the NIC has sent it, `false` if it is on its way to the NIC.
type Judge = Box<dyn FnMut(bool, &WireFrame) -> Verdict + Send>;

struct Inner {
    judge: Judge,
    /// What waits: to the NIC, and sent by it.
    held: [VecDeque<WireFrame>; 2],
    /// What may go on.
    through: [VecDeque<WireFrame>; 2],
    lost: u64,
}

impl Inner {
    fn decide(&mut self, sent: bool, frame: WireFrame) {
        let way = usize::from(sent);
        match (self.judge)(sent, &frame) {
            Verdict::Pass => self.through[way].push_back(frame),
            Verdict::Lose => self.lost += 1,
            Verdict::Hold => self.held[way].push_back(frame),
            Verdict::Instead(frames) => self.through[way].extend(frames),
        }
    }
}

/// Works a gate. Clones work the same one.
#[derive(Clone)]
pub struct GateControl(Arc<Mutex<Inner>>);

impl fmt::Debug for GateControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("GateControl").field("held", &inner.held).field("lost", &inner.lost).finish_non_exhaustive()
    }
}

impl GateControl {
    /// Changes are whole calls: the values are good even if another thread panicked.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `judge` decides, about what is held back too. Its first argument says whether the NIC has sent the frame.
    pub fn judge(&self, judge: impl FnMut(bool, &WireFrame) -> Verdict + Send + 'static) {
        let mut inner = self.lock();
        inner.judge = Box::new(judge);
        for sent in [false, true] {
            for frame in std::mem::take(&mut inner.held[usize::from(sent)]) {
                inner.decide(sent, frame);
            }
        }
    }

    /// Everything passes from now on.
    pub fn open(&self) {
        self.judge(|_, _| Verdict::Pass);
    }

    /// How many frames were lost.
    pub fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// Frames held back on their way to the NIC, or sent by it.
    pub fn held(&self, sent: bool) -> usize {
        self.lock().held[usize::from(sent)].len()
    }

    /// Puts a frame on its way to the NIC.
    pub fn inject(&self, frame: WireFrame) {
        self.lock().through[0].push_back(frame);
    }
}

/// A wire with a gate.
#[derive(Debug)]
pub struct Gate<W> {
    inner: W,
    control: GateControl,
    looked_at: Nanoseconds,
}

impl<W: Wire> Gate<W> {
    /// Puts an open gate before a wire.
    pub fn new(inner: W) -> (Gate<W>, GateControl) {
        let open = Inner { judge: Box::new(|_, _| Verdict::Pass), held: Default::default(), through: Default::default(), lost: 0 };
        let control = GateControl(Arc::new(Mutex::new(open)));
        (Gate { inner, control: control.clone(), looked_at: Nanoseconds::ZERO }, control)
    }

    fn take(&self, sent: bool) -> Option<WireFrame> {
        self.control.lock().through[usize::from(sent)].pop_front()
    }

    fn flush(&mut self, now: Nanoseconds) -> Result<(), WireError> {
        while let Some(frame) = self.take(true) {
            self.inner.send(now, frame)?;
        }
        Ok(())
    }
}

impl<W: Wire> Wire for Gate<W> {
    fn send(&mut self, now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        self.control.lock().decide(true, frame);
        self.flush(now)
    }

    fn receive(&mut self, now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        self.looked_at = now;
        self.flush(now)?;
        loop {
            if let Some(frame) = self.take(false) {
                return Ok(Some(frame));
            }
            match self.inner.receive(now)? {
                Some(frame) => self.control.lock().decide(false, frame),
                None => return Ok(None),
            }
        }
    }

    fn next_event(&self) -> Option<Nanoseconds> {
        let look = self.looked_at + LOOK;
        Some(self.inner.next_event().map_or(look, |due| due.min(look)))
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }

    fn counts(&self) -> Vec<Count> {
        let mut counts = vec![("gate: lost", self.control.lost())];
        counts.extend(self.inner.counts());
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::link::link;

    fn frame(k: u8) -> WireFrame {
        WireFrame::new(vec![k; 60])
    }

    fn arrived(wire: &mut impl Wire) -> Vec<u8> {
        std::iter::from_fn(|| wire.receive(Nanoseconds(100)).unwrap()).map(|f| f.bytes[0]).collect()
    }

    #[test]
    fn frames_pass_or_not_as_the_judge_says() {
        let (near, mut far) = link(Nanoseconds(0));
        let (mut gate, control) = Gate::new(near);
        control.judge(|sent, f| match (sent, f.bytes[0]) {
            (true, 1) => Verdict::Lose,
            (true, 2) => Verdict::Hold,
            (true, 3) => Verdict::Instead(vec![frame(30), frame(31)]),
            (false, 4) => Verdict::Hold,
            _ => Verdict::Pass,
        });
        for k in 1..=4 {
            gate.send(Nanoseconds(1), frame(k)).unwrap();
            far.send(Nanoseconds(1), frame(k)).unwrap();
        }
        assert_eq!(arrived(&mut far), [30, 31, 4]);
        assert_eq!(arrived(&mut gate), [1, 2, 3]);
        assert_eq!((control.held(true), control.held(false), control.lost()), (1, 1, 1));
        control.inject(frame(9));
        control.open();
        assert_eq!(arrived(&mut gate), [9, 4]);
        assert_eq!(arrived(&mut far), [2], "what was held goes on when the gate is looked at");
        assert_eq!((control.held(true), control.held(false)), (0, 0));
        assert_eq!(gate.next_event(), Some(Nanoseconds(100) + LOOK));
    }
}
