//! Why a design cannot be printed.

/// A design that cannot be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something in an instance is refused.
    #[error("{instance}: {refusal}")]
    Refused {
        /// Path of the instance from the top, with dots.
        instance: String,
        /// What in it, and why.
        refusal: Refusal,
    },
    /// The thread with the large stack could not be started.
    #[error("no thread with a large stack for elaboration: {0}")]
    Thread(String),
}

/// What would not mean the same in Verilog, or cannot be known any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each is its description")]
pub enum Refusal {
    #[error("`{0}` is no signal, loop variable or enum variant of this module; RustHDL keeps only a constant's name: use a `Constant` field")]
    UnknownName(String),
    #[error("`{0}` cannot be a name in Verilog")]
    BadName(String),
    #[error("`{0}` has no bits")]
    NoBits(String),
    #[error("`{0}`: an index here is made of literals and loop variables")]
    BadIndex(String),
    #[error("bit {position} of the {width} bits of `{expression}`")]
    OutOfRange { expression: String, position: String, width: usize },
    #[error("arithmetic on a signal inside the index `{0}`: RustHDL forgets whether it wraps; assign it to a Local first")]
    IndexArithmetic(String),
    #[error("`{kind}` has no field `{field}`")]
    NoField { kind: String, field: String },
    #[error("`{expression}` has {found} bits where {expected} are needed")]
    Width { expression: String, expected: usize, found: usize },
    #[error("literal {value} does not fit {width} bits")]
    LiteralTooBig { value: String, width: usize },
    #[error("literal {0} has no width here: write bits::<N>({0})")]
    NoWidth(String),
    #[error("RustHDL loses the width of signed_bit_cast({0}): assign it to a Local first")]
    LostWidth(String),
    #[error("`{left}` and `{right}` differ in sign")]
    SignsDiffer { left: String, right: String },
    #[error("{what} of `{expression}`")]
    NoMeaning { what: &'static str, expression: String },
    #[error("`{0}` is read before all of it is assigned")]
    ReadFirst(String),
    #[error("`{0}` is assigned after it was read: RustHDL reads a submodule's input as it is in the end")]
    ReadBack(String),
    #[error("`{0}` is not assigned on every path: it would be a latch")]
    Latch(String),
    #[error("`{0}` is not driven")]
    Undriven(String),
    #[error("`{0}` is driven twice")]
    DrivenTwice(String),
    #[error("`{0}` is assigned, but it is an input of this module, a constant, or the output of a submodule")]
    NotAssignable(String),
    #[error("loop variable `{0}` and field `{0}` look alike in RustHDL's tree")]
    LoopVariable(String),
    #[error("two arms `{0}` in one match: a guard was dropped?")]
    SameArm(String),
    #[error("two different enums have a variant `{0}`")]
    EnumsClash(String),
    #[error("the clock of `{0}` is no plain signal")]
    Clock(String),
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}
