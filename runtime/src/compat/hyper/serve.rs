//! An HTTP server in one call.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::connection::{Protocols, connection, tell};
use super::io::HttpStream;
use super::service::{HttpService, IntoService};
use crate::kernel::group::{BoxError, ErrorGroup};
use crate::kernel::nursery::{Nursery, open_try_nursery};
use crate::kernel::report::report;
use crate::kernel::shutdown::until_shutdown;
use crate::kernel::sleep::sleep;
use crate::net::serve::{BREATHER, is_for_want_of_something};
use crate::stream::Listener;
use crate::sync::Event;

/// How often a listener that is to be closed is asked in vain whether somebody has connected.
const LAST_LOOKS: u32 = 5;

/// Serves HTTP at listeners of any kind: a hyper service, or a tower service such as an axum `Router`.
///
/// Each connection is a task of the server's, which goes on until it is cancelled or a listener fails. HTTP/1.1 and HTTP/2
/// are told apart by how a connection begins; with TLS, clients want to be told by ALPN (`h2`, `http/1.1` in the
/// configuration's `alpn_protocols`). [`protocols`](Serve::protocols) changes what is spoken, and how.
///
/// What goes wrong with a connection ends that connection only, and is told to whoever wants to know:
/// [`on_error`](Serve::on_error). A panic of the service takes the server down, as everywhere.
///
/// # Shutting down
///
/// When a scope around it is asked to [shut down](crate::CancelHandle::shut_down), the server
///
/// * accepts those who have connected by then, and closes its listeners;
/// * lets the requests in progress be answered, HTTP/1 with `Connection: close`, and the connection ends with that; HTTP/2
///   connections are told that no more requests are taken (`GOAWAY`), and end when those that were are answered;
/// * keeps an HTTP/1 connection on which nothing is in progress for a [moment](Protocols::linger), in case a request is on
///   its way;
/// * and ends, with `Ok`, when all connections have ended. What has not when the grace is over is cut, as by any
///   cancellation.
///
/// So no request that came before is lost, if the grace is long enough. Clients that send one on a connection that has been
/// idle for long have to be ready, as always with HTTP/1, for it to be closed just then.
///
/// A checkpoint. Cancelled or dropped, it closes its listeners, and drops all connections.
///
/// # Errors
///
/// What listeners fail with, apart from a want of descriptors or memory, which may be over soon: then it waits a moment, as
/// [`serve_listeners`](crate::serve_listeners()) does.
///
/// # Examples
///
/// ```
/// use hyper::{Request, Response, body::Incoming, service::service_fn};
/// use std::{convert::Infallible, time::Duration};
/// use trio::net::{TcpListener, TcpStream};
/// async fn hello(_request: Request<Incoming>) -> Result<Response<String>, Infallible> {
///     trio::sleep(Duration::from_millis(10)).await;
///     Ok(Response::new("hello".to_owned()))
/// }
///
/// #[trio::main]
/// async fn main() -> trio::Result {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     trio::try_nursery! { |n, scope|
///         n.start_soon(trio::compat::hyper::serve([listener], service_fn(hello)));
///         let mut client = TcpStream::connect(address).await?;
///         client.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
///         // The request is answered all the same.
///         trio::checkpoint().await;
///         scope.shut_down(Duration::from_secs(10));
///         let mut answer = Vec::new();
///         let mut buffer = [0; 1024];
///         loop {
///             match client.receive_some(&mut buffer).await? {
///                 0 => break,
///                 count => answer.extend_from_slice(&buffer[..count]),
///             }
///         }
///         assert!(answer.ends_with(b"hello"));
///     }?;
///     Ok(())
/// }
/// ```
pub fn serve<'a, K, L, S>(listeners: impl IntoIterator<Item = L>, service: S) -> Serve<'a, L, S::Service>
where
    L: Listener<Stream: HttpStream> + 'a,
    S: IntoService<K>,
{
    let options = Options {
        listeners: listeners.into_iter().collect(),
        service: service.into_service(),
        protocols: Protocols::new(),
        on_error: Box::new(drop),
    };
    Serve { options: Some(options), running: None }
}

/// An HTTP server: a future that [`serve`] makes, and what can be said about it before it runs.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Serve<'a, L, S> {
    options: Option<Options<'a, L, S>>,
    running: Option<Running<'a>>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<(), ErrorGroup<io::Error>>> + 'a>>;

struct Options<'a, L, S> {
    listeners: Vec<L>,
    service: S,
    protocols: Protocols,
    on_error: Box<dyn Fn(BoxError) + 'a>,
}

impl<'a, L, S> Serve<'a, L, S> {
    /// Says what is spoken, and how.
    pub fn protocols(mut self, protocols: Protocols) -> Self {
        self.change(|options| options.protocols = protocols);
        self
    }

    /// Says who is told what went wrong with a connection: hyper's errors and the service's. Most of it is what clients do.
    /// Nobody, unless said.
    pub fn on_error(mut self, on_error: impl Fn(BoxError) + 'a) -> Self {
        self.change(|options| options.on_error = Box::new(on_error));
        self
    }

    fn change(&mut self, change: impl FnOnce(&mut Options<'a, L, S>)) {
        match &mut self.options {
            Some(options) => change(options),
            None => unreachable!("a future that is being polled is pinned, and not to be had any more"),
        }
    }
}

impl<'a, L, S> Future for Serve<'a, L, S>
where
    L: Listener<Stream: HttpStream> + 'a,
    S: HttpService + 'a,
{
    type Output = Result<(), ErrorGroup<io::Error>>;

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

impl<L, S> Unpin for Serve<'_, L, S> {}

impl<L, S> fmt::Debug for Serve<'_, L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("running", &self.running.is_some()).finish_non_exhaustive()
    }
}

/// What the connections share.
struct Server<'a, S> {
    service: S,
    protocols: Protocols,
    on_error: Box<dyn Fn(BoxError) + 'a>,
    stopping: Event,
}

async fn run<'a, L, S>(options: Options<'a, L, S>) -> Result<(), ErrorGroup<io::Error>>
where
    L: Listener<Stream: HttpStream> + 'a,
    S: HttpService + 'a,
{
    let Options { listeners, service, protocols, on_error } = options;
    let server = Rc::new(Server { service, protocols, on_error, stopping: Event::new() });
    open_try_nursery(async move |n: &Nursery<'_, 'a, io::Error>| {
        let own = Rc::clone(&server);
        n.start_daemon(async move { tell(&own.stopping).await });
        for listener in listeners {
            n.start_soon(accept(listener, n, Rc::clone(&server)));
        }
        Ok(())
    })
    .await
}

/// Accepts connections at one listener until the server is asked to shut down.
async fn accept<'scope, 'env, L, S>(
    mut listener: L,
    n: &'scope Nursery<'scope, 'env, io::Error>,
    server: Rc<Server<'env, S>>,
) -> io::Result<()>
where
    L: Listener<Stream: HttpStream> + 'env,
    S: HttpService + 'env,
{
    while let Some(accepted) = until_shutdown(listener.accept()).await {
        match accepted {
            Ok(stream) => n.start_soon(handle(stream, Rc::clone(&server))),
            Err(error) if is_for_want_of_something(&error) => {
                report(format_args!("can't accept a connection: {error}; trying again in {BREATHER:?}"));
                sleep(BREATHER).await;
            }
            Err(error) => return Err(error),
        }
    }
    while let Some(stream) = accept_now(&mut listener).await {
        n.start_soon(handle(stream, Rc::clone(&server)));
    }
    Ok(())
}

/// Accepts somebody who has connected already.
async fn accept_now<L: Listener>(listener: &mut L) -> Option<L::Stream> {
    let mut accepting = pin!(listener.accept());
    let mut looks = 0;
    let accepted = poll_fn(|context| match accepting.as_mut().poll(context) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending if looks == LAST_LOOKS => Poll::Ready(None),
        Poll::Pending => {
            // The system tells of new ones between two passes.
            looks += 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    accepted.await
}

async fn handle<I: HttpStream, S: HttpService>(stream: I, server: Rc<Server<'_, S>>) {
    let Server { service, protocols, on_error, stopping } = &*server;
    if let Err(error) = connection(stream.into_io(), service, protocols, stopping).await {
        on_error(error);
    }
}
