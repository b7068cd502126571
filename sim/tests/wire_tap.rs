//! A real kernel at the other end: it pings us, we ping it, and it connects.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::Duration;

use toe_sim::command::{run, CommandError, Running};
use toe_sim::netns::{Namespace, NamespaceError, TapConfig};
use toe_sim::time::{Clock, Nanoseconds, WallClock};
use toe_sim::wire::{wait, Capture, Tap, Wire, WireError, WireFrame};
use toe_wire::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const DEADLINE: Duration = Duration::from_secs(20);
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const OUR_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const KERNEL_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const KERNEL_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// A namespace with a TAP; `None`, with the reason printed, where there is no TAP device to be had.
fn with_a_tap() -> Result<Option<(Namespace, Tap)>, NamespaceError> {
    if !fs::exists("/dev/net/tun").unwrap_or(false) {
        println!("skipped: there is no /dev/net/tun here");
        return Ok(None);
    }
    let namespace = Namespace::new()?;
    let tap = namespace.tap(&TapConfig { mac: Some(KERNEL_MAC), ..TapConfig::default() })?;
    Ok(Some((namespace, tap)))
}

/// Answers ARP and echo requests to us, and lets `look` see every frame, and nothing (no bytes) now and then, until
/// it is satisfied.
fn serve<T>(wire: &mut impl Wire, clock: WallClock, mut look: impl FnMut(&[u8]) -> Option<T>) -> Result<T, Box<dyn std::error::Error>> {
    let deadline = clock.now() + DEADLINE.into();
    while clock.now() < deadline {
        let Some(frame) = wire.receive(clock.now())? else {
            if let Some(found) = look(&[]) {
                return Ok(found);
            }
            wait(&[wire.poll_fd().ok_or("no descriptor")?], Nanoseconds::from_millis(20))?;
            continue;
        };
        if let Some(found) = look(&frame.bytes) {
            return Ok(found);
        }
        let eth = EthernetFrame::parse(&frame.bytes)?;
        let arp = ArpPacket::parse(eth.payload()).ok().filter(|_| eth.ether_type() == EtherType::ARP);
        if let Some(request) = arp.map(|arp| arp.repr()).filter(|arp| arp.target_ip == OUR_IP && arp.operation == ArpOperation::Request) {
            wire.send(clock.now(), WireFrame::padded(build_arp_frame(None, &request.reply_from(OUR_MAC))))?;
        } else if let Ok(reply) = build_icmp_echo_reply(&frame.bytes) {
            wire.send(clock.now(), WireFrame::padded(reply))?;
        }
    }
    Err("the kernel did not do it in time".into())
}

/// `ping` in the namespace, or without that program an answer to our own echo request.
#[test]
fn ping_both_ways() -> Outcome {
    let Some((namespace, mut tap)) = with_a_tap()? else { return Ok(()) };
    let clock = WallClock::new();

    // We ping it: it asks who we are, and answers. A request with a bad FCS, or checksum, gets no answer.
    let eth = EthernetRepr::new(KERNEL_MAC, OUR_MAC, EtherType::IPV4);
    let ip = Ipv4Repr::new(OUR_IP, KERNEL_IP, IpProtocol::ICMP);
    let request = |sequence| build_icmp_frame(&eth, &ip, &IcmpRepr::EchoRequest { ident: 77, sequence, data: b"is anybody there?" });
    tap.send(clock.now(), WireFrame { bytes: request(1)?, fcs_xor: 1 })?;
    let mut resealed = request(2)?;
    resealed[40] ^= 1;
    tap.send(clock.now(), WireFrame::new(resealed))?;
    tap.send(clock.now(), WireFrame::new(request(3)?))?;
    let answered = serve(&mut tap, clock, |frame| {
        let ip = Ipv4Packet::parse(EthernetFrame::parse(frame).ok()?.payload()).ok()?;
        match IcmpPacket::parse(ip.payload()).ok().filter(IcmpPacket::checksum_ok)?.repr() {
            Ok(IcmpRepr::EchoReply { ident: 77, sequence, data: b"is anybody there?" }) => Some(sequence),
            _ => None,
        }
    })?;
    assert_eq!(answered, 3);
    assert!(tap.counts().contains(&("tap: bad FCS", 1)));

    // It pings us.
    let mut ping = namespace.command("ping")?;
    ping.args(["-n", "-c", "3", "-i", "0.05", "-W", "5", &OUR_IP.to_string()]);
    let ping = match Running::start(ping) {
        Ok(ping) => ping,
        Err(CommandError::Start { source, .. }) if source.kind() == ErrorKind::NotFound => {
            println!("no ping program here: the way back was tested only");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let waiter = thread::spawn(move || ping.finish(DEADLINE));
    serve(&mut tap, clock, |_| waiter.is_finished().then_some(()))?;
    let finished = waiter.join().map_err(|_| "the waiting thread panicked")??.success()?;
    assert!(finished.stdout.contains("3 packets transmitted, 3 received, 0% packet loss"), "{}", finished.stdout);
    Ok(())
}

/// The kernel's SYN arrives with good checksums and the options it is known for; our RST ends the attempt. The
/// capture of it all holds no frame that tshark finds fault with.
#[test]
fn the_kernel_connects() -> Outcome {
    let Some((namespace, tap)) = with_a_tap()? else { return Ok(()) };
    let clock = WallClock::new();
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("connect.pcapng");
    let mut wire = Capture::create(tap, &path, "nic0", clock.epoch())?;
    let connect = || namespace.run(|| TcpStream::connect_timeout(&SocketAddrV4::new(OUR_IP, 4321).into(), DEADLINE));
    thread::scope(|scope| -> Outcome {
        let connecting = scope.spawn(connect);
        let syn = serve(&mut wire, clock, |frame| parse_tcp_frame(frame).ok().map(|_| frame.to_vec()))?;
        let TcpFrame { eth, ip, tcp } = parse_tcp_frame(&syn)?;
        assert_eq!((eth.src, eth.dst, ip.src, ip.dst), (KERNEL_MAC, OUR_MAC, KERNEL_IP, OUR_IP));
        assert_eq!((tcp.dst_port, tcp.flags, tcp.seg_len()), (4321, TcpFlags::SYN, 1));
        assert_eq!((tcp.options.mss(), tcp.options.sack_permitted()), (Some(1460), true));
        assert!(tcp.options.timestamps().is_some() && tcp.options.window_scale().is_some());
        // RFC 9293 section 3.10.7.3: a SYN is refused with <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>.
        let flags = TcpFlags::RST | TcpFlags::ACK;
        let rst = TcpSegment { src_port: 4321, dst_port: tcp.src_port, ack: tcp.seq + tcp.seg_len(), flags, ..TcpSegment::default() };
        let frame = build_tcp_frame(&eth.reply_from(OUR_MAC), &Ipv4Repr::new(OUR_IP, KERNEL_IP, IpProtocol::TCP), &rst)?;
        wire.send(clock.now(), WireFrame::padded(frame))?;
        let refused = connecting.join().map_err(|_| "the connecting thread panicked")??;
        assert_eq!(refused.map_err(|error| error.kind()).err(), Some(ErrorKind::ConnectionRefused));
        Ok(())
    })?;
    drop(wire);
    let mut tshark = std::process::Command::new("tshark");
    let bad = "_ws.malformed || tcp.checksum.status == Bad || ip.checksum.status == Bad";
    tshark.args(["-n", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", bad, "-r"]).arg(&path);
    match run(tshark, DEADLINE) {
        Ok(finished) => assert_eq!(finished.stdout, ""),
        Err(CommandError::Start { .. }) => println!("tshark is not installed: the capture was not looked at"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[test]
fn the_interface_is_as_configured_and_goes_away() -> Outcome {
    let Some((namespace, tap)) = with_a_tap()? else { return Ok(()) };
    let mut ip = namespace.command("ip")?;
    ip.args(["-o", "link", "show", "toe0"]);
    let shown = run(ip, DEADLINE)?.stdout;
    assert!(["mtu 1500", "qlen 128", "02:00:00:00:00:01", "UP"].iter().all(|part| shown.contains(part)), "{shown}");
    assert!(!fs::exists("/sys/class/net/toe0")?, "it must not be in the namespace we came from");
    // Two of a name cannot be in a namespace: said with what to do about it.
    match namespace.run(|| Tap::open("toe0"))? {
        Err(WireError::Missing { mend, .. }) => assert!(mend.contains("another program has it open"), "{mend}"),
        other => return Err(format!("{other:?}").into()),
    }
    // An open TAP keeps its namespace.
    let clock = WallClock::new();
    let Some((other, mut tap2)) = with_a_tap()? else { return Ok(()) };
    drop(other);
    tap2.send(clock.now(), WireFrame::padded(build_arp_frame(None, &ArpRepr::request(OUR_MAC, OUR_IP, KERNEL_IP))))?;
    assert!(serve(&mut tap2, clock, |frame| ArpPacket::parse(EthernetFrame::parse(frame).ok()?.payload()).ok().map(|arp| arp.sender_mac()))? == KERNEL_MAC);

    drop(tap);
    let mut ip = namespace.command("ip")?;
    ip.args(["-o", "link", "show"]);
    assert!(!run(ip, DEADLINE)?.stdout.contains("toe0"));
    Ok(())
}

#[test]
fn names_that_are_none() -> Outcome {
    let Some((namespace, _tap)) = with_a_tap()? else { return Ok(()) };
    for name in ["", "sixteen-letters-", "a/b", "a b"] {
        let error = namespace.run(|| Tap::open(name).map(|_| ()))?.map_err(|error| error.to_string());
        let expected = format!("TAP {name}: attach: an interface name has 1 to 15 characters, no space, no slash");
        assert_eq!(error, Err(expected));
    }
    Ok(())
}
