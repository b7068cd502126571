//! Binding and checks on made-up trees: what each situation says, and which command it names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use toe_driver::sysfs::{Finding, Sysfs, SysfsError};

const NIC: &str = "0000:01:00.0";
const SISTER: &str = "0000:01:00.1";

/// A tree with the NIC, unbound, in IOMMU group 7, and vfio-pci loaded.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        for file in ["sys/bus/pci/drivers_probe", "sys/bus/pci/drivers/vfio-pci/unbind", "dev/vfio/vfio", "dev/vfio/7"] {
            tree.write(file, "");
        }
        tree.write("proc/cmdline", "quiet");
        tree.write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "64\n");
        tree.function(NIC, "0x1234", "0x70e1", Some(7));
        tree
    }
    fn root(&self) -> &Path {
        self.0.path()
    }
    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }
    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }
    fn function(&self, bdf: &str, vendor: &str, device: &str, group: Option<u32>) {
        let folder = format!("sys/bus/pci/devices/{bdf}");
        self.write(&format!("{folder}/vendor"), &format!("{vendor}\n"));
        self.write(&format!("{folder}/device"), &format!("{device}\n"));
        self.write(&format!("{folder}/driver_override"), "(null)\n");
        if let Some(group) = group {
            let members = format!("sys/kernel/iommu_groups/{group}/devices");
            fs::create_dir_all(self.at(&members)).unwrap();
            symlink(format!("../../../../{folder}"), self.at(&members).join(bdf)).unwrap();
            symlink(format!("../../../../kernel/iommu_groups/{group}"), self.at(&folder).join("iommu_group")).unwrap();
        }
    }
    fn driver(&self, bdf: &str, driver: &str) {
        self.write(&format!("sys/bus/pci/drivers/{driver}/unbind"), "");
        symlink(format!("../../drivers/{driver}"), self.at(&format!("sys/bus/pci/devices/{bdf}/driver"))).unwrap();
    }
    fn sysfs(&self) -> Sysfs {
        Sysfs::below(self.root(), Duration::from_millis(300))
    }

    /// Runs `act` while a thread does what the kernel does: it takes a function away from its driver when told to, and gives it to the one in
    /// `driver_override` when asked to look again.
    fn with_kernel<T>(&self, act: impl FnOnce(&Sysfs) -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let kernel = scope.spawn(|| {
                let until = Instant::now() + Duration::from_secs(20);
                while !done.load(Ordering::Acquire) && Instant::now() < until {
                    self.kernel_step();
                    thread::sleep(Duration::from_millis(1));
                }
            });
            let result = act(&Sysfs::below(self.root(), Duration::from_secs(10)));
            done.store(true, Ordering::Release);
            kernel.join().unwrap();
            result
        })
    }
    fn kernel_step(&self) {
        for driver in fs::read_dir(self.at("sys/bus/pci/drivers")).unwrap() {
            let unbind = driver.unwrap().path().join("unbind");
            let bdf = fs::read_to_string(&unbind).unwrap();
            if bdf.len() == NIC.len() {
                fs::write(&unbind, "").unwrap();
                fs::remove_file(self.at(&format!("sys/bus/pci/devices/{bdf}/driver"))).unwrap();
            }
        }
        let bdf = self.read("sys/bus/pci/drivers_probe");
        let link = self.at(&format!("sys/bus/pci/devices/{bdf}/driver"));
        if bdf.len() == NIC.len() && !link.exists() {
            let wanted = self.read(&format!("sys/bus/pci/devices/{bdf}/driver_override"));
            if wanted.trim() == "vfio-pci" {
                fs::write(self.at("sys/bus/pci/drivers_probe"), "").unwrap();
                symlink("../../drivers/vfio-pci", link).unwrap();
            }
        }
    }
}

/// The error's text holds each of these.
fn says<T: std::fmt::Debug>(result: Result<T, SysfsError>, parts: &[&str]) {
    let text = result.expect_err("this must fail").to_string();
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in: {text}");
    }
}

#[test]
fn our_nic_is_found_among_the_functions() {
    let tree = Tree::new();
    tree.function(SISTER, "0x8086", "0x1572", Some(7));
    let all = tree.sysfs().functions().unwrap();
    assert_eq!(all.iter().map(|f| (f.bdf.as_str(), f.is_ours(), f.group)).collect::<Vec<_>>(), [(NIC, true, Some(7)), (SISTER, false, Some(7))]);
    assert!(Sysfs::below(tree.root().join("nowhere"), Duration::ZERO).functions().unwrap().is_empty());
}

#[test]
fn binds_and_unbinds() {
    let tree = Tree::new();
    assert!(tree.with_kernel(|s| s.bind("01:00.0", "vfio-pci", false)).unwrap());
    assert_eq!(tree.sysfs().function(NIC).unwrap().driver.as_deref(), Some("vfio-pci"));
    assert!(!tree.sysfs().bind(NIC, "vfio-pci", false).unwrap(), "bound already");
    assert_eq!(tree.with_kernel(|s| s.unbind(NIC)).unwrap().as_deref(), Some("vfio-pci"));
    assert_eq!(tree.sysfs().function(NIC).unwrap().driver, None);
    assert_eq!(tree.read(&format!("sys/bus/pci/devices/{NIC}/driver_override")).lines().next(), Some(""), "any driver may have it again");
}

#[test]
fn a_function_of_another_driver_is_taken_away_from_it_only_if_asked() {
    let tree = Tree::new();
    tree.function("0000:02:00.0", "0x8086", "0x1572", Some(8));
    tree.driver("0000:02:00.0", "i40e");
    says(tree.sysfs().bind("0000:02:00.0", "vfio-pci", false), &["is 8086:1572, expected 1234:70e1", "toe bind --any 0000:02:00.0"]);
    assert!(tree.with_kernel(|s| s.bind("0000:02:00.0", "vfio-pci", true)).unwrap());
}

#[test]
fn addresses_are_checked() {
    let tree = Tree::new();
    for wrong in ["", "1:0.0", "../../../etc", "0000:01:00.00", "0000.01:00:0"] {
        says(tree.sysfs().bind(wrong, "vfio-pci", false), &["expected in the form 0000:01:00.0"]);
    }
    says(tree.sysfs().bind("0000:09:00.0", "vfio-pci", false), &["no PCI function 0000:09:00.0", "toe devices --all", "echo 1 > /sys/bus/pci/rescan"]);
}

#[test]
fn without_an_iommu_it_says_what_switches_it_on() {
    let tree = Tree::new();
    tree.function(SISTER, "0x1234", "0x70e1", None);
    let bind = || tree.sysfs().bind(SISTER, "vfio-pci", false);
    says(bind(), &["no IOMMU group", "VT-d", "intel_iommu=on", "update-grub"]);
    tree.write("proc/cpuinfo", "vendor_id\t: AuthenticAMD\n");
    says(bind(), &["AMD-Vi", "amd_iommu=force_enable", "update-grub"]);
    tree.write("proc/cpuinfo", "vendor_id\t: GenuineIntel\n");
    tree.write("proc/cmdline", "quiet intel_iommu=on");
    says(bind(), &["intel_iommu=on is given", "firmware", "dmesg | grep -e DMAR"]);
    tree.write("sys/class/iommu/dmar0/version", "1");
    says(bind(), &["another slot"]);
    says(tree.sysfs().openable(SISTER), &["no IOMMU group"]);
}

#[test]
fn a_group_with_others_in_it_is_not_viable() {
    let tree = Tree::new();
    tree.function("0000:00:01.0", "0x8086", "0x1901", Some(7));
    tree.driver("0000:00:01.0", "pcieport");
    tree.function("0000:01:00.2", "0x1234", "0x0001", Some(7));
    tree.driver(NIC, "vfio-pci");
    assert_eq!(tree.sysfs().openable(NIC).unwrap(), 7, "ports, and functions with no driver, stand in nobody's way");
    tree.function(SISTER, "0x8086", "0x1572", Some(7));
    tree.driver(SISTER, "snd_hda_intel");
    says(
        tree.sysfs().openable(NIC),
        &["group 7", "not viable", "0000:01:00.1 (driver snd_hda_intel)", "echo 0000:01:00.1 > /sys/bus/pci/devices/0000:01:00.1/driver/unbind"],
    );
}

#[test]
fn missing_modules_are_named() {
    let tree = Tree::new();
    fs::remove_dir_all(tree.at("sys/bus/pci/drivers/vfio-pci")).unwrap();
    says(tree.sysfs().bind(NIC, "vfio-pci", false), &["modprobe vfio-pci"]);
    tree.driver(NIC, "vfio-pci");
    fs::remove_file(tree.at("dev/vfio/vfio")).unwrap();
    says(tree.sysfs().openable(NIC), &["modprobe vfio_iommu_type1"]);
}

#[test]
fn iommufd_needs_no_group_but_a_kernel_that_has_it() {
    let tree = Tree::new();
    says(tree.sysfs().openable_by_iommufd(NIC), &["found no driver", "toe bind 0000:01:00.0"]);
    tree.driver(NIC, "vfio-pci");
    fs::remove_file(tree.at("dev/vfio/vfio")).unwrap();
    says(tree.sysfs().openable_by_iommufd(NIC), &["no iommufd", "CONFIG_VFIO_DEVICE_CDEV", "vfio:0000:01:00.0"]);
    tree.write("dev/iommu", "");
    tree.sysfs().openable_by_iommufd(NIC).unwrap();
}

#[test]
fn not_bound_to_vfio_says_bind() {
    let tree = Tree::new();
    says(tree.sysfs().openable(NIC), &["found no driver", "toe bind 0000:01:00.0"]);
    tree.driver(NIC, "e1000e");
    says(tree.sysfs().openable(NIC), &["found e1000e", "toe bind 0000:01:00.0"]);
}

#[test]
fn who_has_it_open_is_named_and_not_waited_for() {
    let tree = Tree::new();
    tree.driver(NIC, "vfio-pci");
    tree.write(&format!("sys/bus/pci/devices/{NIC}/vfio-dev/vfio3/dev"), "");
    for (pid, file) in [(41, "/dev/null"), (42, "/dev/vfio/7"), (43, "/dev/vfio/70"), (44, "/dev/vfio/devices/vfio3")] {
        tree.write(&format!("proc/{pid}/comm"), "toe\n");
        fs::create_dir_all(tree.at(&format!("proc/{pid}/fd"))).unwrap();
        symlink(file, tree.at(&format!("proc/{pid}/fd/9"))).unwrap();
    }
    says(tree.sysfs().unbind(NIC), &["in use by toe (process 42), toe (process 44):", "kill 42 44"]);
    says(tree.sysfs().openable(NIC), &["in use by toe (process 42)"]);
    assert_eq!(tree.read("sys/bus/pci/drivers/vfio-pci/unbind"), "", "the kernel was not asked");
}

#[test]
fn a_kernel_that_does_nothing_is_reported() {
    let tree = Tree::new();
    says(tree.sysfs().bind(NIC, "vfio-pci", false), &["is bound to no driver", "300ms", "expected bound to vfio-pci", "dmesg | tail"]);
    tree.driver(NIC, "vfio-pci");
    says(tree.sysfs().unbind(NIC), &["is bound to vfio-pci", "expected bound to no driver"]);
}

#[test]
fn what_is_missing_in_the_tree_is_an_error_not_a_panic() {
    let tree = Tree::new();
    fs::remove_file(tree.at("sys/bus/pci/drivers_probe")).unwrap();
    says(tree.sysfs().bind(NIC, "vfio-pci", false), &["drivers_probe"]);
    tree.write(&format!("sys/bus/pci/devices/{NIC}/vendor"), "what?");
    says(tree.sysfs().function(NIC), &["vendor", "what?"]);
}

#[test]
fn huge_pages_and_locked_memory_are_looked_at() {
    let tree = Tree::new();
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \nMax locked memory         8388608              8388608              bytes     \n";
    tree.write("proc/self/limits", limits);
    tree.write("proc/self/status", "Name:\ttoe\nCapEff:\t0000000000000000\n");
    assert_eq!(tree.sysfs().findings(8_388_608), []);
    let found = tree.sysfs().findings(8_388_609);
    assert_eq!(found, [Finding::Memlock { limit: 8_388_608, wanted: 8_388_609 }]);
    let text = found[0].to_string();
    assert!(text.contains("8192 KiB") && text.contains("ulimit -l unlimited"), "{text}");
    tree.write("proc/self/status", "Name:\ttoe\nCapEff:\t0000000000004000\n");
    assert_eq!(tree.sysfs().findings(u64::MAX), [], "CAP_IPC_LOCK");
    tree.write("proc/self/status", "CapEff:\t0\n");
    tree.write("proc/self/limits", "Max locked memory         unlimited            unlimited            bytes     \n");
    assert_eq!(tree.sysfs().findings(u64::MAX), []);

    tree.write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n");
    tree.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "16\n");
    let text = tree.sysfs().findings(0)[0].to_string();
    assert!(text.contains("none of 16") && text.contains("echo 80 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"), "{text}");
    fs::remove_dir_all(tree.at("sys/kernel/mm")).unwrap();
    assert_eq!(tree.sysfs().findings(0), [Finding::NoHugePages { total: None }]);
}
