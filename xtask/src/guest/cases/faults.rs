//! What goes wrong, and how it ends.

use super::traffic::{curl, small_fetch};
use super::{Scene, SHORT};
use anyhow::{bail, ensure, Context, Result};
use std::fs;
use std::process::{Child, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a client of a dead server may wait for its end.
const END: Duration = Duration::from_secs(60);
/// A device that says nothing new for so long has come to rest.
const QUIET: Duration = Duration::from_millis(500);

pub(super) fn held(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let pid = scene.serve()?;
    let answer = scene.guest.run(&format!("toe unbind {bdf}"), SHORT)?;
    ensure!(answer.status == 1 && answer.text.contains(&format!("kill {pid}")), "toe unbind: status {}: {}", answer.status, answer.text);
    let second = scene.guest.run(&format!("toe get --device vfio:{bdf} --addr 192.0.2.3/24 http://192.0.2.1/"), SHORT)?;
    ensure!(second.status == 1 && second.text.contains(&format!("kill {pid}")), "a second program: status {}: {}", second.status, second.text);
    scene.stop(pid, "TERM")
}

pub(super) fn dma_refused(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let said = scene.guest.ok(&format!("toe probe --device vfio:{bdf}"))?;
    for part in ["STATUS.FAULT", "Received Master Abort is set", "after a reset it works again"] {
        ensure!(said.contains(part), "expected {part:?} in: {said}");
    }
    let log = scene.device.said();
    ensure!(log.contains("DMA fault") && log.contains("no memory is mapped at"), "the device has counted no fault: {log}");
    small_fetch(scene)
}

/// A transfer that is under way: something has come, and not all.
fn begin_transfer(scene: &Scene) -> Result<Child> {
    let (mut curl, file) = curl(scene, "big.bin", &["--no-buffer"]);
    let _ = fs::remove_file(&file);
    let mut child = curl.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("curl could not be started")?;
    let end = Instant::now() + END;
    loop {
        let bytes = fs::metadata(&file).map_or(0, |m| m.len());
        if bytes > 0 {
            ensure!(bytes < 10 << 20, "the transfer was over before it could be disturbed");
            return Ok(child);
        }
        if let Some(status) = child.try_wait()? {
            bail!("curl ended with {status} before anything had come");
        }
        ensure!(Instant::now() < end, "nothing comes within {END:?}");
        sleep(Duration::from_millis(1));
    }
}

/// How a child ends, or that it does not.
fn end_of(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(10));
    }
}

/// The device's faults since it had said `before`, once it has come to rest.
fn faults_since(scene: &Scene, before: usize) -> Result<Vec<String>> {
    let faults = || scene.device.said().lines().skip(before).filter(|l| l.contains("DMA fault")).map(str::to_owned).collect::<Vec<_>>();
    let (mut found, end) = (faults(), Instant::now() + END);
    loop {
        sleep(QUIET);
        let now = faults();
        if now.len() == found.len() {
            return Ok(now);
        }
        found = now;
        ensure!(Instant::now() < end, "the device goes on and on: {found:?}");
    }
}

/// Nothing of the device's reaches memory that has been given back: what it still tried was stopped by the command register.
fn no_dma_after(scene: &Scene, before: usize) -> Result<()> {
    let reached: Vec<_> = faults_since(scene, before)?.into_iter().filter(|l| !l.contains("bus mastering is off")).collect();
    ensure!(reached.is_empty(), "DMA after the process was gone: {reached:?}");
    Ok(())
}

pub(super) fn killed(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let pid = scene.serve()?;
    let before = scene.device.said().lines().count();
    let mut client = begin_transfer(scene)?;
    scene.stop(pid, "KILL")?;
    no_dma_after(scene, before)?;
    let command = scene.guest.ok(&format!("dd if=/sys/bus/pci/devices/{bdf}/config bs=1 skip=4 count=1 2>/dev/null | hexdump -e '1/1 \"%02x\"'"))?;
    let command = u8::from_str_radix(&command, 16).with_context(|| format!("the function's command register: {command:?}"))?;
    ensure!(command & 4 == 0, "bus mastering is still on after the process is gone: command {command:#04x}");
    // What the peer still sends of the old connection meets a stack that does not know it.
    small_fetch(scene)?;
    end_of(&mut client, Duration::ZERO)?;
    Ok(())
}

pub(super) fn function_reset(scene: &mut Scene) -> Result<()> {
    let bdf = scene.bound()?;
    let pid = scene.serve()?;
    let mut client = begin_transfer(scene)?;
    scene.guest.ok(&format!("echo 1 > /sys/bus/pci/devices/{bdf}/reset"))?;
    let said =
        scene.guest.run(&format!("n=0; while kill -0 {pid} 2>/dev/null && [ $n -lt 600 ]; do usleep 100000; n=$((n+1)); done; cat /tmp/serve.log"), 2 * END)?;
    let log = said.text;
    end_of(&mut client, Duration::ZERO)?;
    ensure!(log.contains("error: accept: "), "the stack goes on after the device was reset under it: {log}");
    let told = log.lines().any(|l| l.contains("connection") && l.contains("reset behind the driver's back"));
    ensure!(told, "the connection was not told: {log}");
    small_fetch(scene)
}

pub(super) fn kernel_is_content(scene: &mut Scene) -> Result<()> {
    let complaint = "-e 'BUG:' -e 'WARNING:' -e 'Oops' -e 'DMAR:.*fault' -e 'AER:.*error' -e 'nobody cared' -e 'Call Trace'";
    let said = scene.guest.ok(&format!("dmesg | grep -B 8 -A 40 {complaint}; true"))?;
    ensure!(said.is_empty(), "dmesg: {said}");
    Ok(())
}
