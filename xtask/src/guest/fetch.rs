//! Debian's QEMU, kernel and busybox, unpacked beside the system: apt with a state of its own, in which nothing is installed.

use crate::run::step;
use anyhow::{bail, Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The release they come from; `vfio-user-pci` is in QEMU from 10.1 on, which its backports have.
const SUITE: &str = "trixie";
const MIRROR: &str = "http://deb.debian.org/debian";
/// Brought by the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Its dependency is the kernel's package of the day.
const KERNEL: &str = "linux-image-cloud-amd64";

/// Where the unpacked things are.
pub(crate) struct System {
    /// Root of QEMU's packages, and of busybox.
    root: PathBuf,
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// Its modules, as `kernel/drivers/...`.
    pub(crate) modules: PathBuf,
    /// Which QEMU and which kernel: the packages' names.
    pub(crate) versions: String,
}

impl System {
    /// busybox, statically linked.
    pub(crate) fn busybox(&self) -> PathBuf {
        self.root.join("usr/bin/busybox")
    }

    /// QEMU, run by the dynamic linker and with the libraries that it came with.
    pub(crate) fn qemu(&self) -> Command {
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu");
        let mut path = libraries.clone().into_os_string();
        path.push(":");
        path.push(libraries.join("pulseaudio"));
        let mut qemu = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        qemu.arg("--library-path").arg(path).arg(self.root.join("usr/bin/qemu-system-x86_64"));
        for data in ["usr/share/qemu", "usr/share/seabios"] {
            qemu.arg("-L").arg(self.root.join(data));
        }
        qemu
    }

    fn find(folder: &Path) -> Result<System> {
        let boot = one_in(&folder.join("kernel/boot"), "vmlinuz-")?;
        let version = boot.file_name().and_then(|n| n.to_str()?.strip_prefix("vmlinuz-")).context("a kernel without a version")?;
        let modules = folder.join("kernel/usr/lib/modules").join(version);
        let packages = fs::read_to_string(folder.join("packages.txt")).context("it has not been fetched whole")?;
        let named = |p: &&str| p.starts_with("qemu-system-x86_") || p.starts_with("linux-image-");
        let versions = packages.lines().filter(named).collect::<Vec<_>>().join(", ");
        let system = System { root: folder.join("system"), kernel: boot, modules, versions };
        match [system.busybox(), system.root.join("usr/bin/qemu-system-x86_64"), system.modules.clone()].iter().find(|p| !p.exists()) {
            Some(missing) => bail!("{} is missing", missing.display()),
            None => Ok(system),
        }
    }
}

fn one_in(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let list = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found = list.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)));
    found.next().with_context(|| format!("no {prefix}* in {}", folder.display()))
}

/// What is there, fetched if it is not: about 75 MB, once.
///
/// # Errors
/// No network, no apt, or no room; says what mends it.
pub(crate) fn ensure(folder: &Path, refresh: bool) -> Result<System> {
    if !refresh {
        if let Ok(system) = System::find(folder) {
            return Ok(system);
        }
    }
    let apt = Apt::new(&folder.join("apt"))?;
    let offline = "is the network there? What has been fetched is kept; a proxy is taken from http_proxy";
    let backports = format!("{SUITE}-backports");
    step(&format!("package lists of Debian {SUITE}"), &mut apt.get(&["update"])).context(offline)?;
    // What an earlier day fetched and is no longer offered must not be unpacked over today's.
    step("forget old packages", &mut apt.get(&["autoclean"]))?;
    let qemu = ["install", "--yes", "--download-only", "--target-release", &backports, "qemu-system-x86"];
    step("QEMU and what it needs, 38 MB", &mut apt.get(&qemu)).context(offline)?;
    let kernel = apt.dependency(KERNEL)?;
    let mut download = apt.get(&["download", &kernel, "busybox-static"]);
    step(&format!("{kernel}, 35 MB, and busybox"), download.current_dir(apt.archives())).context(offline)?;
    unpack(&apt.archives(), folder)?;
    System::find(folder)
}

/// Unpacks every package: the kernel's into `kernel`, the others into `system`.
fn unpack(archives: &Path, folder: &Path) -> Result<()> {
    eprintln!("==> unpack into {}", folder.display());
    let stamp = folder.join("packages.txt");
    for old in ["system", "kernel"] {
        match fs::remove_dir_all(folder.join(old)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).with_context(|| format!("cannot empty {old}")),
            _ => {}
        }
    }
    let list = fs::read_dir(archives).with_context(|| format!("cannot list {}", archives.display()))?;
    let mut packages: Vec<PathBuf> = list.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "deb")).collect();
    packages.sort();
    let name = |p: &Path| p.file_stem().map(|n| n.to_string_lossy().replace("%3a", ":")).unwrap_or_default();
    for package in &packages {
        let to = folder.join(if name(package).starts_with("linux-image-") { "kernel" } else { "system" });
        let status = Command::new("dpkg").arg("-x").arg(package).arg(&to).status().context("dpkg could not be started")?;
        if !status.success() {
            bail!("dpkg -x {} ended with {status}: remove the file and try again", package.display());
        }
    }
    let versions: Vec<String> = packages.iter().map(|p| name(p)).collect();
    fs::write(&stamp, versions.join("\n") + "\n").with_context(|| format!("cannot write {}", stamp.display()))
}

/// apt with lists, cache, sources and an (empty) status of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> Result<Apt> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is missing; it is in Debian's package debian-archive-keyring: apt-get install debian-archive-keyring");
        }
        for part in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(part)).with_context(|| format!("cannot make {}", folder.join(part).display()))?;
        }
        let write = |file: &str, text: String| fs::write(folder.join(file), text).with_context(|| format!("cannot write {file}"));
        let source = |suite: &str| format!("deb [signed-by={KEYRING}] {MIRROR} {suite} main\n");
        write("sources.list", source(SUITE) + &source(&format!("{SUITE}-backports")))?;
        write("status", String::new())?;
        let here = folder.display();
        let mut settings = String::new();
        for nothing in ["Dir::Etc::parts", "Dir::Etc::main", "Dir::Etc::sourceparts", "Dir::Etc::preferences", "Dir::Etc::preferencesparts"] {
            settings += &format!("{nothing} \"/dev/null\";\n");
        }
        settings += &format!("Dir::Etc::sourcelist \"{here}/sources.list\";\nDir::State \"{here}\";\nDir::State::lists \"{here}/lists\";\n");
        settings += &format!("Dir::State::status \"{here}/status\";\nDir::Cache \"{here}\";\nDir::Cache::archives \"{here}/archives\";\n");
        settings += "APT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\nAPT::Install-Recommends \"false\";\nAPT::Sandbox::User \"\";\n";
        settings += "APT::Update::Error-Mode \"any\";\nAcquire::Languages \"none\";\nAcquire::http::Timeout \"30\";\nAcquire::Retries \"3\";\n";
        write("apt.conf", settings)?;
        Ok(Apt { folder: folder.to_owned() })
    }

    fn archives(&self) -> PathBuf {
        self.folder.join("archives")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn get(&self, arguments: &[&str]) -> Command {
        let mut get = self.command("apt-get");
        get.args(["--quiet=2", "--no-install-recommends"]).args(arguments);
        get
    }

    /// The first dependency of a package.
    fn dependency(&self, package: &str) -> Result<String> {
        let output = self.command("apt-cache").args(["depends", package]).output().context("apt-cache could not be started")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text.lines().find_map(|l| l.trim().strip_prefix("Depends: ")).map(str::to_owned);
        found.with_context(|| format!("apt-cache names no dependency of {package}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
