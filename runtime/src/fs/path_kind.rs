//! Questions about what a path leads to.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path as StdPath;

use super::in_thread;
use super::path::Path;

/// What the system says, unless there is nothing to say it about.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Defines questions that are false where nothing is.
macro_rules! questions {
    ($($doc:literal $name:ident = |$metadata:ident| $answer:expr;)*) => {
        impl Path {$(
            #[doc = $doc]
            ///
            /// False where there is nothing. A checkpoint, without any effect.
            ///
            /// # Errors
            ///
            /// The system's, if that can't be told.
            pub async fn $name(&self) -> io::Result<bool> {
                self.ask(|path| {
                    let metadata = if_there(std::fs::metadata(path))?;
                    Ok(metadata.is_some_and(|$metadata| $answer))
                })
                .await
            }
        )*}
    };
}

questions! {
    "Whether there is something. A symbolic link that leads nowhere counts as nothing." exists = |_metadata| true;
    "Whether it is a file, or a symbolic link to one." is_file = |metadata| metadata.is_file();
    "Whether it is a folder, or a symbolic link to one." is_dir = |metadata| metadata.is_dir();
    "Whether it is a socket, or a symbolic link to one." is_socket = |metadata| metadata.file_type().is_socket();
    "Whether it is a named pipe, or a symbolic link to one." is_fifo = |metadata| metadata.file_type().is_fifo();
    "Whether it is a block device, or a symbolic link to one." is_block_device = |metadata| metadata.file_type().is_block_device();
    "Whether it is a character device, or a symbolic link to one." is_char_device = |metadata| metadata.file_type().is_char_device();
}

impl Path {
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&StdPath) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let path = self.as_path().to_owned();
        in_thread(move || f(&path)).await
    }

    /// Whether it is a symbolic link. False where there is nothing.
    ///
    /// A checkpoint, without any effect.
    ///
    /// # Errors
    ///
    /// The system's, if that can't be told.
    pub async fn is_symlink(&self) -> io::Result<bool> {
        let kind = |path: &StdPath| if_there(std::fs::symlink_metadata(path));
        Ok(self.ask(kind).await?.is_some_and(|metadata| metadata.is_symlink()))
    }

    /// Whether another file system begins here. False where there is nothing.
    ///
    /// A checkpoint, without any effect.
    ///
    /// # Errors
    ///
    /// The system's, if that can't be told.
    pub async fn is_mount(&self) -> io::Result<bool> {
        self.ask(|path| {
            let Some(own) = if_there(std::fs::symlink_metadata(path))?.filter(|own| own.is_dir()) else {
                return Ok(false);
            };
            let above = std::fs::symlink_metadata(path.join(".."))?;
            Ok(own.dev() != above.dev() || own.ino() == above.ino())
        })
        .await
    }

    /// Whether both lead to the same file or folder.
    ///
    /// A checkpoint, without any effect.
    ///
    /// # Errors
    ///
    /// The system's, also if there is nothing at one of them.
    pub async fn same_file(&self, other: impl AsRef<StdPath>) -> io::Result<bool> {
        let other = other.as_ref().to_owned();
        self.ask(move |path| {
            let (own, other) = (std::fs::metadata(path)?, std::fs::metadata(other)?);
            Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
        })
        .await
    }

    /// The name of the user that it belongs to.
    ///
    /// A checkpoint, without any effect.
    ///
    /// # Errors
    ///
    /// The system's; [`NotFound`](ErrorKind::NotFound) also if the user has no name.
    pub async fn owner(&self) -> io::Result<String> {
        self.ask(|path| {
            let id = std::fs::metadata(path)?.uid();
            let user = uzers::get_user_by_uid(id).ok_or_else(|| nobody("user", id))?;
            Ok(user.name().to_string_lossy().into_owned())
        })
        .await
    }

    /// The name of the group that it belongs to.
    ///
    /// A checkpoint, without any effect.
    ///
    /// # Errors
    ///
    /// The system's; [`NotFound`](ErrorKind::NotFound) also if the group has no name.
    pub async fn group(&self) -> io::Result<String> {
        self.ask(|path| {
            let id = std::fs::metadata(path)?.gid();
            let group = uzers::get_group_by_gid(id).ok_or_else(|| nobody("group", id))?;
            Ok(group.name().to_string_lossy().into_owned())
        })
        .await
    }
}

fn nobody(what: &str, id: u32) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("{what} {id} has no name"))
}
