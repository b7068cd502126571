//! How connections with a Linux kernel end, over a TAP, in real time: whoever opened, whoever closes first. Each end's states are
//! seen, ours in the life log and the kernel's in `/proc/net/tcp`, and every segment on the wire.

mod support;

use std::any::Any;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4};
use std::thread;

use support::kernel::{KERNEL, OURS, PATIENCE};
use support::pair::{assert_same, pattern};
use support::scene::{at_gate, eventually, quiet_scene, scene, Pair, Scene, Seen, KERNEL_PORT, OUR_PORT, SIDES};
use toe_host_lib::log::{Happening, LogEntry};
use toe_host_lib::tcp::{FourTuple, State};
use toe_host_lib::time::Nanoseconds;
use toe_host_lib::TcpStream;
use toe_sim::wire::{Verdict, WireFrame};
use toe_wire::{SeqNumber, TcpFlags};

const ACTIVE: [State; 3] = [State::FinWait1, State::FinWait2, State::TimeWait];
const PASSIVE: [State; 2] = [State::CloseWait, State::LastAck];

/// Either end of a connection, to be closed by dropping it.
type End = Box<dyn Any>;

/// What was seen of an orderly close.
struct Story {
    we_first: bool,
    /// States after ESTABLISHED: all of ours, and those the kernel was seen in.
    ours: Vec<State>,
    kernel: Vec<State>,
    /// From the first FIN on.
    segments: Vec<Seen>,
}

/// The two ends, in the order in which they close.
fn in_order(pair: Pair, we_first: bool) -> (End, End, FourTuple) {
    let (ours, kernel): (End, End) = (Box::new(pair.ours), Box::new(pair.kernel));
    if we_first {
        (ours, kernel, pair.tuple)
    } else {
        (kernel, ours, pair.tuple)
    }
}

/// Waits until the end that closes first, or the other, is in this state.
fn await_end(scene: &Scene, tuple: FourTuple, ours: bool, state: State) {
    if ours {
        scene.await_ours(tuple, state);
    } else {
        scene.await_kernel(tuple, state);
    }
}

fn states_since_established(scene: &Scene, tuple: FourTuple) -> Vec<State> {
    scene.walk(tuple).into_iter().skip_while(|state| *state != State::Established).skip(1).collect()
}

/// Closes one end, then the other. What would answer a FIN is held on the wire until the end that waits for it was seen to wait.
fn close_in_turn(scene: &Scene, we_listen: bool, we_first: bool) -> Story {
    let (first, second, tuple) = in_order(scene.pair(we_listen), we_first);
    let before = scene.segments(tuple).len();
    let mut kernel = Vec::new();
    let mut see = |state| {
        scene.await_kernel(tuple, state);
        kernel.push(state);
    };
    scene.gate.judge(move |sent, _| if sent == we_first { Verdict::Pass } else { Verdict::Hold });
    drop(first);
    await_end(scene, tuple, we_first, State::FinWait1);
    await_end(scene, tuple, !we_first, State::CloseWait);
    see(if we_first { State::CloseWait } else { State::FinWait1 });
    scene.gate.open();
    await_end(scene, tuple, we_first, State::FinWait2);
    if !we_first {
        see(State::FinWait2);
    }
    scene.gate.judge(move |sent, _| if sent == we_first { Verdict::Hold } else { Verdict::Pass });
    drop(second);
    await_end(scene, tuple, !we_first, State::LastAck);
    see(if we_first { State::LastAck } else { State::TimeWait });
    scene.gate.open();
    if we_first {
        see(State::Closed);
    }
    scene.await_ours(tuple, State::Closed);
    let segments = scene.segments(tuple).split_off(before);
    Story { we_first, ours: states_since_established(scene, tuple), kernel, segments }
}

/// Closes in turn whoever opens and whoever closes first, as far as `of` is interested, and looks at each story.
fn stories(of: impl Fn(bool, bool) -> bool, look: impl Fn(Story)) {
    let Some(scene) = quiet_scene(|_| {}) else { return };
    for (we_listen, we_first) in SIDES.into_iter().filter(|(listen, first)| of(*listen, *first)) {
        println!("we listen: {we_listen}, we close first: {we_first}");
        look(close_in_turn(&scene, we_listen, we_first));
        scene.assert_nothing_left();
    }
}

/// FIN, ACK, FIN, ACK: the first two and the last two are a FIN and its answer.
fn assert_two_fins(story: &Story) {
    let fin = TcpFlags::FIN | TcpFlags::ACK;
    let [first, answer, second, last] = story.segments.as_slice() else { panic!("four segments: {:#?}", story.segments) };
    let us = story.we_first;
    assert_eq!([first.sent, answer.sent, second.sent, last.sent], [us, !us, !us, us], "who sends");
    for (fin_segment, ack) in [(first, answer), (second, last)] {
        assert_eq!(fin_segment.flags.without(TcpFlags::PSH), fin);
        assert!(ack.is_pure_ack(), "{ack:?}");
        assert_eq!(ack.ack, fin_segment.seq + fin_segment.len + 1, "the FIN's number + 1");
    }
}

/// S02: a FIN is acknowledged at once with its number + 1, though nobody reads or closes; the socket is in CLOSE_WAIT.
#[test]
fn s02_linux_a_fin_is_acknowledged_at_once() {
    stories(
        |_, _| true,
        |story| {
            assert_two_fins(&story);
            let passive = if story.we_first { &story.kernel } else { &story.ours };
            assert_eq!(passive[0], State::CloseWait);
        },
    );
}

/// S04: the end that listens closes first.
#[test]
fn s04_linux_the_server_closes_first() {
    stories(|we_listen, we_first| we_listen == we_first, |story| assert_two_fins(&story));
}

/// S05: the end that connected closes first.
#[test]
fn s05_linux_the_client_closes_first() {
    stories(|we_listen, we_first| we_listen != we_first, |story| assert_two_fins(&story));
}

/// S19, S20: both ends walk as RFC 9293 figure 5 has it. The kernel stays in TIME_WAIT for a minute.
#[test]
fn s19_s20_linux_active_and_passive_close_walk() {
    stories(
        |_, _| true,
        |story| {
            let closed = [State::Closed];
            let (ours, kernel) = match story.we_first {
                true => ([&ACTIVE[..], &closed].concat(), [&PASSIVE[..], &closed].concat()),
                false => ([&PASSIVE[..], &closed].concat(), ACTIVE.to_vec()),
            };
            assert_eq!(story.ours, ours, "ours");
            assert_eq!(story.kernel, kernel, "the kernel's");
        },
    );
}

/// S03: every byte that came before the FIN is read, and only then the end of the stream; nobody reads before the FIN has come.
#[test]
fn s03_linux_all_bytes_then_the_end() {
    let Some(scene) = scene(|_| {}) else { return };
    let sent = pattern(50_000, 1);
    for (we_listen, we_send) in SIDES {
        let Pair { mut ours, mut kernel, tuple } = scene.pair(we_listen);
        let sender: &mut dyn Write = if we_send { &mut ours } else { &mut kernel };
        sender.write_all(&sent).expect("there is room for it");
        let shut = if we_send { ours.shutdown(Shutdown::Write) } else { kernel.shutdown(Shutdown::Write) };
        shut.expect("connected");
        await_end(&scene, tuple, we_send, State::FinWait2);
        await_end(&scene, tuple, !we_send, State::CloseWait);
        let receiver: &mut dyn Read = if we_send { &mut kernel } else { &mut ours };
        let mut heard = Vec::new();
        receiver.read_to_end(&mut heard).expect("all bytes, then the end");
        assert_same(&heard, &sent, "before the FIN");
        assert_eq!(receiver.read(&mut [0]).expect("still the end"), 0);
        drop((ours, kernel));
        scene.assert_nothing_left();
    }
}

/// Opens and closes in turn; gives the tuple, with the end that closed first in TIME_WAIT and the other one gone.
fn leave_in_time_wait(scene: &Scene, pair: Pair, we_first: bool) -> FourTuple {
    let (first, second, tuple) = in_order(pair, we_first);
    drop(first);
    await_end(scene, tuple, !we_first, State::CloseWait);
    drop(second);
    await_end(scene, tuple, !we_first, State::Closed);
    await_end(scene, tuple, we_first, State::TimeWait);
    tuple
}

/// Two ports, and 2 MSL long enough to try them.
fn two_ports(config: &mut toe_host_lib::Config) {
    config.ports = 40000..=40001;
    config.settings.msl = Nanoseconds::from_secs(4);
}

/// S06: we connected and closed first: our port is not given out for that remote as long as TIME_WAIT lasts, and is again afterwards.
#[test]
fn s06_linux_our_port_waits_in_time_wait() {
    let Some(scene) = scene(two_ports) else { return };
    let tuples = [(); 2].map(|()| leave_in_time_wait(&scene, scene.pair(false), true));
    assert_ne!(tuples[0], tuples[1], "the first port was waiting");
    let to = |port| TcpStream::connect_timeout(&scene.bench.handle(), SocketAddrV4::new(KERNEL, port), PATIENCE);
    let refused = to(KERNEL_PORT).expect_err("both ports wait");
    assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable);
    assert!(tuples.iter().all(|tuple| scene.socket(*tuple).is_some_and(|s| s.state == State::TimeWait && s.state_ends_in.is_some())));
    let elsewhere = to(KERNEL_PORT + 1).expect_err("nobody listens there");
    assert_eq!(elsewhere.kind(), ErrorKind::ConnectionRefused, "to another remote the port is free: the kernel was asked");
    scene.await_ours(tuples[0], State::Closed);
    let again = scene.pair(false);
    assert_eq!(again.tuple, tuples[0], "the port is given out again");
    drop(again);
    let times = between(&scene, tuples[0], |entry| is_state(entry, State::TimeWait), |entry| is_state(entry, State::Closed));
    assert!(times >= Nanoseconds::from_secs(8), "TIME_WAIT took {times}");
}

/// S06, MAY-2: the kernel connected and we closed first. Its old SYN is only acknowledged; a new one of the same tuple can be nothing but a
/// new connection (RFC 6191) and gets one.
#[test]
fn s06_linux_an_old_syn_does_not_end_our_time_wait() {
    let Some(scene) = scene(two_ports) else { return };
    scene.set("ip_local_port_range", "40000 40000");
    let tuple = leave_in_time_wait(&scene, scene.pair(true), true);
    let listener = scene.listen();
    listener.set_nonblocking(true).expect("always");
    let frames = scene.frames();
    let old = frames.iter().find(|f| Seen::read(f.at, f.sent, &f.head).is_some_and(|seen| seen.tuple == tuple && seen.flags == TcpFlags::SYN));
    let old = old.expect("the SYN was seen");
    assert_eq!(old.head.len(), old.length, "all of it was kept");
    let before = scene.segments(tuple).len();
    scene.gate.inject(WireFrame::new(old.head.clone()));
    eventually("the old SYN is answered", || scene.segments(tuple).len() >= before + 2);
    let answer = scene.segments(tuple)[before + 1].clone();
    assert!(answer.sent && answer.is_pure_ack(), "{answer:?}");
    assert_eq!(scene.socket(tuple).map(|s| s.state), Some(State::TimeWait));
    assert_eq!(listener.accept().expect_err("no connection came of it").kind(), ErrorKind::WouldBlock);
    drop(listener);
    let again = scene.pair(true);
    assert_eq!(again.tuple, tuple, "the kernel had no other port");
    assert_eq!(scene.walk(tuple).iter().filter(|state| **state == State::Established).count(), 2);
}

/// S06 with the kernel in TIME_WAIT: it does not give its port out either, and lets our new SYN of the same tuple in.
#[test]
fn s06_linux_waits_in_time_wait() {
    let Some(scene) = scene(|config| config.ports = 40000..=40000) else { return };
    scene.set("tcp_tw_reuse", "0");
    scene.set("ip_local_port_range", "40000 40000");
    let tuple = leave_in_time_wait(&scene, scene.pair(true), false);
    let _listener = scene.listen();
    let to = SocketAddrV4::new(OURS, OUR_PORT);
    let refused = scene.bench.namespace.run(|| std::net::TcpStream::connect(to)).expect("a thread").expect_err("its port waits");
    assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable);
    assert_eq!(scene.kernel_state(tuple), State::TimeWait);
    let tuple = leave_in_time_wait(&scene, scene.pair(false), false);
    let again = scene.pair(false);
    assert_eq!(again.tuple, tuple, "our only port, from its TIME_WAIT");
}

fn is_state(entry: &LogEntry, state: State) -> bool {
    matches!(entry.what, Happening::State { to, .. } if to == state)
}

/// From the last entry of the log that is `from`, to the next one that is `to`.
fn between(scene: &Scene, tuple: FourTuple, from: impl Fn(&LogEntry) -> bool, to: impl Fn(&LogEntry) -> bool) -> Nanoseconds {
    let entries: Vec<LogEntry> = scene.bench.handle().log().entries().into_iter().filter(|entry| entry.tuple == tuple).collect();
    let end = entries.iter().position(to).expect("the end is in the log");
    let begin = entries[..end].iter().rev().find(|entry| from(entry)).expect("the beginning is in the log");
    entries[end].at - begin.at
}

/// Loses the first ACK of the FIN of whoever closes second; holds what comes after it from there.
fn lose_last_ack(scene: &Scene, we_first: bool) {
    let mut fin: Option<SeqNumber> = None;
    let mut lost = false;
    scene.gate.judge(move |sent, frame| {
        let Some(seen) = at_gate(sent, frame) else { return Verdict::Pass };
        if sent != we_first && seen.flags.fin() {
            fin = Some(seen.end());
        }
        match sent == we_first && seen.is_pure_ack() && Some(seen.ack) == fin {
            true if lost => Verdict::Hold,
            true => {
                lost = true;
                Verdict::Lose
            }
            false => Verdict::Pass,
        }
    });
}

/// S07: the last ACK is lost, ours or the kernel's. The FIN comes again, is acknowledged again from TIME_WAIT, and its sender is done; with us
/// in TIME_WAIT the wait begins anew.
#[test]
fn s07_linux_the_last_ack_is_lost() {
    let msl = Nanoseconds::from_secs(1);
    let Some(scene) = scene(|config| config.settings.msl = msl) else { return };
    for (lost, (we_listen, we_first)) in (1..).zip(SIDES) {
        let (first, second, tuple) = in_order(scene.pair(we_listen), we_first);
        drop(first);
        await_end(&scene, tuple, we_first, State::FinWait2);
        // The engine has acknowledged the FIN; the host is told a moment later.
        await_end(&scene, tuple, !we_first, State::CloseWait);
        let before = scene.segments(tuple).len();
        lose_last_ack(&scene, we_first);
        drop(second);
        await_end(&scene, tuple, !we_first, State::LastAck);
        eventually("the ACK is lost", || scene.gate.lost() == lost);
        scene.gate.open();
        await_end(&scene, tuple, !we_first, State::Closed);
        let segments = scene.segments(tuple).split_off(before);
        let fins: Vec<&Seen> = segments.iter().filter(|seen| seen.flags.fin()).collect();
        assert!(fins.len() >= 2 && fins.iter().all(|fin| fin.sent != we_first && fin.seq == fins[0].seq), "the FIN came again: {segments:#?}");
        let acks = segments.iter().filter(|seen| seen.sent == we_first && seen.is_pure_ack() && seen.ack == fins[0].end()).count();
        // Ours is seen before the gate loses it; the kernel's is not.
        assert!(acks > usize::from(we_first), "it is answered again: {segments:#?}");
        scene.await_ours(tuple, State::Closed);
        let walk = states_since_established(&scene, tuple);
        if we_first {
            assert_eq!(walk, [ACTIVE.as_slice(), &[State::Closed]].concat());
            let is_fin = |entry: &LogEntry| matches!(entry.what, Happening::Received(header) if header.flags.fin());
            let waited = between(&scene, tuple, is_fin, |entry| is_state(entry, State::Closed));
            assert!(waited >= msl + msl, "the wait began anew with the FIN: {waited}");
        } else {
            assert_eq!(walk, [PASSIVE.as_slice(), &[State::Closed]].concat());
            assert_eq!(scene.kernel_state(tuple), State::TimeWait);
        }
        scene.assert_nothing_left();
    }
}

/// S16: one end sends no more and goes on receiving; each end in turn, whoever opened.
#[test]
fn s16_linux_half_close() {
    let Some(scene) = scene(|_| {}) else { return };
    let data = pattern(300_000, 3);
    for (we_listen, we_shut) in SIDES {
        let Pair { ours, kernel, tuple } = scene.pair(we_listen);
        let shut = if we_shut { ours.shutdown(Shutdown::Write) } else { kernel.shutdown(Shutdown::Write) };
        shut.expect("connected");
        await_end(&scene, tuple, we_shut, State::FinWait2);
        await_end(&scene, tuple, !we_shut, State::CloseWait);
        let (mut sender, mut receiver): (Box<dyn Write + Send + '_>, Box<dyn Read + '_>) = match we_shut {
            true => (Box::new(&kernel), Box::new(&ours)),
            false => (Box::new(&ours), Box::new(&kernel)),
        };
        let refused = if we_shut { (&ours).write(&[1]) } else { (&kernel).write(&[1]) };
        assert_eq!(refused.expect_err("shut").kind(), ErrorKind::BrokenPipe);
        let mut heard = vec![0; data.len()];
        thread::scope(|scope| {
            scope.spawn(|| sender.write_all(&data).expect("the other half is open"));
            receiver.read_exact(&mut heard).expect("the other half");
        });
        assert_same(&heard, &data, "the other half");
        await_end(&scene, tuple, we_shut, State::FinWait2);
        drop((sender, receiver));
        drop((ours, kernel));
        scene.assert_nothing_left();
    }
}
