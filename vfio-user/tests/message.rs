//! What is encoded is decoded again, and decoding stands anything.

use proptest::prelude::*;
use toe_vfio_user::message::{
    Access, Area, Capabilities, Command, DecodeError, DeviceInfo, DmaMap, DmaUnmap, Header, IrqAction, IrqData, IrqInfo, RegionInfo, Request, SetIrqs,
    SmallWrite, Version, HEADER_SIZE,
};
use toe_vfio_user::Errno;

fn version() -> impl Strategy<Value = Version> {
    (any::<[u16; 2]>(), any::<[u64; 4]>(), any::<bool>()).prop_map(|([major, minor], [fds, data, maps, pages], write_multiple)| {
        let capabilities = Capabilities { max_msg_fds: fds, max_data_xfer_size: data, max_dma_maps: maps, pgsizes: pages, write_multiple };
        Version { major, minor, capabilities }
    })
}

fn small_write() -> impl Strategy<Value = SmallWrite> {
    (any::<u64>(), any::<u32>(), 0u32..=8, any::<[u8; 8]>())
        .prop_map(|(offset, region, count, data)| SmallWrite { access: Access { offset, region, count }, data })
}

/// A request of every kind.
fn requests(numbers: [u64; 3], words: [u32; 4], flags: [bool; 2], bytes: &[u8], version: Version, writes: Vec<SmallWrite>) -> Vec<Request<'_>> {
    let [iova, size, offset] = numbers;
    let [argsz, index, start, count] = words;
    let access = Access { offset, region: index, count: u32::try_from(bytes.len()).unwrap() };
    let set = |action, data| {
        let count = if matches!(data, IrqData::Bool(_)) { access.count } else { count };
        Request::DeviceSetIrqs(SetIrqs { index, start, count, action, data })
    };
    vec![
        Request::Version(version),
        Request::DmaMap(DmaMap { iova, size, offset, readable: flags[0], writable: flags[1] }),
        Request::DmaUnmap(DmaUnmap { argsz, iova, size, all: flags[0] }),
        Request::DeviceGetInfo { argsz },
        Request::DeviceGetRegionInfo { argsz, index },
        Request::DeviceGetRegionIoFds { argsz, index },
        Request::DeviceGetIrqInfo { argsz, index },
        set(IrqAction::Trigger, IrqData::Eventfds),
        set(IrqAction::Mask, IrqData::None),
        set(IrqAction::Unmask, IrqData::Bool(bytes)),
        Request::RegionRead(Access { count, ..access }),
        Request::RegionWrite(access, bytes),
        Request::DmaRead { iova, count: size },
        Request::DmaWrite { iova, data: bytes },
        Request::DeviceReset,
        Request::RegionWriteMulti(writes),
    ]
}

proptest! {
    #[test]
    fn requests_come_back(
        numbers in any::<[u64; 3]>(), words in any::<[u32; 4]>(), flags in any::<[bool; 2]>(), bytes in proptest::collection::vec(any::<u8>(), 0..50),
        version in version(), writes in proptest::collection::vec(small_write(), 0..5)
    ) {
        let all = requests(numbers, words, flags, &bytes, version, writes);
        let mut commands: Vec<u16> = all.iter().map(|r| r.command() as u16).collect();
        commands.dedup();
        prop_assert_eq!(commands, Command::ALL.iter().map(|c| *c as u16).collect::<Vec<_>>(), "every command is there");
        for request in all {
            let body = request.encode();
            prop_assert_eq!(Request::decode(request.command() as u16, &body), Ok(request.clone()));
            for length in 0..body.len() {
                // A version may come without version data, and with nothing less than all of them.
                let expected_short = !matches!(request, Request::Version(_) | Request::DeviceGetInfo { .. } | Request::DeviceGetRegionInfo { .. } | Request::DeviceGetRegionIoFds { .. } | Request::DeviceGetIrqInfo { .. });
                let decoded = Request::decode(request.command() as u16, &body[..length]);
                prop_assert!(decoded.is_err() || !expected_short, "{length} bytes of {request:?}");
            }
        }
    }

    #[test]
    fn replies_come_back(words in any::<[u32; 3]>(), longs in any::<[u64; 2]>(), f in any::<[bool; 3]>(), areas in proptest::collection::vec(any::<[u64; 2]>(), 0..5)) {
        let device = DeviceInfo { resettable: f[0], pci: f[1], regions: words[0], irqs: words[1] };
        prop_assert_eq!(DeviceInfo::decode(&device.encode()), Ok(device));
        let irq = IrqInfo { index: words[0], count: words[1], eventfd: f[0], maskable: f[1], fixed: f[2] };
        prop_assert_eq!(IrqInfo::decode(&irq.encode()), Ok(irq));
        let areas = areas.into_iter().map(|[offset, size]| Area { offset, size }).collect();
        let region = RegionInfo { index: words[0], readable: f[0], writable: f[1], mappable: f[2], size: longs[0], offset: longs[1], areas };
        let needed = region.argsz();
        prop_assert_eq!(region.encode(needed).len(), needed as usize);
        prop_assert_eq!(RegionInfo::decode(&region.encode(needed)), Ok((region.clone(), needed)));
        // With too little room, all but the areas, and how much room they take.
        prop_assert_eq!(region.encode(needed - 1).len(), 32);
        prop_assert_eq!(RegionInfo::decode(&region.encode(needed - 1)), Ok((RegionInfo { areas: vec![], ..region }, needed)));
    }

    #[test]
    fn any_bytes_decode_to_something_or_an_error(command in 0u16..24, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        match Request::decode(command, &bytes) {
            Ok(request) => prop_assert_eq!(request.command() as u16, command),
            Err(DecodeError::Unknown(found)) => prop_assert_eq!(found, command),
            Err(e) => prop_assert_eq!(e.errno(), Errno::INVAL),
        }
        // Their results are not known; that they come back is what counts.
        let _ = (DeviceInfo::decode(&bytes), RegionInfo::decode(&bytes), IrqInfo::decode(&bytes), Version::decode(&bytes));
    }

    #[test]
    fn headers_come_back(bytes in any::<[u8; HEADER_SIZE]>()) {
        let header = Header::decode(&bytes);
        prop_assert_eq!(header.encode(), bytes);
        if let Some(errno) = header.errno() {
            prop_assert!((1..4096).contains(&errno.raw_os_error()));
        }
        prop_assert_eq!(header.body().is_some(), (16..=16 + (1 << 20) + 4096).contains(&header.size));
    }
}

/// The numbers of the specification, as bytes.
#[test]
fn a_dma_map_is_laid_out_as_the_specification_has_it() {
    let map = DmaMap { iova: 0x1111, size: 0x2222, offset: 0x3333, readable: true, writable: false };
    let expected = [32u32.to_ne_bytes().as_slice(), &1u32.to_ne_bytes(), &0x3333u64.to_ne_bytes(), &0x1111u64.to_ne_bytes(), &0x2222u64.to_ne_bytes()].concat();
    assert_eq!(Request::DmaMap(map).encode(), expected);
}

#[test]
fn capabilities_that_are_not_said_have_the_defaults_of_the_specification() {
    let body = [&[0, 0, 1, 0], br#"{"capabilities": {"max_msg_fds": 8, "twin_socket": {"supported": true}}}"#.as_slice(), &[0]].concat();
    let version = Version::decode(&body).unwrap();
    assert_eq!((version.major, version.minor), (0, u16::from_ne_bytes([1, 0])));
    assert_eq!(version.capabilities, Capabilities { max_msg_fds: 8, max_data_xfer_size: 1 << 20, max_dma_maps: 65535, pgsizes: 4096, write_multiple: false });
    assert_eq!(Version::decode(&[0, 0, 0, 0]).unwrap().capabilities, Capabilities::default());
}

#[test]
fn version_data_may_be_deep() {
    let deep = [vec![0; 4], b"{\"x\":".repeat(100_000), b"0".to_vec(), b"}".repeat(100_000), vec![0]].concat();
    assert_eq!(Version::decode(&deep).unwrap().capabilities, Capabilities::default());
}

#[test]
fn version_data_that_are_none_are_refused() {
    for data in [b"{}".as_slice(), b"\0", b"{\0", b"[1]\0\0", br#"{"capabilities": {"max_msg_fds": -1}}"#, &[0xff, 0], b"{\"capabilities\": 3}\0"] {
        let body = [&[0, 0, 0, 0], data].concat();
        assert!(matches!(Version::decode(&body), Err(DecodeError::Capabilities(_))), "{:?}", &data[..data.len().min(40)]);
    }
}

#[test]
fn capabilities_of_a_region_that_lead_nowhere_are_refused() {
    let region = RegionInfo { index: 0, readable: true, writable: true, mappable: true, size: 1, offset: 0, areas: vec![Area { offset: 0, size: 1 }] };
    let good = region.encode(1000);
    let put = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        RegionInfo::decode(&bytes)
    };
    // Where the first capability is; how many areas there are.
    for bad in [1, 31, 49, 64, u32::MAX] {
        assert!(put(12, bad).is_err(), "capability at {bad}");
    }
    for bad in [2, u32::MAX] {
        assert!(put(40, bad).is_err(), "{bad} areas");
    }
    // A capability of another kind (id 7, version 1) whose successor is itself: the walk must end.
    let mut round = good.clone();
    round[32..34].copy_from_slice(&7u16.to_ne_bytes());
    round[36..40].copy_from_slice(&32u32.to_ne_bytes());
    assert!(RegionInfo::decode(&round).is_err());
}
