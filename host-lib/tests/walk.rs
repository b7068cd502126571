//! Random walks through the table: whatever happens in whatever order, some things always hold.

mod support;

use proptest::prelude::*;
use support::blocks::{block_in, report_of, NOW};
use toe_host_lib::tcp::{step, Action, ControlBlock, EngineCommand, Event, Path, Report, Segment, State, Unreachable};
use toe_host_lib::time::Nanoseconds;
use toe_wire::{SeqNumber, TcpFlags, TcpOptions};

/// An event whose numbers are relative to the block's.
#[derive(Clone, Debug)]
enum Move {
    Plain(u8),
    Queue(u16),
    Consume(u16),
    Segment { flags: u8, seq: i32, ack: i32, len: u16, window: u16, tsval: u32 },
    Report { data: u16, fin: bool, acked: u32, window: u32, dup_acks: u8, sampled: bool },
    Removed { data: u16 },
    Wait(u32),
}

fn moves() -> impl Strategy<Value = Move> {
    let near = prop_oneof![-3..4i32, -70_000..70_000i32, any::<i32>()];
    prop_oneof![
        4 => (0..11u8).prop_map(Move::Plain),
        2 => any::<u16>().prop_map(Move::Queue),
        1 => any::<u16>().prop_map(Move::Consume),
        6 => (any::<u8>(), near.clone(), near, 0..3000u16, any::<u16>(), any::<u32>())
            .prop_map(|(flags, seq, ack, len, window, tsval)| Move::Segment { flags: flags & 0x3f, seq, ack, len, window, tsval }),
        6 => (any::<u16>(), prop::bool::weighted(0.1), any::<u32>(), prop_oneof![Just(0), 0..2000u32, 0..100_000u32], any::<u8>(), any::<bool>())
            .prop_map(|(data, fin, acked, window, dup_acks, sampled)| Move::Report { data, fin, acked, window, dup_acks, sampled }),
        2 => any::<u16>().prop_map(|data| Move::Removed { data }),
        2 => any::<u32>().prop_map(Move::Wait),
    ]
}

fn add(seq: SeqNumber, by: i32) -> SeqNumber {
    SeqNumber(seq.0.wrapping_add_signed(by))
}

/// A report that the engine could make: nothing goes back, nothing is acknowledged that was not handed over.
fn report(block: &ControlBlock, data: u16, fin: bool, acked: u32) -> Report {
    let outstanding = block.send_end().offset_from(block.snd_una);
    let snd_una = block.snd_una + if outstanding == 0 { 0 } else { acked % (outstanding + 1) };
    let moved = if block.fin_received { 0 } else { u32::from(data) + u32::from(fin) };
    let rcv_nxt = block.rcv_nxt + moved;
    Report {
        rcv_nxt,
        rcv_adv: rcv_nxt.max(block.rcv_adv),
        fin_received: block.fin_received || fin,
        snd_una,
        snd_nxt: block.send_end(),
        snd_max: block.send_end(),
        last_ack_sent: rcv_nxt,
        ..report_of(block)
    }
}

fn event(block: &ControlBlock, step: &Move) -> Event {
    match *step {
        Move::Plain(0) => Event::Connect,
        Move::Plain(1) => Event::Listen,
        Move::Plain(2) => Event::ShutdownWrite,
        Move::Plain(3) => Event::Close { unread: false },
        Move::Plain(4) => Event::Close { unread: true },
        Move::Plain(5) => Event::Abort,
        Move::Plain(6) => Event::InstallRefused,
        Move::Plain(7) => Event::Unreachable(Unreachable::Soft),
        Move::Plain(8) => Event::Unreachable(Unreachable::Hard),
        Move::Plain(9) => Event::NoDelay(true),
        Move::Plain(_) => Event::NoDelay(false),
        Move::Queue(bytes) => Event::Queued(block.queued + u32::from(bytes)),
        Move::Consume(bytes) => Event::Consumed(block.consumed + u32::from(bytes)),
        Move::Segment { flags, seq, ack, len, window, tsval } => Event::Segment(Segment {
            seq: add(block.rcv_nxt, seq),
            ack: add(block.snd_max, ack),
            flags: TcpFlags(flags),
            window,
            len: u32::from(len),
            options: TcpOptions::new().with_timestamps(tsval, 0),
            snapshot: None,
        }),
        Move::Report { data, fin, acked, window, dup_acks, sampled } => {
            let rtt = Nanoseconds::from_micros(u64::from(data));
            let rtt_count = block.rtt_count.wrapping_add(u8::from(sampled));
            Event::Report(Report { snd_wnd: window, dup_acks, rtt, rtt_count, ..report(block, data, fin, acked) })
        }
        Move::Removed { data } => Event::Removed(report(block, data, false, 0)),
        Move::Wait(_) => Event::StateTimeout,
    }
}

/// RFC 9293 figure 5, with every way out to CLOSED, and ESTABLISHED to FIN_WAIT_1 by a close that came before.
fn is_edge(from: State, to: State) -> bool {
    use State::*;
    to == Closed
        || matches!(
            (from, to),
            (Closed, Listen | SynSent)
                | (Listen, SynReceived)
                | (SynSent, SynReceived | Established)
                | (SynReceived, Established)
                | (Established, FinWait1 | CloseWait)
                | (FinWait1, FinWait2 | Closing)
                | (FinWait2 | Closing, TimeWait)
                | (CloseWait, LastAck)
        )
}

/// What holds after every step.
fn check(before: &ControlBlock, after: &ControlBlock, actions: &[Action]) {
    let mut state = before.state;
    for action in actions {
        if let Action::Enter(to) = action {
            assert!(is_edge(state, *to), "{state} -> {to}");
            state = *to;
        }
    }
    assert_eq!(state, after.state, "every change of state is told");
    let deleted = actions.iter().any(|action| matches!(action, Action::Delete | Action::TimeWait));
    // S09
    let must_end = match after.state {
        State::SynSent | State::SynReceived | State::Closing | State::LastAck | State::TimeWait => true,
        State::FinWait1 | State::FinWait2 => after.orphan,
        _ => false,
    };
    assert!(!must_end || deleted || after.deadlines.state.is_some() || matches!(after.path, Path::Leaving(_)), "{} without a timer", after.state);
    // What is out is waited for.
    if after.path == Path::Engine && after.snd_una != after.send_end() {
        assert!(after.deadlines.retransmit.is_some(), "{} with data out and no timer", after.state);
    }
    assert!(after.limit.le(after.queued) && after.data_una().le(after.queued));
    assert!(after.congestion.window() >= u32::from(after.snd_mss).min(after.settings.mss.into()));
    commands_make_sense(before, after, actions);
}

/// The engine gets no command that it would refuse, and none for a flow it does not have.
fn commands_make_sense(before: &ControlBlock, after: &ControlBlock, actions: &[Action]) {
    let mut installed = before.path == Path::Engine;
    for action in actions {
        match action {
            Action::Install => installed = true,
            Action::Engine(command) => {
                assert!(installed, "{command:?} without a flow");
                match *command {
                    EngineCommand::Send { limit, .. } => assert!(limit.ge(before.limit)),
                    EngineCommand::Consumed(to) => assert!(to.le(after.rcv_nxt) && to.gt(before.consumed)),
                    EngineCommand::ResendFrom(from) | EngineCommand::ResendOne(from) => {
                        assert!(from.ge(after.snd_una) && from.le(after.snd_max.max(after.send_end())))
                    }
                    EngineCommand::Cwnd(bytes) => assert!(bytes > 0),
                    EngineCommand::AckNow => {}
                    EngineCommand::Remove => installed = false,
                }
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// s09, s19, s20, s21: no panic, no edge that RFC 9293 does not have, no state without its timer, no command the engine refuses.
    #[test]
    fn s09_random_walks(start in prop::sample::select(&State::ALL[..]), moves in prop::collection::vec(moves(), 1..40)) {
        let mut block = block_in(start);
        let mut now = NOW;
        for m in &moves {
            let mut events = vec![event(&block, m)];
            if let Move::Wait(time) = m {
                now += Nanoseconds(u64::from(*time));
                events.clear();
                if block.deadlines.retransmit.is_some_and(|at| at <= now) {
                    events.push(Event::RetransmitTimeout);
                }
                if block.deadlines.state.is_some_and(|at| at <= now) {
                    events.push(Event::StateTimeout);
                }
            }
            for event in events {
                let (after, actions) = step(block.clone(), event, now);
                check(&block, &after, &actions);
                if actions.iter().any(|action| matches!(action, Action::Delete | Action::TimeWait | Action::Reopen(_))) {
                    return Ok(());
                }
                block = after;
            }
        }
    }
}
