//! `toe demo`: the main job, from a namespace with a TAP to the last TIME_WAIT, checked at every step.

use crate::http;
use crate::ladder;
use crate::machine::{DeviceName, Machine, Options, Place};
use crate::serve;
use anyhow::{bail, ensure, Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use toe_host_lib::log::Happening;
use toe_host_lib::tcp::{FourTuple, State};
use toe_host_lib::{Handle, TcpStream};
use toe_sim::command::run as run_command;
use toe_sim::netns::{Namespace, TapConfig};
use toe_sim::time::WallClock;
use toe_sim::wire::Watched;

const LINUX: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PREFIX: u8 = 24;
/// Port of our server; the kernel's side listens on 8080.
const PORT: u16 = 80;
const KERNEL_PORT: u16 = 8080;
/// Faults of the demonstration's wire, unless others are asked for.
const REORDERING: &str = "reorder=1%,seed=1";
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes a network namespace with a TAP, starts the stack on the simulated NIC in it, and lets the system's curl and the kernel's TCP talk with it
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// The device in a process of its own, reached over vfio-user
    #[arg(long)]
    separate: bool,
    /// Size of the file, in KiB
    #[arg(long, default_value_t = 1024)]
    kib: u32,
    /// Writes the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Shows the ladder of every connection, not only of the first
    #[arg(long)]
    all: bool,
}

/// A connection of the demonstration: what is expected of it, and what was seen.
#[derive(Serialize)]
struct Episode {
    name: &'static str,
    bytes: u64,
    seconds: f64,
    states: Vec<String>,
    #[serde(skip)]
    tuple: FourTuple,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Figures {
    engine: String,
    device: &'static str,
    ok: bool,
    /// Of a device in this process.
    cycles: Option<u64>,
    episodes: Vec<Episode>,
    counters: BTreeMap<&'static str, u64>,
    wire: BTreeMap<&'static str, u64>,
}

/// Who closes first, and who opened: what our end must then walk through after ESTABLISHED.
const ACTIVE: &[State] = &[State::Established, State::FinWait1, State::FinWait2, State::TimeWait, State::Closed];
const PASSIVE: &[State] = &[State::Established, State::CloseWait, State::LastAck, State::Closed];

/// Runs it. The last line is `demo: ok ...`, or the error says what failed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let bar = progress();
    let outcome = play(arguments, &bar);
    bar.finish_and_clear();
    let (figures, text) = outcome.context("demo: FAILED")?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&figures)?).with_context(|| path.display().to_string())?;
    }
    print!("{text}");
    let moved: u64 = figures.episodes.iter().map(|e| e.bytes).sum();
    println!(
        "demo: ok: {} connections, {moved} bytes, every checksum equal, every end closed (engine: {}, device: {})",
        figures.episodes.len(),
        figures.engine,
        figures.device
    );
    Ok(())
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn play(arguments: &Arguments, bar: &ProgressBar) -> Result<(Figures, String)> {
    let mut options = arguments.options.clone();
    let msl = *options.msl.get_or_insert(0.5);
    if let DeviceName::Behind(transport) = &options.device {
        bail!("--device: the demonstration makes its own wire and needs a simulated device: expected sim:, found {transport}; --separate puts it into a process of its own");
    }
    let simulated = &mut options.simulated;
    if simulated.impair.is_none() {
        // So that the engine has something to put in order.
        simulated.impair = Some(REORDERING.parse()?);
    }
    bar.set_message("a network namespace with a TAP");
    let folder = tempfile::tempdir()?;
    let capture = simulated.capture.get_or_insert_with(|| PathBuf::from("target/demo.pcapng")).clone();
    if let Some(parent) = capture.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = folder.path().join("file.bin");
    let content: Vec<u8> = (0..arguments.kib as usize * 1024 / 8).flat_map(|_| rand::random::<[u8; 8]>()).collect();
    std::fs::write(&file, &content)?;
    let hash: [u8; 32] = Sha256::digest(&content).into();
    let namespace = Namespace::new()?;
    let tap = namespace.tap(&TapConfig { address: (LINUX, PREFIX), ..TapConfig::default() })?;
    bar.set_message("the stack on the simulated NIC");
    let clock = WallClock::new();
    let (watched, watch) = Watched::new(options.simulated.faulty(tap));
    let wire = options.simulated.captured(watched, &clock)?;
    let place = Place { address: OURS, prefix: PREFIX, gateway: None };
    let start = if arguments.separate { Machine::beside } else { Machine::on };
    let machine = start(wire, clock, place, &options)?;
    let handle = machine.handle()?;
    serve::spawn(&handle, PORT, folder.path())?;
    kernel_server(&namespace, folder.path())?;
    let episodes = vec![
        curl(bar, &namespace, &handle, &hash, "the Linux kernel's curl fetches from us, and closes first", false)?,
        curl(bar, &namespace, &handle, &hash, "the Linux kernel's curl fetches from us, and we close first", true)?,
        fetch(bar, &handle, &hash, "we fetch from a server of the kernel, and close first", false)?,
        fetch(bar, &handle, &hash, "we fetch from a server of the kernel, and it closes first", true)?,
    ];
    bar.set_message(format!("TIME_WAIT, {:.1} s", 2.0 * msl));
    let episodes = ended(&handle, episodes)?;
    let counters: BTreeMap<_, _> = machine.counters()?.into_iter().collect();
    proven(&counters, episodes.len() as u64, arguments.options.simulated.impair.is_none())?;
    let snapshot = machine.snapshot()?;
    let mut text = String::new();
    for (k, e) in episodes.iter().enumerate() {
        text += &format!("{}: {} bytes in {:.2} s\n", e.name, e.bytes, e.seconds);
        if k == 1 || arguments.all {
            text += &format!("\n{}\n", ladder::draw(e.tuple, "Linux", &watch.passed(), &handle.log().entries()));
        }
    }
    let faults = arguments.options.simulated.impair.map_or(REORDERING.to_owned(), |i| format!("{i:?}"));
    text += &format!(
        "The wire's faults: {faults} (--impair).\nMSL is {msl} s here, so TIME_WAIT lasts {:.1} s instead of 120 s (--msl).\n\nThe engine's counters:\n",
        2.0 * msl
    );
    for (name, value) in counters.iter().filter(|(_, v)| **v > 0) {
        text += &format!("  {name:<20} {value:>9}\n");
    }
    text += &format!("\nCapture: {}\n", capture.display());
    let engine = format!("{:?}", options.simulated.engine).to_lowercase();
    let (cycles, wire) = snapshot.map_or((None, BTreeMap::new()), |s| (Some(s.cycles), s.wire.into_iter().collect()));
    let figures = Figures { engine, device: if arguments.separate { "vfio-user" } else { "sim" }, ok: true, cycles, episodes, counters, wire };
    machine.stop()?;
    Ok((figures, text))
}

/// An HTTP server of the kernel's side: the same code over std's sockets.
fn kernel_server(namespace: &Namespace, folder: &Path) -> Result<()> {
    let listener = namespace.run(|| std::net::TcpListener::bind((LINUX, KERNEL_PORT)))?.context("the kernel's server")?;
    let folder = folder.to_owned();
    std::thread::Builder::new().name("kernel http".into()).spawn(move || {
        for stream in listener.incoming() {
            match stream.and_then(|mut s| http::serve_connection(&mut s, &folder)) {
                Ok(answered) => tracing::info!(answered, "kernel's connection served"),
                Err(error) => tracing::warn!(%error, "kernel's connection"),
            }
        }
    })?;
    Ok(())
}

/// The system's curl, in the namespace, fetches from our server.
fn curl(bar: &ProgressBar, namespace: &Namespace, handle: &Handle, hash: &[u8; 32], name: &'static str, we_close: bool) -> Result<Episode> {
    bar.set_message(name);
    let before = handle.log().since(0).1;
    let out = tempfile::NamedTempFile::new()?;
    let mut command = namespace.command("curl")?;
    command.args(["--silent", "--show-error", "--max-time", "100", "--output"]).arg(out.path());
    if we_close {
        command.args(["--header", "Connection: close"]);
    }
    command.arg(format!("http://{OURS}:{PORT}/file.bin"));
    let begin = Instant::now();
    run_command(command, PATIENCE)?;
    let got = std::fs::read(out.path())?;
    episode(handle, name, before, got.len() as u64, begin, Sha256::digest(&got).into(), hash)
}

/// Our client fetches from the kernel's server.
fn fetch(bar: &ProgressBar, handle: &Handle, hash: &[u8; 32], name: &'static str, server_closes: bool) -> Result<Episode> {
    bar.set_message(name);
    let before = handle.log().since(0).1;
    let begin = Instant::now();
    let mut stream = TcpStream::connect(handle, SocketAddrV4::new(LINUX, KERNEL_PORT)).context("connect to the kernel's server")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut sum = Sha256::new();
    let bytes = http::fetch(&mut stream, &LINUX.to_string(), "/file.bin", server_closes, |piece| sum.update(piece))?;
    if server_closes {
        let end = std::io::Read::read(&mut stream, &mut [0])?;
        ensure!(end == 0, "the server closes first: expected the end of the stream, found a byte more");
    }
    drop(stream);
    episode(handle, name, before, bytes, begin, sum.finalize().into(), hash)
}

/// What is known of a connection once its bytes have come.
fn episode(handle: &Handle, name: &'static str, before: u64, bytes: u64, begin: Instant, got: [u8; 32], expected: &[u8; 32]) -> Result<Episode> {
    ensure!(got == *expected, "{name}: SHA-256 of the {bytes} bytes fetched: expected {}, found {}", hex(expected), hex(&got));
    let opened = handle.log().since(before).0.into_iter().find_map(|e| match e.what {
        Happening::State { to: State::Established, .. } => Some(e.tuple),
        _ => None,
    });
    let tuple = opened.with_context(|| format!("{name}: the stack's log shows no connection"))?;
    Ok(Episode { name, bytes, seconds: begin.elapsed().as_secs_f64(), states: Vec::new(), tuple })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Waits until every connection has come to its end, and checks the way there.
fn ended(handle: &Handle, mut episodes: Vec<Episode>) -> Result<Vec<Episode>> {
    let begin = Instant::now();
    loop {
        let sockets = handle.sockets().context("the stack has ended")?;
        let left: Vec<String> = sockets.iter().filter(|s| s.state != State::Listen).map(|s| format!("{} {}", s.tuple, s.state)).collect();
        if left.is_empty() {
            break;
        }
        ensure!(begin.elapsed() < PATIENCE, "connections that did not end: {}", left.join(", "));
        std::thread::sleep(Duration::from_millis(20));
    }
    for (k, e) in episodes.iter_mut().enumerate() {
        let states = handle.log().states(e.tuple);
        // The first and the last are closed by Linux, the others by us.
        let expected = if k == 0 || k == 3 { PASSIVE } else { ACTIVE };
        let tail = &states[states.iter().position(|s| *s == State::Established).unwrap_or(0)..];
        if tail != expected {
            bail!("{}: expected {expected:?}, found {tail:?}", e.name);
        }
        e.states = states.iter().map(ToString::to_string).collect();
    }
    let statistics = handle.statistics().context("the stack has ended")?;
    ensure!(statistics.flows_used == 0, "flows left in use: expected 0, found {}", statistics.flows_used);
    Ok(episodes)
}

/// The engine's own counters must show that it did the work; over the demonstration's own wire, that it put segments in order and met no bad frame.
fn proven(counters: &BTreeMap<&'static str, u64>, connections: u64, own_wire: bool) -> Result<()> {
    let counter = |name| counters.get(name).copied().unwrap_or(0);
    for name in ["rx_checksum_good", "rx_in_order", "tx_acks", "tx_segments", "events"] {
        let found = counter(name);
        ensure!(found >= connections, "the engine's counter {name}: expected at least {connections}, found {found}");
    }
    if own_wire {
        ensure!(counter("rx_out_of_order") > 0, "the engine's counter rx_out_of_order: expected at least 1, found 0");
        for name in ["mac_rx_bad_fcs", "mac_tx_underrun", "rx_bad_ipv4_checksum", "rx_bad_tcp_checksum"] {
            let found = counter(name);
            ensure!(found == 0, "the engine's counter {name}: expected 0, found {found}");
        }
    }
    Ok(())
}
