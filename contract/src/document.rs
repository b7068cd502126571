//! `docs/registers.md`, made from the tables.

use crate::{command, counter, event, register};
use core::fmt::Write;

/// The reference document. A test compares it with `docs/registers.md`; `UPDATE_DOCS=1 cargo test -p toe-contract` writes it.
pub fn document() -> String {
    let mut o = String::from(
        "<!-- Generated from the crate `contract` by `UPDATE_DOCS=1 cargo test -p toe-contract`: do not edit. -->\n\n# Registers, commands, events\n\n\
         What the engine does with them is in `engine.md`. Registers are 32 bits wide; everything in host memory is little-endian.\n",
    );
    for (title, base, table) in [
        ("The whole engine: BAR 0", 0, register::GLOBAL),
        ("A context: one page each, context 0", register::CONTEXTS, register::CONTEXT),
        ("Doorbells of a context: one page each, context 0", register::DOORBELLS, register::DOORBELL),
    ] {
        let _ = write!(o, "\n## {title} at {base:#x}\n\n| offset | name | access | reset | |\n|---|---|---|---|---|\n");
        for r in table {
            let _ = writeln!(o, "| {:#05x} | `{}` | {:?} | {:#x} | {} |", r.offset, r.name, r.access, r.reset, r.doc);
            for f in r.fields {
                let _ = writeln!(o, "| | `{}` | bits {}:{} | | {} |", f.name, f.low + f.width - 1, f.low, f.doc);
            }
        }
    }
    let _ = write!(o, "\n## Counters: 64 bits each, number k at {:#x} + 8 k\n\n| k | name | counts |\n|---|---|---|\n", register::COUNTERS);
    for (k, c) in counter::COUNTERS.iter().enumerate() {
        let _ = writeln!(o, "| {k} | `{}` | {} |", c.name, c.doc);
    }
    let _ = write!(
        o,
        "\n## Commands: {} bytes\n\nWord 0: opcode in bits 7:0, flags in 15:8 (REARM is {:#x}, QUIET {:#x}), flow in 31:16.\n\n| opcode | name | words 1 to 7 |\n|---|---|---|\n",
        command::SIZE,
        command::REARM,
        command::QUIET
    );
    for (opcode, pieces) in command::LAYOUT {
        let text: Vec<String> = pieces.iter().map(|p| format!("{}[{}+{}] `{}`", p.word, p.low, p.width, p.name)).collect();
        let _ = writeln!(o, "| {} | `{opcode:?}` | {} |", *opcode as u8, text.join(", "));
    }
    let _ = write!(o, "\n`2[16+16]` is 16 bits from bit 16 of word 2; longer pieces go on in the next word.\n\n## Events: {} bytes\n\n| word | bits | name | |\n|---|---|---|---|\n", event::SIZE);
    for f in event::LAYOUT {
        let _ = writeln!(o, "| {} | {}:{} | `{}` | {} |", f.word, f.low + f.width - 1, f.low, f.name, f.doc);
    }
    o += "\nKinds: FLOW 1, REMOVED 2, BAD_COMMAND 3. The header of a raw frame has the same layout: `kind` is the reason (OTHER 1, NO_FLOW 2, FLAGGED 3), `command` the frame's length in bytes.\n";
    o
}
