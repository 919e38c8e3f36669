//! Servers that are asked to shut down: what was asked before is answered.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use ::hyper::Request;
use ::hyper::body::{Bytes, Incoming};
use ::hyper::service::service_fn;
use http_body_util::Empty;
use trio::compat::hyper::serve;
use trio::net::{TcpListener, TcpStream};
use trio::testing::net::Network;

use super::{Answer, answer, client, client2, get, text};
use crate::support::{secs, settle};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Answers after as many milliseconds as the path says.
async fn slow(request: Request<Incoming>) -> Answer {
    let path = &request.uri().path()[1..];
    trio::sleep(millis(path.parse().unwrap_or(0))).await;
    answer(format!("after {path}"))
}

/// Runs a server on a virtual network, and a body that is given a way to connect and one to shut the server down; gives how
/// long the server went on after that.
async fn shut_down_while(grace: Duration, body: impl AsyncFnOnce(&dyn Fn() -> Connecting, &dyn Fn())) -> Duration {
    let network = Network::new();
    let (server, user) = (network.host("server"), network.host("client"));
    let listener = server.run(TcpListener::bind("0.0.0.0:80")).await.unwrap();
    let (began, ended) = (Cell::new(None), Cell::new(None));
    trio::nursery! { |n|
        let scope = trio::CancelScope::new();
        let handle = scope.handle();
        let ended = &ended;
        n.start_soon(async move {
            scope.run(async { serve([listener], service_fn(slow)).await.unwrap() }).await;
            ended.set(Some(trio::current_time()));
        });
        let connect = || -> Connecting {
            let user = user.clone();
            Box::pin(async move { user.run(TcpStream::connect("server:80")).await })
        };
        let stop = || {
            began.set(Some(trio::current_time()));
            handle.shut_down(grace);
        };
        body(&connect, &stop).await;
    }
    ended.get().unwrap() - began.get().unwrap()
}

type Connecting = std::pin::Pin<Box<dyn Future<Output = std::io::Result<TcpStream>>>>;

#[trio::test(autojump, schedules = 10)]
async fn requests_in_progress_are_answered_and_nobody_else_gets_in() {
    let took = shut_down_while(secs(10), async |connect, stop| {
        trio::nursery! { |n|
            let mut one = client(n, connect().await.unwrap()).await;
            let two = client2(n, connect().await.unwrap()).await;
            let first = n.spawn(async move {
                let got = one.send_request(get("/2000")).await.unwrap();
                assert_eq!(got.headers()["connection"], "close");
                assert_eq!(text(got).await, "after 2000");
                // The connection has ended with that.
                one.ready().await.unwrap_err();
            });
            let mut sender = two.clone();
            let second = n.spawn(async move {
                assert_eq!(text(sender.send_request(get("/3000")).await.unwrap()).await, "after 3000");
            });
            trio::sleep(secs(1)).await;
            stop();
            trio::sleep(millis(500)).await;
            assert!(connect().await.is_err());
            first.join().await.unwrap();
            second.join().await.unwrap();
        }
    })
    .await;
    assert_eq!(took.as_millis(), 2000);
}

#[trio::test(autojump, schedules = 10)]
async fn idle_connections_are_closed_after_a_moment() {
    let took = shut_down_while(secs(10), async |connect, stop| {
        trio::nursery! { |n|
            let mut used = client(n, connect().await.unwrap()).await;
            assert_eq!(text(used.send_request(get("/0")).await.unwrap()).await, "after 0");
            let _silent = connect().await.unwrap();
            let mut two = client2(n, connect().await.unwrap()).await;
            assert_eq!(text(two.send_request(get("/0")).await.unwrap()).await, "after 0");
            trio::sleep(secs(1)).await;
            stop();
            trio::sleep(secs(1)).await;
            used.ready().await.unwrap_err();
        }
    })
    .await;
    assert_eq!(took.as_millis(), 100);
}

#[trio::test(autojump, schedules = 10)]
async fn a_request_that_was_on_its_way_is_answered() {
    let took = shut_down_while(secs(10), async |connect, stop| {
        trio::nursery! { |n|
            let mut used = client(n, connect().await.unwrap()).await;
            assert_eq!(text(used.send_request(get("/0")).await.unwrap()).await, "after 0");
            used.ready().await.unwrap();
            let mut fresh = client(n, connect().await.unwrap()).await;
            trio::sleep(secs(1)).await;
            stop();
            trio::sleep(millis(50)).await;
            let got = used.send_request(get("/500")).await.unwrap();
            assert_eq!(got.headers()["connection"], "close");
            assert_eq!(text(got).await, "after 500");
            let _ = fresh.send_request(get("/0")).await;
        }
    })
    .await;
    assert_eq!(took.as_millis(), 550);
}

/// Who has connected, and is not accepted yet, gets in.
#[trio::test(autojump, schedules = 10)]
async fn those_who_wait_at_the_door_are_accepted() {
    let took = shut_down_while(secs(10), async |connect, stop| {
        trio::nursery! { |n|
            let (a, b) = (connect().await.unwrap(), connect().await.unwrap());
            // In the same step, so that the server has not run.
            stop();
            for stream in [a, b] {
                n.start_soon(async move {
                    let mut sender = client(n, stream).await;
                    assert_eq!(text(sender.send_request(get("/300")).await.unwrap()).await, "after 300");
                });
            }
        }
    })
    .await;
    assert_eq!(took.as_millis(), 300);
}

#[trio::test(autojump, schedules = 10)]
async fn what_is_not_over_when_the_grace_is_is_cut() {
    let took = shut_down_while(secs(2), async |connect, stop| {
        trio::nursery! { |n|
            let mut one = client(n, connect().await.unwrap()).await;
            let mut two = client2(n, connect().await.unwrap()).await;
            n.start_soon(async move { drop(one.send_request(get("/10000")).await.unwrap_err()) });
            n.start_soon(async move { drop(two.send_request(get("/10000")).await.unwrap_err()) });
            trio::sleep(secs(1)).await;
            stop();
        }
    })
    .await;
    assert_eq!(took.as_millis(), 2000);
}

#[trio::test(autojump)]
async fn a_server_that_is_shutting_down_from_the_beginning_ends_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let result = trio::cancel_scope! { |scope|
        scope.shut_down(secs(5));
        serve([listener], service_fn(slow)).await.unwrap()
    };
    assert!(result.is_some());
}

/// Clients that ask and ask, over the system's network; when the server goes down, each of their requests that was sent
/// on a connection which stands is answered.
async fn under_load(http2: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (served, answered) = (Cell::new(0_u32), Cell::new(0_u32));
    let failures = RefCell::new(Vec::new());
    let service = service_fn(|_request: Request<Incoming>| {
        let served = &served;
        async move {
            // Some at once, some later.
            let number = served.get();
            served.set(number + 1);
            trio::sleep(Duration::from_micros(u64::from(number % 3) * 500)).await;
            answer("hello")
        }
    });
    trio::nursery! { |n|
        let scope = trio::CancelScope::new();
        let stop = scope.handle();
        n.start_soon(async { scope.run(async { serve([listener], &service).await.unwrap() }).await.expect("in good order") });
        for _ in 0..32 {
            n.start_soon(async {
                // Until nobody lets it in any more.
                while let Ok(stream) = TcpStream::connect(address).await {
                    trio::nursery! { |own|
                        let ended = if http2 { ask_http2(own, stream, &answered).await } else { ask_http1(own, stream, &answered).await };
                        if let Err(error) = ended {
                            failures.borrow_mut().push(error);
                        }
                    }
                }
            });
        }
        while served.get() < 2000 {
            trio::sleep(millis(1)).await;
        }
        stop.shut_down(secs(120));
    }
    assert_eq!(*failures.borrow(), [""; 0]);
    assert_eq!(served.get(), answered.get());
}

type Own<'scope, 'env> = &'scope trio::Nursery<'scope, 'env>;

async fn ask_http1<'s>(n: Own<'s, '_>, stream: TcpStream, answered: &Cell<u32>) -> Result<(), String> {
    let mut sender = client::<_, Empty<Bytes>, _>(n, stream).await;
    for number in 0.. {
        if sender.ready().await.is_err() {
            return Ok(());
        }
        match sender.send_request(get("/")).await {
            Ok(got) => {
                let closes = got.headers().get("connection").is_some_and(|value| value == "close");
                assert_eq!(text(got).await, "hello");
                answered.set(answered.get() + 1);
                if closes {
                    return Ok(());
                }
            }
            Err(error) => return Err(format!("request {number}: {error:?}")),
        }
    }
    Ok(())
}

async fn ask_http2<'s>(n: Own<'s, '_>, stream: TcpStream, answered: &Cell<u32>) -> Result<(), String> {
    let mut sender = client2::<_, Empty<Bytes>, _>(n, stream).await;
    for number in 0.. {
        if sender.ready().await.is_err() {
            return Ok(());
        }
        match sender.send_request(get("/")).await {
            Ok(got) => {
                assert_eq!(text(got).await, "hello");
                answered.set(answered.get() + 1);
            }
            // Said to be not taken: the server had said before that it takes no more.
            Err(error) if error.is_canceled() => return Ok(()),
            Err(error) => return Err(format!("request {number}: {error:?}")),
        }
    }
    Ok(())
}

#[trio::test]
async fn under_load_no_request_is_lost() {
    trio::fail_after(secs(300), under_load(false)).await.unwrap();
    settle().await;
}

#[trio::test]
async fn under_load_no_request_of_http2_is_lost() {
    trio::fail_after(secs(300), under_load(true)).await.unwrap();
    settle().await;
}
