//! TCP between the stack in the guest and the host's kernel.

use super::super::host::{sha256, GUEST, HOST, PORT};
use super::{Scene, SHORT};
use anyhow::{ensure, Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// What 10 MiB may take, on a busy machine without KVM.
const LONG: Duration = Duration::from_secs(300);
/// From TIME_WAIT's beginning to its end: twice an MSL of 1 s, on a slow machine.
const TIME_WAIT: Duration = Duration::from_secs(30);

/// `curl` for a file of the guest's server.
pub(super) fn curl(scene: &Scene, file: &str, options: &[&str]) -> (Command, PathBuf) {
    let to = scene.folder.join("answer.bin");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", &LONG.as_secs().to_string(), "--output"]).arg(&to);
    curl.args(options).arg(format!("http://{GUEST}/{file}"));
    (curl, to)
}

/// Fetches the big file from the guest's server and compares the sums.
fn fetch_big(scene: &mut Scene, options: &[&str]) -> Result<()> {
    let expected = scene.guest.ok("sha256sum /srv/big.bin")?;
    let (mut curl, file) = curl(scene, "big.bin", options);
    let output = curl.output().context("curl could not be started")?;
    ensure!(output.status.success(), "curl ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    ensure!(fs::metadata(&file)?.len() == 10 << 20, "expected 10 MiB, found {} bytes", fs::metadata(&file)?.len());
    let found = sha256(&file)?;
    ensure!(expected.starts_with(&found), "SHA-256: expected {expected}, found {found}");
    Ok(())
}

/// Serves a small file once: the way is free.
pub(super) fn small_fetch(scene: &mut Scene) -> Result<()> {
    let pid = scene.serve()?;
    let (mut curl, file) = curl(scene, "small.txt", &[]);
    let output = curl.output().context("curl could not be started")?;
    ensure!(output.status.success(), "curl ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    ensure!(fs::read_to_string(&file)? == "small\n", "the file's content");
    scene.stop(pid, "TERM")
}

pub(super) fn client_closes(scene: &mut Scene) -> Result<()> {
    let pid = scene.serve()?;
    fetch_big(scene, &[])?;
    scene.until("no connection is left", TIME_WAIT, |s| Ok(!s.sockets()?.contains(HOST)))?;
    scene.stop(pid, "TERM")
}

pub(super) fn server_closes(scene: &mut Scene) -> Result<()> {
    let pid = scene.serve()?;
    fetch_big(scene, &["--header", "Connection: close"])?;
    scene.until("TIME_WAIT is seen", TIME_WAIT, |s| Ok(s.sockets()?.contains("TIME_WAIT")))?;
    scene.until("TIME_WAIT ends", TIME_WAIT, |s| Ok(!s.sockets()?.contains("TIME_WAIT")))?;
    scene.stop(pid, "TERM")
}

pub(super) fn fetches(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let expected = sha256(&scene.folder.join("www/big.bin"))?;
    let get = format!("toe get --device vfio:{bdf} --addr {GUEST}/24 --msl 0.1 --output /tmp/got http://{HOST}:{PORT}/big.bin");
    let answer = scene.guest.run(&get, LONG)?;
    ensure!(answer.status == 0, "toe get: status {}: {}", answer.status, answer.text);
    let found = scene.guest.ok("sha256sum /tmp/got; rm /tmp/got")?;
    ensure!(found.starts_with(&expected), "SHA-256: expected {expected}, found {found}");
    Ok(())
}

pub(super) fn interrupts(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let pid = scene.serve()?;
    let count = format!("grep -F 'vfio-msix[0]({bdf})' /proc/interrupts | awk '{{ print $2 }}'");
    let before: u64 = scene.guest.ok(&count)?.parse().context("the kernel's count of interrupts")?;
    fetch_big(scene, &[])?;
    let after: u64 = scene.guest.ok(&count)?.parse().context("the kernel's count of interrupts")?;
    ensure!(after > before, "/proc/interrupts: {before} before 10 MiB, {after} after");
    scene.stop(pid, "TERM")
}

pub(super) fn huge_pages(scene: &mut Scene) -> Result<()> {
    let free = "cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    let before: u32 = scene.guest.ok(free)?.parse()?;
    let pid = scene.serve()?;
    let (mut curl, _) = curl(scene, "small.txt", &[]);
    ensure!(curl.status().context("curl could not be started")?.success(), "curl");
    let during: u32 = scene.guest.ok(free)?.parse()?;
    ensure!(during < before, "free huge pages: {before} before, {during} with the stack running");
    scene.stop(pid, "TERM")?;
    let after: u32 = scene.guest.run(free, SHORT)?.text.parse()?;
    ensure!(after == before, "free huge pages: {before} before, {after} after");
    Ok(())
}

/// Requests that one connection carries, one after the other.
const REQUESTS: u32 = 100;

/// All transports on one machine, so that their figures can be compared, and requests a second to the host's kernel; kept beside the logs.
pub(super) fn costs(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let said = scene.guest.run(&format!("toe bench driver --device vfio:{bdf} --rounds 20 --seconds 0.2 --json /tmp/costs.json"), LONG)?;
    ensure!(said.status == 0, "toe bench driver ended with {}: {}", said.status, said.text);
    for name in ["device_doorbell", "device_register_read", "vfio_user_trapped_doorbell"] {
        ensure!(said.text.contains(name), "no row {name} in: {}", said.text);
    }
    let written = scene.guest.ok("wc -c </tmp/costs.json")?;
    ensure!(written.trim().parse::<u32>().is_ok_and(|bytes| bytes > 100), "the JSON has {written} bytes");
    let mut text = said.text;
    for wait in ["interrupt", "poll", "adaptive"] {
        let pid = scene.serve_with(&format!("--wait {wait}"))?;
        let (mut curl, _) = curl(scene, &format!("small.txt?[1-{REQUESTS}]"), &["--write-out", "%{num_connects} "]);
        let begin = Instant::now();
        let output = curl.output().context("curl could not be started")?;
        let rate = f64::from(REQUESTS) / begin.elapsed().as_secs_f64();
        let connects = String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|n| *n != "0").count();
        ensure!(
            output.status.success() && connects == 1,
            "{REQUESTS} requests took {connects} connections: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        text += &format!("HTTP requests of one connection from the host, --wait {wait}: {rate:.0} requests/s\n");
        scene.stop(pid, "TERM")?;
    }
    fs::write(scene.folder.join("costs.txt"), text).context("costs.txt")
}
