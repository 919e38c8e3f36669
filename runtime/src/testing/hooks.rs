//! What a test makes happen in the middle of a memory stream's operation.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

type BoxFuture = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// Called, and waited for, by an operation of a memory stream, which gives it a handle to that stream. A clone is the
/// same hook.
///
/// It can take what was sent or put what is to be received, wait, or fail; the operation ends when it ends, with its error
/// if it has one. If the operation is cancelled, the hook is.
///
/// # Examples
///
/// A receiver that gets one byte per (virtual) second:
///
/// ```
/// use std::time::Duration;
/// use trio::testing::{AsyncHook, MemorySendStream, MockClock, memory_stream_one_way_pair, memory_stream_pump};
/// use trio::testing::MemoryReceiveStream;
/// let clock = MockClock::new().autojump();
/// trio::Builder::new().clock(clock.clone()).run(async {
///     let (sender, receiver) = memory_stream_one_way_pair();
///     let to = receiver.clone();
///     sender.set_send_all_hook(Some(AsyncHook::new(move |from: MemorySendStream| {
///         let to: MemoryReceiveStream = to.clone();
///         async move {
///             while memory_stream_pump(&from, &to, Some(1))? {
///                 trio::sleep(Duration::from_secs(1)).await;
///             }
///             Ok(())
///         }
///     })));
///     sender.send_all(b"trickle").await.unwrap();
///     assert_eq!(clock.elapsed(), Duration::from_secs(7));
/// });
/// ```
pub struct AsyncHook<S>(Rc<dyn Fn(S) -> BoxFuture>);

impl<S> AsyncHook<S> {
    /// A hook that calls this function and awaits what it gives.
    pub fn new<F, Fut>(hook: F) -> Self
    where
        F: Fn(S) -> Fut + 'static,
        Fut: Future<Output = io::Result<()>> + 'static,
    {
        Self(Rc::new(move |stream| Box::pin(hook(stream))))
    }

    /// Calls it and waits for it.
    pub(super) async fn call(&self, stream: S) -> io::Result<()> {
        (self.0)(stream).await
    }
}

impl<S> Clone for AsyncHook<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S> fmt::Debug for AsyncHook<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncHook(..)")
    }
}

/// Called by a memory stream whenever it is closed, also when that happens again or by a drop. A clone is the same hook.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use trio::testing::{CloseHook, MemorySendStream};
/// let closed = Rc::new(Cell::new(0));
/// let (stream, count) = (MemorySendStream::new(), Rc::clone(&closed));
/// stream.set_close_hook(Some(CloseHook::new(move |_stream| count.set(count.get() + 1))));
/// stream.close();
/// stream.close();
/// assert_eq!(closed.get(), 2);
/// ```
pub struct CloseHook<S>(Rc<dyn Fn(&S)>);

impl<S> CloseHook<S> {
    /// A hook that calls this function.
    pub fn new(hook: impl Fn(&S) + 'static) -> Self {
        Self(Rc::new(hook))
    }

    pub(super) fn call(&self, stream: &S) {
        (self.0)(stream);
    }
}

impl<S> Clone for CloseHook<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S> fmt::Debug for CloseHook<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CloseHook(..)")
    }
}
