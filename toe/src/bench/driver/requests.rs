//! Requests and answers of 64 bytes over one connection, one after the other.

use super::Bench;
use anyhow::{Context, Result};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use toe_driver::{Bus, Nic, NicConfig, Wait};
use toe_host_lib::{Config, Stack, StackThread, TcpListener, TcpStream};

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
const BYTES: usize = 64;
const PORT: u16 = 7;
/// Requests before the clock is started.
const WARM_UP: usize = 50;

fn stack(bus: &Arc<dyn Bus>, host: u8, wait: Wait) -> Result<StackThread> {
    let nic = Nic::open(bus.clone(), NicConfig { mac: [2, 0, 0, 0, 0, host], hash_key: rand::random(), wait, ..NicConfig::default() })?;
    Ok(Stack::new(nic, Config { address: [10, 0, 0, host].into(), ..Config::default() })?.spawn()?)
}

/// Requests a second from a stack on the device, waiting that way, to one that waits for interrupts.
///
/// # Errors
/// A device does not work, or an answer does not come.
pub(super) fn measure(bench: &Bench, wait: Wait, duration: Duration) -> Result<f64> {
    let peer = stack(&bench.peer, 2, Wait::Interrupt).context("the peer")?;
    let ours = stack(&bench.bus, 1, wait).context("the device")?;
    let listener = TcpListener::bind(&peer.handle(), PORT)?;
    let server = thread::Builder::new().name("echo".into()).spawn(move || echo(&listener)).context("a thread")?;
    let rate = client(&ours, duration);
    ours.stop()?;
    peer.stop()?;
    match server.join() {
        Ok(result) => result.context("the peer's application")?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    rate
}

fn client(ours: &StackThread, duration: Duration) -> Result<f64> {
    let mut stream = TcpStream::connect_timeout(&ours.handle(), std::net::SocketAddrV4::new([10, 0, 0, 2].into(), PORT), PATIENCE).context("connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; BYTES];
    let mut ask = || -> Result<()> {
        stream.write_all(&[7; BYTES]).context("a request")?;
        stream.read_exact(&mut buffer).context("an answer")
    };
    for _ in 0..WARM_UP {
        ask()?;
    }
    let begin = Instant::now();
    let mut count = 0_u32;
    while begin.elapsed() < duration {
        ask()?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

/// Sends back what comes, until the connection ends.
fn echo(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept_timeout(PATIENCE)?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; BYTES];
    loop {
        match stream.read_exact(&mut buffer) {
            Ok(()) => stream.write_all(&buffer)?,
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
