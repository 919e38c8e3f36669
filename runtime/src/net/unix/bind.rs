//! Binding Unix sockets to files, and unlinking those that nobody listens at any more.
//!
//! A socket's file outlives it, so a server that was killed leaves one that its successor can't bind to. Whether somebody
//! is behind a file can be asked of the system without disturbing anybody: a *datagram* socket that connects to a stream
//! socket is told that the type is wrong, and that the connection is refused if there is no socket. A stale file is
//! unlinked. Two programs that do so at one time could unlink each other's new file, so between asking and binding they
//! hold a lock (`flock`) on the folder: no other file is needed for that, and the system releases it if they are killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket as SystemSocket, Type};

use super::pause::pause;

/// How long to wait before asking for the folder's lock again. It is held for a few system calls.
const PATIENCE: Duration = Duration::from_millis(5);

/// A socket's file, which is unlinked when this is dropped, if it is still the same.
#[derive(Debug)]
pub(super) struct OwnFile {
    path: PathBuf,
    /// `None`: the file is to stay.
    identity: Option<(u64, u64)>,
}

impl OwnFile {
    fn new(path: &Path) -> io::Result<Self> {
        // The folder that is current when it is unlinked may be another one.
        let path = std::path::absolute(path)?;
        let found = fs::symlink_metadata(&path)?;
        Ok(Self { path, identity: Some((found.dev(), found.ino())) })
    }

    /// Lets the file stay where it is.
    pub(super) fn keep(mut self) {
        self.identity = None;
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let is_ours = |found: &fs::Metadata| Some((found.dev(), found.ino())) == self.identity;
        if fs::symlink_metadata(&self.path).as_ref().is_ok_and(is_ours) {
            // If it fails, what stays is a stale file, which the next one to bind removes.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket that is bound to a path, with the file. Does not block.
pub(super) async fn bind(path: &Path, kind: Type) -> io::Result<(SystemSocket, OwnFile)> {
    let address = SockAddr::unix(path)?;
    let socket = SystemSocket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let Some(_lock) = lock_folder(path).await? else { return Err(error) };
            match look_at(path)? {
                Found::InUse => return Err(error),
                // Nobody else unlinks it while the lock is held, so nobody can have put another one there.
                Found::Stale => fs::remove_file(path)?,
                Found::Nothing => {}
            }
            socket.bind(&address)?;
        }
        result => result?,
    }
    let file = OwnFile::new(path)?;
    Ok((socket, file))
}

/// The lock on the path's folder, which lasts as long as the file is open; `None` if the folder can't be locked.
async fn lock_folder(path: &Path) -> io::Result<Option<File>> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let Ok(folder) = File::open(folder) else { return Ok(None) };
    loop {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(folder)),
            Err(rustix::io::Errno::WOULDBLOCK) => pause(PATIENCE).await?,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Ok(None),
        }
    }
}

/// What is at a path.
enum Found {
    /// A socket's file, and no socket behind it.
    Stale,
    /// A socket, or what is not to be touched.
    InUse,
    Nothing,
}

fn look_at(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Ok(Found::InUse),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    }
    let question = UnixDatagram::unbound()?;
    question.set_nonblocking(true)?;
    Ok(match question.connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Found::Stale,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        _ => Found::InUse,
    })
}
