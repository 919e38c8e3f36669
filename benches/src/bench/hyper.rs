//! hyper hello-world: the same HTTP/1.1 server on trio and on tokio, and clients that ask and ask, all in one thread.
//!
//! As with the TCP echo, all connections are made first. A client sends a request with one write and waits for the whole
//! answer; it knows by heart how that ends. What is measured is the server with its runtime, and the clients' two operations.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

use super::tcp_echo::{Load, echo};
use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";
const END: &[u8] = b"\r\n\r\nhello, world";

pub(crate) fn benchmarks(scale: Scale) -> Vec<Benchmark> {
    let benchmark = |name, connections, trips| {
        let load = Load { connections, trips: scale.of(trips), size: 0 };
        Benchmark::new(name, "HTTP/1.1 by hyper, connections that are kept alive; time per request.")
            .at_most(11)
            .contender("trio", move || echo(load, || hosts::trio(on_trio(load))))
            .contender("tokio LocalRuntime", move || echo(load, || hosts::tokio_local_runtime(on_tokio(load))))
            .goal("trio", "tokio LocalRuntime", 1.0)
    };
    vec![
        benchmark("hyper hello-world, 1 connection", 1, 5_000),
        benchmark("hyper hello-world, 64 connections", 64, 100),
    ]
}

async fn hello(_request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("hello, world".to_owned()))
}

fn early_end() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection early")
}

async fn on_trio(load: Load) -> io::Result<Sample> {
    let mut listener = trio::net::TcpListener::bind(ANY_PORT).await?;
    let address = listener.local_addr()?;
    let mut pairs = Vec::new();
    for _ in 0..load.connections {
        let client = trio::net::TcpStream::connect(address).await?;
        let (server, _) = listener.accept().await?;
        pairs.push((client, server));
    }
    let start = Instant::now();
    trio::try_nursery! { |n| -> Result<(), io::Error>
        for (client, server) in pairs {
            n.start_soon(async move {
                http1::Builder::new().serve_connection(server, service_fn(hello)).await.map_err(io::Error::other)
            });
            n.start_soon(trio_ask(client, load));
        }
    }
    .map_err(io::Error::other)?;
    Ok(load.sample(start))
}

async fn trio_ask(mut stream: trio::net::TcpStream, load: Load) -> io::Result<()> {
    let mut buffer = [0; 1024];
    for _ in 0..load.trips {
        stream.send_all(REQUEST).await?;
        let mut got = 0;
        while !buffer[..got].ends_with(END) {
            got += match stream.receive_some(&mut buffer[got..]).await? {
                0 => return Err(early_end()),
                count => count,
            };
        }
    }
    Ok(())
}

async fn on_tokio(load: Load) -> io::Result<Sample> {
    let listener = tokio::net::TcpListener::bind(ANY_PORT).await?;
    let address = listener.local_addr()?;
    let mut pairs = Vec::new();
    for _ in 0..load.connections {
        let client = tokio::net::TcpStream::connect(address).await?;
        let (server, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        pairs.push((client, server));
    }
    let start = Instant::now();
    let mut handles = Vec::new();
    for (client, server) in pairs {
        handles.push(tokio::task::spawn_local(async move {
            let server = hyper_util::rt::TokioIo::new(server);
            http1::Builder::new().serve_connection(server, service_fn(hello)).await.map_err(io::Error::other)
        }));
        handles.push(tokio::task::spawn_local(tokio_ask(client, load)));
    }
    for handle in handles {
        handle.await??;
    }
    Ok(load.sample(start))
}

async fn tokio_ask(mut stream: tokio::net::TcpStream, load: Load) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = [0; 1024];
    for _ in 0..load.trips {
        stream.write_all(REQUEST).await?;
        let mut got = 0;
        while !buffer[..got].ends_with(END) {
            got += match stream.read(&mut buffer[got..]).await? {
                0 => return Err(early_end()),
                count => count,
            };
        }
    }
    Ok(())
}
