//! Bridges to libraries that are not made for trio.
//!
//! Each is a feature that is off by default; `full` has all of them.
//!
//! | feature | what it bridges |
//! | --- | --- |
//! | `futures-io` | the streams have `futures_io`'s `AsyncRead` and `AsyncWrite`, and streams that have these become trio's: [`FromFutures`] |
//! | `tokio-io` | the same with the traits of `tokio::io`: [`FromTokio`] |
//! | `stream` | channels' receivers are `futures_core::Stream`s, and listeners make one: [`incoming`] |
//! | `sink` | channels' senders make a `futures_sink::Sink`: [`MemorySender::into_sink`](crate::MemorySender::into_sink) |
//! | `hyper` | hyper's traits of streams, clocks and executors, and an HTTP server in one call: the module `hyper` |
//! | `tokio` | futures that need tokio's runtime run inside of a task: the module `tokio` |
//!
//! The other way round, [`embedding`] is a guide for libraries that are to run on trio and on others.
//!
//! # Which streams have the traits
//!
//! [`TcpStream`](crate::net::TcpStream), [`UnixStream`](crate::net::UnixStream), [`FdStream`](crate::FdStream) and their
//! halves have them as they are, on virtual networks too: a poll is a system call that does not block, and nothing is
//! allocated. Every other stream (TLS, memory streams, stapled ones, yours) has them inside of a [`Polled`], which is one
//! allocation for the stream's life.
//!
//! # What a poll is
//!
//! * A poll that reads or writes is a checkpoint as every operation is: when the code around it is cancelled it parks and
//!   does nothing, and now and then it lets the others take a step although it need not wait.
//! * A poll that was pending may be given up. It has received nothing, and what comes later is there for whoever asks next;
//!   what a [`Polled`] has written by then, see there. Polling again in another task is fine; the one that polled last is
//!   woken.
//! * A stream that two tasks share through clones of its descriptor ([`FdStream::try_clone`](crate::FdStream::try_clone)) gives
//!   [`BusyResourceError`](crate::BusyResourceError) to the second that waits in one direction. One that was polled counts as
//!   waiting until it is polled again, used otherwise, or dropped.
//! * Flushing a stream of the system does nothing, since what was written is on its way. Closing (`poll_close`,
//!   `poll_shutdown`) ends the sending, as [`send_eof`](crate::HalfCloseableStream::send_eof) does; receiving goes on. An
//!   [`FdStream`](crate::FdStream) has nothing to say to the other side, unless it is for writing only: then it is closed.
//!
//! # What does not work
//!
//! Streams are not `Send`, since a run stays on its thread: interfaces that ask for it (`Box<dyn AsyncRead + Send>`) can't
//! take them. Traits without anything of a runtime's are all that the features but `tokio` bridge: a future that wants tokio's
//! timer or its reactor does not get them from these.
#![deny(unsafe_code)]

#[doc = include_str!("embedding.md")]
pub mod embedding {}
#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
mod foreign;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "stream")]
mod incoming;
#[cfg(feature = "__poll")]
mod polled;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tokio-io")]
mod tokio_io;

#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
pub use foreign::{Foreign, ForeignReceiveHalf, ForeignSendHalf};
#[cfg(feature = "futures-io")]
pub use futures_io::{FromFutures, FuturesIo};
#[cfg(feature = "stream")]
pub use incoming::{Incoming, incoming};
#[cfg(feature = "__poll")]
pub use polled::Polled;
#[cfg(feature = "tokio-io")]
pub use tokio_io::{FromTokio, TokioIo};
