//! hyper's buffers, into which something is received.
#![allow(unsafe_code)]

use std::io;
use std::task::{Poll, ready};

use hyper::rt::ReadBufCursor;

/// How much is received at once, at most: so much has to be cleared before, since the buffer may never have been written.
const LIMIT: usize = 64 * 1024;

/// Lets `receive` put something into the buffer: it gives how many bytes it has put at the beginning.
#[inline]
pub(super) fn poll_fill(
    buffer: &mut ReadBufCursor<'_>,
    receive: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    let room = buffer.remaining().min(LIMIT);
    let count = ready!(receive(buffer.initialize_unfilled_to(room)))?;
    assert!(count <= room, "nobody receives more than there is room for");
    // SAFETY: these bytes, and more, have just been initialised.
    unsafe { buffer.advance(count) };
    Poll::Ready(Ok(()))
}
