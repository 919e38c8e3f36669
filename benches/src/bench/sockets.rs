//! What TCP is not: Unix streams and datagrams, client and server in one thread.

use std::io;
use std::time::Instant;

use super::tcp_echo::{Load, echo, tokio_ask, tokio_serve, trio_ask, trio_serve};
use crate::harness::{Benchmark, Sample};
use crate::hosts;
use crate::options::Scale;

/// The size of a small message.
const SMALL: usize = 64;

pub(crate) fn benchmarks(scale: Scale) -> Vec<Benchmark> {
    let load = move |connections, trips, size| Load { connections, trips: scale.of(trips), size };
    vec![
        unix("Unix echo, 1 connection", "64 bytes there and back; time per round trip.", load(1, 10_000, SMALL)),
        unix("Unix echo, 64 connections", "The same over 64 at once; time per round trip.", load(64, 200, SMALL)),
        unix("Unix echo, 1 connection, 64 KiB", "64 KiB there and back; time per round trip.", load(1, 1_000, 65_536)),
        Benchmark::new("UDP ping-pong", "A datagram of 64 bytes there and back; time per round trip.")
            .contender("trio", move || echo(load(1, 10_000, SMALL), || hosts::trio(udp_on_trio(scale.of(10_000)))))
            .contender("tokio LocalRuntime", move || {
                echo(load(1, 10_000, SMALL), || hosts::tokio_local_runtime(udp_on_tokio(scale.of(10_000))))
            })
            .goal("trio", "tokio LocalRuntime", 1.0),
    ]
}

fn unix(name: &'static str, what: &'static str, load: Load) -> Benchmark {
    Benchmark::new(name, what)
        .contender("trio", move || echo(load, || hosts::trio(unix_on_trio(load))))
        .contender("tokio LocalRuntime", move || echo(load, || hosts::tokio_local_runtime(unix_on_tokio(load))))
        .goal("trio", "tokio LocalRuntime", 1.0)
}

async fn unix_on_trio(load: Load) -> io::Result<Sample> {
    let mut pairs = Vec::new();
    for _ in 0..load.connections {
        pairs.push(trio::net::UnixStream::pair()?);
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

async fn unix_on_tokio(load: Load) -> io::Result<Sample> {
    let mut pairs = Vec::new();
    for _ in 0..load.connections {
        pairs.push(tokio::net::UnixStream::pair()?);
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

async fn udp_on_trio(trips: u64) -> io::Result<Sample> {
    let one = trio::net::UdpSocket::bind("127.0.0.1:0").await?;
    let other = trio::net::UdpSocket::bind("127.0.0.1:0").await?;
    one.connect(other.local_addr()?).await?;
    other.connect(one.local_addr()?).await?;
    let start = Instant::now();
    trio::try_nursery! { |n| -> Result<(), io::Error>
        n.start_soon(async {
            let mut buffer = [0; 1024];
            for _ in 0..trips {
                let count = other.recv(&mut buffer).await?;
                other.send(&buffer[..count]).await?;
            }
            Ok(())
        });
        n.start_soon(async {
            let mut buffer = [0; 1024];
            for _ in 0..trips {
                one.send(&[7; SMALL]).await?;
                one.recv(&mut buffer).await?;
            }
            Ok(())
        });
    }
    .map_err(io::Error::other)?;
    Ok(Sample::new(start.elapsed(), trips))
}

async fn udp_on_tokio(trips: u64) -> io::Result<Sample> {
    let one = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    one.connect(other.local_addr()?).await?;
    other.connect(one.local_addr()?).await?;
    let start = Instant::now();
    let serve = tokio::task::spawn_local(async move {
        let mut buffer = [0; 1024];
        for _ in 0..trips {
            let count = other.recv(&mut buffer).await?;
            other.send(&buffer[..count]).await?;
        }
        io::Result::Ok(())
    });
    let ask = tokio::task::spawn_local(async move {
        let mut buffer = [0; 1024];
        for _ in 0..trips {
            one.send(&[7; SMALL]).await?;
            one.recv(&mut buffer).await?;
        }
        io::Result::Ok(())
    });
    serve.await??;
    ask.await??;
    Ok(Sample::new(start.elapsed(), trips))
}
