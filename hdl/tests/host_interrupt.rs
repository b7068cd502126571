//! The interrupt: never unarmed, never for nothing, never before the hold-off, always in the end.

mod common;
mod host_bus;

use common::{dut, random};
use host_bus::Packed;
use rand::Rng;
use toe_hdl::host::interrupt::Interrupt;
use toe_verilate::Dut;

/// Cycles in which an interrupt that is due must be offered.
const REACTION: u64 = 6;

fn rings(dut: &mut Dut, event_consumed: u32, raw_consumed: u32) {
    let rings = Packed::default().with(1, 1).with(0, 64).with(0, 5).with(0, 32).with(0, 64).with(0, 5).with(event_consumed.into(), 32);
    let rings = rings.with(0, 64).with(0, 5).with(0, 4).with(raw_consumed.into(), 32);
    dut.set_wide("rings", &rings.words);
}

fn reset(dut: &mut Dut) {
    for input in ["halt", "tick", "holdoff", "arm", "event_produced", "raw_produced", "fault", "irq.ready"] {
        dut.set(input, 0);
    }
    rings(dut, 0, 0);
    dut.set("reset", 1);
    dut.tick();
    dut.tick();
    dut.set("reset", 0);
}

#[test]
fn armed_due_and_unconsumed() {
    let mut dut = dut("interrupt", Interrupt::default());
    let mut rng = random(51);
    for holdoff in [0u32, 1, 7, 100, 3000] {
        reset(&mut dut);
        dut.set("holdoff", holdoff.into());
        let mut tick: u32 = rng.random();
        let mut tick_before = tick;
        let (mut produced, mut consumed) = ([0u32; 2], [0u32; 2]);
        let (mut armed, mut armed_before, mut offered, mut last) = (false, false, false, None);
        let (mut waiting, mut lately, mut sent, mut pulses) = (0, 0, 0, 0);
        for _ in 0..30_000 {
            if rng.random_range(0..4) == 0 {
                tick = tick.wrapping_add(if rng.random_range(0..50) == 0 { 200 } else { 1 });
            }
            let which = rng.random_range(0..2);
            match rng.random_range(0..60) {
                0 => produced[which] = produced[which].wrapping_add(rng.random_range(1..5)),
                1 | 2 => consumed = produced,
                _ => {}
            }
            let arm = rng.random_range(0..40) == 0;
            let ready = rng.random_range(0..3) == 0;
            dut.set("tick", tick.into());
            dut.set("event_produced", produced[0].into());
            dut.set("raw_produced", produced[1].into());
            rings(&mut dut, consumed[0], consumed[1]);
            dut.set("arm", arm.into());
            dut.set("irq.ready", ready.into());
            dut.eval();
            let (valid, pending) = (dut.get("irq.valid") == 1, produced != consumed);
            lately = if pending { 3 } else { lately - i32::from(lately > 0) };
            pulses += dut.get("sent");
            if valid && !offered {
                assert!(armed, "not armed");
                assert!(lately > 0, "nothing to tell");
                assert!(last.is_none_or(|l| tick.wrapping_sub(l) >= holdoff), "held off");
                // An arm in the cycle of the decision comes after it.
                (armed, last) = (armed_before, Some(tick_before));
                sent += 1;
            }
            assert!(valid || !offered, "taken back");
            offered = valid && !ready;
            let due = armed && pending && last.is_none_or(|l| tick.wrapping_sub(l) >= holdoff) && !offered && !valid;
            waiting = if due { waiting + 1 } else { 0 };
            assert!(waiting <= REACTION, "it is due and does not come");
            if dut.get("deadline_valid") == 1 {
                let deadline = u32::try_from(dut.get("deadline")).unwrap();
                assert_eq!(deadline, last.expect("a last one").wrapping_add(holdoff));
            }
            dut.tick();
            armed |= arm;
            armed_before = arm;
            tick_before = tick;
        }
        println!("hold-off {holdoff}: {sent} interrupts");
        assert!(sent > 5 && pulses >= sent - 1 && pulses <= sent, "{sent} sent, {pulses} counted");
    }
}

#[test]
fn says_when_it_will_be_due() {
    let mut dut = dut("interrupt", Interrupt::default());
    reset(&mut dut);
    dut.set("holdoff", 500);
    dut.set("irq.ready", 1);
    let run = |dut: &mut Dut, inputs: &[(&str, u64)], cycles: u32| {
        for (name, value) in inputs {
            dut.set(*name, *value);
        }
        let mut sent = 0;
        for _ in 0..cycles {
            dut.tick();
            dut.set("arm", 0);
            sent += dut.get("irq.valid");
        }
        sent
    };
    assert_eq!(run(&mut dut, &[("tick", 1000), ("event_produced", 1), ("arm", 1)], 10), 1);
    assert_eq!(dut.get("deadline_valid"), 0);
    assert_eq!(run(&mut dut, &[("arm", 1)], 10), 0);
    assert_eq!((dut.get("deadline_valid"), dut.get("deadline"), dut.get("busy")), (1, 1500, 0));
    assert_eq!(run(&mut dut, &[("tick", 1499)], 10), 0);
    assert_eq!(run(&mut dut, &[("tick", 1500)], 10), 1);
    // A fault does not wait.
    assert_eq!(run(&mut dut, &[("tick", 1501), ("arm", 1)], 10), 0);
    assert_eq!(run(&mut dut, &[("fault", 1)], 10), 1);
    assert_eq!(run(&mut dut, &[], 10), 0, "once");
    assert_eq!(run(&mut dut, &[("halt", 1), ("arm", 1)], 10), 0, "halted");
}
