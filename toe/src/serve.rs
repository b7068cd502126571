//! `toe serve`: a file server on the engine, for as long as one likes.

use crate::http;
use crate::network::Network;
use crate::ss;
use anyhow::{bail, Context, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toe_host_lib::{Handle, TcpListener, TcpStream};

/// Shown below the options.
const EXAMPLES: &str = "\
The wire of a simulated device can be a TAP interface, a UNIX datagram socket or a capture:

  ip tuntap add toe0 mode tap && ip addr add 10.0.0.1/24 dev toe0 && ip link set toe0 up
  toe serve --wire tap:toe0 --addr 10.0.0.2/24 .
  curl http://10.0.0.2/README.md

The device can be in another process, or a real one:

  toe device --socket /tmp/toe.sock --wire tap:toe0 &
  toe serve --device vfio-user:/tmp/toe.sock --addr 10.0.0.2/24 .
  toe bind 01:00.0 && toe serve --device vfio:01:00.0 --addr 10.0.0.2/24 .";

#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    network: Network,
    /// The port to listen on
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// Socket at which `toe ss` asks for the list of sockets
    #[arg(long, value_name = "PATH", default_value = ss::CONTROL)]
    control: PathBuf,
    /// The folder
    folder: PathBuf,
}

/// Serves until it is killed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.folder.is_dir() {
        bail!("{}: expected a folder", arguments.folder.display());
    }
    let machine = arguments.network.join()?;
    let handle = machine.handle()?;
    let listener = TcpListener::bind(&handle, arguments.port)?;
    // Behind the listener: who sees the control socket can connect.
    let control = ss::answer(&arguments.control, &handle)?;
    eprintln!(
        "serving {} at http://{}:{}/ (device: {}); `toe ss --control {}` lists the sockets",
        arguments.folder.display(),
        arguments.network.address(),
        arguments.port,
        arguments.network.device(),
        control.path().display()
    );
    accept(&listener, &arguments.folder)
}

/// Serves each connection on a thread of its own, until the stack ends.
pub(crate) fn accept(listener: &TcpListener, folder: &Path) -> Result<()> {
    let folder: Arc<Path> = folder.into();
    loop {
        let (stream, peer) = listener.accept().context("accept")?;
        let folder = folder.clone();
        let serve = move || serve(stream, &folder, peer);
        std::thread::Builder::new().name(format!("http {peer}")).spawn(serve).context("a thread for a connection")?;
    }
}

fn serve(mut stream: TcpStream, folder: &Path, peer: std::net::SocketAddrV4) {
    match http::serve_connection(&mut stream, folder) {
        Ok(answered) => tracing::info!(%peer, answered, "connection served"),
        Err(error) => tracing::warn!(%peer, %error, "connection"),
    }
}

/// A server on a thread of its own; it ends with the stack.
pub(crate) fn spawn(handle: &Handle, port: u16, folder: &Path) -> Result<()> {
    let listener = TcpListener::bind(handle, port)?;
    let folder = folder.to_owned();
    std::thread::Builder::new().name("http".into()).spawn(move || {
        if let Err(error) = accept(&listener, &folder) {
            tracing::debug!(%error, "the server has ended");
        }
    })?;
    Ok(())
}
