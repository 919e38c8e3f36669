//! A service that keeps its counts in Redis, through a client that was made for tokio.
//!
//! ```text
//! cargo run --example database        needs the program `redis-server` (Debian: apt-get install redis-server)
//! ```
//!
//! The nursery of `main` starts the database as a child process, which so ends with it, whatever happens. Around all that uses
//! the client is a bridge to tokio: `tokio.run(…)` runs one of its futures in the task that calls it, and when the bridge's
//! block is over, the client's own tasks and tokio's thread are gone. The service is trio's: its connections, its nursery,
//! its timeouts.
//!
//! What to look at: `count` awaits tokio's future as any other; `next_order` cancels one, and says what that means for Redis.

use std::io;
use std::process::Command as Probe;
use std::time::Duration;

use redis::Direction::{Left, Right};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, Client};
use trio::compat::tokio::{Tokio, open};
use trio::fs::TempDir;
use trio::net::TcpStream;
use trio::process::{Command, Stdio, supervise};
use trio::{BufferedReceiveStream, Event, serve_tcp};
use trio_examples::say;

const VISITORS: usize = 20;
const VISITS: usize = 50;
/// How long a request may wait for an order.
const PATIENCE: Duration = Duration::from_millis(300);

#[trio::main]
async fn main() -> trio::Result {
    if let Err(error) = Probe::new("redis-server").arg("--version").output() {
        say(format!("skipped: redis-server can't be run here: {error}"));
        return Ok(());
    }
    // Its socket is in a folder of its own, so nothing else on the machine is in the way.
    let folder = TempDir::new().await?;
    let socket = folder.path().join("redis.sock").display().to_string();
    trio::try_nursery! { |n, scope|
        let mut redis = Command::new("redis-server");
        redis.args(["--port", "0", "--unixsocket", &socket, "--save", "", "--dir", &folder.path().display().to_string()]);
        redis.stdout(Stdio::null());
        n.start(|status| supervise(redis, status)).await?;

        open(async |tokio| {
            let client = Client::open(format!("redis+unix://{socket}"))?;
            let counts = connect(tokio, &client).await?;
            say("connected");
            serve(&Service { tokio, client, counts }).await
        })
        .await??;
        // What the nursery waits for is the database, which gets a SIGTERM.
        scope.cancel();
    }?;
    say("the database has ended");
    folder.aclose().await?;
    Ok(())
}

/// Connects as soon as the database listens.
async fn connect(tokio: &Tokio, client: &Client) -> trio::Result<MultiplexedConnection> {
    // Time limits are scopes here, not a matter of each library.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    trio::fail_after(Duration::from_secs(60), async {
        loop {
            match tokio.run(client.get_multiplexed_async_connection_with_config(&config)).await {
                Err(error) if error.is_io_error() => trio::sleep(Duration::from_millis(10)).await,
                connected => return Ok(connected?),
            }
        }
    })
    .await?
}

struct Service<'a> {
    tokio: &'a Tokio,
    client: Client,
    /// A connection that all requests share: clones are cheap.
    counts: MultiplexedConnection,
}

impl Service<'_> {
    /// One more visit of this page.
    async fn count(&self, page: &str) -> trio::Result<u64> {
        let mut counts = self.counts.clone();
        Ok(self.tokio.run(counts.incr(page, 1)).await?)
    }

    /// The next order, if one comes in time.
    async fn next_order(&self) -> trio::Result<Option<String>> {
        // A command that waits keeps its connection busy, so it gets one of its own. When the scope drops the future, that
        // connection is closed; on a shared one the command would go on.
        let mut orders = connect(self.tokio, &self.client).await?;
        let waiting = self.tokio.run(orders.blmove::<_, _, String>("orders", "taken", Left, Right, 0.0));
        if let Some(moved) = trio::move_on_after(PATIENCE, waiting).await {
            moved?;
        }
        // Whether Redis had moved one when the scope was over, the future can't tell: so it moves it to where it is found, now or
        // by whoever asks next.
        Ok(self.tokio.run(self.counts.clone().lpop("taken", None)).await?)
    }

    async fn answer(&self, request: &str) -> trio::Result<String> {
        Ok(match request.split_once(' ') {
            Some(("visit", page)) => self.count(page).await?.to_string(),
            Some(("order", dish)) => {
                let mut orders = self.counts.clone();
                self.tokio.run(orders.rpush::<_, _, ()>("orders", dish)).await?;
                "ordered".to_owned()
            }
            _ if request == "next" => self.next_order().await?.unwrap_or_else(|| "nothing to do".to_owned()),
            _ => "what?".to_owned(),
        })
    }

    /// One connection: a line for each request, and one for its answer.
    async fn serve(&self, stream: TcpStream) -> trio::Result {
        let mut lines = BufferedReceiveStream::new(stream);
        while let Some(request) = lines.read_line(1000).await? {
            let answer = self.answer(&request).await?;
            lines.get_mut().send_all(format!("{answer}\n").as_bytes()).await?;
        }
        Ok(())
    }
}

/// Serves those who come, until they have gone.
async fn serve(service: &Service<'_>) -> trio::Result {
    trio::try_nursery! { |n, scope|
        let handler = |stream| service.serve(stream);
        let server = n.start(|status| serve_tcp(handler, 0, Some("127.0.0.1")).reporting(status)).await;
        let port = server?[0].port();
        visit_all(port).await?;
        let left = ask(port, "next").await?;
        say(format!("a cook who comes late: {left}"));
        scope.cancel();
    }?;
    Ok(())
}

/// Many visitors at once, a cook who waits for an order, and a guest who places one.
async fn visit_all(port: u16) -> trio::Result {
    let told = Event::new();
    trio::try_nursery! { |n|
        for number in 0..VISITORS {
            n.named(format!("visitor {number}")).start_soon(async move {
                for _ in 0..VISITS {
                    ask(port, "visit menu").await?;
                }
                Ok::<_, io::Error>(())
            });
        }
        n.named("cook").start_soon(async {
            // The first who asks may be told too early, so asks again.
            let order = loop {
                match ask(port, "next").await? {
                    order if order == "nothing to do" => told.set(),
                    order => break order,
                }
            };
            say(format!("the cook makes: {order}"));
            Ok::<_, io::Error>(())
        });
        n.named("guest").start_soon(async {
            told.wait().await;
            ask(port, "order soup").await.map(drop)
        });
    }?;
    let visits = ask(port, "visit menu").await?;
    say(format!("{VISITORS} visitors came {VISITS} times each; the next visit is number {visits}"));
    Ok(())
}

/// Sends one request, and gives its answer.
async fn ask(port: u16, request: &str) -> io::Result<String> {
    let mut lines = BufferedReceiveStream::new(TcpStream::connect(("127.0.0.1", port)).await?);
    lines.get_mut().send_all(format!("{request}\n").as_bytes()).await?;
    lines.read_line(1000).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
