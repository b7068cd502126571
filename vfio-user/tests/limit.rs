//! A process that may open no more files. Alone in its own, since the limit is that of the process.

mod common;

use common::{memfd, Note, Notes, Served};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use std::os::fd::{AsFd, AsRawFd};
use toe_vfio_user::message::{DmaMap, Request};
use toe_vfio_user::Errno;

#[test]
fn a_mapping_whose_descriptor_cannot_be_taken_is_refused() {
    let mut served = Served::negotiated(Notes::default());
    let memory = memfd(4096);
    let map = |iova| Request::DmaMap(DmaMap { iova, size: 4096, offset: 0, readable: true, writable: true });
    let limit = getrlimit(Resource::Nofile);
    let free = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    setrlimit(Resource::Nofile, Rlimit { current: Some(u64::try_from(free).unwrap()), ..limit }).unwrap();
    assert_eq!(served.ask(&map(0), &[memory.as_fd()]), Err(Errno::INVAL));
    setrlimit(Resource::Nofile, limit).unwrap();
    assert_eq!(served.ask(&map(4096), &[memory.as_fd()]), Ok(vec![]));
    let seen = served.notes();
    assert!(matches!(seen[..], [Note::Map(DmaMap { iova: 4096, .. }, true)]), "{seen:?}");
}
