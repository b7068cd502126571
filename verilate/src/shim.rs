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

/// The shim's text for a model with these ports. `symbol` is the function that hands out the table.
pub(crate) fn text(prefix: &str, symbol: &str, ports: &[HeaderPort], trace: bool) -> String {
    let mut table = String::new();
    for p in ports {
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
    SHIM.replace("@HEADER@", &format!("{prefix}.h"))
        .replace("@PREFIX@", prefix)
        .replace("@SYMBOL@", symbol)
        .replace("@TRACE@", if trace { "1" } else { "0" })
        .replace("@CLOCK@", if clock { "1" } else { "0" })
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
}
