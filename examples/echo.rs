//! A server that sends back what it receives, and clients that put load on it.
//!
//! ```text
//! cargo run --example echo                               both, on this machine
//! cargo run --example echo -- serve 0.0.0.0:7777         the server alone, until Ctrl-C
//! cargo run --example echo -- load 127.0.0.1:7777        the clients alone
//! ```
//!
//! What to look at: `serve_tcp` runs one task for each connection, and the task owns its stream, so nothing has to be closed;
//! the clients are tasks that share a tally without a lock, since all run on one thread.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use trio::net::TcpStream;
use trio::serve_tcp;
use trio_examples::say;

const CLIENTS: usize = 100;
const MESSAGES: u32 = 50;

#[trio::main]
async fn main() -> trio::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            trio::try_nursery! { |n, scope|
                // The server listens when `start` is over; the last client's end is the server's, too.
                let server = n.start(|status| serve_tcp(echo, 0, Some("127.0.0.1")).reporting(status)).await;
                let addresses = server.map_err(|error| error.to_string())?;
                load(addresses[0]).await?;
                scope.cancel();
            }?;
        }
        ["serve", address] => {
            let address: SocketAddr = address.parse()?;
            say(format!("serving {address}"));
            serve_tcp(echo, address.port(), Some(&address.ip().to_string())).await?;
        }
        ["load", address] => load(address.parse()?).await?,
        _ => {
            eprintln!("echo: either nothing, or `serve ADDRESS:PORT`, or `load ADDRESS:PORT`");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One connection. An error would end the whole server, so those that only mean that the peer has gone are none.
async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.receive_some(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) if stream.send_all(&buffer[..count]).await.is_err() => return,
            Ok(_) => {}
        }
    }
}

/// Runs all clients; the first error ends them all, and comes out here.
async fn load(address: SocketAddr) -> trio::Result {
    let (began, echoed) = (trio::current_time(), Cell::new(0_u64));
    trio::try_nursery! { |n|
        for client in 0..CLIENTS {
            n.named(format!("client {client}")).start_soon(talk(client, address, &echoed));
        }
    }?;
    let milliseconds = began.elapsed().as_millis();
    say(format!("{CLIENTS} clients sent {MESSAGES} messages each; {} came back in {milliseconds} ms", echoed.get()));
    Ok(())
}

/// One client: each message has to come back as it was sent before the next one is.
async fn talk(client: usize, address: SocketAddr, echoed: &Cell<u64>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let mut back = [0; 64];
    for number in 0..MESSAGES {
        let message = format!("client {client} says {number}");
        stream.send_all(message.as_bytes()).await?;
        let mut got = 0;
        while got < message.len() {
            match stream.receive_some(&mut back[got..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => got += count,
            }
        }
        if back[..got] != *message.as_bytes() {
            return Err(io::Error::other(format!("client {client} got something else back")));
        }
        echoed.set(echoed.get() + 1);
    }
    Ok(())
}
