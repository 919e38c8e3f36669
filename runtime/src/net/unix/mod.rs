//! Unix sockets: between programs of one machine.

mod bind;
mod credentials;
mod datagram;
mod listener;
mod pause;
mod stream;

pub use credentials::PeerCredentials;
pub use datagram::UnixDatagram;
pub use listener::{BindUnixListener, UnixListener};
pub use stream::{UnixStream, open_unix_socket};

use std::io;
use std::os::unix::net::SocketAddr;

use socket2::SockAddr;

/// As the crate for sockets has it.
fn to_system(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::ffi::OsStr;
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;

        if let Some(name) = address.as_abstract_name() {
            let mut path = vec![0];
            path.extend_from_slice(name);
            return SockAddr::unix(OsStr::from_bytes(&path));
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "an address without a name is nobody's"))
}
