//! Connecting to a listener of one's own.

use trio::net::TcpListener;
use trio::testing::open_stream_to_socket_listener;
use trio::{ReceiveStream, SendStream};

use crate::support::secs;

// trio: _tests/test_testing.py::test_open_stream_to_socket_listener
#[trio::test]
async fn a_listener_is_found_wherever_it_listens() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
        let Ok(mut listener) = TcpListener::bind(address).await else {
            assert!(address.starts_with('['), "there must be IPv4");
            continue;
        };
        let exchange = async {
            let mut client = open_stream_to_socket_listener(&listener).await.unwrap();
            assert!(client.peer_addr().unwrap().ip().is_loopback());
            let (mut server, _) = listener.accept().await.unwrap();
            SendStream::send_all(&mut client, b"x").await.unwrap();
            let mut buffer = [0; 8];
            assert_eq!(ReceiveStream::receive_some(&mut server, &mut buffer).await.unwrap(), 1);
            assert_eq!(buffer[0], b'x');
        };
        trio::fail_after(secs(60), exchange).await.expect("this hangs");
    }
}
