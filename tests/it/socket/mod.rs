//! What sockets of all kinds have in common: options, names, closing, wrapping; and the sockets that others have made.

use std::io;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use trio::ClosedResourceError;
use trio::net::{TcpListener, TcpStream};

use crate::support::secs;

mod calls;
mod cores;
mod inherited;
mod kinds;
mod names;
mod options;

/// Fails instead of hanging. The time is real, and long enough for any machine.
async fn soon<T>(operation: impl Future<Output = T>) -> T {
    trio::fail_after(secs(60), operation).await.expect("this hangs")
}

#[track_caller]
fn is_closed<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.unwrap_err().get_ref().is_some_and(|inner| inner.is::<ClosedResourceError>())
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = soon(TcpStream::connect(listener.local_addr().unwrap())).await.unwrap();
    (client, soon(listener.accept()).await.unwrap().0)
}

fn has_v6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A path of this process's own, which is short, since addresses are.
fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("trio-{}-{name}", std::process::id()))
}
