//! Who is at the other end of a Unix socket.

/// Who made the other end of a Unix socket: [`UnixStream::peer_cred`](super::UnixStream::peer_cred).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerCredentials {
    pid: i32,
    uid: u32,
    gid: u32,
}

impl PeerCredentials {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn of(socket: &impl std::os::fd::AsFd) -> std::io::Result<Self> {
        let found = rustix::net::sockopt::socket_peercred(socket)?;
        Ok(Self { pid: found.pid.as_raw_nonzero().get(), uid: found.uid.as_raw(), gid: found.gid.as_raw() })
    }

    /// The process. By now it may have ended, and its number be another one's.
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// The effective user that it had at the time.
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// The effective group that it had at the time.
    pub const fn gid(&self) -> u32 {
        self.gid
    }
}
