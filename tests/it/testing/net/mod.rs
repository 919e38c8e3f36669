//! The virtual network.

mod connections;
mod datagrams;
mod faults;
