//! What can go wrong with TLS.

use std::error::Error;
use std::fmt;
use std::io;

/// What TLS itself fails with, inside an [`io::Error`]. What the transport fails with comes as it is.
///
/// It is told once, to the operation that met it. The stream is broken from then on: later operations fail with
/// [`BrokenResourceError`](crate::BrokenResourceError).
///
/// # Examples
///
/// ```
/// use std::io;
/// use trio::tls::{TlsError, rustls};
/// fn is_a_matter_of_trust(error: &io::Error) -> bool {
///     matches!(TlsError::of(error), Some(TlsError::Rustls(rustls::Error::InvalidCertificate(_))))
/// }
/// assert!(!is_a_matter_of_trust(&io::ErrorKind::BrokenPipe.into()));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// The other side does not keep to the protocol, or is not whom it should be, or does not want us, or there is
    /// something wrong with the configuration. The `io::Error`'s kind is [`InvalidData`](io::ErrorKind::InvalidData).
    Rustls(rustls::Error),

    /// The transport ended, and the other side has not said that this is the end (with a `close_notify`): somebody may
    /// have cut the connection. The `io::Error`'s kind is [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    Truncated,

    /// [`unwrap`](super::TlsStream::unwrap) found data that was not received yet. The `io::Error`'s kind is
    /// [`InvalidData`](io::ErrorKind::InvalidData).
    UnreceivedData,
}

impl TlsError {
    /// The one that is inside an `io::Error`, if there is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustls(error) => write!(f, "TLS failed: {error}"),
            Self::Truncated => {
                f.write_str("the connection ended without the end of the TLS session: it may have been cut")
            }
            Self::UnreceivedData => {
                f.write_str("the other side sent data that was not received before the TLS session's end")
            }
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Rustls(error) => Some(error),
            Self::Truncated | Self::UnreceivedData => None,
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Rustls(error)
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        let kind = match error {
            TlsError::Truncated => io::ErrorKind::UnexpectedEof,
            TlsError::Rustls(_) | TlsError::UnreceivedData => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// What was asked for is known only after the handshake: Trio's `NeedHandshakeError`.
///
/// See [`do_handshake`](super::TlsStream::do_handshake).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedHandshakeError;

impl fmt::Display for NeedHandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("call do_handshake before asking for this")
    }
}

impl Error for NeedHandshakeError {}

impl From<NeedHandshakeError> for io::Error {
    fn from(error: NeedHandshakeError) -> Self {
        Self::other(error)
    }
}
