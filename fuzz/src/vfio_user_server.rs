//! What a client may send to the vfio-user server: messages with descriptors, well made or not, and noise.
//!
//! Checked beside "no panic, no hang": the function behind the server is only asked for what its interface promises; every command is
//! answered once, in order, with its number, as long as the stream can be followed; no descriptor stays open.

mod backend;
mod client;

use backend::{Checked, Simple};
use client::{Client, Expected};
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use toe_vfio_user::message::{Header, Kind, HEADER_SIZE};
use toe_vfio_user::server::{serve, Ended};

/// Serves a client that sends what the input says.
///
/// # Panics
/// The server has done what it must not.
pub fn run(data: &[u8]) {
    let client = Client::the_one();
    let before = lowest_free();
    {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let expected = client.send(&ours, data);
        client.read_replies(ours);
        let ended = serve(&theirs, &mut Checked(Simple::default()));
        drop(theirs);
        let replies = client.replies();
        check(&replies, expected.as_ref(), matches!(ended, Ok(Ended::HungUp)));
    }
    assert_eq!(lowest_free(), before, "a descriptor has been left open");
}

fn lowest_free() -> RawFd {
    File::open("/dev/null").expect("/dev/null").as_raw_fd()
}

/// Replies are whole; if all that was sent can be followed, they are those that were asked for.
fn check(replies: &[u8], expected: Option<&Expected>, to_the_end: bool) {
    let mut left = replies;
    let mut found = Expected::new();
    while !left.is_empty() {
        let (header, rest) = left.split_first_chunk::<HEADER_SIZE>().expect("a whole header");
        let header = Header::decode(header);
        let body = header.body().filter(|n| *n <= rest.len()).expect("a whole body");
        assert_eq!(header.kind(), Some(Kind::Reply));
        assert!(header.errno().is_none() || body == 0, "an error reply is only a header");
        found.push((header.id, header.command));
        left = &rest[body..];
    }
    if let Some(expected) = expected {
        assert!(to_the_end, "the server has given up a client that did nothing wrong");
        assert_eq!(&found, expected, "replies");
    }
}
