//! `toe ss`: the sockets of a running stack, asked for over a UNIX socket.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toe_driver::Nanoseconds;
use toe_host_lib::{Handle, SocketInfo};

/// Where a running stack answers, unless it is told another place.
pub(crate) const CONTROL: &str = "/tmp/toe-control";

/// CLOSE_WAIT sockets from which on they are warned of.
const PILE: usize = 8;
/// How long a running stack is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lists sockets: state, queues in bytes, addresses, age, timers
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The socket that `toe serve --control` names
    #[arg(long, value_name = "PATH", default_value = CONTROL)]
    control: PathBuf,
    /// Only sockets in this state, such as CLOSE_WAIT; may be given several times
    #[arg(long)]
    state: Vec<String>,
    /// Only sockets with this local or remote port
    #[arg(long)]
    port: Option<u16>,
}

/// A socket, as it goes over the control socket. Times are in seconds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) state: String,
    pub(crate) receive_queue: usize,
    pub(crate) send_queue: usize,
    pub(crate) local: std::net::SocketAddrV4,
    pub(crate) remote: std::net::SocketAddrV4,
    pub(crate) age: f64,
    pub(crate) in_state: f64,
    pub(crate) retransmit_in: Option<f64>,
    pub(crate) ends_in: Option<f64>,
    pub(crate) srtt: Option<f64>,
    pub(crate) cwnd: Option<u32>,
    pub(crate) flow: Option<u16>,
}

fn seconds(t: Nanoseconds) -> f64 {
    Duration::from(t).as_secs_f64()
}

impl From<&SocketInfo> for Row {
    fn from(s: &SocketInfo) -> Row {
        Row {
            state: s.state.to_string(),
            receive_queue: s.receive_queue,
            send_queue: s.send_queue,
            local: s.tuple.local,
            remote: s.tuple.remote,
            age: seconds(s.age),
            in_state: seconds(s.in_state),
            retransmit_in: s.retransmit_in.map(seconds),
            ends_in: s.state_ends_in.map(seconds),
            srtt: s.srtt.map(seconds),
            cwnd: s.cwnd,
            flow: s.flow,
        }
    }
}

/// The control socket of a running stack; it is removed when this is dropped.
pub(crate) struct Control(PathBuf);

impl Control {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Answers whoever connects to `path` with a line of JSON a socket.
pub(crate) fn answer(path: &Path, handle: &Handle) -> Result<Control> {
    if UnixStream::connect(path).is_ok() {
        anyhow::bail!("{}: another stack answers there; name another --control", path.display());
    }
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).with_context(|| format!("the control socket {}", path.display()))?;
    let handle = handle.clone();
    std::thread::Builder::new().name("control".into()).spawn(move || {
        for client in listener.incoming().flatten() {
            let Some(sockets) = handle.sockets() else { return };
            if let Err(error) = tell(client, &sockets) {
                tracing::debug!(%error, "a client of the control socket");
            }
        }
    })?;
    Ok(Control(path.to_owned()))
}

fn tell(mut client: UnixStream, sockets: &[SocketInfo]) -> Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    for socket in sockets {
        serde_json::to_writer(&mut client, &Row::from(socket))?;
        client.write_all(b"\n")?;
    }
    Ok(())
}

/// Asks and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let path = &arguments.control;
    let client = UnixStream::connect(path).with_context(|| format!("{}: a running `toe serve` was expected to answer there", path.display()))?;
    client.set_read_timeout(Some(PATIENCE))?;
    let rows: Vec<Row> = BufReader::new(client).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<_>>()?;
    print!("{}", table(&rows, &arguments.state, arguments.port));
    Ok(())
}

/// The table, filtered, with a warning where sockets in CLOSE_WAIT pile up: their application has forgotten to close them.
pub(crate) fn table(rows: &[Row], states: &[String], port: Option<u16>) -> String {
    let wanted = |r: &&Row| {
        let state = states.is_empty() || states.iter().any(|s| s.replace('-', "_").eq_ignore_ascii_case(&r.state));
        state && port.is_none_or(|p| r.local.port() == p || r.remote.port() == p)
    };
    let mut text = format!("{:<12} {:>8} {:>8}  {:<21} {:<21} {:>9} {:>9}  timers\n", "State", "Recv-Q", "Send-Q", "Local", "Remote", "age", "in state");
    for r in rows.iter().filter(wanted) {
        let timer = |name: &str, t: Option<f64>| t.map_or(String::new(), |t| format!(" {name} {t:.3} s"));
        let timers = timer("retransmit in", r.retransmit_in) + &timer("ends in", r.ends_in) + &timer("srtt", r.srtt);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<12} {:>8} {:>8}  {:<21} {:<21} {:>7.1} s {:>7.1} s {timers}",
            r.state, r.receive_queue, r.send_queue, r.local, r.remote, r.age, r.in_state
        );
    }
    let forgotten: Vec<&Row> = rows.iter().filter(|r| r.state == "CLOSE_WAIT").collect();
    if forgotten.len() >= PILE {
        let oldest = forgotten.iter().map(|r| r.in_state).fold(0.0, f64::max);
        let _ = writeln!(text, "warning: {} sockets in CLOSE_WAIT, the oldest for {oldest:.1} s: the application does not close them", forgotten.len());
    }
    text
}

#[cfg(test)]
#[path = "ss_tests.rs"]
mod tests;
