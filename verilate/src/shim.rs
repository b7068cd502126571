//! The C++ between a verilated model and Rust: one table of functions and the model's ports.

use crate::error::Error;
use std::fmt::Write;

/// A port as Verilator's header declares it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeaderPort {
    /// Member of the C++ class.
    pub(crate) member: String,
    /// Name in the Verilog.
    pub(crate) name: String,
    pub(crate) width: u32,
    pub(crate) output: bool,
}

/// Reads the ports out of the model's header: lines such as `VL_IN64(&s__024data,63,0);`.
pub(crate) fn ports(header: &str) -> Result<Vec<HeaderPort>, Error> {
    header.lines().filter_map(|line| port(line.trim())).collect()
}

fn port(line: &str) -> Option<Result<HeaderPort, Error>> {
    let (kind, arguments) = line.strip_prefix("VL_")?.strip_suffix(");")?.split_once("(&")?;
    let mut arguments = arguments.split(',');
    let member = arguments.next()?.trim().to_owned();
    let name = decode(&member);
    if kind.starts_with("INOUT") || !(kind.starts_with("IN") || kind.starts_with("OUT")) {
        return Some(Err(Error::Port(name)));
    }
    let high: u32 = arguments.next()?.trim().parse().ok()?;
    let low: u32 = arguments.next()?.trim().parse().ok()?;
    Some(Ok(HeaderPort { member, name, width: high - low + 1, output: kind.starts_with("OUT") }))
}

/// Undoes Verilator's spelling of names in C++: `__024` is `$`, `___05F` is `__`, `__SYM__int` is `int`.
fn decode(member: &str) -> String {
    let (mut name, mut rest) = (String::new(), member.strip_prefix("__SYM__").unwrap_or(member));
    while let Some(at) = rest.find("__0") {
        let code = rest.get(at + 3..at + 5).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        name += &rest[..at];
        match code {
            Some(code) => {
                name.push(char::from(code));
                rest = &rest[at + 5..];
            }
            None => {
                name += "__0";
                rest = &rest[at + 3..];
            }
        }
    }
    name + rest
}

/// What the shim is made for.
pub(crate) struct Model<'a> {
    /// Of the C++ class.
    pub(crate) prefix: &'a str,
    /// The function that hands out the table.
    pub(crate) symbol: &'a str,
    pub(crate) ports: &'a [HeaderPort],
    pub(crate) trace: bool,
    /// Where the model remembers the clock, if it may be told that there was a falling edge.
    pub(crate) previous_clock: Option<&'a str>,
    /// C++ to come behind the shim.
    pub(crate) replay: Option<&'a str>,
}

/// Finds where a model remembers its clock. Setting that to 0 spares the evaluation of the falling edge, if nothing else is
/// remembered (another clock) and nothing waits for the falling edge.
pub(crate) fn previous_clock<'a>(root_header: &'a str, verilog: &str) -> Option<&'a str> {
    let mut remembered = root_header.lines().filter(|l| l.contains("__Vtrigprev"));
    let name = remembered.next()?.trim().trim_end_matches(';').rsplit(' ').next()?;
    let alone = remembered.next().is_none() && name == "__Vtrigprevexpr___TOP__clock__0" && !verilog.contains("negedge");
    alone.then_some(name)
}

/// The shim's text.
pub(crate) fn text(model: &Model) -> String {
    let Model { prefix, symbol, ports, trace, previous_clock, replay } = model;
    let mut table = String::new();
    for p in *ports {
        let class = match p.width {
            0..=8 => 1,
            9..=16 => 2,
            17..=32 => 4,
            33..=64 => 8,
            _ => 0,
        };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "    {{\"{}\", {}, {}, {class}}},", p.name, p.width, u32::from(p.output));
    }
    let addresses: String = ports.iter().map(|p| format!("    addresses[k++] = (void*)&m->top.{};\n", p.member)).collect();
    let clock = ports.iter().any(|p| p.member == "clock" && p.width == 1 && !p.output);
    let flag = |yes: bool| if yes { "1" } else { "0" };
    let whole = [SHIM, replay.unwrap_or_default()].concat();
    whole
        .replace("@PREFIX@", prefix)
        .replace("@SYMBOL@", symbol)
        .replace("@TRACE@", flag(*trace))
        .replace("@CLOCK@", flag(clock))
        .replace("@SKIP@", flag(clock && previous_clock.is_some()))
        .replace("@PREVIOUS@", previous_clock.unwrap_or_default())
        .replace("@TABLE@", &table)
        .replace("@ADDRESSES@", &addresses)
        .replace("@COUNT@", &ports.len().to_string())
}

const SHIM: &str = include_str!("shim.cpp");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_header() {
        let header = "    VL_IN8(&clock,0,0);\n    VL_OUT64(&m__024data,63,0);\n    VL_INW(&wide,129,0,5);\n    VL_IN8(&a___05Fb,2,0);\n    VL_OUT16(&__SYM__int,8,0);\n";
        let found = ports(header).expect("legal ports");
        let seen: Vec<_> = found.iter().map(|p| (p.name.as_str(), p.width, p.output)).collect();
        assert_eq!(seen, [("clock", 1, false), ("m$data", 64, true), ("wide", 130, false), ("a__b", 3, false), ("int", 9, true)]);
        assert!(matches!(ports("    VL_INOUT8(&pad,0,0);"), Err(Error::Port(name)) if name == "pad"));
    }

    #[test]
    fn the_falling_edge_is_skipped_only_where_nothing_needs_it() {
        let header = "    CData/*0:0*/ __Vtrigprevexpr___TOP__clock__0;\n";
        assert_eq!(previous_clock(header, "always @(posedge clock)"), Some("__Vtrigprevexpr___TOP__clock__0"));
        assert_eq!(previous_clock(header, "always @(negedge clock)"), None);
        assert_eq!(previous_clock(&header.repeat(2), ""), None);
        assert_eq!(previous_clock(&header.replace("clock", "other"), ""), None);
    }
}
