//! How a signal handler wakes a run: a pair of connected sockets.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// Rung in a signal handler, heard by a run. It is never freed, only used again: a handler may be about to ring it on another
/// thread.
pub(super) struct Bell {
    writer: UnixStream,
    reader: UnixStream,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        reader.set_nonblocking(true)?;
        Ok(Self { writer, reader })
    }

    /// May be called in a signal handler: one `write`. If that fails, the sockets are full, and so have been rung.
    pub(super) fn ring(&self) {
        let _ = (&self.writer).write(&[0]);
    }

    /// Whether it has been rung since this was asked.
    pub(super) fn was_rung(&self) -> bool {
        let mut rung = false;
        while matches!((&self.reader).read(&mut [0; 64]), Ok(1..)) {
            rung = true;
        }
        rung
    }

    /// What is readable when it has been rung.
    pub(super) const fn reader(&self) -> &UnixStream {
        &self.reader
    }
}
