//! Random kernels: expression trees and statements made from RustHDL's public tree, printed and run in Verilator, against an
//! interpreter that knows nothing of Verilog.

mod common;

use common::{dut, random, Random};
use num_bigint::BigUint;
use rand::Rng;
use rust_hdl::prelude::ast::{
    VerilogBlock, VerilogBlockOrConditional as Otherwise, VerilogConditional, VerilogExpression as E, VerilogOp as Op, VerilogOpUnary as Unary,
    VerilogStatement as S,
};
use rust_hdl::prelude::*;
use std::collections::BTreeMap;

const OUTPUTS: usize = 24;
const VECTORS: usize = 400;

/// Inputs and their widths; the last two serve as indices.
const INPUTS: [(&str, usize); 8] = [("a", 8), ("b", 8), ("c", 13), ("d", 32), ("w", 64), ("h", 100), ("i", 3), ("j", 5)];
/// Locals and their widths.
const LOCALS: [(&str, usize); 5] = [("p", 1), ("q", 8), ("r", 13), ("s", 33), ("t", 100)];

/// A block whose kernel is made at run time.
#[derive(LogicBlock)]
struct Made {
    a: Signal<In, Bits<8>>,
    b: Signal<In, Bits<8>>,
    c: Signal<In, Bits<13>>,
    d: Signal<In, Bits<32>>,
    w: Signal<In, Bits<64>>,
    h: Signal<In, Bits<100>>,
    i: Signal<In, Bits<3>>,
    j: Signal<In, Bits<5>>,
    p: Signal<Local, Bit>,
    q: Signal<Local, Bits<8>>,
    r: Signal<Local, Bits<13>>,
    s: Signal<Local, Bits<33>>,
    t: Signal<Local, Bits<100>>,
    o: [Signal<Out, Bits<16>>; OUTPUTS],
    _kernel: VerilogBlock,
}

impl Made {
    fn new(kernel: VerilogBlock) -> Self {
        Made {
            a: Default::default(),
            b: Default::default(),
            c: Default::default(),
            d: Default::default(),
            w: Default::default(),
            h: Default::default(),
            i: Default::default(),
            j: Default::default(),
            p: Default::default(),
            q: Default::default(),
            r: Default::default(),
            s: Default::default(),
            t: Default::default(),
            o: std::array::from_fn(|_| Default::default()),
            _kernel: kernel,
        }
    }
}

impl Logic for Made {
    fn update(&mut self) {}

    fn hdl(&self) -> Verilog {
        Verilog::Combinatorial(self._kernel.clone())
    }
}

/// Values and widths of the signals.
type Values = BTreeMap<String, (BigUint, usize)>;

fn wrap(value: BigUint, width: usize) -> BigUint {
    value & ((BigUint::from(1u8) << width) - 1u8)
}

fn number(e: &E) -> Option<BigUint> {
    match e {
        E::Literal(l) => BigUint::parse_bytes(format!("{l:x}").split_once("'h")?.1.as_bytes(), 16),
        _ => None,
    }
}

/// What an expression is worth in Rust, and how wide it is. A literal takes the width of the other operand.
fn evaluate(e: &E, values: &Values) -> (BigUint, usize) {
    let one_if = |yes: bool| (BigUint::from(u8::from(yes)), 1);
    let index = |e: &E| number(e).unwrap_or_else(|| evaluate(e, values).0).to_u64_digits().first().map_or(0, |d| usize::try_from(*d).unwrap());
    match e {
        E::Signal(name) => values[name].clone(),
        E::Paren(e) => evaluate(e, values),
        E::Cast(e, width) => (wrap(number(e).unwrap_or_else(|| evaluate(e, values).0), *width), *width),
        E::Unary(op, e) => {
            let (v, width) = evaluate(e, values);
            let all = wrap(BigUint::ZERO.wrapping_not(width), width);
            match op {
                Unary::Not => (all - v, width),
                Unary::All => one_if(v == all),
                Unary::Any => one_if(v != BigUint::ZERO),
                _ => one_if(v.count_ones() % 2 == 1),
            }
        }
        E::Index(e, at) => one_if(evaluate(e, values).0.bit(index(at) as u64)),
        E::Slice(e, width, at) => (wrap(evaluate(e, values).0 >> index(at), *width), *width),
        E::IndexReplace(e, at, bit) => {
            let (mut v, width) = evaluate(e, values);
            v.set_bit(index(at) as u64, evaluate(bit, values).0 == BigUint::from(1u8));
            (v, width)
        }
        E::Binary(l, op, r) => {
            let width = if number(l).is_some() { evaluate(r, values).1 } else { evaluate(l, values).1 };
            let value = |e: &E| number(e).unwrap_or_else(|| evaluate(e, values).0);
            let (l, r) = (value(l), value(r));
            let shift = || r.to_u64_digits().first().copied().unwrap_or(0);
            match op {
                Op::Add => (wrap(l + r, width), width),
                Op::Sub => (wrap((BigUint::from(1u8) << width) + l - r, width), width),
                Op::BitAnd | Op::LogicalAnd => (l & r, width),
                Op::BitOr | Op::LogicalOr => (l | r, width),
                Op::BitXor => (l ^ r, width),
                Op::Shl => (wrap(l << shift(), width), width),
                Op::Shr => (l >> shift(), width),
                Op::Eq => one_if(l == r),
                Op::Ne => one_if(l != r),
                Op::Lt => one_if(l < r),
                Op::Le => one_if(l <= r),
                Op::Gt => one_if(l > r),
                Op::Ge => one_if(l >= r),
                Op::Mul => unreachable!("not made"),
            }
        }
        E::Literal(_) | E::Signed(_) | E::Unsigned(_) => unreachable!("not made"),
    }
}

trait Ones {
    fn wrapping_not(self, width: usize) -> BigUint;
}

impl Ones for BigUint {
    fn wrapping_not(self, width: usize) -> BigUint {
        ((BigUint::from(1u8) << width) - 1u8) - self
    }
}

/// Runs statements in their order.
fn execute(block: &VerilogBlock, values: &mut Values) {
    for statement in block {
        match statement {
            S::Assignment(E::Signal(target), value) => {
                let key = target.trim_end_matches("$next");
                let width = values[key].1;
                let (value, found) = evaluate(value, values);
                assert_eq!(width, found);
                values.insert(key.to_owned(), (value, width));
            }
            S::If(c) => {
                if evaluate(&c.test, values).0 == BigUint::from(1u8) {
                    execute(&c.then, values);
                } else if let Otherwise::Block(block) = &c.otherwise {
                    execute(block, values);
                }
            }
            _ => unreachable!("not made"),
        }
    }
}

/// Makes expressions and statements.
struct Maker<'a>(&'a mut Random);

impl Maker<'_> {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.random_range(0..from.len())]
    }

    fn literal(&mut self, width: usize) -> E {
        let highest = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
        let small = self.0.random_range(0..4).min(highest);
        E::Literal(if self.0.random_bool(0.5) { small } else { self.0.random_range(0..=highest) }.into())
    }

    /// A signal of this width, or one cast to it.
    fn leaf(&mut self, width: usize) -> E {
        let fitting: Vec<(&str, usize)> = INPUTS.iter().chain(&LOCALS).copied().filter(|(_, w)| *w == width).collect();
        match self.0.random_range(0..4) {
            0 => E::Cast(Box::new(self.literal(width)), width),
            1 | 2 if !fitting.is_empty() => E::Signal(self.pick(&fitting).0.to_owned()),
            _ => {
                let (name, _) = self.pick(&INPUTS);
                E::Cast(Box::new(E::Signal(name.to_owned())), width)
            }
        }
    }

    /// An index below `limit`: fixed, or a signal that cannot reach it.
    fn index(&mut self, limit: usize) -> E {
        let moving: Vec<(&str, usize)> = INPUTS[6..].iter().copied().filter(|(_, w)| 1 << w <= limit).collect();
        if moving.is_empty() || self.0.random_bool(0.5) {
            E::Literal((self.0.random_range(0..limit) as u64).into())
        } else {
            E::Signal(self.pick(&moving).0.to_owned())
        }
    }

    fn expression(&mut self, width: usize, depth: usize) -> E {
        if depth == 0 {
            return self.leaf(width);
        }
        let d = depth - 1;
        let other = self.pick(&[1, 3, 8, 13, 32, 33, 64, 100]);
        let made = match self.0.random_range(0..if width == 1 { 14 } else { 10 }) {
            0..=3 => {
                let op = match self.0.random_range(0..5) {
                    0 => Op::Add,
                    1 => Op::Sub,
                    2 => Op::BitAnd,
                    3 => Op::BitOr,
                    _ => Op::BitXor,
                };
                self.binary(width, op, d)
            }
            4 => {
                let op = if self.0.random() { Op::Shl } else { Op::Shr };
                let amount = if self.0.random() { E::Signal(self.pick(&["i", "j", "a"]).to_owned()) } else { E::Literal(self.0.random_range(0..80u64).into()) };
                E::Binary(Box::new(self.expression(width, d)), op, Box::new(amount))
            }
            5 => E::Unary(Unary::Not, Box::new(self.expression(width, d))),
            6 => E::Cast(Box::new(self.expression(other, d)), width),
            7 => {
                let base = self.expression(other, d);
                E::Slice(Box::new(base), width, Box::new(self.index(other)))
            }
            8 => {
                let (base, bit) = (self.expression(width, d), self.expression(1, d));
                E::IndexReplace(Box::new(base), Box::new(self.index(width)), Box::new(bit))
            }
            9 if width > 1 => E::Binary(Box::new(self.expression(width, d)), Op::Add, Box::new(self.expression(1, d))),
            10 | 11 => {
                let op = match self.0.random_range(0..6) {
                    0 => Op::Eq,
                    1 => Op::Ne,
                    2 => Op::Lt,
                    3 => Op::Le,
                    4 => Op::Gt,
                    _ => Op::Ge,
                };
                self.binary(other, op, d)
            }
            12 => {
                let base = self.expression(other, d);
                E::Index(Box::new(base), Box::new(self.index(other)))
            }
            13 => E::Unary(self.reduction(), Box::new(self.expression(other, d))),
            _ => self.leaf(width),
        };
        if self.0.random_bool(0.3) {
            E::Paren(Box::new(made))
        } else {
            made
        }
    }

    fn reduction(&mut self) -> Unary {
        match self.0.random_range(0..3) {
            0 => Unary::All,
            1 => Unary::Any,
            _ => Unary::Xor,
        }
    }

    /// Two operands of one width, one of them perhaps a literal.
    fn binary(&mut self, width: usize, op: Op, depth: usize) -> E {
        let (mut l, mut r) = (self.expression(width, depth), self.expression(width, depth));
        match self.0.random_range(0..6) {
            0 => l = self.literal(width),
            1 => r = self.literal(width),
            _ => {}
        }
        E::Binary(Box::new(l), op, Box::new(r))
    }

    fn assignment(&mut self, name: &str, width: usize) -> S {
        let value = if self.0.random_bool(0.15) {
            let base = E::Signal(name.to_owned());
            E::IndexReplace(Box::new(base), Box::new(self.index(width)), Box::new(self.expression(1, 2)))
        } else {
            self.expression(width, 3)
        };
        S::Assignment(E::Signal(format!("{name}$next")), value)
    }

    fn statement(&mut self, depth: usize) -> S {
        if depth == 0 || self.0.random_bool(0.5) {
            let (name, width) = self.pick(&LOCALS);
            return self.assignment(name, width);
        }
        let then = self.statements(depth - 1);
        let otherwise = if self.0.random() { Otherwise::Block(self.statements(depth - 1)) } else { Otherwise::None };
        S::If(VerilogConditional { test: self.expression(1, 2), then, otherwise })
    }

    fn statements(&mut self, depth: usize) -> VerilogBlock {
        (0..self.0.random_range(1..4)).map(|_| self.statement(depth)).collect()
    }

    /// Every local first, then statements with the outputs among them.
    fn kernel(&mut self) -> VerilogBlock {
        let first = |(name, width): &(&str, usize)| {
            let value = E::Cast(Box::new(E::Signal("h".to_owned())), *width);
            S::Assignment(E::Signal(format!("{name}$next")), value)
        };
        let mut all: VerilogBlock = LOCALS.iter().map(first).collect();
        for k in 0..OUTPUTS {
            all.extend(self.statements(2));
            all.push(S::Assignment(E::Signal(format!("o[{k}]$next")), self.expression(16, 4)));
        }
        all
    }
}

/// Makes kernels of one seed and compares.
fn compare(seed: u64) {
    let mut random = random(seed);
    let kernel = Maker(&mut random).kernel();
    let mut dut = dut("made", Made::new(kernel.clone()));
    for n in 0..VECTORS {
        let mut values = Values::new();
        for (name, width) in INPUTS {
            let words: Vec<u64> = (0..width.div_ceil(64)).map(|_| random.random()).collect();
            let digits: Vec<u32> = words.iter().flat_map(|w| [u32::try_from(w & 0xffff_ffff).unwrap(), u32::try_from(w >> 32).unwrap()]).collect();
            // Equal operands, all ones and zeros are where carries and comparisons turn.
            let value = match random.random_range(0..5) {
                0 => BigUint::ZERO,
                1 => BigUint::ZERO.wrapping_not(width),
                2 if name == "b" => values["a"].0.clone(),
                _ => wrap(BigUint::new(digits), width),
            };
            dut.set_wide(name, &value.to_u64_digits());
            values.insert(name.to_owned(), (value, width));
        }
        for (name, width) in LOCALS {
            values.insert(name.to_owned(), (BigUint::ZERO, width));
        }
        for k in 0..OUTPUTS {
            values.insert(format!("o[{k}]"), (BigUint::ZERO, 16));
        }
        execute(&kernel, &mut values);
        dut.eval();
        for k in 0..OUTPUTS {
            let expected = values[&format!("o[{k}]")].0.to_u64_digits().first().copied().unwrap_or(0);
            assert_eq!(dut.get(format!("o.{k}").as_str()), expected, "output {k}, vector {n}");
        }
    }
}

#[test]
fn random_kernels_mean_in_verilog_what_they_mean_in_rust() {
    for seed in 201..205 {
        compare(seed);
    }
}
