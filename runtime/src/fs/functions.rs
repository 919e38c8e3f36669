//! The functions of `std::fs`, each on a worker thread.

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use super::in_thread;

/// Defines functions of one or two paths.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($path:ident $(, $more:ident)?) -> $output:ty = $f:path;)*) => {$(
        $(#[$doc])*
        ///
        /// A checkpoint, without any effect if cancelled before its thread has begun.
        ///
        /// # Errors
        ///
        /// The system's.
        pub async fn $name($path: impl AsRef<Path> $(, $more: impl AsRef<Path>)?) -> io::Result<$output> {
            let $path = $path.as_ref().to_owned();
            $(let $more = $more.as_ref().to_owned();)?
            in_thread(move || $f($path $(, $more)?)).await
        }
    )*};
}

functions! {
    /// Reads a whole file.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!trio::run(trio::fs::read("/etc/hosts")).unwrap().is_empty());
    /// ```
    read(path) -> Vec<u8> = std::fs::read;

    /// Reads a whole file, which is text.
    read_to_string(path) -> String = std::fs::read_to_string;

    /// Copies a file with its permissions, in one trip and inside of the system where that can; gives how many bytes that was.
    copy(from, to) -> u64 = std::fs::copy;

    /// Gives a file or folder another name, replacing a file that has that name.
    rename(from, to) -> () = std::fs::rename;

    /// Gives a file one more name.
    hard_link(original, link) -> () = std::fs::hard_link;

    /// Makes a symbolic link.
    symlink(original, link) -> () = std::os::unix::fs::symlink;

    /// What a symbolic link leads to.
    read_link(path) -> PathBuf = std::fs::read_link;

    /// The absolute path without symbolic links, `.` and `..`. All of it must exist.
    canonicalize(path) -> PathBuf = std::fs::canonicalize;

    /// Makes a folder.
    create_dir(path) -> () = std::fs::create_dir;

    /// Makes a folder, and those above that do not exist.
    create_dir_all(path) -> () = std::fs::create_dir_all;

    /// Removes an empty folder.
    remove_dir(path) -> () = std::fs::remove_dir;

    /// Removes a folder with all that is in it.
    remove_dir_all(path) -> () = std::fs::remove_dir_all;

    /// Removes a file, or a symbolic link.
    remove_file(path) -> () = std::fs::remove_file;

    /// What the system knows about a file or folder, or about that to which the symbolic link leads.
    metadata(path) -> Metadata = std::fs::metadata;

    /// What the system knows about a file, folder or symbolic link.
    symlink_metadata(path) -> Metadata = std::fs::symlink_metadata;

    /// Whether there is something with this name. A symbolic link that leads nowhere counts as nothing.
    try_exists(path) -> bool = std::fs::exists;
}

/// Makes a file with these contents, or replaces those that it has.
///
/// A checkpoint, without any effect if cancelled before its thread has begun.
///
/// # Errors
///
/// The system's. Some of the contents may have been written.
///
/// # Examples
///
/// ```
/// use trio::fs;
/// trio::run(async {
///     let folder = fs::TempDir::new().await?;
///     fs::write(folder.path().join("note"), "text").await?;
///     assert_eq!(fs::read_to_string(folder.path().join("note")).await?, "text");
///     folder.aclose().await
/// })
/// .unwrap();
/// ```
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]> + Send + 'static) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    in_thread(move || std::fs::write(path, contents)).await
}

/// Sets the permissions of a file or folder.
///
/// A checkpoint, without any effect if cancelled before its thread has begun.
///
/// # Errors
///
/// The system's.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    in_thread(move || std::fs::set_permissions(path, permissions)).await
}
