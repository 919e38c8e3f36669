//! Any stream of ours, for those who poll.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::kernel::checkpoint::yield_now;
use crate::kernel::context;
use crate::kernel::reactor::ClosedResourceError;
use crate::kernel::waker::StoredWaker;
use crate::stream::poll::{PollReceive, PollSend, are_empty, ended};
use crate::stream::{ReceiveStream, SendStream, SplitStream};

/// How much is received or sent at once, at most.
const LIMIT: usize = 64 * 1024;

/// Any stream of trio's, with the traits of other libraries: `futures_io`'s, tokio's, hyper's, by which features are on.
///
/// A trait that polls can't hold the future of an operation that is under way: this does, and owns the stream for that.
/// There is one allocation, when it is made, and data is copied once.
///
/// # What a pending poll leaves behind
///
/// The operation goes on with the next poll in the same direction, whoever does it. A read that was given up and has got
/// something gives it to the next one.
///
/// A write is ready when all that it has taken has been sent, so that nobody has to flush. It is therefore under way while
/// it is pending; one that is given up may have sent any part of its data, as with [`SendStream::send_all`]. The next write
/// first lets it finish; if that has the same data, it is the same write, and otherwise another one, and both are sent.
///
/// # Cancellation
///
/// A poll in a cancelled scope parks, as does the operation inside. What is dropped is whatever polls; the operation is kept
/// for the next poll, so nothing is lost. Dropping this drops the operation, and the stream.
///
/// # Closing
///
/// Closing closes the half that sends (see [`SplitStream::split`]), after a write that is under way. If it can't be closed
/// alone (TLS 1.2), the whole stream is closed.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "futures-io")]
/// trio::run(async {
///     use futures::{AsyncReadExt, AsyncWriteExt};
///     let (here, there) = trio::testing::memory_stream_pair();
///     let (mut here, mut there) = (trio::compat::Polled::new(here), trio::compat::Polled::new(there));
///     here.write_all(b"ping").await?;
///     let mut buffer = [0; 4];
///     there.read_exact(&mut buffer).await?;
///     assert_eq!(&buffer, b"ping");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct Polled<'a> {
    /// `None` once the whole stream has been closed.
    driver: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    shared: Rc<Shared>,
}

/// What the driver is asked, and what it answers.
struct Shared {
    /// Which of the two directions the driver is polled for.
    turn: Cell<Turn>,
    wish: Cell<usize>,
    received: RefCell<Received>,
    /// Who waits for something to receive.
    reader: RefCell<StoredWaker>,
    /// The whole stream is being closed, or is closed.
    closes: Cell<bool>,
    order: Cell<Order>,
    sending: RefCell<Sending>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Receive,
    Send,
}

/// What came in.
#[derive(Default)]
struct Received {
    buffer: Vec<u8>,
    /// What of the buffer has not been taken.
    begin: usize,
    end: usize,
    /// An end, or an error, behind that.
    result: Option<io::Result<()>>,
    /// The others have had their turn since it came.
    yielded: bool,
}

/// What the sending side is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Nothing,
    Send,
    Close,
}

#[derive(Default)]
struct Sending {
    data: Vec<u8>,
    /// How much of it whoever wrote it knows to be sent.
    told: usize,
    result: Option<io::Result<()>>,
    closed: bool,
}

impl<'a> Polled<'a> {
    /// Takes over a stream in both directions, which can be used at one time.
    pub fn new<S: SplitStream + 'a>(stream: S) -> Self {
        Self::driven_by(|shared| async move {
            let mut stream = stream;
            {
                let (mut from, mut to) = stream.split();
                let mut receiver = pin!(receive(&mut from, &shared));
                let mut sender = pin!(send(&mut to, &shared));
                poll_fn(|context| match shared.turn.get() {
                    Turn::Receive => receiver.as_mut().poll(context),
                    Turn::Send => sender.as_mut().poll(context),
                })
                .await;
            }
            // Whoever waits for something to receive has to learn that nothing comes.
            shared.closes.set(true);
            shared.reader.take().wake();
            let closed = stream.aclose().await;
            shared.answer(ended(closed));
        })
    }

    /// Takes over a stream that only receives. To write there is an error whose kind is
    /// [`Unsupported`](io::ErrorKind::Unsupported); to close it does nothing.
    pub fn receiving<S: ReceiveStream + 'a>(mut stream: S) -> Self {
        Self::driven_by(|shared| async move {
            let mut receiver = pin!(receive(&mut stream, &shared));
            poll_fn(|context| match shared.turn.get() {
                Turn::Receive => receiver.as_mut().poll(context),
                Turn::Send => {
                    let closes = shared.order.get() == Order::Close;
                    shared.answer(if closes { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) });
                    Poll::Pending
                }
            })
            .await;
        })
    }

    /// Takes over a stream that only sends. To read there is an error whose kind is
    /// [`Unsupported`](io::ErrorKind::Unsupported).
    pub fn sending<S: SendStream + 'a>(mut stream: S) -> Self {
        Self::driven_by(|shared| async move {
            let mut sender = pin!(send(&mut stream, &shared));
            poll_fn(|context| match shared.turn.get() {
                Turn::Send => sender.as_mut().poll(context),
                Turn::Receive => {
                    shared.wish.set(0);
                    shared.received.borrow_mut().result = Some(Err(io::ErrorKind::Unsupported.into()));
                    Poll::Pending
                }
            })
            .await;
        })
    }

    fn driven_by<F: Future<Output = ()> + 'a>(driver: impl FnOnce(Rc<Shared>) -> F) -> Self {
        let shared = Rc::new(Shared {
            turn: Cell::new(Turn::Receive),
            wish: Cell::new(0),
            received: RefCell::default(),
            reader: RefCell::default(),
            closes: Cell::new(false),
            order: Cell::new(Order::Nothing),
            sending: RefCell::default(),
        });
        Self { driver: Some(Box::pin(driver(Rc::clone(&shared)))), shared }
    }

    /// Lets the operation in this direction go on.
    fn drive(&mut self, turn: Turn, context: &mut Context<'_>) {
        self.shared.turn.set(turn);
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(context).is_ready()
        {
            self.driver = None;
        }
    }

    /// As [`drive`](Self::drive), until the operation `is_over`; gives whether the others have to have their turn now.
    ///
    /// An operation that has got what it wanted may still owe a yield, and holds its scope until then. Whoever polls may never
    /// come back, and then nobody would let go of the scope. So it is completed at once, and the yield is owed here instead.
    fn drive_until(&mut self, turn: Turn, context: &mut Context<'_>, is_over: impl Fn(&Shared) -> bool) -> Progress {
        self.drive(turn, context);
        if is_over(&self.shared) {
            return Progress::Over;
        }
        if self.driver.is_some() && context::with(|run| run.is_held_here()) {
            self.drive(turn, context);
            if is_over(&self.shared) {
                context::with(|run| yield_now(run, context));
                return Progress::OwesYield;
            }
        }
        Progress::Waits
    }

    /// Waits for the end of what the sending side is doing.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.shared.order.get() == Order::Nothing {
            return Poll::Ready(());
        }
        if self.driver.is_none() {
            self.shared.answer(Err(io::Error::other(ClosedResourceError)));
            return Poll::Ready(());
        }
        match self.drive_until(Turn::Send, context, |shared| shared.order.get() == Order::Nothing) {
            Progress::Over => Poll::Ready(()),
            // The next poll finds that it is over.
            Progress::OwesYield | Progress::Waits => Poll::Pending,
        }
    }
}

enum Progress {
    Over,
    OwesYield,
    Waits,
}

impl Shared {
    /// Says how what the sending side was to do has ended.
    fn answer(&self, result: io::Result<()>) {
        let order = self.order.replace(Order::Nothing);
        let mut sending = self.sending.borrow_mut();
        sending.closed |= order == Order::Close;
        sending.result = Some(result);
    }

    fn has_received(&self) -> bool {
        let received = self.received.borrow();
        received.begin < received.end || received.result.is_some()
    }
}

/// Receives as often as it is wished. Polled only by those who wish, so that nothing has to wake it.
async fn receive<S: ReceiveStream>(stream: &mut S, shared: &Shared) {
    loop {
        let room = poll_fn(|_| match shared.wish.get() {
            0 => Poll::Pending,
            room => Poll::Ready(room),
        })
        .await;
        let mut buffer = std::mem::take(&mut shared.received.borrow_mut().buffer);
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let result = stream.receive_some(&mut buffer[..room]).await;
        shared.wish.set(0);
        let mut received = shared.received.borrow_mut();
        received.buffer = buffer;
        (received.begin, received.end) = (0, 0);
        match result {
            Ok(0) => received.result = Some(Ok(())),
            Ok(count) => received.end = count,
            Err(error) => received.result = Some(Err(error)),
        }
    }
}

/// Sends and closes as it is told. Ends if the stream can't be closed in this direction alone.
async fn send<S: SendStream>(stream: &mut S, shared: &Shared) {
    loop {
        let order = poll_fn(|_| match shared.order.get() {
            Order::Nothing => Poll::Pending,
            order => Poll::Ready(order),
        })
        .await;
        if order == Order::Send {
            let data = std::mem::take(&mut shared.sending.borrow_mut().data);
            let result = stream.send_all(&data).await;
            shared.sending.borrow_mut().data = data;
            shared.answer(result);
            continue;
        }
        match stream.aclose().await {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return,
            result => shared.answer(ended(result)),
        }
    }
}

impl PollReceive for Polled<'_> {
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.shared.has_received() {
            // It came while nobody took it.
            ready!(self.poll_turn(context));
        } else {
            if self.shared.closes.get() {
                return Poll::Ready(Err(io::Error::other(ClosedResourceError)));
            }
            if self.shared.wish.get() == 0 {
                self.shared.wish.set(buffer.len().min(LIMIT));
            }
            match self.drive_until(Turn::Receive, context, Shared::has_received) {
                Progress::Over => {}
                Progress::OwesYield => {
                    self.shared.received.borrow_mut().yielded = true;
                    return Poll::Pending;
                }
                Progress::Waits => {
                    let old = self.shared.reader.replace(StoredWaker::new(context.waker()));
                    drop(old);
                    return Poll::Pending;
                }
            }
        }
        let mut received = self.shared.received.borrow_mut();
        let count = buffer.len().min(received.end - received.begin);
        if count == 0 {
            return Poll::Ready(received.result.take().unwrap_or(Ok(())).map(|()| 0));
        }
        buffer[..count].copy_from_slice(&received.buffer[received.begin..received.begin + count]);
        received.begin += count;
        Poll::Ready(Ok(count))
    }
}

impl Polled<'_> {
    /// A checkpoint before something is taken that is there already.
    fn poll_turn(&self, context: &mut Context<'_>) -> Poll<()> {
        context::with(|run| {
            if run.is_cancelled_here() {
                run.park_cancelled(context);
                return Poll::Pending;
            }
            let mut received = self.shared.received.borrow_mut();
            if std::mem::take(&mut received.yielded) || run.take_budget() {
                return Poll::Ready(());
            }
            received.yielded = true;
            drop(received);
            yield_now(run, context);
            Poll::Pending
        })
    }
}

impl PollSend for Polled<'_> {
    fn poll_send(&mut self, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send_vectored(context, &[IoSlice::new(data)])
    }

    fn poll_send_vectored(&mut self, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if are_empty(pieces) {
            return Poll::Ready(Ok(0));
        }
        loop {
            ready!(self.poll_sent(context));
            let mut sending = self.shared.sending.borrow_mut();
            if let Some(Err(error)) = sending.result.take() {
                sending.forget();
                return Poll::Ready(Err(error));
            }
            let count = sending.count_known(pieces);
            if count > 0 {
                sending.told += count;
                return Poll::Ready(Ok(count));
            }
            sending.take_up(pieces);
            drop(sending);
            self.shared.order.set(Order::Send);
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(context));
        let mut sending = self.shared.sending.borrow_mut();
        let result = sending.result.take().unwrap_or(Ok(()));
        if result.is_err() {
            sending.forget();
        }
        Poll::Ready(result)
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.order.get() != Order::Close {
            ready!(self.poll_flush(context))?;
            if self.driver.is_none() || self.shared.sending.borrow().closed {
                return Poll::Ready(Ok(()));
            }
            self.shared.order.set(Order::Close);
        }
        self.poll_flush(context)
    }
}

impl Sending {
    /// What was to be sent is nobody's any more.
    fn forget(&mut self) {
        self.data.clear();
        self.told = 0;
    }

    /// How many bytes of this have been sent already, by a write that was pending.
    fn count_known(&self, pieces: &[IoSlice<'_>]) -> usize {
        let mut rest = &self.data[self.told..];
        let mut count = 0;
        for piece in pieces {
            let common = piece.len().min(rest.len());
            if piece[..common] != rest[..common] {
                return 0;
            }
            (rest, count) = (&rest[common..], count + common);
        }
        count
    }

    /// Makes of this what is to be sent next.
    fn take_up(&mut self, pieces: &[IoSlice<'_>]) {
        self.forget();
        for piece in pieces {
            let room = LIMIT - self.data.len();
            self.data.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }
}

impl fmt::Debug for Polled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled").field("closed", &self.driver.is_none()).finish_non_exhaustive()
    }
}

/// Gives all streams that can be polled to two macros: those that receive, and those that send.
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio-io"))]
macro_rules! polled_streams {
    ($receiving:ident, $sending:ident) => {
        $receiving! {
            $crate::net::TcpStream,
            $crate::net::UnixStream,
            $crate::FdStream,
            $crate::compat::Polled<'_>,
            $crate::net::halves::ReceiveHalf<'_, std::net::TcpStream>,
            $crate::net::halves::ReceiveHalf<'_, std::os::unix::net::UnixStream>,
            $crate::net::halves::ReceiveHalf<'_, $crate::fd_stream::SharedFd>,
        }
        $sending! {
            $crate::net::TcpStream,
            $crate::net::UnixStream,
            $crate::FdStream,
            $crate::compat::Polled<'_>,
            $crate::net::halves::SendHalf<'_, std::net::TcpStream>,
            $crate::net::halves::SendHalf<'_, std::os::unix::net::UnixStream>,
            $crate::net::halves::SendHalf<'_, $crate::fd_stream::SharedFd>,
        }
    };
}
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio-io"))]
pub(super) use polled_streams;
