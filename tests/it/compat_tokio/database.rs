//! A client that needs tokio, against its real server.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, cmd};
use trio::compat::tokio::{Tokio, open};
use trio::fs::TempDir;
use trio::lowlevel::current_statistics;
use trio::process::{Command, Stdio, supervise};

use super::{eventually, open_what_stays_open, workers_are_idle};
use crate::support::{alone, descriptors};

const TASKS: usize = 10;
const QUERIES: usize = 1000;

/// Longer than anything here takes, however busy the machine is.
const LONG: Duration = Duration::from_secs(600);

async fn connect(tokio: &Tokio, socket: &str) -> MultiplexedConnection {
    let client = Client::open(format!("redis+unix://{socket}")).unwrap();
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    loop {
        match tokio.run(client.get_multiplexed_async_connection_with_config(&config)).await {
            Ok(connection) => return connection,
            Err(error) => assert!(error.is_io_error(), "{error}"),
        }
        trio::sleep(Duration::from_millis(5)).await;
    }
}

/// One query, whose answer is nobody else's.
async fn echo(tokio: &Tokio, connection: &mut MultiplexedConnection, text: &str) {
    let answer: String = tokio.run(cmd("ECHO").arg(text).query_async(connection)).await.unwrap();
    assert_eq!(answer, text);
}

/// Asks, and is cancelled every millisecond: in the middle of a query, of connecting, or of anything else. Gives how often.
async fn be_cancelled(tokio: &Tokio, connection: &MultiplexedConnection, socket: &str, done: &Cell<usize>) -> usize {
    let mut cancelled = 0;
    while done.get() < TASKS {
        let asking = async {
            let mut connection = connection.clone();
            for number in 0_u64.. {
                echo(tokio, &mut connection, &format!("cancelled {cancelled}.{number}")).await;
                if number == 1 && cancelled % 10 == 0 {
                    // A connection of its own, with its task.
                    connection = connect(tokio, socket).await;
                }
            }
        };
        assert!(trio::move_on_after(Duration::from_millis(1), asking).await.is_none());
        cancelled += 1;
    }
    cancelled
}

async fn ask_all(tokio: &Tokio, socket: &str) {
    let connection = connect(tokio, socket).await;
    let (done, tasks_of_tokio) = (Cell::new(0), tokio.handle().metrics().num_alive_tasks());
    let nodes = current_statistics().nodes;
    let cancelled = trio::nursery! { |n|
        let victim = n.named("cancelled").spawn(be_cancelled(tokio, &connection, socket, &done));
        for task in 0..TASKS {
            let (mut connection, done) = (connection.clone(), &done);
            n.named(format!("task {task}")).start_soon(async move {
                for number in 0..QUERIES {
                    echo(tokio, &mut connection, &format!("query {task}.{number}")).await;
                }
                done.set(done.get() + 1);
            });
        }
        victim.join().await.unwrap()
    };
    assert_eq!(done.get(), TASKS);
    assert!(cancelled > 10, "cancelled {cancelled} times only");
    assert_eq!(current_statistics().nodes, nodes);
    // The connections of those who were cancelled have gone.
    while tokio.handle().metrics().num_alive_tasks() > tasks_of_tokio {
        trio::sleep(Duration::from_millis(1)).await;
    }
    println!("{} queries, cancelled {cancelled} times", TASKS * QUERIES);
}

async fn with_redis(folder: &Path) {
    let socket = folder.join("redis.sock").display().to_string();
    let socket = &socket;
    let mut redis = Command::new("redis-server");
    redis.args(["--port", "0", "--unixsocket", socket, "--save", "", "--dir", &folder.display().to_string()]);
    redis.stdout(Stdio::null());
    trio::try_nursery! { |n, scope|
        n.start(|status| supervise(redis, status)).await?;
        // Its pipes and descriptors are there.
        let before = descriptors();
        open(async |tokio| ask_all(tokio, socket).await).await?;
        assert_eq!(descriptors(), before);
        scope.cancel();
    }
    .unwrap();
}

#[test]
fn ten_thousand_queries_while_another_task_is_cancelled_every_millisecond() {
    if let Err(error) = std::process::Command::new("redis-server").arg("--version").output() {
        println!("skipped: redis-server is not to be had here: {error}");
        return;
    }
    alone(module_path!(), "ten_thousand_queries_while_another_task_is_cancelled_every_millisecond", || {
        open_what_stays_open();
        let before = descriptors();
        trio::run(async {
            let folder = TempDir::new().await.unwrap();
            trio::fail_after(LONG, with_redis(folder.path().as_path())).await.unwrap();
            folder.aclose().await.unwrap();
        });
        assert_eq!(descriptors(), before);
        // The one that drove tokio, and the one that made the folder, if it was another.
        eventually("the workers are idle", workers_are_idle);
        let statistics = trio::to_thread::pool_statistics();
        assert!(statistics.threads <= 2, "{statistics:?}");
    });
}
