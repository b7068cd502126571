//! Connections in TIME_WAIT (RFC 9293 section 3.6.1): small entries, found by tuple, ended by a timer.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::Ipv4Addr;

use toe_wire::{SeqNumber, TcpFlags, TcpOptions};

use super::{ControlBlock, FourTuple, Outgoing, Segment};
use crate::time::{timestamp, Nanoseconds};

/// What is kept of a connection in TIME_WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// SND.NXT: past our FIN.
    pub snd_nxt: SeqNumber,
    /// RCV.NXT: past the peer's FIN.
    pub rcv_nxt: SeqNumber,
    /// TS.Recent.
    pub ts_recent: u32,
    /// What is added to the timestamp clock.
    pub ts_offset: u32,
    /// Timestamps were agreed on.
    pub timestamps: bool,
    /// The window field of our ACKs.
    pub window: u16,
}

/// What is to be done with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Absorb,
    /// Send this.
    Acknowledge {
        /// The ACK.
        segment: Outgoing,
        /// The wait begins anew.
        restart: bool,
    },
    /// Forget the entry and let a listener have the SYN; the new ISS must lie beyond this number.
    Reopen {
        /// Our last sequence number.
        beyond: SeqNumber,
    },
}

impl Entry {
    /// What is left of a control block.
    pub fn of(block: &ControlBlock) -> Entry {
        Entry {
            snd_nxt: block.snd_max,
            rcv_nxt: block.rcv_nxt,
            ts_recent: block.ts_recent,
            ts_offset: block.ts_offset,
            timestamps: block.timestamps,
            window: block.window_field(),
        }
    }

    /// A segment arrives (RFC 9293 section 3.10.7.4 in TIME_WAIT).
    pub fn on_segment(&self, segment: &Segment, now: Nanoseconds) -> Answer {
        let flags = segment.flags;
        // RFC 1337 section 3, fix F1: RST does not end TIME_WAIT
        if flags.rst() {
            return Answer::Absorb;
        }
        if flags.syn() && !flags.ack() && self.is_newer(segment) {
            return Answer::Reopen { beyond: self.snd_nxt };
        }
        // A segment without SYN, FIN and data is never answered: two ends in TIME_WAIT would go on for ever
        if segment.seg_len() == 0 {
            return Answer::Absorb;
        }
        // Eighth: the peer's FIN again restarts the wait; anything else is only acknowledged (S09)
        let restart = flags.fin() && segment.seq + segment.seg_len() == self.rcv_nxt;
        Answer::Acknowledge { segment: self.ack(now), restart }
    }

    /// RFC 6191 section 2: whether this SYN can be nothing but a new connection.
    fn is_newer(&self, segment: &Segment) -> bool {
        let later = segment.seq.gt(self.rcv_nxt);
        match segment.options.timestamps().filter(|_| self.timestamps) {
            Some(t) if t.value != self.ts_recent => SeqNumber(t.value).gt(SeqNumber(self.ts_recent)),
            _ => later,
        }
    }

    fn ack(&self, now: Nanoseconds) -> Outgoing {
        let options = TcpOptions::new();
        let options = if self.timestamps { options.with_timestamps(timestamp(now).wrapping_add(self.ts_offset), self.ts_recent) } else { options };
        Outgoing { seq: self.snd_nxt, ack: self.rcv_nxt, flags: TcpFlags::ACK, window: self.window, options }
    }
}

/// A tuple without our address, which all entries share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    remote_ip: u32,
    remote_port: u16,
    local_port: u16,
}

#[derive(Clone, Copy)]
struct Slot {
    entry: Entry,
    expires: Nanoseconds,
    /// Reopened: nothing but the place of its queue entry, until that comes up.
    gone: bool,
}

/// All connections in TIME_WAIT of one local address.
pub struct TimeWaitTable {
    local_ip: Ipv4Addr,
    lasts: Nanoseconds,
    slots: HashMap<Key, Slot>,
    waiting: usize,
    /// One for every slot, perhaps earlier than its time: a restarted wait is found out when the old time comes.
    queue: BinaryHeap<Reverse<(Nanoseconds, Key)>>,
}

impl TimeWaitTable {
    /// An empty table; entries stay for `lasts` (2 MSL).
    pub fn new(local_ip: Ipv4Addr, lasts: Nanoseconds) -> TimeWaitTable {
        TimeWaitTable { local_ip, lasts, slots: HashMap::new(), waiting: 0, queue: BinaryHeap::new() }
    }

    fn key(tuple: FourTuple) -> Key {
        Key { remote_ip: u32::from(*tuple.remote.ip()), remote_port: tuple.remote.port(), local_port: tuple.local.port() }
    }

    fn tuple(&self, key: Key) -> FourTuple {
        FourTuple::new(self.local_ip, key.local_port, Ipv4Addr::from(key.remote_ip), key.remote_port)
    }

    /// Puts a connection in, until `expires`.
    pub fn insert(&mut self, tuple: FourTuple, entry: Entry, expires: Nanoseconds) {
        let key = Self::key(tuple);
        let before = self.slots.insert(key, Slot { entry, expires, gone: false });
        if before.is_none() {
            self.queue.push(Reverse((expires, key)));
        }
        if before.is_none_or(|slot| slot.gone) {
            self.waiting += 1;
        }
    }

    /// Whether the tuple is waiting: then no new connection may have it (S06).
    pub fn contains(&self, tuple: FourTuple) -> bool {
        self.slots.get(&Self::key(tuple)).is_some_and(|slot| !slot.gone)
    }

    /// A segment of this tuple; `None` if it is not waiting. On [`Answer::Reopen`] it waits no longer.
    pub fn on_segment(&mut self, tuple: FourTuple, segment: &Segment, now: Nanoseconds) -> Option<Answer> {
        let slot = self.slots.get_mut(&Self::key(tuple)).filter(|slot| !slot.gone)?;
        let answer = slot.entry.on_segment(segment, now);
        match answer {
            Answer::Acknowledge { restart: true, .. } => slot.expires = now + self.lasts,
            Answer::Reopen { .. } => {
                slot.gone = true;
                self.waiting -= 1;
            }
            _ => {}
        }
        Some(answer)
    }

    /// Takes out an entry whose time has come; to be called until it gives `None`.
    pub fn expire(&mut self, now: Nanoseconds) -> Option<FourTuple> {
        while let Some(&Reverse((at, key))) = self.queue.peek() {
            if at > now {
                return None;
            }
            self.queue.pop();
            match self.slots.get(&key).map(|slot| (slot.expires, slot.gone)) {
                Some((expires, false)) if expires > now => self.queue.push(Reverse((expires, key))),
                Some((_, gone)) => {
                    self.slots.remove(&key);
                    if !gone {
                        self.waiting -= 1;
                        return Some(self.tuple(key));
                    }
                }
                None => {}
            }
        }
        None
    }

    /// When [`expire`](TimeWaitTable::expire) is to be called again; may be too early.
    pub fn next_deadline(&self) -> Option<Nanoseconds> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Connections in TIME_WAIT.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Every connection, with the time its wait ends.
    pub fn iter(&self) -> impl Iterator<Item = (FourTuple, Nanoseconds)> + '_ {
        self.slots.iter().filter(|(_, slot)| !slot.gone).map(|(key, slot)| (self.tuple(*key), slot.expires))
    }
}
