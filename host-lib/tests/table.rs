//! Every cell of the state x event table, and the graph drawn from it.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;

use support::blocks::{block_in, events, NOW};
use toe_host_lib::tcp::{step, Action, ControlBlock, Path, State};
use toe_host_lib::time::Nanoseconds;

/// What has changed of the deadlines, in milliseconds from now.
fn deadlines(before: &ControlBlock, after: &ControlBlock) -> String {
    let in_ms = |at: Option<Nanoseconds>| at.map_or("off".to_owned(), |at| format!("{} ms", (at - NOW).0 / 1_000_000));
    let mut text = String::new();
    for (name, old, new) in [("retransmit", before.deadlines.retransmit, after.deadlines.retransmit), ("state", before.deadlines.state, after.deadlines.state)]
    {
        if old != new {
            let _ = write!(text, " [{name} timer {}]", in_ms(new));
        }
    }
    text
}

/// s31: every cell, of each of the eleven states.
#[test]
fn s31_every_cell_of_the_table() {
    let mut text = String::new();
    for state in State::ALL {
        let _ = writeln!(text, "{state}");
        for (name, event) in events(state) {
            let before = block_in(state);
            let (after, actions) = step(before.clone(), event, NOW);
            let actions: Vec<String> = actions.iter().map(|action| format!("{action:?}")).collect();
            let changed = if after == before { "-" } else { after.state.name() };
            let path = if after.path == before.path { String::new() } else { format!(" {:?}", after.path) };
            let _ = writeln!(text, "  {name:34} {changed}{path}{} {}", deadlines(&before, &after), actions.join(", "));
        }
    }
    insta::assert_snapshot!("cells", text);
}

/// s19, s20, s21: the edges of the graph are those of RFC 9293 figure 5, each named after the events that take it.
#[test]
fn s19_s20_s21_the_graph_in_the_documentation_is_that_of_the_code() {
    let mut edges: BTreeMap<(State, State), Vec<String>> = BTreeMap::new();
    for state in State::ALL {
        for (name, event) in events(state) {
            let (_, actions) = step(block_in(state), event, NOW);
            let mut from = state;
            for action in actions {
                let Action::Enter(to) = action else { continue };
                let names = edges.entry((from, to)).or_default();
                if !names.contains(&name.to_owned()) {
                    names.push(name.to_owned());
                }
                from = to;
            }
        }
    }
    let mut text = String::from(
        "<!-- Drawn from the code by `UPDATE_DOCS=1 cargo test -p toe-host-lib --test table`: do not edit. -->\n\n# The states of a connection\n\n\
         RFC 9293 figure 5, as `host-lib/src/tcp/table.rs` has it. What each event does besides is in `host-lib/tests/snapshots/table__cells.snap`.\n\n\
         ```mermaid\nstateDiagram-v2\n    [*] --> CLOSED\n",
    );
    for (from, to) in edges.keys() {
        let _ = writeln!(text, "    {from} --> {to}");
    }
    text += "```\n\n| from | to | when |\n|---|---|---|\n";
    for ((from, to), names) in &edges {
        let _ = writeln!(text, "| {from} | {to} | {} |", names.join("; "));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tcp-states.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &text).expect("docs/tcp-states.md can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, text, "docs/tcp-states.md is out of date: UPDATE_DOCS=1 cargo test -p toe-host-lib --test table");
}

/// s09: whatever happens in a state that must end, a timer is left running, or the engine is asked to let go.
#[test]
fn s09_every_state_but_listen_established_and_close_wait_ends_by_a_timer() {
    for state in State::ALL {
        for (name, event) in events(state) {
            let mut before = block_in(state);
            before.orphan = true;
            if matches!(state, State::FinWait1 | State::FinWait2) {
                before.deadlines.state = Some(NOW + before.settings.fin_timeout);
            }
            let (after, actions) = step(before, event, NOW);
            let deleted = actions.iter().any(|action| matches!(action, Action::Delete | Action::TimeWait | Action::Reopen(_)));
            let leaving = matches!(after.path, Path::Leaving(_));
            let may_last = matches!(after.state, State::Closed | State::Listen | State::Established | State::CloseWait);
            assert!(deleted || leaving || may_last || after.deadlines.state.is_some(), "{state} + {name}: {} has no timer", after.state);
        }
    }
}
