//! What those get who use something that is broken.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// Something can't be used any more because of what somebody else did: Trio's `BrokenResourceError`.
///
/// Its text says what is broken, and by whom. What you have closed yourself gives a
/// [`ClosedResourceError`](crate::ClosedResourceError) instead.
///
/// Streams give it inside an [`io::Error`] whose kind is [`BrokenPipe`](io::ErrorKind::BrokenPipe); those of the
/// operating system, such as [`TcpStream`](crate::net::TcpStream), give the system's own error instead, which has this
/// kind or a related one.
///
/// # Examples
///
/// ```
/// use trio::ParkingLot;
/// trio::run(async {
///     let lot = ParkingLot::new();
///     lot.break_lot();
///     let error = lot.park().await.unwrap_err();
///     assert!(error.to_string().starts_with("Attempted to park in parking lot broken by"));
/// });
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BrokenResourceError {
    what: Cow<'static, str>,
}

impl BrokenResourceError {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into() }
    }

    /// As streams give it.
    pub(crate) fn of_stream() -> io::Error {
        io::Error::new(io::ErrorKind::BrokenPipe, Self::new("the other side of the stream is gone"))
    }
}

impl fmt::Debug for BrokenResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BrokenResourceError").field(&self.what).finish()
    }
}

impl fmt::Display for BrokenResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for BrokenResourceError {}
