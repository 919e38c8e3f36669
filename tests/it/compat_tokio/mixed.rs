//! tokio's operations inside of trio's and the other way round, and when the runtime is entered.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trio::compat::tokio::open;
use trio::{TaskLocal, open_memory_channel};

use super::{Witness, ask, in_tokio, poll_once, start_echo};
use crate::support::{alone, secs, soon, yields};

#[trio::test]
async fn a_future_borrows_and_need_not_be_send() {
    let numbers = Rc::new(RefCell::new(Vec::new()));
    let text = String::from("borrowed");
    let length = open(async |tokio| {
        let numbers = &numbers;
        tokio
            .run(async {
                let echo = start_echo();
                for number in 0..3 {
                    let answer = ask(&echo, number).await;
                    numbers.borrow_mut().push(answer);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                text.len()
            })
            .await
    });
    assert_eq!(soon(length).await.unwrap(), 8);
    assert_eq!(*numbers.borrow(), [1, 2, 3]);
}

#[trio::test]
async fn sockets_files_and_blocking_functions_of_tokio_work() {
    soon(open(async |tokio| {
        let task = async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"hello").await.unwrap();
            let mut buffer = [0; 5];
            server.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"hello");
            assert!(tokio::fs::metadata("/").await.unwrap().is_dir());
            tokio::task::spawn_blocking(|| 42).await.unwrap()
        };
        assert_eq!(tokio.run(task).await, 42);
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn nurseries_scopes_and_values_of_trio_work_inside() {
    static NAME: TaskLocal<&str> = TaskLocal::new("name");
    soon(open(async |tokio| {
        let sum = Cell::new(0);
        let inside = async {
            assert_eq!(NAME.get(), "task");
            let echo = start_echo();
            let (sender, receiver) = open_memory_channel(0);
            trio::nursery! { |n|
                for number in 0..10 {
                    let (echo, sender) = (echo.clone(), sender.clone());
                    n.start_soon(async move {
                        // In a task of a nursery that was opened inside, the runtime is entered too.
                        let next = ask(&echo, number).await;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        trio::sleep(Duration::from_millis(1)).await;
                        sender.send(next).await.unwrap();
                    });
                }
                drop(sender);
                while let Ok(next) = receiver.receive().await {
                    sum.set(sum.get() + next);
                }
            };
            let late = trio::move_on_after(Duration::from_millis(1), std::future::pending::<()>()).await;
            assert!(late.is_none());
            let late = trio::move_on_after(Duration::from_millis(1), tokio::time::sleep(secs(3600))).await;
            assert!(late.is_none());
            let on_time = trio::fail_after(secs(3600), tokio::time::sleep(Duration::from_millis(1))).await;
            assert!(on_time.is_ok());
        };
        NAME.scope("task", tokio.run(inside)).await;
        assert_eq!(sum.get(), 55);
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn timeouts_and_select_of_tokio_take_futures_of_trio() {
    soon(open(async |tokio| {
        let lock = trio::Lock::new(());
        let inside = async {
            let _guard = lock.lock().await;
            let short = tokio::time::timeout(Duration::from_millis(1), lock.lock()).await;
            assert!(short.is_err());
            assert_eq!(lock.statistics().tasks_waiting, 0);
            let long = tokio::time::timeout(secs(3600), trio::sleep(Duration::from_millis(1))).await;
            assert!(long.is_ok());
            let echo = start_echo();
            let mut answers = 0;
            for number in 0..50 {
                tokio::select! {
                    answer = ask(&echo, number) => {
                        assert_eq!(answer, number + 1);
                        answers += 1;
                    }
                    // Loses, or wins and drops what had been asked.
                    () = trio::sleep(Duration::from_micros(u64::from(number) * 10)) => {}
                    _guard = lock.lock() => panic!("the lock is held"),
                }
            }
            assert_eq!(ask(&echo, 100).await, 101);
            answers
        };
        tokio.run(inside).await;
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn the_runtime_is_entered_in_polls_and_drops_only() {
    soon(open(async |tokio| {
        assert!(!in_tokio());
        tokio
            .run(async {
                assert!(in_tokio());
                trio::checkpoint().await;
                assert!(in_tokio());
            })
            .await;
        assert!(!in_tokio());
        assert!(tokio.within(in_tokio));
        let (went, seen) = (&Cell::new(None), Cell::new(0));
        let stays = || async {
            let _witness = Witness(went);
            tokio::time::sleep(secs(3600)).await;
        };

        // Cancelled, while another task sees nothing of the runtime.
        trio::nursery! { |n, scope|
            n.start_soon(tokio.run(stays()));
            n.start_soon(async {
                for _ in 0..10 {
                    trio::checkpoint().await;
                    assert!(!in_tokio());
                    seen.set(seen.get() + 1);
                }
            });
            while seen.get() < 10 {
                trio::checkpoint().await;
            }
            scope.cancel();
        };
        assert_eq!(went.take(), Some(true));

        // Dropped by foreign code.
        let mut polled = Box::pin(tokio.run(stays()));
        assert!(poll_once(polled.as_mut()).await.is_pending());
        assert!(!in_tokio());
        drop(polled);
        assert_eq!(went.take(), Some(true));

        // Never polled: what it holds is dropped in the runtime as well.
        let witness = Witness(went);
        drop(tokio.run(async move {
            let _witness = witness;
        }));
        assert_eq!(went.take(), Some(true));

        // Cancelled on entry.
        let witness = Witness(went);
        let begun = trio::cancel_scope! { |scope|
            scope.cancel();
            tokio.run(async move {
                let _witness = witness;
                panic!("it is never polled");
            })
            .await;
        };
        assert!(begun.is_none());
        assert_eq!(went.take(), Some(true));

        // Complete: what is left goes in the poll.
        tokio
            .run(async {
                let _witness = Witness(went);
                trio::checkpoint().await;
            })
            .await;
        assert_eq!(went.take(), Some(true));

        // In a nursery inside, with the future that opened it.
        let within = tokio.run(async {
            trio::nursery! { |n|
                n.start_soon(stays());
            }
        });
        assert!(trio::move_on_after(Duration::from_millis(1), within).await.is_none());
        assert_eq!(went.take(), Some(true));
    }))
    .await
    .unwrap();
    assert!(!in_tokio());
}

#[trio::test]
async fn a_call_is_a_checkpoint_though_it_need_not_wait() {
    soon(open(async |tokio| {
        assert!(yields(tokio.run(async {})).await);
        let (polled, value) = (Cell::new(0), Cell::new(0));
        let cancelled = trio::cancel_scope! { |scope|
            // What has been done when the cancellation comes is not lost.
            value.set(tokio.run(async {
                polled.set(polled.get() + 1);
                scope.cancel();
                7
            }).await);
            tokio.run(async { polled.set(100) }).await;
        };
        assert!(cancelled.is_none());
        assert_eq!((polled.get(), value.get()), (1, 7));
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn a_set_of_local_tasks_runs_here() {
    soon(open(async |tokio| {
        let local = tokio::task::LocalSet::new();
        let count = Rc::new(Cell::new(0));
        let run = local.run_until(async {
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let count = Rc::clone(&count);
                    tokio::task::spawn_local(async move {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        count.set(count.get() + 1);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        tokio.run(run).await;
        assert_eq!(count.get(), 5);
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn foreign_combinators_hold_several_calls_in_one_task() {
    soon(open(async |tokio| {
        let echo = tokio.within(start_echo);
        let calls: futures::stream::FuturesUnordered<_> = (0..20).map(|n| tokio.run(ask(&echo, n))).collect();
        let mut answers: Vec<u32> = futures::StreamExt::collect(calls).await;
        answers.sort_unstable();
        assert_eq!(answers, (1..=20).collect::<Vec<_>>());
        // Polled here, then in another task.
        let mut first = Box::pin(tokio.run(ask(&echo, 1)));
        let early = poll_once(first.as_mut()).await;
        trio::nursery! { |n|
            n.start_soon(async {
                let answer = match early {
                    Poll::Ready(answer) => answer,
                    Poll::Pending => first.await,
                };
                assert_eq!(answer, 2);
            });
        };
        let never = pin!(tokio.run(std::future::pending::<()>()));
        let soon = pin!(tokio.run(async { tokio::task::yield_now().await }));
        let both = futures::future::select(never, soon);
        assert!(matches!(both.await, futures::future::Either::Right(_)));
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn a_loop_that_never_waits_lets_others_go_on_at_its_checkpoints() {
    soon(open(async |tokio| {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let (received, others) = (Cell::new(0_u32), Cell::new(0_u32));
        let endless = tokio.run(async {
            loop {
                sender.send(()).unwrap();
                receiver.recv().await.unwrap();
                received.set(received.get() + 1);
                trio::checkpoint().await;
            }
        });
        let count = async {
            while others.get() < 100 {
                others.set(others.get() + 1);
                trio::checkpoint().await;
            }
        };
        trio::race(endless, count).await;
        assert!(received.get() >= 99, "{}", received.get());
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn a_spawned_task_calls_back_into_the_run_with_a_token() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let here = std::thread::current().id();
    soon(open(async |tokio| {
        let token = trio::lowlevel::current_token();
        tokio.handle().spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let call = move || {
                    // In the run, and not in tokio.
                    assert!(std::thread::current().id() == here && trio::lowlevel::in_run() && !in_tokio());
                    CALLS.fetch_add(1, Ordering::Relaxed);
                };
                token.run_sync_soon(call).unwrap();
            }
        });
        while CALLS.load(Ordering::Relaxed) < 10 {
            trio::sleep(Duration::from_millis(1)).await;
        }
    }))
    .await
    .unwrap();
}

#[trio::test]
async fn child_processes_of_tokio_work_beside_ours() {
    soon(open(async |tokio| {
        let theirs = tokio.run(async {
            tokio::process::Command::new("sh").args(["-c", "echo theirs; exit 3"]).output().await.unwrap()
        });
        let mut command = trio::process::Command::shell("echo ours; exit 4");
        let ours = trio::process::run_process(command.capture_stdout(true).check(false));
        let (theirs, ours) = trio::join(theirs, ours).await;
        assert_eq!((theirs.stdout.as_slice(), theirs.status.code()), (&b"theirs\n"[..], Some(3)));
        let ours = ours.unwrap();
        assert_eq!((ours.stdout.as_slice(), ours.status.code()), (&b"ours\n"[..], Some(4)));
        // Cancelled, the child is left to itself unless tokio is told otherwise.
        let endless =
            tokio.run(async { tokio::process::Command::new("sleep").arg("3600").kill_on_drop(true).status().await });
        assert!(trio::move_on_after(Duration::from_millis(20), endless).await.is_none());
    }))
    .await
    .unwrap();
}

#[test]
fn signals_come_to_both() {
    alone(module_path!(), "signals_come_to_both", || {
        const SIGNAL: i32 = libc::SIGUSR1;
        trio::run(soon(open(async |tokio| {
            let mut ours = trio::open_signal_receiver(&[SIGNAL]).unwrap();
            let user = tokio::signal::unix::SignalKind::from_raw(SIGNAL);
            let mut theirs = tokio.within(|| tokio::signal::unix::signal(user)).unwrap();
            for _ in 0..3 {
                signal_hook::low_level::raise(SIGNAL).unwrap();
                assert_eq!(ours.receive().await.unwrap(), SIGNAL);
                assert!(tokio.run(theirs.recv()).await.is_some());
            }
        })))
        .unwrap();
    });
}

/// Answers requests one after the other, on as many connections as there are.
async fn serve_http(mut stream: trio::net::TcpStream, connections: &Cell<u32>) -> std::io::Result<()> {
    connections.set(connections.get() + 1);
    let mut lines = trio::BufferedReceiveStream::new(&mut stream);
    while let Some(request) = lines.read_line(1000).await? {
        while lines.read_line(1000).await?.is_some_and(|line| !line.is_empty()) {}
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
        lines.get_mut().send_all(answer.as_bytes()).await?;
    }
    Ok(())
}

#[trio::test]
async fn an_http_client_made_for_tokio_keeps_its_connections() {
    let connections = Cell::new(0);
    let serve = soon(async {
        trio::try_nursery! { |n, scope|
            // A client that goes away in the middle is no error here.
            let handler = async |stream| drop(serve_http(stream, &connections).await);
            let server = n.start(|status| trio::serve_tcp(handler, 0, Some("127.0.0.1")).reporting(status)).await;
            let port = server?[0].port();
            open(async |tokio| {
                let client = Client::builder(TokioExecutor::new()).build_http::<String>();
                for number in 0..50 {
                    let uri = format!("http://127.0.0.1:{port}/{number}").parse().unwrap();
                    let answer = tokio.run(async { client.get(uri).await?.into_body().collect().await.map_err(trio::BoxError::from) });
                    assert_eq!(answer.await?.to_bytes(), format!("/{number}"));
                }
                assert_eq!(connections.get(), 1);
                // Cancelled at any moment.
                for number in 0..50 {
                    let uri = format!("http://127.0.0.1:{port}/cancelled").parse().unwrap();
                    let _ = trio::move_on_after(Duration::from_micros(number * 20), tokio.run(client.get(uri))).await;
                }
                Ok::<_, trio::BoxError>(())
            })
            .await??;
            scope.cancel();
        }
    });
    serve.await.unwrap();
    assert!((1..=51).contains(&connections.get()), "{} connections", connections.get());
}
