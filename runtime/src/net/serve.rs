//! Servers: a task for each connection.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use self::hidden::{Dispatch, Here, There};
use super::listener::TcpListener;
use super::listeners::open_tcp_listeners;
use super::stream::TcpStream;
use crate::kernel::child::TaskOutput;
use crate::kernel::group::{BoxError, ErrorGroup};
use crate::kernel::nursery::{Nursery, open_try_nursery};
use crate::kernel::report::report;
use crate::kernel::sleep::sleep;
use crate::kernel::start::TaskStatus;
use crate::stream::Listener;

/// How long a listener waits that could not accept for want of something. The value is Trio's.
pub(crate) const BREATHER: Duration = Duration::from_millis(100);

/// Listens at all addresses of a host, and runs `handler` in a task of its own for each connection: Trio's `serve_tcp`.
///
/// [`open_tcp_listeners`](crate::open_tcp_listeners()), with the same `port` and `host`, and [`serve_listeners`] in one: see
/// there. What it [reports](Serve::reporting) is the addresses at which it listens.
///
/// # Errors
///
/// Those of both, in an [`ErrorGroup`].
///
/// # Examples
///
/// ```
/// use trio::net::TcpStream;
/// async fn shout(mut stream: TcpStream) -> std::io::Result<()> {
///     let mut buffer = [0; 1024];
///     loop {
///         let count = stream.receive_some(&mut buffer).await?;
///         if count == 0 {
///             return Ok(());
///         }
///         buffer.make_ascii_uppercase();
///         stream.send_all(&buffer[..count]).await?;
///     }
/// }
///
/// #[trio::main]
/// async fn main() -> trio::Result {
///     trio::try_nursery! { |n, scope|
///         // The server listens when `start` is over.
///         let serving = n.start(|status| trio::serve_tcp(shout, 0, Some("127.0.0.1")).reporting(status));
///         let addresses = serving.await.map_err(|error| error.to_string())?;
///
///         let mut client = TcpStream::connect(&addresses[..]).await?;
///         client.send_all(b"hello").await?;
///         let mut answer = [0; 5];
///         client.receive_some(&mut answer).await?;
///         assert_eq!(&answer, b"HELLO");
///         scope.cancel();
///     }?;
///     Ok(())
/// }
/// ```
pub fn serve_tcp<'a, H, O>(
    handler: H,
    port: u16,
    host: Option<&str>,
) -> Serve<'a, TcpListener, Here<H, O>, Vec<SocketAddr>>
where
    H: AsyncFn(TcpStream) -> O + 'a,
{
    let opening = open_tcp_listeners(port, host);
    Serve::new(handler, async {
        let listeners = opening.await?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        Ok((listeners, addresses))
    })
}

/// Accepts connections at listeners of any kind, and runs `handler` in a task of its own for each: Trio's
/// `serve_listeners`.
///
/// It goes on until it is cancelled or something fails: it is never `Ok`, unless there are no listeners. The handlers are
/// its children, so they end with it; [`handlers_in`](Serve::handlers_in) puts them elsewhere. The handler owns its stream,
/// which is closed when it is dropped, at the latest when the handler ends.
///
/// **A handler that fails takes the server down**, and with it all other connections, as everywhere where a task fails. A
/// handler that is not to do that handles its errors itself.
///
/// If a listener can accept nobody because the system has run out of descriptors or memory (`EMFILE`, `ENFILE`, `ENOMEM`,
/// `ENOBUFS`), a line is written to the standard error stream, and a tenth of a second later it tries again: until then,
/// some of the connections that are open may have been closed.
///
/// A checkpoint. Cancelled or dropped, it closes its listeners.
///
/// # Errors
///
/// An [`ErrorGroup`] of what handlers have failed with, and of the errors of listeners, apart from those above. Its errors
/// are [`BoxError`]s unless [said otherwise](Serve::failing_with).
///
/// # Examples
///
/// ```
/// use trio::net::{TcpListener, TcpStream};
/// # trio::run(async {
/// let listeners = vec![TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?];
/// let address = listeners[1].local_addr()?;
/// let greet = async |mut stream: TcpStream| {
///     if let Err(error) = stream.send_all(b"hi").await {
///         eprintln!("somebody has gone already: {error}");
///     }
/// };
/// trio::try_nursery! { |n|
///     n.start_daemon(trio::serve_listeners(greet, listeners));
///     let mut client = TcpStream::connect(address).await?;
///     assert_eq!(client.receive_some(&mut [0; 8]).await?, 2);
/// }
/// # .unwrap();
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub fn serve_listeners<'a, H, L, O>(handler: H, listeners: impl IntoIterator<Item = L>) -> Serve<'a, L, Here<H, O>, ()>
where
    H: AsyncFn(L::Stream) -> O + 'a,
    L: Listener + 'a,
{
    let listeners: Vec<L> = listeners.into_iter().collect();
    Serve::new(handler, async { Ok((listeners, ())) })
}

/// A server: a future that [`serve_tcp`] and [`serve_listeners`] make, and what can be said about it before it runs.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Serve<'a, L, D, V, E = BoxError> {
    options: Option<Options<'a, L, D, V>>,
    running: Option<Running<'a, E>>,
}

type Running<'a, E> = Pin<Box<dyn Future<Output = Result<(), ErrorGroup<E>>> + 'a>>;

/// Gives the listeners, and what is to be reported.
type Opening<'a, L, V> = Pin<Box<dyn Future<Output = io::Result<(Vec<L>, V)>> + 'a>>;

struct Options<'a, L, D, V> {
    opening: Opening<'a, L, V>,
    dispatch: D,
    status: TaskStatus<V>,
}

impl<'a, L, H, O, V> Serve<'a, L, Here<H, O>, V> {
    pub(crate) fn new(handler: H, opening: impl Future<Output = io::Result<(Vec<L>, V)>> + 'a) -> Self {
        let (opening, dispatch) = (Box::pin(opening), Here(Rc::new(handler), PhantomData));
        Self { options: Some(Options { opening, dispatch, status: TaskStatus::ignored() }), running: None }
    }
}

impl<'a, L, D, V, E> Serve<'a, L, D, V, E> {
    fn options(self) -> Options<'a, L, D, V> {
        self.options
            .unwrap_or_else(|| unreachable!("a future that is being polled is pinned, and not to be had any more"))
    }

    fn of(options: Options<'a, L, D, V>) -> Self {
        Self { options: Some(options), running: None }
    }

    /// Changes the listeners when there are any.
    #[cfg(feature = "tls")]
    pub(crate) fn map_listeners(self, change: impl FnMut(L) -> L + 'a) -> Self
    where
        L: 'a,
        V: 'a,
    {
        let Options { opening, dispatch, status } = self.options();
        let opening = Box::pin(async {
            let (listeners, value) = opening.await?;
            Ok((listeners.into_iter().map(change).collect(), value))
        });
        Self::of(Options { opening, dispatch, status })
    }

    /// Tells whoever [`start`](Nursery::start)s the server when it listens; [`serve_tcp`] tells it the addresses.
    pub fn reporting(self, status: TaskStatus<V>) -> Self {
        Self::of(Options { status, ..self.options() })
    }

    /// Lets the server fail with errors of another type than [`BoxError`]: one that the handlers' errors, and the
    /// listeners' `io::Error`s, convert to.
    pub fn failing_with<X>(self) -> Serve<'a, L, D, V, X> {
        Serve::of(self.options())
    }
}

impl<'a, L, H, O, V, E> Serve<'a, L, Here<H, O>, V, E> {
    /// Runs the handlers in another nursery than the server's own, so that they can outlive it; and what they fail with comes
    /// out there.
    ///
    /// # Examples
    ///
    /// A server that stops accepting, and lets those who are connected finish:
    ///
    /// ```
    /// use trio::net::TcpStream;
    /// async fn serve(stop: &trio::Event) -> trio::Result {
    ///     let slow = async |mut stream: TcpStream| stream.send_all(b"good bye").await;
    ///     trio::try_nursery! { |handlers|
    ///         let server = trio::serve_tcp(slow, 0, Some("127.0.0.1")).handlers_in(handlers);
    ///         let stopped = async {
    ///             stop.wait().await;
    ///             Ok(())
    ///         };
    ///         trio::race(server, stopped).await?;
    ///     }?;
    ///     Ok(())
    /// }
    /// # let stop = trio::Event::new();
    /// # stop.set();
    /// # trio::run(serve(&stop)).unwrap();
    /// ```
    pub fn handlers_in<'scope, 'env, X>(
        self,
        nursery: &'scope Nursery<'scope, 'env, X>,
    ) -> Serve<'a, L, There<'scope, 'env, H, O, X>, V, E> {
        let Options { opening, dispatch, status } = self.options();
        Serve::of(Options { opening, dispatch: There(dispatch, nursery), status })
    }
}

impl<'a, L, D, V, E> Future for Serve<'a, L, D, V, E>
where
    L: Listener + 'a,
    D: Dispatch<L::Stream, E> + 'a,
    V: 'a,
    E: From<io::Error> + 'a,
{
    type Output = Result<(), ErrorGroup<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(options) = self.options.take() {
            self.running = Some(Box::pin(run(options)));
        }
        match &mut self.running {
            Some(running) => running.as_mut().poll(context),
            None => panic!("a server was polled after it had ended"),
        }
    }
}

impl<L, D, V, E> Unpin for Serve<'_, L, D, V, E> {}

impl<L, D, V, E> fmt::Debug for Serve<'_, L, D, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("running", &self.running.is_some()).finish_non_exhaustive()
    }
}

async fn run<'a, L, D, V, E>(options: Options<'a, L, D, V>) -> Result<(), ErrorGroup<E>>
where
    L: Listener + 'a,
    D: Dispatch<L::Stream, E> + 'a,
    V: 'a,
    E: From<io::Error> + 'a,
{
    let Options { opening, dispatch, status } = options;
    open_try_nursery(async move |n: &Nursery<'_, 'a, E>| {
        let (listeners, value) = opening.await?;
        let dispatch = Rc::new(dispatch);
        for listener in listeners {
            n.start_soon(serve_one(listener, n, Rc::clone(&dispatch)));
        }
        status.started(value);
        Ok(())
    })
    .await
}

/// Accepts connections at one listener for ever.
async fn serve_one<'scope, 'env, L, D, E>(
    mut listener: L,
    n: &'scope Nursery<'scope, 'env, E>,
    dispatch: Rc<D>,
) -> io::Result<()>
where
    L: Listener,
    D: Dispatch<L::Stream, E> + 'scope,
    L::Stream: 'scope,
{
    loop {
        match listener.accept().await {
            Ok(stream) => dispatch.dispatch(n, stream),
            Err(error) if is_for_want_of_something(&error) => {
                report(format_args!("can't accept a connection: {error}; trying again in {BREATHER:?}"));
                sleep(BREATHER).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the system, or this process, has run out of something that it may have again soon.
pub(crate) fn is_for_want_of_something(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

/// In the types of what is public, but not to be named.
pub(crate) mod hidden {
    use super::*;

    /// What becomes of a new connection.
    pub trait Dispatch<S, E> {
        #[doc(hidden)]
        fn dispatch<'scope>(&self, own: &'scope Nursery<'scope, '_, E>, stream: S)
        where
            Self: 'scope,
            S: 'scope;
    }

    /// The handler runs in the server's own nursery.
    #[allow(missing_debug_implementations)]
    pub struct Here<H, O>(pub(super) Rc<H>, pub(super) PhantomData<fn() -> O>);

    impl<S, E, H, O> Dispatch<S, E> for Here<H, O>
    where
        H: AsyncFn(S) -> O,
        O: TaskOutput<E>,
    {
        fn dispatch<'scope>(&self, own: &'scope Nursery<'scope, '_, E>, stream: S)
        where
            Self: 'scope,
            S: 'scope,
        {
            own.start_soon(handle(Rc::clone(&self.0), stream));
        }
    }

    /// The handler runs in another nursery.
    #[allow(missing_debug_implementations)]
    pub struct There<'there, 'env, H, O, X>(pub(super) Here<H, O>, pub(super) &'there Nursery<'there, 'env, X>);

    impl<'there, S: 'there, E, H, O, X> Dispatch<S, E> for There<'there, '_, H, O, X>
    where
        H: AsyncFn(S) -> O + 'there,
        O: TaskOutput<X> + 'there,
    {
        fn dispatch<'scope>(&self, _own: &'scope Nursery<'scope, '_, E>, stream: S)
        where
            Self: 'scope,
            S: 'scope,
        {
            self.1.start_soon(handle(Rc::clone(&self.0.0), stream));
        }
    }

    async fn handle<S, H, O>(handler: Rc<H>, stream: S) -> O
    where
        H: AsyncFn(S) -> O,
    {
        handler(stream).await
    }
}
