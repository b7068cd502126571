//! What the printer makes: names, sharing, structs, links.

mod common;

use common::{dut, random};
use rand::RngCore;
use rust_hdl::prelude::*;
use toe_hdl::stream::{StreamRx, StreamTx};
use toe_hdl::verilog::print;

#[derive(LogicBlock, Default)]
struct Counter<const W: usize> {
    clock: Signal<In, Clock>,
    reset: Signal<In, Bit>,
    step: Signal<In, Bits<W>>,
    count: Signal<Out, Bits<W>>,
    total: DFF<Bits<W>>,
}

impl<const W: usize> Logic for Counter<W> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, total);
        self.count.next = self.total.q.val();
        self.total.d.next = self.total.q.val() + self.step.val();
        if self.reset.val() {
            self.total.d.next = 0.into();
        }
    }
}

#[derive(LogicBlock, Default)]
struct Three {
    clock: Signal<In, Clock>,
    reset: Signal<In, Bit>,
    a: Signal<In, Bits<8>>,
    b: Signal<In, Bits<4>>,
    o: Signal<Out, Bits<8>>,
    p: Signal<Out, Bits<4>>,
    pair: [Counter<8>; 2],
    small: Counter<4>,
}

impl Logic for Three {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, small);
        for k in 0..2 {
            self.pair[k].clock.next = self.clock.val();
            self.pair[k].reset.next = self.reset.val();
        }
        self.small.reset.next = self.reset.val();
        self.pair[0].step.next = self.a.val();
        self.pair[1].step.next = self.pair[0].count.val();
        self.small.step.next = self.b.val();
        self.o.next = self.pair[1].count.val();
        self.p.next = self.small.count.val();
    }
}

#[test]
fn equal_modules_are_one_named_after_its_field() {
    // `small` is a word of Verilog.
    let verilog = print("three", &Three::default()).unwrap();
    let names: Vec<&str> = verilog.modules().iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["pair", "small_", "three"], "{verilog}");
    assert_eq!(verilog.files().map(|(name, _)| name).collect::<Vec<_>>(), ["pair.v", "small_.v", "three.v"]);
}

#[test]
fn counters_count() {
    let mut dut = dut("three", Three::default());
    let mut random = random(1);
    let (mut a, mut b, mut c) = (0u8, 0u8, 0u8);
    dut.set("reset", 1);
    dut.tick();
    dut.set("reset", 0);
    for _ in 0..1000 {
        let (x, y) = (random.next_u32() & 0xff, random.next_u32() & 0xf);
        dut.set("a", x.into());
        dut.set("b", y.into());
        dut.tick();
        b = b.wrapping_add(a);
        a = a.wrapping_add(u8::try_from(x).unwrap());
        c = (c + u8::try_from(y).unwrap()) & 0xf;
        assert_eq!((dut.get("o"), dut.get("p")), (b.into(), c.into()));
    }
}

#[derive(LogicBlock, Default)]
struct Pass {
    clock: Signal<In, Clock>,
    s: StreamRx<64, 8>,
    m: StreamTx<64, 8>,
}

impl Logic for Pass {
    #[hdl_gen]
    fn update(&mut self) {
        self.m.data.next = self.s.data.val();
        self.m.keep.next = self.s.keep.val();
        self.m.last.next = self.s.last.val();
        self.m.error.next = self.s.error.val();
        self.m.valid.next = self.s.valid.val();
        self.s.ready.next = self.m.ready.val();
    }
}

#[derive(LogicBlock, Default)]
struct Chain {
    clock: Signal<In, Clock>,
    s: StreamRx<64, 8>,
    m: StreamTx<64, 8>,
    p: [Pass; 5],
}

impl Logic for Chain {
    #[hdl_gen]
    fn update(&mut self) {
        StreamRx::<64, 8>::link(&mut self.s, &mut self.p[0].s);
        for k in 0..4 {
            StreamTx::<64, 8>::join(&mut self.p[k].m, &mut self.p[k + 1].s);
        }
        StreamTx::<64, 8>::link(&mut self.m, &mut self.p[4].m);
        for k in 0..5 {
            self.p[k].clock.next = self.clock.val();
        }
    }
}

#[test]
fn interfaces_are_joined_and_linked() {
    let mut dut = dut("chain", Chain::default());
    dut.set("s.data", 0x0102_0304_0506_0708);
    dut.set("s.valid", 1);
    dut.set("m.ready", 1);
    dut.eval();
    assert_eq!((dut.get("m.data"), dut.get("m.valid"), dut.get("s.ready")), (0x0102_0304_0506_0708, 1, 1));
}

#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
struct Flow {
    seq: Bits<32>,
    window: Bits<16>,
}

#[derive(LogicBlock, Default)]
struct Holder {
    clock: Signal<In, Clock>,
    update: Signal<In, Bit>,
    s: Signal<In, Flow>,
    m: Signal<Out, Flow>,
    whole: DFF<Flow>,
    flow: DFF<Flow>,
}

impl Logic for Holder {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, flow, whole);
        self.whole.d.next = self.flow.q.val();
        if self.update.val() {
            self.flow.d.next.seq = self.s.val().seq + 1;
        }
        self.m.next = self.whole.q.val();
    }
}

#[test]
fn a_struct_that_is_used_by_its_fields_is_nets_with_their_names() {
    let verilog = print("holder", &Holder::default()).unwrap().to_string();
    for line in [
        "    reg [31:0] flow$seq;",
        "    wire [31:0] s$seq = s[31:0];",
        "            flow$d$seq = (s$seq + 32'd1);",
        "        flow$seq <= flow$d$seq;",
        "        flow$window <= flow$window;",
        "        whole <= {flow$window, flow$seq};",
        "    assign m = whole;",
    ] {
        assert!(verilog.contains(&format!("{line}\n")), "{line} is not in\n{verilog}");
    }
    let mut dut = dut("holder", Holder::default());
    for (update, value, expected) in [(1, 0x7_0000_0009, 0), (0, 0x8_0000_0010, 10), (1, 0xffff_0000_0020, 10), (0, 0, 0x21)] {
        dut.set("s", value);
        dut.set("update", update);
        dut.tick();
        assert_eq!(dut.get("m"), expected);
    }
}

/// Two ways through a module in opposite directions, as `valid` and `ready` go.
#[derive(LogicBlock, Default)]
struct TwoWays {
    forward_in: Signal<In, Bits<4>>,
    forward_out: Signal<Out, Bits<4>>,
    back_in: Signal<In, Bits<4>>,
    back_out: Signal<Out, Bits<4>>,
}

impl Logic for TwoWays {
    #[hdl_gen]
    fn update(&mut self) {
        self.forward_out.next = self.forward_in.val() + 1;
        self.back_out.next = self.back_in.val() ^ 3;
    }
}

#[derive(LogicBlock, Default)]
struct ThereAndBack {
    clock: Signal<In, Clock>,
    x: Signal<In, Bit>,
    a: Signal<In, Bits<4>>,
    o: Signal<Out, Bits<4>>,
    first: TwoWays,
    second: TwoWays,
    middle: Signal<Local, Bits<4>>,
}

impl Logic for ThereAndBack {
    #[hdl_gen]
    fn update(&mut self) {
        self.first.forward_in.next = self.a.val();
        self.middle.next = self.first.forward_out.val();
        if self.x.val() {
            self.middle.next = self.first.forward_out.val() + 2;
        }
        self.second.forward_in.next = self.middle.val();
        self.second.back_in.next = self.second.forward_out.val();
        self.first.back_in.next = 0.into();
        if !self.x.val() {
            self.first.back_in.next = self.second.back_out.val();
        }
        self.o.next = self.first.back_out.val();
    }
}

/// As one `always` block this kernel would wait for itself: it is printed as processes that do not.
#[test]
fn ways_through_submodules_in_both_directions_are_no_loop() {
    let verilog = print("there_and_back", &ThereAndBack::default()).unwrap().to_string();
    assert_eq!(verilog.matches("always @(*)").count(), 2, "one for `middle`, one for `first.back_in`:\n{verilog}");
    let mut dut = dut("there_and_back", ThereAndBack::default());
    for (a, x) in (0..16u64).flat_map(|a| [(a, 0), (a, 1)]) {
        dut.set("a", a);
        dut.set("x", x);
        dut.eval();
        let expected = if x == 1 { 3 } else { ((a + 2) & 0xf) ^ 3 ^ 3 };
        assert_eq!(dut.get("o"), expected, "a {a}, x {x}");
    }
}
