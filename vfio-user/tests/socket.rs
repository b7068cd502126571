//! One message over a stream: in pieces, cut off, with lies about its size, with too many descriptors, too late.

mod common;

use common::{borrowed, memfd};
use rustix::io::{fcntl_getfd, FdFlags};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use toe_vfio_user::message::{Command, Header, MAX_BODY, MAX_FDS};
use toe_vfio_user::socket::{receive, send, SocketError};

const LONG: Duration = Duration::from_secs(20);

fn soon() -> Instant {
    Instant::now() + LONG
}

fn whole(body: &[u8]) -> Vec<u8> {
    [Header::command(7, Command::RegionRead, body.len(), true).encode().as_slice(), body].concat()
}

#[test]
fn a_message_that_comes_byte_by_byte_is_whole_and_the_next_begins_behind_it() {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    let bytes = [whole(b"first"), whole(&[]), whole(b"third")].concat();
    let slow = std::thread::spawn(move || bytes.iter().for_each(|b| writer.write_all(&[*b]).unwrap()));
    for expected in [b"first".as_slice(), b"", b"third"] {
        assert_eq!(receive(&reader, None, LONG).unwrap().unwrap().body, expected);
    }
    assert!(receive(&reader, None, LONG).unwrap().is_none(), "the end between two messages is a good one");
    slow.join().unwrap();
}

#[test]
fn an_end_in_mid_message_says_where() {
    let bytes = whole(b"body");
    for cut in 1..bytes.len() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        writer.write_all(&bytes[..cut]).unwrap();
        drop(writer);
        let expected = if cut < 16 { (16, cut) } else { (4, cut - 16) };
        match receive(&reader, None, LONG) {
            Err(SocketError::Truncated { expected: e, found }) => assert_eq!((e, found), expected),
            other => panic!("{cut} bytes: {other:?}"),
        }
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_before_anything_is_allocated() {
    for size in [0, 15, 17 + u32::try_from(MAX_BODY).unwrap(), u32::MAX] {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        writer.write_all(&Header { size, ..Header::command(1, Command::DmaMap, 0, true) }.encode()).unwrap();
        assert!(matches!(receive(&reader, None, LONG), Err(SocketError::Size(h)) if h.size == size), "{size}");
    }
}

#[test]
fn every_wait_ends() {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    let short = Duration::from_millis(20);
    assert!(matches!(receive(&reader, Some(Instant::now() + short), LONG), Err(SocketError::TimedOut(_))), "nothing has begun");
    writer.write_all(&whole(b"body")[..17]).unwrap();
    assert!(matches!(receive(&reader, None, short), Err(SocketError::TimedOut(_))), "begun, not finished");
    // Nobody reads: the socket is full before a message of the greatest length is sent.
    let body = vec![0; MAX_BODY];
    let header = Header::command(1, Command::RegionWrite, body.len(), true);
    assert!(matches!(send(&reader, &header, &[&body], &[], Instant::now() + short), Err(SocketError::TimedOut(_))));
}

#[test]
fn a_long_message_goes_through_a_socket_that_holds_less() {
    let (writer, reader) = UnixStream::pair().unwrap();
    let body: Vec<u8> = (0..MAX_BODY).map(|k| k.to_le_bytes()[0]).collect();
    let (first, second) = body.split_at(12_345);
    let header = Header::command(1, Command::RegionWrite, body.len(), true);
    let got = std::thread::scope(|s| {
        s.spawn(|| send(&writer, &header, &[first, &[], second], &[memfd(1).as_fd()], soon()).unwrap());
        receive(&reader, None, LONG).unwrap().unwrap()
    });
    assert!(got.body == body && got.fds.len() == 1 && got.surplus == 0);
}

#[test]
fn descriptors_belong_to_their_message_and_are_not_inherited() {
    let (writer, reader) = UnixStream::pair().unwrap();
    let fds: Vec<OwnedFd> = (1..=3).map(memfd).collect();
    let header = Header::command(1, Command::DmaMap, 0, true);
    for these in [&fds[..1], &[], &fds[1..]] {
        send(&writer, &header, &[], &borrowed(these), soon()).unwrap();
    }
    for sizes in [&[1][..], &[], &[2, 3]] {
        let message = receive(&reader, None, LONG).unwrap().unwrap();
        let found: Vec<i64> = message.fds.iter().map(|fd| rustix::fs::fstat(fd).unwrap().st_size).collect();
        assert_eq!(found, sizes);
        assert!(message.fds.iter().all(|fd| fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC)));
    }
}

/// Opens and closes descriptors: alone in its process's table only if it looks at its own numbers.
#[test]
fn surplus_descriptors_and_those_of_broken_messages_are_closed() {
    let fd = memfd(1);
    let many = |n: usize| -> Vec<BorrowedFd<'_>> { std::iter::repeat_n(fd.as_fd(), n).collect() };
    let links = || {
        let same =
            |p: std::path::PathBuf| std::fs::metadata(p).is_ok_and(|m| std::os::unix::fs::MetadataExt::ino(&m) == rustix::fs::fstat(&fd).unwrap().st_ino);
        std::fs::read_dir("/proc/self/fd").unwrap().filter(|e| same(e.as_ref().unwrap().path())).count()
    };
    let (writer, reader) = UnixStream::pair().unwrap();
    // More than a message may have: in three parts, each with as many as one call of the kernel's takes here.
    let bytes = whole(b"bytes");
    for part in bytes.chunks(bytes.len().div_ceil(3)) {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(100))];
        let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
        let fds = many(100);
        assert!(ancillary.push(rustix::net::SendAncillaryMessage::ScmRights(&fds)));
        rustix::net::sendmsg(&writer, &[std::io::IoSlice::new(part)], &mut ancillary, rustix::net::SendFlags::empty()).unwrap();
    }
    let message = receive(&reader, None, LONG).unwrap().unwrap();
    assert_eq!((message.fds.len(), message.surplus, links()), (MAX_FDS, 300 - MAX_FDS, 1 + MAX_FDS));
    drop(message);
    // One whose size is a lie, and one that is cut off.
    for (size, keep) in [(u32::MAX, 16), (100, 20)] {
        let (writer, reader) = UnixStream::pair().unwrap();
        let header = Header { size, ..Header::command(1, Command::DmaMap, 0, true) };
        send(&writer, &header, &[&[0; 4][..keep - 16]], &many(5), soon()).unwrap();
        drop(writer);
        assert!(receive(&reader, None, LONG).is_err());
    }
    assert_eq!(links(), 1);
    let too_many = many(MAX_FDS + 1);
    assert!(matches!(send(&writer, &Header::command(1, Command::DmaMap, 0, true), &[], &too_many, soon()), Err(SocketError::System { .. })));
}

#[test]
fn sending_to_nobody_is_an_error_and_no_signal() {
    let (writer, reader) = UnixStream::pair().unwrap();
    drop(reader);
    assert!(matches!(send(&writer, &Header::command(1, Command::DeviceReset, 0, true), &[], &[], soon()), Err(SocketError::System { .. })));
}
