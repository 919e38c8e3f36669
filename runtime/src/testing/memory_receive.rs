//! A stream whose data the test puts.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;

use super::byte_queue::ByteQueue;
use super::conflict::Conflict;
use super::handles::Handles;
use super::hooks::{AsyncHook, CloseHook};
use super::memory_send::twice_a_checkpoint;
use crate::kernel::checkpoint::checkpoint;
use crate::kernel::reactor::ClosedResourceError;
use crate::stream::{AsyncResource, ReceiveStream};

/// A stream that gives what the test has put into it: Trio's `MemoryReceiveStream`.
///
/// A clone is another handle to the same stream: give one to the code that is tested, and keep one. It is closed by
/// [`close`](Self::close) and [`aclose`](AsyncResource::aclose), through any handle, and when the last handle is dropped.
///
/// Through two handles, two tasks can use the stream at once. That is a mistake, and it is found: receiving yields to the
/// other tasks twice before it does anything.
///
/// # Examples
///
/// ```
/// use trio::ReceiveStream;
/// use trio::testing::MemoryReceiveStream;
/// async fn count(mut stream: impl ReceiveStream) -> std::io::Result<usize> {
///     let mut total = 0;
///     loop {
///         match stream.receive_some(&mut [0; 2]).await? {
///             0 => return Ok(total),
///             count => total += count,
///         }
///     }
/// }
/// trio::run(async {
///     let stream = MemoryReceiveStream::new();
///     stream.put_data(b"hello").unwrap();
///     stream.put_eof();
///     assert_eq!(count(stream.clone()).await.unwrap(), 5);
/// });
/// ```
pub struct MemoryReceiveStream {
    shared: Rc<Shared>,
}

/// What all handles share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) incoming: ByteQueue,
    /// By its user; the queue itself is closed at the end of the data, too.
    closed: Cell<bool>,
    conflict: Conflict,
    handles: Handles,
    receive_some_hook: RefCell<Option<AsyncHook<MemoryReceiveStream>>>,
    close_hook: RefCell<Option<CloseHook<MemoryReceiveStream>>>,
}

impl MemoryReceiveStream {
    /// An open stream that has no data yet, without hooks.
    pub fn new() -> Self {
        Self { shared: Rc::default() }
    }

    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Sets what [`receive_some`](Self::receive_some) calls before it looks for data, which the hook may put; gives what
    /// it called so far.
    ///
    /// A hook that keeps a handle to this very stream keeps it from being closed by a drop: it needs none, as it is
    /// given one.
    pub fn set_receive_some_hook(&self, hook: Option<AsyncHook<Self>>) -> Option<AsyncHook<Self>> {
        self.shared.receive_some_hook.replace(hook)
    }

    /// Sets what is called each time the stream is closed; gives what was called so far.
    pub fn set_close_hook(&self, hook: Option<CloseHook<Self>>) -> Option<CloseHook<Self>> {
        self.shared.close_hook.replace(hook)
    }

    /// Calls the hook, then gives what the test has put, as much as there is room for, and waits until there is some.
    ///
    /// A checkpoint. Cancelled or dropped, it has received nothing.
    ///
    /// # Errors
    ///
    /// [`BusyResourceError`](crate::BusyResourceError) (inside the `io::Error`) if another task is in this;
    /// [`ClosedResourceError`] if the stream is closed, or gets closed; [`InvalidInput`](io::ErrorKind::InvalidInput) if
    /// the buffer has no room; the hook's.
    pub async fn receive_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let shared = &*self.shared;
        let _inside = shared.conflict.enter()?;
        if buffer.is_empty() {
            return Err(no_room());
        }
        twice_a_checkpoint().await;
        self.check_open()?;
        let hook = shared.receive_some_hook.borrow().clone();
        if let Some(hook) = hook {
            hook.call(self.clone()).await?;
        }
        let data = shared.incoming.get(Some(buffer.len())).await?;
        self.check_open()?;
        buffer[..data.len()].copy_from_slice(&data);
        Ok(data.len())
    }

    fn check_open(&self) -> io::Result<()> {
        if self.shared.closed.get() { Err(io::Error::other(ClosedResourceError)) } else { Ok(()) }
    }

    /// Closes the stream, and calls the hook. Doing it again calls the hook again. What was not received is lost; a task
    /// that is in [`receive_some`](Self::receive_some) gets [`ClosedResourceError`].
    ///
    /// Not a checkpoint.
    pub fn close(&self) {
        self.shared.closed.set(true);
        self.shared.incoming.close_and_wipe();
        let hook = self.shared.close_hook.borrow().clone();
        if let Some(hook) = hook {
            hook.call(self);
        }
    }

    /// Puts data for the stream to give. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`ClosedResourceError`] (inside the `io::Error`) if the stream is closed, or after [`put_eof`](Self::put_eof).
    pub fn put_data(&self, data: &[u8]) -> io::Result<()> {
        self.shared.incoming.put(data)
    }

    /// Says that no more data will come: after what there is, the stream gives the end. Doing it again changes nothing.
    /// Not a checkpoint.
    pub fn put_eof(&self) {
        self.shared.incoming.close();
    }
}

/// The error for a buffer that can't receive anything.
pub(super) fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a buffer without room can't receive anything")
}

impl Default for MemoryReceiveStream {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemoryReceiveStream {
    fn clone(&self) -> Self {
        self.shared.handles.add();
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl Drop for MemoryReceiveStream {
    fn drop(&mut self) {
        // Counted again while it is closed, so that the handles which a hook makes meanwhile are not the last.
        if self.shared.handles.remove() && !self.shared.closed.get() {
            self.shared.handles.add();
            self.close();
            self.shared.handles.remove();
        }
    }
}

impl fmt::Debug for MemoryReceiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReceiveStream")
            .field("unreceived", &self.shared.incoming.len())
            .field("closed", &self.shared.closed.get())
            .finish_non_exhaustive()
    }
}

impl AsyncResource for MemoryReceiveStream {
    async fn aclose(&mut self) -> io::Result<()> {
        self.close();
        checkpoint().await;
        Ok(())
    }
}

impl ReceiveStream for MemoryReceiveStream {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::receive_some(self, buffer).await
    }
}
