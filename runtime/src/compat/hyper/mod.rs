//! HTTP by [hyper](https://docs.rs/hyper): its traits of streams, clocks and executors, and a server in one call.
//!
//! # What works
//!
//! * [`serve`] serves a hyper service, a tower service or an axum `Router` at listeners of any kind (TCP, Unix, TLS, virtual
//!   networks), HTTP/1.1 and HTTP/2 alike, and ends in good order when a scope around it is asked to
//!   [shut down](crate::CancelHandle::shut_down).
//! * [`serve_connection`] does that for one connection, for servers of another shape.
//! * hyper's own functions, for clients as for servers: the streams that have `futures_io`'s traits (see
//!   [`compat`](crate::compat)) have [`hyper::rt::Read`] and [`Write`](::hyper::rt::Write) too, others in a
//!   [`Polled`](super::Polled); [`Timer`] is hyper's clock, which is the run's, also a virtual one; [`Executor`] runs hyper's
//!   futures in a nursery, where they need be neither `Send` nor `'static`.
//!
//! Services run in tasks of the run: they may use every operation of this crate, borrow from what is around the server, and be
//! neither `Send` nor `'static`. axum wants its handlers' futures to be `Send`; one that uses trio has to be put into a
//! `SendWrapper` (crate `send_wrapper`, feature `futures`), which is sound since no handler leaves its thread.
//!
//! # What does not
//!
//! * hyper's upgrades (`hyper::upgrade::on`, and with it axum's WebSockets) need streams that are `Send`, which these are
//!   not. What upgrades has to be told before hyper: see hyper's `http1::Connection::without_shutdown`, which gives the stream
//!   back.
//! * What needs tokio's runtime: `hyper-util`'s pooling client, `tower`'s timeouts, axum's `serve`. Use scopes for timeouts.
//!
//! # Cancellation
//!
//! A cancelled connection is dropped where it waits, with the service's futures in it: that of an HTTP/1 request runs in the
//! connection's task, those of HTTP/2 each in a task of the connection's nursery. When the other side goes away, hyper drops the
//! future of its request, which is no cancellation: it is dropped where it waits, *shielded or not*. What must be done to
//! the end belongs into a task of a nursery around the server.
#![deny(unsafe_code)]

mod connection;
mod cursor;
mod executor;
mod io;
mod rewind;
mod serve;
mod service;
mod timer;

pub use connection::{Protocols, serve_connection};
pub use executor::Executor;
pub use io::HttpStream;
pub use serve::{Serve, serve};
pub use service::{AsHyper, AsTower, IntoService, Tower, TowerFuture};
pub use timer::Timer;
