//! `toe get`: fetches a file; the smallest client there is.

use crate::http;
use crate::network::Network;
use anyhow::{bail, ensure, Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use toe_host_lib::tcp::State;
use toe_host_lib::{Handle, TcpStream};

/// How long a step of the transfer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shown below the options.
const EXAMPLES: &str = "\
For example, from a server of the host at the other end of the wire:

  toe get --wire tap:toe0 --addr 10.0.0.2/24 http://10.0.0.1:8000/file.bin --output file.bin";

#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    network: Network,
    /// Where the body goes; without it, only its length and SHA-256 are printed
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Asks the server to close first, and waits for that
    #[arg(long)]
    server_closes: bool,
    /// Waits until the connection has come to its end, TIME_WAIT included
    #[arg(long)]
    linger: bool,
    /// http://ADDRESS[:PORT]/PATH; there is no name service here
    #[arg(value_parser = url)]
    url: (SocketAddrV4, String),
}

/// Address and target of a URL.
fn url(text: &str) -> Result<(SocketAddrV4, String), String> {
    let wrong = || format!("expected http://ADDRESS[:PORT]/PATH such as http://10.0.0.1:8000/file.bin, found {text:?}");
    let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = host.parse().or_else(|_| host.parse().map(|ip| SocketAddrV4::new(ip, 80))).map_err(|_| wrong())?;
    Ok((address, format!("/{path}")))
}

/// Fetches it.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (server, target) = &arguments.url;
    let mut file = arguments.output.as_ref().map(|path| File::create(path).with_context(|| path.display().to_string())).transpose()?;
    let machine = arguments.network.join()?;
    let handle = machine.handle()?;
    let begin = Instant::now();
    let mut stream = TcpStream::connect_timeout(&handle, *server, PATIENCE).with_context(|| format!("connecting to {server}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let bar = progress();
    let (mut sum, mut failed) = (Sha256::new(), None);
    let bytes = http::fetch(&mut stream, &server.ip().to_string(), target, arguments.server_closes, |piece| {
        sum.update(piece);
        bar.inc(piece.len() as u64);
        if let Some(error) = file.as_mut().and_then(|file| file.write_all(piece).err()) {
            failed.get_or_insert(error);
        }
    });
    bar.finish_and_clear();
    let bytes = bytes?;
    if let Some(error) = failed {
        return Err(error).context("writing the file");
    }
    if arguments.server_closes {
        let more = stream.read(&mut [0]).context("waiting for the server's FIN")?;
        ensure!(more == 0, "the server closes first: expected the end of the stream, found a byte more");
    }
    drop(stream);
    let hash: String = sum.finalize().iter().map(|b| format!("{b:02x}")).collect();
    println!("{hash}  {bytes} bytes from {server}{target} in {:.2} s", begin.elapsed().as_secs_f64());
    if arguments.linger {
        linger(&handle)?;
    }
    machine.stop()
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar
}

/// Waits until the stack has no connection any more.
fn linger(handle: &Handle) -> Result<()> {
    loop {
        let sockets = handle.sockets().context("the stack has ended")?;
        let Some(socket) = sockets.iter().find(|s| s.state != State::Listen) else { return Ok(()) };
        if socket.state_ends_in.is_none() && socket.retransmit_in.is_none() && socket.in_state > toe_driver::Nanoseconds::from_secs(240) {
            bail!("{} has been {} for {}", socket.tuple, socket.state, socket.in_state);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn a_url_names_an_address_a_port_and_a_target() {
        assert_eq!(url("http://10.0.0.1:8000/a/b?c"), Ok(("10.0.0.1:8000".parse().expect("an address"), "/a/b?c".to_owned())));
        assert_eq!(url("http://10.0.0.1"), Ok(("10.0.0.1:80".parse().expect("an address"), "/".to_owned())));
        for bad in ["https://10.0.0.1/", "http://example.org/", "10.0.0.1", "http://10.0.0.1:99999/"] {
            let error = url(bad).expect_err(bad);
            assert!(error.contains("expected http://") && error.contains(bad), "{error}");
        }
    }
}
