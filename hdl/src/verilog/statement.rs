//! RustHDL's statements to Verilog.

use super::coverage::Coverage;
use super::error::Refusal;
use super::kernel::Kernel;
use super::scope::{field, Leaf};
use super::value::{is_signed, select, width_of, Operand, Value};
use num_bigint::BigUint;
use rust_hdl::prelude::ast::{
    VerilogBlockOrConditional as Otherwise, VerilogConditional, VerilogExpression as E, VerilogLoop, VerilogMatch, VerilogStatement as S,
};
use rust_hdl::prelude::{clog2, TypeKind};
use std::collections::BTreeSet;

type Result<T> = std::result::Result<T, Refusal>;

/// What an assignment assigns.
struct Target {
    key: String,
    at: usize,
    width: usize,
    signed: bool,
}

impl Kernel<'_> {
    pub(super) fn block(&mut self, statements: &[S]) -> Result<()> {
        for statement in statements {
            self.statement(statement)?;
            if self.depth == 0 {
                self.end_chunk();
            }
        }
        Ok(())
    }

    fn statement(&mut self, statement: &S) -> Result<()> {
        match statement {
            S::Assignment(target, value) => self.assignment(target, value),
            S::SliceAssignment { base, width, offset, replacement } => self.field_assignment(base, *width, offset, replacement),
            S::If(conditional) => self.conditional(conditional, ""),
            S::Match(choice) => self.choice(choice),
            S::Loop(l) => self.unroll(l),
            S::Comment(text) => {
                for line in text.lines() {
                    self.comment(line);
                }
                Ok(())
            }
            S::Link(links) => links.iter().try_for_each(|l| {
                self.link(l)?;
                self.end_chunk();
                Ok(())
            }),
            S::Macro(statements) => self.block(statements),
        }
    }

    fn line(&mut self, text: &str) {
        self.chunk.lines.push(format!("{:1$}{text}", "", 4 * self.depth));
    }

    fn comment(&mut self, text: &str) {
        match self.depth {
            0 => self.chunk.comments.push(format!("// {text}")),
            _ => self.line(&format!("// {text}")),
        }
    }

    // Assignments.

    fn target(&self, raw: &str) -> Result<Target> {
        let (base, path) = match raw.split_once("$next$") {
            Some((base, path)) => (base, Some(path)),
            None => (raw.strip_suffix("$next").unwrap_or(raw), None),
        };
        let key = self.loops.key(base)?;
        let symbol = self.scope.symbol(&key)?;
        if !symbol.driven_here() {
            return Err(Refusal::NotAssignable(symbol.net.clone()));
        }
        match path {
            None => Ok(Target { width: symbol.width, signed: symbol.signed(), at: 0, key }),
            Some(path) => {
                let (at, ty) = field(&symbol.ty, path)?;
                Ok(Target { key, at, width: width_of(&ty), signed: is_signed(&ty) })
            }
        }
    }

    fn assignment(&mut self, target: &E, value: &E) -> Result<()> {
        let E::Signal(raw) = target else {
            return Err(Refusal::Unsupported("assignment to something that is no signal"));
        };
        let target = self.target(raw)?;
        if let E::IndexReplace(base, at, bit) = value {
            if matches!(base.as_ref(), E::Signal(name) if self.loops.key(name)? == target.key) {
                return self.set_bit(&target, at, bit);
            }
        }
        let value = self.expect(value, target.width, target.signed)?;
        self.write(&target.key, target.at, target.width, &value)
    }

    /// `x.next = x.val().replace_bit(i, b)` is `x[i] = b`.
    fn set_bit(&mut self, target: &Target, at: &E, bit: &E) -> Result<()> {
        let bit = self.expect(bit, 1, false)?;
        let value = self.read(&target.key)?;
        let at = match self.index(at)? {
            _ if value.width == 1 => return self.write(&target.key, 0, 1, &bit),
            Operand::Integer(at) => match usize::try_from(&at) {
                Ok(at) if at < value.width => return self.write(&target.key, at, 1, &bit),
                _ => {
                    let (position, width) = (at.to_string(), value.width);
                    return Err(Refusal::OutOfRange { expression: value.text, position, width });
                }
            },
            Operand::Sized(at) | Operand::SignedCast(at) => self.slice(at, 0, clog2(value.width)),
        };
        self.check_write(&target.key)?;
        self.chunk.writes.insert(value.text.clone());
        self.line(&format!("{}[{}] = {};", value.text, at.text, bit.text));
        Ok(())
    }

    /// `x.next.f = value`: RustHDL tells the place of the field.
    fn field_assignment(&mut self, base: &E, width: usize, offset: &E, value: &E) -> Result<()> {
        let E::Signal(raw) = base else {
            return Err(Refusal::Unsupported("assignment to a field of something that is no signal"));
        };
        let target = self.target(raw)?;
        let Operand::Integer(at) = self.index(offset)? else {
            return Err(Refusal::Unsupported("a computed offset in an assignment"));
        };
        let at = usize::try_from(&at).map_err(|_| Refusal::BadIndex(raw.clone()))?;
        let symbol = self.scope.symbol(&target.key)?;
        let signed = super::scope::field_signed(&symbol.ty, at, width);
        let value = self.expect(value, width, signed)?;
        self.write(&target.key, at, width, &value)
    }

    /// Assigns a slice of a signal: all of it, a field, or one bit.
    pub(super) fn write(&mut self, key: &str, at: usize, width: usize, value: &Value) -> Result<()> {
        self.check_write(key)?;
        let scope = self.scope;
        let symbol = scope.symbol(key)?;
        if width < symbol.width && matches!(symbol.ty.kind, TypeKind::Composite(_)) {
            self.by_field.insert(key.to_owned());
        }
        let leaves: Vec<&Leaf> = symbol.pieces(at, width).collect();
        let from_itself = value.origin.as_ref().is_some_and(|(source, _)| source == key);
        match leaves.as_slice() {
            [leaf] => self.write_leaf(leaf, at.max(leaf.at), width, &value.text),
            _ if value.known().is_some() || (value.origin.is_some() && !from_itself) => {
                for leaf in leaves {
                    let part = match &value.origin {
                        Some((source, start)) => self.bits(source, start + leaf.at - at, leaf.width)?,
                        None => self.slice(value.clone(), leaf.at - at, leaf.width),
                    };
                    self.write_leaf(leaf, leaf.at, leaf.width, &part.text);
                    if self.depth == 0 {
                        self.end_chunk();
                    }
                }
            }
            leaves => {
                let names: Vec<&str> = leaves.iter().rev().map(|l| l.net.as_str()).collect();
                self.chunk.writes.extend(leaves.iter().map(|l| l.net.clone()));
                self.line(&format!("{{{}}} = {};", names.join(", "), value.text));
            }
        }
        self.assigned.assign(key, at, width);
        Ok(())
    }

    fn write_leaf(&mut self, leaf: &Leaf, at: usize, width: usize, value: &str) {
        let alone = self.chunk.lines.is_empty() && self.depth == 0 && width == leaf.width;
        self.chunk.whole = alone.then(|| (leaf.net.clone(), value.to_owned()));
        self.chunk.writes.insert(leaf.net.clone());
        self.line(&format!("{}{} = {value};", leaf.net, select(at - leaf.at, width, leaf.width)));
    }

    fn check_write(&self, key: &str) -> Result<()> {
        if self.read_back.contains(key) {
            return Err(Refusal::ReadBack(key.to_owned()));
        }
        Ok(())
    }

    // Choices and loops.

    /// One way of a choice, and what is assigned at its end.
    fn way(&mut self, statements: &[S]) -> Result<Coverage> {
        let before = self.assigned.clone();
        self.depth += 1;
        self.block(statements)?;
        self.depth -= 1;
        Ok(std::mem::replace(&mut self.assigned, before))
    }

    fn conditional(&mut self, c: &VerilogConditional, before: &str) -> Result<()> {
        let test = self.expect(&c.test, 1, false)?;
        // A test of loop variables alone is decided now.
        if let (Some(known), "") = (test.known(), before) {
            return match (&c.otherwise, *known == BigUint::from(1u8)) {
                (_, true) => self.block(&c.then),
                (Otherwise::Block(b), false) => self.block(b),
                (Otherwise::Conditional(s), false) => self.statement(s),
                (Otherwise::None, false) => Ok(()),
            };
        }
        self.line(&format!("{before}if ({}) begin", test.text));
        let mut ways = vec![self.way(&c.then)?];
        match &c.otherwise {
            Otherwise::None => {
                self.line("end");
                ways.push(self.assigned.clone());
            }
            Otherwise::Block(b) => {
                self.line("end else begin");
                ways.push(self.way(b)?);
                self.line("end");
            }
            Otherwise::Conditional(s) => {
                let S::If(c) = s.as_ref() else {
                    return Err(Refusal::Unsupported("this `else`"));
                };
                let before = self.assigned.clone();
                self.conditional(c, "end else ")?;
                ways.push(std::mem::replace(&mut self.assigned, before));
            }
        }
        self.assigned = Coverage::merge(&ways);
        Ok(())
    }

    fn choice(&mut self, m: &VerilogMatch) -> Result<()> {
        let test = self.sized(&m.test)?;
        let mut labels = vec![];
        let mut variants = None;
        for case in &m.cases {
            let label = match case.condition.as_str() {
                "default" => "default".to_owned(),
                "true" => "1'd1".to_owned(),
                "false" => "1'd0".to_owned(),
                name => match self.scope.variant(name) {
                    Some((name, variant)) if variant.width == test.width => {
                        variants = Some(variant.of);
                        self.named.insert(name.clone());
                        name
                    }
                    _ => return Err(Refusal::UnknownName(name.to_owned())),
                },
            };
            if labels.contains(&label) {
                return Err(Refusal::SameArm(label));
            }
            labels.push(label);
        }
        let seen: BTreeSet<&String> = labels.iter().collect();
        let default = seen.contains(&"default".to_owned());
        let all = default || variants.unwrap_or(2) == seen.len();
        // With every variant named, the last arm also takes the codes that mean nothing: no latch.
        if let (false, true, Some(last)) = (default, all, labels.last_mut()) {
            *last = format!("default /* {last} */");
        }
        self.line(&format!("case ({})", test.text));
        let mut ways = vec![];
        self.depth += 1;
        for (case, label) in m.cases.iter().zip(&labels) {
            self.line(&format!("{label}: begin"));
            ways.push(self.way(&case.block)?);
            self.line("end");
        }
        self.depth -= 1;
        self.line("endcase");
        if !all {
            ways.push(self.assigned.clone());
        }
        self.assigned = Coverage::merge(&ways);
        Ok(())
    }

    fn unroll(&mut self, l: &VerilogLoop) -> Result<()> {
        if self.scope.symbols.contains_key(&l.index) {
            return Err(Refusal::LoopVariable(l.index.clone()));
        }
        for k in l.from.as_usize()..l.to.as_usize() {
            self.loops.push(&l.index, k);
            self.block(&l.block)?;
            self.loops.pop();
        }
        Ok(())
    }
}
