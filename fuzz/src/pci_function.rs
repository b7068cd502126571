//! What a client of the simulated NIC may do to it by vfio-user: configuration space, BARs, DMA maps, interrupts, resets, rings and commands in
//! the memory that it shares; over the untimed model, whose frames come back to it. The invariants are not
//! checked: they presuppose a host that keeps to the contract.
//!
//! Checked beside what [`crate::vfio_user_server`] checks: when the client has gone, the function is as after power-on, and nothing of the
//! client's stays open. One function serves all inputs, as that of `toe device` serves all its clients.

use crate::session::session;
use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};
use toe_sim::device::Device;
use toe_sim::model::Model;
use toe_sim::pci::{DoorbellMode, Function};
use toe_sim::root_complex::Timing;
use toe_sim::time::{Nanoseconds, WallClock};
use toe_sim::wire::{Wire, WireError, WireFrame};
use toe_vfio_user::server::Backend;

/// Frames that come back at a time: a flow that is its own peer may send without end.
const MOST_FRAMES: usize = 16;

/// Lets a client do to the function what the input says.
///
/// # Panics
/// Server or function have done what they must not.
pub fn run(data: &[u8]) {
    static ONE: OnceLock<Mutex<Rig>> = OnceLock::new();
    let rig = ONE.get_or_init(|| Mutex::new(Rig::new()));
    rig.lock().unwrap_or_else(PoisonError::into_inner).run(data);
}

struct Rig {
    function: Function,
    /// Configuration space and BAR 2 after power-on.
    fresh: [Vec<u8>; 2],
    open: usize,
}

impl Rig {
    fn new() -> Rig {
        let device = Device::new(Box::new(Model::default()), Box::new(Echo::default()), Timing::default(), 1);
        let mut function = Function::start(WallClock::new(), device, DoorbellMode::Trapped).expect("a function");
        // What is made once and stays is made by the first client.
        session(&[1], &mut function);
        function.power_on().expect("power-on");
        let fresh = look(&mut function);
        Rig { function, fresh, open: open() }
    }

    fn run(&mut self, data: &[u8]) {
        session(data, &mut self.function);
        self.function.power_on().expect("power-on after a client");
        assert!(look(&mut self.function) == self.fresh, "something of the last client's is left");
        assert_eq!(open(), self.open, "a descriptor has been left open");
    }
}

fn look(function: &mut Function) -> [Vec<u8>; 2] {
    let mut read = |region: u32| {
        let size = usize::try_from(function.regions()[region as usize].size).expect("a region");
        let mut bytes = vec![0; size];
        for (at, word) in bytes.chunks_exact_mut(4).enumerate() {
            function.region_read(region, 4 * at as u64, word).expect("a register");
        }
        bytes
    };
    [read(7), read(2)]
}

/// Descriptors that are open.
fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count()
}

/// A wire that gives back what was sent.
#[derive(Default)]
struct Echo(VecDeque<WireFrame>);

impl Wire for Echo {
    fn send(&mut self, _now: Nanoseconds, frame: WireFrame) -> Result<(), WireError> {
        if self.0.len() < MOST_FRAMES {
            self.0.push_back(frame);
        }
        Ok(())
    }
    fn receive(&mut self, _now: Nanoseconds) -> Result<Option<WireFrame>, WireError> {
        Ok(self.0.pop_front())
    }
    fn next_event(&self) -> Option<Nanoseconds> {
        self.0.front().map(|_| Nanoseconds(0))
    }
}
