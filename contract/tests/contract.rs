//! The contract's document is the one that is checked in, and records survive their way through memory.

use toe_contract::{command, document, event};

#[test]
fn registers_md_is_generated_from_this_crate() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/registers.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, document()).expect("docs/registers.md can be written");
    }
    let checked_in = std::fs::read_to_string(path).expect("docs/registers.md is there");
    assert_eq!(checked_in, document(), "docs/registers.md is old: run UPDATE_DOCS=1 cargo test -p toe-contract");
}

#[test]
fn every_piece_of_a_command_reads_back_and_touches_no_other() {
    for (opcode, pieces) in command::LAYOUT {
        for p in *pieces {
            let all = if p.width == 64 { u64::MAX } else { (1 << p.width) - 1 };
            let c = command::Command::new(*opcode, 0x1234, command::REARM).with(*p, u64::MAX);
            assert_eq!(c.get(*p), all, "{}", p.name);
            for other in pieces.iter().filter(|o| o.name != p.name) {
                assert_eq!(c.get(*other), 0, "{} overlaps {}", p.name, other.name);
            }
            let back = command::Command::from_bytes(c.to_bytes());
            assert_eq!((back, back.opcode(), back.flow(), back.flags()), (c, Some(*opcode), 0x1234, command::REARM));
        }
    }
}

#[test]
fn every_field_of_an_event_reads_back_and_touches_no_other() {
    for f in event::LAYOUT {
        let e = event::Event::default().with(*f, u32::MAX);
        for g in event::LAYOUT {
            let expected = if f.name == g.name { u32::MAX >> (32 - f.width) } else { 0 };
            assert_eq!(e.get(*g), expected, "{} and {}", f.name, g.name);
        }
        assert_eq!(event::Event::from_bytes(e.to_bytes()), e);
    }
}
