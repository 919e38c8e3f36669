//! A server among peers that misbehave: nothing leaks, nothing hangs, and what was accepted is not lost.
//!
//! Each test is a process of its own, counts what it has open before and after, and prints figures.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use trio::lowlevel::current_statistics;
use trio::net::TcpStream;
use trio::serve_tcp;
use trio::testing::net::{Link, Network};

use crate::support::{alone, descriptors, secs};

/// Longer than any of these takes, however busy the machine is.
const LONG: Duration = Duration::from_secs(120);

/// Numbers for chances, the same each time (xorshift).
struct Random(Cell<u64>);

impl Random {
    const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    fn below(&self, bound: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        state % bound
    }
}

/// Sends everything back. Whatever happens to a connection is its own affair.
async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    loop {
        match stream.receive_some(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) if stream.send_all(&buffer[..count]).await.is_err() => return,
            Ok(_) => {}
        }
    }
}

/// Runs `clients` against a server of this handler, which has to be without tasks and descriptors at the end.
async fn against(handler: impl AsyncFn(TcpStream), clients: impl AsyncFnOnce(SocketAddr)) {
    let before = (descriptors(), current_statistics().io_registrations, current_statistics().tasks_living);
    let run = trio::fail_after(LONG, async {
        trio::try_nursery! { |n, scope|
            let server = n.start(|status| serve_tcp(&handler, 0, Some("127.0.0.1")).reporting(status)).await;
            let address = server.map_err(|error| error.to_string())?[0];
            let serving = current_statistics().tasks_living;
            clients(address).await;
            // The server notices by itself that its peers have gone.
            while current_statistics().tasks_living > serving {
                trio::sleep(Duration::from_millis(5)).await;
            }
            scope.cancel();
        }
    });
    run.await.expect("no hang").expect("no error");
    let after = (descriptors(), current_statistics().io_registrations, current_statistics().tasks_living);
    assert_eq!(after, before, "descriptors, registrations, tasks");
}

/// Closes with a reset, not with an end.
fn reset(stream: TcpStream) {
    let stream = stream.into_std().unwrap();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn ten_thousand_connections_reset_at_random_moments() {
    alone(module_path!(), "ten_thousand_connections_reset_at_random_moments", || {
        let (random, ends) = (Random::new(0x5eed_1234_abcd), [const { Cell::new(0) }; 5]);
        let one = async |address| {
            let way = random.below(5) as usize;
            ends[way].set(ends[way].get() + 1);
            let Ok(mut stream) = TcpStream::connect(address).await else { return };
            match way {
                // At once.
                0 => reset(stream),
                // After it has sent something, without reading what comes back.
                1 => {
                    let _ = stream.send_all(&vec![1; 1 + random.below(20_000) as usize]).await;
                    reset(stream);
                }
                // In the middle of what comes back.
                2 => {
                    let _ = stream.send_all(&[2; 4000]).await;
                    let _ = stream.receive_some(&mut [0; 100]).await;
                    reset(stream);
                }
                // As one should.
                3 => {
                    stream.send_all(b"hello").await.unwrap();
                    let (mut got, mut buffer) = (0, [0; 5]);
                    while got < 5 {
                        let count = stream.receive_some(&mut buffer[got..]).await.unwrap();
                        assert_ne!(count, 0, "accepted data was lost");
                        got += count;
                    }
                    assert_eq!(&buffer, b"hello");
                }
                // Cancelled wherever it is.
                _ => {
                    let talk = async {
                        stream.send_all(&vec![4; 300_000]).await.unwrap();
                        stream.receive_some(&mut [0; 10]).await.unwrap();
                    };
                    trio::move_on_after(Duration::from_micros(random.below(500)), talk).await;
                    reset(stream);
                }
            }
        };
        trio::run(against(echo, async |address| {
            trio::nursery! { |n|
                let clients = n.limited(100);
                for _ in 0..10_000 {
                    clients.start_soon_when_free(one(address)).await;
                }
            };
        }));
        let ends: Vec<i32> = ends.iter().map(Cell::get).collect();
        println!(
            "10,000 connections (reset at once, after sending, while receiving, closed, cancelled: {ends:?}): nothing is left"
        );
    });
}

#[test]
fn a_server_without_descriptors_recovers() {
    alone(module_path!(), "a_server_without_descriptors_recovers", || {
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(128), ..limits }).unwrap();
        trio::run(against(echo, async |address| {
            let mut idle = Vec::new();
            // Each takes two, one at either end; when there are no more, connecting or accepting fails.
            while let Ok(stream) = TcpStream::connect(address).await {
                idle.push(stream);
                if idle.len() == 100 {
                    break;
                }
                trio::checkpoint().await;
            }
            let connected = idle.len();
            assert!((40..100).contains(&connected), "{connected}");
            trio::sleep(Duration::from_millis(300)).await;
            // Room again. Who has waited in the backlog is served, and so is who comes now.
            idle.drain(..connected / 2);
            for mut stream in idle.into_iter().rev().take(5) {
                trio::fail_after(LONG, async {
                    stream.send_all(b"x").await.unwrap();
                    assert_eq!(stream.receive_some(&mut [0]).await.unwrap(), 1);
                })
                .await
                .expect("it is served");
            }
            let mut late = TcpStream::connect(address).await.unwrap();
            late.send_all(b"x").await.unwrap();
            assert_eq!(late.receive_some(&mut [0]).await.unwrap(), 1);
            println!("out of descriptors after {connected} connections, and all is well again");
        }));
    });
}

#[test]
fn slow_readers_and_writers_get_everything() {
    const AMOUNT: usize = 2 << 20;
    fn byte(place: usize) -> u8 {
        ((place * 31) >> 4) as u8
    }
    alone(module_path!(), "slow_readers_and_writers_get_everything", || {
        trio::run(against(echo, async |address| {
            trio::nursery! { |n|
                for pause in [0, 1, 2] {
                    n.start_soon(async move {
                        let mut stream = TcpStream::connect(address).await.unwrap();
                        let (mut receiving, mut sending) = stream.split();
                        trio::nursery! { |n|
                            n.start_soon(async {
                                let data: Vec<u8> = (0..AMOUNT).map(byte).collect();
                                for piece in data.chunks(if pause == 1 { 50_000 } else { AMOUNT }) {
                                    sending.send_all(piece).await.unwrap();
                                    trio::sleep(Duration::from_millis(pause)).await;
                                }
                                sending.send_eof().await.unwrap();
                            });
                            let (mut place, mut buffer) = (0, vec![0; if pause == 2 { 20_000 } else { 100_000 }]);
                            loop {
                                trio::sleep(Duration::from_millis(pause)).await;
                                let count = receiving.receive_some(&mut buffer).await.unwrap();
                                if count == 0 {
                                    break;
                                }
                                assert!(buffer[..count].iter().enumerate().all(|(at, got)| *got == byte(place + at)));
                                place += count;
                            }
                            assert_eq!(place, AMOUNT);
                        };
                    });
                }
            };
            println!("3 clients, 2 MiB each both ways, fast and slow: nothing is lost");
        }));
    });
}

/// Peers that vanish without a word: on a network on which that can be done at will.
#[trio::test(autojump, schedules = 20)]
async fn a_peer_that_vanishes_is_noticed_by_a_deadline() {
    let network = Network::new();
    network.set_default_link(Link::new().latency(Duration::from_millis(20)));
    let (server, client) = (network.host("server"), network.host("client"));
    let (heard, given_up) = (Cell::new(0), Cell::new(0));
    let patient = async |mut stream: TcpStream| {
        let mut buffer = [0; 100];
        loop {
            match trio::move_on_after(secs(30), stream.receive_some(&mut buffer)).await {
                None => return given_up.set(given_up.get() + 1),
                Some(Ok(0) | Err(_)) => return,
                Some(Ok(count)) => heard.set(heard.get() + count),
            }
        }
    };
    let ended = trio::try_nursery! { |n, scope|
        let serving = n.start(|status| {
            let serve = serve_tcp(patient, 80, None).reporting(status);
            server.run(serve)
        });
        serving.await.map_err(|error| error.to_string())?;
        client.run(async {
            let mut streams = Vec::new();
            for _ in 0..10 {
                let mut stream = trio::open_tcp_stream("server", 80).await.unwrap();
                stream.send_all(b"hello").await.unwrap();
                streams.push(stream);
            }
            trio::sleep(secs(1)).await;
            network.partition(&server, &client);
            // Half of them end, of which the server learns nothing.
            streams.truncate(5);
            trio::sleep(secs(60)).await;
        })
        .await;
        assert_eq!((heard.get(), given_up.get()), (50, 10));
        scope.cancel();
    };
    ended.unwrap();
}
