//! What the crate below does not ask the kernel, or swallows the answer of: bus addresses that may be mapped, and resets.

use core::ops::RangeInclusive;
use std::io;
use std::os::fd::AsRawFd;
use vfio_bindings::bindings::vfio::{
    vfio_device_info, VFIO_BASE, VFIO_DEVICE_FLAGS_RESET, VFIO_IOMMU_INFO_CAPS, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, VFIO_TYPE,
};
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ptr, ioctl_with_mut_ref};
use vmm_sys_util::ioctl_io_nr;

ioctl_io_nr!(VFIO_DEVICE_GET_INFO, VFIO_TYPE.into(), VFIO_BASE + 7);
ioctl_io_nr!(VFIO_DEVICE_RESET, VFIO_TYPE.into(), VFIO_BASE + 11);
ioctl_io_nr!(VFIO_IOMMU_GET_INFO, VFIO_TYPE.into(), VFIO_BASE + 12);

/// `struct vfio_iommu_type1_info`: argsz, flags, page sizes (64 bits), offset of the first capability, padding.
const HEADER: usize = 24;
/// The most that is taken for an answer: thousands of ranges.
const LONGEST: usize = 64 << 10;

/// Resets a function by whatever way the kernel has (FLR, power management, bus).
///
/// # Errors
/// It has none, or the device does not come back.
pub(super) fn reset(device: &impl AsRawFd) -> io::Result<()> {
    let mut info = vfio_device_info { argsz: u32::try_from(size_of::<vfio_device_info>()).unwrap_or(u32::MAX), ..Default::default() };
    // SAFETY: the kernel writes no more than `argsz` bytes of the structure.
    done(unsafe { ioctl_with_mut_ref(device, VFIO_DEVICE_GET_INFO(), &mut info) })?;
    if info.flags & VFIO_DEVICE_FLAGS_RESET == 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel knows no way to reset this function: it has no FLR, and others share its bus"));
    }
    // SAFETY: the call takes no argument.
    done(unsafe { ioctl(device, VFIO_DEVICE_RESET()) })
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The bus addresses that the IOMMU of a container can map, if the kernel tells (since Linux 5.4).
pub(super) fn iova_ranges(container: &impl AsRawFd) -> io::Result<Option<Vec<RangeInclusive<u64>>>> {
    let mut bytes = HEADER;
    // The kernel says how much it has to say; once asked with so much room, it says it.
    for _ in 0..3 {
        let mut answer = vec![0u32; bytes.div_ceil(4)];
        answer[0] = u32::try_from(4 * answer.len()).unwrap_or(u32::MAX);
        // SAFETY: `argsz`, the first field, says how many bytes the kernel may write, and there are so many.
        done(unsafe { ioctl_with_mut_ptr(container, VFIO_IOMMU_GET_INFO(), answer.as_mut_ptr()) })?;
        let answer: Vec<u8> = answer.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let wanted = usize::try_from(word(&answer, 0).unwrap_or(0)).unwrap_or(0);
        if wanted <= answer.len() {
            return Ok(parse(&answer));
        }
        bytes = wanted.min(LONGEST);
    }
    Ok(None)
}

/// The same of an address space of iommufd, to which a device has been attached.
#[cfg(feature = "iommufd")]
pub(super) fn iommufd_ranges(iommufd: &impl AsRawFd, space: u32) -> io::Result<Vec<RangeInclusive<u64>>> {
    use iommufd_bindings::iommufd::{iommu_ioas_iova_ranges, iommu_iova_range, IOMMUFD_CMD_IOAS_IOVA_RANGES, IOMMUFD_TYPE};
    ioctl_io_nr!(IOMMU_IOAS_IOVA_RANGES, IOMMUFD_TYPE.into(), IOMMUFD_CMD_IOAS_IOVA_RANGES);
    let mut found = vec![iommu_iova_range::default(); LONGEST / size_of::<iommu_iova_range>()];
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut question = iommu_ioas_iova_ranges {
        size: small(size_of::<iommu_ioas_iova_ranges>()),
        ioas_id: space,
        num_iovas: small(found.len()),
        allowed_iovas: found.as_mut_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the kernel writes no more than `size` bytes of the structure, and `num_iovas` ranges where `allowed_iovas` points, for which there is room.
    done(unsafe { ioctl_with_mut_ref(iommufd, IOMMU_IOAS_IOVA_RANGES(), &mut question) })?;
    found.truncate(question.num_iovas as usize);
    Ok(found.into_iter().map(|range| range.start..=range.last).collect())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// The ranges in the kernel's answer: the capability "IOVA range" in the chain that begins where the header says.
fn parse(answer: &[u8]) -> Option<Vec<RangeInclusive<u64>>> {
    if word(answer, 4)? & VFIO_IOMMU_INFO_CAPS == 0 {
        return None;
    }
    let mut at = usize::try_from(word(answer, 16)?).ok()?;
    // No more capabilities than there is room for: a chain that bites its tail ends.
    for _ in 0..answer.len() / 8 {
        if at == 0 {
            return None;
        }
        // Capability header: id (16 bits), version (16 bits), offset of the next.
        if word(answer, at)? & 0xffff == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE {
            let count = usize::try_from(word(answer, at + 8)?).ok()?;
            let range = |k: usize| Some(long(answer, at + 16 + 16 * k)?..=long(answer, at + 24 + 16 * k)?);
            return (0..count.min(answer.len() / 16 + 1)).map(range).collect();
        }
        at = usize::try_from(word(answer, at + 4)?).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with a migration capability (id 2) before the ranges (id 1).
    fn answer(ranges: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = u32::try_from(ranges.len()).unwrap();
        let size = 24 + 32 + 16 + 16 * count;
        for word in [size, 0b11, 0x1000, 0, 24, 0, /* id 2, version 1 */ 0x0001_0002, 56, 0, 0, 0, 0, 0, 0, 0x0001_0001, 0, count, 0] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        for (start, end) in ranges {
            bytes.extend_from_slice(&start.to_ne_bytes());
            bytes.extend_from_slice(&end.to_ne_bytes());
        }
        bytes
    }

    /// What a machine with VT-d says: everything but the interrupt window.
    #[test]
    fn ranges_are_read_from_the_chain() {
        let ranges = [(0, 0xfedf_ffff), (0xfef0_0000, 0xffff_ffff_ffff)];
        assert_eq!(parse(&answer(&ranges)).unwrap(), [0..=0xfedf_ffff, 0xfef0_0000..=0xffff_ffff_ffff]);
        assert_eq!(parse(&answer(&[])).unwrap(), []);
    }

    /// Answers without the capability, cut off anywhere, and with a chain that bites its tail give none, and no panic.
    #[test]
    fn other_answers_give_none() {
        let whole = answer(&[(0, 0xffff)]);
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "cut to {cut} bytes");
        }
        let change = |at: usize, value: u32| {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            parse(&bytes)
        };
        assert_eq!(change(4, 0b01), None, "no capabilities");
        assert_eq!(change(16, 0), None, "an empty chain");
        assert_eq!(change(28, 24), None, "a chain that bites its tail");
        assert_eq!(change(28, u32::MAX), None, "a chain that leads outside");
        assert_eq!(change(64, u32::MAX), None, "more ranges than there is room for");
    }

    /// A file that is no container and no device gives the system's error.
    #[test]
    fn other_files_are_errors() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(iova_ranges(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(reset(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
