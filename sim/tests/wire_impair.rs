//! Faults: as often as asked for, the same for the same seed, and of the kind they claim to be.

use std::collections::HashSet;

use toe_sim::time::Nanoseconds;
use toe_sim::wire::{link, Impaired, Impairment, LinkEnd, Wire, WireError, WireFrame};
use toe_wire::{build_tcp_frame, parse_tcp_frame, EtherType, EthernetRepr, IpProtocol, Ipv4Repr, MacAddr, SeqNumber, TcpFlags, TcpSegment};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SECOND: Nanoseconds = Nanoseconds::from_secs(1);

/// A legal TCP frame whose sequence number says which one it is.
fn numbered(number: u32, payload: usize) -> WireFrame {
    let eth = EthernetRepr::new(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]), EtherType::IPV4);
    let ip = Ipv4Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProtocol::TCP);
    let payload = vec![0x5a; payload];
    let tcp = TcpSegment { src_port: 1, dst_port: 2, seq: SeqNumber(number), flags: TcpFlags::ACK, payload: &payload, ..TcpSegment::default() };
    WireFrame::padded(build_tcp_frame(&eth, &ip, &tcp).expect("a small segment fits"))
}

fn number(frame: &WireFrame) -> u32 {
    parse_tcp_frame(&frame.bytes).expect("not damaged").tcp.seq.0
}

fn impaired(spec: &str) -> (Impaired<LinkEnd>, LinkEnd) {
    let (near, far) = link(Nanoseconds::ZERO);
    (Impaired::new(near, &spec.parse::<Impairment>().expect(spec)), far)
}

/// Sends so many frames, one a microsecond, then waits a second; returns what comes out with the times.
fn through(wire: &mut impl Wire, far: &mut LinkEnd, count: u32) -> Result<Vec<(Nanoseconds, WireFrame)>, WireError> {
    let mut arrived = Vec::new();
    let mut now = Nanoseconds::ZERO;
    let mut drain = |now: Nanoseconds, wire: &mut dyn Wire| -> Result<(), WireError> {
        assert_eq!(wire.receive(now)?, None, "nothing was sent the other way");
        while let Some(frame) = far.receive(now)? {
            arrived.push((now, frame));
        }
        Ok(())
    };
    for index in 0..count {
        now += Nanoseconds::from_micros(1);
        // Whatever is due before the next frame is served at its own time.
        while let Some(at) = wire.next_event().filter(|at| *at < now) {
            drain(at, wire)?;
        }
        wire.send(now, numbered(index, 1000))?;
        drain(now, wire)?;
    }
    while let Some(at) = wire.next_event() {
        assert!(at <= now + SECOND, "an event at {at} that never ends");
        drain(at, wire)?;
    }
    Ok(arrived)
}

#[test]
fn a_perfect_wire_changes_nothing() -> Outcome {
    let (mut wire, mut far) = impaired("");
    let arrived = through(&mut wire, &mut far, 500)?;
    assert_eq!(arrived.len(), 500);
    for (index, (at, frame)) in (0..).zip(&arrived) {
        assert_eq!((*at, frame), (Nanoseconds::from_micros(u64::from(index) + 1), &numbered(index, 1000)));
    }
    Ok(())
}

#[test]
fn the_same_seed_is_the_same_run() -> Outcome {
    let spec = "loss=5%,duplicate=5%,corrupt=5%,reseal=5%,reorder=5%,delay=100us,jitter=50us,rate=5G";
    let run = |seed: u32| {
        let (mut wire, mut far) = impaired(&format!("{spec},seed={seed}"));
        through(&mut wire, &mut far, 2000).map(|arrived| (arrived, wire.tx_counts()))
    };
    let first = run(1)?;
    assert_eq!(first, run(1)?);
    assert_ne!(first.0, run(2)?.0);
    let counts = first.1;
    assert_eq!(counts.delivered, first.0.len() as u64);
    assert_eq!(counts.delivered, counts.frames - counts.lost - counts.queue_full + counts.duplicated, "{counts:?}");
    Ok(())
}

#[test]
fn loss_and_duplication_are_as_asked() -> Outcome {
    let (mut wire, mut far) = impaired("tx.loss=10%,tx.duplicate=20%,rx.loss=100%,seed=3");
    let arrived = through(&mut wire, &mut far, 10_000)?;
    let counts = wire.tx_counts();
    // Five standard deviations of a binomial distribution: 150, and 190 of the 9000 left.
    assert!(counts.lost.abs_diff(1000) < 150, "{counts:?}");
    assert!(counts.duplicated.abs_diff(1800) < 190, "{counts:?}");
    let different: HashSet<_> = arrived.iter().map(|(_, frame)| number(frame)).collect();
    assert_eq!((different.len() as u64, arrived.len() as u64), (10_000 - counts.lost, 10_000 - counts.lost + counts.duplicated));
    // The other direction has settings of its own.
    far.send(SECOND, numbered(0, 10))?;
    assert_eq!(wire.receive(SECOND)?, None);
    assert_eq!((wire.rx_counts().frames, wire.rx_counts().lost), (1, 1));
    Ok(())
}

/// A frame with flipped bits has the FCS of what was sent: the FCS of what arrives, less the mask.
#[test]
fn corruption_is_caught_by_the_fcs() -> Outcome {
    let (mut wire, mut far) = impaired("corrupt=100%,seed=4");
    for index in 0..1000 {
        let sent = numbered(index, usize::try_from(index)?);
        wire.send(Nanoseconds(0), sent.clone())?;
        let arrived = far.receive(Nanoseconds(0))?.ok_or("lost")?;
        assert!(!arrived.fcs_ok() && arrived.bytes != sent.bytes && arrived.bytes.len() == sent.bytes.len());
        assert_eq!(crc32fast::hash(&arrived.bytes) ^ arrived.fcs_xor, crc32fast::hash(&sent.bytes), "frame {index}");
    }
    Ok(())
}

/// Twice damaged, the FCS is still that of the frame first sent; a short frame counts with its padding.
#[test]
fn masks_add_up() -> Outcome {
    let (mut wire, mut far) = impaired("corrupt=100%,seed=5");
    let mut frame = WireFrame::new(vec![0x33; 42]);
    let mut padded = frame.bytes.clone();
    padded.resize(60, 0);
    let first = crc32fast::hash(&padded);
    for round in 0..20 {
        wire.send(Nanoseconds(0), frame)?;
        frame = far.receive(Nanoseconds(0))?.ok_or("lost")?;
        let mut padded = frame.bytes.clone();
        padded.resize(60, 0);
        assert_eq!(crc32fast::hash(&padded) ^ frame.fcs_xor, first, "round {round}");
    }
    Ok(())
}

#[test]
fn resealed_corruption_is_caught_only_by_the_checksums_inside() -> Outcome {
    let (mut wire, mut far) = impaired("reseal=100%,seed=6");
    let mut tagged = numbered(0, 30);
    tagged.bytes.splice(12..12, [0x81, 0, 0, 5]);
    for sent in (0..1000).map(|index| numbered(index, 3)).chain([tagged]) {
        assert!(parse_tcp_frame(&sent.bytes).is_ok());
        wire.send(Nanoseconds(0), sent.clone())?;
        let arrived = far.receive(Nanoseconds(0))?.ok_or("lost")?;
        assert!(arrived.fcs_ok());
        assert_eq!(arrived.bytes[..12], sent.bytes[..12], "the addresses are covered by nothing");
        assert!(parse_tcp_frame(&arrived.bytes).is_err());
    }
    // Nothing inside an ARP packet would notice.
    let arp = WireFrame::padded(toe_wire::build_arp_frame(None, &toe_wire::ArpRepr::request(MacAddr::ZERO, [10, 0, 0, 1].into(), [10, 0, 0, 2].into())));
    wire.send(Nanoseconds(0), arp.clone())?;
    assert_eq!(far.receive(Nanoseconds(0))?, Some(arp));
    assert_eq!(wire.tx_counts().resealed, 1001);
    Ok(())
}

#[test]
fn a_reordered_frame_is_overtaken_by_depth_frames() -> Outcome {
    let (mut wire, mut far) = impaired("reorder=2%,depth=4,hold=1ms,seed=7");
    let arrived = through(&mut wire, &mut far, 5000)?;
    let order: Vec<_> = arrived.iter().map(|(_, frame)| number(frame)).collect();
    let mut late = 0;
    let mut highest = None;
    for (place, number) in order.iter().enumerate() {
        if highest > Some(*number) {
            late += 1;
            let overtaken_by = order[..place].iter().filter(|earlier| *earlier > number).count();
            assert!((4..=8).contains(&overtaken_by), "{number} was overtaken by {overtaken_by}");
        }
        highest = highest.max(Some(*number));
    }
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), 5000, "none is lost or doubled");
    assert!((50..150).contains(&late), "{late}");
    assert!(wire.tx_counts().reordered >= late);
    Ok(())
}

#[test]
fn a_frame_that_nothing_overtakes_is_let_go_after_hold() -> Outcome {
    let (mut wire, mut far) = impaired("reorder=100%,hold=300us");
    wire.send(Nanoseconds(1000), numbered(0, 1))?;
    assert_eq!(wire.next_event(), Some(Nanoseconds(301_000)));
    assert_eq!((wire.receive(Nanoseconds(300_999))?, far.receive(Nanoseconds(300_999))?), (None, None));
    wire.receive(Nanoseconds(301_000))?;
    assert_eq!(far.receive(Nanoseconds(301_000))?.map(|frame| number(&frame)), Some(0));
    assert_eq!((wire.next_event(), wire.tx_counts().reordered), (None, 0));
    Ok(())
}

#[test]
fn delay_and_jitter_keep_the_order() -> Outcome {
    let (mut wire, mut far) = impaired("delay=10ms,jitter=2ms,seed=8");
    let arrived = through(&mut wire, &mut far, 1000)?;
    for (index, (at, frame)) in (0..).zip(&arrived) {
        assert_eq!(number(frame), index);
        let sent = Nanoseconds::from_micros(u64::from(index) + 1);
        // The order kept makes a frame as late as the one before it at most.
        assert!((10_000_000..=12_001_000).contains(&(*at - sent).0), "{index}: {}", *at - sent);
    }
    Ok(())
}

#[test]
fn the_line_has_a_rate_and_a_queue() -> Outcome {
    // A frame of 1054 bytes takes 1054 + 24 bytes of the wire: 86.24 us at 100 Mb/s, and one comes each microsecond.
    let (mut wire, mut far) = impaired("rate=100M,queue=50K");
    let arrived = through(&mut wire, &mut far, 1000)?;
    let gaps: HashSet<_> = arrived.windows(2).map(|pair| (pair[1].0 - pair[0].0).0).collect();
    assert_eq!(gaps, HashSet::from([86_240]));
    // Room for 51,200 bytes, and 12.5 more each of the 999 us in which frames came: 59 frames of 1078.
    assert_eq!(arrived.len(), 59);
    assert_eq!(wire.tx_counts().queue_full, 1000 - 59);
    let kept: Vec<_> = arrived.iter().take(47).map(|(_, frame)| number(frame)).collect();
    assert_eq!(kept, (0..47).collect::<Vec<_>>(), "the tail is dropped");
    Ok(())
}

/// A frame of less than 60 bytes is padded on the wire: 84 bytes with preamble, FCS and gap, 672 ns at 1 Gb/s.
#[test]
fn a_short_frame_takes_the_time_of_the_shortest() -> Outcome {
    for len in [1, 42, 60] {
        let (mut wire, _far) = impaired("rate=1G");
        wire.send(Nanoseconds(0), WireFrame::new(vec![0; len]))?;
        assert_eq!(wire.next_event(), Some(Nanoseconds(672)), "{len}");
    }
    Ok(())
}

/// The two directions do not share their luck.
#[test]
fn the_directions_are_independent() -> Outcome {
    let (mut wire, mut far) = impaired("loss=50%,seed=10");
    let mut same = 0;
    for index in 0..400 {
        far.send(Nanoseconds(0), numbered(index, 1))?;
        wire.send(Nanoseconds(0), numbered(index, 1))?;
        same += u32::from(wire.receive(Nanoseconds(0))?.is_some() == far.receive(Nanoseconds(0))?.is_some());
    }
    assert!((150..250).contains(&same), "the fates agree {same} times of 400");
    Ok(())
}

#[test]
fn the_way_in_is_impaired_alike() -> Outcome {
    let (mut wire, mut far) = impaired("rx.delay=1ms,rx.loss=50%,seed=9");
    for index in 0..1000 {
        far.send(Nanoseconds::ZERO, numbered(index, 1))?;
    }
    assert_eq!(wire.receive(Nanoseconds::ZERO)?, None, "it takes a millisecond");
    let at = wire.next_event().ok_or("nothing on the way")?;
    assert_eq!(at, Nanoseconds::from_millis(1));
    let mut arrived = Vec::new();
    while let Some(frame) = wire.receive(at)? {
        arrived.push(number(&frame));
    }
    assert!(arrived.is_sorted() && (400..600).contains(&arrived.len()), "{}", arrived.len());
    assert_eq!(wire.rx_counts().lost, 1000 - arrived.len() as u64);
    let counts = wire.counts();
    assert!(counts.contains(&("rx: lost", wire.rx_counts().lost)) && counts.contains(&("tx: frames", 0)), "{counts:?}");
    Ok(())
}
