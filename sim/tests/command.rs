//! Programs are waited for, and killed when they take too long.

use std::process::Command;
use std::time::{Duration, Instant};

use toe_sim::command::{run, CommandError, Running};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn what_it_says_is_kept() -> Result<(), CommandError> {
    let finished = run(shell("echo out; echo err >&2"), Duration::from_secs(10))?;
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
    Ok(())
}

#[test]
fn failures_say_why() {
    let failed = run(shell("echo broken >&2; exit 3"), Duration::from_secs(10)).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(failed, Err("sh ended with exit status: 3; it said \"broken\"".to_owned()));
    let missing = run(Command::new("no-such-program-here"), Duration::from_secs(10));
    assert!(matches!(missing, Err(CommandError::Start { .. })));
}

/// The grandchild holds the pipe open: it has to go as well, or reading would last a minute.
#[test]
fn a_deadline_kills_it_and_what_it_started() {
    let start = Instant::now();
    let late = Running::start(shell("echo begun; sleep 60 & sleep 60")).and_then(|running| running.finish(Duration::from_millis(200)));
    match late {
        Err(CommandError::Deadline { output, .. }) => assert_eq!(output, "\"begun\""),
        other => panic!("{other:?}"),
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}
