//! How connections with a Linux kernel live and die, over a TAP, in real time.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;
use std::thread;

use support::kernel::{bench, captured, KERNEL, OURS, PATIENCE};
use support::pair::{assert_same, pattern};
use toe_contract::counter;
use toe_host_lib::{TcpListener, TcpStream};
use toe_sim::command::run;
use toe_sim::wire::{DirectionImpairment, Impairment};

/// S24, S30: 48 of the kernel's clients at once on one port, each answered with its own bytes, closed by both sides in turn.
#[test]
fn s24_many_linux_clients_at_once() {
    let Some(bench) = bench(&Impairment::default()) else { return };
    let listener = TcpListener::bind(&bench.handle(), 80).expect("the port is free");
    let clients: Vec<std::net::TcpStream> =
        (0..48).map(|_| bench.namespace.run(|| std::net::TcpStream::connect((OURS, 80))).expect("a thread").expect("the kernel connects")).collect();
    let servers: Vec<TcpStream> = clients.iter().map(|_| listener.accept_timeout(PATIENCE).expect("accepted").0).collect();
    for (k, client) in (0u8..).zip(&clients) {
        (&mut &*client).write_all(&[k; 3000]).expect("the kernel sends");
    }
    for server in &servers {
        let mut bytes = [0; 3000];
        (&mut &*server).read_exact(&mut bytes).expect("we hear");
        (&mut &*server).write_all(&bytes).expect("we send");
    }
    for (k, client) in (0u8..).zip(&clients) {
        let mut bytes = [0; 3000];
        (&mut &*client).read_exact(&mut bytes).expect("the kernel hears");
        assert_eq!(bytes, [k; 3000], "client {k} hears its own bytes");
    }
    for (k, (client, server)) in clients.into_iter().zip(servers).enumerate() {
        if k % 2 == 0 {
            drop(client);
            drop(server);
        } else {
            drop(server);
            drop(client);
        }
    }
    drop(listener);
    bench.assert_nothing_left();
}

/// S26: frames that were spoiled on the wire are counted by the MAC, and the bytes come all the same.
#[test]
fn s26_frames_with_a_wrong_fcs_are_dropped_and_counted() {
    let way = DirectionImpairment { corrupt: 0.02, reseal: 0.01, ..DirectionImpairment::default() };
    let Some(bench) = bench(&Impairment { seed: 3, tx: way, rx: way }) else { return };
    let data = pattern(1 << 19, 4);
    for we_listen in [true, false] {
        let (ours, kernel) = bench.pair(we_listen);
        for (we_send, what) in [(false, "to us"), (true, "to the kernel")] {
            let (mut sender, mut receiver): (Box<dyn Write + Send>, Box<dyn Read>) = match we_send {
                true => (Box::new(&ours), Box::new(&kernel)),
                false => (Box::new(&kernel), Box::new(&ours)),
            };
            let mut heard = vec![0; data.len()];
            thread::scope(|scope| {
                scope.spawn(|| sender.write_all(&data).expect("the sender sends"));
                receiver.read_exact(&mut heard).expect("the receiver hears");
            });
            assert_same(&heard, &data, what);
        }
        drop((ours, kernel));
        bench.assert_nothing_left();
    }
    assert!(bench.counter(counter::MAC_RX_BAD_FCS) > 0, "frames with a wrong FCS are counted");
    assert!(bench.counter(counter::RX_BAD_TCP_CHECKSUM) + bench.counter(counter::RX_BAD_IPV4_CHECKSUM) > 0, "wrong checksums are counted");
}

/// S27, S28: the kernel's ping, whole and in fragments.
#[test]
fn s28_linux_pings_us_in_fragments() {
    let Some(bench) = bench(&Impairment::default()) else { return };
    for size in ["56", "4000"] {
        let mut command = bench.namespace.command("ping").expect("a namespace");
        command.args(["-c", "3", "-i", "0.2", "-W", "5", "-s", size, &OURS.to_string()]);
        let said = run(command, PATIENCE).expect("ping").stdout;
        assert!(said.contains("3 received"), "{said}");
    }
}

/// S29: a port without a listener is refused, both ways.
#[test]
fn s29_nobody_listens_here_or_there() {
    let Some(bench) = bench(&Impairment::default()) else { return };
    let theirs = bench.namespace.run(|| std::net::TcpStream::connect((OURS, 81))).expect("a thread");
    assert_eq!(theirs.expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
    let ours = TcpStream::connect_timeout(&bench.handle(), SocketAddrV4::new(KERNEL, 81), PATIENCE);
    assert_eq!(ours.expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
    bench.assert_nothing_left();
}

/// `tshark` finds nothing wrong in what went over a clean wire.
#[test]
fn tshark_finds_nothing_wrong_on_a_clean_wire() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let Some(bench) = captured(&Impairment::default(), Some(file.path())) else { return };
    for we_listen in [true, false] {
        let (mut ours, mut kernel) = bench.pair(we_listen);
        let data = pattern(200_000, 5);
        thread::scope(|scope| {
            scope.spawn(|| (&kernel).write_all(&data).expect("the kernel sends"));
            let mut heard = vec![0; data.len()];
            ours.read_exact(&mut heard).expect("we hear");
            assert_same(&heard, &data, "to us");
        });
        thread::scope(|scope| {
            scope.spawn(|| (&ours).write_all(&data).expect("we send"));
            let mut heard = vec![0; data.len()];
            kernel.read_exact(&mut heard).expect("the kernel hears");
            assert_same(&heard, &data, "to the kernel");
        });
        drop((ours, kernel));
        bench.assert_nothing_left();
    }
    drop(bench);
    let mut command = std::process::Command::new("tshark");
    command.args(["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-r"]).arg(file.path());
    command.args(["-T", "fields", "-e", "frame.number", "-e", "_ws.expert.message", "-Y"]);
    command.arg(
        "_ws.malformed or tcp.checksum.status == 0 or ip.checksum.status == 0 or tcp.analysis.retransmission or tcp.analysis.fast_retransmission \
         or tcp.analysis.out_of_order or tcp.analysis.lost_segment or tcp.analysis.ack_lost_segment",
    );
    let said = run(command, PATIENCE).expect("tshark").stdout;
    assert_eq!(said, "", "frames that tshark finds wrong");
}
