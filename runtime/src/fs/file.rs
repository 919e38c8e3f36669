//! Files of the system.

use std::fs::{FileTimes, Metadata, Permissions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::handle::{AsyncFile, wrap_file};
use super::in_thread;

/// A file of the system: [`std::fs::File`], whose operations are done by worker threads.
///
/// What it can do is an [`AsyncFile`]'s, and said there, and what stands here under `AsyncFile<std::fs::File>`.
///
/// # Examples
///
/// ```no_run
/// use trio::fs::File;
/// # async fn f() -> std::io::Result<()> {
/// let mut text = String::new();
/// File::open("/etc/hosts").await?.read_to_string(&mut text).await?;
/// # Ok(()) }
/// ```
pub type File = AsyncFile<std::fs::File>;

/// What a file is opened for: the modes of Trio's `open_file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Reading a file that exists: `"r"`.
    Read,
    /// Writing; what was in the file goes: `"w"`.
    Write,
    /// Writing at the end: `"a"`.
    Append,
    /// Writing a file that did not exist: `"x"`.
    CreateNew,
    /// Reading and writing a file that exists: `"r+"`.
    ReadWrite,
}

/// Opens a file: Trio's `open_file`. See [`OpenOptions`] for more.
///
/// A checkpoint. Cancelled before its thread has begun, it has opened, and made, nothing.
///
/// # Errors
///
/// The system's.
///
/// # Examples
///
/// ```
/// use trio::fs::{Mode, TempDir, open_file, read};
/// trio::run(async {
///     let folder = TempDir::new().await?;
///     let name = folder.path().join("log");
///     for text in ["one\n", "two\n"] {
///         open_file(&name, Mode::Append).await?.write_all(text.as_bytes()).await?;
///     }
///     assert_eq!(read(&name).await?, b"one\ntwo\n");
///     folder.aclose().await
/// })
/// .unwrap();
/// ```
pub async fn open_file(path: impl AsRef<Path>, mode: Mode) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match mode {
        Mode::Read => options.read(true),
        Mode::Write => options.write(true).create(true).truncate(true),
        Mode::Append => options.append(true).create(true),
        Mode::CreateNew => options.write(true).create_new(true),
        Mode::ReadWrite => options.read(true).write(true),
    };
    options.open(path).await
}

/// How a file is opened: [`std::fs::OpenOptions`], whose methods these are.
///
/// # Examples
///
/// ```no_run
/// # async fn f() -> std::io::Result<()> {
/// let file = trio::fs::OpenOptions::new().read(true).write(true).create(true).open("data").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(std::fs::OpenOptions);

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> Self {
        Self(options)
    }
}

impl OpenOptions {
    /// All options off.
    pub fn new() -> Self {
        Self(std::fs::OpenOptions::new())
    }

    /// Opens it for reading.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.0.read(read);
        self
    }

    /// Opens it for writing.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.0.write(write);
        self
    }

    /// Opens it for writing at the end, wherever that is at the time.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.0.append(append);
        self
    }

    /// Empties it.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.0.truncate(truncate);
        self
    }

    /// Makes it, if it does not exist.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.0.create(create);
        self
    }

    /// Makes it, and fails if it exists.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.0.create_new(create_new);
        self
    }

    /// The permissions that a new file gets, less the process's umask: 0o666 unless set.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }

    /// Further flags for the system, such as `O_NOFOLLOW`.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.0.custom_flags(flags);
        self
    }

    /// Opens a file.
    ///
    /// A checkpoint. Cancelled before its thread has begun, it has opened, and made, nothing. A named pipe that nobody has opened at the
    /// other end keeps the thread, and so the scopes around it, until somebody does.
    ///
    /// # Errors
    ///
    /// The system's, as [`std::fs::OpenOptions::open`].
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        let file = in_thread(move || options.open(path)).await?;
        // Nobody else has it, so nobody else sees its position.
        Ok(wrap_file(file).read_ahead(true))
    }
}

impl AsyncFile<std::fs::File> {
    /// Opens a file that exists, for reading.
    ///
    /// A checkpoint, without any effect if cancelled before its thread has begun.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        open_file(path, Mode::Read).await
    }

    /// Makes a file, or empties the one that is there, and opens it for writing.
    ///
    /// A checkpoint, without any effect if cancelled before its thread has begun.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        open_file(path, Mode::Write).await
    }

    /// Makes a file that did not exist, and opens it for reading and writing.
    ///
    /// A checkpoint, without any effect if cancelled before its thread has begun.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists), and others of the system.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path).await
    }

    /// For opening a file in other ways.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file. It reads exactly what it is asked for, since others may use the same position. Not a checkpoint.
    pub fn from_std(file: std::fs::File) -> Self {
        wrap_file(file).read_ahead(false)
    }

    /// Gives the file of the standard library, with its position where it should be. Cancelled, it has closed the file.
    ///
    /// # Errors
    ///
    /// As [`into_inner`](Self::into_inner).
    pub async fn into_std(self) -> io::Result<std::fs::File> {
        self.into_inner().await
    }

    /// Has the system bring all that was written, and what it knows about the file, to the disk.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn sync_all(&mut self) -> io::Result<()> {
        self.with(|file| file.sync_all()).await?
    }

    /// Has the system bring all that was written to the disk.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn sync_data(&mut self) -> io::Result<()> {
        self.with(|file| file.sync_data()).await?
    }

    /// Cuts the file off, or fills it with zeroes, so that it is this many bytes long: Trio's `truncate`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn set_len(&mut self, size: u64) -> io::Result<()> {
        self.with(move |file| file.set_len(size)).await?
    }

    /// What the system knows about the file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn metadata(&mut self) -> io::Result<Metadata> {
        self.with(|file| file.metadata()).await?
    }

    /// Sets the file's permissions.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn set_permissions(&mut self, permissions: Permissions) -> io::Result<()> {
        self.with(|file| file.set_permissions(permissions)).await?
    }

    /// Sets when the file was used and changed last.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn set_times(&mut self, times: FileTimes) -> io::Result<()> {
        self.with(move |file| file.set_times(times)).await?
    }

    /// A second handle with the same position. Neither reads ahead from now on, except for lines.
    ///
    /// # Errors
    ///
    /// The system's.
    pub async fn try_clone(&mut self) -> io::Result<Self> {
        let clone = self.with(|file| file.try_clone()).await??;
        self.set_read_ahead(false);
        Ok(Self::from_std(clone))
    }
}

impl From<std::fs::File> for AsyncFile<std::fs::File> {
    fn from(file: std::fs::File) -> Self {
        Self::from_std(file)
    }
}
