//! Two hundred connections with a Linux kernel at once, over a TAP, in real time.

mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4};
use std::thread;
use std::time::Instant;

use support::kernel::{over, Bench, KERNEL, OURS, PATIENCE};
use support::pair::{assert_same, pattern};
use support::scene::{eventually, KERNEL_PORT, OUR_PORT};
use toe_host_lib::log::Happening;
use toe_host_lib::tcp::{FourTuple, State};
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::{TcpListener, TcpStream};
use toe_sim::command::run;

/// Connections in each role.
const EACH: usize = 100;
const ALL: usize = 2 * EACH;
/// log2 of a connection's two rings in bytes, and pieces in which it sends: they go round the rings.
const RING_LOG2: u8 = 14;
const PIECE: usize = 5000;

/// Both ends of a connection, and who closes first.
struct Link {
    ours: TcpStream,
    kernel: std::net::TcpStream,
    we_listen: bool,
    we_first: bool,
    /// As we see it.
    tuple: FourTuple,
    /// What we send, and what the kernel does.
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Link {
    fn new(ours: TcpStream, kernel: std::net::TcpStream, we_listen: bool, number: usize, pieces: usize) -> Link {
        for timeout in [kernel.set_read_timeout(Some(PATIENCE)), kernel.set_write_timeout(Some(PATIENCE)), kernel.set_nodelay(true)] {
            timeout.expect("always");
        }
        for timeout in [ours.set_read_timeout(Some(PATIENCE)), ours.set_write_timeout(Some(PATIENCE))] {
            timeout.expect("always");
        }
        let tuple = FourTuple { local: ours.local_addr().expect("connected"), remote: ours.peer_addr().expect("connected") };
        let words = |salt: usize| pattern(pieces * PIECE, u32::try_from(2 * (2 * number + usize::from(we_listen)) + salt).expect("small") << 1);
        Link { ours, kernel, we_listen, we_first: number.is_multiple_of(2), tuple, up: words(0), down: words(1) }
    }

    /// The states we go through; FIN_WAIT_2 is not seen if the kernel's FIN acknowledges ours.
    fn walk(&self) -> Vec<State> {
        let begin = if self.we_listen { State::SynReceived } else { State::SynSent };
        let end: &[State] = if self.we_first { &[State::FinWait1, State::TimeWait, State::Closed] } else { &[State::CloseWait, State::LastAck, State::Closed] };
        [&[begin, State::Established], end].concat()
    }
}

/// Opens a hundred connections from each end, all at once.
fn open(bench: &Bench, listener: &TcpListener, kernel_listener: &std::net::TcpListener, pieces: usize) -> Vec<Link> {
    let handle = bench.handle();
    let opened: Vec<TcpStream> = (0..EACH).map(|_| TcpStream::start_connect(&handle, SocketAddrV4::new(KERNEL, KERNEL_PORT))).collect();
    let theirs = || std::net::TcpStream::connect_timeout(&SocketAddrV4::new(OURS, OUR_PORT).into(), PATIENCE).expect("the kernel connects");
    let kernel: Vec<std::net::TcpStream> = bench.namespace.run(|| (0..EACH).map(|_| theirs()).collect()).expect("a thread");
    let mut accepted: HashMap<SocketAddr, TcpStream> = (0..EACH)
        .map(|_| {
            let (stream, from) = listener.accept_timeout(PATIENCE).expect("accepted");
            (from.into(), stream)
        })
        .collect();
    let mut kernel_accepted: HashMap<SocketAddr, std::net::TcpStream> = (0..EACH)
        .map(|_| {
            let (stream, from) = kernel_listener.accept().expect("accepted");
            (from, stream)
        })
        .collect();
    eventually("we are connected", || opened.iter().all(|stream| stream.state() == State::Established));
    let passive = (0..).zip(kernel).map(|(number, kernel)| {
        let ours = accepted.remove(&kernel.local_addr().expect("connected")).expect("this one has come");
        Link::new(ours, kernel, true, number, pieces)
    });
    let mut links: Vec<Link> = passive.collect();
    links.extend((0..).zip(opened).map(|(number, ours)| {
        let from: SocketAddr = ours.local_addr().expect("connected").into();
        Link::new(ours, kernel_accepted.remove(&from).expect("this one has come"), false, number, pieces)
    }));
    links
}

/// All of them are ESTABLISHED, here and there.
fn assert_all_open(bench: &Bench) {
    let s = bench.handle().statistics().expect("the stack works");
    assert_eq!((s.in_state(State::Established), s.flows_used, s.rings_used, s.waiting_for_flow), (ALL, ALL, ALL, 0), "{s:?}");
    let mut command = bench.namespace.command("ss").expect("a namespace");
    command.args(["--tcp", "--numeric", "--no-header", "state", "established"]);
    assert_eq!(run(command, PATIENCE).expect("ss").stdout.lines().count(), ALL, "the kernel's");
}

/// Data both ways on all connections, a piece of each in turn: four threads, so that nobody waits for somebody who waits.
fn talk(links: &[Link], pieces: usize) {
    let turns = || (0..pieces).flat_map(|piece| links.iter().map(move |link| (link, piece * PIECE..(piece + 1) * PIECE)));
    let hear = |what: &str, heard: std::io::Result<()>, bytes: &[u8], sent: &[u8]| {
        heard.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_same(bytes, sent, what);
    };
    thread::scope(|scope| {
        scope.spawn(|| turns().for_each(|(link, range)| (&link.ours).write_all(&link.up[range]).expect("we send")));
        scope.spawn(|| turns().for_each(|(link, range)| (&link.kernel).write_all(&link.down[range]).expect("the kernel sends")));
        scope.spawn(|| {
            let mut bytes = [0; PIECE];
            turns().for_each(|(link, range)| hear("to us", (&link.ours).read_exact(&mut bytes), &bytes.clone(), &link.down[range]));
        });
        let mut bytes = [0; PIECE];
        turns().for_each(|(link, range)| hear("to the kernel", (&link.kernel).read_exact(&mut bytes), &bytes.clone(), &link.up[range]));
    });
}

/// One end of each closes, then, when it has seen that, the other.
fn close(links: Vec<Link>) {
    for link in &links {
        let shut = if link.we_first { link.ours.shutdown(Shutdown::Write) } else { link.kernel.shutdown(Shutdown::Write) };
        shut.expect("connected");
    }
    for Link { ours, kernel, we_first, .. } in links {
        let end_at_kernel = || assert_eq!((&kernel).read(&mut [0]).expect("the kernel hears the end"), 0);
        let end_at_ours = || assert_eq!((&ours).read(&mut [0]).expect("we hear the end"), 0);
        if we_first {
            end_at_kernel();
            kernel.shutdown(Shutdown::Write).expect("connected");
            end_at_ours();
        } else {
            end_at_ours();
            ours.shutdown(Shutdown::Write).expect("connected");
            end_at_kernel();
        }
    }
}

/// Those of us who closed first are in TIME_WAIT, and hold neither flow nor rings.
fn assert_time_wait_holds_nothing(bench: &Bench) {
    eventually("every second one waits, and nothing else is left", || {
        let s = bench.handle().statistics().expect("the stack works");
        let open: usize = State::ALL.iter().filter(|state| !matches!(state, State::Listen | State::TimeWait)).map(|state| s.in_state(*state)).sum();
        (s.in_state(State::TimeWait), open, s.flows_used, s.rings_used) == (EACH, 0, 0, 0)
    });
}

/// The states of every connection, in order.
fn walks(bench: &Bench) -> HashMap<FourTuple, Vec<State>> {
    let mut walks: HashMap<FourTuple, Vec<State>> = HashMap::new();
    for entry in bench.handle().log().entries() {
        if let Happening::State { to, .. } = entry.what {
            walks.entry(entry.tuple).or_default().push(to);
        }
    }
    walks
}

/// S24, S30: a hundred connections that the kernel opens and a hundred that we open, all at once, data both ways on each, closed by either
/// end; and once more with what the first two hundred gave back.
#[test]
fn s24_two_hundred_connections_at_once() {
    let adjust = |config: &mut toe_host_lib::Config| {
        (config.settings.receive_log2, config.settings.send_log2) = (RING_LOG2, RING_LOG2);
        config.settings.msl = Nanoseconds::from_secs(3);
        config.log_entries = 1 << 20;
    };
    let Some(bench) = over(|tap, _| Box::new(tap), adjust) else { return };
    let listener = TcpListener::bind(&bench.handle(), OUR_PORT).expect("the port is free");
    let kernel_listener = bench.namespace.run(|| std::net::TcpListener::bind((KERNEL, KERNEL_PORT))).expect("a thread").expect("the port is free");
    let mut memory = None;
    for (round, pieces) in [(1, 8), (2, 1)] {
        let begin = Instant::now();
        let links = open(&bench, &listener, &kernel_listener, pieces);
        assert_all_open(&bench);
        let opened = begin.elapsed();
        talk(&links, pieces);
        let talked = begin.elapsed();
        assert_all_open(&bench);
        let expected: Vec<(FourTuple, Vec<State>)> = links.iter().map(|link| (link.tuple, link.walk())).collect();
        close(links);
        assert_time_wait_holds_nothing(&bench);
        println!("round {round}: all open after {opened:.1?}, all heard after {talked:.1?}, all closed after {:.1?}", begin.elapsed());
        bench.assert_nothing_left();
        let walks = walks(&bench);
        for (tuple, expected) in expected {
            let walk: Vec<State> = walks[&tuple].iter().copied().filter(|state| *state != State::FinWait2).collect();
            assert!(walk.ends_with(&expected), "{tuple}: {walk:?}");
        }
        // As many rings as there were connections, and not one more the second time.
        let s = bench.handle().statistics().expect("the stack works");
        assert_eq!((s.rings, s.installed, s.accepted), (ALL, round * ALL as u64, round * EACH as u64), "{s:?}");
        assert_eq!(*memory.get_or_insert(s.dma_bytes), s.dma_bytes, "DMA memory grows");
    }
    drop(listener);
    assert_eq!(bench.handle().sockets().expect("the stack works"), []);
    TcpListener::bind(&bench.handle(), OUR_PORT).expect("the port is free again");
}
