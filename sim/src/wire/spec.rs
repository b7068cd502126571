//! Wires and faults as they are written on a command line.

use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use super::{Datagram, DirectionImpairment, Framing, Impairment, Pacing, Replay, Tap, Wire, WireError};
use crate::time::Nanoseconds;

/// A text that says no wire, or no fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected {expected}, found {found:?}")]
pub struct SpecError {
    expected: &'static str,
    found: String,
}

impl SpecError {
    fn new(expected: &'static str, found: impl Into<String>) -> SpecError {
        SpecError { expected, found: found.into() }
    }
}

/// Which wire to open: `tap:NAME`, `udgram:PATH[,PEER]` or `udgram+fcs:PATH[,PEER]`, `pcap:FILE[,fast]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireSpec {
    /// A TAP interface, by name.
    Tap(String),
    /// A UNIX datagram socket.
    Datagram {
        /// Where to bind.
        path: PathBuf,
        /// Where to send; if none, to who sends first.
        peer: Option<PathBuf>,
        /// Whether the FCS goes with each frame.
        framing: Framing,
    },
    /// A capture file to be replayed.
    Replay {
        /// The file, pcap or pcapng.
        path: PathBuf,
        /// When its frames come.
        pacing: Pacing,
    },
}

impl WireSpec {
    /// Opens the wire.
    ///
    /// # Errors
    /// Those of [`Tap::open`], [`Datagram::bind`], [`Replay::open`].
    pub fn open(&self) -> Result<Box<dyn Wire>, WireError> {
        Ok(match self {
            WireSpec::Tap(name) => Box::new(Tap::open(name)?),
            WireSpec::Datagram { path, peer, framing } => Box::new(Datagram::bind(path, peer.as_deref(), *framing)?),
            WireSpec::Replay { path, pacing } => Box::new(Replay::open(path, *pacing)?),
        })
    }
}

impl FromStr for WireSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<WireSpec, SpecError> {
        const EXPECTED: &str = "tap:NAME, udgram:PATH[,PEER], udgram+fcs:PATH[,PEER] or pcap:FILE[,fast]";
        let (kind, rest) = text.split_once(':').ok_or_else(|| SpecError::new(EXPECTED, text))?;
        let (first, second) = match rest.split_once(',') {
            Some((first, second)) => (first, Some(second)),
            None => (rest, None),
        };
        if first.is_empty() {
            return Err(SpecError::new(EXPECTED, text));
        }
        match (kind, second) {
            ("tap", None) => Ok(WireSpec::Tap(first.to_owned())),
            ("udgram", peer) if peer != Some("") => Ok(datagram(first, peer, Framing::Bare)),
            ("udgram+fcs", peer) if peer != Some("") => Ok(datagram(first, peer, Framing::WithFcs)),
            ("pcap", None) => Ok(WireSpec::Replay { path: first.into(), pacing: Pacing::Original }),
            ("pcap", Some("fast")) => Ok(WireSpec::Replay { path: first.into(), pacing: Pacing::Fast }),
            _ => Err(SpecError::new(EXPECTED, text)),
        }
    }
}

fn datagram(path: &str, peer: Option<&str>, framing: Framing) -> WireSpec {
    WireSpec::Datagram { path: path.into(), peer: peer.map(PathBuf::from), framing }
}

/// Comma-separated `KEY=VALUE`; a key counts for both directions, or for one with `tx.` (the NIC sends) or `rx.` before
/// it. Later ones win.
///
/// | key | value |
/// |---|---|
/// | `loss`, `duplicate`, `corrupt`, `reseal`, `reorder` | a chance: `1%` or `0.01` |
/// | `depth` | frames that overtake a reordered one |
/// | `hold`, `delay`, `jitter` | a span: `10ms`, `50us`, `100ns`, `1s` |
/// | `rate` | bits per second: `100M`, `10G` |
/// | `queue` | bytes: `256K` |
/// | `seed` | a number |
impl FromStr for Impairment {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Impairment, SpecError> {
        let mut impairment = Impairment::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| SpecError::new("KEY=VALUE", part))?;
            if key == "seed" {
                impairment.seed = value.parse().map_err(|_| SpecError::new("a number after seed=", value))?;
            } else if let Some(key) = key.strip_prefix("tx.") {
                set(&mut impairment.tx, key, value)?;
            } else if let Some(key) = key.strip_prefix("rx.") {
                set(&mut impairment.rx, key, value)?;
            } else {
                set(&mut impairment.tx, key, value)?;
                set(&mut impairment.rx, key, value)?;
            }
        }
        Ok(impairment)
    }
}

fn set(direction: &mut DirectionImpairment, key: &str, value: &str) -> Result<(), SpecError> {
    match key {
        "loss" => direction.loss = chance(value)?,
        "duplicate" => direction.duplicate = chance(value)?,
        "corrupt" => direction.corrupt = chance(value)?,
        "reseal" => direction.reseal = chance(value)?,
        "reorder" => direction.reorder = chance(value)?,
        "depth" => direction.depth = value.parse().map_err(|_| SpecError::new("a number of frames after depth=", value))?,
        "hold" => direction.hold = span(value)?,
        "delay" => direction.delay = span(value)?,
        "jitter" => direction.jitter = span(value)?,
        "rate" => direction.rate = Some(positive("bits per second, such as 100M or 10G", value, 1000)?),
        "queue" => direction.queue = positive("bytes, such as 64000 or 256K", value, 1024)?,
        _ => {
            let expected =
                "loss, duplicate, corrupt, reseal, reorder, depth, hold, delay, jitter, rate, queue or seed (tx. or rx. before it for one direction)";
            return Err(SpecError::new(expected, key));
        }
    }
    Ok(())
}

/// `1%` or `0.01`.
fn chance(text: &str) -> Result<f64, SpecError> {
    let error = || SpecError::new("a chance from 0 to 1, or from 0% to 100%", text);
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let chance = number.parse::<f64>().map_err(|_| error())? / unit;
    // NaN is in no range.
    (0.0..=1.0).contains(&chance).then_some(chance).ok_or_else(error)
}

/// `10ms`.
fn span(text: &str) -> Result<Nanoseconds, SpecError> {
    let error = || SpecError::new("a span of time, such as 100ns, 50us, 10ms or 1s", text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(error)?;
    let unit = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return Err(error()),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    number.checked_mul(unit).map(Nanoseconds).ok_or_else(error)
}

/// A number above zero, with K, M or G in steps of `step`.
fn positive(expected: &'static str, text: &str, step: u64) -> Result<u64, SpecError> {
    let error = || SpecError::new(expected, text);
    let (number, unit) = match text.as_bytes().last() {
        Some(b'K') => (text.trim_end_matches('K'), step),
        Some(b'M') => (text.trim_end_matches('M'), step.pow(2)),
        Some(b'G') => (text.trim_end_matches('G'), step.pow(3)),
        _ => (text, 1),
    };
    let number: u64 = number.parse().map_err(|_| error())?;
    number.checked_mul(unit).filter(|number| *number > 0).ok_or_else(error)
}
