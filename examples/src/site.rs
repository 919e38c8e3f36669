//! A small web site on this machine, so that the quickstart has something to fetch without a
//! network.
//!
//! Its pages are slow on purpose, each in its own way, and one never answers. It is an ordinary
//! trio server: a loop that accepts, and a nursery with one task for each connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use trio::net::{TcpListener, TcpStream};
use trio::{sleep, sleep_forever};

use crate::http::Reader;
use crate::say;
use crate::url::Url;

/// The addresses worth fetching from a site at `address`, and one where nobody listens.
#[must_use]
pub fn urls(address: SocketAddr) -> Vec<Url> {
    // Port 1 belongs to a service that died out decades ago: a connection to it is refused at once.
    let refused = SocketAddr::new(address.ip(), 1);
    ["/quick", "/slow", "/in-pieces", "/until-close", "/missing", "/never"]
        .map(|path| format!("http://{address}{path}"))
        .into_iter()
        .chain([format!("http://{refused}/refused")])
        .map(|url| url.parse().expect("a socket address and a path make a URL"))
        .collect()
}

/// Serves the pages of [`urls`] until it is cancelled.
///
/// # Cancellation
///
/// Closes the listener and every open connection, which is the only way in which it ends.
///
/// # Errors
///
/// When the listener fails. A client that goes away is no error: that only ends its own connection.
pub async fn serve(mut listener: TcpListener) -> io::Result<()> {
    // The guard is dropped when this task is cancelled, wherever it waits: Rust's `finally`.
    let _closed = SaysClosed;
    say(format!("the site listens on {}", listener.local_addr()?));
    trio::nursery! { |n|
        loop {
            // `?` leaves the loop, the nursery and this function, after the open connections have
            // been cancelled.
            let (stream, _peer) = listener.accept().await?;
            n.start_soon(handle(stream));
        }
    }
}

/// Says that the site is gone, however that came about.
struct SaysClosed;

impl Drop for SaysClosed {
    fn drop(&mut self) {
        say("the site is closed");
    }
}

/// Serves one connection; a client that hangs up early, or talks nonsense, gets nothing more.
async fn handle(mut stream: TcpStream) {
    // Reading borrows the stream for a while, and so does answering: that they don't overlap is
    // checked by the compiler.
    let mut reader = Reader::new(&mut stream);
    let Ok(request) = reader.line().await else {
        return;
    };
    if reader.header_lines().await.is_err() {
        return;
    }
    let path = request.split(' ').nth(1).unwrap_or("/");
    // The connection is closed when `stream` is dropped, whichever way this ends.
    let _gone = answer(&mut stream, path).await;
}

/// Sends one page, each path with its own kind of slowness and its own way to say where the body
/// ends.
async fn answer(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    match path {
        "/quick" => send_page(stream, "200 OK", 500).await,
        "/slow" => {
            sleep(Duration::from_millis(600)).await;
            send_page(stream, "200 OK", 20_000).await
        }
        "/in-pieces" => {
            stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            for _ in 0..3 {
                sleep(Duration::from_millis(250)).await;
                let piece = "piece by piece, ".repeat(64);
                stream.send_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await?;
            }
            stream.send_all(b"0\r\n\r\n").await
        }
        "/until-close" => {
            sleep(Duration::from_millis(400)).await;
            stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
            stream.send_all(&[b'.'; 4096]).await
        }
        "/never" => sleep_forever().await,
        _ => {
            sleep(Duration::from_millis(100)).await;
            send_page(stream, "404 Not Found", 90).await
        }
    }
}

/// Sends an answer whose length is said first.
async fn send_page(stream: &mut TcpStream, status: &str, length: usize) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.send_all(head.as_bytes()).await?;
    stream.send_all(&vec![b'.'; length]).await
}
