//! An axum application on trio: routes, extractors, state, a handler that sleeps, and an end in good order.
//!
//! axum wants its handlers' futures to be `Send`, which those of trio are not: a `SendWrapper` says that they stay on this
//! thread, and they do.
//!
//! Without arguments it is its own client for a moment. With an address it serves until it is killed:
//! `cargo run --example axum_app 127.0.0.1:8080`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use send_wrapper::SendWrapper;
use trio::compat::hyper::serve;
use trio::net::{TcpListener, TcpStream};

/// What people have noted, by name.
type Notes = Arc<Mutex<BTreeMap<String, String>>>;

fn app() -> Router {
    Router::new()
        .route("/notes/{name}", get(read).put(write))
        .route("/after/{milliseconds}", get(after))
        .with_state(Notes::default())
}

async fn read(State(notes): State<Notes>, Path(name): Path<String>) -> Result<String, StatusCode> {
    notes.lock().unwrap().get(&name).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn write(State(notes): State<Notes>, Path(name): Path<String>, text: String) -> StatusCode {
    match notes.lock().unwrap().insert(name, text) {
        None => StatusCode::CREATED,
        Some(_) => StatusCode::OK,
    }
}

/// A handler that uses trio.
async fn after(Path(milliseconds): Path<u64>) -> String {
    SendWrapper::new(async move {
        trio::sleep(Duration::from_millis(milliseconds)).await;
        format!("{milliseconds} ms later")
    })
    .await
}

#[trio::main]
async fn main() -> trio::Result {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let local = listener.local_addr()?;
    if address.is_some() {
        println!("serving http://{local}");
        return Ok(serve([listener], app()).await?);
    }
    trio::try_nursery! { |n, scope|
        n.start_soon(serve([listener], app()));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TcpStream::connect(local).await?).await?;
        n.start_soon(connection);
        for (method, path, body) in [
            (Method::GET, "/notes/milk", ""),
            (Method::PUT, "/notes/milk", "two bottles"),
            (Method::GET, "/notes/milk", ""),
            (Method::GET, "/after/100", ""),
        ] {
            println!("{method} {path}: {}", ask(&mut sender, method.clone(), path, body).await?);
        }
        scope.shut_down(Duration::from_secs(10));
    }?;
    println!("down");
    Ok(())
}

/// Sends a request over the connection that there is; gives the status and the text of the answer.
async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
    body: &'static str,
) -> trio::Result<String> {
    sender.ready().await?;
    let request = Request::builder().method(method).uri(path).header("host", "localhost").body(Full::from(body))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await?.to_bytes();
    Ok(format!("{status} {}", String::from_utf8_lossy(&text)).trim().to_owned())
}
