//! TLS, over any stream. With feature `tls`.
//!
//! The protocol itself is [`rustls`]'s, which is re-exported: its configurations are what streams are made with.
//! [`client_config`] and [`server_config`] make those that are usual; [`client_builder`] and [`server_builder`] begin
//! those that are not. [`open_tls_over_tcp_stream`](open_tls_over_tcp_stream()) connects, and [`serve_tls_over_tcp`]
//! serves; [`TlsStream`] and [`TlsListener`] are what they are made of.
#![forbid(unsafe_code)]

mod config;
mod error;
mod halves;
mod handshake;
mod listener;
mod operations;
mod session;
mod stream;
mod tcp;
mod wire;

pub use rustls;

pub use config::{client_builder, client_config, client_config_trusting, server_builder, server_config};
pub use error::{NeedHandshakeError, TlsError};
pub use halves::{TlsReceiveHalf, TlsSendHalf};
pub use listener::TlsListener;
pub use stream::TlsStream;
pub use tcp::{OpenTlsOverTcpStream, open_tls_over_tcp_listeners, open_tls_over_tcp_stream, serve_tls_over_tcp};
