//! A stream whose data the test takes.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

use super::byte_queue::ByteQueue;
use super::conflict::Conflict;
use super::handles::Handles;
use super::hooks::{AsyncHook, CloseHook};
use crate::kernel::checkpoint::checkpoint;
use crate::kernel::reactor::ClosedResourceError;
use crate::stream::{AsyncResource, SendProgress, SendStream};

/// A stream that keeps what is sent, for the test to take: Trio's `MemorySendStream`.
///
/// It never makes the sender wait, unless a hook does. A clone is another handle to the same stream: give one to the
/// code that is tested, and keep one. It is closed by [`close`](Self::close) and
/// [`aclose`](AsyncResource::aclose), through any handle, and when the last handle is dropped.
///
/// Through two handles, two tasks can use the stream at once. That is a mistake, and it is found: each operation yields
/// to the other tasks twice before it does anything.
///
/// # Examples
///
/// ```
/// use trio::SendStream;
/// use trio::testing::MemorySendStream;
/// async fn greet(mut stream: impl SendStream) -> std::io::Result<()> {
///     stream.send_all(b"hello").await
/// }
/// trio::run(async {
///     let stream = MemorySendStream::new();
///     greet(stream.clone()).await.unwrap();
///     assert_eq!(stream.get_data_nowait(None).unwrap(), b"hello");
/// });
/// ```
pub struct MemorySendStream {
    shared: Rc<Shared>,
}

/// What all handles share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) outgoing: ByteQueue,
    conflict: Conflict,
    handles: Handles,
    send_all_hook: RefCell<Option<AsyncHook<MemorySendStream>>>,
    wait_hook: RefCell<Option<AsyncHook<MemorySendStream>>>,
    close_hook: RefCell<Option<CloseHook<MemorySendStream>>>,
}

impl MemorySendStream {
    /// An open stream that nothing has been sent on, without hooks.
    pub fn new() -> Self {
        Self { shared: Rc::default() }
    }

    pub(super) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Sets what [`send_all`](Self::send_all) calls at its end, when the data can be taken; gives what it called so far.
    ///
    /// A hook that keeps a handle to this very stream keeps it from being closed by a drop: it needs none, as it is
    /// given one.
    pub fn set_send_all_hook(&self, hook: Option<AsyncHook<Self>>) -> Option<AsyncHook<Self>> {
        self.shared.send_all_hook.replace(hook)
    }

    /// Sets what [`wait_send_all_might_not_block`](Self::wait_send_all_might_not_block) calls at its end; gives what it
    /// called so far.
    pub fn set_wait_send_all_might_not_block_hook(&self, hook: Option<AsyncHook<Self>>) -> Option<AsyncHook<Self>> {
        self.shared.wait_hook.replace(hook)
    }

    /// Sets what is called each time the stream is closed; gives what was called so far.
    pub fn set_close_hook(&self, hook: Option<CloseHook<Self>>) -> Option<CloseHook<Self>> {
        self.shared.close_hook.replace(hook)
    }

    /// Keeps the data for the test, then calls the hook.
    ///
    /// A checkpoint. Cancelled before the hook is called, it has sent nothing; afterwards, everything.
    ///
    /// # Errors
    ///
    /// [`BusyResourceError`](crate::BusyResourceError) (inside the `io::Error`) if another task is in this or in
    /// [`wait_send_all_might_not_block`](Self::wait_send_all_might_not_block);
    /// [`ClosedResourceError`] if the stream is closed; the hook's.
    pub async fn send_all(&self, data: &[u8]) -> io::Result<()> {
        self.send(data, &mut SendProgress::new()).await
    }

    async fn send(&self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        let _inside = self.shared.conflict.enter()?;
        twice_a_checkpoint().await;
        self.shared.outgoing.put(data)?;
        progress.add(data.len());
        self.call_hook(&self.shared.send_all_hook).await
    }

    /// Calls the hook, and nothing else: this stream never makes a sender wait.
    ///
    /// A checkpoint. Cancelling it cancels the hook.
    ///
    /// # Errors
    ///
    /// As [`send_all`](Self::send_all).
    pub async fn wait_send_all_might_not_block(&self) -> io::Result<()> {
        let _inside = self.shared.conflict.enter()?;
        twice_a_checkpoint().await;
        if self.shared.outgoing.is_closed() {
            return Err(io::Error::other(ClosedResourceError));
        }
        self.call_hook(&self.shared.wait_hook).await
    }

    async fn call_hook(&self, hook: &RefCell<Option<AsyncHook<Self>>>) -> io::Result<()> {
        let hook = hook.borrow().clone();
        match hook {
            Some(hook) => hook.call(self.clone()).await,
            None => Ok(()),
        }
    }

    /// Closes the stream, and calls the hook. Doing it again calls the hook again. What was sent can still be taken.
    ///
    /// Not a checkpoint.
    pub fn close(&self) {
        self.shared.outgoing.close();
        let hook = self.shared.close_hook.borrow().clone();
        if let Some(hook) = hook {
            hook.call(self);
        }
    }

    /// Takes what was sent, at most `max_bytes` of it, and waits until there is some. Nothing means that the stream is
    /// closed and all has been taken.
    ///
    /// A checkpoint. Cancelled or dropped, it has taken nothing.
    ///
    /// # Errors
    ///
    /// [`BusyResourceError`](crate::BusyResourceError) (inside the `io::Error`) if another task waits in this;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `max_bytes` is zero.
    pub async fn get_data(&self, max_bytes: Option<usize>) -> io::Result<Vec<u8>> {
        self.shared.outgoing.get(max_bytes).await
    }

    /// As [`get_data`](Self::get_data), but does not wait. Not a checkpoint.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to take now; and those of `get_data`.
    pub fn get_data_nowait(&self, max_bytes: Option<usize>) -> io::Result<Vec<u8>> {
        self.shared.outgoing.get_nowait(max_bytes)
    }
}

/// Gives another task that uses the same stream every chance to be there at the same time.
pub(super) async fn twice_a_checkpoint() {
    checkpoint().await;
    checkpoint().await;
}

impl Default for MemorySendStream {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemorySendStream {
    fn clone(&self) -> Self {
        self.shared.handles.add();
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl Drop for MemorySendStream {
    fn drop(&mut self) {
        // Counted again while it is closed, so that the handles which a hook makes meanwhile are not the last.
        if self.shared.handles.remove() && !self.shared.outgoing.is_closed() {
            self.shared.handles.add();
            self.close();
            self.shared.handles.remove();
        }
    }
}

impl fmt::Debug for MemorySendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outgoing = &self.shared.outgoing;
        f.debug_struct("MemorySendStream")
            .field("sent", &outgoing.len())
            .field("closed", &outgoing.is_closed())
            .finish_non_exhaustive()
    }
}

impl AsyncResource for MemorySendStream {
    async fn aclose(&mut self) -> io::Result<()> {
        self.close();
        checkpoint().await;
        Ok(())
    }
}

impl SendStream for MemorySendStream {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        Self::send_all(self, data).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.send(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        Self::wait_send_all_might_not_block(self).await
    }
}
