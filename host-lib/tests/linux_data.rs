//! How connections with a Linux kernel begin and what they carry, over a TAP, in real time: whoever opened, whoever sends.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;
use std::thread;
use std::time::Duration;

use support::kernel::{KERNEL, PATIENCE};
use support::pair::{assert_same, pattern};
use support::scene::{eventually, quiet_scene, scene, scene_over, Pair, Scene, Seen, KERNEL_PORT, SIDES};
use toe_contract::counter;
use toe_host_lib::tcp::{FourTuple, State};
use toe_host_lib::{Config, TcpStream};
use toe_sim::wire::{DirectionImpairment, Impaired, Impairment, Verdict, WireFrame};
use toe_wire::{build_ipv4_frame, EthernetFrame, Fragment, IpProtocol, Ipv4Packet, Ipv4Repr, TcpFlags};

/// Who has which options of RFC 7323 switched on, and the MSS we announce.
#[derive(Clone, Copy, Debug)]
struct Options {
    our_timestamps: bool,
    our_scaling: bool,
    our_mss: u16,
    kernel_timestamps: bool,
    kernel_scaling: bool,
}

const ALL: Options = Options { our_timestamps: true, our_scaling: true, our_mss: 1460, kernel_timestamps: true, kernel_scaling: true };

/// S10: the handshake as it is on the wire, and what both ends make of it, with options that both have, that one has, and that none has.
#[test]
fn s10_linux_handshake_and_options() {
    for options in [
        ALL,
        Options { our_timestamps: false, ..ALL },
        Options { kernel_timestamps: false, our_mss: 1000, ..ALL },
        Options { kernel_scaling: false, ..ALL },
        Options { our_scaling: false, our_timestamps: false, our_mss: 536, ..ALL },
    ] {
        let adjust = |config: &mut Config| {
            config.settings.timestamps = options.our_timestamps;
            config.settings.window_scaling = options.our_scaling;
            config.settings.mss = options.our_mss;
        };
        let Some(scene) = quiet_scene(adjust) else { return };
        scene.set("tcp_timestamps", if options.kernel_timestamps { "1" } else { "0" });
        scene.set("tcp_window_scaling", if options.kernel_scaling { "1" } else { "0" });
        for we_listen in [true, false] {
            println!("we listen: {we_listen}, {options:?}");
            let pair = scene.pair(we_listen);
            assert_handshake(&scene.segments(pair.tuple), we_listen, &options);
            assert_info(&scene, pair.tuple, &options);
            let opening = if we_listen { State::SynReceived } else { State::SynSent };
            assert_eq!(scene.walk(pair.tuple), [opening, State::Established]);
            assert_eq!(scene.kernel_state(pair.tuple), State::Established);
            drop(pair);
            scene.assert_nothing_left();
        }
    }
}

fn assert_handshake(segments: &[Seen], we_listen: bool, options: &Options) {
    let syn = &segments[0];
    let syn_ack = segments.iter().find(|s| s.sent != syn.sent).expect("an answer");
    let ack = segments.iter().find(|s| s.sent == syn.sent && !s.flags.syn()).expect("the third segment");
    assert_eq!((syn.sent, syn.flags), (!we_listen, TcpFlags::SYN));
    assert_eq!((syn_ack.flags, syn_ack.ack), (TcpFlags::SYN | TcpFlags::ACK, syn.seq + 1));
    assert_eq!((ack.seq, ack.ack), (syn.seq + 1, syn_ack.seq + 1));
    assert!(segments[1..].iter().all(|s| s.flags.ack()), "everything after the first SYN carries ACK");
    assert!(syn.window > 0 && syn_ack.window > 0, "a window both ways");
    let (scaling, timestamps) = (options.our_scaling && options.kernel_scaling, options.our_timestamps && options.kernel_timestamps);
    for s in [syn, syn_ack] {
        let own = if s.sent { (options.our_scaling, options.our_timestamps) } else { (options.kernel_scaling, options.kernel_timestamps) };
        // The SYN offers what its sender has, the answer what both have.
        let expected = if s.flags.ack() { (scaling, timestamps) } else { own };
        assert_eq!((s.options.window_scale().is_some(), s.options.timestamps().is_some()), expected, "{s:?}");
        assert_eq!(s.options.mss(), Some(if s.sent { options.our_mss } else { 1460 }));
    }
    assert!(segments.iter().filter(|s| !s.flags.syn()).all(|s| s.options.timestamps().is_some() == timestamps), "timestamps in all or none");
}

/// The kernel's view.
fn assert_info(scene: &Scene, tuple: FourTuple, options: &Options) {
    let info = scene.tcp_info(tuple);
    let words: Vec<&str> = info.split_whitespace().collect();
    let timestamps = options.our_timestamps && options.kernel_timestamps;
    assert_eq!(words.contains(&"ts"), timestamps, "{info}");
    let shift_of = |sent| scene.segments(tuple).iter().find(|s| s.sent == sent && s.flags.syn()).and_then(|s| s.options.window_scale());
    let scales = words.iter().find_map(|word| word.strip_prefix("wscale:")).map(str::to_owned);
    let expected = match (shift_of(true), shift_of(false)) {
        (Some(ours), Some(kernel)) => Some(format!("{ours},{kernel}")),
        _ => None,
    };
    assert_eq!(scales, expected, "{info}");
    let mss = options.our_mss - if timestamps { 12 } else { 0 };
    assert!(words.contains(&format!("mss:{mss}").as_str()), "expected mss:{mss} in {info}");
}

/// S12: segments of at most MSS bytes, one after the other, each with the number of its first byte; the receiver's ACK numbers go up to the
/// end, and no further.
#[test]
fn s12_linux_segments_and_ack_numbers() {
    let Some(scene) = quiet_scene(|_| {}) else { return };
    let data = pattern(60_000, 1);
    for (we_listen, we_send) in SIDES {
        let Pair { ours, kernel, tuple } = scene.pair(we_listen);
        let before = scene.segments(tuple).len();
        let mut heard = vec![0; data.len()];
        let (mut sender, mut receiver) = ends(&ours, &kernel, we_send);
        thread::scope(|scope| {
            scope.spawn(|| sender.write_all(&data).expect("the sender sends"));
            receiver.read_exact(&mut heard).expect("the receiver hears");
        });
        assert_same(&heard, &data, "in segments");
        eventually("all is acknowledged", || ours.unacknowledged() == 0 && scene.kernel_queues(tuple) == Some((0, 0)));
        let (of_sender, of_receiver): (Vec<Seen>, _) = scene.segments(tuple).split_off(before).into_iter().partition(|s| s.sent == we_send);
        let mut next = of_sender[0].seq;
        for segment in of_sender.iter().filter(|s| s.len > 0) {
            assert!(segment.len <= 1448, "{segment:?}");
            assert_eq!(segment.seq, next, "one after the other");
            next = segment.end();
        }
        assert_eq!(next.offset_from(of_sender[0].seq) as usize, data.len());
        let mut acked = of_sender[0].seq;
        for segment in &of_receiver {
            assert!(segment.ack.ge(acked) && segment.ack.le(next), "{segment:?} after {acked}");
            acked = segment.ack;
        }
        assert_eq!(acked, next, "all is acknowledged");
        drop((sender, receiver));
        drop((ours, kernel));
        scene.assert_nothing_left();
    }
}

/// Who writes, and who reads.
fn ends<'a>(ours: &'a TcpStream, kernel: &'a std::net::TcpStream, we_send: bool) -> (Box<dyn Write + Send + 'a>, Box<dyn Read + Send + 'a>) {
    match we_send {
        true => (Box::new(ours), Box::new(kernel)),
        false => (Box::new(kernel), Box::new(ours)),
    }
}

/// S13: nobody reads until the window is closed; as the application reads, the room is announced, and every byte comes.
#[test]
fn s13_linux_the_window_closes_and_opens() {
    let Some(scene) = scene(|config| config.settings.receive_log2 = 16) else { return };
    scene.set("tcp_rmem", "4096 32768 32768");
    let data = pattern(400_000, 2);
    for (we_listen, we_send) in SIDES {
        let Pair { ours, kernel, tuple } = scene.pair(we_listen);
        let before = scene.segments(tuple).len();
        let mut heard = vec![0; data.len()];
        let (mut sender, mut receiver) = ends(&ours, &kernel, we_send);
        let of_receiver = || scene.segments(tuple).split_off(before).into_iter().filter(|s| s.sent != we_send).collect::<Vec<Seen>>();
        thread::scope(|scope| {
            scope.spawn(|| sender.write_all(&data).expect("the sender sends"));
            eventually("the window closes", || of_receiver().iter().any(|s| s.window == 0));
            receiver.read_exact(&mut heard).expect("the receiver hears");
        });
        assert_same(&heard, &data, "through a closed window");
        let windows: Vec<u16> = of_receiver().iter().map(|s| s.window).skip_while(|window| *window > 0).collect();
        assert!(windows.iter().any(|window| *window > 0), "the window opens again: {windows:?}");
        drop((sender, receiver));
        drop((ours, kernel));
        scene.assert_nothing_left();
    }
}

/// Sends in pieces of odd sizes while reading in others: this is all that S15 asks a stream to be.
fn talk(mut stream: impl Read + Write, data: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut buffer = [0; 977];
    let mut rest = data;
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        stream.write_all(now).expect("a stream is written to");
        stream.flush().expect("nothing waits");
        rest = later;
        while heard.len() < data.len() - rest.len() {
            let n = stream.read(&mut buffer).expect("a stream is read from");
            assert!(n > 0, "the stream goes on");
            heard.extend_from_slice(&buffer[..n]);
        }
        if rest.is_empty() {
            break;
        }
    }
    heard
}

/// S15: the same code talks over the kernel's socket and over ours; where one end's pieces end is nothing to the other. What nobody has
/// read waits in the one input buffer, what is not acknowledged in the one output buffer.
#[test]
fn s15_linux_a_socket_is_a_stream_with_two_buffers() {
    let Some(scene) = scene(|_| {}) else { return };
    let (to_kernel, to_us) = (pattern(20_000, 3), pattern(20_000, 5));
    for we_listen in [true, false] {
        let Pair { ours, kernel, tuple } = scene.pair(we_listen);
        thread::scope(|scope| {
            let kernels = scope.spawn(|| talk(&kernel, &to_us, &[1, 1449, 7, 3000]));
            assert_same(&talk(&ours, &to_kernel, &[1449, 1, 3000, 7]), &to_us, "to us");
            assert_same(&kernels.join().expect("no panic"), &to_kernel, "to the kernel");
        });
        (&kernel).write_all(&to_us[..10_000]).expect("the kernel sends");
        eventually("it lies in our input buffer", || scene.socket(tuple).is_some_and(|s| s.receive_queue == 10_000));
        (&ours).read_exact(&mut [0; 4000]).expect("it is there");
        eventually("what was read is gone", || scene.socket(tuple).is_some_and(|s| s.receive_queue == 6000));
        (&ours).write_all(&to_kernel[..10_000]).expect("we send");
        eventually("it lies in the kernel's", || scene.kernel_queues(tuple) == Some((0, 10_000)) && ours.unacknowledged() == 0);
        // Nothing arrives any more: all that is written waits in the output buffer, until that is full.
        scene.gate.judge(|_, _| Verdict::Lose);
        ours.set_write_timeout(Some(Duration::from_millis(50))).expect("not zero");
        let mut wrote = 0;
        let full = loop {
            match (&ours).write(&to_kernel) {
                Ok(n) => wrote += n,
                Err(error) => break error,
            }
        };
        assert!(matches!(full.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{full}");
        assert_eq!((wrote, ours.unacknowledged()), (1 << 18, 1 << 18), "the output buffer is full");
        assert_eq!(scene.socket(tuple).map(|s| s.send_queue), Some(1 << 18));
        scene.gate.open();
        let mut heard = vec![0; 10_000 + wrote];
        (&kernel).read_exact(&mut heard).expect("everything comes");
        assert_same(&heard[..10_000], &to_kernel[..10_000], "before");
        heard[10_000..].chunks(to_kernel.len()).for_each(|chunk| assert_same(chunk, &to_kernel[..chunk.len()], "from the full buffer"));
        (&ours).read_exact(&mut [0; 6000]).expect("it is there");
        drop((ours, kernel));
        scene.assert_nothing_left();
    }
}

/// S24: the kernel's server has many of our clients at once, and its listener stays; each connection has a port of its own and its own bytes.
#[test]
fn s24_linux_serves_many_of_our_clients() {
    let Some(scene) = scene(|_| {}) else { return };
    let listener = scene.bench.namespace.run(|| std::net::TcpListener::bind((KERNEL, KERNEL_PORT))).expect("a thread").expect("the port is free");
    let clients: Vec<TcpStream> =
        (0..32).map(|_| TcpStream::connect_timeout(&scene.bench.handle(), SocketAddrV4::new(KERNEL, KERNEL_PORT), PATIENCE).expect("we connect")).collect();
    let servers: Vec<_> = clients.iter().map(|_| listener.accept().expect("accepted")).collect();
    let by_port = |client: &TcpStream| {
        let local = client.local_addr().expect("an address").into();
        &servers.iter().find(|(_, peer)| *peer == local).expect("the kernel's end").0
    };
    for (k, client) in (0u8..).zip(&clients) {
        (&mut &*client).write_all(&[k; 3000]).expect("we send");
    }
    for (k, client) in (0u8..).zip(&clients) {
        let mut bytes = [0; 3000];
        by_port(client).read_exact(&mut bytes).expect("the kernel hears");
        assert_eq!(bytes, [k; 3000], "client {k}'s own bytes");
        by_port(client).write_all(&bytes).expect("the kernel sends");
        let mut bytes = [0; 3000];
        (&mut &*client).read_exact(&mut bytes).expect("we hear");
        assert_eq!(bytes, [k; 3000], "client {k} hears its own bytes");
    }
    let one_more = TcpStream::connect_timeout(&scene.bench.handle(), SocketAddrV4::new(KERNEL, KERNEL_PORT), PATIENCE);
    drop((one_more.expect("the listener is still there"), listener, servers, clients));
    scene.assert_nothing_left();
}

/// The frame as fragments of at most this many bytes, the last one first; as it is if it carries no data.
fn in_fragments(frame: &WireFrame, most: usize, identification: u16) -> Verdict {
    let Ok(eth) = EthernetFrame::parse(&frame.bytes) else { return Verdict::Pass };
    let Ok(ip) = Ipv4Packet::parse(eth.payload()) else { return Verdict::Pass };
    if ip.protocol() != IpProtocol::TCP || ip.payload().len() <= most {
        return Verdict::Pass;
    }
    let pieces = ip.payload().chunks(most).count();
    let piece = |(k, bytes): (usize, &[u8])| {
        let offset = u16::try_from(k * most).expect("within a datagram");
        let fragment = Fragment::new(offset, k + 1 < pieces).expect("a multiple of eight");
        let header = Ipv4Repr { fragment, identification, dont_fragment: false, ..ip.repr() };
        WireFrame::padded(build_ipv4_frame(&eth.repr(), &header, bytes).expect("it fits"))
    };
    let mut frames: Vec<WireFrame> = ip.payload().chunks(most).enumerate().map(piece).collect();
    frames.reverse();
    Verdict::Instead(frames)
}

/// The same frame with another TTL, and the checksum left as it was.
fn with_bad_header(frame: &WireFrame) -> WireFrame {
    let mut spoilt = frame.clone();
    spoilt.bytes[14 + 8] ^= 0xff;
    spoilt
}

/// S28: segments that come in fragments are put together and counted as TCP's, ours by the kernel and the kernel's by us; headers that do
/// not agree with their checksum are dropped and counted.
#[test]
fn s28_linux_tcp_in_fragments() {
    let Some(scene) = scene(|_| {}) else { return };
    let data = pattern(50_000, 4);
    for (we_listen, we_send) in SIDES {
        let Pair { ours, kernel, tuple: _ } = scene.pair(we_listen);
        let before = (scene.bench.handle().statistics().expect("the stack works").injected, reassembled(&scene));
        let mut datagrams = 0;
        scene.gate.judge(move |sent, frame| match in_fragments(frame, 512, datagrams) {
            Verdict::Instead(mut frames) if sent == we_send => {
                datagrams += 1;
                frames.push(with_bad_header(frame));
                Verdict::Instead(frames)
            }
            _ => Verdict::Pass,
        });
        let mut heard = vec![0; data.len()];
        let (mut sender, mut receiver) = ends(&ours, &kernel, we_send);
        thread::scope(|scope| {
            scope.spawn(|| sender.write_all(&data).expect("the sender sends"));
            receiver.read_exact(&mut heard).expect("the receiver hears");
        });
        assert_same(&heard, &data, "in fragments");
        let after = (scene.bench.handle().statistics().expect("the stack works").injected, reassembled(&scene));
        let whole = if we_send { after.1 - before.1 } else { after.0 - before.0 };
        assert!(whole >= 30, "datagrams put together: {whole}");
        if !we_send {
            assert!(scene.bench.counter(counter::RX_BAD_IPV4_CHECKSUM) > 0, "wrong headers are counted");
        }
        scene.gate.open();
        drop((sender, receiver));
        drop((ours, kernel));
        scene.assert_nothing_left();
    }
}

/// Datagrams that the kernel has put together.
fn reassembled(scene: &Scene) -> u64 {
    let table = scene.bench.namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp")).expect("a thread").expect("the table is there");
    let mut rows = table.lines().filter(|line| line.starts_with("Ip: "));
    let (names, values) = (rows.next().expect("names"), rows.next().expect("values"));
    let at = names.split_whitespace().position(|name| name == "ReasmOKs").expect("the count is there");
    values.split_whitespace().nth(at).expect("a value").parse().expect("a number")
}

/// S30: data finds its connection among several, is put in order whatever order it came in, and is acknowledged.
#[test]
fn s30_linux_data_in_any_order() {
    let way = DirectionImpairment { reorder: 0.2, duplicate: 0.05, ..DirectionImpairment::default() };
    let impairment = Impairment { seed: 5, tx: way, rx: way };
    let Some(scene) = scene_over(|_| {}, |gate| Box::new(Impaired::new(gate, &impairment))) else { return };
    for (we_listen, we_send) in SIDES {
        let pairs: Vec<Pair> = (0..4).map(|_| scene.pair(we_listen)).collect();
        thread::scope(|scope| {
            for (k, pair) in (1..).zip(&pairs) {
                let (mut sender, mut receiver) = ends(&pair.ours, &pair.kernel, we_send);
                scope.spawn(move || sender.write_all(&pattern(100_000, k)).expect("the sender sends"));
                scope.spawn(move || {
                    let mut heard = vec![0; 100_000];
                    receiver.read_exact(&mut heard).expect("the receiver hears");
                    assert_same(&heard, &pattern(100_000, k), "in order");
                });
            }
        });
        if we_send {
            let disordered = pairs.iter().filter(|pair| scene.tcp_info(pair.tuple).contains("rcv_ooopack:")).count();
            assert!(disordered > 0, "the kernel had some out of order");
        } else {
            assert!(scene.bench.counter(counter::RX_OUT_OF_ORDER) > 0, "we had some out of order");
        }
        eventually("all is acknowledged", || pairs.iter().all(|pair| pair.ours.unacknowledged() == 0 && scene.kernel_queues(pair.tuple) == Some((0, 0))));
        drop(pairs);
        scene.assert_nothing_left();
    }
}
