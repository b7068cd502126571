//! A module's text, and the sharing of equal modules.

use super::error::{Error, Refusal};
use super::kernel::{Kernel, Printed};
use super::process::{all_reads, split, Process};
use super::scope::{check_name, spelled, Leaf, Role, Scope, Symbol};
use super::tree::{collect, Node, Port};
use super::value::{ones, range, select, sized};
use super::{Module, Verilog as Output};
use rust_hdl::prelude::{Block, Verilog};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

/// Prints a design.
pub(super) fn print(top: &str, uut: &dyn Block) -> Result<Output, Error> {
    let refused = |refusal| Error::Refused { instance: top.to_owned(), refusal };
    check_name(top).map_err(refused)?;
    let node = collect(top, uut).ok_or_else(|| refused(Refusal::Unsupported("a design that is not one block")))?;
    let mut printer = Printer::default();
    printer.taken.insert(top.to_owned());
    printer.module(&node)?;
    Ok(Output { modules: printer.modules })
}

#[derive(Default)]
struct Printer {
    /// The text of a module without its name, and its name.
    names: HashMap<String, String>,
    taken: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Printer {
    /// Prints a module and what it is made of, or finds that one like it is printed; tells its name.
    fn module(&mut self, node: &Node) -> Result<String, Error> {
        let kinds = node.modules().map(|child| self.module(child)).collect::<Result<Vec<_>, _>>()?;
        let body = Body::print(node, &kinds).map_err(|refusal| Error::Refused { instance: node.path.clone(), refusal })?;
        if let Some(name) = self.names.get(&body) {
            return Ok(name.clone());
        }
        let name = self.name(node);
        self.modules.push(Module { name: name.clone(), text: format!("module {name}{body}") });
        self.names.insert(body, name.clone());
        Ok(name)
    }

    /// The field's name, with as much of the path before it as makes it unique.
    fn name(&mut self, node: &Node) -> String {
        let Some((path, _)) = node.path.rsplit_once('.') else {
            return node.name.clone();
        };
        let trim = |part: &str| part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '$').replace('$', "_");
        let mut name = spelled(&node.field().replace('$', "_"));
        let parents: Vec<&str> = path.split('.').skip(1).collect();
        for parent in parents.iter().rev() {
            if self.free(&name) {
                break;
            }
            name = format!("{}_{name}", trim(parent));
        }
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        let name = std::iter::once(name.clone()).chain(numbered).find(|n| self.free(n)).unwrap_or(name);
        self.taken.insert(name.clone());
        name
    }

    fn free(&self, name: &str) -> bool {
        check_name(name).is_ok() && !self.taken.contains(name)
    }
}

/// A module from its ports on.
struct Body<'a> {
    node: &'a Node,
    scope: Scope,
    named: BTreeSet<String>,
    /// Nets driven in the kernel.
    driven: BTreeSet<String>,
    /// Nets read in the kernel.
    reads: BTreeSet<String>,
    /// Nets driven by an `always` block.
    regs: BTreeSet<String>,
    /// Inputs of submodules and flip-flops that are an expression, with no net of their own.
    connections: BTreeMap<String, String>,
    text: String,
}

impl<'a> Body<'a> {
    fn print(node: &'a Node, kinds: &[String]) -> Result<String, Refusal> {
        let mut body = Body {
            node,
            scope: Scope::of(node, &BTreeSet::new())?,
            named: BTreeSet::new(),
            driven: BTreeSet::new(),
            reads: BTreeSet::new(),
            regs: BTreeSet::new(),
            connections: BTreeMap::new(),
            text: String::new(),
        };
        match &node.code {
            Verilog::Combinatorial(block) => {
                let mut printed = Kernel::print(&body.scope, block)?;
                if !printed.by_field.is_empty() {
                    // Now that it is known which structs are used by their fields, these become nets.
                    body.scope = Scope::of(node, &printed.by_field)?;
                    printed = Kernel::print(&body.scope, block)?;
                }
                body.kernel(printed, kinds)?;
            }
            Verilog::Custom(text) => body.verbatim(text)?,
            Verilog::Empty => return Err(Refusal::Unsupported("a block without a kernel")),
            Verilog::Blackbox(_) | Verilog::Wrapper(_) => return Err(Refusal::Unsupported("a black box")),
        }
        body.text += "endmodule\n";
        Ok(body.text)
    }

    fn line(&mut self, text: &str) {
        self.text += "    ";
        self.text += text;
        self.text += "\n";
    }

    fn own(&self) -> impl Iterator<Item = (&String, &Symbol)> {
        self.scope.order.iter().filter_map(|key| Some((key, self.scope.symbols.get(key)?)))
    }

    /// Verilog that a cell of our own gives: its outputs and locals are registers.
    fn verbatim(&mut self, text: &str) -> Result<(), Refusal> {
        if self.node.children.iter().any(|_| true) {
            return Err(Refusal::Unsupported("a submodule of a block with Verilog of its own"));
        }
        self.regs = self.own().filter(|(_, s)| s.driven_here()).map(|(_, s)| s.net.clone()).collect();
        self.named = self.own().map(|(key, _)| key.clone()).chain(self.scope.variants.keys().cloned()).collect();
        self.ports();
        self.constants();
        let locals: Vec<String> = self.own().filter(|(_, s)| s.role == Role::Local).map(|(_, s)| declare("reg", s)).collect();
        locals.iter().for_each(|l| self.line(l));
        text.trim_end().lines().for_each(|l| self.line(l));
        Ok(())
    }

    fn kernel(&mut self, printed: Printed, kinds: &[String]) -> Result<(), Refusal> {
        let Printed { chunks, functions, named, .. } = printed;
        self.named = named;
        self.driven = chunks.iter().flat_map(|c| c.writes.iter().cloned()).collect();
        self.check_driven()?;
        self.reads = all_reads(&chunks);
        let mut processes = split(chunks);
        self.connect(&mut processes);
        self.regs = processes
            .iter()
            .filter_map(|p| match p {
                Process::Always { writes, .. } => Some(writes.iter().cloned()),
                Process::Assign { .. } => None,
            })
            .flatten()
            .collect();

        self.ports();
        self.constants();
        self.declarations();
        for function in functions.values() {
            self.line(function);
        }
        self.instances(kinds);
        self.processes(processes);
        self.assembled();
        self.flip_flops()
    }

    fn check_driven(&self) -> Result<(), Refusal> {
        let must = |s: &Symbol| matches!(s.role, Role::Output | Role::ChildInput);
        let undriven = self.own().find(|(_, s)| must(s) && !s.leaves.iter().all(|l| self.driven.contains(&l.net)));
        match undriven {
            Some((_, symbol)) => Err(Refusal::Undriven(symbol.net.clone())),
            None => Ok(()),
        }
    }

    /// Takes out the assignments that become connections of a port.
    fn connect(&mut self, processes: &mut Vec<Process>) {
        let inputs = self.scope.symbols.values().filter(|s| s.role == Role::ChildInput).flat_map(|s| &s.leaves);
        let inputs: BTreeSet<String> = inputs.map(|l| l.net.clone()).filter(|net| !self.reads.contains(net)).collect();
        processes.retain_mut(|process| {
            let Process::Assign { net, value, .. } = process else {
                return true;
            };
            let inline = inputs.contains(net);
            if inline {
                self.connections.insert(std::mem::take(net), std::mem::take(value));
            }
            !inline
        });
    }

    fn ports(&mut self) {
        let ports: Vec<String> = self
            .own()
            .filter_map(|(_, s)| {
                let class = match s.role {
                    Role::Input => "input wire",
                    Role::Output if self.regs.contains(&s.net) => "output reg",
                    Role::Output => "output wire",
                    _ => return None,
                };
                Some(format!("    {}", declare(class, s).trim_end_matches(';')))
            })
            .collect();
        self.text += &format!("(\n{}\n);\n", ports.join(",\n"));
    }

    /// Constants and values of enums that are named.
    fn constants(&mut self) {
        let constants = self.own().filter_map(|(key, s)| Some((key, s, s.value.as_ref()?)));
        let constants = constants.filter(|(key, ..)| self.named.contains(*key)).map(|(_, s, value)| {
            let sign = if s.signed() { "signed " } else { "" };
            format!("localparam {sign}{}{} = {};", range(s.width), s.net, sized(value, s.width, s.signed()))
        });
        let variants = self
            .scope
            .variants
            .iter()
            .filter(|(name, _)| self.named.contains(*name))
            .map(|(name, v)| format!("localparam {}{name} = {};", range(v.width), sized(&v.value.into(), v.width, false)));
        let lines: Vec<String> = constants.chain(variants).collect();
        lines.iter().for_each(|l| self.line(l));
    }

    fn declarations(&mut self) {
        let mut lines = vec![];
        for (_, s) in self.own() {
            let needed: Vec<&Leaf> = s.leaves.iter().filter(|l| self.is_declared(s, l)).collect();
            if s.role == Role::ChildOutput && s.is_split() && (!needed.is_empty() || self.reads.contains(&s.net)) {
                lines.push(declare("wire", s));
            }
            for leaf in needed {
                lines.push(match s.role {
                    Role::Input | Role::ChildOutput if s.is_split() => {
                        format!("wire {}{} = {}{};", range(leaf.width), leaf.net, s.net, select(leaf.at, leaf.width, s.width))
                    }
                    _ if s.is_split() => format!("{} {}{};", self.class(&leaf.net, s.role), range(leaf.width), leaf.net),
                    _ => declare(self.class(&leaf.net, s.role), s),
                });
            }
        }
        lines.iter().for_each(|l| self.line(l));
    }

    fn is_declared(&self, symbol: &Symbol, leaf: &Leaf) -> bool {
        match symbol.role {
            Role::Register => true,
            Role::ChildOutput => self.reads.contains(&leaf.net),
            Role::Input => symbol.is_split() && self.reads.contains(&leaf.net),
            Role::Output => symbol.is_split(),
            Role::ChildInput => !self.connections.contains_key(&leaf.net),
            Role::Local => self.driven.contains(&leaf.net),
            Role::Constant => false,
        }
    }

    fn class(&self, net: &str, role: Role) -> &'static str {
        if role == Role::Register || self.regs.contains(net) {
            "reg"
        } else {
            "wire"
        }
    }

    /// What drives a net that may have become an expression.
    fn source<'b>(&'b self, net: &'b str) -> &'b str {
        self.connections.get(net).map_or(net, String::as_str)
    }

    /// All of a signal from its nets.
    fn whole(&self, symbol: &Symbol) -> String {
        match symbol.leaves.as_slice() {
            [leaf] => self.source(&leaf.net).to_owned(),
            leaves => {
                let parts: Vec<&str> = leaves.iter().rev().map(|l| self.source(&l.net)).collect();
                format!("{{{}}}", parts.join(", "))
            }
        }
    }

    /// A submodule's instances. An output that is not read is left open.
    fn instances(&mut self, kinds: &[String]) {
        let node = self.node;
        for (child, kind) in node.modules().zip(kinds) {
            let pin = |port: &Port| {
                let symbol = self.scope.symbols.get(&format!("{}${}", child.name, port.name))?;
                let read = |net: &String| self.reads.contains(net);
                let net = match symbol.role {
                    Role::ChildOutput if read(&symbol.net) || symbol.leaves.iter().any(|l| read(&l.net)) => symbol.net.clone(),
                    Role::ChildOutput => String::new(),
                    _ => self.whole(symbol),
                };
                Some(format!("        .{}({net})", port.name))
            };
            let pins: Vec<String> = child.ports.iter().filter_map(pin).collect();
            self.line(&format!("{kind} {} (\n{}\n    );", spelled(&child.name), pins.join(",\n")));
        }
    }

    fn processes(&mut self, processes: Vec<Process>) {
        for process in processes {
            match process {
                Process::Assign { net, value, comments } => {
                    comments.iter().for_each(|c| self.line(c));
                    self.line(&format!("assign {net} = {value};"));
                }
                Process::Always { lines, .. } => {
                    self.line("always @(*) begin");
                    lines.iter().for_each(|l| self.line(&format!("    {l}")));
                    self.line("end");
                }
            }
        }
    }

    /// Outputs of which the fields are nets.
    fn assembled(&mut self) {
        let outputs = self.own().filter(|(_, s)| s.role == Role::Output && s.is_split());
        let lines: Vec<String> = outputs.map(|(_, s)| format!("assign {} = {};", s.net, self.whole(s))).collect();
        lines.iter().for_each(|l| self.line(l));
    }

    /// RustHDL's flip-flops: one block for each clock.
    fn flip_flops(&mut self) -> Result<(), Refusal> {
        let node = self.node;
        let mut initial = String::new();
        let mut clocks: BTreeMap<String, String> = BTreeMap::new();
        for (child, value) in node.flip_flops() {
            let port = |name: &str| self.scope.symbol(&format!("{}${name}", child.name));
            let clock = self.whole(port("clock")?);
            if check_name(&clock).is_err() {
                return Err(Refusal::Clock(child.name.clone()));
            }
            for (q, d) in port("q")?.leaves.iter().zip(&port("d")?.leaves) {
                let first = (value >> q.at) & ones(q.width);
                // Writing to a string cannot fail.
                let _ = writeln!(initial, "        {} = {};", q.net, sized(&first, q.width, false));
                let _ = writeln!(clocks.entry(clock.clone()).or_default(), "        {} <= {};", q.net, self.source(&d.net));
            }
        }
        if !initial.is_empty() {
            self.text += &format!("    initial begin\n{initial}    end\n");
        }
        for (clock, registers) in clocks {
            self.text += &format!("    always @(posedge {clock}) begin\n{registers}    end\n");
        }
        Ok(())
    }
}

fn declare(class: &str, s: &Symbol) -> String {
    let sign = if s.signed() { "signed " } else { "" };
    format!("{class} {sign}{}{};", range(s.width), s.net)
}
