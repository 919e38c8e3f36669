//! What those get who use something that is broken.

use std::fmt;

/// Something can't be used any more because of what somebody else did: Trio's `BrokenResourceError`.
///
/// Its text says what is broken, and by whom.
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
    what: Box<str>,
}

impl BrokenResourceError {
    pub(crate) fn new(what: impl Into<Box<str>>) -> Self {
        Self { what: what.into() }
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
