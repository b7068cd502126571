//! What a command line can say about wires, and what it is told when it says something else.

use toe_sim::time::Nanoseconds;
use toe_sim::wire::{Framing, Impairment, Pacing, Wire, WireSpec};

#[test]
fn wires() {
    let datagram = |path: &str, peer: Option<&str>, framing| WireSpec::Datagram { path: path.into(), peer: peer.map(Into::into), framing };
    let replay = |path: &str, pacing| WireSpec::Replay { path: path.into(), pacing };
    for (text, spec) in [
        ("tap:toe0", WireSpec::Tap("toe0".to_owned())),
        ("udgram:/tmp/a", datagram("/tmp/a", None, Framing::Bare)),
        ("udgram:/tmp/a,/tmp/b", datagram("/tmp/a", Some("/tmp/b"), Framing::Bare)),
        ("udgram+fcs:/tmp/a,/tmp/b", datagram("/tmp/a", Some("/tmp/b"), Framing::WithFcs)),
        ("pcap:a.pcapng", replay("a.pcapng", Pacing::Original)),
        ("pcap:a.pcap,fast", replay("a.pcap", Pacing::Fast)),
    ] {
        assert_eq!(text.parse(), Ok(spec));
    }
    for bad in ["", "toe0", "tap:", "tap:a,b", "udgram:", "udgram:/tmp/a,", "udgram+fcs:", "pcap:a,slow", "tun:toe0"] {
        let error = bad.parse::<WireSpec>().map_err(|error| error.to_string());
        assert_eq!(error, Err(format!("expected tap:NAME, udgram:PATH[,PEER], udgram+fcs:PATH[,PEER] or pcap:FILE[,fast], found {bad:?}")));
    }
}

#[test]
fn impairments() {
    let read = "loss=1%, rx.delay=10ms,tx.rate=100M,queue=64K,reorder=0.25,rx.reorder=0,depth=9,hold=5us,jitter=7ns,seed=7,duplicate=2%,corrupt=3%,reseal=100%";
    let read: Impairment = read.parse().expect(read);
    let mut expected = Impairment { seed: 7, ..Impairment::default() };
    for direction in [&mut expected.tx, &mut expected.rx] {
        (direction.loss, direction.duplicate, direction.corrupt, direction.reseal) = (0.01, 0.02, 0.03, 1.0);
        (direction.depth, direction.queue) = (9, 65536);
        (direction.hold, direction.jitter) = (Nanoseconds(5000), Nanoseconds(7));
    }
    (expected.rx.delay, expected.tx.rate) = (Nanoseconds(10_000_000), Some(100_000_000));
    (expected.tx.reorder, expected.rx.reorder) = (0.25, 0.0);
    assert_eq!(read, expected);
    assert_eq!("".parse(), Ok(Impairment::default()));
}

#[test]
fn impairments_that_are_none() {
    const KEYS: &str =
        "expected loss, duplicate, corrupt, reseal, reorder, depth, hold, delay, jitter, rate, queue or seed (tx. or rx. before it for one direction)";
    for (text, message) in [
        ("loss", "expected KEY=VALUE, found \"loss\"".to_owned()),
        ("los=1%", format!("{KEYS}, found \"los\"")),
        ("tx.rx.loss=1%", format!("{KEYS}, found \"rx.loss\"")),
        ("tx.seed=1", format!("{KEYS}, found \"seed\"")),
        ("seed=x", "expected a number after seed=, found \"x\"".to_owned()),
        ("loss=101%", "expected a chance from 0 to 1, or from 0% to 100%, found \"101%\"".to_owned()),
        ("loss=-1%", "expected a chance from 0 to 1, or from 0% to 100%, found \"-1%\"".to_owned()),
        ("loss=NaN", "expected a chance from 0 to 1, or from 0% to 100%, found \"NaN\"".to_owned()),
        ("delay=10", "expected a span of time, such as 100ns, 50us, 10ms or 1s, found \"10\"".to_owned()),
        ("delay=ms", "expected a span of time, such as 100ns, 50us, 10ms or 1s, found \"ms\"".to_owned()),
        ("delay=99999999999999999999ms", "expected a span of time, such as 100ns, 50us, 10ms or 1s, found \"99999999999999999999ms\"".to_owned()),
        ("delay=1\u{e9}s", "expected a span of time, such as 100ns, 50us, 10ms or 1s, found \"1\u{e9}s\"".to_owned()),
        ("rate=0", "expected bits per second, such as 100M or 10G, found \"0\"".to_owned()),
        ("rate=10X", "expected bits per second, such as 100M or 10G, found \"10X\"".to_owned()),
        ("queue=KK", "expected bytes, such as 64000 or 256K, found \"KK\"".to_owned()),
        ("queue=99999999999G", "expected bytes, such as 64000 or 256K, found \"99999999999G\"".to_owned()),
        ("depth=1.5", "expected a number of frames after depth=, found \"1.5\"".to_owned()),
    ] {
        assert_eq!(text.parse::<Impairment>().map_err(|error| error.to_string()), Err(message), "{text}");
    }
}

#[test]
fn a_spec_opens_its_wire() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("nic");
    let spec: WireSpec = format!("udgram:{}", path.display()).parse()?;
    let wire = spec.open()?;
    assert!(path.exists() && wire.poll_fd().is_some());
    let missing = format!("pcap:{}/none", dir.path().display()).parse::<WireSpec>()?.open();
    let error = missing.err().ok_or("opened a file that is not there")?.to_string();
    assert!(error.starts_with("read capture") && error.contains("/none: No such file"), "{error}");
    Ok(())
}
