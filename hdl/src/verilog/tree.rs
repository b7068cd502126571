//! The instances of a design, collected through RustHDL's `Probe`.

use super::value::parse_hex;
use num_bigint::BigUint;
use rust_hdl::prelude::{ast, Atom, AtomKind, Block, Probe, TypeDescriptor, Verilog};

/// A signal or a constant of an instance.
pub(super) struct Port {
    /// Name with its interface before it: `s$data`.
    pub(super) name: String,
    pub(super) kind: AtomKind,
    pub(super) ty: TypeDescriptor,
    pub(super) value: ast::VerilogLiteral,
}

/// An instance.
pub(super) struct Node {
    /// Name in the parent; `$3` at its end for an element of an array.
    pub(super) name: String,
    /// Path from the top, with dots.
    pub(super) path: String,
    pub(super) ports: Vec<Port>,
    pub(super) code: Verilog,
    pub(super) children: Vec<Node>,
    /// The initial value, if this is RustHDL's flip-flop.
    pub(super) flip_flop: Option<BigUint>,
}

impl Node {
    /// The modules in it: flip-flops become registers of their owner instead.
    pub(super) fn modules(&self) -> impl Iterator<Item = &Node> {
        self.children.iter().filter(|c| c.flip_flop.is_none())
    }

    /// The flip-flops in it, with their initial values.
    pub(super) fn flip_flops(&self) -> impl Iterator<Item = (&Node, &BigUint)> {
        self.children.iter().filter_map(|c| Some((c, c.flip_flop.as_ref()?)))
    }

    /// Name of the field that holds it, without an array's index.
    pub(super) fn field(&self) -> &str {
        self.name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '$')
    }
}

/// Walks a design.
pub(super) fn collect(name: &str, uut: &dyn Block) -> Option<Node> {
    let mut collector = Collector::default();
    uut.accept(name, &mut collector);
    collector.top
}

#[derive(Default)]
struct Collector {
    /// The instances around this point, each with the interfaces around this point in it.
    open: Vec<(Node, Vec<String>)>,
    top: Option<Node>,
}

impl Collector {
    fn local_name(&self, name: &str) -> String {
        let interfaces = self.open.last().map_or(&[][..], |(_, names)| names);
        interfaces.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("$")
    }
}

impl Probe for Collector {
    fn visit_start_scope(&mut self, name: &str, block: &dyn Block) {
        let name = self.local_name(name);
        let path = match self.open.last() {
            Some((parent, _)) => format!("{}.{name}", parent.path),
            None => name.clone(),
        };
        let code = block.hdl();
        let flip_flop = initial_value(block, &code);
        let node = Node { name, path, ports: vec![], code, children: vec![], flip_flop };
        self.open.push((node, vec![]));
    }

    fn visit_end_scope(&mut self, _: &str, _: &dyn Block) {
        let Some((node, _)) = self.open.pop() else {
            return;
        };
        match self.open.last_mut() {
            Some((parent, _)) => parent.children.push(node),
            None => self.top = Some(node),
        }
    }

    fn visit_start_namespace(&mut self, name: &str, _: &dyn Block) {
        if let Some((_, interfaces)) = self.open.last_mut() {
            interfaces.push(name.to_owned());
        }
    }

    fn visit_end_namespace(&mut self, _: &str, _: &dyn Block) {
        if let Some((_, interfaces)) = self.open.last_mut() {
            interfaces.pop();
        }
    }

    fn visit_atom(&mut self, name: &str, atom: &dyn Atom) {
        let name = self.local_name(name);
        let port = Port { name, kind: atom.kind(), ty: atom.descriptor(), value: atom.verilog() };
        if let Some((node, _)) = self.open.last_mut() {
            node.ports.push(port);
        }
    }
}

/// The initial value of RustHDL's `DFF`. It tells itself by its timing, and by Verilog of one known form.
fn initial_value(block: &dyn Block, code: &Verilog) -> Option<BigUint> {
    let Verilog::Custom(text) = code else {
        return None;
    };
    if block.timing().first()?.name != "dff" {
        return None;
    }
    let text: String = text.split_whitespace().collect();
    let value = text.strip_prefix("initialbeginq=")?.strip_suffix(";endalways@(posedgeclock)beginq<=d;end")?;
    parse_hex(value)?.1.to_biguint()
}
