//! The guest's serial console: a command goes in as a line, its output and its status come back.

use anyhow::{bail, Context, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Before and after the status of a command (ASCII record separator).
const MARK: char = '\u{1e}';

/// What a command has said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Standard output and standard error.
    pub(crate) text: String,
    /// 0 if it went well.
    pub(crate) status: i32,
}

/// The console. What goes in and what comes out is in the log as well.
pub(crate) struct Console {
    to_guest: ChildStdin,
    from_guest: Receiver<Vec<u8>>,
    unread: String,
    log: File,
}

impl Console {
    /// Over these two pipes; everything that the guest says is written to `log`.
    pub(crate) fn new(to_guest: ChildStdin, mut output: ChildStdout, log: File) -> Result<Console> {
        let (sender, from_guest) = mpsc::channel();
        let mut copied = log.try_clone().context("a second descriptor of the log")?;
        let copy = move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let bytes = buffer[..n].to_vec();
                if copied.write_all(&bytes).is_err() || sender.send(bytes).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("console".into()).spawn(copy).context("a thread for the console")?;
        Ok(Console { to_guest, from_guest, unread: String::new(), log })
    }

    /// Runs a command line and waits for its end.
    ///
    /// # Errors
    /// It takes longer than `patience`, or the guest has gone; with what it has said until then.
    pub(crate) fn run(&mut self, command: &str, patience: Duration) -> Result<Answer> {
        // The guest's terminal does not echo.
        writeln!(self.log, "$ {command}").context("the console's log")?;
        self.to_guest.write_all(format!("{command}\n").as_bytes()).context("the guest takes no command any more")?;
        self.answer(patience).with_context(|| format!("in the guest: {command}"))
    }

    /// Waits for the end of the command that is running.
    ///
    /// # Errors
    /// Those of [`Console::run`].
    pub(crate) fn answer(&mut self, patience: Duration) -> Result<Answer> {
        let until = Instant::now() + patience;
        loop {
            if let Some(answer) = cut(&mut self.unread)? {
                return Ok(answer);
            }
            match self.from_guest.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.unread.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => bail!("no end within {patience:?}; so far: {}", self.unread.trim()),
                Err(RecvTimeoutError::Disconnected) => bail!("the guest has ended; at last it said: {}", self.unread.trim()),
            }
        }
    }
}

/// Takes the first whole answer out of what has come.
fn cut(unread: &mut String) -> Result<Option<Answer>> {
    let Some((text, rest)) = unread.split_once(MARK) else { return Ok(None) };
    let Some((status, rest)) = rest.split_once(MARK) else { return Ok(None) };
    let status = status.parse().with_context(|| format!("the guest's status: expected a number, found {status:?}"))?;
    let answer = Answer { text: text.trim().replace('\r', ""), status };
    *unread = rest.to_owned();
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer is taken only when it is whole, and what follows is kept.
    #[test]
    fn answers_are_cut_at_the_marks() {
        let mut unread = String::from("two\r\nlines\n\u{1e}1");
        assert_eq!(cut(&mut unread).unwrap(), None);
        unread.push_str("27\u{1e}\nnext");
        assert_eq!(cut(&mut unread).unwrap(), Some(Answer { text: "two\nlines".into(), status: 127 }));
        assert_eq!(unread, "\nnext");
        let mut wrong = String::from("\u{1e}x\u{1e}");
        assert!(cut(&mut wrong).unwrap_err().to_string().contains("found \"x\""));
    }
}
