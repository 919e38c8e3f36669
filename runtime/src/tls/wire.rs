//! How operations reach the transport: as a whole, or in halves of which another task may use the other.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::DerefMut;
use std::pin::pin;
use std::task::Poll;

use super::error::TlsError;
use super::handshake::handshake;
use super::session::Session;
use crate::kernel::checkpoint::checkpoint;
use crate::stream::{ByteStream, ReceiveStream, SendProgress, SendStream, SplitStream};
use crate::sync::{BrokenResourceError, Lock, LockGuard};

/// The transport of a TLS stream, for one operation.
pub(super) trait Wire {
    type Sender<'s>: DerefMut<Target: SendStream + Sized>
    where
        Self: 's;
    type Receiver<'s>: DerefMut<Target: ReceiveStream + Sized>
    where
        Self: 's;

    /// Waits for the side that sends. Only who has it may take records off to send them.
    async fn sender(&mut self) -> Self::Sender<'_>;

    /// The side that sends, if nobody has it.
    fn try_sender(&mut self) -> Option<Self::Sender<'_>>;

    /// Waits for the side that receives.
    async fn receiver(&mut self) -> Self::Receiver<'_>;

    /// Does the handshake, unless that is done, or waits until somebody else has done it.
    async fn ensure_handshake(&mut self, session: &RefCell<Session>) -> io::Result<()>;
}

/// A transport that nobody else can use.
impl<T: ByteStream> Wire for &mut T {
    type Sender<'s>
        = &'s mut T
    where
        Self: 's;
    type Receiver<'s>
        = &'s mut T
    where
        Self: 's;

    async fn sender(&mut self) -> &mut T {
        self
    }

    fn try_sender(&mut self) -> Option<&mut T> {
        Some(self)
    }

    async fn receiver(&mut self) -> &mut T {
        self
    }

    async fn ensure_handshake(&mut self, session: &RefCell<Session>) -> io::Result<()> {
        if session.borrow().is_handshaken() {
            return Ok(());
        }
        // Boxed, since every operation would have to have room for it otherwise.
        Box::pin(handshake(session, self)).await
    }
}

/// The halves of a transport. Both tasks may need both: the handshake goes to and fro, and who receives may have to
/// answer.
pub(super) struct Halves<'a, T: SplitStream + 'a> {
    receiver: Lock<T::ReceiveHalf<'a>>,
    sender: Lock<T::SendHalf<'a>>,
    handshake: Lock<()>,
}

impl<'a, T: SplitStream> Halves<'a, T> {
    pub(super) fn new(transport: &'a mut T) -> Self {
        let (receiver, sender) = transport.split();
        Self { receiver: Lock::new(receiver), sender: Lock::new(sender), handshake: Lock::new(()) }
    }
}

impl<'a, T: SplitStream> Wire for &Halves<'a, T> {
    type Sender<'s>
        = LockGuard<'s, T::SendHalf<'a>>
    where
        Self: 's;
    type Receiver<'s>
        = LockGuard<'s, T::ReceiveHalf<'a>>
    where
        Self: 's;

    async fn sender(&mut self) -> Self::Sender<'_> {
        self.sender.lock().await
    }

    fn try_sender(&mut self) -> Option<Self::Sender<'_>> {
        self.sender.try_lock().ok()
    }

    async fn receiver(&mut self) -> Self::Receiver<'_> {
        self.receiver.lock().await
    }

    async fn ensure_handshake(&mut self, session: &RefCell<Session>) -> io::Result<()> {
        if session.borrow().is_handshaken() {
            return Ok(());
        }
        let halves = *self;
        let _turn = halves.handshake.lock().await;
        Box::pin(handshake(session, self)).await
    }
}

/// Records that are being sent. When this is dropped, whatever became of the operation, what was not sent goes back.
struct Flight<'a> {
    session: &'a RefCell<Session>,
    records: Vec<u8>,
    progress: SendProgress,
}

impl<'a> Flight<'a> {
    fn take_off(session: &'a RefCell<Session>) -> io::Result<Option<Self>> {
        let records = session.borrow_mut().take_off()?;
        Ok(records.map(|records| Self { session, records, progress: SendProgress::new() }))
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let sent = self.progress.is_known().then(|| self.progress.sent());
        self.session.borrow_mut().land(std::mem::take(&mut self.records), sent);
    }
}

/// Sends all records that there are. Nothing, not even a checkpoint, if there are none.
pub(super) async fn flush(session: &RefCell<Session>, sender: &mut impl SendStream) -> io::Result<()> {
    while let Some(mut flight) = Flight::take_off(session)? {
        let result = sender.send_counted(&flight.records, &mut flight.progress).await;
        drop(flight);
        match result {
            Ok(()) => session.borrow_mut().succeeded(),
            Err(error) => {
                session.borrow_mut().break_sending();
                return Err(error);
            }
        }
    }
    Ok(())
}

/// How often the sending of an alert is polled, with a yield after each. A transport that has room needs a few at most; one
/// that has none would let us wait for ever.
const ALERT_POLLS: usize = 8;

/// What an operation fails with that has met an error of TLS: first the other side is told, as far as that needs no
/// waiting. Given up meanwhile, it leaves the error to the next operation.
pub(super) async fn fail(session: &RefCell<Session>, wire: &mut impl Wire, error: TlsError) -> io::Error {
    let mut untold = Untold { session, error: Some(error) };
    send_alert(session, wire).await;
    untold.error.take().map_or_else(BrokenResourceError::of_stream, io::Error::from)
}

/// An error that an operation is to tell. When this is dropped before, another one can.
struct Untold<'a> {
    session: &'a RefCell<Session>,
    error: Option<TlsError>,
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        if let Some(error) = self.error.take() {
            self.session.borrow().keep_untold(error);
        }
    }
}

/// Tells the other side what it has done wrong, unless somebody else is sending, who will then do so. That this fails
/// is no news.
async fn send_alert(session: &RefCell<Session>, wire: &mut impl Wire) {
    let Some(mut sender) = wire.try_sender() else { return };
    let mut sending = pin!(flush(session, &mut *sender));
    for _ in 0..ALERT_POLLS {
        if poll_fn(|context| Poll::Ready(sending.as_mut().poll(context).is_ready())).await {
            return;
        }
        checkpoint().await;
    }
}

/// Room that is being received into. When this is dropped, it goes back.
struct Room<'a> {
    session: &'a RefCell<Session>,
    bytes: Vec<u8>,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.session.borrow_mut().give_room_back(std::mem::take(&mut self.bytes));
    }
}

/// Waits for something to come from the transport, or for its end. A checkpoint; cancelled, nothing has come.
pub(super) async fn fill(session: &RefCell<Session>, wire: &mut impl Wire) -> io::Result<()> {
    let mut receiver = wire.receiver().await;
    let bytes = session.borrow_mut().take_room();
    let mut room = Room { session, bytes };
    let count = receiver.receive_some(&mut room.bytes).await?;
    session.borrow_mut().received(&mut room.bytes, count);
    Ok(())
}
