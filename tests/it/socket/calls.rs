//! Sending, receiving, waiting and closing.

use std::cell::Cell;
use std::io::{self};
use std::os::fd::AsFd;
use std::time::Duration;

use trio::net::{TcpListener, UdpSocket, UnixDatagram, UnixStream};
use trio::testing::assert_checkpoints;

use super::{is_closed, soon};
use crate::support::{alone, descriptors, settle};

// trio: _tests/test_socket.py::test__try_sync
#[trio::test]
async fn a_call_that_need_not_wait_is_a_checkpoint_however_it_ends() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    assert_checkpoints(socket.send_to(b"x", address)).await.unwrap();
    assert_checkpoints(soon(socket.recv(&mut [0; 8]))).await.unwrap();
    // It is not connected.
    assert_checkpoints(socket.send(b"x")).await.unwrap_err();
    // "Would block" is nobody's error.
    assert!(trio::move_on_after(Duration::ZERO, socket.recv(&mut [0; 8])).await.is_none());
}

// trio: _tests/test_socket.py::test_SocketType_non_blocking_paths
#[trio::test]
async fn receiving_takes_every_path() {
    let (socket, sender) = UnixDatagram::pair().unwrap();
    let thief = std::os::unix::net::UnixDatagram::from(socket.as_fd().try_clone_to_owned().unwrap());
    let mut buffer = [0; 8];
    // Cancelled already: nothing is taken.
    sender.send(b"1").await.unwrap();
    let received = trio::cancel_scope! { |scope|
        scope.cancel();
        socket.recv(&mut buffer).await.unwrap()
    };
    assert_eq!(received, None);
    // It is there.
    assert_eq!(assert_checkpoints(socket.recv(&mut buffer)).await.unwrap(), 1);
    // It is not there yet.
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(assert_checkpoints(socket.recv(&mut [0; 8])).await.unwrap(), 2) });
        settle().await;
        sender.send(b"22").await.unwrap();
    }
    // It does not come.
    let received = trio::cancel_scope! { |scope|
        trio::nursery! { |n|
            n.start_soon(async {
                settle().await;
                scope.cancel();
            });
            socket.recv(&mut buffer).await.unwrap()
        }
    };
    assert_eq!(received, None);
    // It comes, and somebody else takes it.
    trio::nursery! { |n|
        n.start_soon(async { assert_eq!(soon(socket.recv(&mut [0; 8])).await.unwrap(), 4) });
        for _ in 0..3 {
            settle().await;
            sender.send(b"333").await.unwrap();
            assert_eq!(thief.recv(&mut buffer).unwrap(), 3);
        }
        settle().await;
        sender.send(b"4444").await.unwrap();
    }
}

// trio: _tests/test_socket.py::test_socketpair_simple
#[trio::test]
async fn two_tasks_greet_each_other() {
    let (a, b) = UnixStream::pair().unwrap();
    async fn greet(mut stream: UnixStream) {
        assert_checkpoints(stream.send_all(b"h")).await.unwrap();
        let mut buffer = [0; 1];
        assert_eq!(assert_checkpoints(stream.receive_some(&mut buffer)).await.unwrap(), 1);
        assert_eq!(&buffer, b"h");
    }
    let both = async {
        trio::nursery! { |n|
            n.start_soon(greet(a));
            n.start_soon(greet(b));
        }
    };
    soon(both).await;
}

// trio: _tests/test_socket.py::test_interrupted_by_close
#[trio::test]
async fn closing_ends_all_waiting() {
    let (socket, _other) = UnixDatagram::pair().unwrap();
    let both = async {
        trio::nursery! { |n|
            n.start_soon(async {
                loop {
                    if let Err(error) = socket.send(&[0; 1000]).await {
                        assert!(is_closed::<()>(Err(error)));
                        break;
                    }
                }
            });
            n.start_soon(async { assert!(is_closed(socket.recv(&mut [0; 8]).await)) });
            settle().await;
            // As whoever closes a descriptor has to.
            trio::lowlevel::notify_closing(&socket);
        }
    };
    soon(both).await;
    assert!(is_closed(soon(socket.recv(&mut [0; 8])).await));
}

// Nothing but its owner can close a listener; what is said of its descriptor counts as well.
// trio: _tests/test_highlevel_socket.py::test_SocketListener_socket_closed_underfoot
#[trio::test]
async fn a_listener_whose_descriptor_goes_is_closed() {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    trio::lowlevel::notify_closing(&listener);
    assert!(is_closed(assert_checkpoints(soon(listener.accept())).await));
}

// trio: _tests/test_socket.py::test_many_sockets
#[test]
fn many_are_waited_for() {
    alone(module_path!(), "many_are_waited_for", || {
        let before = descriptors();
        trio::run(async {
            let mut pairs = Vec::new();
            while pairs.len() < 500 {
                match std::os::unix::net::UnixStream::pair() {
                    Ok(pair) => pairs.push(pair),
                    Err(_) => {
                        // Room for what else needs one.
                        pairs.truncate(pairs.len().saturating_sub(10));
                        break;
                    }
                }
            }
            assert!(pairs.len() > 100, "{} pairs", pairs.len());
            let woken = &Cell::new(0);
            trio::nursery! { |n, scope|
                for (a, b) in &pairs {
                    for socket in [a, b] {
                        n.start_soon(async move {
                            trio::lowlevel::wait_readable(socket).await.unwrap();
                            woken.set(woken.get() + 1);
                        });
                    }
                }
                settle().await;
                scope.cancel();
            };
            assert_eq!(woken.get(), 0);
            assert_eq!(trio::lowlevel::current_statistics().io_registrations, 0);
        });
        assert_eq!(descriptors(), before);
    });
}

/// Takes long to close.
struct Polite<'a> {
    began: &'a Cell<bool>,
    was_cancelled: &'a Cell<bool>,
}

impl trio::AsyncResource for Polite<'_> {
    async fn aclose(&mut self) -> io::Result<()> {
        self.began.set(true);
        let _guard = crate::support::OnDrop(|| self.was_cancelled.set(true));
        trio::sleep_forever().await
    }
}

#[trio::test]
async fn closing_by_force_does_not_wait() {
    let (began, was_cancelled) = (Cell::new(false), Cell::new(false));
    let mut polite = Polite { began: &began, was_cancelled: &was_cancelled };
    assert_checkpoints(trio::aclose_forcefully(&mut polite)).await.unwrap();
    assert!(began.get() && was_cancelled.get());
    // What is around is not cancelled by it; and if it is, it closes all the same.
    trio::checkpoint().await;
    let (mut a, _b) = UnixStream::pair().unwrap();
    let closed = trio::cancel_scope! { |scope|
        scope.cancel();
        trio::aclose_forcefully(&mut a).await
    };
    assert!(closed.is_none());
    assert!(is_closed(a.send_all(b"x").await));
}
