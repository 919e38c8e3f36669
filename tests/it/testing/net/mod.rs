//! The virtual network.

pub(crate) mod connections;
mod datagrams;
mod faults;
