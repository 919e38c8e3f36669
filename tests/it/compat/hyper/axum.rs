//! An axum application.

use std::cell::RefCell;

use ::axum::extract::{Path, State};
use ::axum::routing::{get as getting, post as posting};
use ::axum::{Router, http::StatusCode};
use send_wrapper::SendWrapper;
use trio::compat::hyper::serve;
use trio::net::{TcpListener, TcpStream};
use trio::testing::net::Network;

use super::{client, client2, get, post, text};
use crate::support::secs;

/// What a handler that uses trio looks like.
async fn after(Path(seconds): Path<u64>) -> String {
    SendWrapper::new(async move {
        trio::sleep(secs(seconds)).await;
        format!("slept {seconds}")
    })
    .await
}

async fn counted(State(prefix): State<&'static str>, body: String) -> String {
    format!("{prefix} {}", body.len())
}

fn app() -> Router {
    Router::new()
        .route("/", getting(async || "hello"))
        .route("/after/{seconds}", getting(after))
        .route("/count", posting(counted))
        .fallback(async || (StatusCode::OK, "nothing here"))
        .with_state("count:")
}

#[trio::test(autojump)]
async fn an_application_is_served_in_one_call() {
    let network = Network::new();
    let (server, user) = (network.host("server"), network.host("client"));
    let listener = server.run(TcpListener::bind("0.0.0.0:80")).await.unwrap();
    trio::nursery! { |n, scope|
        n.start_soon(async { serve([listener], app()).await.unwrap() });
        let connect = async || user.run(TcpStream::connect("server:80")).await.unwrap();
        let mut sender = client(n, connect().await).await;
        assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, "hello");
        assert_eq!(text(sender.send_request(get("/elsewhere")).await.unwrap()).await, "nothing here");
        let began = trio::current_time();
        assert_eq!(text(sender.send_request(get("/after/7")).await.unwrap()).await, "slept 7");
        assert_eq!((trio::current_time() - began).as_secs(), 7);

        let sender = client2(n, connect().await).await;
        let said = RefCell::new(Vec::new());
        let ask = async |length: usize| {
            let got = sender.clone().send_request(post("/count", "x".repeat(length))).await.unwrap();
            let got = text(got).await;
            said.borrow_mut().push(got);
        };
        futures::join!(ask(5), ask(100_000));
        said.borrow_mut().sort();
        assert_eq!(*said.borrow(), ["count: 100000", "count: 5"]);
        scope.cancel();
    };
}

#[trio::test(autojump)]
async fn an_application_ends_in_good_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let over = trio::nursery! { |n, scope|
        n.start_soon(async { serve([listener], app()).await.unwrap() });
        let mut sender = client(n, TcpStream::connect(address).await.unwrap()).await;
        let asked = n.spawn(async move { text(sender.send_request(get("/after/5")).await.unwrap()).await });
        trio::sleep(secs(1)).await;
        scope.shut_down(secs(60));
        assert_eq!(asked.join().await.unwrap(), "slept 5");
    };
    assert!(over.is_some());
}
