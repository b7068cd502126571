//! Every form of expression and statement a kernel may have: random vectors through RustHDL's own `update`, and through the
//! Verilog of our printer in Verilator. The stock printer gets several of them wrong: the last tests show which.

#![allow(clippy::nonminimal_bool, clippy::single_match, reason = "clumsy forms are tested as well")]

mod common;

use common::{dut, random, run, Random};
use rand::Rng;
use rust_hdl::prelude::*;
use toe_verilate::Dut;

/// Vectors for each family.
const VECTORS: usize = 4000;

#[derive(Copy, Clone, Debug, PartialEq, LogicState)]
enum Phase {
    Idle,
    Busy,
    Done,
}

#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
struct Pair {
    low: Bits<8>,
    high: Bits<8>,
}

#[derive(Copy, Clone, Debug, PartialEq, Default, LogicStruct)]
struct Record {
    tag: Bits<3>,
    pair: Pair,
    phase: Phase,
    flag: Bit,
    wide: Bits<100>,
}

/// What goes into a family.
#[derive(Debug, Clone, Copy)]
struct Vector {
    a: u64,
    b: u64,
    c: u64,
    x: bool,
    y: u64,
    i: u64,
    w: u64,
}

impl Vector {
    /// Random, but often with what makes a carry, a borrow, or two equal operands.
    fn new(n: usize, r: &mut Random) -> Self {
        let (a, b): (u64, u64) = (r.random_range(0..256), r.random_range(0..256));
        let (a, b) = match n % 5 {
            0 => (0xff, b),
            1 => (a, a.wrapping_sub(r.random_range(0..6)) & 0xff),
            2 => (a, (a + 1) & 0xff),
            3 => (a, a),
            _ => (a, b),
        };
        let c = if n.is_multiple_of(7) { a & b } else { r.random_range(0..256) };
        Vector { a, b, c, x: r.random(), y: r.random_range(0..2), i: r.random_range(0..16), w: r.random() }
    }
}

/// A block with the common inputs.
trait Family: Block + Default + Sync {
    fn inputs(&mut self, v: &Vector);
    /// Name and value, in words of 64 bits.
    fn outputs(&self) -> Vec<(&'static str, Vec<u64>)>;
}

/// The words of a value, the lowest first.
fn words(value: impl Synth) -> Vec<u64> {
    let (text, width) = (format!("{:x}", value.verilog()), value.bits());
    let digits = text.split_once("'h").map_or("", |(_, digits)| digits);
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |d| (true, d));
    let length = width.div_ceil(64) * 16;
    let padded = format!("{digits:0>length$}");
    let chunks = padded.as_bytes().chunks(16).rev();
    let mut words: Vec<u64> = chunks.map(|c| u64::from_str_radix(std::str::from_utf8(c).unwrap(), 16).unwrap()).collect();
    if negative {
        assert!(width <= 64, "a wide signed value");
        words[0] = words[0].wrapping_neg() & (u64::MAX >> (64 - width));
    }
    words
}

/// Declares a family: its outputs, its locals, its kernel.
macro_rules! family {
    ($name:ident { $($out:ident: $ty:ty),* $(,)? } { $($local:ident: $lty:ty),* $(,)? } $($kernel:tt)*) => {
        #[derive(LogicBlock, Default)]
        struct $name {
            a: Signal<In, Bits<8>>,
            b: Signal<In, Bits<8>>,
            c: Signal<In, Bits<8>>,
            x: Signal<In, Bit>,
            y: Signal<In, Bits<1>>,
            i: Signal<In, Bits<4>>,
            w: Signal<In, Bits<64>>,
            sa: Signal<In, Signed<8>>,
            sb: Signal<In, Signed<8>>,
            $($out: Signal<Out, $ty>,)*
            $($local: $lty,)*
        }
        impl Logic for $name { $($kernel)* }
        impl Family for $name {
            fn inputs(&mut self, v: &Vector) {
                self.a.next = v.a.into();
                self.b.next = v.b.into();
                self.c.next = v.c.into();
                self.x.next = v.x;
                self.y.next = v.y.into();
                self.i.next = v.i.into();
                self.w.next = v.w.into();
                self.sa.next = signed_cast(bits(sa(v)));
                self.sb.next = signed_cast(bits(v.b));
            }
            fn outputs(&self) -> Vec<(&'static str, Vec<u64>)> {
                vec![$((stringify!($out), words(self.$out.val()))),*]
            }
        }
    };
}

/// RustHDL's `signed_bit_cast` never returns for the most negative number.
fn sa(v: &Vector) -> u64 {
    if v.a == 0x80 {
        0x81
    } else {
        v.a
    }
}

/// Runs a family both ways and counts the vectors for which each output differs.
fn differences<F: Family>(mut verilog: Dut, seed: u64) -> Vec<(&'static str, usize)> {
    let mut rust = F::default();
    rust.connect_all();
    let mut random = random(seed);
    let mut bad: Vec<(&'static str, usize)> = rust.outputs().into_iter().map(|(name, _)| (name, 0)).collect();
    for n in 0..VECTORS {
        let v = Vector::new(n, &mut random);
        rust.inputs(&v);
        assert!(simulate(&mut rust, 20));
        for (name, value) in [("a", v.a), ("b", v.b), ("c", v.c), ("x", v.x.into()), ("y", v.y), ("i", v.i), ("w", v.w)] {
            verilog.set(name, value);
        }
        verilog.set("sa", sa(&v));
        verilog.set("sb", v.b);
        verilog.eval();
        for ((name, expected), (_, count)) in rust.outputs().into_iter().zip(&mut bad) {
            *count += usize::from(verilog.get_wide(name) != expected);
        }
    }
    bad.retain(|(_, count)| *count > 0);
    bad
}

fn check<F: Family>(name: &str, seed: u64) {
    assert_eq!(differences::<F>(dut(name, F::default()), seed), [], "of {VECTORS} vectors of {name}");
}

family! {
    Operators {
        and_eq: Bit, or_ne: Bit, xor_gt: Bit, sum_eq: Bit, difference_lt: Bit, difference_lt_signal: Bit, not_eq: Bit, sum_shifted: Bits<8>,
        plus_bit: Bits<8>, not_bits: Bit, minus_literal: Bits<8>, literal_minus: Bits<8>, reductions: Bit, logical: Bit, shifts: Bits<8>,
        right: Bits<8>, left: Bits<8>, far: Bits<8>, product: Bits<32>, compare_literals: Bit, bit_and: Bits<1>, mixed: Bits<8>, equal_bits: Bit,
    } {}
    #[hdl_gen]
    fn update(&mut self) {
        self.and_eq.next = self.a.val() & self.b.val() == self.c.val();
        self.or_ne.next = self.a.val() | self.b.val() != self.c.val();
        self.xor_gt.next = self.a.val() ^ self.b.val() > self.c.val();
        self.sum_eq.next = (self.a.val() + 1) == self.b.val();
        self.difference_lt.next = (self.a.val() - self.b.val()) < 4;
        self.difference_lt_signal.next = (self.a.val() - self.b.val()) < self.c.val();
        self.not_eq.next = !self.a.val() == 0;
        self.sum_shifted.next = (self.a.val() + self.b.val()) >> 1;
        self.plus_bit.next = self.a.val() + self.x.val();
        self.not_bits.next = !(self.a.val() == self.b.val()) & !self.x.val();
        self.minus_literal.next = self.a.val() - bits::<8>(1) - self.b.val();
        self.literal_minus.next = 5 - self.a.val();
        self.reductions.next = (self.a.val() & self.b.val()).xor() ^ (self.a.val() + self.c.val()).any() ^ (self.a.val() | self.b.val()).all();
        self.logical.next = !(self.x.val() && self.a.val() < self.b.val()) || (self.c.val() == 0);
        self.shifts.next = (self.a.val() << self.i.val()) + (self.b.val() >> 1) - 255;
        self.right.next = self.a.val() >> self.i.val();
        self.left.next = self.a.val() << self.i.val();
        self.far.next = (self.a.val() << 9) | (self.b.val() >> 8) | (self.c.val() >> 7);
        self.product.next = self.w.val().get_bits::<16>(3) * self.w.val().get_bits::<16>(17);
        self.compare_literals.next = (self.a.val() > 200) & (self.b.val() >= 7) | (self.c.val() <= 0);
        self.bit_and.next = !self.y.val() & bit_cast::<1, 8>(self.a.val() >> 3);
        self.mixed.next = (self.a.val() ^ (self.b.val() + 1)) & !(self.c.val() - 1);
        self.equal_bits.next = (self.x.val() == (self.a.val() < self.b.val())) ^ (self.y.val() == 1);
    }
}

family! {
    Casts {
        sum_wider: Bits<9>, not_wider: Bits<8>, shift_wider: Bits<16>, difference_wider: Bits<32>, chain: Bits<17>, narrower: Bits<4>,
        not_shifted: Bits<64>, plus_three: Bits<19>, not_plus: Bits<5>, huge: Bits<130>, literal: Bits<12>, same: Bits<8>, sized: Bits<16>,
    } {
        t: Signal<Local, Bits<16>>, big: Signal<Local, Bits<130>>,
    }
    #[hdl_gen]
    fn update(&mut self) {
        self.sum_wider.next = bit_cast::<9, 8>(self.a.val() + self.b.val());
        self.not_wider.next = bit_cast::<8, 1>(!self.y.val());
        self.shift_wider.next = bit_cast::<16, 8>(self.a.val() << 4);
        self.difference_wider.next = bit_cast::<32, 8>(self.a.val() - self.b.val());
        self.t.next = bit_cast::<16, 8>(self.a.val()) + bit_cast::<16, 8>(self.b.val());
        self.chain.next = bit_cast::<17, 16>(self.t.val()) + bit_cast::<17, 16>(self.t.val()) + 1;
        self.narrower.next = bit_cast::<4, 8>(self.a.val() + self.c.val());
        self.not_shifted.next = bit_cast::<64, 8>(!self.a.val()) << self.i.val();
        self.plus_three.next = bit_cast::<19, 8>(self.a.val() + 255) + 3;
        self.not_plus.next = bit_cast::<5, 4>(!self.i.val()) + 1;
        self.big.next = bit_cast::<130, 64>(self.w.val()) << 70;
        self.huge.next = self.big.val() | bit_cast::<130, 8>(!self.a.val());
        self.literal.next = bits::<12>(0xabc) ^ bit_cast::<12, 8>(self.a.val());
        self.same.next = bit_cast::<8, 8>(self.a.val() + self.b.val());
        self.sized.next = bit_cast::<16, 8>(self.a.val()) + bits::<16>(300);
    }
}

family! {
    Slices {
        of_sum: Bits<4>, of_slice: Bit, moving: Bits<8>, moving_out: Bits<8>, replaced: Bits<64>, replaced_moving: Bits<8>, bit_moving: Bit,
        bit_of_huge: Bit, own: Bits<8>, above: Bits<8>, of_constant: Bits<3>, of_not: Bits<2>, moving_in_reach: Bits<4>, own_fixed: Bits<8>,
        of_product: Bits<8>,
    } {
        i3: Signal<Local, Bits<3>>, i7: Signal<Local, Bits<7>>, big: Signal<Local, Bits<130>>,
    }
    #[hdl_gen]
    fn update(&mut self) {
        self.i3.next = self.i.val().get_bits::<3>(0);
        self.i7.next = bit_cast::<7, 4>(self.i.val()) + 90;
        self.big.next = bit_cast::<130, 64>(self.w.val()) << 60;
        self.of_sum.next = (self.a.val() + self.b.val()).get_bits::<4>(4);
        self.of_slice.next = self.a.val().get_bits::<4>(4).get_bit(1);
        self.moving.next = self.w.val().get_bits::<8>(self.i.val().index());
        self.moving_out.next = bit_cast::<8, 4>(self.a.val().get_bits::<4>(self.i3.val().index()));
        self.replaced.next = self.w.val().replace_bit(40, self.x.val());
        self.replaced_moving.next = (self.a.val() ^ self.b.val()).replace_bit(self.i3.val().index(), self.x.val());
        self.bit_moving.next = self.a.val().get_bit(self.i3.val().index());
        self.bit_of_huge.next = self.big.val().get_bit(self.i7.val().index());
        self.own.next = self.a.val();
        self.own.next = self.own.val().replace_bit(self.i3.val().index(), self.own.val().get_bit(7));
        self.above.next = self.a.val().get_bits::<8>(5);
        self.of_constant.next = bits::<8>(0xb6).get_bits::<3>(4);
        self.of_not.next = (!self.a.val()).get_bits::<2>(3);
        self.moving_in_reach.next = (self.w.val() + 1).get_bits::<4>(self.i3.val().index());
        self.own_fixed.next = self.b.val();
        self.own_fixed.next = self.own_fixed.val().replace_bit(3, !self.x.val());
        self.of_product.next = (self.w.val().get_bits::<16>(0) * self.w.val().get_bits::<16>(16)).get_bits::<8>(12);
    }
}

family! {
    SignedNumbers {
        less: Bit, extended: Signed<16>, difference: Signed<8>, negated: Bits<8>, product: Signed<32>, sum_le: Bit, sliced: Signed<4>, cast: Signed<8>,
        shortened: Signed<5>, literal: Bit, back: Bits<8>,
    } {
        t: Signal<Local, Signed<16>>,
    }
    #[hdl_gen]
    fn update(&mut self) {
        self.less.next = self.sa.val() < self.sb.val();
        self.extended.next = signed_bit_cast::<16, 8>(self.sa.val());
        self.difference.next = self.sa.val() - self.sb.val();
        self.negated.next = unsigned_cast(-self.sa.val());
        self.t.next = signed_cast(self.w.val().get_bits::<16>(5));
        self.product.next = self.t.val() * self.t.val();
        self.sum_le.next = (self.sa.val() + self.sb.val()) <= self.sb.val();
        self.sliced.next = self.sa.val().get_bits::<4>(2);
        self.cast.next = signed_cast(self.a.val() + self.b.val());
        self.shortened.next = signed_bit_cast::<5, 8>(self.sa.val());
        self.literal.next = self.sa.val() >= signed_cast(bits::<8>(0xf0));
        self.back.next = unsigned_cast(self.sa.val() + self.sb.val()) >> 1;
    }
}

family! {
    Structs {
        low: Bits<8>, tag: Bits<8>, high_lt: Bit, high: Signed<8>, whole: Pair, record: Record, phase: Phase, flag: Bit, direct_lt: Bit, wide: Bits<8>,
    } {
        r: Signal<Local, Record>, p: Signal<Local, Pair>, many: [Signal<Local, Pair>; 3],
    }
    #[hdl_gen]
    fn update(&mut self) {
        self.r.next.tag = self.a.val().get_bits::<3>(2);
        self.r.next.pair.low = self.a.val() - self.b.val();
        // Read before the rest of it is assigned.
        self.low.next = self.r.val().pair.low;
        self.r.next.pair.high = unsigned_cast(self.sa.val() + self.sb.val());
        self.r.next.phase = Phase::Busy;
        self.r.next.flag = self.x.val();
        self.r.next.wide = bit_cast::<100, 64>(self.w.val()) << 36;
        if self.a.val() < self.b.val() {
            self.r.next.phase = Phase::Done;
            self.r.next.flag = false;
        }
        self.tag.next = bit_cast::<8, 3>(self.r.val().tag);
        self.high_lt.next = signed_cast(self.r.val().pair.high) < self.sb.val();
        self.high.next = signed_cast(self.r.val().pair.high);
        self.p.next = self.r.val().pair;
        self.direct_lt.next = self.p.val().high < self.b.val();
        self.phase.next = self.r.val().phase;
        self.flag.next = self.r.val().flag & (self.r.val().phase == Phase::Busy);
        self.wide.next = self.r.val().wide.get_bits::<8>(90) + bit_cast::<8, 4>(self.i.val());
        for k in 0..3 {
            self.many[k].next = self.p.val();
        }
        // In a loop RustHDL's macro does not know the index at the field's offset.
        self.many[1].next.low = self.c.val();
        self.whole.next = self.many[1].val();
        self.record.next = self.r.val();
        self.record.next.pair = self.many[2].val();
    }
}

family! {
    Statements {
        summed: Bits<8>, counted: Bits<8>, chosen: Bits<3>, compared: Bit, nested: Bits<8>, by_bool: Bits<8>, defaulted: Bits<8>, last_wins: Bits<8>,
        between: Bits<8>, chain: Bits<8>, code: Bits<4>,
    } {
        phase: Signal<Local, Phase>, line: [Signal<Local, Bits<8>>; 4], t: Signal<Local, Bits<8>>,
    }
    #[hdl_gen]
    fn update(&mut self) {
        self.line[0].next = self.a.val();
        for k in 0..3 {
            self.line[k + 1].next = self.line[k].val() + self.b.val();
        }
        self.summed.next = self.line[2 + 1].val();
        self.counted.next = 0.into();
        for k in 0..8 {
            if k == 2 {
                self.counted.next = self.counted.val() + 16;
            } else {
                if self.a.val().get_bit(7 - k) {
                    self.counted.next = self.counted.val() + 1;
                }
            }
        }
        self.phase.next = Phase::Idle;
        if self.a.val() > self.b.val() {
            self.phase.next = Phase::Busy;
        } else if self.a.val() == self.b.val() {
            self.phase.next = Phase::Done;
        }
        match self.phase.val() {
            Phase::Idle => {
                self.chosen.next = 1.into();
            }
            Phase::Busy => {
                self.chosen.next = 2.into();
            }
            Phase::Done => {
                self.chosen.next = 4.into();
            }
        }
        self.compared.next = (self.phase.val() == Phase::Busy) & self.x.val();
        self.nested.next = self.c.val();
        for k in 0..2 {
            for j in 0..3 {
                if self.a.val().get_bit(2 * k + j) {
                    self.nested.next = (self.nested.val() << 1) + self.w.val().get_bits::<8>(k * 24 + 8 * j);
                }
            }
        }
        match self.x.val() {
            true => {
                self.by_bool.next = self.a.val();
            }
            false => {
                self.by_bool.next = self.b.val();
            }
        }
        self.defaulted.next = 7.into();
        match self.phase.val() {
            Phase::Done => {
                self.defaulted.next = self.c.val();
            }
            _ => {}
        }
        self.last_wins.next = 1.into();
        if self.x.val() {
            self.last_wins.next = self.a.val();
        }
        if self.a.val().any() {
            self.last_wins.next = self.b.val() + 1;
        }
        self.t.next = self.a.val();
        self.between.next = self.t.val() + 1;
        self.t.next = self.b.val();
        self.chain.next = self.t.val();
        self.code.next = 0.into();
        if self.a.val() < 10 {
            self.code.next = 1.into();
        } else if self.b.val() < 10 {
            if self.x.val() {
                self.code.next = 2.into();
            } else {
                self.code.next = 3.into();
            }
        } else if self.c.val() < 128 {
            self.code.next = 4.into();
        } else {
            self.code.next = 5.into();
        }
    }
}

/// Flip-flops and constants of every type, over time.
#[derive(LogicBlock)]
struct Registers {
    clock: Signal<In, Clock>,
    reset: Signal<In, Bit>,
    a: Signal<In, Bits<8>>,
    w: Signal<In, Bits<64>>,
    low: Signal<Out, Bits<8>>,
    phase: Signal<Out, Phase>,
    syndrome: Signal<Out, Bits<4>>,
    record: DFF<Record>,
    lane: [DFF<Bits<8>>; 3],
    mask: [Constant<Bits<64>>; 4],
    start: Constant<Pair>,
    limit: Constant<Bits<8>>,
}

impl Default for Registers {
    fn default() -> Self {
        Registers {
            clock: Default::default(),
            reset: Default::default(),
            a: Default::default(),
            w: Default::default(),
            low: Default::default(),
            phase: Default::default(),
            syndrome: Default::default(),
            record: Default::default(),
            lane: Default::default(),
            mask: std::array::from_fn(|k| Constant::new((0x0123_4567_89ab_cdefu64.rotate_left(8 * u32::try_from(k).unwrap())).into())),
            start: Constant::new(Pair { low: 0x5a.into(), high: 3.into() }),
            limit: Constant::new(0x31.into()),
        }
    }
}

impl Logic for Registers {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, record);
        for k in 0..3 {
            self.lane[k].clock.next = self.clock.val();
        }
        self.lane[0].d.next = self.a.val();
        for k in 0..2 {
            self.lane[k + 1].d.next = self.lane[k].q.val();
        }
        self.record.d.next.tag = self.record.q.val().tag + 1;
        self.record.d.next.pair.low = self.record.q.val().pair.low + self.lane[2].q.val() + self.start.val().low;
        if self.record.q.val().pair.high > self.limit.val() {
            self.record.d.next.pair.high = self.record.q.val().pair.high + self.start.val().high;
        }
        match self.record.q.val().phase {
            Phase::Idle => {
                self.record.d.next.phase = Phase::Busy;
            }
            Phase::Busy => {
                if self.a.val().get_bit(0) {
                    self.record.d.next.phase = Phase::Done;
                }
            }
            Phase::Done => {
                self.record.d.next.phase = Phase::Idle;
                self.record.d.next.flag = !self.record.q.val().flag;
            }
        }
        self.low.next = self.record.q.val().pair.low + self.record.q.val().pair.high;
        self.phase.next = self.record.q.val().phase;
        self.syndrome.next = 0.into();
        for k in 0..4 {
            self.syndrome.next = self.syndrome.val().replace_bit(k, (self.w.val() & self.mask[k].val()).xor());
        }
        if self.reset.val() {
            self.record.d.next.pair = self.start.val();
            self.record.d.next.phase = Phase::Idle;
        }
    }
}

#[test]
fn operators() {
    check::<Operators>("operators", 101);
}

#[test]
fn casts() {
    check::<Casts>("casts", 102);
}

#[test]
fn slices() {
    check::<Slices>("slices", 103);
}

#[test]
fn signed_numbers() {
    check::<SignedNumbers>("signed_numbers", 104);
}

#[test]
fn structs() {
    check::<Structs>("structs", 105);
}

#[test]
fn statements() {
    check::<Statements>("statements", 106);
}

#[test]
fn registers() {
    let mut rust = Registers::default();
    rust.connect_all();
    let mut verilog = dut("registers", Registers::default());
    let mut random = random(107);
    for cycle in 0..3000 {
        let (reset, a, w) = (cycle < 2 || random.random_bool(0.01), random.random_range(0..256u64), random.random::<u64>());
        rust.reset.next = reset;
        rust.a.next = a.into();
        rust.w.next = w.into();
        rust.clock.next = false.into();
        assert!(simulate(&mut rust, 20));
        rust.clock.next = true.into();
        assert!(simulate(&mut rust, 20));
        verilog.set("reset", reset.into());
        verilog.set("a", a);
        verilog.set("w", w);
        verilog.tick();
        for (name, value) in [("low", words(rust.low.val())), ("phase", words(rust.phase.val())), ("syndrome", words(rust.syndrome.val()))] {
            assert_eq!(verilog.get_wide(name), value, "{name} in cycle {cycle}");
        }
    }
}

/// What RustHDL's own printer makes of a family, with Verilator's complaints about widths put aside.
fn stock<F: Family>() -> String {
    let mut uut = F::default();
    uut.connect_all();
    format!("/* verilator lint_off WIDTH */\n/* verilator lint_off CASEINCOMPLETE */\n{}", generate_verilog(&uut))
}

#[test]
fn the_stock_printer_loses_parentheses_and_carries() {
    family! {
        Wrong {
            and_eq: Bit, or_ne: Bit, xor_gt: Bit, sum_eq: Bit, difference_lt: Bit, not_eq: Bit, sum_wider: Bits<9>, not_wider: Bits<8>,
            shift_wider: Bits<16>, difference_wider: Bits<32>, sum_shifted: Bits<8>, right_one: Bits<8>,
        } {}
        #[hdl_gen]
        fn update(&mut self) {
            self.and_eq.next = self.a.val() & self.b.val() == self.c.val();
            self.or_ne.next = self.a.val() | self.b.val() != self.c.val();
            self.xor_gt.next = self.a.val() ^ self.b.val() > self.c.val();
            self.sum_eq.next = (self.a.val() + 1) == self.b.val();
            self.difference_lt.next = (self.a.val() - self.b.val()) < 4;
            self.not_eq.next = !self.a.val() == 0;
            self.sum_wider.next = bit_cast::<9, 8>(self.a.val() + self.b.val());
            self.not_wider.next = bit_cast::<8, 1>(!self.y.val());
            self.shift_wider.next = bit_cast::<16, 8>(self.a.val() << 4);
            self.difference_wider.next = bit_cast::<32, 8>(self.a.val() - self.b.val());
            self.sum_shifted.next = (self.a.val() + self.b.val()) >> 1;
            self.right_one.next = self.a.val() + self.b.val();
        }
    }
    let wrong: Vec<&str> = differences::<Wrong>(run("top", &stock::<Wrong>()), 108).into_iter().map(|(name, _)| name).collect();
    let known = ["and_eq", "or_ne", "xor_gt", "sum_eq", "difference_lt", "not_eq", "sum_wider", "not_wider", "shift_wider", "difference_wider"];
    assert_eq!(wrong, known);
    check::<Wrong>("wrong", 108);
}

#[test]
fn the_stock_printer_writes_what_is_not_verilog() {
    family! {
        SliceOfSum { o: Bits<4> } {}
        #[hdl_gen]
        fn update(&mut self) {
            self.o.next = (self.a.val() + self.b.val()).get_bits::<4>(4);
        }
    }
    family! {
        FieldOfField { o: Pair } { r: Signal<Local, Record> }
        #[hdl_gen]
        fn update(&mut self) {
            self.r.next.tag = 1.into();
            self.r.next.phase = Phase::Idle;
            self.r.next.flag = self.x.val();
            self.r.next.wide = 0.into();
            self.r.next.pair.high = self.b.val();
            self.r.next.pair.low = self.a.val();
            self.o.next = self.r.val().pair;
        }
    }
    let refused = |text: &str| Dut::build("top", text, &toe_verilate::Options::default()).is_err();
    check::<SliceOfSum>("slice_of_sum", 109);
    check::<FieldOfField>("field_of_field", 110);
    assert!(refused(&stock::<SliceOfSum>()));
    assert!(refused(&stock::<FieldOfField>()));
}

#[test]
fn the_stock_printer_makes_a_latch_of_a_partial_if() {
    family! {
        Latch { o: Bits<8> } {}
        #[hdl_gen]
        fn update(&mut self) {
            if self.x.val() {
                self.o.next = self.a.val();
            }
        }
    }
    match Dut::build("top", &stock::<Latch>(), &toe_verilate::Options::default()) {
        Err(e) => assert!(e.to_string().contains("LATCH"), "{e}"),
        Ok(_) => panic!("a latch was accepted"),
    }
}
