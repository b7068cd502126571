//! A module's text, and the sharing of equal modules.

use super::error::{Error, Refusal};
use super::kernel::{Kernel, Printed};
use super::process::{all_reads, split, Process};
use super::scope::{check_name, spelled, Role, Scope, Symbol};
use super::tree::{collect, Node};
use super::value::{range, sized};
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
    /// Signals driven in the kernel.
    driven: BTreeSet<String>,
    /// Signals read in the kernel.
    reads: BTreeSet<String>,
    /// Signals driven by an `always` block.
    regs: BTreeSet<String>,
    /// Inputs of submodules and flip-flops connected to an expression, with no net of their own.
    connections: BTreeMap<String, String>,
    text: String,
}

impl<'a> Body<'a> {
    fn print(node: &'a Node, kinds: &[String]) -> Result<String, Refusal> {
        let scope = Scope::of(node)?;
        let mut body = Body {
            node,
            scope,
            named: BTreeSet::new(),
            driven: BTreeSet::new(),
            reads: BTreeSet::new(),
            regs: BTreeSet::new(),
            connections: BTreeMap::new(),
            text: String::new(),
        };
        match &node.code {
            Verilog::Combinatorial(block) => {
                let printed = Kernel::print(&body.scope, block)?;
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
        self.regs = self.own().filter(|(_, s)| s.driven_here()).map(|(key, _)| key.clone()).collect();
        self.named = self.own().map(|(key, _)| key.clone()).chain(self.scope.variants.keys().cloned()).collect();
        self.ports();
        self.constants();
        let locals: Vec<String> = self.own().filter(|(_, s)| s.role == Role::Local).map(|(_, s)| declare("reg", s)).collect();
        locals.iter().for_each(|l| self.line(l));
        text.trim_end().lines().for_each(|l| self.line(l));
        Ok(())
    }

    fn kernel(&mut self, printed: Printed, kinds: &[String]) -> Result<(), Refusal> {
        let Printed { chunks, functions, named } = printed;
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
        self.flip_flops()
    }

    fn check_driven(&self) -> Result<(), Refusal> {
        let must = |s: &Symbol| matches!(s.role, Role::Output | Role::ChildInput);
        let undriven = self.own().find(|(key, s)| must(s) && !self.driven.contains(*key));
        match undriven {
            Some((_, symbol)) => Err(Refusal::Undriven(symbol.net.clone())),
            None => Ok(()),
        }
    }

    /// Takes out the assignments that become connections of a port.
    fn connect(&mut self, processes: &mut Vec<Process>) {
        processes.retain_mut(|process| {
            let Process::Assign { key, value, .. } = process else {
                return true;
            };
            let inline = self.scope.symbols.get(key).is_some_and(|s| s.role == Role::ChildInput) && !self.reads.contains(key);
            if inline {
                self.connections.insert(std::mem::take(key), std::mem::take(value));
            }
            !inline
        });
    }

    fn ports(&mut self) {
        let ports: Vec<String> = self
            .own()
            .filter_map(|(key, s)| {
                let class = match s.role {
                    Role::Input => "input wire",
                    Role::Output if self.regs.contains(key) => "output reg",
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
        let registers: BTreeSet<String> = self.node.flip_flops().map(|(c, _)| format!("{}$q", c.name)).collect();
        let lines: Vec<String> = self
            .own()
            .filter_map(|(key, s)| match s.role {
                Role::ChildOutput if registers.contains(key) => Some(declare("reg", s)),
                Role::ChildOutput if !self.reads.contains(key) => None,
                Role::ChildInput if self.connections.contains_key(key) => None,
                Role::Local if !self.driven.contains(key) => None,
                Role::Local | Role::ChildInput | Role::ChildOutput => Some(declare(if self.regs.contains(key) { "reg" } else { "wire" }, s)),
                Role::Input | Role::Output | Role::Constant => None,
            })
            .collect();
        lines.iter().for_each(|l| self.line(l));
    }

    /// A submodule's instances. An output that is not read is left open.
    fn instances(&mut self, kinds: &[String]) {
        let node = self.node;
        for (child, kind) in node.modules().zip(kinds) {
            let pins: Vec<String> = child
                .ports
                .iter()
                .filter_map(|port| {
                    let key = format!("{}${}", child.name, port.name);
                    let symbol = self.scope.symbols.get(&key)?;
                    let net = match (self.connections.get(&key), symbol.role) {
                        (Some(expression), _) => expression,
                        (None, Role::ChildOutput) if !self.reads.contains(&key) => "",
                        (None, _) => &symbol.net,
                    };
                    Some(format!("        .{}({net})", port.name))
                })
                .collect();
            self.line(&format!("{kind} {} (\n{}\n    );", spelled(&child.name), pins.join(",\n")));
        }
    }

    fn processes(&mut self, processes: Vec<Process>) {
        for process in processes {
            match process {
                Process::Assign { key, value, comments } => {
                    comments.iter().for_each(|c| self.line(c));
                    let net = self.net(&key);
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

    fn net(&self, key: &str) -> String {
        self.scope.symbols.get(key).map_or_else(|| key.to_owned(), |s| s.net.clone())
    }

    /// RustHDL's flip-flops: one block for each clock.
    fn flip_flops(&mut self) -> Result<(), Refusal> {
        let node = self.node;
        let mut initial = String::new();
        let mut clocks: BTreeMap<String, String> = BTreeMap::new();
        for (child, value) in node.flip_flops() {
            let connected = |port: &str| {
                let key = format!("{}${port}", child.name);
                self.connections.get(&key).cloned().unwrap_or_else(|| self.net(&key))
            };
            let clock = connected("clock");
            if check_name(&clock).is_err() {
                return Err(Refusal::Clock(child.name.clone()));
            }
            let width = self.scope.symbol(&format!("{}$q", child.name))?.width;
            // Writing to a string cannot fail.
            let _ = writeln!(initial, "        {} = {};", spelled(&child.name), sized(value, width, false));
            let _ = writeln!(clocks.entry(clock).or_default(), "        {} <= {};", spelled(&child.name), connected("d"));
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
