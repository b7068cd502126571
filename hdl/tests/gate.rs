//! The gates: whole frames or none.

mod common;

use common::{dut, random};
use rand::Rng;
use std::collections::VecDeque;
use toe_hdl::gate::{DropGate, HoldGate};
use toe_verilate::Dut;

/// Frames of random length; every beat says which frame it is of and where in it.
fn run(dut: &mut Dut, drops: bool, seed: u64) -> (u32, u32) {
    let mut rng = random(seed);
    for input in ["open", "s.valid", "m.ready"] {
        dut.set(input, 0);
    }
    dut.set("reset", 1);
    dut.tick();
    dut.set("reset", 0);
    let (mut frame, mut beat, mut length) = (0u64, 0u64, 1 + rng.random_range(0..9));
    let (mut began_open, mut valid, mut held) = (false, false, None);
    let (mut expected, mut open, mut passed, mut thrown) = (VecDeque::new(), true, 0, 0);
    for _ in 0..20_000 {
        if rng.random_range(0..10) == 0 {
            open = !open;
        }
        valid = valid || rng.random_range(0..3) != 0;
        let ready = rng.random_range(0..3) != 0;
        dut.set("open", open.into());
        dut.set("s.valid", valid.into());
        dut.set("s.data", frame << 16 | beat);
        dut.set("s.keep", 0xff);
        dut.set("s.last", (beat == length - 1).into());
        dut.set("m.ready", ready.into());
        dut.eval();
        let offered = (dut.get("m.valid") == 1).then(|| (dut.get("m.data"), dut.get("m.last")));
        assert!(held.is_none() || held == offered, "an offer was taken back");
        if valid && beat == 0 && held.is_none() {
            began_open = open;
            assert_eq!(offered.is_some(), open, "the first beat finds it open or not");
        }
        held = offered.filter(|_| !ready);
        if let (Some(got), true) = (offered, ready) {
            assert!(began_open);
            expected.push_back(got);
        }
        let taken = valid && dut.get("s.ready") == 1;
        assert_eq!(taken, valid && (if began_open { ready } else { drops }), "frame {frame}, beat {beat}");
        if taken {
            valid = false;
            beat += 1;
            if beat == length {
                if began_open {
                    passed += 1;
                    let got: Vec<_> = std::mem::take(&mut expected).into();
                    let whole: Vec<_> = (0..length).map(|b| (frame << 16 | b, u64::from(b == length - 1))).collect();
                    assert_eq!(got, whole);
                } else {
                    thrown += 1;
                    assert!(expected.is_empty());
                }
                (frame, beat, length) = (frame + 1, 0, 1 + rng.random_range(0..9));
            }
        }
        dut.tick();
        assert_eq!(dut.get("begun") == 1, beat > 0 || held.is_some());
    }
    (passed, thrown)
}

#[test]
fn a_closed_gate_holds_frames() {
    let (passed, thrown) = run(&mut dut("hold_gate", HoldGate::default()), false, 71);
    assert!(passed > 500 && thrown == 0, "{passed}, {thrown}");
}

#[test]
fn a_closed_gate_throws_frames_away() {
    let (passed, thrown) = run(&mut dut("drop_gate", DropGate::default()), true, 72);
    assert!(passed > 500 && thrown > 500, "{passed}, {thrown}");
}
