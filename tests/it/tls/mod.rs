//! TLS: over streams without a network, over TCP, and with OpenSSL on the other side.

mod cancel;
mod close;
mod data;
mod faults;
mod handshake;
mod line;
mod openssl;
pub(crate) mod pki;
mod suites;
mod tcp;
