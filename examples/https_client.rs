//! Fetches a page over TLS.
//!
//! ```text
//! cargo run --example https_client                            from a server of its own on this machine
//! cargo run --example https_client -- https://example.com/    this page, 10 seconds at most
//! ```
//!
//! What to look at: `fetch` opens the connection and reads the answer, and is given a
//! configuration only where the certificate is not one that the system trusts; `serve` is a server
//! whose handlers do the handshake each in its own task, so that a client which is slow at that
//! keeps nobody waiting.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use trio::TaskStatus;
use trio::net::TcpStream;
use trio::tls::rustls::ClientConfig;
use trio::tls::rustls::pki_types::PrivateKeyDer;
use trio::tls::{self, TlsStream};
use trio_examples::http::{self, Page, Reader};
use trio_examples::say;

#[trio::main]
async fn main() -> trio::Result<ExitCode> {
    let Some(url) = std::env::args().nth(1) else {
        return from_here().await;
    };
    let Some((host, port, path)) = parts(&url) else {
        eprintln!("https_client: '{url}' is not of the form https://host/path");
        return Ok(ExitCode::from(2));
    };
    // The deadline holds for everything: the name, the connection, the handshake and the page.
    let page = trio::fail_after(Duration::from_secs(10), fetch(host, port, path, None)).await??;
    report(&page);
    Ok(ExitCode::SUCCESS)
}

/// Serves a page, and fetches it.
async fn from_here() -> trio::Result<ExitCode> {
    // A certificate that vouches for itself. The client is told to trust just that one.
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let server_config = tls::server_config(vec![certificate.clone()], key)?;
    let client_config = tls::client_config_trusting([certificate])?;
    let serve =
        |status: TaskStatus<_>| trio::serve_tls_over_tcp(handle, 0, Some("localhost"), server_config).reporting(status);
    trio::try_nursery! { |n, scope|
        // When `start` is over, the server listens.
        let port = n.start(serve).await?[0].port();
        let page = fetch("localhost", port, "/", Some(Arc::clone(&client_config))).await?;
        report(&page);
        // Without the configuration, the certificate is worth nothing, and no byte of a request is sent.
        match fetch("localhost", port, "/", None).await {
            Ok(_) => Err("a stranger was trusted")?,
            Err(error) => say(format!("as a stranger: {error}")),
        }
        scope.cancel();
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Fetches a page. Without a configuration, whom the system trusts is trusted.
async fn fetch(host: &str, port: u16, path: &str, config: Option<Arc<ClientConfig>>) -> trio::Result<Page> {
    // Many servers of HTTP leave out the end of the TLS session. The answer says its length by itself.
    let mut opening = trio::open_tls_over_tcp_stream(host, port).https_compatible(true);
    if let Some(config) = config {
        opening = opening.config(config);
    }
    let mut stream = opening.await?;
    // Not needed, since the first operation does it; but now it can be asked what came of it.
    stream.do_handshake().await?;
    if let (Some(version), Some(suite)) = (stream.protocol_version()?, stream.cipher_suite()?) {
        say(format!("{host} speaks {version:?} with {:?}", suite.suite()));
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.send_all(request.as_bytes()).await?;
    Ok(http::read_page(stream).await?)
}

/// Serves one connection. What goes wrong with a client is said, and does not take the server down.
async fn handle(mut stream: TlsStream<TcpStream>) {
    if let Err(error) = answer(&mut stream).await {
        say(format!("the server has lost a client: {error}"));
    }
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> trio::Result {
    let mut reader = Reader::new(&mut *stream);
    let request = reader.line().await?;
    reader.header_lines().await?;
    let body = format!("You have asked, in private: {request}\n");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.send_all(head.as_bytes()).await?;
    stream.send_all(body.as_bytes()).await?;
    // Says that this is the end, and closes the connection.
    stream.aclose().await?;
    Ok(())
}

fn report(page: &Page) {
    say(format!("{} {}, {} bytes", page.status, page.reason, page.bytes));
}

/// The host, the port and the path of a URL.
fn parts(url: &str) -> Option<(&str, u16, &str)> {
    let rest = url.strip_prefix("https://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 443),
    };
    (!host.is_empty()).then_some((host, port, path))
}
