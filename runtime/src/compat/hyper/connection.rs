//! One connection, of whichever version.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};

use super::executor::Executor;
use super::io::HttpStream;
use super::rewind::{Rewind, Version};
use super::service::{Answering, HttpService, IntoService};
use super::timer::Timer;
use crate::kernel::group::BoxError;
use crate::kernel::nursery::{Nursery, open_nursery};
use crate::kernel::scope::{CancelScope, move_on_after};
use crate::kernel::shutdown::until_shutdown;
use crate::kernel::sleep::{sleep, sleep_forever};
use crate::sync::Event;

/// How long a connection may take to say which version it speaks, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for a request that is on its way when the server shuts down, unless said otherwise.
const LINGER: Duration = Duration::from_millis(100);

/// Changes the settings of HTTP/2 for a connection.
type Http2Settings = dyn for<'scope, 'env> Fn(&mut http2::Builder<Executor<'scope, 'env>>);

/// What HTTP servers speak, and how: both versions with hyper's settings, unless said otherwise.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use trio::compat::hyper::Protocols;
/// let protocols = Protocols::new()
///     .http1(|http1| {
///         http1.max_headers(50);
///     })
///     .http2(|http2| {
///         http2.max_concurrent_streams(20);
///     })
///     .patience(Duration::from_secs(5));
/// ```
#[derive(Clone)]
pub struct Protocols {
    http1: http1::Builder,
    http2: Rc<Http2Settings>,
    only: Option<Version>,
    patience: Duration,
    linger: Duration,
}

impl Protocols {
    /// Both versions. Which of them a connection speaks is seen by what it begins with, with TLS and without.
    pub fn new() -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(Timer);
        Self { http1, http2: Rc::new(|_| {}), only: None, patience: PATIENCE, linger: LINGER }
    }

    /// Changes the settings of HTTP/1. Timeouts are by the run's clock.
    pub fn http1(mut self, change: impl FnOnce(&mut http1::Builder)) -> Self {
        change(&mut self.http1);
        self
    }

    /// Changes the settings of HTTP/2, for each connection anew. Timeouts are by the run's clock.
    pub fn http2(mut self, change: impl for<'s, 'e> Fn(&mut http2::Builder<Executor<'s, 'e>>) + 'static) -> Self {
        self.http2 = Rc::new(change);
        self
    }

    /// HTTP/1 only.
    pub fn only_http1(mut self) -> Self {
        self.only = Some(Version::Http1);
        self
    }

    /// HTTP/2 only, which the other side has to know.
    pub fn only_http2(mut self) -> Self {
        self.only = Some(Version::Http2);
        self
    }

    /// How long a new connection may take until it is clear which version it speaks, a handshake of TLS included: half a
    /// minute unless said. For the rest of a request, see `header_read_timeout` of hyper's HTTP/1 settings.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long an HTTP/1 connection on which no request is in progress is kept open when the server shuts down: a tenth of a
    /// second unless said. A request that was on its way then is answered, with `Connection: close`.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protocols")
            .field("only", &self.only)
            .field("patience", &self.patience)
            .field("linger", &self.linger)
            .finish_non_exhaustive()
    }
}

/// Serves one connection until it ends: for servers that are not as [`serve`](super::serve()) is.
///
/// When a scope around it is asked to [shut down](crate::CancelHandle::shut_down), requests that are in progress are answered,
/// and the connection ends.
///
/// A checkpoint. Cancelled or dropped, it drops the connection, and the futures of the service.
///
/// # Errors
///
/// hyper's, the stream's, and those of the service. That the other side was too slow with its first bytes is no error.
///
/// # Examples
///
/// ```
/// use hyper::{Request, Response, body::Incoming, service::service_fn};
/// use trio::compat::hyper::{Protocols, serve_connection};
/// # trio::run(async {
/// let (mut client, server) = trio::net::UnixStream::pair()?;
/// client.send_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// let asked = std::cell::Cell::new(0);
/// let service = service_fn(|_request: Request<Incoming>| {
///     // Neither `Send` nor `'static`.
///     let asked = &asked;
///     async move {
///         asked.set(asked.get() + 1);
///         Ok::<_, std::convert::Infallible>(Response::new("hello".to_owned()))
///     }
/// });
/// serve_connection(server, service, &Protocols::new()).await.unwrap();
/// assert_eq!(asked.get(), 1);
/// let mut answer = [0; 1024];
/// let count = client.receive_some(&mut answer).await?;
/// assert!(answer[..count].starts_with(b"HTTP/1.0 200 OK"));
/// assert!(answer[..count].ends_with(b"hello"));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub async fn serve_connection<K, I, S>(stream: I, service: S, protocols: &Protocols) -> Result<(), BoxError>
where
    I: HttpStream,
    S: IntoService<K>,
{
    let stopping = Event::new();
    let service = service.into_service();
    open_nursery(async |n| {
        n.start_daemon(tell(&stopping));
        connection(stream.into_io(), &service, protocols, &stopping).await
    })
    .await
}

/// Tells the connections when a scope around it is asked to shut down.
pub(super) async fn tell(stopping: &Event) {
    until_shutdown(sleep_forever()).await;
    stopping.set();
}

/// Serves one connection until it ends; from `stopping` on it is to end soon.
pub(super) async fn connection<I, S>(
    io: I,
    service: &S,
    protocols: &Protocols,
    stopping: &Event,
) -> Result<(), BoxError>
where
    I: Read + Write + Unpin,
    S: HttpService,
{
    let mut io = Rewind::new(io);
    let version = match protocols.only {
        Some(version) => version,
        None => match version(&mut io, protocols, stopping).await? {
            Some(version) => version,
            None => return Ok(()),
        },
    };
    match version {
        Version::Http1 => http1(io, service, protocols, stopping).await,
        Version::Http2 => http2(io, service, protocols, stopping).await,
    }
}

/// Finds out which version a connection speaks; `None` if it does not say.
async fn version<I: Read + Unpin>(
    io: &mut Rewind<I>,
    protocols: &Protocols,
    stopping: &Event,
) -> io::Result<Option<Version>> {
    let waiting = move_on_after(protocols.patience, async {
        let mut asked = pin!(stopping.wait());
        let said = poll_fn(|context| match io.poll_version(context) {
            Poll::Ready(version) => Poll::Ready(Some(version)),
            Poll::Pending => asked.as_mut().poll(context).map(|()| None),
        })
        .await;
        match said {
            Some(version) => version.map(Some),
            None if io.is_fresh() => move_on_after(protocols.linger, io.version()).await.transpose(),
            None => io.version().await.map(Some),
        }
    });
    waiting.await.transpose().map(Option::flatten)
}

async fn http1<I, S>(io: I, service: &S, protocols: &Protocols, stopping: &Event) -> Result<(), BoxError>
where
    I: Read + Write + Unpin,
    S: HttpService,
{
    let mut connection = pin!(protocols.http1.serve_connection(io, Answering { service, stopping }));
    let mut asked = pin!(stopping.wait());
    let ended = poll_fn(|context| match connection.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => asked.as_mut().poll(context).map(|()| None),
    });
    if let Some(result) = ended.await {
        return Ok(result?);
    }
    // Whatever is answered from now on says that the connection ends with it. But hyper would close one on which nothing is in
    // progress at once, and what is on its way would be lost.
    let mut lingering = pin!(sleep(protocols.linger));
    let ended = poll_fn(|context| match connection.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => lingering.as_mut().poll(context).map(|()| None),
    });
    if let Some(result) = ended.await {
        return Ok(result?);
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}

async fn http2<I, S>(io: I, service: &S, protocols: &Protocols, stopping: &Event) -> Result<(), BoxError>
where
    I: Read + Write + Unpin,
    S: HttpService,
{
    let result = Cell::new(Ok(()));
    let streams = CancelScope::new();
    let over = streams.handle();
    let serving = open_nursery(async |n: &Nursery<'_, '_>| {
        let mut builder = http2::Builder::new(Executor::new(n));
        builder.timer(Timer);
        (protocols.http2)(&mut builder);
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut asked = pin!(stopping.wait());
        let mut is_asked = false;
        let ended = poll_fn(|context| {
            if !is_asked && asked.as_mut().poll(context).is_ready() {
                is_asked = true;
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(context)
        });
        result.set(ended.await);
        // What is answered now reaches nobody.
        over.cancel();
    });
    streams.run(serving).await;
    Ok(result.into_inner()?)
}
