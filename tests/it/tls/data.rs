//! Data in both directions.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use trio::testing::assert_checkpoints;
use trio::{AsyncResource, ByteStream, ReceiveStream, SendStream};

use super::line::{Line, wide};
use super::pki::{Tls13, VERSIONS, both, echo, narrow_pair, over, receive_exactly, shake, wide_pair};

// trio: _tests/test_ssl.py::test_full_duplex_basics
#[trio::test(autojump, schedules = 5)]
async fn one_task_sends_and_another_receives() {
    const CHUNKS: usize = 30;
    let chunk: Vec<u8> = (0..32_768_u32).map(|number| (number * 7 % 251) as u8).collect();
    for version in VERSIONS {
        let (mut client, server) = narrow_pair(version);
        let exchange = async {
            {
                let (mut from, mut to) = client.split();
                let send = async {
                    to.do_handshake().await.unwrap();
                    for _ in 0..CHUNKS {
                        to.send_all(&chunk).await.unwrap();
                    }
                };
                let receive = async {
                    from.do_handshake().await.unwrap();
                    receive_exactly(&mut from, CHUNKS * chunk.len()).await
                };
                let ((), received) = both(send, receive).await;
                assert!(received.unwrap() == chunk.repeat(CHUNKS));
            }
            client.aclose().await.unwrap();
        };
        // Over streams that hold nothing, an echo must not wait for the client to receive while that waits for it.
        let echo = async {
            let mut server = server;
            let (mut from, mut to) = server.split();
            let (sender, receiver) = trio::open_memory_channel::<Vec<u8>>(usize::MAX);
            let receive = async move {
                let mut buffer = vec![0; 5000];
                loop {
                    let count = from.receive_some(&mut buffer).await.unwrap();
                    if count == 0 {
                        return;
                    }
                    sender.send(buffer[..count].to_vec()).await.unwrap();
                }
            };
            let send = async {
                while let Ok(data) = receiver.receive().await {
                    to.send_all(&data).await.unwrap();
                }
            };
            both(receive, send).await;
        };
        both(echo, exchange).await;
    }
}

// trio: _tests/test_ssl.py::test_checkpoints
#[trio::test(autojump)]
async fn every_operation_is_a_checkpoint() {
    for version in VERSIONS {
        let (mut client, server) = wide_pair(version);
        let operations = async {
            assert_checkpoints(client.do_handshake()).await.unwrap();
            assert_checkpoints(client.do_handshake()).await.unwrap();
            assert_checkpoints(client.wait_send_all_might_not_block()).await.unwrap();
            assert_checkpoints(client.send_all(b"xxx")).await.unwrap();
            assert_checkpoints(client.receive_some(&mut [0; 1])).await.unwrap();
            // These are decrypted already.
            assert_checkpoints(client.receive_some(&mut [0; 1])).await.unwrap();
            assert_checkpoints(client.receive_some(&mut [0; 1])).await.unwrap();
            assert_checkpoints(client.unwrap()).await.unwrap();
        };
        let (echoed, ()) = both(echo(server), operations).await;
        echoed.unwrap();

        let (mut client, server) = wide_pair(version);
        let operations = async {
            client.do_handshake().await.unwrap();
            assert_checkpoints(client.aclose()).await.unwrap();
            assert_checkpoints(client.aclose()).await.unwrap();
        };
        let (echoed, ()) = both(echo(server), operations).await;
        echoed.unwrap();
    }
}

// trio: _tests/test_ssl.py::test_send_all_empty_string
#[trio::test(autojump)]
async fn no_data_is_not_the_end() {
    for version in VERSIONS {
        let (mut client, server) = narrow_pair(version);
        let exchange = async {
            client.do_handshake().await.unwrap();
            assert_checkpoints(client.send_all(b"")).await.unwrap();
            assert_checkpoints(client.send_all(b"")).await.unwrap();
            client.send_all(b"x").await.unwrap();
            assert_eq!(receive_exactly(&mut client, 1).await.unwrap(), b"x");
            client.aclose().await.unwrap();
        };
        let (echoed, ()) = both(echo(server), exchange).await;
        echoed.unwrap();
    }
}

// trio: _tests/test_ssl.py::test_ssl_over_ssl
#[trio::test(autojump, schedules = 20)]
async fn the_transport_may_be_tls() {
    for version in VERSIONS {
        let (mut client, mut server) = over(over(wide(), version), version);
        let client = async {
            client.send_all(b"hi").await.unwrap();
            assert_eq!(receive_exactly(&mut client, 3).await.unwrap(), b"bye");
        };
        let server = async {
            assert_eq!(receive_exactly(&mut server, 2).await.unwrap(), b"hi");
            server.send_all(b"bye").await.unwrap();
        };
        both(client, server).await;
    }
}

#[trio::test(autojump)]
async fn a_buffer_without_room_is_refused() {
    let (mut client, _server) = wide_pair(Tls13);
    let error = client.receive_some(&mut []).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

/// What TLS 1.3 has in the place of renegotiation: the side that is asked has to answer, while it may be sending.
#[trio::test(autojump, schedules = 20)]
async fn keys_are_changed_amid_the_data() {
    let (mut client, mut server) = shake(wide_pair(Tls13)).await;
    for round in 0..5_u8 {
        client.refresh_keys().unwrap();
        client.send_all(&[round; 100]).await.unwrap();
        if round % 2 == 0 {
            server.refresh_keys().unwrap();
        }
        assert_eq!(receive_exactly(&mut server, 100).await.unwrap(), [round; 100]);
        server.send_all(&[round; 50]).await.unwrap();
        assert_eq!(receive_exactly(&mut client, 50).await.unwrap(), [round; 50]);
    }
}

#[trio::test(autojump, schedules = 20)]
async fn keys_are_changed_while_both_send() {
    let (mut client, mut server) = shake(narrow_pair(Tls13)).await;
    client.refresh_keys().unwrap();
    server.refresh_keys().unwrap();
    let data = vec![b'x'; 100_000];
    let (mut client_from, mut client_to) = client.split();
    let (mut server_from, mut server_to) = server.split();
    let (sent, received) = both(
        both(client_to.send_all(&data), server_to.send_all(&data)),
        both(receive_exactly(&mut client_from, data.len()), receive_exactly(&mut server_from, data.len())),
    )
    .await;
    sent.0.unwrap();
    sent.1.unwrap();
    assert!(received.0.unwrap() == data && received.1.unwrap() == data);
}

#[trio::test(autojump)]
async fn keys_can_be_changed_only_after_the_handshake_and_in_tls_1_3() {
    let (mut client, _server) = wide_pair(Tls13);
    assert!(client.refresh_keys().is_err());
    let (mut client, _server) = shake(wide_pair(super::pki::Tls12)).await;
    super::pki::assert_fails::<trio::tls::TlsError>(client.refresh_keys());
}

#[trio::test(autojump)]
async fn waiting_until_sending_might_not_block_waits_for_the_transport() {
    let (mut client, mut server) = shake(narrow_pair(Tls13)).await;
    let waited = Cell::new(false);
    let wait = async {
        SendStream::wait_send_all_might_not_block(&mut client).await.unwrap();
        waited.set(true);
        client.send_all(b"late decision").await.unwrap();
    };
    let receive = async {
        crate::support::settle().await;
        assert!(!waited.get(), "nobody receives yet");
        receive_exactly(&mut server, 13).await.unwrap()
    };
    let ((), received) = both(wait, receive).await;
    assert_eq!(received, b"late decision");
}

/// A transport each of whose operations takes a random while of virtual time.
struct Slow(Line, Cell<u64>);

impl Slow {
    async fn wait(&self) {
        // SplitMix64's steps are good enough to look random.
        let next = self.1.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.1.set(next);
        trio::sleep(Duration::from_millis((next >> 33) % 10_000)).await;
    }
}

impl AsyncResource for Slow {
    async fn aclose(&mut self) -> io::Result<()> {
        self.0.aclose().await
    }
}

impl SendStream for Slow {
    async fn send_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.wait().await;
        self.0.send_all(data).await
    }

    async fn wait_send_all_might_not_block(&mut self) -> io::Result<()> {
        self.wait().await;
        self.0.wait_send_all_might_not_block().await
    }
}

impl ReceiveStream for Slow {
    async fn receive_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait().await;
        self.0.receive_some(buffer).await
    }
}

impl ByteStream for Slow {}

// Renegotiation does not exist any more; new keys are its successor. What is checked is the same: that neither the data
// nor the tasks get in each other's way while the streams have messages of their own to exchange. trio:
// trio: _tests/test_ssl.py::test_renegotiation_randomized
#[trio::test(autojump, schedules = 3)]
async fn keys_are_changed_at_random_on_a_slow_line() {
    let (here, there) = wide();
    let (mut client, mut server) = shake(over((Slow(here, Cell::new(1)), Slow(there, Cell::new(2))), Tls13)).await;
    let exchange = async {
        for round in 0..200_u32 {
            if round % 3 == 0 {
                client.refresh_keys().unwrap();
            }
            let data = round.to_be_bytes();
            assert_checkpoints(client.send_all(&data)).await.unwrap();
            let mut buffer = [0; 4];
            assert_eq!(assert_checkpoints(client.receive_some(&mut buffer)).await.unwrap(), 4);
            assert_eq!(buffer, data);
        }
        client.aclose().await.unwrap();
    };
    let echo = async {
        let mut buffer = [0; 4];
        for round in 0.. {
            if server.receive_some(&mut buffer).await.unwrap() == 0 {
                break;
            }
            if round % 5 == 0 {
                server.refresh_keys().unwrap();
            }
            server.send_all(&buffer).await.unwrap();
        }
    };
    both(exchange, echo).await;
}

/// One task waits for the transport in a receive that has an alert to send, and another until sending might not block.
#[trio::test(autojump, schedules = 50)]
async fn a_receive_that_sends_and_a_wait_do_not_conflict() {
    for alert_first in [true, false] {
        let (mut client, mut server) = shake(narrow_pair(Tls13)).await;
        let (mut from, mut to) = server.split();
        let receive = async {
            if !alert_first {
                crate::support::settle().await;
            }
            from.receive_some(&mut [0; 8]).await.unwrap_err()
        };
        let wait = async {
            if alert_first {
                trio::sleep(Duration::from_secs(1)).await;
            }
            // By then the stream may be known to be broken.
            let _ = to.wait_send_all_might_not_block().await;
        };
        let provoke = async {
            let transport = client.transport_mut();
            transport.send_all(&[23, 3, 3, 0, 20]).await.unwrap();
            transport.send_all(&[7; 20]).await.unwrap();
            trio::sleep(Duration::from_secs(2)).await;
            // Somebody has to take the alert, or whoever waits for that would wait on. The tickets go with it.
            let mut buffer = [0; 100];
            let receive = async { while transport.receive_some(&mut buffer).await.is_ok_and(|count| count > 0) {} };
            trio::move_on_after(Duration::from_secs(1), receive).await;
        };
        let ((error, ()), ()) = both(both(receive, wait), provoke).await;
        assert!(trio::tls::TlsError::of(&error).is_some(), "{error:?}");
    }
}
