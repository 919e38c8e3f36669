//! Files and folders that go when they are no longer used.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::file::File;
use super::handle::wrap_file;
use super::in_thread;
use super::path::Path;
use crate::kernel::system::takes_system_tasks;
use crate::lowlevel::{checkpoint_if_cancelled, in_run, spawn_system_task};
use crate::shield;
use crate::to_thread::Call;

/// A file without a name, for reading and writing, which the system removes when it is closed, even by a crash.
///
/// A checkpoint, without any effect if cancelled before its thread has begun.
///
/// # Errors
///
/// The system's.
///
/// # Examples
///
/// ```
/// trio::run(async {
///     let mut file = trio::fs::temp_file().await?;
///     file.write_all(b"scratch").await?;
///     file.rewind().await?;
///     let mut text = String::new();
///     file.read_to_string(&mut text).await?;
///     assert_eq!(text, "scratch");
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub async fn temp_file() -> io::Result<File> {
    Ok(wrap_file(in_thread(tempfile::tempfile).await?).read_ahead(true))
}

/// A file with a name that no other has, removed when this is dropped.
///
/// A drop removes it at once, on the run's thread; [`aclose`](Self::aclose) does it in a thread. It is left behind if the process dies.
///
/// # Examples
///
/// ```
/// use trio::fs::{self, NamedTempFile};
/// trio::run(async {
///     let mut file = NamedTempFile::new().await?;
///     file.file_mut().write_all(b"text").await?;
///     let name = file.path();
///     assert_eq!(fs::read(&name).await?, b"text");
///     file.aclose().await?;
///     assert!(!name.exists().await?);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
#[derive(Debug)]
pub struct NamedTempFile {
    file: File,
    path: tempfile::TempPath,
}

impl NamedTempFile {
    /// Makes one in the system's folder for temporary files.
    ///
    /// A checkpoint, without any effect if cancelled before its thread has begun.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn new() -> io::Result<Self> {
        Self::make(tempfile::NamedTempFile::new).await
    }

    /// Makes one in this folder: the one that it is to be [persisted](Self::persist) in.
    ///
    /// A checkpoint, without any effect if cancelled before its thread has begun.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn new_in(folder: impl AsRef<std::path::Path>) -> io::Result<Self> {
        let folder = folder.as_ref().to_owned();
        Self::make(|| tempfile::NamedTempFile::new_in(folder)).await
    }

    async fn make(make: impl FnOnce() -> io::Result<tempfile::NamedTempFile> + Send + 'static) -> io::Result<Self> {
        let (file, path) = in_thread(make).await?.into_parts();
        Ok(Self { file: wrap_file(file).read_ahead(true), path })
    }

    /// Its name. Not a checkpoint.
    pub fn path(&self) -> Path {
        Path::new(&self.path)
    }

    /// The open file. Not a checkpoint.
    pub fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it a name to stay, replacing what has that name, in one step of the system: others see the old file or the new one whole.
    ///
    /// A checkpoint. Cancelled before its thread has begun, the temporary file has been removed.
    ///
    /// # Errors
    ///
    /// The system's, also if the name is on another disk. The temporary file has been removed.
    pub async fn persist(self, path: impl AsRef<std::path::Path>) -> io::Result<File> {
        let Self { file, path: temporary } = self;
        let path = path.as_ref().to_owned();
        in_thread(move || temporary.persist(path).map_err(|error| error.error)).await?;
        Ok(file)
    }

    /// Keeps it where it is.
    ///
    /// A checkpoint. Cancelled before its thread has begun, the file has been removed.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn keep(self) -> io::Result<(File, Path)> {
        let Self { file, path } = self;
        let path = in_thread(move || path.keep().map_err(|error| error.error)).await?;
        Ok((file, Path::new(&path)))
    }

    /// Removes and closes it in a thread. It does so in any case: a cancellation is met only when that has been done.
    ///
    /// # Errors
    ///
    /// The system's, if it can't be removed.
    pub async fn aclose(self) -> io::Result<()> {
        let Self { mut file, path } = self;
        let removed = shield(async {
            let removed = in_thread(|| path.close()).await;
            file.aclose().await?;
            removed
        });
        let removed = removed.await;
        checkpoint_if_cancelled().await;
        removed
    }
}

/// A folder with a name that no other has, removed with all that is in it when this is dropped.
///
/// A drop inside a run leaves the removal, which may take its time, to a worker thread, for which the run waits before it
/// ends. Elsewhere, and when the run's main task has ended, it is done by the drop itself. An error is lost:
/// [`aclose`](Self::aclose) gives it. The folder is left behind if the process dies.
///
/// # Examples
///
/// ```
/// use trio::fs::{self, TempDir};
/// trio::run(async {
///     let folder = TempDir::new().await?;
///     fs::write(folder.path().join("a"), "text").await?;
///     let name = folder.path();
///     folder.aclose().await?;
///     assert!(!name.exists().await?);
///     std::io::Result::Ok(())
/// })
/// .unwrap();
/// ```
pub struct TempDir(Option<tempfile::TempDir>);

impl TempDir {
    /// Makes one in the system's folder for temporary files.
    ///
    /// A checkpoint, without any effect if cancelled before its thread has begun.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn new() -> io::Result<Self> {
        Ok(Self(Some(in_thread(tempfile::TempDir::new).await?)))
    }

    /// Makes one in this folder.
    ///
    /// A checkpoint, without any effect if cancelled before its thread has begun.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn new_in(folder: impl AsRef<std::path::Path>) -> io::Result<Self> {
        let folder = folder.as_ref().to_owned();
        Ok(Self(Some(in_thread(|| tempfile::TempDir::new_in(folder)).await?)))
    }

    /// Its name. Not a checkpoint.
    pub fn path(&self) -> Path {
        Path::new(self.0.as_ref().expect("the folder goes with its handle").path())
    }

    /// Keeps the folder, and gives its name. Not a checkpoint.
    pub fn keep(mut self) -> Path {
        let folder: PathBuf = self.0.take().expect("the folder goes with its handle").keep();
        Path::new(&folder)
    }

    /// Removes the folder with all that is in it, in a thread. It does so in any case: a cancellation is met only when that
    /// has been done.
    ///
    /// # Errors
    ///
    /// The system's, if something can't be removed.
    pub async fn aclose(mut self) -> io::Result<()> {
        let folder = self.0.take().expect("the folder goes with its handle");
        let removed = shield(in_thread(|| folder.close())).await;
        checkpoint_if_cancelled().await;
        removed
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let Some(folder) = self.0.take() else { return };
        if !in_run() || !takes_system_tasks() {
            drop(folder);
            return;
        }
        // Whatever becomes of the task, the folder is removed where it is dropped.
        let remove = async move {
            let remove = Call::new().name("temporary folder").try_run_sync(move || drop(folder));
            let _ = shield(remove).await;
        };
        let _ = spawn_system_task("removing a temporary folder", remove);
    }
}

impl fmt::Debug for TempDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TempDir").field(&self.0.as_ref().map(tempfile::TempDir::path)).finish()
    }
}
