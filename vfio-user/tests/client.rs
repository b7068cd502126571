//! The client against a good server, one that dies, one that says nothing, and one that lies.

mod common;

use common::{memfd, Note, Notes};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use toe_vfio_user::client::{Client, ClientError};
use toe_vfio_user::message::{Capabilities, Command, DmaMap, Header, IrqAction, RegionInfo, Request, Version};
use toe_vfio_user::server::serve;
use toe_vfio_user::socket::{receive, send, Message, SocketError};
use toe_vfio_user::Errno;

const LONG: Duration = Duration::from_secs(20);

fn good(mut backend: Notes) -> (Client, JoinHandle<Notes>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        serve(&theirs, &mut backend).unwrap();
        backend
    });
    (Client::new(ours, LONG).unwrap(), server)
}

/// A server that answers the version, and then what it is told to: all of it to each message.
fn scripted(capabilities: Capabilities, answers: impl Fn(&UnixStream, Message) + Send + 'static) -> (UnixStream, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        let first = receive(&theirs, None, LONG).unwrap().unwrap();
        let body = Version { major: 0, minor: 1, capabilities }.encode();
        answer(&theirs, &first.header.reply(body.len()), &body);
        while let Ok(Some(message)) = receive(&theirs, None, LONG) {
            answers(&theirs, message);
        }
    });
    (ours, server)
}

fn answer(stream: &UnixStream, header: &Header, body: &[u8]) {
    // A client that has given up is no failure of its server.
    let _ = send(stream, header, &[body], &[], Instant::now() + LONG);
}

#[test]
fn all_that_a_client_can_ask_for() {
    let (client, server) = good(Notes::default());
    assert_eq!(client.capabilities(), &Capabilities::ours());
    let device = client.device_info().unwrap();
    assert_eq!((device.regions, device.irqs), (8, 3));
    let (bar, fd) = client.region_info(0).unwrap();
    assert_eq!((bar.size, bar.offset, bar.areas.len()), (0x4000, 0x1000, 2));
    assert_eq!(rustix::fs::fstat(fd.unwrap()).unwrap().st_size, 0x5000);
    assert!(client.region_info(7).unwrap().1.is_none());
    assert_eq!(client.irq_info(2).unwrap().count, 4);
    client.region_write_posted(7, 0, &[1, 2]).unwrap();
    client.region_write(7, 2, &[3]).unwrap();
    let mut bytes = [0; 4];
    client.region_read(7, 0, &mut bytes).unwrap();
    assert_eq!(bytes, [1, 2, 3, 0]);
    let map = DmaMap { iova: 0x1000, size: 0x1000, offset: 0, readable: true, writable: true };
    client.dma_map(map, memfd(0x1000).as_fd()).unwrap();
    client.dma_unmap(0x1000, 0x1000).unwrap();
    let eventfd = memfd(1);
    client.set_eventfds(2, 1, &[eventfd.as_fd(); 3]).unwrap();
    client.disable_irqs(2).unwrap();
    client.reset().unwrap();
    drop(client);
    let notes = server.join().unwrap().notes;
    let expected = [
        Note::Write(7, 0, vec![1, 2]),
        Note::Write(7, 2, vec![3]),
        Note::Read(7, 0, 4),
        Note::Map(map, true),
        Note::Unmap(0x1000, 0x1000),
        Note::Irqs(2, 1, 3, IrqAction::Trigger, "eventfds [true, true, true]".into()),
        Note::Irqs(2, 0, 0, IrqAction::Trigger, "none".into()),
        Note::Reset,
    ];
    assert_eq!(notes, expected);
}

#[test]
fn a_refusal_names_the_error_and_the_next_request_goes_on() {
    let (client, server) = good(Notes::default());
    for _ in 0..2 {
        match client.region_read(0, 0x4000, &mut [0; 4]) {
            Err(ClientError::Refused { command: Command::RegionRead, errno }) => assert_eq!(errno, Errno::INVAL),
            other => panic!("{other:?}"),
        }
        assert!(matches!(client.region_read(2, 0, &mut vec![0; (1 << 20) + 1]), Err(ClientError::Refused { errno: Errno::MSGSIZE, .. })));
        client.region_read(0, 0, &mut [0; 4]).unwrap();
    }
    drop(client);
    assert_eq!(server.join().unwrap().notes.len(), 2);
}

#[test]
fn eventfds_go_one_by_one_to_a_server_that_takes_no_more() {
    let (seen, counts) = std::sync::mpsc::channel();
    let (stream, server) = scripted(Capabilities::default(), move |stream, message| {
        if let Ok(Request::DeviceSetIrqs(set)) = Request::decode(message.header.command, &message.body) {
            seen.send((set.start, set.count, message.fds.len())).unwrap();
        }
        answer(stream, &message.header.reply(0), &[]);
    });
    let client = Client::new(stream, LONG).unwrap();
    let eventfd: OwnedFd = memfd(1);
    client.set_eventfds(2, 5, &[eventfd.as_fd(); 3]).unwrap();
    drop(client);
    server.join().unwrap();
    assert_eq!(counts.iter().collect::<Vec<_>>(), [(5, 1, 1), (6, 1, 1), (7, 1, 1)]);
}

#[test]
fn when_the_server_dies_every_thread_is_told_at_once() {
    let (stream, server) = scripted(Capabilities::ours(), |stream, _| stream.shutdown(std::net::Shutdown::Both).unwrap());
    let client = Client::new(stream, LONG).unwrap();
    let begun = Instant::now();
    let errors: Vec<ClientError> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..4).map(|_| s.spawn(|| client.reset().expect_err("there is no server"))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(begun.elapsed() < LONG / 2, "nobody waits for the deadline");
    assert_eq!(errors.iter().filter(|e| matches!(e, ClientError::Dead(why) if why == "the server has hung up")).count(), 3, "{errors:?}");
    assert!(matches!(client.region_write_posted(0, 0, &[1]), Err(ClientError::Dead(_))));
    server.join().unwrap();
}

#[test]
fn a_server_that_says_nothing_is_given_up_when_the_time_is_over() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let error = Client::new(ours, Duration::from_millis(30)).expect_err("nobody answers");
    assert!(matches!(error, ClientError::Socket(SocketError::TimedOut(_))), "{error}");
    // One that talks without end, but does not answer.
    let (stream, server) = scripted(Capabilities::ours(), |stream, _| {
        let ask = Request::DmaRead { iova: 0, count: 1 }.encode();
        while send(stream, &Header::command(0, Command::DmaRead, ask.len(), false), &[&ask], &[], Instant::now() + LONG).is_ok() {}
    });
    let client = Client::new(stream, Duration::from_millis(30)).unwrap();
    let error = client.reset().expect_err("no answer");
    assert!(matches!(error, ClientError::Socket(SocketError::TimedOut(_))), "{error}");
    assert!(matches!(client.reset(), Err(ClientError::Dead(_))), "an answer that comes later must not be taken for another");
    server.join().unwrap();
}

#[test]
fn a_server_that_asks_for_dma_is_told_no_and_goes_on() {
    let (stream, server) = scripted(Capabilities::ours(), |stream, message| {
        let ask = Request::DmaRead { iova: 0, count: 1 }.encode();
        send(stream, &Header::command(77, Command::DmaRead, ask.len(), true), &[&ask], &[], Instant::now() + LONG).unwrap();
        let no = receive(stream, None, LONG).unwrap().unwrap().header;
        assert_eq!((no.id, no.errno()), (77, Some(Errno::NOTSUP)));
        answer(stream, &message.header.reply(0), &[]);
    });
    let client = Client::new(stream, LONG).unwrap();
    client.reset().unwrap();
    drop(client);
    server.join().unwrap();
}

/// What a server answers to a request that it is to answer otherwise, and what the client says then.
#[test]
fn answers_that_are_none_are_errors() {
    type Lie = fn(&Message) -> (Header, Vec<u8>);
    let lies: [(Lie, &str); 6] = [
        (|m| (Header { id: m.header.id ^ 1, ..m.header.reply(m.body.len()) }, m.body.clone()), "expected a reply with number"),
        (|m| (Header { command: 1, ..m.header.reply(m.body.len()) }, m.body.clone()), "expected a reply with number"),
        (|m| (Header { flags: 2, ..m.header.reply(m.body.len()) }, m.body.clone()), "expected a reply with number"),
        (|m| (m.header.reply(3), vec![0; 3]), "expected a body of at least 8 bytes, found 3"),
        (|m| (m.header.reply(19), [m.body.as_slice(), &[0; 3]].concat()), "with 3 bytes"),
        (|m| (m.header.reply(20), [&[1], &m.body[1..], &[0; 4]].concat()), "found Access { offset: 1,"),
    ];
    for (lie, expected) in lies {
        let (stream, server) = scripted(Capabilities::ours(), move |stream, message| {
            let (header, body) = lie(&message);
            answer(stream, &header, &body);
        });
        let client = Client::new(stream, LONG).unwrap();
        let error = client.region_read(0, 0, &mut [0; 4]).expect_err("a lie").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(matches!(client.reset(), Err(ClientError::Dead(why)) if why == error), "who lies is not asked again");
        drop(client);
        server.join().unwrap();
    }
}

#[test]
fn descriptions_of_regions_that_cannot_be_are_refused() {
    let region = |size, mappable| RegionInfo { index: 0, readable: true, writable: true, mappable, size, offset: 0, areas: vec![] };
    let whole = |info: RegionInfo| info.encode(1000);
    let area = toe_vfio_user::message::Area { offset: 0x1000, size: 0x1000 };
    let mut endless = whole(region(1, false));
    endless[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
    let bad =
        [whole(RegionInfo { index: 1, ..region(1, false) }), whole(region(1, true)), whole(RegionInfo { areas: vec![area], ..region(0x1fff, false) }), endless];
    for body in bad {
        let (stream, server) = scripted(Capabilities::ours(), move |stream, message| answer(stream, &message.header.reply(body.len()), &body));
        let client = Client::new(stream, LONG).unwrap();
        assert!(matches!(client.region_info(0), Err(ClientError::Answer { .. })));
        assert!(matches!(client.reset(), Err(ClientError::Dead(_))));
        drop(client);
        server.join().unwrap();
    }
}

#[test]
fn connecting_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let error = |timeout| Client::connect(&path, timeout).expect_err("no server").to_string();
    assert!(error(LONG).contains("No such file"), "{}", error(LONG));
    // A server that has ended, then one that is busy with another client.
    drop(UnixListener::bind(&path).unwrap());
    assert!(error(LONG).contains("refused"), "{}", error(LONG));
    std::fs::remove_file(&path).unwrap();
    let busy = UnixListener::bind(&path).unwrap();
    assert!(error(Duration::from_millis(30)).contains("no progress in time"));
    drop(busy);
}

#[test]
fn a_server_of_another_major_version_is_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        let first = receive(&theirs, None, LONG).unwrap().unwrap();
        let body = Version { major: 1, minor: 0, capabilities: Capabilities::default() }.encode();
        answer(&theirs, &first.header.reply(body.len()), &body);
    });
    let error = Client::new(ours, LONG).expect_err("another version").to_string();
    assert!(error.contains("expected version 0.1 or less, found 1.0"), "{error}");
    server.join().unwrap();
}
