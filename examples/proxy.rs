//! A TCP proxy that goes down gracefully: it stops to accept, lets connections finish for a while, and cuts the rest.
//!
//! ```text
//! cargo run --example proxy                                          with a server and clients of its own
//! cargo run --example proxy -- 127.0.0.1:8080 example.com:80         from here to there, until SIGTERM or Ctrl-C
//! ```
//!
//! What to look at: `shut_down` asks a scope to wind down. What is inside `until_shutdown` ends at once (accepting); all else
//! has the grace period. Nobody passes a flag around, and a second Ctrl-C still kills.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use trio::net::TcpStream;
use trio::signals::{SIGINT, SIGTERM};
use trio::{
    CancelHandle, Event, MemorySender, TaskStatus, open_memory_channel, open_signal_receiver, open_tcp_stream,
    serve_tcp, until_shutdown,
};
use trio_examples::say;

/// How long connections may go on when the proxy is to end.
const GRACE: Duration = Duration::from_secs(5);

#[trio::main(ctrl_c = "ignore")]
async fn main() -> trio::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => demonstrate().await?,
        [here, there] => {
            let here: SocketAddr = here.parse()?;
            let (host, port) = there.rsplit_once(':').ok_or("the second address has no port")?;
            let upstream = Upstream { host: host.to_owned(), port: port.parse()? };
            trio::try_nursery! { |n, scope|
                n.start_daemon(shut_down_on_signal(scope.clone()));
                proxy(here, &upstream, TaskStatus::ignored()).await?;
            }?;
        }
        _ => {
            eprintln!("proxy: either nothing, or ADDRESS:PORT HOST:PORT");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where connections go.
struct Upstream {
    host: String,
    port: u16,
}

/// The first signal asks everything to wind down; the next one ends it.
async fn shut_down_on_signal(scope: CancelHandle) -> io::Result<()> {
    let mut signals = open_signal_receiver(&[SIGINT, SIGTERM])?;
    signals.receive().await?;
    say(format!("going down: {} ms for those who are connected", GRACE.as_millis()));
    scope.shut_down(GRACE);
    signals.receive().await?;
    say("going down at once");
    scope.cancel();
    Ok(())
}

/// Accepts until the scope around it winds down, then waits for the connections that there are.
async fn proxy(here: SocketAddr, upstream: &Upstream, status: TaskStatus<Vec<SocketAddr>>) -> trio::Result {
    trio::try_nursery! { |connections|
        let relay = async |client| relay(client, upstream).await;
        let host = here.ip().to_string();
        let server = serve_tcp(relay, here.port(), Some(&host)).reporting(status).handlers_in(connections);
        if let Some(ended) = until_shutdown(server).await {
            ended?;
        }
        say("no more connections are accepted");
    }?;
    Ok(())
}

/// One connection. Its troubles are its own.
async fn relay(mut client: TcpStream, upstream: &Upstream) {
    let end = Ending { how: "cut" };
    let result = async {
        let mut server = open_tcp_stream(&upstream.host, upstream.port).await?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        trio::try_nursery! { |n| -> Result<_, io::Error>
            n.start_soon(copy(from_client, to_server));
            n.start_soon(copy(from_server, to_client));
        }
        .map_err(io::Error::other)
    };
    let how = if result.await.is_ok() { "finished" } else { "failed" };
    end.is(how);
}

/// Says how a connection ended; without a word from anybody else it was cut.
struct Ending {
    how: &'static str,
}

impl Ending {
    fn is(mut self, how: &'static str) {
        self.how = how;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        say(format!("a connection {}", if self.how == "cut" { "is cut" } else { self.how }));
    }
}

/// One direction, to its end, which is passed on.
async fn copy(mut from: trio::net::TcpReceiveHalf<'_>, mut to: trio::net::TcpSendHalf<'_>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.receive_some(&mut buffer).await? {
            0 => return to.send_eof().await,
            count => to.send_all(&buffer[..count]).await?,
        }
    }
}

/// A server that takes its time, and clients of which one finishes within the grace and one does not.
async fn demonstrate() -> trio::Result {
    let (asked, questions) = open_memory_channel(3);
    let script = Script { asked, released: Event::new() };
    trio::try_nursery! { |n, scope|
        let answer = async |stream| script.answer(stream).await;
        let server = n.start(|status| serve_tcp(answer, 0, Some("127.0.0.1")).reporting(status)).await;
        let server = server.map_err(|error| error.to_string())?[0];
        let upstream = Upstream { host: server.ip().to_string(), port: server.port() };
        let outcome = trio::try_nursery! { |n, proxy_scope|
            let start = n.start(|status| proxy(SocketAddr::from(([127, 0, 0, 1], 0)), &upstream, status)).await;
            let here = start.map_err(|error| error.to_string())?[0];
            ask(here, "now").await?;
            trio::try_nursery! { |clients|
                clients.start_soon(ask(here, "soon"));
                clients.start_soon(ask(here, "late"));
                for _ in ["now", "soon", "late"] {
                    questions.receive().await?;
                }
                say("the proxy is asked to end");
                proxy_scope.shut_down(GRACE);
                let refused = trio::move_on_after(GRACE, until_refused(here)).await.is_some();
                say(format!("a new connection is {}", if refused { "refused" } else { "accepted" }));
                script.released.set();
            }?;
        }?;
        say(if outcome.is_none() { "the grace is over" } else { "all have finished" });
        scope.cancel();
    }?;
    Ok(())
}

/// Connects until nobody listens any more.
async fn until_refused(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {}
}

/// What the server waits for.
struct Script {
    asked: MemorySender<()>,
    released: Event,
}

impl Script {
    /// What the server does: "now" is answered at once, "soon" when that is released, and "late" never.
    async fn answer(&self, mut stream: TcpStream) {
        let mut question = [0; 8];
        if !stream.receive_some(&mut question).await.is_ok_and(|count| count > 0) {
            return;
        }
        let _asked = self.asked.try_send(());
        match question[0] {
            b'l' => trio::sleep_forever().await,
            b's' => self.released.wait().await,
            _ => {}
        }
        // Who does not want it any more need not get it.
        let _gone = stream.send_all(b"done").await;
    }
}

/// A client: asks, and says what came back.
async fn ask(proxy: SocketAddr, question: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(proxy).await?;
    stream.send_all(question.as_bytes()).await?;
    let answer = stream.receive_some(&mut [0; 8]).await;
    say(format!("{question}: {}", if matches!(answer, Ok(4)) { "answered" } else { "no answer" }));
    Ok(())
}
