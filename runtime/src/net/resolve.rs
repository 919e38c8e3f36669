//! From names to addresses.
#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::address::sealed::Target;
use super::seam::NETWORK;
use crate::kernel::checkpoint::free_checkpoint;
use crate::to_thread;

/// The addresses of a target, at least one, in the order in which to try them.
///
/// Names go to the system's resolver, which blocks and so gets a thread. A checkpoint; cancelling it leaves that thread
/// to itself.
pub(crate) async fn resolve(target: &Target) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = match target {
        Target::Addresses(addresses) => {
            free_checkpoint().await;
            return some(addresses.clone(), target);
        }
        Target::Name(host, Some(port)) => (host.clone(), *port),
        Target::Name(text, None) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("there is no port in the address '{text}'"),
            ));
        }
    };
    if let Some(network) = NETWORK.try_get() {
        free_checkpoint().await;
        let addresses = network.resolve(&host).map_err(|error| not_found(target, &error))?;
        return some(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect(), target);
    }
    let call = to_thread::Call::new().abandonable().name("resolver");
    let found = call.try_run_sync(move || (host, port).to_socket_addrs().map(Vec::from_iter)).await?;
    let addresses = found.map_err(|error| not_found(target, &error))?;
    some(addresses, target)
}

fn not_found(target: &Target, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("no address was found for {target}: {error}"))
}

fn some(addresses: Vec<SocketAddr>, target: &Target) -> io::Result<Vec<SocketAddr>> {
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no address for '{target}'")));
    }
    Ok(addresses)
}
