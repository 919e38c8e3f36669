//! The error of a resource that somebody else has broken.

use std::fmt;
use std::io;

/// Something outside has broken the resource that the operation was to use: the other side has closed it, or is gone.
/// Trio's `BrokenResourceError`.
///
/// Streams give it inside an [`io::Error`] whose kind is [`BrokenPipe`](io::ErrorKind::BrokenPipe); those of the
/// operating system, such as [`TcpStream`](crate::net::TcpStream), give the system's own error instead, which has this
/// kind or a related one. See also [`ClosedResourceError`](crate::ClosedResourceError): that one is your own doing.
///
/// # Examples
///
/// ```
/// use std::io::ErrorKind;
/// use trio::{BrokenResourceError, testing::memory_stream_one_way_pair};
/// trio::run(async {
///     let (sender, receiver) = memory_stream_one_way_pair();
///     drop(receiver);
///     let error = sender.send_all(b"is anybody there?").await.unwrap_err();
///     assert_eq!(error.kind(), ErrorKind::BrokenPipe);
///     assert!(error.get_ref().is_some_and(|inner| inner.is::<BrokenResourceError>()));
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenResourceError;

impl BrokenResourceError {
    /// As streams give it.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, self)
    }
}

impl fmt::Display for BrokenResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other side of the resource is gone")
    }
}

impl std::error::Error for BrokenResourceError {}
