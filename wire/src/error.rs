//! Why bytes are not what they claim to be, and why something cannot be put on the wire.

use thiserror::Error;

/// Bytes that are not the header or packet that was expected of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Fewer bytes than the format, or its own length field, asks for.
    #[error("{what}: expected at least {expected} bytes, found {found}")]
    Truncated {
        /// Which format.
        what: &'static str,
        /// Bytes asked for.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// A field has a value that the format forbids, or that is not handled.
    #[error("{what}: {field} is {found}, which is not legal or not supported")]
    Field {
        /// Which format.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// The value found.
        found: u32,
    },
    /// A checksum does not agree with the bytes it covers.
    #[error("{what}: wrong checksum")]
    Checksum {
        /// Which format.
        what: &'static str,
    },
}

/// Something too long for the length field of its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EmitError {
    /// More bytes than the format's length field can say.
    #[error("{what}: at most {max} bytes fit, found {found}")]
    TooLong {
        /// Which format.
        what: &'static str,
        /// Most bytes allowed.
        max: usize,
        /// Bytes found.
        found: usize,
    },
}

/// Splits a fixed-size header off the front.
pub(crate) fn split<'a, const N: usize>(what: &'static str, bytes: &'a [u8]) -> Result<(&'a [u8; N], &'a [u8]), ParseError> {
    bytes.split_first_chunk::<N>().ok_or(ParseError::Truncated { what, expected: N, found: bytes.len() })
}
