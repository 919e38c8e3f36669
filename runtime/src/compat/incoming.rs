//! The connections of a listener as a stream of the `futures` crates.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::kernel::checkpoint::yield_now;
use crate::kernel::context;
use crate::stream::Listener;

/// The connections that a listener accepts, as a `futures_core::Stream`, which never ends.
///
/// Each poll for one is a checkpoint, as [`accept`](Listener::accept) is. Given up or cancelled, it has accepted nobody, or
/// whoever it has accepted is given by the next poll. An error of the listener's is an item; the stream goes on after it.
///
/// For a server, [`serve_listeners`](crate::serve_listeners()) is what takes care of the rest.
///
/// # Examples
///
/// ```
/// use futures::StreamExt;
/// use trio::net::{TcpListener, TcpStream};
/// trio::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     let _client = TcpStream::connect(address).await?;
///     let mut connections = trio::compat::incoming(listener);
///     let server = connections.next().await.unwrap()?;
///     assert_eq!(server.local_addr()?, address);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub fn incoming<'a, L: Listener + 'a>(mut listener: L) -> Incoming<'a, L::Stream> {
    let accepted = Rc::new(RefCell::new(None));
    let place = Rc::clone(&accepted);
    let accepting = Box::pin(async move {
        loop {
            let connection = listener.accept().await;
            *place.borrow_mut() = Some(connection);
            // Polled again when it has been taken.
            poll_fn(|_| if place.borrow().is_some() { Poll::Pending } else { Poll::Ready(()) }).await;
        }
    });
    Incoming { accepting, accepted }
}

/// The connections of a listener: see [`incoming`].
#[must_use = "streams do nothing unless they are polled"]
pub struct Incoming<'a, S> {
    accepting: Pin<Box<dyn Future<Output = ()> + 'a>>,
    accepted: Rc<RefCell<Option<io::Result<S>>>>,
}

impl<S> Stream for Incoming<'_, S> {
    type Item = io::Result<S>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<S>>> {
        if let Some(connection) = self.take() {
            // The others have had their turn since it was accepted.
            return Poll::Ready(Some(connection));
        }
        let _ = self.accepting.as_mut().poll(context);
        if let Some(connection) = self.take() {
            return Poll::Ready(Some(connection));
        }
        // What has accepted somebody may still owe a yield, and holds its scope until then, but whoever polls may never come
        // back. So it is completed at once, and the yield is owed here.
        if context::with(|run| run.is_held_here()) {
            let _ = self.accepting.as_mut().poll(context);
            if self.accepted.borrow().is_some() {
                context::with(|run| yield_now(run, context));
            }
        }
        Poll::Pending
    }
}

impl<S> Incoming<'_, S> {
    fn take(&self) -> Option<io::Result<S>> {
        self.accepted.borrow_mut().take()
    }
}

impl<S> fmt::Debug for Incoming<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}
