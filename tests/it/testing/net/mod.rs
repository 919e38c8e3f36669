//! The virtual network.

mod datagrams;
