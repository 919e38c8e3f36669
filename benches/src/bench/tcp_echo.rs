//! TCP echo on loopback: `n` connections, client and server in one thread, 64 bytes or 64 KiB there and back.
//!
//! All connections are made first, one after the other; that is not measured. Then every connection gets a serving
//! and an asking task, and the time runs until all have ended and all connections are closed. Everywhere: no delay of
//! small packets, reads into a buffer of 1 KiB (64 KiB for large messages), the asking side waits for the whole answer.
//!
//! Two limits show what no runtime can beat: blocking sockets in lock step, which need four system calls a round trip
//! and never ask whether a socket is ready, and a bare loop over mio's events with a hand-written state per connection.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use crate::harness::{Benchmark, Sample};
use crate::hosts::{self, Hosted};
use crate::options::Scale;

/// The size of a small message, and of the buffer that it is read into.
const MESSAGE: usize = 64;
const BUFFER: usize = 1_024;
/// The size of a large message and of its buffer.
const LARGE: usize = 64 * 1_024;
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) fn benchmarks(scale: Scale) -> Vec<Benchmark> {
    let load = |connections, trips, size| Load { connections, trips: scale.of(trips), size };
    // Fewer rounds of the large ones: every closed connection keeps its port for a minute.
    vec![
        limited(
            "TCP echo, 1 connection",
            "64 bytes there and back over loopback; time per round trip.",
            load(1, 10_000, MESSAGE),
            11,
        ),
        limited(
            "TCP echo, 64 connections",
            "The same over 64 connections at once; time per round trip.",
            load(64, 200, MESSAGE),
            11,
        ),
        limited(
            "TCP echo, 1,000 connections",
            "The same over 1,000 connections at once; time per round trip.",
            load(1_000, 20, MESSAGE),
            5,
        ),
        benchmark(
            "TCP echo, 1 connection, 64 KiB",
            "64 KiB there and back over loopback; time per round trip.",
            load(1, 1_000, LARGE),
            11,
        ),
        benchmark(
            "TCP echo, 64 connections, 64 KiB",
            "The same over 64 connections at once; time per round trip.",
            load(64, 20, LARGE),
            11,
        ),
        benchmark(
            "TCP echo, 1,000 connections, 64 KiB",
            "The same over 1,000 connections at once; time per round trip.",
            load(1_000, 2, LARGE),
            5,
        ),
    ]
}

/// With the limits that no runtime can beat.
fn limited(name: &'static str, what: &'static str, load: Load, rounds: usize) -> Benchmark {
    let benchmark = benchmark(name, what, load, rounds)
        .contender("limit: bare mio loop", move || echo(load, || Ok(on_mio(load))))
        .contender("limit: blocking sockets", move || echo(load, || Ok(on_blocking_sockets(load))));
    if load.connections > 64 { benchmark } else { benchmark.goal("trio", "limit: bare mio loop", 0.95) }
}

fn benchmark(name: &'static str, what: &'static str, load: Load, rounds: usize) -> Benchmark {
    let benchmark = Benchmark::new(name, what)
        .at_most(rounds)
        .contender("trio", move || echo(load, || hosts::trio(on_trio(load))))
        .contender("tokio LocalRuntime", move || echo(load, || hosts::tokio_local_runtime(on_tokio(load))))
        .contender("smol", move || echo(load, || hosts::smol(move |executor| on_smol(executor, load))))
        .contender("monoio", move || echo(load, || hosts::monoio(on_monoio(load))));
    #[cfg(target_os = "linux")]
    let benchmark = benchmark.contender("glommio (io_uring)", move || echo(load, || hosts::glommio(on_glommio(load))));
    benchmark.goal("trio", "tokio LocalRuntime", 1.0)
}

/// How many connections, how many round trips on each, and of how many bytes.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: u64,
    pub(super) trips: u64,
    pub(super) size: usize,
}

impl Load {
    fn message(self) -> Vec<u8> {
        vec![7; self.size]
    }

    fn buffer(self) -> Vec<u8> {
        vec![0; self.size.max(BUFFER)]
    }

    pub(super) fn sample(self, start: Instant) -> Sample {
        Sample::new(start.elapsed(), self.connections * self.trips)
    }
}

/// Runs a body if the process may have as many files open as it needs.
pub(super) fn echo(load: Load, body: impl FnOnce() -> Hosted<io::Result<Sample>>) -> Hosted<Sample> {
    // Two sockets a connection, and some for the runtime, the terminal and whatever the process was started with.
    allow_open_files(2 * load.connections + 64)?;
    body()?.map_err(|error| error.to_string())
}

/// Raises the process's own limit of open files to what the system allows, if it is below `needed`.
#[cfg(unix)]
fn allow_open_files(needed: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given a valid, initialised `rlimit`.
    let allowed = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
            && (limit.rlim_cur >= needed || {
                limit.rlim_cur = limit.rlim_max.min(needed);
                limit.rlim_cur == needed && libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
            })
    };
    if allowed { Ok(()) } else { Err(format!("it needs {needed} open files (ulimit -n)")) }
}

#[cfg(not(unix))]
fn allow_open_files(_needed: u64) -> Result<(), String> {
    Ok(())
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
            n.start_soon(trio_serve(server, load));
            n.start_soon(trio_ask(client, load));
        }
    }
    .map_err(io::Error::other)?;
    Ok(load.sample(start))
}

pub(super) async fn trio_serve(mut stream: impl trio::ByteStream, load: Load) -> io::Result<()> {
    let mut buffer = load.buffer();
    loop {
        let count = stream.receive_some(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.send_all(&buffer[..count]).await?;
    }
}

pub(super) async fn trio_ask(mut stream: impl trio::ByteStream, load: Load) -> io::Result<()> {
    let (message, mut buffer) = (load.message(), load.buffer());
    for _ in 0..load.trips {
        stream.send_all(&message).await?;
        let mut got = 0;
        while got < load.size {
            let count = stream.receive_some(&mut buffer).await?;
            got += if count == 0 {
                return Err(early_end());
            } else {
                count
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
        handles.push(tokio::task::spawn_local(tokio_serve(server, load)));
        handles.push(tokio::task::spawn_local(tokio_ask(client, load)));
    }
    for handle in handles {
        handle.await??;
    }
    Ok(load.sample(start))
}

pub(super) async fn tokio_serve(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    load: Load,
) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = load.buffer();
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

pub(super) async fn tokio_ask(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    load: Load,
) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (message, mut buffer) = (load.message(), load.buffer());
    for _ in 0..load.trips {
        stream.write_all(&message).await?;
        let mut got = 0;
        while got < load.size {
            let count = stream.read(&mut buffer).await?;
            got += if count == 0 {
                return Err(early_end());
            } else {
                count
            };
        }
    }
    Ok(())
}

async fn on_smol(executor: std::rc::Rc<smol::LocalExecutor<'static>>, load: Load) -> io::Result<Sample> {
    let listener = smol::net::TcpListener::bind(ANY_PORT).await?;
    let address = listener.local_addr()?;
    let mut pairs = Vec::new();
    for _ in 0..load.connections {
        let client = smol::net::TcpStream::connect(address).await?;
        let (server, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        pairs.push((client, server));
    }
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (client, server) in pairs {
        tasks.push(executor.spawn(futures_serve(server, load)));
        tasks.push(executor.spawn(futures_ask(client, load)));
    }
    for task in tasks {
        task.await?;
    }
    Ok(load.sample(start))
}

/// The serving side of smol and glommio, whose streams have the traits of the `futures` crates.
async fn futures_serve(
    mut stream: impl smol::io::AsyncRead + smol::io::AsyncWrite + Unpin,
    load: Load,
) -> io::Result<()> {
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    let mut buffer = load.buffer();
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

/// The asking side of smol and glommio.
async fn futures_ask(
    mut stream: impl smol::io::AsyncRead + smol::io::AsyncWrite + Unpin,
    load: Load,
) -> io::Result<()> {
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    let (message, mut buffer) = (load.message(), load.buffer());
    for _ in 0..load.trips {
        stream.write_all(&message).await?;
        let mut got = 0;
        while got < load.size {
            let count = stream.read(&mut buffer).await?;
            got += if count == 0 {
                return Err(early_end());
            } else {
                count
            };
        }
    }
    Ok(())
}

async fn on_monoio(load: Load) -> io::Result<Sample> {
    let listener = monoio::net::TcpListener::bind(ANY_PORT)?;
    let address = listener.local_addr()?;
    let mut pairs = Vec::new();
    for _ in 0..load.connections {
        let client = monoio::net::TcpStream::connect(address).await?;
        let (server, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        pairs.push((client, server));
    }
    let start = Instant::now();
    let mut handles = Vec::new();
    for (client, server) in pairs {
        handles.push(monoio::spawn(monoio_serve(server, load)));
        handles.push(monoio::spawn(monoio_ask(client, load)));
    }
    for handle in handles {
        handle.await?;
    }
    Ok(load.sample(start))
}

/// monoio's operations take the buffer and give it back, as its `io_uring` driver needs.
async fn monoio_serve(mut stream: monoio::net::TcpStream, load: Load) -> io::Result<()> {
    use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
    let mut buffer = load.buffer();
    loop {
        let (count, full) = stream.read(buffer).await;
        let count = count?;
        if count == 0 {
            return Ok(());
        }
        let (written, part) = stream.write_all(monoio::buf::IoBuf::slice(full, ..count)).await;
        written?;
        buffer = part.into_inner();
        buffer.resize(load.size.max(BUFFER), 0);
    }
}

async fn monoio_ask(mut stream: monoio::net::TcpStream, load: Load) -> io::Result<()> {
    use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
    let (mut message, mut buffer) = (load.message(), load.buffer());
    for _ in 0..load.trips {
        let (written, sent) = stream.write_all(message).await;
        written?;
        message = sent;
        let mut got = 0;
        while got < load.size {
            let (count, full) = stream.read(buffer).await;
            buffer = full;
            let count = count?;
            got += if count == 0 {
                return Err(early_end());
            } else {
                count
            };
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
async fn on_glommio(load: Load) -> io::Result<Sample> {
    let listener = glommio::net::TcpListener::bind(ANY_PORT)?;
    let address = listener.local_addr()?;
    let mut pairs = Vec::new();
    for _ in 0..load.connections {
        let client = glommio::net::TcpStream::connect(address).await?;
        let server = listener.accept().await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        pairs.push((client, server));
    }
    let start = Instant::now();
    let mut tasks = Vec::new();
    for (client, server) in pairs {
        tasks.push(glommio::spawn_local(futures_serve(server, load)));
        tasks.push(glommio::spawn_local(futures_ask(client, load)));
    }
    for task in tasks {
        task.await?;
    }
    Ok(load.sample(start))
}

/// As many pairs of connected sockets as the load has connections.
fn connected_pairs(load: Load) -> io::Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind(ANY_PORT)?;
    let address = listener.local_addr()?;
    let mut pairs = Vec::new();
    for _ in 0..load.connections {
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        pairs.push((client, server));
    }
    Ok(pairs)
}

/// Four system calls a round trip. The order of the calls is fixed, so that none ever waits.
fn on_blocking_sockets(load: Load) -> io::Result<Sample> {
    let mut pairs = connected_pairs(load)?;
    let (message, mut buffer) = (load.message(), load.buffer());
    let start = Instant::now();
    for _ in 0..load.trips {
        for (client, _) in &mut pairs {
            client.write_all(&message)?;
        }
        for (_, server) in &mut pairs {
            let count = server.read(&mut buffer)?;
            server.write_all(&buffer[..count])?;
        }
        for (client, _) in &mut pairs {
            client.read_exact(&mut buffer[..load.size])?;
        }
    }
    drop(pairs);
    Ok(load.sample(start))
}

/// One connection of the bare mio loop.
struct Connection {
    client: mio::net::TcpStream,
    server: mio::net::TcpStream,
    /// Bytes of the current answer that have come.
    got: usize,
    /// Round trips still to be finished.
    left: u64,
}

impl Connection {
    /// Sends back whatever has come. The answer always fits into the socket's buffer: no more than one is under way.
    fn serve(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while let Some(count) = read_ready(&mut self.server, buffer)? {
            self.server.write_all(&buffer[..count])?;
            if count < buffer.len() {
                break;
            }
        }
        Ok(())
    }

    /// Takes what has come, and asks again when the answer is whole. Says whether that was the last one.
    fn ask(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(count) = read_ready(&mut self.client, buffer)? else {
            return Ok(false);
        };
        self.got += count;
        if self.got < MESSAGE {
            return Ok(false);
        }
        self.got = 0;
        self.left -= 1;
        if self.left > 0 {
            self.client.write_all(&[7; MESSAGE])?;
        }
        Ok(self.left == 0)
    }
}

/// Reads once; `None` if nothing has come.
fn read_ready(stream: &mut mio::net::TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match stream.read(buffer) {
        Ok(0) => Err(early_end()),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A read that does not fill the buffer has emptied the socket, so it is not tried again before the next event.
fn on_mio(load: Load) -> io::Result<Sample> {
    let mut poll = mio::Poll::new()?;
    let mut connections = Vec::new();
    for (index, (client, server)) in connected_pairs(load)?.into_iter().enumerate() {
        client.set_nonblocking(true)?;
        server.set_nonblocking(true)?;
        let mut client = mio::net::TcpStream::from_std(client);
        let mut server = mio::net::TcpStream::from_std(server);
        poll.registry().register(&mut client, mio::Token(2 * index), mio::Interest::READABLE)?;
        poll.registry().register(&mut server, mio::Token(2 * index + 1), mio::Interest::READABLE)?;
        connections.push(Connection { client, server, got: 0, left: load.trips });
    }
    let start = Instant::now();
    let mut buffer = [0; BUFFER];
    let mut events = mio::Events::with_capacity(1_024);
    let mut open = load.connections;
    for connection in &mut connections {
        connection.client.write_all(&[7; MESSAGE])?;
    }
    while open > 0 {
        poll.poll(&mut events, None)?;
        for event in &events {
            let connection = &mut connections[event.token().0 / 2];
            if event.token().0 % 2 == 1 {
                connection.serve(&mut buffer)?;
            } else if connection.ask(&mut buffer)? {
                open -= 1;
            }
        }
    }
    drop(connections);
    Ok(load.sample(start))
}
