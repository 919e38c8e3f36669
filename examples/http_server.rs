//! An HTTP server on hyper: HTTP/1.1 and HTTP/2, requests that wait and share state without locks, and an end in good order.
//!
//! Without arguments it is its own client for a moment. With an address it serves until Ctrl-C, which lets it finish what it
//! is doing: `cargo run --example http_server 127.0.0.1:8080`, then `curl http://127.0.0.1:8080/count`.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use trio::compat::hyper::serve;
use trio::net::{TcpListener, TcpStream};
use trio::{CancelHandle, signals};

/// How long requests may go on when the server is to end.
const GRACE: Duration = Duration::from_secs(10);

/// Answers a request. The counter is borrowed: no service has to be `'static` here.
async fn answer(request: Request<Incoming>, count: &Cell<u32>) -> Result<Response<String>, Infallible> {
    count.set(count.get() + 1);
    let (status, text) = match request.uri().path() {
        "/" => (StatusCode::OK, "hello".to_owned()),
        "/count" => (StatusCode::OK, format!("request number {}", count.get())),
        "/slow" => {
            // As everything that waits, it can be cancelled: when the client goes away, or the grace is over.
            trio::sleep(Duration::from_millis(200)).await;
            (StatusCode::OK, "worth the wait".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, "no such page".to_owned()),
    };
    let mut response = Response::new(text + "\n");
    *response.status_mut() = status;
    Ok(response)
}

#[trio::main]
async fn main() -> trio::Result {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let local = listener.local_addr()?;
    let count = Cell::new(0);
    let service = service_fn(|request| answer(request, &count));
    trio::try_nursery! { |n, scope|
        if address.is_some() {
            println!("serving http://{local}");
            n.start_daemon(stop_on_signal(scope.clone()));
        } else {
            n.start_soon(demonstrate(local, scope.clone()));
        }
        serve([listener], service).on_error(|error| eprintln!("a connection has failed: {error}")).await?;
    }?;
    println!("served {} requests", count.get());
    Ok(())
}

/// Asks the server to end when somebody wants it to.
async fn stop_on_signal(server: CancelHandle) -> trio::Result {
    let mut signals = trio::open_signal_receiver(&[signals::SIGINT, signals::SIGTERM])?;
    signals.receive().await?;
    println!("finishing");
    server.shut_down(GRACE);
    Ok(())
}

/// A few requests, one of which is in progress when the server is asked to end.
async fn demonstrate(server: std::net::SocketAddr, scope: CancelHandle) -> trio::Result {
    for path in ["/", "/count", "/elsewhere"] {
        println!("{path}: {}", get(server, path).await?);
    }
    trio::try_nursery! { |n|
        n.start_soon(async move {
            println!("/slow: {}", get(server, "/slow").await?);
            Ok(())
        });
        trio::sleep(Duration::from_millis(50)).await;
        println!("shutting down");
        scope.shut_down(GRACE);
    }?;
    Ok(())
}

/// Fetches a page; gives its status and its text.
async fn get(server: std::net::SocketAddr, path: &str) -> trio::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.send_all(request.as_bytes()).await?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        match stream.receive_some(&mut buffer).await? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
    let status = head.split(' ').nth(1).ok_or("no status")?;
    Ok(format!("{status}, {}", body.trim()))
}
