//! Bridges to other libraries.

mod channels;
mod futures_io;
mod hyper;
mod polled;
mod polls;
mod tokio_io;
