//! The server against clients that do it right, and against others.

mod common;

use common::{borrowed, memfd, Note, Notes, Served};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use toe_vfio_user::message::{
    Access, Area, Capabilities, Command, DeviceInfo, DmaMap, DmaUnmap, Header, IrqAction, IrqData, IrqInfo, RegionInfo, Request, SetIrqs, SmallWrite, Version,
    MAX_DATA,
};
use toe_vfio_user::server::Ended;
use toe_vfio_user::socket::{receive, SocketError};
use toe_vfio_user::Errno;

const NOTHING: Result<Vec<u8>, Errno> = Ok(vec![]);

fn served() -> Served {
    Served::negotiated(Notes::default())
}

fn access(region: u32, offset: u64, count: u32) -> Access {
    Access { offset, region, count }
}

#[test]
fn a_client_does_everything_once() {
    let mut s = served();
    let map = DmaMap { iova: 0x10_0000, size: 0x2000, offset: 0x1000, readable: true, writable: false };
    let ask = |s: &mut Served, request: Request<'_>, fds: &[OwnedFd]| s.ask(&request, &borrowed(fds));
    assert_eq!(
        DeviceInfo::decode(&ask(&mut s, Request::DeviceGetInfo { argsz: 16 }, &[]).unwrap()),
        Ok(DeviceInfo { resettable: true, pci: true, regions: 8, irqs: 3 })
    );
    let irq = ask(&mut s, Request::DeviceGetIrqInfo { argsz: 16, index: 2 }, &[]).unwrap();
    assert_eq!(IrqInfo::decode(&irq), Ok(IrqInfo { index: 2, count: 4, eventfd: true, maskable: false, fixed: false }));
    assert_eq!(ask(&mut s, Request::DmaMap(map), &[memfd(0x4000)]), NOTHING);
    assert_eq!(ask(&mut s, Request::DmaMap(DmaMap { iova: 0, ..map }), &[]), NOTHING);
    let unmap = DmaUnmap { argsz: 24, iova: 0x10_0000, size: 0x2000, all: false };
    assert_eq!(ask(&mut s, Request::DmaUnmap(unmap), &[]), Ok(unmap.reply()));
    let all = DmaUnmap { argsz: 24, iova: 0, size: 0, all: true };
    assert_eq!(ask(&mut s, Request::DmaUnmap(all), &[]), Ok(all.reply()));
    assert_eq!(ask(&mut s, Request::RegionWrite(access(7, 4, 2), &[6, 0]), &[]), Ok(access(7, 4, 2).reply(&[])));
    assert_eq!(ask(&mut s, Request::RegionRead(access(7, 3, 3)), &[]), Ok(access(7, 3, 3).reply(&[0, 6, 0])));
    let set = SetIrqs { index: 2, start: 1, count: 2, action: IrqAction::Trigger, data: IrqData::Eventfds };
    assert_eq!(ask(&mut s, Request::DeviceSetIrqs(set), &[memfd(1), memfd(1)]), NOTHING);
    assert_eq!(ask(&mut s, Request::DeviceSetIrqs(set), &[]), NOTHING);
    assert_eq!(ask(&mut s, Request::DeviceSetIrqs(SetIrqs { index: 0, start: 0, count: 1, action: IrqAction::Mask, data: IrqData::Bool(&[3]) }), &[]), NOTHING);
    assert_eq!(ask(&mut s, Request::DeviceSetIrqs(SetIrqs { index: 2, start: 0, count: 0, action: IrqAction::Trigger, data: IrqData::None }), &[]), NOTHING);
    assert_eq!(ask(&mut s, Request::DeviceReset, &[]), NOTHING);
    let expected = [
        Note::Map(map, true),
        Note::Map(DmaMap { iova: 0, ..map }, false),
        Note::Unmap(0x10_0000, 0x2000),
        Note::UnmapAll,
        Note::Write(7, 4, vec![6, 0]),
        Note::Read(7, 3, 3),
        Note::Irqs(2, 1, 2, IrqAction::Trigger, "eventfds [true, true]".into()),
        Note::Irqs(2, 1, 2, IrqAction::Trigger, "eventfds [false, false]".into()),
        Note::Irqs(0, 0, 1, IrqAction::Mask, "[true]".into()),
        Note::Irqs(2, 0, 0, IrqAction::Trigger, "none".into()),
        Note::Reset,
    ];
    assert_eq!(s.notes(), expected);
}

#[test]
fn what_is_out_of_range_is_refused_before_the_function_sees_it() {
    let map = |iova, size, offset| Request::DmaMap(DmaMap { iova, size, offset, readable: true, writable: true });
    let irqs = |index, start, count, action, data| Request::DeviceSetIrqs(SetIrqs { index, start, count, action, data });
    let bad = [
        Request::RegionRead(access(8, 0, 4)),
        Request::RegionRead(access(u32::MAX, 0, 4)),
        Request::RegionRead(access(0, 0x3fff, 2)),
        Request::RegionRead(access(0, u64::MAX, 1)),
        Request::RegionRead(access(0, u64::MAX - 1, 2)),
        Request::RegionRead(access(1, 0, 1)),
        Request::RegionRead(access(2, 0, MAX_DATA + 1)),
        Request::RegionRead(access(2, 0, u32::MAX)),
        Request::RegionWrite(access(0, 0x3ffd, 4), &[0; 4]),
        map(0, 0, 0),
        map(u64::MAX, 2, 0),
        map(0, u64::MAX, 2),
        Request::DmaUnmap(DmaUnmap { argsz: 24, iova: 0, size: 0, all: false }),
        Request::DmaUnmap(DmaUnmap { argsz: 24, iova: u64::MAX, size: 2, all: false }),
        Request::DeviceGetInfo { argsz: 15 },
        Request::DeviceGetRegionInfo { argsz: 31, index: 0 },
        Request::DeviceGetRegionInfo { argsz: 32, index: 8 },
        Request::DeviceGetIrqInfo { argsz: 15, index: 0 },
        Request::DeviceGetIrqInfo { argsz: 16, index: 3 },
        irqs(3, 0, 1, IrqAction::Trigger, IrqData::None),
        irqs(2, 0, 5, IrqAction::Trigger, IrqData::None),
        irqs(2, 4, 1, IrqAction::Trigger, IrqData::Eventfds),
        irqs(2, u32::MAX, 2, IrqAction::Trigger, IrqData::None),
        irqs(2, 1, 0, IrqAction::Trigger, IrqData::None),
        irqs(2, 0, 0, IrqAction::Trigger, IrqData::Bool(&[])),
        irqs(2, 0, 1, IrqAction::Mask, IrqData::None),
        irqs(0, 0, u32::MAX, IrqAction::Trigger, IrqData::Eventfds),
        Request::DmaRead { iova: 0, count: 4 },
        Request::DmaWrite { iova: 0, data: &[1] },
        Request::Version(Version { major: 0, minor: 1, capabilities: Capabilities::ours() }),
    ];
    let mut s = served();
    for request in &bad {
        assert_eq!(s.ask(request, &[]), Err(Errno::INVAL), "{request:?}");
    }
    assert_eq!(s.ask(&Request::RegionWrite(access(2, 0, 1), &[1]), &[]), Err(Errno::PERM), "it may only be read");
    assert_eq!(s.ask(&Request::DeviceGetRegionIoFds { argsz: 100, index: 0 }, &[]), Err(Errno::NOTSUP));
    // No bytes are no access; at the very end there are some.
    assert_eq!(s.ask(&Request::RegionRead(access(0, 0x4000, 0)), &[]), Ok(access(0, 0x4000, 0).reply(&[])));
    assert_eq!(s.ask(&Request::RegionRead(access(0, 0x3fff, 1)), &[]), Ok(access(0, 0x3fff, 1).reply(&[0xff])));
    assert_eq!(s.ask(&Request::RegionRead(access(2, 7, MAX_DATA)), &[]).map(|body| body.len()), Ok(16 + MAX_DATA as usize));
    assert_eq!(s.notes(), [Note::Read(0, 0x3fff, 1), Note::Read(2, 7, MAX_DATA as usize)]);
}

#[test]
fn commands_that_are_none_and_bodies_that_are_cut_off_leave_the_stream_in_step() {
    let mut s = served();
    for command in [0, 14, 16, 17, 18, 19, u16::MAX] {
        assert_eq!(s.raw(command, &[1; 100], &[]), Err(Errno::NOTSUP), "{command}");
    }
    for command in Command::ALL.iter().filter(|c| **c != Command::DeviceReset) {
        assert_eq!(s.raw(*command as u16, &[0, 0, 0], &[]), Err(Errno::INVAL), "{command:?}");
    }
    // More data promised than there are; flags that do not exist; both actions.
    assert_eq!(s.raw(Command::RegionWrite as u16, &access(0, 0, 5).reply(&[0; 4]), &[]), Err(Errno::INVAL));
    for (command, flags) in
        [(Command::DmaMap, 4u32), (Command::DmaUnmap, 1), (Command::DeviceSetIrqs, 0x19), (Command::DeviceSetIrqs, 0x23), (Command::DeviceSetIrqs, 0x61)]
    {
        let body = [[0; 4], flags.to_ne_bytes()].concat().into_iter().chain([0; 24]).collect::<Vec<u8>>();
        assert_eq!(s.raw(command as u16, &body, &[]), Err(Errno::INVAL), "{command:?} {flags:#x}");
    }
    assert_eq!(s.notes(), []);
}

#[test]
fn descriptors_that_do_not_belong_there_are_refused() {
    let fds: Vec<OwnedFd> = (0..3).map(|_| memfd(1)).collect();
    let mut s = served();
    assert_eq!(s.ask(&Request::DeviceReset, &borrowed(&fds[..1])), Err(Errno::INVAL));
    let map = DmaMap { iova: 0, size: 1, offset: 0, readable: true, writable: true };
    assert_eq!(s.ask(&Request::DmaMap(map), &borrowed(&fds[..2])), Err(Errno::INVAL));
    for count in [1, 2, 4] {
        let set = SetIrqs { index: 2, start: 0, count, action: IrqAction::Trigger, data: IrqData::Eventfds };
        assert_eq!(s.ask(&Request::DeviceSetIrqs(set), &borrowed(&fds)), Err(Errno::INVAL), "3 eventfds for {count}");
    }
    assert_eq!(s.notes(), []);
}

#[test]
fn what_the_function_refuses_the_client_is_told() {
    let mut s = Served::negotiated(Notes { refuse: Some(Errno::EXIST), ..Notes::default() });
    let map = DmaMap { iova: 0, size: 1, offset: 0, readable: true, writable: true };
    let set = SetIrqs { index: 2, start: 0, count: 1, action: IrqAction::Trigger, data: IrqData::None };
    let unmap = DmaUnmap { argsz: 24, iova: 0, size: 1, all: false };
    let all =
        [Request::DmaMap(map), Request::DmaUnmap(unmap), Request::DmaUnmap(DmaUnmap { all: true, ..unmap }), Request::DeviceSetIrqs(set), Request::DeviceReset];
    for request in all.iter().chain(&[Request::RegionRead(access(0, 0, 4)), Request::RegionWrite(access(0, 0, 1), &[1])]) {
        assert_eq!(s.ask(request, &[]), Err(Errno::EXIST), "{request:?}");
    }
    assert_eq!(s.notes().len(), 7);
}

#[test]
fn who_wants_no_reply_gets_none_not_even_an_error() {
    let mut s = served();
    let write = |offset| Request::RegionWrite(access(7, offset, 1), &[9]).encode();
    s.send(Command::RegionWrite as u16, &write(0), &[], false);
    s.send(Command::RegionWrite as u16, &write(0x1000), &[], false);
    s.send(99, &[], &[], false);
    assert_eq!(s.ask(&Request::RegionRead(access(7, 0, 1)), &[]), Ok(access(7, 0, 1).reply(&[9])), "the next reply is that to the read");
    assert_eq!(s.notes(), [Note::Write(7, 0, vec![9]), Note::Read(7, 0, 1)]);
}

#[test]
fn several_writes_in_a_message_are_done_up_to_the_first_that_cannot() {
    let write = |offset, count, data| SmallWrite { access: access(7, offset, count), data: [data; 8] };
    let mut s = served();
    let done = s.ask(&Request::RegionWriteMulti(vec![write(0, 8, 1), write(16, 2, 2), write(0xfff, 2, 3), write(32, 1, 4)]), &[]);
    assert_eq!(done, Ok(2u64.to_ne_bytes().to_vec()));
    assert_eq!(s.ask(&Request::RegionWriteMulti(vec![]), &[]), Ok(0u64.to_ne_bytes().to_vec()));
    // More than there are, and one of 9 bytes.
    for body in [[2u64.to_ne_bytes().as_slice(), &[0; 24]].concat(), [1u64.to_ne_bytes().as_slice(), &[0; 12], &9u32.to_ne_bytes(), &[0; 8]].concat()] {
        assert_eq!(s.raw(Command::RegionWriteMulti as u16, &body, &[]), Err(Errno::INVAL));
    }
    assert_eq!(s.notes(), [Note::Write(7, 0, vec![1; 8]), Note::Write(7, 16, vec![2; 2])]);
}

#[test]
fn a_region_that_can_be_mapped_comes_with_its_descriptor_and_its_areas_if_there_is_room() {
    let mut s = served();
    for (room, areas) in [(32, vec![]), (79, vec![]), (80, vec![Area { offset: 0x1000, size: 0x1000 }, Area { offset: 0x3000, size: 0x1000 }])] {
        s.send(Command::DeviceGetRegionInfo as u16, &Request::DeviceGetRegionInfo { argsz: room, index: 0 }.encode(), &[], true);
        let message = receive(&s.stream, None, std::time::Duration::from_secs(20)).unwrap().unwrap();
        let (info, needed) = RegionInfo::decode(&message.body).unwrap();
        assert!(message.body.len() <= room as usize && needed == 80 && message.fds.len() == 1);
        assert_eq!(info, RegionInfo { index: 0, readable: true, writable: true, mappable: true, size: 0x4000, offset: 0x1000, areas });
        assert_eq!(rustix::fs::fstat(message.fds[0].as_fd()).unwrap().st_size, 0x5000);
    }
    let none = s.ask(&Request::DeviceGetRegionInfo { argsz: 32, index: 1 }, &[]).unwrap();
    assert_eq!(
        RegionInfo::decode(&none).unwrap().0,
        RegionInfo { index: 1, readable: false, writable: false, mappable: false, size: 0, offset: 0, areas: vec![] }
    );
}

fn version(major: u16, minor: u16) -> Vec<u8> {
    Version { major, minor, capabilities: Capabilities::default() }.encode()
}

#[test]
fn the_lower_minor_version_counts_and_what_was_not_proposed_is_not_offered() {
    for (theirs, agreed) in [(0, 0), (1, 1), (7, 1)] {
        let mut s = Served::start(Notes::default());
        let reply = Version::decode(&s.raw(1, &version(0, theirs), &[]).unwrap()).unwrap();
        assert_eq!((reply.major, reply.minor, reply.capabilities.write_multiple), (0, agreed, false));
        assert_eq!((reply.capabilities.max_msg_fds, reply.capabilities.max_data_xfer_size), (16, 1 << 20));
        assert_eq!(s.notes(), []);
    }
}

#[test]
fn who_does_not_begin_with_a_version_is_told_and_dropped() {
    let no_json = [version(0, 1), b"}".to_vec()].concat();
    let first: [(u16, &[u8], &str); 5] = [
        (Command::DeviceReset as u16, &[], "the first message is DeviceReset"),
        (1, &version(1, 0), "version 1.0: expected 0.x"),
        (1, &no_json, "expected a NUL"),
        (1, &[0, 0], "at least 4 bytes, found 2"),
        (77, &[], "command 77 is not known"),
    ];
    for (command, body, why) in first {
        let mut s = Served::start(Notes::default());
        let refused = s.raw(command, body, &[]);
        assert_eq!(refused, Err(Errno::INVAL));
        let (backend, ended) = s.end();
        let reason = match ended.unwrap() {
            Ended::Refused(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert!(backend.notes.is_empty() && reason.contains(why), "{reason}");
    }
}

#[test]
fn a_size_that_cannot_be_is_told_and_ends_it() {
    for size in [0u32, 15, u32::MAX] {
        let mut s = served();
        let header = Header { size, ..Header::command(5, Command::DmaMap, 0, true) };
        s.stream.write_all(&header.encode()).unwrap();
        let mut reply = [0; 16];
        s.stream.read_exact(&mut reply).unwrap();
        assert_eq!(Header::decode(&reply).errno(), Some(Errno::MSGSIZE));
        assert_eq!(s.stream.read(&mut reply).unwrap(), 0, "then it hangs up");
        assert!(matches!(s.end().1, Err(SocketError::Size(_))));
    }
}

#[test]
fn replies_and_types_that_do_not_exist_are_passed_over() {
    let mut s = served();
    for flags in [1, 2, 0xf, 0x21] {
        s.stream.write_all(&Header { flags, ..Header::command(5, Command::DeviceReset, 0, true) }.encode()).unwrap();
    }
    assert_eq!(s.ask(&Request::DeviceReset, &[]), NOTHING);
    assert_eq!(s.notes(), [Note::Reset]);
}

#[test]
fn a_client_that_dies_in_mid_message_ends_it_and_what_it_sent_is_closed() {
    let mut s = served();
    let body = Request::DmaMap(DmaMap { iova: 0, size: 1, offset: 0, readable: true, writable: true }).encode();
    let header = Header::command(9, Command::DmaMap, body.len(), true);
    s.stream.write_all(&[header.encode().as_slice(), &body[..20]].concat()).unwrap();
    let (backend, ended) = s.end();
    assert!(matches!(ended, Err(SocketError::Truncated { expected: 32, found: 20 })), "{ended:?}");
    assert!(backend.notes.is_empty());
}
