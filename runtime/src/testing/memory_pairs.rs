//! Memory streams that are connected.

use std::io;
use std::rc::Rc;

use super::hooks::{AsyncHook, CloseHook};
use super::memory_receive::{self, MemoryReceiveStream};
use super::memory_send::{self, MemorySendStream};
use crate::stream::StapledStream;
use crate::sync::BrokenResourceError;

/// Moves what was sent on one stream into another, at most `max_bytes` of it, and the end: Trio's `memory_stream_pump`.
/// True if there was something to move.
///
/// For hooks, and for tests that are themselves the network between two streams. Not a checkpoint.
///
/// # Errors
///
/// [`BrokenResourceError`] (inside the `io::Error`) if the receiving stream is closed, or was given its end: the data is
/// lost then. [`BusyResourceError`](crate::BusyResourceError) if a task waits in
/// [`get_data`](MemorySendStream::get_data); [`InvalidInput`](io::ErrorKind::InvalidInput) if `max_bytes` is zero.
///
/// # Examples
///
/// ```
/// use trio::testing::{MemoryReceiveStream, MemorySendStream, memory_stream_pump};
/// trio::run(async {
///     let (from, to) = (MemorySendStream::new(), MemoryReceiveStream::new());
///     from.send_all(b"abc").await?;
///     assert!(memory_stream_pump(&from, &to, Some(1))?);
///     assert_eq!(to.receive_some(&mut [0; 16]).await?, 1);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub fn memory_stream_pump(
    from: &MemorySendStream,
    to: &MemoryReceiveStream,
    max_bytes: Option<usize>,
) -> io::Result<bool> {
    pump(from.shared(), to.shared(), max_bytes)
}

fn pump(from: &memory_send::Shared, to: &memory_receive::Shared, max_bytes: Option<usize>) -> io::Result<bool> {
    let data = match from.outgoing.get_nowait(max_bytes) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error),
    };
    if data.is_empty() {
        to.incoming.close();
    } else {
        to.incoming.put(&data).map_err(|_| BrokenResourceError::of_stream())?;
    }
    Ok(true)
}

/// A connected stream that sends and one that receives: Trio's `memory_stream_one_way_pair`.
///
/// There is no limit to what can be sent before it is received, so sending never waits. What connects the two is the
/// hooks of the sending one, which pump when something was sent and when it is closed; the other hooks are free, and these
/// can be replaced. The hooks don't keep the receiving stream open: when its user drops it, sending fails with
/// [`BrokenResourceError`].
///
/// # Examples
///
/// ```
/// use trio::testing::memory_stream_one_way_pair;
/// trio::run(async {
///     let (sender, receiver) = memory_stream_one_way_pair();
///     sender.send_all(b"hello").await?;
///     drop(sender);
///     let mut buffer = [0; 16];
///     assert_eq!(receiver.receive_some(&mut buffer).await?, 5);
///     assert_eq!(receiver.receive_some(&mut buffer).await?, 0);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub fn memory_stream_one_way_pair() -> (MemorySendStream, MemoryReceiveStream) {
    let (sender, receiver) = (MemorySendStream::new(), MemoryReceiveStream::new());
    let to = Rc::clone(receiver.shared());
    sender.set_send_all_hook(Some(AsyncHook::new(move |from: MemorySendStream| {
        let pumped = pump(from.shared(), &to, None).map(drop);
        async move { pumped }
    })));
    let to = Rc::clone(receiver.shared());
    sender.set_close_hook(Some(CloseHook::new(move |from: &MemorySendStream| {
        // If the receiver is gone, there is nobody who would have to know of the end.
        let _ = pump(from.shared(), &to, None);
    })));
    (sender, receiver)
}

/// What [`memory_stream_pair`] gives two of.
pub type MemoryStream = StapledStream<MemorySendStream, MemoryReceiveStream>;

/// Two connected streams, each of which sends to the other: Trio's `memory_stream_pair`.
///
/// Two [one-way pairs](memory_stream_one_way_pair), crosswise; their hooks can be reached through the halves.
///
/// # Examples
///
/// ```
/// use trio::testing::memory_stream_pair;
/// use trio::{ReceiveStream, SendStream};
/// trio::run(async {
///     let (mut client, mut server) = memory_stream_pair();
///     client.send_all(b"ping").await?;
///     let mut buffer = [0; 16];
///     let count = server.receive_some(&mut buffer).await?;
///     server.send_all(&buffer[..count]).await?;
///     assert_eq!(client.receive_some(&mut buffer).await?, 4);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub fn memory_stream_pair() -> (MemoryStream, MemoryStream) {
    crosswise(memory_stream_one_way_pair)
}

/// Two streams in both directions, of two one-way pairs.
pub(super) fn crosswise<S, R>(one_way_pair: impl Fn() -> (S, R)) -> (StapledStream<S, R>, StapledStream<S, R>) {
    let (left_sends, right_receives) = one_way_pair();
    let (right_sends, left_receives) = one_way_pair();
    (
        StapledStream { send_stream: left_sends, receive_stream: left_receives },
        StapledStream { send_stream: right_sends, receive_stream: right_receives },
    )
}
