//! What the names in a kernel stand for.
//!
//! RustHDL's tree has names as text made from Rust tokens: `m[k+1]$data`, `state$val()$flow$seq`,
//! `crate$St$Idle`, `count$d$next`.

use super::error::Refusal;
use super::tree::Node;
use super::value::{is_signed, literal, width_of, wrapped};
use num_bigint::{BigInt, BigUint};
use rust_hdl::prelude::{AtomKind, TypeDescriptor, TypeKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Input,
    Output,
    Local,
    Constant,
    /// An input of a submodule, which this module drives.
    ChildInput,
    /// An output of a submodule.
    ChildOutput,
    /// What a flip-flop holds.
    Register,
}

/// A net: a signal, or a field of one.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) net: String,
    /// Offset in the signal.
    pub(super) at: usize,
    pub(super) width: usize,
}

/// A signal or a constant of a module.
#[derive(Debug, Clone)]
pub(super) struct Symbol {
    /// Its name in Verilog.
    pub(super) net: String,
    /// Its fields, if the kernel uses one of them by itself; else the signal as a whole. The lowest first.
    pub(super) leaves: Vec<Leaf>,
    pub(super) role: Role,
    pub(super) ty: TypeDescriptor,
    pub(super) width: usize,
    /// The value of a constant.
    pub(super) value: Option<BigUint>,
}

impl Symbol {
    pub(super) fn signed(&self) -> bool {
        is_signed(&self.ty)
    }

    /// Whether its fields are nets of their own.
    pub(super) fn is_split(&self) -> bool {
        self.leaves.first().is_some_and(|l| l.width < self.width)
    }

    /// Whether its fields are all there is: what comes in as a whole has a net as a whole.
    pub(super) fn only_fields(&self) -> bool {
        self.is_split() && !(self.role == Role::Input || self.role == Role::ChildOutput)
    }

    /// The nets that hold some of its bits.
    pub(super) fn pieces(&self, at: usize, width: usize) -> impl DoubleEndedIterator<Item = &Leaf> {
        self.leaves.iter().filter(move |l| l.at < at + width && at < l.at + l.width)
    }

    /// Whether this module drives it.
    pub(super) fn driven_here(&self) -> bool {
        matches!(self.role, Role::Output | Role::Local | Role::ChildInput)
    }
}

/// A value of an enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) width: usize,
    pub(super) value: usize,
    /// How many its enum has.
    pub(super) of: usize,
}

/// The names of one module.
#[derive(Default)]
pub(super) struct Scope {
    /// In the order of the declarations.
    pub(super) order: Vec<String>,
    pub(super) symbols: HashMap<String, Symbol>,
    /// `Enum$Variant`.
    pub(super) variants: BTreeMap<String, Variant>,
}

impl Scope {
    /// The names of an instance: its own, and the ports of its submodules as `child$port`. The fields of the signals in
    /// `split` become nets.
    pub(super) fn of(node: &Node, split: &BTreeSet<String>) -> Result<Self, Refusal> {
        let mut scope = Scope::default();
        for port in &node.ports {
            let role = match port.kind {
                AtomKind::InputParameter => Role::Input,
                AtomKind::OutputParameter => Role::Output,
                AtomKind::Constant => Role::Constant,
                AtomKind::LocalSignal => Role::Local,
                _ => return Err(Refusal::Unsupported("a port that is both input and output")),
            };
            let value = (role == Role::Constant).then(|| wrapped(&literal(&port.value).1, width_of(&port.ty)));
            let net = if role == Role::Local { spelled(&port.name) } else { port.name.clone() };
            scope.add(port.name.clone(), net, role, &port.ty, value)?;
        }
        for child in &node.children {
            for port in &child.ports {
                let key = format!("{}${}", child.name, port.name);
                let (role, net) = match (port.kind, port.name.as_str(), &child.flip_flop) {
                    // A flip-flop is a register with the name of its field.
                    (AtomKind::OutputParameter, "q", Some(_)) => (Role::Register, spelled(&child.name)),
                    (AtomKind::InputParameter, ..) => (Role::ChildInput, key.clone()),
                    (AtomKind::OutputParameter, ..) => (Role::ChildOutput, key.clone()),
                    (AtomKind::Constant | AtomKind::LocalSignal, ..) => continue,
                    _ => return Err(Refusal::Unsupported("a port that is both input and output")),
                };
                scope.add(key, net, role, &port.ty, None)?;
            }
        }
        for key in split {
            // Both sides of a flip-flop are split if one is.
            let twin = match key.rsplit_once('$') {
                Some((cell, "d")) => Some(format!("{cell}$q")),
                Some((cell, "q")) => Some(format!("{cell}$d")),
                _ => None,
            };
            let is_flip_flop = twin.as_ref().is_some_and(|t| [key, t].iter().any(|k| scope.role(k) == Some(Role::Register)));
            for key in [Some(key.clone()), twin.filter(|_| is_flip_flop)].into_iter().flatten() {
                if let Some(symbol) = scope.symbols.get_mut(&key) {
                    symbol.leaves = leaves(&symbol.ty, &symbol.net);
                }
            }
        }
        Ok(scope)
    }

    fn role(&self, key: &str) -> Option<Role> {
        self.symbols.get(key).map(|s| s.role)
    }

    fn add(&mut self, key: String, net: String, role: Role, ty: &TypeDescriptor, value: Option<BigUint>) -> Result<(), Refusal> {
        let width = width_of(ty);
        if width == 0 {
            return Err(Refusal::NoBits(key));
        }
        check_name(&net)?;
        self.add_variants(ty)?;
        self.order.push(key.clone());
        let leaves = vec![Leaf { net: net.clone(), at: 0, width }];
        self.symbols.insert(key, Symbol { net, leaves, role, ty: ty.clone(), width, value });
        Ok(())
    }

    /// A variant's name has no path: two enums of one name in a module must be alike.
    fn add_variants(&mut self, ty: &TypeDescriptor) -> Result<(), Refusal> {
        match &ty.kind {
            TypeKind::Enum(names) => {
                for (value, name) in names.iter().enumerate() {
                    let new = Variant { width: width_of(ty), value, of: names.len() };
                    let old = self.variants.insert(name.replace("::", "$"), new);
                    if old.is_some_and(|old| old != new) {
                        return Err(Refusal::EnumsClash(name.clone()));
                    }
                }
                Ok(())
            }
            TypeKind::Composite(fields) => fields.iter().try_for_each(|f| self.add_variants(&f.kind)),
            TypeKind::Bits(_) | TypeKind::Signed(_) => Ok(()),
        }
    }

    /// `crate$parser$St$A` is `St$A`.
    pub(super) fn variant(&self, name: &str) -> Option<(String, Variant)> {
        let parts: Vec<&str> = name.split('$').collect();
        let key = parts.get(parts.len().checked_sub(2)?..)?.join("$");
        self.variants.get(&key).map(|v| (key, *v))
    }

    pub(super) fn symbol(&self, key: &str) -> Result<&Symbol, Refusal> {
        self.symbols.get(key).ok_or_else(|| Refusal::UnknownName(key.to_owned()))
    }
}

/// The loop variables around a statement, with their values.
#[derive(Default)]
pub(super) struct Loops(Vec<(String, BigInt)>);

impl Loops {
    pub(super) fn push(&mut self, name: &str, value: usize) {
        self.0.push((name.to_owned(), value.into()));
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    pub(super) fn value(&self, name: &str) -> Option<&BigInt> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// `m[k+1]$data` is `m$3$data` with the values of this moment.
    pub(super) fn key(&self, raw: &str) -> Result<String, Refusal> {
        let bad = || Refusal::BadIndex(raw.to_owned());
        let (mut key, mut rest) = (String::new(), raw.trim_start_matches('.'));
        while let Some((before, after)) = rest.split_once('[') {
            let (index, after) = after.split_once(']').ok_or_else(bad)?;
            let index = syn::parse_str(index).ok().and_then(|e| self.evaluate(&e)).ok_or_else(bad)?;
            key += &format!("{before}${index}");
            rest = after;
        }
        Ok((key + rest).replace('.', "$"))
    }

    fn evaluate(&self, e: &syn::Expr) -> Option<BigInt> {
        match e {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(i), .. }) => i.base10_digits().parse().ok(),
            syn::Expr::Paren(p) => self.evaluate(&p.expr),
            syn::Expr::Path(p) => self.value(&p.path.get_ident()?.to_string()).cloned(),
            syn::Expr::Binary(b) => {
                let (l, r) = (self.evaluate(&b.left)?, self.evaluate(&b.right)?);
                match b.op {
                    syn::BinOp::Add(_) => Some(l + r),
                    syn::BinOp::Sub(_) => Some(l - r),
                    syn::BinOp::Mul(_) => Some(l * r),
                    syn::BinOp::Div(_) => l.checked_div(&r),
                    syn::BinOp::Rem(_) if r != BigInt::default() => Some(l % r),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The fields of a type, and those in them, each a net.
fn leaves(ty: &TypeDescriptor, net: &str) -> Vec<Leaf> {
    let TypeKind::Composite(fields) = &ty.kind else {
        return vec![Leaf { net: net.to_owned(), at: 0, width: width_of(ty) }];
    };
    let (mut all, mut offset) = (vec![], 0);
    for f in fields {
        let inner = leaves(&f.kind, &format!("{net}${}", f.fieldname));
        all.extend(inner.into_iter().map(|l| Leaf { at: l.at + offset, ..l }));
        offset += width_of(&f.kind);
    }
    all
}

/// Offset and type of the nested field `p$lo` of a type; the first field is the lowest.
pub(super) fn field(ty: &TypeDescriptor, path: &str) -> Result<(usize, TypeDescriptor), Refusal> {
    let (mut at, mut ty) = (0, ty);
    for name in path.split('$') {
        let missing = || Refusal::NoField { kind: ty.name.clone(), field: name.to_owned() };
        let TypeKind::Composite(fields) = &ty.kind else {
            return Err(missing());
        };
        let position = fields.iter().position(|f| f.fieldname == name).ok_or_else(missing)?;
        at += fields.iter().take(position).map(|f| width_of(&f.kind)).sum::<usize>();
        ty = &fields[position].kind;
    }
    Ok((at, ty.clone()))
}

/// Whether the field of a struct at this place is signed: RustHDL reads a field as a slice.
pub(super) fn field_signed(ty: &TypeDescriptor, at: usize, width: usize) -> bool {
    let TypeKind::Composite(fields) = &ty.kind else {
        return false;
    };
    let mut offset = 0;
    for f in fields {
        if offset == at && width_of(&f.kind) == width {
            return is_signed(&f.kind);
        }
        offset += width_of(&f.kind);
    }
    false
}

/// A name for something inside a module: one that is reserved gets a `_` behind it.
pub(super) fn spelled(name: &str) -> String {
    if is_reserved(name) {
        format!("{name}_")
    } else {
        name.to_owned()
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.split_whitespace().any(|word| word == name)
}

/// Refuses what is no name, or one that Verilog or SystemVerilog reserves.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if legal && !is_reserved(name) {
        Ok(())
    } else {
        Err(Refusal::BadName(name.to_owned()))
    }
}

/// Words that RustHDL accepts as names of fields, and Verilog or SystemVerilog does not.
const RESERVED: &str = "
    alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins binsof bit break buf bufif0
    bufif1 byte case casex casez cell chandle checker class clocking cmos config const constraint context continue cover covergroup
    coverpoint cross deassign default defparam design disable dist do edge else end endcase endchecker endclass endclocking endconfig
    endfunction endgenerate endgroup endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify endtable
    endtask enum event eventually expect export extends extern final first_match for force foreach forever fork forkjoin function generate
    genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input inside
    instance int integer interconnect interface intersect join join_any join_none large let liblist library local localparam logic longint
    macromodule matches medium modport module nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1 null or output
    package packed parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup pulsestyle_ondetect
    pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos
    rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
    signed small soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on
    sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
    type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0
    weak1 while wildcard wire with within wor xnor xor";
