//! The connections of a stack, by handle and by tuple.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use toe_wire::{MacAddr, SeqNumber, VlanTag};

use super::rings::Rings;
use crate::socket::shared::Socket;
use crate::tcp::{ControlBlock, FourTuple, State};
use crate::time::Nanoseconds;

/// Names a connection; never names another one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId {
    index: u32,
    generation: u32,
}

impl ConnectionId {
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn from_u64(value: u64) -> ConnectionId {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        ConnectionId { index: u32::from_le_bytes([a, b, c, d]), generation: u32::from_le_bytes([e, f, g, h]) }
    }
}

/// Where frames of a connection go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) mac: MacAddr,
    pub(crate) vlan: Option<VlanTag>,
}

/// A connection that is not in TIME_WAIT.
pub(crate) struct Connection {
    pub(crate) block: ControlBlock,
    /// The application's half: from the start if it has asked for the connection, from ESTABLISHED on if the peer has.
    pub(crate) socket: Option<Arc<Socket>>,
    /// The number of its flow, from before installation until REMOVED.
    pub(crate) flow: Option<u16>,
    pub(crate) rings: Option<Arc<Rings>>,
    /// The next hop; `None` until ARP has told.
    pub(crate) link: Option<Link>,
    /// Frames that wait for a flow number or for REMOVED.
    pub(crate) held: VecDeque<Vec<u8>>,
    /// Installed quiet: the end of what was injected since, which the engine has not taken yet.
    pub(crate) quiet: Option<SeqNumber>,
    /// The engine has reported of its flow, which is therefore installed.
    pub(crate) reported: bool,
    /// It waits for a flow number.
    pub(crate) wants_flow: bool,
    /// The application has shut the receiving direction.
    pub(crate) read_shut: bool,
    /// State, RCV.NXT (data), FIN and SND.UNA (data) as the socket knows them.
    pub(crate) published: Option<(State, SeqNumber, bool, SeqNumber)>,
    /// The earliest of its entries in the timer queue.
    pub(crate) queued_at: Option<Nanoseconds>,
    pub(crate) created_at: Nanoseconds,
    /// When it came into its state.
    pub(crate) entered_at: Nanoseconds,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Vec<(u32, Option<Box<Connection>>)>,
    free: Vec<u32>,
    by_tuple: HashMap<FourTuple, ConnectionId>,
    by_state: [usize; State::ALL.len()],
}

impl Connections {
    pub(crate) fn insert(&mut self, block: ControlBlock, now: Nanoseconds) -> ConnectionId {
        let tuple = block.tuple;
        self.by_state[block.state.index()] += 1;
        let connection = Box::new(Connection {
            block,
            socket: None,
            flow: None,
            rings: None,
            link: None,
            held: VecDeque::new(),
            quiet: None,
            reported: false,
            wants_flow: false,
            read_shut: false,
            published: None,
            queued_at: None,
            created_at: now,
            entered_at: now,
        });
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.1 = Some(connection);
        let id = ConnectionId { index, generation: slot.0 };
        self.by_tuple.insert(tuple, id);
        id
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.0 == id.generation)?;
        let connection = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1);
        self.free.push(id.index);
        self.by_state[connection.block.state.index()] -= 1;
        self.by_tuple.remove(&connection.block.tuple);
        Some(connection)
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slots.get(id.index as usize).filter(|slot| slot.0 == id.generation)?.1.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots.get_mut(id.index as usize).filter(|slot| slot.0 == id.generation)?.1.as_deref_mut()
    }

    pub(crate) fn find(&self, tuple: FourTuple) -> Option<ConnectionId> {
        self.by_tuple.get(&tuple).copied()
    }

    /// Keeps the count by state right: to be called on every change.
    pub(crate) fn moved(&mut self, from: State, to: State) {
        self.by_state[from.index()] -= 1;
        self.by_state[to.index()] += 1;
    }

    pub(crate) fn by_state(&self) -> [usize; State::ALL.len()] {
        self.by_state
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| slot.1.as_deref())
    }

    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.by_tuple.values().copied().collect()
    }
}
