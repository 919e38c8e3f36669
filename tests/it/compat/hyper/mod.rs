//! hyper on trio: servers and clients, over the system's network and over virtual ones.

mod axum;
mod curl;
mod graceful;
mod requests;
mod runtime;

use std::convert::Infallible;

use ::hyper::body::{Bytes, Incoming};
use ::hyper::client::conn::{http1, http2};
use ::hyper::rt::{Read, Write};
use ::hyper::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use trio::Nursery;
use trio::compat::hyper::Executor;

/// What the tests' answers consist of.
type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn answer(text: impl Into<Bytes>) -> Answer {
    Ok(Response::new(Full::new(text.into())))
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::builder().uri(path).header("host", "server").body(Empty::new()).unwrap()
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder().method("POST").uri(path).header("host", "server").body(Full::new(body.into())).unwrap()
}

async fn text(answer: Response<Incoming>) -> String {
    assert_eq!(answer.status(), StatusCode::OK);
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// A client whose connection is a task of the nursery.
async fn client<'scope, I, B, E>(n: &'scope Nursery<'scope, '_, E>, io: I) -> http1::SendRequest<B>
where
    I: Read + Write + Unpin + 'scope,
    B: ::hyper::body::Body<Data = Bytes, Error = Infallible> + 'static,
{
    let (sender, connection) = http1::handshake(io).await.unwrap();
    // How it ends is what the test is about.
    n.start_daemon(async move { drop(connection.await) });
    sender
}

async fn client2<'scope, I, B, E>(n: &'scope Nursery<'scope, '_, E>, io: I) -> http2::SendRequest<B>
where
    I: Read + Write + Unpin + 'static,
    B: ::hyper::body::Body<Data = Bytes, Error = Infallible> + Unpin + 'static,
{
    let (sender, connection) = http2::handshake(Executor::new(n), io).await.unwrap();
    n.start_daemon(async move { drop(connection.await) });
    sender
}
