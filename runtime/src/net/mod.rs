//! Sockets.
//!
//! They are nonblocking and registered once with the run that they were made in; an operation first tries the system
//! call, and waits for the system's word only if that would have blocked. A socket stays on its run's thread and ends
//! with it: afterwards it can only be dropped.
//!
//! Two tasks can't use the same socket for the same thing at one time: operations take `&mut self`. One task that receives
//! and one that sends share a connection by its [halves](TcpStream::split), or borrow a [`UdpSocket`], whose operations take
//! `&self` and fail if two of them wait for the same. Dropping a socket closes it.
//!
//! [`UnixStream`], [`UnixListener`] and [`UnixDatagram`] are for programs of one machine. [`SocketOptions`] says what has to be
//! said before a socket is connected or bound; other options are methods. Names are looked up by the system on a thread, or by
//! a [`HostnameResolver`]. [`inherited_sockets`] are those that a service manager has opened.
//!
//! In tests, the same code can run on the hosts of a [virtual network](crate::testing::net).
//!
//! # Examples
//!
//! A server that sends everything back ([`serve_tcp`](crate::serve_tcp) does what `serve` does here):
//!
//! ```
//! use trio::net::{TcpListener, TcpStream};
//!
//! async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         match stream.receive_some(&mut buffer).await? {
//!             0 => return Ok(()),
//!             count => stream.send_all(&buffer[..count]).await?,
//!         }
//!     }
//! }
//!
//! async fn serve(mut listener: TcpListener) -> std::io::Result<()> {
//!     trio::nursery! { |n|
//!         loop {
//!             let (stream, peer) = listener.accept().await?;
//!             // What goes wrong with one peer is not the server's end.
//!             n.start_soon(async move {
//!                 if let Err(error) = echo(stream).await {
//!                     eprintln!("{peer}: {error}");
//!                 }
//!             });
//!         }
//!     }
//! }
//!
//! #[trio::main]
//! async fn main() -> trio::Result {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     trio::try_nursery! { |n|
//!         n.start_daemon(serve(listener));
//!         let mut client = TcpStream::connect(address).await?;
//!         client.send_all(b"hello").await?;
//!         let mut answer = [0; 5];
//!         assert_eq!(client.receive_some(&mut answer).await?, 5);
//!         assert_eq!(&answer, b"hello");
//!     }?;
//!     Ok(())
//! }
//! ```
#![deny(unsafe_code)]

mod address;
mod builder;
mod datagrams;
mod foreign;
pub(crate) mod halves;
pub(crate) mod happy;
mod inherited;
mod listener;
pub(crate) mod listeners;
mod options;
pub(crate) mod per_core;
mod resolve;
pub(crate) mod seam;
pub(crate) mod serve;
pub(crate) mod socket;
mod stream;
mod stream_traits;
pub(crate) mod transport;
mod udp;
pub(crate) mod unix;

pub use address::ToSocketAddrs;
pub use builder::SocketOptions;
pub use halves::{ReceiveHalf, SendHalf, TcpReceiveHalf, TcpSendHalf, UnixReceiveHalf, UnixSendHalf};
pub use happy::OpenTcpStream;
pub use inherited::{InheritedSocket, inherited_sockets};
pub use listener::TcpListener;
pub use listeners::OpenTcpListeners;
pub use options::Keepalive;
pub use per_core::ServePerCore;
pub use resolve::{HostnameResolver, Lookup, NameInfo, getaddrinfo, getnameinfo, set_custom_hostname_resolver};
pub use serve::Serve;
pub use stream::TcpStream;
pub use udp::UdpSocket;
pub use unix::{BindUnixListener, PeerCredentials, UnixDatagram, UnixListener, UnixStream};
