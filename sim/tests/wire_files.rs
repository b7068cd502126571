//! Captures, replays, links and datagrams.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use toe_sim::command::run;
use toe_sim::time::Nanoseconds;
use toe_sim::wire::{link, wait, Capture, Datagram, Framing, Pacing, Replay, Wire, WireFrame};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// When the captures of these tests say time began: 2023-11-14 22:13:20 UTC.
const EPOCH: Nanoseconds = Nanoseconds::from_secs(1_700_000_000);

fn frame(byte: u8, len: usize) -> WireFrame {
    WireFrame::new(vec![byte; len])
}

/// Captures an exchange: three frames in (the second with a bad FCS), two out.
fn capture_an_exchange(path: &Path) -> Result<(), toe_sim::wire::WireError> {
    let (near, mut far) = link(Nanoseconds(500));
    let mut wire = Capture::create(near, path, "nic0", EPOCH)?;
    far.send(Nanoseconds(0), frame(1, 60))?;
    wire.send(Nanoseconds(7), frame(2, 61))?;
    far.send(Nanoseconds(10), WireFrame { fcs_xor: 9, ..frame(3, 62) })?;
    far.send(Nanoseconds(1_000_000_001), frame(4, 1514))?;
    for at in [Nanoseconds(500), Nanoseconds(510), Nanoseconds(1_000_000_501)] {
        assert!(wire.receive(at)?.is_some());
        assert_eq!(wire.receive(at)?, None);
    }
    wire.send(Nanoseconds(2_000_000_000), frame(5, 64))?;
    assert_eq!(wire.counts(), [("capture: frames", 5)]);
    Ok(())
}

/// The frames for the NIC come again, with the gaps they had; those it sent do not.
#[test]
fn a_capture_can_be_replayed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("a.pcapng");
    capture_an_exchange(&path)?;
    let mut replay = Replay::open(&path, Pacing::Original)?.recording();
    assert_eq!((replay.remaining(), replay.next_event()), (3, Some(Nanoseconds(0))));
    let start = Nanoseconds(5_000);
    assert_eq!(replay.receive(start)?, Some(frame(1, 60)));
    assert_eq!(replay.next_event(), Some(start + Nanoseconds(10)));
    assert_eq!(replay.receive(start + Nanoseconds(9))?, None);
    assert_eq!(replay.receive(start + Nanoseconds(10))?, Some(WireFrame { fcs_xor: u32::MAX, ..frame(3, 62) }));
    assert_eq!(replay.next_event(), Some(start + Nanoseconds(1_000_000_001)));
    replay.send(start + Nanoseconds(20), frame(6, 60))?;
    assert_eq!(replay.sent(), [(start + Nanoseconds(20), frame(6, 60))]);
    assert_eq!(replay.receive(start + Nanoseconds(1_000_000_001))?, Some(frame(4, 1514)));
    assert_eq!((replay.next_event(), replay.receive(Nanoseconds(u64::MAX))?), (None, None));

    let mut fast = Replay::open(&path, Pacing::Fast)?;
    assert_eq!(std::iter::from_fn(|| fast.receive(Nanoseconds(1)).transpose()).filter_map(Result::ok).count(), 3);
    Ok(())
}

/// Wireshark's own reader finds the same: times, directions, lengths, interface, and the damaged frame.
#[test]
fn another_reader_agrees() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("a.pcapng");
    capture_an_exchange(&path)?;
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-E", "separator=,"]);
    for field in ["frame.time_epoch", "frame.len", "frame.interface_name", "frame.packet_flags_direction", "frame.packet_flags_crc_error"] {
        tshark.args(["-e", field]);
    }
    tshark.arg("-r").arg(&path);
    let expected = "1700000000.000000007,61,nic0,0x00000002,0\n\
                    1700000000.000000500,60,nic0,0x00000001,0\n\
                    1700000000.000000510,62,nic0,0x00000001,1\n\
                    1700000001.000000501,1514,nic0,0x00000001,0\n\
                    1700000002.000000000,64,nic0,0x00000002,0\n";
    match run(tshark, Duration::from_secs(60)) {
        Ok(finished) => {
            // Booleans are 1 and 0, or True and False, as the version likes.
            assert_eq!(finished.stdout.replace("False", "0").replace("True", "1"), expected);
        }
        Err(toe_sim::command::CommandError::Start { .. }) => {
            println!("tshark is not installed: reading with the library that wrote");
            assert_eq!(Replay::open(&path, Pacing::Fast)?.remaining(), 3);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Whenever the NIC was idle, everything is in the file; a file cut anywhere loses its last frame only.
#[test]
fn a_killed_capture_can_be_read() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (live, cut) = (dir.path().join("live.pcapng"), dir.path().join("cut.pcapng"));
    let (near, mut far) = link(Nanoseconds::ZERO);
    let mut wire = Capture::create(near, &live, "nic0", EPOCH)?;
    assert_eq!(Replay::open(&live, Pacing::Fast)?.remaining(), 0, "a file with no frames is a file");
    for index in 0..10 {
        far.send(Nanoseconds(index), frame(7, 60))?;
        wire.receive(Nanoseconds(index))?;
    }
    wire.receive(Nanoseconds(10))?;
    assert_eq!(Replay::open(&live, Pacing::Fast)?.remaining(), 10, "all there while the capture goes on");
    let bytes = fs::read(&live)?;
    let block = 28 + 60 + 8 + 4 + 4;
    for missing in 1..block {
        fs::write(&cut, &bytes[..bytes.len() - missing])?;
        assert_eq!(Replay::open(&cut, Pacing::Fast)?.remaining(), 9, "{missing} bytes missing");
    }
    Ok(())
}

/// A classic pcap file, written out by hand: big-endian, microseconds, one frame cut by the snap length.
#[test]
fn classic_pcap() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("a.pcap");
    let mut bytes = vec![0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 1];
    for (micros, byte) in [(5u8, 0xaa), (8, 0xbb)] {
        bytes.extend([0, 0, 0, 1, 0, 0, 0, micros, 0, 0, 0, 64, 0, 0, 0, 64]);
        bytes.extend([byte; 64]);
    }
    fs::write(&path, &bytes)?;
    let mut replay = Replay::open(&path, Pacing::Original)?;
    assert_eq!(replay.receive(Nanoseconds(100))?, Some(frame(0xaa, 64)));
    assert_eq!(replay.next_event(), Some(Nanoseconds(3_100)));
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 64, 0, 0, 5, 0xea]);
    bytes.extend([0xcc; 64]);
    fs::write(&path, &bytes)?;
    let error = Replay::open(&path, Pacing::Original).err().ok_or("a cut frame was taken")?.to_string();
    assert!(error.ends_with("frame 3: only 64 of 1514 bytes were captured; capture without a snap length"), "{error}");
    fs::write(&path, b"no capture at all, but long enough for a header")?;
    let error = Replay::open(&path, Pacing::Original).err().ok_or("nonsense was taken")?.to_string();
    assert!(error.ends_with("expected a pcap or pcapng file, found something else"), "{error}");
    Ok(())
}

/// A pcapng file of two interfaces, little-endian: microseconds because nothing else is said, and 2^-20 seconds; the
/// frames are not in the order of time.
#[test]
fn pcapng_time_units() -> Outcome {
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let total = u32::try_from(body.len() + 12).expect("short").to_le_bytes();
        [&kind.to_le_bytes(), &total, body, &total].concat()
    }
    fn packet(interface: u8, units: u8, byte: u8) -> Vec<u8> {
        block(6, &[&[interface, 0, 0, 0, 0, 0, 0, 0, units, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0][..], &[byte; 60]].concat())
    }
    let section = block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    let micros = block(1, &[1, 0, 0, 0, 0, 0, 0, 0]);
    let binary = block(1, &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0x94, 0, 0, 0, 0, 0, 0, 0]);
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("a.pcapng");
    fs::write(&path, [section.clone(), micros.clone(), binary, packet(0, 7, 0xcc), packet(1, 4, 0xaa), packet(0, 5, 0xbb)].concat())?;
    let mut replay = Replay::open(&path, Pacing::Original)?;
    // 4 / 2^20 s are 3814 ns; then come 5 and 7 us.
    for (at, byte) in [(0, 0xaa), (5000 - 3814, 0xbb), (7000 - 3814, 0xcc)] {
        assert_eq!(replay.next_event(), Some(Nanoseconds(at)));
        assert_eq!(replay.receive(Nanoseconds(at))?, Some(frame(byte, 60)));
    }
    // Raw IP is no Ethernet (link type 101).
    let raw_ip = block(1, &[101, 0, 0, 0, 0, 0, 0, 0]);
    fs::write(&path, [section.clone(), raw_ip, packet(0, 1, 1)].concat())?;
    let error = Replay::open(&path, Pacing::Fast).err().ok_or("raw IP was taken")?.to_string();
    assert!(error.ends_with("frame 1: expected link type Ethernet, found RAW"), "{error}");
    fs::write(&path, [section, micros, packet(1, 1, 1)].concat())?;
    let error = Replay::open(&path, Pacing::Fast).err().ok_or("an unknown interface was taken")?.to_string();
    assert!(error.ends_with("frame 1: no such interface"), "{error}");
    Ok(())
}

#[test]
fn a_link_is_two_ends() -> Outcome {
    let (mut a, mut b) = link(Nanoseconds(100));
    a.send(Nanoseconds(1), frame(1, 60))?;
    a.send(Nanoseconds(2), frame(2, 60))?;
    b.send(Nanoseconds(3), frame(3, 60))?;
    assert_eq!((a.next_event(), b.next_event()), (Some(Nanoseconds(103)), Some(Nanoseconds(101))));
    assert_eq!(b.receive(Nanoseconds(100))?, None);
    assert_eq!(b.receive(Nanoseconds(101))?, Some(frame(1, 60)));
    assert_eq!(b.receive(Nanoseconds(101))?, None);
    assert_eq!(b.receive(Nanoseconds(110))?, Some(frame(2, 60)));
    assert_eq!(a.receive(Nanoseconds(110))?, Some(frame(3, 60)));
    assert_eq!((a.next_event(), b.next_event()), (None, None));
    Ok(())
}

#[test]
fn datagrams() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (path_a, path_b) = (dir.path().join("a"), dir.path().join("b"));
    let now = Nanoseconds(0);
    let mut a = Datagram::bind(&path_a, Some(&path_b), Framing::Bare)?;
    a.send(now, frame(1, 60))?;
    assert!(a.counts().contains(&("datagram: lost", 1)), "nobody is there yet");
    // b is told no peer: it answers who spoke first. A file left behind does not stop it.
    drop(std::os::unix::net::UnixDatagram::bind(&path_b)?);
    let mut b = Datagram::bind(&path_b, None, Framing::Bare)?;
    assert!(Datagram::bind(&path_b, None, Framing::Bare).is_err(), "in use");
    b.send(now, frame(9, 60))?;
    assert!(b.counts().contains(&("datagram: lost", 1)), "it has no peer");
    a.send(now, frame(2, 42))?;
    a.send(now, WireFrame { fcs_xor: 1, ..frame(3, 60) })?;
    assert!(a.counts().contains(&("datagram: bad FCS", 1)));
    assert!(wait(&[b.poll_fd().ok_or("no descriptor")?], Nanoseconds::from_secs(5))?);
    let padded = b.receive(now)?.ok_or("nothing came")?;
    assert_eq!((&padded.bytes[..42], &padded.bytes[42..]), (&[2; 42][..], &[0; 18][..]));
    assert_eq!(b.receive(now)?, None);
    // Who was told a peer, or has found one, keeps it.
    let mut stranger = Datagram::bind(&dir.path().join("c"), Some(&path_b), Framing::Bare)?;
    stranger.send(now, frame(5, 60))?;
    assert_eq!(b.receive(now)?, Some(frame(5, 60)));
    b.send(now, frame(4, 1514))?;
    assert_eq!((a.receive(now)?, stranger.receive(now)?), (Some(frame(4, 1514)), None));
    assert!(!wait(&[a.poll_fd().ok_or("no descriptor")?], Nanoseconds::from_millis(1))?);
    drop(b);
    assert!(!path_b.exists(), "its file goes with it");
    Ok(())
}

/// With the FCS behind it, a frame arrives as it was sent, be it wrong or short.
#[test]
fn datagrams_with_their_fcs() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (path_a, path_b) = (dir.path().join("a"), dir.path().join("b"));
    let mut a = Datagram::bind(&path_a, Some(&path_b), Framing::WithFcs)?;
    let mut b = Datagram::bind(&path_b, None, Framing::WithFcs)?;
    let now = Nanoseconds(0);
    for sent in [frame(1, 60), WireFrame { fcs_xor: 0x8000_0001, ..frame(2, 1514) }, frame(3, 17), WireFrame { fcs_xor: 5, ..frame(4, 1) }] {
        a.send(now, sent.clone())?;
        assert_eq!(b.receive(now)?, Some(sent));
    }
    // As the standard has it: the FCS of 60 zeros, least significant byte first (IEEE 802.3 section 3.2.9).
    let mut bare = Datagram::bind(&dir.path().join("c"), Some(&path_b), Framing::Bare)?;
    bare.send(now, WireFrame::new([vec![0; 60], vec![0x08, 0x89, 0x12, 0x04]].concat()))?;
    assert_eq!(b.receive(now)?, Some(frame(0, 60)));
    bare.send(now, WireFrame::new(vec![9; 4]))?;
    assert_eq!(b.receive(now)?, None);
    assert!(b.counts().contains(&("datagram: lost", 1)), "too short for a frame with an FCS");
    Ok(())
}

/// More frames than the kernel queues for a peer wait here, and none is lost.
#[test]
fn a_slow_peer_gets_everything() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (path_a, path_b) = (dir.path().join("a"), dir.path().join("b"));
    let (mut a, mut b) = (Datagram::bind(&path_a, Some(&path_b), Framing::Bare)?, Datagram::bind(&path_b, Some(&path_a), Framing::Bare)?);
    let mut now = Nanoseconds(0);
    for index in 0..2000u16 {
        a.send(now, WireFrame::new(index.to_be_bytes().repeat(30)))?;
    }
    let mut got = Vec::new();
    while got.len() < 2000 {
        match b.receive(now)? {
            Some(frame) => got.push(u16::from_be_bytes([frame.bytes[0], frame.bytes[1]])),
            None => {
                now = a.next_event().ok_or("a has nothing more to send")?;
                assert_eq!(a.receive(now)?, None);
            }
        }
    }
    assert!(got.into_iter().eq(0..2000));
    assert_eq!(a.next_event(), None);
    Ok(())
}

proptest! {
    /// Whatever is in a file, opening it ends with frames or an error.
    #[test]
    fn random_files_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..400), magic in 0..4) {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a");
        let head: &[u8] = match magic {
            0 => &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 28, 0, 0, 0],
            1 => &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 1, 0, 0, 0],
            _ => &[],
        };
        bytes.splice(0..0, head.iter().copied());
        fs::write(&path, bytes)?;
        if let Ok(replay) = Replay::open(&path, Pacing::Fast) {
            prop_assert!(replay.remaining() < 100);
        }
    }
}
