//! What can go wrong between Verilog and a model that runs.

use std::path::PathBuf;

/// A design that could not be compiled or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tool is not there and could not be fetched.
    #[error("{missing} is missing. Install it with:\n    {command}")]
    Missing {
        /// Which.
        missing: String,
        /// The line to run.
        command: &'static str,
    },
    /// A tool said no.
    #[error("{tool} failed:\n{output}")]
    Failed {
        /// Which.
        tool: String,
        /// What it printed.
        output: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The compiled model could not be loaded.
    #[error("cannot load the compiled model: {0}")]
    Load(#[from] libloading::Error),
    /// A port that this harness cannot drive.
    #[error("port `{0}` cannot be driven from here")]
    Port(String),
    /// The directory cargo builds in is not known.
    #[error("cannot find cargo's target directory from {0}; set CARGO_TARGET_DIR")]
    NoTarget(String),
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { path, source }
    }
}
