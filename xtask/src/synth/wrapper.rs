//! Registers round a module: so that every path in it goes from register to register, and three pins serve for any number of ports.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;

/// Name of the file, and of the module in it.
pub(crate) const FILE: &str = "measured.v";
pub(crate) const NAME: &str = "measured";

/// The Verilog of a wrapper: inputs come from a shift register, outputs go into registers and from there into a tree of
/// exclusive ors, four at a time and registered, to one pin.
///
/// # Errors
/// The netlist does not have the module.
pub(crate) fn verilog(netlist: &Value, module: &str) -> Result<String> {
    let ports = netlist["modules"][module]["ports"].as_object().with_context(|| format!("no module `{module}` in the netlist"))?;
    let (mut inputs, mut outputs, mut pins) = (0, 0, vec![]);
    for (name, port) in ports {
        let width = port["bits"].as_array().map_or(0, Vec::len);
        let net = match port["direction"].as_str() {
            _ if name == "clock" => "clock".to_owned(),
            Some("input") => slice("in", &mut inputs, width),
            _ => slice("out", &mut outputs, width),
        };
        pins.push(format!("        .{name}({net})"));
    }
    let (last_in, last_out) = (inputs.max(1) - 1, outputs.max(1) - 1);
    let mut text = format!(
        "module {NAME}(input wire clock, input wire scan, output wire result);
    reg [{last_in}:0] in;
    wire [{last_out}:0] out;
    reg [{last_out}:0] tree_0;
    always @(posedge clock) begin
        in <= {};
        tree_0 <= out;
    end
    {module} uut (
{}
    );
",
        if inputs > 1 { format!("{{in[{}:0], scan}}", last_in - 1) } else { "scan".to_owned() },
        pins.join(",\n")
    );
    let (mut width, mut level) = (outputs.max(1), 0);
    while width > 1 {
        let next = usize::div_ceil(width, 4);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    reg [{}:0] tree_{};\n    always @(posedge clock) begin", next - 1, level + 1);
        for k in 0..next {
            let _ = writeln!(text, "        tree_{}[{k}] <= ^tree_{level}[{}:{}];", level + 1, (4 * k + 3).min(width - 1), 4 * k);
        }
        text += "    end\n";
        (width, level) = (next, level + 1);
    }
    let _ = writeln!(text, "    assign result = tree_{level}[0];\nendmodule");
    Ok(text)
}

fn slice(vector: &str, at: &mut usize, width: usize) -> String {
    let low = *at;
    *at += width;
    format!("{vector}[{}:{low}]", *at - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_port_is_connected_once() {
        let bits = |n: usize| vec![0; n];
        let netlist = json!({"modules": {"m": {"ports": {
            "clock": {"direction": "input", "bits": bits(1)},
            "a": {"direction": "input", "bits": bits(3)},
            "b": {"direction": "input", "bits": bits(2)},
            "o": {"direction": "output", "bits": bits(6)},
        }}}});
        let text = verilog(&netlist, "m").expect("the module is there");
        for pin in [".clock(clock)", ".o(out[5:0])", "reg [4:0] in;", "tree_1[1] <= ^tree_0[5:4];", "tree_2[0] <= ^tree_1[1:0];", "result = tree_2[0]"] {
            assert!(text.contains(pin), "{pin} is not in\n{text}");
        }
        let a = text.contains(".a(in[2:0])") && text.contains(".b(in[4:3])");
        assert!(a || (text.contains(".b(in[1:0])") && text.contains(".a(in[4:2])")), "{text}");
        assert!(verilog(&netlist, "n").is_err());
    }
}
