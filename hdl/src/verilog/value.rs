//! Verilog expressions of exactly known width.

use num_bigint::{BigInt, BigUint};
use rust_hdl::prelude::{ast::VerilogLiteral, clog2, TypeDescriptor, TypeKind};

/// A Verilog primary whose own width and sign are those of the Rust value.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) width: usize,
    pub(super) signed: bool,
    pub(super) shape: Shape,
    /// The signal, and the offset in it, if these are bits of one as they stand.
    pub(super) origin: Option<(String, usize)>,
}

/// What kind of primary.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A name: its bits may be selected in place.
    Net,
    /// In parentheses, a concatenation or a call.
    Compound,
    /// A value known now.
    Constant(BigUint),
}

/// An operand before its context is known.
pub(super) enum Operand {
    /// Knows its width.
    Sized(Value),
    /// A literal or a loop variable: takes the width of its context.
    Integer(BigInt),
    /// `signed_bit_cast::<M, N>(x)`, of which RustHDL keeps `x` alone: takes the width of its context.
    SignedCast(Value),
}

impl Value {
    pub(super) fn net(text: String, width: usize, signed: bool) -> Self {
        Value { text, width, signed, shape: Shape::Net, origin: None }
    }

    pub(super) fn compound(text: String, width: usize, signed: bool) -> Self {
        Value { text, width, signed, shape: Shape::Compound, origin: None }
    }

    pub(super) fn constant(value: BigUint, width: usize, signed: bool) -> Self {
        Value { text: sized(&value, width, signed), width, signed, shape: Shape::Constant(value), origin: None }
    }

    /// The same bits with this sign.
    pub(super) fn with_sign(self, signed: bool) -> Self {
        if self.signed == signed {
            return self;
        }
        match self.shape {
            Shape::Constant(value) => Value::constant(value, self.width, signed),
            _ if signed => Value::compound(format!("$signed({})", self.text), self.width, true),
            _ => Value::compound(format!("$unsigned({})", self.text), self.width, false),
        }
    }

    pub(super) fn is_net(&self) -> bool {
        matches!(self.shape, Shape::Net)
    }

    pub(super) fn known(&self) -> Option<&BigUint> {
        match &self.shape {
            Shape::Constant(value) => Some(value),
            _ => None,
        }
    }
}

/// Width of a type in bits.
pub(super) fn width_of(ty: &TypeDescriptor) -> usize {
    match &ty.kind {
        TypeKind::Bits(n) | TypeKind::Signed(n) => *n,
        TypeKind::Enum(variants) => clog2(variants.len()),
        TypeKind::Composite(fields) => fields.iter().map(|f| width_of(&f.kind)).sum(),
    }
}

/// Whether values of a type are signed.
pub(super) fn is_signed(ty: &TypeDescriptor) -> bool {
    matches!(ty.kind, TypeKind::Signed(_))
}

/// `[7:0] ` in a declaration, nothing for one bit.
pub(super) fn range(width: usize) -> String {
    if width == 1 {
        String::new()
    } else {
        format!("[{}:0] ", width - 1)
    }
}

/// `[11:8]` behind a name, nothing for all of it.
pub(super) fn select(at: usize, width: usize, of: usize) -> String {
    match width {
        _ if width == of => String::new(),
        1 => format!("[{at}]"),
        _ => format!("[{}:{at}]", at + width - 1),
    }
}

/// A sized literal.
pub(super) fn sized(value: &BigUint, width: usize, signed: bool) -> String {
    let s = if signed { "s" } else { "" };
    if value.bits() <= 3 {
        format!("{width}'{s}d{value}")
    } else {
        format!("{width}'{s}h{value:x}")
    }
}

/// `width` ones.
pub(super) fn ones(width: usize) -> BigUint {
    (BigUint::from(1u8) << width) - 1u8
}

/// The two's complement of a value in `width` bits.
pub(super) fn wrapped(value: &BigInt, width: usize) -> BigUint {
    let span = BigInt::from(1) << width;
    let (_, magnitude) = (((value % &span) + &span) % &span).into_parts();
    magnitude
}

/// Width and value of a literal, which RustHDL tells only as text.
pub(super) fn literal(literal: &VerilogLiteral) -> (usize, BigInt) {
    parse_hex(&format!("{literal:x}")).unwrap_or_default()
}

/// Parses `8'hff`.
pub(super) fn parse_hex(text: &str) -> Option<(usize, BigInt)> {
    let (width, digits) = text.split_once("'h")?;
    Some((width.parse().ok()?, BigInt::parse_bytes(digits.as_bytes(), 16)?))
}
