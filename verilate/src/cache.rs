//! Directories below cargo's target directory that are made once, whoever comes first.

use crate::error::Error;
use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Cargo's target directory: of the build script or the test that runs.
pub(crate) fn target() -> Result<PathBuf, Error> {
    if let Some(dir) = env::var_os("CARGO_TARGET_DIR") {
        return std::path::absolute(&dir).map_err(Error::file(dir));
    }
    let start = match env::var_os("OUT_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => env::current_exe().map_err(Error::file("the running program"))?,
    };
    let found = start.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    found.map(Path::to_path_buf).ok_or_else(|| Error::NoTarget(start.display().to_string()))
}

/// A name for everything something is made of.
pub(crate) fn key(parts: &[&str]) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, parts).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

/// The directory `target/<kind>/<name>`, filled by `fill` if it is not there yet. Processes that want the same
/// one wait for the first; a directory is either whole or not there.
pub(crate) fn directory(kind: &str, name: &str, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<PathBuf, Error> {
    let parent = target()?.join(kind);
    let done = parent.join(name);
    if done.exists() {
        return Ok(done);
    }
    fs::create_dir_all(&parent).map_err(Error::file(&parent))?;
    let lock_path = parent.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(Error::file(&lock_path))?;
    lock.lock().map_err(Error::file(&lock_path))?;
    if !done.exists() {
        let work = tempfile::Builder::new().prefix(name).tempdir_in(&parent).map_err(Error::file(&parent))?;
        fill(work.path())?;
        // The directory is kept under its final name.
        let work = work.keep();
        fs::rename(&work, &done).map_err(Error::file(&done))?;
    }
    Ok(done)
}
