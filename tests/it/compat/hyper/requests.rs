//! Requests and answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ::hyper::body::Incoming;
use ::hyper::service::service_fn;
use ::hyper::{Request, Version};
use http_body_util::BodyExt;
use trio::compat::Polled;
use trio::compat::hyper::{Protocols, serve, serve_connection};
use trio::net::{TcpListener, TcpStream, UnixListener};
use trio::testing::net::Network;
use trio::testing::{memory_stream_pair, open_stream_to_socket_listener};
use trio::{ReceiveStream, SendStream};

use super::{Answer, answer, client, client2, get, post, text};
use crate::support::{OnDrop, secs, settle};

/// Says back what it was sent, in capitals.
async fn shout(request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    answer(format!("{path} {}", String::from_utf8_lossy(&body).to_uppercase()))
}

/// Several requests over one connection of each version.
async fn talk(listener: TcpListener, connect: impl AsyncFn() -> TcpStream) {
    trio::nursery! { |n, scope|
        n.start_soon(async { serve([listener], service_fn(shout)).await.unwrap() });
        let mut sender = client(n, connect().await).await;
        for word in ["one", "two", "three"] {
            let got = sender.send_request(post("/path", word)).await.unwrap();
            assert_eq!(got.version(), Version::HTTP_11);
            assert_eq!(text(got).await, format!("/path {}", word.to_uppercase()));
        }
        let much = "much ".repeat(100_000);
        sender.ready().await.unwrap();
        let got = sender.send_request(post("/", much.clone())).await.unwrap();
        assert_eq!(text(got).await, format!("/ {}", much.to_uppercase()));

        let sender = client2(n, connect().await).await;
        let ask = async |word: String| {
            let mut sender = sender.clone();
            let got = sender.send_request(post("/h2", word.clone())).await.unwrap();
            assert_eq!(got.version(), Version::HTTP_2);
            assert_eq!(text(got).await, format!("/h2 {}", word.to_uppercase()));
        };
        futures::join!(ask("one".to_owned()), ask("two".to_owned()), ask("three".repeat(50_000)));
        scope.cancel();
    };
}

#[trio::test]
async fn both_versions_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    trio::fail_after(secs(120), talk(listener, async || TcpStream::connect(address).await.unwrap())).await.unwrap();
}

#[trio::test(autojump, schedules = 10)]
async fn both_versions_over_a_virtual_network() {
    let network = Network::new();
    let (server, user) = (network.host("server"), network.host("client"));
    let listener = server.run(TcpListener::bind("0.0.0.0:80")).await.unwrap();
    talk(listener, async || user.run(TcpStream::connect("server:80")).await.unwrap()).await;
}

#[trio::test]
async fn over_unix_sockets_and_several_listeners() {
    let folder = tempfile();
    let listeners =
        [UnixListener::bind(folder.join("a")).await.unwrap(), UnixListener::bind(folder.join("b")).await.unwrap()];
    trio::nursery! { |n, scope|
        n.start_soon(async { serve(listeners, service_fn(shout)).await.unwrap() });
        for name in ["a", "b"] {
            let stream = trio::open_unix_socket(folder.join(name)).await.unwrap();
            assert_eq!(text(client(n, stream).await.send_request(post("/", "x")).await.unwrap()).await, "/ X");
        }
        scope.cancel();
    };
    std::fs::remove_dir_all(folder).unwrap();
}

fn tempfile() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("trio-hyper-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[trio::test(schedules = 20)]
async fn a_service_borrows_and_is_neither_send_nor_static() {
    let count = Cell::new(0);
    let words = RefCell::new(Vec::new());
    let shared = Rc::new("shared");
    let service = service_fn(|request: Request<Incoming>| {
        let (count, words, shared) = (&count, &words, Rc::clone(&shared));
        async move {
            trio::sleep(Duration::from_millis(1)).await;
            count.set(count.get() + 1);
            words.borrow_mut().push(request.uri().path().to_owned());
            answer(*shared)
        }
    });
    let protocols = Protocols::new();
    for version in [1, 2] {
        let (here, there) = memory_stream_pair();
        trio::nursery! { |n, scope|
            let serving = serve_connection(there, &service, &protocols);
            let asking = async {
                if version == 1 {
                    let mut sender = client(n, Polled::new(here)).await;
                    assert_eq!(text(sender.send_request(get("/one")).await.unwrap()).await, "shared");
                } else {
                    let mut sender = client2(n, Polled::new(here)).await;
                    assert_eq!(text(sender.send_request(get("/two")).await.unwrap()).await, "shared");
                }
                scope.cancel();
            };
            let _ = futures::join!(serving, asking);
        };
    }
    assert_eq!(count.get(), 2);
    assert_eq!(*words.borrow(), ["/one", "/two"]);
}

/// The first bytes say which version it is, however they are cut.
#[trio::test(schedules = 20)]
async fn versions_are_told_apart_by_the_first_bytes() {
    for (first, rest, begins) in [
        ("P", "OST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", &b"HTTP/1.1 200"[..]),
        ("PRI * HTTP/2.0\r\n", "\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", &b"\0\0"[..]),
        ("PRI ", "/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", &b"HTTP/1.1 200"[..]),
    ] {
        let (mut here, there) = memory_stream_pair();
        trio::nursery! { |n, scope|
            n.start_soon(async { drop(serve_connection(there, service_fn(shout), &Protocols::new()).await) });
            here.send_all(first.as_bytes()).await.unwrap();
            settle().await;
            here.send_all(rest.as_bytes()).await.unwrap();
            let mut buffer = [0; 100];
            let count = here.receive_some(&mut buffer).await.unwrap();
            assert!(buffer[..count].starts_with(begins), "{:?}", String::from_utf8_lossy(&buffer[..count]));
            scope.cancel();
        };
    }
}

#[trio::test(autojump)]
async fn who_says_nothing_is_left_after_a_while() {
    for (said, patience, waited) in [("", 30, 30), ("GET / H", 5, 30), ("P", 5, 5)] {
        let (mut here, there) = memory_stream_pair();
        here.send_all(said.as_bytes()).await.unwrap();
        let began = trio::current_time();
        let protocols = Protocols::new().patience(secs(patience));
        let _ = serve_connection(there, service_fn(shout), &protocols).await;
        // hyper itself waits for half a minute for the rest of a request's head.
        assert_eq!((trio::current_time() - began).as_secs(), waited, "{said:?}");
    }
}

#[trio::test]
async fn a_client_that_goes_away_takes_the_services_future_with_it() {
    let log = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| {
        let log = &log;
        async move {
            let path = request.uri().path().to_owned();
            let _gone = OnDrop(|| log.borrow_mut().push(format!("{path} gone")));
            log.borrow_mut().push(path.clone());
            trio::sleep(secs(100_000)).await;
            answer("at last")
        }
    });
    for version in [1, 2] {
        let (client_stream, server) = crate::support::tcp_pair().await;
        trio::nursery! { |n|
            n.start_soon(async { drop(serve_connection(server, &service, &Protocols::new()).await) });
            trio::nursery! { |clients, over|
                if version == 1 {
                    let mut sender = client(clients, client_stream).await;
                    clients.start_soon(async move { drop(sender.send_request(get("/1")).await) });
                } else {
                    let mut sender = client2(clients, client_stream).await;
                    clients.start_soon(async move { drop(sender.send_request(get("/2")).await) });
                }
                while log.borrow().len() % 2 == 0 {
                    trio::sleep(Duration::from_millis(1)).await;
                }
                over.cancel();
            };
        }
    }
    assert_eq!(*log.borrow(), ["/1", "/1 gone", "/2", "/2 gone"]);
}

#[trio::test(schedules = 20)]
async fn cancelled_a_server_drops_what_it_was_doing() {
    let log = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| {
        let log = &log;
        async move {
            let path = request.uri().path().to_owned();
            let _gone = OnDrop(|| log.borrow_mut().push(format!("{path} dropped")));
            let clean_up = async { log.borrow_mut().push(format!("{path} cleaned up")) };
            trio::finally(trio::sleep(secs(100_000)), clean_up).await;
            answer("at last")
        }
    });
    let protocols = Protocols::new();
    for version in [1, 2] {
        let (here, there) = memory_stream_pair();
        trio::nursery! { |n, outer|
            let served = trio::CancelScope::new();
            let stop = served.handle();
            let serving = served.run(serve_connection(there, &service, &protocols));
            let asking = async {
                if version == 1 {
                    let mut sender = client(n, Polled::new(here)).await;
                    let asked = trio::move_on_after(Duration::from_millis(20), sender.send_request(get("/1"))).await;
                    stop.cancel();
                    assert!(asked.is_none());
                } else {
                    let mut sender = client2(n, Polled::new(here)).await;
                    let asked = trio::move_on_after(Duration::from_millis(20), sender.send_request(get("/2"))).await;
                    stop.cancel();
                    assert!(asked.is_none());
                }
            };
            let (served, ()) = futures::join!(serving, asking);
            assert!(served.is_none());
            outer.cancel();
        };
    }
    let log = log.into_inner();
    for path in ["/1", "/2"] {
        let own: Vec<_> = log.iter().filter(|line| line.starts_with(path)).collect();
        // The client's own cancellation may have come first, by which hyper drops the request's future.
        assert!(own.last().unwrap().ends_with("dropped"), "{log:?}");
    }
}

#[trio::test]
#[should_panic(expected = "the service's own")]
async fn a_panic_of_the_service_comes_out_of_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(async |_request: Request<Incoming>| -> Answer { panic!("the service's own") });
    trio::nursery! { |n|
        n.start_soon(async { serve([listener], service).await.unwrap() });
        let mut sender = client(n, TcpStream::connect(address).await.unwrap()).await;
        let _ = sender.send_request(get("/")).await;
    }
}

#[trio::test]
async fn errors_of_connections_are_told_and_take_nobody_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let errors = RefCell::new(Vec::new());
    trio::nursery! { |n, scope|
        let errors = &errors;
        let service = service_fn(async |request: Request<Incoming>| match request.uri().path() {
            "/fails" => Err("it failed"),
            _ => Ok(answer("fine").unwrap()),
        });
        let server = serve([listener], service).on_error(|error| errors.borrow_mut().push(format!("{error:?}")));
        n.start_soon(async move { server.await.unwrap() });
        let mut sender = client(n, TcpStream::connect(address).await.unwrap()).await;
        sender.send_request(get("/fails")).await.unwrap_err();
        let mut rude = TcpStream::connect(address).await.unwrap();
        rude.send_all(b"this is no HTTP\r\n\r\n").await.unwrap();
        let mut buffer = [0; 100];
        let count = rude.receive_some(&mut buffer).await.unwrap();
        assert!(buffer[..count].starts_with(b"HTTP/1.1 400"));
        let mut sender = client(n, TcpStream::connect(address).await.unwrap()).await;
        assert_eq!(text(sender.send_request(get("/")).await.unwrap()).await, "fine");
        scope.cancel();
    };
    let errors = errors.into_inner();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("it failed") && errors[1].contains("Parse"), "{errors:?}");
}

#[trio::test]
async fn settings_are_heard() {
    let service = || service_fn(async |_request: Request<Incoming>| answer("fine"));
    for (protocols, wanted) in [
        (Protocols::new().http1(|http1| _ = http1.keep_alive(false)), "close"),
        (Protocols::new().only_http1(), "open"),
    ] {
        let (here, there) = memory_stream_pair();
        trio::nursery! { |n, scope|
            n.start_soon(async { serve_connection(there, service(), &protocols).await.unwrap() });
            let mut sender = client(n, Polled::new(here)).await;
            let got = sender.send_request(get("/")).await.unwrap();
            let closes = got.headers().get("connection").is_some_and(|value| value == "close");
            assert_eq!(closes, wanted == "close");
            scope.cancel();
        };
    }
    let limited = Protocols::new().only_http2().http2(|http2| _ = http2.max_concurrent_streams(1));
    let (here, there) = memory_stream_pair();
    let (most, now) = (Cell::new(0), Cell::new(0));
    let service = service_fn(|_request: Request<Incoming>| {
        let (most, now) = (&most, &now);
        async move {
            now.set(now.get() + 1);
            most.set(now.get().max(most.get()));
            trio::sleep(Duration::from_millis(5)).await;
            now.set(now.get() - 1);
            answer("fine")
        }
    });
    trio::nursery! { |n, scope|
        let serving = serve_connection(there, &service, &limited);
        let asking = async {
            let sender = client2(n, Polled::new(here)).await;
            let ask = async || drop(text(sender.clone().send_request(get("/")).await.unwrap()).await);
            // The first tells the client of the limit.
            ask().await;
            futures::join!(ask(), ask(), ask());
            scope.cancel();
        };
        let _ = futures::join!(serving, asking);
    };
    assert_eq!(most.get(), 1);
}

#[trio::test]
async fn a_listener_of_virtual_streams_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = open_stream_to_socket_listener(&listener).await.unwrap();
    trio::nursery! { |n, scope|
        n.start_soon(async { serve([listener], service_fn(shout)).await.unwrap() });
        assert_eq!(text(client(n, stream).await.send_request(post("/", "x")).await.unwrap()).await, "/ X");
        scope.cancel();
    };
}
