//! RustHDL's expressions to Verilog of exactly known width.

use super::error::Refusal;
use super::kernel::Kernel;
use super::scope::{field, field_signed, Leaf, Role};
use super::value::{is_signed, literal, ones, range, select, sized, width_of, wrapped, Operand, Value};
use num_bigint::{BigInt, BigUint, Sign};
use rust_hdl::prelude::ast::{VerilogExpression as E, VerilogOp as Op, VerilogOpUnary as Unary};
use rust_hdl::prelude::{clog2, TypeKind};

type Result<T> = std::result::Result<T, Refusal>;

impl Kernel<'_> {
    /// An expression where the context fixes width and sign.
    pub(super) fn expect(&mut self, e: &E, width: usize, signed: bool) -> Result<Value> {
        match self.operand(e)? {
            Operand::Integer(value) => fit(&value, width, signed),
            Operand::SignedCast(value) => self.resize_signed(value, width),
            Operand::Sized(value) => self.expect_value(value, width, signed),
        }
    }

    pub(super) fn expect_value(&mut self, value: Value, width: usize, signed: bool) -> Result<Value> {
        if value.width == width {
            return Ok(value.with_sign(signed));
        }
        Err(Refusal::Width { expression: value.text, expected: width, found: value.width })
    }

    /// An expression that must know its own width.
    pub(super) fn sized(&mut self, e: &E) -> Result<Value> {
        match self.operand(e)? {
            Operand::Sized(value) => Ok(value),
            Operand::Integer(value) => Err(Refusal::NoWidth(value.to_string())),
            Operand::SignedCast(value) => Err(Refusal::LostWidth(value.text)),
        }
    }

    /// An index: unsigned, and free of arithmetic, since `.index()` is erased and so `x.index() + 1`
    /// (which grows) and `(x + 1).index()` (which wraps) look alike.
    pub(super) fn index(&mut self, e: &E) -> Result<Operand> {
        fn arithmetic(e: &E) -> bool {
            match e {
                E::Paren(e) => arithmetic(e),
                E::Binary(_, Op::Add | Op::Sub | Op::Mul | Op::Shl, _) => true,
                E::Binary(l, _, r) => arithmetic(l) || arithmetic(r),
                _ => false,
            }
        }
        match self.operand(e)? {
            Operand::Sized(value) if value.known().is_none() && arithmetic(e) => Err(Refusal::IndexArithmetic(value.text)),
            Operand::Sized(value) => Ok(match value.known() {
                Some(known) => Operand::Integer(known.clone().into()),
                None => Operand::Sized(value.with_sign(false)),
            }),
            Operand::Integer(value) => Ok(Operand::Integer(value)),
            Operand::SignedCast(value) => Err(Refusal::NoMeaning { what: "signed index", expression: value.text }),
        }
    }

    fn operand(&mut self, e: &E) -> Result<Operand> {
        let value = match e {
            E::Paren(e) => return self.operand(e),
            E::Signal(name) => return self.name(name),
            E::Literal(l) => return Ok(Operand::Integer(literal(l).1)),
            E::Cast(e, width) => self.cast(e, *width)?,
            E::Signed(e) => match self.operand(e)? {
                Operand::Sized(value) if value.signed => return Ok(Operand::SignedCast(value)),
                Operand::Sized(value) => value.with_sign(true),
                Operand::SignedCast(value) => return Err(Refusal::LostWidth(value.text)),
                integer => return Ok(integer),
            },
            E::Unsigned(e) => self.sized(e)?.with_sign(false),
            E::Unary(Unary::Neg, e) => match self.operand(e)? {
                Operand::Integer(value) => return Ok(Operand::Integer(-value)),
                Operand::Sized(v) if v.signed => Value::compound(format!("(-{})", v.text), v.width, true),
                Operand::Sized(v) | Operand::SignedCast(v) => {
                    return Err(Refusal::NoMeaning { what: "negation", expression: v.text });
                }
            },
            E::Unary(op, e) => {
                let v = self.sized(e)?;
                let (op, width) = match op {
                    Unary::Not => ("~", v.width),
                    Unary::All => ("&", 1),
                    Unary::Any => ("|", 1),
                    Unary::Xor | Unary::Neg => ("^", 1),
                };
                Value::compound(format!("({op}{})", v.text), width, false)
            }
            E::Binary(l, op, r) => return self.binary(l, op, r),
            E::Index(base, at) => self.part(base, at, 1, 0)?.with_sign(false),
            E::Slice(base, width, at) => self.part(base, at, *width, 1)?,
            E::IndexReplace(base, at, bit) => self.replace_bit(base, at, bit)?,
        };
        Ok(Operand::Sized(value))
    }

    // Names.

    fn name(&mut self, raw: &str) -> Result<Operand> {
        if let Some(value) = self.loops.value(raw) {
            return Ok(Operand::Integer(value.clone()));
        }
        // A field of a field arrives as one name.
        if let Some((base, path)) = raw.split_once("$val()$") {
            let key = self.loops.key(base)?;
            let (at, ty) = field(&self.scope.symbol(&key)?.ty, path)?;
            let value = self.read_field(&key, at, width_of(&ty))?;
            return Ok(Operand::Sized(value.with_sign(is_signed(&ty))));
        }
        let key = self.loops.key(raw)?;
        if self.scope.symbols.contains_key(&key) {
            return Ok(Operand::Sized(self.read(&key)?));
        }
        let (name, variant) = self.scope.variant(&key).ok_or_else(|| Refusal::UnknownName(raw.to_owned()))?;
        let mut value = Value::constant(variant.value.into(), variant.width, false);
        value.text.clone_from(&name);
        self.named.insert(name);
        Ok(Operand::Sized(value))
    }

    /// The value of a signal or a constant.
    pub(super) fn read(&mut self, key: &str) -> Result<Value> {
        let symbol = self.scope.symbol(key)?;
        let Some(known) = &symbol.value else {
            let (width, signed) = (symbol.width, symbol.signed());
            return Ok(self.bits(key, 0, width)?.with_sign(signed));
        };
        let mut value = Value::constant(known.clone(), symbol.width, symbol.signed());
        value.text.clone_from(&symbol.net);
        self.named.insert(key.to_owned());
        Ok(value)
    }

    /// A field of a signal or a constant, unsigned.
    fn read_field(&mut self, key: &str, at: usize, width: usize) -> Result<Value> {
        match &self.scope.symbol(key)?.value {
            Some(known) => Ok(Value::constant((known >> at) & ones(width), width, false)),
            None => {
                self.by_field.insert(key.to_owned());
                self.bits(key, at, width)
            }
        }
    }

    /// Bits of a signal as they stand; unsigned unless it is all of them.
    pub(super) fn bits(&mut self, key: &str, at: usize, width: usize) -> Result<Value> {
        let symbol = self.scope.symbol(key)?;
        if symbol.driven_here() {
            if !self.assigned.covers(key, at, width) {
                return Err(Refusal::ReadFirst(symbol.net.clone()));
            }
            if symbol.role == Role::ChildInput {
                self.read_back.insert(key.to_owned());
            }
        }
        let pieces: Vec<&Leaf> = symbol.pieces(at, width).collect();
        let mut value = match pieces.as_slice() {
            [leaf] => {
                self.chunk.reads.insert(leaf.net.clone());
                let net = Value::net(leaf.net.clone(), leaf.width, symbol.signed());
                self.slice_as_is(net, at - leaf.at, width)
            }
            _ if !symbol.only_fields() => {
                self.chunk.reads.insert(symbol.net.clone());
                self.slice_as_is(Value::net(symbol.net.clone(), symbol.width, false), at, width)
            }
            // Fields in a row: a slice ends where one of them does.
            leaves => {
                self.chunk.reads.extend(leaves.iter().map(|l| l.net.clone()));
                let names: Vec<&str> = leaves.iter().rev().map(|l| l.net.as_str()).collect();
                Value::compound(format!("{{{}}}", names.join(", ")), width, false)
            }
        };
        value.origin = Some((key.to_owned(), at));
        Ok(value)
    }

    fn slice_as_is(&mut self, value: Value, at: usize, width: usize) -> Value {
        if at == 0 && width == value.width {
            value
        } else {
            self.slice(value, at, width)
        }
    }

    // Slices and casts.

    fn cast(&mut self, e: &E, width: usize) -> Result<Value> {
        match self.operand(e)? {
            Operand::Integer(value) => fit(&value, width, false),
            Operand::Sized(value) if !value.signed => Ok(self.slice(value, 0, width)),
            Operand::Sized(value) | Operand::SignedCast(value) => Err(Refusal::NoMeaning { what: "bit_cast of a signed value", expression: value.text }),
        }
    }

    /// Bits `at .. at + width` of a value, unsigned, with zeros above its top.
    pub(super) fn slice(&mut self, value: Value, at: usize, width: usize) -> Value {
        if let Some(known) = value.known() {
            return Value::constant((known >> at) & ones(width), width, false);
        }
        let here = value.width.saturating_sub(at).min(width);
        if here == 0 {
            return Value::constant(BigUint::default(), width, false);
        }
        let bits = if here == value.width {
            value.with_sign(false).text
        } else if value.is_net() {
            format!("{}{}", value.text, select(at, here, value.width))
        } else {
            let function = format!("slice${}_{}_{at}", value.width, at + here - 1);
            let (result, argument) = (range(here), range(value.width));
            let body = format!("{function} = x{};", select(at, here, value.width));
            let text = format!("function {result}{function}(input {argument}x); {body} endfunction");
            self.functions.insert(function.clone(), text);
            format!("{function}({})", value.text)
        };
        match width - here {
            0 => Value::compound(bits, width, false),
            above => Value::compound(format!("{{{above}'d0, {bits}}}"), width, false),
        }
    }

    /// A signed value, shortened or with its sign extended.
    fn resize_signed(&mut self, value: Value, width: usize) -> Result<Value> {
        if width <= value.width {
            return Ok(self.slice(value, 0, width).with_sign(true));
        }
        let (from, above) = (value.width, width - value.width);
        let function = format!("extend${from}_{width}");
        let sign = if from == 1 { "x".to_owned() } else { format!("x[{}]", from - 1) };
        let (result, argument) = (range(width), range(from));
        let body = format!("{function} = {{{{{above}{{{sign}}}}}, x}};");
        let text = format!("function signed {result}{function}(input signed {argument}x); {body} endfunction");
        self.functions.insert(function.clone(), text);
        Ok(Value::compound(format!("{function}({})", value.text), width, true))
    }

    /// `get_bit`, `get_bits` and the field of a struct. A fixed index may lie `beyond` past the highest bit.
    fn part(&mut self, base: &E, at: &E, width: usize, beyond: usize) -> Result<Value> {
        let at = self.index(at)?;
        if let (E::Signal(raw), Operand::Integer(at)) = (base, &at) {
            let key = self.loops.key(raw)?;
            let symbol = self.scope.symbols.get(&key);
            if let Some(symbol) = symbol.filter(|s| matches!(s.ty.kind, TypeKind::Composite(_))) {
                let at = usize::try_from(at).map_err(|_| Refusal::BadIndex(raw.clone()))?;
                let signed = field_signed(&symbol.ty, at, width);
                return Ok(self.read_field(&key, at, width)?.with_sign(signed));
            }
        }
        let value = self.sized(base)?;
        let at = match at {
            Operand::Integer(at) => {
                let at = position(&value, &at, value.width - 1 + beyond)?;
                let signed = value.signed;
                return Ok(self.slice(value, at, width).with_sign(signed));
            }
            Operand::Sized(at) | Operand::SignedCast(at) => at,
        };
        let signed = value.signed;
        let reach = at.width < 20 && (1 << at.width) - 1 + width <= value.width;
        let part = if value.is_net() && value.width > 1 && width == 1 {
            // RustHDL asserts that the index is inside: only the bits that can matter are used.
            let at = self.slice(at, 0, clog2(value.width));
            Value::compound(format!("{}[{}]", value.text, at.text), 1, false)
        } else if value.is_net() && reach {
            let at = self.slice(at, 0, clog2(value.width));
            Value::compound(format!("{}[{} +: {width}]", value.text, at.text), width, false)
        } else {
            let width_of_value = value.width;
            let shifted = format!("({} >> {})", value.with_sign(false).text, at.text);
            self.slice(Value::compound(shifted, width_of_value, false), 0, width)
        };
        Ok(part.with_sign(signed))
    }

    fn replace_bit(&mut self, base: &E, at: &E, bit: &E) -> Result<Value> {
        let (value, at) = (self.sized(base)?, self.index(at)?);
        let bit = self.expect(bit, 1, false)?;
        let width = value.width;
        if width == 1 {
            return Ok(bit);
        }
        let wide = format!("{{{}'d0, {}}}", width - 1, bit.text);
        let (mask, new) = match at {
            Operand::Integer(at) => {
                let at = position(&value, &at, width - 1)?;
                let mask = ones(width) ^ (BigUint::from(1u8) << at);
                (sized(&mask, width, false), format!("({wide} << {at})"))
            }
            Operand::Sized(at) | Operand::SignedCast(at) => (format!("(~({width}'d1 << {}))", at.text), format!("({wide} << {})", at.text)),
        };
        Ok(Value::compound(format!("(({} & {mask}) | {new})", value.text), width, false))
    }

    // Operators of two operands.

    fn binary(&mut self, l: &E, op: &Op, r: &E) -> Result<Operand> {
        let (l, r) = (self.operand(l)?, self.operand(r)?);
        if let (Operand::Integer(l), Operand::Integer(r)) = (&l, &r) {
            return of_integers(l, op, r);
        }
        if matches!(op, Op::Shl | Op::Shr) {
            return shift(l, op, r).map(Operand::Sized);
        }
        let (l, r) = match (l, r) {
            (Operand::Sized(l), Operand::Sized(r)) => (l, r),
            (Operand::Sized(l), r) => {
                let r = self.adapt(r, &l)?;
                (l, r)
            }
            (l, Operand::Sized(r)) => (self.adapt(l, &r)?, r),
            (Operand::SignedCast(v), _) | (_, Operand::SignedCast(v)) => return Err(Refusal::LostWidth(v.text)),
            (Operand::Integer(v), _) => return Err(Refusal::NoWidth(v.to_string())),
        };
        if l.signed != r.signed {
            return Err(Refusal::SignsDiffer { left: l.text, right: r.text });
        }
        let signed = l.signed;
        let symbol = operator(op);
        if matches!(op, Op::Mul) {
            let width = l.width + r.width;
            let (l, r) =
                if signed { (self.resize_signed(l, width)?, self.resize_signed(r, width)?) } else { (self.slice(l, 0, width), self.slice(r, 0, width)) };
            return Ok(Operand::Sized(Value::compound(format!("({} * {})", l.text, r.text), width, signed)));
        }
        // `Bits<N> + bool` is the one operator of two widths.
        let r = if matches!(op, Op::Add) && r.width == 1 { self.slice(r, 0, l.width).with_sign(signed) } else { r };
        if l.width != r.width {
            return Err(Refusal::Width { expression: r.text, expected: l.width, found: r.width });
        }
        let compares = matches!(op, Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge);
        let width = if compares { 1 } else { l.width };
        let text = format!("({} {symbol} {})", l.text, r.text);
        Ok(Operand::Sized(Value::compound(text, width, signed && !compares)))
    }

    /// An operand without a width of its own takes that of the other.
    fn adapt(&mut self, operand: Operand, other: &Value) -> Result<Value> {
        match operand {
            Operand::Integer(value) => fit(&value, other.width, other.signed),
            Operand::SignedCast(value) => self.resize_signed(value, other.width),
            Operand::Sized(value) => Ok(value),
        }
    }
}

/// A literal in a given width.
fn fit(value: &BigInt, width: usize, signed: bool) -> Result<Value> {
    let one = BigInt::from(1);
    let fits = if signed {
        let half = one << (width - 1);
        -&half <= *value && *value < half
    } else {
        value.sign() != Sign::Minus && *value < (one << width)
    };
    if !fits {
        return Err(Refusal::LiteralTooBig { value: value.to_string(), width });
    }
    Ok(Value::constant(wrapped(value, width), width, signed))
}

/// A position in a value, `highest` at most.
fn position(value: &Value, at: &BigInt, highest: usize) -> Result<usize> {
    usize::try_from(at).ok().filter(|at| *at <= highest).ok_or_else(|| Refusal::OutOfRange {
        expression: value.text.clone(),
        position: at.to_string(),
        width: value.width,
    })
}

fn shift(l: Operand, op: &Op, r: Operand) -> Result<Value> {
    let amount = match r {
        Operand::Integer(n) => n.to_string(),
        Operand::Sized(v) if !v.signed => v.text,
        Operand::Sized(v) | Operand::SignedCast(v) => {
            return Err(Refusal::NoMeaning { what: "shift by a signed amount", expression: v.text });
        }
    };
    match l {
        Operand::Sized(v) if !v.signed => Ok(Value::compound(format!("({} {} {amount})", v.text, operator(op)), v.width, false)),
        Operand::Sized(v) | Operand::SignedCast(v) => Err(Refusal::NoMeaning { what: "shift of a signed value", expression: v.text }),
        Operand::Integer(v) => Err(Refusal::NoWidth(v.to_string())),
    }
}

fn operator(op: &Op) -> &'static str {
    match op {
        Op::Add => "+",
        Op::Sub => "-",
        Op::Mul => "*",
        Op::LogicalAnd => "&&",
        Op::LogicalOr => "||",
        Op::BitXor => "^",
        Op::BitAnd => "&",
        Op::BitOr => "|",
        Op::Shl => "<<",
        Op::Shr => ">>",
        Op::Eq => "==",
        Op::Ne => "!=",
        Op::Lt => "<",
        Op::Le => "<=",
        Op::Gt => ">",
        Op::Ge => ">=",
    }
}

/// Literals and loop variables among themselves.
fn of_integers(l: &BigInt, op: &Op, r: &BigInt) -> Result<Operand> {
    let amount = || {
        let bad = || Refusal::NoMeaning { what: "shift of literals", expression: format!("{l} by {r}") };
        u16::try_from(r).map_err(|_| bad())
    };
    let integer = match op {
        Op::Add => l + r,
        Op::Sub => l - r,
        Op::Mul => l * r,
        Op::BitAnd => l & r,
        Op::BitOr => l | r,
        Op::BitXor => l ^ r,
        Op::Shl => l << amount()?,
        Op::Shr => l >> amount()?,
        _ => {
            let truth = match op {
                Op::Eq => l == r,
                Op::Ne => l != r,
                Op::Lt => l < r,
                Op::Le => l <= r,
                Op::Gt => l > r,
                Op::Ge => l >= r,
                _ => return Err(Refusal::NoMeaning { what: "&& or || of literals", expression: format!("{l}, {r}") }),
            };
            return Ok(Operand::Sized(Value::constant(u8::from(truth).into(), 1, false)));
        }
    };
    Ok(Operand::Integer(integer))
}
