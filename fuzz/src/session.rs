//! One client of a vfio-user server, from its connection to its hanging up.

mod checked;
mod client;
mod driver;

use checked::Checked;
use client::{Client, Expected};
use std::os::unix::net::UnixStream;
use toe_vfio_user::message::{Header, Kind, HEADER_SIZE};
use toe_vfio_user::server::{serve, Backend, Ended};

pub(crate) use client::{memory, pour};

/// Serves a client that sends what the input says.
///
/// # Panics
/// The server has asked the function for what it must not, or a reply is missing, torn, or out of order.
pub(crate) fn session(data: &[u8], backend: &mut impl Backend) {
    let client = Client::the_one();
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let expected = client.send(&ours, data);
    client.read_replies(ours);
    let ended = serve(&theirs, &mut Checked(backend));
    drop(theirs);
    check(&client.replies(), expected.as_ref(), matches!(ended, Ok(Ended::HungUp)));
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
