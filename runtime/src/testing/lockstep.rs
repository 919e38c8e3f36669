//! Connected streams with no room for data in between.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;

use super::changes::Changes;
use super::conflict::Conflict;
use super::handles::Handles;
use super::memory_pairs::crosswise;
use super::memory_receive::no_room;
use crate::kernel::checkpoint::checkpoint;
use crate::kernel::reactor::ClosedResourceError;
use crate::stream::{AsyncResource, ReceiveStream, SendProgress, SendStream, StapledStream};
use crate::sync::BrokenResourceError;

/// What both ends of one direction share: Trio's `_LockstepByteQueue`.
#[derive(Default)]
struct Lockstep {
    /// What is being sent and has not been received.
    data: RefCell<VecDeque<u8>>,
    sender_closed: Cell<bool>,
    receiver_closed: Cell<bool>,
    receiver_waits: Cell<bool>,
    changes: Changes,
    sending: Conflict,
    receiving: Conflict,
    senders: Handles,
    receivers: Handles,
}

impl Lockstep {
    /// Waits for something that the other side does. Everybody reacts to a closed end.
    async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        let closed = || self.sender_closed.get() || self.receiver_closed.get();
        self.changes.wait_until(|| condition(self) || closed()).await;
    }

    fn check_sender_open(&self) -> io::Result<()> {
        if self.sender_closed.get() { Err(io::Error::other(ClosedResourceError)) } else { Ok(()) }
    }

    fn check_receiver_open(&self) -> io::Result<()> {
        if self.receiver_closed.get() { Err(io::Error::other(ClosedResourceError)) } else { Ok(()) }
    }

    fn is_drained(&self) -> bool {
        self.data.borrow().is_empty()
    }

    async fn send_counted(&self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        let _inside = self.sending.enter()?;
        self.check_sender_open()?;
        if self.receiver_closed.get() {
            return Err(BrokenResourceError::of_stream());
        }
        let rest = Offer { lockstep: self, offered: data.len(), progress };
        self.data.borrow_mut().extend(data);
        self.changes.tell();
        self.wait_until(Self::is_drained).await;
        self.check_sender_open()?;
        if rest.lockstep.is_drained() { Ok(()) } else { Err(BrokenResourceError::of_stream()) }
    }

    async fn wait_send_all_might_not_block(&self) -> io::Result<()> {
        let _inside = self.sending.enter()?;
        self.check_sender_open()?;
        self.wait_until(|lockstep| lockstep.receiver_waits.get()).await;
        self.check_sender_open()
    }

    async fn receive_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let _inside = self.receiving.enter()?;
        if buffer.is_empty() {
            return Err(no_room());
        }
        self.check_receiver_open()?;
        let waiting = Waiting::new(self);
        self.wait_until(|lockstep| !lockstep.is_drained()).await;
        drop(waiting);
        self.check_receiver_open()?;
        let mut data = self.data.borrow_mut();
        let count = buffer.len().min(data.len());
        // In pieces, not by the byte, which takes long without optimization.
        data.read_exact(&mut buffer[..count]).expect("so many bytes are there");
        drop(data);
        self.changes.tell();
        Ok(count)
    }

    fn close_sender(&self) {
        self.sender_closed.set(true);
        self.changes.tell();
    }

    fn close_receiver(&self) {
        self.receiver_closed.set(true);
        self.changes.tell();
    }
}

/// Data that is being sent: what was not received is withdrawn when the sender goes away, and the rest is counted.
struct Offer<'a, 'p> {
    lockstep: &'a Lockstep,
    offered: usize,
    progress: &'p mut SendProgress,
}

impl Drop for Offer<'_, '_> {
    fn drop(&mut self) {
        let mut data = self.lockstep.data.borrow_mut();
        self.progress.add(self.offered - data.len());
        data.clear();
    }
}

/// Somebody waits for data, as long as this exists.
struct Waiting<'a>(&'a Lockstep);

impl<'a> Waiting<'a> {
    fn new(lockstep: &'a Lockstep) -> Self {
        lockstep.receiver_waits.set(true);
        lockstep.changes.tell();
        Self(lockstep)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.receiver_waits.set(false);
    }
}

/// The end of a lockstep pair that sends. Made by [`lockstep_stream_one_way_pair`].
///
/// A clone is another handle to the same end, which is closed through any of them, or when the last is dropped.
///
/// Sending ends when the other side has received everything. If it is cancelled, some of the data, from its beginning,
/// may have been received; the rest is withdrawn. Its operations are checkpoints when they succeed; two tasks in them at
/// once are a [`BusyResourceError`](crate::BusyResourceError).
pub struct LockstepSendStream(Rc<Lockstep>);

/// The end of a lockstep pair that receives. Made by [`lockstep_stream_one_way_pair`].
///
/// A clone is another handle to the same end, which is closed through any of them, or when the last is dropped.
///
/// Receiving is a checkpoint when it succeeds, and takes nothing if it is cancelled; two tasks in it at once are a
/// [`BusyResourceError`](crate::BusyResourceError).
pub struct LockstepReceiveStream(Rc<Lockstep>);

impl Clone for LockstepSendStream {
    fn clone(&self) -> Self {
        self.0.senders.add();
        Self(Rc::clone(&self.0))
    }
}

impl Clone for LockstepReceiveStream {
    fn clone(&self) -> Self {
        self.0.receivers.add();
        Self(Rc::clone(&self.0))
    }
}

impl Drop for LockstepSendStream {
    fn drop(&mut self) {
        if self.0.senders.remove() {
            self.0.close_sender();
        }
    }
}

impl Drop for LockstepReceiveStream {
    fn drop(&mut self) {
        if self.0.receivers.remove() {
            self.0.close_receiver();
        }
    }
}

impl fmt::Debug for LockstepSendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unreceived, closed) = (self.0.data.borrow().len(), self.0.sender_closed.get());
        f.debug_struct("LockstepSendStream").field("unreceived", &unreceived).field("closed", &closed).finish()
    }
}

impl fmt::Debug for LockstepReceiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waits, closed) = (self.0.receiver_waits.get(), self.0.receiver_closed.get());
        f.debug_struct("LockstepReceiveStream").field("waits", &waits).field("closed", &closed).finish()
    }
}

impl AsyncResource for LockstepSendStream {
    async fn aclose(&mut self) -> io::Result<()> {
        self.0.close_sender();
        checkpoint().await;
        Ok(())
    }
}

impl SendStream for LockstepSendStream {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.send_counted(data, &mut SendProgress::new()).await
    }

    async fn send_counted(&mut self, data: &[u8], progress: &mut SendProgress) -> io::Result<()> {
        self.0.send_counted(data, progress).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.0.wait_send_all_might_not_block().await
    }
}

impl AsyncResource for LockstepReceiveStream {
    async fn aclose(&mut self) -> io::Result<()> {
        self.0.close_receiver();
        checkpoint().await;
        Ok(())
    }
}

impl ReceiveStream for LockstepReceiveStream {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive_some(buffer).await
    }
}

/// A connected stream that sends and one that receives, with no room for data in between: Trio's
/// `lockstep_stream_one_way_pair`.
///
/// Sending waits until the other side has received everything, and
/// [`wait_send_all_might_not_block`](SendStream::wait_send_all_might_not_block) until it waits for data: the opposite of
/// what a [memory pair](super::memory_stream_one_way_pair) does, and as legal. Code that works with both does not depend on
/// how much a stream can hold.
///
/// # Examples
///
/// ```
/// use trio::testing::{LockstepSendStream, lockstep_stream_one_way_pair};
/// use trio::{ReceiveStream, SendStream};
/// async fn send(mut stream: LockstepSendStream) -> std::io::Result<()> {
///     stream.send_all(b"step by step").await
/// }
/// trio::run(async {
///     let (sender, mut receiver) = lockstep_stream_one_way_pair();
///     trio::try_nursery! { |n|
///         n.start_soon(send(sender));
///         assert_eq!(receiver.receive_some(&mut [0; 4]).await?, 4);
///         assert_eq!(receiver.receive_some(&mut [0; 16]).await?, 8);
///         assert_eq!(receiver.receive_some(&mut [0; 16]).await?, 0);
///     }
/// })
/// .unwrap();
/// ```
pub fn lockstep_stream_one_way_pair() -> (LockstepSendStream, LockstepReceiveStream) {
    let lockstep = Rc::new(Lockstep::default());
    (LockstepSendStream(Rc::clone(&lockstep)), LockstepReceiveStream(lockstep))
}

/// What [`lockstep_stream_pair`] gives two of.
pub type LockstepStream = StapledStream<LockstepSendStream, LockstepReceiveStream>;

/// Two connected streams, each of which sends to the other, with no room for data in between: Trio's
/// `lockstep_stream_pair`.
///
/// Two [one-way pairs](lockstep_stream_one_way_pair), crosswise.
///
/// # Examples
///
/// ```
/// use trio::testing::{LockstepStream, lockstep_stream_pair};
/// use trio::{ReceiveStream, SendStream};
/// async fn echo(mut stream: LockstepStream) -> std::io::Result<()> {
///     let mut buffer = [0; 16];
///     let count = stream.receive_some(&mut buffer).await?;
///     stream.send_all(&buffer[..count]).await
/// }
/// trio::run(async {
///     let (mut here, there) = lockstep_stream_pair();
///     trio::try_nursery! { |n|
///         n.start_soon(echo(there));
///         here.send_all(b"ping").await?;
///         assert_eq!(here.receive_some(&mut [0; 16]).await?, 4);
///     }
/// })
/// .unwrap();
/// ```
pub fn lockstep_stream_pair() -> (LockstepStream, LockstepStream) {
    crosswise(lockstep_stream_one_way_pair)
}
